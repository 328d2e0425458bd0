/* test_scope.c - who owns whom, and whom an error or a cancel reaches */
#include "support.h"

#include <stdlib.h>
#include <string.h>

static int give_back(void *arg)
{
    return *(int *)arg;
}

static int see_check(void *arg)
{
    (void)arg;
    return weft_check();
}

static int run_until_cancelled(void *arg)
{
    (void)arg;
    task_until(weft_check() != 0);
    return weft_check();
}

static int never_run(void *arg)
{
    (void)arg;
    task_check(!"this task must not run");
    return 0;
}

static void open_scope(weft_scope *scope)
{
    task_check(weft_scope_open(scope, NULL) == 0);
}

static void open_shield(weft_scope *scope)
{
    task_check(weft_scope_open(scope, WEFT_SCOPE(.shield = true)) == 0);
}

static void go_result(weft_scope *scope, int result)
{
    task_check(weft_scope_go(scope, give_back, &result, sizeof result) == 0);
}

/* ---- bad arguments ------------------------------------------------------------ */

static int open_badly(void *arg)
{
    const size_t size = sizeof(struct weft_scope_options);
    weft_scope   scope;

    (void)arg;
    task_check(weft_scope_open(NULL, NULL) == -EINVAL);
    task_check(weft_scope_open(NULL, WEFT_SCOPE()) == -EINVAL);
    task_check(weft_scope_open(&scope, &(struct weft_scope_options){.size = 0}) == -EINVAL);
    task_check(weft_scope_open(&scope, &(struct weft_scope_options){.size = sizeof(size_t) - 1}) == -EINVAL);

    struct weft_scope_options *longer = calloc(1, size + 512);
    task_check(longer);
    for (size_t tail = 1; tail <= 512; tail *= 2) {
        longer->size = size + tail;
        ((char *)longer)[size + tail - 1] = 1;
        task_check(weft_scope_open(&scope, longer) == -E2BIG);
        ((char *)longer)[size + tail - 1] = 0;
        task_check(weft_scope_open(&scope, longer) == 0);
        task_check(weft_scope_close(&scope) == 0);
    }
    free(longer);

    const weft_time never = test_now() + 3600 * WEFT_SEC, deadlines[] = {1, -1, INT64_MIN, never, WEFT_NEVER - 1};
    for (size_t i = 0; i < TEST_LENGTH(deadlines); i++) {
        task_check(weft_scope_open(&scope, WEFT_SCOPE(.deadline = deadlines[i])) == 0);
        task_check(weft_scope_close(&scope) == (deadlines[i] < never ? -ETIMEDOUT : 0));
    }

    /* What was refused left no scope behind. */
    task_check(weft_go(give_back, &(int){0}, sizeof(int)) == 0);
    return 0;
}

static void open_refuses_bad_arguments(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(open_badly, NULL), 0);
}

static void open_with(const void *options, size_t size, int result)
{
    void      *copy = test_exact_copy(options, size);
    weft_scope scope;

    task_check(weft_scope_open(&scope, copy) == 0);
    task_check(weft_scope_close(&scope) == result);
    free(copy);
}

static int open_with_other_sizes(void *arg)
{
    struct weft_scope_options options = {.size = offsetof(struct weft_scope_options, one_root)};
    const size_t              least = sizeof least;

    (void)arg;
    options.deadline = WEFT_NEVER;
    open_with(&options, options.size, 0);
    options.deadline = 5;
    open_with(&options, options.size, -ETIMEDOUT);
    open_with(&least, sizeof least, 0);
    return 0;
}

static void open_takes_options_of_another_size(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(open_with_other_sizes, NULL), 0);
}

static int go_badly(void *arg)
{
    weft_scope scope;
    char       byte = 0;

    (void)arg;
    open_scope(&scope);
    weft_cancel(NULL);
    weft_scope_cancel(NULL);
    task_check(weft_check() == 0);
    task_check(weft_scope_close(NULL) == -EINVAL);
    task_check(weft_scope_go(NULL, never_run, NULL, 0) == -EINVAL);
    task_check(weft_scope_go(&scope, NULL, NULL, 0) == -EINVAL);
    task_check(weft_scope_go(&scope, never_run, NULL, 1) == -EINVAL);
    task_check(weft_go(NULL, NULL, 0) == -EINVAL);
    task_check(weft_go(never_run, NULL, 1) == -EINVAL);
    for (size_t less = 0; less <= 1000; less += 500) {
        int result = weft_scope_go(&scope, never_run, &byte, SIZE_MAX - less);
        task_check(result == -ENOMEM || result == -EINVAL);
        result = weft_go(never_run, &byte, SIZE_MAX - less);
        task_check(result == -ENOMEM || result == -EINVAL);
    }
    return weft_scope_close(&scope);
}

static void go_refuses_bad_arguments(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(go_badly, NULL), 0);
}

static weft_scope *handed_scope;

static void use_from_plain_thread(void *arg)
{
    weft_scope scope;

    (void)arg;
    /* That first, whatever else is wrong. */
    task_check(weft_scope_open(NULL, NULL) == -EPERM);
    task_check(weft_scope_open(&scope, &(struct weft_scope_options){.size = 0}) == -EPERM);
    task_check(weft_scope_go(NULL, NULL, NULL, 1) == -EPERM);
    task_check(weft_go(NULL, NULL, 1) == -EPERM);
    task_check(weft_scope_close(NULL) == -EPERM);
    task_check(weft_scope_open(&scope, NULL) == -EPERM);
    task_check(weft_scope_go(handed_scope, never_run, NULL, 0) == -EPERM);
    task_check(weft_go(never_run, NULL, 0) == -EPERM);
    task_check(weft_scope_close(handed_scope) == -EPERM);
    weft_scope_cancel(handed_scope);
}

static int hand_scope_to_thread(void *arg)
{
    weft_scope  scope;
    test_thread thread;

    (void)arg;
    open_scope(&scope);
    handed_scope = &scope;
    test_thread_start(&thread, use_from_plain_thread, NULL);
    test_thread_join(&thread);
    task_check(weft_check() == -ECANCELED);
    return weft_scope_close(&scope);
}

static void plain_thread_may_only_cancel(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(hand_scope_to_thread, NULL), -ECANCELED);
}

/* ---- owning ---------------------------------------------------------------------- */

static atomic_int ended;

static int end_late(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) weft_yield();
    atomic_fetch_add(&ended, 1);
    return 7;
}

static int close_waits(void *arg)
{
    weft_scope scope;

    (void)arg;
    for (int round = 1; round <= 20; round++) {
        open_scope(&scope);
        for (int i = 0; i < 50; i++) task_check(weft_scope_go(&scope, end_late, NULL, 0) == 0);
        task_check(weft_scope_close(&scope) == 0);
        task_check(atomic_load(&ended) == round * 50);
        memset(&scope, 255, sizeof scope);
    }
    return 0;
}

static void close_waits_for_all_tasks(void **state)
{
    (void)state;
    atomic_store(&ended, 0);
    assert_int_equal(test_run(close_waits, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    atomic_store(&ended, 0);
    assert_int_equal(test_run_workers(close_waits, NULL), 0);
}

static int open_and_close(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(100000); i++) {
        weft_scope scope;

        open_scope(&scope);
        task_check(weft_scope_close(&scope) == 0);
    }
    return 0;
}

static void empty_scope_closes(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(open_and_close, NULL), 0);
}

struct big {
    _Alignas(max_align_t) unsigned char bytes[70000];
};

static int see_copy(void *arg)
{
    const struct big *copy = arg;

    task_check((uintptr_t)arg % _Alignof(max_align_t) == 0);
    for (size_t i = 0; i < sizeof copy->bytes; i++)
        if (copy->bytes[i] != i % 251) {
            task_check(!"the copy differs");
            break;
        }
    atomic_fetch_add(&ended, 1);
    return 0;
}

static const void *arg_of_caller;

static int see_itself(void *arg)
{
    task_check(arg == arg_of_caller);
    atomic_fetch_add(&ended, 1);
    return 0;
}

static int copy_arguments(void *arg)
{
    static struct big big;
    weft_scope        scope;

    (void)arg;
    open_scope(&scope);
    for (size_t size = sizeof big; size > 0; size = size == sizeof big ? 1 : 0) {
        for (size_t i = 0; i < sizeof big.bytes; i++) big.bytes[i] = (unsigned char)(i % 251);
        task_check(weft_scope_go(&scope, see_copy, &big, sizeof big) == 0);
        task_check(weft_go(see_copy, &big, sizeof big) == 0);
        memset(&big, 255, sizeof big);
    }
    arg_of_caller = &big;
    task_check(weft_scope_go(&scope, see_itself, &big, 0) == 0);
    task_check(weft_go(see_itself, &big, 0) == 0);
    return weft_scope_close(&scope);
}

static void go_copies_its_argument(void **state)
{
    (void)state;
    atomic_store(&ended, 0);
    assert_int_equal(test_run_workers(copy_arguments, NULL), 0);
    assert_int_equal(atomic_load(&ended), 6);
}

struct growth {
    weft_scope *scope;
    int         depth;
};

static int grow(void *arg)
{
    struct growth self = *(struct growth *)arg;

    atomic_fetch_add(&ended, 1);
    if (self.depth-- > 0)
        for (int i = 0; i < 2; i++) task_check(weft_scope_go(self.scope, grow, &self, sizeof self) == 0);
    return 0;
}

static int grow_scope(void *arg)
{
    weft_scope    scope;
    struct growth growth = {&scope, *(int *)arg};

    open_scope(&scope);
    task_check(weft_scope_go(&scope, grow, &growth, sizeof growth) == 0);
    return weft_scope_close(&scope);
}

static void tasks_may_start_tasks_in_their_scope(void **state)
{
    (void)state;
    int depth = TEST_TSAN ? 7 : 12;

    atomic_store(&ended, 0);
    assert_int_equal(test_run_workers(grow_scope, &depth), 0);
    assert_int_equal(atomic_load(&ended), (2 << depth) - 1);
}

/* weft_go goes to the innermost scope that the task has open; in a task that
 * has none, to the one that the task was started in. */
static int go_three_deep(void *arg)
{
    int depth = *(int *)arg - 1;

    atomic_fetch_add(&ended, 1);
    if (depth > 0) task_check(weft_go(go_three_deep, &depth, sizeof depth) == 0);
    return 0;
}

static int go_to_innermost(void *arg)
{
    weft_scope outer;
    weft_scope inner;
    int        depth = 3;

    (void)arg;
    open_scope(&outer);
    open_scope(&inner);
    task_check(weft_go(go_three_deep, &depth, sizeof depth) == 0);
    task_check(weft_scope_close(&inner) == 0);
    task_check(atomic_load(&ended) == 3);
    task_check(weft_go(give_back, &(int){-EIO}, sizeof(int)) == 0);
    task_check(weft_scope_close(&outer) == -EIO);
    return 0;
}

static void go_means_the_innermost_scope(void **state)
{
    (void)state;
    atomic_store(&ended, 0);
    assert_int_equal(test_run_workers(go_to_innermost, NULL), 0);
    assert_int_equal(atomic_load(&ended), 3);
}

static int fail_outside(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) task_check(weft_go(give_back, &(int){-EIO}, sizeof(int)) == 0);
    for (int i = 0; i < 20; i++) weft_yield();
    task_check(weft_check() == 0);
    task_check(weft_go(see_check, NULL, 0) == 0);
    return 2;
}

static void error_at_the_outside_cancels_nobody(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(fail_outside, NULL), 2);
}

/* ---- errors ------------------------------------------------------------------------- */

static int fail_one_of_many(void *arg)
{
    weft_scope scope;

    (void)arg;
    open_scope(&scope);
    for (int i = 0; i < 20; i++) task_check(weft_scope_go(&scope, run_until_cancelled, NULL, 0) == 0);
    go_result(&scope, -EIO);
    task_check(weft_check() == 0 || weft_check() == -EIO);
    task_check(weft_scope_close(&scope) == -EIO);
    task_check(weft_check() == 0);
    return 0;
}

static void error_cancels_the_others(void **state)
{
    (void)state;
    assert_int_equal(test_run(fail_one_of_many, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(fail_one_of_many, NULL), 0);
}

static int fail_repeatedly(void *arg)
{
    weft_scope scope;
    int        checked;

    (void)arg;
    open_scope(&scope);
    go_result(&scope, -EIO);
    task_until((checked = weft_check()) != 0);
    task_check(checked == -EIO);
    go_result(&scope, -EBADF);
    weft_scope_cancel(&scope);
    for (int i = 0; i < 10; i++) weft_yield();
    task_check(weft_check() == -EIO);
    task_check(weft_scope_close(&scope) == -EIO);
    task_check(weft_check() == 0);

    open_scope(&scope);
    weft_scope_cancel(&scope);
    go_result(&scope, -EBADF);
    task_check(weft_scope_close(&scope) == -ECANCELED);
    return 0;
}

static void first_reason_sticks(void **state)
{
    (void)state;
    assert_int_equal(test_run(fail_repeatedly, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(fail_repeatedly, NULL), 0);
}

static int succeed(void *arg)
{
    weft_scope scope;

    (void)arg;
    open_scope(&scope);
    go_result(&scope, 1);
    go_result(&scope, INT32_MAX);
    go_result(&scope, 0);
    for (int i = 0; i < 10; i++) weft_yield();
    task_check(weft_check() == 0);
    return weft_scope_close(&scope);
}

static void success_of_any_number_cancels_nobody(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(succeed, NULL), 0);
}

static int fail_inner(void *arg)
{
    weft_scope outer;
    weft_scope inner;

    (void)arg;
    open_scope(&outer);
    open_scope(&inner);
    go_result(&inner, -EIO);
    task_until(weft_check() == -EIO);
    task_check(weft_scope_close(&inner) == -EIO);
    task_check(weft_check() == 0);
    task_check(weft_scope_close(&outer) == 0);
    return 0;
}

static void error_stays_within_its_scope(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(fail_inner, NULL), 0);
}

static int fail_spawned(void *arg)
{
    weft_scope scope;
    weft_task  task;
    int        error = -EIO;

    (void)arg;
    open_scope(&scope);
    weft_spawn(&task, give_back, &error);
    task_check(weft_await(&task) == -EIO);
    task_check(weft_check() == 0);
    return weft_scope_close(&scope);
}

static void error_of_spawned_is_its_awaiters(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(fail_spawned, NULL), 0);
}

/* ---- cancelling ------------------------------------------------------------------------ */

static int own_a_value(void *arg)
{
    free(*(void **)arg);
    atomic_fetch_add(&ended, 1);
    return weft_check();
}

static int go_cancelled(void *arg)
{
    weft_scope scope;

    (void)arg;
    open_scope(&scope);
    weft_scope_cancel(&scope);
    weft_scope_cancel(&scope);
    task_check(weft_check() == -ECANCELED);
    for (int i = 0; i < 10; i++) {
        void *owned = malloc(100);
        task_check(weft_scope_go(&scope, own_a_value, &owned, sizeof owned) == 0);
    }
    task_check(weft_scope_close(&scope) == -ECANCELED);
    task_check(weft_check() == 0);
    return 0;
}

static void cancelled_scope_runs_its_tasks(void **state)
{
    (void)state;
    atomic_store(&ended, 0);
    assert_int_equal(test_run_workers(go_cancelled, NULL), 0);
    assert_int_equal(atomic_load(&ended), 10);
}

static atomic_int stage;

/* A task deep within: scopes of tasks of scopes. */
static int nest(void *arg)
{
    int        depth = *(int *)arg - 1;
    weft_scope scope;
    weft_task  task;

    open_scope(&scope);
    if (depth > 0) {
        task_check(weft_scope_go(&scope, nest, &depth, sizeof depth) == 0);
        weft_spawn(&task, run_until_cancelled, NULL);
        task_check(weft_await(&task) == -ECANCELED);
    } else {
        atomic_store(&stage, 1);
        run_until_cancelled(NULL);
    }
    task_check(weft_check() == -ECANCELED);
    task_check(weft_scope_close(&scope) == -ECANCELED);
    task_check(weft_check() == -ECANCELED);
    return 0;
}

static int cancel_outermost(void *arg)
{
    int        depth = 6;
    weft_scope scope;

    (void)arg;
    atomic_store(&stage, 0);
    open_scope(&scope);
    task_check(weft_scope_go(&scope, nest, &depth, sizeof depth) == 0);
    task_until(atomic_load(&stage) == 1);
    weft_scope_cancel(&scope);
    return weft_scope_close(&scope);
}

static void cancel_reaches_inner_scopes(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_outermost, NULL, WEFT_OPTIONS(.workers = 1)), -ECANCELED);
    assert_int_equal(test_run_workers(cancel_outermost, NULL), -ECANCELED);
}

static int cancel_inner(void *arg)
{
    weft_scope outer;
    weft_scope inner;
    weft_task  task;

    (void)arg;
    open_scope(&outer);
    weft_spawn(&task, run_until_cancelled, NULL);
    open_scope(&inner);
    weft_scope_cancel(&inner);
    task_check(weft_check() == -ECANCELED);
    for (int i = 0; i < 10; i++) weft_yield();
    task_check(!weft_done(&task));
    task_check(weft_scope_close(&inner) == -ECANCELED);
    task_check(weft_check() == 0);
    weft_cancel(&task);
    weft_await(&task);
    return weft_scope_close(&outer);
}

static void cancel_does_not_reach_outwards(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_inner, NULL), 0);
}

static int open_in_cancelled(void *arg)
{
    weft_scope outer;
    weft_scope inner;

    (void)arg;
    open_scope(&outer);
    go_result(&outer, -EIO);
    task_until(weft_check() == -EIO);
    open_scope(&inner);
    task_check(weft_check() == -EIO);
    task_check(weft_scope_go(&inner, see_check, NULL, 0) == 0);
    task_check(weft_scope_close(&inner) == -EIO);
    task_check(weft_scope_close(&outer) == -EIO);
    return 0;
}

static void scope_in_a_cancelled_one_is_cancelled(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(open_in_cancelled, NULL), 0);
}

static int shield_cleaning_up(void *arg)
{
    weft_scope outer;
    weft_scope shield;
    weft_scope inner;

    (void)arg;
    open_scope(&outer);
    open_shield(&shield);
    open_scope(&inner);
    weft_scope_cancel(&outer);
    task_check(weft_check() == 0);
    task_check(weft_scope_go(&inner, see_check, NULL, 0) == 0);
    task_check(weft_scope_close(&inner) == 0);
    task_check(weft_scope_go(&shield, see_check, NULL, 0) == 0);
    task_check(weft_scope_close(&shield) == 0);
    task_check(weft_check() == -ECANCELED);

    /* Also one that is opened in what is cancelled already; its own cancel and
     * its own errors it heeds. */
    open_shield(&shield);
    task_check(weft_check() == 0);
    task_check(weft_scope_close(&shield) == 0);
    open_shield(&shield);
    weft_scope_cancel(&shield);
    task_check(weft_check() == -ECANCELED);
    task_check(weft_scope_close(&shield) == -ECANCELED);
    open_shield(&shield);
    go_result(&shield, -EIO);
    task_check(weft_scope_close(&shield) == -EIO);
    return weft_scope_close(&outer);
}

static void shield_keeps_outer_cancels_out(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(shield_cleaning_up, NULL), -ECANCELED);
}

static int shield_in_task(void *arg)
{
    weft_scope shield;

    (void)arg;
    task_until(weft_check() == -ECANCELED);
    open_shield(&shield);
    task_check(weft_check() == 0);
    task_check(weft_go(see_check, NULL, 0) == 0);
    task_check(weft_scope_close(&shield) == 0);
    return weft_check();
}

static int cancel_shielding_task(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, shield_in_task, NULL);
    weft_cancel(&task);
    return weft_await(&task);
}

static void shield_keeps_task_cancels_out(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_shielding_task, NULL), -ECANCELED);
}

static int cancel_by_its_own_task(void *arg)
{
    weft_scope_cancel(*(weft_scope **)arg);
    return weft_check();
}

static int cancel_from_within(void *arg)
{
    weft_scope  scope;
    weft_scope *own = &scope;

    (void)arg;
    open_scope(&scope);
    task_check(weft_scope_go(&scope, run_until_cancelled, NULL, 0) == 0);
    task_check(weft_scope_go(&scope, cancel_by_its_own_task, &own, sizeof own) == 0);
    return weft_scope_close(&scope);
}

static void task_may_cancel_its_own_scope(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_from_within, NULL), -ECANCELED);
}

/* ---- misuse ---------------------------------------------------------------------------- */

static int close_of_another(void *arg)
{
    return weft_scope_close(*(weft_scope **)arg);
}

static int let_another_close(void *arg)
{
    weft_scope  scope;
    weft_scope *own = &scope;
    weft_task   task;

    (void)arg;
    open_scope(&scope);
    weft_spawn(&task, close_of_another, &own);
    weft_await(&task);
    return weft_scope_close(&scope);
}

static int close_by_another(void)
{
    return weft_run(let_another_close, NULL, WEFT_OPTIONS(.workers = 1)) != 0;
}

static int close_outer_first(void *arg)
{
    weft_scope outer;
    weft_scope inner;

    (void)arg;
    open_scope(&outer);
    open_scope(&inner);
    weft_scope_close(&outer);
    return weft_scope_close(&inner);
}

static int close_in_wrong_order(void)
{
    return weft_run(close_outer_first, NULL, WEFT_OPTIONS(.workers = 1)) != 0;
}

/* The scope lies in a frame that outlives the task, so all memory is in order. */
static int leave_scope_open(void *arg)
{
    open_scope(arg);
    return 0;
}

static int leave_open_in_place(void *arg)
{
    weft_scope scope;
    weft_task  task;

    (void)arg;
    weft_spawn(&task, leave_scope_open, &scope);
    return weft_await(&task);
}

static int leave_open_on_another_stack(void *arg)
{
    weft_scope scope;
    weft_task  task;

    (void)arg;
    weft_spawn(&task, leave_scope_open, &scope);
    weft_yield();
    return weft_await(&task);
}

static int leave_open_in_a_job(void *arg)
{
    static weft_scope scope;

    (void)arg;
    return weft_go(leave_scope_open, &scope, 0);
}

static int open_at_the_end_in_place(void)
{
    return weft_run(leave_open_in_place, NULL, WEFT_OPTIONS(.workers = 1));
}

static int open_at_the_end_elsewhere(void)
{
    return weft_run(leave_open_on_another_stack, NULL, WEFT_OPTIONS(.workers = 1));
}

static int open_at_the_end_of_a_job(void)
{
    return weft_run(leave_open_in_a_job, NULL, WEFT_OPTIONS(.workers = 1));
}

static void scope_left_open_stops_the_program(void **state)
{
    (void)state;
    const char *parts[] = {"open_at_the_end_in_place", "open_at_the_end_elsewhere", "open_at_the_end_of_a_job"};

    for (size_t i = 0; i < TEST_LENGTH(parts); i++) assert_part_stops(parts[i], "a scope still open");
}

static void close_stops_all_but_the_opener(void **state)
{
    (void)state;
    assert_part_stops("close_by_another", "weft_scope_close by a task");
    assert_part_stops("close_in_wrong_order", "weft_scope_close by a task");
}

int main(int argc, char **argv)
{
    const struct test_part parts[] = {
        {"close_by_another", close_by_another},
        {"close_in_wrong_order", close_in_wrong_order},
        {"open_at_the_end_in_place", open_at_the_end_in_place},
        {"open_at_the_end_elsewhere", open_at_the_end_elsewhere},
        {"open_at_the_end_of_a_job", open_at_the_end_of_a_job},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_refuses_bad_arguments),
        cmocka_unit_test(open_takes_options_of_another_size),
        cmocka_unit_test(go_refuses_bad_arguments),
        cmocka_unit_test(plain_thread_may_only_cancel),
        cmocka_unit_test(close_waits_for_all_tasks),
        cmocka_unit_test(empty_scope_closes),
        cmocka_unit_test(go_copies_its_argument),
        cmocka_unit_test(tasks_may_start_tasks_in_their_scope),
        cmocka_unit_test(go_means_the_innermost_scope),
        cmocka_unit_test(error_at_the_outside_cancels_nobody),
        cmocka_unit_test(error_cancels_the_others),
        cmocka_unit_test(first_reason_sticks),
        cmocka_unit_test(success_of_any_number_cancels_nobody),
        cmocka_unit_test(error_stays_within_its_scope),
        cmocka_unit_test(error_of_spawned_is_its_awaiters),
        cmocka_unit_test(cancelled_scope_runs_its_tasks),
        cmocka_unit_test(cancel_reaches_inner_scopes),
        cmocka_unit_test(cancel_does_not_reach_outwards),
        cmocka_unit_test(scope_in_a_cancelled_one_is_cancelled),
        cmocka_unit_test(shield_keeps_outer_cancels_out),
        cmocka_unit_test(shield_keeps_task_cancels_out),
        cmocka_unit_test(task_may_cancel_its_own_scope),
        cmocka_unit_test(close_stops_all_but_the_opener),
        cmocka_unit_test(scope_left_open_stops_the_program),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
