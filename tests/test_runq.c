/* test_runq.c - a worker's queue: oldest first, bounded, each entry taken once */
#include "support.h"

#include "runq.h"

static struct runq queue;

static void oldest_is_taken_first(void **state)
{
    (void)state;
    runq_init(&queue);
    for (uintptr_t round = 0; round < 5; round++) {
        assert_int_equal(runq_length(&queue), 0);
        assert_int_equal(runq_pop(&queue), 0);
        for (uintptr_t i = 1; i <= 100; i++) {
            assert_true(runq_push(&queue, i));
            assert_int_equal(runq_length(&queue), i);
        }
        for (uintptr_t i = 1; i <= 100; i++) {
            assert_int_equal(runq_pop(&queue), i);
            assert_int_equal(runq_length(&queue), 100 - i);
        }
    }
    assert_int_equal(runq_pop(&queue), 0);
}

static void full_is_refused_and_loses_nothing(void **state)
{
    (void)state;
    runq_init(&queue);
    for (uintptr_t i = 1; i <= RUNQ_SIZE; i++) assert_true(runq_push(&queue, i));
    assert_false(runq_push(&queue, RUNQ_SIZE + 1));
    assert_int_equal(runq_length(&queue), RUNQ_SIZE);
    for (uintptr_t i = 1; i <= 3 * RUNQ_SIZE; i++) {
        assert_int_equal(runq_pop(&queue), i);
        assert_true(runq_push(&queue, RUNQ_SIZE + i));
        assert_false(runq_push(&queue, 1));
    }
    for (uintptr_t i = 1; i <= RUNQ_SIZE; i++) assert_int_equal(runq_pop(&queue), 3 * RUNQ_SIZE + i);
    assert_int_equal(runq_pop(&queue), 0);
}

/* Head and tail count modulo 2^32. */
static void counts_wrap(void **state)
{
    (void)state;
    for (uint32_t before = 0; before < 2 * RUNQ_SIZE; before += 101) {
        runq_init(&queue);
        atomic_set(&queue.head, UINT32_MAX - before);
        atomic_set(&queue.tail, UINT32_MAX - before);
        assert_int_equal(runq_length(&queue), 0);
        assert_int_equal(runq_pop(&queue), 0);
        for (uintptr_t i = 1; i <= RUNQ_SIZE; i++) assert_true(runq_push(&queue, i));
        assert_false(runq_push(&queue, 1));
        assert_int_equal(runq_length(&queue), RUNQ_SIZE);
        for (uintptr_t i = 1; i <= RUNQ_SIZE; i++) assert_int_equal(runq_pop(&queue), i);
        assert_int_equal(runq_pop(&queue), 0);
        assert_int_equal(runq_length(&queue), 0);
    }
}

/* ---- the owner and thieves ------------------------------------------------------------------------- */

enum { THIEVES = 2, ENTRIES = 400000 };

static size_t        entries;
static atomic_size_t taken;
static atomic_char   seen[ENTRIES];
static int           payload[ENTRIES]; /* plain: its order comes with the entry */

static void take(uintptr_t item, uintptr_t *newest)
{
    task_check(item > *newest);
    *newest = item;
    task_check(payload[item - 1] == (int)item);
    task_check(atomic_fetch_add(&seen[item - 1], 1) == 0);
    atomic_fetch_add(&taken, 1);
}

static void steal_all(void *arg)
{
    uintptr_t newest = 0;

    (void)arg;
    while (atomic_load(&taken) < entries) {
        uintptr_t item = runq_pop(&queue);
        if (item) take(item, &newest);
        else weft_yield();
    }
}

static void each_entry_is_taken_once(void **state)
{
    (void)state;
    test_thread threads[THIEVES];
    uintptr_t   newest = 0;

    runq_init(&queue);
    entries = test_scale(ENTRIES);
    for (unsigned i = 0; i < THIEVES; i++) test_thread_start(&threads[i], steal_all, NULL);
    for (uintptr_t next = 1; next <= entries;) {
        payload[next - 1] = (int)next;
        if (runq_push(&queue, next)) next++;
        uintptr_t item = next % 3 ? 0 : runq_pop(&queue);
        if (item) take(item, &newest);
    }
    for (unsigned i = 0; i < THIEVES; i++) test_thread_join(&threads[i]);
    assert_task_checks();
    assert_int_equal(atomic_load(&taken), entries);
    assert_int_equal(runq_pop(&queue), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oldest_is_taken_first),
        cmocka_unit_test(full_is_refused_and_loses_nothing),
        cmocka_unit_test(counts_wrap),
        cmocka_unit_test(each_entry_is_taken_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
