/* test_io.c - reading, writing and polling, whatever the descriptor */
#include "support_io.h"

#include "descriptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#define HOUR (3600 * WEFT_SEC)

/* How often the library has tried to send a message. */
static atomic_uint sends, receives;

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
    atomic_fetch_add(&receives, 1);
    return __real_recv(fd, bytes, size, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    atomic_fetch_add(&sends, 1);
    return __real_sendmsg(fd, message, flags);
}

static bool is_socket(enum test_link link)
{
    return link == TEST_UNIX || link == TEST_TCP || link == TEST_DATAGRAM || link == TEST_PACKET;
}

static void close_both(int ends[2])
{
    task_check(weft_close(ends[0]) == 0);
    task_check(weft_close(ends[1]) == 0);
}

/* ---- data, and its end ------------------------------------------------------ */

static int pass_some(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        for (int thread = 0; thread < 2; thread++) {
            int  ends[2];
            char bytes[16] = "";
            test_link_make(ends, link);
            struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
            test_call_begin(&reader, thread);
            task_check(weft_write(ends[1], "weft", 4, WEFT_NEVER) == 4);
            task_check(test_call_end(&reader) == 4);
            task_check(memcmp(bytes, "weft", 4) == 0);
            /* And what is there already. */
            task_check(weft_write(ends[1], "warp", 4, 0) == 4);
            task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 4);
            task_check(memcmp(bytes, "warp", 4) == 0);
            task_check(weft_read(ends[0], bytes, sizeof bytes, 0) == -EAGAIN);
            close_both(ends);
        }
    }
    return 0;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    assert_everywhere(pass_some, NULL);
}

static int pass_much(void *arg)
{
    const size_t size = test_scale(1000000) + 100000;

    (void)arg;
    for (enum test_link link = 0; link < TEST_STREAMS; link++) {
        for (int thread = 0; thread < 2; thread++) {
            int   ends[2];
            char *sent = malloc(size), *got = calloc(1, size);
            if (!sent || !got) abort();
            test_pattern(sent, size, 0);
            test_link_make(ends, link);
            struct test_call writer = {.fd = ends[1], .writes = true, .full = true, .bytes = sent, .size = size};
            writer.deadline = WEFT_NEVER;
            test_call_begin(&writer, thread);
            task_check(weft_read_full(ends[0], got, size, WEFT_NEVER) == (ssize_t)size);
            task_check(test_call_end(&writer) == (ssize_t)size);
            task_check(test_is_pattern(got, size, 0));
            close_both(ends);
            free(sent);
            free(got);
        }
    }
    return 0;
}

static void more_goes_through_than_fits(void **state)
{
    (void)state;
    assert_everywhere(pass_much, NULL);
}

/* A slave that writes to a master which a task of the same worker reads. */
static int write_to_terminal(void *arg)
{
    enum { SIZE = 200000 };
    static char sent[SIZE], got[SIZE];
    int         ends[2];

    (void)arg;
    test_link_make(ends, TEST_TTY);
    test_pattern(sent, SIZE, 0);
    struct test_call writer = {.fd = ends[0], .writes = true, .full = true, .bytes = sent, .size = SIZE};
    writer.deadline = WEFT_NEVER;
    test_call_begin(&writer, false);
    task_check(weft_read_full(ends[1], got, SIZE, WEFT_NEVER) == SIZE);
    task_check(test_call_end(&writer) == SIZE);
    task_check(test_is_pattern(got, SIZE, 0));
    close_both(ends);
    return 0;
}

static void full_terminal_blocks_nobody_else(void **state)
{
    (void)state;
    assert_in_tasks(write_to_terminal, NULL);
}

static int read_to_the_end(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        if (link == TEST_TTY || link == TEST_DATAGRAM) continue;
        for (int waits = 0; waits < 2; waits++) {
            int  ends[2];
            char bytes[16];
            test_link_make(ends, link);
            struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
            if (waits) test_call_begin(&reader, false);
            else task_check(weft_write(ends[1], "end", 3, WEFT_NEVER) == 3);
            task_check(weft_close(ends[1]) == 0);
            if (waits) task_check(test_call_end(&reader) == 0);
            else task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 3);
            for (int i = 0; i < 3; i++) task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 0);
            task_check(weft_close(ends[0]) == 0);
        }
    }
    return 0;
}

static void end_is_zero(void **state)
{
    (void)state;
    assert_everywhere(read_to_the_end, NULL);
}

/* What is looked for again after a while does not count as found: nobody is to have waited for it. */
static uint64_t waits_so_far(void)
{
    struct weft_stats stats = {.size = sizeof stats};

    return weft_stats(&stats) == 0 ? stats.io_waits : 0;
}

/* The last bytes and the end are reported together, to whom reads or only polls; a short read is then no sign that
 * there is nothing more to be told. */
static int read_data_with_its_end(void *arg)
{
    (void)arg;
    for (int polls = 0; polls < 3; polls++) {
        for (int half = 0; half < 2; half++) {
            int  ends[2];
            char bytes[16];
            test_link_make(ends, TEST_TCP);
            struct test_call waiting = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
            if (polls) waiting.events = polls == 1 ? POLLIN : POLLIN | POLLRDHUP;
            test_call_begin(&waiting, false);
            task_check(send(ends[1], "last", 4, MSG_MORE) == 4);
            if (half) task_check(shutdown(ends[1], SHUT_WR) == 0);
            else close(ends[1]);
            ssize_t first = test_call_end(&waiting);
            if (polls) {
                task_check(first & POLLIN);
                first = weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER);
            }
            task_check(first == 4);
            struct pollfd polled = {.fd = ends[0], .events = POLLRDHUP};
            task_check(poll(&polled, 1, -1) == 1);
            test_let_run();
            uint64_t waits = waits_so_far();
            task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 0);
            task_check(waits_so_far() == waits);
            if (half) {
                task_check(weft_write(ends[0], "back", 4, WEFT_NEVER) == 4);
                task_check(weft_read(ends[1], bytes, sizeof bytes, WEFT_NEVER) == 4);
                task_check(weft_close(ends[1]) == 0);
            }
            task_check(weft_close(ends[0]) == 0);
        }
    }
    return 0;
}

static void end_may_come_with_data(void **state)
{
    (void)state;
    assert_everywhere(read_data_with_its_end, NULL);
}

static int reset(void *arg)
{
    (void)arg;
    for (int waits = 0; waits < 2; waits++) {
        int  ends[2];
        char bytes[16];
        test_link_make(ends, TEST_TCP);
        task_check(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)) == 0);
        struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
        if (waits) test_call_begin(&reader, false);
        close(ends[1]);
        if (waits) task_check(test_call_end(&reader) == -ECONNRESET);
        else task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == -ECONNRESET);
        task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 0);
        task_check(weft_write(ends[0], bytes, sizeof bytes, WEFT_NEVER) == -EPIPE);
        task_check(weft_close(ends[0]) == 0);
    }
    return 0;
}

static void reset_is_told_once(void **state)
{
    (void)state;
    assert_everywhere(reset, NULL);
}

/* What read(2) and write(2) do with nothing. */
static int ask_for_nothing(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_STREAMS; link++) {
        int  ends[2];
        char byte = 1;
        test_link_make(ends, link);
        task_check(weft_read(ends[0], &byte, 0, WEFT_NEVER) == 0 || link == TEST_TTY);
        task_check(weft_write(ends[1], &byte, 0, WEFT_NEVER) == 0);
        task_check(weft_read_full(ends[0], &byte, 0, WEFT_NEVER) == 0);
        task_check(weft_write_full(ends[1], &byte, 0, WEFT_NEVER) == 0);
        close_both(ends);
    }
    return 0;
}

static void nothing_is_read_at_once(void **state)
{
    (void)state;
    assert_everywhere(ask_for_nothing, NULL);
}

/* A message ends where it ends, whoever reads it. */
static int pass_messages(void *arg)
{
    (void)arg;
    for (enum test_link link = TEST_DATAGRAM; link < TEST_LINKS; link++) {
        int  ends[2];
        char bytes[16];
        test_link_make(ends, link);
        struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
        test_call_begin(&reader, false);
        for (size_t size = 1; size < 6; size++)
            task_check(weft_write(ends[1], "datagram", size, WEFT_NEVER) == (ssize_t)size);
        task_check(test_call_end(&reader) == 1);
        for (int size = 2; size < 6; size++) task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == size);
        task_check(weft_read(ends[0], bytes, sizeof bytes, 0) == -EAGAIN);
        close_both(ends);
    }
    return 0;
}

static void messages_stay_whole(void **state)
{
    (void)state;
    assert_everywhere(pass_messages, NULL);
}

/* ---- messages, and streams with seams --------------------------------------- */

static ssize_t send_descriptor(int to, int fd, const char *bytes, size_t size)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec                  part = {(void *)bytes, size};
    struct msghdr                 message = {
                        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    return weft_sendmsg(to, &message, 0, WEFT_NEVER);
}

static int receive_message(void *arg)
{
    int                           fd = -1;
    char                          bytes[16];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)];
    struct iovec                  part = {bytes, sizeof bytes};
    struct msghdr                 message = {
                        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};

    task_check(weft_recvmsg(*(int *)arg, &message, MSG_CMSG_CLOEXEC, WEFT_NEVER) == 4);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    task_check(head && head->cmsg_type == SCM_RIGHTS);
    if (head) memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

static int pass_descriptor(void *arg)
{
    int       ends[2], inner[2];
    char      bytes[16];
    test_side side;

    (void)arg;
    test_link_make(ends, TEST_UNIX);
    test_link_make(inner, TEST_PIPE);
    test_side_start(&side, false, receive_message, &ends[0]);
    test_let_run();
    task_check(send_descriptor(ends[1], inner[1], "take", 4) == 4);
    int taken = test_side_end(&side);
    task_check(taken >= 0);
    task_check(weft_write(taken, "it", 2, WEFT_NEVER) == 2);
    task_check(weft_read(inner[0], bytes, sizeof bytes, WEFT_NEVER) == 2);
    task_check(weft_close(taken) == 0);
    close_both(inner);
    close_both(ends);
    return 0;
}

static void message_brings_a_descriptor(void **state)
{
    (void)state;
    assert_everywhere(pass_descriptor, NULL);
}

/* A read ends at a message that brought descriptors, though there is more. */
static int read_across_seam(void *arg)
{
    int  ends[2];
    char bytes[16];

    (void)arg;
    test_link_make(ends, TEST_UNIX);
    struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
    test_call_begin(&reader, false);
    task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
    task_check(test_call_end(&reader) == 1);
    task_check(send_descriptor(ends[1], ends[0], "one", 3) == 3);
    task_check(weft_write(ends[1], "three", 5, WEFT_NEVER) == 5);
    /* Reported, all of it, before it is read. */
    task_check(weft_poll(ends[0], POLLIN, WEFT_NEVER) & POLLIN);
    test_let_run();
    task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 3);
    uint64_t waits = waits_so_far();
    task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 5);
    task_check(waits_so_far() == waits);
    close_both(ends);
    return 0;
}

static void short_read_may_not_be_all(void **state)
{
    (void)state;
    assert_everywhere(read_across_seam, NULL);
}

/* And at the urgent mark. */
static int read_across_mark(void *arg)
{
    int  ends[2];
    char bytes[16];

    (void)arg;
    test_link_make(ends, TEST_TCP);
    struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
    test_call_begin(&reader, false);
    task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
    task_check(test_call_end(&reader) == 1);
    task_check(weft_write(ends[1], "one", 3, WEFT_NEVER) == 3);
    task_check(send(ends[1], "!", 1, MSG_OOB) == 1);
    task_check(weft_write(ends[1], "three", 5, WEFT_NEVER) == 5);
    int there = 0;
    task_until(ioctl(ends[0], FIONREAD, &there) == 0 && there >= 3 && (weft_poll(ends[0], POLLPRI, 0) & POLLPRI));
    test_let_run();
    task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 3);
    uint64_t waits = waits_so_far();
    task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 5);
    task_check(waits_so_far() == waits);
    close_both(ends);
    return 0;
}

static void urgent_mark_hides_nothing(void **state)
{
    (void)state;
    assert_everywhere(read_across_mark, NULL);
}

/* ---- giving up -------------------------------------------------------------- */

static int give_up(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        int  ends[2];
        char bytes[16];
        test_link_make(ends, link);
        for (int again = 0; again < 2; again++) {
            task_check(weft_read(ends[0], bytes, sizeof bytes, 0) == -EAGAIN);
            task_check(weft_read(ends[0], bytes, sizeof bytes, 1) == -ETIMEDOUT);
            weft_time soon = weft_now() + 2 * WEFT_MS;
            task_check(weft_read(ends[0], bytes, sizeof bytes, soon) == -ETIMEDOUT);
            task_check(weft_now() >= soon);
            task_check(weft_poll(ends[0], POLLIN, 0) == -EAGAIN);
            task_check(weft_poll(ends[0], POLLIN, 1) == -ETIMEDOUT);
            soon = weft_now() + WEFT_MS;
            task_check(weft_poll(ends[0], POLLIN, soon) == -ETIMEDOUT);
            task_check(weft_now() >= soon);
            /* Past the deadline, what can be done is done. */
            task_check(weft_write(ends[1], "ab", 2, 1) == 2);
            task_until(weft_poll(ends[0], POLLIN, 0) == POLLIN);
            task_check(weft_read(ends[0], bytes, sizeof bytes, again ? 0 : 1) == 2);
        }
        close_both(ends);
    }
    return 0;
}

static void gives_up_at_its_deadline(void **state)
{
    (void)state;
    assert_everywhere(give_up, NULL);
}

/* Nor in vain, if what it waits for came when no worker had the time to see it. */
static int read_before_the_deadline(void *arg)
{
    struct test_call *reader = arg;
    reader->deadline = test_now() + 20 * WEFT_MS;
    return (int)weft_read(reader->fd, reader->bytes, reader->size, reader->deadline);
}

static int be_late(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        int       ends[2];
        char      byte;
        weft_task reading;
        test_link_make(ends, link);
        struct test_call reader = {.fd = ends[0], .bytes = &byte, .size = 1};
        weft_spawn(&reading, read_before_the_deadline, &reader);
        task_until(!wait_empty(&descriptor_get(ends[0])->waiting[DESCRIPTOR_IN]) || weft_done(&reading));
        bool waits = !weft_done(&reading);
        task_check(test_write(ends[1], "x", 1) == 1);
        while (test_now() < reader.deadline + WEFT_MS) {
        }
        task_check(weft_await(&reading) == 1 || !waits);
        close_both(ends);
    }
    return 0;
}

static void who_computes_makes_nobody_give_up(void **state)
{
    (void)state;
    assert_int_equal(test_run(be_late, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* A mere try tries, also just after a read that took all there was, and though no poller has looked since. */
static int only_try(void *arg)
{
    (void)arg;
    for (weft_time deadline = 0; deadline < 2; deadline++) {
        int  ends[2];
        char bytes[16];
        test_link_make(ends, TEST_TCP);
        struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
        test_call_begin(&reader, false);
        task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
        task_check(test_call_end(&reader) == 1);
        for (int i = 0; i < 100; i++) {
            struct pollfd polled = {.fd = ends[0], .events = POLLIN};
            task_check(write(ends[1], "now", 3) == 3);
            task_check(poll(&polled, 1, -1) == 1);
            task_check(weft_read(ends[0], bytes, sizeof bytes, deadline) == 3);
        }
        close_both(ends);
    }
    return 0;
}

static void try_tries(void **state)
{
    (void)state;
    assert_everywhere(only_try, NULL);
}

static int cancel_waits(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        for (int what = 0; what < 4; what++) {
            int  ends[2];
            char bytes[16] = "";
            test_link_make(ends, link);
            struct test_call call = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes};
            call.deadline = what % 2 ? weft_now() + HOUR : WEFT_NEVER;
            call.events = what / 2 ? POLLIN : 0;
            test_call_begin(&call, false);
            weft_cancel(&call.side.task);
            task_check(test_call_end(&call) == -ECANCELED);
            /* It has taken nothing. */
            task_check(weft_write(ends[1], "ab", 2, WEFT_NEVER) == 2);
            task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 2);
            close_both(ends);
        }
    }
    return 0;
}

static void cancelled_wait_ends(void **state)
{
    (void)state;
    assert_in_tasks(cancel_waits, NULL);
}

static int work_cancelled(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        int        ends[2];
        char       bytes[16];
        weft_scope scope;
        test_link_make(ends, link);
        task_check(weft_scope_open(&scope, NULL) == 0);
        weft_scope_cancel(&scope);
        for (int i = 0; i < 3; i++) {
            weft_time deadline = i == 0 ? WEFT_NEVER : i == 1 ? 0 : weft_now() + HOUR;
            task_check(weft_read(ends[0], bytes, sizeof bytes, deadline) == -ECANCELED);
            task_check(weft_poll(ends[0], POLLIN, deadline) == -ECANCELED);
            task_check(weft_write(ends[1], "abc", 3, deadline) == 3);
            task_until(weft_poll(ends[0], POLLIN, 0) == POLLIN);
            task_check(weft_read(ends[0], bytes, sizeof bytes, deadline) == 3);
            task_check(weft_read_full(ends[0], bytes, sizeof bytes, deadline) == -ECANCELED);
        }
        task_check(weft_scope_close(&scope) == -ECANCELED);
        close_both(ends);
    }
    return 0;
}

static void nobody_waits_in_a_cancelled_scope(void **state)
{
    (void)state;
    assert_in_tasks(work_cancelled, NULL);
}

static int give_up_half_way(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_STREAMS; link++) {
        for (int cancels = 0; cancels < 2; cancels++) {
            static char bytes[1 << 23];
            int         ends[2];
            if (cancels && weft_worker_index() < 0) continue;
            test_link_make(ends, link);
            struct test_call call = {.fd = ends[0], .full = true, .bytes = bytes, .size = 10};
            call.deadline = cancels ? WEFT_NEVER : weft_now() + 20 * WEFT_MS;
            task_check(weft_write(ends[1], "half", 4, WEFT_NEVER) == 4);
            test_call_begin(&call, false);
            if (cancels) weft_cancel(&call.side.task);
            task_check(test_call_end(&call) == 4);
            task_check(weft_read(ends[0], bytes, 10, 0) == -EAGAIN);
            call.fd = ends[1];
            call.writes = true;
            call.size = sizeof bytes;
            call.deadline = cancels ? WEFT_NEVER : weft_now() + 20 * WEFT_MS;
            test_call_begin(&call, false);
            if (cancels) weft_cancel(&call.side.task);
            ssize_t written = test_call_end(&call), got = 0;
            task_check(written > 0 && written < (ssize_t)sizeof bytes);
            task_check(weft_write_full(ends[1], bytes, sizeof bytes, 0) < 1000000);
            for (ssize_t n; (n = weft_read(ends[0], bytes, sizeof bytes, 0)) > 0;) got += n;
            task_check(got >= written);
            close_both(ends);
        }
    }
    return 0;
}

static void who_gives_up_tells_how_far_it_got(void **state)
{
    (void)state;
    assert_everywhere(give_up_half_way, NULL);
}

/* The end leaves a full read short; an error comes instead of the count. */
static int end_half_way(void *arg)
{
    char bytes[16];
    int  ends[2];

    (void)arg;
    test_link_make(ends, TEST_TCP);
    struct test_call reader = {.fd = ends[0], .full = true, .bytes = bytes, .size = 10, .deadline = WEFT_NEVER};
    test_call_begin(&reader, false);
    task_check(weft_write(ends[1], "half", 4, WEFT_NEVER) == 4);
    test_let_run();
    task_check(shutdown(ends[1], SHUT_WR) == 0);
    task_check(test_call_end(&reader) == 4);
    task_check(weft_read_full(ends[0], bytes, 10, WEFT_NEVER) == 0);
    close_both(ends);

    test_link_make(ends, TEST_TCP);
    task_check(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)) == 0);
    reader.fd = ends[0];
    test_call_begin(&reader, false);
    task_check(weft_write(ends[1], "half", 4, WEFT_NEVER) == 4);
    int there = 1;
    task_until(ioctl(ends[0], FIONREAD, &there) == 0 && there == 0); /* it has them */
    task_check(weft_close(ends[1]) == 0);
    task_check(test_call_end(&reader) == -ECONNRESET);
    task_check(weft_close(ends[0]) == 0);
    return 0;
}

static void error_half_way_comes_instead_of_the_count(void **state)
{
    (void)state;
    assert_everywhere(end_half_way, NULL);
}

/* ---- several on one descriptor ---------------------------------------------- */

static int both_ways(void *arg)
{
    enum { SIZE = 300000 };
    static char there[SIZE], back[SIZE], got[2][SIZE];

    (void)arg;
    test_pattern(there, SIZE, 1);
    test_pattern(back, SIZE, 2);
    for (enum test_link link = TEST_UNIX; link <= TEST_TCP; link++) {
        for (int thread = 0; thread < 2; thread++) {
            int ends[2];
            test_link_make(ends, link);
            struct test_call calls[4] = {
                {.fd = ends[0], .bytes = got[0], .size = SIZE, .full = true, .deadline = WEFT_NEVER},
                {.fd = ends[0], .bytes = there, .size = SIZE, .full = true, .writes = true, .deadline = WEFT_NEVER},
                {.fd = ends[1], .bytes = got[1], .size = SIZE, .full = true, .deadline = WEFT_NEVER},
                {.fd = ends[1], .bytes = back, .size = SIZE, .full = true, .writes = true, .deadline = WEFT_NEVER},
            };
            for (int i = 0; i < 4; i++) test_call_begin(&calls[i], thread && i % 2);
            for (int i = 0; i < 4; i++) task_check(test_call_end(&calls[i]) == SIZE);
            task_check(memcmp(got[0], back, SIZE) == 0 && memcmp(got[1], there, SIZE) == 0);
            memset(got, 0, sizeof got);
            close_both(ends);
        }
    }
    return 0;
}

static void reader_and_writer_share_a_descriptor(void **state)
{
    (void)state;
    assert_everywhere(both_ways, NULL);
}

enum { CROWD = 12 };

static int feed_crowd(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        int              ends[2];
        char             bytes[CROWD];
        struct test_call calls[CROWD];
        test_link_make(ends, link);
        for (int i = 0; i < CROWD; i++) {
            calls[i] = (struct test_call){.fd = ends[0], .bytes = &bytes[i], .size = 1, .deadline = WEFT_NEVER};
            test_call_begin(&calls[i], i % 4 == 3);
        }
        for (int i = 0; i < CROWD; i++) task_check(weft_write(ends[1], &(char){(char)i}, 1, WEFT_NEVER) == 1);
        unsigned seen = 0;
        for (int i = 0; i < CROWD; i++) {
            task_check(test_call_end(&calls[i]) == 1);
            seen |= 1u << bytes[i];
        }
        task_check(seen == (1u << CROWD) - 1);
        close_both(ends);
    }
    return 0;
}

static void many_readers_share_a_descriptor(void **state)
{
    (void)state;
    assert_everywhere(feed_crowd, NULL);
}

/* ---- polling ---------------------------------------------------------------- */

static int poll_events(void *arg)
{
    int ends[2];

    (void)arg;
    test_link_make(ends, TEST_TCP);
    task_check(weft_poll(ends[0], POLLOUT, WEFT_NEVER) == POLLOUT);
    task_check(weft_poll(ends[0], POLLIN | POLLOUT, WEFT_NEVER) == POLLOUT);
    struct test_call in = {.fd = ends[0], .events = POLLIN, .deadline = WEFT_NEVER};
    test_call_begin(&in, false);
    task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
    task_check(test_call_end(&in) == POLLIN);
    task_check(weft_poll(ends[0], POLLIN | POLLOUT, WEFT_NEVER) == (POLLIN | POLLOUT));
    test_fill(ends[0]);
    struct test_call out = {.fd = ends[0], .events = POLLOUT, .deadline = WEFT_NEVER};
    test_call_begin(&out, false);
    /* As much as it takes to make room. */
    static char bytes[1 << 16];
    while (!atomic_load(&out.side.ended) && !(out.side.thread ? 0 : weft_done(&out.side.task)))
        weft_read(ends[1], bytes, sizeof bytes, weft_now() + WEFT_MS);
    task_check(test_call_end(&out) == POLLOUT);
    struct test_call end = {.fd = ends[0], .events = POLLRDHUP, .deadline = WEFT_NEVER};
    test_call_begin(&end, false);
    task_check(shutdown(ends[1], SHUT_WR) == 0);
    task_check(test_call_end(&end) == POLLRDHUP);
    close_both(ends);
    return 0;
}

static void poll_tells_what_is_ready(void **state)
{
    (void)state;
    assert_everywhere(poll_events, NULL);
}

static int poll_urgent(void *arg)
{
    int ends[2];

    (void)arg;
    test_link_make(ends, TEST_TCP);
    struct test_call urgent = {.fd = ends[0], .events = POLLPRI, .deadline = WEFT_NEVER};
    test_call_begin(&urgent, false);
    task_check(send(ends[1], "!", 1, MSG_OOB) == 1);
    task_check(test_call_end(&urgent) & POLLPRI);
    close_both(ends);
    return 0;
}

static void poll_tells_of_urgent_data(void **state)
{
    (void)state;
    assert_everywhere(poll_urgent, NULL);
}

/* Errors and hang-ups come unasked. */
static int poll_for_the_end(void *arg)
{
    int ends[2];

    (void)arg;
    test_link_make(ends, TEST_PIPE);
    struct test_call hung = {.fd = ends[0], .events = POLLIN, .deadline = WEFT_NEVER};
    test_call_begin(&hung, false);
    task_check(weft_close(ends[1]) == 0);
    task_check(test_call_end(&hung) == POLLHUP);
    task_check(weft_close(ends[0]) == 0);
    test_link_make(ends, TEST_PIPE);
    test_fill(ends[1]);
    struct test_call error = {.fd = ends[1], .events = POLLOUT, .deadline = WEFT_NEVER};
    test_call_begin(&error, false);
    task_check(weft_close(ends[0]) == 0);
    task_check(test_call_end(&error) & POLLERR);
    task_check(weft_close(ends[1]) == 0);
    return 0;
}

static void poll_tells_of_the_end_unasked(void **state)
{
    (void)state;
    assert_everywhere(poll_for_the_end, NULL);
}

/* ---- kinds ------------------------------------------------------------------- */

static int keep_flags(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        int  ends[2];
        char byte;
        test_link_make(ends, link);
        int before[2] = {fcntl(ends[0], F_GETFL), fcntl(ends[1], F_GETFL)};
        task_check(weft_read(ends[0], &byte, 1, 0) == -EAGAIN);
        task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
        task_check(weft_read(ends[0], &byte, 1, WEFT_NEVER) == 1);
        task_check(weft_read(ends[0], &byte, 1, 1) == -ETIMEDOUT);
        for (int i = 0; i < 2 && !is_socket(link); i++) {
            task_check(weft_accept(ends[i], NULL, NULL, 0) == -ENOTSOCK);
            task_check(weft_connect(ends[i], &(struct sockaddr){.sa_family = AF_INET}, sizeof(struct sockaddr), 0) ==
                       -ENOTSOCK);
        }
        for (int i = 0; i < 2; i++)
            task_check(fcntl(ends[i], F_GETFL) == (before[i] | (is_socket(link) ? O_NONBLOCK : 0)));
        close_both(ends);
    }
    return 0;
}

static void only_sockets_change_their_flags(void **state)
{
    (void)state;
    assert_everywhere(keep_flags, NULL);
}

static int use_event(void *arg)
{
    (void)arg;
    for (int flags = 0; flags < 2; flags++) {
        int              fd = eventfd(0, EFD_CLOEXEC | (flags ? EFD_NONBLOCK : 0));
        uint64_t         count = 0, most = UINT64_MAX - 1;
        struct test_call reader = {.fd = fd, .bytes = (char *)&count, .size = sizeof count, .deadline = WEFT_NEVER};
        test_call_begin(&reader, false);
        task_check(weft_write(fd, &(uint64_t){7}, sizeof count, WEFT_NEVER) == sizeof count);
        task_check(test_call_end(&reader) == sizeof count);
        task_check(count == 7);
        task_check(weft_write(fd, &most, sizeof most, WEFT_NEVER) == sizeof most);
        struct test_call writer = {.fd = fd, .writes = true, .bytes = (char *)&(uint64_t){1}, .size = sizeof count};
        writer.deadline = WEFT_NEVER;
        test_call_begin(&writer, false);
        task_check(weft_read(fd, &count, sizeof count, WEFT_NEVER) == sizeof count);
        task_check(test_call_end(&writer) == sizeof count);
        task_check(count == most);
        task_check(weft_read(fd, &count, 1, WEFT_NEVER) == -EINVAL);
        task_check(weft_read(fd, &count, sizeof count, WEFT_NEVER) == sizeof count && count == 1);
        /* What it never takes it refuses also when it is full; there is room for nothing, and soon for more. */
        task_check(weft_write(fd, &most, sizeof most, WEFT_NEVER) == sizeof most);
        task_check(weft_write(fd, &(uint64_t){UINT64_MAX}, sizeof count, WEFT_NEVER) == -EINVAL);
        task_check(weft_write(fd, &count, 7, WEFT_NEVER) == -EINVAL);
        task_check(weft_write(fd, NULL, sizeof count, WEFT_NEVER) == -EFAULT);
        task_check(weft_write(fd, &(uint64_t){0}, sizeof count, WEFT_NEVER) == sizeof count);
        task_check(weft_read(fd, &count, sizeof count, 0) == sizeof count && count == most);
        /* Room for one is none for two. */
        most--;
        task_check(weft_write(fd, &most, sizeof most, WEFT_NEVER) == sizeof most);
        task_check(weft_poll(fd, POLLOUT, 0) == POLLOUT);
        task_check(weft_write(fd, &(uint64_t){2}, sizeof count, 0) == -EAGAIN);
        task_check(weft_write(fd, &(uint64_t){2}, sizeof count, weft_now() + 3 * WEFT_MS) == -ETIMEDOUT);
        writer.bytes = (char *)&(uint64_t){2};
        test_call_begin(&writer, false);
        task_check(weft_read(fd, &count, sizeof count, WEFT_NEVER) == sizeof count && count == most);
        task_check(test_call_end(&writer) == sizeof count);
        task_check(weft_read(fd, &count, sizeof count, WEFT_NEVER) == sizeof count && count == 2);
        task_check(weft_close(fd) == 0);
    }
    return 0;
}

static void eventfd_counts(void **state)
{
    (void)state;
    assert_everywhere(use_event, NULL);
}

static int use_files(void *arg)
{
    char bytes[64];
    int  fd = test_file();

    (void)arg;
    task_check(weft_read(fd, bytes, sizeof bytes, WEFT_NEVER) == 0);
    task_check(weft_pread(fd, bytes, sizeof bytes, 0, WEFT_NEVER) == 0);
    task_check(weft_write(fd, "0123456789", 10, 0) == 10);
    task_check(weft_pwrite(fd, "ab", 2, 4, 0) == 2);
    task_check(weft_read(fd, bytes, sizeof bytes, 0) == 0);
    task_check(weft_pread(fd, bytes, 4, 3, 1) == 4);
    task_check(memcmp(bytes, "3ab6", 4) == 0);
    task_check(weft_pread(fd, bytes, sizeof bytes, 8, WEFT_NEVER) == 2);
    task_check(weft_pread(fd, bytes, sizeof bytes, -1, WEFT_NEVER) == -EINVAL);
    task_check(weft_pwrite(fd, bytes, sizeof bytes, -1, WEFT_NEVER) == -EINVAL);
    task_check(weft_poll(fd, POLLIN | POLLOUT, WEFT_NEVER) == (POLLIN | POLLOUT));
    task_check(lseek(fd, 0, SEEK_CUR) == 10); /* the descriptor's own place is where it was */
    task_check(lseek(fd, 2, SEEK_SET) == 2);
    task_check(weft_read_full(fd, bytes, sizeof bytes, WEFT_NEVER) == 8);

    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int more = weft_open(path, O_WRONLY | O_APPEND, 0);
    task_check(more >= 0);
    task_check(weft_write(more, "xyz", 3, WEFT_NEVER) == 3);
    task_check(weft_read(more, bytes, 1, WEFT_NEVER) == -EBADF);
    task_check(weft_close(more) == 0);
    task_check(weft_read(fd, bytes, sizeof bytes, WEFT_NEVER) == 3);
    task_check(weft_read(fd, bytes, 0, WEFT_NEVER) == 0);
    task_check(weft_write(fd, bytes, 0, WEFT_NEVER) == 0);

    size_t size = test_scale(3000000) + 10000;
    char  *big = malloc(size), *got = calloc(1, size);
    if (!big || !got) abort();
    test_pattern(big, size, 0);
    task_check(lseek(fd, 0, SEEK_SET) == 0 && ftruncate(fd, 0) == 0);
    task_check(weft_write_full(fd, big, size, WEFT_NEVER) == (ssize_t)size);
    task_check(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    task_check(lseek(fd, 0, SEEK_SET) == 0);
    task_check(weft_read_full(fd, got, size, WEFT_NEVER) == (ssize_t)size);
    task_check(memcmp(big, got, size) == 0);
    free(big);
    free(got);
    task_check(weft_close(fd) == 0);

    fd = weft_open("/tmp", O_RDONLY | O_DIRECTORY, 0);
    task_check(fd >= 0);
    task_check(weft_read(fd, bytes, sizeof bytes, WEFT_NEVER) == -EISDIR);
    task_check(weft_close(fd) == 0);
    fd = weft_open("/dev/null", O_RDWR, 0);
    task_check(fd >= 0);
    task_check(weft_read(fd, bytes, sizeof bytes, WEFT_NEVER) == 0);
    task_check(weft_write(fd, bytes, sizeof bytes, WEFT_NEVER) == sizeof bytes);
    task_check(weft_close(fd) == 0);
    fd = weft_open("/tmp", O_RDONLY | O_DIRECTORY, 0); /* no poller takes it */
    struct test_call poller = {.fd = fd, .events = POLLPRI, .deadline = WEFT_NEVER};
    task_check(weft_poll(fd, POLLPRI, 0) == -EAGAIN);
    task_check(weft_poll(fd, POLLPRI, weft_now() + WEFT_MS) == -ETIMEDOUT);
    test_call_begin(&poller, false);
    task_check(weft_close(fd) == 0);
    task_check(test_call_end(&poller) == -EBADF);
    fd = weft_open("/dev/full", O_RDWR, 0);
    task_check(weft_write(fd, bytes, 1, WEFT_NEVER) == -ENOSPC);
    task_check(weft_read(fd, bytes, 1, WEFT_NEVER) == 1 && bytes[0] == 0);
    task_check(weft_close(fd) == 0);
    int ends[2];
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        test_link_make(ends, link);
        task_check(weft_pread(ends[0], bytes, 1, 0, WEFT_NEVER) == -ESPIPE);
        task_check(weft_pwrite(ends[1], bytes, 1, 0, WEFT_NEVER) == -ESPIPE);
        close_both(ends);
    }
    return 0;
}

static void files_are_always_ready(void **state)
{
    (void)state;
    assert_everywhere(use_files, NULL);
}

static int use_bad_numbers(void *arg)
{
    static const int numbers[] = {-1, INT32_MIN, INT32_MAX, 1 << 20, (1 << 20) - 1, 900};
    char             byte = 0;
    struct iovec     part = {&byte, 1};
    struct msghdr    message = {.msg_iov = &part, .msg_iovlen = 1};
    struct sockaddr  nowhere = {.sa_family = AF_UNIX};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(numbers); i++) {
        int fd = numbers[i];
        task_check(weft_read(fd, &byte, 1, WEFT_NEVER) == -EBADF);
        task_check(weft_write(fd, &byte, 1, WEFT_NEVER) == -EBADF);
        task_check(weft_read_full(fd, &byte, 1, WEFT_NEVER) == -EBADF);
        task_check(weft_write_full(fd, &byte, 1, WEFT_NEVER) == -EBADF);
        task_check(weft_pread(fd, &byte, 1, 0, WEFT_NEVER) == -EBADF);
        task_check(weft_pwrite(fd, &byte, 1, 0, WEFT_NEVER) == -EBADF);
        task_check(weft_pread(fd, &byte, 1, -1, WEFT_NEVER) == -EINVAL);
        task_check(weft_pwrite(fd, &byte, 1, -1, WEFT_NEVER) == -EINVAL);
        task_check(weft_recvmsg(fd, &message, 0, WEFT_NEVER) == -EBADF);
        task_check(weft_sendmsg(fd, &message, 0, WEFT_NEVER) == -EBADF);
        task_check(weft_accept(fd, NULL, NULL, WEFT_NEVER) == -EBADF);
        task_check(weft_connect(fd, &nowhere, sizeof nowhere, WEFT_NEVER) == -EBADF);
        task_check(weft_poll(fd, POLLIN, WEFT_NEVER) == -EBADF);
        task_check(weft_close(fd) == -EBADF);
    }
    return 0;
}

struct posting {
    int                fd;
    struct sockaddr_un to;
    socklen_t          size;
    weft_time          deadline;
};

static int post(void *arg)
{
    struct posting *p = arg;
    struct iovec    part = {"x", 1};
    struct msghdr   message = {.msg_name = &p->to, .msg_namelen = p->size, .msg_iov = &part, .msg_iovlen = 1};

    return (int)weft_sendmsg(p->fd, &message, 0, p->deadline);
}

/* The address is the message's, so the socket says that it can be written to, and cannot know. */
static int post_to_the_busy(void *arg)
{
    (void)arg;
    for (int own = 0; own < 2; own++) {
        struct posting     p = {.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), .size = sizeof p.to};
        struct sockaddr_un none = {.sun_family = AF_UNIX};
        int                receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), count = 0;
        int                filler = own ? dup(p.fd) : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        char               byte;
        test_side          side;
        /* Without a name the system makes one up. */
        task_check(bind(receiver, (struct sockaddr *)&none, offsetof(struct sockaddr_un, sun_path)) == 0);
        task_check(getsockname(receiver, (struct sockaddr *)&p.to, &p.size) == 0);
        while (sendto(filler, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&p.to, p.size) == 1) count++;
        task_check(count > 0);
        task_check(post(&p) == -EAGAIN);
        atomic_store(&sends, 0);
        p.deadline = weft_now() + 20 * WEFT_MS;
        task_check(post(&p) == -ETIMEDOUT);
        task_check(atomic_load(&sends) <= 25); /* it rests in between */
        p.deadline = WEFT_NEVER;
        if (weft_worker_index() >= 0) {
            weft_task task;
            weft_spawn(&task, post, &p);
            test_let_run();
            weft_cancel(&task);
            task_check(weft_await(&task) == -ECANCELED);
        }
        test_side_start(&side, false, post, &p);
        test_let_run();
        task_check(!atomic_load(&side.ended) || weft_worker_index() >= 0);
        for (int i = 0; i < count + 1; i++) task_check(weft_read(receiver, &byte, 1, WEFT_NEVER) == 1);
        task_check(test_side_end(&side) == 1);
        while (sendto(filler, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&p.to, p.size) == 1) {
        }
        test_side_start(&side, false, post, &p);
        test_let_run();
        task_check(weft_close(p.fd) == 0);
        task_check(test_side_end(&side) == -EBADF);
        task_check(weft_close(receiver) == 0 && weft_close(filler) == 0);
    }
    return 0;
}

static void busy_receiver_is_asked_again(void **state)
{
    (void)state;
    assert_everywhere(post_to_the_busy, NULL);
}

/* What came back from a port that nobody has waits to be received as such; poll says so all the while. */
static int read_beside_an_error(void *arg)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          size = sizeof to;
    int  nobody = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char bytes[16];

    (void)arg;
    task_check(bind(nobody, (struct sockaddr *)&to, size) == 0);
    task_check(getsockname(nobody, (struct sockaddr *)&to, &size) == 0 && close(nobody) == 0);
    task_check(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &(int){1}, sizeof(int)) == 0);
    task_check(connect(fd, (struct sockaddr *)&to, size) == 0);
    task_check(weft_write(fd, "x", 1, WEFT_NEVER) == 1);
    task_check(weft_read(fd, bytes, sizeof bytes, WEFT_NEVER) == -ECONNREFUSED);
    atomic_store(&receives, 0);
    task_check(weft_read(fd, bytes, sizeof bytes, weft_now() + 20 * WEFT_MS) == -ETIMEDOUT);
    task_check(atomic_load(&receives) <= 25); /* a plain thread rests in between */
    task_check(weft_close(fd) == 0);
    return 0;
}

static void error_that_nobody_receives_is_no_reason_to_try(void **state)
{
    (void)state;
    assert_everywhere(read_beside_an_error, NULL);
}

/* As the system has it. */
static int pass_no_memory(void *arg)
{
    int ends[2];

    (void)arg;
    test_link_make(ends, TEST_UNIX);
    task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
    task_check(weft_recvmsg(ends[0], NULL, 0, WEFT_NEVER) == -EFAULT);
    task_check(weft_sendmsg(ends[0], NULL, 0, WEFT_NEVER) == -EFAULT);
    task_check(weft_read(ends[0], NULL, 1, WEFT_NEVER) == -EFAULT);
    task_check(weft_write(ends[0], NULL, 1, WEFT_NEVER) == -EFAULT);
    close_both(ends);
    return 0;
}

static void memory_that_is_none_is_told(void **state)
{
    (void)state;
    assert_everywhere(pass_no_memory, NULL);
}

static void bad_numbers_are_told(void **state)
{
    (void)state;
    assert_everywhere(use_bad_numbers, NULL);
}

/* ---- as the system calls --------------------------------------------------------- */

static void drain(int fd)
{
    char bytes[4096];

    while (read(fd, bytes, sizeof bytes) > 0) {
    }
    weft_yield();
}

/* POLLWRNORM is another name for what POLLOUT says. */
static int poll_by_another_name(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_TTY; link++) {
        int ends[2];
        test_link_make(ends, link);
        test_fill(ends[1]);
        struct test_call poller = {.fd = ends[1], .events = POLLWRNORM, .deadline = WEFT_NEVER};
        test_call_begin(&poller, false);
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        /* What is on its way still keeps the other end full. */
        while (weft_poll(ends[1], POLLOUT, 0) != POLLOUT) drain(ends[0]);
        task_check(test_call_end(&poller) == POLLWRNORM);
        close_both(ends);
    }
    return 0;
}

static void poll_knows_other_names(void **state)
{
    (void)state;
    assert_everywhere(poll_by_another_name, NULL);
}

/* What never waits in the system, says so by a flag. */
static int ask_not_to_wait(void *arg)
{
    int           ends[2];
    char          byte = 'x';
    struct iovec  part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        test_link_make(ends, link);
        if (is_socket(link)) {
            task_check(weft_recvmsg(ends[0], &message, MSG_DONTWAIT, WEFT_NEVER) == -EAGAIN);
            if (link == TEST_TCP) task_check(weft_recvmsg(ends[0], &message, MSG_ERRQUEUE, WEFT_NEVER) == -EAGAIN);
            if (link == TEST_UNIX || link == TEST_PACKET) {
                test_fill(ends[1]);
                task_check(weft_sendmsg(ends[1], &message, MSG_DONTWAIT, WEFT_NEVER) == -EAGAIN);
            }
        }
        close_both(ends);
    }
    return 0;
}

static void flags_say_not_to_wait(void **state)
{
    (void)state;
    assert_everywhere(ask_not_to_wait, NULL);
}

struct receiving {
    int       ends[2];
    char      parts[2][8];
    weft_time deadline;
};

static int receive_in_parts(void *arg)
{
    struct receiving *r = arg;
    struct iovec      parts[] = {{r->parts[0], 3}, {r->parts[0], 0}, {r->parts[1], 5}};
    struct msghdr     message = {.msg_iov = parts, .msg_iovlen = TEST_LENGTH(parts)};

    return (int)weft_recvmsg(r->ends[0], &message, MSG_WAITALL, r->deadline);
}

/* All of it, in several parts, and short at the end or when given up. */
static int receive_all_of_it(void *arg)
{
    static const enum test_link links[] = {TEST_TCP, TEST_UNIX};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(links); i++) {
        struct receiving r = {.deadline = WEFT_NEVER};
        test_side        side;
        test_link_make(r.ends, links[i]);
        task_check(weft_write(r.ends[1], "ab", 2, WEFT_NEVER) == 2);
        test_side_start(&side, false, receive_in_parts, &r);
        test_let_run();
        task_check(weft_write(r.ends[1], "cdef", 4, WEFT_NEVER) == 4);
        test_let_run();
        task_check(weft_write(r.ends[1], "ghij", 4, WEFT_NEVER) == 4);
        task_check(test_side_end(&side) == 8);
        task_check(memcmp(r.parts[0], "abc", 3) == 0 && memcmp(r.parts[1], "defgh", 5) == 0);
        r.deadline = weft_now() + 5 * WEFT_MS;
        task_check(receive_in_parts(&r) == 2);
        task_check(receive_in_parts(&r) == -ETIMEDOUT);
        task_check(weft_write(r.ends[1], "kl", 2, WEFT_NEVER) == 2 && shutdown(r.ends[1], SHUT_WR) == 0);
        r.deadline = WEFT_NEVER;
        task_check(receive_in_parts(&r) == 2);
        task_check(receive_in_parts(&r) == 0);
        close_both(r.ends);
    }
    return 0;
}

union control {
    struct cmsghdr head;
    char           bytes[64];
};

static void send_part(int fd, const char *text, int passed)
{
    union control control = {.head = {CMSG_LEN(sizeof passed), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec  part = {(char *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    memcpy(CMSG_DATA(&control.head), &passed, sizeof passed);
    if (passed >= 0) message.msg_control = &control, message.msg_controllen = CMSG_SPACE(sizeof passed);
    task_check(weft_sendmsg(fd, &message, 0, WEFT_NEVER) == (ssize_t)part.iov_len);
}

struct receiving_more {
    int  fd, passed;
    char bytes[12];
};

static int receive_with_control(void *arg)
{
    struct receiving_more *r = arg;
    union control          control;
    struct iovec           part = {r->bytes, sizeof r->bytes};
    struct msghdr          message = {
                 .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = weft_recvmsg(r->fd, &message, MSG_WAITALL, WEFT_NEVER);

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_type == SCM_RIGHTS) memcpy(&r->passed, CMSG_DATA(c), sizeof r->passed);
    return (int)got;
}

/* A descriptor that comes with a later part is not lost, and ends it; a moment does not. */
static int receive_all_and_more(void *arg)
{
    (void)arg;
    for (int local = 0; local < 2; local++) {
        int                   ends[2];
        struct receiving_more r = {.passed = -1};
        test_side             side;
        test_link_make(ends, local ? TEST_UNIX : TEST_TCP);
        r.fd = ends[0];
        task_check(local || setsockopt(ends[0], SOL_SOCKET, SO_TIMESTAMP, &(int){1}, sizeof(int)) == 0);
        send_part(ends[1], "abcd", -1);
        test_side_start(&side, false, receive_with_control, &r);
        test_let_run();
        send_part(ends[1], "efgh", local ? ends[1] : -1);
        test_let_run();
        if (!local) send_part(ends[1], "ijkl", -1);
        int got = test_side_end(&side);
        task_check(got == (local ? 8 : 12) && memcmp(r.bytes, "abcdefghijkl", (size_t)got) == 0);
        task_check(local ? r.passed >= 0 && close(r.passed) == 0 : r.passed < 0);
        close_both(ends);
    }
    return 0;
}

static void flag_says_to_wait_for_all(void **state)
{
    (void)state;
    assert_everywhere(receive_all_of_it, NULL);
    assert_everywhere(receive_all_and_more, NULL);
}

static void make_datagrams(int ends[2], bool local)
{
    if (local) test_link_make(ends, TEST_DATAGRAM);
    else test_datagrams_make(ends);
}

/* To shut down a socket that has no connection is the end of what can be read from it. */
static int shut_down_datagrams(void *arg)
{
    char bytes[16];

    (void)arg;
    for (int local = 0; local < 2; local++) {
        for (int message = 0; message < 2; message++) {
            int ends[2];
            make_datagrams(ends, local);
            struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
            test_call_begin(&reader, message);
            task_check(shutdown(ends[0], SHUT_RD) == 0 || errno == ENOTCONN);
            task_check(test_call_end(&reader) == 0);
            task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 0);
            close_both(ends);
            /* What came before is read first. */
            make_datagrams(ends, local);
            task_check(send(ends[1], "weft", 4, 0) == 4);
            task_check(shutdown(ends[0], SHUT_RD) == 0 || errno == ENOTCONN);
            task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 4);
            struct iovec  part = {bytes, sizeof bytes};
            struct msghdr none = {.msg_name = bytes, .msg_namelen = 8, .msg_iov = &part, .msg_iovlen = 1};
            task_check(weft_recvmsg(ends[0], &none, 0, WEFT_NEVER) == 0);
            task_check(none.msg_namelen == 0 && none.msg_flags == 0);
            task_check(weft_read_full(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 0);
            close_both(ends);
        }
    }
    return 0;
}

/* The number was a stream's, and what has it now was not told. */
static void read_what_was_a_stream(void)
{
    int  ends[2], other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char byte;

    test_link_make(ends, TEST_TCP);
    task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1 && weft_read(ends[0], &byte, 1, WEFT_NEVER) == 1);
    shutdown(other, SHUT_RD);
    test_take_number(other, ends[0]);
    task_check(weft_read(ends[0], &byte, 1, WEFT_NEVER) == 0);
    close_both(ends);
}

static void shut_down_is_the_end(void **state)
{
    read_what_was_a_stream();
    assert_task_checks();
    (void)state;
    assert_everywhere(shut_down_datagrams, NULL);
}

/* Connects and sends in one call, where the system does. */
static int send_at_once(void *arg)
{
    struct sockaddr_storage address;
    socklen_t               size;
    int                     listener = test_listener(&address, &size, 4), fd = socket(AF_INET, SOCK_STREAM, 0), server;
    char                    bytes[16] = "weft";
    struct iovec            part = {bytes, 4};
    struct msghdr           message = {.msg_name = &address, .msg_namelen = size, .msg_iov = &part, .msg_iovlen = 1};

    (void)arg;
    ssize_t n = weft_sendmsg(fd, &message, MSG_FASTOPEN, WEFT_NEVER);
    task_check(n == 4 || n == -EOPNOTSUPP); /* net.ipv4.tcp_fastopen */
    if (n == 4) {
        task_check((server = weft_accept(listener, NULL, NULL, WEFT_NEVER)) >= 0);
        task_check(weft_read_full(server, bytes + 8, 4, WEFT_NEVER) == 4 && memcmp(bytes, bytes + 8, 4) == 0);
        task_check(weft_close(server) == 0);
    }
    task_check(weft_close(fd) == 0 && weft_close(listener) == 0);
    if (n == 4) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        task_check(weft_sendmsg(fd, &message, MSG_FASTOPEN, WEFT_NEVER) == -ECONNREFUSED);
        task_check(weft_close(fd) == 0);
    }
    return 0;
}

static void message_may_connect(void **state)
{
    (void)state;
    assert_everywhere(send_at_once, NULL);
}

/* ---- without a descriptor left ------------------------------------------------ */

/* Every number that the process may have is in use, as `fd` is. */
static void take_all_numbers(int fd, struct rlimit *before)
{
    int next = dup(fd);

    task_check(next >= 0 && close(next) == 0 && getrlimit(RLIMIT_NOFILE, before) == 0);
    task_check(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)next, before->rlim_max}) == 0);
    task_check(dup(fd) < 0);
}

/* How often a plain thread has begun to wait. */
static atomic_uint polls;

int __real_ppoll(struct pollfd *polled, nfds_t count, const struct timespec *left, const sigset_t *set);
int __wrap_ppoll(struct pollfd *polled, nfds_t count, const struct timespec *left, const sigset_t *set);

int __wrap_ppoll(struct pollfd *polled, nfds_t count, const struct timespec *left, const sigset_t *set)
{
    atomic_fetch_add(&polls, 1);
    return __real_ppoll(polled, count, left, set);
}

static void call_until_it_waits(struct test_call *call)
{
    unsigned before = atomic_load(&polls);

    test_call_begin(call, true);
    task_until(atomic_load(&polls) != before);
}

/* A plain thread needs none to wait. */
static void wait_with_all_numbers_taken(enum test_link link, short events)
{
    int              ends[2], others[2], next;
    char             bytes[16];
    struct rlimit    before;
    struct test_call call = {.events = events, .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};

    test_link_make(ends, link);
    test_link_make(others, TEST_PIPE);
    task_check(write(others[1], "other", 5) == 5);
    take_all_numbers(ends[0], &before);
    call.fd = ends[0];
    call_until_it_waits(&call);
    task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
    task_check(test_call_end(&call) == (events ? events : 1));
    if (events) task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == 1);
    call.deadline = test_now() + 25 * WEFT_MS; /* a thread's clock */
    test_call_begin(&call, true);
    task_check(test_call_end(&call) == -ETIMEDOUT);
    task_check(test_now() >= call.deadline);
    call.deadline = WEFT_NEVER;
    call_until_it_waits(&call);
    task_check(weft_close(ends[0]) == 0);
    /* The only number that is free is another's when it looks again, unless the thread, which may have it for a moment
     * to wait with, has ended by then. */
    task_until((next = dup(others[0])) >= 0);
    task_check(test_call_end(&call) == -EBADF);
    task_check(setrlimit(RLIMIT_NOFILE, &before) == 0);
    task_check(weft_read(next, bytes, sizeof bytes, WEFT_NEVER) == 5);
    task_check(weft_close(next) == 0 && weft_close(ends[1]) == 0);
    close_both(others);
}

static int wait_in_threads(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        wait_with_all_numbers_taken(link, 0);
        wait_with_all_numbers_taken(link, POLLIN);
    }
    return 0;
}

static void threads_need_no_descriptor_to_wait(void **state)
{
    (void)state;
    assert_everywhere(wait_in_threads, NULL);
}

/* A runtime does, for the first wait of its tasks: which says so, and can be made again. */
static int wait_first_with_all_numbers_taken(void *arg)
{
    int           ends[2];
    char          bytes[16] = "";
    struct rlimit before;

    (void)arg;
    test_link_make(ends, TEST_UNIX);
    take_all_numbers(ends[0], &before);
    for (int i = 0; i < 3; i++) {
        task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == -EMFILE);
        task_check(weft_read(ends[0], bytes, sizeof bytes, weft_now() + HOUR) == -EMFILE);
        task_check(weft_read(ends[0], bytes, sizeof bytes, 0) == -EAGAIN);
        task_check(weft_poll(ends[0], POLLIN, WEFT_NEVER) == -EMFILE);
        /* What need not wait needs none. */
        task_check(weft_write(ends[1], "weft", 4, WEFT_NEVER) == 4);
        task_check(weft_poll(ends[0], POLLIN, WEFT_NEVER) == POLLIN);
        task_check(weft_read(ends[0], bytes, 2, WEFT_NEVER) == 2);
        /* As every error, instead of the count. */
        task_check(weft_read_full(ends[0], bytes + 2, 3, WEFT_NEVER) == -EMFILE);
        task_check(memcmp(bytes, "weft", 4) == 0);
    }
    task_check(setrlimit(RLIMIT_NOFILE, &before) == 0);
    struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
    test_call_begin(&reader, false);
    task_check(weft_write(ends[1], "warp", 4, WEFT_NEVER) == 4);
    task_check(test_call_end(&reader) == 4);
    task_check(memcmp(bytes, "warp", 4) == 0);
    close_both(ends);
    return 0;
}

static void first_wait_without_a_descriptor_left_can_be_made_again(void **state)
{
    (void)state;
    assert_in_tasks(wait_first_with_all_numbers_taken, NULL);
}

/* ---- SIGPIPE ----------------------------------------------------------------- */

static atomic_int pipes_broken;

static void note_broken_pipe(int signal)
{
    (void)signal;
    atomic_fetch_add(&pipes_broken, 1);
}

static bool broken_pipe_is_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
}

static int write_to_nobody(void *arg)
{
    struct iovec  part = {"x", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    (void)arg;
    for (enum test_link link = TEST_UNIX; link <= TEST_PACKET; link++) {
        int ends[2];
        if (!is_socket(link) || link == TEST_DATAGRAM) continue;
        test_link_make(ends, link);
        close(ends[0]);
        /* Over TCP the first is answered with a reset, which then is told. */
        for (int i = 0; i < 20; i++) {
            ssize_t n = weft_write(ends[1], "x", 1, WEFT_NEVER);
            task_check(n == -EPIPE || (link == TEST_TCP && (n == 1 || n == -ECONNRESET)));
            n = weft_sendmsg(ends[1], &message, 0, WEFT_NEVER);
            task_check(n == -EPIPE || (link == TEST_TCP && (n == 1 || n == -ECONNRESET)));
            weft_yield();
        }
        task_check(weft_write_full(ends[1], "x", 1, WEFT_NEVER) == -EPIPE);
        task_check(weft_close(ends[1]) == 0);
    }
    /* Also when the number was something else's before. */
    for (int was = 0; was < 3; was++) {
        int ends[2], others[2];
        test_link_make(others, TEST_PIPE);
        int number = was == 2 ? test_file() : others[1];
        if (was == 1) task_check(fcntl(others[1], F_SETFL, O_NONBLOCK) == 0);
        task_check(weft_write(number, "x", 1, WEFT_NEVER) == 1);
        test_link_make(ends, TEST_UNIX);
        close(ends[0]);
        test_take_number(ends[1], number);
        task_check(weft_write(number, "x", 1, WEFT_NEVER) == -EPIPE);
        task_check(weft_close(number) == 0);
        task_check(weft_close(others[0]) == 0);
        if (was == 2) task_check(weft_close(others[1]) == 0);
    }
    task_check(!broken_pipe_is_pending());
    task_check(atomic_load(&pipes_broken) == 0);
    return 0;
}

static void sockets_raise_no_signal(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = note_broken_pipe}, before;

    assert_int_equal(sigaction(SIGPIPE, &action, &before), 0);
    assert_everywhere(write_to_nobody, NULL);
    assert_int_equal(sigaction(SIGPIPE, &before, NULL), 0);
}

/* ---- runtimes ------------------------------------------------------------------ */

struct shared {
    int         ends[2];
    atomic_int  begun;
    atomic_bool ended;
    atomic_int  got;
};

static int read_bytes(void *arg)
{
    struct shared *s = *(struct shared **)arg;
    char           byte;
    ssize_t        n;

    atomic_fetch_add(&s->begun, 1);
    while ((n = weft_read(s->ends[0], &byte, 1, WEFT_NEVER)) == 1) atomic_fetch_add(&s->got, 1);
    task_check(n == 0);
    return 0;
}

static void runtimes_share_a_descriptor(void **state)
{
    (void)state;
    for (enum test_link link = 0; link <= TEST_TCP; link++) {
        struct shared s = {.begun = 0}, *shared = &s;
        weft_runtime *runtimes[2];
        test_link_make(s.ends, link);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(weft_runtime_start(&runtimes[i], WEFT_OPTIONS(.workers = 1)), 0);
            for (int n = 0; n < 3; n++)
                assert_int_equal(weft_runtime_go(runtimes[i], read_bytes, &shared, sizeof shared), 0);
        }
        task_until(atomic_load(&s.begun) == 6);
        for (int i = 0; i < 500; i++) {
            assert_int_equal(write(s.ends[1], "x", 1), 1);
            if (i % 5 == 0) task_until(atomic_load(&s.got) == i + 1);
        }
        close(s.ends[1]);
        for (int i = 0; i < 2; i++) assert_int_equal(weft_runtime_stop(runtimes[i]), 0);
        assert_int_equal(s.got, 500);
        assert_int_equal(weft_close(s.ends[0]), 0);
        assert_task_checks();
    }
}

/* One after the other, on numbers that are known already. */
static void next_runtime_waits_anew(void **state)
{
    (void)state;
    int ends[2];

    test_link_make(ends, TEST_TCP);
    for (int i = 0; i < 5; i++) {
        struct shared  s = {.ends = {ends[0], ends[1]}};
        char           byte;
        weft_runtime  *runtime;
        struct shared *shared = &s;
        assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 2)), 0);
        assert_int_equal(weft_runtime_go(runtime, read_bytes, &shared, sizeof shared), 0);
        for (int n = 1; n <= 10; n++) {
            assert_int_equal(write(ends[1], "x", 1), 1);
            task_until(atomic_load(&s.got) == n);
        }
        assert_int_equal(weft_read(ends[0], &byte, 1, 1), -ETIMEDOUT);
        assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
        assert_int_equal(weft_runtime_stop(runtime), 0);
        assert_task_checks();
        assert_int_equal(weft_close(ends[0]), 0);
        assert_int_equal(weft_close(ends[1]), 0);
        test_link_make(ends, TEST_TCP);
    }
    close(ends[0]);
    close(ends[1]);
}

static int pass_within(void *arg)
{
    (void)arg;
    int ends[2];

    test_link_make(ends, TEST_PIPE);
    char             byte = 0;
    struct test_call reader = {.fd = ends[0], .bytes = &byte, .size = 1, .deadline = WEFT_NEVER};
    test_call_begin(&reader, false); /* of the outer runtime */
    task_check(weft_run(pass_some, NULL, WEFT_OPTIONS(.workers = 2)) == 0);
    task_check(weft_run(pass_some, NULL, WEFT_OPTIONS(.one_root = true)) == 0);
    task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
    task_check(test_call_end(&reader) == 1);
    close_both(ends);
    return 0;
}

static void runtime_within_a_task_has_its_own_waits(void **state)
{
    (void)state;
    assert_in_tasks(pass_within, NULL);
}

static int leave_nothing(void *arg)
{
    (void)arg;
    return pass_some(NULL);
}

static void nothing_is_left(void **state)
{
    (void)state;
    struct test_census before, after;

    assert_int_equal(test_run_workers(leave_nothing, NULL), 0);
    assert_threads_end_at(1 + TEST_TSAN);
    test_census(&before);
    for (int i = 0; i < 3; i++) assert_int_equal(test_run_workers(leave_nothing, NULL), 0);
    assert_threads_end_at(before.threads);
    test_census(&after);
    assert_int_equal(after.descriptors, before.descriptors);
}

/* ---- beside others --------------------------------------------------------------- */

struct echo {
    int         ends[2];
    atomic_bool ended;
};

static int echo(void *arg)
{
    struct echo *e = arg;
    char         byte;

    while (weft_read(e->ends[0], &byte, 1, WEFT_NEVER) == 1)
        if (weft_write(e->ends[0], &byte, 1, WEFT_NEVER) != 1) break;
    return 0;
}

static int ask_echo(void *arg)
{
    struct echo *e = arg;
    char         byte;

    for (int i = 0; i < 20; i++) {
        task_check(weft_write(e->ends[1], "x", 1, WEFT_NEVER) == 1);
        task_check(weft_read(e->ends[1], &byte, 1, WEFT_NEVER) == 1);
    }
    task_check(shutdown(e->ends[1], SHUT_WR) == 0);
    atomic_store(&e->ended, true);
    return 0;
}

/* The first task computes all the time; the others are to be done before it looks up. */
static int compute_beside(void *arg)
{
    const bool  checks = *(const bool *)arg;
    struct echo e = {.ended = false};
    weft_task   tasks[2];

    test_link_make(e.ends, TEST_TCP);
    weft_spawn(&tasks[0], echo, &e);
    weft_spawn(&tasks[1], ask_echo, &e);
    /* The tests' clock is no call of weft's, and so no chance for others. */
    for (weft_time end = test_now() + TEST_LONG; !atomic_load(&e.ended);) {
        if (checks) task_check(weft_check() == 0);
        if (test_now() > end) {
            task_check(!"the others went on meanwhile");
            break;
        }
    }
    task_check(weft_await(&tasks[1]) == 0);
    task_check(weft_await(&tasks[0]) == 0);
    close_both(e.ends);
    return 0;
}

static void data_passes_who_computes(void **state)
{
    (void)state;
    assert_int_equal(test_run(compute_beside, &(bool){true}, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(compute_beside, &(bool){true}, WEFT_OPTIONS(.one_root = true)), 0);
    assert_int_equal(test_run(compute_beside, &(bool){true}, WEFT_OPTIONS(.seed = 1)), 0);
    assert_int_equal(test_run(compute_beside, &(bool){true}, WEFT_OPTIONS(.workers = 2)), 0);
    assert_int_equal(test_run(compute_beside, &(bool){false}, WEFT_OPTIONS(.workers = 2)), 0);
}

/* And who only yields, alone, sees that others go on. */
static int yield_beside(void *arg)
{
    struct echo e = {.ended = false};
    weft_task   tasks[2];

    (void)arg;
    test_link_make(e.ends, TEST_TCP);
    weft_spawn(&tasks[0], echo, &e);
    weft_spawn(&tasks[1], ask_echo, &e);
    task_until(atomic_load(&e.ended));
    task_check(weft_await(&tasks[1]) == 0);
    task_check(weft_await(&tasks[0]) == 0);
    close_both(e.ends);
    return 0;
}

static void data_passes_who_yields(void **state)
{
    (void)state;
    assert_in_tasks(yield_beside, NULL);
    assert_int_equal(test_run(yield_beside, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* Connections on which nothing happens cost nothing.  Counted, not timed. */
enum { IDLE_ONES = 50 };

static int wait_for_end(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_NEVER);
}

static int sit_idle(void *arg)
{
    int               ends[IDLE_ONES][2];
    weft_task         tasks[IDLE_ONES];
    struct weft_stats before = {.size = sizeof before}, after = {.size = sizeof after};

    (void)arg;
    for (int i = 0; i < IDLE_ONES; i++) {
        test_link_make(ends[i], i % 2 ? TEST_TCP : TEST_PIPE);
        weft_spawn(&tasks[i], wait_for_end, &ends[i][0]);
    }
    weft_sleep(weft_now() + 1500 * WEFT_MS); /* until all has come to rest */
    task_check(weft_stats(&before) == 0);
    weft_sleep(weft_now() + WEFT_SEC);
    task_check(weft_stats(&after) == 0);
    task_check(test_interrupted() || after.parks - before.parks <= 4 * weft_worker_count());
    task_check(after.switches - before.switches <= 4);
    task_check(after.io_waits == before.io_waits);
    for (int i = 0; i < IDLE_ONES; i++) {
        task_check(weft_close(ends[i][1]) == 0);
        task_check(weft_await(&tasks[i]) == 0);
        task_check(weft_close(ends[i][0]) == 0);
    }
    return 0;
}

static void idle_connections_cost_nothing(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(sit_idle, NULL), 0);
}

/* All tasks wait, and there is neither a thread nor a deadline; but the descriptor will become ready. */
static int wait_for_alarm(void *arg)
{
    uint64_t          count = 0;
    int               fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec when = {.it_value = {.tv_sec = 1, .tv_nsec = 300000000}};

    (void)arg;
    task_check(timerfd_settime(fd, 0, &when, NULL) == 0);
    task_check(weft_read(fd, &count, sizeof count, WEFT_NEVER) == sizeof count);
    task_check(count == 1);
    task_check(weft_close(fd) == 0);
    return 0;
}

static void who_waits_for_a_descriptor_is_in_no_deadlock(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(wait_for_alarm, NULL), 0);
    assert_int_equal(test_run(wait_for_alarm, NULL, WEFT_OPTIONS(.seed = 3)), 0);
}

/* With a seed time flows while a descriptor could become ready: nobody is too late by a jump. */
static int wait_with_seed(void *arg)
{
    uint64_t          count = 0;
    int               fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec when = {.it_value = {.tv_nsec = 20000000}};

    (void)arg;
    task_check(timerfd_settime(fd, 0, &when, NULL) == 0);
    task_check(weft_read(fd, &count, sizeof count, weft_now() + HOUR) == sizeof count);
    task_check(weft_close(fd) == 0);
    return 0;
}

static void time_flows_while_a_descriptor_is_waited_for(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        weft_time begin = test_now();
        assert_int_equal(test_run(wait_with_seed, NULL, WEFT_OPTIONS(.seed = seed)), 0);
        assert_true(test_now() - begin < HOUR);
    }
}

/* ---- beside one who computes ---------------------------------------------- */

struct beside {
    int         ends[2];
    bool        early; /* it is written before anybody computes */
    atomic_bool begun, computes, read;
};

static int read_beside(void *arg)
{
    struct beside *b = arg;
    char           byte;

    atomic_store(&b->begun, true);
    task_check(weft_read(b->ends[0], &byte, 1, WEFT_NEVER) == 1);
    atomic_store(&b->read, true);
    return 0;
}

static int compute_until_read(void *arg)
{
    struct beside *b = arg;

    atomic_store(&b->computes, true);
    task_spin_until(atomic_load(&b->read));
    return 0;
}

static void write_beside(void *arg)
{
    struct beside *b = arg;

    if (!b->early) task_spin_until(atomic_load(&b->computes));
    task_check(send(b->ends[1], "x", 1, 0) == 1);
}

/* All workers are idle, most likely, when one begins to compute. */
static void who_computes_holds_no_reader_back(void **state)
{
    weft_runtime *runtime;
    test_thread   writer;

    (void)state;
    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 2)), 0);
    for (int i = 0; i < 10; i++) {
        struct beside b = {.early = i % 2};
        test_link_make(b.ends, TEST_UNIX);
        assert_int_equal(weft_runtime_go(runtime, read_beside, &b, 0), 0);
        task_spin_until(atomic_load(&b.begun));
        test_sleep(10 * WEFT_MS);
        if (b.early) write_beside(&b);
        else test_thread_start(&writer, write_beside, &b);
        assert_int_equal(weft_runtime_call(runtime, compute_until_read, &b), 0);
        if (!b.early) test_thread_join(&writer);
        task_until(atomic_load(&b.read));
        close(b.ends[0]);
        close(b.ends[1]);
    }
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_computes_holds_no_reader_back),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(more_goes_through_than_fits),
        cmocka_unit_test(full_terminal_blocks_nobody_else),
        cmocka_unit_test(end_is_zero),
        cmocka_unit_test(end_may_come_with_data),
        cmocka_unit_test(reset_is_told_once),
        cmocka_unit_test(nothing_is_read_at_once),
        cmocka_unit_test(messages_stay_whole),
        cmocka_unit_test(busy_receiver_is_asked_again),
        cmocka_unit_test(error_that_nobody_receives_is_no_reason_to_try),
        cmocka_unit_test(message_brings_a_descriptor),
        cmocka_unit_test(short_read_may_not_be_all),
        cmocka_unit_test(urgent_mark_hides_nothing),
        cmocka_unit_test(gives_up_at_its_deadline),
        cmocka_unit_test(who_computes_makes_nobody_give_up),
        cmocka_unit_test(try_tries),
        cmocka_unit_test(cancelled_wait_ends),
        cmocka_unit_test(nobody_waits_in_a_cancelled_scope),
        cmocka_unit_test(who_gives_up_tells_how_far_it_got),
        cmocka_unit_test(error_half_way_comes_instead_of_the_count),
        cmocka_unit_test(reader_and_writer_share_a_descriptor),
        cmocka_unit_test(many_readers_share_a_descriptor),
        cmocka_unit_test(poll_tells_what_is_ready),
        cmocka_unit_test(poll_tells_of_urgent_data),
        cmocka_unit_test(poll_tells_of_the_end_unasked),
        cmocka_unit_test(only_sockets_change_their_flags),
        cmocka_unit_test(eventfd_counts),
        cmocka_unit_test(poll_knows_other_names),
        cmocka_unit_test(flags_say_not_to_wait),
        cmocka_unit_test(flag_says_to_wait_for_all),
        cmocka_unit_test(shut_down_is_the_end),
        cmocka_unit_test(message_may_connect),
        cmocka_unit_test(threads_need_no_descriptor_to_wait),
        cmocka_unit_test(first_wait_without_a_descriptor_left_can_be_made_again),
        cmocka_unit_test(files_are_always_ready),
        cmocka_unit_test(bad_numbers_are_told),
        cmocka_unit_test(memory_that_is_none_is_told),
        cmocka_unit_test(sockets_raise_no_signal),
        cmocka_unit_test(runtimes_share_a_descriptor),
        cmocka_unit_test(next_runtime_waits_anew),
        cmocka_unit_test(runtime_within_a_task_has_its_own_waits),
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(data_passes_who_computes),
        cmocka_unit_test(data_passes_who_yields),
        cmocka_unit_test(idle_connections_cost_nothing),
        cmocka_unit_test(who_waits_for_a_descriptor_is_in_no_deadlock),
        cmocka_unit_test(time_flows_while_a_descriptor_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
