#include "spawn.h"
#include "cancel.h"
#include "wait.h"
#include "work.h"
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

static struct task *of(const weft_task *task)
{
    return (struct task *)task;
}

static noinline void push_slow(struct worker *w, struct task *task)
{
    struct fiber *f = w->fiber;
    if (!f->root) work_push_slow(w, task);
    else if (root_push(f->root, task_ready(task))) work_ready(w->runtime, root_ready(f->root));
}

void weft_spawn(weft_task *storage, weft_fn *fn, void *arg)
{
    struct worker *w = worker_self();
    if (unlikely(!w)) base_die("weft_spawn in a plain thread: only a task can spawn");
    struct fiber *f = w->fiber;
    struct task  *task = of(storage);
    task_init(task, f->node, NODE_TASK, fn, arg);
    order_renew(task);
    worker_count_one(&w->count.spawned);
    if (unlikely(f->root) || unlikely(!deque_push_fast(&w->deque, task))) push_slow(w, task);
    else if (unlikely(load_relaxed(&w->asked))) work_answer(w);
}

/* ---- ending -------------------------------------------------------------- */

/* What await_any leaves in each task's state. */
struct any_slot {
    struct waiter   *waiter;
    int              index;
    bool             registered;
    Atomic(uint32_t) let_go; /* the ending task's last touch */
};

/* Wakes whom the ended task found in its state. */
noinline void spawn_wake(uintptr_t state)
{
    if (state & TASK_SLOT) {
        struct any_slot *slot = (struct any_slot *)(state & ~TASK_SLOT);
        struct waiter   *waiter = slot->waiter;
        if (park_claim(waiter)) {
            waiter->outcome = slot->index;
            park_wake(waiter, true);
        }
        chaos_point();
        store_release(&slot->let_go, 1); /* pairs with take_back */
    } else {
        park_wake((struct waiter *)state, true);
    }
}

/* ---- awaiting ------------------------------------------------------------ */

static _Noreturn noinline void two_wait(void)
{
    base_die("two wait for the same task");
}

noinline void spawn_left_open(void)
{
    base_die("a task has ended with a scope still open");
}

static bool publish_await(struct waiter *waiter, void *arg)
{
    struct task *task = arg;
    uintptr_t    state = 0;
    /* release: pairs with spawn_ended, which sees the waiter whole; acquire: it has ended meanwhile. */
    if (cas_acq_rel(&task->node.state, &state, (uintptr_t)waiter)) return true;
    if (state != TASK_DONE) two_wait();
    return false;
}

noinline int spawn_await(struct task *task)
{
    struct worker *w = worker_self();
    if (w && w->budget < 0) worker_breathe(w);
    if (load_acquire(&task->node.state) != TASK_DONE) { /* pairs with spawn_ended */
        static const struct wait_kind kind = {.what = "for the end of the task", .awaited = true};
        struct waiter                 waiter;
        park_init(&waiter, &kind, task);
        park_wait(&waiter, publish_await, task);
    }
    if (unlikely(load_relaxed(&task->node.reason))) cancel_settle(cancel_runtime(&task->node), &task->node);
    order_acquire(task);
    return load_relaxed(&task->node.result);
}

/* In place: the newest of this worker's own, with half of the stack left (or never, says the
 * floor: in a root, with a seed, for a sanitizer). */
static always_inline bool take_in_place(struct worker *w, struct fiber *f, struct task *task)
{
    return likely(base_stack_pointer() > f->floor) && likely(deque_pop_if(&w->deque, task));
}

/* Whether others have had to do with the running task: it is linked or cancelled.  Who awaits it too finds its state
 * taken. */
static always_inline bool touched(struct node *n)
{
    return load_relaxed(&n->next) | (uint32_t)load_relaxed(&n->reason);
}

/* The result, so that the caller need not save it over the call. */
static noinline int leave_touched(struct weft_runtime *rt, struct node *n, int result)
{
    cancel_leave(rt, n);
    return result;
}

/* In place of a task that was made elsewhere, whose scopes are not the awaiter's, nor are their deadlines
 * (cancel_look). */
static noinline int run_elsewhere(struct fiber *f, struct task *task)
{
    int64_t due = f->due;
    f->due = load_relaxed(&f->runtime->timed) ? INT64_MIN : INT64_MAX; /* as when it begins in the loop */
    int result = task->fn(task->node.arg);
    f->due = due;
    return result;
}

int weft_await(weft_task *storage)
{
    struct task   *task = of(storage);
    struct worker *w = worker_self();
    if (unlikely(!w)) return spawn_await(task);
    /* Neither of the short ways may be gone for ever; at the end of the budget others run. */
    if (unlikely(--w->budget < 0) && worker_look(w)) return spawn_await(task);
    uintptr_t state = load_acquire(&task->node.state); /* pairs with spawn_ended */
    if (state == TASK_DONE && likely(!load_relaxed(&task->node.reason))) {
        order_acquire(task);
        return load_relaxed(&task->node.result);
    }
    struct fiber *f = w->fiber;
    if (unlikely(state) || unlikely(!take_in_place(w, f, task))) return spawn_await(task);
    if (unlikely(load_relaxed(&w->asked))) work_answer(w);
    struct node *outer = f->node;
    f->node = &task->node;
    /* A second awaiter that comes between the load above and this is not stopped, as others are: its waiter is
     * overwritten, and it waits for good.  (Rejected: an exchange, which would find it, but is a locked operation,
     * where there is none from the spawn to here; to look at the state again, as what was overwritten leaves no trace;
     * a mark beside the state that who is to wait sets first, as without a fence it may be read before the store is
     * seen.) */
    store_relaxed(&task->node.state, (uintptr_t)outer | TASK_IN_PLACE);
    bool here = likely(task->node.up == (uintptr_t)outer);
    int  result = here ? task->fn(task->node.arg) : run_elsewhere(f, task);
    if (unlikely(f->node != &task->node)) spawn_left_open();
    f->node = outer;
    if (unlikely(touched(&task->node))) result = leave_touched(f->runtime, &task->node, result);
    worker_count_one(&worker_self()->count.inlined); /* it may be another worker now */
    store_release(&task->node.state, TASK_DONE);     /* pairs with weft_done */
    return result;
}

bool weft_take(weft_task *storage)
{
    struct task   *task = of(storage);
    struct worker *w = worker_self();
    if (unlikely(!w)) return false;
    if (unlikely(--w->budget < 0) && worker_look(w)) return false; /* weft_await lets others run then */
    if (unlikely(load_relaxed(&task->node.state) | (uint32_t)load_relaxed(&task->node.reason))) return false;
    if (unlikely(!take_in_place(w, w->fiber, task))) return false;
    worker_count_one(&w->count.inlined);
    if (unlikely(load_relaxed(&w->asked))) work_answer(w);
    return true;
}

bool weft_done(const weft_task *storage)
{
    bool done = load_acquire(&of(storage)->node.state) == TASK_DONE; /* pairs with spawn_ended */
    if (done) order_acquire(of(storage));
    return done;
}

/* ---- cancelling ---------------------------------------------------------- */

void weft_cancel(weft_task *storage)
{
    struct task *task = of(storage);
    if (!task) return;
    cancel_node(cancel_runtime(&task->node), &task->node, -ECANCELED);
}

/* ---- awaiting one of many ------------------------------------------------ */

/* The index of one that has ended, the search beginning anywhere; -1. */
static int find_done(weft_task *const tasks[], uint32_t count, struct worker *w)
{
    uint32_t first = w ? choice_below(&w->choice, count) : choice_outside(count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = first + i < count ? first + i : first + i - count;
        if (weft_done(tasks[at])) return (int)at;
    }
    return -1;
}

/* A wait for any of them.  `lock` is held while the slots are registered, which is after the stack was left: who is
 * woken meanwhile waits for it. */
struct any {
    spin_word         lock;
    uint32_t          count;
    weft_task *const *tasks;
    struct any_slot  *slots;
    struct waiter     waiter;
};

/* Leaves a slot in each task's state.  When one has ended by now, the waiter is woken for that. */
static void register_all(void *arg)
{
    struct any      *any = arg;
    struct any_slot *slots = any->slots;
    bool             mine = false;
    for (uint32_t i = 0; i < any->count; i++) {
        slots[i].waiter = &any->waiter;
        slots[i].index = (int)i;
        atomic_set(&slots[i].let_go, 0);
        uintptr_t state = 0;
        /* As in publish_await.  A task that stands there twice is registered once. */
        slots[i].registered = cas_acq_rel(&of(any->tasks[i])->node.state, &state, (uintptr_t)&slots[i] | TASK_SLOT);
        chaos_point();
        if (slots[i].registered) continue;
        if (state == TASK_DONE) {
            if (mine || !(mine = park_claim(&any->waiter))) continue;
            any->waiter.outcome = (int)i;
        } else if (state < (uintptr_t)slots || state >= (uintptr_t)&slots[i]) {
            two_wait();
        }
    }
    spin_drop(&any->lock, 0);
    if (mine) park_wake(&any->waiter, false);
}

/* No task holds a slot any more when this returns. */
static void take_back(struct any *any)
{
    spin_take(&any->lock); /* register_all is done */
    for (uint32_t i = 0; i < any->count; i++) {
        struct any_slot *slot = &any->slots[i];
        uintptr_t        mine = (uintptr_t)slot | TASK_SLOT;
        /* acq_rel: as in publish_await; what the task did is seen. */
        if (!slot->registered || cas_acq_rel(&of(any->tasks[i])->node.state, &mine, 0)) continue;
        /* It has ended, on another worker, and is between two instructions of spawn_ended. */
        for (unsigned tries = 0; !load_acquire(&slot->let_go);) spin_pause(&tries); /* pairs with spawn_wake */
    }
}

int weft_await_any(weft_task *const tasks[], size_t size, weft_time deadline)
{
    if (!tasks || size == 0 || size > INT_MAX) return -EINVAL;
    for (size_t i = 0; i < size; i++)
        if (!tasks[i]) return -EINVAL;
    uint32_t       count = (uint32_t)size;
    struct worker *w = worker_self();
    if (w) worker_spend(w);
    int found = find_done(tasks, count, worker_self());
    if (found >= 0) return found;
    int refused = wait_refused(deadline);
    if (refused) return refused;

    static const struct wait_kind kind = {.what = "for the end of one of several tasks"};
    struct any_slot               few[8];
    struct any                    any = {.count = count, .tasks = tasks};
    any.slots = count <= array_len(few) ? few : malloc(count * sizeof *any.slots);
    if (!any.slots) return -ENOMEM;
    park_init(&any.waiter, &kind, NULL);
    spin_take(&any.lock);
    int outcome = wait_for(&any.waiter, deadline, register_all, &any);
    take_back(&any);
    if (any.slots != few) free(any.slots);
    if (outcome >= 0) order_acquire(tasks[outcome]);
    return outcome;
}
