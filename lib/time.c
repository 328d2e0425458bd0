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
    int outcome = wait_for_nothing(&kind_sleep, until);
    return outcome == -ETIMEDOUT && until <= worker_now(worker_self()) ? 0 : outcome;
}
