/* poller.h - which descriptors are ready: hands back what the system says, and wakes nobody
 *
 * One epoll instance for each runtime, made when it is first needed.  Edge-triggered: a descriptor is registered once,
 * for both directions, and reported when it becomes ready.  Each report carries the 64 bits that it was registered
 * with.
 */
#ifndef WEFT_POLLER_H
#define WEFT_POLLER_H

#include "platform.h"

struct poller {
    Atomic(int32_t)  epoll; /* -1: not made yet */
    int32_t          event; /* an eventfd: to wake who polls */
    Atomic(uint32_t) lock;  /* of making it */
};

struct poller_report {
    uint64_t data;
    bool     in, out; /* can be read or written, or has an error or an end that reading or writing will tell */
    bool     end;     /* it has, or urgent data, at which a read ends */
};

void poller_init(struct poller *poller);
void poller_destroy(struct poller *poller);

static inline bool poller_made(struct poller *poller)
{
    return load_acquire(&poller->epoll) >= 0; /* pairs with poller_make */
}

/* 0; or -EMFILE, -ENFILE, -ENOMEM. */
int poller_make(struct poller *poller);

/* Registers the descriptor, or again if it is; what is ready now is reported, too.  0; -EPERM: it is always ready;
 * -EBADF, -ENOMEM, -ENOSPC. */
int poller_add(struct poller *poller, int fd, uint64_t data);

/* The same, unless it is registered: then -EEXIST, and nothing is changed or reported. */
int poller_add_new(struct poller *poller, int fd, uint64_t data);

/* At most so many reports; waits for one until `timeout` nanoseconds have passed (negative: for good), or until
 * woken. */
unsigned poller_wait(struct poller *poller, struct poller_report *reports, unsigned most, int64_t timeout);

/* Any thread: who waits, or will wait next, returns.  Who only looks (timeout 0) takes nothing of it. */
void poller_wake(struct poller *poller);

#endif
