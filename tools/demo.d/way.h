/* way.h - one program, three ways to run it, by one setting
 *
 * A job is written once, on way_go, way_fork and way_join.  As subroutines
 * these are plain calls, on the caller's thread, and weft is not even started;
 * otherwise they are weft's tasks, all on one root or over all workers.
 */
#ifndef DEMO_WAY_H
#define DEMO_WAY_H

#include "trace.h"

#include <weft/weft.h>

enum way { WAY_SUBROUTINES, WAY_ONE_ROOT, WAY_ALL_CORES, WAYS };

/* Read by every fork; changed between runs only. */
extern bool way_tasks;

const char *way_name(enum way way);

/* Runs fn(arg) in that way and records it.  fn's result, or why weft could not
 * start.  workers 0: as many as weft chooses. */
int way_run(enum way way, unsigned workers, weft_fn *fn, void *arg, struct trace *trace);

/* A scope around tasks that nobody awaits one by one. */
int way_open(weft_scope *scope);
int way_go(weft_scope *scope, weft_fn *fn, void *arg);
int way_close(weft_scope *scope);

static inline void way_fork(weft_task *task, weft_fn *fn, void *arg)
{
    if (way_tasks) weft_spawn(task, fn, arg);
    else fn(arg);
}

static inline void way_join(weft_task *task)
{
    if (way_tasks) weft_await(task);
}

#endif /* DEMO_WAY_H */
