/* test_idle.c - what each verb makes of the word, and whom it wakes; model_idle has the races */
#include "support.h"

#include "idle.h"

enum { SEATS = 5 };

static struct idle      idle;
static struct idle_seat seats[IDLE_MAX];

static int setup(void **state)
{
    (void)state;
    idle_init(&idle, seats, SEATS, NULL, NULL);
    return 0;
}

static bool token(unsigned seat)
{
    return load_relaxed(&seats[seat].token) == 1;
}

static unsigned tokens(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < idle.count; i++) count += token(i);
    return count;
}

/* Seat `first` watches, and the next ones, in this order, sleep. */
static void lay_down(unsigned first, unsigned count)
{
    assert_int_equal(idle_enter(&idle, first), IDLE_WATCH);
    for (unsigned i = 1; i < count; i++) assert_int_equal(idle_enter(&idle, first + i), IDLE_SLEEP);
}

/* Seat 0 runs, the others sleep, and nobody watches. */
static void lay_down_unwatched(void)
{
    lay_down(0, SEATS);
    assert_int_equal(idle_leave(&idle, false), IDLE_UNWATCHED);
}

/* ---- lying down ---------------------------------------------------------------------------- */

static void all_run_at_first(void **state)
{
    (void)state;
    assert_int_equal(idle_running(&idle), SEATS);
    assert_false(idle_closed(&idle));
    assert_false(idle_call(&idle));
    assert_false(idle_notify(&idle));
    assert_int_equal(tokens(), 0);
}

static void first_watches_and_the_others_sleep(void **state)
{
    (void)state;
    assert_int_equal(idle_enter(&idle, 3), IDLE_WATCH);
    assert_int_equal(idle_running(&idle), SEATS - 1);
    assert_int_equal(idle_enter(&idle, 0), IDLE_SLEEP);
    assert_int_equal(idle_enter(&idle, 4), IDLE_SLEEP);
    assert_int_equal(idle_running(&idle), SEATS - 3);
    /* The watch is awake: nobody is to be woken. */
    assert_false(idle_call(&idle));
    assert_false(idle_notify(&idle));
    assert_int_equal(tokens(), 0);
}

static void watch_dozes_for_good_when_nobody_runs(void **state)
{
    (void)state;
    lay_down(0, SEATS - 1);
    assert_false(idle_lie_down(&idle, 0));
    idle_undoze(&idle, 0);
    assert_int_equal(idle_enter(&idle, SEATS - 1), IDLE_SLEEP);
    assert_int_equal(idle_running(&idle), 0);
    assert_true(idle_lie_down(&idle, 0));
}

/* ---- waking ------------------------------------------------------------------------------------ */

static void dozing_watch_is_woken_once(void **state)
{
    (void)state;
    lay_down(2, 2);
    idle_lie_down(&idle, 2);
    assert_true(idle_call(&idle));
    assert_true(token(2));
    assert_int_equal(tokens(), 1);
    /* Woken is awake. */
    assert_false(idle_call(&idle));
    assert_false(idle_notify(&idle));
    idle_doze(&idle, 2, 0, -1);
    assert_int_equal(tokens(), 0);
    assert_false(idle_call(&idle));
    idle_lie_down(&idle, 2);
    assert_true(idle_notify(&idle));
    assert_true(token(2));
    idle_doze(&idle, 2, 0, -1);
    assert_int_equal(idle_running(&idle), SEATS - 2);
}

static void watch_that_has_looked_again_is_awake(void **state)
{
    (void)state;
    lay_down(1, 1);
    idle_lie_down(&idle, 1);
    idle_undoze(&idle, 1);
    assert_false(idle_call(&idle));
    assert_int_equal(tokens(), 0);
    /* Somebody was quicker: there is a token, and an undoze that does nothing. */
    idle_lie_down(&idle, 1);
    assert_true(idle_call(&idle));
    idle_undoze(&idle, 1);
    assert_false(idle_call(&idle));
    /* With the old token the next doze is short, and no more than that. */
    idle_lie_down(&idle, 1);
    idle_doze(&idle, 1, 0, -1);
    assert_false(idle_call(&idle));
}

static void doze_ends_with_its_time(void **state)
{
    (void)state;
    weft_time begin = test_now();

    lay_down(1, 1);
    idle_lie_down(&idle, 1);
    idle_doze(&idle, 1, 0, WEFT_MS);
    assert_true(test_now() - begin < TEST_LONG);
    assert_false(idle_call(&idle));
    assert_int_equal(tokens(), 0);
}

/* ---- timers of those who sleep ---------------------------------------------------------------- */

/* Worker 0 has dozed until 500, and does so still. */
static void doze_until_500(void)
{
    lay_down(0, 2);
    idle_lie_down(&idle, 0);
    store_release(&seats[0].token, 1);
    idle_doze(&idle, 0, 400, 100);
    assert_true(load_relaxed(&idle.until) == 500);
}

static void watch_that_is_awake_looks_by_itself(void **state)
{
    (void)state;
    lay_down(0, 2);
    assert_false(idle_expect(&idle, 0));
    assert_int_equal(tokens(), 0);
}

static void watch_gets_up_for_an_earlier_timer(void **state)
{
    (void)state;
    lay_down(0, 2);
    idle_lie_down(&idle, 0);
    store_relaxed(&idle.until, 500); /* as idle_doze does, which would sleep */
    assert_false(idle_expect(&idle, 501));
    assert_false(idle_expect(&idle, 500));
    assert_int_equal(tokens(), 0);
    assert_true(idle_expect(&idle, 499));
    assert_true(token(0));
    assert_int_equal(tokens(), 1);
    assert_false(idle_expect(&idle, 0)); /* it is awake */
}

/* Until it knows how long, and when it dozes for good. */
static void watch_gets_up_for_any_timer_when_it_dozes_for_good(void **state)
{
    (void)state;
    doze_until_500();
    idle_lie_down(&idle, 0);
    assert_true(idle_expect(&idle, INT64_MAX - 1));
    assert_true(token(0));
    idle_doze(&idle, 0, 0, -1);
    idle_lie_down(&idle, 0);
    assert_true(load_relaxed(&idle.until) == INT64_MAX);
}

static void timer_appoints_a_watch(void **state)
{
    (void)state;
    lay_down_unwatched();
    assert_true(idle_expect(&idle, INT64_MAX - 1));
    assert_true(token(SEATS - 1));
    assert_int_equal(tokens(), 1);
    assert_int_equal(idle_sleep(&idle, SEATS - 1), IDLE_WATCHES);
}

/* ---- finding work --------------------------------------------------------------------------------- */

static void alone_leaves_nobody(void **state)
{
    (void)state;
    lay_down(1, 1);
    assert_int_equal(idle_leave(&idle, true), IDLE_ALONE);
    assert_int_equal(idle_running(&idle), SEATS);
    assert_int_equal(tokens(), 0);
    assert_false(idle_call(&idle));
    /* The watch is free again. */
    assert_int_equal(idle_enter(&idle, 4), IDLE_WATCH);
    assert_int_equal(idle_leave(&idle, false), IDLE_ALONE);
}

static void successor_is_who_lay_down_last(void **state)
{
    (void)state;
    lay_down(0, SEATS);
    for (unsigned successor = SEATS - 1; successor >= 1; successor--) {
        assert_int_equal(idle_leave(&idle, true), IDLE_SUCCEEDED);
        assert_true(token(successor));
        assert_int_equal(tokens(), 1);
        assert_int_equal(idle_running(&idle), SEATS - successor);
        assert_false(idle_call(&idle)); /* it watches, awake */
        assert_int_equal(idle_sleep(&idle, successor), IDLE_WATCHES);
        assert_int_equal(tokens(), 0);
    }
    assert_int_equal(idle_leave(&idle, true), IDLE_ALONE);
    assert_int_equal(idle_running(&idle), SEATS);
}

/* While others run there may be work for a successor; with nobody running there is none but what is known of. */
static void no_successor_for_the_only_work(void **state)
{
    (void)state;
    lay_down_unwatched();
    assert_int_equal(idle_running(&idle), 1);
    assert_int_equal(tokens(), 0);
    /* Who makes work then appoints a watch, one and no more. */
    assert_true(idle_call(&idle));
    assert_true(token(SEATS - 1));
    assert_false(idle_call(&idle));
    assert_int_equal(tokens(), 1);
    assert_int_equal(idle_sleep(&idle, SEATS - 1), IDLE_WATCHES);
    /* One runs already. */
    assert_int_equal(idle_leave(&idle, false), IDLE_SUCCEEDED);
    assert_true(token(SEATS - 2));
    assert_int_equal(idle_running(&idle), 2);
}

/* Beside a watch that is awake one who sleeps is made to run; else it is as a call. */
static void hires_one_who_sleeps(void **state)
{
    (void)state;
    assert_false(idle_hire(&idle)); /* all run */
    lay_down(0, 3);
    assert_true(idle_hire(&idle));
    assert_int_equal(tokens(), 1);
    assert_int_equal(idle_sleep(&idle, 2), IDLE_RUNS);
    assert_int_equal(idle_running(&idle), SEATS - 2);
    assert_int_equal(idle_enter(&idle, 2), IDLE_SLEEP);
    assert_true(idle_hire(&idle));
    assert_int_equal(idle_sleep(&idle, 2), IDLE_RUNS);
    assert_true(idle_hire(&idle));
    assert_int_equal(idle_sleep(&idle, 1), IDLE_RUNS);
    assert_false(idle_hire(&idle)); /* nobody sleeps */
    assert_int_equal(tokens(), 0);
    assert_int_equal(idle_running(&idle), SEATS - 1);
    /* That is over when it sleeps again. */
    assert_int_equal(idle_enter(&idle, 2), IDLE_SLEEP);
    assert_int_equal(idle_leave(&idle, true), IDLE_SUCCEEDED);
    assert_int_equal(idle_sleep(&idle, 2), IDLE_WATCHES);
}

static void hires_the_watch_that_dozes(void **state)
{
    (void)state;
    lay_down(0, 2);
    assert_false(idle_dozes(&idle));
    idle_lie_down(&idle, 0);
    assert_true(idle_dozes(&idle));
    assert_true(idle_hire(&idle));
    assert_false(idle_dozes(&idle));
    assert_true(token(0));
    assert_false(token(1));
    assert_int_equal(idle_running(&idle), SEATS - 2);
}

static void hires_a_watch_if_there_is_none(void **state)
{
    (void)state;
    lay_down_unwatched();
    assert_true(idle_hire(&idle));
    assert_int_equal(idle_sleep(&idle, SEATS - 1), IDLE_WATCHES);
    assert_int_equal(idle_running(&idle), 1);
}

static void notify_appoints_a_watch(void **state)
{
    (void)state;
    lay_down_unwatched();
    assert_true(idle_notify(&idle));
    assert_int_equal(idle_sleep(&idle, SEATS - 1), IDLE_WATCHES);
    assert_false(idle_notify(&idle));
    assert_int_equal(tokens(), 0);
}

static void without_a_watch_the_next_idle_one_is_it(void **state)
{
    (void)state;
    lay_down_unwatched();
    assert_int_equal(idle_enter(&idle, 0), IDLE_WATCH);
    assert_int_equal(idle_running(&idle), 0);
    assert_true(idle_lie_down(&idle, 0));
    assert_true(idle_call(&idle));
    assert_true(token(0));
}

/* The pile changes below a thief of a seat: each change gives the word another look. */
static void word_does_not_repeat_when_the_pile_does(void **state)
{
    (void)state;
    const unsigned tag = 35; /* the first bit of it */

    assert_int_equal(idle_enter(&idle, 0), IDLE_WATCH);
    uint64_t before = load_relaxed(&idle.word);
    assert_int_equal(idle_enter(&idle, 1), IDLE_SLEEP);
    assert_true(load_relaxed(&idle.word) >> tag != before >> tag);
    before = load_relaxed(&idle.word);
    assert_int_equal(idle_leave(&idle, true), IDLE_SUCCEEDED);
    assert_true(load_relaxed(&idle.word) >> tag != before >> tag);
    assert_int_equal(idle_sleep(&idle, 1), IDLE_WATCHES);
    assert_int_equal(idle_leave(&idle, true), IDLE_ALONE);
    lay_down(0, 2);
    assert_true(load_relaxed(&idle.word) >> tag != before >> tag);
}

static void all_seats_fit_in_the_word(void **state)
{
    (void)state;
    idle_init(&idle, seats, IDLE_MAX, NULL, NULL);
    assert_int_equal(idle_running(&idle), IDLE_MAX);
    lay_down(0, IDLE_MAX);
    assert_int_equal(idle_running(&idle), 0);
    assert_true(idle_lie_down(&idle, 0));
    assert_true(idle_call(&idle));
    idle_doze(&idle, 0, 0, -1);
    for (unsigned left = IDLE_MAX - 1; left >= 1; left--) {
        assert_int_equal(idle_leave(&idle, true), IDLE_SUCCEEDED);
        assert_int_equal(idle_sleep(&idle, left), IDLE_WATCHES);
    }
    assert_int_equal(idle_leave(&idle, true), IDLE_ALONE);
    assert_int_equal(idle_running(&idle), IDLE_MAX);
    assert_int_equal(tokens(), 0);
}

/* ---- sleeping --------------------------------------------------------------------------------------- */

static atomic_int woken;

static void sleep_on_seat_one(void *arg)
{
    (void)arg;
    atomic_store(&woken, idle_sleep(&idle, 1) == IDLE_WATCHES ? 1 : 2);
}

static void sleeper_gets_up_as_the_watch_only(void **state)
{
    (void)state;
    test_thread thread;

    atomic_store(&woken, 0);
    lay_down(0, 2);
    /* An old token, from when it last watched. */
    store_release(&seats[1].token, 1);
    test_thread_start(&thread, sleep_on_seat_one, NULL);
    task_spin_until(!token(1));
    test_sleep(20 * WEFT_MS);
    assert_int_equal(atomic_load(&woken), 0);
    assert_int_equal(idle_leave(&idle, true), IDLE_SUCCEEDED);
    test_thread_join(&thread);
    assert_int_equal(atomic_load(&woken), 1);
    assert_task_checks();
}

static void close_gets_everybody_up(void **state)
{
    (void)state;
    test_thread thread;

    atomic_store(&woken, 0);
    lay_down(0, SEATS - 1);
    test_thread_start(&thread, sleep_on_seat_one, NULL);
    test_sleep(20 * WEFT_MS);
    assert_int_equal(atomic_load(&woken), 0);
    idle_lie_down(&idle, 0);
    idle_close(&idle);
    test_thread_join(&thread);
    assert_int_equal(atomic_load(&woken), 2);
    assert_true(idle_closed(&idle));
    idle_doze(&idle, 0, 0, -1);
    assert_int_equal(idle_sleep(&idle, 2), IDLE_CLOSED);
    assert_int_equal(idle_sleep(&idle, 3), IDLE_CLOSED);
    /* One that lies down after that, too. */
    assert_int_equal(idle_enter(&idle, 4), IDLE_SLEEP);
    assert_int_equal(idle_sleep(&idle, 4), IDLE_CLOSED);
}

int main(void)
{
#define WITH_IDLE(test) cmocka_unit_test_setup(test, setup)
    const struct CMUnitTest tests[] = {
        WITH_IDLE(all_run_at_first),
        WITH_IDLE(first_watches_and_the_others_sleep),
        WITH_IDLE(watch_dozes_for_good_when_nobody_runs),
        WITH_IDLE(dozing_watch_is_woken_once),
        WITH_IDLE(watch_that_has_looked_again_is_awake),
        WITH_IDLE(doze_ends_with_its_time),
        WITH_IDLE(watch_that_is_awake_looks_by_itself),
        WITH_IDLE(watch_gets_up_for_an_earlier_timer),
        WITH_IDLE(watch_gets_up_for_any_timer_when_it_dozes_for_good),
        WITH_IDLE(timer_appoints_a_watch),
        WITH_IDLE(alone_leaves_nobody),
        WITH_IDLE(successor_is_who_lay_down_last),
        WITH_IDLE(no_successor_for_the_only_work),
        WITH_IDLE(hires_one_who_sleeps),
        WITH_IDLE(hires_the_watch_that_dozes),
        WITH_IDLE(hires_a_watch_if_there_is_none),
        WITH_IDLE(notify_appoints_a_watch),
        WITH_IDLE(without_a_watch_the_next_idle_one_is_it),
        WITH_IDLE(word_does_not_repeat_when_the_pile_does),
        WITH_IDLE(all_seats_fit_in_the_word),
        WITH_IDLE(sleeper_gets_up_as_the_watch_only),
        WITH_IDLE(close_gets_everybody_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
