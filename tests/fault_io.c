/* fault_io.c - whatever the system says, a call says so too, and nothing is lost
 *
 * Linked with --wrap, so that each call by which the library reads, writes, accepts, polls and registers passes through
 * here.  The same program runs again and again, with the first such call failing, then the second, and so on until
 * there are no more to fail.
 */
#include "descriptor.h"
#include "support_io.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- what fails ------------------------------------------------------------------------ */

enum kind { TRANSFER = 1, ACCEPT = 2, POLLER = 4, WAIT = 8 };

#define SHORT (-1) /* instead of an error: half of what was asked for */

static atomic_uint   failing; /* kinds; 0: nothing fails, and nothing is counted */
static atomic_ulong  asked, failed;
static unsigned long fail_at, fail_calls = 1; /* so many in a row */
static int           fail_with;

static int fails(enum kind kind)
{
    if (!(atomic_load(&failing) & kind)) return 0;
    unsigned long n = atomic_fetch_add(&asked, 1);
    if (n < fail_at || n - fail_at >= fail_calls) return 0;
    atomic_fetch_add(&failed, 1);
    return fail_with;
}

/* The wrapped call, or its failing. */
#define FAIL_OR(kind, size, call)                \
    do {                                         \
        int how = fails(kind);                   \
        if (how > 0) return errno = how, -1;     \
        if (how == SHORT) size = (size + 1) / 2; \
        return call;                             \
    } while (0)

ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __real_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __real_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __real_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
ssize_t __real_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
int     __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int     __real_epoll_create1(int flags);
int     __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int     __real_epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *left, void *set);
int     __real_eventfd(unsigned count, int flags);
int     __real_poll(struct pollfd *polled, nfds_t count, int ms);

ssize_t __wrap_read(int fd, void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
int     __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int     __wrap_epoll_create1(int flags);
int     __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int     __wrap_epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *left, void *set);
int     __wrap_eventfd(unsigned count, int flags);
int     __wrap_poll(struct pollfd *polled, nfds_t count, int ms);

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    if (size == sizeof(uint64_t)) return __real_read(fd, bytes, size); /* the poller's own */
    FAIL_OR(TRANSFER, size, __real_read(fd, bytes, size));
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    if (size == sizeof(uint64_t)) return __real_write(fd, bytes, size);
    FAIL_OR(TRANSFER, size, __real_write(fd, bytes, size));
}

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
    FAIL_OR(TRANSFER, size, __real_recv(fd, bytes, size, flags));
}

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    FAIL_OR(TRANSFER, size, __real_send(fd, bytes, size, flags));
}

/* As before Linux 6.4 without waiting only files are read and written. */
static atomic_bool older;

static bool is_refused(int fd, int flags)
{
    struct stat status;
    return atomic_load(&older) && flags && !(fstat(fd, &status) == 0 && S_ISREG(status.st_mode));
}

ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    struct iovec part = *parts;

    if (is_refused(fd, flags)) return errno = EOPNOTSUPP, -1;
    FAIL_OR(TRANSFER, part.iov_len, __real_preadv2(fd, &part, count, offset, flags));
}

ssize_t __wrap_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    struct iovec part = *parts;

    if (is_refused(fd, flags)) return errno = EOPNOTSUPP, -1;
    FAIL_OR(TRANSFER, part.iov_len, __real_pwritev2(fd, &part, count, offset, flags));
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    int ignored = 0;

    FAIL_OR(ACCEPT, ignored, __real_accept4(fd, address, size, flags));
}

int __wrap_epoll_create1(int flags)
{
    int ignored = 0;

    FAIL_OR(POLLER, ignored, __real_epoll_create1(flags));
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    int ignored = 0;

    FAIL_OR(POLLER, ignored, __real_epoll_ctl(epoll, operation, fd, event));
}

/* That it is interrupted is all that can befall it. */
int __wrap_epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *left, void *set)
{
    int how = fails(WAIT);

    if (how == EINTR || how == ENOSYS || how == EPERM) return errno = how, -1;
    return __real_epoll_pwait2(epoll, events, most, left, set);
}

int __wrap_eventfd(unsigned count, int flags)
{
    int ignored = 0;

    FAIL_OR(POLLER, ignored, __real_eventfd(count, flags));
}

/* Somebody else is faster: what was said to be ready is not any more. */
static int         thief = -1; /* what it is at */
static bool        thief_writes;
static atomic_uint thefts;

int __wrap_poll(struct pollfd *polled, nfds_t count, int ms)
{
    char some[4096] = {0};
    int  ready = __real_poll(polled, count, ms);

    if (ready <= 0 || thief < 0 || atomic_fetch_add(&thefts, 1) > 0) return ready;
    while ((thief_writes ? __real_write(thief, some, sizeof some) : __real_read(thief, some, sizeof some)) > 0) {
    }
    return ready;
}

/* ---- a program -------------------------------------------------------------------------- */

enum { SIZE = 3000 };

struct stream {
    int  ends[2];
    int  errors[2]; /* that were told */
    bool whole;
};

/* A failure that is told is the test's; the call is made again, and what came of the others is all there. */
static int send_all(void *arg)
{
    struct stream *s = arg;
    char           bytes[SIZE];
    size_t         at = 0;

    test_pattern(bytes, SIZE, 0);
    while (at < SIZE) {
        ssize_t n = weft_write(s->ends[1], bytes + at, SIZE - at > 700 ? 700 : SIZE - at, WEFT_NEVER);
        if (n > 0) at += (size_t)n;
        else if (s->errors[1]++ > 1) break;
        else task_check(n == -fail_with);
        weft_yield();
    }
    task_check(weft_close(s->ends[1]) == 0);
    return 0;
}

static int receive_all(void *arg)
{
    struct stream *s = arg;
    char           bytes[SIZE + 100];
    size_t         at = 0;
    ssize_t        n;

    while ((n = weft_read(s->ends[0], bytes + at, sizeof bytes - at, WEFT_NEVER)) != 0) {
        if (n > 0) at += (size_t)n;
        else if (s->errors[0]++ > 1) break;
        else task_check(n == -fail_with);
    }
    s->whole = at == SIZE && test_is_pattern(bytes, SIZE, 0);
    return weft_close(s->ends[0]);
}

static int do_all(void *arg)
{
    struct sockaddr_storage address;
    socklen_t               size;
    int                     listener = test_listener(&address, &size, 4), client, server, told = 0;

    (void)arg;
    for (enum test_link link = 0; link < TEST_TTY; link++) {
        struct stream s = {.whole = false};
        weft_task     tasks[2];
        test_link_make(s.ends, link);
        weft_spawn(&tasks[0], send_all, &s);
        weft_spawn(&tasks[1], receive_all, &s);
        for (int i = 0; i < 2; i++) task_check(weft_await(&tasks[i]) == 0);
        task_check(s.whole);
        told += s.errors[0] + s.errors[1];
    }
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    task_check(weft_connect(client, (struct sockaddr *)&address, size, WEFT_NEVER) == 0);
    while ((server = weft_accept(listener, NULL, NULL, WEFT_NEVER)) < 0 && told++ < 3) task_check(server == -fail_with);
    task_check(server >= 0);
    int ready = weft_poll(server, POLLIN, weft_now() + 200 * WEFT_US);
    task_check(ready == -ETIMEDOUT || ready == -fail_with);
    told += ready != -ETIMEDOUT;
    task_check(weft_close(server) == 0 && weft_close(client) == 0 && weft_close(listener) == 0);
    /* One failed, so at most one is told; what can be done again is. */
    task_check(told <= 1);
    if (fail_with == EINTR || fail_with == SHORT || fail_with == ENOSYS || fail_with == EPERM) task_check(told == 0);
    return 0;
}

static void run_with(unsigned kinds, int how)
{
    struct test_census before, after;
    unsigned long      n = 0, step = TEST_TSAN || TEST_ASAN ? 3 : 1;

    fail_with = how;
    fail_at = ~0ul;
    assert_int_equal(test_run_workers(do_all, NULL), 0);
    test_census(&before);
    do {
        fail_at = n;
        atomic_store(&asked, 0);
        atomic_store(&failed, 0);
        atomic_store(&failing, kinds);
        int result = weft_run(do_all, NULL, WEFT_OPTIONS(.workers = test_workers()));
        atomic_store(&failing, 0);
        assert_task_checks();
        assert_int_equal(result, 0);
        n += step;
    } while (atomic_load(&failed) > 0);
    assert_true(n > step);
    test_census(&after);
    assert_int_equal(after.descriptors, before.descriptors);
}

static void transfers_fail(void **state)
{
    (void)state;
    static const int how[] = {EINTR, EAGAIN, SHORT, ENOMEM, ECONNRESET, EIO};

    for (size_t i = 0; i < TEST_LENGTH(how); i++) run_with(TRANSFER, how[i]);
}

static void accepting_fails(void **state)
{
    (void)state;
    static const int how[] = {EINTR, ECONNABORTED, EMFILE, ENFILE, ENOMEM, ENOBUFS};

    for (size_t i = 0; i < TEST_LENGTH(how); i++) {
        fail_with = how[i];
        run_with(ACCEPT, how[i]);
    }
}

static void registering_fails(void **state)
{
    (void)state;
    static const int how[] = {ENOMEM, EMFILE, ENOSPC};

    for (size_t i = 0; i < TEST_LENGTH(how); i++) run_with(POLLER, how[i]);
}

/* Nothing is read and written at once; and all the rest is as on a system that can be asked. */
static int do_nothing_and_all(void *arg)
{
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        int ends[2];
        test_link_make(ends, link);
        task_check(weft_read(ends[0], NULL, 0, WEFT_NEVER) == 0);
        if (link < TEST_STREAMS) test_fill(ends[1]);
        if (link < TEST_STREAMS) task_check(weft_write(ends[1], NULL, 0, WEFT_NEVER) == 0);
        for (int end = 0; end < 2; end++) task_check(weft_close(ends[end]) == 0);
    }
    return do_all(arg);
}

static void older_systems_do_as_well(void **state)
{
    (void)state;
    fail_with = 0;
    static const int how[] = {EINTR, EAGAIN, SHORT};

    atomic_store(&older, true);
    assert_int_equal(test_run_workers(do_nothing_and_all, NULL), 0);
    for (size_t i = 0; i < TEST_LENGTH(how); i++) run_with(TRANSFER, how[i]);
    atomic_store(&older, false);
}

/* That the other side has ended is no reason to say so before all is read, even if for once nothing is there. */
static int read_what_came_before_the_end(void *arg)
{
    int  ends[2];
    char byte = 0;

    (void)arg;
    test_link_make(ends, TEST_TCP);
    task_check(weft_poll(ends[0], POLLIN, weft_now() + WEFT_MS) == -ETIMEDOUT);
    task_check(weft_write(ends[1], "a", 1, WEFT_NEVER) == 1);
    task_check(weft_close(ends[1]) == 0);
    task_until(load_relaxed(&descriptor_get(ends[0])->ended));
    atomic_store(&failing, TRANSFER);
    task_check(weft_read(ends[0], &byte, 1, WEFT_NEVER) == 1 && byte == 'a');
    atomic_store(&failing, 0);
    task_check(weft_read(ends[0], &byte, 1, WEFT_NEVER) == 0);
    return weft_close(ends[0]);
}

static void end_comes_after_what_was_sent(void **state)
{
    (void)state;
    fail_with = EAGAIN;
    fail_at = 0;
    fail_calls = 2;
    atomic_store(&asked, 0);
    atomic_store(&failed, 0);
    assert_int_equal(test_run_workers(read_what_came_before_the_end, NULL), 0);
    assert_int_equal(atomic_load(&failed), 2);
    fail_calls = 1;
}

/* What the system tells once is not kept from who has got a part: that the connection has timed out is no deadline of
 * the call's. */
static int time_out_in_the_middle(void *arg)
{
    static const enum test_link links[] = {TEST_UNIX, TEST_TCP};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(links); i++) {
        weft_time late = weft_now() + 3600 * WEFT_SEC, deadlines[] = {WEFT_NEVER, late, 0};
        for (size_t at = 0; at < TEST_LENGTH(deadlines); at++) {
            char bytes[SIZE];
            int  ends[2];
            test_link_make(ends, links[i]);
            task_check(weft_write(ends[1], "a", 1, WEFT_NEVER) == 1);
            task_check(weft_poll(ends[0], POLLIN, WEFT_NEVER) == POLLIN);
            atomic_store(&asked, 0);
            atomic_store(&failing, TRANSFER);
            task_check(weft_read_full(ends[0], bytes, SIZE, deadlines[at]) == -ETIMEDOUT);
            atomic_store(&failing, 0);
            for (int end = 0; end < 2; end++) task_check(weft_close(ends[end]) == 0);
        }
    }
    return 0;
}

static void a_connection_times_out(void **state)
{
    (void)state;
    fail_with = ETIMEDOUT;
    fail_at = 1;
    assert_int_equal(test_run_workers(time_out_in_the_middle, NULL), 0);
}

/* The last, as from then on the library waits in another way. */
static void waiting_fails(void **state)
{
    (void)state;
    run_with(WAIT, EINTR);
    run_with(WAIT, ENOSYS);
}

/* In a process of its own, for that reason. */
static int wait_without_permission(void)
{
    fail_with = EPERM;
    fail_at = 0;
    fail_calls = ~0ul; /* what is not permitted never is */
    atomic_store(&failing, WAIT);
    return weft_run(do_all, NULL, WEFT_OPTIONS(.workers = test_workers())) || atomic_load(&failed) != 1;
}

static void waiting_is_not_permitted(void **state)
{
    (void)state;
    struct test_child child;
    test_child_run(&child, "wait_without_permission");
    assert_int_equal(child.status, 0);
}

struct robbed {
    int  ends[2];
    bool done;
};

static int read_in_vain_and_again(void *arg)
{
    struct robbed *r = arg;
    char           byte = 0;

    task_check(weft_read(r->ends[0], &byte, 1, WEFT_NEVER) == 1);
    task_check(byte == 'b');
    r->done = true;
    return 0;
}

static int write_in_vain_and_again(void *arg)
{
    struct robbed *r = arg;

    task_check(weft_write(r->ends[1], "b", 1, WEFT_NEVER) == 1);
    r->done = true;
    return 0;
}

/* The worker goes on meanwhile: the other task is on it, too, and makes the end ready once more. */
static int be_robbed(void *arg)
{
    struct robbed *r = arg;
    weft_task      task;
    char           bytes[4096];

    weft_spawn(&task, thief_writes ? write_in_vain_and_again : read_in_vain_and_again, r);
    while (atomic_load(&thefts) == 0) weft_yield();
    task_check(!r->done);
    if (!thief_writes) task_check(__real_write(r->ends[1], "b", 1) == 1);
    while (thief_writes && !r->done) {
        if (__real_poll(&(struct pollfd){.fd = r->ends[0], .events = POLLIN}, 1, 0) > 0)
            task_check(__real_read(r->ends[0], bytes, sizeof bytes) > 0);
        weft_yield();
    }
    return weft_await(&task);
}

/* Of a named pipe, and of a terminal. */
static void somebody_else_is_faster(void **state)
{
    (void)state;
    static const struct {
        enum test_link link;
        bool           writes;
    } cases[] = {{TEST_FIFO, false}, {TEST_FIFO, true}, {TEST_TTY, false}};

    for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
        struct robbed r = {.done = false};
        char          path[32];
        test_link_make(r.ends, cases[i].link);
        thief_writes = cases[i].writes;
        snprintf(path, sizeof path, "/proc/self/fd/%d", r.ends[thief_writes]);
        thief = open(path, (thief_writes ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        assert_true(thief >= 0);
        atomic_store(&thefts, 0);
        if (!thief_writes) assert_int_equal(__real_write(r.ends[1], "a", 1), 1);
        assert_int_equal(weft_run(be_robbed, &r, WEFT_OPTIONS(.workers = 1)), 0);
        close(thief);
        thief = -1;
        for (int end = 0; end < 2; end++) close(r.ends[end]);
        assert_task_checks();
        assert_true(r.done);
    }
}

int main(int argc, char **argv)
{
    const struct test_part  parts[] = {{"wait_without_permission", wait_without_permission}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transfers_fail),
        cmocka_unit_test(accepting_fails),
        cmocka_unit_test(registering_fails),
        cmocka_unit_test(older_systems_do_as_well),
        cmocka_unit_test(end_comes_after_what_was_sent),
        cmocka_unit_test(a_connection_times_out),
        cmocka_unit_test(somebody_else_is_faster),
        cmocka_unit_test(waiting_fails),
        cmocka_unit_test(waiting_is_not_permitted),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
