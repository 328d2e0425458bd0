/* runtime.c - starting and stopping: whatever fails, and after the stop, nothing of a runtime is left
 */
#define _GNU_SOURCE
#include "cancel.h"
#include "blocking.h"
#include "deadlock.h"
#include "io.h"
#include "monitor.h"
#include "order.h"
#include "outbox.h"
#include "registry.h"
#include "scope.h"
#include "search.h"
#include "spare.h"
#include "spawn.h"
#include "uring.h"
#include "work.h"
#include "worker.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A worker's own stack holds little: it moves to a fiber's at once.  A handler that ran there would run on a task's. */
#define THREAD_STACK ((size_t)256 << 10)

struct runtime {
    struct weft_runtime shared;
    struct scope        outermost;
    struct idle_seat   *seats;
    unsigned            made; /* workers that are initialised */
    Atomic(uint32_t)    gate; /* threads wait until it is known how many there are */
};

static struct runtime *of(struct weft_runtime *rt)
{
    return container_of(rt, struct runtime, shared);
}

static void *thread_main(void *arg)
{
    struct worker  *w = arg;
    struct runtime *r = of(w->runtime);
    while (load_acquire(&r->gate) == 0) platform_futex_wait(&r->gate, 0, -1); /* pairs with open_gate */
    worker_main(w);
    return NULL;
}

static void open_gate(struct runtime *r)
{
    store_release(&r->gate, 1); /* pairs with thread_main */
    platform_futex_wake(&r->gate, INT32_MAX);
}

/* Starts as many threads as there can be; how many, or why there is none. */
static int start_threads(struct runtime *r, unsigned wanted)
{
    unsigned n = 0;
    while (n < wanted) {
        struct worker *w = &r->shared.workers[n];
        if (platform_thread_start(&w->joinable, THREAD_STACK, thread_main, w)) break;
        n++;
    }
    return n > 0 ? (int)n : -EAGAIN;
}

static void free_all(struct runtime *r)
{
    for (unsigned i = 0; i < r->made; i++) {
        outbox_end(&r->shared.workers[i]);
        worker_destroy(&r->shared.workers[i]);
    }
    spare_end_shared(&r->shared);
    stack_pool_destroy(&r->shared.stacks);
    uring_stop(&r->shared);
    io_end(&r->shared);
    free(r->shared.workers);
    free(r->seats);
    free(r);
}

static void *make(size_t size)
{
    return aligned_alloc(CACHE_LINE, base_lines(size));
}

/* At least four pages, so that with a guard half of it is left. */
static size_t power_of_two(size_t size)
{
    size_t power = max_of(STACK_SIZE_MIN, 4 * (size_t)sysconf(_SC_PAGESIZE));
    while (power < size) power *= 2;
    return power;
}

static void poke(void *rt)
{
    poller_wake(&((struct weft_runtime *)rt)->poller);
}

static int start(weft_runtime **runtime, const struct weft_options *given, bool whole)
{
    struct weft_options options;
    if (!runtime) return -EINVAL;
    *runtime = NULL;
    int error = scope_options(&options, sizeof options, given);
    if (error) return error;
    if (options.workers > IDLE_MAX || options.deadlock < -1 || options.deadlock > 1) return -EINVAL;
    if (options.stack_size == 0) options.stack_size = STACK_DEFAULT;
    if (options.stack_size < STACK_SIZE_MIN || options.stack_size > STACK_SIZE_MAX) return -EINVAL;
    platform_init();
    unsigned count = options.workers ? options.workers : min_of(platform_cpus(), IDLE_MAX);
    if (options.one_root || options.seed) count = 1; /* one worker is one root */

    struct runtime *r = make(sizeof *r);
    if (!r) return -ENOMEM;
    memset(r, 0, sizeof *r);
    struct weft_runtime *rt = &r->shared;
    rt->count = count;
    rt->cpus = platform_allowed();
    rt->seeded = options.seed != 0;
    rt->one_root = options.one_root;
    rt->loop = worker_loop;
    rt->run = scope_run;
    io_init(rt);
    outbox_init(rt);
    if (options.deadlock == 1 || (options.deadlock == 0 && whole)) rt->stuck = deadlock_break;
    rt->workers = make(count * sizeof *rt->workers);
    r->seats = make(count * sizeof *r->seats);
    stack_pool_init(&rt->stacks, power_of_two(options.stack_size));
    inject_init(&rt->inject);
    scope_init_outermost(&r->outermost, rt);
    rt->outermost = &r->outermost;
    error = rt->workers && r->seats ? 0 : -ENOMEM;
    for (; !error && r->made < count; r->made += !error)
        error = worker_init(&rt->workers[r->made], rt, r->made, options.seed);
    /* With memory for some workers it runs on those. */
    if (r->made > 0) error = start_threads(r, r->made);
    if (error < 0) {
        free_all(r);
        return error;
    }
    rt->count = (unsigned)error;
    while (r->made > rt->count) worker_destroy(&rt->workers[--r->made]);
    idle_init(&rt->idle, r->seats, rt->count, poke, rt);
    stack_watch_begin(worker_describe_fault);
    monitor_begin(rt, monitor_limit(options.monitor));
    open_gate(r);
    registry_add(rt);
    *runtime = rt;
    return 0;
}

int weft_runtime_start(weft_runtime **runtime, const struct weft_options *options)
{
    return start(runtime, options, false);
}

int weft_runtime_go(weft_runtime *rt, weft_fn *fn, const void *arg, size_t size)
{
    return rt ? scope_go(rt->outermost, fn, arg, size) : -EINVAL;
}

/* The task is ready only now that the caller waits: who then finds that nobody runs any more knows that it waits. */
static bool publish_call(struct waiter *waiter, void *arg)
{
    struct task *task = arg;
    atomic_set(&task->node.state, (uintptr_t)waiter);
    work_ready(cancel_runtime(&task->node), task_ready(task));
    return true;
}

int weft_runtime_call(weft_runtime *rt, weft_fn *fn, void *arg)
{
    if (!rt || !fn) return -EINVAL;
    static const struct wait_kind kind = {.what = "for a task of another runtime", .awaited = true};
    struct scope                 *outermost = rt->outermost;
    struct task                   task;
    struct waiter                 waiter;
    task_init(&task, &outermost->node, NODE_TASK, fn, arg);
    order_renew(&task);
    scope_enter(outermost); /* the runtime does not stop before this has returned */
    add_relaxed(&rt->outside_spawned, 1);
    park_init(&waiter, &kind, &task);
    park_wait(&waiter, publish_call, &task);
    if (load_relaxed(&task.node.reason)) cancel_settle(rt, &task.node);
    order_acquire(&task);
    scope_leave(outermost, false);
    return load_relaxed(&task.node.result);
}

int weft_runtime_stop(weft_runtime *rt)
{
    if (!rt) return -EINVAL;
    struct fiber *f = worker_fiber();
    if (f && f->runtime == rt) return -EDEADLK;
    struct runtime *r = of(rt);
    scope_wait(&r->outermost);
    registry_remove(rt);
    blocking_stop(rt);
    idle_close(&rt->idle);
    for (unsigned i = 0; i < rt->count; i++) {
        pthread_join((pthread_t)rt->workers[i].joinable, NULL);
        search_thread_ended(rt->workers[i].thread_id, platform_thread_clock());
    }
    monitor_end(rt);
    stack_watch_end();
    /* Whoever has woken the last task from outside may not be done with its notice.
     * acquire: pairs with ready_outside and cancel_node. */
    while (load_acquire(&rt->pins) != 0) sched_yield();
    free_all(r);
    return 0;
}

int weft_run(weft_fn *fn, void *arg, const struct weft_options *options)
{
    weft_runtime *rt;
    if (!fn) return -EINVAL;
    int error = start(&rt, options, true);
    if (error) return error;
    int result = weft_runtime_call(rt, fn, arg);
    weft_runtime_stop(rt);
    return result;
}
