#include "work.h"

#include <limits.h>

/* Between two far picks there are so many near ones at least, however long they take: else, where they take long, what
 * has only yielded would come before what was woken. */
#define FAR_LEAST 16

/* Every so many far ones it looks after everybody's timers: another worker may be computing, and nobody be idle. */
#define FAR_ALL 16

/* Every so many it polls descriptors, a system call; and when the clock says that it is time. */
#define FAR_POLL 4

/* Every so many it begins the oldest task.  That is seldom, since a task that begins takes a stack, and to begin the
 * far end of a tree first makes it grow in breadth: by channel, a tree of a million took 20 times the memory. */
#define FAR_TASK 16

/* In the build for chaos: after at most so many picks it takes anything, and of so many that are woken all but one go
 * to another worker. */
#define CHAOS_NEAR    8
#define CHAOS_MIGRATE 8

/* With a seed, of how many timers that expire together the order is drawn. */
#define EXPIRED_DRAWN 16

/* How many timers a worker takes out at a time: so many that its queue keeps room for others, since what is left in a
 * wheel anybody may take out; but some at each look, however long the queue is: it may stay so for ever, and nobody
 * else may have room either. */
#define EXPIRED_MOST  256u
#define EXPIRED_LEAST 16u

/* ---- making things ready ------------------------------------------------- */

/* Tasks for which the deque has no memory wait here, linked through themselves,
 * until it has room: nobody can steal them, but none is lost. */
noinline void work_push_slow(struct worker *w, struct task *task)
{
    if (deque_push_slow(&w->deque, task)) {
        if (load_relaxed(&w->asked)) work_answer(w);
        return;
    }
    ready_t item = task_ready(task);
    ready_set_next(item, 0);
    if (w->spill) ready_set_next(w->spill_tail, item);
    else w->spill = item;
    w->spill_tail = item;
}

ready_t work_take_spilled(struct worker *w)
{
    ready_t item = w->spill;
    if (!item) return 0;
    w->spill = ready_unlink(item);
    for (unsigned i = 0; w->spill && i < DEQUE_MIN / 2; i++) {
        ready_t more = w->spill;
        w->spill = ready_unlink(more);
        if (deque_push(&w->deque, task_of(more))) continue;
        ready_set_next(more, w->spill);
        w->spill = more;
        break;
    }
    return item;
}

noinline void work_answer(struct worker *w)
{
    bool aside = load_relaxed(&w->asked) == ASKED_ASIDE;
    store_relaxed(&w->asked, 0);
    deque_publish(&w->deque);
    if (!aside && idle_call(&w->runtime->idle)) worker_count_one(&w->count.wakeups);
}

void work_ready_shared(struct weft_runtime *rt, ready_t item)
{
    inject_put(&rt->inject, item);
    if (idle_notify(&rt->idle)) add_relaxed(&rt->shared_wakeups, 1);
}

static void ready_outside(struct weft_runtime *rt, ready_t item)
{
    /* The runtime may come to its end as soon as the item has run, so it is
     * pinned over the notice.  acq_rel: pairs with weft_runtime_stop. */
    add_acq_rel(&rt->pins, 1);
    work_ready_shared(rt, item);
    sub_acq_rel(&rt->pins, 1);
}

/* Whether what this worker has resumed goes on on another one, if there is one. */
static always_inline bool migrates(struct worker *w)
{
    return WEFT_CHAOS && w->runtime->count > 1 && choice_below(&w->choice, CHAOS_MIGRATE) > 0;
}

void work_ready_here(struct worker *w, ready_t item)
{
    struct weft_runtime *rt = w->runtime;
    if (migrates(w)) {
        if (ready_kind(item) == READY_FIBER) fiber_of(item)->avoid = w->index + 1;
        work_ready_shared(rt, item);
        return;
    }
    if (unlikely(!runq_push(&w->runq, item))) {
        /* Half of the queue goes too, so that the next ones have room and the order is kept. */
        for (unsigned i = 0; i < RUNQ_SIZE / 2; i++) {
            ready_t old = runq_pop(&w->runq);
            if (old) inject_put(&rt->inject, old);
        }
        work_ready_shared(rt, item);
    }
    if (unlikely(load_relaxed(&w->asked))) work_answer(w);
}

void work_ready(struct weft_runtime *rt, ready_t item)
{
    struct worker *w = worker_self();
    if (w && w->runtime == rt) work_ready_here(w, item);
    else ready_outside(rt, item);
}

/* Where somebody is in the slot already, who goes to the queue. */
static noinline void ready_sooner(struct worker *w, ready_t item)
{
    if ((item = slot_put(&w->next, item))) work_ready_here(w, item);
    if (load_relaxed(&w->asked) & ASKED_WATCH) work_answer(w);
}

/* By a worker of the runtime: in its slot. */
static always_inline void ready_soon(struct worker *w, ready_t item)
{
    if (unlikely(w->choice.seeded) || migrates(w)) return work_ready_here(w, item);
    if (unlikely(!slot_empty(&w->next))) return ready_sooner(w, item);
    slot_fill(&w->next, item);
    /* Not the other one: who was asked to share would be called at each turn of two who wake each other. */
    if (unlikely(load_relaxed(&w->asked) & ASKED_WATCH)) work_answer(w);
}

/* Of a root, or in another runtime, or by a plain thread. */
static noinline void ready_far(struct fiber *f)
{
    struct weft_runtime *rt = f->runtime;
    struct root         *root = f->root; /* once pushed, f may run and end before root_push returns */
    ready_t              item = fiber_ready(f);
    if (root) {
        if (!root_push(root, item)) return;
        item = root_ready(root);
    }
    work_ready(rt, item);
}

void work_ready_fiber(struct fiber *f, bool next)
{
    struct worker *w = worker_self();
    f->waiter = NULL; /* it does not wait any more, though it may be long until it runs */
    if (unlikely(f->root) || unlikely(!w) || unlikely(w->runtime != f->runtime)) ready_far(f);
    else if (next) ready_soon(w, fiber_ready(f));
    else work_ready_here(w, fiber_ready(f));
}

/* ---- timers -------------------------------------------------------------- */

/* Those that have expired together, in the order of their slots, and of each slot the oldest first: the wheel gives the
 * slots in that order, but those of one newest first. */
struct expired {
    ready_t first, last;
    ready_t before; /* the last of the slots before this one; 0: it is the first */
    int64_t slot;
};

/* With a seed each goes to a drawn place among the first few of its slot. */
void work_expired(struct fiber *f, int64_t when, void *arg)
{
    struct expired *e = arg;
    struct worker  *w = worker_self();
    ready_t         item = fiber_ready(f);
    if (when >> TIMERS_SHIFT != e->slot) {
        e->slot = when >> TIMERS_SHIFT;
        e->before = e->last;
    }
    ready_t before = e->before, at = before ? ready_next(before) : e->first;
    if (w->choice.seeded) {
        for (uint32_t skip = choice_below(&w->choice, EXPIRED_DRAWN); at && skip > 0; skip--, at = ready_next(at))
            before = at;
    }
    ready_set_next(item, at);
    if (before) ready_set_next(before, item);
    else e->first = item;
    if (!at) e->last = item;
}

static unsigned expire(struct timers *timers, int64_t now, unsigned most)
{
    struct expired expired = {.slot = -1};
    unsigned       n = timers_expire(timers, now, most, &expired);
    for (ready_t item = expired.first; item;) {
        struct fiber *f = fiber_of(item);
        item = ready_unlink(item);
        fiber_expect(f);
        work_ready_fiber(f, false);
    }
    return n;
}

/* How many the worker takes up.  With a seed all, as their order is drawn. */
static unsigned expired_most(struct worker *w)
{
    uint32_t length = runq_length(&w->runq);
    if (w->choice.seeded) return UINT_MAX;
    return length < EXPIRED_MOST - EXPIRED_LEAST ? EXPIRED_MOST - length : EXPIRED_LEAST;
}

unsigned work_expire(struct worker *w, bool all)
{
    struct weft_runtime *rt = w->runtime;
    unsigned             n = 0;
    w->now = worker_now(w);
    if (timers_next(&w->timers) <= w->now) n = expire(&w->timers, w->now, expired_most(w));
    for (unsigned i = 0; all && i < rt->count; i++) {
        struct worker *other = &rt->workers[i];
        if (other != w && timers_next(&other->timers) <= w->now) n += expire(&other->timers, w->now, expired_most(w));
    }
    store_relaxed(&w->count.timers, load_relaxed(&w->count.timers) + n);
    return n;
}

#define REPORTS 64u

unsigned work_poll(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    struct poller_report reports[REPORTS];
    if (load_relaxed(&w->outbox)) rt->send_out(w);
    if (!poller_made(&rt->poller)) return 0;
    unsigned n = poller_wait(&rt->poller, reports, REPORTS, 0);
    rt->reported(rt, reports, n);
    return n;
}

bool work_look_after(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    if (!load_relaxed(&rt->io_waits)) return false;
    int64_t now = choice_clock(), looked = load_relaxed(&rt->looked_after);
    if (now - looked >= WORK_LOOK_AFTER_NS && cas_relaxed(&rt->looked_after, &looked, now)) {
        store_relaxed(&rt->io_waits, false); /* who begins to wait from now on sets it again */
        if (rt->look_after(rt)) store_relaxed(&rt->io_waits, true);
    }
    return load_relaxed(&rt->io_waits);
}

int64_t work_next_timer(struct weft_runtime *rt)
{
    int64_t next = INT64_MAX;
    for (unsigned i = 0; i < rt->count; i++) next = min_of(next, timers_next(&rt->workers[i].timers));
    return next;
}

/* No sanitizer is to judge it, as a thief may have the fiber by now; which is there for as long as this worker is. */
unjudged void work_look_ahead(struct worker *w)
{
    ready_t first = runq_ahead(&w->runq, 0), second = runq_ahead(&w->runq, 1);
    if (second && ready_kind(second) == READY_FIBER) fiber_fetch(fiber_of(second));
    if (first && ready_kind(first) == READY_FIBER) fiber_fetch_stack(fiber_of(first));
}

/* ---- picking ------------------------------------------------------------- */

static ready_t take_oldest_task(struct worker *w)
{
    void *task;
    deque_publish(&w->deque);
    return deque_steal(&w->deque, &task, 1) ? task_ready(task) : 0;
}

/* An entry of the shared queue.  In the build for chaos not one that has just
 * been here, unless nobody else comes for it. */
ready_t work_take_shared(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    ready_t              item = inject_take(&rt->inject);
    if (WEFT_CHAOS && item && ready_kind(item) == READY_FIBER && fiber_of(item)->avoid == w->index + 1) {
        if (!inject_empty(&rt->inject)) {
            ready_t other = inject_take(&rt->inject);
            work_ready_shared(rt, item);
            item = other;
        } else {
            for (int i = 0; i < 20; i++) {
                work_ready_shared(rt, item);
                for (int spin = 0; spin < 200; spin++) atomic_pause();
                if (!(item = inject_take(&rt->inject))) return 0;
                if (ready_kind(item) != READY_FIBER || fiber_of(item)->avoid != w->index + 1) break;
            }
        }
    }
    return item;
}

typedef ready_t source(struct worker *w);

/* With a seed, or for chaos: any of the sources, with the same likelihood for each that has something. */
static ready_t pick_any(struct worker *w)
{
    static source *const sources[] = {work_take_next,    work_take_task,   take_oldest_task, work_take_spilled,
                                      work_take_resumed, work_take_shared, work_take_yielded};
    uint64_t             before = w->choice.state;
    unsigned             n = array_len(sources), first = choice_below(&w->choice, n);
    for (unsigned i = 0; i < n; i++) {
        ready_t item = sources[(first + i) % n](w);
        if (item) return item;
    }
    w->choice.state = before; /* how often it looks in vain, until the first task comes, is no part of the schedule */
    return 0;
}

/* Of those that have begun, by turns, so that none of these queues waits for another. */
static ready_t pick_begun(struct worker *w, unsigned turn)
{
    static source *const sources[] = {work_take_resumed, work_take_shared, work_take_yielded};
    for (unsigned i = 0; i < array_len(sources); i++) {
        ready_t item = sources[(turn + i) % array_len(sources)](w);
        if (item) return item;
    }
    return 0;
}

/* From the far end: what has waited longest. */
static ready_t pick_oldest(struct worker *w)
{
    ready_t item;
    if (w->turn++ % FAR_TASK == 0 && ((item = take_oldest_task(w)) || (item = work_take_spilled(w)))) return item;
    return pick_begun(w, w->turn);
}

/* So that it can be stolen while another runs. */
static void give_up_next(struct worker *w)
{
    ready_t next = work_take_next(w);
    if (next) work_ready_here(w, next);
}

noinline ready_t work_pick_far(struct worker *w)
{
    struct pace *p = &w->near_pace;
    if (w->choice.seeded) {
        give_up_next(w);
        w->poll_due = w->turn % FAR_POLL == 0;
        w->near = 0;
        return pick_any(w);
    }
    w->far -= p->stride;
    bool late = pace_long(p) ? pace_look_exactly(p, WORK_NEAR, choice_clock()) : pace_look(p, WORK_NEAR, choice_tick());
    bool soon = late && w->far <= WORK_NEAR - FAR_LEAST && p->looked - w->far_at >= PACE_NS;
    bool far = WEFT_CHAOS || soon || w->far <= 0;
    bool all = late || (far && w->turn % FAR_ALL == 0);
    w->poll_due = late || (far && w->turn % FAR_POLL == 0);
    w->near = p->stride;
    if (all || timers_next(&w->timers) != INT64_MAX) work_expire(w, all);
    if (!far) return 0;
    give_up_next(w);
    w->far = WORK_NEAR;
    w->far_at = p->looked;
    if (WEFT_CHAOS) {
        w->turn++;
        w->near = (int32_t)choice_below(&w->choice, CHAOS_NEAR);
        return pick_any(w);
    }
    return pick_oldest(w);
}

/* Not what the task is about to await. */
ready_t work_pick_breath(struct worker *w)
{
    work_poll(w);
    w->breaths++;
    if (w->choice.seeded) return pick_any(w);
    ready_t item = work_take_next(w);
    if (item) work_ready_here(w, item); /* the task that has made it ready has not waited since */
    work_expire(w, w->late || w->breaths % FAR_ALL == 1);
    bool oldest = w->breaths % WORK_BREATHS == 0;
    if (w->late && ++w->late_breaths % WORK_LATE_BREATHS == 0) oldest = true;
    if (oldest && (item = take_oldest_task(w))) return item;
    return pick_begun(w, w->breaths);
}
