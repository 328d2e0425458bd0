/* worker.h - the loop that every stack has at its base, and what feeds it
 *
 * A worker is a thread that runs tasks.  It runs them as plain calls from the
 * loop at the base of a stack (a fiber).  When a task waits, its fiber leaves with
 * it, loop frame and all, and the worker goes on in another fiber: straight in the
 * one that is ready, or in the loop of a spare one.
 *
 * Invariants
 *   - A worker that runs a task has a spare fiber, so that the task can always
 *     be left.
 *   - A fiber is left first and published second: what makes it findable
 *     (`then`) runs on the next stack, when its context is saved.
 *   - worker_self is asked again after everything that may have switched.
 */
#ifndef WEFT_WORKER_H
#define WEFT_WORKER_H

#include "choice.h"
#include "deque.h"
#include "fiber.h"
#include "idle.h"
#include "inject.h"
#include "lock.h"
#include "root.h"
#include "runq.h"
#include "stack.h"
#include "task.h"

#ifndef WEFT_MIGRATE
#define WEFT_MIGRATE 0 /* 1: what is resumed goes on on another worker, whenever there is one */
#endif

#define WORKER_SPARES 32 /* fibers that a worker keeps */

struct worker;

/* What follows on the next stack, on w, once `f` is left; f may run elsewhere before it returns. */
typedef void worker_then(struct worker *w, struct fiber *f, void *arg);

struct worker_count {
    Atomic(uint64_t) spawned, ended, inlined, switches, steals, parks, wakeups;
};

struct worker {
    /* the owner's, but for the deque's word, which all write */
    struct deque         deque;
    struct fiber        *fiber;  /* that runs; NULL on the thread's own stack */
    int32_t              budget; /* calls that could have waited until the next breath */
    struct worker_count  count;  /* the owner's to add to, anybody's to read */
    ready_t              next;   /* runs before all else: what the task that just ended has made ready */
    int32_t              near;   /* picks until one that begins with the oldest */
    unsigned             turn;   /* which of the oldest it tries first */
    unsigned             breaths;
    Atomic(uint32_t)     spare_count; /* for the owner to change, for stats to read */
    struct fiber        *spares[WORKER_SPARES];
    ready_t              spill, spill_tail; /* tasks for which the deque had no memory */
    worker_then         *then;
    void                *then_arg;
    struct fiber        *left;
    struct root         *left_root;
    ready_t              stash; /* what the loop shall run first */
    struct choice        choice;
    int64_t              stole_at; /* 0: what it runs was not stolen */
    uint32_t             stole_count;
    int64_t              saved; /* what stealing has gained, in nanoseconds */
    uint32_t             rests; /* how often in a row that was used up */
    bool                 rest;  /* now */
    struct context       thread;
    void                *signal_stack;
    uint64_t             joinable; /* a pthread_t, once started */
    struct weft_runtime *runtime;
    unsigned             index;
    /* thieves write */
    _Alignas(CACHE_LINE)
        Atomic(uint32_t) asked; /* somebody would like to have some work, or to be called when there is */
    struct runq runq;           /* last: most of it is not touched in a short life */
};

/* What the workers of a runtime share. */
struct weft_runtime {
    struct worker *workers;
    unsigned       count;
    bool           seeded;
    size_t         stack_size;
    void (*run)(struct task *task); /* runs a task from the loop to its end, and sees to who awaits it */
    struct stack_pool stacks;
    Atomic(uint32_t)  spare_lock; /* of the fibers that no worker keeps */
    ready_t           spare_list;
    Atomic(uint32_t)  spare_count;
    Atomic(uint32_t)  starving; /* workers that look for a stack in vain */
    Atomic(uint64_t)  fibers;   /* made and not ended */
    _Alignas(CACHE_LINE) struct inject inject;
    Atomic(uint64_t) outside_spawned; /* tasks that came from plain threads or other runtimes */
    Atomic(uint64_t) shared_wakeups;  /* workers woken for what is in the shared queue */
    _Alignas(CACHE_LINE) struct idle idle;
    Atomic(uint32_t) pins;                       /* how many others are waking something here: it is not freed */
    _Alignas(CACHE_LINE) Atomic(uint64_t) epoch; /* how often anything was cancelled */
    Atomic(uint32_t) cancel_lock;
    void            *outermost; /* the runtime's own scope (scope.c) */
};

/* ---- who runs ------------------------------------------------------------ */

extern _Thread_local struct worker *worker_here __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The calling thread's worker, NULL in a plain thread.  It is read by volatile
 * assembly because compilers keep the address of a thread-local over calls, and a
 * call may end on another thread.  Rejected: an out-of-line accessor, which costs
 * as much as all the rest of a spawn's loads. */
static always_inline struct worker *worker_self(void)
{
    struct worker *w;
#if defined(__x86_64__)
    __asm__ volatile("movq worker_here@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(w));
#elif defined(__aarch64__)
    void *base;
    __asm__ volatile("mrs %1, tpidr_el0\n\t"
                     "adrp %0, :gottprel:worker_here\n\t"
                     "ldr %0, [%0, :gottprel_lo12:worker_here]\n\t"
                     "ldr %0, [%1, %0]"
                     : "=&r"(w), "=&r"(base));
#endif
    return w;
}

/* The fiber of the calling task; NULL in a plain thread. */
static inline struct fiber *worker_fiber(void)
{
    struct worker *w = worker_self();
    return w ? w->fiber : NULL;
}

static always_inline void worker_count_one(Atomic(uint64_t) *count)
{
    store_relaxed(count, load_relaxed(count) + 1);
}

/* ---- making things ready ------------------------------------------------- */

/* The owner's answer to `asked`: publishes, and wakes who sleeps. */
void worker_answer(struct worker *w);

void worker_push_slow(struct worker *w, struct task *task);

/* By a task: a free task that has not begun is ready, here or for thieves. */
static always_inline void worker_push(struct worker *w, struct task *task)
{
    if (unlikely(!deque_push_fast(&w->deque, task))) worker_push_slow(w, task);
    else if (unlikely(load_relaxed(&w->asked))) worker_answer(w);
}

/* By any thread: the item is ready in that runtime, which the caller knows to be
 * alive until the item runs. */
void worker_ready(struct weft_runtime *runtime, ready_t item);

/* As worker_ready, for a task that ends: if it can, the item runs next on this worker. */
void worker_ready_next(struct weft_runtime *runtime, ready_t item);

/* A fiber is ready, in its root if it has one. */
void worker_ready_fiber(struct fiber *f, bool next);

/* ---- switching ----------------------------------------------------------- */

/* By a task: leaves its fiber, for which `then` runs on the next stack, and goes on
 * with what is ready.  Returns when somebody has made the fiber ready. */
void worker_suspend(struct worker *w, worker_then *then, void *arg);

/* By a task: lets what is ready run, and goes on after that. */
void worker_yield(struct worker *w);

/* By a task, in a call that need not wait: every WORKER_BUDGET such calls what was resumed or
 * came from outside runs first; every WORKER_BREATHS of these times the oldest task that has not
 * begun.  That is seldom, since to begin the far end of a recursion costs a stack, and most
 * often the recursion would have come to it.  With a seed all this is drawn at random. */
#define WORKER_BUDGET  4096
#define WORKER_BREATHS 64
void worker_breathe(struct worker *w);

static always_inline void worker_spend(struct worker *w)
{
    if (unlikely(--w->budget < 0)) worker_breathe(w);
}

/* May the fiber run an unstarted task in place?  Sets its floor. */
void worker_set_floor(struct fiber *f);

/* ---- for the runtime ----------------------------------------------------- */

/* -ENOMEM.  The worker has a spare fiber after. */
int  worker_init(struct worker *w, struct weft_runtime *runtime, unsigned index, uint64_t seed);
void worker_destroy(struct worker *w);
/* The thread: returns when the runtime is closed. */
void worker_main(struct worker *w);
/* Ends the fibers that the runtime keeps; after the workers are destroyed. */
void worker_end_spares(struct weft_runtime *runtime);
/* Whether the address is in the guard of the stack that the calling thread runs on; then says so on stderr. */
bool worker_describe_fault(void *address);

#endif
