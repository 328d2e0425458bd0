#define _GNU_SOURCE
#include "ring.h"
#include "order.h"

#if RING_KNOWN

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int ring_enter(struct ring *r, unsigned count, unsigned wait)
{
    long n;
    do n = syscall(SYS_io_uring_enter, r->fd, count, wait, wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (int)n;
}

void ring_unmake(struct ring *r)
{
    if (r->entries) munmap(r->entries, r->entries_size);
    if (r->rings) munmap(r->rings, r->size);
    if (r->fd >= 0) close(r->fd);
}

static void *map(int fd, size_t size, off_t what)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, what);
    return at == MAP_FAILED ? NULL : at;
}

/* One mapping for both rings (Linux 5.4), reads, writes and sends as they are (5.6); nothing newer is needed. */
bool ring_make(struct ring *r, unsigned entries)
{
    struct io_uring_params p = {.flags = IORING_SETUP_CLAMP};
    if (!wanted()) return false;
    *r = (struct ring){.fd = (int)syscall(SYS_io_uring_setup, entries, &p)};
    if (r->fd < 0 || !(p.features & IORING_FEAT_SINGLE_MMAP) || !(p.features & IORING_FEAT_RW_CUR_POS)) {
        bool soon = r->fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
        store_relaxed(&refused, !soon);
        ring_unmake(r);
        return false;
    }
    r->size = max_of(p.sq_off.array + p.sq_entries * sizeof(uint32_t),
                     p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe));
    r->entries_size = p.sq_entries * sizeof(struct io_uring_sqe);
    if (!(r->rings = map(r->fd, r->size, IORING_OFF_SQ_RING)) ||
        !(r->entries = map(r->fd, r->entries_size, IORING_OFF_SQES))) {
        ring_unmake(r);
        return false;
    }
    r->tail = (void *)(r->rings + p.sq_off.tail);
    r->mask = p.sq_entries - 1;
    r->done_head = (void *)(r->rings + p.cq_off.head);
    r->done_tail = (void *)(r->rings + p.cq_off.tail);
    r->done = (void *)(r->rings + p.cq_off.cqes);
    r->done_mask = p.cq_entries - 1;
    uint32_t *order = (void *)(r->rings + p.sq_off.array);
    for (uint32_t i = 0; i < p.sq_entries; i++) order[i] = i;
    return true;
}

#endif
