/* model_slot.c - what is put into a slot is had exactly once, by its owner or by a thief who forces it
 *
 * Thread 0 is the owner, the others are thieves.  Whoever has an item comes after what was written to it before it
 * was put.  The light fence is nothing here, and the heavy one a fence in each other thread at some moment.
 */
#include "model_explore.h"

#include <string.h>

#include "../lib/slot.c"
#define SPIN_PAUSES      1
#define SPIN_PAUSES_MOST 1
#include "../lib/spin.c"

#define ITEMS 4

static struct slot slot;
static ready_link  item[ITEMS];
static unsigned    had[ITEMS], put;
static bool        forced; /* somebody has */

static void have(ready_t got)
{
    if (!got) return;
    ptrdiff_t i = ready_to_link(got) - item;
    model_assert(i >= 0 && i < (ptrdiff_t)put, "an item that nobody has put");
    model_assert(had[i]++ == 0, "an item is had twice");
    model_data_write(&item[i]);
}

/* ---- before and after ------------------------------------------------------ */

static ready_t fresh(void)
{
    model_data_write(&item[put]);
    return ready_make(&item[put++], READY_FIBER);
}

static void empty(void)
{
    memset(had, 0, sizeof had);
    put = 0;
    forced = false;
    atomic_set(&slot.item, 0);
    atomic_set(&slot.forced, 0);
    atomic_set(&slot.lock, 0);
}

static void one_in_it(void)
{
    empty();
    have(slot_put(&slot, fresh()));
}

/* A thief has taken it, and the owner has yet to notice. */
static void one_taken(void)
{
    one_in_it();
    atomic_set(&slot.forced, SLOT_TAKEN);
    have(load_relaxed(&slot.item));
}

static void each_once(void)
{
    have(slot_take(&slot));
    model_assert(slot_empty(&slot), "nothing is in it after it was taken");
    model_assert(slot_take(&slot) == 0, "it is taken once");
    for (unsigned i = 0; i < put; i++) model_assert(had[i] == 1, "an item is lost");
    model_assert(load_relaxed(&slot.forced) == 0 && load_relaxed(&slot.lock) == 0, "a slot at rest");
}

/* An owner that does not move keeps nothing to itself. */
static void each_once_by_force(void)
{
    model_assert(forced, "nobody could force it");
    each_once();
}

/* ---- the owner ------------------------------------------------------------- */

static void take(void)
{
    have(slot_take(&slot));
}

static void put_one(void)
{
    have(slot_put(&slot, fresh()));
}

static void put_take(void)
{
    put_one();
    take();
}

static void put_put(void)
{
    put_one();
    put_one();
}

static void take_put_take(void)
{
    take();
    put_take();
}

static void put_take_put_take(void)
{
    put_take();
    put_take();
}

/* Every thief is done before the owner looks. */
static void none(void)
{
}

/* ---- thieves --------------------------------------------------------------- */

static void force(void)
{
    ready_t got = slot_force(&slot);
    forced |= got != 0;
    have(got);
}

static void force_twice(void)
{
    force();
    force();
}

/* ---- the matrix ------------------------------------------------------------ */

#define PROGRAM(title, start, end, ...)                                                               \
    {                                                                                                 \
        .name = (title), .setup = (start), .check = (end), .threads = {__VA_ARGS__}, .preemptions = 3 \
    }

static const struct model_program programs[] = {
    PROGRAM("take against force", one_in_it, each_once, take, force),
    PROGRAM("put against force", empty, each_once, put_one, force),
    PROGRAM("put over another against force", one_in_it, each_once, put_one, force),
    PROGRAM("put and take against force", empty, each_once, put_take, force),
    PROGRAM("put twice against force", empty, each_once, put_put, force),
    PROGRAM("put and take twice against force", empty, each_once, put_take_put_take, force),
    PROGRAM("take, put, take against two forces", one_in_it, each_once, take_put_take, force_twice),
    PROGRAM("two thieves", one_in_it, each_once, take, force, force),
    PROGRAM("two thieves, put and take", empty, each_once, put_take, force, force),
    PROGRAM("two thieves, take, put, take", one_in_it, each_once, take_put_take, force, force),
    PROGRAM("an owner that does not move", one_in_it, each_once_by_force, none, force),
    PROGRAM("an owner that does not move, two thieves", one_in_it, each_once_by_force, none, force_twice, force),
    PROGRAM("taken, and put anew", one_taken, each_once, put_one, force),
    PROGRAM("taken, and put and taken anew", one_taken, each_once, put_take, force_twice),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs), ":s");
}
