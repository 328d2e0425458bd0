/* test_event.c - set once, seen by all, also in the frame of the one who waits */
#include "support_wait.h"

static int wait_event(void *event, weft_time deadline)
{
    return weft_event_wait(event, deadline);
}

static void is_set_for_good(void **state)
{
    (void)state;
    weft_event event = {{0}};

    assert_int_equal(weft_event_wait(&event, 0), -EAGAIN);
    assert_int_equal(weft_event_wait(&event, 1), -ETIMEDOUT);
    for (int i = 0; i < 2; i++) {
        weft_event_set(&event);
        assert_int_equal(weft_event_wait(&event, 0), 0);
        assert_int_equal(weft_event_wait(&event, 1), 0);
        assert_int_equal(weft_event_wait(&event, WEFT_NEVER), 0);
    }
    assert_int_equal(weft_event_wait(NULL, 0), -EINVAL);
}

static void gives_up(void **state)
{
    (void)state;
    weft_event event = {{0}};

    assert_gives_up(wait_event, &event, true);
    weft_event_set(&event);
    assert_int_equal(weft_event_wait(&event, 0), 0);
}

enum { SOME = 6 };

static int set_for_many(void *arg)
{
    struct test_wait waits[SOME];
    weft_event       event = {{0}};
    weft_scope       scope;

    (void)arg;
    for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], wait_event, &event, WEFT_NEVER);
    test_wait_settle();
    for (int i = 0; i < SOME; i++) task_check(!waits[i].ended);
    weft_cancel(&waits[2].task);
    weft_event_set(&event);
    for (int i = 0; i < SOME; i++) task_check(test_wait_end(&waits[i]) == (i == 2 ? -ECANCELED : 0));
    /* Cancelled or not, it is set. */
    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_scope_cancel(&scope);
    task_check(weft_event_wait(&event, WEFT_NEVER) == 0);
    return weft_scope_close(&scope) == -ECANCELED ? 0 : -EINVAL;
}

static void all_that_wait_are_woken(void **state)
{
    (void)state;
    assert_int_equal(test_run(set_for_many, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

static int set_flag(void *flag)
{
    atomic_store((atomic_bool *)flag, true);
    return 0;
}

static int ask_for_ever(void *arg)
{
    atomic_bool seen = false;
    weft_event  event = {{0}};

    (void)arg;
    weft_event_set(&event);
    task_check(weft_go(set_flag, &seen, 0) == 0);
    while (!atomic_load(&seen)) task_check(weft_event_wait(&event, WEFT_NEVER) == 0);
    return 0;
}

static void a_wait_lets_others_run(void **state)
{
    (void)state;
    assert_int_equal(test_run(ask_for_ever, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- the storage ------------------------------------------------------------- */

struct letter {
    weft_event event;
    size_t     content; /* plain, so that ThreadSanitizer watches too */
};

static int set_it(void *arg)
{
    struct letter *letter = arg;

    letter->content = 7;
    weft_event_set(&letter->event);
    return 0;
}

static void set_in_thread(void *arg)
{
    set_it(arg);
}

/* In a frame that is gone, and overwritten, before the setter's next step. */
static __attribute__((noinline)) void wait_in_frame(weft_task *task, test_thread *thread)
{
    struct letter letter = {.content = 0};

    if (task) weft_spawn(task, set_it, &letter);
    else test_thread_start(thread, set_in_thread, &letter);
    task_check(weft_event_wait(&letter.event, WEFT_NEVER) == 0);
    task_check(letter.content == 7);
}

static __attribute__((noinline)) bool frame_is_left_alone(void)
{
    volatile unsigned char frame[256];

    for (size_t i = 0; i < sizeof frame; i++) frame[i] = 0xa5;
    test_spin(100);
    for (size_t i = 0; i < sizeof frame; i++)
        if (frame[i] != 0xa5) return false;
    return true;
}

static int wait_in_frames(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(5000); i++) {
        weft_task   task;
        test_thread thread;
        bool        by_thread = i % 32 == 0;

        wait_in_frame(by_thread ? NULL : &task, &thread);
        task_check(frame_is_left_alone());
        if (by_thread) test_thread_join(&thread);
        else task_check(weft_await(&task) == 0);
    }
    return 0;
}

static void it_may_live_in_the_waiters_frame(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(wait_in_frames, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_set_for_good),
        cmocka_unit_test(gives_up),
        cmocka_unit_test(all_that_wait_are_woken),
        cmocka_unit_test(a_wait_lets_others_run),
        cmocka_unit_test(it_may_live_in_the_waiters_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
