/* ring.h - an io_uring as it is mapped: entries in, completions out
 *
 * Where the kernel lets the process have one, and the environment does not say WEFT_IO=epoll.  Who uses one takes care
 * that one thread at a time puts entries in, and that one at a time takes completions out.
 *
 * By the raw system calls.  (Rejected: liburing.  Of what it has, two calls and a mapping are needed here, its accesses
 * to the rings are hidden from ThreadSanitizer, and whoever links libweft.a would have to link it, too.)
 */
#ifndef WEFT_RING_H
#define WEFT_RING_H

#include "atomic.h"
#include "base.h"

#if defined(__has_include) && __has_include(<linux/io_uring.h>)

#include <linux/io_uring.h>

#define RING_KNOWN 1

struct ring {
    int                  fd;
    size_t               size, entries_size;
    char                *rings;
    struct io_uring_sqe *entries;
    /* Mapped: the system reads `tail` within ring_enter alone. */
    Atomic(uint32_t)    *tail, *done_head, *done_tail;
    struct io_uring_cqe *done;
    uint32_t             mask, done_mask;
};

/* False: none is to be had, now or ever.  There is room for twice as many completions. */
bool ring_make(struct ring *r, unsigned entries);
void ring_unmake(struct ring *r);

/* Hands in so many entries, which are before `tail`, and waits until there are so many completions.  How many it took,
 * or -errno. */
int ring_enter(struct ring *r, unsigned count, unsigned wait);

#else

#define RING_KNOWN 0

#endif

#endif
