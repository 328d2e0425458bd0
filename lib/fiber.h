/* fiber.h - a stack with a worker's loop at its base, and what runs on it
 *
 * The fiber lies at the top of its own stack, so that a suspended task costs the
 * pages it has touched and nothing else.  It, and not the worker, knows who
 * runs: a task that goes on elsewhere takes this with it, and a task that runs
 * in place puts itself here and takes itself away again.
 */
#ifndef WEFT_FIBER_H
#define WEFT_FIBER_H

#include "context.h"
#include "task.h"

struct root;
struct waiter;
struct weft_runtime;

struct fiber {
    /* for whoever runs on it; this and what a switch touches is one cache line */
    struct node         *node;    /* the running task, or the innermost scope that it has open */
    char                *floor;   /* above it there is room to run a task in place; UINTPTR_MAX: no place at all */
    struct root         *root;    /* NULL: free */
    struct weft_runtime *runtime; /* for good */
    struct context      *current; /* the stack that it is on: its own context, or that of a generator it has resumed */
    /* for whoever has it */
    ready_link           next; /* in a ready list, or in a pool */
    Atomic(bool)         held; /* somebody looks at it: nobody goes on in it (inspect.c) */
    Atomic(bool)         made; /* there is a fiber: in the memory of a stack that was put back there is none */
    struct context       context;
    const struct waiter *waiter; /* that stands for it, until it is woken */
    weft_fn             *fn;     /* of the task that has begun on it */
    Atomic(bool)         named;  /* the monitor has named that task */
    unsigned             avoid;  /* chaos: the worker, from 1, that it shall not go on on */
    int64_t              due; /* no scope that it is in has an earlier deadline (cancel_look); INT64_MIN: not known */
    char                *low; /* of the stack and its guard, for good */
    /* addresses to be fetched, no more */
    union {
        const struct fiber *ahead;   /* spare: one further on in the list, or that was there */
        const void         *soon[2]; /* in use: what it has said it reads, and writes, first when it goes on */
    };
};

_Static_assert(offsetof(struct fiber, context.sp) + sizeof(void *) <= CACHE_LINE, "one line");

/* Where the fiber of a stack lies, and where its own use of the stack begins. */
static inline struct fiber *fiber_at(char *top)
{
    return (struct fiber *)((uintptr_t)(top - sizeof(struct fiber)) & ~(uintptr_t)(CACHE_LINE - 1));
}

/* It will soon go on, after a time in which others had the caches: these are brought what it reads first. */
static inline void fiber_expect(const struct fiber *f)
{
    context_prefetch(f->current);
    prefetch(f->node);
}

/* The same for a fiber that others may take meanwhile, in two steps with some time in between.  The first reads
 * nothing; the second reads the fiber alone, which is there as long as its runtime is, and not what it points to, as
 * its task or its generator may have ended. */
static inline void fiber_fetch(const struct fiber *f)
{
    prefetch(f);
    prefetch(&f->waiter);
}

/* The frames that a wait for a descriptor returns through. */
#define FIBER_FRAMES 8

static inline void fiber_fetch_stack(const struct fiber *f)
{
    for (unsigned i = 0; i < FIBER_FRAMES; i++) prefetch((uintptr_t)f->context.sp + i * CACHE_LINE);
    prefetch(f->node);
    prefetch(f->soon[0]);
    prefetch_written(f->soon[1]);
}

static inline ready_t fiber_ready(struct fiber *f)
{
    return ready_make(&f->next, READY_FIBER);
}

static inline struct fiber *fiber_of(ready_t item)
{
    return container_of(ready_to_link(item), struct fiber, next);
}

#endif
