/* test_group.c - a count, and those who wait for it to be 0 */
#include "support_wait.h"

#include <stdlib.h>

static int wait_group(void *group, weft_time deadline)
{
    return weft_group_wait(group, deadline);
}

static void is_done_when_the_count_is_0(void **state)
{
    (void)state;
    weft_group group = {{0}};

    assert_int_equal(weft_group_wait(&group, WEFT_NEVER), 0);
    for (int i = 0; i < 2; i++) {
        weft_group_add(&group, 3);
        weft_group_add(&group, -2);
        assert_int_equal(weft_group_wait(&group, 0), -EAGAIN);
        weft_group_add(&group, INT32_MAX);
        weft_group_add(&group, INT32_MAX);
        weft_group_add(&group, -INT32_MAX);
        weft_group_add(&group, -INT32_MAX);
        assert_int_equal(weft_group_wait(&group, 1), -ETIMEDOUT);
        weft_group_done(&group);
        assert_int_equal(weft_group_wait(&group, 0), 0);
        weft_group_add(&group, 0);
        assert_int_equal(weft_group_wait(&group, 1), 0);
    }
    assert_int_equal(weft_group_wait(NULL, 0), -EINVAL);
}

static void gives_up(void **state)
{
    (void)state;
    weft_group group = {{0}};

    weft_group_add(&group, 1);
    assert_gives_up(wait_group, &group, true);
    weft_group_done(&group);
    assert_int_equal(weft_group_wait(&group, 0), 0);
}

enum { SOME = 6 };

static int wait_for_the_last(void *arg)
{
    struct test_wait waits[SOME];
    weft_group       group = {{0}};

    (void)arg;
    for (int round = 0; round < 2; round++) {
        weft_group_add(&group, 2);
        for (int i = 0; i < SOME; i++) test_wait_begin(&waits[i], wait_group, &group, WEFT_NEVER);
        weft_group_done(&group);
        test_wait_settle();
        for (int i = 0; i < SOME; i++) task_check(!waits[i].ended);
        weft_cancel(&waits[4].task);
        weft_group_done(&group);
        /* Whatever comes after, they have been woken. */
        weft_group_add(&group, 1);
        for (int i = 0; i < SOME; i++) task_check(test_wait_end(&waits[i]) == (i == 4 ? -ECANCELED : 0));
        weft_group_done(&group);
    }
    return 0;
}

static void all_that_wait_are_woken(void **state)
{
    (void)state;
    assert_int_equal(test_run(wait_for_the_last, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- tasks ------------------------------------------------------------------ */

struct work {
    weft_group group;
    size_t     results[64];
};

struct piece {
    struct work *work;
    size_t       index;
};

static int do_piece(void *arg)
{
    struct piece *piece = arg;

    piece->work->results[piece->index] = piece->index + 1;
    weft_group_done(&piece->work->group);
    return 0;
}

static void do_piece_in_thread(void *arg)
{
    do_piece(arg);
}

/* The storage goes away as soon as the wait is over; what was done before is seen. */
static int wait_for_pieces(void *arg)
{
    (void)arg;
    for (size_t round = 0; round < test_scale(1000); round++) {
        struct work *work = calloc(1, sizeof *work);
        size_t       count = 1 + round % 64, sum = 0;
        bool         by_thread = round % 16 == 0;
        struct piece last = {work, count - 1};
        test_thread  thread;

        for (size_t i = 0; i < count; i++) {
            struct piece piece = {work, i};
            weft_group_add(&work->group, 1);
            if (by_thread && i == last.index) test_thread_start(&thread, do_piece_in_thread, &last);
            else task_check(weft_go(do_piece, &piece, sizeof piece) == 0);
        }
        task_check(weft_group_wait(&work->group, WEFT_NEVER) == 0);
        for (size_t i = 0; i < count; i++) sum += work->results[i];
        free(work);
        task_check(sum == count * (count + 1) / 2);
        if (by_thread) test_thread_join(&thread);
    }
    return 0;
}

static void storage_is_free_once_the_count_is_0(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(wait_for_pieces, NULL), 0);
}

/* ---- misuse ---------------------------------------------------------------- */

static int count_below_0(void)
{
    weft_group group = {{0}};

    weft_group_add(&group, 1);
    weft_group_add(&group, -2);
    return 0;
}

static void a_count_below_0_stops_the_program(void **state)
{
    (void)state;
    assert_part_stops("count_below_0", "a group counts below 0");
}

int main(int argc, char **argv)
{
    const struct test_part  parts[] = {{"count_below_0", count_below_0}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_done_when_the_count_is_0),       cmocka_unit_test(gives_up),
        cmocka_unit_test(all_that_wait_are_woken),           cmocka_unit_test(storage_is_free_once_the_count_is_0),
        cmocka_unit_test(a_count_below_0_stops_the_program),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
