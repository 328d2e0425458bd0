/* test_wait.c - await_any, and plain threads that wait for tasks */
#include "support.h"

#include <limits.h>
#include <stdlib.h>

static int give_back(void *arg)
{
    return *(int *)arg;
}

static atomic_bool let_go;

static int wait_for_flag(void *arg)
{
    task_until(atomic_load(&let_go));
    return arg ? *(int *)arg : 0;
}

/* ---- bad arguments ------------------------------------------------------------- */

static void check_bad_arguments(weft_task *task)
{
    weft_task      *tasks[] = {task, task};
    const weft_time deadlines[] = {1, -1, INT64_MIN, test_now() + WEFT_MS};

    task_check(weft_await_any(tasks, 0, WEFT_NEVER) == -EINVAL);
    task_check(weft_await_any(tasks, 0, 0) == -EINVAL);
    task_check(weft_await_any(NULL, 0, 0) == -EINVAL);
    task_check(weft_await_any(NULL, 1, 0) == -EINVAL);
    task_check(weft_await_any(tasks, (size_t)INT_MAX + 1, WEFT_NEVER) == -EINVAL);
    task_check(weft_await_any(tasks, SIZE_MAX, 0) == -EINVAL);
    for (size_t i = 0; i < TEST_LENGTH(deadlines); i++)
        task_check(weft_await_any(tasks, 1, deadlines[i]) == -ETIMEDOUT);
    task_check(weft_await_any(tasks, 1, 0) == -EAGAIN);
}

static void check_bad_arguments_in_thread(void *arg)
{
    check_bad_arguments(arg);
}

static int any_badly(void *arg)
{
    weft_task   task;
    test_thread thread;

    (void)arg;
    weft_spawn(&task, wait_for_flag, NULL);
    check_bad_arguments(&task);
    test_thread_start(&thread, check_bad_arguments_in_thread, &task);
    test_thread_join(&thread);
    atomic_store(&let_go, true);
    return weft_await(&task);
}

static void any_refuses_bad_arguments(void **state)
{
    (void)state;
    atomic_store(&let_go, false);
    assert_int_equal(test_run_workers(any_badly, NULL), 0);
}

/* ---- one of several -------------------------------------------------------------- */

enum { SOME = 8 };

static int any_of_one_done(void *arg)
{
    weft_task  storage[SOME];
    weft_task *tasks[SOME];
    int        values[SOME];

    (void)arg;
    for (int done = 0; done < SOME; done++) {
        atomic_store(&let_go, false);
        for (int i = 0; i < SOME; i++) {
            values[i] = 100 + i;
            tasks[i] = &storage[i];
            weft_spawn(tasks[i], i == done ? give_back : wait_for_flag, &values[i]);
        }
        task_check(weft_await_any(tasks, SOME, WEFT_NEVER) == done);
        task_check(weft_done(tasks[done]));
        task_check(weft_await_any(tasks, SOME, 0) == done);
        atomic_store(&let_go, true);
        for (int i = 0; i < SOME; i++) task_check(weft_await(tasks[i]) == 100 + i);
    }
    return 0;
}

static void any_names_the_one_that_ended(void **state)
{
    (void)state;
    assert_int_equal(test_run(any_of_one_done, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(any_of_one_done, NULL), 0);
}

static int end_after_yields(void *arg)
{
    int yields = *(int *)arg;

    for (int i = 0; i < yields; i++) weft_yield();
    return yields;
}

/* Each is named exactly once when those that were awaited are taken out. */
static int any_until_none_is_left(void *arg)
{
    size_t      count = *(size_t *)arg;
    weft_task  *storage = malloc(count * sizeof *storage);
    weft_task **tasks = malloc(count * sizeof(weft_task *));
    int        *yields = malloc(count * sizeof *yields);
    long        sum = 0;

    task_check(storage && tasks && yields);
    for (size_t i = 0; i < count; i++) {
        yields[i] = (int)(i * 7 % 50);
        sum += yields[i];
        tasks[i] = &storage[i];
        weft_spawn(tasks[i], end_after_yields, &yields[i]);
    }
    for (size_t left = count; left > 0; left--) {
        int index = weft_await_any(tasks, left, WEFT_NEVER);
        task_check(index >= 0 && (size_t)index < left);
        sum -= weft_await(tasks[index]);
        tasks[index] = tasks[left - 1];
    }
    task_check(sum == 0);
    free(storage);
    free(tasks);
    free(yields);
    return 0;
}

static void any_serves_all_of_many(void **state)
{
    (void)state;
    for (size_t count = 1; count <= test_stacks(1000); count = count * 3 + 1) {
        assert_int_equal(test_run(any_until_none_is_left, &count, WEFT_OPTIONS(.workers = 1)), 0);
        assert_int_equal(test_run_workers(any_until_none_is_left, &count), 0);
    }
}

static int any_of_all_done(void *arg)
{
    weft_task  storage[4];
    weft_task *tasks[4];
    int        value = 0;
    int        named[4] = {0};

    (void)arg;
    for (int i = 0; i < 4; i++) {
        tasks[i] = &storage[i];
        weft_spawn(tasks[i], give_back, &value);
        task_until(weft_done(tasks[i]));
    }
    for (int i = 0; i < 1000; i++) {
        int index = weft_await_any(tasks, 4, i % 2 ? WEFT_NEVER : 0);
        task_check(index >= 0 && index < 4);
        named[index & 3]++;
    }
    /* A quarter each is fair; a twentieth is not seen in a fair draw. */
    for (int i = 0; i < 4; i++) {
        task_check(named[i] >= 50);
        task_check(weft_await(tasks[i]) == 0);
    }
    return 0;
}

static void any_is_fair(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(any_of_all_done, NULL), 0);
}

/* ---- cancelled -------------------------------------------------------------------------- */

static atomic_bool waiting;

static int any_until_cancelled(void *arg)
{
    weft_task *task = *(weft_task **)arg;

    atomic_store(&waiting, true);
    return weft_await_any(&task, 1, WEFT_NEVER);
}

static int cancel_waiter(void *arg)
{
    weft_task  endless;
    weft_task  waiter;
    weft_task *own = &endless;
    int        yields = *(int *)arg;

    atomic_store(&let_go, false);
    atomic_store(&waiting, false);
    weft_spawn(&endless, wait_for_flag, NULL);
    weft_spawn(&waiter, any_until_cancelled, &own);
    if (yields >= 0) task_until(atomic_load(&waiting));
    for (int i = 0; i < yields; i++) weft_yield();
    weft_cancel(&waiter);
    task_check(weft_await(&waiter) == -ECANCELED);
    task_check(!weft_done(&endless));
    atomic_store(&let_go, true);
    return weft_await(&endless);
}

static void cancel_wakes_who_awaits_any(void **state)
{
    (void)state;
    for (int yields = -1; yields < 10; yields++) {
        assert_int_equal(test_run(cancel_waiter, &yields, WEFT_OPTIONS(.workers = 1)), 0);
        assert_int_equal(test_run_workers(cancel_waiter, &yields), 0);
    }
}

static int fail_at_once(void *arg)
{
    (void)arg;
    return -EIO;
}

static int any_in_cancelled(void *arg)
{
    weft_scope scope;
    weft_task  endless;
    weft_task  over;
    weft_task *tasks[] = {&endless, &over};
    int        value = 1;

    (void)arg;
    atomic_store(&let_go, false);
    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_spawn(&endless, wait_for_flag, NULL);
    weft_spawn(&over, give_back, &value);
    task_check(weft_scope_go(&scope, fail_at_once, NULL, 0) == 0);
    task_until(weft_check() == -EIO && weft_done(&over));
    /* The reason is the scope's own; what can be done at once is done. */
    task_check(weft_await_any(tasks, 1, WEFT_NEVER) == -EIO);
    task_check(weft_await_any(tasks, 1, 0) == -EIO);
    task_check(weft_await_any(tasks, 2, WEFT_NEVER) == 1);
    task_check(weft_await_any(tasks, 2, 0) == 1);
    atomic_store(&let_go, true);
    task_check(weft_await(&over) == 1);
    task_check(weft_await(&endless) == 0);
    return weft_scope_close(&scope);
}

static void any_returns_the_reason_when_cancelled(void **state)
{
    (void)state;
    assert_int_equal(test_run(any_in_cancelled, NULL, WEFT_OPTIONS(.workers = 1)), -EIO);
    assert_int_equal(test_run_workers(any_in_cancelled, NULL), -EIO);
}

static weft_task *shared[3];

static int any_of_shared(void *arg)
{
    (void)arg;
    return weft_await_any(shared, TEST_LENGTH(shared), WEFT_NEVER);
}

/* A waiter that was claimed by its cancel is in nobody's list any more: what
 * ends afterwards must not touch it. */
static int leave_early(void *arg)
{
    (void)arg;
    for (size_t round = 0; round < test_scale(3000); round++) {
        weft_task  storage[3];
        weft_task *tasks[3];
        weft_task  waiter;
        int        value = 0;

        for (size_t i = 0; i < TEST_LENGTH(tasks); i++) {
            tasks[i] = shared[i] = &storage[i];
            weft_spawn(tasks[i], give_back, &value);
        }
        weft_spawn(&waiter, any_of_shared, NULL);
        if (round % 3) weft_yield();
        weft_cancel(&waiter);
        int index = weft_await(&waiter);
        task_check(index == -ECANCELED || (index >= 0 && index < (int)TEST_LENGTH(shared)));
        for (size_t i = 0; i < TEST_LENGTH(tasks); i++) task_check(weft_await(tasks[i]) == 0);
    }
    return 0;
}

static void end_and_cancel_race_for_the_waiter(void **state)
{
    (void)state;
    assert_int_equal(test_run(leave_early, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(leave_early, NULL), 0);
}

/* ---- plain threads -------------------------------------------------------------------- */

struct foreign {
    weft_task  *tasks[SOME];
    test_thread thread;
    atomic_bool over;
};

static void await_in_thread(void *arg)
{
    struct foreign *foreign = arg;

    for (int i = 0; i < SOME; i++) task_check(weft_await(foreign->tasks[i]) == i);
    atomic_store(&foreign->over, true);
}

static void any_in_thread(void *arg)
{
    struct foreign *foreign = arg;
    bool            left[SOME];

    for (int i = 0; i < SOME; i++) left[i] = true;
    for (int count = SOME; count > 0; count--) {
        weft_task *tasks[SOME];
        int        indexes[SOME];
        int        n = 0;

        for (int i = 0; i < SOME; i++)
            if (left[i]) {
                indexes[n] = i;
                tasks[n++] = foreign->tasks[i];
            }
        int index = weft_await_any(tasks, (size_t)n, WEFT_NEVER);
        task_check(index >= 0 && index < n);
        task_check(weft_done(tasks[index]));
        task_check(weft_await(tasks[index]) == indexes[index]);
        left[indexes[index]] = false;
    }
    atomic_store(&foreign->over, true);
}

static int hand_tasks_to_thread(void *arg)
{
    void (*fn)(void *arg) = *(void (**)(void *arg))arg;

    for (size_t round = 0; round < test_scale(100); round++) {
        struct foreign foreign = {.over = false};
        weft_task      storage[SOME];
        int            values[SOME];

        for (int i = 0; i < SOME; i++) {
            values[i] = i;
            foreign.tasks[i] = &storage[i];
            weft_spawn(&storage[i], i % 2 ? end_after_yields : give_back, &values[i]);
        }
        test_thread_start(&foreign.thread, fn, &foreign);
        /* On one worker the tasks run only if this one lets them. */
        task_until(atomic_load(&foreign.over));
        test_thread_join(&foreign.thread);
    }
    return 0;
}

static void plain_threads_await(void **state)
{
    (void)state;
    void (*fns[])(void *arg) = {await_in_thread, any_in_thread};

    for (size_t i = 0; i < TEST_LENGTH(fns); i++) {
        assert_int_equal(test_run(hand_tasks_to_thread, &fns[i], WEFT_OPTIONS(.workers = 1)), 0);
        assert_int_equal(test_run_workers(hand_tasks_to_thread, &fns[i]), 0);
    }
}

static void cancel_in_thread(void *arg)
{
    struct foreign *foreign = arg;

    weft_cancel(foreign->tasks[0]);
    task_check(weft_await(foreign->tasks[0]) == -ECANCELED);
    atomic_store(&foreign->over, true);
}

static int let_thread_cancel(void *arg)
{
    (void)arg;
    for (size_t round = 0; round < test_scale(100); round++) {
        struct foreign foreign = {.over = false};
        weft_task      endless;
        weft_task      waiter;
        weft_task     *own = &endless;

        atomic_store(&let_go, false);
        weft_spawn(&endless, wait_for_flag, NULL);
        weft_spawn(&waiter, any_until_cancelled, &own);
        foreign.tasks[0] = &waiter;
        test_thread_start(&foreign.thread, cancel_in_thread, &foreign);
        task_until(atomic_load(&foreign.over));
        test_thread_join(&foreign.thread);
        atomic_store(&let_go, true);
        task_check(weft_await(&endless) == 0);
    }
    return 0;
}

static void plain_threads_cancel(void **state)
{
    (void)state;
    assert_int_equal(test_run(let_thread_cancel, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(let_thread_cancel, NULL), 0);
}

static int await_across(void *arg)
{
    return weft_await(*(weft_task **)arg);
}

/* A task of one runtime waits for a task of another. */
static int await_from_another_runtime(void *arg)
{
    weft_runtime *other = *(weft_runtime **)arg;

    for (size_t i = 0; i < test_scale(2000); i++) {
        weft_task  task;
        weft_task *own = &task;
        int        value = i % 2 ? (int)i : 3;

        weft_spawn(&task, i % 2 ? give_back : end_after_yields, &value);
        task_check(weft_runtime_call(other, await_across, &own) == value);
    }
    return 0;
}

static void tasks_await_across_runtimes(void **state)
{
    (void)state;
    weft_runtime *other;

    assert_int_equal(weft_runtime_start(&other, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(await_from_another_runtime, &other, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(await_from_another_runtime, &other), 0);
    assert_int_equal(weft_runtime_stop(other), 0);
    assert_task_checks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_refuses_bad_arguments),
        cmocka_unit_test(any_names_the_one_that_ended),
        cmocka_unit_test(any_serves_all_of_many),
        cmocka_unit_test(any_is_fair),
        cmocka_unit_test(cancel_wakes_who_awaits_any),
        cmocka_unit_test(any_returns_the_reason_when_cancelled),
        cmocka_unit_test(end_and_cancel_race_for_the_waiter),
        cmocka_unit_test(plain_threads_await),
        cmocka_unit_test(plain_threads_cancel),
        cmocka_unit_test(tasks_await_across_runtimes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
