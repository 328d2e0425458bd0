/* stress_io.c - data against deadlines, cancels and closing
 *
 * What holds in every order of events: bytes come in order, once, and none is lost but those that were under way when
 * their descriptor was closed; who gave up has taken nothing that is not told; and everybody comes to an end.
 */
#include "support_io.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUR (3600 * WEFT_SEC)

static weft_time some_deadline(uint32_t *chance, bool thread)
{
    uint32_t  pick = test_random(chance) % 8;
    weft_time now = thread ? test_now() : weft_now();

    if (pick == 0) return 0;
    if (pick == 1) return 1;
    if (pick < 5) return now + test_random(chance) % (100 * WEFT_US);
    return pick == 5 ? now + HOUR : WEFT_NEVER;
}

static bool gave_up(ssize_t result)
{
    return result == -EAGAIN || result == -ETIMEDOUT || result == -ECANCELED;
}

/* ---- streams ----------------------------------------------------------------------- */

struct stream {
    int           ends[2];
    size_t        size;
    atomic_size_t sent, received;
    uint32_t      chance[2];
    bool          thread;
};

static int send_stream(void *arg)
{
    struct stream *s = arg;
    uint32_t      *chance = &s->chance[1];
    char           bytes[5000];
    size_t         at = 0;

    while (at < s->size) {
        size_t  size = 1 + test_random(chance) % sizeof bytes, left = s->size - at;
        bool    full = test_random(chance) % 4 == 0;
        ssize_t n;
        if (size > left) size = left;
        test_pattern(bytes, size, at);
        weft_time deadline = some_deadline(chance, weft_worker_index() < 0);
        n = full ? weft_write_full(s->ends[1], bytes, size, deadline) : weft_write(s->ends[1], bytes, size, deadline);
        task_check(n > 0 || gave_up(n));
        if (n <= 0 && !gave_up(n)) break;
        if (n > 0) at += (size_t)n;
        else weft_yield();
    }
    atomic_store(&s->sent, at);
    task_check(weft_close(s->ends[1]) == 0);
    return 0;
}

static int receive_stream(void *arg)
{
    struct stream *s = arg;
    uint32_t      *chance = &s->chance[0];
    char           bytes[5000];
    size_t         at = 0;

    for (;;) {
        size_t    size = 1 + test_random(chance) % sizeof bytes;
        weft_time deadline = some_deadline(chance, weft_worker_index() < 0);
        ssize_t   n;
        if (test_random(chance) % 8 == 0) weft_poll(s->ends[0], POLLIN, deadline);
        if (test_random(chance) % 4) n = weft_read(s->ends[0], bytes, size, deadline);
        else n = weft_read_full(s->ends[0], bytes, size, deadline);
        if (n == 0) break;
        task_check(n > 0 || gave_up(n));
        if (n < 0 && !gave_up(n)) break;
        if (n > 0) task_check(test_is_pattern(bytes, (size_t)n, at)), at += (size_t)n;
        else weft_yield();
    }
    atomic_store(&s->received, at);
    task_check(weft_close(s->ends[0]) == 0);
    return 0;
}

enum { STREAMS_AT_ONCE = 24 };

static int run_streams(void *arg)
{
    struct stream streams[STREAMS_AT_ONCE];
    test_side     sides[STREAMS_AT_ONCE][2];

    (void)arg;
    for (unsigned i = 0; i < STREAMS_AT_ONCE; i++) {
        struct stream *s = &streams[i];
        *s = (struct stream){.size = test_scale(400000), .chance = {i + 1, i + 101}};
        test_link_make(s->ends, i % TEST_TTY); /* a terminal's end is no end */
        test_side_start(&sides[i][0], i % 7 == 0, receive_stream, s);
        test_side_start(&sides[i][1], i % 5 == 0, send_stream, s);
    }
    for (unsigned i = 0; i < STREAMS_AT_ONCE; i++) {
        task_check(test_side_end(&sides[i][0]) == 0);
        task_check(test_side_end(&sides[i][1]) == 0);
        task_check(streams[i].sent == streams[i].size && streams[i].received == streams[i].size);
    }
    return 0;
}

static void every_byte_arrives_once(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(run_streams, NULL), 0);
}

/* ---- many on one descriptor, cancelled at random ------------------------------------- */

struct pool {
    int           ends[2];
    atomic_size_t read, written;
    atomic_bool   over;
};

static int take_bytes(void *arg)
{
    struct pool *p = arg;
    char         bytes[7];
    ssize_t      n;

    /* Who need not wait may go on for good, cancelled or not. */
    do {
        n = weft_read(p->ends[0], bytes, sizeof bytes, WEFT_NEVER);
        if (n > 0) atomic_fetch_add(&p->read, (size_t)n);
    } while (n > 0 && (n = weft_check()) == 0);
    task_check(n == 0 || n == -ECANCELED);
    return 0;
}

static int give_bytes(void *arg)
{
    struct pool *p = arg;
    ssize_t      n = 0;

    while (!atomic_load(&p->over) && (n = weft_write(p->ends[1], "1234567", 7, WEFT_NEVER)) > 0) {
        atomic_fetch_add(&p->written, (size_t)n);
        weft_yield();
        if ((n = weft_check()) < 0) break;
    }
    task_check(n >= 0 || n == -ECANCELED);
    return 0;
}

static int cancel_at_random(void *arg)
{
    enum { READERS = 5, WRITERS = 3 };
    uint32_t chance = 3;

    (void)arg;
    for (enum test_link link = 0; link < TEST_TTY; link++) {
        struct pool p = {.over = false};
        weft_task   readers[READERS], writers[WRITERS];
        test_side   drain;
        test_link_make(p.ends, link);
        test_side_start(&drain, true, take_bytes, &p); /* never cancelled */
        for (int i = 0; i < READERS; i++) weft_spawn(&readers[i], take_bytes, &p);
        for (int i = 0; i < WRITERS; i++) weft_spawn(&writers[i], give_bytes, &p);
        for (size_t round = 0; round < test_scale(300) + 10; round++) {
            for (unsigned n = test_random(&chance) % 30; n > 0; n--) weft_yield();
            weft_task *task =
                round % 3 ? &readers[test_random(&chance) % READERS] : &writers[test_random(&chance) % WRITERS];
            weft_cancel(task);
            task_check(weft_await(task) == 0);
            weft_spawn(task, round % 3 ? take_bytes : give_bytes, &p);
        }
        atomic_store(&p.over, true);
        for (int i = 0; i < WRITERS; i++) task_check(weft_await(&writers[i]) == 0);
        task_check(weft_close(p.ends[1]) == 0);
        for (int i = 0; i < READERS; i++) task_check(weft_await(&readers[i]) == 0);
        task_check(test_side_end(&drain) == 0);
        task_check(p.read == p.written);
        task_check(weft_close(p.ends[0]) == 0);
    }
    return 0;
}

static void cancelling_loses_nothing(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_at_random, NULL), 0);
}

/* ---- closed under them ------------------------------------------------------------------ */

struct victim {
    int        fd;
    atomic_int begun;
};

static int read_until_closed(void *arg)
{
    struct victim *v = arg;
    char           byte;
    ssize_t        n;

    atomic_fetch_add(&v->begun, 1);
    while ((n = weft_read(v->fd, &byte, 1, WEFT_NEVER)) > 0) {
    }
    task_check(n == -EBADF);
    return 0;
}

/* The number stays nobody's, so whoever comes late is told as well. */
static int close_at_random(void *arg)
{
    enum { READERS = 4 };
    uint32_t chance = 9;

    (void)arg;
    for (size_t round = 0; round < test_scale(3000) + 30; round++) {
        int           ends[2];
        struct victim v = {.begun = 0};
        test_side     sides[READERS];
        test_link_make(ends, round % TEST_LINKS == TEST_TTY ? TEST_TCP : round % TEST_LINKS);
        v.fd = fcntl(ends[0], F_DUPFD_CLOEXEC, 300); /* out of the way of what others open */
        close(ends[0]);
        for (int i = 0; i < READERS; i++) test_side_start(&sides[i], i == 0 && round % 8 == 0, read_until_closed, &v);
        for (unsigned n = test_random(&chance) % 20; n > 0; n--) weft_yield();
        for (unsigned n = test_random(&chance) % 3; n > 0; n--)
            task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
        test_spin(test_random(&chance) % 5000);
        task_until(atomic_load(&v.begun) == READERS);
        task_check(weft_close(v.fd) == 0);
        for (int i = 0; i < READERS; i++) task_check(test_side_end(&sides[i]) == 0);
        task_check(weft_close(ends[1]) == 0);
    }
    return 0;
}

static void closing_ends_every_wait(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(close_at_random, NULL), 0);
}

/* ---- connections that come and go -------------------------------------------------------- */

struct server {
    struct sockaddr_storage address;
    socklen_t               size;
    int                     listener;
    atomic_size_t           served;
    size_t                  rounds;
};

static int serve(void *arg)
{
    int     fd = *(int *)arg;
    char    bytes[64];
    ssize_t n;

    while ((n = weft_read(fd, bytes, sizeof bytes, WEFT_NEVER)) > 0)
        if (weft_write_full(fd, bytes, (size_t)n, WEFT_NEVER) != n) break;
    task_check(weft_close(fd) == 0);
    return 0;
}

static int accept_all(void *arg)
{
    struct server *s = arg;

    for (;;) {
        int fd = weft_accept(s->listener, NULL, NULL, WEFT_NEVER);
        if (fd == -EBADF) return 0;
        task_check(fd >= 0);
        if (fd < 0) return 0;
        task_check(weft_go(serve, &fd, sizeof fd) == 0);
        atomic_fetch_add(&s->served, 1);
    }
}

/* Numbers are used again and again, by both sides. */
static int be_client(void *arg)
{
    struct server *s = arg;
    char           bytes[64], got[64];

    for (size_t round = 0; round < s->rounds; round++) {
        int fd = socket(s->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        task_check(weft_connect(fd, (struct sockaddr *)&s->address, s->size, WEFT_NEVER) == 0);
        for (unsigned i = 0; i < round % 5; i++) {
            size_t size = 1 + (round * 7 + i) % sizeof bytes;
            test_pattern(bytes, size, round + i);
            task_check(weft_write_full(fd, bytes, size, WEFT_NEVER) == (ssize_t)size);
            task_check(weft_read_full(fd, got, size, WEFT_NEVER) == (ssize_t)size);
            task_check(memcmp(bytes, got, size) == 0);
        }
        if (round % 16) task_check(weft_close(fd) == 0);
        else close(fd); /* nobody waits on it; the next of its number may wait a little longer */
    }
    return 0;
}

static int come_and_go(void *arg)
{
    enum { CLIENTS = 12 };

    (void)arg;
    for (int local = 0; local < 2; local++) {
        struct server s = {.rounds = test_scale(300) + 10};
        test_side     clients[CLIENTS], acceptors[2];
        s.listener = local ? test_unix_listener(&s.address, &s.size, 128) : test_listener(&s.address, &s.size, 128);
        for (int i = 0; i < 2; i++) test_side_start(&acceptors[i], false, accept_all, &s);
        for (int i = 0; i < CLIENTS; i++) test_side_start(&clients[i], i % 6 == 0, be_client, &s);
        for (int i = 0; i < CLIENTS; i++) task_check(test_side_end(&clients[i]) == 0);
        task_until(atomic_load(&s.served) == CLIENTS * s.rounds);
        task_check(weft_close(s.listener) == 0);
        for (int i = 0; i < 2; i++) task_check(test_side_end(&acceptors[i]) == 0);
    }
    return 0;
}

static void connections_come_and_go(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(come_and_go, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_arrives_once),
        cmocka_unit_test(cancelling_loses_nothing),
        cmocka_unit_test(closing_ends_every_wait),
        cmocka_unit_test(connections_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
