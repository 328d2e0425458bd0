/* model_runq.c - each entry of the queue is taken exactly once, and the oldest first
 *
 * Thread 0 is the owner.  Whoever takes an entry comes after what was written to what it points to.  A slot that was
 * read is not written again before the CAS that took it (model_used in lib/runq.h).
 */
#include "model_explore.h"

#include <string.h>

#define RUNQ_SIZE 2u
#include "../lib/runq.h"

#define ITEMS 8

static struct runq q;
static int         item[ITEMS];
static unsigned    taken[ITEMS], pushed;

static bool push(void)
{
    model_data_write(&item[pushed]);
    if (!runq_push(&q, (uintptr_t)&item[pushed])) return false;
    pushed++;
    return true;
}

/* Which it was, from 1; 0: nothing. */
static unsigned pop(void)
{
    int *entry = (int *)runq_pop(&q);
    if (!entry) return 0;
    ptrdiff_t i = entry - item;
    model_assert(i >= 0 && i < (ptrdiff_t)pushed, "an entry that nobody has pushed");
    model_assert(taken[i]++ == 0, "an entry is taken twice");
    model_data_write(&item[i]);
    return (unsigned)i + 1;
}

/* ---- before and after ------------------------------------------------------ */

static void empty(void)
{
    memset(taken, 0, sizeof taken);
    pushed = 0;
    runq_init(&q);
}

static void full(void)
{
    empty();
    while (push()) continue;
    model_assert(pushed == RUNQ_SIZE, "as many as there is room for");
}

static void each_once(void)
{
    uint32_t left = runq_length(&q), popped = 0;
    while (pop()) popped++;
    model_assert(popped == left, "not as many are left as the length says");
    for (unsigned i = 0; i < pushed; i++) model_assert(taken[i] == 1, "an entry is lost");
}

/* ---- the owner ------------------------------------------------------------- */

static void push_thrice(void)
{
    push();
    push();
    push();
}

static void push_push_pop(void)
{
    push();
    push();
    pop();
}

static void pop_push_push(void)
{
    model_assert(pop() || taken[RUNQ_SIZE - 1], "there is one, unless others have taken them");
    push();
    push();
}

static void push_when_full(void)
{
    push();
    push();
    pop();
    model_assert(push(), "what was popped leaves room");
}

/* ---- others ---------------------------------------------------------------- */

static void take_one(void)
{
    pop();
}

static void take_two(void)
{
    unsigned first = pop(), second = pop();
    model_assert(!second || second > first, "the oldest comes first");
}

/* ---- the matrix ------------------------------------------------------------ */

#define PROGRAM(title, start, ...)                                                        \
    {                                                                                     \
        .name = (title), .setup = (start), .check = each_once, .threads = { __VA_ARGS__ } \
    }

static const struct model_program programs[] = {
    PROGRAM("pushes against pops", empty, push_thrice, take_two),
    PROGRAM("pushes against two who pop", empty, push_thrice, take_one, take_two),
    PROGRAM("the owner pops, too", empty, push_push_pop, take_one, take_one),
    PROGRAM("round the ring", full, push_thrice, take_two),
    PROGRAM("round the ring, the owner pops, too", full, pop_push_push, take_two),
    PROGRAM("round the ring, two who pop", full, pop_push_push, take_one, take_two),
    PROGRAM("full", full, push_when_full, take_one),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, sizeof programs / sizeof *programs, "runq.h:");
}
