/* wait.h - to wait for one of many, until a deadline, unless cancelled
 *
 * How a call waits:
 *
 *   1. It locks what it waits for, and does what can be done at once.
 *   2. Else it asks wait_refused whether it may wait.
 *   3. It links an entry for itself there, and calls wait_for with the lock held.
 *   4. wait_for leaves the stack, publishes the waiter's claim, starts its timer, looks whether it is cancelled,
 *      and only then has the locks dropped.
 *   5. Who ends the wait holds the lock, takes the entry out, and if park_claim is true does what
 *      there is to do, drops the lock, and wakes.  An entry that cannot be claimed is as good as gone.
 *   6. When wait_for returns less than 0, the call locks again and takes its entries out.
 *
 * So nobody finds a waiter whose stack is not left, no frame goes away while an entry leads to it, and
 * what a claimer does with the waiter is done before that goes on.  The deadline and cancelling, which have no lock
 * of these, may claim it between publishing and step 4's end; it then waits in step 6 for the lock.
 */
#ifndef WEFT_WAIT_H
#define WEFT_WAIT_H

#include "cancel.h"
#include "park.h"

/* Why a call does not wait: the reason of its cancelling, -EAGAIN or -ETIMEDOUT; 0: it may.  A call that would wait
 * for good does not ask: wait_for looks whether it is cancelled. */
int                      wait_refused_slow(weft_time deadline);
static always_inline int wait_refused(weft_time deadline)
{
    return likely(deadline == WEFT_NEVER) ? 0 : wait_refused_slow(deadline);
}

/* Drops the locks. */
typedef void wait_unlock(void *arg);

/* What the claimer has set as the outcome (0 or more), or -ETIMEDOUT, the reason of its cancelling, -EDEADLK. */
int wait_for(struct waiter *w, weft_time deadline, wait_unlock *unlock, void *arg);

/* Waits for the moment alone, which is to come.  0: it has come; else as wait_for: why it was not waited for. */
int wait_until(const struct wait_kind *kind, weft_time moment);

/* ---- a queue of waiters ---------------------------------------------------- */

/* A ring, of which the queue has the last entry: NULL when it is empty.  Under its owner's lock; others
 * may glance whether it is empty. */
struct wait_entry {
    struct wait_entry *next, *prev; /* next: NULL when in no queue */
    struct waiter     *waiter;
};

typedef Atomic(struct wait_entry *) wait_queue;

static inline bool wait_empty(const wait_queue *queue)
{
    return !load_relaxed(queue);
}

static inline void wait_push(wait_queue *queue, struct wait_entry *e)
{
    struct wait_entry *last = load_relaxed(queue);
    if (last) {
        e->next = last->next;
        e->prev = last;
        last->next->prev = e;
        last->next = e;
    } else {
        e->next = e->prev = e;
    }
    store_relaxed(queue, e);
}

/* To the front. */
static inline void wait_push_first(wait_queue *queue, struct wait_entry *e)
{
    struct wait_entry *last = load_relaxed(queue);
    wait_push(queue, e);
    if (last) store_relaxed(queue, last);
}

/* Unless it is in none. */
static inline void wait_remove(wait_queue *queue, struct wait_entry *e)
{
    if (!e->next) return;
    if (e->next == e) {
        store_relaxed(queue, NULL);
    } else {
        e->next->prev = e->prev;
        e->prev->next = e->next;
        if (load_relaxed(queue) == e) store_relaxed(queue, e->prev);
    }
    e->next = NULL;
}

/* Takes the first one out; NULL: there is none. */
static inline struct wait_entry *wait_take_first(wait_queue *queue)
{
    struct wait_entry *last = load_relaxed(queue);
    if (!last) return NULL;
    struct wait_entry *e = last->next;
    if (e == last) {
        store_relaxed(queue, NULL);
    } else {
        last->next = e->next;
        e->next->prev = last;
    }
    e->next = NULL;
    return e;
}

/* Takes entries out from the front until one could be claimed: that one, or NULL. */
static inline struct wait_entry *wait_claim_first(wait_queue *queue)
{
    struct wait_entry *e;
    while ((e = wait_take_first(queue))) {
        prefetch(e->waiter->fiber); /* side by side with its claim */
        if (likely(park_claim(e->waiter))) return e;
    }
    return NULL;
}

/* Takes entries out by `take` until that returns NULL: a list of them in their order, linked by `prev`. */
static always_inline struct wait_entry *wait_take_by(wait_queue *queue, struct wait_entry *take(wait_queue *queue))
{
    struct wait_entry *taken, *e, **end = &taken;
    for (; (e = take(queue)); end = &e->prev) *end = e;
    *end = NULL;
    return taken;
}

/* Takes all out, and claims them: such a list of those that could be. */
struct wait_entry *wait_claim_all(wait_queue *queue);

/* The same of waits that nothing else ends, and that are not to be claimed. */
struct wait_entry *wait_take_all(wait_queue *queue);

/* Wakes such a list, when the lock is dropped. */
void wait_wake_all(struct wait_entry *claimed, int outcome);

/* With the lock held: a claimed waiter, which has no deadline, is not to be woken after all, and may be claimed
 * again. */
void wait_unclaim(struct waiter *w);

/* ---- a word and its queue -------------------------------------------------- */

/* What is waited for is told by the rest of the word.  Who changes it gives up the lock with the same store,
 * and does not touch it after that: who has seen the change may take the storage away. */
struct wait_place {
    spin_word  word;
    wait_queue queue;
};

/* Steps 2 to 6 of the above, with the word held, which it drops as it is.  As wait_for. */
int wait_queued(struct wait_place *place, const struct wait_kind *kind, weft_time deadline);

#endif
