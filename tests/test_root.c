/* test_root.c - tasks of one root are concurrent and never parallel */
#include "support.h"

/* Who is between enter and leave, and how often somebody was.  The counter is
 * plain on purpose: ThreadSanitizer reports it if the root orders nothing. */
struct guarded {
    atomic_int inside;
    long       counter;
};

static void enter_and_leave(struct guarded *guarded)
{
    task_check(atomic_fetch_add_explicit(&guarded->inside, 1, memory_order_relaxed) == 0);
    long counter = guarded->counter;
    test_spin(50);
    guarded->counter = counter + 1;
    atomic_fetch_sub_explicit(&guarded->inside, 1, memory_order_relaxed);
}

enum { TASKS = 40, TURNS = 50 };

static struct guarded guarded;

static int count_and_yield(void *arg)
{
    (void)arg;
    for (int i = 0; i < TURNS; i++) {
        enter_and_leave(&guarded);
        weft_yield();
    }
    return 0;
}

static int count_and_spawn(void *arg)
{
    int       depth = *(int *)arg - 1;
    int       depths[2] = {depth, depth};
    weft_task tasks[2];

    enter_and_leave(&guarded);
    if (depth == 0) return 1;
    weft_spawn(&tasks[0], count_and_spawn, &depths[0]);
    weft_spawn(&tasks[1], count_and_spawn, &depths[1]);
    enter_and_leave(&guarded);
    int count = weft_await(&tasks[0]);
    enter_and_leave(&guarded);
    count += weft_await(&tasks[1]);
    enter_and_leave(&guarded);
    return count + 4 - 1;
}

/* ---- a whole runtime on one root --------------------------------------------- */

static int fill_runtime(void *arg)
{
    int depth = 7;

    (void)arg;
    for (int i = 0; i < TASKS; i++) task_check(weft_go(count_and_yield, NULL, 0) == 0);
    enter_and_leave(&guarded);
    return count_and_spawn(&depth);
}

static void runtime_on_one_root_is_serial(void **state)
{
    (void)state;
    guarded.counter = 0;
    int counted = test_run(fill_runtime, NULL, WEFT_OPTIONS(.workers = 4, .one_root = true));
    /* A binary tree of 7 levels: 4 counts in each inner node, of which
     * count_and_spawn passes 3 up, and 1 in each of the 64 leaves. */
    assert_int_equal(counted, 63 * 3 + 64);
    assert_int_equal(guarded.counter, 1 + TASKS * TURNS + 63 * 4 + 64);
}

static void runtime_on_one_root_takes_work_from_outside(void **state)
{
    (void)state;
    weft_runtime *runtime;

    guarded.counter = 0;
    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 4, .one_root = true)), 0);
    for (int i = 0; i < TASKS; i++) assert_int_equal(weft_runtime_go(runtime, count_and_yield, NULL, 0), 0);
    for (int i = 0; i < TASKS; i++) assert_int_equal(weft_runtime_call(runtime, count_and_yield, NULL), 0);
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
    assert_int_equal(guarded.counter, 2 * TASKS * TURNS);
}

/* ---- a scope on one root --------------------------------------------------------- */

static void open_root(weft_scope *scope)
{
    task_check(weft_scope_open(scope, WEFT_SCOPE(.one_root = true)) == 0);
}

static int fill_scope(void *arg)
{
    weft_scope scope;
    int        depth = 5;

    (void)arg;
    open_root(&scope);
    for (int i = 0; i < TASKS; i++) task_check(weft_scope_go(&scope, count_and_yield, NULL, 0) == 0);
    count_and_yield(NULL);
    count_and_spawn(&depth);
    task_check(weft_scope_close(&scope) == 0);
    return 0;
}

static void scope_on_one_root_is_serial_with_its_opener(void **state)
{
    (void)state;
    guarded.counter = 0;
    assert_int_equal(test_run(fill_scope, NULL, WEFT_OPTIONS(.workers = 4)), 0);
    assert_int_equal(guarded.counter, (TASKS + 1) * TURNS + 15 * 4 + 16);
}

static int nest_scopes(void *arg)
{
    int        depth = *(int *)arg - 1;
    weft_scope scope;

    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = depth % 2 == 0)) == 0);
    for (int i = 0; i < 3; i++) task_check(weft_scope_go(&scope, count_and_yield, NULL, 0) == 0);
    if (depth > 0) task_check(weft_scope_go(&scope, nest_scopes, &depth, sizeof depth) == 0);
    enter_and_leave(&guarded);
    return weft_scope_close(&scope);
}

static int nest_in_root(void *arg)
{
    int        depth = 6;
    weft_scope scope;

    (void)arg;
    open_root(&scope);
    task_check(weft_scope_go(&scope, nest_scopes, &depth, sizeof depth) == 0);
    task_check(nest_scopes(&depth) == 0);
    return weft_scope_close(&scope);
}

static void all_scopes_within_a_root_are_that_root(void **state)
{
    (void)state;
    guarded.counter = 0;
    assert_int_equal(test_run(nest_in_root, NULL, WEFT_OPTIONS(.workers = 4)), 0);
    assert_int_equal(guarded.counter, 2 * 6 * (3 * TURNS + 1));
}

static int go_from_outside_root(void *arg)
{
    for (int i = 0; i < 10; i++) task_check(weft_scope_go(*(weft_scope **)arg, count_and_yield, NULL, 0) == 0);
    return 0;
}

static int let_free_task_add(void *arg)
{
    weft_scope  outer;
    weft_scope  scope;
    weft_scope *own = &scope;
    weft_task   adder;

    (void)arg;
    task_check(weft_scope_open(&outer, NULL) == 0);
    weft_spawn(&adder, go_from_outside_root, &own);
    /* Its frame holds the scope's address; it runs only once that is open. */
    open_root(&scope);
    count_and_yield(NULL);
    task_check(weft_await(&adder) == 0);
    count_and_yield(NULL);
    task_check(weft_scope_close(&scope) == 0);
    return weft_scope_close(&outer);
}

static void task_added_from_outside_is_of_the_root(void **state)
{
    (void)state;
    guarded.counter = 0;
    /* One worker, so that the free task cannot begin before the scope is open. */
    assert_int_equal(test_run(let_free_task_add, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(guarded.counter, 12 * TURNS);
}

/* ---- concurrent, all the same ------------------------------------------------------ */

static int ball;

static int play(void *arg)
{
    int self = *(int *)arg;

    for (int i = 0; i < 100; i++) {
        task_until(ball % 2 == self);
        ball++;
    }
    return 0;
}

static int play_on_root(void *arg)
{
    weft_scope scope;

    (void)arg;
    open_root(&scope);
    for (int self = 0; self < 2; self++) task_check(weft_scope_go(&scope, play, &self, sizeof self) == 0);
    return weft_scope_close(&scope);
}

static void tasks_of_a_root_take_turns(void **state)
{
    (void)state;
    ball = 0;
    assert_int_equal(test_run(play_on_root, NULL, WEFT_OPTIONS(.workers = 3)), 0);
    assert_int_equal(ball, 200);
}

/* ---- parallel where it may be -------------------------------------------------------- */

static atomic_int arrived;

/* Two who wait for each other without letting go of their workers. */
static int meet(void *arg)
{
    (void)arg;
    atomic_fetch_add(&arrived, 1);
    task_spin_until(atomic_load(&arrived) >= 2);
    return 0;
}

static int meet_within_a_root(void *arg)
{
    weft_scope scope;

    (void)arg;
    open_root(&scope);
    task_check(weft_scope_go(&scope, meet, NULL, 0) == 0);
    return weft_scope_close(&scope);
}

static int meet_across_roots(void *arg)
{
    weft_task tasks[2];

    (void)arg;
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], meet_within_a_root, NULL);
    for (int i = 0; i < 2; i++) task_check(weft_await(&tasks[i]) == 0);
    return 0;
}

static void two_roots_are_parallel(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        atomic_store(&arrived, 0);
        assert_int_equal(test_run(meet_across_roots, NULL, WEFT_OPTIONS(.workers = 2)), 0);
        assert_int_equal(atomic_load(&arrived), 2);
    }
}

static int meet_after_closing(void *arg)
{
    weft_scope scope;
    weft_task  task;

    (void)arg;
    open_root(&scope);
    task_check(weft_scope_go(&scope, count_and_yield, NULL, 0) == 0);
    task_check(weft_scope_close(&scope) == 0);
    weft_spawn(&task, meet, NULL);
    meet(NULL);
    return weft_await(&task);
}

static void opener_is_free_again_after_closing(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        atomic_store(&arrived, 0);
        assert_int_equal(test_run(meet_after_closing, NULL, WEFT_OPTIONS(.workers = 2)), 0);
        assert_int_equal(atomic_load(&arrived), 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runtime_on_one_root_is_serial),
        cmocka_unit_test(runtime_on_one_root_takes_work_from_outside),
        cmocka_unit_test(scope_on_one_root_is_serial_with_its_opener),
        cmocka_unit_test(all_scopes_within_a_root_are_that_root),
        cmocka_unit_test(task_added_from_outside_is_of_the_root),
        cmocka_unit_test(tasks_of_a_root_take_turns),
        cmocka_unit_test(two_roots_are_parallel),
        cmocka_unit_test(opener_is_free_again_after_closing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
