/* runq.h - a worker's queue of what goes on, oldest first: one of resumed tasks, one of those that have yielded
 *
 * A bounded ring.  The owner appends; anybody takes from the front, by a CAS of head.  It
 * never blocks, and an entry is taken once.  When it is full the owner puts
 * the overflow in the shared queue.  (Go's local run queue is the model.)
 *
 * Rejected: a front that the owner moves without a CAS, as the deque's bottom: it
 * saves 2 ns, but the front is where thieves come too, so they would collide at
 * every turn.
 */
#ifndef WEFT_RUNQ_H
#define WEFT_RUNQ_H

#include "base.h"
#include "atomic.h"
#include "chaos.h"

#ifndef RUNQ_SIZE
#define RUNQ_SIZE 2048u /* a power of two */
#endif

struct runq {
    Atomic(uint32_t) tail; /* owner writes */
    _Alignas(CACHE_LINE) Atomic(uint32_t) head;
    Atomic(uintptr_t) slots[RUNQ_SIZE];
};

/* The slots are left as they are: each is written before it is read, and touching their pages
 * would cost more than all else in the start of a runtime. */
static inline void runq_init(struct runq *q)
{
    atomic_set(&q->head, 0);
    atomic_set(&q->tail, 0);
}

static inline uint32_t runq_length(struct runq *q)
{
    uint32_t head = load_relaxed(&q->head);
    int32_t  n = (int32_t)(load_relaxed(&q->tail) - head);
    return n > 0 ? (uint32_t)n : 0;
}

/* Owner: false when full. */
static inline bool runq_push(struct runq *q, uintptr_t item)
{
    uint32_t tail = load_relaxed(&q->tail);
    /* acquire: pairs with the release of the CAS in runq_pop; the slot was read
     * before it is written again. */
    if (unlikely(tail - load_acquire(&q->head) >= RUNQ_SIZE)) return false;
    store_relaxed(&q->slots[tail % RUNQ_SIZE], item);
    /* release: pairs with the acquire of tail in runq_pop; the entry, and what it
     * points to, are seen with it. */
    store_release(&q->tail, tail + 1);
    return true;
}

/* Owner, for a hint: the one that has so many before it, or 0.  Others may take it meanwhile. */
static inline uintptr_t runq_ahead(struct runq *q, uint32_t before)
{
    uint32_t at = load_relaxed(&q->head) + before;
    return (int32_t)(load_relaxed(&q->tail) - at) > 0 ? load_relaxed(&q->slots[at % RUNQ_SIZE]) : 0;
}

/* Anybody: the oldest, or 0. */
static inline uintptr_t runq_pop(struct runq *q)
{
    uint32_t head = load_relaxed(&q->head);
    for (;;) {
        /* acquire: pairs with the release in runq_push.  A head that is out of
         * date makes the CAS fail, so it may be read in any order. */
        if ((int32_t)(load_acquire(&q->tail) - head) <= 0) return 0;
        uintptr_t item = load_relaxed(&q->slots[head % RUNQ_SIZE]);
        chaos_point();
        /* release: pairs with the acquire of head in runq_push. */
        if (cas_release(&q->head, &head, head + 1)) {
            model_used(&q->slots[head % RUNQ_SIZE]);
            return item;
        }
    }
}

#endif
