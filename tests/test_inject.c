/* test_inject.c - the shared queue: oldest first, nothing lost, nothing twice */
#include "support.h"

#include "inject.h"

struct thing {
    ready_link link;
    unsigned   maker;
    unsigned   number;
};

static struct thing *thing_of(ready_t item)
{
    return container_of(ready_to_link(item), struct thing, link);
}

static void oldest_is_taken_first(void **state)
{
    (void)state;
    struct inject queue;
    struct thing  things[10] = {0};

    inject_init(&queue);
    for (unsigned round = 0; round < 3; round++) {
        assert_true(inject_empty(&queue));
        assert_int_equal(inject_take(&queue), 0);
        for (unsigned i = 0; i < TEST_LENGTH(things); i++) {
            inject_put(&queue, ready_make(&things[i].link, i % 3));
            assert_false(inject_empty(&queue));
        }
        /* Of each kind, as it was put. */
        for (unsigned i = 0; i < TEST_LENGTH(things); i++) {
            assert_false(inject_empty(&queue));
            assert_true(inject_take(&queue) == ready_make(&things[i].link, i % 3));
        }
    }
    assert_true(inject_empty(&queue));
    assert_int_equal(inject_take(&queue), 0);
}

static void put_and_take_alternate(void **state)
{
    (void)state;
    struct inject queue;
    struct thing  things[100] = {0};
    unsigned      put = 0;
    unsigned      taken = 0;

    /* By turns two in and one out, then all out. */
    inject_init(&queue);
    while (taken < TEST_LENGTH(things)) {
        for (int i = 0; i < 2 && put < TEST_LENGTH(things); i++)
            inject_put(&queue, ready_make(&things[put++].link, READY_TASK));
        assert_true(inject_take(&queue) == ready_make(&things[taken++].link, READY_TASK));
    }
    assert_int_equal(inject_take(&queue), 0);
}

/* What was taken may be put again at once, and has no part in the list meanwhile. */
static void taken_entry_is_free(void **state)
{
    (void)state;
    struct inject queue;
    struct thing  things[2] = {0};
    ready_t       items[2] = {ready_make(&things[0].link, READY_TASK), ready_make(&things[1].link, READY_TASK)};

    inject_init(&queue);
    /* Whatever the link was used for before. */
    store_relaxed(&things[0].link, 12345);
    inject_put(&queue, items[0]);
    assert_true(inject_take(&queue) == items[0]);
    assert_int_equal(inject_take(&queue), 0);
    inject_put(&queue, items[0]);
    inject_put(&queue, items[1]);
    assert_true(inject_take(&queue) == items[0]);
    assert_int_equal(load_relaxed(&things[0].link), 0);
    inject_put(&queue, items[0]);
    assert_true(inject_take(&queue) == items[1]);
    assert_true(inject_take(&queue) == items[0]);
    assert_int_equal(load_relaxed(&things[0].link), 0);
    assert_int_equal(load_relaxed(&things[1].link), 0);
}

/* ---- by many threads --------------------------------------------------------------------------- */

enum { THREADS = 3, THINGS = 100000 };

static struct inject shared;
static struct thing  made[THREADS][THINGS];
static atomic_uint   makers;
static atomic_size_t count_taken;
static size_t        per_thread;
static atomic_char   seen[THREADS][THINGS];

static void make_things(void *arg)
{
    unsigned self = atomic_fetch_add(&makers, 1);

    (void)arg;
    for (unsigned i = 0; i < per_thread; i++) {
        made[self][i].maker = self;
        made[self][i].number = i + 1;
        inject_put(&shared, ready_make(&made[self][i].link, READY_TASK));
    }
}

static void take_things(void *arg)
{
    unsigned newest[THREADS] = {0};

    (void)arg;
    while (atomic_load(&count_taken) < THREADS * per_thread) {
        ready_t item = inject_take(&shared);
        if (!item) {
            weft_yield();
            continue;
        }
        struct thing *thing = thing_of(item);
        /* Of one maker's, each taker sees those that it gets in their order. */
        task_check(thing->number > newest[thing->maker]);
        newest[thing->maker] = thing->number;
        task_check(atomic_fetch_add(&seen[thing->maker][thing->number - 1], 1) == 0);
        atomic_fetch_add(&count_taken, 1);
    }
}

static void many_threads_put_and_take(void **state)
{
    (void)state;
    test_thread threads[2 * THREADS];

    inject_init(&shared);
    per_thread = test_scale(THINGS);
    for (unsigned i = 0; i < 2 * THREADS; i++) test_thread_start(&threads[i], i % 2 ? make_things : take_things, NULL);
    for (unsigned i = 0; i < 2 * THREADS; i++) test_thread_join(&threads[i]);
    assert_task_checks();
    assert_int_equal(atomic_load(&count_taken), THREADS * per_thread);
    assert_true(inject_empty(&shared));
    assert_int_equal(inject_take(&shared), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oldest_is_taken_first),
        cmocka_unit_test(put_and_take_alternate),
        cmocka_unit_test(taken_entry_is_free),
        cmocka_unit_test(many_threads_put_and_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
