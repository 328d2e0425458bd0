/* test_connection.c - accepting and connecting */
#include "support_io.h"

#include <sys/resource.h>
#include <unistd.h>

/* ---- accepting -------------------------------------------------------------------- */

struct service {
    int         listener;
    atomic_int  accepted;
    atomic_bool full;
};

static int accept_all(void *arg)
{
    struct service *s = arg;

    for (;;) {
        struct sockaddr_storage address = {0};
        socklen_t               size = sizeof address;
        int                     fd = weft_accept(s->listener, (struct sockaddr *)&address, &size, WEFT_NEVER);
        if (fd == -EBADF) return 0;
        task_check(fd >= 0);
        task_check(address.ss_family == AF_UNIX || address.ss_family == AF_INET);
        if (fd < 0) return fd;
        task_check(weft_write(fd, "x", 1, WEFT_NEVER) == 1);
        task_check(weft_close(fd) == 0);
        atomic_fetch_add(&s->accepted, 1);
    }
}

static int accept_with_many(void *arg)
{
    enum { ACCEPTORS = 6, CLIENTS = 60 };

    (void)arg;
    for (int local = 0; local < 2; local++) {
        struct sockaddr_storage address;
        socklen_t               size;
        struct service          s = {.accepted = 0};
        test_side               sides[ACCEPTORS];
        s.listener = local ? test_unix_listener(&address, &size, 4) : test_listener(&address, &size, 128);
        for (int i = 0; i < ACCEPTORS; i++) test_side_start(&sides[i], i % 3 == 2, accept_all, &s);
        test_let_run();
        for (int i = 0; i < CLIENTS; i++) {
            char byte = 0;
            int  fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            task_check(weft_connect(fd, (struct sockaddr *)&address, size, WEFT_NEVER) == 0);
            task_check(weft_read(fd, &byte, 1, WEFT_NEVER) == 1 && byte == 'x');
            task_check(weft_close(fd) == 0);
        }
        task_until(atomic_load(&s.accepted) == CLIENTS);
        task_check(weft_close(s.listener) == 0);
        for (int i = 0; i < ACCEPTORS; i++) task_check(test_side_end(&sides[i]) == 0);
    }
    return 0;
}

static void many_accept(void **state)
{
    (void)state;
    assert_everywhere(accept_with_many, NULL);
}

static int accept_in_vain(void *arg)
{
    struct sockaddr_storage address;
    socklen_t               size;
    int                     listener = test_listener(&address, &size, 4), ends[2];

    (void)arg;
    for (int i = 0; i < 2; i++) {
        task_check(weft_accept(listener, NULL, NULL, 0) == -EAGAIN);
        task_check(weft_accept(listener, NULL, NULL, 1) == -ETIMEDOUT);
        weft_time soon = weft_now() + WEFT_MS;
        task_check(weft_accept(listener, NULL, NULL, soon) == -ETIMEDOUT);
        task_check(weft_now() >= soon);
    }
    test_link_make(ends, TEST_TCP);
    task_check(weft_accept(ends[0], NULL, NULL, WEFT_NEVER) == -EINVAL);
    task_check(weft_close(ends[0]) == 0 && weft_close(ends[1]) == 0);
    task_check(weft_close(listener) == 0);
    return 0;
}

static void accept_gives_up(void **state)
{
    (void)state;
    assert_everywhere(accept_in_vain, NULL);
}

/* Without a descriptor left it tells so after a while, for as long as that lasts. */
static int accept_too_many(void *arg)
{
    struct sockaddr_storage address;
    socklen_t               size;
    struct rlimit           before, none;
    int                     listener = test_listener(&address, &size, 4);
    int                     client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)arg;
    /* What weft itself needs for waiting, it has. */
    task_check(weft_accept(listener, NULL, NULL, weft_now() + WEFT_MS) == -ETIMEDOUT);
    task_check(weft_connect(client, (struct sockaddr *)&address, size, WEFT_NEVER) == 0);
    task_check(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    task_check(setrlimit(RLIMIT_NOFILE, &none) == 0);
    for (int i = 0; i < 3; i++) {
        weft_time begin = weft_now(); /* with a seed it may be behind the clock, and catch up */
        task_check(weft_accept(listener, NULL, NULL, WEFT_NEVER) == -EMFILE);
        task_check(weft_now() - begin >= WEFT_MS);
    }
    task_check(weft_accept(listener, NULL, NULL, 0) == -EMFILE);
    if (weft_worker_index() >= 0) {
        weft_scope scope;
        task_check(weft_scope_open(&scope, NULL) == 0);
        weft_scope_cancel(&scope);
        task_check(weft_accept(listener, NULL, NULL, WEFT_NEVER) == -ECANCELED);
        task_check(weft_scope_close(&scope) == -ECANCELED);
    }
    task_check(setrlimit(RLIMIT_NOFILE, &before) == 0);
    int server = weft_accept(listener, NULL, NULL, WEFT_NEVER);
    task_check(server >= 0);
    task_check(weft_close(server) == 0 && weft_close(client) == 0 && weft_close(listener) == 0);
    return 0;
}

static void accept_pauses_when_there_are_too_many(void **state)
{
    (void)state;
    assert_everywhere(accept_too_many, NULL);
}

/* ---- connecting ------------------------------------------------------------------- */

static int connect_in_vain(void *arg)
{
    struct sockaddr_storage address;
    socklen_t               size;
    int                     listener = test_listener(&address, &size, 0), fds[8], fd;

    (void)arg;
    /* More than its queue holds: no answer comes to the last. */
    for (size_t i = 0; i < TEST_LENGTH(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fds[i], (struct sockaddr *)&address, size);
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    weft_time soon = weft_now() + 5 * WEFT_MS;
    task_check(weft_connect(fd, (struct sockaddr *)&address, size, soon) == -ETIMEDOUT);
    task_check(weft_now() >= soon);
    task_check(weft_connect(fd, (struct sockaddr *)&address, size, 0) == -EAGAIN);
    task_check(weft_close(fd) == 0);
    for (size_t i = 0; i < TEST_LENGTH(fds); i++) close(fds[i]);
    task_check(weft_close(listener) == 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    task_check(weft_connect(fd, (struct sockaddr *)&address, size, WEFT_NEVER) == -ECONNREFUSED);
    task_check(weft_close(fd) == 0);
    return 0;
}

static void connect_gives_up(void **state)
{
    (void)state;
    assert_everywhere(connect_in_vain, NULL);
}

struct knock {
    struct sockaddr_storage address;
    socklen_t               size;
    int                     fd;
    weft_time               deadline;
};

static int knock(void *arg)
{
    struct knock *k = arg;

    return weft_connect(k->fd, (struct sockaddr *)&k->address, k->size, k->deadline);
}

/* A local listener that is busy tells nobody when it is not: yet one gets in, or gives up. */
static int connect_to_the_busy(void *arg)
{
    struct knock k = {.deadline = WEFT_NEVER};
    int          listener = test_unix_listener(&k.address, &k.size, 0), first = socket(AF_UNIX, SOCK_STREAM, 0);
    test_side    side;

    (void)arg;
    task_check(weft_connect(first, (struct sockaddr *)&k.address, k.size, WEFT_NEVER) == 0);
    k.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    task_check(weft_connect(k.fd, (struct sockaddr *)&k.address, k.size, 0) == -EAGAIN);
    task_check(weft_connect(k.fd, (struct sockaddr *)&k.address, k.size, weft_now() + 3 * WEFT_MS) == -ETIMEDOUT);
    test_side_start(&side, false, knock, &k);
    test_let_run();
    int accepted = weft_accept(listener, NULL, NULL, WEFT_NEVER);
    task_check(accepted >= 0 && weft_close(accepted) == 0);
    task_check(test_side_end(&side) == 0);
    task_check(weft_close(first) == 0 && weft_close(k.fd) == 0 && weft_close(listener) == 0);
    return 0;
}

static void busy_listener_is_asked_again(void **state)
{
    (void)state;
    assert_everywhere(connect_to_the_busy, NULL);
}

static uint64_t timers_passed(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    return weft_stats(&stats) == 0 ? stats.timers : 0;
}

static uint64_t io_waits(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    return weft_stats(&stats) == 0 ? stats.io_waits : 0;
}

static int close_under_calls(void *arg)
{
    struct knock k = {.deadline = WEFT_NEVER};
    int          listener = test_unix_listener(&k.address, &k.size, 0), first = socket(AF_UNIX, SOCK_STREAM, 0);
    test_side    side;

    (void)arg;
    task_check(weft_connect(first, (struct sockaddr *)&k.address, k.size, WEFT_NEVER) == 0);
    k.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    uint64_t before = timers_passed();
    test_side_start(&side, false, knock, &k);
    task_until(timers_passed() > before);
    task_check(weft_close(k.fd) == 0);
    /* The number is another's when the call asks again. */
    test_take_number(socket(AF_UNIX, SOCK_STREAM, 0), k.fd);
    weft_close(weft_accept(listener, NULL, NULL, WEFT_NEVER));
    task_check(test_side_end(&side) == -EBADF);
    task_check(weft_accept(listener, NULL, NULL, 0) == -EAGAIN);
    task_check(weft_close(k.fd) == 0 && weft_close(first) == 0 && weft_close(listener) == 0);

    int fds[8];
    listener = test_listener(&k.address, &k.size, 0);
    for (size_t i = 0; i < TEST_LENGTH(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fds[i], (struct sockaddr *)&k.address, k.size);
    }
    k.fd = socket(AF_INET, SOCK_STREAM, 0);
    before = io_waits();
    test_side_start(&side, false, knock, &k);
    task_until(io_waits() > before);
    task_check(weft_close(k.fd) == 0);
    task_check(test_side_end(&side) == -EBADF);
    for (size_t i = 0; i < TEST_LENGTH(fds); i++) close(fds[i]);
    task_check(weft_close(listener) == 0);
    return 0;
}

static void closing_ends_connecting(void **state)
{
    (void)state;
    assert_in_tasks(close_under_calls, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_accept),
        cmocka_unit_test(accept_gives_up),
        cmocka_unit_test(accept_pauses_when_there_are_too_many),
        cmocka_unit_test(connect_gives_up),
        cmocka_unit_test(busy_listener_is_asked_again),
        cmocka_unit_test(closing_ends_connecting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
