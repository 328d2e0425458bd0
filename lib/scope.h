/* scope.h - who owns whom: a scope does not close before its tasks have ended
 *
 * A scope counts; it has no list of its tasks, so that starting one in it writes
 * one word.  The word `pending` is the number of tasks that have not ended, and 1 more for
 * the opener until it waits for the others: whoever makes it 0 wakes the opener, unless
 * that is the opener itself, and is the last to touch the scope.
 */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include "cancel.h"
#include "park.h"

struct scope {
    struct node      node;
    Atomic(uint64_t) pending;
    struct waiter   *closer;
    struct fiber    *opener; /* NULL: the runtime's own */
    struct node     *outer;  /* what was innermost before */
    struct root     *root;   /* that its tasks run on; NULL: each is free */
    struct root      own;    /* for one_root */
};

_Static_assert(sizeof(struct scope) <= sizeof(weft_scope), "the public type has this room");

/* The runtime's own, which outlives all others. */
void scope_init_outermost(struct scope *s, struct weft_runtime *runtime);

/* Starts a job.  Any thread. */
int scope_go(struct scope *s, weft_fn *fn, const void *arg, size_t size);

/* One more that the scope waits for, and one that has ended. */
void scope_enter(struct scope *s);
void scope_leave(struct scope *s, bool next); /* next: as with park_wake */

/* Waits until all but the opener have ended. */
void scope_wait(struct scope *s);

/* struct weft_runtime's `run`: runs a spawned task or a job from the loop. */
void scope_run(struct task *task);

/* The options of a caller that may have been compiled with another size of
 * the struct: 0, -EINVAL, -E2BIG.  `to` has `size` bytes, a size_t first. */
int scope_options(void *to, size_t size, const void *from);

#endif
