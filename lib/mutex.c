#include "mutex.h"
#include "order.h"
#include "wait.h"
#include "work.h"
#include "worker.h"

/* One at a time holds it.  To lock and to unlock one that nobody waits for is one atomic operation each.
 *
 * Who comes while it is free takes it, also before those that wait: to hand it over would leave it idle
 * until the other runs.  So a waiter that is woken competes, and goes to the front of the queue again when it
 * has lost.  One that loses and has waited for PATIENCE_NS, or has lost LOST_MOST times, is handed the mutex, so nobody
 * is overtaken for ever.  (Rejected: after two times.  Those come within microseconds, and where nothing is done under
 * the lock its transfer costs as much as a hundred turns.)
 *
 * The word
 *      SPIN_HELD  the rest of the word and the queue are whose who has set this (spin.h)
 *      LOCKED     somebody has the mutex
 *      WAITING    the queue is not empty
 *      WOKEN      somebody has been woken, and competes: nobody else is woken, even if that one waits for its turn in
 *                 a root: an unlock meanwhile leaves the mutex to those that come
 *
 *      free     --lock-->    LOCKED             by a CAS, unless SPIN_HELD
 *      LOCKED   --unlock-->  free               by a CAS, unless SPIN_HELD, or somebody is to be woken
 *      any      --spin-->    SPIN_HELD | same   then one store leaves whatever follows
 *
 * The unlock that is to wake a waiter takes it out of the queue while it still has the mutex, gives up both
 * with one store, and wakes the waiter after that: the mutex may be gone by then. */
#define LOCKED  ((uintptr_t)2)
#define WAITING ((uintptr_t)4)
#define WOKEN   ((uintptr_t)8)

/* Go's number; and since with a seed time may stand still, a count. */
#define PATIENCE_NS WEFT_MS
#ifndef LOST_MOST
#define LOST_MOST 100
#endif

/* While somebody else may unlock it meanwhile, to look again so often is cheaper than to wait; half as often where
 * others could run.  Each look takes the line away from a holder that locks and unlocks, 100 ns and more for each of
 * the two, in which that one would have had twenty turns.  So looks are some 200 ns apart, and the one who has just
 * failed does not look at once.  (Rejected: a look after each pause, with which two workers that do nothing under the
 * lock took four times as long; and ever longer pauses, with which it stays free for a while after each section of a
 * microsecond.) */
#ifndef MUTEX_LOOKS
#define MUTEX_LOOKS  12
#define MUTEX_PAUSES 8
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
    int64_t           since; /* when it began to wait */
    bool              due;   /* it is to be handed the mutex */
};

static unsigned looks(void)
{
    struct worker *w = worker_self();
    if (!w) return MUTEX_LOOKS;
    if (w->runtime->count == 1) return 0;
    return work_length(w) == 0 ? MUTEX_LOOKS : MUTEX_LOOKS / 2;
}

/* If it is free by `word`, what it was last seen as. */
static bool take(struct mutex *m, uintptr_t word, uintptr_t woken)
{
    /* acquire: pairs with mutex_unlock; what was done under the lock is seen. */
    return !(word & (LOCKED | SPIN_HELD)) && cas_acquire(&m->word, &word, (word | LOCKED) & ~woken);
}

static bool compete(struct mutex *m, uintptr_t word, uintptr_t woken)
{
    if (take(m, word, woken)) return true;
    for (unsigned left = looks(); left > 0; left--) {
        for (int i = 0; i < MUTEX_PAUSES; i++) atomic_pause();
        if (take(m, load_relaxed(&m->word), woken)) return true;
    }
    return false;
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
    bool yours = l->due;
    w->outcome = yours ? YOURS : AGAIN;
    spin_drop(&m->word, yours ? (word | LOCKED) & ~l->woken : word);
    return false;
}

static noinline void lock_contended(struct mutex *m, uintptr_t word)
{
    if (compete(m, word, 0)) return;
    struct locking l = {.mutex = m, .entry.waiter = &l.waiter, .since = worker_now(worker_self())};
    for (;;) {
        park_init(&l.waiter, &kind_lock, m);
        park_wait(&l.waiter, publish, &l);
        if (l.waiter.outcome == YOURS) return;
        if (l.waiter.outcome == COMPETE) l.woken = WOKEN;
        if (compete(m, load_relaxed(&m->word), l.woken)) return;
        l.due = ++l.lost >= LOST_MOST || worker_now(worker_self()) - l.since >= PATIENCE_NS;
    }
}

void weft_mutex_lock(weft_mutex *storage)
{
    struct mutex  *m = of(storage);
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    uintptr_t word = 0;
    if (unlikely(!cas_acquire(&m->word, &word, LOCKED))) lock_contended(m, word); /* as in take */
    order_acquire(m);
}

bool weft_mutex_trylock(weft_mutex *storage)
{
    struct mutex *m = of(storage);
    for (unsigned tries = 0;; spin_pause(&tries)) {
        uintptr_t word = load_relaxed(&m->word);
        if (word & LOCKED) return false;
        if (!(word & SPIN_HELD) && cas_acquire(&m->word, &word, word | LOCKED)) break; /* as in take */
    }
    order_acquire(m);
    return true;
}

/* ---- unlock ---------------------------------------------------------------- */

static noinline void unlock_slow(struct mutex *m, uintptr_t word)
{
    for (unsigned tries = 0;; spin_pause(&tries), word = load_relaxed(&m->word)) {
        if (!(word & LOCKED)) base_die("a mutex is unlocked that is not locked");
        if (word & SPIN_HELD) continue;
        if ((word & (WAITING | WOKEN)) == WAITING) {
            if (cas_acquire(&m->word, &word, word | SPIN_HELD)) break; /* as in spin_take */
        } else {
            if (cas_release(&m->word, &word, word & ~LOCKED)) return; /* as in mutex_unlock */
        }
    }
    struct locking *l = container_of(wait_take_first(&m->queue), struct locking, entry);
    bool            yours = l->due;
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
    /* release: pairs with take; what was done under the lock is seen by who has it next. */
    if (unlikely(!cas_release(&m->word, &word, 0))) unlock_slow(m, word);
}

void weft_mutex_unlock(weft_mutex *storage)
{
    order_release(of(storage));
    mutex_unlock(storage);
}
