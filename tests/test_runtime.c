/* test_runtime.c - start, go, call, stop, weft_run and their options */
#include "support.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- weft_run -------------------------------------------------------------- */

static int give_back(void *arg)
{
    return *(int *)arg;
}

static void run_returns_the_result(void **state)
{
    (void)state;
    const int results[] = {0, 1, 42, INT_MAX, -1, -EAGAIN, -ENOMEM, INT_MIN};

    for (size_t i = 0; i < TEST_LENGTH(results); i++) {
        int result = results[i];
        assert_int_equal(test_run_workers(give_back, &result), results[i]);
        assert_int_equal(test_run(give_back, &result, NULL), results[i]);
    }
}

static int see_null(void *arg)
{
    return arg == NULL;
}

static void run_takes_a_null_argument(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(see_null, NULL), 1);
}

static int never_run(void *arg)
{
    (void)arg;
    task_check(!"this task must not run");
    return 0;
}

static void run_refuses_bad_arguments(void **state)
{
    (void)state;
    const size_t page_more = 4096;
    const struct {
        struct weft_options options;
        int                 result;
    } cases[] = {
        {{.size = 0}, -EINVAL},
        {{.size = 1}, -EINVAL},
        {{.size = sizeof(size_t) - 1}, -EINVAL},
        {{.size = sizeof(struct weft_options), .workers = 1025}, -EINVAL},
        {{.size = sizeof(struct weft_options), .workers = UINT_MAX}, -EINVAL},
        {{.size = sizeof(struct weft_options), .stack_size = 1}, -EINVAL},
        {{.size = sizeof(struct weft_options), .stack_size = 16 * 1024 - 1}, -EINVAL},
        {{.size = sizeof(struct weft_options), .stack_size = ((size_t)1 << 30) + 1}, -EINVAL},
        {{.size = sizeof(struct weft_options), .stack_size = SIZE_MAX}, -EINVAL},
    };

    assert_int_equal(test_run(NULL, NULL, NULL), -EINVAL);
    assert_int_equal(test_run(NULL, NULL, WEFT_OPTIONS(.workers = 1)), -EINVAL);
    for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
        weft_runtime *runtime = (weft_runtime *)&runtime;

        assert_int_equal(test_run(never_run, NULL, &cases[i].options), cases[i].result);
        assert_int_equal(weft_runtime_start(&runtime, &cases[i].options), cases[i].result);
        assert_null(runtime);
    }
    assert_int_equal(weft_runtime_start(NULL, NULL), -EINVAL);

    /* A longer struct that ends in other than zeros is refused wherever the
     * stray byte is. */
    char *longer = calloc(1, sizeof(struct weft_options) + page_more);
    assert_non_null(longer);
    for (size_t tail = 1; tail <= page_more; tail += 1 + tail / 2) {
        size_t        size = sizeof(struct weft_options) + tail;
        weft_runtime *runtime = (weft_runtime *)&runtime;

        memcpy(longer, &size, sizeof size);
        longer[size - 1] = 1;
        assert_int_equal(test_run(never_run, NULL, (struct weft_options *)longer), -E2BIG);
        assert_int_equal(weft_runtime_start(&runtime, (struct weft_options *)longer), -E2BIG);
        assert_null(runtime);
        longer[size - 1] = 0;
    }
    free(longer);
}

/* No further than any struct of options will ever be is it read: beyond this one there is no memory. */
static void options_beyond_reason_are_not_read(void **state)
{
    (void)state;
    const size_t  sizes[] = {(size_t)1 << 40, SIZE_MAX, SIZE_MAX - 7};
    const size_t  page = (size_t)sysconf(_SC_PAGESIZE);
    weft_runtime *runtime;
    char         *bytes = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(bytes != MAP_FAILED);
    assert_int_equal(mprotect(bytes + page, page, PROT_NONE), 0);
    for (size_t i = 0; i < TEST_LENGTH(sizes); i++) {
        struct weft_options *options = (struct weft_options *)bytes;
        options->size = sizes[i];
        assert_int_equal(test_run(never_run, NULL, options), -E2BIG);
        assert_int_equal(weft_runtime_start(&runtime, options), -E2BIG);
        assert_null(runtime);
    }
    munmap(bytes, 2 * page);
}

static int count_workers(void *arg)
{
    (void)arg;
    return (int)weft_worker_count();
}

static void run_takes_options_of_another_size(void **state)
{
    (void)state;
    const struct weft_options given = {.size = offsetof(struct weft_options, stack_size), .workers = 3};
    void                     *shorter = test_exact_copy(&given, given.size);
    assert_int_equal(test_run(count_workers, NULL, shorter), 3);
    free(shorter);

    const size_t least = sizeof least;
    void        *shortest = test_exact_copy(&least, sizeof least);
    assert_true(test_run(count_workers, NULL, shortest) >= 1);
    free(shortest);

    const size_t         size = sizeof(struct weft_options) + 1000;
    struct weft_options *longer = calloc(1, size);
    assert_non_null(longer);
    longer->size = size;
    longer->workers = 3;
    assert_int_equal(test_run(count_workers, NULL, longer), 3);
    free(longer);
}

static void run_uses_no_more_processors_than_it_may(void **state)
{
    (void)state;
    cpu_set_t all;
    cpu_set_t one;

    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_in_range(test_run(count_workers, NULL, NULL), 1, CPU_COUNT(&all));
    assert_in_range(test_run(count_workers, NULL, WEFT_OPTIONS(.workers = 0)), 1, CPU_COUNT(&all));

    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && CPU_COUNT(&one) == 0) CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int workers = test_run(count_workers, NULL, NULL);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(workers, 1);
}

static void run_has_as_many_workers_as_asked_for(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 64; workers *= 4)
        assert_int_equal(test_run(count_workers, NULL, WEFT_OPTIONS(.workers = workers)), workers);
    assert_in_range(test_run(count_workers, NULL, WEFT_OPTIONS(.workers = TEST_TSAN ? 64 : 1024)), 1, 1024);
}

static int use_half_the_stack(void *arg)
{
    size_t         half = *(size_t *)arg / 2;
    volatile char *bytes = __builtin_alloca(half - 4096);

    bytes[0] = 1;
    bytes[half - 4097] = 1;
    return bytes[0] + bytes[half - 4097];
}

static void run_takes_stacks_of_all_sizes(void **state)
{
    (void)state;
    const size_t sizes[] = {16 << 10, (16 << 10) + 1, 20000, 64 << 10, 100000, 1 << 20, 64 << 20};

    for (size_t i = 0; i < TEST_LENGTH(sizes); i++) {
        size_t size = sizes[i];
        assert_int_equal(test_run(use_half_the_stack, &size, WEFT_OPTIONS(.workers = 1, .stack_size = size)), 2);
    }

    /* The biggest may well not fit into the address space that there is. */
    size_t biggest = (size_t)1 << 30;
    int    result = test_run(use_half_the_stack, &biggest, WEFT_OPTIONS(.workers = 1, .stack_size = biggest));
    assert_true(result == 2 || result == -ENOMEM);
}

/* ---- every task is waited for ------------------------------------------------ */

static atomic_int ended;

static int end_late(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) weft_yield();
    atomic_fetch_add(&ended, 1);
    return -EIO;
}

static int leave_tasks_behind(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) task_check(weft_go(end_late, NULL, 0) == 0);
    return 5;
}

static void run_waits_for_every_task(void **state)
{
    (void)state;
    atomic_store(&ended, 0);
    assert_int_equal(test_run_workers(leave_tasks_behind, NULL), 5);
    assert_int_equal(atomic_load(&ended), 50);
}

/* Each task leaves one behind as it ends, so that at most a few are there. */
static int leave_a_chain(void *arg)
{
    size_t left = *(size_t *)arg;

    atomic_fetch_add(&ended, 1);
    if (left > 0) {
        left--;
        task_check(weft_go(leave_a_chain, &left, sizeof left) == 0);
    }
    return 0;
}

static void run_waits_for_tasks_of_tasks(void **state)
{
    (void)state;
    size_t links = test_scale(10000);

    atomic_store(&ended, 0);
    assert_int_equal(test_run_workers(leave_a_chain, &links), 0);
    assert_int_equal(atomic_load(&ended), links + 1);
}

/* ---- a runtime within a task --------------------------------------------------- */

static atomic_int outer_steps;

static int inner_waits_for_outer(void *arg)
{
    (void)arg;
    atomic_store(&outer_steps, 1);
    task_until(atomic_load(&outer_steps) == 2);
    return 11;
}

static int answer_inner(void *arg)
{
    (void)arg;
    task_until(atomic_load(&outer_steps) == 1);
    atomic_store(&outer_steps, 2);
    return 0;
}

static int run_inner(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, answer_inner, NULL);
    int result = weft_run(inner_waits_for_outer, NULL, WEFT_OPTIONS(.workers = 1));
    task_check(weft_await(&task) == 0);
    task_check(weft_worker_count() == 1);
    return result;
}

static void run_in_a_task_suspends_only_the_task(void **state)
{
    (void)state;
    atomic_store(&outer_steps, 0);
    assert_int_equal(test_run(run_inner, NULL, WEFT_OPTIONS(.workers = 1)), 11);
}

static int run_nested(void *arg)
{
    int depth = *(int *)arg - 1;

    return depth == 0 ? 1 : 1 + weft_run(run_nested, &depth, WEFT_OPTIONS(.workers = 2));
}

static void run_nests_deeply(void **state)
{
    (void)state;
    int depth = 10;

    assert_int_equal(test_run_workers(run_nested, &depth), 10);
}

static int run_with_defaults(void *arg)
{
    return weft_run(give_back, arg, NULL);
}

/* A runtime is made on the stack of the task that asks for it, how small that may be. */
static void run_in_a_task_with_the_smallest_stack(void **state)
{
    (void)state;
    int value = 7;

    assert_int_equal(test_run(run_with_defaults, &value, WEFT_OPTIONS(.workers = 1, .stack_size = 16 << 10)), 7);
}

/* ---- the pieces ------------------------------------------------------------------ */

static weft_runtime *start(unsigned workers)
{
    weft_runtime *runtime = NULL;

    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = workers)), 0);
    assert_non_null(runtime);
    return runtime;
}

static void stop(weft_runtime *runtime)
{
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
}

static void start_and_stop_without_work(void **state)
{
    (void)state;
    weft_runtime *runtime = NULL;

    stop(start(test_workers()));
    assert_int_equal(weft_runtime_start(&runtime, NULL), 0);
    stop(runtime);
    assert_int_equal(weft_runtime_stop(NULL), -EINVAL);
}

static void go_and_call_refuse_bad_arguments(void **state)
{
    (void)state;
    weft_runtime *runtime = start(1);
    char          byte = 0;

    assert_int_equal(weft_runtime_go(NULL, never_run, NULL, 0), -EINVAL);
    assert_int_equal(weft_runtime_go(runtime, NULL, NULL, 0), -EINVAL);
    assert_int_equal(weft_runtime_go(runtime, never_run, NULL, 1), -EINVAL);
    int result = weft_runtime_go(runtime, never_run, &byte, SIZE_MAX);
    assert_true(result == -ENOMEM || result == -EINVAL);
    result = weft_runtime_go(runtime, never_run, &byte, SIZE_MAX - 64);
    assert_true(result == -ENOMEM || result == -EINVAL);
    result = weft_runtime_go(runtime, never_run, &byte, PTRDIFF_MAX);
    assert_true(result == -ENOMEM || result == -EINVAL);
    assert_int_equal(weft_runtime_call(NULL, never_run, NULL), -EINVAL);
    assert_int_equal(weft_runtime_call(runtime, NULL, NULL), -EINVAL);
    stop(runtime);
}

struct big {
    _Alignas(max_align_t) unsigned char bytes[100000];
};

static const void *arg_of_caller;

static int see_copy(void *arg)
{
    struct big *copy = arg;

    task_check(arg != arg_of_caller);
    task_check((uintptr_t)arg % _Alignof(max_align_t) == 0);
    for (size_t i = 0; i < sizeof copy->bytes; i++)
        if (copy->bytes[i] != i % 251) {
            task_check(!"the copy differs");
            break;
        }
    atomic_fetch_add(&ended, 1);
    return 0;
}

static int see_itself(void *arg)
{
    task_check(arg == arg_of_caller);
    atomic_fetch_add(&ended, 1);
    return 0;
}

static void go_copies_its_argument(void **state)
{
    (void)state;
    static struct big big;

    atomic_store(&ended, 0);
    weft_runtime *runtime = start(test_workers());
    for (size_t i = 0; i < sizeof big.bytes; i++) big.bytes[i] = (unsigned char)(i % 251);
    arg_of_caller = &big;
    assert_int_equal(weft_runtime_go(runtime, see_copy, &big, sizeof big), 0);
    memset(&big, 255, sizeof big);
    assert_int_equal(weft_runtime_go(runtime, see_itself, &big, 0), 0);
    stop(runtime);
    assert_int_equal(atomic_load(&ended), 2);
}

static void call_returns_the_result(void **state)
{
    (void)state;
    weft_runtime *runtime = start(test_workers());

    for (int i = -1000; i < 1000; i++) {
        int result = i;
        assert_int_equal(weft_runtime_call(runtime, give_back, &result), i);
    }
    stop(runtime);
}

static void stop_waits_for_tasks(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        atomic_store(&ended, 0);
        weft_runtime *runtime = start(test_workers());
        for (int i = 0; i < 100; i++) assert_int_equal(weft_runtime_go(runtime, end_late, NULL, 0), 0);
        stop(runtime);
        assert_int_equal(atomic_load(&ended), 100);
    }
}

static int stop_own(void *arg)
{
    task_check(weft_runtime_stop(arg) == -EDEADLK);
    atomic_fetch_add(&ended, 1);
    return 0;
}

static void stop_is_refused_from_own_task(void **state)
{
    (void)state;
    weft_runtime *runtime = start(test_workers());

    atomic_store(&ended, 0);
    assert_int_equal(weft_runtime_call(runtime, stop_own, runtime), 0);
    assert_int_equal(weft_runtime_go(runtime, stop_own, runtime, 0), 0);
    stop(runtime);
    assert_int_equal(atomic_load(&ended), 2);
}

static int call_own(void *arg)
{
    int value = 9;

    return weft_runtime_call(arg, give_back, &value);
}

static void call_works_from_own_task(void **state)
{
    (void)state;
    /* On one worker it can work only if the caller lets go of the worker. */
    for (unsigned workers = 1; workers <= 2; workers++) {
        weft_runtime *runtime = start(workers);
        assert_int_equal(weft_runtime_call(runtime, call_own, runtime), 9);
        stop(runtime);
    }
}

static weft_runtime *other;

static int use_other(void *arg)
{
    int      value = 6;
    unsigned workers = weft_worker_count();

    (void)arg;
    for (int i = 0; i < 100; i++) {
        task_check(weft_runtime_call(other, give_back, &value) == 6);
        task_check(weft_worker_count() == workers);
    }
    task_check(weft_runtime_go(other, end_late, NULL, 0) == 0);
    task_check(weft_runtime_stop(other) == 0);
    return 3;
}

static void task_uses_and_stops_another_runtime(void **state)
{
    (void)state;
    atomic_store(&ended, 0);
    other = start(3);
    assert_int_equal(test_run(use_other, NULL, WEFT_OPTIONS(.workers = 2)), 3);
    assert_int_equal(atomic_load(&ended), 1);
}

static void many_runtimes_at_once(void **state)
{
    (void)state;
    weft_runtime *runtimes[8];

    for (unsigned i = 0; i < TEST_LENGTH(runtimes); i++) runtimes[i] = start(1 + i % 3);
    for (int round = 0; round < 100; round++)
        for (unsigned i = 0; i < TEST_LENGTH(runtimes); i++)
            assert_int_equal(weft_runtime_call(runtimes[i], count_workers, NULL), 1 + i % 3);
    for (unsigned i = 0; i < TEST_LENGTH(runtimes); i++) stop(runtimes[i]);
}

/* ---- outside of tasks --------------------------------------------------------------- */

static void plain_thread_is_no_worker(void **state)
{
    (void)state;
    weft_runtime *runtime = start(1);

    assert_int_equal(weft_worker_index(), -1);
    assert_int_equal(weft_worker_count(), 0);
    assert_int_equal(weft_check(), 0);
    assert_int_equal(weft_go(never_run, NULL, 0), -EPERM);
    weft_yield();
    stop(runtime);
}

static int see_worker(void *arg)
{
    (void)arg;
    task_check(weft_worker_count() == 3);
    for (int i = 0; i < 1000; i++) {
        int index = weft_worker_index();
        task_check(index >= 0 && index < 3);
        weft_yield();
    }
    return 0;
}

static void worker_index_is_below_the_count(void **state)
{
    (void)state;
    assert_int_equal(test_run(see_worker, NULL, WEFT_OPTIONS(.workers = 3)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_returns_the_result),
        cmocka_unit_test(run_takes_a_null_argument),
        cmocka_unit_test(run_refuses_bad_arguments),
        cmocka_unit_test(options_beyond_reason_are_not_read),
        cmocka_unit_test(run_takes_options_of_another_size),
        cmocka_unit_test(run_uses_no_more_processors_than_it_may),
        cmocka_unit_test(run_has_as_many_workers_as_asked_for),
        cmocka_unit_test(run_takes_stacks_of_all_sizes),
        cmocka_unit_test(run_waits_for_every_task),
        cmocka_unit_test(run_waits_for_tasks_of_tasks),
        cmocka_unit_test(run_in_a_task_suspends_only_the_task),
        cmocka_unit_test(run_nests_deeply),
        cmocka_unit_test(run_in_a_task_with_the_smallest_stack),
        cmocka_unit_test(start_and_stop_without_work),
        cmocka_unit_test(go_and_call_refuse_bad_arguments),
        cmocka_unit_test(go_copies_its_argument),
        cmocka_unit_test(call_returns_the_result),
        cmocka_unit_test(stop_waits_for_tasks),
        cmocka_unit_test(stop_is_refused_from_own_task),
        cmocka_unit_test(call_works_from_own_task),
        cmocka_unit_test(task_uses_and_stops_another_runtime),
        cmocka_unit_test(many_runtimes_at_once),
        cmocka_unit_test(plain_thread_is_no_worker),
        cmocka_unit_test(worker_index_is_below_the_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
