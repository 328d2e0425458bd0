/* test_choice.c - a seed replays its schedule, in this process and in the next */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"

/* ---- a program whose order is the scheduler's choice ------------------------ */

enum { TASKS = 12, TURNS = 10, TRACE = 4096 };

struct trace {
    size_t length;
    int    steps[TRACE];
};

static struct trace *trace;

static void record(int step)
{
    if (trace->length < TRACE) trace->steps[trace->length++] = step;
}

static int take_turns(void *arg)
{
    int self = *(int *)arg;

    for (int turn = 0; turn < TURNS; turn++) {
        record(self);
        weft_yield();
    }
    return 0;
}

static int fork_two(void *arg)
{
    int       selves[2] = {*(int *)arg * 2 + 1000, *(int *)arg * 2 + 1001};
    weft_task tasks[2];

    record(*(int *)arg);
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], take_turns, &selves[i]);
    weft_yield();
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    return 0;
}

static int write_trace(void *arg)
{
    weft_task  storage[TASKS];
    weft_task *tasks[TASKS];
    int        selves[TASKS];

    trace = arg;
    trace->length = 0;
    task_check(weft_worker_count() == 1);
    for (int i = 0; i < TASKS; i++) {
        selves[i] = i;
        tasks[i] = &storage[i];
        weft_spawn(tasks[i], i % 2 ? take_turns : fork_two, &selves[i]);
    }
    for (int i = 0; i < TASKS; i++) task_check(weft_go(take_turns, &(int){100 + i}, sizeof(int)) == 0);
    for (int left = TASKS; left > 0; left--) {
        int index = weft_await_any(tasks, (size_t)left, WEFT_NEVER);
        weft_await(tasks[index]);
        record(10000 + selves[tasks[index] - storage]);
        tasks[index] = tasks[left - 1];
    }
    return 0;
}

static void run_seed(struct trace *into, uint64_t seed)
{
    assert_int_equal(test_run(write_trace, into, WEFT_OPTIONS(.seed = seed, .workers = 4)), 0);
    assert_in_range(into->length, TASKS * TURNS, TRACE - 1);
}

static bool same(const struct trace *a, const struct trace *b)
{
    return a->length == b->length && !memcmp(a->steps, b->steps, a->length * sizeof a->steps[0]);
}

/* ---- tests ------------------------------------------------------------------- */

static void same_seed_same_schedule(void **state)
{
    (void)state;
    static struct trace first, again;

    for (uint64_t seed = 1; seed < 20; seed++) {
        run_seed(&first, seed);
        run_seed(&again, seed);
        assert_true(same(&first, &again));
    }
    run_seed(&first, UINT64_MAX);
    run_seed(&again, UINT64_MAX);
    assert_true(same(&first, &again));
}

/* The worker has looked in vain for long, or not at all, when the first task comes. */
static void schedule_does_not_depend_on_its_beginning(void **state)
{
    (void)state;
    static struct trace first, again;

    for (uint64_t seed = 1; seed < 20; seed++) {
        weft_runtime *runtime;
        run_seed(&first, seed);
        assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.seed = seed)), 0);
        test_sleep((weft_time)(seed % 4) * 5 * WEFT_MS);
        assert_int_equal(weft_runtime_call(runtime, write_trace, &again), 0);
        assert_int_equal(weft_runtime_stop(runtime), 0);
        assert_task_checks();
        assert_true(same(&first, &again));
    }
}

static void other_seed_other_schedule(void **state)
{
    (void)state;
    enum { SEEDS = 20 };
    struct trace *traces = malloc(SEEDS * sizeof *traces);
    int           alike = 0;

    assert_non_null(traces);
    for (int i = 0; i < SEEDS; i++) run_seed(&traces[i], (uint64_t)i + 1);
    for (int i = 0; i < SEEDS; i++)
        for (int j = 0; j < i; j++) alike += same(&traces[i], &traces[j]);
    free(traces);
    /* Hundreds of choices each: none should be alike. */
    assert_int_equal(alike, 0);
}

/* Addresses, times and process numbers are others in another process. */
static int print_trace(void)
{
    static struct trace printed;

    if (weft_run(write_trace, &printed, WEFT_OPTIONS(.seed = 12345)) != 0) return 1;
    for (size_t i = 0; i < printed.length; i++) printf("%d ", printed.steps[i]);
    return 0;
}

static void schedule_is_the_same_in_another_process(void **state)
{
    (void)state;
    static struct test_child first, again;

    for (int i = 0; i < 5; i++) {
        test_child_run(&first, "print_trace");
        test_child_run(&again, "print_trace");
        assert_int_equal(first.status, 0);
        assert_int_equal(again.status, 0);
        assert_true(strlen(first.text) > TASKS * TURNS);
        assert_string_equal(first.text, again.text);
    }
}

/* ---- outside of any schedule, and the moment ------------------------------------ */

static void outside_draws_all_alike(void **state)
{
    (void)state;
    enum { SIDES = 7, DRAWS = 70000 };
    unsigned drawn[SIDES] = {0};

    for (int i = 0; i < DRAWS; i++) {
        uint32_t side = choice_outside(SIDES);
        assert_true(side < SIDES);
        drawn[side]++;
    }
    /* Ten standard deviations. */
    for (int side = 0; side < SIDES; side++) assert_in_range(drawn[side], 9000, 11000);
    assert_int_equal(choice_outside(1), 0);
}

static void moment_is_real_or_stands_still(void **state)
{
    (void)state;
    struct choice c;

    choice_init(&c, 1, 1);
    assert_true(choice_now(&c) == CHOICE_EPOCH);
    assert_true(choice_now(&c) == CHOICE_EPOCH);
    c.now += 17;
    assert_true(choice_now(&c) == CHOICE_EPOCH + 17);
    choice_init(&c, 0, 1);
    weft_time before = test_now(), now = choice_now(&c);
    assert_true(before <= now && now <= test_now());
}

int main(int argc, char **argv)
{
    const struct test_part  parts[] = {{"print_trace", print_trace}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_schedule),   cmocka_unit_test(schedule_does_not_depend_on_its_beginning),
        cmocka_unit_test(other_seed_other_schedule), cmocka_unit_test(schedule_is_the_same_in_another_process),
        cmocka_unit_test(outside_draws_all_alike),   cmocka_unit_test(moment_is_real_or_stands_still),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
