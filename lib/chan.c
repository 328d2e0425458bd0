#include "chan.h"
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct wait_kind chan_kind_send = {.what = "to send to the channel"};
const struct wait_kind chan_kind_recv = {.what = "to receive from the channel"};

/* Most elements are of these sizes, and then it is a load and a store. */
static always_inline void copy(void *to, const void *from, size_t size)
{
    if (size == sizeof(uint64_t)) memcpy(to, from, sizeof(uint64_t));
    else if (size == sizeof(uint32_t)) memcpy(to, from, sizeof(uint32_t));
    else if (size > 0) {
        order_hide();
        memcpy(to, from, size);
        order_show();
    }
}

static always_inline void put(struct weft_chan *c, const void *elem, size_t count, order_mark mark)
{
    size_t at = c->first + count;
    if (at >= c->capacity) at -= c->capacity;
    copy(c->queue + at * c->elem_size, elem, c->elem_size);
    order_marks_set(&c->marks, at, mark);
    store_relaxed(&c->count, count + 1);
}

static always_inline void get(struct weft_chan *c, void *elem, size_t count)
{
    if (elem) copy(elem, c->queue + c->first * c->elem_size, c->elem_size);
    order_receive(order_marks_get(&c->marks, c->first), elem, c->elem_size);
    if (++c->first == c->capacity) c->first = 0;
    store_relaxed(&c->count, count - 1);
}

/* The first that waits and can still be claimed; it is to be woken. */
static always_inline struct chan_entry *claim(struct weft_chan *c, wait_queue *queue, struct chan_entry **wake)
{
    if (likely(wait_empty(queue))) return NULL;
    struct wait_entry *entry = wait_claim_first(queue);
    if (!entry) return NULL;
    struct chan_entry *e = container_of(entry, struct chan_entry, entry);
    if (e->select) select_forget(e->select, c);
    e->entry.waiter->outcome = 2 * e->index;
    return *wake = e;
}

static always_inline int try_send(struct weft_chan *c, const void *elem, struct chan_entry **wake)
{
    if (unlikely(load_relaxed(&c->closed))) return chan_was_closed(c);
    struct chan_entry *receiver = claim(c, &c->receivers, wake);
    if (receiver) {
        if (receiver->elem) copy(receiver->elem, elem, c->elem_size);
        receiver->mark = order_send(elem, c->elem_size);
        return 0;
    }
    size_t count = load_relaxed(&c->count);
    if (count == c->capacity) return -EAGAIN;
    put(c, elem, count, order_send(elem, c->elem_size));
    return 0;
}

static always_inline int try_recv(struct weft_chan *c, void *elem, struct chan_entry **wake)
{
    size_t count = load_relaxed(&c->count);
    if (count > 0) {
        get(c, elem, count);
        struct chan_entry *sender = claim(c, &c->senders, wake);
        if (sender) put(c, sender->elem, count - 1, sender->mark);
        return 0;
    }
    struct chan_entry *sender = claim(c, &c->senders, wake);
    if (sender) {
        if (elem) copy(elem, sender->elem, c->elem_size);
        order_receive(sender->mark, elem, c->elem_size);
        return 0;
    }
    return load_relaxed(&c->closed) ? chan_was_closed(c) : -EAGAIN;
}

int chan_send(struct weft_chan *chan, const void *elem, struct chan_entry **wake)
{
    return try_send(chan, elem, wake);
}

int chan_recv(struct weft_chan *chan, void *elem, struct chan_entry **wake)
{
    return try_recv(chan, elem, wake);
}

static void unlock(void *chan)
{
    spin_drop(&((struct weft_chan *)chan)->lock, 0);
}

/* Waits at one end; with the lock held, which it drops. */
static always_inline int wait_at(struct weft_chan *c, wait_queue *queue, void *elem, weft_time deadline,
                                 const struct wait_kind *kind)
{
    int result = wait_refused(deadline);
    if (unlikely(result)) {
        unlock(c);
        return result;
    }
    bool              sender = queue == &c->senders;
    size_t            size = c->elem_size; /* the channel may be gone when this has waited */
    struct waiter     waiter;
    struct chan_entry e = {.entry.waiter = &waiter, .elem = elem};
    if (sender) e.mark = order_send(elem, size);
    park_init(&waiter, kind, c);
    wait_push(queue, &e.entry);
    result = wait_for(&waiter, deadline, unlock, c);
    chan_waited(&e, sender, size, result);
    if (likely(result >= 0)) return result == 0 ? 0 : -EPIPE;
    spin_take(&c->lock);
    wait_remove(queue, &e.entry);
    unlock(c);
    return result;
}

static noinline int wait_to_send(struct weft_chan *c, const void *elem, weft_time deadline)
{
    return wait_at(c, &c->senders, (void *)elem, deadline, &chan_kind_send);
}

static noinline int wait_to_recv(struct weft_chan *c, void *elem, weft_time deadline)
{
    return wait_at(c, &c->receivers, elem, deadline, &chan_kind_recv);
}

/* With others at the other end, or closed; with the lock held, which they drop. */
static noinline int send_slow(struct weft_chan *c, const void *elem, weft_time deadline)
{
    struct chan_entry *wake = NULL;
    int                result = try_send(c, elem, &wake);
    if (unlikely(result == -EAGAIN)) return wait_to_send(c, elem, deadline); /* none of them could be claimed */
    unlock(c);
    if (wake) chan_wake(wake, c, true);
    return result;
}

static noinline int recv_slow(struct weft_chan *c, void *elem, weft_time deadline)
{
    struct chan_entry *wake = NULL;
    int                result = try_recv(c, elem, &wake);
    if (unlikely(result == -EAGAIN)) return wait_to_recv(c, elem, deadline);
    unlock(c);
    if (wake) chan_wake(wake, c, true);
    return result;
}

int weft_chan_send(weft_chan *c, const void *elem, size_t size, weft_time deadline)
{
    if (unlikely(!c) || unlikely(!elem && size > 0)) return -EINVAL;
    if (unlikely(size != c->elem_size)) return -EMSGSIZE;
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    spin_take(&c->lock);
    size_t count = load_relaxed(&c->count);
    if (unlikely(!wait_empty(&c->receivers)) || unlikely(load_relaxed(&c->closed))) return send_slow(c, elem, deadline);
    if (unlikely(count == c->capacity)) return wait_to_send(c, elem, deadline);
    put(c, elem, count, order_send(elem, c->elem_size));
    unlock(c);
    return 0;
}

int weft_chan_recv(weft_chan *c, void *elem, size_t size, weft_time deadline)
{
    if (unlikely(!c)) return -EINVAL;
    if (unlikely(size != c->elem_size)) return -EMSGSIZE;
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    spin_take(&c->lock);
    size_t count = load_relaxed(&c->count);
    if (unlikely(!wait_empty(&c->senders))) return recv_slow(c, elem, deadline);
    if (unlikely(count == 0))
        return load_relaxed(&c->closed) ? recv_slow(c, elem, deadline) : wait_to_recv(c, elem, deadline);
    get(c, elem, count);
    unlock(c);
    return 0;
}

/* Of two lists of waits that closing has ended, which it wakes. */
static void wake_closed(struct weft_chan *c, struct wait_entry *claimed)
{
    while (claimed) {
        struct chan_entry *e = container_of(claimed, struct chan_entry, entry);
        claimed = claimed->prev; /* e is gone once its waiter is awake */
        e->entry.waiter->outcome = 2 * e->index + 1;
        order_drop(e->mark);
        e->mark = order_send(NULL, 0);
        chan_wake(e, c, false);
    }
}

int weft_chan_close(weft_chan *c)
{
    if (!c) return -EINVAL;
    spin_take(&c->lock);
    if (load_relaxed(&c->closed)) {
        unlock(c);
        return -EPIPE;
    }
    order_release(c);
    store_relaxed(&c->closed, true);
    struct wait_entry *senders = wait_claim_all(&c->senders), *receivers = wait_claim_all(&c->receivers);
    unlock(c);
    wake_closed(c, senders);
    wake_closed(c, receivers);
    return 0;
}

size_t weft_chan_len(const weft_chan *c)
{
    return c ? load_relaxed(&c->count) : 0;
}

static void free_queue(struct weft_chan *c)
{
    if (c->queue != (char *)c) free(c->queue);
}

int weft_chan_create(weft_chan **chan, size_t elem_size, size_t capacity)
{
    if (!chan) return -EINVAL;
    *chan = NULL;
    size_t bytes;
    if (__builtin_mul_overflow(elem_size, capacity, &bytes)) return -ENOMEM;
    struct weft_chan *c = aligned_alloc(CACHE_LINE, base_lines(sizeof *c));
    if (!c) return -ENOMEM;
    memset(c, 0, sizeof *c);
    c->elem_size = elem_size;
    c->capacity = capacity;
    /* To and from a queue of no bytes, of tokens or unbuffered, nothing is copied, but an offset to NULL is
     * undefined. */
    c->queue = bytes > 0 ? malloc(bytes) : (char *)c;
    if (!c->queue || !order_marks_make(&c->marks, capacity)) {
        free_queue(c);
        free(c);
        return -ENOMEM;
    }
    *chan = c;
    return 0;
}

void weft_chan_destroy(weft_chan *c)
{
    if (!c) return;
    /* Whoever has the lock still has had its effect seen, and is at its last touch. */
    spin_take(&c->lock);
    if (!wait_empty(&c->senders) || !wait_empty(&c->receivers))
        base_die("a channel is destroyed while somebody waits on it");
    for (size_t i = 0; ORDER_PRECISE && i < load_relaxed(&c->count); i++)
        order_drop(order_marks_get(&c->marks, (c->first + i) % c->capacity));
    order_marks_free(&c->marks);
    free_queue(c);
    free(c);
}
