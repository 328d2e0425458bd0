/* test_lock.c - one holder at a time; who waits for long sleeps, and is woken */
#include "support.h"

#include "lock.h"

enum { FREE = 0, HELD = 1, SLEPT_ON = 2 };

static void word_tells_the_state(void **state)
{
    (void)state;
    Atomic(uint32_t) lock = 0;

    for (int i = 0; i < 3; i++) {
        lock_take(&lock);
        assert_int_equal(load_relaxed(&lock), HELD);
        lock_drop(&lock);
        assert_int_equal(load_relaxed(&lock), FREE);
    }
    /* Without a holder the long way is as good as the short one. */
    lock_slow(&lock);
    assert_int_not_equal(load_relaxed(&lock), FREE);
    lock_drop(&lock);
    assert_int_equal(load_relaxed(&lock), FREE);
}

struct guarded {
    Atomic(uint32_t) lock;
    size_t           count; /* under the lock; plain, so that ThreadSanitizer watches too */
    size_t           rounds;
    unsigned         pause; /* steps that a holder computes for */
};

static void count_up(void *arg)
{
    struct guarded *g = arg;

    for (size_t i = 0; i < g->rounds; i++) {
        lock_take(&g->lock);
        size_t before = *(volatile size_t *)&g->count;
        test_spin(g->pause);
        *(volatile size_t *)&g->count = before + 1;
        lock_drop(&g->lock);
    }
}

static void one_at_a_time(void **state)
{
    (void)state;
    const unsigned pauses[] = {0, 10, 2000};
    test_thread    threads[4];

    for (size_t i = 0; i < TEST_LENGTH(pauses); i++) {
        struct guarded g = {.rounds = test_scale(pauses[i] > 100 ? 20000 : 200000), .pause = pauses[i]};
        for (size_t t = 0; t < TEST_LENGTH(threads); t++) test_thread_start(&threads[t], count_up, &g);
        for (size_t t = 0; t < TEST_LENGTH(threads); t++) test_thread_join(&threads[t]);
        assert_int_equal(g.count, TEST_LENGTH(threads) * g.rounds);
        assert_int_equal(load_relaxed(&g.lock), FREE);
    }
}

static void sleepers_are_woken_one_after_the_other(void **state)
{
    (void)state;
    struct guarded g = {.rounds = 1};
    test_thread    threads[4];

    lock_take(&g.lock);
    for (size_t t = 0; t < TEST_LENGTH(threads); t++) test_thread_start(&threads[t], count_up, &g);
    task_spin_until(load_relaxed(&g.lock) == SLEPT_ON);
    test_sleep(50 * WEFT_MS);
    assert_int_equal(g.count, 0);
    lock_drop(&g.lock);
    for (size_t t = 0; t < TEST_LENGTH(threads); t++) test_thread_join(&threads[t]);
    assert_int_equal(g.count, TEST_LENGTH(threads));
    assert_int_equal(load_relaxed(&g.lock), FREE);
    assert_task_checks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_tells_the_state),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(sleepers_are_woken_one_after_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
