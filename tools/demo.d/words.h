/* words.h - the words of many files, counted and hashed
 *
 * A word is what `wc -w` takes for one in the C locale.  What a file counts to
 * does not depend on how it is cut, nor the total on the order of the files:
 * the hash of a file is the sum of the hashes of its words.
 */
#ifndef DEMO_WORDS_H
#define DEMO_WORDS_H

#include "files.h"

#include <stdbool.h>
#include <stdint.h>

struct count {
    uint64_t lines, words, bytes;
    uint64_t hash;
    int      error; /* errno value: the file could not be read to its end */
};

struct words {
    const struct files *files;
    struct count       *count; /* one a file: the answer */
};

/* What the installed wc begins a word with: what can be printed, or, in newer
 * versions, whatever is not white space. */
void words_define(bool any_byte);

/* Counts all files.  A weft_fn; the argument is a struct words. */
int words_count(void *words);

struct count words_total(const struct words *words);

#endif /* DEMO_WORDS_H */
