/* outbox.h - what tasks write to sockets while others are ready goes to the system together
 *
 * A task that writes when its worker has enough others to run puts the write in the worker's outbox, and waits.  When
 * the worker has nothing else to run, or polls, all that is in the outbox is handed to an io_uring in one system call,
 * which carries each write out as send(2) with MSG_DONTWAIT would, in the order they were put in, and has done so when
 * it returns.  So no request is ever under way elsewhere: there is nothing to cancel, no buffer that the system holds
 * on to, and weft_close waits for the call as for any other.  A write in an outbox is not cancelled and has no
 * deadline, as what can be done at once is done.
 *
 * While there is something in it, whoever is ready, the next write joins it; and before a write that does not fit is
 * made, what is in it goes out (outbox_pass).  So what the tasks of one worker write to one socket stays in order.
 *
 * Who is ready meanwhile runs first, which may take long.  So a worker whose writes have waited for longer than handing
 * them in together is worth makes a number of writes at once, as it would without; and an idle worker takes the writes
 * out of the outbox of one that does not come to it.
 *
 * Only where an io_uring is to be had (ring.h), and not with a seed.
 *
 * bench/echo's load, one worker, in turns, ns a request, medians of 6 or 7 runs:
 *
 *                                     64 connections          1,000 connections
 *                                     time     processor      time     processor
 *      a loop over epoll              5,373    5,227          6,006    5,851
 *      tasks, without an outbox       5,474    5,417          6,502    6,476
 *      tasks, the outbox by send(2)   5,515    5,349          6,385    6,362
 *      tasks                          5,384    5,150          5,856    5,596
 *
 * (Rejected: to receive together as well, when the poller has reported; 5,653 for 5,656 at 1,000 connections.  To leave
 * receives with the system until something comes, and with them the poller: 5,434 for 5,389 at best, and it needs all
 * that is not needed here, as a request that is under way belongs to one worker, that may compute, and to one buffer.
 * To receive ahead into a ring of buffers gains another 50 in a raw loop of 64 connections; but bytes that are taken
 * from a socket before anybody asks would be missed by whoever else reads it: a plain thread, another runtime, another
 * process.)
 */
#ifndef WEFT_OUTBOX_H
#define WEFT_OUTBOX_H

#include "io.h"
#include "worker.h"

/* A large write takes so long that a system call is nothing to it. */
#define OUTBOX_SIZE ((size_t)16384)

bool outbox_open(struct worker *w);

/* By a task, which is to write so much: whether to put it in. */
static always_inline bool outbox_fits(struct worker *w, size_t size)
{
    bool perhaps = WEFT_CHAOS || runq_length(&w->runq) > 0 || load_relaxed(&w->outbox);
    return perhaps && size - 1 < OUTBOX_SIZE && outbox_open(w);
}

/* If it fits: what send(2) would have returned, or -errno; -EINTR: the caller is to make the write itself, as the
 * number is being closed, the outbox was emptied by another worker, or the system did not take it. */
ssize_t outbox_send(int fd, const void *bytes, size_t size, struct descriptor *d, uint32_t life);

/* All that is in it goes to the system. */
void outbox_send_out(struct worker *w);

/* By a task whose write does not fit: those that were put in before go first. */
static always_inline void outbox_pass(struct worker *w)
{
    if (unlikely(load_relaxed(&w->outbox))) outbox_send_out(w);
}

/* For struct weft_runtime's hooks: see there. */
void outbox_init(struct weft_runtime *runtime);
/* The worker does not run any more. */
void outbox_end(struct worker *w);

#endif
