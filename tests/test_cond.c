/* test_cond.c - signals, those that wait for them, and the mutex between them */
#include "support_wait.h"

#include <stdlib.h>

/* ---- one cond and its mutex ---------------------------------------------------- */

struct place {
    weft_cond  cond;
    weft_mutex mutex;
};

static int wait_signal(void *arg, weft_time deadline)
{
    struct place *p = arg;

    weft_mutex_lock(&p->mutex);
    int result = weft_cond_wait(&p->cond, &p->mutex, deadline);
    /* It has the mutex again, whatever it is told. */
    task_check(!weft_mutex_trylock(&p->mutex));
    weft_mutex_unlock(&p->mutex);
    return result;
}

static void signal_without_waiters_is_nothing(void **state)
{
    (void)state;
    struct place p = {.cond = {{0}}};

    weft_cond_signal(&p.cond);
    weft_cond_broadcast(&p.cond);
    assert_int_equal(wait_signal(&p, 0), -EAGAIN);
    assert_int_equal(wait_signal(&p, 1), -ETIMEDOUT);
    assert_int_equal(weft_cond_wait(NULL, &p.mutex, 0), -EINVAL);
    assert_int_equal(weft_cond_wait(&p.cond, NULL, 0), -EINVAL);
    assert_task_checks();
}

static void gives_up_and_holds_the_mutex(void **state)
{
    (void)state;
    struct place p = {.cond = {{0}}};

    assert_gives_up(wait_signal, &p, true);
    assert_true(weft_mutex_trylock(&p.mutex));
}

enum { SOME = 6 };

static int signal_one_by_one(void *arg)
{
    struct test_wait waits[SOME];
    struct place     p = {.cond = {{0}}};

    (void)arg;
    test_wait_turns = 0;
    for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], wait_signal, &p, WEFT_NEVER);
    /* Who gives up takes no signal, not even one that comes before it has run. */
    weft_cancel(&waits[1].task);
    weft_cond_signal(&p.cond);
    weft_cond_signal(&p.cond);
    test_wait_settle();
    task_check(test_wait_turns == 3 && waits[0].ended && waits[1].ended && waits[2].ended);
    for (int i = 3; i < SOME; i++) {
        weft_mutex_lock(&p.mutex);
        weft_cond_signal(&p.cond);
        test_wait_settle();
        task_check(!waits[i].ended); /* not without the mutex */
        weft_mutex_unlock(&p.mutex);
        test_wait_settle();
        task_check(test_wait_turns == i + 1 && waits[i].ended);
    }
    for (int i = 0; i < SOME; i++) task_check(test_wait_end(&waits[i]) == (i == 1 ? -ECANCELED : 0));
    return 0;
}

static void signal_wakes_who_waits_the_longest(void **state)
{
    (void)state;
    assert_int_equal(test_run(signal_one_by_one, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

static int broadcast_to_all(void *arg)
{
    struct test_wait waits[SOME];
    struct place     p = {.cond = {{0}}};

    (void)arg;
    for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], wait_signal, &p, WEFT_NEVER);
    weft_cancel(&waits[3].task);
    weft_cond_broadcast(&p.cond);
    for (int i = 0; i < SOME; i++) task_check(test_wait_end(&waits[i]) == (i == 3 ? -ECANCELED : 0));
    return 0;
}

static void broadcast_wakes_all(void **state)
{
    (void)state;
    assert_int_equal(test_run(broadcast_to_all, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- the mutex is given back ------------------------------------------------------ */

struct flag {
    struct place place;
    bool         set; /* under the mutex */
};

static int set_under_mutex(void *arg)
{
    struct flag *flag = arg;

    weft_mutex_lock(&flag->place.mutex);
    flag->set = true;
    weft_mutex_unlock(&flag->place.mutex);
    return 0;
}

/* Even a wait that never waits lets the one who will change things have the mutex. */
static int try_until_set(void *arg)
{
    struct flag flag = {.set = false};
    weft_task   task;

    weft_spawn(&task, set_under_mutex, &flag);
    weft_mutex_lock(&flag.place.mutex);
    weft_yield();
    while (!flag.set) task_check(weft_cond_wait(&flag.place.cond, &flag.place.mutex, *(weft_time *)arg) < 0);
    weft_mutex_unlock(&flag.place.mutex);
    return weft_await(&task);
}

static void a_wait_that_gives_up_at_once_gives_the_mutex_back(void **state)
{
    (void)state;
    weft_time deadlines[] = {0, 1};

    for (size_t i = 0; i < TEST_LENGTH(deadlines); i++)
        assert_int_equal(test_run(try_until_set, &deadlines[i], WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- a queue ------------------------------------------------------------------- */

enum { PRODUCERS = 3, CONSUMERS = 3, ROOM = 4 };

struct queue {
    weft_mutex mutex;
    weft_cond  not_full, not_empty;
    int        count;
    size_t     put, got, items;
    bool       broadcast;
};

static void tell(struct queue *q, weft_cond *cond)
{
    if (q->broadcast) weft_cond_broadcast(cond);
    else weft_cond_signal(cond);
}

static int produce(void *arg)
{
    struct queue *q = arg;

    for (size_t i = 0; i < q->items; i++) {
        weft_mutex_lock(&q->mutex);
        while (q->count == ROOM) task_check(weft_cond_wait(&q->not_full, &q->mutex, WEFT_NEVER) == 0);
        q->count++;
        q->put++;
        tell(q, &q->not_empty);
        weft_mutex_unlock(&q->mutex);
    }
    return 0;
}

static int consume(void *arg)
{
    struct queue *q = arg;

    for (size_t i = 0; i < q->items; i++) {
        weft_mutex_lock(&q->mutex);
        while (q->count == 0) task_check(weft_cond_wait(&q->not_empty, &q->mutex, WEFT_NEVER) == 0);
        q->count--;
        q->got++;
        weft_mutex_unlock(&q->mutex);
        tell(q, &q->not_full);
    }
    return 0;
}

static void produce_in_thread(void *arg)
{
    produce(arg);
}

static void consume_in_thread(void *arg)
{
    consume(arg);
}

static int run_queue(void *arg)
{
    weft_task   producers[PRODUCERS - 1], consumers[CONSUMERS - 1];
    test_thread producer, consumer;

    test_thread_start(&producer, produce_in_thread, arg);
    test_thread_start(&consumer, consume_in_thread, arg);
    for (int i = 0; i < PRODUCERS - 1; i++) weft_spawn(&producers[i], produce, arg);
    for (int i = 0; i < CONSUMERS - 1; i++) weft_spawn(&consumers[i], consume, arg);
    for (int i = 0; i < PRODUCERS - 1; i++) task_check(weft_await(&producers[i]) == 0);
    for (int i = 0; i < CONSUMERS - 1; i++) task_check(weft_await(&consumers[i]) == 0);
    test_thread_join(&producer);
    test_thread_join(&consumer);
    return 0;
}

static void tasks_and_threads_share_a_queue(void **state)
{
    (void)state;
    for (int broadcast = 0; broadcast < 2; broadcast++) {
        struct queue q = {.items = test_scale(2000), .broadcast = broadcast};
        assert_int_equal(test_run_workers(run_queue, &q), 0);
        assert_int_equal(q.put, PRODUCERS * q.items);
        assert_int_equal(q.got, q.put);
    }
}

/* ---- the storage ------------------------------------------------------------- */

struct owned {
    weft_cond   cond;
    weft_mutex *mutex; /* not its own */
    atomic_int  waiting;
};

static int wait_shortly(void *arg)
{
    struct owned *owned = arg;
    weft_mutex   *mutex = owned->mutex;

    weft_mutex_lock(mutex);
    int turn = atomic_fetch_add(&owned->waiting, 1);
    int result = weft_cond_wait(&owned->cond, mutex, test_now() + turn * 10 * WEFT_US);
    weft_mutex_unlock(mutex);
    return result;
}

/* Whoever broadcasts under the mutex knows that all have waited, and how few are left does not matter. */
static int free_after_broadcast(void *arg)
{
    enum { WAITERS = 4 };
    weft_mutex mutex = {{0}};

    (void)arg;
    for (size_t i = 0; i < test_scale(3000); i++) {
        struct owned *owned = calloc(1, sizeof *owned);
        weft_task     tasks[WAITERS];
        owned->mutex = &mutex;
        for (int t = 0; t < WAITERS; t++) weft_spawn(&tasks[t], wait_shortly, owned);
        task_until(atomic_load(&owned->waiting) == WAITERS);
        test_spin(i % 64 * 32);
        weft_mutex_lock(&mutex);
        weft_cond_broadcast(&owned->cond);
        free(owned);
        weft_mutex_unlock(&mutex);
        for (int t = 0; t < WAITERS; t++) {
            int result = weft_await(&tasks[t]);
            task_check(result == 0 || result == -ETIMEDOUT);
        }
    }
    return 0;
}

static void who_has_broadcast_may_free_it(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(free_after_broadcast, NULL), 0);
}

/* ---- misuse ---------------------------------------------------------------- */

static int wait_without_mutex(void)
{
    struct place p = {.cond = {{0}}};

    return weft_cond_wait(&p.cond, &p.mutex, WEFT_NEVER);
}

static int try_without_mutex(void)
{
    struct place p = {.cond = {{0}}};

    return weft_cond_wait(&p.cond, &p.mutex, 0);
}

static const struct test_part parts[] = {
    {"wait_without_mutex", wait_without_mutex},
    {"try_without_mutex", try_without_mutex},
};

static void wait_without_the_mutex_stops_the_program(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_LENGTH(parts); i++)
        assert_part_stops(parts[i].name, "a mutex is unlocked that is not locked");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signal_without_waiters_is_nothing),
        cmocka_unit_test(gives_up_and_holds_the_mutex),
        cmocka_unit_test(signal_wakes_who_waits_the_longest),
        cmocka_unit_test(broadcast_wakes_all),
        cmocka_unit_test(a_wait_that_gives_up_at_once_gives_the_mutex_back),
        cmocka_unit_test(tasks_and_threads_share_a_queue),
        cmocka_unit_test(who_has_broadcast_may_free_it),
        cmocka_unit_test(wait_without_the_mutex_stops_the_program),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
