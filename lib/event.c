#include "event.h"
#include "order.h"
#include "worker.h"

#include <errno.h>

_Static_assert(sizeof(struct wait_place) <= sizeof(weft_event), "the public type has this room");

static const struct wait_kind kind_event = {.what = "for the event"};

static inline struct wait_place *of(weft_event *storage)
{
    return (struct wait_place *)storage;
}

void event_happen(struct wait_place *event)
{
    order_release(event);
    struct wait_entry *claimed = wait_claim_all(&event->queue);
    spin_drop(&event->word, EVENT_SET);
    wait_wake_all(claimed, 0);
}

int event_wait(struct wait_place *event, const struct wait_kind *kind, weft_time deadline)
{
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    int result = 0;
    if (!event_is_set(event)) {
        uintptr_t word = spin_take(&event->word);
        if (!(word & EVENT_SET)) result = wait_queued(event, kind, deadline);
        else spin_drop(&event->word, word);
    }
    if (result == 0) order_acquire(event);
    return result;
}

void weft_event_set(weft_event *storage)
{
    struct wait_place *event = of(storage);
    spin_take(&event->word);
    event_happen(event);
}

int weft_event_wait(weft_event *storage, weft_time deadline)
{
    return likely(storage) ? event_wait(of(storage), &kind_event, deadline) : -EINVAL;
}
