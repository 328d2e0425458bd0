/* model_wait.c - a wait is ended exactly once, by its source, its deadline or a cancel, and then its frame is let go
 *
 * Thread 0 waits.  As a task it leaves its stack to thread 1, which is its worker: that publishes the wait while thread
 * 0 may go on already, on another worker.  The others end the wait, or try to.  The waiter's frame is a block that is
 * overwritten and freed as soon as the wait is over, so that nobody can be at it any more.
 *
 * All of park, wait, cancel, timers, spin and lock are the library's; of the worker below them only this is here.
 */
#include "model_explore.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define LOCK_SPINS 1
#define RUNQ_SIZE  2u

/* Each thread has its own worker, or none. */
#define worker_self  team_worker_self
#define worker_fiber team_worker_fiber
#include "../lib/team.h"
#undef worker_self
#undef worker_fiber

static struct worker *worker_self(void);

#include "../lib/cancel.c"
#include "../lib/lock.c"
#include "../lib/park.c"
#define SPIN_PAUSES      1
#define SPIN_PAUSES_MOST 1
#include "../lib/spin.c"
#include "../lib/timers.c"
#include "../lib/wait.c"

#define DEADLINE 10
#define POISON   0x5a

struct frame {
    struct waiter     waiter;
    struct wait_entry entry;
};

/* Whatever somebody waits for: things, which are taken one by one. */
static struct {
    spin_word  lock;
    wait_queue queue;
    unsigned   things;
} source;

static struct weft_runtime runtime;
static struct worker       workers[2];
static struct fiber        fiber, spare;
static struct node         scope, task;
static struct frame       *frame;
static bool                plain;       /* thread 0 is a plain thread */
static int                 left;        /* the task's stack, which is written until it is left */
static ready_link          left_behind; /* its context is saved */
static struct runq         gone, resumed;
static struct runq         found; /* where a waiter is that one source ends */
static worker_then        *then;
static void               *then_arg;
static Atomic(uint32_t)    parked;  /* plain threads that wait for good */
static Atomic(bool)        settled; /* thread 0 does not wait any more */
static int                 outcome, content, request;
static unsigned            wakes, made, answered;
static int64_t             now;

/* ---- in place of the worker ------------------------------------------------ */

static struct worker *worker_self(void)
{
    if (model_self() == 0 && !plain) return &workers[0];
    return model_self() == 1 && !plain ? &workers[1] : NULL;
}

void worker_suspend(struct worker *w, worker_then *does, void *arg)
{
    (void)w;
    then = does;
    then_arg = arg;
    model_data_write(&left);
    runq_push(&gone, ready_make(&left_behind, READY_FIBER));
    model_block_until(runq_pop(&resumed));
}

/* The worker's next stack. */
static void next_stack(void)
{
    model_block_until(runq_length(&gone) > 0 || load_relaxed(&settled));
    if (runq_pop(&gone)) then(&workers[1], &fiber, then_arg);
}

void work_ready_fiber(struct fiber *f, bool next)
{
    (void)next;
    model_assert(f == &fiber, "the fiber that waits");
    model_assert(wakes++ == 0, "it is woken twice");
    model_data_read(&left);
    runq_push(&resumed, fiber_ready(f));
}

void work_expired(struct fiber *f, int64_t when, void *arg)
{
    (void)when;
    *(struct fiber **)arg = f;
}

void work_answer(struct worker *w)
{
    store_relaxed(&w->asked, 0);
    answered++;
}

void search_park(void)
{
    add_relaxed(&parked, 1);
}

void search_parked(void)
{
}

void search_unpark(void)
{
    sub_relaxed(&parked, 1);
}

void platform_futex_wait(Atomic(uint32_t) *word, uint32_t value, int64_t timeout)
{
    if (timeout < 0) model_futex_wait(word, value);
    else if (model_futex_times_out(word, value)) now = DEADLINE;
}

void platform_futex_wake(Atomic(uint32_t) *word, int count)
{
    model_futex_wake(word, count);
}

int64_t platform_clock(void)
{
    return now;
}

/* ---- before and after ------------------------------------------------------ */

static void begin(void)
{
    memset(&workers, 0, sizeof workers);
    memset(&fiber, 0, sizeof fiber);
    memset(&spare, 0, sizeof spare);
    memset(&source, 0, sizeof source);
    memset(&runtime, 0, sizeof runtime);
    runq_init(&gone);
    runq_init(&resumed);
    runq_init(&found);
    atomic_set(&settled, false);
    atomic_set(&parked, 0);
    node_init(&scope, NULL, NODE_SCOPE);
    node_init(&task, &scope, NODE_TASK);
    fiber.node = &task;
    fiber.runtime = &runtime;
    workers[0].fiber = &fiber;
    fiber.due = INT64_MAX;
    workers[1].fiber = &spare;
    timers_init(&workers[1].timers, true);
    frame = model_alloc(sizeof *frame);
    plain = false;
    outcome = content = 1;
    wakes = made = answered = 0;
    now = 0;
}

static void a_task(void)
{
    begin();
}

/* Its worker goes on with somebody else, and nobody watches. */
static void a_task_unwatched(void)
{
    begin();
    spare.node = &scope;
    atomic_set(&workers[1].asked, ASKED_WATCH);
}

static void a_thread(void)
{
    begin();
    plain = true;
}

static void one_thing(void)
{
    begin();
    source.things = made = 1;
}

static void over(void)
{
    model_assert(load_relaxed(&settled), "it goes on");
    for (size_t i = 0; i < sizeof *frame; i++)
        model_assert(((unsigned char *)frame)[i] == POISON, "the frame is written after it was let go");
    model_assert(source.things + (outcome == 0) == made, "a thing is lost, or taken though the wait has failed");
    model_assert(wait_empty(&source.queue) && load_relaxed(&source.lock) == 0, "a source at rest");
    model_assert(workers[1].timers.count == 0 && load_relaxed(&task.wait) == 0, "nothing is left behind");
    model_assert(load_relaxed(&parked) == 0, "nobody waits for good");
}

static void over_by_deadline(void)
{
    over();
    model_assert(outcome == -ETIMEDOUT, "the deadline has passed");
}

static void over_by_cancel(void)
{
    over();
    model_assert(outcome == -ECANCELED, "it was cancelled");
}

static void over_by_source(void)
{
    over();
    model_assert(outcome == 0, "it has got what it waited for");
}

static void over_and_answered(void)
{
    over_by_deadline();
    model_assert(answered == 1, "somebody looks after the timer");
}

/* ---- who waits ------------------------------------------------------------- */

static void unlock(void *arg)
{
    (void)arg;
    spin_drop(&source.lock, 0);
}

static int get(weft_time deadline)
{
    spin_take(&source.lock);
    if (source.things > 0) {
        source.things--;
        unlock(NULL);
        return 0;
    }
    int result = wait_refused(deadline);
    if (result) {
        unlock(NULL);
        return result;
    }
    static const struct wait_kind kind = {.what = ""};
    park_init(&frame->waiter, &kind, NULL);
    frame->entry.waiter = &frame->waiter;
    wait_push(&source.queue, &frame->entry);
    result = wait_for(&frame->waiter, deadline, unlock, NULL);
    if (result >= 0) return result;
    spin_take(&source.lock);
    wait_remove(&source.queue, &frame->entry);
    unlock(NULL);
    return result;
}

static void let_go(int result)
{
    outcome = result;
    model_assert(outcome == 0 || outcome == -ETIMEDOUT || outcome == -ECANCELED, "one of the outcomes");
    if (outcome == 0) model_data_read(&content);
    memset(frame, POISON, sizeof *frame);
    model_free(frame);
    store_relaxed(&settled, true);
}

static void wait_for_good(void)
{
    let_go(get(WEFT_NEVER));
}

static void wait_until_deadline(void)
{
    let_go(get(DEADLINE));
}

static void unlock_nothing(void *arg)
{
    (void)arg;
}

/* With the lock of the timers alone. */
static void wait_for_deadline_alone(void)
{
    static const struct wait_kind kind = {.what = ""};
    int                           refused = wait_refused(WEFT_NEVER);
    if (!refused) park_init(&frame->waiter, &kind, NULL);
    let_go(refused ? refused : wait_for(&frame->waiter, DEADLINE, unlock_nothing, NULL));
}

/* Its source knows it from before, and has no lock: what it did in between is seen by who claims it. */
static void wait_for_who_knows_it(void)
{
    static const struct wait_kind kind = {.what = ""};
    park_init(&frame->waiter, &kind, NULL);
    runq_push(&found, (uintptr_t)&frame->waiter);
    model_data_write(&request);
    let_go(wait_for(&frame->waiter, WEFT_NEVER, unlock_nothing, NULL));
}

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
    static const struct wait_kind kind = {.what = ""};
    park_init(&frame->waiter, &kind, NULL);
    park_wait(&frame->waiter, publish, &found);
    let_go(0);
}

static void park_for_nothing(void)
{
    static const struct wait_kind kind = {.what = ""};
    park_init(&frame->waiter, &kind, NULL);
    park_wait(&frame->waiter, publish_nothing, NULL);
    let_go(0);
}

/* ---- who ends it ----------------------------------------------------------- */

static void give(void)
{
    spin_take(&source.lock);
    struct wait_entry *e = wait_claim_first(&source.queue);
    model_data_write(&content);
    made++;
    if (!e) {
        source.things++;
        unlock(NULL);
        return;
    }
    e->waiter->outcome = 0;
    unlock(NULL);
    park_wake(e->waiter, false);
}

/* Thinks better of it. */
static void claim_and_leave(void)
{
    spin_take(&source.lock);
    struct wait_entry *e = wait_claim_first(&source.queue);
    if (e) {
        wait_push_first(&source.queue, e);
        wait_unclaim(e->waiter);
    }
    unlock(NULL);
}

static void give_to_all(void)
{
    spin_take(&source.lock);
    struct wait_entry *all = wait_claim_all(&source.queue);
    model_data_write(&content);
    made++;
    if (!all) source.things++;
    unlock(NULL);
    wait_wake_all(all, 0);
}

static struct waiter *find(void)
{
    struct waiter *w;
    model_block_until((w = (struct waiter *)runq_pop(&found)));
    return w;
}

static void give_to_one_known(void)
{
    struct waiter *w = find();
    model_block_until(park_claim(w));
    model_data_read(&request);
    model_data_write(&content);
    made++;
    w->outcome = 0;
    park_wake(w, false);
}

static void find_and_wake(void)
{
    struct waiter *w = find();
    model_data_write(&content);
    made++;
    park_wake(w, false);
}

static void make_nothing(void)
{
    made++;
}

static void pass_deadline(void)
{
    struct fiber *f = NULL;
    model_block_until(load_relaxed(&settled) || timers_next(&workers[1].timers) <= DEADLINE);
    timers_expire(&workers[1].timers, DEADLINE, UINT_MAX, &f);
    if (f) work_ready_fiber(f, false);
}

static void cancel_task(void)
{
    cancel_node(&runtime, &task, -ECANCELED);
}

static void cancel_scope(void)
{
    cancel_node(&runtime, &scope, -ECANCELED);
}

/* ---- the matrix ------------------------------------------------------------ */

#define PROGRAM(title, start, end, bound, ...)                                                              \
    {                                                                                                       \
        .name = (title), .setup = (start), .check = (end), .threads = {__VA_ARGS__}, .preemptions = (bound) \
    }

static const struct model_program programs[] = {
    PROGRAM("task, source", a_task, over_by_source, 3, wait_for_good, next_stack, give),
    PROGRAM("task, source that gives to all", a_task, over_by_source, 3, wait_for_good, next_stack, give_to_all),
    PROGRAM("task, it is there", one_thing, over_by_source, 3, wait_until_deadline, next_stack, cancel_task),
    PROGRAM("task, deadline", a_task, over_by_deadline, 2, wait_until_deadline, next_stack, pass_deadline),
    PROGRAM("task, deadline alone", a_task, over_by_deadline, 2, wait_for_deadline_alone, next_stack, pass_deadline),
    PROGRAM("task, deadline, unwatched", a_task_unwatched, over_and_answered, 2, wait_until_deadline, next_stack,
            pass_deadline),
    PROGRAM("task, cancel", a_task, over_by_cancel, 2, wait_for_good, next_stack, cancel_task),
    PROGRAM("task, cancel from above", a_task, over_by_cancel, 2, wait_for_good, next_stack, cancel_scope),
    PROGRAM("task, source or deadline", a_task, over, 1, wait_until_deadline, next_stack, give, pass_deadline),
    PROGRAM("task, source or cancel", a_task, over, 1, wait_for_good, next_stack, give, cancel_task),
    PROGRAM("task, claimed and left, and cancelled", a_task, over_by_cancel, 1, wait_for_good, next_stack,
            claim_and_leave, cancel_task),
    PROGRAM("task, deadline alone or cancel", a_task, over, 1, wait_for_deadline_alone, next_stack, pass_deadline,
            cancel_task),
    PROGRAM("task, source that knew it before", a_task, over_by_source, 3, wait_for_who_knows_it, next_stack,
            give_to_one_known),
    PROGRAM("task, parked", a_task, over_by_source, 3, park, next_stack, find_and_wake),
    PROGRAM("task, parked for nothing", a_task, over_by_source, 3, park_for_nothing, next_stack, make_nothing),
    PROGRAM("thread, source", a_thread, over_by_source, 3, wait_for_good, give),
    PROGRAM("thread, source that gives to all", a_thread, over_by_source, 3, wait_for_good, give_to_all),
    PROGRAM("thread, deadline", a_thread, over_by_deadline, 3, wait_until_deadline),
    PROGRAM("thread, source or deadline", a_thread, over, 3, wait_until_deadline, give),
    PROGRAM("thread, parked", a_thread, over_by_source, 3, park, find_and_wake),
    PROGRAM("thread, parked for nothing", a_thread, over_by_source, 3, park_for_nothing, make_nothing),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs), "wait. park. end_wait");
}
