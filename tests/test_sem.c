/* test_sem.c - a count, given to those who wait in their order */
#include "support_wait.h"

#include <limits.h>
#include <stdlib.h>

static int wait_sem(void *sem, weft_time deadline)
{
    return weft_sem_wait(sem, deadline);
}

static void takes_what_there_is(void **state)
{
    (void)state;
    weft_sem zero = {{0}}, sem;

    assert_int_equal(weft_sem_wait(&zero, 0), -EAGAIN);
    weft_sem_post(&zero);
    assert_int_equal(weft_sem_wait(&zero, WEFT_NEVER), 0);
    assert_int_equal(weft_sem_wait(&zero, 0), -EAGAIN);
    weft_sem_init(&sem, 3);
    weft_sem_post(&sem);
    for (int i = 0; i < 4; i++) assert_int_equal(weft_sem_wait(&sem, i % 2 ? 0 : 1), 0);
    assert_int_equal(weft_sem_wait(&sem, 1), -ETIMEDOUT);
    weft_sem_init(&sem, UINT_MAX);
    assert_int_equal(weft_sem_wait(&sem, 0), 0);
    weft_sem_post(&sem);
    assert_int_equal(weft_sem_wait(NULL, 0), -EINVAL);
}

static void gives_up_and_has_taken_nothing(void **state)
{
    (void)state;
    weft_sem sem;

    weft_sem_init(&sem, 0);
    assert_gives_up(wait_sem, &sem, true);
    weft_sem_post(&sem);
    assert_int_equal(weft_sem_wait(&sem, 0), 0);
    assert_int_equal(weft_sem_wait(&sem, 0), -EAGAIN);
}

/* ---- in their order --------------------------------------------------------- */

enum { SOME = 6 };

static int serve_in_order(void *arg)
{
    struct test_wait waits[SOME];
    weft_sem         sem;

    (void)arg;
    weft_sem_init(&sem, 0);
    test_wait_turns = 0;
    for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], wait_sem, &sem, WEFT_NEVER);
    weft_cancel(&waits[2].task);
    test_wait_settle();
    for (int i = 1; i < SOME; i++) {
        weft_sem_post(&sem);
        /* It is the waiter's already, though that has not run since. */
        task_check(weft_sem_wait(&sem, 0) == -EAGAIN);
        test_wait_settle();
        task_check(test_wait_turns == 1 + i);
    }
    for (int i = 0; i < SOME; i++) {
        task_check(test_wait_end(&waits[i]) == (i == 2 ? -ECANCELED : 0));
        if (i != 2) task_check(waits[i].turn == (i < 2 ? i + 2 : i + 1));
    }
    /* The one who was cancelled was not given any. */
    task_check(weft_sem_wait(&sem, 0) == -EAGAIN);
    return 0;
}

static void who_waits_first_is_served_first(void **state)
{
    (void)state;
    assert_int_equal(test_run(serve_in_order, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* In a cancelled scope, or late, what is there is taken all the same. */
static int take_when_cancelled(void *arg)
{
    weft_scope scope;
    weft_sem   sem;

    (void)arg;
    weft_sem_init(&sem, 2);
    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_scope_cancel(&scope);
    task_check(weft_sem_wait(&sem, WEFT_NEVER) == 0);
    task_check(weft_sem_wait(&sem, 1) == 0);
    task_check(weft_sem_wait(&sem, 1) == -ECANCELED);
    return weft_scope_close(&scope) == -ECANCELED ? 0 : -EINVAL;
}

static void what_can_be_done_at_once_is_done(void **state)
{
    (void)state;
    assert_int_equal(test_run(take_when_cancelled, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- fairness -------------------------------------------------------------- */

static int set_flag(void *flag)
{
    atomic_store((atomic_bool *)flag, true);
    return 0;
}

static int take_and_give_for_ever(void *arg)
{
    atomic_bool seen = false;
    weft_sem    sem;

    (void)arg;
    weft_sem_init(&sem, 1);
    task_check(weft_go(set_flag, &seen, 0) == 0);
    while (!atomic_load(&seen)) {
        task_check(weft_sem_wait(&sem, WEFT_NEVER) == 0);
        weft_sem_post(&sem);
    }
    return 0;
}

static int wait_and_set_flag(void *arg)
{
    struct test_wait *wait = arg;

    task_check(weft_sem_wait(wait->object, WEFT_NEVER) == 0);
    wait->ended = true;
    return 0;
}

/* The task that was posted to is the next to run, though the one who has posted never waits. */
static int post_and_go_on(void *arg)
{
    weft_sem         sem, other;
    struct test_wait wait = {.object = &sem};

    (void)arg;
    weft_sem_init(&sem, 0);
    weft_sem_init(&other, 1);
    weft_spawn(&wait.task, wait_and_set_flag, &wait);
    weft_yield();
    weft_sem_post(&sem);
    while (!wait.ended) {
        task_check(weft_sem_wait(&other, WEFT_NEVER) == 0);
        weft_sem_post(&other);
    }
    return weft_await(&wait.task);
}

static void a_wait_lets_others_run(void **state)
{
    (void)state;
    assert_int_equal(test_run(take_and_give_for_ever, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(post_and_go_on, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- the storage ------------------------------------------------------------- */

static int post_it(void *sem)
{
    weft_sem_post(sem);
    return 0;
}

static void post_in_thread(void *sem)
{
    weft_sem_post(sem);
}

/* Who has taken what was posted takes the storage away. */
static int free_after_wait(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(3000); i++) {
        weft_sem   *sem = malloc(sizeof *sem);
        weft_task   task;
        test_thread thread;
        bool        by_thread = i % 32 == 0;

        weft_sem_init(sem, 0);
        if (by_thread) test_thread_start(&thread, post_in_thread, sem);
        else weft_spawn(&task, post_it, sem);
        task_check(weft_sem_wait(sem, WEFT_NEVER) == 0);
        free(sem);
        if (by_thread) test_thread_join(&thread);
        else task_check(weft_await(&task) == 0);
    }
    return 0;
}

static void storage_is_free_once_it_is_taken(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(free_after_wait, NULL), 0);
}

/* ---- misuse ---------------------------------------------------------------- */

static int post_too_often(void)
{
    weft_sem sem;

    weft_sem_init(&sem, UINT_MAX);
    weft_sem_post(&sem);
    return 0;
}

static void overflow_stops_the_program(void **state)
{
    (void)state;
    assert_part_stops("post_too_often", "a semaphore counts above");
}

int main(int argc, char **argv)
{
    const struct test_part  parts[] = {{"post_too_often", post_too_often}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_there_is),
        cmocka_unit_test(gives_up_and_has_taken_nothing),
        cmocka_unit_test(who_waits_first_is_served_first),
        cmocka_unit_test(what_can_be_done_at_once_is_done),
        cmocka_unit_test(a_wait_lets_others_run),
        cmocka_unit_test(storage_is_free_once_it_is_taken),
        cmocka_unit_test(overflow_stops_the_program),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
