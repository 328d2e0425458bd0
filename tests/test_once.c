/* test_once.c - the first call runs, the others wait for its end */
#include "support_wait.h"

struct made {
    weft_once once;
    size_t    count; /* plain: what the first call did is seen by all */
    bool      complete;
    weft_sem  go_on;
};

static void make(void *arg)
{
    struct made *made = arg;

    made->count++;
    test_spin(100);
    made->complete = true;
}

static void runs_once(void **state)
{
    (void)state;
    struct made made = {.count = 0};

    for (int i = 0; i < 3; i++) weft_once_call(&made.once, make, &made);
    assert_int_equal(made.count, 1);
}

/* ---- waiting ----------------------------------------------------------------- */

static void make_slowly(void *arg)
{
    struct made *made = arg;

    task_check(weft_sem_wait(&made->go_on, WEFT_NEVER) == 0);
    make(made);
}

static int call_it(void *arg, weft_time deadline)
{
    struct made *made = arg;

    (void)deadline;
    weft_once_call(&made->once, make_slowly, made);
    return made->complete ? 0 : -EINVAL;
}

enum { SOME = 6 };

static int call_while_it_runs(void *arg)
{
    struct made      made = {.count = 0};
    struct test_wait waits[SOME];

    (void)arg;
    weft_sem_init(&made.go_on, 0);
    for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], call_it, &made, WEFT_NEVER);
    /* Cancelling does not end the wait: there would be nothing to go on with. */
    weft_cancel(&waits[1].task);
    test_wait_settle();
    for (int i = 0; i < SOME; i++) task_check(!waits[i].ended);
    weft_sem_post(&made.go_on);
    for (int i = 0; i < SOME; i++) task_check(test_wait_end(&waits[i]) == 0);
    task_check(made.count == 1);
    return 0;
}

static void all_wait_for_the_first_to_end(void **state)
{
    (void)state;
    assert_int_equal(test_run(call_while_it_runs, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- many at once --------------------------------------------------------------- */

enum { TASKS = 6, ROUNDS = 2000 };

static struct made all[ROUNDS];

static void make_and_yield(void *arg)
{
    struct made *made = arg;

    made->count++;
    weft_yield();
    made->complete = true;
}

static int call_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(ROUNDS); i++) {
        weft_once_call(&all[i].once, i % 2 ? make : make_and_yield, &all[i]);
        task_check(all[i].complete);
    }
    return 0;
}

static void call_all_in_thread(void *arg)
{
    call_all(arg);
}

static int call_together(void *arg)
{
    weft_task   tasks[TASKS];
    test_thread thread;

    test_thread_start(&thread, call_all_in_thread, arg);
    for (int i = 0; i < TASKS; i++) weft_spawn(&tasks[i], call_all, arg);
    for (int i = 0; i < TASKS; i++) task_check(weft_await(&tasks[i]) == 0);
    test_thread_join(&thread);
    return 0;
}

static void one_of_many_runs_it(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(call_together, NULL), 0);
    for (size_t i = 0; i < test_scale(ROUNDS); i++) assert_int_equal(all[i].count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_once),
        cmocka_unit_test(all_wait_for_the_first_to_end),
        cmocka_unit_test(one_of_many_runs_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
