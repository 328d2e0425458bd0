/* test_rwlock.c - many readers or one writer, by turns where there are both */
#include "support_wait.h"

#include <stdlib.h>

/* ---- who may hold it together -------------------------------------------------- */

static void readers_share_and_writers_do_not(void **state)
{
    (void)state;
    weft_rwlock lock = {{0}};

    for (int i = 0; i < 3; i++) {
        assert_true(weft_rwlock_tryrdlock(&lock));
        weft_rwlock_rdlock(&lock);
        assert_false(weft_rwlock_trywrlock(&lock));
        weft_rwlock_unlock(&lock);
        assert_false(weft_rwlock_trywrlock(&lock));
        weft_rwlock_unlock(&lock);
        if (i % 2) weft_rwlock_wrlock(&lock);
        else assert_true(weft_rwlock_trywrlock(&lock));
        assert_false(weft_rwlock_trywrlock(&lock));
        assert_false(weft_rwlock_tryrdlock(&lock));
        weft_rwlock_unlock(&lock);
    }
}

enum { TASKS = 8, THREADS = 2 };

struct guarded {
    weft_rwlock lock;
    size_t      count, twin; /* plain, so that ThreadSanitizer watches too */
    size_t      rounds;
    unsigned    writes; /* one of so many rounds writes */
    bool        yield;
    atomic_uint readers, most;
};

static void write_once(struct guarded *g)
{
    weft_rwlock_wrlock(&g->lock);
    task_check(atomic_load(&g->readers) == 0);
    g->count++;
    if (g->yield) weft_yield();
    g->twin++;
    weft_rwlock_unlock(&g->lock);
}

static void read_once(struct guarded *g)
{
    weft_rwlock_rdlock(&g->lock);
    unsigned now = atomic_fetch_add(&g->readers, 1) + 1;
    if (now > atomic_load(&g->most)) atomic_store(&g->most, now);
    task_check(g->count == g->twin);
    if (g->yield) weft_yield();
    task_check(g->count == g->twin);
    atomic_fetch_sub(&g->readers, 1);
    weft_rwlock_unlock(&g->lock);
}

static int read_and_write(void *arg)
{
    struct guarded *g = arg;

    for (size_t i = 0; i < g->rounds; i++) {
        if (i % g->writes == 0) write_once(g);
        else read_once(g);
    }
    return 0;
}

static void read_and_write_in_thread(void *arg)
{
    read_and_write(arg);
}

static int read_and_write_together(void *arg)
{
    weft_task   tasks[TASKS];
    test_thread threads[THREADS];

    for (int i = 0; i < THREADS; i++) test_thread_start(&threads[i], read_and_write_in_thread, arg);
    for (int i = 0; i < TASKS; i++) weft_spawn(&tasks[i], read_and_write, arg);
    for (int i = 0; i < TASKS; i++) task_check(weft_await(&tasks[i]) == 0);
    for (int i = 0; i < THREADS; i++) test_thread_join(&threads[i]);
    return 0;
}

static void a_writer_is_alone(void **state)
{
    (void)state;
    const unsigned writes[] = {1, 2, 16, 256};

    for (size_t i = 0; i < TEST_LENGTH(writes); i++) {
        for (int yield = 0; yield < 2; yield++) {
            struct guarded g = {.rounds = test_scale(2000), .writes = writes[i], .yield = yield};
            size_t         wrote = (g.rounds + writes[i] - 1) / writes[i];
            assert_int_equal(test_run_workers(read_and_write_together, &g), 0);
            assert_int_equal(g.count, (TASKS + THREADS) * wrote);
            assert_int_equal(g.twin, g.count);
            if (yield && writes[i] > 2) assert_true(atomic_load(&g.most) > 1);
            assert_true(weft_rwlock_trywrlock(&g.lock));
        }
    }
}

/* ---- whose turn it is ------------------------------------------------------------ */

/* What those that have the lock write down; each holds it until it is let go. */
struct phase {
    weft_rwlock lock;
    weft_sem    go_on;
    int         entered[16], count; /* the number of each as it comes in; a reader's is 10 more */
};

struct phase_of {
    struct phase *phase;
    int           number;
};

static int hold(void *arg, weft_time deadline)
{
    struct phase_of *self = arg;
    struct phase    *p = self->phase;

    if (self->number >= 10) weft_rwlock_rdlock(&p->lock);
    else weft_rwlock_wrlock(&p->lock);
    p->entered[p->count++] = self->number;
    task_check(weft_sem_wait(&p->go_on, deadline) == 0);
    weft_rwlock_unlock(&p->lock);
    return 0;
}

static void expect_entered(const struct phase *p, int count, const int *numbers)
{
    test_wait_settle();
    task_check(p->count == count);
    for (int i = 0; i < count; i++) task_check(p->entered[i] == numbers[i]);
}

static int go_by_turns(void *arg)
{
    enum { ALL = 9 };
    const int        order[ALL] = {10, 11, 1, 12, 13, 2, 14, 15, 3};
    struct phase     p = {.count = 0};
    struct phase_of  who[ALL];
    struct test_wait waits[ALL];
    int              begun = 0;

    (void)arg;
    weft_sem_init(&p.go_on, 0);
#define BEGIN(n) \
    (who[begun] = (struct phase_of){&p, n}, test_wait_begin(&waits[begun], hold, &who[begun], WEFT_NEVER), begun++)
    BEGIN(10);
    BEGIN(11);
    expect_entered(&p, 2, order);
    BEGIN(1);
    BEGIN(2);
    BEGIN(12); /* behind the writer that waits, as is whoever comes only to try */
    BEGIN(13);
    task_check(!weft_rwlock_tryrdlock(&p.lock));
    expect_entered(&p, 2, order);
    weft_sem_post(&p.go_on);
    expect_entered(&p, 2, order); /* one of the two readers is in still */
    weft_sem_post(&p.go_on);
    expect_entered(&p, 3, order); /* the first writer, alone */
    weft_sem_post(&p.go_on);
    test_wait_settle();
    task_check(p.count == 5); /* both readers, before the second writer */
    BEGIN(14);
    BEGIN(3);
    BEGIN(15);
    expect_entered(&p, 5, order); /* it waits, so these do */
    weft_sem_post(&p.go_on);
    weft_sem_post(&p.go_on);
    expect_entered(&p, 6, order); /* the second writer */
    weft_sem_post(&p.go_on);
    expect_entered(&p, 8, order);
    weft_sem_post(&p.go_on);
    weft_sem_post(&p.go_on);
    expect_entered(&p, 9, order);
    weft_sem_post(&p.go_on);
#undef BEGIN
    for (int i = 0; i < ALL; i++) task_check(test_wait_end(&waits[i]) == 0);
    task_check(weft_rwlock_trywrlock(&p.lock));
    return 0;
}

static void readers_and_writers_go_by_turns(void **state)
{
    (void)state;
    assert_int_equal(test_run(go_by_turns, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

static int read_it(void *lock, weft_time deadline)
{
    (void)deadline;
    weft_rwlock_rdlock(lock);
    weft_rwlock_unlock(lock);
    return 0;
}

static int write_it(void *lock, weft_time deadline)
{
    (void)deadline;
    weft_rwlock_wrlock(lock);
    weft_rwlock_unlock(lock);
    return 0;
}

static int cancel_waiting(void *arg)
{
    struct test_wait waits[2];
    weft_rwlock      lock = {{0}};

    (void)arg;
    weft_rwlock_wrlock(&lock);
    test_wait_begin(&waits[0], read_it, &lock, WEFT_NEVER);
    test_wait_begin(&waits[1], write_it, &lock, WEFT_NEVER);
    for (int i = 0; i < 2; i++) weft_cancel(&waits[i].task);
    test_wait_settle();
    task_check(!waits[0].ended && !waits[1].ended);
    weft_rwlock_unlock(&lock);
    for (int i = 0; i < 2; i++) task_check(test_wait_end(&waits[i]) == 0);
    task_check(weft_rwlock_trywrlock(&lock));
    return 0;
}

static void cancelling_does_not_end_a_wait(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_waiting, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- fairness -------------------------------------------------------------- */

struct overlap {
    weft_rwlock lock;
    atomic_bool seen;
    int         inside;
};

static int write_and_tell(void *arg)
{
    struct overlap *o = arg;

    weft_rwlock_wrlock(&o->lock);
    atomic_store(&o->seen, true);
    weft_rwlock_unlock(&o->lock);
    return 0;
}

/* Of two, one has it always. */
static int read_in_turn(void *arg)
{
    struct overlap *o = arg;

    while (!atomic_load(&o->seen)) {
        weft_rwlock_rdlock(&o->lock);
        weft_yield();
        weft_rwlock_unlock(&o->lock);
    }
    return 0;
}

static int read_overlapping(void *arg)
{
    struct overlap o = {.inside = 0};
    weft_task      readers[2], writer;

    (void)arg;
    for (int i = 0; i < 2; i++) weft_spawn(&readers[i], read_in_turn, &o);
    for (int i = 0; i < 10; i++) weft_yield();
    weft_spawn(&writer, write_and_tell, &o);
    task_until(atomic_load(&o.seen));
    for (int i = 0; i < 2; i++) task_check(weft_await(&readers[i]) == 0);
    return weft_await(&writer);
}

static void a_writer_comes_in_between_readers(void **state)
{
    (void)state;
    assert_int_equal(test_run(read_overlapping, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(read_overlapping, NULL), 0);
}

static int set_flag(void *flag)
{
    atomic_store((atomic_bool *)flag, true);
    return 0;
}

static int lock_for_ever(void *arg)
{
    weft_rwlock lock = {{0}};

    for (int i = 0; i < 2; i++) {
        atomic_bool seen = false;
        task_check(weft_go(set_flag, &seen, 0) == 0);
        while (!atomic_load(&seen)) {
            if (i == 0) weft_rwlock_rdlock(&lock);
            else weft_rwlock_wrlock(&lock);
            weft_rwlock_unlock(&lock);
        }
    }
    (void)arg;
    return 0;
}

static void a_lock_lets_others_run(void **state)
{
    (void)state;
    assert_int_equal(test_run(lock_for_ever, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- the storage ------------------------------------------------------------- */

enum { OWNERS = 4 };

struct owned {
    weft_rwlock lock;
    atomic_int  readers;
    int         owners;
};

/* The last writer is the last of all. */
static int let_go(void *arg)
{
    struct owned *owned = arg;

    weft_rwlock_rdlock(&owned->lock);
    weft_rwlock_unlock(&owned->lock);
    weft_rwlock_wrlock(&owned->lock);
    bool last = --owned->owners == 0;
    weft_rwlock_unlock(&owned->lock);
    if (last) free(owned);
    return 0;
}

static int let_go_together(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scale(10000); i++) {
        struct owned *owned = calloc(1, sizeof *owned);
        weft_task     tasks[OWNERS];
        owned->owners = OWNERS;
        for (int t = 0; t < OWNERS; t++) weft_spawn(&tasks[t], let_go, owned);
        for (int t = 0; t < OWNERS; t++) task_check(weft_await(&tasks[t]) == 0);
    }
    return 0;
}

static void the_last_to_unlock_may_free_it(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(let_go_together, NULL), 0);
}

/* ---- misuse ---------------------------------------------------------------- */

static int unlock_unlocked(void)
{
    weft_rwlock lock = {{0}};

    weft_rwlock_unlock(&lock);
    return 0;
}

static int unlock_after_reading(void)
{
    weft_rwlock lock = {{0}};

    weft_rwlock_rdlock(&lock);
    weft_rwlock_unlock(&lock);
    weft_rwlock_unlock(&lock);
    return 0;
}

static int unlock_after_writing(void)
{
    weft_rwlock lock = {{0}};

    weft_rwlock_wrlock(&lock);
    weft_rwlock_unlock(&lock);
    weft_rwlock_unlock(&lock);
    return 0;
}

static const struct test_part parts[] = {
    {"unlock_unlocked", unlock_unlocked},
    {"unlock_after_reading", unlock_after_reading},
    {"unlock_after_writing", unlock_after_writing},
};

static void unlock_of_what_is_not_locked_stops_the_program(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_LENGTH(parts); i++)
        assert_part_stops(parts[i].name, "an rwlock is unlocked that is not locked");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_share_and_writers_do_not),
        cmocka_unit_test(a_writer_is_alone),
        cmocka_unit_test(readers_and_writers_go_by_turns),
        cmocka_unit_test(cancelling_does_not_end_a_wait),
        cmocka_unit_test(a_writer_comes_in_between_readers),
        cmocka_unit_test(a_lock_lets_others_run),
        cmocka_unit_test(the_last_to_unlock_may_free_it),
        cmocka_unit_test(unlock_of_what_is_not_locked_stops_the_program),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
