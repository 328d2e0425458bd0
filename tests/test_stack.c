/* test_stack.c - what overflows its stack is named, and other faults are not touched
 *
 * Each program that dies is this executable run anew, see support.h.
 */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- programs that overflow ---------------------------------------------------- */

/* Not in place of its own call, and with a frame that is really there. */
__attribute__((noinline)) static int recurse(int depth)
{
    volatile char frame[256];

    frame[0] = (char)depth;
    return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

static int overflowing_task(void *arg)
{
    (void)arg;
    return recurse(0);
}

static int overflow_first_task(void)
{
    return weft_run(overflowing_task, NULL, WEFT_OPTIONS(.workers = 1, .stack_size = 128 * 1024));
}

static int fork_overflowing(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, overflowing_task, NULL);
    return weft_await(&task);
}

static int overflow_in_place(void)
{
    return weft_run(fork_overflowing, NULL, WEFT_OPTIONS(.workers = 1, .stack_size = 128 * 1024));
}

static int yielding_task(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) weft_yield();
    return recurse(0);
}

static int sleep_beside(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100000; i++) weft_yield();
    return 0;
}

static int fork_yielding(void *arg)
{
    weft_task tasks[10];

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_spawn(&tasks[i], i == 5 ? yielding_task : sleep_beside, NULL);
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_await(&tasks[i]);
    return 0;
}

static int overflow_after_switches(void)
{
    return weft_run(fork_yielding, NULL, WEFT_OPTIONS(.workers = 2, .stack_size = 100000));
}

static void assert_overflow_reported(const char *part, const char *name, size_t stack_size)
{
    static struct test_child child;
    char                     bytes[32];
    char                     kib[32];

    test_child_run(&child, part);
    snprintf(bytes, sizeof bytes, "%zu", stack_size);
    snprintf(kib, sizeof kib, "%zu KiB", stack_size / 1024);
    bool named = strstr(child.text, name);
    bool sized = strstr(child.text, bytes) || strstr(child.text, kib);
    if (!named || !sized) print_error("the child said: %s\n", child.text);
    assert_non_null(strstr(child.text, "weft: "));
    assert_non_null(strstr(child.text, "overflow"));
    assert_true(named);
    assert_true(sized);
    assert_true(WIFSIGNALED(child.status));
    assert_int_equal(WTERMSIG(child.status), SIGSEGV);
}

static void overflow_is_reported(void **state)
{
    (void)state;
    assert_overflow_reported("overflow_first_task", "the task overflowing_task (test_stack+0x", 128 * 1024);
    assert_overflow_reported("overflow_in_place", "the task overflowing_task (test_stack+0x", 128 * 1024);
    assert_overflow_reported("overflow_after_switches", "the task yielding_task (test_stack+0x", 128 * 1024);
}

/* ---- programs that fault otherwise ------------------------------------------------ */

/* Not NULL itself, which a sanitizer would find before the processor does. */
#define NOWHERE ((uintptr_t)64)

static volatile uintptr_t nowhere = NOWHERE;

static int fault(void *arg)
{
    (void)arg;
    return *(volatile int *)nowhere;
}

static void fault_in_thread(void *arg)
{
    fault(arg);
}

static int fault_with_default(void)
{
    return weft_run(fault, NULL, WEFT_OPTIONS(.workers = 1));
}

static void say_mine(int number)
{
    static const char text[] = "the program's own handler\n";

    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) > 0) _exit(7);
}

static void say_mine_with_info(int number, siginfo_t *info, void *context)
{
    if (context && info->si_addr == (void *)NOWHERE) say_mine(number);
}

static int fault_with_handler(void)
{
    signal(SIGSEGV, say_mine);
    return weft_run(fault, NULL, WEFT_OPTIONS(.workers = 2));
}

static int fault_with_info_handler(void)
{
    struct sigaction action = {.sa_sigaction = say_mine_with_info, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &action, NULL);
    return weft_run(fault, NULL, WEFT_OPTIONS(.workers = 2));
}

static int fault_in_plain_thread(void)
{
    weft_runtime *runtime;
    test_thread   thread;

    signal(SIGSEGV, say_mine);
    if (weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 1)) != 0) return 1;
    test_thread_start(&thread, fault_in_thread, NULL);
    test_thread_join(&thread);
    return 1;
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* What is left of the runtime's handler must not be in the way. */
static int fault_after_stop(void)
{
    signal(SIGSEGV, say_mine);
    if (weft_run(do_nothing, NULL, WEFT_OPTIONS(.workers = 1)) != 0) return 1;
    return fault(NULL);
}

static int handler_after_stop(void)
{
    struct sigaction before;
    struct sigaction after;

    signal(SIGSEGV, say_mine);
    sigaction(SIGSEGV, NULL, &before);
    for (int i = 0; i < 3; i++)
        if (weft_run(do_nothing, NULL, WEFT_OPTIONS(.workers = 1)) != 0) return 1;
    sigaction(SIGSEGV, NULL, &after);
    return before.sa_handler == after.sa_handler && before.sa_flags == after.sa_flags ? 7 : 1;
}

/* A handler set while a runtime runs hands on to the library's, which must not hand on to it in turn,
 * not even when it stands there as the one before the next runtime. */
static struct sigaction libraries;
static int              handed_on;

static void hand_on(int number, siginfo_t *info, void *context)
{
    if (++handed_on > 10) _exit(1);
    if (libraries.sa_flags & SA_SIGINFO) libraries.sa_sigaction(number, info, context);
    else say_mine(number);
}

static int handlers_hand_on(void)
{
    weft_runtime    *runtime;
    struct sigaction action = {.sa_sigaction = hand_on, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    signal(SIGSEGV, say_mine);
    if (weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 1)) != 0) return 2;
    sigaction(SIGSEGV, &action, &libraries);
    weft_runtime_stop(runtime);
    if (weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 1)) != 0) return 2;
    return weft_runtime_call(runtime, fault, NULL);
}

static void other_fault_meets_the_default(void **state)
{
    (void)state;
    static struct test_child child;

    test_child_run(&child, "fault_with_default");
    assert_true(WIFSIGNALED(child.status));
    assert_int_equal(WTERMSIG(child.status), SIGSEGV);
    assert_null(strstr(child.text, "overflow"));
}

static void other_fault_goes_to_the_handler_before(void **state)
{
    (void)state;
    static struct test_child child;
    const char *parts[] = {"fault_with_handler", "fault_with_info_handler", "fault_in_plain_thread", "fault_after_stop",
                           "handlers_hand_on"};

    for (size_t i = 0; i < TEST_LENGTH(parts); i++) {
        test_child_run(&child, parts[i]);
        assert_true(WIFEXITED(child.status));
        assert_int_equal(WEXITSTATUS(child.status), 7);
        assert_string_equal(child.text, "the program's own handler\n");
    }
}

static void handler_is_put_back(void **state)
{
    (void)state;
    static struct test_child child;

    test_child_run(&child, "handler_after_stop");
    assert_true(WIFEXITED(child.status));
    assert_int_equal(WEXITSTATUS(child.status), 7);
}

/* ---- many stacks -------------------------------------------------------------------- */

struct barrier {
    atomic_size_t arrived;
    size_t        count;
};

/* All are begun, and so have a stack, before any ends. */
static int arrive(void *arg)
{
    struct barrier *barrier = arg;

    atomic_fetch_add(&barrier->arrived, 1);
    while (atomic_load(&barrier->arrived) < barrier->count) weft_yield();
    return 1;
}

static int fork_arrivals(void *arg)
{
    struct barrier *barrier = arg;
    weft_scope      scope;

    task_check(weft_scope_open(&scope, NULL) == 0);
    for (size_t i = 0; i < barrier->count; i++) task_check(weft_scope_go(&scope, arrive, barrier, 0) == 0);
    return weft_scope_close(&scope);
}

static void many_stacks_live_at_once(void **state)
{
    (void)state;
    struct barrier barrier = {0, test_stacks(50000)};

    assert_int_equal(test_run(fork_arrivals, &barrier, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(barrier.arrived, barrier.count);
    barrier.arrived = 0;
    barrier.count = test_stacks(5000);
    assert_int_equal(test_run_workers(fork_arrivals, &barrier), 0);
    assert_int_equal(barrier.arrived, barrier.count);
}

int main(int argc, char **argv)
{
    const struct test_part parts[] = {
        {"overflow_first_task", overflow_first_task},         {"overflow_in_place", overflow_in_place},
        {"overflow_after_switches", overflow_after_switches}, {"fault_with_default", fault_with_default},
        {"fault_with_handler", fault_with_handler},           {"fault_with_info_handler", fault_with_info_handler},
        {"fault_in_plain_thread", fault_in_plain_thread},     {"fault_after_stop", fault_after_stop},
        {"handler_after_stop", handler_after_stop},           {"handlers_hand_on", handlers_hand_on},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overflow_is_reported),
        cmocka_unit_test(other_fault_meets_the_default),
        cmocka_unit_test(other_fault_goes_to_the_handler_before),
        cmocka_unit_test(handler_is_put_back),
        cmocka_unit_test(many_stacks_live_at_once),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
