/* connection.c - accepting and connecting; what befell a connection that was not accepted yet is nobody's error
 */
#define _GNU_SOURCE
#include "io.h"
#include "life.h"
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* When there is no descriptor or memory left, a server that asks again at once would only spin. */
#define EXHAUSTED_NS (10 * WEFT_MS)

int weft_accept(int fd, struct sockaddr *address, socklen_t *length, weft_time deadline)
{
    struct descriptor *d = descriptor_get(fd);
    if (!d) return descriptor_error(fd);
    const uint32_t life = call_life(d);
    int            error = io_make_nonblocking(fd, d, life);
    if (error) return error;
    struct worker *w = worker_self();
    if (w) worker_spend_more(w, IO_CALLS);
    for (;;) {
        struct call_moment before = call_now_in(d, life);
        if (!call_begin(d, before.life)) return call_was_closed(d);
        int accepted = accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC), why = accepted < 0 ? errno : 0;
        call_end(d);
        if (accepted >= 0) {
            life_begin(accepted, DESCRIPTOR_UNKNOWN);
            return accepted;
        }
        switch (why) {
        case EAGAIN: break;
        /* Errors of a connection that was not accepted yet (accept(2)). */
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case ENETUNREACH: continue;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            error = -why;
            int refused = deadline != 0 ? weft_sleep(min_of(weft_now() + EXHAUSTED_NS, deadline)) : 0;
            return refused ? refused : error; /* cancelled: or who asks again until it is would spin */
        default: return -why;
        }
        error = io_wait(fd, d, before, POLLIN, deadline, &io_kind_in);
        if (error) return error;
    }
}

/* 0: it is connected; a negative errno; -EINPROGRESS, -EAGAIN: not yet. */
static int try_connect(int fd, const struct sockaddr *address, socklen_t length, struct descriptor *d, uint32_t life)
{
    if (!call_begin(d, life)) return call_was_closed(d);
    int error = connect(fd, address, length) == 0 ? 0 : -errno;
    call_end(d);
    return error == -EINTR || error == -EALREADY ? -EINPROGRESS : error;
}

static int try_connected(int fd, struct descriptor *d, uint32_t life)
{
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    int           error = 0;
    socklen_t     size = sizeof error;
    if (!call_begin(d, life)) return call_was_closed(d);
    if (poll(&polled, 1, 0) <= 0) error = -EINPROGRESS;
    else error = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? -error : -errno;
    call_end(d);
    return error;
}

int weft_connect(int fd, const struct sockaddr *address, socklen_t length, weft_time deadline)
{
    struct descriptor *d = descriptor_get(fd);
    if (!d) return descriptor_error(fd);
    struct call_moment before = call_now(d);
    const uint32_t     life = before.life;
    int                error = io_make_nonblocking(fd, d, life);
    if (error) return error;
    /* A local socket whose listener's queue is full tells nobody when it is not. */
    while ((error = try_connect(fd, address, length, d, life)) == -EAGAIN) {
        int refused = wait_refused(deadline);
        if (!refused) refused = weft_sleep(min_of(weft_now() + WEFT_MS, deadline));
        if (refused) return refused;
    }
    if (error != -EINPROGRESS) return error;
    while ((error = try_connected(fd, d, life)) == -EINPROGRESS) {
        error = io_wait(fd, d, before, POLLOUT, deadline, &io_kind_out);
        if (error) return error;
        before = call_now_in(d, life);
    }
    return error;
}
