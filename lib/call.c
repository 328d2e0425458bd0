#include "call.h"

/* The number is being closed: what the caller has is of the life before, or of one that has begun a moment ago. */
noinline bool call_begin_after_close(struct descriptor *d, uint32_t life)
{
    do {
        sub_acq_rel(&d->calls, 1);
        for (unsigned tries = 0; load_relaxed(&d->calls) & DESCRIPTOR_CLOSING;) spin_pause(&tries);
    } while (add_acq_rel(&d->calls, 1) & DESCRIPTOR_CLOSING); /* as in call_begin */
    if (call_lives(d, life)) return true;
    sub_acq_rel(&d->calls, 1);
    return false;
}
