/* test_poller.c - what the system says is ready, and waking who asks it */
#include "support_io.h"

#include "poller.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static void make(struct poller *poller)
{
    poller_init(poller);
    assert_false(poller_made(poller));
    assert_int_equal(poller_make(poller), 0);
    assert_true(poller_made(poller));
}

static void made_once(void **state)
{
    (void)state;
    struct poller      poller;
    struct test_census before, after;

    test_census(&before);
    poller_init(&poller);
    poller_destroy(&poller);
    make(&poller);
    int32_t epoll = load_relaxed(&poller.epoll);
    assert_int_equal(poller_make(&poller), 0);
    assert_int_equal(load_relaxed(&poller.epoll), epoll);
    poller_destroy(&poller);
    test_census(&after);
    assert_int_equal(after.descriptors, before.descriptors);
}

static void reports_what_becomes_ready(void **state)
{
    (void)state;
    struct poller        poller;
    struct poller_report reports[4];
    int                  ends[2];
    char                 bytes[8];

    make(&poller);
    test_link_make(ends, TEST_TCP);
    assert_int_equal(poller_add(&poller, ends[0], UINT64_C(0x1234567800000005)), 0);
    assert_int_equal(poller_wait(&poller, reports, 4, -1), 1);
    assert_true(reports[0].data == UINT64_C(0x1234567800000005));
    assert_true(reports[0].out && !reports[0].in && !reports[0].end);
    assert_int_equal(poller_wait(&poller, reports, 4, 0), 0);
    assert_int_equal(poller_wait(&poller, reports, 4, WEFT_MS), 0);
    for (int i = 0; i < 3; i++) { /* each time, though nobody has read */
        assert_int_equal(write(ends[1], "x", 1), 1);
        assert_int_equal(poller_wait(&poller, reports, 4, -1), 1);
        assert_true(reports[0].in && !reports[0].end);
        assert_int_equal(poller_wait(&poller, reports, 4, 0), 0);
    }
    assert_int_equal(send(ends[1], "!", 1, MSG_OOB), 1);
    assert_int_equal(poller_wait(&poller, reports, 4, -1), 1);
    assert_true(reports[0].in && reports[0].end);
    assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
    assert_int_equal(poller_wait(&poller, reports, 4, -1), 1);
    assert_true(reports[0].in && reports[0].end);
    assert_int_equal(read(ends[0], bytes, sizeof bytes), 3);
    close(ends[1]);
    close(ends[0]);
    poller_destroy(&poller);
}

static void registering_again_reports_again(void **state)
{
    (void)state;
    struct poller        poller;
    struct poller_report report;
    int                  ends[2];

    make(&poller);
    test_link_make(ends, TEST_PIPE);
    assert_int_equal(write(ends[1], "x", 1), 1);
    for (uint64_t data = 1; data < 4; data++) {
        assert_int_equal(poller_add(&poller, ends[0], data), 0);
        assert_int_equal(poller_wait(&poller, &report, 1, -1), 1);
        assert_true(report.data == data && report.in);
        assert_int_equal(poller_wait(&poller, &report, 1, 0), 0);
    }
    close(ends[0]);
    close(ends[1]);
    poller_destroy(&poller);
}

static void tells_why_it_cannot(void **state)
{
    (void)state;
    struct poller poller;
    int           file = test_file();

    make(&poller);
    assert_int_equal(poller_add(&poller, file, 1), -EPERM);
    close(file);
    assert_int_equal(poller_add(&poller, file, 1), -EBADF);
    assert_int_equal(poller_add(&poller, -1, 1), -EBADF);
    poller_destroy(&poller);
}

static void takes_no_more_than_asked(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct poller        poller;
    struct poller_report reports[MANY];
    int                  ends[MANY][2];
    unsigned             seen[MANY] = {0}, total = 0;

    make(&poller);
    for (unsigned i = 0; i < MANY; i++) {
        test_link_make(ends[i], TEST_PIPE);
        assert_int_equal(poller_add(&poller, ends[i][1], i), 0);
    }
    while (total < MANY) {
        unsigned most = 1 + total % 200, n = poller_wait(&poller, reports, most, -1);
        assert_in_range(n, 1, most);
        for (unsigned i = 0; i < n; i++) seen[reports[i].data]++;
        total += n;
    }
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(seen[i], 1);
        close(ends[i][0]);
        close(ends[i][1]);
    }
    poller_destroy(&poller);
}

/* ---- waking -------------------------------------------------------------------- */

static void wait_long(void *arg)
{
    struct poller_report report;
    weft_time            end = test_now() + TEST_LONG;

    task_check(poller_wait(arg, &report, 1, TEST_LONG) == 0);
    task_check(test_now() < end);
}

static void who_waits_is_woken(void **state)
{
    (void)state;
    struct poller poller;

    make(&poller);
    for (int late = 0; late < 2; late++) {
        test_thread thread;
        if (!late) poller_wake(&poller);
        test_thread_start(&thread, wait_long, &poller);
        if (late) test_sleep(10 * WEFT_MS);
        if (late) poller_wake(&poller);
        test_thread_join(&thread);
        assert_task_checks();
    }
    poller_destroy(&poller);
}

/* Who only looks does not take the waking from who waits. */
static void who_looks_takes_no_wake_up(void **state)
{
    (void)state;
    struct poller        poller;
    struct poller_report report;

    make(&poller);
    for (int i = 0; i < 3; i++) {
        poller_wake(&poller);
        for (int looks = 0; looks < 3; looks++) assert_int_equal(poller_wait(&poller, &report, 1, 0), 0);
        wait_long(&poller);
        assert_task_checks();
        /* And then it is used up. */
        assert_int_equal(poller_wait(&poller, &report, 1, 0), 0);
        weft_time begin = test_now();
        assert_int_equal(poller_wait(&poller, &report, 1, 5 * WEFT_MS), 0);
        assert_true(test_now() - begin >= 5 * WEFT_MS);
    }
    poller_destroy(&poller);
}

/* ---- signals --------------------------------------------------------------------- */

struct interrupter {
    struct poller *poller;
    pthread_t      who;
    atomic_bool    waits, wakes;
};

static atomic_int interrupted;

static void note_interrupt(int number)
{
    (void)number;
    atomic_fetch_add(&interrupted, 1);
}

/* Interrupts who waits many times, and then wakes it. */
static void interrupt(void *arg)
{
    struct interrupter *i = arg;

    while (!atomic_load(&i->waits)) test_sleep(WEFT_MS);
    for (int n = 1; n <= 20; n++) {
        pthread_kill(i->who, SIGUSR1);
        while (atomic_load(&interrupted) < n) test_sleep(WEFT_MS);
    }
    atomic_store(&i->wakes, true);
    poller_wake(i->poller);
}

static void a_signal_ends_no_wait(void **state)
{
    (void)state;
    struct poller        poller;
    struct poller_report report;
    struct sigaction     action = {.sa_handler = note_interrupt}, before;

    make(&poller);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    for (int timed = 0; timed < 2; timed++) {
        struct interrupter i = {.poller = &poller, .who = pthread_self()};
        test_thread        thread;
        atomic_store(&interrupted, 0);
        test_thread_start(&thread, interrupt, &i);
        atomic_store(&i.waits, true);
        unsigned reports = poller_wait(&poller, &report, 1, timed ? TEST_LONG : -1);
        bool     woken = atomic_load(&i.wakes);
        test_thread_join(&thread);
        assert_int_equal(reports, 0);
        assert_true(woken);
    }
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    poller_destroy(&poller);
}

/* However often it is interrupted, it waits no shorter. */
static void interrupt_until(void *arg)
{
    struct interrupter *i = arg;

    while (!atomic_load(&i->wakes)) {
        pthread_kill(i->who, SIGUSR1);
        test_sleep(WEFT_MS / 10);
    }
}

static void signals_shorten_no_wait(void **state)
{
    (void)state;
    struct poller        poller;
    struct poller_report report;
    struct sigaction     action = {.sa_handler = note_interrupt}, before;
    struct interrupter   i = {.poller = &poller, .who = pthread_self()};
    test_thread          thread;

    make(&poller);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    test_thread_start(&thread, interrupt_until, &i);
    for (int n = 0; n < 5; n++) {
        weft_time begin = test_now();
        task_check(poller_wait(&poller, &report, 1, 20 * WEFT_MS) == 0);
        task_check(test_now() - begin >= 20 * WEFT_MS);
    }
    atomic_store(&i.wakes, true);
    test_thread_join(&thread);
    assert_task_checks();
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    poller_destroy(&poller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_once),
        cmocka_unit_test(reports_what_becomes_ready),
        cmocka_unit_test(registering_again_reports_again),
        cmocka_unit_test(tells_why_it_cannot),
        cmocka_unit_test(takes_no_more_than_asked),
        cmocka_unit_test(who_waits_is_woken),
        cmocka_unit_test(who_looks_takes_no_wake_up),
        cmocka_unit_test(a_signal_ends_no_wait),
        cmocka_unit_test(signals_shorten_no_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
