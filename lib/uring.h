/* uring.h - requests that the system carries out by itself, off the workers: an io_uring
 *
 * One for each runtime, made when it is first needed, where the kernel lets it: where it does not, or the environment
 * says WEFT_IO=epoll, whoever asks is told so and goes another way.  Any worker hands requests in and takes completions
 * out; the poller reports that there are some.
 *
 * A request is never given up: its buffer is the system's until it is complete, and so long its task waits.
 *
 * For regular files, which may take their time; what sockets are asked for is done at once or waits for a report
 * (outbox.h says why).
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
