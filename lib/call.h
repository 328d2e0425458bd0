/* call.h - a system call on a descriptor that may be closed meanwhile
 *
 * Who is to make one notes the moment first: the life of the number, and what has been reported of it so far.  Between
 * call_begin and call_end the number stays in that life, as weft_close waits for the end of the calls that have begun
 * before it gives the number back; a call that begins later finds that its life is over.
 */
#ifndef WEFT_CALL_H
#define WEFT_CALL_H

#include "chaos.h"
#include "descriptor.h"
#include "order.h"

#include <errno.h>

struct call_moment {
    uint32_t life, change[2];
};

static always_inline uint32_t call_life(struct descriptor *d)
{
    return load_acquire(&d->life); /* pairs with weft_close */
}

/* For each further try of a call: in the life in which the call was made, which may be over. */
static always_inline struct call_moment call_now_in(struct descriptor *d, uint32_t life)
{
    /* acquire: pairs with changed. */
    return (struct call_moment){life,
                                {load_acquire(&d->change[DESCRIPTOR_IN]), load_acquire(&d->change[DESCRIPTOR_OUT])}};
}

static always_inline struct call_moment call_now(struct descriptor *d)
{
    return call_now_in(d, call_life(d));
}

static inline bool call_lives(struct descriptor *d, uint32_t life)
{
    return load_relaxed(&d->life) == life;
}

/* For a call that finds the descriptor closed. */
static inline int call_was_closed(const struct descriptor *d)
{
    order_acquire(d); /* pairs with weft_close */
    return -EBADF;
}

/* For call_begin alone. */
bool call_begin_after_close(struct descriptor *d, uint32_t life);

/* A system call that does not block, on the descriptor in the life in which the caller has noted its moment.  False: it
 * has been closed since. */
static always_inline bool call_begin(struct descriptor *d, uint32_t life)
{
    /* acq_rel: pairs with weft_close; either that waits for this call's end, or this sees that it closes. */
    if (unlikely(add_acq_rel(&d->calls, 1) & DESCRIPTOR_CLOSING)) return call_begin_after_close(d, life);
    chaos_point();
    if (likely(call_lives(d, life))) return true;
    sub_acq_rel(&d->calls, 1);
    return false;
}

/* The same, but a number that is being closed is not waited for: false, too. */
static always_inline bool call_try(struct descriptor *d, uint32_t life)
{
    if (likely(!(add_acq_rel(&d->calls, 1) & DESCRIPTOR_CLOSING)) && likely(call_lives(d, life))) return true;
    sub_acq_rel(&d->calls, 1); /* both as in call_begin */
    return false;
}

static always_inline void call_end(struct descriptor *d)
{
    chaos_point();
    sub_acq_rel(&d->calls, 1); /* as in call_begin */
}

#endif
