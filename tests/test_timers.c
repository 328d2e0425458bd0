/* test_timers.c - the wheel against a plain array: what expires when, and what comes next */
#include "support.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "timers.h"

#define SLOT_NS (INT64_C(1) << TIMERS_SHIFT)
#define COUNT   300

/* How long the ring is, and after it a slot of each level. */
#define LEVEL_NS(level) (SLOT_NS * TIMERS_RING << (6 * (level)))

static struct timers wheel;

struct alarm {
    struct timer timer;
    bool         running; /* as the reference has it */
    int64_t      counts;  /* its moment, or that at which it was started if that was past by then */
    bool         expired; /* in the call of timers_expire that goes on */
};

static struct alarm alarms[COUNT];
static char         token; /* what timers_expire is given */
static int64_t      past;  /* the last moment that timers_expire was told */

static void ring(struct timer *timer, void *arg)
{
    struct alarm *a = container_of(timer, struct alarm, timer);

    task_check(arg == &token);
    task_check(a->running && !a->expired);
    task_check(!timer->link);
    a->expired = true;
}

static void start(struct alarm *a, int64_t when)
{
    a->timer.when = when;
    a->timer.expire = ring;
    a->running = true;
    a->counts = max_of(when, past);
    timers_lock(&wheel);
    timers_start(&wheel, &a->timer);
    timers_unlock(&wheel);
}

static void stop(struct alarm *a)
{
    timers_stop(&a->timer);
    assert_null(a->timer.link);
    a->running = false;
}

static void begin(bool exact)
{
    memset(&wheel, 0x5a, sizeof wheel);
    memset(alarms, 0, sizeof alarms);
    timers_init(&wheel, exact);
    past = 0;
}

/* ---- the reference --------------------------------------------------------------------- */

static int64_t slot_begin(int64_t moment)
{
    return moment < 0 ? 0 : moment - moment % SLOT_NS;
}

/* A timer has to expire when its slot is over, with `exact` when it has come; before it comes it must not. */
static bool is_due(const struct alarm *a, int64_t now)
{
    return wheel.exact ? a->timer.when <= now : slot_begin(a->counts) < slot_begin(now);
}

static void expire(int64_t now)
{
    unsigned count = timers_expire(&wheel, now, UINT_MAX, &token), expired = 0;

    past = now;
    for (int i = 0; i < COUNT; i++) {
        struct alarm *a = &alarms[i];
        if (a->expired) {
            assert_true(a->timer.when <= now);
            a->expired = a->running = false;
            expired++;
        } else {
            assert_false(a->running && is_due(a, now));
        }
    }
    assert_int_equal(count, expired);
    assert_task_checks();
}

/* `left_behind`: a timer was stopped since the wheel was last looked through, and may still be shown. */
static void assert_next(bool left_behind)
{
    int64_t  earliest = INT64_MAX, counts = INT64_MAX, next = timers_next(&wheel);
    uint64_t running = 0;

    for (int i = 0; i < COUNT; i++) {
        if (!alarms[i].running) continue;
        running++;
        earliest = min_of(earliest, alarms[i].timer.when);
        counts = min_of(counts, alarms[i].counts);
    }
    assert_int_equal(wheel.count, running);
    assert_true(timers_earliest(&wheel) == earliest);
    if (running == 0) assert_true(left_behind || next == INT64_MAX);
    else assert_true(next - 1 <= (wheel.exact ? counts - 1 : slot_begin(counts) + (SLOT_NS - 1)));
}

/* ---- by chance --------------------------------------------------------------------------- */

static uint32_t seed;

static uint64_t chance(uint64_t n)
{
    uint64_t high = test_random(&seed);

    return ((high << 32) ^ test_random(&seed)) % n;
}

/* Near or far, a boundary of a level or next to one, long past, or nearly never. */
static int64_t some_moment(int64_t now)
{
    int64_t far = (int64_t)chance(UINT64_C(1) << chance(62)), when;

    switch (chance(8)) {
    case 0: return now - far;
    case 1: return chance(4) ? now : INT64_MAX - 1 - (int64_t)chance(3);
    case 2: {
        unsigned level = (unsigned)chance(TIMERS_LEVELS);
        int64_t  step = chance(4) ? LEVEL_NS(level) : 64 * SLOT_NS, boundary;
        if (__builtin_add_overflow(now - now % step, step, &boundary)) return now;
        return boundary + (int64_t)chance(3) - 1;
    }
    default: return __builtin_add_overflow(now, far, &when) ? INT64_MAX - 1 : min_of(when, INT64_MAX - 1);
    }
}

static void go_by_chance(bool exact, uint32_t from)
{
    int64_t now = 0;
    bool    left_behind = false;

    seed = from;
    begin(exact);
    if (chance(2)) now = (int64_t)chance(UINT64_C(1) << 61);
    size_t crowd = 1 + chance(COUNT);
    for (size_t step = 0; step < 1000; step++) {
        struct alarm *a = &alarms[chance(crowd)];
        if (chance(4) > 0) {
            if (a->running) {
                stop(a);
                left_behind = true;
            } else {
                start(a, some_moment(now));
            }
        } else {
            int64_t next = timers_next(&wheel), to = chance(2) ? some_moment(now) : next - (int64_t)chance(2);
            if (to < now || to > INT64_MAX / 2 + now / 2) to = now;
            bool before = to < next;
            now = to;
            unsigned stand = 0;
            for (int i = 0; i < COUNT; i++) stand += alarms[i].running;
            expire(now);
            for (int i = 0; i < COUNT; i++) stand -= alarms[i].running;
            assert_true(!before || stand == 0);
            left_behind = false;
        }
        assert_next(left_behind);
    }
    for (int i = 0; i < COUNT; i++)
        if (alarms[i].running) stop(&alarms[i]);
    assert_int_equal(timers_expire(&wheel, now, UINT_MAX, &token), 0);
    assert_true(timers_next(&wheel) == INT64_MAX);
}

static void wheel_agrees_with_an_array(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= test_scale(200); i++) go_by_chance(i % 2, i);
}

/* ---- one by one ----------------------------------------------------------------------------- */

static void nothing_expires_in_an_empty_wheel(void **state)
{
    (void)state;
    for (int exact = 0; exact < 2; exact++) {
        begin(exact);
        assert_true(timers_next(&wheel) == INT64_MAX);
        assert_true(timers_earliest(&wheel) == INT64_MAX);
        assert_int_equal(timers_expire(&wheel, 0, UINT_MAX, &token), 0);
        assert_int_equal(timers_expire(&wheel, INT64_MAX, UINT_MAX, &token), 0);
        assert_true(timers_next(&wheel) == INT64_MAX);
    }
}

static void expires_when_its_slot_is_over(void **state)
{
    (void)state;
    begin(false);
    start(&alarms[0], 5 * SLOT_NS + 1);
    expire(5 * SLOT_NS);
    expire(6 * SLOT_NS - 1);
    assert_true(alarms[0].running);
    assert_true(timers_next(&wheel) == 6 * SLOT_NS);
    expire(6 * SLOT_NS);
    assert_false(alarms[0].running);
}

static void exact_expires_at_its_moment(void **state)
{
    (void)state;
    begin(true);
    start(&alarms[0], 5 * SLOT_NS + 7);
    start(&alarms[1], 5 * SLOT_NS + 8);
    expire(5 * SLOT_NS + 6);
    assert_true(alarms[0].running);
    expire(5 * SLOT_NS + 7);
    assert_false(alarms[0].running);
    assert_true(alarms[1].running);
    assert_true(timers_earliest(&wheel) == 5 * SLOT_NS + 8);
    expire(5 * SLOT_NS + 8);
    assert_false(alarms[1].running);
}

/* One at each side of each boundary of each level, the wheel being wound up to it in one turn, or in many. */
static void boundaries_of_levels(void **state)
{
    (void)state;
    for (int exact = 0; exact < 2; exact++)
        for (unsigned level = 0; level < TIMERS_LEVELS; level++)
            for (int turns = 1; turns <= 8; turns *= 2) {
                int64_t boundary = LEVEL_NS(level);
                begin(exact);
                for (int i = 0; i < 5; i++) start(&alarms[i], boundary + (i - 2) * (i == 0 || i == 4 ? SLOT_NS : 1));
                assert_next(false);
                for (int turn = 1; turn <= turns; turn++) {
                    expire((boundary - 2 * SLOT_NS - 1) / turns * turn);
                    assert_next(false);
                }
                for (int i = 0; i < 5; i++) assert_true(alarms[i].running);
                for (int64_t now = boundary - SLOT_NS; now <= boundary + 3 * SLOT_NS; now += SLOT_NS) {
                    expire(now);
                    assert_next(false);
                }
                assert_int_equal(wheel.count, 0);
            }
}

/* Wherever now is in the ring, and wherever in it they lie. */
static void ring_goes_round(void **state)
{
    (void)state;
    static const int64_t places[] = {0, 1, 63, 64, 65, TIMERS_RING - 64, TIMERS_RING - 1, TIMERS_RING, TIMERS_RING + 1};

    for (size_t at = 0; at < TEST_LENGTH(places); at++)
        for (size_t first = 0; first < TEST_LENGTH(places); first++)
            for (size_t second = 0; second < TEST_LENGTH(places); second++) {
                begin(false);
                expire(places[at] * SLOT_NS);
                start(&alarms[0], (places[at] + places[first]) * SLOT_NS);
                start(&alarms[1], (places[at] + places[second]) * SLOT_NS + 1);
                assert_next(false);
                while (wheel.count > 0) {
                    int64_t  next = timers_next(&wheel);
                    uint64_t count = wheel.count;
                    expire(next - 1);
                    assert_int_equal(wheel.count, count);
                    expire(next);
                    assert_next(false);
                }
            }
}

/* What is left is there for the next call, whoever makes it, and comes before what is due later. */
static void no_more_expire_than_asked_for(void **state)
{
    (void)state;
    for (unsigned most = 1; most <= 7; most++) {
        int64_t now = 3 * SLOT_NS;
        begin(false);
        for (int i = 0; i < 20; i++) start(&alarms[i], i < 10 ? 1 : SLOT_NS + 1);
        start(&alarms[20], 10 * SLOT_NS);
        for (unsigned left = 20; left > 0;) {
            unsigned count = timers_expire(&wheel, now, most, &token), rang[2] = {0, 0};
            assert_int_equal(count, min_of(left, most));
            left -= count;
            for (int i = 0; i < 20; i++) rang[i / 10] += alarms[i].expired;
            assert_int_equal(rang[0] + rang[1], 20 - left);
            assert_true(rang[0] == 10 || rang[1] == 0);
            assert_int_equal(wheel.count, left + 1);
            if (left > 0) assert_true(timers_next(&wheel) <= now);
            else assert_true(timers_next(&wheel) > 10 * SLOT_NS);
        }
        assert_int_equal(timers_expire(&wheel, now, most, &token), 0);
        assert_int_equal(timers_expire(&wheel, 11 * SLOT_NS, most, &token), 1);
        assert_task_checks();
    }
}

static void nearly_never(void **state)
{
    (void)state;
    begin(true);
    start(&alarms[0], INT64_MAX - 1);
    start(&alarms[1], INT64_MAX - 2);
    assert_true(timers_next(&wheel) < INT64_MAX - 1);
    for (int64_t now = 1; now < INT64_MAX / 4; now *= 3) expire(now);
    expire(INT64_MAX - 3);
    expire(INT64_MAX - 2);
    assert_true(alarms[0].running);
    assert_false(alarms[1].running);
    expire(INT64_MAX - 1);
    assert_false(alarms[0].running);

    begin(false);
    start(&alarms[0], INT64_MAX - 1);
    assert_true(timers_next(&wheel) < INT64_MAX - 1);
    expire(INT64_MAX / 2);
    expire(INT64_MAX);
    assert_true(timers_earliest(&wheel) == (alarms[0].running ? INT64_MAX - 1 : INT64_MAX));
    if (alarms[0].running) stop(&alarms[0]);
}

static void past_moments_expire_soon(void **state)
{
    (void)state;
    static const int64_t pasts[] = {INT64_MIN, -1, 0, 1, 1000 * SLOT_NS - 1, 1000 * SLOT_NS};

    for (int exact = 0; exact < 2; exact++)
        for (size_t i = 0; i < TEST_LENGTH(pasts); i++) {
            begin(exact);
            expire(1000 * SLOT_NS);
            start(&alarms[0], pasts[i]);
            assert_true(timers_next(&wheel) <= 1001 * SLOT_NS);
            expire(1000 * SLOT_NS + 1);
            assert_true(!exact || !alarms[0].running);
            expire(1001 * SLOT_NS);
            assert_false(alarms[0].running);
        }
}

static void stop_takes_out_of_anywhere(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 6; order++) {
        static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        begin(false);
        for (int i = 0; i < 3; i++) start(&alarms[i], 77 * SLOT_NS + i);
        for (int i = 0; i < 3; i++) {
            stop(&alarms[orders[order][i]]);
            stop(&alarms[orders[order][i]]); /* for nothing */
            assert_next(true);
        }
        expire(100 * SLOT_NS);
    }
    /* What has expired may be stopped, too, and started again. */
    start(&alarms[0], 0);
    expire(200 * SLOT_NS);
    stop(&alarms[0]);
    start(&alarms[0], 300 * SLOT_NS);
    expire(301 * SLOT_NS);
    assert_false(alarms[0].running);
}

/* ---- several threads --------------------------------------------------------------------------- */

struct race {
    struct timer timer;
    int          rang; /* not atomic: whoever has stopped the timer comes after it */
};

static atomic_bool over;
static atomic_uint rung;
static int64_t     moment; /* under the wheel's lock, which timers_expire takes */

static void ring_in_race(struct timer *timer, void *arg)
{
    (void)arg;
    container_of(timer, struct race, timer)->rang++;
    atomic_fetch_add(&rung, 1);
}

static void expire_until_over(void *arg)
{
    (void)arg;
    for (int64_t now = 0; !atomic_load(&over); now += SLOT_NS / 2) {
        if (timers_next(&wheel) <= now) timers_expire(&wheel, now, UINT_MAX, NULL);
        timers_lock(&wheel);
        moment = max_of(moment, now);
        timers_unlock(&wheel);
    }
}

static void stopped_timer_is_not_touched(void **state)
{
    (void)state;
    test_thread thread[2];
    unsigned    stopped = 0, rang = 0;
    size_t      rounds = test_scale(100000);

    begin(false);
    atomic_store(&over, false);
    atomic_store(&rung, 0);
    moment = 0;
    for (int i = 0; i < 2; i++) test_thread_start(&thread[i], expire_until_over, NULL);
    for (size_t i = 0; i < rounds; i++) {
        struct race *r = malloc(sizeof *r);
        assert_non_null(r);
        *r = (struct race){.timer = {.expire = ring_in_race}};
        timers_lock(&wheel);
        r->timer.when = moment + (int64_t)(i % 3) * SLOT_NS;
        timers_start(&wheel, &r->timer);
        timers_unlock(&wheel);
        for (unsigned spins = (unsigned)(i % 50) * 10; spins > 0; spins--) atomic_pause();
        timers_stop(&r->timer);
        task_check(r->rang == 0 || r->rang == 1);
        if (r->rang) rang++;
        else stopped++;
        memset(r, 0x5a, sizeof *r);
        free(r);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) test_thread_join(&thread[i]);
    assert_task_checks();
    assert_int_equal(rang, atomic_load(&rung));
    assert_int_equal(rang + stopped, rounds);
    assert_int_equal(wheel.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_expires_in_an_empty_wheel),
        cmocka_unit_test(expires_when_its_slot_is_over),
        cmocka_unit_test(exact_expires_at_its_moment),
        cmocka_unit_test(boundaries_of_levels),
        cmocka_unit_test(ring_goes_round),
        cmocka_unit_test(no_more_expire_than_asked_for),
        cmocka_unit_test(nearly_never),
        cmocka_unit_test(past_moments_expire_soon),
        cmocka_unit_test(stop_takes_out_of_anywhere),
        cmocka_unit_test(wheel_agrees_with_an_array),
        cmocka_unit_test(stopped_timer_is_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
