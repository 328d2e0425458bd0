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
    if (w) worker_spend(w);
    if (until <= worker_now(worker_self())) return 0;
    struct waiter waiter;
    park_init(&waiter, &kind_sleep, NULL);
    /* For a task the lock of the timers keeps the frame, so there has to be a timer: see wait.h. */
    int outcome = wait_for(&waiter, min_of(until, TIMERS_NEVER), wait_unlock_nothing, NULL);
    return outcome == -ETIMEDOUT && until <= worker_now(worker_self()) ? 0 : outcome;
}
