/* monitor.h - who has its worker to itself for long
 *
 * A thread, one for the process, looks at each worker a few times within the limit of its runtime, and names a task
 * that has had the worker all that while without letting others run: once for each task.  Where the task is just then
 * nobody can tell: only the task itself could look at its stack, and would have to be interrupted for that, by a
 * signal, of which none is free: all are the program's own, and the handler would have to take the unwinder's locks in
 * the midst of anything.  So the task notes its frames down when it lets go the next time, which is near enough to
 * where it could have done so before, and the thread writes them.
 *
 * A thread of its own, since nobody else looks when all workers are busy, which is when it matters.  It has no part in
 * what the runtime does: deadlocks are found as if it were not there.  What it goes by are counts that workers keep
 * anyway, so that being watched costs a worker nothing but a glance when it leaves a stack.
 *
 *      WATCHED_CALM   --tell-->      WATCHED_TOLD     the monitor, which names the task
 *      WATCHED_TOLD   --lets_go-->   WATCHED_NOTING   the worker, which looks whether it still has that task
 *      WATCHED_NOTING --lets_go-->   WATCHED_NOTED    the worker: it has, and has noted its frames
 *      WATCHED_NOTING --lets_go-->   WATCHED_CALM     the worker: it has another one
 *      WATCHED_TOLD   --tell-->      WATCHED_CALM     the monitor: the task has ended without letting go
 *      WATCHED_NOTED  --tell-->      WATCHED_CALM     the monitor, which has written the frames
 */
#ifndef WEFT_MONITOR_H
#define WEFT_MONITOR_H

#include "team.h"

/* The limit in nanoseconds of a runtime whose options say `wanted`; 0: it is not watched. */
int64_t monitor_limit(int64_t wanted);

/* Before the runtime's workers begin; nothing happens if there is no memory or thread for it. */
void monitor_begin(struct weft_runtime *runtime, int64_t limit);

/* When the workers have ended. */
void monitor_end(struct weft_runtime *runtime);

#endif
