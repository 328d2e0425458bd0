#include "deadlock.h"
#include "inspect.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* After so many a program that waits again and again is not reported any more, only freed. */
#define REPORTS_MOST 4

/* A task that waits for the end of another. */
struct edge {
    const struct task *from, *to;
};

struct report {
    int64_t      now;
    uint64_t     tasks, outside;
    struct edge *edges;
    size_t       count, room;
};

static void note_edge(struct report *r, const struct task *from, const struct task *to)
{
    if (r->count == r->room) {
        size_t       room = max_of(2 * r->room, (size_t)64);
        struct edge *edges = realloc(r->edges, room * sizeof *edges);
        if (!edges) return; /* then a cycle may not be named */
        r->edges = edges;
        r->room = room;
    }
    r->edges[r->count++] = (struct edge){from, to};
}

static void note_task(const struct inspect_task *t, void *arg)
{
    struct report     *r = arg;
    const struct task *inner = t->task;
    inspect_write(STDERR_FILENO, t, r->now);
    if (t->kind && t->kind->awaited) note_edge(r, t->task, t->object);
    for (unsigned i = 0; i < t->outers; inner = t->outer[i++].task) note_edge(r, t->outer[i].task, inner);
}

static void count_task(const struct inspect_task *t, void *arg)
{
    struct report *r = arg;
    r->tasks += 1 + t->outers;
    r->outside += t->kind && t->kind->outside;
}

static int by_from(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct edge *)a)->from, y = (uintptr_t)((const struct edge *)b)->from;
    return (x > y) - (x < y);
}

static const struct edge *edge_of(const struct report *r, const struct task *task)
{
    struct edge key = {task, NULL};
    return r->count ? bsearch(&key, r->edges, r->count, sizeof key, by_from) : NULL;
}

/* Each waits for at most one, so whoever is not back after as many steps as there are edges is on no cycle. */
static void name_cycle(struct report *r)
{
    if (r->count) qsort(r->edges, r->count, sizeof *r->edges, by_from);
    for (size_t i = 0; i < r->count; i++) {
        const struct edge *e = &r->edges[i];
        size_t             length = 0;
        do e = edge_of(r, e->to);
        while (e && e != &r->edges[i] && ++length < r->count);
        if (e != &r->edges[i]) continue;
        inspect_print(STDERR_FILENO, "weft: a cycle: task %p", (const void *)e->from);
        do {
            inspect_print(STDERR_FILENO, " waits for task %p", (const void *)e->to);
            e = edge_of(r, e->to);
        } while (e != &r->edges[i]);
        inspect_print(STDERR_FILENO, "\n");
        return;
    }
}

/* ---- freeing --------------------------------------------------------------- */

struct freeing {
    struct weft_runtime *runtime;
    uint64_t             freed;
};

static void free_fiber(char *low, void *arg)
{
    struct freeing *freeing = arg;
    struct node    *n = inspect_node(freeing->runtime, low);
    if (!n) return;
    /* acquire: pairs with publish_and_unlock in wait.c; the waiter is seen whole. */
    struct waiter *w = (struct waiter *)load_acquire(&n->wait);
    if (!w || !park_claim(w)) return;
    w->outcome = -EDEADLK;
    freeing->freed++;
    park_wake(w, false);
}

static void report(struct weft_runtime *rt, uint64_t tasks)
{
    struct report r = {.now = worker_now(worker_self())};
    inspect_print(STDERR_FILENO, "weft: deadlock: nothing can happen any more, and these %llu tasks wait:\n",
                  (unsigned long long)tasks);
    inspect_tasks(rt, note_task, &r);
    name_cycle(&r);
    free(r.edges);
}

bool deadlock_break(struct weft_runtime *rt)
{
    struct report  r = {0};
    struct freeing freeing = {.runtime = rt};
    inspect_tasks(rt, count_task, &r);
    if (r.tasks == 0 || r.outside > 0) return false;
    bool reported = rt->reports++ < REPORTS_MOST;
    if (reported) report(rt, r.tasks);
    stack_each(&rt->stacks, free_fiber, &freeing);
    if (freeing.freed > 0) return true;
    if (!reported) report(rt, r.tasks);
    base_die("deadlock: no task waits in a way that can fail");
}
