#include "mutex.h"
#include "order.h"
#include "wait.h"
#include "work.h"
#include "worker.h"

/* One at a time holds it.  To lock and to unlock one that nobody waits for is one atomic operation each.
 *
 * Who comes while it is free takes it, also before those that wait: to hand it over would leave it idle
 * until the other runs.  So a waiter that is woken competes, and goes to the front of the queue again when it
 * has lost; after LOST_MOST times it is handed the mutex, so nobody is overtaken for ever.
 *
 * The word
 *      SPIN_HELD  the rest of the word and the queue are whose who has set this (spin.h)
 *      LOCKED     somebody has the mutex
 *      WAITING    the queue is not empty
 *      WOKEN      somebody has been woken, and competes: no other need be, even if that one waits for its turn in a
 *                 root: who unlocks meanwhile leaves the mutex to those that come
 *
 *      free     --lock-->    LOCKED             by a CAS, unless SPIN_HELD
 *      LOCKED   --unlock-->  free               by a CAS, unless SPIN_HELD, or somebody is to be woken
 *      any      --spin-->    SPIN_HELD | same   then one store leaves whatever follows
 *
 * The unlock that is to wake somebody takes him out of the queue while it still has the mutex, gives up both
 * with one store, and wakes him after that: the mutex may be gone by then. */
#define LOCKED  ((uintptr_t)2)
#define WAITING ((uintptr_t)4)
#define WOKEN   ((uintptr_t)8)

#ifndef LOST_MOST
#define LOST_MOST 2
#endif

/* While somebody else may unlock it meanwhile, to look so often is cheaper than to wait. */
#ifndef MUTEX_SPINS
#define MUTEX_SPINS 100
#endif

struct mutex {
    spin_word  word;
    wait_queue queue;
};

_Static_assert(sizeof(struct mutex) <= sizeof(weft_mutex), "the public type has this room");

static const struct wait_kind kind_lock = {.what = "to lock the mutex"};

static inline struct mutex *of(weft_mutex *storage)
{
    return (struct mutex *)storage;
}

/* ---- lock ------------------------------------------------------------------ */

/* How a wait has ended. */
enum { AGAIN, COMPETE, YOURS };

struct locking {
    struct wait_entry entry;
    struct mutex     *mutex;
    struct waiter     waiter;
    uintptr_t         woken; /* WOKEN: it stands for this one */
    int               lost;
};

static unsigned spins(void)
{
    struct worker *w = worker_self();
    return !w || (w->runtime->count > 1 && work_length(w) == 0) ? MUTEX_SPINS : 0;
}

static bool compete(struct mutex *m, uintptr_t woken)
{
    for (unsigned left = spins();; left--) {
        uintptr_t word = load_relaxed(&m->word);
        /* acquire: pairs with mutex_unlock; what was done under the lock is seen. */
        if (!(word & (LOCKED | SPIN_HELD)) && cas_acquire(&m->word, &word, (word | LOCKED) & ~woken)) return true;
        if (left == 0) return false;
        atomic_pause();
    }
}

/* Once the stack is left. */
static bool publish(struct waiter *w, void *arg)
{
    struct locking *l = arg;
    struct mutex   *m = l->mutex;
    uintptr_t       word = spin_take(&m->word);
    if (word & LOCKED) {
        if (l->woken) wait_push_first(&m->queue, &l->entry);
        else wait_push(&m->queue, &l->entry);
        spin_drop(&m->word, (word | WAITING) & ~l->woken);
        return true;
    }
    /* Free by now.  Not taken for one that does not run, or all would wait for that; unless it would go on for ever. */
    bool yours = l->lost >= LOST_MOST;
    w->outcome = yours ? YOURS : AGAIN;
    spin_drop(&m->word, yours ? (word | LOCKED) & ~l->woken : word);
    return false;
}

static noinline void lock_waiting(struct mutex *m)
{
    if (compete(m, 0)) return;
    struct locking l = {.mutex = m, .entry.waiter = &l.waiter};
    for (;; l.lost++) {
        park_init(&l.waiter, &kind_lock, m);
        park_wait(&l.waiter, publish, &l);
        if (l.waiter.outcome == YOURS) return;
        if (l.waiter.outcome == COMPETE) l.woken = WOKEN;
        if (compete(m, l.woken)) return;
    }
}

void weft_mutex_lock(weft_mutex *storage)
{
    struct mutex  *m = of(storage);
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    uintptr_t word = 0;
    if (unlikely(!cas_acquire(&m->word, &word, LOCKED))) lock_waiting(m); /* as in compete */
    order_acquire(m);
}

bool weft_mutex_trylock(weft_mutex *storage)
{
    struct mutex *m = of(storage);
    for (unsigned tries = 0;; spin_pause(&tries)) {
        uintptr_t word = load_relaxed(&m->word);
        if (word & LOCKED) return false;
        if (!(word & SPIN_HELD) && cas_acquire(&m->word, &word, word | LOCKED)) break; /* as in compete */
    }
    order_acquire(m);
    return true;
}

/* ---- unlock ---------------------------------------------------------------- */

static noinline void unlock_slow(struct mutex *m)
{
    uintptr_t word = load_relaxed(&m->word);
    for (unsigned tries = 0;; spin_pause(&tries), word = load_relaxed(&m->word)) {
        if (!(word & LOCKED)) base_die("a mutex is unlocked that is not locked");
        if (word & SPIN_HELD) continue;
        if ((word & (WAITING | WOKEN)) == WAITING) {
            if (cas_acquire(&m->word, &word, word | SPIN_HELD)) break; /* as in spin_take */
        } else {
            if (cas_release(&m->word, &word, word & ~LOCKED)) return; /* as in mutex_unlock */
        }
    }
    struct wait_entry *e = wait_first(&m->queue);
    struct locking    *l = container_of(e, struct locking, entry);
    bool               yours = l->lost >= LOST_MOST;
    wait_remove(&m->queue, e);
    if (wait_empty(&m->queue)) word &= ~WAITING;
    l->waiter.outcome = yours ? YOURS : COMPETE;
    spin_drop(&m->word, yours ? word : (word & ~LOCKED) | WOKEN);
    /* Not to run next: its waker may lock again at once, and often. */
    park_wake(&l->waiter, false);
}

void mutex_unlock(weft_mutex *storage)
{
    struct mutex *m = of(storage);
    uintptr_t     word = LOCKED;
    /* release: pairs with compete; what was done under the lock is seen by who has it next. */
    if (unlikely(!cas_release(&m->word, &word, 0))) unlock_slow(m);
}

void weft_mutex_unlock(weft_mutex *storage)
{
    order_release(of(storage));
    mutex_unlock(storage);
}
