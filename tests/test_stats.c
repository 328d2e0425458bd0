/* test_stats.c - counts and gauges of a runtime */
#include "support.h"

#include <string.h>

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void read_stats(struct weft_stats *stats)
{
    memset(stats, 255, sizeof *stats);
    stats->size = sizeof *stats;
    task_check(weft_stats(stats) == 0);
    task_check(stats->size == sizeof *stats);
}

/* ---- bad arguments --------------------------------------------------------------- */

static int read_badly(void *arg)
{
    struct weft_stats stats;

    (void)arg;
    task_check(weft_stats(NULL) == -EINVAL);
    stats.size = 0;
    task_check(weft_stats(&stats) == -EINVAL);
    stats.size = sizeof(size_t) - 1;
    task_check(weft_stats(&stats) == -EINVAL);
    return 0;
}

static void stats_refuses_bad_arguments(void **state)
{
    (void)state;
    struct weft_stats stats = {.size = sizeof stats};

    assert_int_equal(weft_stats(&stats), -EPERM);
    assert_int_equal(weft_stats(NULL), -EPERM);
    assert_int_equal(test_run_workers(read_badly, NULL), 0);
}

static int read_sizes(void *arg)
{
    union {
        struct weft_stats stats;
        unsigned char     bytes[sizeof(struct weft_stats) + 64];
    } u;

    (void)arg;
    for (size_t size = sizeof(size_t); size <= sizeof(struct weft_stats); size++) {
        memset(&u, 0xa5, sizeof u);
        u.stats.size = size;
        task_check(weft_stats(&u.stats) == 0);
        for (size_t i = size; i < sizeof u; i++) task_check(u.bytes[i] == 0xa5);
        if (size >= offsetof(struct weft_stats, ended)) task_check(u.stats.spawned >= 1 && u.stats.spawned < 1000);
    }
    memset(&u, 0xa5, sizeof u);
    u.stats.size = sizeof(struct weft_stats) + 8;
    task_check(weft_stats(&u.stats) == 0);
    for (size_t i = u.stats.size; i < sizeof u; i++) task_check(u.bytes[i] == 0xa5);
    return 0;
}

static void stats_writes_no_further_than_size(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(read_sizes, NULL), 0);
}

/* ---- what is counted ---------------------------------------------------------------- */

enum { TASKS = 100 };

/* With nobody else about, every count is exact. */
static int count_tasks(void *arg)
{
    struct weft_stats before;
    struct weft_stats during;
    struct weft_stats after;
    weft_task         tasks[TASKS];

    (void)arg;
    read_stats(&before);
    task_check(before.spawned == 1 && before.ended == 0 && before.tasks == 1);
    for (int i = 0; i < TASKS; i++) weft_spawn(&tasks[i], nothing, NULL);
    read_stats(&during);
    task_check(during.spawned == before.spawned + TASKS);
    task_check(during.ended == before.ended);
    task_check(during.tasks == before.tasks + TASKS);
    for (int i = TASKS - 1; i >= 0; i--) weft_await(&tasks[i]);
    for (int i = 0; i < TASKS; i++) task_check(weft_go(nothing, NULL, 0) == 0);
    for (int i = 0; i < TASKS; i++) weft_yield();
    read_stats(&after);
    task_check(after.spawned == during.spawned + TASKS);
    task_check(after.ended == during.ended + 2 * TASKS);
    task_check(after.tasks == 1);
    task_check(after.inlined >= before.inlined && after.inlined <= before.inlined + TASKS);
    task_check(after.io_waits == 0 && after.timers == 0 && after.blocking_calls == 0);
    task_check(after.steals == 0);
    return 0;
}

static void tasks_are_counted_exactly_on_one_worker(void **state)
{
    (void)state;
    assert_int_equal(test_run(count_tasks, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

static int count_inlined(void *arg)
{
    struct weft_stats before;
    struct weft_stats after;
    weft_task         task;

    (void)arg;
    read_stats(&before);
    for (int i = 0; i < 1000; i++) {
        weft_spawn(&task, nothing, NULL);
        weft_await(&task);
    }
    read_stats(&after);
    task_check(after.spawned == before.spawned + 1000);
    /* Most, since every so often others are let run instead. */
    if (TEST_TSAN || TEST_ASAN) task_check(after.inlined <= before.inlined + 1000);
    else task_check(after.inlined >= before.inlined + 500 && after.inlined <= before.inlined + 1000);
    return 0;
}

static void awaited_tasks_run_in_place(void **state)
{
    (void)state;
    assert_int_equal(test_run(count_inlined, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

static int yield_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) weft_yield();
    return 0;
}

static int count_switches(void *arg)
{
    struct weft_stats before;
    struct weft_stats after;
    weft_task         tasks[2];

    (void)arg;
    read_stats(&before);
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], yield_often, NULL);
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    read_stats(&after);
    /* Two tasks that take turns cannot do without. */
    task_check(after.switches >= before.switches + 100);
    return 0;
}

static void switches_are_counted(void **state)
{
    (void)state;
    assert_int_equal(test_run(count_switches, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

static atomic_int arrived;

static int meet(void *arg)
{
    (void)arg;
    atomic_fetch_add(&arrived, 1);
    task_spin_until(atomic_load(&arrived) >= 2);
    return 0;
}

static int count_steals(void *arg)
{
    struct weft_stats stats;
    weft_task         task;

    (void)arg;
    weft_spawn(&task, meet, NULL);
    meet(NULL);
    task_check(weft_await(&task) == 0);
    read_stats(&stats);
    task_check(stats.steals >= 1);
    return 0;
}

static void steals_are_counted(void **state)
{
    (void)state;
    atomic_store(&arrived, 0);
    assert_int_equal(test_run(count_steals, NULL, WEFT_OPTIONS(.workers = 2)), 0);
}

static int read_into(void *arg)
{
    read_stats(arg);
    return 0;
}

static void parks_and_wakeups_are_counted(void **state)
{
    (void)state;
    struct weft_stats stats;
    weft_runtime     *runtime;

    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 2)), 0);
    /* Once more than is asked for below: the last of them may be counted while its task reads. */
    for (int i = 0; i < 6; i++) {
        test_sleep(50 * WEFT_MS);
        assert_int_equal(weft_runtime_call(runtime, read_into, &stats), 0);
    }
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
    assert_true(stats.parks >= 5);
    assert_true(stats.wakeups >= 5);
}

static atomic_int  on_stacks;
static atomic_bool counted;

static int stay_on_a_stack(void *arg)
{
    (void)arg;
    on_stacks++;
    task_until(counted);
    return 0;
}

static int count_stacks(void *arg)
{
    struct weft_stats before;
    struct weft_stats during;
    weft_task         tasks[TASKS];
    size_t            stack = *(size_t *)arg;

    read_stats(&before);
    task_check(before.stacks_in_use >= 1);
    task_check(before.stack_bytes >= before.stacks_in_use * stack);
    for (int i = 0; i < TASKS; i++) weft_spawn(&tasks[i], stay_on_a_stack, NULL);
    task_until(on_stacks == TASKS);
    read_stats(&during);
    counted = true;
    task_check(during.stacks_in_use >= TASKS);
    task_check(during.stack_bytes >= (during.stacks_in_use + during.stacks_pooled) * stack);
    for (int i = 0; i < TASKS; i++) weft_await(&tasks[i]);
    read_stats(&before);
    task_check(before.stacks_in_use < TASKS);
    return 0;
}

static void stacks_are_counted(void **state)
{
    (void)state;
    size_t stack = 128 * 1024;

    assert_int_equal(test_run(count_stacks, &stack, WEFT_OPTIONS(.workers = 1, .stack_size = stack)), 0);
}

static int watch(void *arg)
{
    struct weft_stats last;

    (void)arg;
    read_stats(&last);
    for (int i = 0; i < 200; i++) {
        struct weft_stats now;

        weft_yield();
        read_stats(&now);
        task_check(now.spawned >= last.spawned && now.ended >= last.ended && now.switches >= last.switches &&
                   now.steals >= last.steals && now.parks >= last.parks && now.wakeups >= last.wakeups);
        last = now;
    }
    return 0;
}

static int fork_and_watch(void *arg)
{
    weft_task tasks[20];

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_spawn(&tasks[i], i % 2 ? watch : yield_often, NULL);
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_await(&tasks[i]);
    return 0;
}

static void counts_never_fall(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(fork_and_watch, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_refuses_bad_arguments),
        cmocka_unit_test(stats_writes_no_further_than_size),
        cmocka_unit_test(tasks_are_counted_exactly_on_one_worker),
        cmocka_unit_test(awaited_tasks_run_in_place),
        cmocka_unit_test(switches_are_counted),
        cmocka_unit_test(steals_are_counted),
        cmocka_unit_test(parks_and_wakeups_are_counted),
        cmocka_unit_test(stacks_are_counted),
        cmocka_unit_test(counts_never_fall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
