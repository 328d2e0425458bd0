/* job.h - a job, done several times in each of the three ways, turn and turn about
 *
 * What else the machine does meets all ways alike, and the medians are
 * compared.  Time is from before the runtime starts until after it has stopped.
 */
#ifndef DEMO_JOB_H
#define DEMO_JOB_H

#include "way.h"

struct job {
    const char *name;               /* for a table */
    char       *title;              /* for people */
    weft_fn    *run;                /* does all of it, with arg */
    bool (*right)(const void *arg); /* whether what it left in arg is the answer */
    void       *arg;
    double      amount; /* of work, in `unit`s; the rate is this by seconds */
    const char *unit;
    uint64_t    steps;  /* as progress_add counts them */
    double      sample; /* the part of it that is done as subroutines, whose time is divided by this; 1: all */
    char       *kind[TRACE_KINDS]; /* names of the colours; NULL: not used */
};

struct row {
    double      *seconds; /* of each run, sorted */
    double       median;
    bool         right; /* every time */
    struct trace trace; /* of the run that took the median time */
};

struct result {
    struct row row[WAYS];
};

/* Runs it once, unmeasured, as subroutines, then `runs` times in each way.  A
 * negative errno value if weft could not run. */
int job_measure(const struct job *job, unsigned workers, unsigned runs, struct result *result);

void job_free(struct job *job, struct result *result);

#endif /* DEMO_JOB_H */
