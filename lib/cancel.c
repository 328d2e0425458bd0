#include "cancel.h"
#include "order.h"

/* ---- upwards ------------------------------------------------------------- */

/* What is noted in a node of why it is cancelled; 0: nothing.  Of one that has ended it is the result, and nobody is to
 * know.  In the build of order.h each looks for the reason itself, which orders. */
static int noted(const struct node *n)
{
    if (ORDER_PRECISE) return 0;
    return min_of(load_acquire(&n->result), 0); /* pairs with note; what the canceller did is seen */
}

/* A reason further up may have come while this was on its way, after one further down that
 * it has just missed; the first one counts.  So what is below the one found is looked at again,
 * until there is nothing: the canceller of the upper one came after that of the lower. */
int cancel_reason(const struct node *n)
{
    const struct node *found = NULL;
    for (int reason = 0, lower;; reason = lower) {
        const struct node *at = n;
        for (lower = 0; at != found; at = node_up(at)) {
            lower = load_acquire(&at->reason); /* pairs with cancel_node: what the canceller did is seen */
            if (!lower) lower = noted(at);
            if (lower || (at->up & NODE_SHIELD)) break;
        }
        if (!lower) {
            if (found) order_acquire(&found->reason);
            return reason;
        }
        found = at;
    }
}

/* From this node up to one that has it already, or has the reason itself. */
static void note(struct node *n, int reason)
{
    if (ORDER_PRECISE) return;
    for (; !load_relaxed(&n->reason) && load_relaxed(&n->result) != reason; n = node_up(n))
        store_release(&n->result, reason); /* pairs with noted */
}

/* Who has looked answers for those above as well, from now on and for whoever is below and asks: that it is cancelled,
 * for good; that it is not, at this epoch.  So in a recursion, however deep, each looks but a little way up.  What is
 * noted of an epoch may come late, over a reason that another has found and noted meanwhile.  That other then looks
 * again, as it has seen that the epoch is over (cancel_node). */
noinline int cancel_check_slow(struct fiber *f)
{
    int32_t      epoch = load_acquire(&f->runtime->epoch); /* pairs with cancel_node: it comes with the reason */
    struct node *n = f->node, *up = n;
    for (; up && load_relaxed(&up->result) != epoch; up = up->up & NODE_SHIELD ? NULL : node_up(up)) {
        if (!load_relaxed(&up->reason) && !noted(up)) continue;
        int reason = cancel_reason(n);
        note(n, reason);
        return reason;
    }
    if (epoch & EPOCH_CHANGES) return 0;
    for (struct node *free = n; free != up; free = free->up & NODE_SHIELD ? NULL : node_up(free))
        store_relaxed(&free->result, epoch);
    return 0;
}

/* What is above a running task does not go away, nor is a scope's deadline another than it was when the task was
 * made. */
noinline void cancel_look_slow(struct worker *w)
{
    struct fiber *f = w->fiber;
    int64_t       now = worker_now(w), due = INT64_MAX;
    if (f->due > now) return;
    for (struct node *n = f->node; n; n = node_up(n)) {
        struct cancel_deadline *d = node_kind(n) == NODE_SCOPE ? (void *)load_relaxed(&n->state) : NULL;
        if (d && d->timer.when > now) due = min_of(due, d->timer.when);
        else if (d && timers_expire_one(&d->timer, now, NULL)) worker_count_one(&w->count.timers);
        if (n->up & NODE_SHIELD) break;
    }
    f->due = due;
}

/* ---- links --------------------------------------------------------------- */

static struct node *sibling(const struct node *n)
{
    return (struct node *)(load_relaxed(&n->next) & ~NODE_LINKED);
}

/* acquire: pairs with link_up.  Who sees its parent linked relies on whoever did that, who may have relied on another
 * in turn, and the topmost of them may have linked itself when a canceller had just come by.  All of them come after
 * that one then, and so the fence of who waits comes after its fence (cancel_node).  By the fences alone only who has
 * read what the topmost wrote would. */
static bool linked(const struct node *n)
{
    return !node_up(n) || (load_acquire(&n->next) & NODE_LINKED);
}

static void link_up(struct node *n)
{
    struct node *up = node_up(n);
    struct node *first = (struct node *)spin_take(&up->children);
    if (!(load_relaxed(&n->next) & NODE_LINKED)) {
        n->prev = NULL;
        if (first) first->prev = n;
        store_release(&n->next, (uintptr_t)first | NODE_LINKED); /* pairs with linked and cancel_link */
        first = n;
    }
    spin_drop(&up->children, (uintptr_t)first);
}

/* Makes the node findable from above.  A node that is linked must have linked ancestors, or who stops at it would not
 * be found.  Most often they are, and then the parent's lock is all that it takes.  Else they are linked under the lock
 * of those who cancel, once in a task's life.  So somebody else may trust a node that is linked while those above it
 * are still to be: the next cancel comes when they are, and the reason of the last one, which came before, is seen.
 * (Rejected: from the top down, which needs the way back, a million levels at the worst.) */
noinline void cancel_link_slow(struct fiber *f)
{
    struct weft_runtime *rt = f->runtime;
    struct node         *up = node_up(f->node);
    if (unlikely(!linked(up))) {
        lock_take(&rt->cancel_lock);
        for (; !linked(up); up = node_up(up)) {
            link_up(up);
            chaos_point();
        }
        lock_drop(&rt->cancel_lock);
    }
    link_up(f->node);
}

noinline void cancel_leave_slow(struct weft_runtime *rt, struct node *n)
{
    struct node *up = node_up(n);
    if (load_relaxed(&n->next) & NODE_LINKED) {
        struct node *first = (struct node *)spin_take(&up->children);
        struct node *next = sibling(n);
        if (next) next->prev = n->prev;
        if (n->prev) store_release(&n->prev->next, (uintptr_t)next | NODE_LINKED); /* as in link_up, after its store */
        else first = next;
        spin_drop(&up->children, (uintptr_t)first);
    }
    cancel_settle(rt, n);
}

void cancel_settle(struct weft_runtime *rt, const struct node *n)
{
    if (!load_relaxed(&n->reason)) return;
    lock_take(&rt->cancel_lock);
    lock_drop(&rt->cancel_lock);
}

/* ---- downwards ----------------------------------------------------------- */

/* The claim may have changed hands meanwhile: whoever has published a new one looks upwards after that. */
static void end_wait(struct node *n, int reason)
{
    struct waiter *w = (struct waiter *)load_relaxed(&n->wait);
    if (!w) return;
    uintptr_t standing = (uintptr_t)w;
    chaos_point();
    if (!cas_acquire(&n->wait, &standing, 0)) return; /* as park_claim; w may be gone, so only its address is used */
    w->outcome = reason;
    park_wake(w, false);
}

/* All below `top`, depth first, with the locks held from top down to where it is:
 * so no node on the way can leave meanwhile, and it takes no memory.  But not below one that has a reason of its own,
 * which came first and stays while the cancel_lock is held: whoever waits there still is about to find that out. */
static void end_waits_below(struct node *top, int reason)
{
    struct node *n = top, *child;
    for (;;) {
        end_wait(n, reason);
        child = (struct node *)spin_take(&n->children);
        for (;;) {
            while (child && ((child->up & NODE_SHIELD) || load_relaxed(&child->reason))) child = sibling(child);
            if (child) break;
            /* The list's head may not change while it is locked. */
            spin_drop(&n->children, load_relaxed(&n->children) & ~NODE_LOCKED);
            if (n == top) return;
            child = sibling(n);
            n = node_up(n);
        }
        n = child;
    }
}

void cancel_node(struct weft_runtime *rt, struct node *n, int reason)
{
    /* What is woken may end the runtime.  acq_rel: pairs with weft_runtime_stop. */
    add_acq_rel(&rt->pins, 1);
    lock_take(&rt->cancel_lock);
    if (!cancel_reason(n)) {
        /* relaxed: who sees the reason (cancel_reason) sees by that that the epoch before is over. */
        int32_t epoch = load_relaxed(&rt->epoch);
        store_relaxed(&rt->epoch, epoch | EPOCH_CHANGES);
        order_release(&n->reason);
        store_release(&n->reason, reason); /* pairs with cancel_reason */
        chaos_point();
        /* release: pairs with cancel_check_slow; who sees this epoch sees the reason.  More than 0, as a node that was
         * never looked at has 0, and a reason is less. */
        store_release(&rt->epoch, epoch == EPOCH_LAST ? EPOCH_FIRST : epoch + EPOCH_STEP);
        fence_seq(); /* pairs with publish_and_unlock in wait.c */
        chaos_point();
        end_waits_below(n, reason);
    }
    lock_drop(&rt->cancel_lock);
    chaos_point();
    sub_acq_rel(&rt->pins, 1);
}
