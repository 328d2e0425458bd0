/* search.h - a worker that has nothing to do, until it has
 *
 * It steals from the others, asks them for what they keep to themselves, and sleeps as idle.md
 * says.  When nobody has had anything to do for a while, spare fibers go back to the system.
 */
#ifndef WEFT_SEARCH_H
#define WEFT_SEARCH_H

#include "team.h"

/* How many plain threads wait for good, in all runtimes: nothing happens by them but what somebody else makes. */
extern Atomic(uint32_t) search_parked;

/* The worker, which is all zero, has yet to steal. */
void search_init(struct worker *w);

/* By a worker for which work_pick has nothing: what runs next; 0: the runtime is closed. */
ready_t search_work(struct worker *w);

#endif
