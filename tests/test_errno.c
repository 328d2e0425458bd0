/* test_errno.c - errno is the calling task's own, also after it has moved
 *
 * glibc declares the function behind its errno const, so a compiler may keep
 * the address over a call.  The test reads and writes errno in one function, on
 * both sides of calls in which the task moves to another thread.
 */
#include "support.h"

#include <unistd.h>

int *__errno_location(void);

static void plain_thread_has_its_own(void **state)
{
    (void)state;
    assert_ptr_equal(weft_errno_location(), __errno_location());
    errno = 0;
    assert_int_equal(close(-1), -1);
    assert_int_equal(errno, EBADF);
}

/* As on this thread and at this moment: out of line, and not kept. */
__attribute__((noinline)) static int *real_location(void)
{
    int *location = __errno_location();

    __asm__ volatile("" : "+r"(location) : : "memory");
    return location;
}

static atomic_size_t moves;
static weft_runtime *other;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int use_errno_and_move(void *arg)
{
    size_t    wanted = *(size_t *)arg;
    weft_time end = test_now() + TEST_LONG;
    int       self = 1000 + (int)(wanted % 7);

    while (atomic_load(&moves) < wanted && test_now() < end) {
        int before = weft_worker_index();

        errno = self;
        task_check(close(-1) == -1 && errno == EBADF);
        /* Whichever worker is free first takes up who comes back from there. */
        task_check(weft_runtime_call(other, nothing, NULL) == 0);
        task_check(&errno == real_location());
        errno = 0;
        task_check(close(-1) == -1 && errno == EBADF);
        if (weft_worker_index() != before) atomic_fetch_add(&moves, 1);
        test_spin(200);
    }
    return 0;
}

static int fork_movers(void *arg)
{
    weft_task tasks[16];

    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_spawn(&tasks[i], use_errno_and_move, arg);
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_await(&tasks[i]);
    return 0;
}

static void moved_task_has_its_own(void **state)
{
    (void)state;
    size_t   wanted = test_scale(1000);
    unsigned workers = test_workers() > 1 ? test_workers() : 2;

    atomic_store(&moves, 0);
    assert_int_equal(weft_runtime_start(&other, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(fork_movers, &wanted, WEFT_OPTIONS(.workers = workers)), 0);
    assert_int_equal(weft_runtime_stop(other), 0);
    assert_true(atomic_load(&moves) >= wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_thread_has_its_own),
        cmocka_unit_test(moved_task_has_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
