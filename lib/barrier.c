/* barrier.c - rounds that begin when all have arrived; whoever was cancelled has not
 */
#include "order.h"
#include "wait.h"
#include "worker.h"

#include <errno.h>

struct barrier {
    struct wait_place place;
    uint32_t          count;   /* how many make a round */
    uint32_t          arrived; /* how many have come, also those that were cancelled since: at least as many as wait */
};

_Static_assert(sizeof(struct barrier) <= sizeof(weft_barrier), "the public type has this room");

static const struct wait_kind kind_barrier = {.what = "for all to arrive at the barrier"};

static inline struct barrier *of(weft_barrier *storage)
{
    return (struct barrier *)storage;
}

void weft_barrier_init(weft_barrier *storage, unsigned count)
{
    struct barrier *b = of(storage);
    if (count == 0) base_die("a barrier for nobody");
    atomic_set(&b->place.word, 0);
    atomic_set(&b->place.queue, NULL);
    b->count = count;
    b->arrived = 0;
}

/* With the word held, by the last to arrive.  False: some have been cancelled meanwhile, and have not arrived; so
 * the others wait on, and can be cancelled as before. */
static bool claim_round(struct barrier *b, struct wait_entry **claimed)
{
    struct wait_entry *list = *claimed = wait_claim_all(&b->place.queue);
    b->arrived = 0;
    for (struct wait_entry *e = list; e; e = e->prev) b->arrived++;
    if (likely(b->arrived == b->count - 1)) return true;
    while (list) {
        struct wait_entry *e = list;
        list = e->prev;
        wait_push(&b->place.queue, e);
        wait_unclaim(e->waiter);
    }
    return false;
}

int weft_barrier_wait(weft_barrier *storage)
{
    struct barrier *b = of(storage);
    if (unlikely(!b)) return -EINVAL;
    if (unlikely(b->count == 0)) base_die("a barrier is waited for that was not initialised");
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    struct wait_entry *claimed;
    order_release(b);
    spin_take(&b->place.word);
    if (b->arrived + 1 < b->count || !claim_round(b, &claimed)) {
        b->arrived++;
        int result = wait_queued(&b->place, &kind_barrier, WEFT_NEVER);
        if (result == 0) order_acquire(b);
        return result;
    }
    b->arrived = 0;
    order_acquire(b);
    spin_drop(&b->place.word, 0);
    wait_wake_all(claimed, 0);
    return 1;
}
