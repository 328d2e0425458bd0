/* group.c - a count, and those who wait until it is 0
 */
#include "order.h"
#include "wait.h"
#include "worker.h"

#include <errno.h>

/* The word is the count, times ONE. */
#define ONE ((intptr_t)2)

_Static_assert(sizeof(struct wait_place) <= sizeof(weft_group), "the public type has this room");

static const struct wait_kind kind_group = {.what = "for the count of the group"};

static inline struct wait_place *of(weft_group *storage)
{
    return (struct wait_place *)storage;
}

void weft_group_add(weft_group *storage, int n)
{
    struct wait_place *g = of(storage);
    if (n < 0) order_release(g);
    intptr_t word = (intptr_t)spin_take(&g->word) + n * ONE;
    if (unlikely(word < 0)) base_die("a group counts below 0");
    struct wait_entry *claimed = word == 0 ? wait_claim_all(&g->queue) : NULL;
    spin_drop(&g->word, (uintptr_t)word);
    wait_wake_all(claimed, 0);
}

void weft_group_done(weft_group *storage)
{
    weft_group_add(storage, -1);
}

int weft_group_wait(weft_group *storage, weft_time deadline)
{
    struct wait_place *g = of(storage);
    if (unlikely(!g)) return -EINVAL;
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    int result = 0;
    if (load_acquire(&g->word) != 0) { /* pairs with spin_drop in weft_group_add */
        if (spin_take(&g->word) != 0) result = wait_queued(g, &kind_group, deadline);
        else spin_drop(&g->word, 0);
    }
    if (result == 0) order_acquire(g);
    return result;
}
