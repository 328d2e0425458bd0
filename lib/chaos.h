/* chaos.h - what luck does not reach
 *
 * In the build for it (WEFT_CHAOS) the schedule takes its rare ways: at each chaos_point, which stands between two
 * steps that others may come between, the thread sometimes spins or gives the processor away, and where
 * the scheduler could as well do otherwise it sometimes does.  What a program may rely on still holds.  In all other
 * builds nothing here leaves an instruction behind.
 *
 * A seeded schedule is changed in no choice of its own: the points only delay it.
 */
#ifndef WEFT_CHAOS_H
#define WEFT_CHAOS_H

#include "choice.h"

#ifdef WEFT_MODEL
#undef WEFT_CHAOS /* the explorer takes all ways, and draws none */
#endif
#ifndef WEFT_CHAOS
#define WEFT_CHAOS 0
#endif

#if WEFT_CHAOS
/* Perhaps others run now, for a short while.  Touches nothing of the caller's. */
void chaos_point(void);
#else
static always_inline void chaos_point(void)
{
}
#endif

#endif
