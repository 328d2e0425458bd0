/* model_select.c - of a select's cases exactly one happens, and what the others would have done is left undone
 *
 * The library's channels and select, between plain threads: how a task leaves its stack, and how it is cancelled, is in
 * model_wait.  Elements are numbers from 1, and each is a datum that its sender writes before, and its receiver reads
 * after.  A call's own frame is on its thread's stack; what it has left behind in a channel is found at the end.
 */
#include "model_explore.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define worker_self  team_worker_self
#define worker_fiber team_worker_fiber
#define worker_spend team_worker_spend
#define LOCK_SPINS   1
#define RUNQ_SIZE    2u
#include "../lib/team.h"
#include "../lib/worker.h"
#undef worker_self
#undef worker_fiber
#undef worker_spend

static struct worker *worker_self(void)
{
    return NULL;
}

static void worker_spend(struct worker *w)
{
    (void)w;
}

#include "../lib/cancel.c"
#include "../lib/lock.c"
#include "../lib/park.c"
#define SPIN_PAUSES      1
#define SPIN_PAUSES_MOST 1
#include "../lib/spin.c"
#define put timers_put
#include "../lib/timers.c"
#undef put
#include "../lib/wait.c"
#include "../lib/chan.c"
#include "../lib/select.c"

#define DEADLINE 10
#define ELEMENTS 4

/* ---- in place of the worker: nobody is a task ------------------------------- */

static Atomic(uint32_t) parked;

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

void worker_suspend(struct worker *w, worker_then *then, void *arg)
{
    (void)w;
    (void)then;
    (void)arg;
    model_fail("a plain thread has no stack to leave");
}

void work_ready_fiber(struct fiber *f, bool next)
{
    (void)f;
    (void)next;
    model_fail("a plain thread has no fiber");
}

void work_expired(struct fiber *f, int64_t when, void *arg)
{
    (void)when;
    work_ready_fiber(f, arg);
}

void work_answer(struct worker *w)
{
    (void)w;
}

uint32_t choice_outside(uint32_t n)
{
    return model_choose(n);
}

_Noreturn void base_die(const char *format, ...)
{
    model_fail(format);
}

static int64_t now;

int64_t platform_clock(void)
{
    return now;
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

/* ---- before and after ------------------------------------------------------ */

static struct weft_chan a, b;
static uint64_t         room[2];
static int              datum[ELEMENTS + 1]; /* what the element stands for */
static unsigned         sent[ELEMENTS + 1], received[ELEMENTS + 1];

static void begin(size_t capacity)
{
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    memset(sent, 0, sizeof sent);
    memset(received, 0, sizeof received);
    a.elem_size = b.elem_size = sizeof(uint64_t);
    a.capacity = b.capacity = capacity;
    a.queue = (char *)&room[0];
    b.queue = (char *)&room[1];
    atomic_set(&parked, 0);
    now = 0;
}

static void unbuffered(void)
{
    begin(0);
}

static void buffered(void)
{
    begin(1);
}

static void have(uint64_t element)
{
    model_assert(element >= 1 && element <= ELEMENTS, "an element that nobody has sent");
    model_assert(received[element]++ == 0, "an element is received twice");
    model_data_read(&datum[element]);
}

static void all_accounted_for(void)
{
    static struct weft_chan *const chans[] = {&a, &b};
    for (int i = 0; i < 2; i++) {
        struct weft_chan *c = chans[i];
        model_assert(wait_empty(&c->senders) && wait_empty(&c->receivers), "an entry is left behind");
        model_assert(load_relaxed(&c->lock) == 0, "a channel at rest");
        if (load_relaxed(&c->count) > 0) have(room[i]);
    }
    for (int i = 1; i <= ELEMENTS; i++)
        model_assert(sent[i] == received[i], "an element is lost, or has come though its sending failed");
    model_assert(load_relaxed(&parked) == 0, "nobody waits");
}

/* ---- threads --------------------------------------------------------------- */

static void send_one(struct weft_chan *c, uint64_t element, weft_time deadline)
{
    model_data_write(&datum[element]);
    int result = weft_chan_send(c, &element, sizeof element, deadline);
    model_assert(result == 0 || result == -EPIPE || (deadline != WEFT_NEVER && result == -ETIMEDOUT), "a result");
    sent[element] = result == 0;
}

static void receive(struct weft_chan *c, weft_time deadline)
{
    uint64_t element = 0;
    int      result = weft_chan_recv(c, &element, sizeof element, deadline);
    model_assert(result == 0 || result == -EPIPE || (deadline != WEFT_NEVER && result == -ETIMEDOUT), "a result");
    if (result == 0) have(element);
}

static void send_one_to_a(void)
{
    send_one(&a, 1, WEFT_NEVER);
}

static void send_two_to_b(void)
{
    send_one(&b, 2, WEFT_NEVER);
}

static void try_one_to_a(void)
{
    send_one(&a, 1, DEADLINE);
}

static void try_two_to_b(void)
{
    send_one(&b, 2, DEADLINE);
}

static void receive_from_a(void)
{
    receive(&a, WEFT_NEVER);
}

static void receive_from_b(void)
{
    receive(&b, WEFT_NEVER);
}

static void try_from_b(void)
{
    receive(&b, DEADLINE);
}

static void close_b(void)
{
    model_assert(weft_chan_close(&b) == 0, "it was open");
}

/* A send to each of the two, or a receive where there is no element to send. */
static void choose_one(const uint64_t *to_a, const uint64_t *to_b, bool backwards, weft_time deadline)
{
    uint64_t         got[2] = {0, 0};
    struct weft_case cases[2] = {
        {.chan = &a, .from = to_a, .into = to_a ? NULL : &got[0], .size = sizeof(uint64_t), .result = INT_MAX},
        {.chan = &b, .from = to_b, .into = to_b ? NULL : &got[1], .size = sizeof(uint64_t), .result = INT_MAX},
    };
    if (backwards) {
        struct weft_case first = cases[0];
        cases[0] = cases[1];
        cases[1] = first;
    }
    if (to_a) model_data_write(&datum[*to_a]);
    if (to_b) model_data_write(&datum[*to_b]);
    int chosen = weft_select(cases, 2, deadline);
    model_assert(chosen == 0 || chosen == 1 || (deadline != WEFT_NEVER && chosen == -ETIMEDOUT), "a case");
    for (int i = 0; i < 2; i++) {
        if (i != chosen) {
            model_assert(cases[i].result == INT_MAX, "a case that was not chosen is left alone");
            model_assert(cases[i].from || *(uint64_t *)cases[i].into == 0, "nothing comes by another case");
            continue;
        }
        model_assert(cases[i].result == 0 || cases[i].result == -EPIPE, "a result");
        if (cases[i].result != 0) continue;
        if (cases[i].from) sent[*(const uint64_t *)cases[i].from] = 1;
        else have(*(uint64_t *)cases[i].into);
    }
}

static void select_receive(void)
{
    choose_one(NULL, NULL, false, WEFT_NEVER);
}

static void select_receive_twice(void)
{
    choose_one(NULL, NULL, false, WEFT_NEVER);
    choose_one(NULL, NULL, false, WEFT_NEVER);
}

static void select_receive_until_deadline(void)
{
    choose_one(NULL, NULL, false, DEADLINE);
}

static const uint64_t three = 3, four = 4;

static void select_send_twice(void)
{
    choose_one(&three, &four, false, WEFT_NEVER);
    /* Whichever is not sent yet, where it is taken. */
    if (sent[three]) send_one(&b, four, WEFT_NEVER);
    else send_one(&a, three, WEFT_NEVER);
}

static void select_send_until_deadline(void)
{
    choose_one(&three, &four, false, DEADLINE);
}

/* Two that have a case in common twice. */
static void select_send_or_receive(void)
{
    choose_one(&three, NULL, false, WEFT_NEVER);
}

static void select_receive_or_send(void)
{
    choose_one(NULL, &four, true, WEFT_NEVER);
}

/* The same channel in two cases: closing it is one of them, once. */
static void select_b_twice(void)
{
    uint64_t         got[2] = {0, 0};
    struct weft_case cases[2] = {
        {.chan = &b, .into = &got[0], .size = sizeof(uint64_t), .result = INT_MAX},
        {.chan = &b, .into = &got[1], .size = sizeof(uint64_t), .result = INT_MAX},
    };
    int chosen = weft_select(cases, 2, WEFT_NEVER);
    model_assert(chosen == 0 || chosen == 1, "a case");
    model_assert(cases[!chosen].result == INT_MAX && got[!chosen] == 0, "the other one is left alone");
    if (cases[chosen].result == 0) have(got[chosen]);
    else model_assert(cases[chosen].result == -EPIPE, "a result");
}

/* ---- the matrix ------------------------------------------------------------ */

#define PROGRAM(title, start, bound, ...)                                                        \
    {                                                                                            \
        .name = (title), .setup = (start), .check = all_accounted_for, .threads = {__VA_ARGS__}, \
        .preemptions = (bound)                                                                   \
    }

static const struct model_program programs[] = {
    PROGRAM("one sender, one receiver", unbuffered, 3, send_one_to_a, receive_from_a),
    PROGRAM("one sender, one receiver, through the queue", buffered, 3, send_one_to_a, receive_from_a),
    PROGRAM("a sender, or it is closed", unbuffered, 2, send_two_to_b, receive_from_b, close_b),
    PROGRAM("two receivers until their deadlines, or it is closed", unbuffered, 2, try_from_b, try_from_b, close_b),
    PROGRAM("a sender until its deadline", unbuffered, 2, select_receive_until_deadline, try_one_to_a),
    PROGRAM("two senders, one receiver of either", unbuffered, 1, select_receive_until_deadline, try_one_to_a,
            try_two_to_b),
    PROGRAM("two senders, both received", unbuffered, 1, select_receive_twice, send_one_to_a, send_two_to_b),
    PROGRAM("two senders, both received, through the queues", buffered, 1, select_receive_twice, send_one_to_a,
            send_two_to_b),
    PROGRAM("two receivers, one sender to either", unbuffered, 1, select_send_twice, receive_from_a, receive_from_b),
    PROGRAM("a sender, or the other is closed", unbuffered, 1, select_receive, try_one_to_a, close_b),
    PROGRAM("a sender until a deadline, or it is closed", unbuffered, 1, select_send_until_deadline, receive_from_b,
            close_b),
    PROGRAM("two selects meet", unbuffered, 2, select_send_or_receive, select_receive_or_send),
    PROGRAM("the same channel twice", unbuffered, 2, select_b_twice, send_two_to_b),
    PROGRAM("the same channel twice, or it is closed", unbuffered, 1, select_b_twice, try_two_to_b, close_b),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs), "spin. thread_wait park_wake");
}
