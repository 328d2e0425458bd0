/* inject.h - the queue that all workers share: work from outside, and overflow
 *
 * First in, first out; any thread puts and takes, under a lock, linked through
 * the entries themselves, so that putting cannot fail.
 */
#ifndef WEFT_INJECT_H
#define WEFT_INJECT_H

#include "lock.h"
#include "ready.h"

struct inject {
    Atomic(uint32_t) lock;
    Atomic(uint32_t) count; /* also read without the lock, to see that there is nothing */
    ready_t          head, tail;
};

void inject_init(struct inject *q);
void inject_put(struct inject *q, ready_t item);

/* The oldest, or 0. */
ready_t inject_take(struct inject *q);

/* May be out of date, unless a fence orders it: idle.md says where that matters. */
static inline bool inject_empty(struct inject *q)
{
    return load_relaxed(&q->count) == 0;
}

#endif
