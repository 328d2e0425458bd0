/* report.h - the results, as a table for people or as JSON for machines */
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include "job.h"

/* What was worked on, in which circumstances. */
struct circumstances {
    char *const *dirs;
    size_t       files, found, unreadable;
    uint64_t     bytes, lines, words, hash;
    unsigned     workers, runs;
    const char  *wc;  /* "same", "differs" or "missing" */
    const char  *svg; /* NULL: it could not be written */
};

void report_table(const struct circumstances *about, const struct job jobs[], const struct result results[],
                  unsigned count);

void report_json(const struct circumstances *about, const struct job jobs[], const struct result results[],
                 unsigned count);

/* "1,234,567", in one of a few buffers that take turns. */
const char *report_number(uint64_t number);

/* "/usr/include and /usr/share"; to be freed. */
char *report_dirs(char *const dirs[]);

#endif /* DEMO_REPORT_H */
