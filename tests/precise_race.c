/* precise_race.c - programs with a race, each of which is reported on 1, 2 and 4 workers
 *
 * In none of them does the schedule matter: what races is unordered by weft.h, also where one worker happens to
 * run the one after the other.
 *
 * Of two accesses at the very same moment the sanitizer may miss one, as it does between plain threads.  So many places
 * are raced for, one after the other.
 */
#include "support_chan.h"
#include "support_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLACES = 64 };

static volatile long counters[PLACES];

static void racing_count(void)
{
    for (int i = 0; i < PLACES; i++) counters[i]++;
}

static int count(void *arg)
{
    (void)arg;
    racing_count();
    return 0;
}

static int yield_once(void *arg)
{
    (void)arg;
    weft_yield();
    return 0;
}

/* ---- tasks ---------------------------------------------------------------- */

static int two_tasks(void *arg)
{
    weft_task tasks[2];

    (void)arg;
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], count, NULL);
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    return 0;
}

/* Each has a storage, and most likely a stack, that another has had. */
static int two_tasks_late(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        weft_task task;
        weft_spawn(&task, yield_once, NULL);
        weft_await(&task);
    }
    return two_tasks(NULL);
}

static int spawner_and_task(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, count, NULL);
    racing_count();
    return weft_await(&task);
}

/* To await the one says nothing of the other. */
static int after_the_wrong_await(void *arg)
{
    weft_task first, second;

    (void)arg;
    weft_spawn(&first, count, NULL);
    weft_spawn(&second, yield_once, NULL);
    weft_await(&second);
    racing_count();
    return weft_await(&first);
}

static int count_and_yield(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        racing_count();
        weft_yield();
    }
    return 0;
}

static int by_turns(void *arg)
{
    weft_task tasks[2];

    (void)arg;
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], count_and_yield, NULL);
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    return 0;
}

static int count_later(void *arg)
{
    weft_sleep(weft_now() + *(const int *)arg * WEFT_MS);
    racing_count();
    return 0;
}

static int at_different_times(void *arg)
{
    weft_scope scope;

    (void)arg;
    weft_scope_open(&scope, NULL);
    for (int ms = 1; ms <= 2; ms++) weft_scope_go(&scope, count_later, &ms, sizeof ms);
    return weft_scope_close(&scope);
}

/* ---- scopes and roots ----------------------------------------------------- */

static int before_close(void *arg)
{
    weft_scope scope;

    (void)arg;
    weft_scope_open(&scope, NULL);
    weft_scope_go(&scope, count, NULL, 0);
    racing_count();
    return weft_scope_close(&scope);
}

static int count_on_a_root(void *arg)
{
    weft_scope scope;

    (void)arg;
    weft_scope_open(&scope, WEFT_SCOPE(.one_root = true));
    weft_scope_go(&scope, count, NULL, 0);
    return weft_scope_close(&scope);
}

static int two_roots(void *arg)
{
    weft_task tasks[2];

    (void)arg;
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], count_on_a_root, NULL);
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    return 0;
}

/* ---- channels ------------------------------------------------------------- */

static int send_then_count(void *arg)
{
    weft_chan *chan = arg;
    int        element = 1;

    weft_send(chan, &element, WEFT_NEVER);
    racing_count();
    return 0;
}

static int receive_then_count(void *arg)
{
    weft_chan *chan = arg;
    int        element;

    weft_recv(chan, &element, WEFT_NEVER);
    racing_count();
    return 0;
}

static int write_after_send(size_t capacity)
{
    weft_chan *chan = test_make_ints(capacity);
    weft_task  task;

    weft_spawn(&task, receive_then_count, chan);
    send_then_count(chan);
    weft_await(&task);
    weft_chan_destroy(chan);
    return 0;
}

static int write_after_send_through_a_buffer(void *arg)
{
    (void)arg;
    return write_after_send(4);
}

static int write_after_send_hand_to_hand(void *arg)
{
    (void)arg;
    return write_after_send(0);
}

enum { EACH = 25 };

static int receive_some(void *arg)
{
    weft_chan *chan = arg;
    int        element;

    for (int i = 0; i < EACH; i++) {
        weft_recv(chan, &element, WEFT_NEVER);
        racing_count();
    }
    return 0;
}

/* Two receivers of a full channel: each is ordered after the senders, not after the other receiver. */
static int receivers_that_share(void *arg)
{
    weft_chan *chan = test_make_ints(2);
    weft_task  tasks[2];

    (void)arg;
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], receive_some, chan);
    for (int i = 0; i < 2 * EACH; i++) weft_send(chan, &i, WEFT_NEVER);
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    weft_chan_destroy(chan);
    return 0;
}

/* The first of two elements says nothing of what was done before the second. */
static int send_count_send(void *arg)
{
    weft_chan *chan = arg;
    int        element = 1;

    weft_send(chan, &element, WEFT_NEVER);
    racing_count();
    weft_send(chan, &element, WEFT_NEVER);
    return 0;
}

static int receiver_of_the_first(void *arg)
{
    weft_chan *chan = test_make_ints(2);
    weft_task  task;
    int        element;

    (void)arg;
    weft_spawn(&task, send_count_send, chan);
    weft_recv(chan, &element, WEFT_NEVER);
    racing_count();
    weft_recv(chan, &element, WEFT_NEVER);
    weft_await(&task);
    weft_chan_destroy(chan);
    return 0;
}

static int shared_element;

static int receive_into_shared(void *arg)
{
    for (int i = 0; i < EACH; i++) weft_recv((weft_chan *)arg, &shared_element, WEFT_NEVER);
    return 0;
}

static int into_one_place(void *arg)
{
    weft_chan *chan = test_make_ints(2);
    weft_task  tasks[2];

    (void)arg;
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], receive_into_shared, chan);
    for (int i = 0; i < 2 * EACH; i++) weft_send(chan, &i, WEFT_NEVER);
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    weft_chan_destroy(chan);
    return 0;
}

static int select_and_count(void *arg)
{
    weft_chan      **chans = arg;
    int              element;
    struct weft_case cases[] = {WEFT_RECV(chans[0], &element), WEFT_RECV(chans[1], &element)};

    weft_select(cases, 2, WEFT_NEVER);
    racing_count();
    return 0;
}

static int write_after_send_to_a_select(void *arg)
{
    weft_chan *chans[2] = {test_make_ints(0), test_make_ints(1)};
    weft_task  task;

    (void)arg;
    weft_spawn(&task, select_and_count, chans);
    send_then_count(chans[0]);
    weft_await(&task);
    for (int i = 0; i < 2; i++) weft_chan_destroy(chans[i]);
    return 0;
}

/* ---- shared state --------------------------------------------------------- */

static weft_mutex mutex, other_mutex;

static int count_locked(void *arg)
{
    weft_mutex_lock(arg);
    racing_count();
    weft_mutex_unlock(arg);
    return 0;
}

static int one_without_the_mutex(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, count_locked, &mutex);
    racing_count();
    return weft_await(&task);
}

static int two_mutexes(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, count_locked, &mutex);
    count_locked(&other_mutex);
    return weft_await(&task);
}

static weft_rwlock rwlock;

static int count_as_reader(void *arg)
{
    (void)arg;
    weft_rwlock_rdlock(&rwlock);
    racing_count();
    weft_rwlock_unlock(&rwlock);
    return 0;
}

static int readers_that_write(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, count_as_reader, NULL);
    count_as_reader(NULL);
    return weft_await(&task);
}

static weft_event event;

static int set_then_count(void *arg)
{
    (void)arg;
    weft_event_set(&event);
    racing_count();
    return 0;
}

static int write_after_set(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, set_then_count, NULL);
    weft_event_wait(&event, WEFT_NEVER);
    racing_count();
    return weft_await(&task);
}

/* ---- threads -------------------------------------------------------------- */

static weft_runtime *runtime;

static int go_and_count(void *arg)
{
    int result = weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = test_workers()));

    (void)arg;
    if (result != 0) return result;
    weft_runtime_go(runtime, count, NULL, 0);
    racing_count();
    return weft_runtime_stop(runtime);
}

/* ---- input and output ----------------------------------------------------- */

static int call_count(void *arg)
{
    return weft_blocking(count, arg);
}

/* One after the other, as far as the clock goes. */
static int two_blocking_calls(void *arg)
{
    weft_task tasks[2];

    (void)arg;
    for (int i = 0; i < 2; i++) {
        weft_spawn(&tasks[i], call_count, NULL);
        weft_sleep(weft_now() + 20 * WEFT_MS);
    }
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    return 0;
}

static int look_up_and_count(void *arg)
{
    (void)arg;
    if (weft_tcp_connect("localhost", "1", WEFT_NEVER) >= 0) abort();
    racing_count();
    return 0;
}

static int after_look_ups(void *arg)
{
    weft_task tasks[2];

    (void)arg;
    for (int i = 0; i < 2; i++) {
        weft_spawn(&tasks[i], look_up_and_count, NULL);
        weft_sleep(weft_now() + 20 * WEFT_MS);
    }
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    return 0;
}

static int read_then_count(void *arg)
{
    char byte;

    weft_read(*(const int *)arg, &byte, 1, WEFT_NEVER);
    racing_count();
    return 0;
}

/* Both wait, and are told by one poller. */
static int readers_of_two(enum test_link link)
{
    int       ends[2][2];
    weft_task tasks[2];

    for (int i = 0; i < 2; i++) {
        test_link_make(ends[i], link);
        weft_spawn(&tasks[i], read_then_count, &ends[i][0]);
    }
    weft_sleep(weft_now() + 5 * WEFT_MS);
    for (int i = 0; i < 2; i++) weft_write(ends[i][1], "", 1, WEFT_NEVER);
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    return 0;
}

static int readers_of_two_pipes(void *arg)
{
    (void)arg;
    return readers_of_two(TEST_PIPE_NONBLOCK);
}

static int readers_of_two_connections(void *arg)
{
    (void)arg;
    return readers_of_two(TEST_TCP);
}

static int write_after_write(enum test_link link)
{
    int       ends[2];
    weft_task task;

    test_link_make(ends, link);
    weft_spawn(&task, read_then_count, &ends[0]);
    weft_write(ends[1], "", 1, WEFT_NEVER);
    racing_count();
    return weft_await(&task);
}

static int write_after_write_to_a_pipe(void *arg)
{
    (void)arg;
    return write_after_write(TEST_PIPE);
}

static int write_after_write_to_a_connection(void *arg)
{
    (void)arg;
    return write_after_write(TEST_TCP);
}

static int count_and_write(void *arg)
{
    racing_count();
    weft_write(*(const int *)arg, "", 1, WEFT_NEVER);
    return 0;
}

/* What is read has come through another pipe. */
static int from_the_wrong_pipe(void *arg)
{
    int       ends[2][2];
    weft_task task;

    (void)arg;
    for (int i = 0; i < 2; i++) test_link_make(ends[i], TEST_PIPE);
    weft_spawn(&task, count_and_write, &ends[0][1]);
    weft_yield();
    weft_write(ends[1][1], "", 1, WEFT_NEVER);
    read_then_count(&ends[1][0]);
    return weft_await(&task);
}

static int write_after_close(void *arg)
{
    int       ends[2];
    weft_task task;

    (void)arg;
    test_link_make(ends, TEST_PIPE);
    weft_spawn(&task, read_then_count, &ends[0]);
    weft_sleep(weft_now() + 5 * WEFT_MS);
    weft_close(ends[0]);
    racing_count();
    return weft_await(&task);
}

/* ---- the races ------------------------------------------------------------ */

static const struct {
    const char *name;
    weft_fn    *fn;
    bool        thread; /* starts its runtime itself */
    const char *where;
} races[] = {
    {"two_tasks", two_tasks, false, "racing_count"},
    {"two_tasks_late", two_tasks_late, false, "racing_count"},
    {"spawner_and_task", spawner_and_task, false, "racing_count"},
    {"after_the_wrong_await", after_the_wrong_await, false, "racing_count"},
    {"by_turns", by_turns, false, "racing_count"},
    {"at_different_times", at_different_times, false, "racing_count"},
    {"before_close", before_close, false, "racing_count"},
    {"two_roots", two_roots, false, "racing_count"},
    {"write_after_send_through_a_buffer", write_after_send_through_a_buffer, false, "racing_count"},
    {"write_after_send_hand_to_hand", write_after_send_hand_to_hand, false, "racing_count"},
    {"receivers_that_share", receivers_that_share, false, "racing_count"},
    {"receiver_of_the_first", receiver_of_the_first, false, "racing_count"},
    {"into_one_place", into_one_place, false, "shared_element"},
    {"write_after_send_to_a_select", write_after_send_to_a_select, false, "racing_count"},
    {"one_without_the_mutex", one_without_the_mutex, false, "racing_count"},
    {"two_mutexes", two_mutexes, false, "racing_count"},
    {"readers_that_write", readers_that_write, false, "racing_count"},
    {"write_after_set", write_after_set, false, "racing_count"},
    {"two_blocking_calls", two_blocking_calls, false, "racing_count"},
    {"after_look_ups", after_look_ups, false, "racing_count"},
    {"readers_of_two_pipes", readers_of_two_pipes, false, "racing_count"},
    {"readers_of_two_connections", readers_of_two_connections, false, "racing_count"},
    {"write_after_write_to_a_pipe", write_after_write_to_a_pipe, false, "racing_count"},
    {"write_after_write_to_a_connection", write_after_write_to_a_connection, false, "racing_count"},
    {"from_the_wrong_pipe", from_the_wrong_pipe, false, "racing_count"},
    {"write_after_close", write_after_close, false, "racing_count"},
    {"go_and_count", go_and_count, true, "racing_count"},
};

static int run_race(const char *name)
{
    for (size_t i = 0; i < TEST_LENGTH(races); i++) {
        if (strcmp(name, races[i].name)) continue;
        if (races[i].thread) return races[i].fn(NULL);
        return weft_run(races[i].fn, NULL, WEFT_OPTIONS(.workers = test_workers()));
    }
    return 126;
}

static void every_race_is_reported(void **state)
{
    (void)state;
    static struct test_child child;
    static const char *const workers[] = {"1", "2", "4"};

    for (size_t i = 0; i < TEST_LENGTH(races); i++) {
        for (size_t k = 0; k < TEST_LENGTH(workers); k++) {
            setenv("WEFT_TEST_WORKERS", workers[k], 1);
            test_child_run(&child, races[i].name);
            bool reported = strstr(child.text, "WARNING: ThreadSanitizer: data race") &&
                            strstr(child.text, races[i].where) && WIFEXITED(child.status) &&
                            WEXITSTATUS(child.status) != 0;
            if (!reported) print_error("%s on %s workers said: %s\n", races[i].name, workers[k], child.text);
            assert_true(reported);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_race_is_reported),
    };

    if (argc > 1) return run_race(argv[1]);
    setenv("TSAN_OPTIONS", "atexit_sleep_ms=0", 1); /* no thread of these programs is on its way to a report */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
