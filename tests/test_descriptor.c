/* test_descriptor.c - an entry for each number, and no more registering than there is need */
#include "support_io.h"

#include "descriptor.h"

#include <sys/epoll.h>
#include <unistd.h>

static void each_number_has_its_entry(void **state)
{
    (void)state;
    static const int numbers[] = {0, 1, 1023, 1024, 5000, (1 << 20) - 1};

    assert_null(descriptor_of((1 << 20) - 1));
    for (size_t i = 0; i < TEST_LENGTH(numbers); i++) {
        struct descriptor *d = descriptor_get(numbers[i]);
        assert_non_null(d);
        assert_ptr_equal(descriptor_get(numbers[i]), d);
        assert_ptr_equal(descriptor_of(numbers[i]), d);
        assert_int_equal(load_relaxed(&d->kind), DESCRIPTOR_UNKNOWN);
        for (size_t k = 0; k < i; k++) assert_ptr_not_equal(descriptor_of(numbers[k]), d);
        assert_true(descriptor_most() > numbers[i]);
    }
    assert_int_equal(descriptor_most(), 1 << 20);
    assert_null(descriptor_of(3000));
}

static void others_have_none(void **state)
{
    (void)state;
    static const int bad[] = {-1, INT32_MIN, 1 << 20, INT32_MAX};

    for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
        assert_null(descriptor_get(bad[i]));
        assert_int_equal(descriptor_error(bad[i]), -EBADF);
    }
    assert_int_equal(descriptor_error(77), -ENOMEM);
}

/* Many at once ask for the first of a table: all get the same. */
enum { THREADS = 4, FIRST = 100 * DESCRIPTOR_TABLE };

static atomic_int         ready;
static struct descriptor *found[THREADS];

static void find(void *arg)
{
    atomic_fetch_add(&ready, 1);
    task_spin_until(atomic_load(&ready) % THREADS == 0);
    *(struct descriptor **)arg = descriptor_get(FIRST + (atomic_load(&ready) / THREADS) * DESCRIPTOR_TABLE);
}

static void one_table_for_all(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        test_thread threads[THREADS];
        for (int i = 0; i < THREADS; i++) test_thread_start(&threads[i], find, &found[i]);
        for (int i = 0; i < THREADS; i++) test_thread_join(&threads[i]);
        for (int i = 1; i < THREADS; i++) assert_ptr_equal(found[i], found[0]);
        assert_task_checks();
    }
}

/* ---- registering ---------------------------------------------------------------- */

static atomic_int registered;

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    atomic_fetch_add(&registered, 1);
    return __real_epoll_ctl(epoll, operation, fd, event);
}

enum { IDLE_ONES = 40, BUSY_ROUNDS = 100 };

static int wait_for_end(void *arg)
{
    char byte;

    return (int)weft_read(*(int *)arg, &byte, 1, WEFT_NEVER);
}

static int answer(void *arg)
{
    int *ends = arg;
    char byte;

    while (weft_read(ends[0], &byte, 1, WEFT_NEVER) == 1) task_check(weft_write(ends[0], &byte, 1, WEFT_NEVER) == 1);
    return 0;
}

/* Others' waits come and go for so long that who waits all the while is looked after again and again. */
static int stay_registered(void *arg)
{
    int       ends[IDLE_ONES][2], busy[2];
    weft_task tasks[IDLE_ONES], answering;
    char      byte;

    (void)arg;
    for (int i = 0; i < IDLE_ONES; i++) {
        test_link_make(ends[i], TEST_TCP);
        weft_spawn(&tasks[i], wait_for_end, &ends[i][0]);
    }
    test_link_make(busy, TEST_TCP);
    weft_spawn(&answering, answer, busy);
    for (int i = 0; i < BUSY_ROUNDS; i++) {
        weft_sleep(weft_now() + 15 * WEFT_MS);
        task_check(weft_write(busy[1], "x", 1, WEFT_NEVER) == 1);
        task_check(weft_read(busy[1], &byte, 1, WEFT_NEVER) == 1);
    }
    int most = 3 * IDLE_ONES + 2 * BUSY_ROUNDS;
    task_check(atomic_load(&registered) <= most);
    task_check(weft_close(busy[1]) == 0);
    task_check(weft_await(&answering) == 0);
    task_check(weft_close(busy[0]) == 0);
    for (int i = 0; i < IDLE_ONES; i++) {
        task_check(weft_close(ends[i][1]) == 0);
        task_check(weft_await(&tasks[i]) == 0);
        task_check(weft_close(ends[i][0]) == 0);
    }
    return 0;
}

static void idle_ones_are_registered_again_once(void **state)
{
    (void)state;
    atomic_store(&registered, 0);
    assert_int_equal(test_run_workers(stay_registered, NULL), 0);
    assert_true(atomic_load(&registered) > IDLE_ONES);
}

enum { REUSES = 40, OFTEN = 400 };

static int read_one(void *fd)
{
    char byte;

    return (int)weft_read(*(int *)fd, &byte, 1, WEFT_NEVER);
}

/* How often the system was asked until it waited. */
static int wait_for_one(int ends[2])
{
    struct descriptor *d = descriptor_get(ends[0]);
    int                before = atomic_load(&registered);
    weft_task          reader;

    weft_spawn(&reader, read_one, &ends[0]);
    task_until(!wait_empty(&d->waiting[DESCRIPTOR_IN]));
    int asked = atomic_load(&registered) - before;
    task_check(write(ends[1], "x", 1) == 1);
    task_check(weft_await(&reader) == 1);
    return asked;
}

static int use_again_and_again(void *arg)
{
    int ends[2], fresh[2], asked = 0;

    (void)arg;
    test_link_make(ends, TEST_PIPE);
    for (int i = 0; i < REUSES; i++) {
        task_check(wait_for_one(ends) > 0);
        test_link_make(fresh, i % 2 ? TEST_TCP : TEST_PIPE);
        test_take_number(fresh[0], ends[0]);
        test_take_number(fresh[1], ends[1]);
    }
    test_link_make(fresh, TEST_TCP);
    for (int i = 0; i < OFTEN; i++) asked += wait_for_one(fresh);
    task_check(asked < OFTEN / 2);
    for (int i = 0; i < 2; i++) {
        task_check(weft_close(ends[i]) == 0);
        task_check(weft_close(fresh[i]) == 0);
    }
    return 0;
}

static void who_waits_makes_sure_of_a_number_used_again(void **state)
{
    (void)state;
    assert_int_equal(test_run(use_again_and_again, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_has_its_entry),
        cmocka_unit_test(others_have_none),
        cmocka_unit_test(one_table_for_all),
        cmocka_unit_test(idle_ones_are_registered_again_once),
        cmocka_unit_test(who_waits_makes_sure_of_a_number_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
