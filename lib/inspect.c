#define _GNU_SOURCE
#include "inspect.h"
#include "cancel.h"
#include "symbol.h"
#include "unwind.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many are held at once: so many share the cost of a fence that interrupts all CPUs. */
#define BATCH 16

/* ---- looking --------------------------------------------------------------- */

/* The fiber is held and the fence was: who goes on in it now was seen here, or waits. */
unjudged static bool runs(const struct weft_runtime *rt, const struct fiber *f)
{
    for (unsigned i = 0; i < rt->count; i++) {
        struct worker *w = &rt->workers[i];
        if (*(struct fiber *volatile *)&w->fiber == f) return true;
        /* acquire: pairs with the release in arrive; not any more on the way from it, so its context is saved. */
        if (load_acquire(&w->left) == f) return true;
    }
    return false;
}

static const struct node *above(const struct node *n)
{
    return (const struct node *)(n->up & ~(uintptr_t)NODE_FLAGS);
}

/* The frames of a stack, and of those that go on after it: a task that has resumed a generator is below that. */
static void unwind_below(const struct context *stack, struct inspect_task *seen)
{
    for (; stack; stack = stack->under)
        seen->frames += unwind_context(stack, seen->pcs + seen->frames, INSPECT_FRAMES - seen->frames);
}

/* Whether a task has begun on the fiber.  The nodes of one that runs may be gone by now, so only one that is
 * suspended is looked at further. */
unjudged static bool look(const struct weft_runtime *rt, const struct fiber *f, struct inspect_task *seen)
{
    const struct node *n = *(struct node *const volatile *)&f->node;
    if (f->runtime != rt || !n) return false;
    memset(seen, 0, sizeof *seen);
    seen->fn = f->fn;
    seen->state = INSPECT_RUNS;
    bool mine = f == worker_fiber();
    if (!mine && runs(rt, f)) return true;
    const struct node *task = n, *scope = n;
    while ((task->up & NODE_KIND) == NODE_SCOPE) task = above(task);
    while ((scope->up & NODE_KIND) != NODE_SCOPE) scope = above(scope);
    seen->task = container_of(task, struct task, node);
    seen->fn = seen->task->fn;
    seen->root = f->root;
    seen->scope = scope;
    seen->reason = cancel_reason(n);
    const struct context *stack = f->current;
    if (mine) {
        seen->frames = unwind_self(seen->pcs, INSPECT_FRAMES);
        unwind_below(stack->under, seen);
        return true;
    }
    const struct waiter *w = f->waiter;
    seen->state = INSPECT_READY;
    if (w) {
        seen->state = INSPECT_WAITS;
        seen->kind = w->kind;
        seen->object = w->object;
        seen->since = w->since;
    }
    unwind_below(stack, seen);
    return true;
}

unjudged struct node *inspect_node(const struct weft_runtime *rt, char *low)
{
    struct fiber *f = fiber_at(stack_top(&rt->stacks, low));
    return f->runtime == rt ? *(struct node *const volatile *)&f->node : NULL;
}

/* ---- all of them ----------------------------------------------------------- */

struct inspection {
    struct weft_runtime *runtime;
    void (*visit)(const struct inspect_task *task, void *arg);
    void               *arg;
    unsigned            count;
    struct fiber       *held[BATCH];
    struct inspect_task seen[BATCH];
};

static void look_at_held(struct inspection *i)
{
    unsigned n = 0;
    platform_fence_heavy(); /* pairs with the light one in switch_to */
    for (unsigned k = 0; k < i->count; k++) {
        n += look(i->runtime, i->held[k], &i->seen[n]);
        store_release(&i->held[k]->held, false); /* pairs with wait_while_held */
    }
    i->count = 0;
    for (unsigned k = 0; k < n; k++) i->visit(&i->seen[k], i->arg);
}

static void hold(char *low, void *arg)
{
    struct inspection *i = arg;
    struct fiber      *f = fiber_at(stack_top(&i->runtime->stacks, low));
    if (!inspect_node(i->runtime, low)) return; /* a spare one, or a stack that was put back */
    store_relaxed(&f->held, true);
    i->held[i->count++] = f;
    if (i->count == BATCH) look_at_held(i);
}

int inspect_tasks(struct weft_runtime *rt, void (*visit)(const struct inspect_task *task, void *arg), void *arg)
{
    struct inspection *i = malloc(sizeof *i);
    if (!i) return -ENOMEM;
    i->runtime = rt;
    i->visit = visit;
    i->arg = arg;
    i->count = 0;
    stack_each(&rt->stacks, hold, i);
    look_at_held(i);
    free(i);
    return 0;
}

/* ---- in words -------------------------------------------------------------- */

int inspect_print(int fd, const char *format, ...)
{
    char    text[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    length = min_of(length, (int)sizeof text - 1);
    for (int at = 0; at < length;) {
        ssize_t n = write(fd, text + at, (size_t)(length - at));
        if (n < 0 && errno != EINTR) return -errno;
        if (n > 0) at += (int)n;
    }
    return 0;
}

/* Frames that every task has at its ends, by which nobody is wiser. */
static const char *const ways_to_wait[] = {"context_switch", "worker_suspend", "worker_yield",
                                           "worker_breathe", "wait_for",       "wait_for_nothing",
                                           "park_wait",      "look",           "inspect_tasks"};
static const char *const bases[] = {"scope_run", "worker_loop"};

#define is_one_of(name, list) is_one_of_these(name, list, array_len(list))
static bool is_one_of_these(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(list[i]);
        if (strncmp(name, list[i], length) == 0 && name[length] == '+') return true;
    }
    return false;
}

int inspect_write(int fd, const struct inspect_task *t, int64_t now)
{
    char name[256], waits[160] = "";
    symbol_describe((const void *)t->fn, name, sizeof name);
    if (t->kind && t->object) snprintf(waits, sizeof waits, "waits %s %p", t->kind->what, t->object);
    else if (t->kind) snprintf(waits, sizeof waits, "waits %s", t->kind->what);
    const char *what = t->state == INSPECT_RUNS ? "runs" : t->state == INSPECT_READY ? "is ready" : waits;
    int         error = inspect_print(fd, "task %p %s %s", (const void *)t->task, name, what);
    if (!error && t->kind && t->since)
        error = inspect_print(fd, " for %.3f s", (double)max_of(now - t->since, (int64_t)0) / 1e9);
    if (!error && t->root) error = inspect_print(fd, ", root %p", (const void *)t->root);
    if (!error && t->scope) error = inspect_print(fd, ", scope %p", (const void *)t->scope);
    if (!error && t->reason) error = inspect_print(fd, ", cancelled: %s", strerrordesc_np(-t->reason));
    if (!error) error = inspect_print(fd, "\n");
    for (unsigned i = 0, shown = 0; !error && i < t->frames; i++) {
        symbol_describe((char *)t->pcs[i] - 1, name, sizeof name);
        if (is_one_of(name, bases)) break;
        if (shown == 0 && is_one_of(name, ways_to_wait)) continue;
        shown++;
        error = inspect_print(fd, "    %s\n", name);
    }
    return error;
}
