/* choice.h - the one source of scheduling choices, and of time
 *
 * Whatever the scheduler could as well do otherwise (which victim, which ready
 * task, whether to run in place) it asks here; the clock too.  Without a seed
 * the answers are cheap and unpredictable enough; with one they depend on the
 * seed and on the questions alone, so that a schedule of one worker replays.
 * A choice made anywhere else is a bug.
 */
#ifndef WEFT_CHOICE_H
#define WEFT_CHOICE_H

#include "platform.h"

struct choice {
    uint64_t state;
    int64_t  now; /* virtual time */
    bool     seeded;
};

/* Virtual time begins here, so that a deadline of 0 is not mistaken for the beginning. */
#define CHOICE_EPOCH INT64_C(1000000000)

/* The `salt` keeps unseeded workers from choosing alike. */
static inline void choice_init(struct choice *c, uint64_t seed, uint64_t salt)
{
    c->seeded = seed != 0;
    c->now = CHOICE_EPOCH;
    c->state = seed ? seed : (uint64_t)platform_clock() ^ salt * 0x9e3779b97f4a7c15u;
}

/* SplitMix64 (Steele, Lea, Flood 2014): one addition of state, so any seed will do. */
static inline uint64_t choice_bits(struct choice *c)
{
    uint64_t z = c->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* One of 0 .. n-1, n > 0, each as likely as the others. */
static inline uint32_t choice_below(struct choice *c, uint32_t n)
{
    return (uint32_t)((choice_bits(c) >> 32) * n >> 32);
}

/* The same for a plain thread that is in no schedule. */
uint32_t choice_outside(uint32_t n);

/* The moment, for the scheduler's own use: how long a worker has looked for
 * work.  A seeded schedule has no idle worker that looks, so this does not
 * enter into it. */
static inline int64_t choice_clock(void)
{
    return platform_clock();
}

/* The same as of the last tick of the kernel.  Nor does this enter into a seeded schedule, which counts instead. */
static inline int64_t choice_tick(void)
{
    return platform_clock_coarse();
}

static inline int64_t choice_tick_length(void)
{
    return platform_clock_tick();
}

/* The moment for those who are scheduled: with a seed it stands still while anything runs, and is set by the worker
 * that has nothing to do. */
static inline int64_t choice_now(const struct choice *c)
{
    return c->seeded ? c->now : platform_clock();
}

#endif
