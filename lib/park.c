#include "park.h"
#include "search.h"
#include "work.h"
#include "worker.h"

struct parking {
    struct waiter *waiter;
    park_publish  *publish;
    void          *arg;
};

static void then_publish(struct worker *w, struct fiber *f, void *arg)
{
    (void)w;
    struct parking p = *(struct parking *)arg; /* on the stack that others may resume from here on */
    chaos_point();
    bool waits = p.publish(p.waiter, p.arg);
    chaos_point();
    if (!waits) work_ready_fiber(f, false);
}

void park_wait(struct waiter *w, park_publish *publish, void *arg)
{
    if (w->fiber) {
        struct parking p = {w, publish, arg};
        w->fiber->waiter = w;
        worker_suspend(worker_self(), then_publish, &p);
        return;
    }
    /* Counted from before it can be found until before it is woken: who sees that nobody runs sees this too. */
    w->timed = false;
    search_park();
    chaos_point();
    bool waits = publish(w, arg);
    search_parked();
    if (!waits) {
        search_unpark();
        return;
    }
    while (load_acquire(&w->awake) == 0) platform_futex_wait(&w->awake, 0, -1); /* acquire: pairs with park_wake */
}

void park_wake(struct waiter *w, bool next)
{
    chaos_point();
    if (likely(w->fiber)) {
        work_ready_fiber(w->fiber, next);
        return;
    }
    if (!w->timed) search_unpark();
    /* The waiter may return as soon as this is stored; the wake-up that follows goes
     * by the address alone. */
    store_release(&w->awake, 1);
    chaos_point();
    platform_futex_wake(&w->awake, 1);
}
