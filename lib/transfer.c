/* transfer.c - reading and writing: what can be done is done at once, by the worker only if that cannot block
 *
 * A socket is asked without waiting, and so is what its owner has set to O_NONBLOCK.  A file is asked for what the page
 * cache has; the rest is the system's (uring.h) or a thread's (blocking.h).  Of other things, whose flags may be
 * shared with other processes, only so much is asked as they have promised to give or to take.
 *
 * After a read of a stream that was short there is nothing to be read before the next report, so the next read does not
 * try (epoll(7)).  This does not hold when the end of the stream has been reported, which is reported once.
 *
 * What kind of thing a number is is found out once, and may be out of date: each try finds that out, and asks again.
 */
#define _GNU_SOURCE
#include "blocking.h"
#include "io.h"
#include "lock.h"
#include "order.h"
#include "outbox.h"
#include "uring.h"
#include "work.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- what it is ------------------------------------------------------------ */

static noinline enum descriptor_kind classify(int fd, struct descriptor *d)
{
    struct stat          status;
    int                  protocol;
    socklen_t            size = sizeof protocol;
    enum descriptor_kind kind = DESCRIPTOR_OTHER;
    if (fstat(fd, &status) != 0) return DESCRIPTOR_UNKNOWN;
    if (S_ISSOCK(status.st_mode)) {
        /* Not so a local one: a read ends where a message brought descriptors, though there is more. */
        bool stream = getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 && protocol == IPPROTO_TCP;
        int  flags = fcntl(fd, F_GETFL);
        kind = stream ? DESCRIPTOR_STREAM : DESCRIPTOR_SOCKET;
        if (!(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    } else if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode)) {
        kind = DESCRIPTOR_FILE;
    }
    store_relaxed(&d->kind, kind);
    store_relaxed(&d->dry, 0);
    return kind;
}

static inline bool is_socket(uint32_t kind)
{
    return kind == DESCRIPTOR_STREAM || kind == DESCRIPTOR_SOCKET;
}

/* ---- one try --------------------------------------------------------------- */

/* What is to be done, on bytes or on a message. */
struct transfer {
    int            fd;
    bool           out;
    void          *bytes;
    size_t         size;
    off_t          offset; /* -1: the descriptor's own */
    struct msghdr *message;
    int            flags;
};

/* With one of these to receive never waits in the system. */
#define NEVER_WAIT (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)

static ssize_t blocking_transfer(const struct transfer *t)
{
    ssize_t n;
    do {
        if (t->offset < 0) n = t->out ? write(t->fd, t->bytes, t->size) : read(t->fd, t->bytes, t->size);
        else n = t->out ? pwrite(t->fd, t->bytes, t->size, t->offset) : pread(t->fd, t->bytes, t->size, t->offset);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

struct file_call {
    const struct transfer *transfer;
    struct descriptor     *descriptor;
    uint32_t               life;
    ssize_t                result;
};

static int run_file_call(void *arg)
{
    struct file_call *call = arg;
    if (!call_begin(call->descriptor, call->life)) {
        call->result = call_was_closed(call->descriptor);
    } else {
        call->result = blocking_transfer(call->transfer);
        call_end(call->descriptor);
    }
    return 0;
}

static ssize_t nowait(const struct transfer *t)
{
    struct iovec part = {t->bytes, t->size};
    ssize_t      n;
    if (ORDER_PRECISE) return -EOPNOTSUPP; /* the sanitizer does not know these calls */
    do n = t->out ? pwritev2(t->fd, &part, 1, t->offset, RWF_NOWAIT) : preadv2(t->fd, &part, 1, t->offset, RWF_NOWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* What a try says that is not the outcome of the transfer; none is an error that these system calls have. */
enum {
    TAKEN_FOR_ANOTHER = -EINTR, /* the kind was out of date: try again */
    NOT_CACHED = -ESTRPIPE,     /* the disk has to be waited for, and not by the worker */
    MAY_BLOCK = -ERESTART,      /* so it may, and whether the page cache has it nobody can tell */
    NO_THREAD = -EUSERS,        /* nobody can do it now; no report says when, so it is not waited for */
};

/* What the caller is told instead. */
static ssize_t told(ssize_t n)
{
    return n == NO_THREAD ? -EAGAIN : n;
}

/* From the page cache, if it is there. */
static ssize_t try_file(const struct transfer *t, struct descriptor *d)
{
    ssize_t n = nowait(t);
    if (n != -EAGAIN && n != -EOPNOTSUPP && n != -ENOSYS) return n;
    return classify(t->fd, d) != DESCRIPTOR_FILE && t->offset < 0 ? TAKEN_FOR_ANOTHER
           : n == -EAGAIN                                         ? NOT_CACHED
                                                                  : MAY_BLOCK;
}

static noinline ssize_t by_thread(const struct transfer *t, struct descriptor *d, uint32_t life)
{
    struct file_call call = {.transfer = t, .descriptor = d, .life = life};
    int              error = blocking_call(BLOCKING_FILES, run_file_call, &call);
    return error ? NO_THREAD : call.result;
}

static void end_request(void *d)
{
    call_end(d);
}

/* At an offset the request is all there is to do.  At the descriptor's own position it would be a race with every other
 * call there: the system's requests, unlike its calls, do not lock it.  So a read only has what it will read brought to
 * the page cache, and is tried again; where there is no such cache, or to read is to take away, and to write, is left
 * to a thread. */
static ssize_t by_request(const struct transfer *t, struct descriptor *d, uint32_t life)
{
    struct uring_request request = {.fd = t->fd, .out = t->out, .bytes = t->bytes, .size = t->size};
    if (!call_begin(d, life)) return call_was_closed(d);
    off_t offset = t->offset < 0 ? lseek(t->fd, 0, SEEK_CUR) : t->offset;
    if (offset < 0) {
        call_end(d);
        return MAY_BLOCK;
    }
    request.offset = (uint64_t)offset;
    ssize_t n = uring_call(&request, end_request, d);
    if (n == -EAGAIN || n == -EINTR) return MAY_BLOCK;
    if (t->offset >= 0) return n;
    if (!call_begin(d, life)) return call_was_closed(d);
    n = nowait(t);
    call_end(d);
    return n == -EAGAIN ? MAY_BLOCK : n;
}

static noinline ssize_t off_worker(struct transfer transfer, struct descriptor *d, uint32_t life, ssize_t why)
{
    const struct transfer *t = &transfer;
    struct worker         *w = worker_self();
    bool                   fits = t->offset >= 0 || (!t->out && why == NOT_CACHED);
    ssize_t                n = w && fits && uring_usable(w) ? by_request(t, d, life) : MAY_BLOCK;
    return n == MAY_BLOCK ? by_thread(t, d, life) : n;
}

/* A named pipe or a terminal by a description of its own, which does not block; -1: it cannot be had, or would be
 * another thing, as it would of a pseudoterminal's master. */
static int open_again(int fd, int flags)
{
    struct stat status;
    char        path[32];
    int         number;
    if (fstat(fd, &status) != 0 || !(S_ISFIFO(status.st_mode) || isatty(fd)) || ioctl(fd, TIOCGPTN, &number) == 0)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* A terminal that can be written to may have room for 256 bytes, and make 8 of a tab. */
#define TTY_ROOM ((size_t)32)

/* What a thing says is ready does not block, unless somebody else is faster, which in this process nobody is. */
static ssize_t try_promised(const struct transfer *t, struct descriptor *d, struct pollfd *polled)
{
    struct transfer some = *t;
    ssize_t         n = -EAGAIN;
    if (t->out) some.size = min_of(t->size, isatty(t->fd) ? TTY_ROOM : (size_t)PIPE_BUF);
    lock_take(&d->slow[t->out]);
    if (poll(polled, 1, 0) > 0) n = blocking_transfer(&some);
    lock_drop(&d->slow[t->out]);
    return n;
}

static bool is_one(const struct transfer *t)
{
    static const uint64_t one = 1;
    return t->size == sizeof one && t->bytes && memcmp(t->bytes, &one, sizeof one) == 0;
}

static bool is_eventfd(int fd)
{
    static const char name[] = "anon_inode:[eventfd]";
    char              path[32], target[sizeof name];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof target) == sizeof name - 1 && memcmp(target, name, sizeof name - 1) == 0;
}

/* How much an eventfd takes; `unknown` where the system does not tell, as without a descriptor left. */
static uint64_t room_of(int fd, uint64_t unknown)
{
    char path[40], text[256], *at;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    order_hide(); /* a number that is used again would order all who use it */
    int     info = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = info < 0 ? 0 : read(info, text, sizeof text - 1);
    if (info >= 0) close(info);
    order_show();
    text[size > 0 ? size : 0] = 0;
    at = strstr(text, "eventfd-count:");
    return at ? UINT64_MAX - 1 - strtoull(at + strlen("eventfd-count:"), NULL, 16) : unknown;
}

/* An eventfd that says it can be written to takes 1, and may wait for room for more; what it never takes it refuses at
 * once, and 0 it always takes. */
static ssize_t try_eventfd(const struct transfer *t, struct descriptor *d, bool ready)
{
    uint64_t count;
    if (t->size < sizeof count || !t->bytes) return blocking_transfer(t);
    memcpy(&count, t->bytes, sizeof count);
    ssize_t n = -EAGAIN;
    lock_take(&d->slow[true]);
    if (count == UINT64_MAX || count <= room_of(t->fd, ready ? count : 0)) n = blocking_transfer(t);
    lock_drop(&d->slow[true]);
    return n;
}

static ssize_t try_other(const struct transfer *t, struct descriptor *d)
{
    int flags = fcntl(t->fd, F_GETFL);
    if (flags < 0) return -errno;
    if (flags & O_NONBLOCK) return blocking_transfer(t);
    ssize_t n = nowait(t);
    if (n != -EOPNOTSUPP && n != -ENOSYS) return n;
    struct pollfd polled = {.fd = t->fd, .events = t->out ? POLLOUT : POLLIN};
    bool          ready = poll(&polled, 1, 0) > 0;
    if (t->out && !(ready && is_one(t)) && is_eventfd(t->fd)) return try_eventfd(t, d, ready);
    if (!ready) return t->size > 0 ? -EAGAIN : 0; /* for nothing there is nothing to wait for */
    struct transfer again = *t;
    /* Not in the build of order.h: a number that is used again would order all who use it. */
    if (ORDER_PRECISE || (again.fd = open_again(t->fd, flags)) < 0) return try_promised(t, d, &polled);
    n = blocking_transfer(&again);
    close(again.fd);
    return n;
}

/* (Rejected: syscall(2) for recv(2) and send(2), which are cancellation points: 5 ns less of 360, in a request nothing
 * that could be measured.) */
static always_inline ssize_t try_socket(const struct transfer *t)
{
    ssize_t n;
    /* As read(2), where recv(2) would wait. */
    if (!t->message && !t->out && t->size == 0) return fcntl(t->fd, F_GETFD) < 0 ? -errno : 0;
    int flags = t->flags | MSG_DONTWAIT | (t->out ? MSG_NOSIGNAL : 0);
    do {
        if (t->message) n = t->out ? sendmsg(t->fd, t->message, flags) : recvmsg(t->fd, t->message, flags);
        else n = t->out ? send(t->fd, t->bytes, t->size, flags) : recv(t->fd, t->bytes, t->size, flags);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static noinline ssize_t try_no_socket(struct transfer transfer, struct descriptor *d, uint32_t kind)
{
    const struct transfer *t = &transfer;
    /* A number used again unseen is not to raise SIGPIPE. */
    if (t->out && unlikely(io_socket_type(t->fd) >= 0)) {
        store_relaxed(&d->kind, DESCRIPTOR_UNKNOWN);
        return TAKEN_FOR_ANOTHER;
    }
    return kind == DESCRIPTOR_FILE ? try_file(t, d) : try_other(t, d);
}

/* With call_begin: all that is asked of the number here is of one life. */
static always_inline ssize_t try_here(const struct transfer *t, struct descriptor *d)
{
    uint32_t kind = load_relaxed(&d->kind);
    if (unlikely(kind == DESCRIPTOR_UNKNOWN) && (kind = classify(t->fd, d)) == DESCRIPTOR_UNKNOWN) return -EBADF;
    if (unlikely(!is_socket(kind)) && !t->message) return try_no_socket(*t, d, kind);
    ssize_t n = try_socket(t);
    if (likely(n != -ENOTSOCK) || t->message) return n;
    store_relaxed(&d->kind, DESCRIPTOR_UNKNOWN);
    return TAKEN_FOR_ANOTHER;
}

/* -EAGAIN: it is not ready. */
static always_inline ssize_t try_once(const struct transfer *t, struct descriptor *d, uint32_t life)
{
    ssize_t n;
    do {
        struct worker *w = worker_self();
        if (!t->out && likely(w)) work_look_ahead(w); /* once in a turn, as who writes has most often read before */
        if (unlikely(!call_begin(d, life))) return call_was_closed(d);
        n = try_here(t, d);
        call_end(d);
    } while (unlikely(n == TAKEN_FOR_ANOTHER));
    return n == MAY_BLOCK || n == NOT_CACHED ? off_worker(*t, d, life, n) : n;
}

/* A write to a socket goes with those of others, if there are some. */
static always_inline ssize_t try_with_others(const struct transfer *t, struct descriptor *d, uint32_t life)
{
    struct worker *w = worker_self();
    if (t->out && likely(w) && is_socket(load_relaxed(&d->kind))) {
        if (!t->message && outbox_fits(w, t->size)) {
            ssize_t n = outbox_send(t->fd, t->bytes, t->size, d, life);
            if (likely(n != -EINTR && n != -ENOTSOCK)) return n;
        } else {
            outbox_pass(w);
        }
    }
    return try_once(t, d, life);
}

/* Nothing has come since the last read took all there was, and who reads may wait for more. */
static always_inline bool known_dry(const struct descriptor *d, uint32_t change, size_t size, weft_time deadline)
{
    struct worker *w = worker_self();
    if (load_relaxed(&d->dry) != change + 1 || !w || size == 0) return false;
    if (load_relaxed(&d->kind) != DESCRIPTOR_STREAM || load_relaxed(&d->ended)) return false;
    if (!(load_relaxed(&d->registered) & w->runtime->mark)) return false;
    return deadline == WEFT_NEVER ? !cancel_check(w->fiber) : !wait_refused(deadline);
}

static always_inline ssize_t transferred(const struct transfer *t, struct descriptor *d, struct call_moment before,
                                         ssize_t n)
{
    bool all = n > 0 && (size_t)n < t->size;
    if (!t->out && !t->message) store_relaxed(&d->dry, all ? before.change[DESCRIPTOR_IN] + 1 : 0);
    return n;
}

/* Who goes on tries again. */
static always_inline void expect(const struct transfer *t, const struct descriptor *d)
{
    struct fiber *f = worker_fiber();
    if (!f) return;
    f->soon[0] = d;
    f->soon[1] = t->message ? (const void *)t->message : t->bytes;
}

/* The end may have been reported.  Of a socket that has no connection and was shut down, a call that waits says so, and
 * one that does not, that there is nothing yet. */
static noinline ssize_t try_after_end(struct transfer t, struct descriptor *d, uint32_t life)
{
    struct pollfd polled = {.fd = t.fd, .events = POLLRDHUP};
    ssize_t       n = -EAGAIN;
    if (t.flags & NEVER_WAIT) return n;
    if (!call_begin(d, life)) return call_was_closed(d);
    bool over = poll(&polled, 1, 0) > 0 && (polled.revents & POLLRDHUP);
    if (over) n = try_socket(&t); /* what has come before it */
    bool at_end = over && n == -EAGAIN && io_socket_type(t.fd) != SOCK_STREAM;
    call_end(d);
    if (!at_end) return n;
    if (t.message) t.message->msg_namelen = 0, t.message->msg_controllen = 0, t.message->msg_flags = 0;
    return 0;
}

/* In that life of the number. */
static always_inline ssize_t transfer_in(const struct transfer *t, struct descriptor *d, uint32_t life,
                                         weft_time deadline)
{
    struct worker *w = worker_self();
    if (likely(w)) worker_spend_more(w, IO_CALLS);
    for (bool again = false;;) {
        struct call_moment before = call_now_in(d, life);
        chaos_point();
        bool    dry = !t->out && !t->message && known_dry(d, before.change[DESCRIPTOR_IN], t->size, deadline);
        ssize_t n = dry ? -EAGAIN : try_with_others(t, d, before.life);
        if (n >= 0) return transferred(t, d, before, n);
        if (n != -EAGAIN && n != -EWOULDBLOCK) return told(n);
        bool ended = load_relaxed(&d->ended) || (again && !w); /* what a plain thread was told may be that */
        if (!t->out && unlikely(ended) && (n = try_after_end(*t, d, life)) != -EAGAIN) return n;
        expect(t, d);
        short                   events = t->out ? POLLOUT : POLLIN;
        const struct wait_kind *kind = t->out ? &io_kind_out : &io_kind_in;
        int error = unlikely(again) && (t->out || !w) ? io_wait_again(t->fd, d, before, events, deadline, kind)
                                                      : io_wait(t->fd, d, before, events, deadline, kind);
        again = true;
        if (!error) continue;
        /* The report of what was there before the call may have come too late for it. */
        if (dry && error != -EBADF && (n = try_once(t, d, before.life)) >= 0) return transferred(t, d, before, n);
        return error;
    }
}

static always_inline ssize_t transfer(const struct transfer *t, weft_time deadline)
{
    struct descriptor *d = descriptor_get(t->fd);
    return likely(d) ? transfer_in(t, d, call_life(d), deadline) : descriptor_error(t->fd);
}

/* ---- the calls ------------------------------------------------------------- */

ssize_t weft_read(int fd, void *buf, size_t count, weft_time deadline)
{
    return transfer(&(struct transfer){.fd = fd, .bytes = buf, .size = count, .offset = -1}, deadline);
}

ssize_t weft_write(int fd, const void *buf, size_t count, weft_time deadline)
{
    return transfer(&(struct transfer){.fd = fd, .out = true, .bytes = (void *)buf, .size = count, .offset = -1},
                    deadline);
}

static ssize_t at_offset(const struct transfer *t)
{
    if (t->offset < 0) return -EINVAL; /* which the system says first */
    struct descriptor *d = descriptor_get(t->fd);
    if (!d) return descriptor_error(t->fd);
    uint32_t       life = call_life(d);
    struct worker *w = worker_self();
    if (w) worker_spend_more(w, IO_CALLS);
    if (!call_begin(d, life)) return call_was_closed(d);
    ssize_t n = try_file(t, d);
    call_end(d);
    return n == MAY_BLOCK || n == NOT_CACHED ? told(off_worker(*t, d, life, n)) : n;
}

ssize_t weft_pread(int fd, void *buf, size_t count, off_t offset, weft_time deadline)
{
    (void)deadline; /* a file is always ready */
    return at_offset(&(struct transfer){.fd = fd, .bytes = buf, .size = count, .offset = offset});
}

ssize_t weft_pwrite(int fd, const void *buf, size_t count, off_t offset, weft_time deadline)
{
    (void)deadline;
    return at_offset(&(struct transfer){.fd = fd, .out = true, .bytes = (void *)buf, .size = count, .offset = offset});
}

/* The part of the message's memory that begins after so many bytes; of size 0: there is none. */
static struct iovec part_at(const struct msghdr *message, size_t at)
{
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        const struct iovec *part = &message->msg_iov[i];
        if (at < part->iov_len) return (struct iovec){(char *)part->iov_base + at, part->iov_len - at};
        at -= part->iov_len;
    }
    return (struct iovec){0};
}

/* What belongs to these bytes alone, as descriptors; and not merely when they came. */
static bool brought_more(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == SOL_SOCKET && (c->cmsg_type == SCM_RIGHTS || c->cmsg_type == SCM_CREDENTIALS)) return true;
    return false;
}

/* The next call on it tells an error, and there is nothing to be read before.  Where an error is to be received as
 * such (MSG_ERRQUEUE) there is no end. */
static bool is_at_error(int fd, int events)
{
    int left = 0;
    return (events & POLLERR) && (events & POLLHUP) && (ioctl(fd, FIONREAD, &left) != 0 || left == 0);
}

/* What MSG_WAITALL asks for, which a call that does not wait leaves out.  Like the system's it ends at the end, at an
 * error, which the next call tells, and where a message brought more than bytes. */
static ssize_t receive_all(const struct transfer *t, weft_time deadline)
{
    struct descriptor *d = descriptor_get(t->fd);
    if (!d) return descriptor_error(t->fd);
    const uint32_t life = call_life(d);
    struct msghdr *m = t->message, one = *m;
    ssize_t        all = transfer_in(t, d, life, deadline), n = all;
    if (all <= 0 || io_socket_type(t->fd) != SOCK_STREAM) return all;
    for (struct iovec part; n > 0 && (part = part_at(m, (size_t)all)).iov_len > 0; all += max_of(n, 0)) {
        if (brought_more(m)) break;
        int events = io_poll(t->fd, d, life, POLLIN, deadline);
        if (events < 0 || is_at_error(t->fd, events)) break;
        struct msghdr next = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = one.msg_control, .msg_controllen = one.msg_controllen};
        struct transfer rest = {.fd = t->fd, .message = &next, .flags = t->flags};
        n = transfer_in(&rest, d, life, deadline);
        if (n > 0) m->msg_controllen = next.msg_controllen, m->msg_flags |= next.msg_flags;
    }
    return all;
}

ssize_t weft_recvmsg(int fd, struct msghdr *message, int flags, weft_time deadline)
{
    if (!message) return -EFAULT; /* in a transfer it would be one of bytes */
    struct transfer t = {.fd = fd, .message = message, .flags = flags};
    bool            all = (flags & MSG_WAITALL) && !(flags & (NEVER_WAIT | MSG_PEEK | MSG_TRUNC));
    if (all) return receive_all(&t, deadline);
    return transfer(&t, flags & NEVER_WAIT ? 0 : deadline);
}

ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags, weft_time deadline)
{
    if (!message) return -EFAULT; /* in a transfer it would be one of bytes */
    struct transfer t = {.fd = fd, .out = true, .message = (struct msghdr *)message, .flags = flags};
    if (flags & MSG_DONTWAIT) deadline = 0;
    struct descriptor *d = descriptor_get(fd);
    if (!d) return descriptor_error(fd);
    const uint32_t life = call_life(d);
    ssize_t        n = transfer_in(&t, d, life, deadline);
    if (n != -EINPROGRESS) return n;
    t.flags &= ~MSG_FASTOPEN; /* it connects, and sends when it is connected */
    return transfer_in(&t, d, life, deadline);
}

/* That a connection has timed out is an error of the system's, which tells it once. */
static bool given_up(ssize_t error, weft_time deadline)
{
    if (error == -EAGAIN || error == -ECANCELED || error == -EDEADLK) return true;
    if (error == -ETIMEDOUT && deadline != 0 && deadline <= weft_now()) return true;
    struct fiber *f = worker_fiber();
    return f && cancel_check(f) == error;
}

/* As far as it got, when it has come to the end or was given up. */
static always_inline ssize_t in_full(struct transfer t, weft_time deadline)
{
    struct descriptor *d = descriptor_get(t.fd);
    if (unlikely(!d)) return descriptor_error(t.fd);
    const uint32_t life = call_life(d);
    size_t         size = t.size;
    while (t.size > 0) {
        ssize_t n = transfer_in(&t, d, life, deadline);
        if (n < 0 && !(t.size < size && given_up(n, deadline))) return n;
        if (n <= 0) break;
        t.bytes = (char *)t.bytes + n;
        t.size -= (size_t)n;
    }
    return (ssize_t)(size - t.size);
}

ssize_t weft_read_full(int fd, void *buf, size_t count, weft_time deadline)
{
    return in_full((struct transfer){.fd = fd, .bytes = buf, .size = count, .offset = -1}, deadline);
}

ssize_t weft_write_full(int fd, const void *buf, size_t count, weft_time deadline)
{
    return in_full((struct transfer){.fd = fd, .out = true, .bytes = (void *)buf, .size = count, .offset = -1},
                   deadline);
}
