/* model_deque.c - each entry of the deque is taken exactly once, by the owner or by a thief
 *
 * Thread 0 is the owner, the others are thieves.  Whoever takes an entry comes after what its pusher wrote to what
 * it points to.  The rings are small, so that they fill up, grow and are gone round; what a thief has read in one
 * is not written again before its CAS (model_used in lib/deque.c).
 */
#include "model_explore.h"

#include <stdlib.h>
#include <string.h>

#define DEQUE_MIN 2u
#define DEQUE_MAX 4u
#define malloc    model_alloc
#define free      model_free
#include "../lib/deque.c"

#define ITEMS 8

static struct deque d;
static int          item[ITEMS];
static unsigned     taken[ITEMS], pushed;

/* ---- what owner and thieves do --------------------------------------------- */

static void push(void)
{
    model_data_write(&item[pushed]);
    model_assert(deque_push(&d, &item[pushed]), "there is room, and it is not used");
    pushed++;
}

static void have(void *entry)
{
    if (!entry) return;
    ptrdiff_t i = (int *)entry - item;
    model_assert(i >= 0 && i < (ptrdiff_t)pushed, "an entry that nobody has pushed");
    model_assert(taken[i]++ == 0, "an entry is taken twice");
    model_data_write(&item[i]);
}

static void pop(void)
{
    have(deque_pop(&d));
}

static void pop_if_newest(void)
{
    int *newest = &item[pushed - 1];
    if (deque_pop_if(&d, newest)) have(newest);
}

static void steal(uint32_t most)
{
    void    *got[2];
    uint32_t n = deque_steal(&d, got, most);
    model_assert(n <= most, "more entries than were asked for");
    for (uint32_t i = 0; i < n; i++) have(got[i]);
}

/* ---- before and after ------------------------------------------------------ */

static void begin(unsigned pushes, unsigned steals, bool publish)
{
    memset(taken, 0, sizeof taken);
    pushed = 0;
    model_assert(deque_init(&d), "the first ring cannot be made");
    for (unsigned i = 0; i < pushes; i++) push();
    for (unsigned i = 0; i < steals; i++) {
        deque_publish(&d);
        steal(1);
    }
    if (publish) deque_publish(&d);
}

static void empty(void)
{
    begin(0, 0, false);
}

static void one(void)
{
    begin(1, 0, false);
}

static void one_public(void)
{
    begin(1, 0, true);
}

static void two(void)
{
    begin(2, 0, false);
}

static void three(void)
{
    begin(3, 0, false);
}

static void three_half_public(void)
{
    begin(3, 0, true);
}

static void four_half_public(void)
{
    begin(4, 0, true);
}

static void two_and_stolen(void)
{
    begin(2, 2, false);
}

static void four_two_stolen(void)
{
    begin(4, 2, false);
}

static void each_once(void)
{
    uint32_t left = deque_length(&d), popped = 0;
    for (void *entry; (entry = deque_pop(&d)); popped++) have(entry);
    model_assert(popped == left, "not as many are left as the length says");
    for (unsigned i = 0; i < pushed; i++) model_assert(taken[i] == 1, "an entry is lost");
    deque_destroy(&d);
}

/* ---- owners ---------------------------------------------------------------- */

/* Grows the ring while a thief may read the old one. */
static void push_publish_push_push(void)
{
    push();
    deque_publish(&d);
    push();
    push();
}

static void push_push_publish_pop_pop(void)
{
    push();
    push();
    deque_publish(&d);
    pop();
    pop();
}

static void push_push_pop(void)
{
    push();
    push();
    pop();
}

static void push_once(void)
{
    push();
}

static void push_twice(void)
{
    push();
    push();
}

static void pop_pop_push_push(void)
{
    pop();
    pop();
    push();
    push();
}

static void pop_thrice(void)
{
    pop();
    pop();
    pop();
}

/* Takes public entries back, so that their indices come up anew. */
static void pop_pop_push_publish(void)
{
    pop();
    pop();
    push();
    deque_publish(&d);
}

static void push_pop_if(void)
{
    push();
    pop_if_newest();
}

static void pop_if_then_push(void)
{
    pop_if_newest();
    push();
    pop_if_newest();
}

/* Has the oldest, as a worker that picks from the far end. */
static void publish_and_steal_own(void)
{
    deque_publish(&d);
    steal(1);
    push();
    pop();
}

static void push_until_refused(void)
{
    while (pushed < ITEMS - 1) {
        model_data_write(&item[pushed]);
        if (!deque_push(&d, &item[pushed])) break;
        pushed++;
    }
    model_assert(pushed == DEQUE_MAX || pushed == DEQUE_MAX + 1, "as many as there is room for, and one was stolen");
    pop();
    push();
}

/* ---- thieves --------------------------------------------------------------- */

static void steal_one(void)
{
    steal(1);
}

static void steal_one_twice(void)
{
    steal(1);
    steal(1);
}

static void steal_two(void)
{
    steal(2);
}

static void force_steal(void)
{
    deque_force(&d);
    steal(2);
}

static void force_steal_twice(void)
{
    force_steal();
    force_steal();
}

/* ---- the matrix ------------------------------------------------------------ */

#define PROGRAM(title, start, ...)                                                        \
    {                                                                                     \
        .name = (title), .setup = (start), .check = each_once, .threads = { __VA_ARGS__ } \
    }

static const struct model_program programs[] = {
    PROGRAM("three pushes, growing", one_public, push_publish_push_push, steal_one),
    PROGRAM("three pushes, growing, two thieves", one_public, push_publish_push_push, steal_one, steal_two),
    PROGRAM("three pushes from nothing", empty, push_publish_push_push, steal_one_twice),
    PROGRAM("two pushes, two pops, two steals", empty, push_push_publish_pop_pop, steal_one_twice),
    PROGRAM("two pushes, two pops, two thieves", empty, push_push_publish_pop_pop, steal_one, steal_one),
    PROGRAM("two thieves, several at once", three_half_public, push_pop_if, steal_two, steal_two),

    PROGRAM("settle", two, push_once, force_steal),
    PROGRAM("settle on what was pushed meanwhile", empty, push_push_pop, force_steal),
    PROGRAM("settle, or refuse", three, pop_pop_push_push, force_steal),
    PROGRAM("settle, or refuse, and another thief", three, pop_pop_push_push, force_steal, steal_one),
    PROGRAM("settle, or refuse, two thieves", two, pop_pop_push_push, force_steal, force_steal),
    PROGRAM("the last one", one, pop_if_newest, force_steal),
    PROGRAM("publish against force", empty, push_push_publish_pop_pop, force_steal),
    PROGRAM("publish against force, and another thief", empty, push_push_publish_pop_pop, force_steal, steal_one),

    PROGRAM("reclaim", three_half_public, pop_thrice, steal_one_twice),
    PROGRAM("reclaim, two thieves", four_half_public, pop_thrice, steal_one, steal_two),
    PROGRAM("reclaim, and publish again", three_half_public, pop_pop_push_publish, steal_one_twice),
    PROGRAM("reclaim against force", three_half_public, pop_thrice, steal_one, force_steal),

    PROGRAM("push as top has moved", two_and_stolen, push_once, force_steal),
    PROGRAM("push as top has moved, then more", two_and_stolen, push_push_pop, force_steal, steal_one),
    PROGRAM("push round the ring", four_two_stolen, push_twice, force_steal, steal_one),
    PROGRAM("push that grows, then forced", two, push_once, force_steal_twice),
    PROGRAM("push that grows, two force", two, push_twice, force_steal, force_steal),
    PROGRAM("push to a full deque", three_half_public, push_until_refused, steal_one),

    PROGRAM("pop if it is the newest", one_public, push_pop_if, steal_one_twice),
    PROGRAM("pop if it is the newest, forced", empty, push_pop_if, force_steal),
    PROGRAM("pop if it has not been stolen", one_public, pop_if_then_push, steal_one, force_steal),
    PROGRAM("the owner takes the oldest", three, publish_and_steal_own, steal_one, force_steal),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs), ":deque_");
}
