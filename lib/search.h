/* search.h - a worker that has nothing to do, until it has
 *
 * It steals from the others, asks them for what they keep to themselves, and sleeps as idle.md
 * says.  When nobody has had anything to do for a while, spare fibers go back to the system.
 */
#ifndef WEFT_SEARCH_H
#define WEFT_SEARCH_H

#include "team.h"

/* A plain thread that waits for good: nothing happens by it but what somebody else makes.  search_park: before it can
 * be found; search_parked: it has done what it does before it sleeps; search_unpark: before it is woken. */
void search_park(void);
void search_parked(void);
void search_unpark(void);

/* The worker, which is all zero, has yet to steal. */
void search_init(struct worker *w);

/* A thread of weft's has been joined, which had not ended before that moment (platform_thread_clock). */
void search_thread_ended(int id, int64_t moment);

/* With a seed, by a task that yields while nothing else is ready: virtual time goes on.  What runs next, or 0. */
ready_t search_yielding(struct worker *w);

/* By a worker for which work_pick has nothing: what runs next; 0: the runtime is closed. */
ready_t search_work(struct worker *w);

#endif
