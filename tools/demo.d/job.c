#include "job.h"
#include "memory.h"
#include "progress.h"

struct timed {
    double       seconds;
    struct trace trace;
};

/* How much of the job is done in that way. */
static double part(const struct job *job, enum way way)
{
    return way == WAY_SUBROUTINES ? job->sample : 1;
}

static int run_once(const struct job *job, enum way way, unsigned workers, const char *round, struct trace *trace)
{
    char what[160];
    snprintf(what, sizeof what, "%s, %s, %s", job->name, way_name(way), round);
    progress_begin(what, (uint64_t)((double)job->steps * part(job, way)));
    return way_run(way, workers, job->run, job->arg, trace);
}

static int by_time(const void *a, const void *b)
{
    const struct timed *x = a, *y = b;
    return (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

/* Keeps the times and the trace in the middle. */
static void keep_median(struct row *row, struct timed *timed, unsigned runs)
{
    qsort(timed, runs, sizeof *timed, by_time);
    /* With an even number of runs, the slower of the two: it is one that has been. */
    unsigned middle = runs / 2;
    row->seconds = memory_zeroed(runs, sizeof *row->seconds);
    for (unsigned i = 0; i < runs; i++) {
        row->seconds[i] = timed[i].seconds;
        if (i != middle) trace_free(&timed[i].trace);
    }
    row->median = timed[middle].seconds;
    row->trace = timed[middle].trace;
}

int job_measure(const struct job *job, unsigned workers, unsigned runs, struct result *result)
{
    struct timed *timed[WAYS];
    *result = (struct result){0};
    for (int way = 0; way < WAYS; way++) {
        timed[way] = memory_zeroed(runs, sizeof **timed);
        result->row[way].right = true;
    }

    struct trace warm;
    int          error = run_once(job, WAY_SUBROUTINES, workers, "warming up", &warm);
    trace_free(&warm);
    unsigned done = 0;
    for (unsigned run = 0; run < runs && error >= 0; run++) {
        char round[40];
        snprintf(round, sizeof round, "run %u of %u", run + 1, runs);
        for (int turn = 0; turn < WAYS && error >= 0; turn++) {
            /* There and back, so that no way always comes after the same one. */
            enum way      way = (enum way)(run % 2 ? WAYS - 1 - turn : turn);
            struct timed *now = &timed[way][run];
            error = run_once(job, way, workers, round, &now->trace);
            now->seconds = (double)(now->trace.end - now->trace.begin) * 1e-9 / part(job, way);
            if (error >= 0 && !job->right(job->arg)) result->row[way].right = false;
        }
        done = run + 1;
    }
    progress_end();

    for (int way = 0; way < WAYS; way++) {
        if (error >= 0) keep_median(&result->row[way], timed[way], runs);
        else
            for (unsigned run = 0; run < done; run++) trace_free(&timed[way][run].trace);
        free(timed[way]);
    }
    return error;
}

void job_free(struct job *job, struct result *result)
{
    for (int way = 0; way < WAYS; way++) {
        free(result->row[way].seconds);
        trace_free(&result->row[way].trace);
    }
    for (int kind = 0; kind < TRACE_KINDS; kind++) free(job->kind[kind]);
    free(job->title);
}
