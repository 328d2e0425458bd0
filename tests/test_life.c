/* test_life.c - a number from its opening to its closing, whoever has it next */
#include "support_io.h"

#include "descriptor.h"
#include "order.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#if defined(__has_include) && __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#endif
#include <linux/magic.h>

#define HOUR (3600 * WEFT_SEC)

static void close_both(int ends[2])
{
    task_check(weft_close(ends[0]) == 0);
    task_check(weft_close(ends[1]) == 0);
}

/* ---- opening ------------------------------------------------------------------ */

static int open_files(void *arg)
{
    char directory[] = "/tmp/weft_test_XXXXXX", path[64];

    (void)arg;
    if (!mkdtemp(directory)) abort();
    snprintf(path, sizeof path, "%s/file", directory);
    task_check(weft_open(path, O_RDONLY, 0) == -ENOENT);
    int         fd = weft_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    struct stat status;
    task_check(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) && (fcntl(fd, F_GETFL) & O_NONBLOCK));
    task_check(fstat(fd, &status) == 0 && (status.st_mode & 0777) == 0600);
    task_check(weft_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600) == -EEXIST);
    task_check(weft_write(fd, "weft", 4, WEFT_NEVER) == 4);
    task_check(weft_close(fd) == 0);
    task_check(unlink(path) == 0 && rmdir(directory) == 0);
    return 0;
}

static void what_is_opened_is_the_programs_own(void **state)
{
    (void)state;
    assert_everywhere(open_files, NULL);
}

/* A directory of its own, and a name in it. */
struct place {
    char directory[32], path[64];
};

static void place_make(struct place *place)
{
    *place = (struct place){.directory = "/tmp/weft_test_XXXXXX"};
    if (!mkdtemp(place->directory)) abort();
    snprintf(place->path, sizeof place->path, "%s/it", place->directory);
}

static void place_remove(struct place *place)
{
    task_check(unlink(place->path) == 0 && rmdir(place->directory) == 0);
}

/* Whether the system opens by names in its cache alone, and what it has there asks nobody. */
static bool opens_at_once(const char *path)
{
#ifdef RESOLVE_CACHED
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_CACHED};
    struct statfs   system;
    int             fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (fd >= 0) close(fd);
    return fd >= 0 && statfs(path, &system) == 0 && !TEST_CHAOS && !ORDER_PRECISE &&
           (system.f_type == EXT4_SUPER_MAGIC || system.f_type == TMPFS_MAGIC ||
            system.f_type == OVERLAYFS_SUPER_MAGIC);
#else
    (void)path;
    return false;
#endif
}

static int set(void *flag)
{
    *(bool *)flag = true;
    return 0;
}

/* A file whose name has been used a moment ago is opened without waiting, and has the lowest number; the process's
 * locks on it are as before. */
static int open_cached(void *arg)
{
    struct place place;
    struct flock lock = {.l_type = F_WRLCK}, seen = {.l_type = F_WRLCK};
    bool         ran = false;
    weft_task    other;

    (void)arg;
    place_make(&place);
    int  owner = open(place.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), lowest = dup(owner), highest = dup(owner);
    bool at_once = opens_at_once(place.path);
    task_check(owner >= 0 && close(lowest) == 0);
    task_check(fcntl(owner, F_SETLK, &lock) == 0); /* to close any of its descriptors lets go of it */

    weft_spawn(&other, set, &ran);
    int fd = weft_open(place.path, O_RDONLY, 0);
    task_check(fd == lowest);
    task_check(!ran || !at_once);
    weft_await(&other);
    task_check((fcntl(fd, F_GETFD) & FD_CLOEXEC) && (fcntl(fd, F_GETFL) & O_NONBLOCK));
    task_check(fcntl(fd, F_OFD_GETLK, &seen) == 0 && seen.l_type == F_WRLCK && seen.l_pid == getpid());

    char byte;
    task_check(weft_read(fd, &byte, 1, WEFT_NEVER) == 0);
    task_check(weft_write(fd, "x", 1, WEFT_NEVER) == -EBADF);
    task_check(weft_open(place.path, O_RDONLY | O_DIRECTORY, 0) == -ENOTDIR);
    task_check(weft_close(fd) == 0 && close(highest) == 0 && close(owner) == 0);
    place_remove(&place);
    return 0;
}

static void file_in_the_cache_is_opened_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) test_run(open_cached, NULL, WEFT_OPTIONS(.workers = 1));
}

/* ---- opening a named pipe ------------------------------------------------------ */

struct pipe_reader {
    const char *path;
    int         fd;
    atomic_bool opened;
};

static int read_pipe(void *arg)
{
    struct pipe_reader *reader = arg;
    char                byte = 0;
    reader->fd = weft_open(reader->path, O_RDONLY, 0);
    atomic_store(&reader->opened, true);
    task_check(reader->fd >= 0);
    task_check(weft_read(reader->fd, &byte, 1, WEFT_NEVER) == 1 && byte == 'x');
    task_check(weft_close(reader->fd) == 0);
    return 0;
}

/* Its opening waits for who is to write to it, by whatever name; others run meanwhile. */
static int open_pipe(void *arg)
{
    struct place place;
    char         link[72];
    int          writer;

    (void)arg;
    place_make(&place);
    snprintf(link, sizeof link, "%s/link", place.directory);
    if (mkfifo(place.path, 0600) != 0 || symlink(place.path, link) != 0) abort();
    for (int i = 0; i < 2; i++) {
        struct pipe_reader reader = {.path = i ? link : place.path};
        weft_task          task;
        weft_spawn(&task, read_pipe, &reader);
        test_let_run();
        task_check(!atomic_load(&reader.opened));
        task_until((writer = open(place.path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) >= 0);
        task_check(write(writer, "x", 1) == 1);
        weft_await(&task);
        task_check(close(writer) == 0);
    }
    task_check(unlink(link) == 0);
    place_remove(&place);
    return 0;
}

static void opening_a_pipe_waits_for_the_other_end(void **state)
{
    (void)state;
    assert_in_tasks(open_pipe, NULL);
}

static uint64_t waits_so_far(void)
{
    struct weft_stats stats = {.size = sizeof stats};

    return weft_stats(&stats) == 0 ? stats.io_waits : 0;
}

/* A number is opened anew after close(2), which tells nobody: what was known of it, as that all of a stream has been
 * read, does not hold. */
static int open_known_number(void *arg)
{
    char bytes[16];

    (void)arg;
    for (enum test_link was = 0; was < TEST_LINKS; was++) {
        int ends[2];
        test_link_make(ends, was);
        struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
        test_call_begin(&reader, false);
        task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
        task_check(test_call_end(&reader) == 1);
        close(ends[0]);
        int fds[8], count = 0;
        do fds[count] = weft_open("/dev/zero", O_RDONLY, 0); /* the lowest that is free */
        while (fds[count++] != ends[0] && count < (int)TEST_LENGTH(fds));
        task_check(fds[count - 1] == ends[0]);
        uint64_t waits = waits_so_far();
        task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == sizeof bytes);
        task_check(waits_so_far() == waits);
        while (count > 0) task_check(weft_close(fds[--count]) == 0);
        task_check(weft_close(ends[1]) == 0);
    }
    return 0;
}

static void number_opened_anew_is_told(void **state)
{
    (void)state;
    assert_everywhere(open_known_number, NULL);
}

/* ---- closing ------------------------------------------------------------------ */

static int close_under_waiters(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        int  ends[2];
        char bytes[3][16];
        test_link_make(ends, link);
        struct test_call in[4] = {
            {.fd = ends[0], .bytes = bytes[0], .size = 16, .deadline = WEFT_NEVER},
            {.fd = ends[0], .bytes = bytes[1], .size = 16, .deadline = WEFT_NEVER, .full = true},
            {.fd = ends[0], .bytes = bytes[2], .size = 16, .deadline = test_now() + HOUR}, /* a thread's clock */
            {.fd = ends[0], .events = POLLIN, .deadline = WEFT_NEVER},
        };
        for (int i = 0; i < 4; i++) test_call_begin(&in[i], i == 2);
        task_check(weft_close(ends[0]) == 0);
        for (int i = 0; i < 4; i++) task_check(test_call_end(&in[i]) == -EBADF);
        task_check(weft_close(ends[1]) == 0);

        static char much[1 << 23];
        if (link == TEST_DATAGRAM || link == TEST_PACKET) continue;
        test_link_make(ends, link);
        test_fill(ends[1]);
        struct test_call out[3] = {
            {.fd = ends[1], .bytes = much, .size = sizeof much, .deadline = WEFT_NEVER, .writes = true, .full = true},
            {.fd = ends[1],
             .bytes = much,
             .size = sizeof much,
             .deadline = test_now() + HOUR,
             .writes = true,
             .full = true},
            {.fd = ends[1], .events = POLLOUT, .deadline = WEFT_NEVER},
        };
        for (int i = 0; i < 3; i++) test_call_begin(&out[i], i == 1);
        task_check(weft_close(ends[1]) == 0);
        task_check(test_call_end(&out[0]) == -EBADF);
        task_check(test_call_end(&out[1]) == -EBADF);
        /* A terminal may say that there is room when there is a little. */
        task_check(test_call_end(&out[2]) == -EBADF || (link == TEST_TTY && out[2].result == POLLOUT));
        task_check(weft_close(ends[0]) == 0);
    }
    return 0;
}

static void closing_wakes_who_waits(void **state)
{
    (void)state;
    assert_everywhere(close_under_waiters, NULL);
}

/* Two are woken by one report.  The first closes the descriptor, and somebody else gets the number, with data in it:
 * which the second is not to take, though it was woken to read. */
struct succession {
    int  ends[2], others[2];
    bool closed;
};

static int close_when_readable(void *arg)
{
    struct succession *s = arg;

    int ready = weft_poll(s->ends[0], POLLIN, WEFT_NEVER);
    task_check(ready == POLLIN || ready == -EBADF);
    task_check(weft_close(s->ends[0]) == 0);
    test_take_number(s->others[0], s->ends[0]);
    s->closed = true;
    return 0;
}

static int succeed(void *arg)
{
    (void)arg;
    for (int polls = 0; polls < 2; polls++) {
        struct succession s = {.closed = false};
        char              bytes[16] = "";
        test_side         side;
        test_link_make(s.ends, TEST_TCP);
        test_link_make(s.others, TEST_TCP);
        task_check(weft_write(s.others[1], "other", 5, WEFT_NEVER) == 5);
        test_side_start(&side, false, close_when_readable, &s);
        test_let_run();
        struct test_call reader = {.fd = s.ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
        if (polls) reader.events = POLLIN;
        test_call_begin(&reader, false);
        task_check(write(s.ends[1], "x", 1) == 1);
        task_check(test_side_end(&side) == 0);
        ssize_t result = test_call_end(&reader);
        task_check(result == -EBADF || (polls ? result == POLLIN : result == 1 && bytes[0] == 'x'));
        if (polls && weft_worker_count() == 1) task_check(result == -EBADF);
        task_check(weft_read(s.ends[0], bytes, sizeof bytes, WEFT_NEVER) == 5);
        close_both(s.ends);
        task_check(weft_close(s.others[1]) == 0);
    }
    return 0;
}

static void who_was_woken_takes_nothing_of_the_next(void **state)
{
    (void)state;
    assert_int_equal(test_run(succeed, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(succeed, NULL, WEFT_OPTIONS(.one_root = true)), 0);
}

/* A call that is several of the system's may let others run in between, or not: what it has begun with one descriptor
 * it does not end with another. */
static int close_half_way(void *arg)
{
    enum { COUNT = 150 };
    int              ends[2], others[2], left = 0;
    char             bytes[COUNT], first;
    struct test_call reader = {.bytes = bytes, .size = COUNT, .deadline = WEFT_NEVER, .full = true};

    (void)arg;
    test_datagrams_make(ends);
    test_datagrams_make(others);
    for (int i = 0; i < COUNT; i++) {
        task_check(send(ends[1], i == 0 ? "1" : "x", 1, 0) == 1);
        task_check(send(others[1], "o", 1, 0) == 1);
    }
    reader.fd = ends[0];
    test_call_start(&reader, false);
    task_until(recv(ends[0], &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1 || first != '1');
    task_check(weft_close(ends[0]) == 0);
    test_take_number(others[0], ends[0]);
    ssize_t result = test_call_end(&reader);
    task_check(result == -EBADF || result == COUNT);
    while (recv(ends[0], bytes, 1, MSG_DONTWAIT) == 1) left++;
    task_check(left == COUNT);
    close_both(ends);
    task_check(weft_close(others[1]) == 0);
    return 0;
}

static void half_a_call_takes_nothing_of_the_next(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) assert_everywhere(close_half_way, NULL);
}

/* The next of a number waits anew, whatever was known of the last. */
static int use_again(void *arg)
{
    char bytes[16];

    (void)arg;
    for (enum test_link was = 0; was < TEST_LINKS; was++) {
        for (enum test_link is = 0; is < TEST_LINKS; is++) {
            for (int told = 0; told < 2; told++) {
                int old[2], fresh[2];
                test_link_make(old, was);
                struct test_call reader = {.fd = old[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
                test_call_begin(&reader, false);
                task_check(weft_write(old[1], "old", 3, WEFT_NEVER) == 3);
                task_check(test_call_end(&reader) == 3);
                test_link_make(fresh, is);
                if (told) task_check(weft_close(old[0]) == 0);
                else if (is % 2) close(old[0]); /* else it is replaced while it is open */
                test_take_number(fresh[0], old[0]);
                fresh[0] = old[0];
                reader.fd = fresh[0];
                test_call_begin(&reader, false);
                task_check(weft_write(fresh[1], "fresh", 5, WEFT_NEVER) == 5);
                task_check(test_call_end(&reader) == 5);
                task_check(memcmp(bytes, "fresh", 5) == 0);
                task_check(weft_close(old[1]) == 0);
                close_both(fresh);
            }
        }
    }
    return 0;
}

static void number_used_again_is_waited_for(void **state)
{
    (void)state;
    assert_everywhere(use_again, NULL);
}

/* Nor is a wait taken for one before it that was looked after, and gave up, though nothing was reported in between. */
static int give_up_before(void *arg)
{
    int  old[2], fresh[2];
    char byte;

    (void)arg;
    test_link_make(old, TEST_TCP);
    task_check(weft_read(old[0], &byte, 1, test_now() + 200 * WEFT_MS) == -ETIMEDOUT);
    test_link_make(fresh, TEST_TCP);
    close(old[0]);
    test_take_number(fresh[0], old[0]);
    fresh[0] = old[0];
    struct test_call reader = {.fd = fresh[0], .bytes = &byte, .size = 1, .deadline = WEFT_NEVER};
    test_call_begin(&reader, false);
    task_check(weft_write(fresh[1], "x", 1, WEFT_NEVER) == 1);
    task_check(test_call_end(&reader) == 1);
    task_check(weft_close(old[1]) == 0);
    close_both(fresh);
    return 0;
}

static void number_used_again_is_waited_for_after_giving_up(void **state)
{
    (void)state;
    assert_int_equal(test_run(give_up_before, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* Of a number that has been waited for often no more is asked than at a few of its waits: one that has not asked
 * learns of what came when it is given up, at the latest. */
static int wait_often(void *arg)
{
    int               *ends = arg;
    char               byte;
    struct test_call   reader = {.fd = ends[0], .bytes = &byte, .size = 1, .deadline = WEFT_NEVER};
    struct descriptor *d = descriptor_get(ends[0]);

    store_relaxed(&d->sure, 0); /* whatever became of the number in other tests */
    for (int i = 0; i < 50; i++) {
        test_call_begin(&reader, false);
        task_until(!wait_empty(&d->waiting[DESCRIPTOR_IN]));
        task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
        task_check(test_call_end(&reader) == 1);
    }
    return 0;
}

static int read_one(void *fd)
{
    char byte;
    return (int)weft_read(*(int *)fd, &byte, 1, WEFT_NEVER);
}

static int give_up_after(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        int       old[2], fresh[2];
        weft_task reader;
        test_link_make(old, link);
        struct descriptor *d = descriptor_get(old[0]);
        wait_often(old);
        test_link_make(fresh, link);
        close(old[0]);
        test_take_number(fresh[0], old[0]);
        fresh[0] = old[0];
        weft_spawn(&reader, read_one, &fresh[0]);
        task_until(!wait_empty(&d->waiting[DESCRIPTOR_IN]));
        task_check(weft_write(fresh[1], "x", 1, WEFT_NEVER) == 1);
        weft_cancel(&reader);
        task_check(weft_await(&reader) == 1);
        task_check(weft_close(old[1]) == 0);
        close_both(fresh);
    }
    return 0;
}

static void who_gives_up_has_missed_nothing(void **state)
{
    (void)state;
    assert_int_equal(test_run(give_up_after, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* Two runtimes have it registered, which says nothing of who has the number next.  One waits for that, then the other,
 * which soon gives up and ends: the first is not forgotten. */
static int wait_a_little(void *arg)
{
    char byte;
    task_check(weft_read(*(int *)arg, &byte, 1, test_now() + WEFT_MS) == -ETIMEDOUT);
    return 0;
}

struct patient {
    int         fd;
    atomic_bool ended;
};

static int wait_for_byte(void *arg)
{
    struct patient *p = *(struct patient **)arg;
    char            byte;
    task_check(weft_read(p->fd, &byte, 1, WEFT_NEVER) == 1 && byte == 'x');
    atomic_store(&p->ended, true);
    return 0;
}

static void runtimes_look_after_their_own_waits(void **state)
{
    (void)state;
    weft_runtime *runtimes[2];
    int           ends[2], fresh[2];
    test_link_make(ends, TEST_TCP);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weft_runtime_start(&runtimes[i], WEFT_OPTIONS(.workers = 1)), 0);
        assert_int_equal(weft_runtime_call(runtimes[i], wait_a_little, &ends[0]), 0);
    }
    test_link_make(fresh, TEST_TCP);
    close(ends[0]);
    test_take_number(fresh[0], ends[0]);
    struct patient     p = {.fd = ends[0]}, *patient = &p;
    struct descriptor *d = descriptor_get(p.fd);
    assert_int_equal(weft_runtime_go(runtimes[1], wait_for_byte, &patient, sizeof patient), 0);
    task_until(!wait_empty(&d->waiting[DESCRIPTOR_IN]));
    assert_int_equal(weft_runtime_call(runtimes[0], wait_a_little, &ends[0]), 0);
    assert_int_equal(weft_runtime_stop(runtimes[0]), 0);
    assert_int_equal(write(fresh[1], "x", 1), 1);
    task_until(atomic_load(&p.ended));
    assert_task_checks();
    assert_int_equal(weft_runtime_stop(runtimes[1]), 0);
    assert_int_equal(weft_close(ends[0]), 0);
    close(ends[1]);
    close(fresh[1]);
}

/* Closed by close(2), when nobody waited, and not used again: after a read that took all there was, too. */
static int use_closed(void *arg)
{
    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        int  ends[2];
        char bytes[16];
        test_link_make(ends, link);
        struct test_call reader = {.fd = ends[0], .bytes = bytes, .size = sizeof bytes, .deadline = WEFT_NEVER};
        test_call_begin(&reader, false);
        task_check(weft_write(ends[1], "x", 1, WEFT_NEVER) == 1);
        task_check(test_call_end(&reader) == 1);
        close(ends[0]);
        task_check(weft_read(ends[0], bytes, sizeof bytes, WEFT_NEVER) == -EBADF);
        task_check(weft_close(ends[1]) == 0);
    }
    return 0;
}

/* Nothing, too, is not read from nothing. */
static int read_nothing(void *arg)
{
    int  ends[2];
    char byte;

    (void)arg;
    for (enum test_link link = 0; link < TEST_LINKS; link++) {
        test_link_make(ends, link);
        task_check(weft_read(ends[0], &byte, 0, WEFT_NEVER) == 0);
        close(ends[0]);
        task_check(weft_read(ends[0], &byte, 0, WEFT_NEVER) == -EBADF);
        task_check(weft_close(ends[1]) == 0);
    }
    return 0;
}

static void closed_number_is_bad(void **state)
{
    (void)state;
    assert_everywhere(use_closed, NULL);
    assert_everywhere(read_nothing, NULL);
}

/* ---- lingering ------------------------------------------------------------------------ */

/* Closes a socket whose peer takes nothing, so that it lingers.  Until the peer is gone nothing else ends it. */
struct lingering {
    int         fd;
    atomic_bool ended;
};

static int close_it(void *arg)
{
    struct lingering *l = arg;
    int               result = weft_close(l->fd);

    atomic_store(&l->ended, true);
    return result;
}

static int close_lingering(void *arg)
{
    struct linger    linger = {.l_onoff = 1, .l_linger = 600};
    struct lingering l = {.ended = false};
    weft_task        task;
    int              ends[2];

    (void)arg;
    test_link_make(ends, TEST_TCP);
    l.fd = ends[1];
    task_check(setsockopt(l.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    test_fill(l.fd);
    weft_spawn(&task, close_it, &l);
    /* Others run meanwhile, on this very worker; the number is free, and there is a thread that waits. */
    task_until(fcntl(l.fd, F_GETFD) < 0);
    for (int i = 0; i < 100; i++) task_check(weft_sleep(weft_now() + WEFT_MS / 10) == 0);
    struct weft_stats stats = {.size = sizeof stats};
    task_check(weft_stats(&stats) == 0 && stats.blocking_calls == 1);
    task_check(!atomic_load(&l.ended));
    close(ends[0]); /* which resets the connection: nothing can be sent any more */
    task_check(weft_await(&task) == 0);
    return 0;
}

/* Without data, or without patience, there is nothing to wait for; nor for what is no socket. */
static int close_at_once(void *arg)
{
    static const struct linger lingers[] = {{0, 0}, {1, 0}, {0, 600}};
    struct weft_stats          before = {.size = sizeof before}, after = {.size = sizeof after};
    int                        ends[2];

    (void)arg;
    task_check(weft_stats(&before) == 0);
    for (size_t i = 0; i < TEST_LENGTH(lingers); i++) {
        test_link_make(ends, TEST_TCP);
        task_check(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &lingers[i], sizeof lingers[i]) == 0);
        test_fill(ends[1]);
        task_check(weft_close(ends[1]) == 0 && weft_close(ends[0]) == 0);
    }
    for (int link = 0; link < TEST_LINKS; link++) {
        test_link_make(ends, (enum test_link)link);
        task_check(weft_close(ends[1]) == 0 && weft_close(ends[0]) == 0);
    }
    task_check(weft_stats(&after) == 0 && after.blocking_calls == before.blocking_calls);
    task_check(weft_close(ends[0]) == -EBADF);
    return 0;
}

static void who_lingers_keeps_no_worker(void **state)
{
    (void)state;
    assert_int_equal(test_run(close_lingering, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(close_lingering, NULL, WEFT_OPTIONS(.one_root = true)), 0);
    assert_in_tasks(close_at_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_opened_is_the_programs_own),
        cmocka_unit_test(file_in_the_cache_is_opened_at_once),
        cmocka_unit_test(opening_a_pipe_waits_for_the_other_end),
        cmocka_unit_test(number_opened_anew_is_told),
        cmocka_unit_test(closing_wakes_who_waits),
        cmocka_unit_test(who_was_woken_takes_nothing_of_the_next),
        cmocka_unit_test(half_a_call_takes_nothing_of_the_next),
        cmocka_unit_test(number_used_again_is_waited_for),
        cmocka_unit_test(number_used_again_is_waited_for_after_giving_up),
        cmocka_unit_test(who_gives_up_has_missed_nothing),
        cmocka_unit_test(runtimes_look_after_their_own_waits),
        cmocka_unit_test(closed_number_is_bad),
        cmocka_unit_test(who_lingers_keeps_no_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
