/* worker.h - the loop that every stack has at its base, and leaving it for another
 *
 * A worker is a thread that runs tasks.  It runs them as plain calls from the
 * loop at the base of a stack (a fiber).  When a task waits, its fiber leaves with
 * it, loop frame and all, and the worker goes on in another fiber: straight in the
 * one that is ready, or in the loop of a spare one.
 *
 * Invariants
 *   - A worker that runs a task has a spare fiber, so that the task can always
 *     be left.
 *   - A fiber is left first and published second: what makes it findable
 *     (`then`) runs on the next stack, when its context is saved.
 */
#ifndef WEFT_WORKER_H
#define WEFT_WORKER_H

#include "team.h"

/* ---- switching ----------------------------------------------------------- */

/* By a task: leaves its fiber, for which `then` runs on the next stack, and goes on
 * with what is ready.  Returns when somebody has made the fiber ready. */
void worker_suspend(struct worker *w, worker_then *then, void *arg);

/* By a task: lets what is ready run, and goes on after that. */
void worker_yield(struct worker *w);

/* By a task, in a call that need not wait.  Every so many such calls, WORKER_CALLS at most, it looks whether to
 * breathe: when a tick of the clock has passed since the turn's first look, or its last one, and else at every
 * WORKER_LOOKS th.  Then what work_pick_breath has runs first.  With a seed, or for chaos, how many calls it takes is
 * drawn at random. */
#define WORKER_CALLS 256
#define WORKER_LOOKS 16
/* True: the caller is to breathe, by worker_breathe, and the budget is below 0 until it does. */
bool worker_look(struct worker *w);
void worker_breathe(struct worker *w);

/* A call that costs as much as `calls` short ones. */
static always_inline void worker_spend_more(struct worker *w, int32_t calls)
{
    if (unlikely((w->budget -= calls) < 0) && worker_look(w)) worker_breathe(w);
}

static always_inline void worker_spend(struct worker *w)
{
    worker_spend_more(w, 1);
}

/* ---- for the runtime ----------------------------------------------------- */

/* What each fiber runs: struct weft_runtime's `loop`. */
void worker_loop(struct context *from);
/* -ENOMEM.  The worker has a spare fiber after. */
int  worker_init(struct worker *w, struct weft_runtime *runtime, unsigned index, uint64_t seed);
void worker_destroy(struct worker *w);
/* The thread: returns when the runtime is closed. */
void worker_main(struct worker *w);
/* Whether the address is in the guard of the stack that the calling thread runs on; then says so on stderr. */
bool worker_describe_fault(void *address);

#endif
