/* test_future.c - a value that arrives once, from anywhere */
#include "support_wait.h"

static int await_future(void *future, weft_time deadline)
{
    return weft_future_await(future, NULL, deadline);
}

static void has_the_first_value_for_good(void **state)
{
    (void)state;
    weft_future future = {{0}};
    intptr_t    value = 1;

    assert_int_equal(weft_future_await(&future, &value, 0), -EAGAIN);
    assert_int_equal(weft_future_await(&future, &value, 1), -ETIMEDOUT);
    assert_int_equal(value, 1);
    assert_int_equal(weft_future_set(&future, INTPTR_MIN), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weft_future_set(&future, 5), -EALREADY);
        assert_int_equal(weft_future_await(&future, &value, i ? WEFT_NEVER : 0), 0);
        assert_true(value == INTPTR_MIN);
        assert_int_equal(weft_future_await(&future, NULL, 1), 0);
    }
    assert_int_equal(weft_future_set(NULL, 0), -EINVAL);
    assert_int_equal(weft_future_await(NULL, &value, 0), -EINVAL);
}

static void gives_up(void **state)
{
    (void)state;
    weft_future future = {{0}};

    assert_gives_up(await_future, &future, true);
    assert_int_equal(weft_future_set(&future, 0), 0);
    assert_int_equal(weft_future_await(&future, NULL, 0), 0);
}

/* ---- from everywhere ------------------------------------------------------------ */

enum { SETTERS = 4, AWAITERS = 4 };

struct race {
    weft_future future;
    atomic_int  next, won, lost;
    atomic_long winner;
};

static int set_it(void *arg)
{
    struct race *race = arg;
    int          mine = 100 + atomic_fetch_add(&race->next, 1);
    int          result = weft_future_set(&race->future, mine);

    task_check(result == 0 || result == -EALREADY);
    atomic_fetch_add(result == 0 ? &race->won : &race->lost, 1);
    if (result == 0) atomic_store(&race->winner, mine);
    return 0;
}

static int await_it(void *arg)
{
    struct race *race = arg;
    intptr_t     value = 0;

    task_check(weft_future_await(&race->future, &value, WEFT_NEVER) == 0);
    return (int)value;
}

static void set_in_thread(void *arg)
{
    set_it(arg);
}

static int race_to_set(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(1000); i++) {
        struct race race = {.next = 0};
        weft_task   setters[SETTERS], awaiters[AWAITERS];
        test_thread thread;
        bool        by_thread = i % 16 == 0;

        if (by_thread) test_thread_start(&thread, set_in_thread, &race);
        for (int t = 0; t < AWAITERS; t++) weft_spawn(&awaiters[t], await_it, &race);
        for (int t = 0; t < SETTERS; t++) weft_spawn(&setters[t], set_it, &race);
        for (int t = 0; t < SETTERS; t++) task_check(weft_await(&setters[t]) == 0);
        if (by_thread) test_thread_join(&thread);
        for (int t = 0; t < AWAITERS; t++) task_check(weft_await(&awaiters[t]) == atomic_load(&race.winner));
        task_check(atomic_load(&race.won) == 1);
        task_check(atomic_load(&race.lost) == SETTERS - 1 + by_thread);
    }
    return 0;
}

static void one_of_many_sets_it(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(race_to_set, NULL), 0);
}

/* In the frame of the one who awaits it: from another runtime, and from a thread. */
static int set_from_elsewhere(void *future)
{
    return weft_future_set(future, 11);
}

static void set_in_plain_thread(void *future)
{
    task_check(weft_future_set(future, 11) == 0);
}

static int await_from_elsewhere(void *other)
{
    for (size_t i = 0; i < test_scale(500); i++) {
        weft_future future = {{0}};
        intptr_t    value = 0;
        test_thread thread;
        bool        by_thread = i % 16 == 0;

        if (by_thread) test_thread_start(&thread, set_in_plain_thread, &future);
        else task_check(weft_runtime_go(other, set_from_elsewhere, &future, 0) == 0);
        task_check(weft_future_await(&future, &value, WEFT_NEVER) == 0);
        task_check(value == 11);
        if (by_thread) test_thread_join(&thread);
    }
    return 0;
}

static void value_comes_from_another_runtime(void **state)
{
    (void)state;
    weft_runtime *other;

    assert_int_equal(weft_runtime_start(&other, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(await_from_elsewhere, other), 0);
    assert_int_equal(weft_runtime_stop(other), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_first_value_for_good),
        cmocka_unit_test(gives_up),
        cmocka_unit_test(one_of_many_sets_it),
        cmocka_unit_test(value_comes_from_another_runtime),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
