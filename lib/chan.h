/* chan.h - channels: a queue of elements, and those who wait at its ends
 *
 * Under the lock, always: senders wait only while the queue is full, receivers only while it
 * is empty, and so never both.  An element goes straight from a sender to a receiver that waits, and
 * from a sender that waits into the room that a receiver has made: elements overtake nobody.
 */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include "order.h"
#include "wait.h"

#include <errno.h>

struct weft_chan {
    spin_word      lock;
    Atomic(bool)   closed;
    Atomic(size_t) count; /* elements in the queue */
    wait_queue     senders, receivers;
    size_t         elem_size, capacity;
    size_t         first; /* the oldest element's place */
    char          *queue;
    order_marks    marks; /* of the elements in the queue */
};

/* A wait at one end of a channel.  Its waiter's outcome is 2 x index, and 1 more if closing has ended it. */
struct chan_entry {
    struct wait_entry entry;
    void             *elem;   /* where the element is taken from, or goes to */
    int               index;  /* of the select's case; else 0 */
    struct select    *select; /* NULL: it is the only one of its waiter */
    order_mark        mark;   /* of a sender its element's, of a receiver that of what it was given */
};

/* With the lock held: 0; -EPIPE, closed; -EAGAIN, it would have to wait.  *wake is what chan_wake is to wake when the
 * lock is dropped, unless it is NULL. */
int chan_send(struct weft_chan *chan, const void *elem, struct chan_entry **wake);
int chan_recv(struct weft_chan *chan, void *elem, struct chan_entry **wake);

/* For a call that finds the channel closed. */
static inline int chan_was_closed(const struct weft_chan *c)
{
    order_acquire(c); /* pairs with weft_chan_close */
    return -EPIPE;
}

/* A wait at one end is over: what orders the one who has waited, by its outcome. */
static always_inline void chan_waited(struct chan_entry *e, bool sender, size_t size, int outcome)
{
    if (outcome < 0) order_drop(e->mark);
    else if (outcome % 2) order_receive(e->mark, NULL, 0); /* wake_closed has left its own */
    else if (!sender) order_receive(e->mark, e->elem, size);
}

/* Whether it looks as if a send, or a receive, could go ahead.  Without the lock. */
static inline bool chan_may_send(const struct weft_chan *c)
{
    return load_relaxed(&c->count) < c->capacity || !wait_empty(&c->receivers) || load_relaxed(&c->closed);
}

static inline bool chan_may_recv(const struct weft_chan *c)
{
    return load_relaxed(&c->count) > 0 || !wait_empty(&c->senders) || load_relaxed(&c->closed);
}

/* In select.c, which knows the select's entries.  When it has been claimed, the first takes out those at this channel,
 * whose lock is held; then, with no lock held, the second takes out those at all other channels. */
void select_forget(struct select *select, struct weft_chan *chan);
void select_forget_others(struct select *select, const struct weft_chan *chan);

/* An entry of the channel that has been claimed, whose outcome is set; the channel may be gone.  `next` as with
 * park_wake. */
static inline void chan_wake(struct chan_entry *e, const struct weft_chan *chan, bool next)
{
    if (unlikely(e->select)) select_forget_others(e->select, chan);
    park_wake(e->entry.waiter, next);
}

extern const struct wait_kind chan_kind_send, chan_kind_recv;

#endif
