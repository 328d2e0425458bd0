/* test_inspect.c - looking at tasks that others would go on in */
#include "support.h"

#include "inspect.h"
#include "unwind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- one looks slowly ------------------------------------------------------------------ */

unsigned __wrap_unwind_context(const struct context *c, void **pcs, unsigned most);
unsigned __real_unwind_context(const struct context *c, void **pcs, unsigned most);

static atomic_bool slow, looks, go_on, goes_on;

/* The first one looks for as long as it is told to. */
unsigned __wrap_unwind_context(const struct context *c, void **pcs, unsigned most)
{
    bool first = true;

    if (atomic_compare_exchange_strong(&slow, &first, false)) {
        atomic_store(&looks, true);
        while (!atomic_load(&go_on)) test_sleep(WEFT_MS);
        task_check(!atomic_load(&goes_on)); /* not before it was looked at */
    }
    return __real_unwind_context(c, pcs, most);
}

static int receive(void *arg)
{
    int value, result = weft_recv((weft_chan *)arg, &value, WEFT_NEVER);

    atomic_store(&goes_on, true);
    return result;
}

struct look {
    struct weft_runtime *runtime;
    size_t               waits;
    atomic_bool          done;
};

static void count_waiting(const struct inspect_task *task, void *arg)
{
    struct look *look = arg;

    look->waits += task->state == INSPECT_WAITS && task->fn == receive && task->frames > 0;
}

static void look_at(void *arg)
{
    struct look *look = arg;

    task_check(inspect_tasks(look->runtime, count_waiting, look) == 0);
    atomic_store(&look->done, true);
}

static void wait_for_receiver(struct look *look)
{
    while (look->waits == 0) {
        look_at(look);
        test_sleep(WEFT_MS);
    }
    look->waits = 0;
    atomic_store(&look->done, false);
}

/* A second one who looks at the same task comes and goes meanwhile, or waits. */
static void nobody_goes_on_in_what_is_held(void **state)
{
    (void)state;
    struct look one = {0}, other = {0};
    test_thread threads[2];
    weft_chan  *chan;

    atomic_store(&goes_on, false);
    assert_int_equal(weft_chan_create(&chan, sizeof(int), 0), 0);
    assert_int_equal(weft_runtime_start(&one.runtime, WEFT_OPTIONS(.workers = test_workers())), 0);
    assert_int_equal(weft_runtime_go(one.runtime, receive, chan, 0), 0);
    other.runtime = one.runtime;
    wait_for_receiver(&one);
    atomic_store(&slow, true);
    test_thread_start(&threads[0], look_at, &one);
    while (!atomic_load(&looks)) test_sleep(WEFT_MS);
    test_thread_start(&threads[1], look_at, &other);
    for (int i = 0; i < 50 && !atomic_load(&other.done); i++) test_sleep(WEFT_MS);
    assert_int_equal(weft_send(chan, &(int){1}, 0), 0); /* it is ready now */
    for (int i = 0; i < 50 && !atomic_load(&goes_on); i++) test_sleep(WEFT_MS);
    atomic_store(&go_on, true);
    for (int i = 0; i < 2; i++) test_thread_join(&threads[i]);
    assert_int_equal(weft_runtime_stop(one.runtime), 0);
    assert_true(atomic_load(&goes_on)); /* nothing is held for ever */
    weft_chan_destroy(chan);
    assert_task_checks();
}

/* ---- printing ---------------------------------------------------------------------------- */

struct reader {
    int    fd;
    size_t length;
};

static void read_slowly(void *arg)
{
    struct reader *r = arg;
    char           some[100];

    for (ssize_t got; (got = read(r->fd, some, sizeof some)) > 0;) {
        for (ssize_t i = 0; i < got; i++) task_check(some[i] == 'x');
        r->length += (size_t)got;
    }
}

static void print_writes_all_of_it(void **state)
{
    (void)state;
    struct reader reader = {0};
    test_thread   thread;
    char          text[513];
    int           ends[2];

    memset(text, 'x', 512);
    text[512] = 0;
    assert_int_equal(pipe(ends), 0);
    reader.fd = ends[0];
    test_thread_start(&thread, read_slowly, &reader);
    for (int i = 0; i < 1000; i++) assert_int_equal(inspect_print(ends[1], "%s", text), 0);
    close(ends[1]);
    test_thread_join(&thread);
    close(ends[0]);
    assert_int_equal(reader.length, 512 * 1000);
    assert_int_equal(inspect_print(-1, "%s", text), -EBADF);
    assert_task_checks();
}

/* What is longer than any line of a report is cut short. */
static void print_has_a_longest_line(void **state)
{
    (void)state;
    char text[5000];
    int  fd = memfd_create("lines", MFD_CLOEXEC);

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_true(fd >= 0);
    assert_int_equal(inspect_print(fd, "%s", text), 0);
    assert_in_range(lseek(fd, 0, SEEK_END), 500, sizeof text - 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_goes_on_in_what_is_held),
        cmocka_unit_test(print_writes_all_of_it),
        cmocka_unit_test(print_has_a_longest_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
