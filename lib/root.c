#include "root.h"

bool root_push(struct root *r, ready_t item)
{
    ready_t newest = load_relaxed(&r->inbox);
    do ready_set_next(item, newest);
    /* release: pairs with the acquire in root_pop; the entry is seen whole. */
    while (!cas_release(&r->inbox, &newest, item));
    chaos_point();
    /* acq_rel: pairs with root_leave; who runs the root next sees what the last one did,
     * and finds this entry in the inbox. */
    return add_acq_rel(&r->pending, 1) == 0;
}

ready_t root_pop(struct root *r)
{
    if (!r->queue) {
        ready_t newest = swap_acquire(&r->inbox, 0); /* pairs with root_push */
        while (newest) {
            ready_t older = ready_next(newest);
            ready_set_next(newest, r->queue);
            r->queue = newest;
            newest = older;
        }
    }
    ready_t item = r->queue;
    r->queue = ready_unlink(item);
    return item;
}

void root_unpop(struct root *r, ready_t item)
{
    ready_set_next(item, r->queue);
    r->queue = item;
}

bool root_leave(struct root *r)
{
    chaos_point();
    return sub_acq_rel(&r->pending, 1) > 1; /* as in root_push */
}
