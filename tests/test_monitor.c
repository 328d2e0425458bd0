/* test_monitor.c - who has its worker to itself for long is named */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

/* After a call, so that it is one, and its caller has a frame. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

/* ---- what is said --------------------------------------------------------------------- */

static int said, stderr_before;

static void begin_to_listen(void)
{
    fflush(stderr);
    said = memfd_create("stderr", MFD_CLOEXEC);
    stderr_before = dup(STDERR_FILENO);
    assert_true(said >= 0 && stderr_before >= 0);
    assert_int_equal(dup2(said, STDERR_FILENO), STDERR_FILENO);
}

static void end_listening(void)
{
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    close(said);
}

static size_t count_said(const char *what)
{
    char  *text = test_read_all(said);
    size_t count = test_count_of(text, what);

    free(text);
    return count;
}

/* In this order. */
static bool has_said(const char *const *what)
{
    char       *text = test_read_all(said);
    const char *at = text;

    for (; at && *what; what++) at = strstr(at, *what);
    free(text);
    return at;
}

#define SAID(...) has_said((const char *const[]){__VA_ARGS__, NULL})

/* ---- who holds a worker ----------------------------------------------------------------- */

/* By any of the ways in which others can be let run. */
enum way { WAITS, YIELDS, CHECKS, AWAITS, WAYS };

/* Who awaits it, or the event, has to wait, or to run it. */
static int sees_it_said(void *arg)
{
    task_until(SAID(" lets others run here:\n"));
    weft_event_set(arg);
    return 0;
}

static NOINLINE void let_others_run(enum way way)
{
    weft_event event = {{0}};
    weft_task  task;

    if (way == WAITS || way == AWAITS) weft_spawn(&task, sees_it_said, &event);
    if (way == WAITS) task_check(weft_event_wait(&event, WEFT_NEVER) == 0);
    if (way == YIELDS) weft_yield();
    for (int i = 0; way == CHECKS && i < 10000; i++) task_check(weft_check() == 0);
    if (way == WAITS || way == AWAITS) task_check(weft_await(&task) == 0);
    KEEP_FRAME();
}

static NOINLINE int holds_on(void *arg)
{
    enum way way = *(enum way *)arg;

    task_spin_until(SAID("weft: the task holds_on (", " has had worker ", " to itself for "));
    let_others_run(way);
    task_until(
        SAID("\nweft: the task holds_on (", " lets others run here:\n    ", "let_others_run+0x", "\n    holds_on"));
    KEEP_FRAME();
    return 0;
}

static void hold_on(enum way way, const struct weft_options *options)
{
    begin_to_listen();
    assert_int_equal(weft_run(holds_on, &way, options), 0);
    /* What every stack has at its ends is no news. */
    size_t internal = count_said("worker_") + count_said("lets_go") + count_said("look_twice");
    size_t named = count_said("weft: the task holds_on (");
    char  *text = test_read_all(said);
    end_listening();
    if (internal > 0 || named != 2) fprintf(stderr, "%s", text);
    free(text);
    assert_task_checks();
    assert_int_equal(internal, 0);
    assert_int_equal(named, 2); /* that it held its worker, and where it let go */
}

static void who_holds_its_worker_is_named(void **state)
{
    (void)state;
    for (enum way way = WAITS; way < WAYS; way++) {
        hold_on(way, WEFT_OPTIONS(.workers = 1, .monitor = 20 * WEFT_MS));
        hold_on(way, WEFT_OPTIONS(.workers = 3, .monitor = 5 * WEFT_MS));
        hold_on(way, WEFT_OPTIONS(.one_root = true, .monitor = 1)); /* which is a millisecond */
    }
    hold_on(WAITS, WEFT_OPTIONS(.seed = 4, .monitor = 20 * WEFT_MS));
}

static void the_environment_says_so_too(void **state)
{
    (void)state;
    setenv("WEFT_MONITOR", "7", 1);
    hold_on(YIELDS, WEFT_OPTIONS(.workers = 1));
    /* As from a caller who knows of no such option. */
    struct weft_options options = {.size = offsetof(struct weft_options, monitor), .workers = 1, .monitor = -1};
    hold_on(YIELDS, &options);
    setenv("WEFT_MONITOR", "99999999999999999999", 1);
    hold_on(YIELDS, WEFT_OPTIONS(.workers = 1, .monitor = WEFT_MS)); /* the option comes first */
    unsetenv("WEFT_MONITOR");
}

/* ---- once --------------------------------------------------------------------------------- */

static NOINLINE int holds_again(void *arg)
{
    (void)arg;
    task_spin_until(SAID("the task holds_again ("));
    weft_yield();
    task_until(SAID("the task holds_again (", "lets others run here"));
    return 0;
}

static atomic_bool go_on;

/* Held for many limits more, by the dump that somebody else takes; and it is named no more. */
static NOINLINE int holds_twice(void *arg)
{
    (void)arg;
    task_spin_until(SAID("the task holds_twice ("));
    weft_yield();
    task_until(SAID("the task holds_twice (", "lets others run here"));
    task_spin_until(atomic_load(&go_on));
    return 0;
}

/* For how long the dump says that the task runs, in ms; negative: it does not say. */
static int running_for(const char *function)
{
    char *text = test_dump_text(), wanted[100];
    int   ms = -1;

    snprintf(wanted, sizeof wanted, " %s (", function);
    const char *at = strstr(text, wanted), *end = at ? strchr(at, '\n') : NULL;
    if (end && (at = strstr(at, " runs, running for ")) && at < end) sscanf(at, " runs, running for %d ms", &ms);
    free(text);
    return ms;
}

static void a_task_is_named_once(void **state)
{
    (void)state;
    weft_runtime *runtime;

    begin_to_listen();
    atomic_store(&go_on, false);
    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 2, .monitor = 10 * WEFT_MS)), 0);
    assert_int_equal(weft_runtime_go(runtime, holds_twice, NULL, 0), 0);
    task_until(SAID("the task holds_twice (", "lets others run here"));
    task_until(running_for("holds_twice") >= 50);
    atomic_store(&go_on, true);
    /* The next one on its stack is another. */
    for (int i = 0; i < 3; i++) assert_int_equal(weft_runtime_call(runtime, holds_again, NULL), 0);
    size_t twice = count_said("the task holds_twice (");
    assert_int_equal(weft_runtime_stop(runtime), 0);
    end_listening();
    assert_task_checks();
    assert_int_equal(twice, 2);
}

static NOINLINE int holds_to_the_end(void *arg)
{
    size_t before = *(size_t *)arg;

    task_spin_until(count_said("the task holds_to_the_end (") > before);
    return 0;
}

static int yields(void *arg)
{
    (void)arg;
    weft_yield();
    return 0;
}

/* One that ends without letting go is not mistaken for the next. */
static void each_task_is_named(void **state)
{
    (void)state;
    weft_runtime *runtime;

    begin_to_listen();
    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 1, .monitor = 10 * WEFT_MS)), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(weft_runtime_call(runtime, holds_to_the_end, &i), 0);
        assert_int_equal(weft_runtime_call(runtime, yields, NULL), 0);
    }
    assert_int_equal(weft_runtime_stop(runtime), 0);
    size_t named = count_said("the task holds_to_the_end ("), noted = count_said("lets others run here");
    end_listening();
    assert_task_checks();
    assert_int_equal(named, 3);
    assert_int_equal(noted, 0);
}

/* ---- nobody --------------------------------------------------------------------------------- */

static weft_time longest;

/* Lets others run all the time, though there are none; notes for how long it was not let run itself. */
static int lets_run(void *arg)
{
    weft_time end = test_now() + *(weft_time *)arg, last = test_now();

    longest = 0;
    for (int i = 0; last < end; i++) {
        if (i % 2) weft_yield();
        else
            for (int k = 0; k < 5000; k++) weft_check();
        weft_time now = test_now();
        if (now - last > longest) longest = now - last;
        last = now;
    }
    return 0;
}

static void who_lets_others_run_is_not_named(void **state)
{
    (void)state;
    weft_time limit = 100 * WEFT_MS, duration = 4 * limit;

    begin_to_listen();
    int    error = weft_run(lets_run, &duration, WEFT_OPTIONS(.workers = 1, .monitor = limit));
    size_t named = count_said("weft: ");
    end_listening();
    assert_int_equal(error, 0);
    if (longest < limit / 2) assert_int_equal(named, 0); /* else the machine has held it */
}

static int count_threads(void *arg)
{
    struct test_census census;

    test_census(&census);
    *(size_t *)arg = census.threads;
    return 0;
}

static size_t threads_with(weft_time monitor)
{
    size_t threads = 0;

    assert_threads_end_at(1 + TEST_TSAN);
    assert_int_equal(weft_run(count_threads, &threads, WEFT_OPTIONS(.workers = 1, .monitor = monitor)), 0);
    assert_threads_end_at(1 + TEST_TSAN);
    return threads;
}

static void without_it_there_is_no_thread(void **state)
{
    (void)state;
    size_t none = threads_with(-1);

    assert_int_equal(threads_with(WEFT_SEC), none + 1);
    setenv("WEFT_MONITOR", "0", 1);
    assert_int_equal(threads_with(0), none);
    setenv("WEFT_MONITOR", "-5", 1);
    assert_int_equal(threads_with(0), none);
    setenv("WEFT_MONITOR", "5", 1);
    assert_int_equal(threads_with(-1), none);
    assert_int_equal(threads_with(0), none + 1);
    unsetenv("WEFT_MONITOR");
}

static int run_two_more(void *arg)
{
    size_t inner = 0, *threads = arg;

    task_check(weft_run(count_threads, &inner, WEFT_OPTIONS(.workers = 1, .monitor = WEFT_SEC)) == 0);
    task_check(weft_run(count_threads, threads, WEFT_OPTIONS(.workers = 1, .monitor = 2 * WEFT_SEC)) == 0);
    task_check(inner > 0);
    return 0;
}

static void runtimes_share_the_thread(void **state)
{
    (void)state;
    size_t threads = 0, none = threads_with(-1);

    assert_int_equal(test_run(run_two_more, &threads, WEFT_OPTIONS(.workers = 1, .monitor = WEFT_SEC)), 0);
    assert_threads_end_at(1 + TEST_TSAN);
    assert_in_range(threads, none + 2, none + 3); /* the inner runtime before may be listed for a moment */
}

/* ---- deadlocks --------------------------------------------------------------------------------- */

static int wait_for_nobody(void *arg)
{
    weft_event event = {{0}};

    (void)arg;
    return weft_event_wait(&event, WEFT_NEVER);
}

static int sleep_for_a_day(void *arg)
{
    (void)arg;
    return weft_sleep(weft_now() + 86400 * WEFT_SEC);
}

/* It is no thread that could end a wait. */
static void deadlocks_are_found(void **state)
{
    (void)state;
    begin_to_listen();
    int free = TEST_TSAN ? -EDEADLK : weft_run(wait_for_nobody, NULL, WEFT_OPTIONS(.workers = 2, .monitor = WEFT_MS));
    int seeded = weft_run(wait_for_nobody, NULL, WEFT_OPTIONS(.seed = 1, .monitor = WEFT_MS));
    int slept = weft_run(sleep_for_a_day, NULL, WEFT_OPTIONS(.seed = 1, .monitor = WEFT_MS));
    end_listening();
    assert_int_equal(free, -EDEADLK);
    assert_int_equal(seeded, -EDEADLK);
    assert_int_equal(slept, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_holds_its_worker_is_named),
        cmocka_unit_test(the_environment_says_so_too),
        cmocka_unit_test(a_task_is_named_once),
        cmocka_unit_test(each_task_is_named),
        cmocka_unit_test(who_lets_others_run_is_not_named),
        cmocka_unit_test(without_it_there_is_no_thread),
        cmocka_unit_test(runtimes_share_the_thread),
        cmocka_unit_test(deadlocks_are_found),
    };

    unsetenv("WEFT_MONITOR");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
