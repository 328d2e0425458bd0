/* stress_fair.c - nothing that is ready waits for ever while others go on
 *
 * Storms keep every worker busy for good with work that is newer, nearer or
 * cheaper to take than one old task.  The storms end when that has run.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

static atomic_bool  old_ran;
static atomic_uint  storms; /* that have begun */
static atomic_ulong calls;  /* that they have made */
static weft_time    storm_end;

/* Ages to a scheduler. */
#define STORM_MOST (10 * WEFT_SEC)

static bool storm_goes_on(void)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    return !atomic_load_explicit(&old_ran, memory_order_relaxed) && test_now() < storm_end;
}

static int run_old(void *arg)
{
    (void)arg;
    atomic_store(&old_ran, true);
    return 0;
}

/* ---- storms ------------------------------------------------------------------------ */

static int leaf(void *arg)
{
    (void)arg;
    return 1;
}

static int fork_join(void *arg)
{
    int       depth = *(int *)arg - 1;
    weft_task task;

    if (depth == 0) return 1;
    weft_spawn(&task, fork_join, &depth);
    int other = fork_join(&depth);
    return weft_await(&task) + other;
}

/* Await of what has not begun, again and again: every one is done at once. */
static int storm_of_awaits(void *arg)
{
    (void)arg;
    atomic_fetch_add(&storms, 1);
    while (storm_goes_on()) {
        weft_task task;
        weft_spawn(&task, leaf, NULL);
        weft_await(&task);
    }
    return 0;
}

static int storm_of_fork_join(void *arg)
{
    int depth = 8;

    (void)arg;
    atomic_fetch_add(&storms, 1);
    while (storm_goes_on()) fork_join(&depth);
    return 0;
}

static int storm_of_yields(void *arg)
{
    (void)arg;
    atomic_fetch_add(&storms, 1);
    while (storm_goes_on()) weft_yield();
    return 0;
}

static int storm_of_checks(void *arg)
{
    (void)arg;
    atomic_fetch_add(&storms, 1);
    while (storm_goes_on()) weft_check();
    return 0;
}

static int storm_of_scopes(void *arg)
{
    (void)arg;
    atomic_fetch_add(&storms, 1);
    while (storm_goes_on()) {
        weft_scope scope;
        task_check(weft_scope_open(&scope, NULL) == 0);
        task_check(weft_scope_go(&scope, leaf, NULL, 0) == 0);
        task_check(weft_scope_close(&scope) == 0);
    }
    return 0;
}

/* Closing what is empty needs no waiting either. */
static int storm_of_empty_scopes(void *arg)
{
    (void)arg;
    atomic_fetch_add(&storms, 1);
    while (storm_goes_on()) {
        weft_scope scope;
        task_check(weft_scope_open(&scope, NULL) == 0);
        task_check(weft_scope_close(&scope) == 0);
    }
    return 0;
}

/* Each task starts the next and ends. */
static int storm_of_goes(void *arg)
{
    if (!arg) atomic_fetch_add(&storms, 1);
    if (storm_goes_on()) task_check(weft_go(storm_of_goes, &old_ran, 0) == 0);
    return 0;
}

/* Two who wake each other, so that one is always next. */
struct pair {
    weft_chan *there, *back;
};

static int pong(void *arg)
{
    struct pair *pair = arg;
    int          value;

    while (weft_recv(pair->there, &value, WEFT_NEVER) == 0) task_check(weft_send(pair->back, &value, WEFT_NEVER) == 0);
    return 0;
}

static int storm_of_pingpong(void *arg)
{
    struct pair pair;
    weft_task   other;
    int         value = 1;

    (void)arg;
    task_check(weft_chan_create(&pair.there, sizeof value, 0) == 0);
    task_check(weft_chan_create(&pair.back, sizeof value, 0) == 0);
    weft_spawn(&other, pong, &pair);
    atomic_fetch_add(&storms, 1);
    while (storm_goes_on()) {
        task_check(weft_send(pair.there, &value, WEFT_NEVER) == 0);
        task_check(weft_recv(pair.back, &value, WEFT_NEVER) == 0);
    }
    weft_chan_close(pair.there);
    task_check(weft_await(&other) == 0);
    weft_chan_destroy(pair.there);
    weft_chan_destroy(pair.back);
    return 0;
}

static void loop_body(size_t begin, size_t end, void *arg)
{
    (void)begin, (void)end, (void)arg;
}

static int storm_of_loops(void *arg)
{
    (void)arg;
    atomic_fetch_add(&storms, 1);
    while (storm_goes_on()) weft_for(0, 64, 1, loop_body, NULL);
    return 0;
}

/* And how many calls, as they are counted here, may be one turn of a worker (weft.h, Fairness). */
#define STORM(fn, calls_per_turn) \
    {                             \
#fn, fn, calls_per_turn   \
    }
#define CALLS_PER_TURN 4096

static const struct storm {
    const char   *name;
    weft_fn      *fn;
    unsigned long calls_per_turn;
} all_storms[] = {
    STORM(storm_of_awaits, CALLS_PER_TURN),
    STORM(storm_of_fork_join, CALLS_PER_TURN / 256 + 1),
    STORM(storm_of_yields, 1),
    STORM(storm_of_checks, CALLS_PER_TURN / 16),
    STORM(storm_of_scopes, CALLS_PER_TURN),
    STORM(storm_of_empty_scopes, CALLS_PER_TURN),
    STORM(storm_of_goes, 1),
    STORM(storm_of_loops, CALLS_PER_TURN),
    STORM(storm_of_pingpong, 1),
};

/* ---- old tasks --------------------------------------------------------------------- */

struct sky {
    weft_fn *storm;
    bool     one_root;
};

static void begin_storm(void)
{
    atomic_store(&old_ran, false);
    atomic_store(&storms, 0);
    atomic_store(&calls, 0);
    storm_end = test_now() + STORM_MOST;
}

/* Two for each worker, so that there is always another at hand. */
static unsigned storm_count(void)
{
    return 2 * weft_worker_count();
}

static int old_is_spawned_first(void *arg)
{
    struct sky *sky = arg;
    weft_task   old;
    weft_scope  scope;

    begin_storm();
    weft_spawn(&old, run_old, NULL);
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (unsigned i = storm_count(); i > 0; i--) task_check(weft_scope_go(&scope, sky->storm, NULL, 0) == 0);
    sky->storm(NULL);
    task_check(weft_scope_close(&scope) == 0);
    task_check(atomic_load(&old_ran));
    return weft_await(&old);
}

static int yield_then_run_old(void *arg)
{
    (void)arg;
    while (atomic_load(&storms) < storm_count()) weft_yield();
    for (int i = 0; i < 50; i++) weft_yield();
    return run_old(NULL);
}

static int old_yields(void *arg)
{
    struct sky *sky = arg;
    weft_task   old;
    weft_scope  scope;

    begin_storm();
    weft_spawn(&old, yield_then_run_old, NULL);
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (unsigned i = storm_count(); i > 0; i--) task_check(weft_scope_go(&scope, sky->storm, NULL, 0) == 0);
    task_check(weft_scope_close(&scope) == 0);
    task_check(atomic_load(&old_ran));
    return weft_await(&old);
}

/* Waits for another task, and is woken into the storm. */
static int await_then_run_old(void *arg)
{
    task_check(weft_await(arg) == 0);
    return run_old(NULL);
}

static int yield_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) weft_yield();
    return 0;
}

static int old_is_woken(void *arg)
{
    struct sky *sky = arg;
    weft_task   before;
    weft_task   old;
    weft_scope  scope;

    begin_storm();
    weft_spawn(&before, yield_some, NULL);
    weft_spawn(&old, await_then_run_old, &before);
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (unsigned i = storm_count(); i > 0; i--) task_check(weft_scope_go(&scope, sky->storm, NULL, 0) == 0);
    task_check(weft_scope_close(&scope) == 0);
    task_check(atomic_load(&old_ran));
    return weft_await(&old);
}

/* Says in which storm the old task was lost. */
static void run_scene(weft_fn *scene, const struct storm *storm, bool one_root)
{
    struct sky sky = {storm->fn, one_root};
    int        result = weft_run(scene, &sky, WEFT_OPTIONS(.workers = test_workers(), .one_root = one_root));

    if (test_now() > storm_end) print_error("%s%s\n", storm->name, one_root ? " on one root" : "");
    assert_task_checks();
    assert_int_equal(result, 0);
}

static void check_storms(weft_fn *scene)
{
    for (int one_root = 0; one_root < 2; one_root++)
        for (size_t i = 0; i < TEST_LENGTH(all_storms); i++) run_scene(scene, &all_storms[i], one_root);
}

static void old_spawned_task_runs(void **state)
{
    (void)state;
    check_storms(old_is_spawned_first);
}

static void old_yielded_task_runs(void **state)
{
    (void)state;
    check_storms(old_yields);
}

static void old_woken_task_runs(void **state)
{
    (void)state;
    check_storms(old_is_woken);
}

/* ---- the bound ------------------------------------------------------------------------------ */

static unsigned long calls_before_old; /* that the storms have made when it runs */

static int run_old_and_count(void *arg)
{
    bool yields = *(bool *)arg;

    if (yields) {
        weft_yield();
        while (atomic_load(&storms) < storm_count()) weft_yield();
        atomic_store(&calls, 0);
        weft_yield();
    }
    calls_before_old = atomic_load(&calls);
    return run_old(NULL);
}

struct bound {
    const struct storm *storm;
    bool                begun;
};

static int old_in_time(void *arg)
{
    struct bound *bound = arg;
    weft_task     old;
    weft_scope    scope;

    begin_storm();
    weft_spawn(&old, run_old_and_count, &bound->begun);
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (unsigned i = storm_count(); i > 0; i--) task_check(weft_scope_go(&scope, bound->storm->fn, NULL, 0) == 0);
    task_check(weft_scope_close(&scope) == 0);
    task_check(weft_await(&old) == 0);
    return 0;
}

/* On one worker: what weft.h says of how many turns a ready task waits at most. */
static void old_task_runs_within_the_bound(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_LENGTH(all_storms); i++) {
        for (int begun = 0; begun < 2; begun++) {
            struct bound  bound = {&all_storms[i], begun};
            unsigned      ready_before = begun ? 2 * 2 : 0; /* the storms, each with a task of its own */
            unsigned long turns = (begun ? 200 : 1000) * (ready_before + 1);

            assert_int_equal(test_run(old_in_time, &bound, WEFT_OPTIONS(.workers = 1)), 0);
            if (calls_before_old > turns * all_storms[i].calls_per_turn) {
                print_error("%s: %lu calls before the old task %s\n", all_storms[i].name, calls_before_old,
                            begun ? "goes on" : "begins");
                fail();
            }
        }
    }
}

/* ---- work from outside ------------------------------------------------------------------ */

static void task_from_outside_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_LENGTH(all_storms); i++) {
        weft_runtime *runtime;

        assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = test_workers())), 0);
        begin_storm();
        for (unsigned n = 2 * test_workers(); n > 0; n--)
            assert_int_equal(weft_runtime_go(runtime, all_storms[i].fn, NULL, 0), 0);
        task_until(atomic_load(&storms) == 2 * test_workers());
        assert_int_equal(weft_runtime_call(runtime, run_old, NULL), 0);
        assert_int_equal(weft_runtime_stop(runtime), 0);
        if (test_now() > storm_end) print_error("%s\n", all_storms[i].name);
        assert_task_checks();
        assert_true(test_now() < storm_end);
    }
}

/* ---- a root among free tasks --------------------------------------------------------------- */

static int old_root_within(void *arg)
{
    weft_scope scope;

    (void)arg;
    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = true)) == 0);
    task_check(weft_scope_go(&scope, yield_some, NULL, 0) == 0);
    task_check(weft_scope_go(&scope, yield_then_run_old, NULL, 0) == 0);
    return weft_scope_close(&scope);
}

static int old_is_on_a_root(void *arg)
{
    struct sky *sky = arg;
    weft_task   old;
    weft_scope  scope;

    begin_storm();
    weft_spawn(&old, old_root_within, NULL);
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (unsigned i = storm_count(); i > 0; i--) task_check(weft_scope_go(&scope, sky->storm, NULL, 0) == 0);
    task_check(weft_scope_close(&scope) == 0);
    task_check(atomic_load(&old_ran));
    return weft_await(&old);
}

static int storm_in_a_root(void *arg)
{
    weft_fn   *storm = *(weft_fn **)arg;
    weft_scope scope;

    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = true)) == 0);
    for (int i = 0; i < 3; i++) task_check(weft_scope_go(&scope, storm, NULL, 0) == 0);
    return weft_scope_close(&scope);
}

static int old_is_free_among_roots(void *arg)
{
    struct sky *sky = arg;
    weft_task   old;
    weft_scope  scope;

    begin_storm();
    weft_spawn(&old, run_old, NULL);
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (unsigned i = storm_count(); i > 0; i--)
        task_check(weft_scope_go(&scope, storm_in_a_root, &sky->storm, sizeof sky->storm) == 0);
    task_check(weft_scope_close(&scope) == 0);
    task_check(atomic_load(&old_ran));
    return weft_await(&old);
}

static void roots_and_free_tasks_share(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_LENGTH(all_storms); i++) {
        run_scene(old_is_on_a_root, &all_storms[i], false);
        run_scene(old_is_free_among_roots, &all_storms[i], false);
    }
}

/* ---- wakers that compute on ----------------------------------------------------------------- */

/* Whom each has woken runs next on its worker, as soon as the waker waits; which it never does before that has run. */
struct waker {
    weft_chan  *chan;
    atomic_bool woken_ran;
};

static atomic_uint wakers_left; /* that have yet to be ready to wake */

static int be_woken(void *arg)
{
    struct waker *waker = *(struct waker **)arg;
    int           value;

    task_check(weft_chan_recv(waker->chan, &value, sizeof value, WEFT_NEVER) == 0);
    atomic_store(&waker->woken_ran, true);
    return 0;
}

static int wake_and_compute(void *arg)
{
    struct waker *waker = *(struct waker **)arg;
    int           value = 1;

    /* All at once, each on a worker of its own. */
    atomic_fetch_sub(&wakers_left, 1);
    task_spin_until(atomic_load(&wakers_left) == 0);
    while (weft_chan_send(waker->chan, &value, sizeof value, 0) == -EAGAIN) weft_yield();
    task_spin_until(atomic_load(&waker->woken_ran));
    return 0;
}

/* One worker is left for all who were woken. */
static int wake_with_all_but_one(void *arg)
{
    struct waker wakers[16];
    unsigned     count = weft_worker_count() - 1 < 16 ? weft_worker_count() - 1 : 16;
    weft_scope   scope;

    (void)arg;
    atomic_store(&wakers_left, count);
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (unsigned i = 0; i < count; i++) {
        struct waker *waker = &wakers[i];
        atomic_store(&waker->woken_ran, false);
        task_check(weft_chan_create(&waker->chan, sizeof(int), 0) == 0);
        task_check(weft_scope_go(&scope, be_woken, &waker, sizeof waker) == 0);
        task_check(weft_scope_go(&scope, wake_and_compute, &waker, sizeof waker) == 0);
    }
    task_check(weft_scope_close(&scope) == 0);
    for (unsigned i = 0; i < count; i++) weft_chan_destroy(wakers[i].chan);
    return 0;
}

static void woken_task_runs_though_its_waker_computes(void **state)
{
    (void)state;
    /* On one worker it cannot: nothing takes that away from who computes. */
    for (size_t i = 0; test_workers() > 1 && i < test_scale(30); i++)
        assert_int_equal(test_run_workers(wake_with_all_but_one, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_spawned_task_runs),
        cmocka_unit_test(old_yielded_task_runs),
        cmocka_unit_test(old_woken_task_runs),
        cmocka_unit_test(task_from_outside_runs),
        cmocka_unit_test(old_task_runs_within_the_bound),
        cmocka_unit_test(roots_and_free_tasks_share),
        cmocka_unit_test(woken_task_runs_though_its_waker_computes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
