/* stress_spawn.c - storms of tasks: none is lost, none runs twice */
#include "support.h"

#include <stdlib.h>

static atomic_size_t ran;

static int count_one(void *arg)
{
    atomic_fetch_add_explicit(&ran, 1, memory_order_relaxed);
    return arg ? *(int *)arg : 0;
}

/* ---- storms ----------------------------------------------------------------------- */

/* A tree whose shape, yields and order of awaits are random, but the same each
 * time for the same chance. */
struct tree {
    uint32_t chance;
    int      depth;
    size_t   size; /* of the tree below, itself included */
};

static int grow_tree(void *arg)
{
    struct tree *self = arg;
    weft_task    tasks[6];
    struct tree  children[6];
    unsigned     count = self->depth ? 1 + test_random(&self->chance) % TEST_LENGTH(tasks) : 0;
    bool         backward = test_random(&self->chance) % 2;

    atomic_fetch_add_explicit(&ran, 1, memory_order_relaxed);
    self->size = 1;
    for (unsigned i = 0; i < count; i++) {
        children[i] = (struct tree){test_random(&self->chance) | 1, self->depth - 1, 0};
        weft_spawn(&tasks[i], grow_tree, &children[i]);
        if (test_random(&self->chance) % 16 == 0) weft_yield();
    }
    for (unsigned i = 0; i < count; i++) {
        unsigned next = backward ? count - 1 - i : i;
        task_check(weft_await(&tasks[next]) == self->depth - 1);
        self->size += children[next].size;
    }
    return self->depth;
}

static void random_trees_are_complete(void **state)
{
    (void)state;
    size_t rounds = TEST_TSAN ? 3 : TEST_ASAN ? 10 : 40;

    for (uint32_t seed = 1; seed <= rounds; seed++) {
        struct tree tree = {seed * 2654435761u | 1, TEST_TSAN ? 4 : 7, 0};
        atomic_store(&ran, 0);
        assert_int_equal(test_run_workers(grow_tree, &tree), tree.depth);
        assert_int_equal(tree.size, atomic_load(&ran));
    }
}

/* One pops at the bottom what the others steal at the top: the last task of a
 * deque is what both want. */
static int spawn_one_at_a_time(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(300000); i++) {
        int       value = (int)i;
        weft_task task;

        weft_spawn(&task, count_one, &value);
        if (i % 4 == 0) test_spin(i % 100);
        task_check(weft_await(&task) == (int)i);
    }
    return 0;
}

static void last_task_is_popped_or_stolen(void **state)
{
    (void)state;
    atomic_store(&ran, 0);
    assert_int_equal(test_run_workers(spawn_one_at_a_time, NULL), 0);
    assert_int_equal(atomic_load(&ran), test_scale(300000));
}

static int spawn_all_then_await(void *arg)
{
    size_t     count = *(size_t *)arg;
    weft_task *tasks = malloc(count * sizeof *tasks);

    task_check(tasks);
    for (size_t i = 0; tasks && i < count; i++) weft_spawn(&tasks[i], count_one, NULL);
    for (size_t i = 0; tasks && i < count; i++) task_check(weft_await(&tasks[i]) == 0);
    free(tasks);
    return 0;
}

static void many_wait_their_turn(void **state)
{
    (void)state;
    for (size_t count = 1; count <= 1000000; count *= 10) {
        size_t scaled = test_scale(count);
        atomic_store(&ran, 0);
        assert_int_equal(test_run_workers(spawn_all_then_await, &scaled), 0);
        assert_int_equal(atomic_load(&ran), scaled);
    }
}

/* ---- await from many ----------------------------------------------------------------- */

static int await_another(void *arg)
{
    return weft_await(arg);
}

static int await_crosswise(void *arg)
{
    size_t     count = *(size_t *)arg;
    weft_task *tasks = malloc(count * sizeof *tasks);
    weft_task *awaiters = malloc(count * sizeof *awaiters);
    size_t    *targets = malloc(count * sizeof *targets);
    int       *values = malloc(count * sizeof *values);
    uint32_t   chance = 7;

    task_check(tasks && awaiters && targets && values);
    for (size_t i = 0; i < count; i++) targets[i] = i;
    for (size_t i = count - 1; i > 0; i--) {
        size_t j = test_random(&chance) % (i + 1);
        size_t swapped = targets[i];
        targets[i] = targets[j];
        targets[j] = swapped;
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = (int)i;
        weft_spawn(&tasks[i], count_one, &values[i]);
        if (i % 64 == 0) weft_yield();
    }
    for (size_t i = 0; i < count; i++) weft_spawn(&awaiters[i], await_another, &tasks[targets[i]]);
    for (size_t i = 0; i < count; i++) task_check(weft_await(&awaiters[i]) == (int)targets[i]);
    free(tasks);
    free(awaiters);
    free(targets);
    free(values);
    return 0;
}

static void tasks_are_awaited_from_many(void **state)
{
    (void)state;
    size_t count = test_stacks(5000);

    for (size_t round = 0; round < (TEST_TSAN ? 3 : 20); round++) {
        atomic_store(&ran, 0);
        assert_int_equal(test_run_workers(await_crosswise, &count), 0);
        assert_int_equal(atomic_load(&ran), count);
    }
}

static weft_task *chain;

/* Each awaits the one before it, so that ends and awaits race all along. */
static int await_the_one_before(void *arg)
{
    size_t index = (size_t)((weft_task *)arg - chain);

    return index == 0 ? 1 : weft_await(&chain[index - 1]) + 1;
}

static int await_chain(void *arg)
{
    size_t count = *(size_t *)arg;

    chain = malloc(count * sizeof *chain);
    task_check(chain);
    for (size_t i = 0; i < count; i++) weft_spawn(&chain[i], await_the_one_before, &chain[i]);
    task_check(weft_await(&chain[count - 1]) == (int)count);
    free(chain);
    return 0;
}

static void chain_of_awaits_unwinds(void **state)
{
    (void)state;
    for (size_t round = 0; round < (TEST_TSAN ? 3 : 30); round++) {
        size_t count = test_stacks(3000);
        assert_int_equal(test_run_workers(await_chain, &count), 0);
    }
}

/* ---- await at the very moment of the end -------------------------------------------------- */

struct meeting {
    atomic_bool begun;
    unsigned    steps;
};

static int begin_and_end(void *arg)
{
    struct meeting *meeting = arg;

    atomic_store(&meeting->begun, true);
    test_spin(meeting->steps);
    return 3;
}

static int await_at_the_end(void *arg)
{
    uint32_t chance = 5;

    (void)arg;
    for (size_t i = 0; i < test_scale(20000); i++) {
        /* Some microseconds, so that stealing is worth it, and a few steps more or less. */
        struct meeting meeting = {false, 4000 + test_random(&chance) % 256};
        weft_task      task;

        weft_spawn(&task, begin_and_end, &meeting);
        task_spin_until(atomic_load(&meeting.begun));
        test_spin(3900 + test_random(&chance) % 512);
        task_check(weft_await(&task) == 3);
    }
    return 0;
}

static void end_races_await(void **state)
{
    (void)state;
    unsigned workers = test_workers() > 1 ? test_workers() : 2;

    assert_int_equal(test_run(await_at_the_end, NULL, WEFT_OPTIONS(.workers = workers)), 0);
}

/* ---- depth ------------------------------------------------------------------------------ */

static int descend(void *arg)
{
    int       left = *(int *)arg - 1;
    weft_task task;

    if (left == 0) return 1;
    weft_spawn(&task, descend, &left);
    return weft_await(&task) + 1;
}

static void recursion_is_deep(void **state)
{
    (void)state;
    int depth = (int)test_stacks(1000000);

    assert_int_equal(test_run_workers(descend, &depth), depth);
    assert_int_equal(test_run(descend, &depth, WEFT_OPTIONS(.workers = 1)), depth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_trees_are_complete), cmocka_unit_test(last_task_is_popped_or_stolen),
        cmocka_unit_test(many_wait_their_turn),      cmocka_unit_test(tasks_are_awaited_from_many),
        cmocka_unit_test(chain_of_awaits_unwinds),   cmocka_unit_test(end_races_await),
        cmocka_unit_test(recursion_is_deep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
