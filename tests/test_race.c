/* test_race.c - ThreadSanitizer sees through the scheduler
 *
 * Two tasks on two workers add to one plain counter.  Ordered by await they are
 * clean in every build; side by side they are a race, which the sanitizer's
 * build must report.  A scheduler that the sanitizer takes for one thread, or
 * whose switches order everything, would hide it.
 */
#include "support.h"

#include <string.h>
#include <sys/wait.h>

static long       counter;
static atomic_int arrived;

/* The meeting orders nothing: it is relaxed on both sides. */
static int meet_and_add(void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
    while (atomic_load_explicit(&arrived, memory_order_relaxed) < 2)
        ;
    /* Of two accesses at the very same moment the sanitizer may miss both. */
    for (int i = 0; i < 100; i++) {
        counter++;
        __asm__ volatile("" ::: "memory");
    }
    return 0;
}

static int add(void *arg)
{
    (void)arg;
    counter++;
    return 0;
}

static int race(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, meet_and_add, NULL);
    meet_and_add(NULL);
    return weft_await(&task);
}

static int add_by_turns(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        weft_task task;

        counter++;
        weft_spawn(&task, add, NULL);
        if (i % 2) task_until(weft_done(&task));
        weft_await(&task);
        counter++;
    }
    return 0;
}

static int planted(void)
{
    return weft_run(race, NULL, WEFT_OPTIONS(.workers = 2));
}

static int ordered(void)
{
    if (weft_run(add_by_turns, NULL, WEFT_OPTIONS(.workers = 2)) != 0) return 1;
    return counter == 300 ? 0 : 2;
}

static void ordered_program_is_clean(void **state)
{
    (void)state;
    static struct test_child child;

    test_child_run(&child, "ordered");
    if (child.status) print_error("the child said: %s\n", child.text);
    assert_int_equal(child.status, 0);
    assert_null(strstr(child.text, "data race"));
}

#if TEST_TSAN
static void planted_race_is_reported(void **state)
{
    (void)state;
    static struct test_child child;

    test_child_run(&child, "planted");
    assert_true(WIFEXITED(child.status));
    assert_int_not_equal(WEXITSTATUS(child.status), 0);
    assert_non_null(strstr(child.text, "WARNING: ThreadSanitizer: data race"));
    assert_non_null(strstr(child.text, "meet_and_add"));
}
#endif

int main(int argc, char **argv)
{
    const struct test_part  parts[] = {{"planted", planted}, {"ordered", ordered}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordered_program_is_clean),
#if TEST_TSAN
        cmocka_unit_test(planted_race_is_reported),
#endif
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
