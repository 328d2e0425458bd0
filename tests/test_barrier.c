/* test_barrier.c - rounds that begin when all have arrived */
#include "support_wait.h"

#include "wait.h"

static int wait_barrier(void *barrier, weft_time deadline)
{
    (void)deadline;
    return weft_barrier_wait(barrier);
}

static void a_barrier_for_one_waits_for_nobody(void **state)
{
    (void)state;
    weft_barrier barrier;

    weft_barrier_init(&barrier, 1);
    for (int i = 0; i < 3; i++) assert_int_equal(weft_barrier_wait(&barrier), 1);
    assert_int_equal(weft_barrier_wait(NULL), -EINVAL);
}

static void who_gives_up_has_not_arrived(void **state)
{
    (void)state;
    weft_barrier barrier;

    /* So many that those who give up together would make a round, if they counted. */
    weft_barrier_init(&barrier, 4);
    assert_gives_up(wait_barrier, &barrier, false);
}

/* ---- one worker ----------------------------------------------------------------- */

enum { SOME = 5 };

static int arrive_in_turn(void *arg)
{
    struct test_wait waits[SOME];
    weft_barrier     barrier;

    (void)arg;
    weft_barrier_init(&barrier, SOME);
    for (int round = 0; round < 3; round++) {
        int ones = 0;
        for (int i = 0; i < SOME; i++) {
            test_wait_settle();
            for (int before = 0; before < i; before++) task_check(!waits[before].ended);
            test_wait_begin(&waits[i], wait_barrier, &barrier, WEFT_NEVER);
        }
        for (int i = 0; i < SOME; i++) {
            int result = test_wait_end(&waits[i]);
            task_check(result == 0 || result == 1);
            ones += result;
        }
        task_check(ones == 1);
    }
    return 0;
}

static void all_go_on_when_the_last_arrives(void **state)
{
    (void)state;
    assert_int_equal(test_run(arrive_in_turn, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* The last one comes when another has been cancelled and has not run since: it is not the last, and those that wait
 * on can be cancelled as before, or go on with the next who comes. */
static int arrive_after_cancel(void *arg)
{
    struct test_wait waits[4];
    weft_barrier     barrier;
    bool             go_on = *(bool *)arg;

    weft_barrier_init(&barrier, 3);
    test_wait_begin(&waits[0], wait_barrier, &barrier, WEFT_NEVER);
    test_wait_begin(&waits[1], wait_barrier, &barrier, WEFT_NEVER);
    weft_cancel(&waits[1].task);
    /* It begins before the cancelled one goes on: what was spawned last runs first. */
    test_wait_begin(&waits[2], wait_barrier, &barrier, WEFT_NEVER);
    test_wait_settle();
    task_check(!waits[0].ended && waits[1].ended && !waits[2].ended);
    task_check(test_wait_end(&waits[1]) == -ECANCELED);
    if (go_on) {
        task_check(weft_barrier_wait(&barrier) == 1);
    } else {
        weft_cancel(&waits[0].task);
        test_wait_settle();
        task_check(waits[0].ended && !waits[2].ended);
        weft_cancel(&waits[2].task);
    }
    for (int i = 0; i < 3; i += 2) task_check(test_wait_end(&waits[i]) == (go_on ? 0 : -ECANCELED));
    /* Nobody is left in it. */
    for (int i = 0; i < 2; i++) test_wait_begin(&waits[i], wait_barrier, &barrier, WEFT_NEVER);
    test_wait_settle();
    task_check(!waits[0].ended && !waits[1].ended);
    task_check(weft_barrier_wait(&barrier) == 1);
    for (int i = 0; i < 2; i++) task_check(test_wait_end(&waits[i]) == 0);
    return 0;
}

static void one_who_was_cancelled_is_not_counted(void **state)
{
    (void)state;
    for (int go_on = 0; go_on < 2; go_on++) {
        bool arg = go_on;
        assert_int_equal(test_run(arrive_after_cancel, &arg, WEFT_OPTIONS(.workers = 1)), 0);
    }
}

/* ---- a claim given back ---------------------------------------------------------- */

static const struct wait_kind kind = {.what = "to be claimed"};

static int wait_in_place(void *place, weft_time deadline)
{
    spin_take(&((struct wait_place *)place)->word);
    return wait_queued(place, &kind, deadline);
}

/* What a barrier does with those that it has claimed too early. */
static int give_claims_back(void *arg)
{
    struct wait_place place = {0};
    struct test_wait  waits[3];
    struct waiter    *waiters[3];

    (void)arg;
    for (int i = 0; i < 3; i++) test_wait_begin(&waits[i], wait_in_place, &place, WEFT_NEVER);
    spin_take(&place.word);
    struct wait_entry *claimed = wait_claim_all(&place.queue);
    for (int i = 0; i < 3; i++, claimed = claimed->prev) waiters[i] = claimed->waiter;
    task_check(!claimed);
    /* It is cancelled while it can't be claimed, and learns of that all the same. */
    weft_cancel(&waits[0].task);
    for (int i = 0; i < 3; i++) wait_unclaim(waiters[i]);
    weft_cancel(&waits[1].task);
    task_check(park_claim(waiters[2]));
    spin_drop(&place.word, 0);
    park_wake(waiters[2], false);
    for (int i = 0; i < 3; i++) task_check(test_wait_end(&waits[i]) == (i == 2 ? 0 : -ECANCELED));
    return 0;
}

static void who_is_not_claimed_any_more_can_be_cancelled(void **state)
{
    (void)state;
    assert_int_equal(test_run(give_claims_back, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- many ------------------------------------------------------------------- */

enum { TASKS = 6, THREADS = 2, ALL = TASKS + THREADS };

struct rounds {
    weft_barrier barrier;
    size_t       rounds;
    atomic_int   next;
    size_t       at[ALL]; /* plain: each is read by all in the next round */
    atomic_long  ones;
};

static int go_round(void *arg)
{
    struct rounds *r = arg;
    int            me = atomic_fetch_add(&r->next, 1);

    for (size_t round = 1; round <= r->rounds; round++) {
        r->at[me] = round;
        int result = weft_barrier_wait(&r->barrier);
        task_check(result == 0 || result == 1);
        atomic_fetch_add(&r->ones, result);
        for (int i = 0; i < ALL; i++) task_check(r->at[i] == round);
        task_check(weft_barrier_wait(&r->barrier) >= 0);
    }
    return 0;
}

static void go_round_in_thread(void *arg)
{
    go_round(arg);
}

static int go_round_together(void *arg)
{
    weft_task   tasks[TASKS];
    test_thread threads[THREADS];

    for (int i = 0; i < THREADS; i++) test_thread_start(&threads[i], go_round_in_thread, arg);
    for (int i = 0; i < TASKS; i++) weft_spawn(&tasks[i], go_round, arg);
    for (int i = 0; i < TASKS; i++) task_check(weft_await(&tasks[i]) == 0);
    for (int i = 0; i < THREADS; i++) test_thread_join(&threads[i]);
    return 0;
}

static void nobody_goes_ahead_of_the_round(void **state)
{
    (void)state;
    struct rounds r = {.rounds = test_scale(500)};

    weft_barrier_init(&r.barrier, ALL);
    assert_int_equal(test_run_workers(go_round_together, &r), 0);
    assert_int_equal(atomic_load(&r.ones), r.rounds);
}

/* ---- misuse ---------------------------------------------------------------- */

static int init_for_nobody(void)
{
    weft_barrier barrier;

    weft_barrier_init(&barrier, 0);
    return 0;
}

static int wait_at_zero(void)
{
    weft_barrier barrier = {{0}};

    return weft_barrier_wait(&barrier);
}

static const struct test_part parts[] = {
    {"init_for_nobody", init_for_nobody},
    {"wait_at_zero", wait_at_zero},
};

static void a_barrier_for_nobody_stops_the_program(void **state)
{
    (void)state;
    assert_part_stops("init_for_nobody", "a barrier for nobody");
    assert_part_stops("wait_at_zero", "was not initialised");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_barrier_for_one_waits_for_nobody),
        cmocka_unit_test(who_gives_up_has_not_arrived),
        cmocka_unit_test(all_go_on_when_the_last_arrives),
        cmocka_unit_test(one_who_was_cancelled_is_not_counted),
        cmocka_unit_test(who_is_not_claimed_any_more_can_be_cancelled),
        cmocka_unit_test(nobody_goes_ahead_of_the_round),
        cmocka_unit_test(a_barrier_for_nobody_stops_the_program),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
