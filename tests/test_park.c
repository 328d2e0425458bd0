/* test_park.c - a waiter goes on when it is woken, once it has been claimed, and not before */
#include "support.h"

#include "park.h"

static const struct wait_kind kind = {.what = "for a test"};

/* ---- one who waits, one who wakes ------------------------------------------------------- */

struct meeting {
    _Atomic(struct waiter *) waiter;
    int                      told; /* not atomic: waking orders it */
    atomic_bool              woken;
};

static bool publish(struct waiter *w, void *arg)
{
    atomic_store(&((struct meeting *)arg)->waiter, w);
    return true;
}

static bool publish_nothing(struct waiter *w, void *arg)
{
    (void)w;
    atomic_store(&((struct meeting *)arg)->woken, true);
    return false;
}

static int wait_at_meeting(void *arg)
{
    struct meeting *m = arg;
    struct waiter   waiter;

    park_init(&waiter, &kind, m);
    park_wait(&waiter, publish, m);
    task_check(atomic_load(&m->woken));
    task_check(m->told == 7);
    return 0;
}

static int wake_at_meeting(void *arg)
{
    struct meeting *m = arg;

    task_until(atomic_load(&m->waiter));
    m->told = 7;
    atomic_store(&m->woken, true);
    park_wake(atomic_load(&m->waiter), m->told % 2);
    return 0;
}

static void wait_in_thread(void *arg)
{
    wait_at_meeting(arg);
}

static void wake_in_thread(void *arg)
{
    wake_at_meeting(arg);
}

static int task_and_task(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(2000); i++) {
        struct meeting m = {.told = 0};
        weft_task      other;
        weft_spawn(&other, i % 2 ? wake_at_meeting : wait_at_meeting, &m);
        if (i % 2) wait_at_meeting(&m);
        else wake_at_meeting(&m);
        weft_await(&other);
    }
    return 0;
}

static int task_and_thread(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(200); i++) {
        struct meeting m = {.told = 0};
        test_thread    thread;
        test_thread_start(&thread, i % 2 ? wake_in_thread : wait_in_thread, &m);
        if (i % 2) wait_at_meeting(&m);
        else wake_at_meeting(&m);
        test_thread_join(&thread);
    }
    return 0;
}

static int park_for_nothing(void *arg)
{
    struct meeting m = {.told = 0};
    struct waiter  waiter;

    (void)arg;
    park_init(&waiter, &kind, &m);
    park_wait(&waiter, publish_nothing, &m);
    task_check(atomic_load(&m.woken));
    return 0;
}

static void tasks_meet(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(task_and_task, NULL), 0);
}

static void task_and_thread_meet(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(task_and_thread, NULL), 0);
}

static void threads_meet(void **state)
{
    (void)state;
    for (size_t i = 0; i < test_scale(500); i++) {
        struct meeting m = {.told = 0};
        test_thread    thread;
        test_thread_start(&thread, wait_in_thread, &m);
        wake_at_meeting(&m);
        test_thread_join(&thread);
    }
    assert_task_checks();
}

static void nothing_to_wait_for(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(park_for_nothing, NULL), 0);
    park_for_nothing(NULL);
    assert_task_checks();
}

/* ---- the claim ------------------------------------------------------------------------------ */

static void claim_is_for_one(void **state)
{
    (void)state;
    struct waiter waiter;

    park_init(&waiter, &kind, &kind);
    assert_null(waiter.fiber);
    assert_ptr_equal(waiter.kind, &kind);
    assert_ptr_equal(waiter.object, &kind);
    assert_false(park_claim(&waiter)); /* not published */
    store_release(waiter.claim, (uintptr_t)&waiter);
    assert_true(park_claim(&waiter));
    assert_false(park_claim(&waiter));
}

struct contest {
    struct waiter waiter;
    atomic_uint   begun, claims;
};

static void claim(void *arg)
{
    struct contest *c = arg;

    atomic_fetch_add(&c->begun, 1);
    task_spin_until(atomic_load(&c->begun) == 3);
    if (park_claim(&c->waiter)) atomic_fetch_add(&c->claims, 1);
}

static void one_of_many_claims(void **state)
{
    (void)state;
    for (size_t i = 0; i < test_scale(300); i++) {
        struct contest c = {.begun = 0};
        test_thread    threads[3];
        park_init(&c.waiter, &kind, NULL);
        store_release(c.waiter.claim, (uintptr_t)&c.waiter);
        for (int t = 0; t < 3; t++) test_thread_start(&threads[t], claim, &c);
        for (int t = 0; t < 3; t++) test_thread_join(&threads[t]);
        assert_int_equal(atomic_load(&c.claims), 1);
    }
    assert_task_checks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_meet),       cmocka_unit_test(task_and_thread_meet),
        cmocka_unit_test(threads_meet),     cmocka_unit_test(nothing_to_wait_for),
        cmocka_unit_test(claim_is_for_one), cmocka_unit_test(one_of_many_claims),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
