/* test_time.c - nobody wakes early, nobody sleeps for ever, and a seed makes hours pass in no time */
#include "support_chan.h"

#include <stdlib.h>
#include <string.h>

#define HOUR (3600 * WEFT_SEC)

static const weft_time passed[] = {0, 1, 1000, -1, INT64_MIN};

/* An error, or what was received. */
static int recv_int(weft_chan *chan, weft_time deadline)
{
    int value = -1;
    int result = weft_recv(chan, &value, deadline);

    return result == 0 ? value : result;
}

static int give_back(void *arg)
{
    return *(int *)arg;
}

/* ---- the clock ------------------------------------------------------------------------ */

static int read_clock(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        weft_time before = test_now();
        weft_time now = weft_now();
        task_check(before <= now && now <= test_now());
        if (i % 100 == 0) weft_yield();
    }
    return 0;
}

static void read_clock_in_thread(void *arg)
{
    read_clock(NULL);
    atomic_store((atomic_bool *)arg, true);
}

static int read_virtual_clock(void *arg)
{
    atomic_bool over = false;
    test_thread thread;
    weft_time   last = 0;

    (void)arg;
    for (int i = 0; i < 1000; i++) {
        weft_time now = weft_now();
        task_check(now > 0 && now >= last);
        last = now;
        weft_yield();
    }
    /* The time is the runtime's own; a thread has the machine's. */
    test_thread_start(&thread, read_clock_in_thread, &over);
    task_until(atomic_load(&over));
    test_thread_join(&thread);
    return 0;
}

static void now_is_the_machines_or_the_seeds(void **state)
{
    (void)state;
    read_clock(NULL);
    assert_task_checks();
    assert_int_equal(test_run_workers(read_clock, NULL), 0);
    assert_int_equal(test_run(read_virtual_clock, NULL, WEFT_OPTIONS(.seed = 5)), 0);
}

/* ---- sleeping -------------------------------------------------------------------------- */

static int sleep_often(void *arg)
{
    static const weft_time durations[] = {1, 100, WEFT_US, 50 * WEFT_US, 999 * WEFT_US, WEFT_MS, 3 * WEFT_MS};

    (void)arg;
    for (int round = 0; round < 5; round++)
        for (size_t i = 0; i < TEST_LENGTH(durations); i++) {
            weft_time until = weft_now() + durations[i];
            task_check(weft_sleep(until) == 0);
            task_check(weft_now() >= until);
        }
    return 0;
}

static void nobody_wakes_early(void **state)
{
    (void)state;
    assert_everywhere(sleep_often, NULL);
}

static int sleep_until_now(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(passed); i++) task_check(weft_sleep(passed[i]) == 0);
    task_check(weft_sleep(weft_now()) == 0);
    return 0;
}

static void moment_that_has_come_is_not_waited_for(void **state)
{
    (void)state;
    assert_everywhere(sleep_until_now, NULL);
}

static int sleep_to_the_end(void *arg)
{
    return weft_sleep(*(weft_time *)arg);
}

struct long_sleep {
    weft_time   until;
    atomic_bool begun;
};

static int sleep_long(void *arg)
{
    struct long_sleep *self = arg;

    atomic_store(&self->begun, true);
    return weft_sleep(self->until);
}

/* Before or after the sleeper has begun to sleep.  With a seed nobody yields any longer than that: the clock
 * would jump to the sleeper's moment. */
static int cancel_sleeper(void *arg)
{
    (void)arg;
    for (int round = 0; round < 50; round++) {
        const weft_time ends[] = {weft_now() + HOUR, WEFT_NEVER, WEFT_NEVER - 1, WEFT_NEVER / 2};
        for (size_t i = 0; i < TEST_LENGTH(ends); i++) {
            struct long_sleep sleep = {.until = ends[i]};
            weft_task         task;
            weft_spawn(&task, sleep_long, &sleep);
            if (round % 2) task_until(atomic_load(&sleep.begun));
            weft_cancel(&task);
            task_check(weft_await(&task) == -ECANCELED);
        }
    }
    return 0;
}

static void cancelled_sleeper_wakes(void **state)
{
    (void)state;
    assert_in_tasks(cancel_sleeper, NULL);
}

static int sleep_in_cancelled_scope(void *arg)
{
    weft_scope scope;

    (void)arg;
    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_scope_cancel(&scope);
    task_check(weft_sleep(weft_now() + HOUR) == -ECANCELED);
    task_check(weft_sleep(WEFT_NEVER) == -ECANCELED);
    task_check(sleep_until_now(NULL) == 0); /* that can be done at once */
    task_check(weft_scope_close(&scope) == -ECANCELED);
    task_check(weft_sleep(weft_now() + WEFT_MS) == 0);
    return 0;
}

static void nobody_sleeps_in_a_cancelled_scope(void **state)
{
    (void)state;
    assert_in_tasks(sleep_in_cancelled_scope, NULL);
}

static int short_sleep(void *arg)
{
    weft_time until = weft_now() + WEFT_MS;

    (void)arg;
    task_check(weft_sleep(until) == 0);
    task_check(weft_now() >= until);
    return 0;
}

static int sleep_for_an_hour(void *arg)
{
    (void)arg;
    return weft_sleep(weft_now() + HOUR);
}

static int receive_for_an_hour(void *arg)
{
    return recv_int(arg, weft_now() + HOUR);
}

/* When the others have begun to wait. */
static int fail_soon(void *arg)
{
    task_check(weft_sleep(weft_now() + WEFT_MS) == 0);
    return *(int *)arg;
}

/* Any negative result is a reason. */
static int end_waits_for_any_reason(void *arg)
{
    const int reasons[] = {-1, -ETIMEDOUT, -EAGAIN, -INT32_MAX, INT32_MIN};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(reasons); i++) {
        weft_chan *chan = test_make_ints(0);
        weft_scope scope;
        weft_task  tasks[2];
        int        reason = reasons[i];
        task_check(weft_scope_open(&scope, NULL) == 0);
        weft_spawn(&tasks[0], sleep_for_an_hour, NULL);
        weft_spawn(&tasks[1], receive_for_an_hour, chan);
        task_check(weft_scope_go(&scope, fail_soon, &reason, sizeof reason) == 0);
        task_check(weft_await(&tasks[0]) == reason);
        task_check(weft_await(&tasks[1]) == reason);
        task_check(weft_scope_close(&scope) == reason);
        weft_chan_destroy(chan);
    }
    return short_sleep(NULL);
}

static void reason_is_told_whatever_number_it_is(void **state)
{
    (void)state;
    assert_in_tasks(end_waits_for_any_reason, NULL);
}

/* Idle workers sleep until the next timer; one that comes earlier does not wait for it. */
static int sleep_long_in_scope(void *arg)
{
    weft_scope             scope;
    _Atomic(weft_scope *) *open = arg;

    task_check(weft_scope_open(&scope, NULL) == 0);
    atomic_store(open, &scope);
    task_check(weft_sleep(weft_now() + HOUR) == -ECANCELED);
    task_check(weft_scope_close(&scope) == -ECANCELED);
    return 0;
}

static void sooner_timer_goes_first(void **state)
{
    (void)state;
    weft_runtime *runtime;

    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = test_workers())), 0);
    for (int round = 0; round < 20; round++) {
        _Atomic(weft_scope *) open = NULL;
        assert_int_equal(weft_runtime_go(runtime, sleep_long_in_scope, &open, 0), 0);
        task_until(atomic_load(&open));
        if (round % 2) test_spin(100000);
        assert_int_equal(weft_runtime_call(runtime, short_sleep, NULL), 0);
        weft_scope_cancel(atomic_load(&open));
        /* Once it has begun to sleep, and once before. */
        assert_int_equal(weft_runtime_call(runtime, short_sleep, NULL), 0);
    }
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
}

struct sleeper {
    weft_time   duration;
    atomic_int *awake;
};

static int sleep_once(void *arg)
{
    struct sleeper *self = arg;
    weft_time       until = weft_now() + self->duration;

    task_check(weft_sleep(until) == 0);
    task_check(weft_now() >= until);
    atomic_fetch_add(self->awake, 1);
    return 0;
}

static int let_many_sleep(void *arg)
{
    int        count = (int)test_stacks(10000);
    atomic_int awake = 0;
    uint32_t   chance = 3;
    weft_scope scope;

    (void)arg;
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (int i = 0; i < count; i++) {
        struct sleeper sleeper = {test_random(&chance) % (20 * WEFT_MS), &awake};
        task_check(weft_scope_go(&scope, sleep_once, &sleeper, sizeof sleeper) == 0);
    }
    task_check(weft_scope_close(&scope) == 0);
    task_check(atomic_load(&awake) == count);
    return 0;
}

static void thousands_sleep(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(let_many_sleep, NULL), 0);
    assert_int_equal(test_run(let_many_sleep, NULL, WEFT_OPTIONS(.one_root = true)), 0);
    assert_int_equal(test_run(let_many_sleep, NULL, WEFT_OPTIONS(.seed = 4)), 0);
}

/* A deadline that no clock reaches is no deadline, and no overflow. */
static int send_by_the_end(void *arg)
{
    return test_send_int(arg, 5, WEFT_NEVER - 1);
}

static int wait_for_ages(void *arg)
{
    static const weft_time ends[] = {WEFT_NEVER - 1, WEFT_NEVER - WEFT_SEC, WEFT_NEVER / 2, (weft_time)1 << 60};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(ends); i++)
        for (int round = 0; round < 40; round++) {
            weft_chan *chan = test_make_ints(0);
            test_side  side;
            test_side_start(&side, round % 2, send_by_the_end, chan);
            task_check(recv_int(chan, ends[i]) == 5);
            task_check(test_side_end(&side) == 0);
            weft_chan_destroy(chan);
        }
    return 0;
}

static void farthest_deadlines_are_waited_for(void **state)
{
    (void)state;
    assert_everywhere(wait_for_ages, NULL);
}

/* ---- awaiting any ---------------------------------------------------------------------- */

static int await_by_deadline(void *arg)
{
    weft_chan *chan = test_make_ints(0);
    weft_task  storage[3];
    weft_task *tasks[3];

    (void)arg;
    for (int i = 0; i < 3; i++) {
        tasks[i] = &storage[i];
        weft_spawn(tasks[i], send_by_the_end, chan);
    }
    task_check(weft_await_any(tasks, 3, 0) == -EAGAIN);
    for (size_t i = 1; i < TEST_LENGTH(passed); i++) task_check(weft_await_any(tasks, 3, passed[i]) == -ETIMEDOUT);
    for (int i = 1; i < 5; i++) {
        weft_time until = weft_now() + i * 500 * WEFT_US;
        task_check(weft_await_any(tasks, 3, until) == -ETIMEDOUT);
        task_check(weft_now() >= until);
    }
    task_check(recv_int(chan, WEFT_NEVER) == 5);
    int index = weft_await_any(tasks, 3, weft_now() + HOUR);
    task_check(index >= 0 && index < 3);
    /* Done is done, however late. */
    for (size_t i = 0; i < TEST_LENGTH(passed); i++) task_check(weft_await_any(tasks, 3, passed[i]) == index);
    for (int i = 0; i < 2; i++) task_check(recv_int(chan, WEFT_NEVER) == 5);
    for (int i = 0; i < 3; i++) task_check(weft_await(tasks[i]) == 0);
    task_check(recv_int(chan, 0) == -EAGAIN);
    weft_chan_destroy(chan);
    return 0;
}

static void await_any_gives_up(void **state)
{
    (void)state;
    assert_in_tasks(await_by_deadline, NULL);
}

/* ---- deadlines of scopes ------------------------------------------------------------------ */

static void open_until(weft_scope *scope, weft_time deadline)
{
    task_check(weft_scope_open(scope, WEFT_SCOPE(.deadline = deadline)) == 0);
}

static int wait_for_nobody(void)
{
    weft_chan *chan = test_make_ints(0);
    int        result = recv_int(chan, WEFT_NEVER);

    weft_chan_destroy(chan);
    return result;
}

static int wait_in_task(void *arg)
{
    (void)arg;
    task_check(wait_for_nobody() == -ETIMEDOUT);
    task_check(weft_check() == -ETIMEDOUT);
    task_check(weft_sleep(WEFT_NEVER) == -ETIMEDOUT);
    return 0;
}

static int run_out_of_time(void *arg)
{
    (void)arg;
    for (int round = 0; round < 10; round++) {
        weft_scope scope;
        weft_task  task;
        weft_time  until = weft_now() + round * 300 * WEFT_US + 1;

        open_until(&scope, until);
        weft_spawn(&task, wait_in_task, NULL);
        for (int i = 0; i < 3; i++) task_check(weft_scope_go(&scope, wait_in_task, NULL, 0) == 0);
        if (round % 2) task_check(wait_for_nobody() == -ETIMEDOUT);
        task_check(weft_await(&task) == 0);
        task_check(weft_scope_close(&scope) == -ETIMEDOUT);
        memset(&scope, 255, sizeof scope);
        task_check(weft_now() >= until);
        task_check(weft_check() == 0);
    }
    return 0;
}

static void scope_ends_its_waits_at_its_deadline(void **state)
{
    (void)state;
    assert_in_tasks(run_out_of_time, NULL);
}

/* Nobody waits: it is seen all the same, by who only looks. */
static int compute_too_long(void *arg)
{
    weft_scope scope;

    (void)arg;
    open_until(&scope, weft_now() + WEFT_MS);
    task_until(weft_check() != 0);
    task_check(weft_check() == -ETIMEDOUT);
    task_check(weft_scope_close(&scope) == -ETIMEDOUT);
    return 0;
}

/* And as soon as somebody looks: on one worker, by its only task. */
static int look_once(void *arg)
{
    weft_chan *chan = test_make_ints(1);
    weft_scope scope;

    for (int way = 0; way <= 2; way++) { /* the last one looks no sooner than it closes the scope */
        weft_time late = weft_now() + 2 * WEFT_MS;
        open_until(&scope, late - WEFT_MS);
        while (weft_now() < late) test_spin(100);
        if (way < 2) task_check((way ? weft_check() : recv_int(chan, 0)) == -ETIMEDOUT);
        task_check(weft_scope_close(&scope) == -ETIMEDOUT);
    }
    weft_chan_destroy(chan);
    return *(int *)arg;
}

static void deadline_is_seen_at_the_first_look(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_once, &(int){0}, WEFT_OPTIONS(.workers = 1)), 0);
}

/* The same on another worker than that which has the deadline among its timers, while neither is idle. */
struct busy {
    weft_time   late;
    atomic_bool begun, looked;
};

static int compute_and_look_once(void *arg)
{
    struct busy *busy = arg;

    atomic_store(&busy->begun, true);
    while (weft_now() < busy->late) test_spin(100);
    int reason = weft_check();
    atomic_store(&busy->looked, true);
    return reason;
}

/* In a shield it knows nothing of what is above; after it, it does. */
static int shield_and_look_once(void *arg)
{
    weft_scope shield;

    task_check(weft_scope_open(&shield, WEFT_SCOPE(.deadline = test_now() + HOUR, .shield = true)) == 0);
    task_check(weft_check() == 0);
    task_check(weft_scope_close(&shield) == 0);
    return compute_and_look_once(arg);
}

static int let_another_look(void *arg)
{
    weft_scope scope, inner;
    weft_task  task;

    /* In the scope, in one within it, in one that is shielded from it; when it has itself been shielded. */
    for (int way = 0; way <= 3; way++) {
        struct busy busy = {.late = weft_now() + 5 * WEFT_MS};
        open_until(&scope, busy.late - WEFT_MS);
        if (way)
            task_check(weft_scope_open(&inner, WEFT_SCOPE(.deadline = test_now() + HOUR, .shield = way == 2)) == 0);
        weft_spawn(&task, way == 3 ? shield_and_look_once : compute_and_look_once, &busy);
        task_spin_until(atomic_load(&busy.begun));
        task_spin_until(atomic_load(&busy.looked));
        task_check(weft_await(&task) == (way == 2 ? 0 : -ETIMEDOUT));
        if (way) task_check(weft_scope_close(&inner) == (way == 2 ? 0 : -ETIMEDOUT));
        task_check(weft_scope_close(&scope) == -ETIMEDOUT);
    }
    return *(int *)arg;
}

static void deadline_of_another_worker_is_seen_at_the_first_look(void **state)
{
    (void)state;
    assert_int_equal(test_run(let_another_look, &(int){0}, WEFT_OPTIONS(.workers = 2)), 0);
}

/* A task that runs in its awaiter's place has the deadlines of its own scopes, and the awaiter has its own again
 * after. */
struct in_place {
    weft_task  task;
    weft_time  late;
    weft_event made, done;
    weft_scope scope;
};

static int compute_in_place(void *arg)
{
    while (weft_now() < *(weft_time *)arg) test_spin(100);
    return weft_check();
}

static int make_in_scope(void *arg)
{
    struct in_place *p = arg;
    weft_scope       shield;

    p->late = weft_now() + 2 * WEFT_MS;
    open_until(&p->scope, p->late - WEFT_MS);
    weft_spawn(&p->task, compute_in_place, &p->late);
    weft_event_set(&p->made);
    task_check(weft_scope_open(&shield, WEFT_SCOPE(.shield = true)) == 0);
    task_check(weft_event_wait(&p->done, WEFT_NEVER) == 0);
    task_check(weft_scope_close(&shield) == 0);
    task_check(weft_scope_close(&p->scope) == -ETIMEDOUT);
    return 0;
}

static int look_in_place(void *arg)
{
    weft_task       task, maker;
    weft_scope      scope;
    struct in_place p = {0};

    /* The awaiter is in a scope, and the task is not. */
    p.late = weft_now() + 2 * WEFT_MS;
    weft_spawn(&task, compute_in_place, &p.late);
    open_until(&scope, p.late - WEFT_MS);
    task_check(weft_await(&task) == 0);
    task_check(weft_check() == -ETIMEDOUT);
    task_check(weft_scope_close(&scope) == -ETIMEDOUT);

    /* The other way round. */
    weft_spawn(&maker, make_in_scope, &p);
    task_check(weft_event_wait(&p.made, WEFT_NEVER) == 0);
    task_check(weft_await(&p.task) == -ETIMEDOUT);
    weft_event_set(&p.done);
    task_check(weft_await(&maker) == 0);
    return *(int *)arg;
}

static void deadline_is_the_own_one_in_place(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_in_place, &(int){0}, WEFT_OPTIONS(.workers = 1)), 0);
}

static int sleep_until_told(void *arg)
{
    return weft_sleep(*(weft_time *)arg);
}

static uint64_t timers_taken_up(void)
{
    struct weft_stats stats = {.size = sizeof stats};

    task_check(weft_stats(&stats) == 0);
    return stats.timers;
}

/* Who looks has its own deadline taken up, and not those of all who sleep. */
static int look_among_many(void *arg)
{
    size_t     many = test_stacks(4000);
    weft_task *tasks = malloc(many * sizeof *tasks);
    weft_time  moment = weft_now() + 200 * WEFT_MS;
    weft_scope scope;

    if (!tasks) abort();
    for (size_t i = 0; i < many; i++) weft_spawn(&tasks[i], sleep_until_told, &moment);
    test_let_run();
    uint64_t before = timers_taken_up();
    open_until(&scope, moment);
    while (weft_now() <= moment + WEFT_MS) test_spin(100);
    task_check(weft_check() == -ETIMEDOUT);
    task_check(timers_taken_up() - before < many / 2);
    task_check(weft_scope_close(&scope) == -ETIMEDOUT);
    for (size_t i = 0; i < many; i++) task_check(weft_await(&tasks[i]) == 0);
    free(tasks);
    return *(int *)arg;
}

static void look_takes_up_no_other_timers(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_among_many, &(int){0}, WEFT_OPTIONS(.workers = 1)), 0);
}

static void deadline_is_seen_by_who_does_not_wait(void **state)
{
    (void)state;
    assert_in_tasks(compute_too_long, NULL);
}

static int open_too_late(void *arg)
{
    weft_scope scope;
    int        into;

    (void)arg;
    for (size_t i = 1; i < TEST_LENGTH(passed); i++) {
        weft_chan       *chan = test_make_ints(0);
        struct weft_case one = WEFT_RECV(chan, &into);
        open_until(&scope, passed[i]);
        task_check(weft_check() == -ETIMEDOUT);
        task_check(recv_int(chan, 0) == -ETIMEDOUT);
        task_check(test_send_int(chan, 1, WEFT_NEVER) == -ETIMEDOUT);
        task_check(weft_select(&one, 1, WEFT_NEVER) == -ETIMEDOUT);
        task_check(weft_sleep(WEFT_NEVER) == -ETIMEDOUT);
        task_check(weft_scope_go(&scope, wait_in_task, NULL, 0) == 0);
        task_check(weft_scope_close(&scope) == -ETIMEDOUT);
        task_check(weft_check() == 0);
        weft_chan_destroy(chan);
    }
    return 0;
}

static void scope_may_be_too_late_from_the_start(void **state)
{
    (void)state;
    assert_in_tasks(open_too_late, NULL);
}

static int close_in_time(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(2000); i++) {
        const weft_time ends[] = {weft_now() + HOUR, weft_now() + 10 * WEFT_MS, WEFT_NEVER, WEFT_NEVER - 1};
        weft_scope     *scope = malloc(sizeof *scope);
        if (!scope) abort();
        open_until(scope, ends[i % 4]);
        task_check(weft_scope_go(scope, give_back, &(int){0}, sizeof(int)) == 0);
        int result = weft_scope_close(scope);
        task_check(result == 0 || (i % 4 == 1 && result == -ETIMEDOUT)); /* on a slow machine */
        free(scope);
    }
    return 0;
}

static void scope_may_end_before_its_deadline(void **state)
{
    (void)state;
    assert_in_tasks(close_in_time, NULL);
}

/* Which reason: that of the first to come. */
static int race_for_the_reason(void *arg)
{
    weft_scope outer, inner;

    (void)arg;
    /* Cancelled, or failed, before the deadline. */
    weft_time until = weft_now() + 2 * WEFT_MS;
    open_until(&outer, until);
    weft_scope_cancel(&outer);
    int first = weft_check();
    task_check(first == -ECANCELED || first == -ETIMEDOUT); /* the latter on a slow machine */
    task_check(weft_scope_open(&inner, WEFT_SCOPE(.shield = true)) == 0);
    task_check(weft_sleep(until + WEFT_MS) == 0);
    task_check(weft_scope_close(&inner) == 0);
    task_check(weft_check() == first);
    task_check(weft_scope_close(&outer) == first);

    open_until(&outer, weft_now() + HOUR);
    task_check(weft_scope_go(&outer, give_back, &(int){-EIO}, sizeof(int)) == 0);
    task_check(wait_for_nobody() == -EIO);
    task_check(weft_scope_close(&outer) == -EIO);

    /* After it. */
    open_until(&outer, weft_now() + WEFT_MS);
    task_check(wait_for_nobody() == -ETIMEDOUT);
    weft_scope_cancel(&outer);
    task_check(weft_scope_go(&outer, give_back, &(int){-EIO}, sizeof(int)) == 0);
    task_check(weft_scope_close(&outer) == -ETIMEDOUT);

    /* Within a scope that is cancelled already, a deadline is nothing new. */
    task_check(weft_scope_open(&outer, NULL) == 0);
    weft_scope_cancel(&outer);
    for (size_t i = 0; i < TEST_LENGTH(passed); i++) {
        open_until(&inner, passed[i]);
        task_check(weft_check() == -ECANCELED);
        task_check(wait_for_nobody() == -ECANCELED);
        task_check(weft_scope_close(&inner) == -ECANCELED);
    }
    task_check(weft_scope_close(&outer) == -ECANCELED);
    return 0;
}

static void first_reason_counts(void **state)
{
    (void)state;
    assert_in_tasks(race_for_the_reason, NULL);
}

static int nest_deadlines(void *arg)
{
    weft_scope outer, inner;

    (void)arg;
    /* The inner one's. */
    open_until(&outer, weft_now() + HOUR);
    open_until(&inner, weft_now() + WEFT_MS);
    task_check(wait_for_nobody() == -ETIMEDOUT);
    task_check(weft_scope_close(&inner) == -ETIMEDOUT);
    task_check(weft_check() == 0);
    task_check(weft_sleep(weft_now() + WEFT_MS) == 0);
    task_check(weft_scope_close(&outer) == 0);

    /* The outer one's, which the inner one does not put off. */
    open_until(&outer, weft_now() + WEFT_MS);
    open_until(&inner, weft_now() + HOUR);
    task_check(wait_for_nobody() == -ETIMEDOUT);
    task_check(weft_scope_close(&inner) == -ETIMEDOUT);
    task_check(wait_for_nobody() == -ETIMEDOUT);
    task_check(weft_scope_close(&outer) == -ETIMEDOUT);

    /* A shield keeps out the outer one's, not its own. */
    open_until(&outer, weft_now() + WEFT_MS);
    task_check(weft_scope_open(&inner, WEFT_SCOPE(.shield = true)) == 0);
    task_check(weft_sleep(weft_now() + 3 * WEFT_MS) == 0);
    task_check(weft_check() == 0);
    task_check(weft_scope_close(&inner) == 0);
    task_check(wait_for_nobody() == -ETIMEDOUT);
    task_check(weft_scope_open(&inner, WEFT_SCOPE(.shield = true, .deadline = weft_now() + WEFT_MS)) == 0);
    task_check(weft_check() == 0 || weft_check() == -ETIMEDOUT);
    task_check(wait_for_nobody() == -ETIMEDOUT);
    task_check(weft_scope_close(&inner) == -ETIMEDOUT);
    task_check(weft_scope_close(&outer) == -ETIMEDOUT);
    task_check(weft_check() == 0);
    return 0;
}

static void deadlines_nest(void **state)
{
    (void)state;
    assert_in_tasks(nest_deadlines, NULL);
}

/* A call's own deadline and its scope's have one name, but only one of them lasts. */
static int tell_deadlines_apart(void *arg)
{
    weft_chan *chan = test_make_ints(0);
    weft_scope scope;

    (void)arg;
    open_until(&scope, weft_now() + HOUR);
    task_check(recv_int(chan, weft_now() + WEFT_MS) == -ETIMEDOUT);
    task_check(weft_check() == 0);
    task_check(recv_int(chan, 0) == -EAGAIN);
    task_check(weft_scope_close(&scope) == 0);
    weft_chan_destroy(chan);
    return 0;
}

static void deadline_of_a_call_cancels_nobody(void **state)
{
    (void)state;
    assert_in_tasks(tell_deadlines_apart, NULL);
}

/* ---- timers and hogs --------------------------------------------------------------------- */

static atomic_bool rung;

static int ring(void *arg)
{
    (void)arg;
    task_check(weft_sleep(weft_now() + WEFT_MS) == 0);
    atomic_store(&rung, true);
    return 0;
}

static void hog_by_checks(weft_chan *chan)
{
    (void)chan;
    weft_check();
}

static void hog_by_yields(weft_chan *chan)
{
    (void)chan;
    weft_yield();
}

static void hog_by_sleeps(weft_chan *chan)
{
    (void)chan;
    task_check(weft_sleep(1) == 0);
}

static void hog_by_messages(weft_chan *chan)
{
    task_check(test_send_int(chan, 1, WEFT_NEVER) == 0);
    task_check(recv_int(chan, WEFT_NEVER) == 1);
}

/* A worker that always has something to do looks at its timers all the same. */
static int hog(void *arg)
{
    static void (*const hogs[])(weft_chan *) = {hog_by_checks, hog_by_yields, hog_by_sleeps, hog_by_messages};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(hogs); i++) {
        weft_chan *chan = test_make_ints(1);
        weft_task  task;
        atomic_store(&rung, false);
        weft_spawn(&task, ring, NULL);
        weft_yield();
        task_spin_until((hogs[i](chan), atomic_load(&rung)));
        task_check(weft_await(&task) == 0);
        weft_chan_destroy(chan);
    }
    return 0;
}

static void timers_ring_while_others_go_on(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(hog, NULL), 0);
    assert_int_equal(test_run(hog, NULL, WEFT_OPTIONS(.one_root = true)), 0);
}

/* More of them are ready than a worker takes up timers beside. */
#define COUPLES 600
#define TURNS   20000

static atomic_int begun, at_it; /* couples; and with turns left */

struct hands {
    weft_chan *there, *back;
};

static int answer(void *arg)
{
    struct hands *hands = arg;
    int           value;

    while (weft_recv(hands->there, &value, WEFT_NEVER) == 0)
        task_check(test_send_int(hands->back, value, WEFT_NEVER) == 0);
    return 0;
}

static int wake_each_other(void *arg)
{
    struct hands hands = {test_make_ints(0), test_make_ints(0)};
    weft_task    other;

    (void)arg;
    weft_spawn(&other, answer, &hands);
    for (int i = 0; i < TURNS && !atomic_load(&rung); i++) {
        task_check(test_send_int(hands.there, i, WEFT_NEVER) == 0);
        task_check(recv_int(hands.back, WEFT_NEVER) == i);
        if (i == 0) atomic_fetch_add(&begun, 1);
    }
    atomic_fetch_sub(&at_it, 1);
    task_check(weft_chan_close(hands.there) == 0);
    task_check(weft_await(&other) == 0);
    weft_chan_destroy(hands.there);
    weft_chan_destroy(hands.back);
    return 0;
}

static int sleep_among_many(void *arg)
{
    weft_scope scope;

    (void)arg;
    atomic_store(&rung, false);
    atomic_store(&begun, 0);
    atomic_store(&at_it, COUPLES);
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (int i = 0; i < COUPLES; i++) task_check(weft_scope_go(&scope, wake_each_other, NULL, 0) == 0);
    task_until(atomic_load(&begun) == COUPLES);
    task_check(ring(NULL) == 0);
    task_check(atomic_load(&at_it) == COUPLES);
    return weft_scope_close(&scope);
}

static void timers_ring_while_many_are_ready(void **state)
{
    (void)state;
    assert_int_equal(test_run(sleep_among_many, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

#define LATE_ONES 40

struct early {
    weft_time   until;
    atomic_int *asleep, *awake;
    int         place; /* in which it woke */
};

static int wake_in_turn(void *arg)
{
    struct early *self = arg;

    atomic_fetch_add(self->asleep, 1);
    task_check(weft_sleep(self->until) == 0);
    self->place = atomic_fetch_add(self->awake, 1);
    return 0;
}

/* The one worker comes to them when the moments of all have passed.  False: some came before all slept. */
static bool oversleep(weft_time ahead)
{
    struct early sleepers[LATE_ONES];
    weft_task    tasks[LATE_ONES];
    atomic_int   asleep = 0;
    atomic_int   awake = 0;
    weft_time    begin = weft_now() + ahead;

    for (int i = 0; i < LATE_ONES; i++) {
        sleepers[i] = (struct early){begin + i * 100 * WEFT_US, &asleep, &awake, 0};
        weft_spawn(&tasks[i], wake_in_turn, &sleepers[i]);
    }
    while (atomic_load(&asleep) < LATE_ONES) weft_yield();
    bool in_time = weft_now() < begin;
    task_spin_until(weft_now() > begin + LATE_ONES * 100 * WEFT_US + WEFT_MS);
    for (int i = LATE_ONES - 1; i >= 0; i--) task_check(weft_await(&tasks[i]) == 0);
    for (int i = 0; in_time && i < LATE_ONES; i++) task_check(sleepers[i].place == i);
    return in_time;
}

static int oversleep_once(void *arg)
{
    (void)arg;
    for (weft_time ahead = WEFT_MS; !oversleep(ahead);) ahead *= 2;
    return 0;
}

static void earlier_moment_comes_first_also_late(void **state)
{
    (void)state;
    if (TEST_CHAOS) skip(); /* where who is woken goes anywhere */
    assert_int_equal(test_run(oversleep_once, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(oversleep_once, NULL, WEFT_OPTIONS(.one_root = true)), 0);
}

/* ---- virtual time --------------------------------------------------------------------------- */

static int sleep_for_hours(void *arg)
{
    weft_time begin = weft_now();
    weft_time real = test_now();

    (void)arg;
    for (int i = 1; i <= 1000; i++) {
        task_check(weft_sleep(begin + i * HOUR) == 0);
        task_check(weft_now() >= begin + i * HOUR);
        task_check(weft_now() < begin + i * HOUR + HOUR / 2);
    }
    weft_task task;
    weft_time until = weft_now() + HOUR;
    weft_spawn(&task, sleep_to_the_end, &until);
    task_until(weft_done(&task)); /* a yield with nothing else ready waits */
    task_check(weft_await(&task) == 0);
    task_check(weft_now() >= until);
    task_check(test_now() - real < HOUR);
    return 0;
}

static void hours_take_no_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++)
        assert_int_equal(test_run(sleep_for_hours, NULL, WEFT_OPTIONS(.seed = seed)), 0);
}

enum { SLEEPERS = 50 };

struct ranks {
    weft_time begin;
    weft_time step; /* between their moments; 0: all at one */
    int       order[SLEEPERS];
    weft_time woken[SLEEPERS];
    int       count;
};

struct rank {
    struct ranks *ranks;
    int           number;
};

static int sleep_in_rank(void *arg)
{
    struct rank  *self = arg;
    struct ranks *ranks = self->ranks;
    weft_time     until = ranks->begin + 60 * WEFT_SEC + self->number * ranks->step;

    task_check(weft_sleep(until) == 0);
    task_check(weft_now() >= until);
    ranks->woken[ranks->count] = weft_now();
    ranks->order[ranks->count++] = self->number;
    return 0;
}

static int sleep_all(void *arg)
{
    struct ranks *ranks = arg;
    weft_scope    scope;

    ranks->begin = weft_now();
    task_check(weft_scope_open(&scope, NULL) == 0);
    /* 7 has no common factor with their number: they begin in a jumble. */
    for (int i = 0; i < SLEEPERS; i++)
        task_check(weft_scope_go(&scope, sleep_in_rank, &(struct rank){ranks, i * 7 % SLEEPERS}, sizeof(struct rank)) ==
                   0);
    task_check(weft_scope_close(&scope) == 0);
    task_check(ranks->count == SLEEPERS);
    return 0;
}

static void run_ranks(struct ranks *ranks, weft_time step, uint64_t seed)
{
    memset(ranks, 0, sizeof *ranks);
    ranks->step = step;
    assert_int_equal(test_run(sleep_all, ranks, WEFT_OPTIONS(.seed = seed)), 0);
}

static void virtual_time_passes_in_order(void **state)
{
    (void)state;
    struct ranks ranks;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        run_ranks(&ranks, 1, seed);
        for (int i = 0; i < SLEEPERS; i++) assert_int_equal(ranks.order[i], i);
    }
}

static void seed_decides_between_equals(void **state)
{
    (void)state;
    struct ranks first, again, other;
    int          different = 0;

    run_ranks(&first, 0, 1);
    for (uint64_t seed = 2; seed <= 20; seed++) {
        run_ranks(&other, 0, seed);
        run_ranks(&again, 0, seed);
        assert_memory_equal(&other, &again, sizeof other);
        different += memcmp(first.order, other.order, sizeof first.order) != 0;
    }
    assert_in_range(different, 10, 19);
}

/* While a thread can act, time flows with the real clock, and nobody is too late because it has jumped. */
static int send_from_outside(void *arg)
{
    test_sleep(20 * WEFT_MS);
    return test_send_int(arg, 7, WEFT_NEVER);
}

static int wait_for_outside(void *arg)
{
    weft_chan *chan = test_make_ints(0);
    test_side  side;

    (void)arg;
    test_side_start(&side, true, send_from_outside, chan);
    task_check(recv_int(chan, weft_now() + HOUR) == 7);
    weft_time until = weft_now() + WEFT_MS;
    task_check(weft_sleep(until) == 0);
    task_check(weft_now() >= until);
    task_check(test_side_end(&side) == 0);
    weft_chan_destroy(chan);
    return 0;
}

static void virtual_time_waits_for_threads(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        assert_int_equal(test_run(wait_for_outside, NULL, WEFT_OPTIONS(.seed = seed)), 0);
}

/* Nor is a thread that was woken, and has yet to run, taken for one that waits. */
static int answer_from_outside(void *arg)
{
    weft_chan **chans = arg;
    int         value;

    while ((value = recv_int(chans[0], WEFT_NEVER)) >= 0)
        if (test_send_int(chans[1], value + 1, WEFT_NEVER) != 0) break; /* nobody waits for it any more */
    return value;
}

static int ask_outside(void *arg)
{
    weft_chan *chans[2] = {test_make_ints(0), test_make_ints(0)};
    test_side  side;

    (void)arg;
    test_side_start(&side, true, answer_from_outside, chans);
    for (int i = 0, answer = 0; i < 200 && answer == i; i++) {
        task_check(test_send_int(chans[0], i, WEFT_NEVER) == 0);
        answer = recv_int(chans[1], weft_now() + HOUR);
        task_check(answer == i + 1);
    }
    task_check(weft_chan_close(chans[0]) == 0);
    task_check(weft_chan_close(chans[1]) == 0);
    test_side_end(&side);
    weft_chan_destroy(chans[0]);
    weft_chan_destroy(chans[1]);
    return 0;
}

static void virtual_time_waits_for_woken_threads(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        assert_int_equal(test_run(ask_outside, NULL, WEFT_OPTIONS(.seed = seed)), 0);
}

/* ---- for ever ------------------------------------------------------------------------- */

static int wait_for_ever(void *arg)
{
    weft_time before = weft_now();

    (void)arg;
    task_check(weft_sleep(WEFT_NEVER) == -EDEADLK);
    task_check(weft_select(NULL, 0, WEFT_NEVER) == -EDEADLK);
    task_check(weft_select(&(struct weft_case){0}, 1, WEFT_NEVER) == -EDEADLK);
    task_check(weft_now() - before < HOUR);
    return 0;
}

/* For ever is no moment that a timer, or virtual time, comes to. */
static void who_waits_for_ever_is_stuck(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(wait_for_ever, NULL), 0);
    assert_int_equal(test_run(wait_for_ever, NULL, WEFT_OPTIONS(.seed = 1)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(now_is_the_machines_or_the_seeds),
        cmocka_unit_test(nobody_wakes_early),
        cmocka_unit_test(moment_that_has_come_is_not_waited_for),
        cmocka_unit_test(cancelled_sleeper_wakes),
        cmocka_unit_test(nobody_sleeps_in_a_cancelled_scope),
        cmocka_unit_test(reason_is_told_whatever_number_it_is),
        cmocka_unit_test(sooner_timer_goes_first),
        cmocka_unit_test(thousands_sleep),
        cmocka_unit_test(farthest_deadlines_are_waited_for),
        cmocka_unit_test(await_any_gives_up),
        cmocka_unit_test(scope_ends_its_waits_at_its_deadline),
        cmocka_unit_test(deadline_is_seen_by_who_does_not_wait),
        cmocka_unit_test(deadline_is_seen_at_the_first_look),
        cmocka_unit_test(deadline_of_another_worker_is_seen_at_the_first_look),
        cmocka_unit_test(deadline_is_the_own_one_in_place),
        cmocka_unit_test(look_takes_up_no_other_timers),
        cmocka_unit_test(scope_may_be_too_late_from_the_start),
        cmocka_unit_test(scope_may_end_before_its_deadline),
        cmocka_unit_test(first_reason_counts),
        cmocka_unit_test(deadlines_nest),
        cmocka_unit_test(deadline_of_a_call_cancels_nobody),
        cmocka_unit_test(timers_ring_while_others_go_on),
        cmocka_unit_test(timers_ring_while_many_are_ready),
        cmocka_unit_test(earlier_moment_comes_first_also_late),
        cmocka_unit_test(hours_take_no_time),
        cmocka_unit_test(virtual_time_passes_in_order),
        cmocka_unit_test(seed_decides_between_equals),
        cmocka_unit_test(virtual_time_waits_for_threads),
        cmocka_unit_test(virtual_time_waits_for_woken_threads),
        cmocka_unit_test(who_waits_for_ever_is_stuck),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
