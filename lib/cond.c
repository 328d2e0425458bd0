/* cond.c - waiting for a signal, with the mutex given back meanwhile; no signal is missed
 */
#include "mutex.h"
#include "order.h"
#include "wait.h"

#include <errno.h>

/* Those that wait for a signal.  A waiter is in the queue before it gives the mutex back, so no signal that comes of
 * what was done under the mutex after that is missed.
 *
 * Who gives up has the mutex again before it takes its entry out; and it does not even look here when a signal or
 * a broadcast has taken that out already.  So who has broadcast under the mutex may destroy the cond. */
struct entry {
    struct wait_entry entry;
    Atomic(bool)      gone; /* taken out by another, who has not claimed the waiter */
};

_Static_assert(sizeof(struct wait_place) <= sizeof(weft_cond), "the public type has this room");

static const struct wait_kind kind_cond = {.what = "for a signal of the cond"};

static inline struct wait_place *of(weft_cond *storage)
{
    return (struct wait_place *)storage;
}

struct waiting {
    struct wait_place *cond;
    weft_mutex        *mutex;
};

/* The waiter may go on meanwhile, but not beyond locking the mutex. */
static void unlock(void *arg)
{
    struct waiting waiting = *(struct waiting *)arg;
    spin_drop(&waiting.cond->word, 0);
    mutex_unlock(waiting.mutex);
}

int weft_cond_wait(weft_cond *storage, weft_mutex *mutex, weft_time deadline)
{
    struct wait_place *c = of(storage);
    if (!c || !mutex) return -EINVAL;
    int result = wait_refused(deadline);
    if (result) {
        weft_mutex_unlock(mutex);
        weft_mutex_lock(mutex);
        return result;
    }
    struct waiting waiting = {c, mutex};
    struct waiter  waiter;
    struct entry   e = {.entry.waiter = &waiter};
    park_init(&waiter, &kind_cond, c);
    spin_take(&c->word);
    wait_push(&c->queue, &e.entry);
    order_release(mutex); /* pairs with weft_mutex_lock */
    result = wait_for(&waiter, deadline, unlock, &waiting);
    weft_mutex_lock(mutex);
    if (result == 0) order_acquire(c);
    if (result < 0 && !load_acquire(&e.gone)) { /* pairs with claim_first */
        spin_take(&c->word);
        wait_remove(&c->queue, &e.entry);
        spin_drop(&c->word, 0);
    }
    return result;
}

/* With the word held: the one that waits the longest, or NULL. */
static struct wait_entry *claim_first(wait_queue *queue)
{
    struct wait_entry *e;
    while ((e = wait_take_first(queue))) {
        if (likely(park_claim(e->waiter))) break;
        /* release: pairs with weft_cond_wait; it may be gone after this. */
        store_release(&container_of(e, struct entry, entry)->gone, true);
    }
    return e;
}

void weft_cond_signal(weft_cond *storage)
{
    struct wait_place *c = of(storage);
    if (wait_empty(&c->queue)) return;
    order_release(c);
    spin_take(&c->word);
    struct wait_entry *e = claim_first(&c->queue);
    spin_drop(&c->word, 0);
    if (!e) return;
    e->waiter->outcome = 0;
    /* Not to run next: the caller most often has the mutex still. */
    park_wake(e->waiter, false);
}

void weft_cond_broadcast(weft_cond *storage)
{
    struct wait_place *c = of(storage);
    if (wait_empty(&c->queue)) return;
    order_release(c);
    spin_take(&c->word);
    struct wait_entry *claimed = wait_take_by(&c->queue, claim_first);
    spin_drop(&c->word, 0);
    wait_wake_all(claimed, 0);
}
