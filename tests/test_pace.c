/* test_pace.c - how long others wait for a task that computes between its calls
 *
 * The clocks are the test's own, so a task computes for as long as it says.
 */
#include "support.h"

#include <errno.h>
#include <time.h>

#include "pace.h"

#define MS INT64_C(1000000)

static _Atomic(int64_t) moment; /* 0: the machine's clock */

/* The coarse clock moves on by so much. */
#define TICK (4 * MS)

int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __real_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    int64_t ns = atomic_load(&moment);

    if (ns == 0 || (id != CLOCK_MONOTONIC_COARSE && id != CLOCK_MONOTONIC)) return __real_clock_gettime(id, now);
    if (id == CLOCK_MONOTONIC_COARSE) ns -= ns % TICK;
    *now = (struct timespec){ns / (1000 * MS), ns % (1000 * MS)};
    return 0;
}

static void compute(int64_t duration)
{
    atomic_fetch_add(&moment, duration);
}

static void assert_with_own_clock(weft_fn *fn)
{
    atomic_store(&moment, 1000 * MS);
    assert_int_equal(test_run(fn, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    atomic_store(&moment, 0);
}

/* ---- the number between two looks ---------------------------------------------------------- */

static void shrinks_in_proportion(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace, 256, 1000 * MS, 4 * MS);
    assert_int_equal(pace.stride, 256);
    assert_true(pace_look(&pace, 256, 1064 * MS)); /* one in a quarter of a millisecond */
    assert_int_equal(pace.stride, 64);
    assert_true(pace_look(&pace, 256, 1080 * MS));
    assert_int_equal(pace.stride, 40);
    assert_true(pace_look(&pace, 256, 1090 * MS));
    assert_int_equal(pace.stride, 40);
    /* One that is very long may be the only one. */
    for (int expected = 10, now = 10000; expected > 0; expected /= 4, now += 10000) {
        assert_true(pace_look(&pace, 256, now * MS));
        assert_int_equal(pace.stride, expected);
    }
    assert_true(pace_look(&pace, 256, 100000 * MS));
    assert_int_equal(pace.stride, 1);
    pace_rested(&pace, 200000 * MS);
    assert_false(pace_look(&pace, 256, 200000 * MS));
}

static void doubles_while_no_tick_passes(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace, 60, 0, 4 * MS);
    for (int i = 1; i < 10; i++) pace_look(&pace, 60, i * 10000 * MS);
    assert_int_equal(pace.stride, 1);
    /* Not soon after some were long. */
    assert_true(pace_look(&pace, 60, 90004 * MS));
    assert_false(pace_look(&pace, 60, 90004 * MS));
    assert_int_equal(pace.stride, 1);
    assert_true(pace_look(&pace, 60, 90008 * MS));
    pace_rested(&pace, 90100 * MS);
    for (int expected = 2; expected < 60; expected *= 2) {
        assert_false(pace_look(&pace, 60, 90100 * MS));
        assert_int_equal(pace.stride, expected);
    }
    assert_false(pace_look(&pace, 60, 90100 * MS));
    assert_int_equal(pace.stride, 60);
    assert_true(pace_look(&pace, 60, 90104 * MS));
    assert_int_equal(pace.stride, 60);
}

static void exact_looks_come_more_often(void **state)
{
    struct pace pace;
    int64_t     now = 1000 * MS;

    (void)state;
    pace_init(&pace, 64, now, 4 * MS);
    assert_false(pace_long(&pace));
    assert_true(pace_look(&pace, 64, now += 8 * MS)); /* 64 in 8 ms */
    assert_true(pace_long(&pace));
    assert_int_equal(pace.stride, 64);
    pace_look_exactly(&pace, 64, now += 3 * MS); /* the coarse clock may have been as much behind */
    assert_int_equal(pace.stride, 64);
    assert_true(pace_look_exactly(&pace, 64, now += 8 * MS));
    assert_int_equal(pace.stride, 16);
    assert_true(pace_look_exactly(&pace, 64, now += 2 * MS));
    assert_int_equal(pace.stride, 16);
    assert_true(pace_look_exactly(&pace, 64, now += 4 * MS));
    assert_int_equal(pace.stride, 4);
    /* Those that take no time among them do not make it look less often, nor say that it is time. */
    for (int i = 0; i < 100; i++) assert_false(pace_look_exactly(&pace, 64, now += 1000));
    assert_true(pace_look_exactly(&pace, 64, now += MS));
    assert_int_equal(pace.stride, 4);
    /* Until there was none for a while. */
    for (int i = 0; i < 9 * 8; i++) pace_look_exactly(&pace, 64, now += MS / 8);
    assert_int_equal(pace.stride, 4);
    for (int i = 0; i < 2 * 8; i++) pace_look_exactly(&pace, 64, now += MS / 8);
    assert_int_equal(pace.stride, 64);
    assert_true(pace_long(&pace));
    for (int i = 0; pace_long(&pace); i++) {
        assert_true(i < 1000);
        pace_look_exactly(&pace, 64, now += MS / 8);
    }
    /* The coarse clock is behind the exact one. */
    assert_false(pace_look(&pace, 64, now - 3 * MS));
    assert_int_equal(pace.looked, now);
}

/* ---- who waits meanwhile --------------------------------------------------------------------- */

static atomic_bool old_ran;

static int run_old(void *arg)
{
    if (arg) weft_yield();
    atomic_store(&old_ran, true);
    return 0;
}

typedef void call(void *object);

static void check(void *object)
{
    (void)object;
    task_check(weft_check() == 0);
}

static void send_and_receive(void *object)
{
    int value = 1;

    task_check(weft_chan_send(object, &value, sizeof value, WEFT_NEVER) == 0);
    task_check(weft_chan_recv(object, &value, sizeof value, WEFT_NEVER) == 0);
}

static int end_at_once(void *arg)
{
    (void)arg;
    return 0;
}

static void spawn_and_await(void *object)
{
    weft_task task;

    (void)object;
    weft_spawn(&task, end_at_once, NULL);
    task_check(weft_await(&task) == 0);
}

/* Computes for a millisecond between its calls; how many it makes until the old task has run. */
static unsigned calls_until_old_ran(call *call, bool begun)
{
    weft_task  old;
    weft_chan *chan;
    unsigned   calls = 0;

    task_check(weft_chan_create(&chan, sizeof(int), 1) == 0);
    atomic_store(&old_ran, false);
    weft_spawn(&old, run_old, begun ? &old_ran : NULL);
    /* The one that has begun is ready again, and the next in line. */
    if (begun) weft_yield();
    while (!atomic_load(&old_ran) && calls < 100000) {
        compute(1 * MS);
        call(chan);
        calls++;
    }
    task_check(weft_await(&old) == 0);
    weft_chan_destroy(chan);
    return calls;
}

static int others_run_soon(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        task_check(calls_until_old_ran(check, true) <= 48);
        task_check(calls_until_old_ran(check, false) <= 96);
        task_check(calls_until_old_ran(send_and_receive, true) <= 300);
        task_check(calls_until_old_ran(send_and_receive, false) <= 600);
    }
    return 0;
}

static void calls_look_at_the_clock(void **state)
{
    (void)state;
    assert_with_own_clock(others_run_soon);
}

/* One breath in four begins the task that is to be awaited instead, the oldest that there is. */
static int old_runs_beside_awaits(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) task_check(calls_until_old_ran(spawn_and_await, true) <= 800);
    return 0;
}

static void awaits_look_at_the_clock(void **state)
{
    (void)state;
    assert_with_own_clock(old_runs_beside_awaits);
}

/* ---- tasks that compute and yield ------------------------------------------------------------ */

static atomic_bool stop;

static unsigned turns_taken;

static int compute_and_yield(void *milliseconds)
{
    while (!atomic_load(&stop)) {
        turns_taken++;
        compute(*(int *)milliseconds * MS);
        weft_yield();
    }
    return 0;
}

enum { COMPUTING = 8 };

static void begin_computing(weft_task tasks[COMPUTING], int *milliseconds)
{
    atomic_store(&stop, false);
    for (int i = 0; i < COMPUTING; i++) weft_spawn(&tasks[i], compute_and_yield, milliseconds);
    for (int i = 0; i < 100; i++) weft_yield(); /* they have their pace */
}

static void end_computing(weft_task tasks[COMPUTING])
{
    atomic_store(&stop, true);
    for (int i = 0; i < COMPUTING; i++) task_check(weft_await(&tasks[i]) == 0);
}

static unsigned turns_at_end; /* of what has waited */

static int read_one(void *fd)
{
    char byte;
    int  got = (int)weft_read(*(int *)fd, &byte, 1, WEFT_NEVER);

    turns_at_end = turns_taken;
    return got;
}

/* What has come over a descriptor is seen by a worker that has no moment to spare. */
static int reader_runs_soon(void *arg)
{
    weft_task tasks[COMPUTING], reader;
    int       milliseconds = 1;

    (void)arg;
    begin_computing(tasks, &milliseconds);
    for (int i = 0; i < 10; i++) {
        int      fds[2];
        char     byte = 1;
        unsigned before;

        task_check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        task_check(weft_read(fds[0], &byte, 1, 0) == -EAGAIN);
        weft_spawn(&reader, read_one, &fds[0]);
        for (int yields = 0; yields < 4; yields++) weft_yield();
        task_check(weft_write(fds[1], &byte, 1, 0) == 1);
        before = turns_taken;
        while (!weft_done(&reader) && turns_taken - before < 1000) weft_yield();
        /* Not a round of all who yield, nor until PACE_NS have passed; in the build for chaos any may come first. */
        task_check(turns_at_end - before <= (TEST_CHAOS ? 100 : 4));
        task_check(weft_await(&reader) == 1);
        task_check(weft_close(fds[0]) == 0 && weft_close(fds[1]) == 0);
    }
    end_computing(tasks);
    return 0;
}

static void descriptors_are_polled_in_time(void **state)
{
    (void)state;
    assert_with_own_clock(reader_runs_soon);
}

static atomic_uint woken_ran;

static int wait_for_close(void *chan)
{
    int value;

    task_check(weft_chan_recv(chan, &value, sizeof value, WEFT_NEVER) == -EPIPE);
    atomic_fetch_add(&woken_ran, 1);
    turns_at_end = turns_taken;
    return 0;
}

/* Who was woken comes before who only yields, however long that computes in between. */
static int woken_run_soon(void *arg)
{
    enum { WOKEN = 64 };
    weft_task tasks[COMPUTING], woken[WOKEN];
    int       milliseconds = 5;

    (void)arg;
    begin_computing(tasks, &milliseconds);
    for (int i = 0; i < 10; i++) {
        weft_chan *chan;
        unsigned   before;

        atomic_store(&woken_ran, 0);
        task_check(weft_chan_create(&chan, sizeof(int), 0) == 0);
        for (int k = 0; k < WOKEN; k++) weft_spawn(&woken[k], wait_for_close, chan);
        for (int yields = 0; yields < 200; yields++) weft_yield();
        task_check(weft_chan_close(chan) == 0);
        before = turns_taken;
        while (atomic_load(&woken_ran) < WOKEN && turns_taken - before < 1000) weft_yield();
        task_check(turns_at_end - before <= (TEST_CHAOS ? 10 * WOKEN : WOKEN / 8));
        for (int k = 0; k < WOKEN; k++) task_check(weft_await(&woken[k]) == 0);
        weft_chan_destroy(chan);
    }
    end_computing(tasks);
    return 0;
}

static void who_was_woken_comes_first(void **state)
{
    (void)state;
    assert_with_own_clock(woken_run_soon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shrinks_in_proportion),       cmocka_unit_test(doubles_while_no_tick_passes),
        cmocka_unit_test(calls_look_at_the_clock),     cmocka_unit_test(awaits_look_at_the_clock),
        cmocka_unit_test(exact_looks_come_more_often), cmocka_unit_test(descriptors_are_polled_in_time),
        cmocka_unit_test(who_was_woken_comes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
