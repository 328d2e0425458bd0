#define _GNU_SOURCE
#include "uring.h"
#include "lock.h"
#include "park.h"
#include "ring.h"
#include "worker.h"

#include <errno.h>
#include <stdlib.h>

#if RING_KNOWN

/* So many requests at once; beyond that threads are as good, since the disk is busy. */
#define ENTRIES 256u

struct uring {
    struct ring      ring;
    spin_word        submitting, reaping;
    Atomic(uint32_t) under_way; /* never more than there is room for completions */
};

static struct uring *make(void)
{
    struct uring *u = calloc(1, sizeof *u);
    if (!u || ring_make(&u->ring, ENTRIES)) return u;
    free(u);
    return NULL;
}

static void unmake(struct uring *u)
{
    ring_unmake(&u->ring);
    free(u);
}

bool uring_usable(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    struct uring        *none = NULL;
    if (load_acquire(&rt->uring)) return true; /* pairs with the release below */
    if (w->choice.seeded || poller_make(&rt->poller) != 0) return false;
    struct uring *u = make();
    if (!u) return false;
    if (poller_add(&rt->poller, u->ring.fd, URING_DATA) != 0) {
        unmake(u);
        return false;
    }
    if (!cas_acq_rel(&rt->uring, &none, u)) unmake(u);
    return true;
}

/* ---- a request ------------------------------------------------------------- */

struct call {
    const struct uring_request *request;
    void (*taken)(void *arg);
    void                *arg;
    int32_t              result;
    struct weft_runtime *runtime;
    struct waiter        waiter;
};

/* The largest read and write that there are. */
#define SIZE_MOST ((size_t)0x7ffff000)

static int submit(struct uring *u, struct call *c)
{
    chaos_point();
    const struct uring_request *r = c->request;
    if (add_relaxed(&u->under_way, 1) >= ENTRIES) {
        sub_relaxed(&u->under_way, 1);
        return -EAGAIN;
    }
    spin_take(&u->submitting);
    uint32_t             tail = load_relaxed(u->ring.tail);
    struct io_uring_sqe *e = &u->ring.entries[tail & u->ring.mask];
    *e = (struct io_uring_sqe){
        .opcode = r->out ? IORING_OP_WRITE : IORING_OP_READ,
        .fd = r->fd,
        .off = r->offset,
        .addr = (uintptr_t)r->bytes,
        .len = (uint32_t)min_of(r->size, SIZE_MOST),
        .user_data = (uintptr_t)c,
    };
    /* release: pairs with the system's acquire; and with uring_reap, since ThreadSanitizer does not see how the system
     * hands on from here to there. */
    store_release(u->ring.tail, tail + 1);
    int n = ring_enter(&u->ring, 1, 0);
    if (n != 1)
        store_release(u->ring.tail, tail); /* it has not been looked at; release: as above, for those before it */
    spin_drop(&u->submitting, 0);
    if (n == 1) return 0;
    sub_relaxed(&u->under_way, 1);
    return -EAGAIN;
}

static bool publish(struct waiter *w, void *arg)
{
    struct call *c = arg;
    (void)w;
    struct weft_runtime *rt = c->runtime;
    void (*taken)(void *) = c->taken;
    void *taken_arg = c->arg;
    add_relaxed(&rt->blocking_calls, 1);
    int error =
        submit(load_acquire(&rt->uring), c); /* pairs with uring_usable; if it went well, c may be gone by now */
    chaos_point();
    taken(taken_arg);
    if (!error) return true;
    sub_relaxed(&rt->blocking_calls, 1);
    c->result = error;
    return false;
}

ssize_t uring_call(const struct uring_request *request, void (*taken)(void *arg), void *arg)
{
    static const struct wait_kind kind = {.what = "for a file", .outside = true};
    struct worker                *w = worker_self();
    struct call                   c = {.request = request, .taken = taken, .arg = arg, .runtime = w->runtime};
    worker_count_one(&w->count.io_waits);
    park_init(&c.waiter, &kind, (const void *)(intptr_t)request->fd);
    park_wait(&c.waiter, publish, &c);
    return c.result;
}

void uring_reap(struct weft_runtime *rt)
{
    struct uring *u = load_acquire(&rt->uring); /* pairs with uring_usable */
    struct call  *calls[32];
    unsigned      n;
    if (!u) return; /* what was reported is one that is not to be it */
    do {
        spin_take(&u->reaping);
        uint32_t head = load_relaxed(u->ring.done_head),
                 tail = load_acquire(u->ring.done_tail); /* pairs with the system's release */
        if (head != tail) load_acquire(u->ring.tail);    /* pairs with submit */
        for (n = 0; head != tail && n < array_len(calls); n++, head++) {
            const struct io_uring_cqe *e = &u->ring.done[head & u->ring.done_mask];
            calls[n] = (struct call *)(uintptr_t)e->user_data;
            calls[n]->result = e->res;
        }
        sub_relaxed(&u->under_way, n);
        store_release(u->ring.done_head, head); /* pairs with the system's acquire */
        spin_drop(&u->reaping, 0);
        for (unsigned i = 0; i < n; i++) {
            sub_relaxed(&rt->blocking_calls, 1);
            chaos_point();
            park_wake(&calls[i]->waiter, false);
        }
    } while (n == array_len(calls));
}

void uring_stop(struct weft_runtime *rt)
{
    struct uring *u = load_relaxed(&rt->uring);
    if (u) unmake(u);
}

#else

bool uring_usable(struct worker *w)
{
    (void)w;
    return false;
}

ssize_t uring_call(const struct uring_request *request, void (*taken)(void *arg), void *arg)
{
    (void)request;
    taken(arg);
    return -EAGAIN;
}

void uring_reap(struct weft_runtime *rt)
{
    (void)rt;
}

void uring_stop(struct weft_runtime *rt)
{
    (void)rt;
}

#endif
