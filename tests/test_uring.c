/* test_uring.c - requests that the system carries out, and doing without where it does not
 *
 * Whether there is an io_uring here a system call tells that has nothing to do with the library.  How the library
 * goes without is tested in processes of their own, to which the system refuses it.
 */
#include "support_io.h"

#include "uring.h"
#include "worker.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BLOCK = 4096, BLOCKS = 64 };

static bool there_is_one(void)
{
    struct io_uring_params p = {0};
    const char            *io = getenv("WEFT_IO");
    int                    fd = (int)syscall(SYS_io_uring_setup, 4, &p);
    if (fd >= 0) close(fd);
    return fd >= 0 && !(io && strcmp(io, "epoll") == 0);
}

/* BLOCKS blocks, of each of which every byte says which it is. */
static int numbered_file(void)
{
    char block[BLOCK];
    int  fd = test_file();
    for (int i = 0; i < BLOCKS; i++) {
        memset(block, i, sizeof block);
        task_check(pwrite(fd, block, BLOCK, (off_t)i * BLOCK) == BLOCK);
    }
    task_check(fsync(fd) == 0);
    return fd;
}

static bool is_block(const char *bytes, int i)
{
    return bytes[0] == i && memcmp(bytes, bytes + 1, BLOCK - 1) == 0;
}

/* Whether the page cache has forgotten the whole file.  To try to read it would bring it back. */
static bool forget(int fd)
{
    unsigned char there[BLOCKS];
    bool          any = true;
    void         *at = mmap(NULL, (size_t)BLOCKS * BLOCK, PROT_READ, MAP_SHARED, fd, 0);
    task_check(at != MAP_FAILED);
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* else the first read would bring all of it */
    for (int tries = 0; any && tries < 100; tries++) {
        any = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0 || mincore(at, (size_t)BLOCKS * BLOCK, there) != 0;
        for (int i = 0; i < BLOCKS; i++) any |= there[i] & 1;
    }
    munmap(at, (size_t)BLOCKS * BLOCK);
    return !any;
}

static struct weft_stats stats_now(void)
{
    struct weft_stats s = {.size = sizeof s};
    task_check(weft_stats(&s) == 0);
    return s;
}

/* ---- requests ---------------------------------------------------------------- */

static atomic_int given, taken;

static void note_taken(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static ssize_t request(int fd, bool out, void *bytes, size_t size, uint64_t offset)
{
    struct uring_request r = {.fd = fd, .out = out, .bytes = bytes, .size = size, .offset = offset};
    atomic_fetch_add(&given, 1);
    return uring_call(&r, note_taken, &taken);
}

static int make_requests(void *arg)
{
    (void)arg;
    bool usable = uring_usable(worker_self());
    task_check(usable == (there_is_one() && !worker_self()->choice.seeded));
    if (!usable) return 0;
    char  bytes[100];
    int   fd = test_file();
    char *block = test_exact_copy("sixteen letters", 16);
    task_check(request(fd, true, block, 16, 1000) == 16);
    task_check(request(fd, false, bytes, sizeof bytes, 1008) == 8);
    task_check(memcmp(bytes, "letters", 8) == 0);
    task_check(request(fd, false, bytes, sizeof bytes, 1016) == 0);
    task_check(request(fd, false, bytes, 0, 0) == 0);
    task_check(lseek(fd, 0, SEEK_CUR) == 0);
    task_until(atomic_load(&taken) == atomic_load(&given));
    close(fd);
    task_check(request(fd, false, bytes, sizeof bytes, 0) == -EBADF);
    free(block);
    return 0;
}

static void requests_are_carried_out(void **state)
{
    (void)state;
    assert_in_tasks(make_requests, NULL);
}

struct reader {
    int     fd, number;
    bool    writes;
    ssize_t result;
    char   *bytes;
};

static int request_block(void *arg)
{
    struct reader *r = arg;
    r->result = request(r->fd, r->writes, r->bytes, BLOCK, (uint64_t)(r->number % BLOCKS) * BLOCK);
    return 0;
}

/* More than there is room for: each is carried out, or refused. */
static int make_many(void *arg)
{
    (void)arg;
    if (!uring_usable(worker_self())) return 0;
    size_t         count = test_stacks(1000), done = 0;
    int            fd = numbered_file();
    weft_task     *tasks = calloc(count, sizeof *tasks);
    struct reader *readers = calloc(count, sizeof *readers);
    for (size_t i = 0; i < count; i++) {
        readers[i] = (struct reader){.fd = fd, .number = (int)i, .bytes = malloc(BLOCK)};
        weft_spawn(&tasks[i], request_block, &readers[i]);
    }
    for (size_t i = count; i-- > 0;) weft_await(&tasks[i]);
    for (size_t i = 0; i < count; i++) {
        if (readers[i].result != -EAGAIN) {
            task_check(readers[i].result == BLOCK && is_block(readers[i].bytes, (int)(i % BLOCKS)));
            done++;
        }
        free(readers[i].bytes);
    }
    task_check(done > 0);
    task_check(load_relaxed(&worker_self()->runtime->blocking_calls) == 0);
    task_check(request(fd, false, readers, 1, 0) == 1); /* what was refused has left its room behind */
    free(readers);
    free(tasks);
    task_check(weft_close(fd) == 0);
    return 0;
}

static void requests_beyond_the_room_are_refused(void **state)
{
    (void)state;
    assert_in_tasks(make_many, NULL);
}

/* ---- files by the calls -------------------------------------------------------- */

static int read_offset(void *arg)
{
    struct reader *r = arg;
    off_t          at = (off_t)r->number * BLOCK;
    r->result = r->writes ? weft_pwrite(r->fd, r->bytes, BLOCK, at, 0) : weft_pread(r->fd, r->bytes, BLOCK, at, 0);
    return 0;
}

static void in_parallel(struct reader *readers, weft_fn *fn)
{
    weft_task tasks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) weft_spawn(&tasks[i], fn, &readers[i]);
    for (int i = BLOCKS; i-- > 0;) weft_await(&tasks[i]);
}

static void make_readers(struct reader *readers, int fd)
{
    for (int i = 0; i < BLOCKS; i++) readers[i] = (struct reader){.fd = fd, .number = i, .bytes = malloc(BLOCK)};
}

static void free_readers(struct reader *readers)
{
    for (int i = 0; i < BLOCKS; i++) free(readers[i].bytes);
}

/* No thread does what the system does itself. */
static int use_offsets(void *arg)
{
    (void)arg;
    struct reader readers[BLOCKS];
    bool          usable = uring_usable(worker_self());
    int           fd = numbered_file();
    make_readers(readers, fd);
    bool              forgotten = forget(fd);
    struct weft_stats before = stats_now();
    in_parallel(readers, read_offset);
    struct weft_stats after = stats_now();
    for (int i = 0; i < BLOCKS; i++) {
        task_check(readers[i].result == BLOCK && is_block(readers[i].bytes, i));
        memset(readers[i].bytes, i + 100, BLOCK);
        readers[i].writes = true;
    }
    task_check(after.blocking_calls == before.blocking_calls || !usable);
    if (usable && forgotten) task_check(after.io_waits > before.io_waits);
    in_parallel(readers, read_offset);
    task_check(stats_now().blocking_calls == before.blocking_calls || !usable);
    for (int i = 0; i < BLOCKS; i++) {
        task_check(readers[i].result == BLOCK);
        memset(readers[i].bytes, 0, BLOCK);
        task_check(pread(fd, readers[i].bytes, BLOCK, (off_t)i * BLOCK) == BLOCK);
        task_check(is_block(readers[i].bytes, i + 100 > 127 ? i + 100 - 256 : i + 100));
    }
    task_check(weft_pread(fd, readers[0].bytes, BLOCK, (off_t)BLOCKS * BLOCK, 0) == 0);
    free_readers(readers);
    task_check(weft_close(fd) == 0);
    return 0;
}

static void offsets_take_no_thread(void **state)
{
    (void)state;
    assert_in_tasks(use_offsets, NULL);
}

static int read_next(void *arg)
{
    struct reader *r = arg;
    size_t         got = 0;
    while (got < 1 && (r->result = weft_read(r->fd, r->bytes, BLOCK, WEFT_NEVER)) > 0) got += (size_t)r->result;
    return 0;
}

/* Readers that share the position share the file: each block is read once. */
static int use_position(void *arg)
{
    (void)arg;
    struct reader readers[BLOCKS];
    int           fd = numbered_file(), seen[BLOCKS] = {0};
    make_readers(readers, fd);
    bool              usable = uring_usable(worker_self()), forgotten = forget(fd);
    struct weft_stats before = stats_now();
    in_parallel(readers, read_next);
    if (usable && forgotten) task_check(stats_now().io_waits > before.io_waits);
    for (int i = 0; i < BLOCKS; i++) {
        int which = readers[i].bytes[0];
        task_check(readers[i].result == BLOCK && which >= 0 && which < BLOCKS && is_block(readers[i].bytes, which));
        if (which >= 0 && which < BLOCKS) seen[which]++;
    }
    for (int i = 0; i < BLOCKS; i++) task_check(seen[i] == 1);
    task_check(weft_read(fd, readers[0].bytes, BLOCK, WEFT_NEVER) == 0);
    free_readers(readers);
    task_check(weft_close(fd) == 0);
    return 0;
}

static void position_is_shared(void **state)
{
    (void)state;
    for (size_t i = 0; i < test_scale(20); i++) assert_in_tasks(use_position, NULL);
}

static int write_next(void *arg)
{
    struct reader *r = arg;
    r->result = weft_write(r->fd, r->bytes, BLOCK, WEFT_NEVER);
    return 0;
}

/* And writers: none writes where another does. */
static int write_position(void *arg)
{
    (void)arg;
    struct reader readers[BLOCKS];
    char          block[BLOCK];
    int           fd = test_file(), seen[BLOCKS] = {0};
    make_readers(readers, fd);
    for (int i = 0; i < BLOCKS; i++) memset(readers[i].bytes, i, BLOCK);
    in_parallel(readers, write_next);
    for (int i = 0; i < BLOCKS; i++) {
        task_check(readers[i].result == BLOCK);
        task_check(pread(fd, block, BLOCK, (off_t)i * BLOCK) == BLOCK);
        task_check(block[0] >= 0 && block[0] < BLOCKS && is_block(block, block[0]));
        if (block[0] >= 0 && block[0] < BLOCKS) seen[(int)block[0]]++;
    }
    for (int i = 0; i < BLOCKS; i++) task_check(seen[i] == 1);
    task_check(lseek(fd, 0, SEEK_END) == (off_t)BLOCKS * BLOCK);
    free_readers(readers);
    task_check(weft_close(fd) == 0);
    return 0;
}

static void position_is_shared_by_writers(void **state)
{
    (void)state;
    for (size_t i = 0; i < test_scale(20); i++) assert_in_tasks(write_position, NULL);
}

/* What was begun in one life of the number goes on in it. */
static int close_meanwhile(void *arg)
{
    (void)arg;
    struct reader readers[BLOCKS];
    weft_task     tasks[BLOCKS];
    uring_usable(worker_self()); /* so that its own number is not the one that is given back */
    int fd = numbered_file(), other = test_file();
    make_readers(readers, fd);
    forget(fd);
    for (int i = 0; i < BLOCKS; i++) weft_spawn(&tasks[i], read_offset, &readers[i]);
    test_let_run();
    task_check(weft_close(fd) == 0);
    task_check(dup(other) >= 0); /* most likely the same number, of an empty file */
    for (int i = BLOCKS; i-- > 0;) weft_await(&tasks[i]);
    for (int i = 0; i < BLOCKS; i++) {
        ssize_t n = readers[i].result; /* 0: it began later, with the empty one */
        task_check(n == -EBADF || n == 0 || (n == BLOCK && is_block(readers[i].bytes, i)));
    }
    free_readers(readers);
    close(other);
    if (fcntl(fd, F_GETFD) >= 0) task_check(weft_close(fd) == 0);
    return 0;
}

static void closing_meanwhile_harms_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < test_scale(20); i++) assert_in_tasks(close_meanwhile, NULL);
}

static int read_all_cancelled(void *arg)
{
    weft_scope scope;
    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_scope_cancel(&scope);
    struct reader *r = arg;
    for (r->number = 0; r->number < BLOCKS; r->number++) {
        read_offset(r);
        task_check(r->result == BLOCK && is_block(r->bytes, r->number));
    }
    weft_scope_close(&scope);
    return 0;
}

/* A file is always ready: who is cancelled gets what is asked for, and its buffer is its own again when it goes on. */
static int use_cancelled(void *arg)
{
    (void)arg;
    struct reader r = {.fd = numbered_file(), .bytes = malloc(BLOCK)};
    forget(r.fd);
    read_all_cancelled(&r);
    free(r.bytes);
    task_check(weft_close(r.fd) == 0);
    return 0;
}

static void cancelling_ends_no_request(void **state)
{
    (void)state;
    assert_in_tasks(use_cancelled, NULL);
}

/* ---- what is left -------------------------------------------------------------- */

static int make_one(void *arg)
{
    (void)arg;
    char byte = 'x';
    int  fd = test_file();
    if (uring_usable(worker_self())) task_check(request(fd, true, &byte, 1, 0) == 1);
    close(fd);
    return 0;
}

static void nothing_is_left(void **state)
{
    (void)state;
    struct test_census before, after;

    assert_int_equal(test_run_workers(make_one, NULL), 0);
    test_census(&before);
    for (int i = 0; i < 10; i++) assert_int_equal(test_run_workers(make_one, NULL), 0);
    assert_threads_end_at(before.threads);
    test_census(&after);
    assert_int_equal(after.descriptors, before.descriptors);
    assert_true(after.mappings <= before.mappings + 5);
}

/* The threads that the system has started for its requests make nothing happen. */
static int deadlock(void *arg)
{
    (void)arg;
    char block[BLOCK] = {0};
    int  fd = test_file();
    for (int i = 0; i < 10; i++)
        if (weft_pwrite(fd, block, BLOCK, (off_t)i * BLOCK, 0) != BLOCK) return 1;
    if (weft_close(fd) != 0) return 2;
    return weft_sleep(WEFT_NEVER) == -EDEADLK ? 0 : 3;
}

static int part_deadlock(void)
{
    return weft_run(deadlock, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static void deadlock_is_told_still(void **state)
{
    (void)state;
    struct test_child child;
    test_child_run(&child, "deadlock");
    assert_int_equal(child.status, 0);
    assert_non_null(strstr(child.text, "deadlock"));
}

/* ---- doing without --------------------------------------------------------------- */

/* From here on io_uring_setup has this error. */
static int refuse(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = TEST_LENGTH(filter), .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int go_without(void *arg)
{
    (void)arg;
    task_check(!uring_usable(worker_self()));
    use_offsets(NULL);
    use_position(NULL);
    close_meanwhile(NULL);
    return 0;
}

static int without(void)
{
    test_run_workers(go_without, NULL);
    return 0;
}

static int part_no_system(void)
{
    return refuse(ENOSYS) ? 9 : without();
}

static int part_no_permission(void)
{
    return refuse(EPERM) ? 9 : without();
}

static int part_no_wish(void)
{
    setenv("WEFT_IO", "epoll", 1);
    return without();
}

static void goes_without(void **state)
{
    (void)state;
    static const char *const parts[] = {"no_system", "no_permission", "no_wish"};
    for (size_t i = 0; i < TEST_LENGTH(parts); i++) {
        struct test_child child;
        test_child_run(&child, parts[i]);
        if (child.status != 0) print_message("%s: %s\n", parts[i], child.text);
        assert_int_equal(child.status, 0);
    }
}

int main(int argc, char **argv)
{
    const struct test_part parts[] = {
        {"deadlock", part_deadlock},
        {"no_system", part_no_system},
        {"no_permission", part_no_permission},
        {"no_wish", part_no_wish},
    };
    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_carried_out),      cmocka_unit_test(requests_beyond_the_room_are_refused),
        cmocka_unit_test(offsets_take_no_thread),        cmocka_unit_test(position_is_shared),
        cmocka_unit_test(position_is_shared_by_writers), cmocka_unit_test(closing_meanwhile_harms_nothing),
        cmocka_unit_test(cancelling_ends_no_request),    cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(deadlock_is_told_still),        cmocka_unit_test(goes_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
