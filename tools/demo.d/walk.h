/* walk.h - a generator of the files below a directory, one at a time
 *
 * Links are not followed, and other file systems are not entered.  Each directory is a generator that delegates
 * to those of its own directories, so the walk is plain recursion, and its holder a plain loop:
 *
 *     weft_gen_create(&gen, walk_below, &place, sizeof place);
 *     while (weft_gen_next(gen, &value) == 1) ... struct walk_file *file = value ...
 */
#ifndef DEMO_WALK_H
#define DEMO_WALK_H

#include <sys/stat.h>
#include <weft/weft.h>

struct walk_place {
    const char *path; /* of the directory, which stays while the generator lives */
    dev_t       device;
};

/* What is yielded: all that is no directory, and the directories that cannot be read. */
struct walk_file {
    const char        *path;
    const struct stat *status; /* NULL: it cannot be read */
};

int walk_below(weft_gen *self, void *place);

#endif /* DEMO_WALK_H */
