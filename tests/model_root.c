/* model_root.c - of a root's items one runs at a time, each sees what the one before did, and none is left behind
 *
 * Each thread is a worker: it makes items ready, and runs the root when that is its to run.  A root that has more is
 * put in the worker's own queue (lib/runq.h), from where another one may take it.
 *
 * Two halves of an order are beyond the explorer, so that --strict names them: the release in root_push and the
 * acquire in root_leave, by which a runner that counts an entry finds it in the inbox.  Without them a processor
 * might count before it links, but the explorer does what a thread does in its order (see "Not explored" there).
 */
#include "model_explore.h"

#include <string.h>

#define RUNQ_SIZE 2u
#include "../lib/root.c"
#include "../lib/runq.h"

#define WORKERS 3
#define ITEMS   6

struct item {
    ready_link next;
    unsigned   content; /* what who made it ready has written */
};

static struct root  root;
static struct runq  ready[WORKERS];
static struct item  item[ITEMS];
static unsigned     ran[ITEMS], ran_before, made;
static unsigned     domain; /* what the items of the root share, without any lock */
static Atomic(bool) inside;
static bool         at_end;

/* ---- what workers do ------------------------------------------------------- */

static void enqueue(void)
{
    unsigned me = at_end ? 0 : (unsigned)model_self();
    model_assert(runq_push(&ready[me], root_ready(&root)), "a root is in a queue once");
}

/* Runs one item of the root, which was taken from a queue. */
static void run(void)
{
    struct item *got = container_of(ready_to_link(root_pop(&root)), struct item, next);
    model_assert(got >= item && got < item + made, "an item that nobody has made ready");
    model_assert(!swap_relaxed(&inside, true), "two items run at once");
    model_data_read(&got->content);
    model_data_write(&domain);
    model_assert(ran[got - item]++ == 0, "an item runs twice");
    ran_before++;
    store_relaxed(&inside, false);
    if (root_leave(&root)) enqueue();
}

static void make_ready(void)
{
    struct item *new = &item[made++];
    model_data_write(&new->content);
    if (root_push(&root, ready_make(&new->next, READY_TASK))) enqueue();
}

static void run_from(unsigned worker)
{
    if (runq_pop(&ready[worker])) run();
}

static void run_own(void)
{
    run_from((unsigned)model_self());
}

/* ---- before and after ------------------------------------------------------ */

static void idle_root(void)
{
    memset(ran, 0, sizeof ran);
    ran_before = made = 0;
    at_end = false;
    for (int i = 0; i < ITEMS; i++) atomic_set(&item[i].next, 0);
    for (int i = 0; i < WORKERS; i++) runq_init(&ready[i]);
    atomic_set(&inside, false);
    root_init(&root);
    root_leave(&root); /* its maker is done */
}

/* Worker 0 runs in it, as whoever has opened one. */
static void entered_root(void)
{
    idle_root();
    root_init(&root);
}

static void each_once(void)
{
    at_end = true;
    for (int more = ITEMS; more > 0; more--)
        for (unsigned i = 0; i < WORKERS; i++) run_from(i);
    for (unsigned i = 0; i < made; i++) model_assert(ran[i] == 1, "an item is lost");
    model_assert(ran_before == made, "nothing else has run");
    model_assert(load_relaxed(&root.pending) == 0 && load_relaxed(&root.inbox) == 0 && !root.queue, "a root at rest");
}

/* ---- workers --------------------------------------------------------------- */

static void one_item(void)
{
    make_ready();
    run_own();
}

static void two_items(void)
{
    make_ready();
    make_ready();
    run_own();
    run_own();
}

static void one_after_the_other(void)
{
    make_ready();
    run_own();
    make_ready();
    run_own();
}

static void only_make_ready(void)
{
    make_ready();
}

static void steal_and_run(void)
{
    run_from(0);
    run_own();
}

/* Worker 0 is in the root, and leaves it. */
static void leave(void)
{
    model_assert(!swap_relaxed(&inside, true), "two items run at once");
    model_data_write(&domain);
    store_relaxed(&inside, false);
    if (root_leave(&root)) enqueue();
    run_own();
}

static void make_ready_and_leave(void)
{
    make_ready();
    leave();
}

/* ---- the matrix ------------------------------------------------------------ */

#define PROGRAM(title, start, ...)                                                        \
    {                                                                                     \
        .name = (title), .setup = (start), .check = each_once, .threads = { __VA_ARGS__ } \
    }

static const struct model_program programs[] = {
    PROGRAM("two workers", idle_root, one_item, one_item),
    PROGRAM("two workers, two items each", idle_root, two_items, two_items),
    PROGRAM("to rest and back", idle_root, one_after_the_other, one_item),
    PROGRAM("three workers", idle_root, one_item, one_item, one_item),
    PROGRAM("the root is stolen", idle_root, two_items, steal_and_run),
    PROGRAM("the root is stolen, and more comes", idle_root, two_items, steal_and_run, only_make_ready),
    PROGRAM("whoever is in it leaves", entered_root, leave, one_item),
    PROGRAM("whoever is in it leaves, two come", entered_root, leave, one_item, one_item),
    PROGRAM("whoever is in it makes one ready, and leaves", entered_root, make_ready_and_leave, steal_and_run,
            only_make_ready),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs), ":root_");
}
