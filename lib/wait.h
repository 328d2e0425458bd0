/* wait.h - the one way to wait
 *
 * A waiter stands for a task or a plain thread that waits, and lies in its frame.
 * There are two ways to use one:
 *
 *   One source.  wait_park(publish): the waiter's stack is left, then `publish` makes
 *   the waiter findable; exactly one finds it, and calls wait_wake.  There is
 *   nothing to claim, and so no atomic operation here.
 *
 *   Many sources.  The waiter is registered with all of them first, then
 *   wait_for parks.  Each source that is ready calls wait_finish with its outcome: the
 *   first one wins, and only its outcome is seen.  Before wait_for's caller gives the
 *   frame up it takes the waiter back from every source, and makes sure that
 *   none still holds it.
 *
 * The waiter's state
 *      WAIT_ARMING  --arm-->     WAIT_ARMED   the waiter, its stack left behind
 *      WAIT_ARMING  --finish-->  an outcome   a source; the waiter sees it and does not sleep
 *      WAIT_ARMED   --finish-->  an outcome   a source, which wakes it
 */
#ifndef WEFT_WAIT_H
#define WEFT_WAIT_H

#include "atomic.h"
#include "base.h"

struct fiber;

enum { WAIT_ARMING = 0, WAIT_ARMED = 1, WAIT_OUTCOME = 2 /* and above */ };

struct waiter {
    struct fiber    *fiber; /* NULL: a plain thread */
    Atomic(uint32_t) state;
    Atomic(uint32_t) awake; /* a plain thread sleeps on it while it is 0 */
};

/* For the calling task or thread. */
void wait_init(struct waiter *w);

/* Runs once the waiter's stack may be resumed.  False: there is nothing to wait for
 * after all, and nobody has found or will find the waiter. */
typedef bool wait_publish(struct waiter *w, void *arg);

/* One source: returns when wait_wake was called, or publish returned false. */
void wait_park(struct waiter *w, wait_publish *publish, void *arg);

/* By whoever found the waiter, once: it goes on, and may be gone before this
 * returns.  `next`: the caller is a task that ends, so the waiter may run next here. */
void wait_wake(struct waiter *w, bool next);

/* Many sources: an outcome of WAIT_OUTCOME or above; the first one counts. */
void wait_finish(struct waiter *w, uint32_t outcome, bool next);

/* Many sources: the outcome. */
uint32_t wait_for(struct waiter *w);

#endif
