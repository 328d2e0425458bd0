/* call.h - a system call on a descriptor that may be closed meanwhile
 *
 * Who is to make one notes the moment first: the life of the number, and what has been reported of it so far.  Between
 * begin_call and end_call the number stays in that life, as weft_close waits for the end of the calls that have begun
 * before it gives the number back; a call that begins later finds that its life is over.
 */
#ifndef WEFT_CALL_H
#define WEFT_CALL_H

#include "chaos.h"
#include "descriptor.h"
#include "order.h"

#include <errno.h>

struct moment {
    uint32_t life, change[2];
};

static always_inline struct moment now_of(struct descriptor *d)
{
    /* acquire: pairs with reported. */
    return (struct moment){load_acquire(&d->life),
                           {load_acquire(&d->change[DESCRIPTOR_IN]), load_acquire(&d->change[DESCRIPTOR_OUT])}};
}

static inline bool lived_on(struct descriptor *d, uint32_t life)
{
    return load_relaxed(&d->life) == life;
}

/* For a call that finds the descriptor closed. */
static inline int was_closed(const struct descriptor *d)
{
    order_acquire(d); /* pairs with weft_close */
    return -EBADF;
}

/* For begin_call alone. */
bool begin_call_after_close(struct descriptor *d, uint32_t life);

/* A system call that does not block, on the descriptor in the life in which the caller has noted its moment.  False: it has
 * been closed since. */
static always_inline bool begin_call(struct descriptor *d, uint32_t life)
{
    /* acq_rel: pairs with weft_close; either that waits for this call's end, or this sees that it closes. */
    if (unlikely(add_acq_rel(&d->calls, 1) & DESCRIPTOR_CLOSING)) return begin_call_after_close(d, life);
    chaos_point();
    if (likely(lived_on(d, life))) return true;
    sub_acq_rel(&d->calls, 1);
    return false;
}

static always_inline void end_call(struct descriptor *d)
{
    chaos_point();
    sub_acq_rel(&d->calls, 1); /* as in begin_call */
}

#endif
