/* gen.c - generators: a stack and a place of its own, resumed by whoever holds it
 *
 * Guarantees
 *   - Of those that resume a generator at the same time exactly one does; the others get -EBUSY.
 *   - To resume takes two switches, however deep the generator delegates.
 *   - Whoever sees that it stands at a yield, or has ended, sees all that its body did before; its stack
 *     is left by then, so that it may go on on another thread, or be destroyed.
 *
 * Its state
 *      FRESH       made, and not begun
 *      SUSPENDED   its body stands at a yield, or at a yield_from whose inner one does
 *      RUNNING     somebody resumes it: its body runs, or one to which it delegates
 *      DELEGATED   another one delegates to it
 *      DONE        its body has returned, or never will begin
 *
 *      FRESH, SUSPENDED  --take-->    RUNNING     a resumer, whose it is until it gives it back
 *      FRESH, SUSPENDED  --take-->    DELEGATED   a body in yield_from
 *      RUNNING           --give-->    SUSPENDED   the resumer, back on its own stack
 *      RUNNING           --give-->    DONE        the resumer, back on its own stack
 *      DELEGATED         --give-->    DONE        the body in yield_from, back on its own stack
 *      DELEGATED         --give-->    SUSPENDED   who destroys the one that delegates to it
 *
 * Generators that delegate to each other are a chain from the outermost, `top`, to the innermost. The
 * top alone has the chain's resumer, knows the innermost, and carries what goes in and out, so a resume
 * switches from the resumer to the innermost and a yield switches back, past all in between.  When the innermost
 * ends, the one outside of it becomes it.  Only the innermost knows the top, and is told anew with every
 * resume: so a chain may become the tail of another at the cost of one pointer.
 *
 * A generator's stack is a context like any other.  The task, or the plain thread, on which it runs notes
 * which context it is on: so a task that waits in a body leaves from, and comes back to, the generator's
 * stack, and what tools are told of a switch is told of the right stack.
 *
 * Who is on a generator's stack is its body: that is how weft_gen_yield knows.  No task runs in place there.
 */
#include "context.h"
#include "fiber.h"
#include "lock.h"
#include "order.h"
#include "platform.h"
#include "stack.h"
#include "team.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum state { FRESH, SUSPENDED, RUNNING, DELEGATED, DONE }; /* up to SUSPENDED it may be taken */

#define ARG_ROOM 64 /* a copy of so many bytes needs no block of its own */

struct pool;

/* It lies at the top of its own stack, so that it takes the pages touched and nothing else. */
struct weft_gen {
    Atomic(uint32_t) state;
    /* whose it is by the state */
    bool             ended;     /* its body has returned */
    int              error;     /* of a top: what the pending yield fails with, and takes away */
    void            *sent;      /* of a top: what the pending yield gives, and takes away */
    void            *value;     /* of a top: what was yielded */
    struct weft_gen *innermost; /* of a top: who stands at a yield, often itself */
    struct weft_gen *top;       /* of the innermost, while the chain runs */
    struct context **here;      /* of a top that runs: where its task or thread notes which context it is on */
    struct context   context;   /* what is under it: of a top the resumer, else the one that delegates to it */
    char            *floor;     /* of a top that a task runs: what its fiber had; else NULL */
    struct weft_gen *outer;     /* who delegates to it, or NULL */
    struct weft_gen *inner;     /* to whom it delegates, or NULL */
    struct weft_gen *closing;   /* of a top that is being closed: the last one that was told */
    int              result;
    weft_gen_fn     *fn;
    void            *arg;
    void            *block; /* the copy of the argument, if it is a large one */
    struct pool     *pool;  /* for good, as what follows */
    char            *low;   /* of the stack and its guard */
    struct weft_gen *next;  /* in pool->warm */
    _Alignas(max_align_t) char room[ARG_ROOM];
};

/* ---- stacks --------------------------------------------------------------- */

/* A generator may outlive the runtime that it was made in, so the stacks are the process's: a pool for
 * each size, which keeps a few that are warm.  Of the rest nothing is left once no generator lives. */
#define WARM_BYTES ((size_t)2 << 20) /* of stacks that are kept as they are */
#define WARM_MOST  32
#define KEEP_BYTES ((size_t)20 << 20) /* of address space: some of the first slab's stacks */

struct pool {
    Atomic(uint32_t)  lock;
    bool              ready;
    struct stack_pool stacks;
    size_t            live; /* generators */
    struct weft_gen  *warm; /* destroyed ones, the newest first: their contexts are at the base, or have not begun */
    size_t            warm_count;
};

static struct pool pools[64]; /* by the binary logarithm of the size */

static void run_bodies(struct context *from);

static struct weft_gen *make(struct pool *pool)
{
    bool  canary;
    char *low = stack_get(&pool->stacks, &canary);
    if (!low) return NULL;
    char            *top = stack_top(&pool->stacks, low);
    struct weft_gen *g = (struct weft_gen *)((uintptr_t)(top - sizeof *g) & ~(uintptr_t)(CACHE_LINE - 1));
    g->pool = pool;
    g->low = low;
    context_make(&g->context, stack_floor(&pool->stacks, low), (char *)g, run_bodies);
    g->context.canary = canary;
    return g;
}

static void unmake(struct weft_gen *g)
{
    context_end(&g->context);
    stack_put(&g->pool->stacks, g->low); /* g is gone with it */
}

static struct weft_gen *get(size_t stack_size)
{
    struct pool *pool = &pools[__builtin_ctzl(stack_size)];
    lock_take(&pool->lock);
    if (!pool->ready) {
        platform_init();
        stack_pool_init(&pool->stacks, stack_size);
        pool->stacks.keep = KEEP_BYTES;
        pool->ready = true;
    }
    struct weft_gen *g = pool->warm;
    if (g) {
        pool->warm = g->next;
        pool->warm_count--;
    }
    pool->live++;
    lock_drop(&pool->lock);
    if (g) {
        context_revive(&g->context);
        return g;
    }
    if ((g = make(pool))) return g;
    lock_take(&pool->lock);
    pool->live--;
    lock_drop(&pool->lock);
    return NULL;
}

/* Nobody will resume it, and its context is at the base or has not begun. */
static void put(struct weft_gen *g)
{
    struct pool *pool = g->pool;
    size_t       most = min_of(WARM_BYTES / pool->stacks.size, (size_t)WARM_MOST);
    context_bury(&g->context);
    g->next = NULL;
    lock_take(&pool->lock);
    struct weft_gen *list = g;
    if (--pool->live == 0 && load_relaxed(&pool->stacks.bytes) > KEEP_BYTES) {
        /* The warm ones may lie scattered over all slabs, so they go too. */
        g->next = pool->warm;
        pool->warm = NULL;
        pool->warm_count = 0;
    } else if (pool->warm_count < most) {
        g->next = pool->warm;
        pool->warm = g;
        pool->warm_count++;
        list = NULL;
    }
    lock_drop(&pool->lock);
    while ((g = list)) {
        list = g->next;
        unmake(g);
    }
}

/* ---- the state ------------------------------------------------------------ */

/* The state before: if that was FRESH or SUSPENDED, it is now `as`, and the caller's. */
static always_inline enum state take(struct weft_gen *g, enum state as)
{
    uint32_t state = SUSPENDED;
    do {
        /* acquire: pairs with give; what the body did, and who resumed it last, is seen. */
        if (likely(cas_acquire(&g->state, &state, (uint32_t)as))) break;
    } while (state <= SUSPENDED);
    return state;
}

/* The caller's last touch. */
static always_inline void give(struct weft_gen *g, enum state state)
{
    store_release(&g->state, (uint32_t)state); /* pairs with take, weft_gen_done and weft_gen_result */
}

/* ---- switching ------------------------------------------------------------ */

/* A plain thread's own stack, and the one that it is on: its own, or that of a generator it has resumed. */
static _Thread_local struct {
    struct context  own;
    struct context *current;
} plain;

static noinline void plain_begin(void)
{
    context_thread(&plain.own);
    plain.current = &plain.own;
}

/* Where the caller's task, or else its thread, notes which context it is on.  A thread's first time there is none
 * yet. */
static always_inline struct context **here(struct fiber *f)
{
    return f ? &f->current : &plain.current;
}

static always_inline bool on_stack_of(const struct weft_gen *g)
{
    return (size_t)((const char *)g - base_stack_pointer()) < g->context.size;
}

/* Before a running body's stack is left. */
static always_inline void check(const struct weft_gen *g)
{
    if (unlikely(load_relaxed(&stack_leaving)) && g->context.canary) stack_check(g->context.low);
}

/* Most often a generator is resumed again from where it was the last time.  The take that follows has to wait until
 * all that was stored before is in the cache, so what is the same is not stored again. */
#define keep(place, value) ((place) == (value) ? (void)0 : (void)((place) = (value)))

/* Resumes the generator, which is the caller's: what follows is to leave g->context.under for the result. */
static always_inline struct context *enter(struct weft_gen *g, struct fiber *f)
{
    struct context **at = here(f);
    struct weft_gen *innermost = g->innermost;
    char            *floor = NULL;
    order_release(g); /* each acquires what the others released at the top of their chain */
    if (f) {
        floor = f->floor;
        f->floor = (char *)UINTPTR_MAX;
    }
    keep(g->floor, floor);
    keep(g->here, at);
    keep(g->context.under, *at);
    keep(innermost->top, g);
    return *at = &innermost->context;
}

/* Back on the resumer's stack.  Its fiber, or its thread, is the same: only the worker under the fiber may be
 * another. */
static always_inline void back(struct weft_gen *g)
{
    order_acquire(g);
    *g->here = g->context.under;
    if (g->floor) container_of(g->here, struct fiber, current)->floor = g->floor;
}

/* Then: gives the generator back, and says what came of it. */
static always_inline int come(struct weft_gen *g, void **value)
{
    if (unlikely(g->ended)) {
        int result = g->result;
        give(g, DONE);
        return min_of(result, 0);
    }
    if (value) *value = g->value;
    give(g, SUSPENDED);
    return 1;
}

static int resumed(void *gen, void *value)
{
    back(gen);
    return come(gen, value);
}

/* Resumes the generator, and leaves it the caller's. */
static noinline void go(struct weft_gen *g)
{
    struct fiber *f = worker_fiber();
    if (!*here(f)) plain_begin();
    struct context *to = enter(g, f);
    context_switch(g->context.under, to);
    back(g);
}

/* At the base of the stack: one body after the other, as the stack is used again. */
static void run_bodies(struct context *from)
{
    for (struct weft_gen *g = container_of(from->to, struct weft_gen, context);;) {
        order_acquire(g->top);
        g->result = g->fn(g, g->arg);
        order_release(g->top);
        struct weft_gen *top = g->top, *outer = g->outer;
        g->ended = true;
        if (outer) {
            top->innermost = outer;
            outer->top = top;
            *top->here = &outer->context;
        }
        check(g);
        context_switch(&g->context, g->context.under);
    }
}

/* ---- for the holder ------------------------------------------------------- */

int weft_gen_create(weft_gen **gen, weft_gen_fn *fn, const void *arg, size_t size)
{
    if (!gen) return -EINVAL;
    *gen = NULL;
    if (!fn || (size > 0 && !arg)) return -EINVAL;
    struct fiber *f = worker_fiber();
    void         *block = NULL;
    if (size > ARG_ROOM && !(block = malloc(size))) return -ENOMEM;
    struct weft_gen *g = get(f ? f->runtime->stacks.size : STACK_DEFAULT);
    if (!g) {
        free(block);
        return -ENOMEM;
    }
    g->ended = false;
    g->error = 0;
    g->sent = g->value = NULL;
    g->innermost = g;
    g->outer = g->inner = g->closing = NULL;
    g->result = -ECANCELED;
    g->fn = fn;
    g->arg = size == 0 ? (void *)arg : block ? block : g->room;
    g->block = block;
    order_hide(); /* the room is the stack's, where others have been */
    if (size > 0) memcpy(g->arg, arg, size);
    order_show();
    g->context.what = (const void *)fn;
    atomic_set(&g->state, FRESH);
    *gen = g;
    return 0;
}

static noinline int resume_first(struct weft_gen *g, void *sent, void **value)
{
    plain_begin();
    return weft_gen_send(g, sent, value);
}

static always_inline int resume(struct weft_gen *g, void *sent, void **value)
{
    if (!g) return -EINVAL;
    /* Before it is taken, so that whoever may resume it finds it free; it is never FRESH again. */
    if (sent && unlikely(load_relaxed(&g->state) == FRESH)) return -EINVAL;
    struct fiber *f = worker_fiber();
    if (unlikely(!*here(f))) return resume_first(g, sent, value);
    enum state state = take(g, RUNNING);
    if (unlikely(state > SUSPENDED)) return state == DONE ? 0 : -EBUSY;
    keep(g->sent, sent);
    struct context *to = enter(g, f);
    return context_pass(g->context.under, to, resumed, g, value);
}

int weft_gen_next(weft_gen *g, void **value)
{
    return resume(g, NULL, value);
}

int weft_gen_send(weft_gen *g, void *sent, void **value)
{
    return resume(g, sent, value);
}

int weft_gen_throw(weft_gen *g, int error, void **value)
{
    if (!g || error >= 0) return -EINVAL;
    enum state state = take(g, RUNNING);
    if (state == FRESH) give(g, DONE);
    if (state == FRESH || state == DONE) return error;
    if (state != SUSPENDED) return -EBUSY;
    g->error = error;
    go(g);
    return come(g, value);
}

/* The generator is the caller's, and stands at a yield. */
static void tell_to_end(struct weft_gen *g)
{
    g->error = -ECANCELED;
    g->closing = g->innermost;
    go(g);
    g->closing = NULL;
}

int weft_gen_close(weft_gen *g)
{
    if (!g) return -EINVAL;
    enum state state = take(g, RUNNING);
    if (state == FRESH) give(g, DONE);
    if (state == FRESH || state == DONE) return 0;
    if (state != SUSPENDED) return -EBUSY;
    tell_to_end(g);
    return come(g, NULL) == 1 ? -EBUSY : 0;
}

bool weft_gen_done(const weft_gen *g)
{
    if (g && load_acquire(&g->state) != DONE) return false; /* pairs with give */
    if (g) order_acquire(g);
    return true;
}

int weft_gen_result(const weft_gen *g)
{
    if (!g) return -EINVAL;
    return weft_gen_done(g) ? g->result : -EAGAIN;
}

static _Noreturn noinline void destroyed_while_it_runs(void)
{
    base_die("a generator is destroyed while it runs");
}

/* Takes a generator out of the middle of a chain, which becomes two: it is the caller's, and the one outside of
 * it goes on, at its next resume, as if this had been closed. */
static void cut(struct weft_gen *g)
{
    struct weft_gen *outer = g->outer, *top = outer;
    while (top->outer) top = top->outer;
    if (take(top, RUNNING) != SUSPENDED) destroyed_while_it_runs();
    g->innermost = top->innermost;
    g->outer = NULL;
    outer->inner = NULL;
    top->innermost = outer;
    give(top, SUSPENDED);
}

void weft_gen_destroy(weft_gen *g)
{
    if (!g) return;
    enum state state = take(g, RUNNING);
    if (state == RUNNING) destroyed_while_it_runs();
    if (state == DELEGATED) cut(g);
    if (state == DELEGATED || state == SUSPENDED) {
        tell_to_end(g);
        if (!g->ended) {
            struct weft_gen *inner = g->inner;
            if (inner) {
                inner->innermost = g->innermost;
                inner->outer = NULL;
                give(inner, SUSPENDED);
            }
            bool canary = g->context.canary;
            context_end(&g->context);
            context_make(&g->context, g->context.low, (char *)g, run_bodies);
            g->context.canary = canary;
        }
    }
    free(g->block);
    put(g);
}

/* ---- for the body --------------------------------------------------------- */

/* What the pending yield, or yield_from, of the innermost takes in. */
static int take_in(void *gen, void *sent)
{
    struct weft_gen *top = ((struct weft_gen *)gen)->top;
    int              error = top->error;
    order_acquire(top);
    if (sent) *(void **)sent = top->sent;
    keep(top->sent, NULL);
    keep(top->error, 0);
    return error;
}

int weft_gen_yield(weft_gen *self, void *value, void **sent)
{
    if (!self) return -EINVAL;
    if (unlikely(!on_stack_of(self))) return -EPERM;
    check(self);
    struct weft_gen *top = self->top;
    keep(top->value, value);
    order_release(top);
    return context_pass(&self->context, top->context.under, take_in, self, sent);
}

int weft_gen_yield_from(weft_gen *self, weft_gen *inner)
{
    if (!self || !inner) return -EINVAL;
    if (!on_stack_of(self)) return -EPERM;
    enum state state = take(inner, DELEGATED);
    if (state > SUSPENDED) return state == DONE ? inner->result : -EBUSY;
    struct weft_gen *top = self->top, *innermost = inner->innermost;
    inner->outer = self;
    inner->context.under = &self->context;
    self->inner = inner;
    top->innermost = innermost;
    innermost->top = top;
    *top->here = &innermost->context;
    check(self);
    order_release(top);
    context_switch(&self->context, &innermost->context);
    order_acquire(self->top);
    if (!self->inner) { /* it was destroyed while all of them stood still */
        int error = take_in(self, NULL);
        return error ? error : -ECANCELED;
    }
    self->inner = NULL;
    int result = inner->result;
    top = self->top; /* this chain may have become the tail of another */
    if (top->closing == inner) {
        top->closing = self;
        result = -ECANCELED;
    }
    give(inner, DONE);
    return result;
}
