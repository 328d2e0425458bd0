/* event.h - something that happens once
 *
 * The word is EVENT_SET once it has: one store sets that, gives up the lock, and is the last touch.
 */
#ifndef WEFT_EVENT_H
#define WEFT_EVENT_H

#include "wait.h"

#define EVENT_SET ((uintptr_t)2)

static inline bool event_is_set(const struct wait_place *event)
{
    /* acquire: pairs with spin_drop in event_happen; what was done before is seen. */
    return load_acquire(&event->word) & EVENT_SET;
}

/* With the word held, which it drops.  A second time changes nothing. */
void event_happen(struct wait_place *event);

/* 0 once it has happened; else as wait_for.  A call that can wait. */
int event_wait(struct wait_place *event, const struct wait_kind *kind, weft_time deadline);

#endif
