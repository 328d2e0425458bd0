#define _GNU_SOURCE
#include "inspect.h"
#include "lock.h"
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

#define NAME_ROOM 256

/* Names of code addresses that were looked up already: to find one is to read through a file. */
struct inspect_names {
    struct {
        const void *address;
        char        text[NAME_ROOM];
    } of[61]; /* by address, or in the next place that was free */
};

#define NAME_TRIES 8

/* ---- looking --------------------------------------------------------------- */

/* With the look_lock held, until unhold.  False: the stack was put back. */
unjudged static bool hold(struct fiber *f)
{
    /* acquire: pairs with the release in make_fiber, which has cleared the fiber before.  It lasts, since
     * end_fiber takes the lock. */
    if (!load_acquire(&f->made)) return false;
    store_relaxed(&f->held, true);
    return true;
}

unjudged static void unhold(struct fiber *f)
{
    store_release(&f->held, false); /* pairs with wait_while_held */
}

/* Where it runs, or NULL.  The fiber is held and the fence was: who goes on in it now was seen here, or waits. */
unjudged static const struct worker *runs(const struct weft_runtime *rt, const struct fiber *f)
{
    for (unsigned i = 0; i < rt->count; i++) {
        const struct worker *w = &rt->workers[i];
        if (*(struct fiber *const volatile *)&w->fiber == f) return w;
        fence_acquire(); /* pairs with switch_to */
        /* acquire: pairs with the release in arrive; not any more on the way from it, so its context is saved. */
        if (load_acquire(&w->left) == f) return w;
    }
    return NULL;
}

/* By the monitor's clock, if there is one, and if it has looked since the task began to run. */
static int64_t alone_for(const struct worker *w)
{
    int64_t since = load_relaxed(&w->alone_since);
    return since && load_relaxed(&w->alone_turn) == worker_turn(w) ? platform_clock() - since : 0;
}

unjudged static struct node *node_of(const struct fiber *f)
{
    return *(struct node *const volatile *)&f->node;
}

unjudged static const struct node *above(const struct node *n)
{
    return (const struct node *)(n->up & ~(uintptr_t)NODE_FLAGS);
}

/* The frames of a stack, and of those that go on after it: a task that has resumed a generator is below that. */
unjudged static unsigned unwind_below(const struct context *stack, void **pcs, unsigned count)
{
    for (; stack; stack = stack->under) count += unwind_context(stack, pcs + count, INSPECT_FRAMES - count);
    return count;
}

unjudged unsigned inspect_here(void *pcs[INSPECT_FRAMES])
{
    unsigned count = unwind_self(pcs, INSPECT_FRAMES);
    return unwind_below(worker_fiber()->current->under, pcs, count);
}

/* As cancel_reason, which is judged; of two reasons the nearer one. */
unjudged static int reason_of(const struct node *n)
{
    for (; n; n = n->up & NODE_SHIELD ? NULL : above(n)) {
        int reason = load_relaxed(&n->reason);
        if (reason) return reason;
    }
    return 0;
}

/* The task that runs as this node, or has it open. */
unjudged static const struct task *task_at(const struct node *n)
{
    while ((n->up & NODE_KIND) == NODE_SCOPE) n = above(n);
    return container_of(n, struct task, node);
}

/* Those on the stack who await the task in place; they stay as long as it does. */
unjudged static void note_outers(struct inspect_task *seen)
{
    uintptr_t state = load_relaxed(&seen->task->node.state);
    while ((state & TASK_IN_PLACE) && seen->outers < INSPECT_OUTERS) {
        const struct task *outer = task_at((const struct node *)(state & ~TASK_IN_PLACE));
        seen->outer[seen->outers++] = (struct inspect_outer){outer, outer->fn};
        state = load_relaxed(&outer->node.state);
    }
}

/* Whether a task has begun on the fiber.  The nodes of one that runs may be gone by now, so only one that is
 * suspended is looked at further. */
unjudged static bool look(const struct weft_runtime *rt, const struct fiber *f, struct inspect_task *seen)
{
    if (!node_of(f)) return false;
    memset(seen, 0, sizeof *seen);
    seen->fn = f->fn;
    seen->state = INSPECT_RUNS;
    bool                 mine = f == worker_fiber();
    const struct worker *w = runs(rt, f);
    if (w) seen->alone = alone_for(w);
    if (w && !mine) return true;
    /* Only now it stays: the one that was there before may have ended, before its fiber was left. */
    const struct node *n = node_of(f);
    if (!n) return false;
    const struct node *scope = n;
    while ((scope->up & NODE_KIND) != NODE_SCOPE) scope = above(scope);
    seen->task = task_at(n);
    seen->fn = seen->task->fn;
    note_outers(seen);
    seen->root = f->root;
    seen->scope = scope;
    seen->reason = reason_of(n);
    if (mine) {
        seen->frames = inspect_here(seen->pcs);
        return true;
    }
    const struct waiter *waiter = *(const struct waiter *const volatile *)&f->waiter; /* NULL as soon as it is woken */
    seen->state = INSPECT_READY;
    if (waiter) {
        seen->state = INSPECT_WAITS;
        seen->kind = waiter->kind;
        seen->object = waiter->object;
        seen->since = waiter->since;
    }
    seen->frames = unwind_below(f->current, seen->pcs, 0);
    return true;
}

unjudged struct node *inspect_node(const struct weft_runtime *rt, char *low)
{
    struct fiber *f = fiber_at(stack_top(&rt->stacks, low));
    return load_acquire(&f->made) ? node_of(f) : NULL; /* as in hold */
}

/* ---- all of them ----------------------------------------------------------- */

struct inspection {
    struct weft_runtime *runtime;
    void (*visit)(const struct inspect_task *task, void *arg);
    void                *arg;
    unsigned             count;
    struct fiber        *fibers[BATCH];
    struct inspect_task  seen[BATCH];
    struct inspect_names names;
};

static void look_at_some(struct inspection *i)
{
    struct weft_runtime *rt = i->runtime;
    unsigned             held = 0, seen = 0;
    lock_take(&rt->look_lock);
    for (unsigned k = 0; k < i->count; k++)
        if (hold(i->fibers[k])) i->fibers[held++] = i->fibers[k];
    platform_fence_heavy(); /* pairs with the light one in switch_to */
    for (unsigned k = 0; k < held; k++) {
        seen += look(rt, i->fibers[k], &i->seen[seen]);
        unhold(i->fibers[k]);
    }
    lock_drop(&rt->look_lock);
    i->count = 0;
    for (unsigned k = 0; k < seen; k++) {
        i->seen[k].names = &i->names;
        i->visit(&i->seen[k], i->arg);
    }
}

static void choose(char *low, void *arg)
{
    struct inspection *i = arg;
    if (!inspect_node(i->runtime, low)) return; /* a spare one, or a stack that was put back */
    i->fibers[i->count++] = fiber_at(stack_top(&i->runtime->stacks, low));
    if (i->count == BATCH) look_at_some(i);
}

int inspect_tasks(struct weft_runtime *rt, void (*visit)(const struct inspect_task *task, void *arg), void *arg)
{
    struct inspection *i = malloc(sizeof *i);
    if (!i) return -ENOMEM;
    i->runtime = rt;
    i->visit = visit;
    i->arg = arg;
    i->count = 0;
    memset(&i->names, 0, sizeof i->names);
    stack_each(&rt->stacks, choose, i);
    look_at_some(i);
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
static const char *const ways_to_wait[] = {"jump",           "context_switch", "worker_suspend", "worker_yield",
                                           "worker_breathe", "wait_for",       "wait_until",     "park_wait",
                                           "look",           "look_at_some",   "choose",         "inspect_tasks",
                                           "inspect_here",   "lets_go",        "look_twice"};
static const char *const bases[] = {"scope_run", "worker_loop"};

#define is_one_of(name, list) is_one_of_these(name, list, array_len(list))
static bool is_one_of_these(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(list[i]);
        if (strncmp(name, list[i], length) == 0 && (name[length] == '+' || name[length] == '.')) return true;
    }
    return false;
}

/* `room` is for when there are no names to keep it with. */
static const char *name_of(struct inspect_names *names, const void *address, char room[NAME_ROOM])
{
    if (!names) {
        symbol_describe(address, room, NAME_ROOM);
        return room;
    }
    size_t first = (uintptr_t)address % array_len(names->of), at = first;
    for (unsigned tries = 0; names->of[at].address && tries < NAME_TRIES; tries++) {
        if (names->of[at].address == address) return names->of[at].text;
        at = (at + 1) % array_len(names->of);
    }
    if (names->of[at].address) at = first;
    names->of[at].address = address;
    symbol_describe(address, names->of[at].text, sizeof names->of[at].text);
    return names->of[at].text;
}

int inspect_write_frames(int fd, struct inspect_names *names, void *const *pcs, unsigned count)
{
    int  error = 0;
    char room[NAME_ROOM];
    for (unsigned i = 0, shown = 0; !error && i < count; i++) {
        const char *name = name_of(names, (char *)pcs[i] - 1, room);
        if (is_one_of(name, bases)) break;
        if (shown == 0 && is_one_of(name, ways_to_wait)) continue;
        shown++;
        error = inspect_print(fd, "    %s\n", name);
    }
    return error;
}

int inspect_write(int fd, const struct inspect_task *t, int64_t now)
{
    char        waits[160] = "", room[NAME_ROOM];
    const char *name = name_of(t->names, (const void *)t->fn, room);
    if (t->kind && t->object) snprintf(waits, sizeof waits, "waits %s %p", t->kind->what, t->object);
    else if (t->kind) snprintf(waits, sizeof waits, "waits %s", t->kind->what);
    const char *what = t->state == INSPECT_RUNS ? "runs" : t->state == INSPECT_READY ? "is ready" : waits;
    int         error = inspect_print(fd, "task %p %s %s", (const void *)t->task, name, what);
    if (!error && t->alone >= WEFT_MS)
        error = inspect_print(fd, ", running for %lld ms", (long long)(t->alone / WEFT_MS));
    if (!error && t->kind && t->since)
        error = inspect_print(fd, " for %.3f s", (double)max_of(now - t->since, (int64_t)0) / 1e9);
    if (!error && t->root) error = inspect_print(fd, ", root %p", (const void *)t->root);
    if (!error && t->scope) error = inspect_print(fd, ", scope %p", (const void *)t->scope);
    if (!error && t->reason) error = inspect_print(fd, ", cancelled: %s", strerrordesc_np(-t->reason));
    if (!error) error = inspect_print(fd, "\n");
    if (!error) error = inspect_write_frames(fd, t->names, t->pcs, t->frames);
    const struct task *inner = t->task;
    for (unsigned i = 0; !error && i < t->outers; inner = t->outer[i++].task)
        error = inspect_print(fd, "task %p %s waits for the end of the task %p, which runs on its stack\n",
                              (const void *)t->outer[i].task, name_of(t->names, (const void *)t->outer[i].fn, room),
                              (const void *)inner);
    return error;
}
