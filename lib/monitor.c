#include "monitor.h"
#include "inspect.h"
#include "lock.h"
#include "registry.h"
#include "search.h"
#include "symbol.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef WEFT_MONITOR_MS
#define WEFT_MONITOR_MS 0 /* without a word from the options or the environment; 0: nobody is watched */
#endif

#define LIMIT_LEAST  WEFT_MS
#define LOOKS        4 /* within a limit */
#define THREAD_STACK ((size_t)128 << 10)

enum watched_state { WATCHED_CALM, WATCHED_TOLD, WATCHED_NOTING, WATCHED_NOTED };

struct watched {
    /* the monitor's */
    uint64_t picks;
    /* the monitor's until WATCHED_TOLD, then the worker's until WATCHED_NOTED */
    uint64_t turn; /* worker_turn of the task that was named */
    weft_fn *fn;
    unsigned frames;
    void    *pcs[INSPECT_FRAMES];
    /* both's */
    Atomic(uint32_t) state;
};

struct monitor {
    int64_t        limit;
    struct watched of[];
};

/* ---- the worker's side ----------------------------------------------------- */

/* struct weft_runtime's `lets_go`: the worker leaves its stack, or could. */
static void lets_go(struct worker *w)
{
    struct watched *s = &w->runtime->monitor->of[w->index];
    uint32_t        told = WATCHED_TOLD;
    if (likely(load_relaxed(&s->state) != WATCHED_TOLD)) return;
    if (!cas_acquire(&s->state, &told, WATCHED_NOTING)) return; /* acquire: pairs with tell */
    bool mine = s->turn == worker_turn(w) && w->fiber->node;
    if (mine) s->frames = inspect_here(s->pcs);
    store_release(&s->state, mine ? WATCHED_NOTED : WATCHED_CALM); /* pairs with tell */
}

/* ---- the monitor's side ---------------------------------------------------- */

/* Changes whenever the worker has let others run, or would have if there were any. */
unjudged static uint64_t picks_of(const struct worker *w)
{
    const volatile struct worker *v = w;
    const uint64_t counts[] = {worker_turn(w), v->turn, (uint32_t)v->near, v->breaths, (uint64_t)v->choice.now};
    uint64_t       hash = 0;
    for (unsigned i = 0; i < array_len(counts); i++) hash = (hash ^ counts[i]) * 0x100000001b3; /* FNV-1a's */
    return hash;
}

/* The function of the task that has the worker for too long, in its *turn; or NULL. */
unjudged static weft_fn *look_at(struct weft_runtime *rt, struct worker *w, uint64_t *turn, int64_t now)
{
    struct watched *s = &rt->monitor->of[w->index];
    weft_fn        *fn = NULL;
    uint64_t        picks = picks_of(w);
    *turn = worker_turn(w);
    lock_take(&rt->look_lock); /* its stack is not put back */
    struct fiber *f = *(struct fiber *volatile *)&w->fiber;
    bool          runs = f && *(struct node *volatile *)&f->node;
    if (!runs || picks != s->picks) {
        s->picks = picks;
        store_relaxed(&w->alone_turn, *turn);
        store_relaxed(&w->alone_since, runs ? now : 0);
    } else if (!load_relaxed(&w->alone_since)) {
        store_relaxed(&w->alone_since, now);
    } else if (now - load_relaxed(&w->alone_since) >= rt->monitor->limit && !load_relaxed(&f->named)) {
        fn = *(weft_fn *volatile *)&f->fn;
        if (picks_of(w) == picks) store_relaxed(&f->named, true);
        else fn = NULL;
    }
    lock_drop(&rt->look_lock);
    return fn;
}

static void write_noted(const struct watched *s)
{
    char name[256];
    symbol_describe((const void *)s->fn, name, sizeof name);
    inspect_print(STDERR_FILENO, "weft: the task %s lets others run here:\n", name);
    inspect_write_frames(STDERR_FILENO, NULL, s->pcs, s->frames);
}

static void tell(struct weft_runtime *rt, struct worker *w, int64_t now)
{
    struct watched *s = &rt->monitor->of[w->index];
    uint32_t        told = WATCHED_TOLD;
    uint64_t        turn;
    weft_fn        *fn = look_at(rt, w, &turn, now);
    if (load_acquire(&s->state) == WATCHED_NOTED) { /* pairs with lets_go */
        write_noted(s);
        store_relaxed(&s->state, WATCHED_CALM);
    }
    if (load_relaxed(&s->state) == WATCHED_TOLD && s->turn != turn) cas_acquire(&s->state, &told, WATCHED_CALM);
    if (!fn) return;
    if (load_relaxed(&s->state) == WATCHED_CALM) { /* or the worker is just about to note the one before */
        s->turn = turn;
        s->fn = fn;
        store_release(&s->state, WATCHED_TOLD); /* pairs with lets_go */
    }
    char name[256];
    symbol_describe((const void *)fn, name, sizeof name);
    inspect_print(STDERR_FILENO, "weft: the task %s has had worker %u of runtime %p to itself for %lld ms\n", name,
                  w->index, (void *)rt, (long long)((now - load_relaxed(&w->alone_since)) / WEFT_MS));
}

static void look_at_runtime(struct weft_runtime *rt, void *arg)
{
    (void)arg;
    int64_t now = platform_clock();
    for (unsigned i = 0; rt->monitor && i < rt->count; i++) tell(rt, &rt->workers[i], now);
}

/* ---- the thread ------------------------------------------------------------ */

static struct {
    Atomic(uint32_t) lock; /* of beginning and ending */
    unsigned         watched;
    uint64_t         thread;
    int              thread_id;
    Atomic(uint32_t) bell; /* changes when there is another runtime to be watched, or none any more */
    Atomic(bool)     over;
    Atomic(int64_t)  limit; /* the shortest */
} all;

static void *thread_main(void *arg)
{
    (void)arg;
    all.thread_id = platform_thread_id();
    /* Nothing ever happens by this thread, so it counts as one that waits for good. */
    search_park();
    search_parked();
    for (;;) {
        uint32_t bell = load_acquire(&all.bell); /* pairs with ring */
        if (load_relaxed(&all.over)) break;
        registry_each(look_at_runtime, NULL);
        platform_futex_wait(&all.bell, bell, load_relaxed(&all.limit) / LOOKS);
    }
    search_unpark();
    return NULL;
}

static void ring(void)
{
    add_release(&all.bell, 1); /* pairs with thread_main */
    platform_futex_wake(&all.bell, 1);
}

int64_t monitor_limit(int64_t wanted)
{
    const char *text = getenv("WEFT_MONITOR");
    long long   ms = WEFT_MONITOR_MS;
    if (wanted == 0 && text && *text) {
        char     *end;
        long long number = strtoll(text, &end, 10);
        if (!*end) ms = min_of(max_of(number, 0LL), (long long)(INT64_MAX / WEFT_MS));
    }
    if (wanted == 0) wanted = ms * WEFT_MS;
    return wanted <= 0 ? 0 : max_of(wanted, LIMIT_LEAST);
}

void monitor_begin(struct weft_runtime *rt, int64_t limit)
{
    if (limit <= 0) return;
    struct monitor *m = calloc(1, sizeof *m + rt->count * sizeof m->of[0]);
    if (!m) return;
    m->limit = limit;
    lock_take(&all.lock);
    int64_t shortest = all.watched > 0 ? load_relaxed(&all.limit) : INT64_MAX;
    store_relaxed(&all.limit, min_of(limit, shortest));
    store_relaxed(&all.over, false);
    bool begun = all.watched > 0 || platform_thread_start(&all.thread, THREAD_STACK, thread_main, NULL) == 0;
    if (begun) {
        all.watched++;
        rt->monitor = m;
        rt->lets_go = lets_go;
        add_relaxed(&stack_leaving, 1);
        ring();
    }
    lock_drop(&all.lock);
    if (!begun) free(m);
}

void monitor_end(struct weft_runtime *rt)
{
    if (!rt->monitor) return;
    for (unsigned i = 0; i < rt->count; i++)
        if (load_acquire(&rt->monitor->of[i].state) == WATCHED_NOTED) write_noted(&rt->monitor->of[i]);
    lock_take(&all.lock);
    if (--all.watched == 0) {
        store_relaxed(&all.over, true);
        ring();
        pthread_join((pthread_t)all.thread, NULL);
        search_thread_ended(all.thread_id, platform_thread_clock());
    }
    sub_relaxed(&stack_leaving, 1);
    lock_drop(&all.lock);
    free(rt->monitor);
    rt->monitor = NULL;
}
