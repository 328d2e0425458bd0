#define _GNU_SOURCE
#include "worker.h"
#include "order.h"
#include "search.h"
#include "spare.h"
#include "symbol.h"
#include "work.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Thread_local struct worker *worker_here __attribute__((used));

/* ---- switching ----------------------------------------------------------- */

/* With no lock held, as it may take a while. */
static noinline void poll_now(struct worker *w)
{
    w->poll_due = false;
    work_poll(w);
    work_look_after(w);
    spare_ebb(w->runtime, w->near_pace.looked);
}

/* On the next stack: the fiber that was left is saved now, so it may be published. */
static always_inline void arrive(struct worker *w)
{
    struct root *root = w->left_root; /* left may be gone after then */
    order_acquire(w);                 /* pairs with worker_main, which is this thread's */
    struct fiber *left = load_relaxed(&w->left);
    store_release(&w->left, NULL); /* pairs with inspect.c: the context is saved */
    chaos_point();
    w->then(w, left, w->then_arg);
    chaos_point();
    if (unlikely(w->poll_due)) poll_now(w);
    if (unlikely(root) && root_leave(root)) work_ready(w->runtime, root_ready(root));
}

/* In the leaver's name, and in that of who goes on: what a task of a root did is seen by the root's next. */
static always_inline void release_root(const struct fiber *f)
{
    if (f->root) order_release(f->root);
    else if (f->runtime->one_root) order_release(f->runtime);
}

static always_inline void acquire_root(const struct fiber *f)
{
    if (f->root) order_acquire(f->root);
    else if (f->runtime->one_root) order_acquire(f->runtime);
}

static noinline void wait_while_held(struct fiber *f)
{
    /* acquire: pairs with the release in inspect.c; whoever looked at the fiber is done. */
    for (unsigned tries = 0; load_acquire(&f->held);) spin_pause(&tries);
}

static noinline void look_twice(struct worker *w, struct context *left)
{
    if (left->canary) stack_check(left->low);
    if (w->runtime->lets_go) w->runtime->lets_go(w);
}

static always_inline void switch_to(struct worker *w, struct fiber *to, worker_then *then, void *arg)
{
    struct fiber   *from = w->fiber;
    struct context *left = from->current;
    if (unlikely(load_relaxed(&stack_leaving))) look_twice(w, left);
    w->then = then;
    w->then_arg = arg;
    store_relaxed(&w->left, from);
    chaos_point();
    w->left_root = from->root;
    fence_release(); /* pairs with runs in inspect.c: whoever sees `to` there sees that `from` is on the way */
    w->fiber = to;
    platform_fence_light(); /* pairs with the heavy one in inspect.c: it sees that `to` runs, or this that it is held */
    chaos_point();
    /* acquire: pairs with unhold in inspect.c; whoever looked at the fiber is done. */
    if (unlikely(load_acquire(&to->held))) wait_while_held(to);
    worker_count_one(&w->count.switches);
    release_root(from);
    context_hop(left, to->current);
    arrive(worker_self());
    acquire_root(from);
}

/* Leaves for `item`, or, if that has no fiber of its own, for the loop of a spare one. */
static always_inline void leave_for(struct worker *w, ready_t item, worker_then *then, void *arg)
{
    struct fiber *to;
    if (likely(item && ready_kind(item) == READY_FIBER)) {
        to = fiber_of(item);
    } else {
        w->stash = item;
        to = spare_get(w);
    }
    switch_to(w, to, then, arg);
}

void worker_suspend(struct worker *w, worker_then *then, void *arg)
{
    leave_for(w, work_pick(w), then, arg);
}

/* The task that was left goes on by and by: with `resumed` before those that have not begun, since a tree whose inner
 * tasks gave way to these would grow in breadth; else behind all that have waited. */
static void then_ready(struct worker *w, struct fiber *f, void *resumed)
{
    if (unlikely(f->root)) root_push(f->root, fiber_ready(f)); /* which this worker still has */
    else if (unlikely(resumed)) work_ready_here(w, fiber_ready(f));
    else work_ready_yielded(w, fiber_ready(f));
}

void worker_yield(struct worker *w)
{
    if (unlikely(load_relaxed(&w->asked))) work_answer(w);
    ready_t      item = work_pick(w);
    struct root *root = w->fiber->root;
    if (unlikely(!item) && w->poll_due) { /* who yields alone does not come to where it is done */
        poll_now(w);
        item = work_pick(w);
    }
    if (unlikely(!item) && w->choice.seeded) item = search_yielding(w);
    if (item || (unlikely(root) && load_relaxed(&root->pending) > 1)) leave_for(w, item, then_ready, NULL);
    else if (unlikely(load_relaxed(&stack_leaving))) look_twice(w, w->fiber->current);
}

noinline bool worker_look(struct worker *w)
{
    if (WEFT_CHAOS || w->choice.seeded) return true;
    uint64_t turn = load_relaxed(&w->count.switches);
    if (turn != w->look_turn) { /* the first look since others ran: what passed before was theirs */
        w->look_turn = turn;
        w->looks = 1;
        pace_rested(&w->breath_pace, choice_tick());
        w->budget = w->breath_pace.stride;
        return false;
    }
    w->late = pace_look(&w->breath_pace, WORKER_CALLS, choice_tick());
    if (w->late || ++w->looks >= WORKER_LOOKS) return true;
    w->budget = w->breath_pace.stride;
    return false;
}

/* With a seed, or for chaos, it breathes after fewer calls than this. */
#define DRAWN_CALLS 16

noinline void worker_breathe(struct worker *w)
{
    w->looks = 0;
    w->budget = WEFT_CHAOS || w->choice.seeded ? (int32_t)choice_below(&w->choice, DRAWN_CALLS) : w->breath_pace.stride;
    struct root *root = w->fiber->root;
    ready_t      item = work_pick_breath(w);
    if (item || (root && load_relaxed(&root->pending) > 1)) leave_for(w, item, then_ready, w->late ? NULL : w);
    else if (unlikely(load_relaxed(&stack_leaving))) look_twice(w, w->fiber->current);
}

/* ---- the loop ------------------------------------------------------------ */

static void then_spare(struct worker *w, struct fiber *f, void *arg)
{
    (void)arg;
    spare_put(w, f);
}

static void then_nothing(struct worker *w, struct fiber *f, void *arg)
{
    (void)w;
    (void)f;
    (void)arg;
}

static always_inline void run(struct fiber *f, struct task *task, struct root *root)
{
    f->node = &task->node;
    f->fn = task->fn;
    store_relaxed(&f->named, false);
    /* A scope that it is in was opened, and said so, before the task was made. */
    f->due = likely(!load_relaxed(&f->runtime->timed)) ? INT64_MAX : INT64_MIN;
    if (unlikely(root != f->root)) {
        f->root = root;
        spare_set_floor(f);
    }
    acquire_root(f);
    f->runtime->run(task);
    release_root(f);
    f->node = NULL;
    if (unlikely(f->root)) {
        root = f->root;
        f->root = NULL;
        spare_set_floor(f);
        if (root_leave(root)) work_ready(f->runtime, root_ready(root));
    }
}

/* No stack is to be had for the item, which would begin to run: it goes back, and what has a
 * stack already runs instead, if there is any.  When nobody runs but those who look for a
 * stack in vain, no timer is to come, nor a descriptor to be ready, and that for a second, none will ever be free. */
#define STARVE_LOOKS   1000
#define STARVE_LOOK_US 1000
static noinline ready_t starve(struct worker *w, ready_t item)
{
    struct weft_runtime *rt = w->runtime;
    add_relaxed(&rt->starving, 1);
    for (int tries = 0;; tries++) {
        work_ready_shared(rt, item);
        work_expire(w, true);
        work_poll(w);
        bool timed = work_next_timer(rt) != INT64_MAX;
        if (timed && w->choice.seeded && (item = search_yielding(w))) break;
        if ((item = !slot_empty(&w->next) ? work_take_next(w) : work_take_resumed(w)) || (item = work_take_yielded(w)))
            break;
        for (uint32_t n = load_relaxed(&rt->inject.count); n > 0; n--) {
            if (!(item = inject_take(&rt->inject)) || ready_kind(item) != READY_TASK || spare_have(w)) break;
            inject_put(&rt->inject, item);
            item = 0;
        }
        if (item) break;
        if (load_relaxed(&rt->starving) < idle_running(&rt->idle) || timed || poller_made(&rt->poller)) tries = 0;
        if (tries == STARVE_LOOKS)
            base_die("no memory for a stack of %zu bytes, and none will be free: %llu are in use", rt->stacks.size,
                     (unsigned long long)load_relaxed(&rt->fibers));
        usleep(STARVE_LOOK_US);
        if (!(item = inject_take(&rt->inject))) break;
        if (ready_kind(item) != READY_TASK || spare_have(w)) break;
    }
    sub_relaxed(&rt->starving, 1);
    return item;
}

/* What to do is in the worker's stash when somebody has left for this loop. */
void worker_loop(struct context *from)
{
    (void)from;
    arrive(worker_self());
    for (;;) {
        struct worker *w = worker_self();
        struct fiber  *f = w->fiber;
        ready_t        item = w->stash;
        struct fiber  *rested = NULL; /* where the next task begins, if not here (SPARES_RESTING) */
        bool           used = false;
        w->stash = 0;
        /* A task that ends has come back to the stack it began on, so f stays, but not the worker. */
        for (;; w = worker_self(), item = 0) {
            if (unlikely(w->poll_due)) poll_now(w);
            if (!item && !(item = work_pick(w)) && !(item = search_work(w))) break;
            if (ORDER_PRECISE && used && ready_kind(item) != READY_FIBER && (rested = spare_get(w))) {
                w->stash = item;
                break;
            }
            struct root *root = NULL;
            if (unlikely(ready_kind(item) == READY_ROOT)) {
                root = root_of(item);
                item = root_pop(root);
            }
            while (ready_kind(item) == READY_TASK && unlikely(!spare_have(w))) {
                if (root) {
                    root_unpop(root, item);
                    item = root_ready(root);
                    root = NULL;
                }
                item = starve(w, item);
                if (!item) break;
                if (ready_kind(item) == READY_ROOT) {
                    root = root_of(item);
                    item = root_pop(root);
                }
            }
            if (!item) continue;
            if (ready_kind(item) == READY_FIBER) break;
            run(f, task_of(item), root);
            used = true;
        }
        if (ORDER_PRECISE && rested) {
            switch_to(w, rested, then_spare, NULL);
        } else if (item) {
            switch_to(w, fiber_of(item), then_spare, NULL);
        } else { /* the runtime is closed */
            w->fiber = NULL;
            store_relaxed(&w->left, f);
            context_switch(&f->context, &w->thread);
        }
    }
}

/* ---- a worker's life ----------------------------------------------------- */

int worker_init(struct worker *w, struct weft_runtime *rt, unsigned index, uint64_t seed)
{
    memset(w, 0, offsetof(struct worker, timers));
    timers_init(&w->timers, seed != 0);
    runq_init(&w->runq);
    runq_init(&w->yielded);
    atomic_set(&w->asked, 0);
    atomic_set(&w->seen_at, 0);
    w->runtime = rt;
    w->index = index;
    w->budget = WEFT_CHAOS || seed ? 1 : WORKER_CALLS;
    pace_init(&w->breath_pace, WORKER_CALLS, choice_tick(), choice_tick_length());
    pace_init(&w->near_pace, WORK_NEAR, choice_tick(), choice_tick_length());
    search_init(w);
    choice_init(&w->choice, seed, index + 1);
    w->now = worker_now(w);
    if (!deque_init(&w->deque)) return -ENOMEM;
    if (spare_have(w)) return 0;
    deque_destroy(&w->deque);
    return -ENOMEM;
}

void worker_destroy(struct worker *w)
{
    spare_end(w);
    deque_destroy(&w->deque);
}

void worker_main(struct worker *w)
{
    w->thread_id = platform_thread_id();
    w->signal_stack = stack_signal_begin();
    context_thread(&w->thread);
    worker_here = w;
    order_thread(w);
    w->fiber = spare_get(w);
    w->then = then_nothing;
    context_switch(&w->thread, &w->fiber->context);
    spare_put(w, load_relaxed(&w->left));
    worker_here = NULL;
    stack_signal_end(w->signal_stack);
}

/* ---- an overflow --------------------------------------------------------- */

bool worker_describe_fault(void *address)
{
    struct worker *w = worker_self();
    struct fiber  *f = w ? w->fiber : NULL;
    if (!f || !f->node) return false;
    char                 *at = address;
    const struct context *c = f->current;
    const char           *low = c->low - w->runtime->stacks.guard;
    if (at < low || at >= c->low) return false;
    size_t size = (size_t)1 << (64 - __builtin_clzl(c->size)); /* the power of two that it is less than */
    char   name[256], text[512];
    symbol_describe(c->what ? c->what : (const void *)node_task(f->node)->fn, name, sizeof name);
    int n =
        snprintf(text, sizeof text,
                 "weft: stack overflow: the %s %s ran over its stack of %zu bytes, %p to %p, at %p; "
                 "set a larger stack_size\n",
                 c->what ? "generator" : "task", name, size, (const void *)low, (const void *)(low + size), address);
    return write(STDERR_FILENO, text, (size_t)min_of(n, (int)sizeof text - 1)) > 0;
}
