/* test_spawn.c - spawn, await, cancel, done, yield, check */
#include "support.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int give_back(void *arg)
{
    return *(int *)arg;
}

/* ---- fork and join ----------------------------------------------------------- */

struct fib {
    int  n;
    long result;
};

static int fib(void *arg)
{
    struct fib *self = arg;

    if (self->n < 2) {
        self->result = self->n;
        return 0;
    }
    struct fib a = {self->n - 1, 0};
    struct fib b = {self->n - 2, 0};
    weft_task  task;
    weft_spawn(&task, fib, &a);
    fib(&b);
    task_check(weft_await(&task) == 0);
    self->result = a.result + b.result;
    return 0;
}

static void forks_and_joins(void **state)
{
    (void)state;
    int  n = TEST_TSAN ? 12 : TEST_ASAN ? 16 : 22;
    long expected[2] = {0, 1};

    for (int i = 2; i <= n; i++) expected[i % 2] += expected[(i + 1) % 2];
    for (unsigned workers = 1; workers <= 4; workers++) {
        struct fib f = {n, 0};
        assert_int_equal(test_run(fib, &f, WEFT_OPTIONS(.workers = workers)), 0);
        assert_int_equal(f.result, expected[n % 2]);
    }
}

static int await_results(void *arg)
{
    int       results[] = {0, 1, INT_MAX, -1, -ECANCELED, INT_MIN};
    weft_task tasks[TEST_LENGTH(results)];

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(results); i++) weft_spawn(&tasks[i], give_back, &results[i]);
    for (size_t i = 0; i < TEST_LENGTH(results); i++) task_check(weft_await(&tasks[i]) == results[i]);
    task_check(weft_check() == 0);
    return 0;
}

static void await_returns_the_result(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(await_results, NULL), 0);
}

enum { MANY = 300 };

enum order { FORWARD, BACKWARD, SHUFFLED, ORDERS };

static int await_in_order(void *arg)
{
    enum order order = *(enum order *)arg;
    weft_task *tasks = malloc(MANY * sizeof *tasks);
    int        values[MANY];
    int        next[MANY];
    uint32_t   chance = 1;

    task_check(tasks);
    for (int i = 0; i < MANY; i++) {
        values[i] = i;
        next[i] = order == BACKWARD ? MANY - 1 - i : i;
        weft_spawn(&tasks[i], give_back, &values[i]);
    }
    for (int i = MANY - 1; order == SHUFFLED && i > 0; i--) {
        int j = (int)(test_random(&chance) % (unsigned)(i + 1));
        int swapped = next[i];
        next[i] = next[j];
        next[j] = swapped;
    }
    for (int i = 0; i < MANY; i++) task_check(weft_await(&tasks[next[i]]) == next[i]);
    free(tasks);
    return 0;
}

static void awaits_in_any_order(void **state)
{
    (void)state;
    for (enum order order = FORWARD; order < ORDERS; order++) {
        assert_int_equal(test_run(await_in_order, &order, WEFT_OPTIONS(.workers = 1)), 0);
        assert_int_equal(test_run_workers(await_in_order, &order), 0);
    }
}

/* Storage that was awaited is at once used for another task. */
static int reuse_storage(void *arg)
{
    size_t    rounds = test_scale(100000);
    weft_task task;

    (void)arg;
    for (size_t i = 0; i < rounds; i++) {
        int value = (int)i;
        weft_spawn(&task, give_back, &value);
        if (i % 3 == 0) weft_yield();
        task_check(weft_await(&task) == (int)i);
        memset(&task, 255, sizeof task);
    }
    return 0;
}

static void storage_is_free_after_await(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(reuse_storage, NULL), 0);
}

struct handed {
    weft_task *task;
};

static int await_handed(void *arg)
{
    return weft_await(((struct handed *)arg)->task);
}

static int hand_over(void *arg)
{
    int           value = 77;
    weft_task     task;
    weft_task     awaiter;
    struct handed handed = {&task};

    (void)arg;
    weft_spawn(&task, give_back, &value);
    weft_spawn(&awaiter, await_handed, &handed);
    return weft_await(&awaiter);
}

static void another_task_may_await(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) assert_int_equal(test_run_workers(hand_over, NULL), 77);
}

/* ---- done ---------------------------------------------------------------------- */

static int see_done(void *arg)
{
    int       value = 4;
    weft_task task;

    (void)arg;
    weft_spawn(&task, give_back, &value);
    task_until(weft_done(&task));
    task_check(weft_done(&task));
    return weft_await(&task);
}

static int see_not_done(void *arg)
{
    int       value = 4;
    weft_task task;

    (void)arg;
    weft_spawn(&task, give_back, &value);
    task_check(!weft_done(&task));
    return weft_await(&task);
}

static void done_tells_the_end(void **state)
{
    (void)state;
    assert_int_equal(test_run(see_done, NULL, WEFT_OPTIONS(.workers = 1)), 4);
    assert_int_equal(test_run_workers(see_done, NULL), 4);
    /* One worker has not begun a task while its spawner goes on. */
    assert_int_equal(test_run(see_not_done, NULL, WEFT_OPTIONS(.workers = 1)), 4);
}

/* ---- ordering -------------------------------------------------------------------- */

struct message {
    int before_spawn;
    int before_end;
};

static int answer(void *arg)
{
    struct message *message = arg;

    task_check(message->before_spawn == 1);
    message->before_end = 2;
    return 0;
}

static int see_order(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(20000); i++) {
        struct message message = {1, 0};
        weft_task      task;

        weft_spawn(&task, answer, &message);
        if (i % 2) task_until(weft_done(&task));
        weft_await(&task);
        task_check(message.before_end == 2);
    }
    return 0;
}

static void spawn_and_await_order_memory(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(see_order, NULL), 0);
}

/* ---- yield ----------------------------------------------------------------------- */

static int turns[2];

static int take_turns(void *arg)
{
    int self = *(int *)arg;

    for (int i = 0; i < 100; i++) {
        turns[self]++;
        task_check(TEST_CHAOS || turns[self] - turns[!self] <= 2); /* there who is next is drawn */
        weft_yield();
    }
    return 0;
}

static int yield_by_turns(void *arg)
{
    weft_task tasks[2];
    int       selves[2] = {0, 1};

    (void)arg;
    turns[0] = turns[1] = 0;
    weft_spawn(&tasks[0], take_turns, &selves[0]);
    weft_spawn(&tasks[1], take_turns, &selves[1]);
    /* Both have begun before either may be awaited in place. */
    task_until(turns[0] > 0 && turns[1] > 0);
    weft_await(&tasks[0]);
    weft_await(&tasks[1]);
    return turns[0] + turns[1];
}

static void yield_lets_the_other_run(void **state)
{
    (void)state;
    assert_int_equal(test_run(yield_by_turns, NULL, WEFT_OPTIONS(.workers = 1)), 200);
}

static atomic_bool flag;

static int set_flag(void *arg)
{
    (void)arg;
    atomic_store(&flag, true);
    return 0;
}

static int compute_and_check(void *arg)
{
    weft_task task;
    weft_time end = test_now() + TEST_LONG;

    (void)arg;
    weft_spawn(&task, set_flag, NULL);
    while (!atomic_load(&flag) && test_now() < end) task_check(weft_check() == 0);
    task_check(atomic_load(&flag));
    return weft_await(&task);
}

static void check_yields_every_so_often(void **state)
{
    (void)state;
    atomic_store(&flag, false);
    assert_int_equal(test_run(compute_and_check, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- cancel ----------------------------------------------------------------------- */

static int run_until_cancelled(void *arg)
{
    (void)arg;
    task_until(weft_check() != 0);
    return weft_check();
}

static int cancel_running(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, run_until_cancelled, NULL);
    for (int i = 0; i < 10; i++) weft_yield();
    task_check(!weft_done(&task));
    weft_cancel(&task);
    int result = weft_await(&task);
    task_check(weft_check() == 0);
    return result;
}

static void cancel_reaches_a_running_task(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_running, NULL, WEFT_OPTIONS(.workers = 1)), -ECANCELED);
    assert_int_equal(test_run_workers(cancel_running, NULL), -ECANCELED);
}

static int see_check(void *arg)
{
    (void)arg;
    return weft_check();
}

/* The identity is that of the task that runs, also as a call on the stack of
 * its awaiter: neither sees the other's state. */
static int cancel_unstarted(void *arg)
{
    weft_task cancelled;
    weft_task untouched;

    (void)arg;
    weft_spawn(&cancelled, see_check, NULL);
    weft_spawn(&untouched, see_check, NULL);
    weft_cancel(&cancelled);
    task_check(weft_await(&untouched) == 0);
    int result = weft_await(&cancelled);
    task_check(weft_check() == 0);
    return result;
}

static void cancel_reaches_an_unstarted_task(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_unstarted, NULL, WEFT_OPTIONS(.workers = 1)), -ECANCELED);
    for (int i = 0; i < 50; i++) {
        /* Here another worker may have run it before it was cancelled. */
        int result = test_run_workers(cancel_unstarted, NULL);
        assert_true(result == -ECANCELED || (result == 0 && test_workers() > 1));
    }
}

static int fork_until_cancelled(void *arg)
{
    int       depth = *(int *)arg - 1;
    weft_task task;

    if (depth < 0) return run_until_cancelled(NULL);
    weft_spawn(&task, fork_until_cancelled, &depth);
    int result = weft_await(&task);
    /* Await itself waits for good; that the caller is cancelled shows now. */
    task_check(weft_check() == -ECANCELED);
    return result;
}

static int cancel_tree(void *arg)
{
    int       depth = 20;
    weft_task task;

    weft_spawn(&task, fork_until_cancelled, &depth);
    for (int i = 0; i < *(int *)arg; i++) weft_yield();
    weft_cancel(&task);
    return weft_await(&task);
}

static void cancel_reaches_what_the_task_spawned(void **state)
{
    (void)state;
    for (int yields = 0; yields < 50; yields += 1 + yields / 4) {
        assert_int_equal(test_run(cancel_tree, &yields, WEFT_OPTIONS(.workers = 1)), -ECANCELED);
        assert_int_equal(test_run_workers(cancel_tree, &yields), -ECANCELED);
    }
}

static int open_until_cancelled(void *arg)
{
    weft_scope scope;

    (void)arg;
    task_check(weft_scope_open(&scope, NULL) == 0);
    task_check(weft_scope_go(&scope, run_until_cancelled, NULL, 0) == 0);
    return weft_scope_close(&scope);
}

static int cancel_opener(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, open_until_cancelled, NULL);
    for (int i = 0; i < 10; i++) weft_yield();
    weft_cancel(&task);
    return weft_await(&task);
}

static void cancel_reaches_scopes_of_the_task(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_opener, NULL, WEFT_OPTIONS(.workers = 1)), -ECANCELED);
    assert_int_equal(test_run_workers(cancel_opener, NULL), -ECANCELED);
}

static int cancel_ended(void *arg)
{
    int       value = 3;
    weft_task task;

    (void)arg;
    weft_spawn(&task, give_back, &value);
    task_until(weft_done(&task));
    weft_cancel(&task);
    weft_cancel(&task);
    return weft_await(&task);
}

static void cancel_does_not_touch_the_result(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_ended, NULL), 3);
}

static int await_although_cancelled(void *arg)
{
    int       value = 8;
    weft_task task;

    (void)arg;
    task_until(weft_check() != 0);
    weft_spawn(&task, give_back, &value);
    task_check(weft_await(&task) == 8);
    weft_spawn(&task, see_check, NULL);
    return weft_await(&task);
}

static int cancel_awaiter(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, await_although_cancelled, NULL);
    weft_cancel(&task);
    return weft_await(&task);
}

static void cancelled_task_spawns_and_awaits(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_awaiter, NULL), -ECANCELED);
}

static int fail_quietly(void *arg)
{
    int       error = -EIO;
    weft_task task;

    (void)arg;
    weft_spawn(&task, give_back, &error);
    task_until(weft_done(&task));
    task_check(weft_check() == 0);
    task_check(weft_await(&task) == -EIO);
    task_check(weft_check() == 0);
    return 0;
}

static void error_of_spawned_cancels_nobody(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(fail_quietly, NULL), 0);
}

/* ---- stacks ------------------------------------------------------------------------- */

enum { STACK = 256 * 1024 };

/* All but what the calls themselves need. */
__attribute__((noinline)) static void use_half(void)
{
    const size_t   size = STACK / 2 - 1536;
    volatile char *bytes = __builtin_alloca(size);

    for (size_t i = 0; i < size; i += 512) bytes[i] = 1;
}

/* The tasks that run in place come nearer to the end of the stack in small
 * steps, so that a library that is a little too generous overflows in some. */
__attribute__((noinline)) static int use_half_and_fork(void *arg)
{
    int       depth = *(int *)arg - 1;
    weft_task task;

    use_half();
    if (depth == 0) return 1;
    weft_spawn(&task, use_half_and_fork, &depth);
    return weft_await(&task) + 1;
}

static void half_a_stack_is_free_for_each_task(void **state)
{
    (void)state;
    int depth = (int)test_stacks(3000);

    assert_int_equal(test_run(use_half_and_fork, &depth, WEFT_OPTIONS(.workers = 1, .stack_size = STACK)), depth);
    assert_int_equal(test_run(use_half_and_fork, &depth, WEFT_OPTIONS(.workers = test_workers(), .stack_size = STACK)),
                     depth);
}

/* ---- misuse -------------------------------------------------------------------------- */

static int spawn_in_a_plain_thread(void)
{
    int       value = 1;
    weft_task task;

    weft_spawn(&task, give_back, &value);
    return 0;
}

enum wait { AWAIT, AWAIT_ANY, AWAIT_IN_PLACE };

static weft_task  contended;
static atomic_int contenders;
static bool       contended_begun;

static int yield_for_long(void *arg)
{
    (void)arg;
    contended_begun = true;
    for (int i = 0; i < 10000; i++) weft_yield();
    return 0;
}

static int contend(void *arg)
{
    weft_task *task = &contended;

    while (!*(volatile bool *)&contended_begun) weft_yield();
    atomic_fetch_add(&contenders, 1);
    if (*(enum wait *)arg == AWAIT_ANY) weft_await_any(&task, 1, WEFT_NEVER);
    else weft_await(task);
    return 0;
}

/* One waits when the other comes. */
static int wait_as_two(const enum wait waits[2])
{
    weft_task  second;
    enum wait  how = waits[1];
    weft_task *task = &contended;

    weft_spawn(&second, contend, &how);
    weft_spawn(&contended, yield_for_long, NULL);
    if (waits[0] == AWAIT_ANY) {
        weft_await_any(&task, 1, WEFT_NEVER);
    } else {
        if (waits[0] == AWAIT) weft_yield();
        weft_await(&contended);
    }
    weft_await(&second);
    return atomic_load(&contenders) == 1 ? 0 : 1;
}

static int await_twice(void *arg)
{
    (void)arg;
    return wait_as_two((enum wait[]){AWAIT, AWAIT});
}

static int await_any_twice(void *arg)
{
    (void)arg;
    return wait_as_two((enum wait[]){AWAIT_ANY, AWAIT_ANY});
}

static int await_what_any_awaits(void *arg)
{
    (void)arg;
    return wait_as_two((enum wait[]){AWAIT_ANY, AWAIT});
}

static int await_any_of_an_awaited(void *arg)
{
    (void)arg;
    return wait_as_two((enum wait[]){AWAIT, AWAIT_ANY});
}

/* The first has it run in place, and so is not seen to wait before the end. */
static int await_what_runs_in_place(void *arg)
{
    (void)arg;
    return wait_as_two((enum wait[]){AWAIT_IN_PLACE, AWAIT});
}

static int await_any_of_what_runs_in_place(void *arg)
{
    (void)arg;
    return wait_as_two((enum wait[]){AWAIT_IN_PLACE, AWAIT_ANY});
}

#define ON_ONE_WORKER(fn)                                      \
    static int fn##_part(void)                                 \
    {                                                          \
        return weft_run(fn, NULL, WEFT_OPTIONS(.workers = 1)); \
    }
ON_ONE_WORKER(await_twice)
ON_ONE_WORKER(await_any_twice)
ON_ONE_WORKER(await_what_any_awaits)
ON_ONE_WORKER(await_any_of_an_awaited)
ON_ONE_WORKER(await_what_runs_in_place)
ON_ONE_WORKER(await_any_of_what_runs_in_place)

static void second_waiter_is_stopped(void **state)
{
    (void)state;
    const char *parts[] = {"await_twice",
                           "await_any_twice",
                           "await_what_any_awaits",
                           "await_any_of_an_awaited",
                           "await_what_runs_in_place",
                           "await_any_of_what_runs_in_place"};

    for (size_t i = 0; i < TEST_LENGTH(parts); i++) assert_part_stops(parts[i], "two wait");
}

/* The same task twice among those of one call is one waiter. */
static int await_any_of_one_twice(void *arg)
{
    int        value = 3;
    weft_task  task;
    weft_task *tasks[] = {&task, &task};

    (void)arg;
    weft_spawn(&task, give_back, &value);
    task_check(weft_await_any(tasks, 2, WEFT_NEVER) >= 0);
    return weft_await(&task);
}

static void one_waiter_may_name_a_task_twice(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(await_any_of_one_twice, NULL), 3);
}

static void spawn_stops_a_plain_thread(void **state)
{
    (void)state;
    assert_part_stops("spawn", "weft_spawn in a plain thread");
}

/* ---- taking back ------------------------------------------------------------- */

static int taken_calls(void *arg)
{
    return ++*(int *)arg;
}

static int take_the_newest(void *arg)
{
    int       first = 0, second = 0, expected = 0;
    weft_task tasks[2];

    (void)arg;
    weft_spawn(&tasks[0], taken_calls, &first);
    weft_spawn(&tasks[1], taken_calls, &second);
    task_check(first == 0 && second == 0);
    /* The older one is not the one that was spawned last. */
    task_check(!weft_take(&tasks[0]));
    bool took = weft_take(&tasks[1]);
    /* With a sanitizer each task has a stack of its own, and chaos may have it that others are due. */
    if (!TEST_CHAOS) task_check(took != (TEST_TSAN || TEST_ASAN));
    task_check(!took || second == 0);
    if (took) expected = taken_calls(&second);
    else expected = weft_await(&tasks[1]);
    task_check(expected == 1 && second == 1);
    took = weft_take(&tasks[0]);
    if (took) taken_calls(&first);
    else task_check(weft_await(&tasks[0]) == 1);
    task_check(first == 1);
    return 0;
}

static int take_what_began(void *arg)
{
    int       calls = 0;
    weft_task task;

    (void)arg;
    weft_spawn(&task, taken_calls, &calls);
    task_until(weft_done(&task));
    task_check(!weft_take(&task));
    task_check(weft_await(&task) == 1);
    /* What is cancelled is its own to run, so that it sees it. */
    weft_spawn(&task, taken_calls, &calls);
    weft_cancel(&task);
    task_check(!weft_take(&task));
    task_check(weft_await(&task) == 2);
    return 0;
}

/* Each of many is run once, by whoever took it, also when thieves want it. */
static int taken_sum(void *arg)
{
    long *range = arg;
    if (range[1] - range[0] == 1) {
        range[2] = range[0];
        return 0;
    }
    long      middle = range[0] + (range[1] - range[0]) / 2;
    long      left[3] = {range[0], middle, 0}, right[3] = {middle, range[1], 0};
    weft_task task;
    weft_spawn(&task, taken_sum, left);
    taken_sum(right);
    if (weft_take(&task)) taken_sum(left);
    else task_check(weft_await(&task) == 0);
    range[2] = left[2] + right[2];
    return 0;
}

static void takes_back_what_has_not_begun(void **state)
{
    (void)state;
    assert_int_equal(test_run(take_the_newest, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(take_what_began, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    long n = (long)test_scale(200000);
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        long range[3] = {0, n, 0};
        assert_int_equal(test_run(taken_sum, range, WEFT_OPTIONS(.workers = workers)), 0);
        assert_int_equal(range[2], n * (n - 1) / 2);
    }
    weft_task nothing = {{0}};
    assert_false(weft_take(&nothing)); /* a plain thread has spawned nothing */
}

int main(int argc, char **argv)
{
    const struct test_part parts[] = {
        {"spawn", spawn_in_a_plain_thread},
        {"await_twice", await_twice_part},
        {"await_any_twice", await_any_twice_part},
        {"await_what_any_awaits", await_what_any_awaits_part},
        {"await_any_of_an_awaited", await_any_of_an_awaited_part},
        {"await_what_runs_in_place", await_what_runs_in_place_part},
        {"await_any_of_what_runs_in_place", await_any_of_what_runs_in_place_part},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forks_and_joins),
        cmocka_unit_test(await_returns_the_result),
        cmocka_unit_test(awaits_in_any_order),
        cmocka_unit_test(storage_is_free_after_await),
        cmocka_unit_test(another_task_may_await),
        cmocka_unit_test(done_tells_the_end),
        cmocka_unit_test(spawn_and_await_order_memory),
        cmocka_unit_test(yield_lets_the_other_run),
        cmocka_unit_test(check_yields_every_so_often),
        cmocka_unit_test(cancel_reaches_a_running_task),
        cmocka_unit_test(cancel_reaches_an_unstarted_task),
        cmocka_unit_test(cancel_reaches_what_the_task_spawned),
        cmocka_unit_test(cancel_reaches_scopes_of_the_task),
        cmocka_unit_test(cancel_does_not_touch_the_result),
        cmocka_unit_test(cancelled_task_spawns_and_awaits),
        cmocka_unit_test(error_of_spawned_cancels_nobody),
        cmocka_unit_test(half_a_stack_is_free_for_each_task),
        cmocka_unit_test(takes_back_what_has_not_begun),
        cmocka_unit_test(spawn_stops_a_plain_thread),
        cmocka_unit_test(second_waiter_is_stopped),
        cmocka_unit_test(one_waiter_may_name_a_task_twice),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
