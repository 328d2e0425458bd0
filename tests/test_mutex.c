/* test_mutex.c - one at a time, nobody overtaken for ever, and no touch once it is free */
#include "support_wait.h"

#include <stdlib.h>

static int lock_it(void *mutex, weft_time deadline)
{
    (void)deadline;
    weft_mutex_lock(mutex);
    weft_mutex_unlock(mutex);
    return 0;
}

static void trylock_tells_whether_it_is_free(void **state)
{
    (void)state;
    weft_mutex mutex = {{0}};

    for (int i = 0; i < 3; i++) {
        assert_true(weft_mutex_trylock(&mutex));
        assert_false(weft_mutex_trylock(&mutex));
        weft_mutex_unlock(&mutex);
        weft_mutex_lock(&mutex);
        assert_false(weft_mutex_trylock(&mutex));
        weft_mutex_unlock(&mutex);
    }
}

/* ---- one at a time ---------------------------------------------------------- */

enum { TASKS = 8, THREADS = 2 };

struct guarded {
    weft_mutex mutex;
    size_t     count; /* plain, so that ThreadSanitizer watches too */
    size_t     rounds;
    unsigned   pause; /* steps that a holder computes for */
    unsigned   yield; /* a holder lets others run, once in so many rounds; 0: never */
};

static int count_up(void *arg)
{
    struct guarded *g = arg;

    for (size_t i = 0; i < g->rounds; i++) {
        if (i % 8 || !weft_mutex_trylock(&g->mutex)) weft_mutex_lock(&g->mutex);
        size_t before = *(volatile size_t *)&g->count;
        test_spin(g->pause);
        if (g->yield && i % g->yield == 0) weft_yield();
        *(volatile size_t *)&g->count = before + 1;
        weft_mutex_unlock(&g->mutex);
    }
    return 0;
}

static void count_up_in_thread(void *arg)
{
    count_up(arg);
}

static int count_up_together(void *arg)
{
    weft_task   tasks[TASKS];
    test_thread threads[THREADS];

    for (int i = 0; i < THREADS; i++) test_thread_start(&threads[i], count_up_in_thread, arg);
    for (int i = 0; i < TASKS; i++) weft_spawn(&tasks[i], count_up, arg);
    for (int i = 0; i < TASKS; i++) task_check(weft_await(&tasks[i]) == 0);
    for (int i = 0; i < THREADS; i++) test_thread_join(&threads[i]);
    return 0;
}

static void one_at_a_time_holds_it(void **state)
{
    (void)state;
    const struct guarded all[] = {
        {.rounds = test_scale(40000)},
        {.rounds = test_scale(4000), .pause = 200},
        {.rounds = test_scale(2000), .pause = 10, .yield = 3},
        {.rounds = test_scale(2000), .yield = 1},
    };

    for (size_t i = 0; i < TEST_LENGTH(all); i++) {
        struct guarded g = all[i];
        assert_int_equal(test_run_workers(count_up_together, &g), 0);
        assert_int_equal(g.count, (TASKS + THREADS) * g.rounds);
        assert_true(weft_mutex_trylock(&g.mutex));
    }
}

/* ---- waiting ----------------------------------------------------------------- */

enum { SOME = 6 };

static int wait_in_order(void *arg)
{
    struct test_wait waits[SOME];
    weft_mutex       mutex = {{0}};

    (void)arg;
    test_wait_turns = 0;
    weft_mutex_lock(&mutex);
    for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], lock_it, &mutex, WEFT_NEVER);
    test_wait_settle();
    task_check(test_wait_turns == 0);
    /* That they are cancelled does not end their wait. */
    for (int i = 0; i < SOME; i += 2) weft_cancel(&waits[i].task);
    test_wait_settle();
    task_check(test_wait_turns == 0);
    weft_mutex_unlock(&mutex);
    for (int i = 0; i < SOME; i++) {
        task_check(test_wait_end(&waits[i]) == 0);
        task_check(waits[i].turn == i + 1);
    }
    task_check(weft_mutex_trylock(&mutex));
    return 0;
}

static void those_that_wait_have_it_in_their_order(void **state)
{
    (void)state;
    assert_int_equal(test_run(wait_in_order, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

static int unlock_it(void *mutex)
{
    weft_mutex_unlock(mutex);
    return 0;
}

/* The mutex belongs to nobody in particular. */
static int unlock_by_another(void *arg)
{
    weft_task  task;
    weft_mutex mutex = {{0}};

    (void)arg;
    weft_mutex_lock(&mutex);
    weft_spawn(&task, unlock_it, &mutex);
    weft_mutex_lock(&mutex);
    return weft_await(&task);
}

static void another_task_may_unlock_it(void **state)
{
    (void)state;
    assert_int_equal(test_run(unlock_by_another, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(unlock_by_another, NULL), 0);
}

/* ---- fairness -------------------------------------------------------------- */

/* Whoever is woken finds it locked again, so it would lose for ever.  It stays the first of those that wait, so once it
 * is handed the mutex the holder is behind them all. */
struct again {
    weft_time held; /* for so long in each round; 0: others run once */
    bool      any_order;
};

static int lock_again_at_once(void *arg)
{
    const struct again *again = arg;
    struct test_wait    waits[SOME];
    weft_mutex          mutex = {{0}};
    int                 rounds = 0;

    test_wait_turns = 0;
    weft_mutex_lock(&mutex);
    for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], lock_it, &mutex, WEFT_NEVER);
    for (; test_wait_turns < SOME && rounds < 10000; rounds++) {
        if (again->held) weft_sleep(weft_now() + again->held);
        else weft_yield();
        weft_mutex_unlock(&mutex);
        weft_mutex_lock(&mutex);
    }
    task_check(test_wait_turns == SOME);
    weft_mutex_unlock(&mutex);
    for (int i = 0; i < SOME; i++) {
        task_check(test_wait_end(&waits[i]) == 0);
        if (!again->any_order) task_check(waits[i].turn == i + 1);
    }
    return rounds;
}

static void nobody_is_overtaken_for_ever(void **state)
{
    (void)state;
    struct again once = {0}, drawn = {.any_order = true};

    assert_in_range(test_run(lock_again_at_once, &once, WEFT_OPTIONS(.workers = 1)), 1, 1000);
    /* Time stands still, and who runs in a round is drawn. */
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_in_range(test_run(lock_again_at_once, &drawn, WEFT_OPTIONS(.seed = seed)), 1, 9999);
}

/* One round until it loses. */
static void who_has_waited_for_long_is_overtaken_once(void **state)
{
    (void)state;
    struct again asleep = {.held = 2 * WEFT_MS};

    assert_in_range(test_run(lock_again_at_once, &asleep, WEFT_OPTIONS(.workers = 1)), 1, SOME - 1);
}

static uint64_t switches(void)
{
    struct weft_stats stats = {.size = sizeof stats};

    task_check(weft_stats(&stats) == 0);
    return stats.switches;
}

/* As long as the one that was woken has not run, the others would only find out that they have to wait on. */
static int unlock_often(void *arg)
{
    struct test_wait waits[SOME];
    weft_mutex       mutex = {{0}};

    (void)arg;
    weft_mutex_lock(&mutex);
    for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], lock_it, &mutex, WEFT_NEVER);
    for (int i = 0; i < 100; i++) {
        weft_mutex_unlock(&mutex);
        weft_mutex_lock(&mutex);
    }
    uint64_t before = switches();
    test_wait_settle();
    if (!TEST_CHAOS) task_check(switches() > before); /* else it may have run in between */
    task_check(switches() < before + SOME);
    weft_mutex_unlock(&mutex);
    for (int i = 0; i < SOME; i++) task_check(test_wait_end(&waits[i]) == 0);
    return 0;
}

static void one_at_a_time_is_woken(void **state)
{
    (void)state;
    assert_int_equal(test_run(unlock_often, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

static int set_flag(void *flag)
{
    atomic_store((atomic_bool *)flag, true);
    return 0;
}

static int lock_for_ever(void *arg)
{
    atomic_bool seen = false;
    weft_mutex  mutex = {{0}};

    (void)arg;
    task_check(weft_go(set_flag, &seen, 0) == 0);
    while (!atomic_load(&seen)) {
        weft_mutex_lock(&mutex);
        weft_mutex_unlock(&mutex);
    }
    return 0;
}

static void a_lock_lets_others_run(void **state)
{
    (void)state;
    assert_int_equal(test_run(lock_for_ever, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- the storage ------------------------------------------------------------- */

enum { OWNERS = 4 };

struct owned {
    weft_mutex mutex;
    int        owners;
    unsigned   pause;
};

/* The last one has just locked and unlocked it, so it is nobody else's. */
static int let_go(void *arg)
{
    struct owned *owned = arg;

    weft_mutex_lock(&owned->mutex);
    bool last = --owned->owners == 0;
    test_spin(owned->pause);
    weft_mutex_unlock(&owned->mutex);
    if (last) free(owned);
    return 0;
}

static void let_go_in_thread(void *arg)
{
    for (struct owned **all = arg; *all; all++) let_go(*all);
}

static int let_go_together(void *arg)
{
    size_t         count = test_scale(4000);
    struct owned **all = calloc(count + 1, sizeof(struct owned *));
    test_thread    thread;

    (void)arg;
    for (size_t i = 0; i < count; i++) {
        all[i] = calloc(1, sizeof *all[i]);
        all[i]->owners = OWNERS + 1;
        all[i]->pause = i % 64;
    }
    test_thread_start(&thread, let_go_in_thread, all);
    for (size_t i = 0; i < count; i++) {
        struct owned *owned = all[i];
        weft_task     tasks[OWNERS];
        for (int t = 0; t < OWNERS; t++) weft_spawn(&tasks[t], let_go, owned);
        for (int t = 0; t < OWNERS; t++) task_check(weft_await(&tasks[t]) == 0);
    }
    test_thread_join(&thread);
    free(all);
    return 0;
}

static void the_last_to_unlock_may_free_it(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(let_go_together, NULL), 0);
}

/* ---- misuse ---------------------------------------------------------------- */

static int unlock_unlocked(void)
{
    weft_mutex mutex = {{0}};

    weft_mutex_unlock(&mutex);
    return 0;
}

static int unlock_twice(void)
{
    weft_mutex mutex = {{0}};

    weft_mutex_lock(&mutex);
    weft_mutex_unlock(&mutex);
    weft_mutex_unlock(&mutex);
    return 0;
}

static int unlock_twice_with_waiters(void *arg)
{
    struct test_wait waits[SOME];
    weft_mutex       mutex = {{0}};

    (void)arg;
    weft_mutex_lock(&mutex);
    for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], lock_it, &mutex, WEFT_NEVER);
    weft_mutex_unlock(&mutex);
    weft_mutex_unlock(&mutex);
    return 0;
}

static int unlock_waited_for_twice(void)
{
    return weft_run(unlock_twice_with_waiters, NULL, WEFT_OPTIONS(.workers = 1));
}

static const struct test_part parts[] = {
    {"unlock_unlocked", unlock_unlocked},
    {"unlock_twice", unlock_twice},
    {"unlock_waited_for_twice", unlock_waited_for_twice},
};

static void unlock_of_what_is_not_locked_stops_the_program(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_LENGTH(parts); i++)
        assert_part_stops(parts[i].name, "a mutex is unlocked that is not locked");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trylock_tells_whether_it_is_free),
        cmocka_unit_test(one_at_a_time_holds_it),
        cmocka_unit_test(those_that_wait_have_it_in_their_order),
        cmocka_unit_test(another_task_may_unlock_it),
        cmocka_unit_test(nobody_is_overtaken_for_ever),
        cmocka_unit_test(who_has_waited_for_long_is_overtaken_once),
        cmocka_unit_test(one_at_a_time_is_woken),
        cmocka_unit_test(a_lock_lets_others_run),
        cmocka_unit_test(the_last_to_unlock_may_free_it),
        cmocka_unit_test(unlock_of_what_is_not_locked_stops_the_program),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
