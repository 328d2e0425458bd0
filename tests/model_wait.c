/* model_wait.c - a waiter is woken exactly once, for one outcome, and sees what the one who woke it did
 *
 * Thread 0 waits, as a task or as a plain thread; the others are sources.  The worker below wait.c is replaced: a task
 * that is suspended goes on when its fiber comes out of a queue (lib/runq.h), as it does in the library.
 */
#include "model_explore.h"

#define RUNQ_SIZE 2u
#include "../lib/wait.c"

_Thread_local struct worker *worker_here;

static struct worker  worker;
static struct fiber   fiber;
static struct runq    resumed;
static int            left; /* the fiber's stack, which is written until it is left */
static struct waiter *waiter;
static struct runq    found; /* the place where a source finds the waiter */
static unsigned       wakes, outcome;
static int            content[3]; /* what each source has written */

/* ---- in place of the worker ------------------------------------------------ */

void worker_suspend(struct worker *w, worker_then *then, void *arg)
{
    model_data_write(&left);
    then(w, w->fiber, arg);
    model_block_until(runq_pop(&resumed));
}

void work_ready_fiber(struct fiber *f, bool next)
{
    (void)next;
    model_assert(f == &fiber, "the fiber that waits");
    model_assert(wakes++ == 0, "it is woken twice");
    model_data_read(&left);
    runq_push(&resumed, fiber_ready(f));
}

void platform_futex_wait(Atomic(uint32_t) *word, uint32_t value, int64_t timeout)
{
    model_assert(timeout < 0, "a waiter waits for good");
    model_futex_wait(word, value);
}

void platform_futex_wake(Atomic(uint32_t) *word, int count)
{
    wakes++;
    model_futex_wake(word, count);
}

/* ---- before and after ------------------------------------------------------ */

static void begin(void)
{
    runq_init(&resumed);
    runq_init(&found);
    waiter = model_alloc(sizeof *waiter);
    wakes = outcome = 0;
    wait_init(waiter);
}

static void plain_thread(void)
{
    worker_here = NULL;
    begin();
}

static void task(void)
{
    worker.fiber = &fiber;
    worker_here = &worker;
    begin();
}

static void one_wake(void)
{
    model_assert(wakes == 1, "it is woken once");
}

static void one_outcome(void)
{
    model_assert(wakes <= 1, "it is woken once");
    model_assert(outcome == WAIT_OUTCOME + 1 || outcome == WAIT_OUTCOME + 2, "one of the outcomes");
}

/* ---- many sources ---------------------------------------------------------- */

static void wait_for_outcome(void)
{
    outcome = wait_for(waiter);
    model_assert(outcome == WAIT_OUTCOME + 1 || outcome == WAIT_OUTCOME + 2, "one of the outcomes");
    model_data_read(&content[outcome - WAIT_OUTCOME]);
}

static void finish(void)
{
    unsigned me = (unsigned)model_self();
    model_data_write(&content[me]);
    wait_finish(waiter, WAIT_OUTCOME + me, false);
}

/* A source with two things to tell: its deadline and its value, say. */
static void finish_twice(void)
{
    finish();
    wait_finish(waiter, WAIT_OUTCOME + 2, false);
}

/* ---- one source ------------------------------------------------------------ */

static bool publish(struct waiter *w, void *arg)
{
    return runq_push(arg, (uintptr_t)w);
}

static bool publish_nothing(struct waiter *w, void *arg)
{
    (void)w;
    (void)arg;
    return false;
}

static void park(void)
{
    wait_park(waiter, publish, &found);
    model_free(waiter);
    model_data_read(&content[0]);
}

static void park_for_nothing(void)
{
    wait_park(waiter, publish_nothing, NULL);
    model_free(waiter);
}

static void find_and_wake(void)
{
    struct waiter *w;
    model_block_until((w = (struct waiter *)runq_pop(&found)));
    model_data_write(&content[0]);
    wait_wake(w, false);
}

static void no_sleep(void)
{
    model_assert(wakes == (waiter->fiber ? 1 : 0), "it goes on by itself");
}

/* ---- the matrix ------------------------------------------------------------ */

#define PROGRAM(title, start, end, bound, ...)                                                              \
    {                                                                                                       \
        .name = (title), .setup = (start), .check = (end), .threads = {__VA_ARGS__}, .preemptions = (bound) \
    }

static const struct model_program programs[] = {
    PROGRAM("task, one of many", task, one_outcome, 4, wait_for_outcome, finish),
    PROGRAM("task, two of many", task, one_outcome, 3, wait_for_outcome, finish, finish),
    PROGRAM("task, two at once from one", task, one_outcome, 4, wait_for_outcome, finish_twice),
    PROGRAM("task, one source", task, one_wake, 4, park, find_and_wake),
    PROGRAM("task, nothing to wait for", task, no_sleep, 4, park_for_nothing),
    PROGRAM("thread, one of many", plain_thread, one_outcome, 4, wait_for_outcome, finish),
    PROGRAM("thread, two of many", plain_thread, one_outcome, 3, wait_for_outcome, finish, finish),
    PROGRAM("thread, two at once from one", plain_thread, one_outcome, 4, wait_for_outcome, finish_twice),
    PROGRAM("thread, one source", plain_thread, one_wake, 4, park, find_and_wake),
    PROGRAM("thread, nothing to wait for", plain_thread, no_sleep, 4, park_for_nothing),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs), "wait.");
}
