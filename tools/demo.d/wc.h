/* wc.h - what coreutils' wc makes of the same files */
#ifndef DEMO_WC_H
#define DEMO_WC_H

#include "words.h"

enum wc_answer {
    WC_SAME,    /* lines, words and bytes, of each file */
    WC_DIFFERS, /* it is told on stderr where */
    WC_MISSING, /* there is no wc here that understands --files0-from */
};

/* Sets words_define as the installed wc has it.  WC_SAME, or WC_MISSING. */
enum wc_answer wc_define(void);

enum wc_answer wc_check(const struct words *words);

#endif /* DEMO_WC_H */
