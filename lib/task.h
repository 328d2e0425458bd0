/* task.h - a task, its state, and where it hangs in the tree of owners
 *
 * A node is what can be cancelled: a task or a scope.  Its parent, `up`, is the
 * innermost scope that its maker had open, or else the maker itself; a node's
 * parent outlives it.  A task is cancelled when any node on its way up is, short
 * of a shield, so cancelling writes one word, and whoever wants to know walks up.
 * Downwards a parent knows only those children that have waited in a way that
 * cancelling must end: they link themselves then (cancel.c).  A task that never
 * waits writes to nobody's memory but its own.
 *
 * A spawned task is its maker's storage; a job is one that weft_go has allocated.
 */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include "atomic.h"
#include "base.h"
#include "ready.h"
#include "spin.h"

#include <string.h>
#include <weft/weft.h>

enum node_kind { NODE_TASK = 0, NODE_JOB = 1, NODE_SCOPE = 2, NODE_KIND = 3, NODE_SHIELD = 4, NODE_FLAGS = 7 };

struct waiter;

struct node {
    uintptr_t up; /* parent | node_kind | NODE_SHIELD; never changes */
    union {
        struct node *prev; /* linked: the sibling before; under the parent's lock, as next */
        void        *arg;  /* a task not begun */
    };
    /* node_init clears from here on */
    ready_link        next;     /* linked: the next sibling | NODE_LINKED; a task not begun: the next in a ready list */
    Atomic(int32_t)   reason;   /* why it is cancelled: negative, once */
    Atomic(int32_t)   result;   /* of an ended task; before: why it is cancelled, or the epoch at which it was not */
    Atomic(uintptr_t) children; /* the first one linked | NODE_LOCKED */
    Atomic(uintptr_t) wait;     /* the waiter that may be claimed */
    Atomic(uintptr_t) state;    /* of a task, below; of a scope its deadline (cancel.h) */
};

#define NODE_LINKED ((uintptr_t)1)
#define NODE_LOCKED SPIN_HELD

/* A task's state
 *
 *      0         --await-->  a waiter, or a slot of await_any with TASK_SLOT     the awaiter
 *      a waiter  --leave-->  0                            await_any, that has its answer
 *      0         --begin-->  the awaiter's node with TASK_IN_PLACE    the awaiter, on whose stack it runs
 *      any       --end-->    TASK_DONE                    the task; it claims and wakes whom it finds
 *
 * After TASK_DONE is there, the task is its awaiter's storage again: it is not touched. */
#define TASK_DONE     ((uintptr_t)1)
#define TASK_SLOT     ((uintptr_t)2)
#define TASK_IN_PLACE ((uintptr_t)4)

struct task {
    struct node node;
    weft_fn    *fn;
};

_Static_assert(sizeof(struct task) <= sizeof(weft_task), "the public type has this room");

static inline enum node_kind node_kind(const struct node *n)
{
    return n->up & NODE_KIND;
}

static inline struct node *node_up(const struct node *n)
{
    return (struct node *)(n->up & ~(uintptr_t)NODE_FLAGS);
}

/* The task that runs as this node, or that has it open. */
static inline struct task *node_task(struct node *n)
{
    while (node_kind(n) == NODE_SCOPE) n = node_up(n);
    return container_of(n, struct task, node);
}

/* `kind` may have NODE_SHIELD. */
static always_inline void node_init(struct node *n, struct node *up, unsigned kind)
{
    n->up = (uintptr_t)up | kind;
    /* As one piece, which takes half the stores; nobody else sees the node yet. */
    memset((char *)n + offsetof(struct node, next), 0, sizeof *n - offsetof(struct node, next));
}

static always_inline void task_init(struct task *t, struct node *up, enum node_kind kind, weft_fn *fn, void *arg)
{
    node_init(&t->node, up, kind);
    t->node.arg = arg;
    t->fn = fn;
}

static inline ready_t task_ready(struct task *t)
{
    return ready_make(&t->node.next, READY_TASK);
}

static inline struct task *task_of(ready_t item)
{
    return container_of(ready_to_link(item), struct task, node.next);
}

#endif
