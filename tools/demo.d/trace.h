/* trace.h - who ran what on which worker, when
 *
 * A worker writes to its own lane only, so that recording takes no lock and
 * the lanes share no cache line.  It costs two clock readings for a task of
 * trace_task, and one for 64 tasks of trace_tiny; all three ways pay it alike.
 * Only what computes is recorded, not what waits for other tasks, so that the
 * spans of a lane never overlap.
 */
#ifndef DEMO_TRACE_H
#define DEMO_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_LANES 1024 /* more workers a runtime cannot have */
#define TRACE_KINDS 9    /* the colours of the picture */
#define TRACE_MAIN  8    /* of these, the main task's own work */

struct span {
    int64_t  begin, end; /* since the trace began */
    uint32_t kind;
    uint32_t tasks;
};

struct lane {
    struct span *spans;
    size_t       count, room;
    unsigned     since; /* tiny tasks since the last stamp */
    uint32_t     kind;  /* of these */
    int64_t      sampled;
} __attribute__((aligned(128)));

struct trace {
    int64_t      begin, end;
    unsigned     lanes; /* workers that there were; 1 without tasks */
    uint64_t     most_alive;
    uint64_t     tasks, steals; /* the runtime's own count, at the end; 0 without tasks */
    struct lane *lane;
};

/* Makes *trace the one that is recorded to, with nothing in it. */
void trace_begin(struct trace *trace);

/* Called by the last task before it returns: takes the runtime's statistics. */
void trace_finish(void);

/* The recording is over. */
void trace_end(void);

void trace_free(struct trace *trace);

/* The caller computed from `begin` until now; returns now. */
int64_t trace_task(uint32_t kind, int64_t begin);

/* The caller is a task so short that looking at the clock would be felt. */
void trace_tiny(uint32_t kind);

/* Looks how many tasks are alive right now. */
void trace_sample(void);

#endif /* DEMO_TRACE_H */
