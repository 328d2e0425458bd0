/* test_base.c - the message with which the library gives up, and the small things */
#include "support.h"

#include <string.h>
#include <sys/wait.h>

#include "base.h"

/* ---- base_die ------------------------------------------------------------------- */

static int die_with_numbers(void)
{
    base_die("%s have %d of %zu", "tasks", -3, (size_t)1 << 40);
}

static int die_at_length(void)
{
    static char text[4096];

    memset(text, 'x', sizeof text - 1);
    base_die("%s", text);
}

static void assert_died(const struct test_child *child)
{
    assert_true(WIFSIGNALED(child->status));
    assert_int_equal(WTERMSIG(child->status), SIGABRT);
}

static void die_says_why_and_aborts(void **state)
{
    (void)state;
    static struct test_child child;

    test_child_run(&child, "die_with_numbers");
    assert_died(&child);
    assert_string_equal(child.text, "weft: tasks have -3 of 1099511627776\n");
}

static void long_message_is_cut(void **state)
{
    (void)state;
    static struct test_child child;

    test_child_run(&child, "die_at_length");
    assert_died(&child);
    size_t length = strlen(child.text);
    assert_in_range(length, 100, 512);
    assert_int_equal(strncmp(child.text, "weft: xxx", 9), 0);
    assert_string_equal(child.text + length - 2, "x\n");
    assert_int_equal(strspn(child.text + 6, "x"), length - 7);
}

/* ---- the rest --------------------------------------------------------------------- */

struct pair {
    int  first;
    long second;
};

static void container_is_found_from_its_member(void **state)
{
    (void)state;
    struct pair pair = {1, 2};
    long       *second = &pair.second;

    assert_ptr_equal(container_of(second, struct pair, second), &pair);
}

/* Deeper is lower, on every processor that weft knows. */
static noinline char *stack_pointer_below(void)
{
    volatile char frame[256];

    frame[0] = 1;
    char *sp = base_stack_pointer();
    return frame[0] ? sp : NULL;
}

static void stack_pointer_is_in_the_frame(void **state)
{
    (void)state;
    char *frame = __builtin_frame_address(0);
    char *below = stack_pointer_below();

    assert_true(below < frame);
    assert_true(below > frame - 16384);
}

static void sanitizers_get_a_stack_for_each_task(void **state)
{
    (void)state;
    assert_int_equal(STACK_PER_TASK, TEST_ASAN || TEST_TSAN);
}

int main(int argc, char **argv)
{
    const struct test_part parts[] = {
        {"die_with_numbers", die_with_numbers},
        {"die_at_length", die_at_length},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(die_says_why_and_aborts),
        cmocka_unit_test(long_message_is_cut),
        cmocka_unit_test(container_is_found_from_its_member),
        cmocka_unit_test(stack_pointer_is_in_the_frame),
        cmocka_unit_test(sanitizers_get_a_stack_for_each_task),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
