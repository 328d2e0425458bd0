#include "wait.h"
#include "work.h"
#include "worker.h"

void wait_init(struct waiter *w)
{
    w->fiber = worker_fiber();
    atomic_set(&w->state, WAIT_ARMING);
    atomic_set(&w->awake, 0);
}

struct parking {
    struct waiter *waiter;
    wait_publish  *publish;
    void          *arg;
};

static void then_publish(struct worker *w, struct fiber *f, void *arg)
{
    (void)w;
    struct parking p = *(struct parking *)arg; /* on the stack that others may resume from here on */
    if (!p.publish(p.waiter, p.arg)) work_ready_fiber(f, false);
}

void wait_park(struct waiter *w, wait_publish *publish, void *arg)
{
    if (w->fiber) {
        struct parking p = {w, publish, arg};
        worker_suspend(worker_self(), then_publish, &p);
    } else if (publish(w, arg)) {
        /* acquire: pairs with wait_wake; what the waker did is seen. */
        while (load_acquire(&w->awake) == 0) platform_futex_wait(&w->awake, 0, -1);
    }
}

void wait_wake(struct waiter *w, bool next)
{
    if (w->fiber) {
        work_ready_fiber(w->fiber, next);
        return;
    }
    /* The waiter may return as soon as this is stored; the wake-up that follows goes
     * by the address alone. */
    store_release(&w->awake, 1);
    platform_futex_wake(&w->awake, 1);
}

void wait_finish(struct waiter *w, uint32_t outcome, bool next)
{
    uint32_t state = load_relaxed(&w->state);
    do {
        if (state >= WAIT_OUTCOME) return;
        /* acq_rel: pairs with arm and with wait_for; the waiter sees what the source
         * did, and the source that the stack was left. */
    } while (!cas_acq_rel(&w->state, &state, outcome));
    if (state == WAIT_ARMED) wait_wake(w, next);
}

static bool arm(struct waiter *w, void *arg)
{
    (void)arg;
    uint32_t arming = WAIT_ARMING;
    /* acq_rel: pairs with wait_finish; see there. */
    return cas_acq_rel(&w->state, &arming, WAIT_ARMED);
}

uint32_t wait_for(struct waiter *w)
{
    uint32_t state = load_acquire(&w->state); /* pairs with wait_finish */
    if (state < WAIT_OUTCOME) {
        wait_park(w, arm, NULL);
        state = load_relaxed(&w->state); /* ordered by what has woken it, or by arm */
    }
    return state;
}
