/* test_blocking.c - calls that block their thread, and nobody else */
#include "support_io.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- no thread to be had ---------------------------------------------------------- */

static atomic_bool none_to_be_had;
static atomic_bool stacks_too_small; /* of a size that was asked for, as where the thread-locals take more */
static atomic_int  refused;
static atomic_int  started;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    if (atomic_load(&none_to_be_had)) return EAGAIN;
    if (attr && atomic_load(&stacks_too_small)) {
        atomic_fetch_add(&refused, 1);
        return EINVAL;
    }
    atomic_fetch_add(&started, 1);
    return __real_pthread_create(thread, attr, fn, arg);
}

/* ---- calls --------------------------------------------------------------------------- */

struct gate {
    atomic_int  inside, most, done;
    atomic_bool open;
};

/* Blocks its thread until the gate opens. */
static int pass_gate(void *arg)
{
    struct gate *g = arg;
    int          inside = atomic_fetch_add(&g->inside, 1) + 1, most = atomic_load(&g->most);

    while (inside > most && !atomic_compare_exchange_weak(&g->most, &most, inside))
        ;
    while (!atomic_load(&g->open)) test_sleep(WEFT_MS / 5);
    atomic_fetch_sub(&g->inside, 1);
    return atomic_fetch_add(&g->done, 1) >= 0 ? 7 : -1;
}

static int call_gate(void *arg)
{
    return weft_blocking(pass_gate, arg);
}

static int give_back(void *arg)
{
    errno = EDOM; /* stays on its thread */
    return *(int *)arg;
}

static int call_once(void *arg)
{
    static const int results[] = {0, 1, 42, INT32_MAX, -1, -ECANCELED, -EAGAIN, INT32_MIN};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(results); i++)
        task_check(weft_blocking(give_back, (void *)&results[i]) == results[i]);
    task_check(weft_blocking(NULL, NULL) == -EINVAL);
    return 0;
}

static void result_comes_back(void **state)
{
    (void)state;
    assert_everywhere(call_once, NULL);
}

static int note_thread(void *arg)
{
    *(pthread_t *)arg = pthread_self();
    task_check(weft_worker_index() == -1);
    task_check(weft_check() == 0);
    return 0;
}

static int look_at_thread(void *arg)
{
    pthread_t mine = pthread_self(), its;

    (void)arg;
    task_check(weft_blocking(note_thread, &its) == 0);
    if (weft_worker_index() < 0) task_check(pthread_equal(mine, its)); /* there it is a call */
    else task_check(!pthread_equal(mine, its));
    return 0;
}

static void runs_off_the_workers(void **state)
{
    (void)state;
    assert_everywhere(look_at_thread, NULL);
}

enum { AT_ONCE = 64, MANY = 400 };

static void open_when(struct gate *g, int inside)
{
    task_until(atomic_load(&g->inside) >= inside);
    atomic_store(&g->open, true);
}

static int call_many(void *arg)
{
    const int        many = *(const int *)arg;
    struct gate      g = {.open = false};
    static weft_task tasks[MANY];

    for (int i = 0; i < many; i++) weft_spawn(&tasks[i], call_gate, &g);
    /* While all these block, files and names are not kept waiting, nor is this root. */
    task_until(atomic_load(&g.inside) >= AT_ONCE);
    int fd = weft_open("/dev/null", O_RDONLY, 0);
    task_check(fd >= 0 && weft_close(fd) == 0);
    int listener = weft_tcp_listen("localhost", "0", 1);
    task_check(listener >= 0 && weft_close(listener) == 0);
    weft_yield();
    open_when(&g, AT_ONCE);
    for (int i = 0; i < many; i++) task_check(weft_await(&tasks[i]) == 7);
    task_check(g.done == many && g.inside == 0 && g.most >= AT_ONCE && g.most <= many);
    struct weft_stats stats = {.size = sizeof stats};
    task_check(weft_stats(&stats) == 0 && stats.blocking_calls >= (uint64_t)many);
    return 0;
}

static void sixty_four_block_at_once(void **state)
{
    (void)state;
    assert_in_tasks(call_many, &(int){AT_ONCE});
}

static void more_queue(void **state)
{
    (void)state;
    assert_in_tasks(call_many, &(int){MANY});
}

static struct weft_stats stats_now(void)
{
    struct weft_stats stats = {.size = sizeof stats};

    task_check(weft_stats(&stats) == 0);
    return stats;
}

enum { AT_MOST = 256 }; /* run at once */

static int count_queue(void *arg)
{
    struct gate      g = {.open = false};
    static weft_task tasks[MANY];

    (void)arg;
    task_check(stats_now().blocking_queued == 0 && stats_now().blocking_threads == 0);
    for (int i = 0; i < AT_ONCE; i++) weft_spawn(&tasks[i], call_gate, &g);
    task_until(atomic_load(&g.inside) == AT_ONCE);
    task_check(stats_now().blocking_queued == 0 && stats_now().blocking_threads == AT_ONCE);
    for (int i = AT_ONCE; i < MANY; i++) weft_spawn(&tasks[i], call_gate, &g);
    /* Fewer threads where no more are to be had. */
    task_until(stats_now().blocking_queued == MANY - stats_now().blocking_threads &&
               (uint64_t)atomic_load(&g.inside) == stats_now().blocking_threads);
    uint64_t threads = stats_now().blocking_threads;
    task_check(threads >= AT_ONCE && threads <= AT_MOST);
    int fd = weft_open("/dev/null", O_RDONLY, 0);
    task_check(fd >= 0 && weft_close(fd) == 0);
    task_check(stats_now().blocking_threads == threads + 1); /* those of files count, too */
    atomic_store(&g.open, true);
    for (int i = 0; i < MANY; i++) task_check(weft_await(&tasks[i]) == 7);
    task_check(stats_now().blocking_queued == 0);
    return 0;
}

static void queue_and_threads_are_counted(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(count_queue, NULL), 0);
}

static int call_some(void *arg)
{
    for (int i = 0; i < 20; i++) task_check(weft_blocking(give_back, arg) == *(int *)arg);
    return 0;
}

static int call_from_many(void *arg)
{
    enum { TASKS = 200 };
    weft_task tasks[TASKS];
    int       numbers[TASKS];

    (void)arg;
    for (int i = 0; i < TASKS; i++) {
        numbers[i] = i;
        weft_spawn(&tasks[i], call_some, &numbers[i]);
    }
    for (int i = 0; i < TASKS; i++) task_check(weft_await(&tasks[i]) == 0);
    return 0;
}

static void many_tasks_call(void **state)
{
    (void)state;
    assert_in_tasks(call_from_many, NULL);
}

/* It is waited for, cancelled or not. */
static int cancel_call(void *arg)
{
    struct gate g = {.open = false};
    weft_task   task;
    int         seven = 7;

    (void)arg;
    weft_spawn(&task, call_gate, &g);
    task_until(atomic_load(&g.inside) == 1);
    weft_cancel(&task);
    test_let_run();
    task_check(!weft_done(&task));
    open_when(&g, 1);
    task_check(weft_await(&task) == 7);
    weft_scope scope;
    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_scope_cancel(&scope);
    task_check(weft_blocking(give_back, &seven) == 7);
    task_check(weft_scope_close(&scope) == -ECANCELED);
    return 0;
}

static void cancelling_does_not_end_it(void **state)
{
    (void)state;
    assert_in_tasks(cancel_call, NULL);
}

static int call_within(void *arg)
{
    return weft_run(call_once, arg, WEFT_OPTIONS(.workers = 1));
}

static int call_runtime(void *arg)
{
    (void)arg;
    task_check(weft_blocking(call_within, NULL) == 0);
    task_check(weft_run(call_from_many, NULL, WEFT_OPTIONS(.workers = 2)) == 0);
    return 0;
}

static void runtimes_nest(void **state)
{
    (void)state;
    assert_in_tasks(call_runtime, NULL);
}

/* ---- without threads ------------------------------------------------------------------- */

static int call_without(void *arg)
{
    struct gate g = {.open = false};
    weft_task   task;
    int         seven = 7;
    weft_time   deadlines[] = {WEFT_NEVER, weft_now() + 3600 * WEFT_SEC, 0};
    char        bytes[16];

    (void)arg;
    atomic_store(&none_to_be_had, true);
    task_check(weft_blocking(give_back, &seven) == -EAGAIN);
    task_check(weft_open("/dev/null", O_RDONLY, 0) == -EAGAIN);
    task_check(weft_tcp_listen("localhost", "0", 1) == -EAGAIN);
    task_check(weft_tcp_connect("localhost", "1", WEFT_NEVER) == -EAGAIN);
    for (size_t i = 0; i < TEST_LENGTH(deadlines); i++) {
        /* Of this nobody can tell whether it is in memory. */
        int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        task_check(weft_read(fd, bytes, sizeof bytes, deadlines[i]) == -EAGAIN);
        task_check(weft_close(fd) == 0);
    }
    int listener = weft_tcp_listen("127.0.0.1", "0", 1); /* which asks nobody */
    task_check(listener >= 0 && weft_close(listener) == 0);
    atomic_store(&none_to_be_had, false);
    task_check(weft_blocking(give_back, &seven) == 7);

    /* When there is one at all, calls queue. */
    weft_spawn(&task, call_gate, &g);
    task_until(atomic_load(&g.inside) == 1);
    atomic_store(&none_to_be_had, true);
    weft_task others[10];
    for (int i = 0; i < 10; i++) weft_spawn(&others[i], call_gate, &g);
    test_let_run();
    open_when(&g, 1);
    task_check(weft_await(&task) == 7);
    for (int i = 0; i < 10; i++) task_check(weft_await(&others[i]) == 7);
    task_check(g.most < 10);
    atomic_store(&none_to_be_had, false);
    return 0;
}

static void no_thread_is_told(void **state)
{
    (void)state;
    assert_in_tasks(call_without, NULL);
}

static int call_with_default_stacks(void *arg)
{
    atomic_store(&stacks_too_small, true);
    task_check(weft_blocking(give_back, arg) == 7);
    atomic_store(&stacks_too_small, false);
    return 0;
}

static void a_stack_too_small_is_replaced_by_the_default(void **state)
{
    (void)state;
    atomic_store(&refused, 0);
    assert_int_equal(test_run(call_with_default_stacks, &(int){7}, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(atomic_load(&refused), 1);
}

/* ---- what is left ------------------------------------------------------------------------ */

static void threads_end_with_their_runtime(void **state)
{
    (void)state;
    struct test_census before, after;

    assert_int_equal(test_run_workers(call_many, &(int){10 + AT_ONCE}), 0);
    assert_threads_end_at(1 + TEST_TSAN);
    test_census(&before);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(test_run_workers(call_many, &(int){10 + AT_ONCE}), 0);
        assert_threads_end_at(before.threads);
    }
    test_census(&after);
    assert_int_equal(after.descriptors, before.descriptors);
}

/* Threads are started where there are too few, and used again. */
static int call_again_and_again(void *arg)
{
    int before = atomic_load(&started);

    for (int i = 0; i < 200; i++) task_check(weft_blocking(give_back, arg) == 7);
    task_check(atomic_load(&started) - before < 50);
    return 0;
}

static void threads_are_used_again(void **state)
{
    (void)state;
    assert_in_tasks(call_again_and_again, &(int){7});
}

/* All tasks wait, but one for a call; and then threads idle about, which wake nobody. */
static int sleep_long(void *arg)
{
    (void)arg;
    test_sleep(1300 * WEFT_MS);
    return 7;
}

static int wait_for_call(void *arg)
{
    (void)arg;
    task_check(weft_blocking(sleep_long, NULL) == 7);
    return 0;
}

static int wait_for_each_other(void *arg)
{
    weft_event event = {{0}};

    (void)arg;
    task_check(weft_blocking(give_back, &(int){7}) == 7);
    return weft_event_wait(&event, WEFT_NEVER);
}

static void who_waits_for_a_call_is_in_no_deadlock(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(wait_for_call, NULL), 0);
    assert_int_equal(test_run(wait_for_call, NULL, WEFT_OPTIONS(.seed = 3)), 0);
    if (!TEST_TSAN) assert_int_equal(test_run_workers(wait_for_each_other, NULL), -EDEADLK);
}

/* With a seed time flows meanwhile, and does not jump to a far deadline. */
static int wait_with_seed(void *arg)
{
    struct gate g = {.open = false};
    weft_task   task;

    (void)arg;
    weft_spawn(&task, call_gate, &g);
    task_until(atomic_load(&g.inside) == 1);
    weft_time begin = weft_now();
    task_check(weft_sleep(begin + 5 * WEFT_MS) == 0);
    task_check(weft_now() >= begin + 5 * WEFT_MS && weft_now() < begin + 3600 * WEFT_SEC);
    open_when(&g, 1);
    task_check(weft_await_any((weft_task *[]){&task}, 1, weft_now() + 3600 * WEFT_SEC) == 0);
    task_check(weft_await(&task) == 7);
    return 0;
}

static void time_flows_while_a_call_goes_on(void **state)
{
    (void)state;
    assert_in_tasks(wait_with_seed, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_comes_back),
        cmocka_unit_test(runs_off_the_workers),
        cmocka_unit_test(sixty_four_block_at_once),
        cmocka_unit_test(more_queue),
        cmocka_unit_test(queue_and_threads_are_counted),
        cmocka_unit_test(many_tasks_call),
        cmocka_unit_test(cancelling_does_not_end_it),
        cmocka_unit_test(runtimes_nest),
        cmocka_unit_test(no_thread_is_told),
        cmocka_unit_test(a_stack_too_small_is_replaced_by_the_default),
        cmocka_unit_test(threads_end_with_their_runtime),
        cmocka_unit_test(threads_are_used_again),
        cmocka_unit_test(who_waits_for_a_call_is_in_no_deadlock),
        cmocka_unit_test(time_flows_while_a_call_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
