#define _GNU_SOURCE
#include "worker.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long an idle worker looks before it lies down, how long it then dozes at
 * first and at most while others run, and how long an owner that was asked to
 * publish may take before a thief forces it.  Waking across cores takes 10
 * to 70 us, so looking for less than that is cheaper than being woken, and dozing
 * longer than 10 ms saves nothing more. */
#define LOOK_NS       (20 * 1000)
#define DOZE_FIRST_NS (50 * 1000)
#define DOZE_MOST_NS  (10 * 1000 * 1000)
#define CALL_FROM_NS  (400 * 1000) /* whoever dozes longer asks to be called */
#define FORCE_NS      (50 * 1000)
#define TRIM_NS       (500 * 1000 * 1000) /* after so long without work, spare stacks go back to the system */

/* A stolen task costs about six cache lines moved between cores, 100 ns and more
 * each, half of it its victim's.  So a thief has an account: what it stole pays the time
 * that it ran for, and costs WORTH_NS.  When the account is empty the thief rests, twice
 * as long each time in a row, and then has a grant for a few tries: a storm of tiny tasks is
 * left to its owner, and many small ones are searched for a few large.  (Rejected: judging by
 * the last steal alone, or with no grant.  In an unbalanced tree nearly all are tiny, and the
 * second worker slept through it.) */
#define WORTH_NS      1000
#define SAVED_MOST_NS (2 * 1000 * 1000)
#define GRANT_NS      (8 * WORTH_NS)
#define WEALTHY_NS    (50 * 1000) /* then the rests begin short again */
#define RESTS_MOST    5           /* 50 us << 5: 1.6 ms */

#define STEAL_MOST 32u
#define PICKS_NEAR \
    60 /* after so many a pick begins at the far end; with it 61, Go's number, prime so as not to beat with loops */

_Thread_local struct worker *worker_here __attribute__((used));

/* ---- fibers -------------------------------------------------------------- */

static void fiber_main(struct context *from);

static struct fiber *fiber_new(struct weft_runtime *rt)
{
    bool  canary;
    char *low = stack_get(&rt->stacks, &canary);
    if (!low) return NULL;
    char         *top = stack_top(&rt->stacks, low);
    struct fiber *f = (struct fiber *)((uintptr_t)(top - sizeof *f) & ~(uintptr_t)(CACHE_LINE - 1));
    memset(f, 0, sizeof *f);
    f->low = low;
    f->canary = canary;
    f->runtime = rt;
    atomic_set(&f->next, 0);
    context_make(&f->context, stack_floor(&rt->stacks, low), (char *)f, fiber_main);
    add_relaxed(&rt->fibers, 1);
    worker_set_floor(f);
    return f;
}

static void fiber_end(struct fiber *f)
{
    struct weft_runtime *rt = f->runtime;
    context_end(&f->context);
    stack_put(&rt->stacks, f->low); /* f is gone with it */
    sub_relaxed(&rt->fibers, 1);
}

void worker_set_floor(struct fiber *f)
{
    bool                     never = STACK_PER_TASK || f->root || f->runtime->seeded;
    const struct stack_pool *stacks = &f->runtime->stacks;
    f->floor = never ? (char *)UINTPTR_MAX : stack_floor(stacks, f->low) + stacks->size / 2;
}

/* How many spare fibers a runtime keeps warm beyond those of its workers. */
#define SPARES_SHARED(rt) (WORKER_SPARES * (rt)->count)

static struct fiber *spare_get(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    uint32_t             have = load_relaxed(&w->spare_count);
    if (have == 0) {
        lock_take(&rt->spare_lock);
        uint32_t shared = load_relaxed(&rt->spare_count);
        for (; rt->spare_list && have < WORKER_SPARES / 2; shared--) {
            w->spares[have++] = fiber_of(rt->spare_list);
            rt->spare_list = ready_next(rt->spare_list);
        }
        store_relaxed(&rt->spare_count, shared);
        lock_drop(&rt->spare_lock);
    }
    if (have == 0) return fiber_new(rt);
    struct fiber *f = w->spares[--have];
    store_relaxed(&w->spare_count, have);
    context_revive(&f->context);
    return f;
}

/* The older half goes to the runtime, or back to the system. */
static void spares_halve(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    uint32_t             half = WORKER_SPARES / 2, kept = 0;
    lock_take(&rt->spare_lock);
    uint32_t shared = load_relaxed(&rt->spare_count);
    for (; kept < half && shared < SPARES_SHARED(rt); kept++, shared++) {
        ready_t item = fiber_ready(w->spares[kept]);
        ready_set_next(item, rt->spare_list);
        rt->spare_list = item;
    }
    store_relaxed(&rt->spare_count, shared);
    lock_drop(&rt->spare_lock);
    for (; kept < half; kept++) fiber_end(w->spares[kept]);
    memmove(w->spares, w->spares + half, half * sizeof w->spares[0]);
}

/* The newest is the warmest, so it is kept and used again first. */
static void spare_put(struct worker *w, struct fiber *f)
{
    uint32_t have = load_relaxed(&w->spare_count);
    context_bury(&f->context);
    if (unlikely(have == WORKER_SPARES)) {
        spares_halve(w);
        have = WORKER_SPARES / 2;
    }
    w->spares[have] = f;
    store_relaxed(&w->spare_count, have + 1);
}

static bool have_spare(struct worker *w)
{
    if (likely(load_relaxed(&w->spare_count) > 0)) return true;
    struct fiber *f = spare_get(w);
    if (f) spare_put(w, f);
    return f;
}

void worker_end_spares(struct weft_runtime *rt)
{
    while (rt->spare_list) {
        struct fiber *f = fiber_of(rt->spare_list);
        rt->spare_list = ready_next(rt->spare_list);
        fiber_end(f);
    }
}

/* ---- making things ready ------------------------------------------------- */

/* Tasks for which the deque has no memory wait here, linked through themselves,
 * until it has room: nobody can steal them, but none is lost. */
noinline void worker_push_slow(struct worker *w, struct task *task)
{
    if (deque_push_slow(&w->deque, task)) {
        if (load_relaxed(&w->asked)) worker_answer(w);
        return;
    }
    ready_t item = task_ready(task);
    ready_set_next(item, 0);
    if (w->spill) ready_set_next(w->spill_tail, item);
    else w->spill = item;
    w->spill_tail = item;
}

static ready_t spill_take(struct worker *w)
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

noinline void worker_answer(struct worker *w)
{
    store_relaxed(&w->asked, 0);
    deque_publish(&w->deque);
    if (idle_call(&w->runtime->idle)) worker_count_one(&w->count.wakeups);
}

/* Puts the item where every worker looks, and wakes one if it sleeps. */
static void ready_shared(struct weft_runtime *rt, ready_t item)
{
    inject_put(&rt->inject, item);
    if (idle_notify(&rt->idle)) add_relaxed(&rt->shared_wakeups, 1);
}

static void ready_outside(struct weft_runtime *rt, ready_t item)
{
    /* The runtime may come to its end as soon as the item has run, so it is
     * pinned over the notice.  acq_rel: pairs with weft_runtime_stop. */
    add_acq_rel(&rt->pins, 1);
    ready_shared(rt, item);
    sub_acq_rel(&rt->pins, 1);
}

static void ready_here(struct worker *w, ready_t item)
{
    struct weft_runtime *rt = w->runtime;
    if (WEFT_MIGRATE && rt->count > 1) {
        if (ready_kind(item) == READY_FIBER) fiber_of(item)->avoid = w->index + 1;
        ready_shared(rt, item);
        return;
    }
    if (unlikely(!runq_push(&w->runq, item))) {
        /* Half of the queue goes too, so that the next ones have room and the order is kept. */
        for (unsigned i = 0; i < RUNQ_SIZE / 2; i++) {
            ready_t old = runq_pop(&w->runq);
            if (old) inject_put(&rt->inject, old);
        }
        ready_shared(rt, item);
    }
    if (unlikely(load_relaxed(&w->asked))) worker_answer(w);
}

void worker_ready(struct weft_runtime *rt, ready_t item)
{
    struct worker *w = worker_self();
    if (w && w->runtime == rt) ready_here(w, item);
    else ready_outside(rt, item);
}

void worker_ready_next(struct weft_runtime *rt, ready_t item)
{
    struct worker *w = worker_self();
    if (!w || w->runtime != rt) {
        ready_outside(rt, item);
    } else if (w->next || w->choice.seeded || (WEFT_MIGRATE && rt->count > 1)) {
        ready_here(w, item);
    } else {
        w->next = item;
    }
}

void worker_ready_fiber(struct fiber *f, bool next)
{
    struct weft_runtime *rt = f->runtime;
    struct root         *root = f->root; /* once pushed, f may run and end before root_push returns */
    ready_t              item = fiber_ready(f);
    if (root) {
        if (!root_push(root, item)) return;
        item = root_ready(root);
        next = false;
    }
    if (next) worker_ready_next(rt, item);
    else worker_ready(rt, item);
}

/* ---- finding work -------------------------------------------------------- */

static inline ready_t take_task(struct worker *w)
{
    struct task *task = deque_pop(&w->deque);
    return task ? task_ready(task) : 0;
}

static ready_t take_oldest_task(struct worker *w)
{
    void *task;
    deque_publish(&w->deque);
    return deque_steal(&w->deque, &task, 1) ? task_ready(task) : 0;
}

/* An entry of the shared queue.  With forced migration, not one that has just
 * been here, unless nobody else comes for it. */
static ready_t take_shared(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    ready_t              item = inject_take(&rt->inject);
    if (WEFT_MIGRATE && item && ready_kind(item) == READY_FIBER && fiber_of(item)->avoid == w->index + 1) {
        if (!inject_empty(&rt->inject)) {
            ready_t other = inject_take(&rt->inject);
            ready_shared(rt, item);
            item = other;
        } else {
            for (int i = 0; i < 20; i++) {
                ready_shared(rt, item);
                for (int spin = 0; spin < 200; spin++) atomic_pause();
                if (!(item = inject_take(&rt->inject))) return 0;
                if (ready_kind(item) != READY_FIBER || fiber_of(item)->avoid != w->index + 1) break;
            }
        }
    }
    return item;
}

typedef ready_t source(struct worker *w);

static inline ready_t take_next(struct worker *w)
{
    ready_t item = w->next;
    w->next = 0;
    return item;
}

static inline ready_t take_resumed(struct worker *w)
{
    return runq_pop(&w->runq);
}

/* With a seed: any of the sources, with the same likelihood for each that has something. */
static ready_t pick_seeded(struct worker *w)
{
    static source *const sources[] = {take_next, take_task, take_oldest_task, spill_take, take_resumed, take_shared};
    unsigned             n = array_len(sources), first = choice_below(&w->choice, n);
    for (unsigned i = 0; i < n; i++) {
        ready_t item = sources[(first + i) % n](w);
        if (item) return item;
    }
    return 0;
}

/* From the far end: what has waited longest. */
static ready_t pick_oldest(struct worker *w)
{
    static source *const sources[] = {take_resumed, take_shared, take_oldest_task, spill_take};
    unsigned             n = array_len(sources), first = w->turn++;
    for (unsigned i = 0; i < n; i++) {
        ready_t item = sources[(first + i) % n](w);
        if (item) return item;
    }
    return 0;
}

static noinline ready_t pick_far(struct worker *w)
{
    if (w->next) ready_here(w, take_next(w)); /* so that it can be stolen while the other runs */
    w->near = w->choice.seeded ? 0 : PICKS_NEAR;
    return w->choice.seeded ? pick_seeded(w) : pick_oldest(w);
}

/* What runs next on this worker, by its own means; 0: nothing. */
static always_inline ready_t pick(struct worker *w)
{
    ready_t item;
    if (unlikely(--w->near < 0) && (item = pick_far(w))) return item;
    if (w->next) return take_next(w);
    if ((item = take_task(w))) return item;
    if (unlikely(w->spill)) return spill_take(w);
    if ((item = take_resumed(w))) return item;
    return inject_empty(&w->runtime->inject) ? 0 : take_shared(w);
}

/* From another worker: public tasks first, then what it has resumed. */
static ready_t steal_from(struct worker *w, struct worker *victim)
{
    void    *tasks[STEAL_MOST];
    uint32_t there = deque_public(&victim->deque);
    if (there > 0) {
        /* The oldest of a few are the largest, so one is enough; of many, which are
         * likely alike, a share. */
        uint32_t n = there <= 8 || w->rests > 0 ? 1 : min_of(there / 4, STEAL_MOST);
        n = deque_steal(&victim->deque, tasks, n);
        for (uint32_t i = 1; i < n; i++) worker_push(w, tasks[i]);
        if (n > 0) {
            w->stole_count = n;
            return task_ready(tasks[0]);
        }
    }
    uint32_t n = min_of((runq_length(&victim->runq) + 1) / 2, STEAL_MOST);
    if (n == 0) return 0;
    ready_t first = runq_pop(&victim->runq), more;
    for (uint32_t i = 1; first && i < n && (more = runq_pop(&victim->runq)); i++)
        if (!runq_push(&w->runq, more)) inject_put(&w->runtime->inject, more);
    w->stole_count = n;
    return first;
}

static ready_t steal(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    uint32_t             n = rt->count, first = n > 1 ? choice_below(&w->choice, n) : 0;
    for (uint32_t i = 0; i < n; i++) {
        struct worker *victim = &rt->workers[(first + i) % n];
        if (victim == w) continue;
        ready_t item = steal_from(w, victim);
        if (item) {
            worker_count_one(&w->count.steals);
            w->stole_at = choice_clock();
            return item;
        }
    }
    return 0;
}

/* Asks the others for what they keep to themselves.  Whether there is any. */
static bool ask(struct worker *w, bool call, bool force)
{
    struct weft_runtime *rt = w->runtime;
    bool                 any = false;
    for (uint32_t i = 0; i < rt->count; i++) {
        struct worker *victim = &rt->workers[i];
        if (victim == w) continue;
        bool has = deque_length(&victim->deque) > 0;
        if (has && force) deque_force(&victim->deque);
        if ((has || call) && load_relaxed(&victim->asked) == 0) store_relaxed(&victim->asked, 1);
        any |= has;
    }
    return any;
}

/* ---- having nothing to do ------------------------------------------------ */

/* The watch takes up the work that it has found. */
static ready_t leave_watch(struct worker *w, ready_t item, bool stolen)
{
    struct weft_runtime *rt = w->runtime;
    switch (idle_leave(&rt->idle, stolen || !inject_empty(&rt->inject))) {
    case IDLE_ALONE: break;
    case IDLE_SUCCEEDED: worker_count_one(&w->count.wakeups); break;
    case IDLE_UNWATCHED:
        store_relaxed(&w->asked, 1);
        if (!inject_empty(&rt->inject) && idle_call(&rt->idle)) worker_count_one(&w->count.wakeups);
        break;
    }
    return item;
}

/* Was what this worker stole worth it? */
static void judge_steal(struct worker *w)
{
    if (!w->stole_at) return;
    int64_t gain = choice_clock() - w->stole_at - (int64_t)w->stole_count * WORTH_NS;
    w->stole_at = 0;
    w->saved = min_of(w->saved + gain, (int64_t)SAVED_MOST_NS);
    if (w->saved < 0) {
        w->saved = GRANT_NS;
        w->rests = min_of(w->rests + 1, RESTS_MOST);
        w->rest = true;
    } else if (w->saved > WEALTHY_NS) {
        w->rests = 0;
    }
}

/* Nobody has had anything to do for a while: the runtime's spare fibers, and all but one of
 * this worker's, go back to the system. */
static void trim(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    lock_take(&rt->spare_lock);
    ready_t list = rt->spare_list;
    rt->spare_list = 0;
    store_relaxed(&rt->spare_count, 0);
    lock_drop(&rt->spare_lock);
    while (list) {
        struct fiber *f = fiber_of(list);
        list = ready_next(list);
        fiber_end(f);
    }
    uint32_t have = load_relaxed(&w->spare_count);
    for (; have > 1; have--) fiber_end(w->spares[have - 1]);
    store_relaxed(&w->spare_count, have);
}

static ready_t watch(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    int64_t              doze = DOZE_FIRST_NS, begin = choice_clock(), asked = 0;
    bool                 trimmed = false;
    for (;;) {
        if (idle_closed(&rt->idle)) return leave_watch(w, 0, false);
        ready_t item = take_shared(w);
        if (item) return leave_watch(w, item, false);
        if (!w->rest) {
            if ((item = steal(w))) return leave_watch(w, item, true);
            int64_t now = choice_clock();
            bool    any = ask(w, false, asked && now - asked >= FORCE_NS);
            if (!any) asked = 0;
            else if (!asked) asked = now;
            if (now - begin < LOOK_NS) {
                for (int i = 0; i < 16; i++) atomic_pause();
                continue;
            }
            if (asked && now - asked < FORCE_NS + LOOK_NS && idle_running(&rt->idle) > 0) continue;
        }
        bool final = idle_lie_down(&rt->idle, w->index);
        if (!inject_empty(&rt->inject) || idle_closed(&rt->idle)) {
            idle_undoze(&rt->idle, w->index);
            continue;
        }
        if (!w->rest && doze >= CALL_FROM_NS) ask(w, true, false);
        worker_count_one(&w->count.parks);
        /* When nobody runs: once for a while, then for good. */
        bool    forever = final && trimmed;
        int64_t timeout = final ? TRIM_NS : w->rest ? DOZE_FIRST_NS << w->rests : doze;
        int64_t before = choice_clock();
        idle_doze(&rt->idle, w->index, forever ? -1 : timeout);
        if (final && !trimmed && choice_clock() - before >= TRIM_NS) {
            trim(w);
            trimmed = true;
            continue;
        }
        if (!w->rest) doze = min_of(doze * 2, DOZE_MOST_NS);
        w->rest = false;
        begin = choice_clock() - LOOK_NS / 2; /* after a doze a shorter look is enough */
    }
}

/* What runs next on this worker, wherever it comes from; 0: the runtime is closed. */
static ready_t find(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    for (;;) {
        ready_t item = pick(w);
        if (item) return item;
        judge_steal(w);
        if (!w->rest && (item = steal(w))) return item;
        if (idle_closed(&rt->idle)) return 0;
        if (idle_enter(&rt->idle, w->index) == IDLE_SLEEP) {
            worker_count_one(&w->count.parks);
            if (!idle_sleep(&rt->idle, w->index)) return 0;
        }
        item = watch(w);
        if (item) return item;
    }
}

/* ---- switching ----------------------------------------------------------- */

/* On the next stack: the fiber that was left is saved now, so it may be published. */
static always_inline void arrive(struct worker *w)
{
    struct root *root = w->left_root; /* left may be gone after then */
    w->then(w, w->left, w->then_arg);
    if (unlikely(root) && root_leave(root)) worker_ready(w->runtime, root_ready(root));
}

static always_inline void switch_to(struct worker *w, struct fiber *to, worker_then *then, void *arg)
{
    struct fiber *from = w->fiber;
    if (unlikely(from->canary)) stack_check(&w->runtime->stacks, from->low);
    w->then = then;
    w->then_arg = arg;
    w->left = from;
    w->left_root = from->root;
    w->fiber = to;
    worker_count_one(&w->count.switches);
    context_switch(&from->context, &to->context);
    arrive(worker_self());
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
    leave_for(w, pick(w), then, arg);
}

static void then_ready(struct worker *w, struct fiber *f, void *arg)
{
    (void)arg;
    if (!WEFT_MIGRATE && likely(!f->root) && likely(runq_push(&w->runq, fiber_ready(f)))) return;
    if (!f->root) ready_here(w, fiber_ready(f));
    else root_push(f->root, fiber_ready(f)); /* which this worker still has */
}

void worker_yield(struct worker *w)
{
    if (unlikely(load_relaxed(&w->asked))) worker_answer(w);
    ready_t      item = pick(w);
    struct root *root = w->fiber->root;
    if (item || (unlikely(root) && load_relaxed(&root->pending) > 1)) leave_for(w, item, then_ready, NULL);
}

/* What a task that breathes lets run: not what it is about to await. */
static ready_t pick_breath(struct worker *w)
{
    ready_t item;
    if (++w->breaths % WORKER_BREATHS == 0 && (item = take_oldest_task(w))) return item;
    if ((item = w->breaths % 2 ? take_resumed(w) : take_shared(w))) return item;
    return w->breaths % 2 ? take_shared(w) : take_resumed(w);
}

noinline void worker_breathe(struct worker *w)
{
    w->budget = w->choice.seeded ? (int32_t)choice_below(&w->choice, 16) : WORKER_BUDGET;
    struct root *root = w->fiber->root;
    ready_t      item = w->choice.seeded ? pick_seeded(w) : pick_breath(w);
    if (item || (root && load_relaxed(&root->pending) > 1)) leave_for(w, item, then_ready, NULL);
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
    if (unlikely(root != f->root)) {
        f->root = root;
        worker_set_floor(f);
    }
    f->runtime->run(task);
    f->node = NULL;
    if (unlikely(f->root)) {
        root = f->root;
        f->root = NULL;
        worker_set_floor(f);
        if (root_leave(root)) worker_ready(f->runtime, root_ready(root));
    }
}

/* No stack is to be had for the item, which would begin to run: it goes back, and what has a
 * stack already runs instead, if there is any.  When nobody runs but those who look for a
 * stack in vain, and that for a second, none will ever be free. */
static noinline ready_t starve(struct worker *w, ready_t item)
{
    struct weft_runtime *rt = w->runtime;
    add_relaxed(&rt->starving, 1);
    for (int tries = 0;; tries++) {
        ready_shared(rt, item);
        if ((item = w->next ? take_next(w) : take_resumed(w))) break;
        for (uint32_t n = load_relaxed(&rt->inject.count); n > 0; n--) {
            if (!(item = inject_take(&rt->inject)) || ready_kind(item) != READY_TASK || have_spare(w)) break;
            inject_put(&rt->inject, item);
            item = 0;
        }
        if (item) break;
        if (load_relaxed(&rt->starving) < idle_running(&rt->idle)) tries = 0;
        if (tries == 1000)
            base_die("no memory for a stack of %zu bytes, and none will be free: %llu are in use", rt->stacks.size,
                     (unsigned long long)load_relaxed(&rt->fibers));
        usleep(1000);
        if (!(item = inject_take(&rt->inject))) break;
        if (ready_kind(item) != READY_TASK || have_spare(w)) break;
    }
    sub_relaxed(&rt->starving, 1);
    return item;
}

/* What to do is in the worker's stash when somebody has left for this loop. */
static void fiber_main(struct context *from)
{
    (void)from;
    arrive(worker_self());
    for (;;) {
        struct worker *w = worker_self();
        struct fiber  *f = w->fiber;
        ready_t        item = w->stash;
        w->stash = 0;
        /* A task that ends has come back to the stack it began on, so f stays, but not the worker. */
        for (;; w = worker_self(), item = 0) {
            if (!item && !(item = find(w))) break;
            struct root *root = NULL;
            if (unlikely(ready_kind(item) == READY_ROOT)) {
                root = root_of(item);
                item = root_pop(root);
            }
            while (ready_kind(item) == READY_TASK && unlikely(!have_spare(w))) {
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
        }
        if (item) {
            switch_to(w, fiber_of(item), then_spare, NULL);
        } else { /* the runtime is closed */
            w->fiber = NULL;
            w->left = f;
            context_switch(&f->context, &w->thread);
        }
    }
}

/* ---- a worker's life ----------------------------------------------------- */

int worker_init(struct worker *w, struct weft_runtime *rt, unsigned index, uint64_t seed)
{
    memset(w, 0, offsetof(struct worker, runq));
    runq_init(&w->runq);
    atomic_set(&w->asked, 0);
    w->runtime = rt;
    w->index = index;
    w->budget = seed ? 1 : WORKER_BUDGET;
    w->saved = SAVED_MOST_NS;
    choice_init(&w->choice, seed, index + 1);
    if (!deque_init(&w->deque)) return -ENOMEM;
    if (have_spare(w)) return 0;
    deque_destroy(&w->deque);
    return -ENOMEM;
}

void worker_destroy(struct worker *w)
{
    for (uint32_t i = load_relaxed(&w->spare_count); i > 0; i--) fiber_end(w->spares[i - 1]);
    deque_destroy(&w->deque);
}

void worker_main(struct worker *w)
{
    w->signal_stack = stack_signal_begin();
    context_thread(&w->thread);
    worker_here = w;
    w->fiber = spare_get(w);
    w->then = then_nothing;
    context_switch(&w->thread, &w->fiber->context);
    spare_put(w, w->left);
    worker_here = NULL;
    stack_signal_end(w->signal_stack);
}

/* ---- an overflow --------------------------------------------------------- */

bool worker_describe_fault(void *address)
{
    struct worker *w = worker_self();
    struct fiber  *f = w ? w->fiber : NULL;
    if (!f || !f->node) return false;
    char              *at = address;
    struct stack_pool *pool = &w->runtime->stacks;
    if (at < f->low || at >= stack_floor(pool, f->low)) return false;
    char     text[512];
    weft_fn *fn = node_task(f->node)->fn;
    Dl_info  info = {0};
    dladdr((void *)fn, &info);
    int n =
        snprintf(text, sizeof text,
                 "weft: stack overflow: the task %s (%p, %s+0x%lx) ran over its stack of %zu bytes, %p to %p, at %p; "
                 "set a larger stack_size\n",
                 info.dli_sname ? info.dli_sname : "of a function without an exported name", (void *)fn,
                 info.dli_fname ? info.dli_fname : "?", (unsigned long)((char *)fn - (char *)info.dli_fbase),
                 pool->size, (void *)f->low, (void *)(f->low + pool->size), address);
    return write(STDERR_FILENO, text, (size_t)min_of(n, (int)sizeof text - 1)) > 0;
}
