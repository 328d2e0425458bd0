/* model_idle.c - no work is left while all workers sleep, and one at most watches
 *
 * Workers live as in lib/search.c, with everything but the protocol left out.  The shared queue is a word that counts
 * what is in it and orders nothing, so that what idle.md promises has to come from the protocol's own orders.
 * What a worker keeps to itself is not here: nobody but its owner needs to find it.
 */
#include "model_explore.h"

#include <string.h>

#include "../lib/idle.c"

#define WORKERS 3

#define NEVER INT64_MAX
#define DOZE  100 /* as long as a watch dozes while others run */

static unsigned expiries; /* how many more timeouts may be over before anything else has happened */
static int64_t  now;      /* goes on by the dozes that nobody has ended */
static unsigned wakes;
static unsigned starting; /* timers to come, until their workers sleep or watch: time stands still for them */

void platform_futex_wait(Atomic(uint32_t) *word, uint32_t value, int64_t timeout)
{
    if (timeout < 0) {
        model_futex_wait(word, value);
        return;
    }
    unsigned before = wakes;
    if (expiries > 0 && model_choose(2)) {
        expiries--;
    } else { /* it goes on with the token, or when nobody else can */
        model_spin();
        if (load_relaxed(word) != value) return;
        atomic_pause();
    }
    if (wakes == before && starting == 0) now += timeout;
}

void platform_futex_wake(Atomic(uint32_t) *word, int count)
{
    wakes++;
    model_futex_wake(word, count);
}

static struct idle      idle;
static struct idle_seat seats[WORKERS];
static Atomic(uint32_t) work;              /* the shared queue */
static Atomic(int64_t)  timers[WORKERS];   /* the moment of each worker's, or NEVER */
static int64_t          timeouts[WORKERS]; /* of the doze to come */
static bool             punctual;          /* no timer may be late */
static unsigned         done;              /* of all that was put there */
static Atomic(uint32_t) begun;             /* the same, when it is to be done together */
static unsigned         puts;              /* that the program makes, from the beginning */
static unsigned         watching;          /* how many think that they watch */
static bool             together; /* an item ends when all have begun, so that one worker alone is not enough */

/* ---- a worker, after search_work and watch in lib/search.c ------------------------ */

static bool             polls; /* whoever dozes does so in the poller */
static Atomic(uint32_t) poked;

enum stage { RUNS, SLEEPS, WATCHES, LIES_DOWN, DOZES, ENDS };

static bool take(void)
{
    uint32_t there = load_relaxed(&work);
    while (there > 0)
        if (cas_relaxed(&work, &there, there - 1)) return true;
    return false;
}

static int64_t next_timer(void)
{
    int64_t next = NEVER;
    for (unsigned i = 0; i < WORKERS; i++) next = min_of(next, load_relaxed(&timers[i]));
    return next;
}

static bool expire(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        int64_t when = load_relaxed(&timers[i]);
        if (when > now || !cas_relaxed(&timers[i], &when, NEVER)) continue;
        model_assert(!punctual || when == now, "a timer is late");
        return true;
    }
    return false;
}

static void do_it(void)
{
    if (together) {
        add_relaxed(&begun, 1);
        model_block_until(load_relaxed(&begun) == puts);
    }
    done++;
}

static void leave(bool more)
{
    watching--;
    enum idle_left left = idle_leave(&idle, more);
    if (left == IDLE_UNWATCHED && (load_relaxed(&work) > 0 || next_timer() != NEVER)) idle_call(&idle);
}

static enum stage go_idle(unsigned me)
{
    if (idle_enter(&idle, me) == IDLE_SLEEP) {
        int64_t own = load_relaxed(&timers[me]);
        if (own != NEVER) idle_expect(&idle, own);
        return SLEEPS;
    }
    model_assert(watching++ == 0, "two watch");
    return WATCHES;
}

/* The poller, whose eventfd stays readable until it is read. */
static void sleep_in_poller(void *arg, int64_t timeout)
{
    (void)arg;
    for (uint32_t one = 1; !cas_relaxed(&poked, &one, 0); one = 1) platform_futex_wait(&poked, 0, timeout);
}

static void poke(void *arg)
{
    (void)arg;
    store_relaxed(&poked, 1); /* the kernel orders nothing for those who poll */
    platform_futex_wake(&poked, 1);
}

static enum stage stage_after(enum stage stage, unsigned me)
{
    switch (stage) {
    case RUNS:
        while (take()) do_it();
        return idle_closed(&idle) ? ENDS : go_idle(me);
    case SLEEPS:
        switch (idle_sleep(&idle, me)) {
        case IDLE_CLOSED: return ENDS;
        case IDLE_RUNS: return RUNS;
        case IDLE_WATCHES: break;
        }
        model_assert(watching++ == 0, "two watch");
        return WATCHES;
    case WATCHES:
        if (idle_closed(&idle)) {
            leave(false);
            return ENDS;
        }
        if (!take() && !expire()) return LIES_DOWN;
        leave(load_relaxed(&work) > 0);
        do_it();
        return RUNS;
    case LIES_DOWN: {
        bool    final = idle_lie_down(&idle, me);
        int64_t due = next_timer();
        if (due != NEVER) due -= now;
        if (load_relaxed(&work) > 0 || idle_closed(&idle) || due <= 0) {
            idle_undoze(&idle, me);
            return WATCHES;
        }
        timeouts[me] = due < DOZE || (final && due != NEVER) ? due : final ? -1 : DOZE;
        return DOZES;
    }
    default:
        if (polls) idle_doze_in(&idle, me, now, timeouts[me], sleep_in_poller, NULL);
        else idle_doze(&idle, me, now, timeouts[me]);
        return WATCHES;
    }
}

static void live_from(enum stage stage)
{
    while (stage != ENDS) stage = stage_after(stage, (unsigned)model_self());
}

static void live_until_one_is_done(enum stage stage)
{
    do stage = stage_after(stage, (unsigned)model_self());
    while (stage != RUNS);
}

static void run(void)
{
    live_from(RUNS);
}

static void watch(void)
{
    live_from(WATCHES);
}

static void doze(void)
{
    live_from(DOZES);
}

static void asleep(void)
{
    live_from(SLEEPS);
}

/* ---- others ---------------------------------------------------------------- */

static void put(void)
{
    add_relaxed(&work, 1);
}

static void outside(void)
{
    put();
    idle_notify(&idle);
}

static void outside_twice(void)
{
    outside();
    outside();
}

/* A worker that runs: it makes more, and goes idle. */
static void notify_and_run(void)
{
    outside();
    run();
}

/* Goes idle, and when it has become the watch it runs and makes another one the watch. */
static void pass_on(void)
{
    unsigned me = (unsigned)model_self();
    if (idle_enter(&idle, me) == IDLE_SLEEP)
        model_assert(idle_sleep(&idle, me) == IDLE_WATCHES, "nobody has closed, or hired");
    idle_leave(&idle, true);
}

static void leave_to_others(void)
{
    idle_leave(&idle, true);
}

static void leave_and_call(void)
{
    if (idle_leave(&idle, false) == IDLE_UNWATCHED) idle_call(&idle);
}

static void notify(void)
{
    idle_notify(&idle);
}

/* The watch, alone awake, takes what there is and makes more; then it calls, as it was told to. */
static void watch_and_call(void)
{
    model_assert(take(), "there is work from the beginning");
    watching--;
    model_assert(idle_leave(&idle, false) == IDLE_UNWATCHED, "others sleep, and nobody runs");
    put();
    idle_call(&idle);
    do_it();
}

/* One that sleeps does one thing, and is not heard of again. */
static void asleep_for_one(void)
{
    model_assert(idle_sleep(&idle, (unsigned)model_self()) == IDLE_WATCHES, "nobody has closed, or hired");
    watching++;
    live_until_one_is_done(WATCHES);
}

/* Until it gets up by itself, as while somebody runs. */
static void doze_for_one(void)
{
    timeouts[0] = DOZE;
    live_until_one_is_done(DOZES);
}

static void doze_a_while(void)
{
    timeouts[0] = DOZE;
    live_from(DOZES);
}

/* A shorter while than the next. */
static void doze_shortly(void)
{
    timeouts[0] = DOZE / 2;
    live_from(DOZES);
}

/* ---- timers ---------------------------------------------------------------- */

static void start_timer(int64_t when)
{
    store_relaxed(&timers[model_self()], when);
}

static enum stage go_idle_with_timer(void)
{
    enum stage stage = go_idle((unsigned)model_self());
    starting--;
    return stage;
}

/* A worker whose task begins to wait until then goes idle. */
static void wait_until_ten(void)
{
    start_timer(10);
    live_from(go_idle_with_timer());
}

static void wait_until_twenty(void)
{
    start_timer(20);
    live_from(go_idle_with_timer());
}

static void wait_until_seventy(void)
{
    start_timer(70);
    live_from(go_idle_with_timer());
}

static void wait_until_ten_for_one(void)
{
    start_timer(10);
    live_until_one_is_done(go_idle_with_timer());
}

/* As one that nobody watches: something else goes on here, so it calls, as it was told to. */
static void start_timer_and_call(void)
{
    start_timer(10);
    idle_call(&idle);
    starting--;
}

/* Has found work, does it for longer than the program takes, and is not told to call any more. */
static void watch_and_compute(void)
{
    live_until_one_is_done(WATCHES);
}

/* The end of a call from before: worker 0 has been the watch, has found work by itself and sleeps again. */
static void late_token(void)
{
    rouse(&idle, 0);
}

/* Three workers turn the pile round, under one who may call before, or have missed all of it.  They are one
 * thread here, since what they know of each other does not matter. */
static void turn_the_pile(void)
{
    if (idle_enter(&idle, 0) == IDLE_SLEEP) return; /* the call was before */
    idle_leave(&idle, true);
    idle_leave(&idle, true);
    idle_leave(&idle, true);
    idle_enter(&idle, 0);
    idle_enter(&idle, 2);
    idle_enter(&idle, 1);
    idle_leave(&idle, false);
}

static void call(void)
{
    idle_call(&idle);
}

/* Of those who sleep, when there are some while the watch is awake. */
static void hire(void)
{
    model_block_until(idle_hire(&idle));
}

static void outside_twice_and_hire(void)
{
    put();
    outside();
    idle_hire(&idle);
}

/* The sleeper 0 is hired, finds nothing, and so once more. */
static void asleep_until_hired_twice(void)
{
    model_assert(idle_sleep(&idle, 0) == IDLE_RUNS, "it is hired");
    model_assert(idle_enter(&idle, 0) == IDLE_SLEEP, "there is a watch");
    model_assert(idle_sleep(&idle, 0) == IDLE_RUNS, "it is hired");
}

static void asleep_until_hired(void)
{
    model_assert(idle_sleep(&idle, 0) == IDLE_RUNS, "it is hired");
}

/* Who has been woken in turn lies down again, under one who may hire before, or have missed all of it. */
static void turn_the_pile_watched(void)
{
    unsigned successor = (unsigned)(load_relaxed(&idle.word) & TOP_MASK) - 1;
    if (idle_leave(&idle, true) != IDLE_SUCCEEDED || successor != 2) return; /* it was before */
    if (idle_leave(&idle, true) != IDLE_SUCCEEDED) return;
    idle_enter(&idle, 0);
    idle_enter(&idle, 2);
}

static void close_all(void)
{
    idle_close(&idle);
}

static void hire_and_close(void)
{
    idle_hire(&idle);
    close_all();
}

static void put_and_close(void)
{
    put();
    close_all();
}

static void close_after_work(void)
{
    outside();
    model_block_until(load_relaxed(&begun) == puts);
    close_all();
}

/* ---- before ---------------------------------------------------------------- */

/* So many workers run, and the program will put so much. */
static void begin(unsigned count, unsigned will_put)
{
    idle_init(&idle, seats, count, poke, NULL);
    atomic_set(&poked, 0);
    polls = false;
    atomic_set(&work, 0);
    atomic_set(&begun, 0);
    puts = will_put;
    done = watching = expiries = 0;
    together = punctual = false;
    now = 0;
    wakes = starting = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        atomic_set(&timers[i], NEVER);
        timeouts[i] = -1;
    }
}

static void watched(unsigned count, unsigned will_put, unsigned sleeping)
{
    begin(count, will_put);
    idle_enter(&idle, 0);
    watching = 1;
    for (unsigned i = 1; i <= sleeping; i++) idle_enter(&idle, i);
}

static void one_watches(void)
{
    watched(1, 1, 0);
}

static void one_watches_and_polls(void)
{
    watched(1, 1, 0);
    polls = true;
}

static void two_to_do_and_one_polls(void)
{
    watched(1, 2, 0);
    polls = true;
}

static void one_watches_two_to_do(void)
{
    watched(1, 2, 0);
}

static void one_watches_one_sleeps(void)
{
    watched(2, 1, 1);
}

static void one_watches_one_sleeps_two_to_do(void)
{
    watched(2, 2, 1);
}

static void one_dozes_one_sleeps_two_to_do(void)
{
    watched(2, 2, 1);
    idle_lie_down(&idle, 0);
}

static void one_watches_two_run(void)
{
    watched(3, 0, 0);
}

static void three_run(void)
{
    begin(3, 0);
}

static void one_watches_one_runs(void)
{
    watched(2, 1, 0);
}

static void one_dozes_one_runs(void)
{
    watched(2, 1, 0);
    idle_lie_down(&idle, 0);
}

static void two_run(void)
{
    begin(2, 1);
}

static void one_watches_one_sleeps_to_close(void)
{
    watched(2, 1, 1);
    together = true;
}

static void two_at_once(void)
{
    watched(2, 2, 1);
    together = true;
}

static void two_at_once_dozing(void)
{
    two_at_once();
    idle_lie_down(&idle, 0);
}

static void two_at_once_one_there(void)
{
    two_at_once();
    put();
}

static void two_at_once_both_there(void)
{
    two_at_once_one_there();
    put();
}

static void three_watched(void)
{
    watched(3, 0, 2);
}

/* Worker 0 sleeps; 1, which watches, and 2 take no part. */
static void one_sleeps_one_runs(void)
{
    begin(3, 0);
    idle_enter(&idle, 1);
    idle_enter(&idle, 0);
}

static void three_dozing(void)
{
    three_watched();
    idle_lie_down(&idle, 0);
}

/* Two sleep, and nobody watches. */
static void one_runs_unwatched(void)
{
    watched(3, 0, 2);
    watching = 0;
    model_assert(idle_leave(&idle, false) == IDLE_UNWATCHED, "two sleep, nobody else runs");
}

/* Worker 0 dozes with a timeout, since worker 1 ran then. */
static void one_dozes_with_timeout_to_close(void)
{
    watched(2, 0, 0);
    idle_lie_down(&idle, 0);
    idle_enter(&idle, 1);
    expiries = 1;
}

static void one_watches_to_close(void);

static void one_watches_one_sleeps_one_runs_to_close(void)
{
    watched(3, 0, 1);
}

static void one_polls_to_close(void)
{
    one_watches_to_close();
    polls = true;
}

static void one_watches_to_close(void)
{
    watched(1, 0, 0);
}

static void one_dozes_one_runs_to_close(void)
{
    watched(2, 0, 0);
    idle_lie_down(&idle, 0);
}

static void two_run_to_close(void)
{
    begin(2, 0);
}

/* Worker 0 sleeps, nobody watches, and worker 1 runs for longer than the program does. */
static void one_sleeps_unwatched(void)
{
    begin(2, 1);
    idle_enter(&idle, 1);
    idle_enter(&idle, 0);
    model_assert(idle_leave(&idle, false) == IDLE_UNWATCHED, "one sleeps, nobody else runs");
}

/* Worker 0 dozes while worker 1 runs for longer than the program does. */
static void one_dozes_while_one_runs(void)
{
    watched(2, 1, 0);
    idle_lie_down(&idle, 0);
    expiries = 1;
}

static void punctually(unsigned to_come)
{
    punctual = true;
    starting = to_come;
}

static void one_watches_a_timer_to_come(void)
{
    watched(2, 1, 0);
    punctually(1);
}

static void one_dozes_a_timer_to_come(void)
{
    one_watches_a_timer_to_come();
    idle_lie_down(&idle, 0);
    timeouts[0] = DOZE;
}

/* Worker 0 may get up at any time, and lie down anew. */
static void one_dozes_twice_a_timer_to_come(void)
{
    one_dozes_a_timer_to_come();
    expiries = 1;
}

/* Worker 0 watches, and there is something to do as well. */
static void one_watches_work_and_a_timer_to_come(void)
{
    watched(2, 2, 0);
    put();
    punctually(1);
}

static void one_watches_two_timers_to_come(void)
{
    watched(3, 2, 0);
    punctually(2);
}

static void one_watches_a_timer_and_work_to_come(void)
{
    watched(2, 2, 0);
    punctually(1);
}

/* Worker 0 dozes until 10, when its own timer comes; worker 1 runs. */
static void one_dozes_until_ten(void)
{
    watched(2, 2, 0);
    punctually(1);
    atomic_set(&timers[0], 10);
    idle_lie_down(&idle, 0);
    atomic_set(&idle.until, 10);
    timeouts[0] = 10;
}

/* Worker 0 sleeps, nobody watches, and worker 1, which runs, has a timer to start. */
static void one_sleeps_unwatched_a_timer_to_come(void)
{
    one_sleeps_unwatched();
    punctually(1);
}

/* ---- after ----------------------------------------------------------------- */

static void all_done(void)
{
    model_assert(load_relaxed(&work) == 0 && done == puts, "work is left");
}

/* Each worker is in one place: it watches, it sleeps in the pile, or it runs. */
static void all_counted(void)
{
    uint64_t word = load_relaxed(&idle.word);
    unsigned seen = 0, sleeping = 0;
    for (uint64_t seat = word & TOP_MASK; seat; seat = load_relaxed(&seats[seat - 1].below), sleeping++) {
        model_assert(seat <= idle.count && !(seen >> seat & 1), "a seat is in the pile twice");
        seen |= 1u << seat;
    }
    bool watched = (word & WATCH_MASK) != NONE;
    model_assert(!watched || !(seen >> ((word & SEAT_MASK) >> SEAT_SHIFT) & 1), "the watch sleeps in the pile");
    model_assert(sleeping + running(word) + watched == idle.count, "a worker is lost");
}

static void all_asleep(void)
{
    all_done();
    all_counted();
    uint64_t word = load_relaxed(&idle.word);
    model_assert(running(word) == 0 && (word & WATCH_MASK) == DOZING && watching == 1, "the watch dozes for good");
}

static void two_run_one_watches(void)
{
    all_counted();
    model_assert(idle_running(&idle) == 2, "who was hired runs");
}

static void all_run(void)
{
    all_counted();
    model_assert(idle_running(&idle) == idle.count, "all have got up");
}

static void done_and_counted(void)
{
    all_done();
    all_counted();
}

/* ---- the matrix ------------------------------------------------------------ */

/* With so many workers, threads 0 and on, which sleep in the end. */
#define AT_REST(title, start, workers, bound, ...)                                                                \
    {                                                                                                             \
        .name = (title), .setup = (start), .check = all_asleep, .threads = {__VA_ARGS__}, .preemptions = (bound), \
        .sleepers = (1u << (workers)) - 1                                                                         \
    }
/* In which all return. */
#define PROGRAM(title, start, end, ...)                                               \
    {                                                                                 \
        .name = (title), .setup = (start), .check = (end), .threads = { __VA_ARGS__ } \
    }

static const struct model_program programs[] = {
    AT_REST("notify, against lie down", one_watches, 1, 3, watch, outside),
    AT_REST("notify twice, against lie down", one_watches_two_to_do, 1, 2, watch, outside_twice),
    AT_REST("notify, against a doze in the poller", one_watches_and_polls, 1, 3, watch, outside),
    AT_REST("notify twice, against a doze in the poller", two_to_do_and_one_polls, 1, 2, watch, outside_twice),
    AT_REST("two notify, against lie down", one_watches_two_to_do, 1, 2, watch, outside, outside),
    AT_REST("notify, one watches and one sleeps", one_watches_one_sleeps, 2, 2, watch, asleep, outside),
    AT_REST("two notify, one watches and one sleeps", one_watches_one_sleeps_two_to_do, 2, 1, watch, asleep, outside,
            outside),
    AT_REST("two notify, one dozes and one sleeps", one_dozes_one_sleeps_two_to_do, 2, 1, doze, asleep, outside,
            outside),
    AT_REST("two go idle", two_run, 2, 1, run, run, outside),
    AT_REST("one goes idle, one watches", one_watches_one_runs, 2, 1, watch, run, outside),
    AT_REST("a worker notifies, one watches", one_watches_one_runs, 2, 2, watch, notify_and_run),
    AT_REST("a worker notifies, one dozes", one_dozes_one_runs, 2, 2, doze, notify_and_run),

    PROGRAM("two go to sleep as one leaves", one_watches_two_run, all_run, leave_to_others, pass_on, pass_on),
    PROGRAM("two go to sleep as one leaves, and calls", one_watches_two_run, all_run, leave_and_call, pass_on, pass_on),
    PROGRAM("two go to sleep as one leaves, another calls", one_watches_two_run, all_run, leave_and_call, pass_on,
            pass_on, notify),
    PROGRAM("three go idle", three_run, all_run, pass_on, pass_on, pass_on),

    PROGRAM("the pile is turned round as one calls", one_runs_unwatched, all_counted, turn_the_pile, call),

    AT_REST("hire, one watches and one sleeps", one_watches_one_sleeps_two_to_do, 2, 1, watch, asleep,
            outside_twice_and_hire),
    AT_REST("hire, one dozes and one sleeps", one_dozes_one_sleeps_two_to_do, 2, 1, doze, asleep,
            outside_twice_and_hire),
    PROGRAM("hired twice", one_sleeps_one_runs, two_run_one_watches, asleep_until_hired_twice, hire, hire),
    PROGRAM("hired, and a late token", one_sleeps_one_runs, two_run_one_watches, asleep_until_hired, hire, late_token),
    PROGRAM("the pile is turned round as one hires", three_watched, all_counted, turn_the_pile_watched, hire),

    AT_REST("two at once, both there", two_at_once_both_there, 2, 2, watch, asleep),
    AT_REST("two at once, one there", two_at_once_one_there, 2, 2, watch, asleep, outside),
    AT_REST("two at once", two_at_once, 2, 1, watch, asleep, outside_twice),
    AT_REST("two at once, from a doze", two_at_once_dozing, 2, 1, doze, asleep, outside, outside),
    PROGRAM("two at once, the unwatched one calls", two_at_once_one_there, done_and_counted, watch_and_call,
            asleep_for_one),

    PROGRAM("a late token", one_sleeps_unwatched, done_and_counted, asleep_for_one, outside, late_token),
    PROGRAM("a timeout", one_dozes_while_one_runs, done_and_counted, doze_for_one, outside),
    PROGRAM("a timeout and a late token", one_dozes_while_one_runs, done_and_counted, doze_for_one, outside,
            late_token),

    AT_REST("a timer, against lie down", one_watches_a_timer_to_come, 2, 3, watch, wait_until_ten),
    AT_REST("a timer, against a doze", one_dozes_a_timer_to_come, 2, 3, doze, wait_until_ten),
    AT_REST("a timer, against a second doze", one_dozes_twice_a_timer_to_come, 2, 2, doze_shortly, wait_until_seventy),
    AT_REST("two timers, against lie down", one_watches_two_timers_to_come, 3, 1, watch, wait_until_ten,
            wait_until_twenty),
    AT_REST("a later timer, against a doze", one_dozes_until_ten, 2, 2, doze, wait_until_twenty),
    AT_REST("a timer, and work from outside", one_watches_a_timer_and_work_to_come, 2, 1, watch, wait_until_ten,
            outside),
    PROGRAM("a timer, and the watch leaves", one_watches_work_and_a_timer_to_come, done_and_counted, watch_and_compute,
            wait_until_ten_for_one),
    PROGRAM("a timer of one who is not watched", one_sleeps_unwatched_a_timer_to_come, done_and_counted, asleep_for_one,
            start_timer_and_call),

    PROGRAM("close, one watches", one_watches_to_close, all_done, watch, close_all),
    PROGRAM("close, one dozes in the poller", one_polls_to_close, all_done, watch, close_all),
    PROGRAM("close, one dozes, two sleep", three_dozing, all_done, doze, asleep, asleep, close_all),
    PROGRAM("close, one watches, two sleep", three_watched, all_done, watch, asleep, asleep, close_all),
    PROGRAM("close, one dozes with a timeout, one sleeps", one_dozes_with_timeout_to_close, all_done, doze_a_while,
            asleep, close_all),
    PROGRAM("close, one dozes, one runs", one_dozes_one_runs_to_close, all_done, doze, run, close_all),
    PROGRAM("close, as one hires", one_watches_one_sleeps_one_runs_to_close, all_done, watch, asleep, hire_and_close),
    PROGRAM("close, with work left", one_dozes_one_runs_to_close, NULL, doze_a_while, run, put_and_close),
    PROGRAM("close, two run", two_run_to_close, all_done, run, run, close_all),
    PROGRAM("close after work", one_watches_one_sleeps_to_close, all_done, watch, asleep, close_after_work),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, sizeof programs / sizeof *programs, "idle.");
}
