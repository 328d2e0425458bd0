/* blocking.h - calls that may block their thread, off the workers
 *
 * Threads of three kinds, so that one kind's calls never queue behind another's: the program's own (weft_blocking),
 * those on files, and the look-up of names.  A thread is started when a call finds none free, up to the kind's most;
 * beyond that calls queue, first in, first out.  A thread that has had nothing to do for a while ends.
 */
#ifndef WEFT_BLOCKING_H
#define WEFT_BLOCKING_H

#include "team.h"

enum blocking_kind { BLOCKING_CALLS, BLOCKING_FILES, BLOCKING_NAMES, BLOCKING_KINDS };

/* One call, in the caller's memory until `done`, which runs on the thread, has been called. */
struct blocking_call {
    struct blocking_call *next;
    struct context       *context; /* in whose name it runs (context_pose); NULL: in the thread's own */
    void (*run)(struct blocking_call *call);
    void (*done)(struct blocking_call *call);
};

/* 0; -EAGAIN: there is no thread of the kind, and none can be had. */
int blocking_submit(struct weft_runtime *runtime, enum blocking_kind kind, struct blocking_call *call);

/* Runs fn(arg) on a thread of the kind, and waits for its end however long: its result, or -EAGAIN.  In a plain
 * thread it is a call. */
int blocking_call(enum blocking_kind kind, weft_fn *fn, void *arg);

/* How many calls wait for a thread, and how many threads there are. */
void blocking_gauges(struct weft_runtime *runtime, uint64_t *queued, uint64_t *threads);

/* Waits for all calls, and ends the threads. */
void blocking_stop(struct weft_runtime *runtime);

#endif
