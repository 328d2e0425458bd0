/* root.h - a serial domain: a queue that one worker at a time runs
 *
 * Tasks of a root are never in a worker's own queues; the root is, as a whole, and
 * at most once.  `pending` counts those that are ready or run: whoever makes it
 * 1 puts the root in a ready queue, and whoever has run one of them takes 1
 * away and, if some are left, puts the root back.  So each of them runs
 * after the one before has left, and sees all that it did.
 *
 * The queue: anybody prepends to `inbox`; the runner takes it whole and turns it
 * round (Treiber's stack, 1986, popped only as a whole, so it has no ABA).
 */
#ifndef WEFT_ROOT_H
#define WEFT_ROOT_H

#include "chaos.h"
#include "ready.h"

struct root {
    ready_link       next;
    Atomic(ready_t)  inbox; /* newest first */
    Atomic(uint64_t) pending;
    ready_t          queue; /* oldest first; the runner's */
};

static inline void root_init(struct root *r)
{
    atomic_set(&r->inbox, 0);
    atomic_set(&r->pending, 1); /* its maker, who runs */
    r->queue = 0;
}

/* True: the root was idle, and the caller puts it in a ready queue. */
bool root_push(struct root *r, ready_t item);

/* The runner: the oldest that is ready.  There is one. */
ready_t root_pop(struct root *r);

/* The runner: puts back what it has popped and cannot run now. */
void root_unpop(struct root *r, ready_t item);

/* The runner has run one, or leaves it suspended.  True: there are more, and the caller
 * puts the root in a ready queue. */
bool root_leave(struct root *r);

static inline ready_t root_ready(struct root *r)
{
    return ready_make(&r->next, READY_ROOT);
}

static inline struct root *root_of(ready_t item)
{
    return container_of(ready_to_link(item), struct root, next);
}

#endif
