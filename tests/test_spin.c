/* test_spin.c - one holder at a time, and the word's other bits are the holder's */
#include "support.h"

#include "spin.h"

static void word_keeps_its_other_bits(void **state)
{
    (void)state;
    const uintptr_t values[] = {0, 2, 0x1000, UINTPTR_MAX - 1};
    spin_word       word = 0;

    for (size_t i = 0; i < TEST_LENGTH(values); i++) {
        uintptr_t before = load_relaxed(&word);
        assert_true(spin_take(&word) == before);
        assert_true(load_relaxed(&word) == (before | SPIN_HELD));
        spin_drop(&word, values[i]);
        assert_true(load_relaxed(&word) == values[i]);
    }
}

struct guarded {
    spin_word word;
    size_t    count; /* under the lock; plain, so that ThreadSanitizer watches too */
    size_t    rounds;
    unsigned  pause; /* steps that a holder computes for */
};

/* The word counts as well, by twos. */
static void count_up(void *arg)
{
    struct guarded *g = arg;

    for (size_t i = 0; i < g->rounds; i++) {
        uintptr_t value = spin_take(&g->word);
        size_t    before = *(volatile size_t *)&g->count;
        test_spin(g->pause);
        *(volatile size_t *)&g->count = before + 1;
        spin_drop(&g->word, value + 2);
    }
}

static void one_at_a_time(void **state)
{
    (void)state;
    const unsigned pauses[] = {0, 10, 2000};
    test_thread    threads[4];

    for (size_t i = 0; i < TEST_LENGTH(pauses); i++) {
        struct guarded g = {.rounds = test_scale(pauses[i] > 100 ? 5000 : 100000), .pause = pauses[i]};
        for (size_t t = 0; t < TEST_LENGTH(threads); t++) test_thread_start(&threads[t], count_up, &g);
        for (size_t t = 0; t < TEST_LENGTH(threads); t++) test_thread_join(&threads[t]);
        assert_int_equal(g.count, TEST_LENGTH(threads) * g.rounds);
        assert_true(load_relaxed(&g.word) == 2 * g.count);
    }
}

/* Long enough for those who wait to have gone through all their ways of doing so. */
static void long_holder_is_waited_for(void **state)
{
    (void)state;
    struct guarded g = {.rounds = 1};
    test_thread    threads[4];

    spin_take(&g.word);
    for (size_t t = 0; t < TEST_LENGTH(threads); t++) test_thread_start(&threads[t], count_up, &g);
    test_sleep(50 * WEFT_MS);
    assert_int_equal(g.count, 0);
    spin_drop(&g.word, 0);
    for (size_t t = 0; t < TEST_LENGTH(threads); t++) test_thread_join(&threads[t]);
    assert_int_equal(g.count, TEST_LENGTH(threads));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_keeps_its_other_bits),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(long_holder_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
