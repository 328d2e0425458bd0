/* spare.h - the fibers that nobody runs on: made, kept, and given back
 *
 * The newest is used first, as it is the warmest.  A worker keeps up to WORKER_SPARES, its runtime all others, which
 * the workers share.  What has not been needed for a while goes back to the system: slowly while they work, and all but
 * a few when nobody has had anything to do for half a second.
 */
#ifndef WEFT_SPARE_H
#define WEFT_SPARE_H

#include "team.h"

#define SPARES_KEPT 1024u /* of the shared ones, while anybody works */

/* A fiber in whose loop nothing runs; NULL: there is no memory for one. */
struct fiber *spare_get(struct worker *w);

/* Nothing runs in the fiber's loop any more, and its stack is left. */
void spare_put(struct worker *w, struct fiber *f);

/* Whether the worker has one, for which a new one is made if need be. */
bool                      spare_have_slow(struct worker *w);
static always_inline bool spare_have(struct worker *w)
{
    return likely(load_relaxed(&w->spare_count) > 0) || spare_have_slow(w);
}

/* Now and then, while others work: some of those that were not needed since the last time go back to the system.  `now`
 * is of the coarse clock. */
void spare_ebb(struct weft_runtime *rt, int64_t now);

/* Nobody has had anything to do for a while: the runtime's spare fibers, and then all but one of this worker's, go back
 * to the system.  True: these are some of them, as it takes a second for a million, and work may come meanwhile. */
bool spare_trim(struct worker *w);

/* Ends those of a worker, and those that the runtime keeps. */
void spare_end(struct worker *w);
void spare_end_shared(struct weft_runtime *rt);

/* May the fiber run an unstarted task in place?  Sets its floor, which follows from its root; on a
 * generator's stack it may not. */
void spare_set_floor(struct fiber *f);

#endif
