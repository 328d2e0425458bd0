/* team.h - the workers of a runtime, and what they share
 *
 * The data alone; the files below have a part each: spare the fibers, work what is ready,
 * search the having nothing to do, worker the switching and the loop.
 *
 * worker_self is asked again after everything that may have switched: the task may have
 * gone on on another worker.
 */
#ifndef WEFT_TEAM_H
#define WEFT_TEAM_H

#include "chaos.h"
#include "choice.h"
#include "deque.h"
#include "fiber.h"
#include "idle.h"
#include "inject.h"
#include "pace.h"
#include "poller.h"
#include "root.h"
#include "runq.h"
#include "slot.h"
#include "stack.h"
#include "task.h"
#include "timers.h"

/* Each spare fiber leads to the one that is so many further on in its list, to be fetched: else the list is walked one
 * cache miss after the other. */
#define SPARES_AHEAD 8

#define WORKER_SPARES 32 /* fibers that a worker keeps */

struct blocking;
struct monitor;
struct outbox;
struct uring;
struct worker;

/* What follows on the next stack, on w, once `f` is left; f may run elsewhere before it returns. */
typedef void worker_then(struct worker *w, struct fiber *f, void *arg);

/* What the others would like of a worker. */
enum worker_asked {
    ASKED_SHARE = 1, /* work, or to be called when there is some to take */
    ASKED_WATCH = 2, /* nobody watches: to be called before it goes on for long */
    ASKED_ASIDE = 4, /* work, by one who looks and is not to be called */
};

struct worker_count {
    Atomic(uint64_t) spawned, ended, inlined, switches, steals, parks, wakeups, timers, io_waits, blocking_calls;
};

struct worker {
    /* the owner's, but for the deque's word, which all write */
    struct deque        deque;
    struct fiber       *fiber;  /* that runs; NULL on the thread's own stack */
    int32_t             budget; /* calls that could have waited until it looks whether to breathe */
    struct worker_count count;  /* the owner's to add to, anybody's to read */
    struct slot         next;   /* runs before all else: whom the last task has woken */
    int32_t             near;   /* picks until the next look at the clock */
    int32_t             far;    /* at the last of these looks: near picks that were left until a far one */
    int64_t             far_at; /* when the last far pick was */
    unsigned            picks;  /* of the near ones, by which it takes turns */
    unsigned            turn;   /* which of the oldest it tries first */
    struct pace         near_pace, breath_pace;
    uint64_t            look_turn;    /* the switches at the last look */
    unsigned            looks;        /* in this turn, since the last breath */
    bool                late;         /* a tick has passed before the last look */
    unsigned            late_breaths; /* that a tick has asked for */
    unsigned            breaths;
    /* what its tasks write; NULL: nothing has been put in yet (outbox.c); others take out */
    Atomic(struct outbox *) outbox;
    /* the owner's */
    bool                   poll_due;    /* as soon as no lock is held: who picks may be leaving its stack with some */
    bool                   poll_first;  /* when it has nothing, as the only one: something came at once before */
    int64_t                now;         /* when it has last looked at the clock */
    int64_t                flowed;      /* with a seed: until when virtual time has followed the clock; 0: it stands */
    Atomic(uint32_t)       spare_count; /* for the owner to change, for stats to read */
    struct fiber          *spares[WORKER_SPARES];
    ready_t                spill, spill_tail; /* tasks for which the deque had no memory */
    worker_then           *then;
    void                  *then_arg;
    Atomic(struct fiber *) left; /* on the way from it, until its context is saved; for inspect.c */
    struct root           *left_root;
    ready_t                stash; /* what the loop shall run first */
    struct choice          choice;
    int64_t                stole_at; /* 0: what it runs was not stolen */
    uint32_t               stole_count;
    uint32_t               left_there; /* about how many were left where it stole last */
    int64_t                saved;      /* what stealing has gained, in nanoseconds */
    uint32_t               rests;      /* how often in a row that was used up */
    bool                   rest;       /* now */
    struct context         thread;
    void                  *signal_stack;
    uint64_t               joinable; /* a pthread_t, once started */
    int                    thread_id;
    struct weft_runtime   *runtime;
    unsigned               index;
    /* thieves write */
    _Alignas(CACHE_LINE) Atomic(uint32_t) asked; /* enum worker_asked */
    Atomic(uint64_t) seen_at;                    /* the watch's note: its count of switches */
    Atomic(uint64_t) alone_turn;                 /* the monitor's: the worker's turn in which a task was seen to run */
    Atomic(int64_t)  alone_since;                /* and since when without letting others run; 0: nobody runs */
    struct timers    timers;                     /* of those who wait until a moment and began to here */
    struct runq      yielded;                    /* who merely let others run: behind those who have waited */
    struct runq      runq;                       /* last: most of these two is not touched in a short life */
};

/* What the workers of a runtime share. */
struct weft_runtime {
    struct worker *workers;
    unsigned       count;
    unsigned       cpus; /* that the process may use */
    bool           seeded;
    bool           one_root;            /* all its tasks are on one, which is its one worker */
    void (*loop)(struct context *from); /* at the base of each fiber (worker_loop) */
    void (*run)(struct task *task);     /* runs a task from the loop to its end, and sees to who awaits it */
    /* Nothing can happen any more: says so, and frees who can be; NULL: nobody is to look for that. */
    bool (*stuck)(struct weft_runtime *runtime);
    struct stack_pool stacks;
    Atomic(uint32_t)  spare_lock;             /* of the fibers that no worker keeps */
    ready_t           spare_list, spare_last; /* last: of a queue (SPARES_RESTING) */
    struct fiber     *spare_latest[SPARES_AHEAD];
    Atomic(uint32_t)  spare_count;
    Atomic(uint32_t)  spare_least; /* the fewest since the last look; written under the lock */
    Atomic(int64_t)   spare_due;   /* when the next look is */
    Atomic(uint32_t)  starving;    /* workers that look for a stack in vain */
    Atomic(uint64_t)  fibers;      /* made and not ended */
    Atomic(uint32_t)  look_lock;   /* who has it looks at fibers, or ends one */
    _Alignas(CACHE_LINE) struct inject inject;
    Atomic(uint64_t) outside_spawned; /* tasks that came from plain threads or other runtimes */
    Atomic(uint64_t) shared_wakeups;  /* workers woken for what is in the shared queue */
    _Alignas(CACHE_LINE) struct idle idle;
    Atomic(uint32_t) lookers;                   /* workers that run, have nothing, and look for some */
    Atomic(uint32_t) pins;                      /* how many others are waking something here: it is not freed */
    _Alignas(CACHE_LINE) Atomic(int32_t) epoch; /* of cancelling, which changes it under cancel_lock: cancel.h */
    Atomic(uint32_t) cancel_lock;
    Atomic(bool)     timed; /* there has been a scope with a deadline */
    struct poller    poller;
    uint64_t         mark;     /* one bit, no other runtime's: struct descriptor's `registered`; 0: none was left */
    Atomic(bool)     io_waits; /* somebody has begun to wait for a descriptor since they were last looked after */
    void (*reported)(struct weft_runtime *runtime, const struct poller_report *reports,
                     unsigned count);                 /* wakes who waits */
    bool (*look_after)(struct weft_runtime *runtime); /* those who wait for a descriptor for long; true: again later */
    Atomic(int64_t) looked_after;                     /* when that was */
    void (*send_out)(struct worker *w);               /* by the worker: what is in its outbox */
    /* By another, whether there is something; `take`: it is made ready here. */
    bool (*unsent)(struct worker *victim, bool take);
    Atomic(struct blocking *) blocking;       /* NULL: no call has been made (blocking.c) */
    Atomic(struct uring *)    uring;          /* NULL: none was needed, or can be had (uring.c) */
    Atomic(uint32_t)          blocking_calls; /* that have not ended, and requests of uring.c */
    void                     *outermost;      /* the runtime's own scope (scope.c) */
    struct weft_runtime      *registered;     /* the next one (registry.c) */
    unsigned                  visitors;       /* of registry_each */
    unsigned                  reports;        /* of deadlocks, so far */
    struct monitor           *monitor;        /* NULL: it is not watched (monitor.c) */
    void (*lets_go)(struct worker *w); /* of one that is: a task leaves its stack, or lets others run; else NULL */
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

/* The moment; for a task with a seed the virtual one.  NULL: a plain thread. */
static inline int64_t worker_now(const struct worker *w)
{
    return w ? choice_now(&w->choice) : platform_clock();
}

/* The fiber of the calling task; NULL in a plain thread. */
static inline struct fiber *worker_fiber(void)
{
    struct worker *w = worker_self();
    return w ? w->fiber : NULL;
}

/* Changes whenever another task begins to run on the worker. */
static inline uint64_t worker_turn(const struct worker *w)
{
    return load_relaxed(&w->count.switches) + load_relaxed(&w->count.ended);
}

static always_inline void worker_count_one(Atomic(uint64_t) *count)
{
    store_relaxed(count, load_relaxed(count) + 1);
}

#endif
