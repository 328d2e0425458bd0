/* io.h - waiting for descriptors: a call that finds one not ready waits, and misses no report
 *
 *   1. A call notes the moment (call.h), and tries.
 *   2. If the descriptor is not ready it is registered with the runtime's poller, unless it is already.
 *   3. With the entry's lock held: if a report has come since 1, the call tries again; else it waits.  A report
 *      wakes all that wait for its direction, and they try again.
 *
 * A plain thread polls the descriptor itself, and an eventfd by which weft_close wakes it; without one, when there is
 * no descriptor left, it looks every so often.
 *
 * ThreadSanitizer knows the system calls that transfer, and what they order; each is made by the caller, or in its name
 * (blocking.c).  What serves waiting is hidden from it.
 */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include "call.h"

/* A system call costs as much as so many calls that make none. */
#define IO_CALLS 16

enum { IO_READY, IO_CLOSED };

/* What is waited for: to read, which is also to accept, and to write, which is also to connect. */
extern const struct wait_kind io_kind_in, io_kind_out;

/* A plain thread that polls, in whose frame this is; an eventfd wakes it. */
struct io_thread {
    struct io_thread *next;
    int               event;
};

/* SOCK_STREAM and so on; -1: it is no socket. */
int io_socket_type(int fd);

/* A socket becomes non-blocking, in that life of the number; 0, or a negative error: -ENOTSOCK for another thing that
 * is not. */
int io_make_nonblocking(int fd, struct descriptor *d, uint32_t life);

/* Returns 0 when one of the events may have come since the moment; or a negative error. */
int io_wait(int fd, struct descriptor *d, struct call_moment before, short events, weft_time deadline,
            const struct wait_kind *kind);

/* The same, by who was told so and has tried in vain: where the descriptor says so again, that cannot be known, and it
 * rests before it tries once more. */
int io_wait_again(int fd, struct descriptor *d, struct call_moment before, short events, weft_time deadline,
                  const struct wait_kind *kind);

/* weft_poll in that life of the number. */
int io_poll(int fd, struct descriptor *d, uint32_t life, short events, weft_time deadline);

/* For struct weft_runtime's hooks: see there. */
void io_init(struct weft_runtime *runtime);
/* None of its tasks is left. */
void io_end(struct weft_runtime *runtime);

#endif
