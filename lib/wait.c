#include "wait.h"
#include "search.h"
#include "work.h"
#include "worker.h"

#include <errno.h>

/* The outcome of a wait whose deadline has come.  A reason may be any negative number, -ETIMEDOUT too, and what another
 * claimer sets is the index of one of INT_MAX things at most. */
#define EXPIRED INT32_MAX

noinline int wait_refused_slow(weft_time deadline)
{
    struct worker *w = worker_self();
    if (w) cancel_look(w);
    int reason = w ? cancel_check(w->fiber) : 0;
    if (reason) return reason;
    if (deadline == 0) return -EAGAIN;
    return deadline <= worker_now(w) ? -ETIMEDOUT : 0;
}

/* The deadline has come: under the lock of the timers. */
static void expired(struct timer *t, void *arg)
{
    struct waiter *w = container_of(t, struct waiter, timer);
    if (!park_claim(w)) return;
    w->outcome = EXPIRED;
    chaos_point();
    work_expired(w->fiber, t->when, arg);
}

/* Something was cancelled: looks whether that is for this one. */
static noinline bool look_and_unlock(struct waiter *w, wait_unlock *unlock, void *unlock_arg)
{
    int  reason = cancel_check_slow(w->fiber);
    bool mine = reason && park_claim(w);
    if (mine) w->outcome = reason;
    unlock(unlock_arg);
    chaos_point();
    return mine;
}

/* On the next stack, with the locks held: whoever claims the waiter from here on cannot let its frame
 * go before they are dropped.  True: it is cancelled, and the caller is to wake it. */
static always_inline bool publish_and_unlock(struct waiter *w, struct fiber *f)
{
    wait_unlock *unlock = w->unlock;
    void        *unlock_arg = w->arg;
    store_release(w->claim, (uintptr_t)w); /* pairs with park_claim */
    fence_seq(); /* pairs with the one in cancel_node: either that finds the claim, or this finds its reason */
    chaos_point();
    if (unlikely(!cancel_seen(f))) return look_and_unlock(w, unlock, unlock_arg);
    unlock(unlock_arg);
    return false;
}

static void then_wait(struct worker *self, struct fiber *f, void *arg)
{
    (void)self;
    chaos_point();
    if (unlikely(publish_and_unlock(arg, f))) work_ready_fiber(f, false);
}

static void then_wait_until(struct worker *self, struct fiber *f, void *arg)
{
    struct waiter *w = arg;
    chaos_point();
    timers_lock(&self->timers); /* against expiring before the claim is published */
    w->timer.expire = expired;
    timers_start(&self->timers, &w->timer);
    bool cancelled = publish_and_unlock(w, f);
    chaos_point();
    timers_unlock(&self->timers);
    if (unlikely(cancelled)) work_ready_fiber(f, false);
    /* Who goes on here may go on for long: somebody has to look after the timer. */
    bool busy = self->fiber->node || self->stash;
    if (busy && unlikely(load_relaxed(&self->asked) & ASKED_WATCH)) work_answer(self);
}

static int thread_wait(struct waiter *w, weft_time deadline)
{
    /* acquire: pairs with park_wake; what the claimer did is seen. */
    while (load_acquire(&w->awake) == 0) {
        int64_t left = deadline == WEFT_NEVER ? -1 : deadline - platform_clock();
        if (deadline == WEFT_NEVER || left > 0) platform_futex_wait(&w->awake, 0, left);
        else if (park_claim(w)) return EXPIRED;
        else deadline = WEFT_NEVER; /* somebody has claimed it, and wakes it soon */
    }
    return w->outcome;
}

/* By a plain thread; as wait_here. */
static noinline int wait_outside(struct waiter *w, weft_time deadline, wait_unlock *unlock, void *arg)
{
    atomic_set(&w->own, (uintptr_t)w); /* the lock that is held publishes it */
    if (!w->timed) search_park();      /* as in park_wait */
    unlock(arg);
    chaos_point();
    if (!w->timed) search_parked();
    return thread_wait(w, deadline);
}

/* As wait_for, but for EXPIRED. */
static always_inline int wait_here(struct waiter *w, weft_time deadline, wait_unlock *unlock, void *arg)
{
    w->timed = deadline != WEFT_NEVER;
    if (unlikely(!w->fiber)) return wait_outside(w, deadline, unlock, arg);
    w->unlock = unlock;
    w->arg = arg;
    w->timer.when = deadline;
    cancel_link(w->fiber);
    w->fiber->waiter = w;
    worker_suspend(worker_self(), w->timed ? then_wait_until : then_wait, w);
    /* Who has claimed it for the deadline has had the lock of the timers, and so has come after
     * then_wait_until. */
    if (w->outcome == EXPIRED) return EXPIRED;
    /* Anybody else may have come while that held the lock still. */
    if (w->timed) timers_stop(&w->timer);
    if (ORDER_PRECISE && w->outcome < 0) cancel_reason(w->fiber->node); /* the canceller was seen */
    return w->outcome;
}

int wait_for(struct waiter *w, weft_time deadline, wait_unlock *unlock, void *arg)
{
    int outcome = wait_here(w, deadline, unlock, arg);
    return unlikely(outcome == EXPIRED) ? -ETIMEDOUT : outcome;
}

static void unlock_word(void *word)
{
    spin_drop(word, 0);
}

int wait_until(const struct wait_kind *kind, weft_time deadline)
{
    struct waiter waiter;
    spin_word     frame; /* held until the wait has begun, so that the frame stays as long */
    atomic_set(&frame, SPIN_HELD);
    park_init(&waiter, kind, NULL);
    int outcome = wait_here(&waiter, deadline, unlock_word, &frame);
    if (outcome == EXPIRED) return 0;
    spin_take(&frame);
    return outcome;
}

struct wait_entry *wait_claim_all(wait_queue *queue)
{
    return wait_take_by(queue, wait_claim_first);
}

struct wait_entry *wait_take_all(wait_queue *queue)
{
    return wait_take_by(queue, wait_take_first);
}

void wait_wake_all(struct wait_entry *claimed, int outcome)
{
    while (claimed) {
        struct wait_entry *e = claimed;
        claimed = e->prev; /* e is gone once its waiter is awake */
        e->waiter->outcome = outcome;
        park_wake(e->waiter, false);
    }
}

void wait_unclaim(struct waiter *w)
{
    /* As in publish_and_unlock: a canceller that has found no claim meanwhile has written its reason. */
    store_release(w->claim, (uintptr_t)w);
    fence_seq();
    int reason = w->fiber ? cancel_reason(w->fiber->node) : 0;
    if (likely(!reason) || !park_claim(w)) return;
    w->outcome = reason;
    park_wake(w, false);
}

static void unlock_place(void *arg)
{
    spin_word *word = &((struct wait_place *)arg)->word;
    spin_drop(word, load_relaxed(word) & ~SPIN_HELD);
}

noinline int wait_queued(struct wait_place *place, const struct wait_kind *kind, weft_time deadline)
{
    int result = wait_refused(deadline);
    if (result) {
        unlock_place(place);
        return result;
    }
    struct waiter     waiter;
    struct wait_entry e = {.waiter = &waiter};
    park_init(&waiter, kind, place);
    wait_push(&place->queue, &e);
    result = wait_for(&waiter, deadline, unlock_place, place);
    if (likely(result >= 0)) return result;
    spin_take(&place->word);
    wait_remove(&place->queue, &e);
    unlock_place(place);
    return result;
}
