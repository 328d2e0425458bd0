#include "support_wait.h"

/* ---- one task -------------------------------------------------------------- */

int test_wait_turns;

static int run_wait(void *arg)
{
    struct test_wait *wait = arg;

    wait->begun = true;
    int result = wait->call(wait->object, wait->deadline);
    wait->ended = true;
    wait->turn = ++test_wait_turns;
    return result;
}

void test_wait_begin(struct test_wait *wait, test_wait_call *call, void *object, weft_time deadline)
{
    *wait = (struct test_wait){.call = call, .object = object, .deadline = deadline};
    weft_spawn(&wait->task, run_wait, wait);
    task_until(wait->begun);
    if (TEST_CHAOS) test_wait_settle(); /* others may be let run before it waits */
}

int test_wait_end(struct test_wait *wait)
{
    return weft_await(&wait->task);
}

void test_wait_settle(void)
{
    for (int i = 0; i < 100; i++) weft_yield();
}

/* ---- giving up ------------------------------------------------------------- */

struct giving_up {
    test_wait_call *call;
    void           *object;
    bool            deadlines;
};

static void give_up_for_time(const struct giving_up *g)
{
    if (!g->deadlines) return;
    const weft_time past[] = {1, -1, INT64_MIN, test_now()};

    task_check(g->call(g->object, 0) == -EAGAIN);
    for (size_t i = 0; i < TEST_LENGTH(past); i++) task_check(g->call(g->object, past[i]) == -ETIMEDOUT);
    weft_time soon = test_now() + 2 * WEFT_MS;
    task_check(g->call(g->object, soon) == -ETIMEDOUT);
    task_check(test_now() >= soon);
}

static void give_up_in_thread(void *arg)
{
    give_up_for_time(arg);
}

static int give_up_in_cancelled_scope(void *arg)
{
    const struct giving_up *g = arg;
    weft_scope              scope;

    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_scope_cancel(&scope);
    task_check(g->call(g->object, WEFT_NEVER) == -ECANCELED);
    if (g->deadlines) {
        task_check(g->call(g->object, 0) == -ECANCELED);
        task_check(g->call(g->object, test_now() + WEFT_SEC) == -ECANCELED);
    }
    return weft_scope_close(&scope);
}

static int give_up(void *arg)
{
    const struct giving_up *g = arg;
    struct test_wait        waits[3];
    test_thread             thread;
    weft_scope              scope;

    give_up_for_time(g);
    test_thread_start(&thread, give_up_in_thread, arg);
    test_thread_join(&thread);
    task_check(give_up_in_cancelled_scope(arg) == -ECANCELED);

    /* While they wait, the one in the middle first. */
    for (int i = 0; i < 3; i++) test_wait_begin(&waits[i], g->call, g->object, WEFT_NEVER);
    weft_cancel(&waits[1].task);
    task_check(test_wait_end(&waits[1]) == -ECANCELED);
    test_wait_settle();
    task_check(!waits[0].ended && !waits[2].ended);
    for (int i = 0; i < 3; i += 2) weft_cancel(&waits[i].task);
    for (int i = 0; i < 3; i += 2) task_check(test_wait_end(&waits[i]) == -ECANCELED);

    task_check(weft_scope_open(&scope, WEFT_SCOPE(.deadline = test_now() + 2 * WEFT_MS)) == 0);
    task_check(g->call(g->object, WEFT_NEVER) == -ETIMEDOUT);
    return weft_scope_close(&scope) == -ETIMEDOUT ? 0 : -EINVAL;
}

void assert_gives_up(test_wait_call *call, void *object, bool deadlines)
{
    struct giving_up g = {call, object, deadlines};

    assert_int_equal(test_run(give_up, &g, WEFT_OPTIONS(.workers = 1)), 0);
    give_up_for_time(&g);
    assert_task_checks();
}
