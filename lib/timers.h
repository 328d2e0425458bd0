/* timers.h - moments that somebody waits for: what has expired, and what comes next
 *
 * A hierarchical wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987): 9
 * levels of 64 slots, the lowest of 16 us each, every level 64 times coarser than the one
 * below.  A timer lies at the level of the highest digit, to the base 64, in which its
 * moment differs from now, and moves down when that digit is reached.  Starting and stopping
 * one takes a few instructions however many there are, needs no memory but the timer's own, and
 * so cannot fail.  A timer never expires early; a slot expires as a whole when it is over, so
 * at most 16 us late for that.  With `exact` (virtual time) it expires at its very moment.
 *
 * Rejected: a heap of 4, exact for all, which needs memory that may not be there; with a million
 * timers in it, each costs about as much.
 *
 * Any thread may start and stop timers; the wheel has a lock.  A timer's `expire` is called with it
 * held, so that who has stopped a timer knows that nobody is at it any more; it starts and stops none.
 */
#ifndef WEFT_TIMERS_H
#define WEFT_TIMERS_H

#include "base.h"
#include "spin.h"

#define TIMERS_LEVELS 9u
#define TIMERS_SLOTS  64u
#define TIMERS_SHIFT  14 /* a slot of the lowest level is 2^14 ns */

struct timers;
struct timer;

/* The timer has been taken out.  `arg` is that of timers_expire. */
typedef void timer_expire(struct timer *timer, void *arg);

struct timer {
    struct timer  *next, **link; /* link: NULL when it is not in a wheel */
    int64_t        when;         /* nanoseconds */
    timer_expire  *expire;
    struct timers *timers; /* where it was started last */
};

struct timers {
    spin_word       lock;
    Atomic(int64_t) next; /* nothing expires before; INT64_MAX: there is none */
    uint64_t        at;   /* in slots of the lowest level: all before are over */
    uint64_t        count;
    bool            exact;
    uint64_t      used[TIMERS_LEVELS]; /* a bit for each slot that is not empty; the others are not even initialised */
    struct timer *slots[TIMERS_LEVELS][TIMERS_SLOTS];
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

/* Starts the timer, whose `when` and `expire` are set, and which is in no wheel.  With the lock held. */
void timers_start(struct timers *timers, struct timer *timer);

/* Stops it, whether it has expired or not: nobody is at it any more.  Takes the lock. */
void timers_stop(struct timer *timer);

/* Calls `expire` of all that have come.  How many.  Takes the lock, as does the next. */
unsigned timers_expire(struct timers *timers, int64_t now, void *arg);

/* The very moment of the next one that will come; INT64_MAX. */
int64_t timers_earliest(struct timers *timers);

#endif
