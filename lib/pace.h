/* pace.h - how many events go by between two looks at the clock
 *
 * Who goes through many events of unknown length, and is to do something every few milliseconds, does not read the
 * clock at each event: that would cost more than the event.  The number of events from one look to the next follows the
 * time that they took.  When they took too long it shrinks in proportion, to a quarter at most, as one of them alone
 * may have been long.  It doubles while they take no time, unless some were long a short while ago: a burst of short
 * ones is not to hide the long ones among which it comes.  The clock is the coarse one; but for that while the exact
 * one costs nothing beside the events, and who asks it looks more often.
 */
#ifndef WEFT_PACE_H
#define WEFT_PACE_H

#include "base.h"

struct pace {
    int64_t looked, slow; /* when the last look was; when a look has last found that some were long */
    int64_t told;         /* when a look by the exact clock was last told that it was time */
    int64_t tick;         /* what the coarse clock moves on by */
    int32_t stride;       /* events until the next look, once this many have gone by */
    bool    exact;        /* the last look was by the exact clock */
};

/* Looks should be this near to each other; Go's scheduler preempts after as much. */
#define PACE_NS        (10 * INT64_C(1000000))
#define PACE_EXACT_NS  INT64_C(1000000)         /* and those at the exact clock this near */
#define PACE_MEMORY_NS (100 * INT64_C(1000000)) /* for so long after a look that found some long, they count as long */
#define PACE_CALM_NS   (10 * INT64_C(1000000))  /* the exact clock tells so much sooner that it was one alone */

static inline void pace_init(struct pace *p, int32_t most, int64_t now, int64_t tick)
{
    *p = (struct pace){.looked = now, .slow = now - PACE_MEMORY_NS, .tick = tick, .stride = most};
}

/* There were no events for a while. */
static inline void pace_rested(struct pace *p, int64_t now)
{
    p->looked = now;
    p->exact = false;
}

/* Whether some have been long not long ago. */
static inline bool pace_long(const struct pace *p)
{
    return p->looked - p->slow < PACE_MEMORY_NS;
}

static inline void pace_shrink(struct pace *p, int64_t passed, int64_t aim)
{
    p->stride = (int32_t)max_of(max_of(p->stride * aim / passed, p->stride / 4), 1);
}

/* A look, at the coarse clock.  True: a tick has passed since the last one. */
static inline bool pace_look(struct pace *p, int32_t most, int64_t now)
{
    int64_t passed = max_of(now - p->looked, 0); /* the last one may have been at the exact clock, which is ahead */
    p->looked += passed;
    p->exact = false;
    if (passed > p->tick) p->slow = now; /* and not just one, which may have been about to */
    if (passed > PACE_NS) pace_shrink(p, passed, PACE_NS);
    else if (passed == 0 && !pace_long(p)) p->stride = min_of(p->stride * 2, most);
    return passed != 0;
}

/* A look, at the exact clock, while pace_long.  True: PACE_EXACT_NS have passed since it was so last. */
static inline bool pace_look_exactly(struct pace *p, int32_t most, int64_t now)
{
    int64_t passed = p->exact ? now - p->looked : 0; /* the coarse clock is behind */
    p->looked = now;
    p->exact = true;
    if (passed * most > p->tick * p->stride) p->slow = now; /* the most that there may be would have taken a tick */
    if (passed > 2 * PACE_EXACT_NS) pace_shrink(p, passed, PACE_EXACT_NS);
    else if (2 * passed <= PACE_EXACT_NS && now - p->slow >= PACE_CALM_NS) p->stride = min_of(p->stride * 2, most);
    bool due = now - p->told >= PACE_EXACT_NS;
    if (due) p->told = now;
    return due;
}

#endif
