/* rwlock.c - many readers or one writer; neither waits for ever for the other
 */
#include "order.h"
#include "wait.h"
#include "worker.h"

/* Many readers or one writer.  A writer that waits holds back new readers; the readers that wait when a writer
 * unlocks all go before the next writer.  So where there are both, they go by turns, and neither waits for ever.
 * Who waits is handed the lock.
 *
 * The word
 *      SPIN_HELD  the rest of the word and the queues are whose who has set this (spin.h)
 *      WRITER     a writer has it
 *      WAITING    a queue is not empty; then somebody has it, and if those are readers, a writer waits
 *      the rest   how many readers have it, times READER
 *
 * Without SPIN_HELD the word is changed by a CAS.  The unlock that hands over holds the word until one store
 * gives it up, and wakes after that. */
#define WRITER  ((uintptr_t)2)
#define WAITING ((uintptr_t)4)
#define READER  ((uintptr_t)8)

struct rwlock {
    spin_word  word;
    wait_queue readers, writers;
};

_Static_assert(sizeof(struct rwlock) <= sizeof(weft_rwlock), "the public type has this room");

/* Readers are ordered after writers, and writers after both; readers not after each other. */
static inline void order_read(struct rwlock *l)
{
    order_acquire(&l->writers);
}

static inline void order_write(struct rwlock *l)
{
    order_acquire(&l->writers);
    order_acquire(&l->readers);
}

static const struct wait_kind kind_read = {.what = "to read-lock the rwlock"};
static const struct wait_kind kind_write = {.what = "to write-lock the rwlock"};

static inline struct rwlock *of(weft_rwlock *storage)
{
    return (struct rwlock *)storage;
}

/* ---- lock ------------------------------------------------------------------ */

struct locking {
    struct rwlock    *lock;
    struct wait_entry entry;
    struct waiter     waiter;
};

static inline bool try_read(struct rwlock *l)
{
    for (unsigned tries = 0;; spin_pause(&tries)) {
        uintptr_t word = load_relaxed(&l->word);
        if (unlikely(word & (WRITER | WAITING))) return false;
        /* acquire: pairs with weft_rwlock_unlock; what was done under the lock is seen. */
        if (!(word & SPIN_HELD) && likely(cas_acquire(&l->word, &word, word + READER))) return true;
    }
}

static inline bool try_write(struct rwlock *l)
{
    for (unsigned tries = 0;; spin_pause(&tries)) {
        uintptr_t word = load_relaxed(&l->word);
        if (unlikely(word & ~SPIN_HELD)) return false;
        if (word == 0 && likely(cas_acquire(&l->word, &word, WRITER))) return true; /* as in try_read */
    }
}

/* Once the stack is left. */
static bool publish_reader(struct waiter *w, void *arg)
{
    struct locking *self = container_of(w, struct locking, waiter);
    struct rwlock  *l = arg;
    uintptr_t       word = spin_take(&l->word);
    bool            waits = word & (WRITER | WAITING);
    if (waits) wait_push(&l->readers, &self->entry);
    spin_drop(&l->word, waits ? word | WAITING : word + READER);
    return waits;
}

static bool publish_writer(struct waiter *w, void *arg)
{
    struct locking *self = container_of(w, struct locking, waiter);
    struct rwlock  *l = arg;
    uintptr_t       word = spin_take(&l->word);
    if (word) wait_push(&l->writers, &self->entry);
    spin_drop(&l->word, word ? word | WAITING : WRITER);
    return word;
}

static noinline void wait(struct rwlock *l, const struct wait_kind *kind, park_publish *publish)
{
    struct locking self = {.entry.waiter = &self.waiter};
    park_init(&self.waiter, kind, l);
    park_wait(&self.waiter, publish, l);
}

void weft_rwlock_rdlock(weft_rwlock *storage)
{
    struct rwlock *l = of(storage);
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    if (unlikely(!try_read(l))) wait(l, &kind_read, publish_reader);
    order_read(l);
}

void weft_rwlock_wrlock(weft_rwlock *storage)
{
    struct rwlock *l = of(storage);
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    if (unlikely(!try_write(l))) wait(l, &kind_write, publish_writer);
    order_write(l);
}

bool weft_rwlock_tryrdlock(weft_rwlock *storage)
{
    bool read = try_read(of(storage));
    if (read) order_read(of(storage));
    return read;
}

bool weft_rwlock_trywrlock(weft_rwlock *storage)
{
    bool wrote = try_write(of(storage));
    if (wrote) order_write(of(storage));
    return wrote;
}

/* ---- unlock ---------------------------------------------------------------- */

/* With the word held, by the writer or the last reader: who has it next. */
static noinline void hand_over(struct rwlock *l, uintptr_t word)
{
    struct wait_entry *next = NULL;
    uintptr_t          after = 0;
    if (word & WRITER) {
        next = wait_take_all(&l->readers);
        for (struct wait_entry *e = next; e; e = e->prev) after += READER;
    }
    if (!next) {
        next = wait_take_first(&l->writers);
        next->prev = NULL;
        after = WRITER;
    }
    if (!wait_empty(&l->readers) || !wait_empty(&l->writers)) after |= WAITING;
    spin_drop(&l->word, after);
    wait_wake_all(next, 0);
}

void weft_rwlock_unlock(weft_rwlock *storage)
{
    struct rwlock *l = of(storage);
    uintptr_t      word = load_relaxed(&l->word);
    order_release(word & WRITER ? &l->writers : &l->readers);
    for (unsigned tries = 0;; spin_pause(&tries), word = load_relaxed(&l->word)) {
        if (unlikely(!(word & WRITER) && word < READER)) base_die("an rwlock is unlocked that is not locked");
        if (word & SPIN_HELD) continue;
        uintptr_t after = word - (word & WRITER ? WRITER : READER);
        if (after == WAITING) {
            if (cas_acquire(&l->word, &word, word | SPIN_HELD)) break; /* as in spin_take */
        } else {
            /* release: pairs with try_read and try_write; what was done under the lock is seen by who has it next. */
            if (likely(cas_release(&l->word, &word, after))) return;
        }
    }
    hand_over(l, word);
}
