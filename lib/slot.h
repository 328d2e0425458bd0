/* slot.h - what runs next on a worker, before all else
 *
 * Whom a task has woken, or left behind when it ended: its data is warm here, and the waker most
 * often waits soon.  Putting it in and taking it out are the owner's, without a locked
 * operation; the newest stays, an older one is for the worker's queue.
 *
 * A waker that computes on instead must not strand it: when the owner has not moved on for a while, a
 * thief forces the item out.  That is Dekker's, with the fence on the thief's side:
 *
 *      owner   item = 0;   light fence;   forced?          thief   forced = ASKED;   heavy fence;   item?
 *
 * So at least one of them sees the other.  If the owner sees it, the thief has the lock and decides:
 * TAKEN, or not.  If only the thief sees the item, the owner finds TAKEN when it comes to it.
 */
#ifndef WEFT_SLOT_H
#define WEFT_SLOT_H

#include "chaos.h"
#include "platform.h"
#include "ready.h"
#include "spin.h"

enum { SLOT_ASKED = 1, SLOT_TAKEN = 2 };

struct slot {
    Atomic(uintptr_t) item;   /* the owner writes */
    Atomic(uint32_t)  forced; /* under the lock */
    spin_word         lock;
};

static inline bool slot_empty(const struct slot *s)
{
    return load_relaxed(&s->item) == 0;
}

ready_t slot_take_slow(struct slot *s, ready_t item);

/* Owner: what is in it, or 0. */
static always_inline ready_t slot_take(struct slot *s)
{
    ready_t item = load_relaxed(&s->item);
    if (!item) return 0;
    chaos_point();
    store_relaxed(&s->item, 0);
    platform_fence_light(); /* pairs with the heavy one in slot_force */
    chaos_point();
    return likely(!load_relaxed(&s->forced)) ? item : slot_take_slow(s, item);
}

/* Owner: puts it in; what was in it before is the caller's to put elsewhere. */
static always_inline ready_t slot_put(struct slot *s, ready_t item)
{
    ready_t older = slot_take(s);
    store_release(&s->item, item); /* pairs with slot_force */
    return older;
}

/* The same where it is empty. */
static always_inline void slot_fill(struct slot *s, ready_t item)
{
    store_release(&s->item, item); /* pairs with slot_force */
}

/* Thief: takes it, or 0.  Dear for both sides. */
ready_t slot_force(struct slot *s);

#endif
