#include "blocking.h"
#include "lock.h"
#include "order.h"
#include "park.h"
#include "search.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* How many threads of each kind at most: a thread that sleeps in the kernel costs memory and nothing else. */
static const unsigned most[BLOCKING_KINDS] = {[BLOCKING_CALLS] = 256, [BLOCKING_FILES] = 32, [BLOCKING_NAMES] = 32};

#define IDLE_NS      (2 * WEFT_SEC) /* after so long without a call a thread ends */
#define THREAD_STACK ((size_t)512 << 10)

struct thread {
    struct thread *next;
    struct crew   *crew;
    uint64_t       id; /* a pthread_t */
    int            number;
    int64_t        over; /* when it was about to end: who has its number later began after that */
};

/* The threads of one kind. */
struct crew {
    Atomic(uint32_t)      lock;
    Atomic(uint32_t)      calls; /* changes with each call that is queued: idle threads sleep on it */
    struct blocking_call *first, **last;
    unsigned              threads, idle;
    uint64_t              queued;  /* calls */
    uint64_t              pending; /* these, and those that run */
    bool                  closed;
    struct thread        *ended; /* to be joined */
};

struct blocking {
    struct crew crews[BLOCKING_KINDS];
};

/* ---- a thread -------------------------------------------------------------- */

static struct blocking_call *take_call(struct crew *c)
{
    struct blocking_call *call = c->first;
    if (!call) return NULL;
    if (!(c->first = call->next)) c->last = &c->first;
    c->queued--;
    return call;
}

/* For ThreadSanitizer the caller itself calls, on a stack where others have called before.  So that it is ordered after
 * none of them, each call has a thread of its own in the build of order.h, unless calls queue. */
static void run_call(struct thread *t, struct blocking_call *call)
{
    if (!call->context) {
        call->run(call);
        return;
    }
    void *self = context_pose(call->context);
    order_acquire(t); /* pairs with the release below, and with thread_main */
    call->run(call);
    order_release(t);
    context_unpose(self);
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct crew   *c = t->crew;
    t->number = platform_thread_id();
    order_thread(t);
    lock_take(&c->lock);
    for (bool idled = false;;) {
        struct blocking_call *call = take_call(c);
        if (call) {
            lock_drop(&c->lock);
            run_call(t, call);
            chaos_point();
            call->done(call);
            lock_take(&c->lock);
            c->pending--;
            idled = false;
            if (ORDER_PRECISE && c->threads > c->pending) break; /* see run_call */
            continue;
        }
        if (c->closed || idled || ORDER_PRECISE) break;
        uint32_t calls = load_relaxed(&c->calls);
        c->idle++;
        search_park();
        lock_drop(&c->lock);
        search_parked();
        chaos_point();
        int64_t until = platform_clock() + IDLE_NS, left;
        /* acquire: pairs with blocking_submit; what is queued is read under the lock anyway. */
        while (load_acquire(&c->calls) == calls && (left = until - platform_clock()) > 0)
            platform_futex_wait(&c->calls, calls, left);
        idled = load_acquire(&c->calls) == calls;
        search_unpark();
        lock_take(&c->lock);
        c->idle--;
    }
    t->over = platform_thread_clock();
    c->threads--;
    t->next = c->ended;
    c->ended = t;
    lock_drop(&c->lock);
    return NULL;
}

static struct thread *make_thread(void)
{
    order_hide(); /* who frees it is not ordered after this */
    struct thread *t = malloc(sizeof *t);
    order_show();
    return t;
}

static void free_thread(struct thread *t)
{
    order_hide();
    free(t);
    order_show();
}

/* With the lock held. */
static bool start_thread(struct crew *c)
{
    struct thread *t = make_thread();
    if (!t) return false;
    t->crew = c;
    void *self = context_pose(NULL); /* it serves many, and is not ordered after the one that it is started for */
    order_hide();                    /* the frames are the caller's */
    bool started = platform_thread_start(&t->id, THREAD_STACK, thread_main, t) == 0;
    order_show();
    context_unpose(self);
    if (started) c->threads++;
    else free_thread(t);
    return started;
}

static void join_ended(struct thread *t)
{
    while (t) {
        struct thread *next = t->next;
        pthread_join((pthread_t)t->id, NULL);
        search_thread_ended(t->number, t->over);
        free_thread(t);
        t = next;
    }
}

/* ---- calls ----------------------------------------------------------------- */

static struct blocking *get(struct weft_runtime *rt)
{
    struct blocking *b = load_acquire(&rt->blocking), *none = NULL; /* pairs with the release below */
    if (b) return b;
    order_hide(); /* as in make_thread */
    b = calloc(1, sizeof *b);
    order_show();
    if (!b) return NULL;
    for (int i = 0; i < BLOCKING_KINDS; i++) b->crews[i].last = &b->crews[i].first;
    if (cas_acq_rel(&rt->blocking, &none, b)) return b;
    free(b);
    return none;
}

int blocking_submit(struct weft_runtime *rt, enum blocking_kind kind, struct blocking_call *call)
{
    struct blocking *b = get(rt);
    if (!b) return -EAGAIN;
    struct crew *c = &b->crews[kind];
    call->next = NULL;
    lock_take(&c->lock);
    struct thread *ended = c->ended;
    c->ended = NULL;
    if (c->pending >= c->threads && c->threads < most[kind] && !start_thread(c) && c->threads == 0) {
        lock_drop(&c->lock);
        join_ended(ended);
        return -EAGAIN;
    }
    *c->last = call;
    c->last = &call->next;
    c->queued++;
    c->pending++;
    bool wake = c->idle > 0;
    add_release(&c->calls, 1); /* pairs with thread_main */
    lock_drop(&c->lock);
    if (wake) platform_futex_wake(&c->calls, 1);
    join_ended(ended);
    return 0;
}

struct call {
    struct blocking_call call;
    weft_fn             *fn;
    void                *arg;
    int                  result;
    struct weft_runtime *runtime;
    enum blocking_kind   kind;
    struct waiter        waiter;
};

static void run(struct blocking_call *call)
{
    struct call *c = container_of(call, struct call, call);
    c->result = c->fn(c->arg);
}

static void done(struct blocking_call *call)
{
    sub_relaxed(&container_of(call, struct call, call)->runtime->blocking_calls, 1);
    chaos_point();
    park_wake(&container_of(call, struct call, call)->waiter, false);
}

static bool publish(struct waiter *w, void *arg)
{
    struct call *c = arg;
    (void)w;
    struct weft_runtime *rt = c->runtime;
    add_relaxed(&rt->blocking_calls, 1);
    int error = blocking_submit(rt, c->kind, &c->call); /* if it went well, c may be gone by now */
    if (!error) return true;
    sub_relaxed(&rt->blocking_calls, 1);
    c->result = error;
    return false;
}

int blocking_call(enum blocking_kind kind, weft_fn *fn, void *arg)
{
    static const struct wait_kind kinds[BLOCKING_KINDS] = {
        [BLOCKING_CALLS] = {.what = "for a blocking call", .outside = true},
        [BLOCKING_FILES] = {.what = "for a call on a file", .outside = true},
        [BLOCKING_NAMES] = {.what = "for a name to be looked up", .outside = true},
    };
    struct worker *w = worker_self();
    if (!w) return fn(arg);
    struct call c = {.call = {.context = w->fiber->current, .run = run, .done = done},
                     .fn = fn,
                     .arg = arg,
                     .runtime = w->runtime,
                     .kind = kind};
    worker_count_one(&w->count.blocking_calls);
    park_init(&c.waiter, &kinds[kind], (const void *)fn);
    park_wait(&c.waiter, publish, &c);
    return c.result;
}

int weft_blocking(weft_fn *fn, void *arg)
{
    return fn ? blocking_call(BLOCKING_CALLS, fn, arg) : -EINVAL;
}

void blocking_gauges(struct weft_runtime *rt, uint64_t *queued, uint64_t *threads)
{
    struct blocking *b = load_acquire(&rt->blocking); /* pairs with get */
    *queued = *threads = 0;
    for (int i = 0; b && i < BLOCKING_KINDS; i++) {
        lock_take(&b->crews[i].lock);
        *queued += b->crews[i].queued;
        *threads += b->crews[i].threads;
        lock_drop(&b->crews[i].lock);
    }
}

void blocking_stop(struct weft_runtime *rt)
{
    struct blocking *b = load_acquire(&rt->blocking); /* pairs with get */
    for (int i = 0; b && i < BLOCKING_KINDS; i++) {
        struct crew *c = &b->crews[i];
        lock_take(&c->lock);
        c->closed = true;
        add_release(&c->calls, 1); /* pairs with thread_main */
        lock_drop(&c->lock);
        platform_futex_wake(&c->calls, INT32_MAX);
        for (unsigned tries = 0;;) {
            lock_take(&c->lock);
            struct thread *ended = c->ended;
            bool           left = c->threads > 0;
            c->ended = NULL;
            lock_drop(&c->lock);
            join_ended(ended);
            if (!left) break;
            spin_pause(&tries);
        }
    }
    order_hide(); /* as in get */
    free(b);
    order_show();
}
