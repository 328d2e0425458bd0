/* pace.h - how many events go by between two looks at the clock
 *
 * What is to happen every few milliseconds is looked for by who goes through many events of unknown length: a clock read
 * for each would cost more than the event.  So the number between two looks follows what they took: it shrinks in
 * proportion when the last ones took too long, and doubles while they take no time.
 */
#ifndef WEFT_PACE_H
#define WEFT_PACE_H

#include "base.h"

struct pace {
    int64_t looked;
    int32_t stride; /* events until the next look, once this many have gone by */
};

/* Looks should be this near to each other; Go's scheduler preempts after as much. */
#define PACE_NS (10 * INT64_C(1000000))

static inline void pace_init(struct pace *p, int32_t most, int64_t now)
{
    *p = (struct pace){now, most};
}

/* A look, at the coarse clock.  True: a tick has passed since the last one. */
static inline bool pace_look(struct pace *p, int32_t most, int64_t now)
{
    int64_t passed = now - p->looked;
    p->looked = now;
    if (passed > PACE_NS) p->stride = (int32_t)max_of(p->stride * PACE_NS / passed, 1);
    else if (passed == 0) p->stride = min_of(p->stride * 2, most);
    return passed != 0;
}

#endif
