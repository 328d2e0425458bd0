/* park.h - to wait, and to be woken
 *
 * A waiter stands for a task or a plain thread that waits, and lies in its frame.  Its
 * stack is left first, then `publish` makes it findable; whoever is the one to wake it
 * calls park_wake, once.
 *
 * Many may want to end one wait: what is waited for, the deadline, a cancel.  Then it has a
 * word, its claim, which holds the waiter while it may be claimed; a task's is in its node, where
 * cancelling looks for it.  Exactly one takes it out, for whom park_claim is true: that one sets
 * `outcome` and wakes.  What is to be done before the waiter goes on, as copying an element to
 * it, is done in between.
 *
 *      claim   0       --publish-->  waiter   the waiter, its stack left behind
 *              waiter  --claim-->    0        who ends the wait
 */
#ifndef WEFT_PARK_H
#define WEFT_PARK_H

#include "team.h"

/* What is waited for, in a report. */
struct wait_kind {
    const char *what;    /* "to receive from the channel", as in: waits ... */
    bool        awaited; /* the object is a struct task, which somebody may wait for in turn */
    bool        outside; /* it comes from outside the runtime */
};

struct waiter {
    struct fiber           *fiber; /* NULL: a plain thread */
    const struct wait_kind *kind;
    const void             *object;
    int64_t                 since;
    Atomic(uintptr_t)      *claim;
    Atomic(uintptr_t)       own;     /* a plain thread's claim */
    Atomic(uint32_t)        awake;   /* a plain thread sleeps on it while it is 0 */
    int32_t                 outcome; /* the claimer's to set */
    void (*unlock)(void *arg);       /* wait.c: drops the locks that are held until it is published */
    void *arg;
    bool  timed; /* it has a deadline: of a task its timer is to be started, and a thread is not parked for good */
    struct timer timer;
};

/* For the calling task or thread. */
static always_inline void park_init(struct waiter *w, const struct wait_kind *kind, const void *object)
{
    struct worker *self = worker_self();
    w->fiber = self ? self->fiber : NULL;
    w->kind = kind;
    w->object = object;
    w->since = self ? self->now : 0;
    w->claim = w->fiber ? &w->fiber->node->wait : &w->own;
    w->outcome = 0;
    atomic_set(&w->awake, 0);
}

/* Runs once the waiter's stack may be resumed.  False: there is nothing to wait for
 * after all, and nobody has found or will find the waiter. */
typedef bool park_publish(struct waiter *w, void *arg);

/* Returns when park_wake was called, or publish returned false. */
void park_wait(struct waiter *w, park_publish *publish, void *arg);

/* True for exactly one: the wait is the caller's to end. */
static inline bool park_claim(struct waiter *w)
{
    uintptr_t standing = (uintptr_t)w;
    /* acquire: pairs with publish_and_unlock in wait.c; the waiter is seen whole. */
    bool mine = cas_acquire(w->claim, &standing, 0);
    chaos_point();
    return mine;
}

/* By the one who is to, once: the waiter goes on, and may be gone before this returns.  `next`: the
 * caller is a task that ends or will soon wait, so the waiter may run next on its worker. */
void park_wake(struct waiter *w, bool next);

#endif
