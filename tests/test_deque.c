/* test_deque.c - what each call of the deque does, without a second thread; model_deque has the races */
#include "support.h"

#include <stdlib.h>

#include "deque.h"

/* ---- entries that are numbers, from 1 ----------------------------------------------------- */

static void *entry(uintptr_t number)
{
    return (void *)number;
}

static struct deque deque;

static int setup(void **state)
{
    (void)state;
    return deque_init(&deque) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    deque_destroy(&deque);
    return 0;
}

static void push(uintptr_t begin, uintptr_t end)
{
    for (uintptr_t i = begin; i < end; i++) assert_true(deque_push(&deque, entry(i)));
}

/* The numbers end - 1 down to begin. */
static void pop(uintptr_t begin, uintptr_t end)
{
    while (end-- > begin) assert_ptr_equal(deque_pop(&deque), entry(end));
}

/* Steals `count` at most; the numbers from `begin` come in order.  How many. */
static uint32_t steal(uintptr_t begin, uint32_t count)
{
    void   **items = malloc((count + 1) * sizeof *items);
    uint32_t n = deque_steal(&deque, items, count);

    assert_true(n <= count);
    for (uint32_t i = 0; i < n; i++) assert_ptr_equal(items[i], entry(begin + i));
    free(items);
    return n;
}

static void assert_empty(void)
{
    assert_int_equal(deque_length(&deque), 0);
    assert_int_equal(deque_public(&deque), 0);
    assert_null(deque_pop(&deque));
    assert_false(deque_pop_if(&deque, entry(1)));
    assert_int_equal(steal(0, 4), 0);
}

/* ---- the owner alone -------------------------------------------------------------------------- */

static void newest_is_popped_first(void **state)
{
    (void)state;
    assert_empty();
    for (uintptr_t n = 1; n <= DEQUE_MIN; n++) {
        push(1, n);
        assert_int_equal(deque_length(&deque), n - 1);
        pop(1, n);
        assert_empty();
    }
}

static void pop_if_takes_only_that_one(void **state)
{
    (void)state;
    push(1, 4);
    assert_false(deque_pop_if(&deque, entry(2)));
    assert_false(deque_pop_if(&deque, entry(4)));
    assert_true(deque_pop_if(&deque, entry(3)));
    assert_false(deque_pop_if(&deque, entry(3))); /* its slot still says so */
    assert_true(deque_pop_if(&deque, entry(2)));
    assert_true(deque_pop_if(&deque, entry(1)));
    assert_empty();

    /* One that is public is still the owner's, until a thief has it. */
    push(1, 2);
    deque_publish(&deque);
    assert_true(deque_pop_if(&deque, entry(1)));
    push(1, 2);
    deque_publish(&deque);
    assert_int_equal(steal(1, 1), 1);
    assert_false(deque_pop_if(&deque, entry(1)));
    assert_empty();
}

static void growing_keeps_entries_and_order(void **state)
{
    (void)state;
    enum { MANY = 10 * DEQUE_MIN };

    push(1, MANY);
    pop(MANY / 2, MANY);
    push(MANY / 2, 2 * MANY);
    pop(1, 2 * MANY);
    assert_empty();
}

static void push_fast_leaves_growing_to_push_slow(void **state)
{
    (void)state;
    push(1, DEQUE_MIN + 1);
    assert_false(deque_push_fast(&deque, entry(DEQUE_MIN + 1)));
    assert_int_equal(deque_length(&deque), DEQUE_MIN);
    assert_true(deque_push_slow(&deque, entry(DEQUE_MIN + 1)));
    assert_true(deque_push_fast(&deque, entry(DEQUE_MIN + 2)));
    pop(1, DEQUE_MIN + 3);
    /* Where thieves have made room, it grows no more than it must: bottom goes on, the ring does not. */
    uint32_t mask = deque.own->mask;
    for (unsigned i = 0; i < 100; i++) {
        push(1, DEQUE_MIN + 1);
        for (uintptr_t at = 1; at <= DEQUE_MIN;) {
            deque_publish(&deque);
            at += steal(at, DEQUE_MIN);
        }
    }
    assert_int_equal(deque.own->mask, mask);
    assert_empty();
}

/* ---- publishing and stealing -------------------------------------------------------------------- */

static void private_entries_are_not_stolen(void **state)
{
    (void)state;
    push(1, 100);
    assert_int_equal(deque_public(&deque), 0);
    assert_int_equal(steal(1, 100), 0);
    assert_int_equal(deque_length(&deque), 99);
    pop(1, 100);
}

static void publish_gives_half_rounded_up(void **state)
{
    (void)state;
    deque_publish(&deque);
    assert_empty();
    for (uint32_t n = 1; n < 50; n++) {
        push(1, n + 1);
        deque_publish(&deque);
        assert_int_equal(deque_public(&deque), (n + 1) / 2);
        assert_int_equal(deque_length(&deque), n);
        /* Not again while some are left. */
        deque_publish(&deque);
        assert_int_equal(deque_public(&deque), (n + 1) / 2);
        uintptr_t at = 1;
        while (deque_length(&deque) > 0) {
            deque_publish(&deque);
            at += steal(at, UINT32_C(1) << 16);
        }
        assert_int_equal(at, n + 1);
        assert_empty();
    }
}

static void publish_gives_no_more_than_can_be_counted(void **state)
{
    (void)state;
    const uint32_t many = 3 * DEQUE_COUNT_MAX;

    push(1, many + 1);
    deque_publish(&deque);
    assert_int_equal(deque_public(&deque), DEQUE_COUNT_MAX);
    assert_int_equal(steal(1, many), DEQUE_COUNT_MAX);
    deque_force(&deque);
    assert_int_equal(deque_public(&deque), DEQUE_COUNT_MAX);
    assert_int_equal(deque_length(&deque), 2 * DEQUE_COUNT_MAX);
    pop(DEQUE_COUNT_MAX + 1, many + 1);
    assert_empty();
}

static void oldest_is_stolen_first(void **state)
{
    (void)state;
    push(1, 21);
    deque_publish(&deque);
    assert_int_equal(steal(1, 0), 0);
    assert_int_equal(steal(1, 1), 1);
    assert_int_equal(steal(2, 3), 3);
    assert_int_equal(deque_public(&deque), 6);
    assert_int_equal(steal(5, 100), 6);
    assert_int_equal(deque_public(&deque), 0);
    assert_int_equal(steal(11, 100), 0);
    deque_publish(&deque);
    assert_int_equal(steal(11, 100), 5);
    pop(16, 21);
    assert_empty();
}

static void owner_reclaims_half_of_what_is_public(void **state)
{
    (void)state;
    push(1, 41);
    deque_publish(&deque);
    pop(21, 41);
    assert_int_equal(deque_public(&deque), 20);
    pop(20, 21);
    assert_int_equal(deque_public(&deque), 10);
    assert_int_equal(deque_length(&deque), 19);
    assert_int_equal(steal(1, 2), 2);
    pop(11, 20);
    assert_int_equal(deque_public(&deque), 8);
    pop(10, 11);
    assert_int_equal(deque_public(&deque), 4);
    assert_int_equal(steal(3, 100), 4);
    pop(7, 10);
    assert_empty();
}

/* Push after a reclaim goes where the popped ones were, and thieves get the new ones. */
static void indices_are_used_again(void **state)
{
    (void)state;
    for (uintptr_t base = 1000; base < 100000; base += 1000) {
        push(base, base + 8);
        deque_publish(&deque);
        pop(base + 1, base + 8);
        push(base + 1, base + 6);
        for (uintptr_t at = base; at < base + 6;) {
            deque_publish(&deque);
            at += steal(at, 2);
        }
        assert_empty();
    }
}

/* ---- force ------------------------------------------------------------------------------------------ */

static void force_publishes_in_the_owners_place(void **state)
{
    (void)state;
    deque_force(&deque);
    assert_empty();
    for (uint32_t n = 1; n < 50; n++) {
        push(1, n + 1);
        deque_force(&deque);
        assert_int_equal(deque_public(&deque), (n + 1) / 2);
        deque_force(&deque);
        assert_int_equal(deque_public(&deque), (n + 1) / 2);
        assert_int_equal(steal(1, 1), 1);
        pop(2, n + 1);
        assert_empty();
    }
}

/* The thief that claims stands between its two steps. */
static void owner_refuses_a_claim(void **state)
{
    (void)state;
    push(1, 5);
    uint64_t word = load_relaxed(&deque.word);
    uint64_t claim = word + 2 + (UINT64_C(2) << 24) + DEQUE_PENDING;
    store_relaxed(&deque.word, claim);
    assert_int_equal(deque_public(&deque), 0);
    assert_int_equal(deque_length(&deque), 4);
    assert_int_equal(steal(1, 4), 0);
    deque_publish(&deque);
    deque_force(&deque);
    assert_int_equal(load_relaxed(&deque.word), claim);
    /* Above the claim everything is the owner's. */
    pop(3, 5);
    assert_int_equal(load_relaxed(&deque.word), claim);
    pop(2, 3);
    assert_false(load_relaxed(&deque.word) & DEQUE_PENDING);
    assert_true(load_relaxed(&deque.word) >> 40 != claim >> 40);
    assert_int_equal(deque_length(&deque), 1);
    assert_int_equal(deque_public(&deque), 0);
    /* The thief finds another word, and nothing was lost. */
    deque_force(&deque);
    assert_int_equal(steal(1, 4), 1);
    assert_empty();
}

/* ---- limits ------------------------------------------------------------------------------------------- */

static void full_is_refused_and_loses_nothing(void **state)
{
    (void)state;
    push(1, DEQUE_MAX + 1);
    assert_int_equal(deque_length(&deque), DEQUE_MAX);
    assert_false(deque_push(&deque, entry(DEQUE_MAX + 1)));
    assert_false(deque_push_slow(&deque, entry(DEQUE_MAX + 1)));
    assert_int_equal(deque_length(&deque), DEQUE_MAX);
    /* Room that a thief makes is room. */
    deque_publish(&deque);
    assert_int_equal(steal(1, 3), 3);
    push(DEQUE_MAX + 1, DEQUE_MAX + 4);
    assert_false(deque_push(&deque, entry(DEQUE_MAX + 4)));
    pop(4, DEQUE_MAX + 4);
    assert_empty();
}

/* Indices are modulo 2^24, bottom modulo 2^32: twice round the first, and over the end of the second. */
static void indices_wrap(void **state)
{
    (void)state;
    enum { BATCH = 1 << 14 };
    uintptr_t      at = 1;
    uint32_t       wraps = 0;
    static void   *items[BATCH];
    const uint32_t total = UINT32_C(1) << 25;

    /* Without asserts for each entry, which would take most of the time. */
    for (uint32_t done = 0, wrong = 0; done < total; done += BATCH) {
        uint32_t before = load_relaxed(&deque.bottom) & 0xffffff;
        for (uint32_t i = 0; i < BATCH + 2; i++) wrong += !deque_push(&deque, entry(at + i));
        wrong += deque_pop(&deque) != entry(at + BATCH + 1);
        for (uint32_t taken = 0; taken < BATCH;) {
            deque_publish(&deque);
            uint32_t n = deque_steal(&deque, items, BATCH - taken);
            for (uint32_t i = 0; i < n; i++) wrong += items[i] != entry(at + taken + i);
            taken += n;
        }
        wrong += deque_pop(&deque) != entry(at + BATCH);
        assert_int_equal(wrong, 0);
        assert_int_equal(deque_length(&deque), 0);
        at += BATCH;
        wraps += (load_relaxed(&deque.bottom) & 0xffffff) < before;
    }
    assert_in_range(wraps, 2, 3);
}

static void pop_and_steal_meet_where_indices_wrap(void **state)
{
    (void)state;
    const uint32_t edges[] = {UINT32_C(1) << 24, UINT32_C(1) << 23, 0};

    for (size_t e = 0; e < TEST_LENGTH(edges); e++)
        for (uint32_t before = 0; before <= 12; before++) {
            /* As if so many had come and gone. */
            uint32_t bottom = edges[e] - before;
            store_relaxed(&deque.bottom, bottom);
            store_relaxed(&deque.word, bottom & 0xffffff);
            deque.limit = bottom + deque.own->mask + 1;
            push(1, 13);
            deque_publish(&deque);
            assert_int_equal(deque_public(&deque), 6);
            assert_int_equal(steal(1, 2), 2);
            pop(6, 13);
            assert_int_equal(deque_public(&deque), 2);
            assert_int_equal(steal(3, 9), 2);
            pop(5, 6);
            assert_empty();
            push(1, 2 * DEQUE_MIN);
            deque_force(&deque);
            assert_int_equal(steal(1, 1), 1);
            pop(2, 2 * DEQUE_MIN);
            assert_empty();
        }
}

int main(void)
{
#define WITH_DEQUE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_DEQUE(newest_is_popped_first),
        WITH_DEQUE(pop_if_takes_only_that_one),
        WITH_DEQUE(growing_keeps_entries_and_order),
        WITH_DEQUE(push_fast_leaves_growing_to_push_slow),
        WITH_DEQUE(private_entries_are_not_stolen),
        WITH_DEQUE(publish_gives_half_rounded_up),
        WITH_DEQUE(publish_gives_no_more_than_can_be_counted),
        WITH_DEQUE(oldest_is_stolen_first),
        WITH_DEQUE(owner_reclaims_half_of_what_is_public),
        WITH_DEQUE(indices_are_used_again),
        WITH_DEQUE(force_publishes_in_the_owners_place),
        WITH_DEQUE(owner_refuses_a_claim),
        WITH_DEQUE(full_is_refused_and_loses_nothing),
        WITH_DEQUE(indices_wrap),
        WITH_DEQUE(pop_and_steal_meet_where_indices_wrap),
    };

    platform_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
