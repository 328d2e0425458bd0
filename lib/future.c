/* future.c - a value that arrives once: an event, and what came with it
 */
#include "event.h"

#include <errno.h>

struct future {
    struct wait_place event; /* that it has a value */
    intptr_t          value; /* written once, before that */
};

_Static_assert(sizeof(struct future) <= sizeof(weft_future), "the public type has this room");

static const struct wait_kind kind_future = {.what = "for the value of the future"};

static inline struct future *of(weft_future *storage)
{
    return (struct future *)storage;
}

int weft_future_set(weft_future *storage, intptr_t value)
{
    struct future *f = of(storage);
    if (!f) return -EINVAL;
    uintptr_t word = spin_take(&f->event.word);
    if (word & EVENT_SET) {
        spin_drop(&f->event.word, word);
        return -EALREADY;
    }
    f->value = value;
    event_happen(&f->event);
    return 0;
}

int weft_future_await(weft_future *storage, intptr_t *value, weft_time deadline)
{
    struct future *f = of(storage);
    if (!f) return -EINVAL;
    int result = event_wait(&f->event, &kind_future, deadline);
    if (result == 0 && value) *value = f->value;
    return result;
}
