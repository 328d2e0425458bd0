/* fault_uring.c - an io_uring that cannot be made, or does not take a request: the call is carried out all the same
 *
 * Linked with --wrap, so that the system calls by which the library makes one and submits to it pass through here.
 */
#include "support_io.h"

#include "uring.h"
#include "worker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum which { NONE, SETUP, ENTER, MAP };

static atomic_int fails, fail_with, times; /* so often, then no more */

static bool failing(enum which which)
{
    if (atomic_load(&fails) != (int)which || atomic_fetch_sub(&times, 1) <= 0) return false;
    errno = atomic_load(&fail_with);
    return true;
}

static void make_fail(enum which which, int with, int how_often)
{
    atomic_store(&times, how_often);
    atomic_store(&fail_with, with);
    atomic_store(&fails, which);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_io_uring_setup && failing(SETUP)) return -1;
    if (number == SYS_io_uring_enter && failing(ENTER)) return -1;
    return __real_syscall(number, a, b, c, d, e, f);
}

void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && failing(MAP)) return MAP_FAILED;
    return __real_mmap(at, size, protection, flags, fd, offset);
}

/* ---- a file that has to be waited for -------------------------------------------------- */

static uint64_t threads_taken(void)
{
    struct weft_stats s = {.size = sizeof s};
    task_check(weft_stats(&s) == 0);
    return s.blocking_calls;
}

/* Goes through whatever fails. */
static void write_and_read(int fd)
{
    char bytes[3000];
    for (int i = 0; i < 4; i++) {
        char *mine = memset(malloc(sizeof bytes), 'a' + i, sizeof bytes);
        off_t at = (off_t)(i * sizeof bytes);
        task_check(weft_pwrite(fd, mine, sizeof bytes, at, 0) == (ssize_t)sizeof bytes);
        free(mine);
        task_check(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
        task_check(weft_pread(fd, bytes, sizeof bytes, at, 0) == (ssize_t)sizeof bytes);
        task_check(bytes[0] == 'a' + i && bytes[sizeof bytes - 1] == 'a' + i);
    }
}

static bool there_is_one;

static int look(void *arg)
{
    (void)arg;
    there_is_one = uring_usable(worker_self());
    return 0;
}

static int refuse_requests(void *arg)
{
    (void)arg;
    static const int errors[] = {EAGAIN, EBUSY, ENOMEM};
    int              fd = test_file();
    if (!uring_usable(worker_self())) return 0;
    for (size_t i = 0; i < TEST_LENGTH(errors); i++) {
        make_fail(ENTER, errors[i], 1000);
        write_and_read(fd);
        make_fail(NONE, 0, 0);
        uint64_t before = threads_taken();
        write_and_read(fd);
        task_check(threads_taken() == before);
    }
    /* Now and then: what was refused leaves no trace among what is taken. */
    for (int i = 0; i < 20; i++) {
        make_fail(ENTER, EAGAIN, i % 3);
        write_and_read(fd);
    }
    make_fail(ENTER, EINTR, 3);
    uint64_t before = threads_taken();
    write_and_read(fd);
    task_check(threads_taken() == before && atomic_load(&times) < 0);
    make_fail(NONE, 0, 0);
    task_check(weft_close(fd) == 0);
    return 0;
}

static void refused_requests_go_another_way(void **state)
{
    (void)state;
    test_run_workers(refuse_requests, NULL);
}

static int make_in_vain(void *arg)
{
    const enum which *which = arg;
    int               fd = test_file();
    make_fail(*which, EMFILE, 1);
    task_check(!uring_usable(worker_self()));
    make_fail(*which, EMFILE, 1);
    write_and_read(fd);
    task_check(uring_usable(worker_self()) == there_is_one); /* there is room again */
    make_fail(MAP, ENOMEM, 0);
    write_and_read(fd);
    task_check(weft_close(fd) == 0);
    return 0;
}

static void one_that_cannot_be_made_is_asked_for_again(void **state)
{
    (void)state;
    static const enum which which[] = {SETUP, MAP};
    struct test_census      before, after;
    test_run_workers(look, NULL);
    test_census(&before);
    for (size_t i = 0; i < TEST_LENGTH(which) && there_is_one; i++) test_run_workers(make_in_vain, (void *)&which[i]);
    test_census(&after);
    assert_int_equal(after.descriptors, before.descriptors);
}

static int never_make(void *arg)
{
    (void)arg;
    int fd = test_file();
    make_fail(SETUP, ENOSYS, 1);
    task_check(!uring_usable(worker_self()) && !uring_usable(worker_self()));
    write_and_read(fd);
    task_check(weft_close(fd) == 0);
    return 0;
}

/* The last one: the process has been told that there is none. */
static void refused_process_does_not_ask_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) test_run_workers(never_make, NULL);
    if (there_is_one) assert_int_equal(atomic_load(&times), 1); /* the second was not asked for at all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_requests_go_another_way),
        cmocka_unit_test(one_that_cannot_be_made_is_asked_for_again),
        cmocka_unit_test(refused_process_does_not_ask_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
