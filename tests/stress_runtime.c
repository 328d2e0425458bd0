/* stress_runtime.c - runtimes come and go: nothing is left, nothing is touched afterwards */
#include <malloc.h>
#include "support.h"

#include <string.h>

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int yield_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) weft_yield();
    return 0;
}

static int fork_some(void *arg)
{
    weft_task tasks[8];

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_spawn(&tasks[i], yield_some, NULL);
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_await(&tasks[i]);
    return 0;
}

static struct weft_options options(void)
{
    return (struct weft_options){.size = sizeof(struct weft_options), .workers = test_workers()};
}

static weft_runtime *start(void)
{
    struct weft_options o = options();
    weft_runtime       *runtime = NULL;

    task_check(weft_runtime_start(&runtime, &o) == 0);
    return runtime;
}

/* ---- nothing is left ---------------------------------------------------------------- */

static void start_and_stop(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i % 2) {
            assert_int_equal(test_run_workers(fork_some, NULL), 0);
        } else {
            weft_runtime *runtime = start();
            if (i % 4) assert_int_equal(weft_runtime_go(runtime, fork_some, NULL, 0), 0);
            assert_int_equal(weft_runtime_stop(runtime), 0);
        }
    }
    assert_task_checks();
}

static void a_thousand_starts_leave_nothing(void **state)
{
    (void)state;
    struct test_census before;
    struct test_census after;
    size_t             count = TEST_TSAN ? 60 : TEST_ASAN ? 300 : 1000;

    /* libc gives threads heaps of their own, 64 MiB of addresses each, now and then another one. */
    mallopt(M_ARENA_MAX, 1);
    /* What is made once and for all is there after the first few. */
    start_and_stop(20);
    test_census(&before);
    start_and_stop(count);
    assert_threads_end_at(before.threads);
    test_census(&after);
    assert_int_equal(after.threads, before.threads);
    assert_int_equal(after.descriptors, before.descriptors);
    if (!TEST_TSAN && !TEST_ASAN) {
        /* libc keeps a few stacks of its threads and heaps of its own; one
         * leaked in each runtime would be far above that. */
        assert_in_range(after.mappings, 1, before.mappings + count / 20);
        assert_in_range(after.address_space, 1, before.address_space + count * 16 * 1024);
    }
}

/* ---- many at once ---------------------------------------------------------------------- */

static void start_and_stop_in_thread(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(300); i++) {
        weft_runtime *runtime = start();

        if (!runtime) return;
        task_check(weft_runtime_go(runtime, fork_some, NULL, 0) == 0);
        if (i % 3 == 0) task_check(weft_runtime_call(runtime, fork_some, NULL) == 0);
        task_check(weft_runtime_stop(runtime) == 0);
    }
}

static void start_races_stop(void **state)
{
    (void)state;
    test_thread threads[4];

    for (size_t i = 0; i < TEST_LENGTH(threads); i++) test_thread_start(&threads[i], start_and_stop_in_thread, NULL);
    for (size_t i = 0; i < TEST_LENGTH(threads); i++) test_thread_join(&threads[i]);
    assert_task_checks();
}

static int nest(void *arg)
{
    int                 depth = *(int *)arg - 1;
    struct weft_options o = options();

    return depth ? weft_run(nest, &depth, &o) : fork_some(NULL);
}

static int fork_nests(void *arg)
{
    weft_task tasks[6];
    int       depths[TEST_LENGTH(tasks)];

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) {
        depths[i] = 1 + (int)i % 3;
        weft_spawn(&tasks[i], nest, &depths[i]);
    }
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) task_check(weft_await(&tasks[i]) == 0);
    return 0;
}

static void runtimes_in_runtimes(void **state)
{
    (void)state;
    for (size_t i = 0; i < test_scale(50); i++) assert_int_equal(test_run_workers(fork_nests, NULL), 0);
}

/* ---- woken while it stops ----------------------------------------------------------------- */

static int await_handed(void *arg)
{
    return weft_await(*(weft_task **)arg);
}

static int yield_so_often(void *arg)
{
    for (int i = *(int *)arg; i > 0; i--) weft_yield();
    return 0;
}

/* The last task of the runtime that stops waits for one of another runtime,
 * whose end is what lets it go: whoever wakes it must be done with the runtime
 * before that is gone. */
static int stop_what_waits_for_me(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(500); i++) {
        weft_task     task;
        weft_task    *own = &task;
        int           yields = (int)(i % 30);
        weft_runtime *other = start();

        if (!other) return 1;
        weft_spawn(&task, yield_so_often, &yields);
        task_check(weft_runtime_go(other, await_handed, &own, sizeof own) == 0);
        task_check(weft_runtime_stop(other) == 0);
        /* Awaited by the other runtime, once and for all. */
        task_check(weft_done(&task));
    }
    return 0;
}

static void another_runtime_wakes_one_that_stops(void **state)
{
    (void)state;
    assert_int_equal(test_run(stop_what_waits_for_me, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(stop_what_waits_for_me, NULL), 0);
}

struct cancelled {
    _Atomic(weft_scope *) scope;
    atomic_bool           let_go;
    unsigned              steps;
};

static int run_until_let_go(void *arg)
{
    struct cancelled *self = arg;

    task_until(atomic_load(&self->let_go));
    return 0;
}

static int wait_to_be_cancelled(void *arg)
{
    struct cancelled *self = arg;
    weft_scope        scope;
    weft_task         endless;
    weft_task        *tasks[] = {&endless};

    weft_spawn(&endless, run_until_let_go, self);
    task_check(weft_scope_open(&scope, NULL) == 0);
    atomic_store(&self->scope, &scope);
    task_check(weft_await_any(tasks, 1, WEFT_NEVER) == -ECANCELED);
    task_check(weft_scope_close(&scope) == -ECANCELED);
    memset(&scope, 255, sizeof scope);
    atomic_store(&self->let_go, true);
    return weft_await(&endless);
}

static void cancel_from_thread(void *arg)
{
    struct cancelled *self = arg;

    task_spin_until(atomic_load(&self->scope));
    test_spin(self->steps);
    weft_scope_cancel(atomic_load(&self->scope));
}

static void plain_thread_wakes_one_that_stops(void **state)
{
    (void)state;
    for (size_t i = 0; i < test_scale(1000); i++) {
        struct cancelled cancelled = {.steps = (unsigned)(i * 37 % 20000)};
        weft_runtime    *runtime = start();
        test_thread      thread;

        assert_non_null(runtime);
        assert_int_equal(weft_runtime_go(runtime, wait_to_be_cancelled, &cancelled, 0), 0);
        test_thread_start(&thread, cancel_from_thread, &cancelled);
        assert_int_equal(weft_runtime_stop(runtime), 0);
        test_thread_join(&thread);
        assert_task_checks();
    }
}

/* A thread whose call has just returned stops the runtime at once: the worker
 * that woke it is still on its way out. */
static void stop_right_after_call(void **state)
{
    (void)state;
    for (size_t i = 0; i < test_scale(1000); i++) {
        weft_runtime *runtime = start();
        assert_non_null(runtime);
        assert_int_equal(weft_runtime_call(runtime, i % 2 ? nothing : yield_some, NULL), 0);
        assert_int_equal(weft_runtime_stop(runtime), 0);
    }
    assert_task_checks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_starts_leave_nothing),
        cmocka_unit_test(start_races_stop),
        cmocka_unit_test(runtimes_in_runtimes),
        cmocka_unit_test(another_runtime_wakes_one_that_stops),
        cmocka_unit_test(plain_thread_wakes_one_that_stops),
        cmocka_unit_test(stop_right_after_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
