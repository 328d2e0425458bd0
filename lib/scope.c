#include "scope.h"
#include "order.h"
#include "spare.h"
#include "spawn.h"
#include "work.h"
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct task task;
    _Alignas(max_align_t) char arg[];
};

static struct scope *of(const weft_scope *scope)
{
    return (struct scope *)scope;
}

static struct scope *of_node(struct node *n)
{
    return container_of(n, struct scope, node);
}

/* No struct of options will ever be larger; what is, is not one. */
#define OPTIONS_MOST 4096

int scope_options(void *to, size_t size, const void *from)
{
    memset(to, 0, size);
    if (!from) return 0;
    size_t theirs = *(const size_t *)from;
    if (theirs < sizeof(size_t)) return -EINVAL;
    if (theirs > OPTIONS_MOST) return -E2BIG;
    for (size_t i = size; i < theirs; i++)
        if (((const char *)from)[i]) return -E2BIG;
    memcpy(to, from, min_of(size, theirs));
    return 0;
}

/* ---- counting ------------------------------------------------------------ */

void scope_enter(struct scope *s)
{
    add_relaxed(&s->pending, 1);
}

void scope_leave(struct scope *s, bool next)
{
    /* acq_rel: pairs with itself and with publish_closer; the opener sees what all the tasks did, and
     * the last of them sees the closer. */
    order_release(s);
    chaos_point();
    if (sub_acq_rel(&s->pending, 1) == 1) park_wake(s->closer, next);
}

static bool publish_closer(struct waiter *waiter, void *arg)
{
    struct scope *s = arg;
    s->closer = waiter;
    return sub_acq_rel(&s->pending, 1) != 1; /* pairs with scope_leave */
}

void scope_wait(struct scope *s)
{
    if (load_acquire(&s->pending) != 1) { /* pairs with scope_leave: else only the opener is left */
        static const struct wait_kind kind = {.what = "for the tasks of a scope to end"};
        struct waiter                 waiter;
        park_init(&waiter, &kind, s);
        park_wait(&waiter, publish_closer, s);
    }
    order_acquire(s);
}

/* ---- jobs ---------------------------------------------------------------- */

int scope_go(struct scope *s, weft_fn *fn, const void *arg, size_t size)
{
    if (!fn || (size > 0 && !arg)) return -EINVAL;
    if (size > SIZE_MAX - sizeof(struct job)) return -ENOMEM;
    struct job *job = malloc(sizeof *job + size);
    if (!job) return -ENOMEM;
    if (size > 0) memcpy(job->arg, arg, size);
    task_init(&job->task, &s->node, NODE_JOB, fn, size > 0 ? job->arg : (void *)arg);
    order_renew(&job->task);
    scope_enter(s);
    struct worker       *w = worker_self();
    struct weft_runtime *rt = s->opener ? s->opener->runtime : s->node.arg;
    bool                 here = w && w->runtime == rt;
    if (here) worker_count_one(&w->count.spawned);
    else add_relaxed(&rt->outside_spawned, 1);
    struct root *root = s->root; /* once pushed, the job may run and the scope close before root_push returns */
    if (root) {
        if (root_push(root, task_ready(&job->task))) work_ready(rt, root_ready(root));
    } else if (here) {
        work_push(w, &job->task);
    } else {
        work_ready(rt, task_ready(&job->task));
    }
    return 0;
}

static void job_ended(struct weft_runtime *rt, struct task *task, int result)
{
    struct scope *s = of_node(node_up(&task->node));
    cancel_leave(rt, &task->node);
    if (result < 0 && s->opener) cancel_node(rt, &s->node, result);
    free(container_of(task, struct job, task));
    scope_leave(s, true);
}

void scope_run(struct task *task)
{
    order_acquire(task); /* pairs with weft_spawn, scope_go, weft_runtime_call */
    int            result = task->fn(task->node.arg);
    struct worker *w = worker_self();
    if (unlikely(w->fiber->node != &task->node)) spawn_left_open();
    worker_count_one(&w->count.ended);
    if (likely(node_kind(&task->node) == NODE_TASK)) spawn_ended(w->runtime, task, result);
    else job_ended(w->runtime, task, result);
}

/* ---- deadlines ----------------------------------------------------------- */

/* With the lock of the timers held: so a scope that has stopped its timer is not cancelled any more. */
static void passed(struct timer *timer, void *arg)
{
    struct scope *s = of_node(container_of(timer, struct cancel_deadline, timer)->scope);
    (void)arg;
    cancel_node(s->opener->runtime, &s->node, -ETIMEDOUT);
}

static void start_deadline(struct scope *s, struct cancel_deadline *d, weft_time when)
{
    struct timers *timers = &worker_self()->timers;
    cancel_look(worker_self()); /* so that what it knew before is known */
    *d = (struct cancel_deadline){
        .timer = {.when = when, .expire = passed}, .scope = &s->node, .before = s->opener->due};
    if (!load_relaxed(&s->opener->runtime->timed)) store_relaxed(&s->opener->runtime->timed, true);
    store_relaxed(&s->node.state, (uintptr_t)d);
    s->opener->due = min_of(s->opener->due, when);
    timers_lock(timers);
    timers_start(timers, &d->timer);
    timers_unlock(timers);
}

/* If it has passed, that tells, whether or not somebody has looked meanwhile. */
static void stop_deadline(struct scope *s, struct worker *w)
{
    struct cancel_deadline *d = (struct cancel_deadline *)load_relaxed(&s->node.state);
    if (!d) return;
    if (timers_expire_one(&d->timer, worker_now(w), NULL)) worker_count_one(&w->count.timers);
    else timers_stop(&d->timer);
    s->opener->due = d->before;
    free(d);
}

/* ---- scopes -------------------------------------------------------------- */

void scope_init_outermost(struct scope *s, struct weft_runtime *rt)
{
    memset(s, 0, sizeof *s);
    node_init(&s->node, NULL, NODE_SCOPE);
    s->node.arg = rt;
    atomic_set(&s->pending, 1);
}

int weft_scope_open(weft_scope *storage, const struct weft_scope_options *given)
{
    struct weft_scope_options options;
    struct fiber             *f = worker_fiber();
    if (!f) return -EPERM;
    if (!storage) return -EINVAL;
    int error = scope_options(&options, sizeof options, given);
    if (error) return error;
    struct cancel_deadline *deadline = NULL;
    bool                    timed = options.deadline != 0 && options.deadline != WEFT_NEVER;
    if (timed && !(deadline = malloc(sizeof *deadline))) return -ENOMEM;
    struct scope *s = of(storage);
    node_init(&s->node, f->node, NODE_SCOPE | (options.shield ? NODE_SHIELD : 0));
    atomic_set(&s->pending, 1);
    s->closer = NULL;
    s->opener = f;
    s->outer = f->node;
    s->root = f->root;
    f->node = &s->node;
    order_renew(s);
    /* One worker is a root already, unless its tasks are to be judged as if it were not. */
    if (options.one_root && !f->root && (f->runtime->count > 1 || (ORDER_PRECISE && !f->runtime->one_root))) {
        root_init(&s->own);
        order_renew(&s->own);
        s->root = f->root = &s->own;
        spare_set_floor(f);
    }
    if (timed) start_deadline(s, deadline, options.deadline);
    if (timed && options.deadline <= worker_now(worker_self())) cancel_node(f->runtime, &s->node, -ETIMEDOUT);
    return 0;
}

int weft_scope_go(weft_scope *scope, weft_fn *fn, const void *arg, size_t size)
{
    if (!worker_self()) return -EPERM;
    if (!scope) return -EINVAL;
    return scope_go(of(scope), fn, arg, size);
}

int weft_go(weft_fn *fn, const void *arg, size_t size)
{
    struct fiber *f = worker_fiber();
    if (!f) return -EPERM;
    struct node *n = f->node;
    while (node_kind(n) != NODE_SCOPE) n = node_up(n);
    return scope_go(of_node(n), fn, arg, size);
}

void weft_scope_cancel(weft_scope *scope)
{
    if (!scope) return;
    cancel_node(of(scope)->opener->runtime, &of(scope)->node, -ECANCELED);
}

int weft_scope_close(weft_scope *storage)
{
    struct fiber *f = worker_fiber();
    if (!f) return -EPERM;
    if (!storage) return -EINVAL;
    struct scope *s = of(storage);
    if (f->node != &s->node)
        base_die("weft_scope_close by a task that has not opened the scope, or with an inner one open");
    worker_spend(worker_self());
    scope_wait(s);
    stop_deadline(s, worker_self());
    if (s->node.up & NODE_SHIELD) f->due = INT64_MIN; /* those above were not looked at from here */
    int reason = cancel_check(f);
    cancel_leave(f->runtime, &s->node);
    f->node = s->outer;
    if (s->root == &s->own) {
        f->root = NULL; /* all its other tasks have ended, so nobody is pending but this one */
        spare_set_floor(f);
    }
    return reason;
}
