/* stress_idle.c - an idle runtime sleeps, and every single task wakes it */
#include "support.h"

#include <sys/resource.h>
#include <unistd.h>

static atomic_size_t ran;

static int count_one(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
    return 0;
}

/* ---- none is lost --------------------------------------------------------------------- */

/* Sometimes at once, sometimes as the workers are about to sleep, sometimes
 * when they have. */
static void pause_at_random(uint32_t *chance)
{
    switch (test_random(chance) % 8) {
    case 0: test_sleep(WEFT_US * (test_random(chance) % 200)); break;
    case 1:
    case 2: break;
    default: test_spin(test_random(chance) % 50000);
    }
}

static weft_runtime *runtime;

static void start(void)
{
    atomic_store(&ran, 0);
    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = test_workers())), 0);
}

static void stop(void)
{
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
}

/* Nothing but this task is there to wake anybody: a lost wake-up is for good. */
static void single_task_wakes(void **state)
{
    (void)state;
    uint32_t chance = 3;
    size_t   count = test_scale(10000);

    start();
    for (size_t i = 1; i <= count; i++) {
        if (i % 2) {
            assert_int_equal(weft_runtime_call(runtime, count_one, NULL), 0);
        } else {
            assert_int_equal(weft_runtime_go(runtime, count_one, NULL, 0), 0);
            task_until(atomic_load(&ran) == i);
            assert_task_checks();
        }
        pause_at_random(&chance);
    }
    stop();
    assert_int_equal(atomic_load(&ran), count);
}

static void submit_in_thread(void *arg)
{
    uint32_t chance = *(uint32_t *)arg;

    for (size_t i = 0; i < test_scale(3000); i++) {
        if (i % 2) task_check(weft_runtime_call(runtime, count_one, NULL) == 0);
        else task_check(weft_runtime_go(runtime, count_one, NULL, 0) == 0);
        pause_at_random(&chance);
    }
}

static void tasks_of_many_threads_wake(void **state)
{
    (void)state;
    test_thread threads[3];
    uint32_t    chances[TEST_LENGTH(threads)];

    start();
    for (size_t i = 0; i < TEST_LENGTH(threads); i++) {
        chances[i] = (uint32_t)i + 1;
        test_thread_start(&threads[i], submit_in_thread, &chances[i]);
    }
    for (size_t i = 0; i < TEST_LENGTH(threads); i++) test_thread_join(&threads[i]);
    stop();
    assert_int_equal(atomic_load(&ran), TEST_LENGTH(threads) * test_scale(3000));
}

/* One worker spawns what only another can run, as that is about to sleep. */
static atomic_size_t met;

static int meet(void *arg)
{
    (void)arg;
    atomic_fetch_add(&met, 1);
    return 0;
}

static int spawn_and_spin(void *arg)
{
    uint32_t chance = 17;

    (void)arg;
    for (size_t i = 1; i <= test_scale(3000); i++) {
        weft_task task;

        pause_at_random(&chance);
        weft_spawn(&task, meet, NULL);
        task_spin_until(atomic_load(&met) == i);
        task_check(weft_await(&task) == 0);
    }
    return 0;
}

static void spawned_task_wakes_another_worker(void **state)
{
    (void)state;
    unsigned workers = test_workers() > 1 ? test_workers() : 2;

    atomic_store(&met, 0);
    assert_int_equal(test_run(spawn_and_spin, NULL, WEFT_OPTIONS(.workers = workers)), 0);
}

/* ---- no work, no time -------------------------------------------------------------------- */

static weft_time processor_time(const struct rusage *usage)
{
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * WEFT_SEC +
           (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * WEFT_US;
}

static int fork_some(void *arg)
{
    weft_task tasks[64];

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_spawn(&tasks[i], count_one, NULL);
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_await(&tasks[i]);
    return 0;
}

/* The process's whole count: this thread's own sleep is one switch. */
static void assert_idle_for_a_second(void)
{
    struct rusage before;
    struct rusage after;

    test_sleep(WEFT_SEC);
    getrusage(RUSAGE_SELF, &before);
    test_sleep(WEFT_SEC);
    getrusage(RUSAGE_SELF, &after);
    assert_in_range(processor_time(&after) - processor_time(&before), 0, 10 * WEFT_MS);
    /* ThreadSanitizer has a thread of its own that looks about now and then. */
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, TEST_TSAN ? 50 : 3);
}

static void idle_runtime_sleeps(void **state)
{
    (void)state;
    start();
    assert_idle_for_a_second();
    for (int i = 0; i < 100; i++) assert_int_equal(weft_runtime_call(runtime, fork_some, NULL), 0);
    assert_idle_for_a_second();
    stop();
}

enum { WAITING = 20 };

static int         gate[2]; /* a pipe */
static weft_task   blocked[WAITING];
static atomic_bool spawned;

static int nothing(void *arg)
{
    (void)arg;
    return 1;
}

/* Holds its worker in the system, so that nothing else of its runtime runs. */
static int spawn_blocked(void *arg)
{
    char byte;

    (void)arg;
    for (int i = 0; i < WAITING; i++) weft_spawn(&blocked[i], nothing, NULL);
    atomic_store(&spawned, true);
    task_check(read(gate[0], &byte, 1) == 1);
    /* They are awaited elsewhere, before their spawner ends. */
    task_until(atomic_load(&ran) == WAITING);
    return 0;
}

static int wait_for_blocked(void *arg)
{
    task_check(weft_await(arg) == 1);
    return count_one(NULL);
}

/* Tasks that wait need no worker to look after them. */
static void runtime_of_waiting_tasks_sleeps(void **state)
{
    (void)state;
    weft_runtime *other;

    assert_int_equal(pipe(gate), 0);
    atomic_store(&spawned, false);
    assert_int_equal(weft_runtime_start(&other, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(weft_runtime_go(other, spawn_blocked, NULL, 0), 0);
    task_until(atomic_load(&spawned));
    start();
    for (int i = 0; i < WAITING; i++) assert_int_equal(weft_runtime_go(runtime, wait_for_blocked, &blocked[i], 0), 0);
    assert_idle_for_a_second();
    assert_int_equal(atomic_load(&ran), 0);
    assert_int_equal(write(gate[1], "", 1), 1);
    stop();
    assert_int_equal(atomic_load(&ran), WAITING);
    assert_int_equal(weft_runtime_stop(other), 0);
    assert_task_checks();
    close(gate[0]);
    close(gate[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_task_wakes),
        cmocka_unit_test(tasks_of_many_threads_wake),
        cmocka_unit_test(spawned_task_wakes_another_worker),
        cmocka_unit_test(idle_runtime_sleeps),
        cmocka_unit_test(runtime_of_waiting_tasks_sleeps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
