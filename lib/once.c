/* once.c - the first call runs the function, and every call returns after its end
 */
#include "order.h"
#include "wait.h"

/* The first call runs fn, the others wait for its end, which one store of DONE tells.
 *
 *      0        --call-->  RUNNING
 *      RUNNING  --end-->   DONE      and those that wait are woken */
#define RUNNING ((uintptr_t)2)
#define DONE    ((uintptr_t)4)

_Static_assert(sizeof(struct wait_place) <= sizeof(weft_once), "the public type has this room");

static const struct wait_kind kind_once = {.what = "for the end of the first call of the once"};

static inline struct wait_place *of(weft_once *storage)
{
    return (struct wait_place *)storage;
}

struct calling {
    struct wait_entry entry;
    struct waiter     waiter;
};

/* Once the stack is left. */
static bool publish(struct waiter *w, void *arg)
{
    struct wait_place *o = arg;
    uintptr_t          word = spin_take(&o->word);
    if (word == RUNNING) wait_push(&o->queue, &container_of(w, struct calling, waiter)->entry);
    spin_drop(&o->word, word);
    return word == RUNNING;
}

static noinline void call(struct wait_place *o, void (*fn)(void *arg), void *arg)
{
    uintptr_t word = spin_take(&o->word);
    spin_drop(&o->word, word ? word : RUNNING);
    if (word) {
        struct calling c = {.entry.waiter = &c.waiter};
        park_init(&c.waiter, &kind_once, o);
        if (word == RUNNING) park_wait(&c.waiter, publish, o);
        return;
    }
    fn(arg);
    order_release(o);
    spin_take(&o->word);
    struct wait_entry *waiting = wait_take_all(&o->queue);
    spin_drop(&o->word, DONE);
    wait_wake_all(waiting, 0);
}

void weft_once_call(weft_once *storage, void (*fn)(void *arg), void *arg)
{
    struct wait_place *o = of(storage);
    /* acquire: pairs with the last spin_drop in call; what fn did is seen. */
    if (unlikely(load_acquire(&o->word) != DONE)) call(o, fn, arg);
    order_acquire(o);
}
