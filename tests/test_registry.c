/* test_registry.c - the runtimes of the process */
#include "support.h"

#include "registry.h"

#include <stdlib.h>
#include <string.h>

struct seen {
    size_t                     count;
    const struct weft_runtime *runtimes[8];
};

static void note(struct weft_runtime *runtime, void *arg)
{
    struct seen *seen = arg;

    if (seen->count < TEST_LENGTH(seen->runtimes)) seen->runtimes[seen->count] = runtime;
    seen->count++;
}

static bool is_seen(const struct seen *seen, const struct weft_runtime *runtime)
{
    for (size_t i = 0; i < seen->count; i++)
        if (seen->runtimes[i] == runtime) return true;
    return false;
}

static void visits_those_that_are_there(void **state)
{
    (void)state;
    weft_runtime *runtimes[4];
    /* Out of the middle, from the end, from the beginning. */
    static const int order[] = {1, 3, 0, 2};

    for (int i = 0; i < 4; i++) assert_int_equal(weft_runtime_start(&runtimes[i], WEFT_OPTIONS(.workers = 1)), 0);
    for (int gone = 0; gone <= 4; gone++) {
        struct seen seen = {0};
        registry_each(note, &seen);
        assert_int_equal(seen.count, 4 - gone);
        for (int i = 0; i < 4; i++) assert_int_equal(is_seen(&seen, runtimes[order[i]]), i >= gone);
        if (gone < 4) assert_int_equal(weft_runtime_stop(runtimes[order[gone]]), 0);
    }
}

/* ---- while others come and go -------------------------------------------------------- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void come_and_go(void *arg)
{
    for (size_t i = 0; i < *(size_t *)arg; i++) task_check(weft_run(nothing, NULL, WEFT_OPTIONS(.workers = 1)) == 0);
}

static void look_at_count(struct weft_runtime *runtime, void *arg)
{
    task_check(runtime->count == 1); /* it is there, whole */
    ++*(size_t *)arg;
}

static void none_goes_while_it_is_visited(void **state)
{
    (void)state;
    test_thread threads[2];
    size_t      times = test_scale(2000), seen = 0;

    for (int i = 0; i < 2; i++) test_thread_start(&threads[i], come_and_go, &times);
    for (size_t i = 0; i < 10 * times; i++) registry_each(look_at_count, &seen);
    for (int i = 0; i < 2; i++) test_thread_join(&threads[i]);
    seen = 0;
    registry_each(look_at_count, &seen);
    assert_int_equal(seen, 0);
    assert_task_checks();
}

static void start_and_stop(struct weft_runtime *runtime, void *arg)
{
    (void)runtime;
    ++*(size_t *)arg;
    assert_int_equal(weft_run(nothing, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* Who looks at a runtime holds up nobody but who stops that one. */
static void others_come_and_go_while_one_is_visited(void **state)
{
    weft_runtime *runtimes[2];
    size_t        seen = 0;

    (void)state;
    for (int i = 0; i < 2; i++) assert_int_equal(weft_runtime_start(&runtimes[i], WEFT_OPTIONS(.workers = 1)), 0);
    registry_each(start_and_stop, &seen);
    assert_int_equal(seen, 2);
    for (int i = 0; i < 2; i++) assert_int_equal(weft_runtime_stop(runtimes[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(visits_those_that_are_there),
        cmocka_unit_test(none_goes_while_it_is_visited),
        cmocka_unit_test(others_come_and_go_while_one_is_visited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
