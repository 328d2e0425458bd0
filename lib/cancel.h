/* cancel.h - why a node is cancelled, and ending the waits below one that is
 *
 * To cancel is to write a reason into one node: everything below is cancelled by
 * that, as it looks upwards.  Then those below that wait are claimed and woken.  A race
 * with somebody who begins to wait is decided as Dekker's: the waiter publishes its claim and
 * then looks up; the canceller writes and then looks down.
 */
#ifndef WEFT_CANCEL_H
#define WEFT_CANCEL_H

#include "park.h"

/* A runtime's epoch begins with each cancel, and is 0 before the first.  While it changes it is nobody's to note. */
enum { EPOCH_CHANGES = 1, EPOCH_STEP = 2, EPOCH_FIRST = EPOCH_STEP, EPOCH_LAST = INT32_MAX - 1 };

/* Whether nothing was cancelled since the running task has looked. */
static always_inline bool cancel_seen(const struct fiber *f)
{
    /* relaxed: who sees a new epoch looks again, and who waits has its fence before this. */
    return load_relaxed(&f->runtime->epoch) == load_relaxed(&f->node->result);
}

/* Why the running task is cancelled, or 0. */
int                      cancel_check_slow(struct fiber *f);
static always_inline int cancel_check(struct fiber *f)
{
    return likely(cancel_seen(f)) ? 0 : cancel_check_slow(f);
}

/* A scope's deadline, to which its node's state leads, as it does not fit into the public type; no deadline: 0. */
struct cancel_deadline {
    struct timer timer;
    struct node *scope;
    int64_t      before; /* the opener's `due`, which holds again when the scope is closed */
};

/* By a task that asks whether it is cancelled: takes up those deadlines of its scopes that have passed.  Else the
 * worker on which a deadline was started does so; but that may be running a task that asks nothing, or have many others
 * to take up before.  With a seed time stands still meanwhile.  (Rejected: to take up all that has come on this worker,
 * which may be a million.) */
void                      cancel_look_slow(struct worker *w);
static always_inline void cancel_look(struct worker *w)
{
    if (unlikely(w->fiber->due != INT64_MAX) && !w->choice.seeded) cancel_look_slow(w);
}

/* Why the node is cancelled: its own reason, or the nearest one above it, short of a shield; or 0. */
int cancel_reason(const struct node *n);

/* Cancels the node and what is below, unless it was already. */
void cancel_node(struct weft_runtime *runtime, struct node *n, int reason);

/* Makes the running task findable by those who cancel: before it waits in a way that cancelling ends. */
void                      cancel_link_slow(struct fiber *f);
static always_inline void cancel_link(struct fiber *f)
{
    /* acquire: pairs with link_up, by another that waits further down (linked). */
    if (unlikely(!(load_acquire(&f->node->next) & NODE_LINKED))) cancel_link_slow(f);
}

/* The runtime that the node is in: the outermost scope, which is in no list, has it as its arg. */
static inline struct weft_runtime *cancel_runtime(struct node *n)
{
    for (struct node *up; (up = node_up(n)); n = up) {
    }
    return n->arg;
}

/* The node ends: nobody looks for it any more. */
void                      cancel_leave_slow(struct weft_runtime *runtime, struct node *n);
static always_inline void cancel_leave(struct weft_runtime *runtime, struct node *n)
{
    if (unlikely((load_relaxed(&n->next) & NODE_LINKED) || load_relaxed(&n->reason))) cancel_leave_slow(runtime, n);
}

/* Waits until a call that cancels this node has let go of it. */
void cancel_settle(struct weft_runtime *runtime, const struct node *n);

#endif
