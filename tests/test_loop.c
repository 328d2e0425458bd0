/* test_loop.c - weft_for: every index once, in pieces of at most the grain */
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct loop {
    size_t        begin;
    size_t        end;
    size_t        grain;
    atomic_uchar *seen; /* one for each index */
    atomic_size_t pieces;
    bool          yields;
};

static void mark(size_t begin, size_t end, void *arg)
{
    struct loop *loop = arg;

    task_check(begin < end);
    task_check(begin >= loop->begin && end <= loop->end);
    task_check(loop->grain == 0 || end - begin <= loop->grain);
    for (size_t i = begin; i < end; i++)
        atomic_fetch_add_explicit(&loop->seen[i - loop->begin], 1, memory_order_relaxed);
    atomic_fetch_add(&loop->pieces, 1);
    if (loop->yields) weft_yield();
}

static int run_loop(void *arg)
{
    struct loop *loop = arg;

    weft_for(loop->begin, loop->end, loop->grain, mark, loop);
    return 0;
}

enum where { IN_A_PLAIN_THREAD, ON_ONE_WORKER, ON_WORKERS, ON_ONE_ROOT, WHERE_COUNT };

static void check_loop(enum where where, size_t begin, size_t end, size_t grain, bool yields)
{
    size_t      count = end > begin ? end - begin : 0;
    struct loop loop = {begin, end, grain, calloc(count + 1, sizeof *loop.seen), 0, yields};

    assert_non_null(loop.seen);
    if (where == IN_A_PLAIN_THREAD) run_loop(&loop);
    else if (where == ON_ONE_WORKER) test_run(run_loop, &loop, WEFT_OPTIONS(.workers = 1));
    else if (where == ON_WORKERS) test_run_workers(run_loop, &loop);
    else test_run(run_loop, &loop, WEFT_OPTIONS(.workers = 3, .one_root = true));
    assert_task_checks();
    for (size_t i = 0; i < count; i++) assert_int_equal(loop.seen[i], 1);
    if (grain && count) assert_true(loop.pieces >= count / grain);
    assert_int_equal(loop.pieces == 0, count == 0);
    free(loop.seen);
}

static void each_index_is_seen_once(void **state)
{
    (void)state;
    const size_t counts[] = {1, 2, 3, 7, 64, 1000, 4097};
    const size_t begins[] = {0, 5, SIZE_MAX / 2, SIZE_MAX - 4097};
    const size_t grains[] = {0, 1, 3, 64, 5000, SIZE_MAX};

    for (enum where where = IN_A_PLAIN_THREAD; where < WHERE_COUNT; where++)
        for (size_t i = 0; i < TEST_LENGTH(counts); i++)
            for (size_t j = 0; j < TEST_LENGTH(begins); j++)
                for (size_t k = 0; k < TEST_LENGTH(grains); k++) {
                    if (TEST_TSAN && (i + j + k) % 4 != 0) continue;
                    check_loop(where, begins[j], begins[j] + counts[i], grains[k], false);
                }
}

static void pieces_may_wait(void **state)
{
    (void)state;
    for (enum where where = ON_ONE_WORKER; where < WHERE_COUNT; where++)
        for (size_t grain = 0; grain < 3; grain++) check_loop(where, 0, 300, grain, true);
}

static void big_range_is_done(void **state)
{
    (void)state;
    check_loop(ON_WORKERS, 0, test_scale(2000000), 0, false);
    check_loop(ON_WORKERS, 0, test_scale(200000), 1, false);
}

static void never_called(size_t begin, size_t end, void *arg)
{
    (void)begin, (void)end, (void)arg;
    task_check(!"nothing is to be done");
}

static int loop_over_nothing(void *arg)
{
    (void)arg;
    weft_for(0, 0, 0, never_called, NULL);
    weft_for(7, 7, 1, never_called, NULL);
    weft_for(8, 7, 1, never_called, NULL);
    weft_for(SIZE_MAX, 0, 0, never_called, NULL);
    weft_for(SIZE_MAX, SIZE_MAX, 0, never_called, NULL);
    return 0;
}

static void empty_range_does_nothing(void **state)
{
    (void)state;
    loop_over_nothing(NULL);
    assert_int_equal(test_run_workers(loop_over_nothing, NULL), 0);
}

/* ---- one after the other ------------------------------------------------------- */

struct serial {
    pthread_t  thread;
    size_t     next;
    atomic_int inside;
};

static void see_ascending(size_t begin, size_t end, void *arg)
{
    struct serial *serial = arg;

    task_check(pthread_equal(pthread_self(), serial->thread));
    task_check(begin == serial->next);
    serial->next = end;
}

static void plain_thread_does_all_itself(void **state)
{
    (void)state;
    struct serial serial = {.thread = pthread_self()};

    weft_for(0, 1000, 7, see_ascending, &serial);
    assert_int_equal(serial.next, 1000);
    assert_task_checks();
}

static void see_alone(size_t begin, size_t end, void *arg)
{
    struct serial *serial = arg;

    task_check(atomic_fetch_add(&serial->inside, 1) == 0);
    test_spin(1000);
    serial->next += end - begin;
    task_check(atomic_fetch_sub(&serial->inside, 1) == 1);
    /* A piece that waits lets another begin, as any task of a root does. */
    weft_yield();
}

static int loop_alone(void *arg)
{
    weft_scope scope;

    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = true)) == 0);
    weft_for(0, 1000, 7, see_alone, arg);
    return weft_scope_close(&scope);
}

static void root_runs_no_two_pieces_at_once(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers *= 2)
        for (int whole = 0; whole < 2; whole++) {
            struct serial serial = {.next = 0};

            assert_int_equal(test_run(loop_alone, &serial, WEFT_OPTIONS(.workers = workers, .one_root = whole)), 0);
            assert_int_equal(serial.next, 1000);
        }
}

/* ---- in parallel ------------------------------------------------------------------ */

static void meet(size_t begin, size_t end, void *arg)
{
    atomic_size_t *arrived = arg;

    atomic_fetch_add(arrived, end - begin);
    task_spin_until(atomic_load(arrived) >= 2);
}

static int loop_to_meet(void *arg)
{
    weft_for(0, 2, 1, meet, arg);
    return 0;
}

static void workers_share_the_pieces(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        atomic_size_t arrived = 0;
        assert_int_equal(test_run(loop_to_meet, &arrived, WEFT_OPTIONS(.workers = 2)), 0);
        assert_int_equal(arrived, 2);
    }
}

static void inner_body(size_t begin, size_t end, void *arg)
{
    atomic_fetch_add((atomic_size_t *)arg, end - begin);
}

static void outer_body(size_t begin, size_t end, void *arg)
{
    for (size_t i = begin; i < end; i++) weft_for(0, i, 2, inner_body, arg);
}

static int loop_in_loop(void *arg)
{
    weft_for(0, 100, 1, outer_body, arg);
    return 0;
}

static void loops_nest(void **state)
{
    (void)state;
    atomic_size_t sum = 0;

    assert_int_equal(test_run_workers(loop_in_loop, &sum), 0);
    assert_int_equal(sum, 100 * 99 / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_index_is_seen_once),
        cmocka_unit_test(pieces_may_wait),
        cmocka_unit_test(big_range_is_done),
        cmocka_unit_test(empty_range_does_nothing),
        cmocka_unit_test(plain_thread_does_all_itself),
        cmocka_unit_test(root_runs_no_two_pieces_at_once),
        cmocka_unit_test(workers_share_the_pieces),
        cmocka_unit_test(loops_nest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
