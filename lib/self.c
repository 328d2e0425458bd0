/* self.c - the calling task: letting others run, why it is cancelled, where it runs, its errno
 *
 * In a plain thread each of these calls has an answer, too.
 */
#include "cancel.h"
#include "worker.h"

#include <sched.h>

void weft_yield(void)
{
    struct worker *w = worker_self();
    if (w) worker_yield(w);
    else sched_yield();
}

/* There is work of unknown length between two checks. */
#define CHECK_CALLS 16

int weft_check(void)
{
    struct worker *w = worker_self();
    if (!w) return 0;
    worker_spend_more(w, CHECK_CALLS);
    cancel_look(worker_self());
    return cancel_check(worker_fiber());
}

int weft_worker_index(void)
{
    struct worker *w = worker_self();
    return w ? (int)w->index : -1;
}

unsigned weft_worker_count(void)
{
    struct worker *w = worker_self();
    return w ? w->runtime->count : 0;
}

extern int *__errno_location(void);

noinline int *weft_errno_location(void)
{
    int *here = __errno_location();
    /* So that the compiler cannot find out that this, too, is called once too often. */
    __asm__ volatile("" : "+r"(here) : : "memory");
    return here;
}
