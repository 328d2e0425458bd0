#define _GNU_SOURCE
#include "uring.h"
#include "lock.h"
#include "park.h"
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__has_include) && __has_include(<linux/io_uring.h>)

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* So many requests at once; beyond that threads are as good, since the disk is busy. */
#define ENTRIES 256u

struct uring {
    int                  fd;
    size_t               size, entries_size;
    char                *rings;
    struct io_uring_sqe *entries;
    /* Mapped: the system reads `tail` within uring_enter alone. */
    Atomic(uint32_t)    *tail, *done_head, *done_tail;
    struct io_uring_cqe *done;
    uint32_t             mask, done_mask;
    spin_word            submitting, reaping;
    Atomic(uint32_t)     under_way; /* never more than there is room for completions */
};

/* The system does not let this process have one, which will not change. */
static Atomic(bool) refused;

static bool wanted(void)
{
    if (ORDER_PRECISE) return false; /* ThreadSanitizer follows system calls, and no requests */
    static Atomic(int32_t) answer;   /* 0: not asked yet */
    int32_t                known = load_relaxed(&answer);
    if (!known) {
        const char *io = getenv("WEFT_IO");
        store_relaxed(&answer, known = io && strcmp(io, "epoll") == 0 ? -1 : 1);
    }
    return known > 0 && !load_relaxed(&refused);
}

static int enter(struct uring *u, unsigned count)
{
    long n;
    do n = syscall(SYS_io_uring_enter, u->fd, count, 0, 0, NULL, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (int)n;
}

static void unmake(struct uring *u)
{
    if (u->entries) munmap(u->entries, u->entries_size);
    if (u->rings) munmap(u->rings, u->size);
    close(u->fd);
    free(u);
}

static void *map(int fd, size_t size, off_t what)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, what);
    return at == MAP_FAILED ? NULL : at;
}

/* One mapping for both rings (Linux 5.4), reads and writes as they are (5.6); nothing newer is needed. */
static struct uring *make(void)
{
    struct io_uring_params p = {.flags = IORING_SETUP_CLAMP};
    struct uring          *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    u->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
    if (u->fd < 0 || !(p.features & IORING_FEAT_SINGLE_MMAP) || !(p.features & IORING_FEAT_RW_CUR_POS)) {
        bool soon = u->fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
        store_relaxed(&refused, !soon);
        if (u->fd >= 0) close(u->fd);
        free(u);
        return NULL;
    }
    u->size = max_of(p.sq_off.array + p.sq_entries * sizeof(uint32_t),
                     p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe));
    u->entries_size = p.sq_entries * sizeof(struct io_uring_sqe);
    if (!(u->rings = map(u->fd, u->size, IORING_OFF_SQ_RING)) ||
        !(u->entries = map(u->fd, u->entries_size, IORING_OFF_SQES))) {
        unmake(u);
        return NULL;
    }
    u->tail = (void *)(u->rings + p.sq_off.tail);
    u->mask = p.sq_entries - 1;
    u->done_head = (void *)(u->rings + p.cq_off.head);
    u->done_tail = (void *)(u->rings + p.cq_off.tail);
    u->done = (void *)(u->rings + p.cq_off.cqes);
    u->done_mask = p.cq_entries - 1;
    uint32_t *order = (void *)(u->rings + p.sq_off.array);
    for (uint32_t i = 0; i < p.sq_entries; i++) order[i] = i;
    return u;
}

bool uring_usable(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    struct uring        *none = NULL;
    if (load_acquire(&rt->uring)) return true; /* pairs with the release below */
    if (w->choice.seeded || !wanted() || poller_make(&rt->poller) != 0) return false;
    struct uring *u = make();
    if (!u) return false;
    if (poller_add(&rt->poller, u->fd, URING_DATA) != 0) {
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
    uint32_t             tail = load_relaxed(u->tail);
    struct io_uring_sqe *e = &u->entries[tail & u->mask];
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
    store_release(u->tail, tail + 1);
    int n = enter(u, 1);
    if (n != 1) store_release(u->tail, tail); /* it has not been looked at; release: as above, for those before it */
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
        uint32_t head = load_relaxed(u->done_head),
                 tail = load_acquire(u->done_tail); /* pairs with the system's release */
        if (head != tail) load_acquire(u->tail);    /* pairs with submit */
        for (n = 0; head != tail && n < array_len(calls); n++, head++) {
            const struct io_uring_cqe *e = &u->done[head & u->done_mask];
            calls[n] = (struct call *)(uintptr_t)e->user_data;
            calls[n]->result = e->res;
        }
        sub_relaxed(&u->under_way, n);
        store_release(u->done_head, head); /* pairs with the system's acquire */
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
