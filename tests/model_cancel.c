/* model_cancel.c - a cancel finds all that wait below, however they and what is above them become findable meanwhile
 *
 *      outermost - top - middle - left, right
 *
 * Nothing is linked at first.  Who waits links itself, publishes its wait and looks whether it is cancelled, as wait.c
 * does; whoever finds a reason and whoever cancels want to end the wait, and one of them must.  Who computes looks
 * until it is cancelled.  Both then see what the canceller did before.
 */
#include "model_explore.h"

#include <errno.h>
#include <string.h>

#define LOCK_SPINS 1

#include "../lib/team.h"

#include "../lib/cancel.c"
#include "../lib/lock.c"
#define SPINS            30 /* more than in any execution, so that others are let run by the explorer alone */
#define SPIN_PAUSES      1
#define SPIN_PAUSES_MOST 1
#include "../lib/spin.c"

enum { OUTERMOST, TOP, MIDDLE, LEFT, RIGHT, NODES };

static struct weft_runtime runtime;
static struct node         nodes[NODES];
static struct fiber        fibers[NODES];
static struct waiter       waiters[NODES];
static Atomic(unsigned)    ended[NODES];
static int                 cause; /* what the canceller did before */
static int                 frames[NODES];

void platform_futex_wait(Atomic(uint32_t) *word, uint32_t value, int64_t timeout)
{
    (void)timeout;
    model_futex_wait(word, value);
}

void platform_futex_wake(Atomic(uint32_t) *word, int count)
{
    model_futex_wake(word, count);
}

void park_wake(struct waiter *w, bool next)
{
    (void)next;
    model_data_read(&frames[w - waiters]);
    ended[w - waiters]++;
}

/* Nobody has a deadline. */
bool timers_expire_one(struct timer *timer, int64_t now, void *arg)
{
    (void)timer;
    (void)now;
    (void)arg;
    return false;
}

int64_t platform_clock(void)
{
    return 0;
}

static void begin(void)
{
    memset(&runtime, 0, sizeof runtime);
    memset(nodes, 0, sizeof nodes);
    memset(fibers, 0, sizeof fibers);
    memset(waiters, 0, sizeof waiters);
    memset(ended, 0, sizeof ended);
    node_init(&nodes[OUTERMOST], NULL, NODE_SCOPE);
    node_init(&nodes[TOP], &nodes[OUTERMOST], NODE_JOB);
    node_init(&nodes[MIDDLE], &nodes[TOP], NODE_TASK);
    node_init(&nodes[LEFT], &nodes[MIDDLE], NODE_TASK);
    node_init(&nodes[RIGHT], &nodes[MIDDLE], NODE_TASK);
    for (int i = TOP; i <= RIGHT; i++) {
        fibers[i].node = &nodes[i];
        fibers[i].runtime = &runtime;
        waiters[i].claim = &nodes[i].wait;
    }
}

/* They have waited before. */
static void begin_linked(void)
{
    begin();
    cancel_link(&fibers[RIGHT]);
    cancel_link(&fibers[LEFT]);
}

/* Something else was cancelled before. */
static void begin_later(void)
{
    begin();
    store_relaxed(&runtime.epoch, EPOCH_FIRST);
}

static int wait_as(int i)
{
    struct waiter *w = &waiters[i];
    cancel_link(&fibers[i]);
    model_data_write(&frames[i]);
    store_release(w->claim, (uintptr_t)w); /* this and what follows as publish_and_unlock does it */
    fence_seq();
    int reason = cancel_check(&fibers[i]);
    if (reason && park_claim(w)) {
        w->outcome = reason;
        park_wake(w, false);
    }
    return reason;
}

static void wait_after_either(void)
{
    wait_as(LEFT);
}

static void wait_left(void)
{
    if (wait_as(LEFT)) model_data_read(&cause);
}

static void compute_left(void)
{
    model_block_until(cancel_check(&fibers[LEFT]));
    model_data_read(&cause);
}

static void compute_middle(void)
{
    model_block_until(cancel_check(&fibers[MIDDLE]));
    model_assert(cancel_check(&fibers[MIDDLE]) == -ECANCELED, "who is cancelled stays so");
}

static void look_left(void)
{
    cancel_check(&fibers[LEFT]);
}

static void ask_of_left(void)
{
    model_block_until(cancel_reason(&nodes[LEFT]));
    model_data_read(&cause);
}

static void wait_right(void)
{
    wait_as(RIGHT);
}

static void wait_middle(void)
{
    wait_as(MIDDLE);
}

/* All that a wait which has ended by itself leaves behind. */
static void link_top(void)
{
    cancel_link(&fibers[TOP]);
}

static void link_middle(void)
{
    cancel_link(&fibers[MIDDLE]);
}

static void leave_right(void)
{
    cancel_leave(&runtime, &nodes[RIGHT]);
    memset(&nodes[RIGHT], 0, sizeof nodes[RIGHT]); /* its storage is used for something else */
}

static void cancel(int i)
{
    model_data_write(&cause);
    cancel_node(&runtime, &nodes[i], -ECANCELED);
}

static void cancel_outermost(void)
{
    cancel(OUTERMOST);
}

static void cancel_top(void)
{
    cancel(TOP);
}

static void each_list_is_whole(void)
{
    for (int up = OUTERMOST; up <= MIDDLE; up++) {
        const struct node *before = NULL, *n = (const struct node *)load_relaxed(&nodes[up].children);
        for (; n; before = n, n = sibling(n)) {
            model_assert(node_up(n) == &nodes[up], "a child in its parent's list");
            model_assert(n->prev == before, "each leads to the one before");
        }
    }
    model_assert(load_relaxed(&runtime.cancel_lock) == 0 && load_relaxed(&runtime.pins) == 0, "nothing is held");
}

static void is_ended(int i)
{
    model_assert(ended[i] == 1, "it waited, and is ended once");
    model_assert(waiters[i].outcome == cancel_reason(&nodes[i]), "for the reason that counts");
}

static void left_is_ended(void)
{
    each_list_is_whole();
    is_ended(LEFT);
    for (int i = OUTERMOST; i < NODES; i++) model_assert(load_relaxed(&nodes[i].wait) == 0, "nobody waits on");
}

static void both_are_ended(void)
{
    left_is_ended();
    is_ended(RIGHT);
}

static void left_and_middle_are_ended(void)
{
    left_is_ended();
    is_ended(MIDDLE);
}

static void cancel_top_meanwhile(void)
{
    cancel_node(&runtime, &nodes[TOP], -EIO);
}

#define PROGRAM(title, start, end, bound, ...)                                                              \
    {                                                                                                       \
        .name = (title), .setup = (start), .check = (end), .threads = {__VA_ARGS__}, .preemptions = (bound) \
    }

static const struct model_program programs[] = {
    PROGRAM("one waits", begin, left_is_ended, 3, wait_left, cancel_outermost),
    PROGRAM("one waits, cancelled further down", begin, left_is_ended, 3, wait_left, cancel_top),
    PROGRAM("one computes", begin, each_list_is_whole, 2, compute_left, cancel_outermost),
    PROGRAM("one computes, another below it looks", begin_later, each_list_is_whole, 1, compute_middle, look_left,
            cancel_outermost),
    PROGRAM("one computes, as does another above it", begin, each_list_is_whole, 1, compute_left, compute_middle,
            cancel_outermost),
    PROGRAM("one asks", begin, each_list_is_whole, 2, ask_of_left, cancel_outermost),
    PROGRAM("two wait", begin, both_are_ended, 1, wait_left, wait_right, cancel_outermost),
    PROGRAM("two wait, one above the other", begin, left_and_middle_are_ended, 1, wait_left, wait_middle,
            cancel_outermost),
    PROGRAM("one waits, and each above it links itself", begin, left_is_ended, 1, link_top, link_middle, wait_left,
            cancel_outermost),
    PROGRAM("one waits, and two cancel", begin, left_is_ended, 1, wait_after_either, cancel_outermost,
            cancel_top_meanwhile),
    PROGRAM("one waits again, another ends", begin_linked, left_is_ended, 2, wait_left, leave_right, cancel_outermost),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs),
                      "cancel_reason cancel_check noted note end_wait :wait_as");
}
