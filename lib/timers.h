/* timers.h - moments that somebody waits for: what has expired, and what comes next
 *
 * A hierarchical wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987).  The next 134 ms are a ring
 * of 4,096 slots of 32 us each.  What is farther lies at one of 6 levels of 64 slots, each level 64 times coarser than
 * the one below: at that of the highest digit, to the base 64, in which its moment differs from now; and it moves down
 * when that digit is reached.  Starting and stopping a timer takes a few instructions however many there are, needs no
 * memory but the timer's own, and so cannot fail.  A timer never expires early; a slot expires as a whole when it is
 * over, so at most 32 us late for that.  With `exact` (virtual time) it expires at its very moment.
 *
 * The ring is that large because a timer lies in the stack of who waits, which is in no cache by the time it is moved:
 * with 64 slots at the lowest level, too, a million tasks that slept up to 100 ms took a fifth of their time for moving
 * down.  Rejected: a heap of 4, exact for all, which needs memory that may not be there; with a million timers in it,
 * each costs about as much.
 *
 * Any thread may start and stop timers; the wheel has a lock.  A timer's `expire` is called with it
 * held, so that who has stopped a timer knows that nobody is at it any more; it starts and stops none.
 */
#ifndef WEFT_TIMERS_H
#define WEFT_TIMERS_H

#include "base.h"
#include "spin.h"

#define TIMERS_SHIFT  15 /* a slot of the ring is 2^15 ns */
#define TIMERS_RING   4096u
#define TIMERS_LEVELS 6u
#define TIMERS_SLOTS  64u

struct timers;
struct timer;

/* The timer has been taken out.  `arg` is that of timers_expire. */
typedef void timer_expire(struct timer *timer, void *arg);

struct timer {
    struct timer  *next, **link; /* link: NULL when it is not in a wheel */
    int64_t        when;         /* nanoseconds */
    timer_expire  *expire;
    struct timers *timers; /* where it was started last */
    const void    *ahead;  /* one that is, or was, TIMERS_AHEAD further back in its slot: to be fetched, no more */
};

/* A list is walked one cache miss after the other, unless each timer leads to one further on. */
#define TIMERS_AHEAD 7

struct timers_slot {
    _Alignas(CACHE_LINE) struct timer *first;
    const void *latest[TIMERS_AHEAD]; /* that were put here, latest first; or anything, as these are not cleared */
};

struct timers {
    spin_word       lock;
    Atomic(int64_t) next; /* nothing expires before; INT64_MAX: there is none */
    uint64_t        at;   /* in slots of the ring: all before are over */
    uint64_t        count;
    struct timer   *untold; /* whose neighbour in the list does not yet lead back to it (timers.c) */
    bool            exact;
    /* A bit for each slot that is not empty; the others are not even initialised. */
    uint64_t           used[TIMERS_LEVELS];
    uint64_t           ring_words; /* a bit for each word of ring_used that is not 0 */
    uint64_t           ring_used[TIMERS_RING / 64];
    struct timers_slot slots[TIMERS_LEVELS][TIMERS_SLOTS];
    struct timers_slot ring[TIMERS_RING];
};

void timers_init(struct timers *timers, bool exact);

static inline int64_t timers_next(struct timers *timers)
{
    return load_relaxed(&timers->next);
}

static inline void timers_lock(struct timers *timers)
{
    spin_take(&timers->lock);
}

static inline void timers_unlock(struct timers *timers)
{
    spin_drop(&timers->lock, 0);
}

/* A timer for that moment will soon be started. */
static inline void timers_expect(const struct timers *timers, int64_t when)
{
    prefetch(&timers->ring[((uint64_t)when >> TIMERS_SHIFT) % TIMERS_RING]);
}

/* Starts the timer, whose `when` and `expire` are set, and which is in no wheel.  With the lock held. */
void timers_start(struct timers *timers, struct timer *timer);

/* Stops it, whether it has expired or not: nobody is at it any more.  Takes the lock. */
void timers_stop(struct timer *timer);

/* Calls `expire` of those that have come, of `most` at most.  How many.  Takes the lock, as does the next. */
unsigned timers_expire(struct timers *timers, int64_t now, unsigned most, void *arg);

/* The same for this one alone, if it has come and is still there.  When it returns the timer has expired, whoever was
 * first.  Takes the lock. */
bool timers_expire_one(struct timer *timer, int64_t now, void *arg);

/* The very moment of the next one that will come; INT64_MAX. */
int64_t timers_earliest(struct timers *timers);

#endif
