/* support.h - what the tests of weft share
 *
 * cmocka leaves a failed test by longjmp, which must not cross from one stack
 * to another.  So its asserts are called on the main thread only, outside of
 * weft_run.  Tasks and other threads use task_check, which notes the first
 * condition that did not hold, and test_run or assert_task_checks fails the
 * test with that note once everything has ended.
 */
#ifndef WEFT_TEST_SUPPORT_H
#define WEFT_TEST_SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

/* clang-format off: cmocka.h needs these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdatomic.h>
#include <stdbool.h>

#include <weft/weft.h>

#if defined(__has_feature)
#define TEST_HAS_FEATURE(feature) __has_feature(feature)
#else
#define TEST_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_THREAD__) || TEST_HAS_FEATURE(thread_sanitizer)
#define TEST_TSAN 1
#else
#define TEST_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__) || TEST_HAS_FEATURE(address_sanitizer)
#define TEST_ASAN 1
#else
#define TEST_ASAN 0
#endif

/* The build in which the schedule takes its rare ways. */
#ifdef WEFT_CHAOS
#define TEST_CHAOS 1
#else
#define TEST_CHAOS 0
#endif

#define TEST_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* ---- how much ------------------------------------------------------------ */

/* WEFT_TEST_WORKERS in the environment, else 2. */
unsigned test_workers(void);

/* How often something is done: n, or the part of it that a sanitizer does in
 * the same time; at least 1. */
size_t test_scale(size_t n);

/* How many stacks may be alive at once: n, or what a sanitizer can hold. */
size_t test_stacks(size_t n);

/* Whether all threads are interrupted by signals all the time, as WEFT_TEST_SIGNALS in the environment wants it. */
bool test_interrupted(void);

/* ---- checks in tasks and threads ------------------------------------------ */

/* Notes that the condition did not hold; goes on.  Any thread, any task. */
#define task_check(condition) ((condition) ? (void)0 : test_note(__FILE__, __LINE__, #condition))

/* Yields (in a plain thread: the processor) until the condition holds.  Notes
 * and gives up after a time that is long enough for any machine, so that a
 * lost wake-up is named by its line instead of by a time-out. */
#define task_until(condition)                              \
    do {                                                   \
        weft_time task_until_end = test_now() + TEST_LONG; \
        while (!(condition)) {                             \
            if (test_now() > task_until_end) {             \
                test_note(__FILE__, __LINE__, #condition); \
                break;                                     \
            }                                              \
            weft_yield();                                  \
        }                                                  \
    } while (0)

/* The same without letting any task run on the caller's worker: what is waited
 * for can only be done in parallel. */
#define task_spin_until(condition)                         \
    do {                                                   \
        weft_time task_until_end = test_now() + TEST_LONG; \
        while (!(condition)) {                             \
            if (test_now() > task_until_end) {             \
                test_note(__FILE__, __LINE__, #condition); \
                break;                                     \
            }                                              \
        }                                                  \
    } while (0)

#define TEST_LONG (30 * WEFT_SEC)

void test_note(const char *file, int line, const char *condition);

/* Fails the test with what was noted first, and forgets it.  Main thread. */
void assert_task_checks(void);

/* weft_run, then assert_task_checks.  Main thread. */
int test_run(weft_fn *fn, void *arg, const struct weft_options *options);

/* test_run on test_workers() workers. */
int test_run_workers(weft_fn *fn, void *arg);

/* A copy in a block of its own, of exactly that size, so that AddressSanitizer
 * sees whoever reads beyond; the caller frees it. */
void *test_exact_copy(const void *bytes, size_t size);

/* ---- time, chance, threads ------------------------------------------------ */

/* CLOCK_MONOTONIC. */
weft_time test_now(void);

/* Blocks the calling thread. */
void test_sleep(weft_time duration);

/* Computes for about so many steps, which no compiler can leave out. */
void test_spin(unsigned steps);

/* The next number of a sequence that begins at any *state but 0. */
uint32_t test_random(uint32_t *state);

/* A plain thread; the test stops where there is none to be had. */
typedef struct test_thread {
    unsigned long id;
} test_thread;
void test_thread_start(test_thread *thread, void (*fn)(void *arg), void *arg);
void test_thread_join(test_thread *thread);

/* ---- sides and places ------------------------------------------------------ */

/* Somebody else: fn(arg) as a task, or as a plain thread, which it always is when the
 * caller is one.  Whoever starts it ends it, and lets others run until then. */
typedef struct test_side {
    weft_fn    *fn;
    void       *arg;
    bool        thread;
    int         result;
    atomic_bool ended;
    weft_task   task;
    test_thread id;
} test_side;
void test_side_start(test_side *side, bool thread, weft_fn *fn, void *arg);
int  test_side_end(test_side *side);

/* Yields so often that on one worker everything that is ready has run until it waits.  Task. */
void test_let_run(void);

/* fn(arg), which returns 0, as the first task on test_workers() workers, on one root, and with
 * some seeds; a failure says where.  Main thread. */
void assert_in_tasks(weft_fn *fn, void *arg);

/* And in the main thread itself, without a runtime. */
void assert_everywhere(weft_fn *fn, void *arg);

/* ---- what a process holds ------------------------------------------------- */

struct test_census {
    size_t threads;
    size_t descriptors;
    size_t mappings;
    size_t address_space; /* bytes */
};
void test_census(struct test_census *census);

/* Waits until the process has no more than so many threads: one that was
 * joined stays listed for a moment.  Main thread. */
void assert_threads_end_at(size_t threads);

/* ---- text ------------------------------------------------------------------ */

/* How often `what` is in it. */
size_t test_count_of(const char *text, const char *what);

/* All that is in a file; the caller frees it.  Any thread, any task. */
char *test_read_all(int fd);

/* What weft_dump writes just now; the caller frees it.  Any thread, any task. */
char *test_dump_text(void);

/* ---- programs that die ---------------------------------------------------- */

/* This executable, run anew with `name` as its argument, so that nothing of
 * the parent is left in it; what it wrote to either output; how it ended, as
 * waitpid says.  Sanitizers leave SIGSEGV alone in it.  An alarm kills a child
 * that hangs.  Main thread. */
struct test_child {
    int  status;
    char text[32768];
};
void test_child_run(struct test_child *child, const char *name);

/* The child's side: runs the part that its argument names, if it has one, and
 * exits with its result.  First thing in main. */
struct test_part {
    const char *name;
    int (*fn)(void);
};
void test_child_main(int argc, char **argv, const struct test_part *parts, size_t count);

/* Stopped by the library with a message: by SIGABRT, with something said. */
void assert_stopped_with_message(const struct test_child *child);

/* The part is stopped by the library with a message that has `said` in it.  Main thread. */
void assert_part_stops(const char *name, const char *said);

#endif
