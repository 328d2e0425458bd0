#include "slot.h"

noinline ready_t slot_take_slow(struct slot *s, ready_t item)
{
    spin_take(&s->lock); /* the thief has decided */
    if (load_relaxed(&s->forced) == SLOT_TAKEN) item = 0;
    store_relaxed(&s->forced, 0);
    spin_drop(&s->lock, 0);
    return item;
}

ready_t slot_force(struct slot *s)
{
    ready_t item = 0;
    spin_take(&s->lock);
    if (load_relaxed(&s->forced) != SLOT_TAKEN) { /* else the owner has yet to notice */
        store_relaxed(&s->forced, SLOT_ASKED);
        chaos_point();
        platform_fence_heavy();        /* pairs with the light one in slot_take */
        item = load_acquire(&s->item); /* pairs with slot_put */
        chaos_point();
        store_relaxed(&s->forced, item ? SLOT_TAKEN : 0);
    }
    spin_drop(&s->lock, 0);
    return item;
}
