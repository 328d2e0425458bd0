/* time.c - the moment, and waiting for one
 */
#include "wait.h"
#include "worker.h"

static const struct wait_kind kind_sleep = {.what = "for a moment to come"};

weft_time weft_now(void)
{
    return worker_now(worker_self());
}

int weft_sleep(weft_time until)
{
    struct worker *w = worker_self();
    if (w) {
        timers_expect(&w->timers, until);
        worker_spend(w);
    }
    return until <= worker_now(worker_self()) ? 0 : wait_until(&kind_sleep, until);
}
