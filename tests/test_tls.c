/* test_tls.c - a program may have large thread-locals, which lie on each thread's stack
 *
 * A program of its own, since they are those of every thread in it.
 */
#include "support.h"

static _Thread_local char large[400 * 1024];

static int use_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof large; i += 1024) large[i]++;
    return large[0] > 0 && large[sizeof large - 1024] > 0 ? (int)weft_worker_count() : -1;
}

static void workers_start_with_large_thread_locals(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers++)
        assert_int_equal(test_run(use_all, NULL, WEFT_OPTIONS(.workers = workers)), workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_start_with_large_thread_locals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
