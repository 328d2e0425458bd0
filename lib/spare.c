#include "spare.h"
#include "lock.h"
#include "order.h"

#include <string.h>

static struct fiber *make_fiber(struct weft_runtime *rt)
{
    bool  canary;
    char *low = stack_get(&rt->stacks, &canary);
    if (!low) return NULL;
    struct fiber *f = fiber_at(stack_top(&rt->stacks, low));
    /* Whoever looks at all stacks may read `made` meanwhile, which is false. */
    memset(f, 0, offsetof(struct fiber, made));
    memset(&f->context, 0, sizeof *f - offsetof(struct fiber, context));
    f->low = low;
    f->runtime = rt;
    f->current = &f->context;
    atomic_set(&f->next, 0);
    context_make(&f->context, stack_floor(&rt->stacks, low), (char *)f, rt->loop);
    f->context.canary = canary;
    add_relaxed(&rt->fibers, 1);
    spare_set_floor(f);
    store_release(&f->made, true); /* pairs with hold in inspect.c */
    return f;
}

static void end_fiber(struct fiber *f)
{
    struct weft_runtime *rt = f->runtime;
    lock_take(&rt->look_lock); /* nobody looks at it now, */
    store_relaxed(&f->made, false);
    lock_drop(&rt->look_lock); /* nor ever again */
    context_end(&f->context);
    stack_put(&rt->stacks, f->low); /* f is gone with it */
    sub_relaxed(&rt->fibers, 1);
}

void spare_set_floor(struct fiber *f)
{
    bool                     never = STACK_PER_TASK || f->root || f->runtime->seeded || f->current != &f->context;
    const struct stack_pool *stacks = &f->runtime->stacks;
    f->floor = never ? (char *)UINTPTR_MAX : stack_floor(stacks, f->low) + stacks->size / 2;
}

/* To give a stack back and to touch it anew costs as much as a hundred switches, and on several workers, which it
 * interrupts each time, ten times that.  Tasks come and go by the hundred thousand together: with SPARES_KEPT as the
 * limit a million that slept for up to 100 ms took twice the time.  So all that end are kept, and those that were not
 * needed since the last look go back a few at a time, in a fiftieth of one worker's time, whatever that costs here;
 * SPARES_KEPT of them stay until the runtime is idle. */
#define SPARES_BACK       256u
#define SPARES_BACK_NS    (10 * WEFT_MS)
#define SPARES_BACK_SHARE 50

/* For ThreadSanitizer a fiber is a thread, and tasks that run in it one after the other are ordered.  So that a race
 * between two tasks that soon follow each other is seen, fibers then rest, in a queue that
 * all workers share: so many others are used before it is used again. */
#define SPARES_RESTING (ORDER_PRECISE ? 128u : 0u)
#define SPARES_TAKEN   (ORDER_PRECISE ? 1u : WORKER_SPARES / 2)

/* Two lines of it will soon be wanted.  It may be long gone. */
static void expect(const struct fiber *f)
{
    if (!f) return;
    prefetch(f);
    prefetch(&f->ahead);
}

struct fiber *spare_get(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    uint32_t             have = load_relaxed(&w->spare_count);
    if (have == 0) {
        lock_take(&rt->spare_lock);
        uint32_t shared = load_relaxed(&rt->spare_count);
        for (; shared > SPARES_RESTING && have < SPARES_TAKEN; shared--) {
            struct fiber *f = fiber_of(rt->spare_list);
            expect(f->ahead);
            rt->spare_list = ready_next(rt->spare_list);
            w->spares[have++] = f;
        }
        store_relaxed(&rt->spare_count, shared);
        store_relaxed(&rt->spare_least, min_of(load_relaxed(&rt->spare_least), shared));
        lock_drop(&rt->spare_lock);
    }
    if (have == 0) return make_fiber(rt);
    struct fiber *f = w->spares[--have];
    store_relaxed(&w->spare_count, have);
    context_revive(&f->context);
    return f;
}

/* The older half goes to the runtime. */
static void spares_halve(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    uint32_t             half = WORKER_SPARES / 2;
    _Static_assert(WORKER_SPARES / 2 % SPARES_AHEAD == 0, "the next half goes on in the same turn");
    lock_take(&rt->spare_lock);
    for (uint32_t i = 0; i < half; i++) {
        ready_t item = fiber_ready(w->spares[i]);
        ready_set_next(item, rt->spare_list);
        w->spares[i]->ahead = rt->spare_latest[i % SPARES_AHEAD];
        rt->spare_latest[i % SPARES_AHEAD] = w->spares[i];
        rt->spare_list = item;
    }
    store_relaxed(&rt->spare_count, load_relaxed(&rt->spare_count) + half);
    lock_drop(&rt->spare_lock);
    memmove(w->spares, w->spares + half, half * sizeof w->spares[0]);
    store_relaxed(&w->spare_count, half);
}

static always_inline void keep(struct worker *w, struct fiber *f)
{
    uint32_t have = load_relaxed(&w->spare_count);
    w->spares[have] = f;
    store_relaxed(&w->spare_count, have + 1);
}

static void rest(struct weft_runtime *rt, struct fiber *f)
{
    ready_t item = fiber_ready(f);
    ready_set_next(item, 0);
    lock_take(&rt->spare_lock);
    if (rt->spare_list) ready_set_next(rt->spare_last, item);
    else rt->spare_list = item;
    rt->spare_last = item;
    store_relaxed(&rt->spare_count, load_relaxed(&rt->spare_count) + 1);
    lock_drop(&rt->spare_lock);
}

void spare_put(struct worker *w, struct fiber *f)
{
    context_bury(&f->context);
    if (ORDER_PRECISE) {
        rest(w->runtime, f);
        return;
    }
    if (unlikely(load_relaxed(&w->spare_count) == WORKER_SPARES)) spares_halve(w);
    keep(w, f);
}

noinline bool spare_have_slow(struct worker *w)
{
    struct fiber *f = spare_get(w);
    if (!f) return false;
    context_bury(&f->context);
    keep(w, f);
    return true;
}

/* Gives so many of the shared ones back, `most` at most, but leaves `kept`.  Whether there were any. */
static bool give_back(struct weft_runtime *rt, uint32_t most, uint32_t kept)
{
    ready_t list = 0;
    lock_take(&rt->spare_lock);
    uint32_t have = load_relaxed(&rt->spare_count);
    bool     any = most > 0 && have > kept;
    for (; most > 0 && have > kept; most--, have--) {
        ready_t item = rt->spare_list;
        rt->spare_list = ready_next(item);
        ready_set_next(item, list);
        list = item;
    }
    store_relaxed(&rt->spare_count, have);
    store_relaxed(&rt->spare_least, have);
    lock_drop(&rt->spare_lock);
    while (list) {
        struct fiber *f = fiber_of(list);
        list = ready_next(list);
        end_fiber(f);
    }
    return any;
}

void spare_ebb(struct weft_runtime *rt, int64_t now)
{
    int64_t due = load_relaxed(&rt->spare_due);
    if (now < due || !cas_relaxed(&rt->spare_due, &due, INT64_MAX)) return;
    int64_t begin = choice_clock();
    give_back(rt, min_of(load_relaxed(&rt->spare_least), SPARES_BACK), SPARES_KEPT);
    int64_t took = choice_clock() - begin;
    store_relaxed(&rt->spare_due, now + max_of(took * SPARES_BACK_SHARE, SPARES_BACK_NS));
}

bool spare_trim(struct worker *w)
{
    if (give_back(w->runtime, SPARES_BACK, 0)) return true;
    uint32_t have = load_relaxed(&w->spare_count);
    for (; have > 1; have--) end_fiber(w->spares[have - 1]);
    store_relaxed(&w->spare_count, have);
    return false;
}

void spare_end(struct worker *w)
{
    for (uint32_t i = load_relaxed(&w->spare_count); i > 0; i--) end_fiber(w->spares[i - 1]);
}

void spare_end_shared(struct weft_runtime *rt)
{
    while (rt->spare_list) {
        struct fiber *f = fiber_of(rt->spare_list);
        rt->spare_list = ready_next(rt->spare_list);
        end_fiber(f);
    }
}
