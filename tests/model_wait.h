/* model_wait.h - lib/wait.c and lib/park.c for plain threads under the explorer
 *
 * A deadline comes when the explorer chooses, within two sleeps.  What only tasks need is not there: a call of it would
 * be a call of NULL, which the explorer reports.
 */
#ifndef MODEL_WAIT_H
#define MODEL_WAIT_H

#include "model_explore.h"

/* Before they are used, or clang does not mind. */
#pragma weak worker_breathe
#pragma weak worker_look
#pragma weak worker_suspend
#pragma weak work_ready_fiber
#pragma weak work_expired
#pragma weak cancel_look_slow
#pragma weak work_answer
#pragma weak timers_start
#pragma weak timers_stop
#pragma weak cancel_check_slow
#pragma weak cancel_reason
#pragma weak cancel_link_slow

#include "../lib/park.c"
#include "../lib/wait.c"

_Thread_local struct worker *worker_here;

#define MODEL_DEADLINE 10 /* has come when the explorer has chosen so */

static int      model_parked; /* threads that wait for good */
static bool     model_late[MODEL_THREADS];
static unsigned model_sleeps[MODEL_THREADS];

/* In every setup. */
static inline void model_wait_begin(void)
{
    model_parked = 0;
    for (int i = 0; i < MODEL_THREADS; i++) {
        model_late[i] = false;
        model_sleeps[i] = 0;
    }
}

void search_park(void)
{
    model_parked++;
}

void search_parked(void)
{
}

void search_unpark(void)
{
    model_assert(--model_parked >= 0, "who waits for good is counted until it is woken");
}

int64_t platform_clock(void)
{
    return model_late[model_self()] ? MODEL_DEADLINE : 1;
}

void platform_futex_wait(Atomic(uint32_t) *word, uint32_t value, int64_t timeout)
{
    if (timeout < 0) model_futex_wait(word, value);
    else if (++model_sleeps[model_self()] > 1 || model_choose(2)) model_late[model_self()] = true;
    else atomic_pause();
}

void platform_futex_wake(Atomic(uint32_t) *word, int count)
{
    model_futex_wake(word, count);
}

void base_die(const char *format, ...)
{
    model_fail(format);
}

void spin_pause(unsigned *tries)
{
    (*tries)++;
    atomic_pause();
}

#endif
