/* uring.h - requests that the system carries out by itself, off the workers: an io_uring
 *
 * One for each runtime, made when it is first needed, where the kernel lets it: where it does not, or the environment
 * says WEFT_IO=epoll, whoever asks is told so and goes another way.  Any worker hands requests in and takes completions
 * out; the poller reports that there are some.
 *
 * A request is never given up: its buffer is the system's until it is complete, and so long its task waits.
 *
 * For regular files.  (Rejected: for sockets too, a receive and a send that each wait for their completion, handed in
 * together when the worker has nothing else to run.  bench/echo, 64 connections, one worker, in turns with the same
 * tasks over epoll: 0.19 system calls a request against 2.05, but 0.45 us of user time against 0.48, 5.8 us of system
 * time against 6.1, 1,700 instructions against 1,560, and the same time for a request.  What the calls no longer cost,
 * the second suspension does, and nearly all is TCP's.  To receive ahead, into a ring of buffers, gains little more in a
 * raw loop, 0.12 us and 6.0 against epoll's 0.18 and 6.1; and bytes that are taken from a socket before anybody asks
 * would be missed by whoever else reads it: a plain thread, another runtime, another process.)
 *
 * By the raw system calls.  (Rejected: liburing.  Of what it has, two calls and a mapping are needed here, its accesses
 * to the rings are hidden from ThreadSanitizer, and whoever links libweft.a would have to link it, too.)
 */
#ifndef WEFT_URING_H
#define WEFT_URING_H

#include "team.h"

struct uring;

/* What the poller reports when there are completions: no descriptor's. */
#define URING_DATA (UINT64_MAX - 1)

struct uring_request {
    int      fd;
    bool     out;
    void    *bytes;
    size_t   size;
    uint64_t offset;
};

/* Whether the calling task's runtime has one, which is made if need be.  With a seed it has none, as the order of
 * completions would be no part of the schedule. */
bool uring_usable(struct worker *w);

/* By a task, where it is usable: carries the request out and waits for its end, however long.  `taken(arg)` is called,
 * on another stack, once the system holds on to what the number stands for, or has refused the request; the request may
 * be complete, and its task go on, by then.  What read or write would have returned, or -errno; -EAGAIN: not now. */
ssize_t uring_call(const struct uring_request *request, void (*taken)(void *arg), void *arg);

/* Wakes those whose requests are complete. */
void uring_reap(struct weft_runtime *runtime);

/* None is under way any more. */
void uring_stop(struct weft_runtime *runtime);

#endif
