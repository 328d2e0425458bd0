/* sem.c - a count that is taken from and given to; who waits first is served first
 */
#include "order.h"
#include "wait.h"
#include "worker.h"

#include <errno.h>

/* The word is the count, times ONE.  It is 0 while anybody waits who can be claimed: a post then goes to the first
 * of them, and nobody who comes later is before. */
#define ONE ((uintptr_t)2)

_Static_assert(sizeof(struct wait_place) <= sizeof(weft_sem), "the public type has this room");

static const struct wait_kind kind_sem = {.what = "for the semaphore"};

static inline struct wait_place *of(weft_sem *storage)
{
    return (struct wait_place *)storage;
}

void weft_sem_init(weft_sem *storage, unsigned count)
{
    struct wait_place *s = of(storage);
    atomic_set(&s->word, count * ONE);
    atomic_set(&s->queue, NULL);
    order_renew(s);
}

int weft_sem_wait(weft_sem *storage, weft_time deadline)
{
    struct wait_place *s = of(storage);
    if (unlikely(!s)) return -EINVAL;
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    uintptr_t word = spin_take(&s->word);
    int       result = 0;
    if (unlikely(word == 0)) result = wait_queued(s, &kind_sem, deadline);
    else spin_drop(&s->word, word - ONE);
    if (likely(result == 0)) order_acquire(s);
    return result;
}

void weft_sem_post(weft_sem *storage)
{
    struct wait_place *s = of(storage);
    order_release(s);
    uintptr_t          word = spin_take(&s->word);
    struct wait_entry *e = wait_claim_first(&s->queue);
    if (!e && unlikely(word == UINT32_MAX * ONE)) base_die("a semaphore counts above %u", UINT32_MAX);
    spin_drop(&s->word, e ? 0 : word + ONE);
    if (!e) return;
    e->waiter->outcome = 0;
    park_wake(e->waiter, true);
}
