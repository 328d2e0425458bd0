/* lock.h - a lock for a few instructions
 *
 * For lists that are touched rarely and shortly.  A waiter spins a little and
 * then sleeps in the kernel, since the holder may have been preempted.
 * The lock word: 0 free, 1 held, 2 held and somebody sleeps (Drepper, "Futexes
 * are tricky", 2011, mutex 2).
 */
#ifndef WEFT_LOCK_H
#define WEFT_LOCK_H

#include "chaos.h"

void lock_slow(Atomic(uint32_t) *lock);

static inline void lock_take(Atomic(uint32_t) *lock)
{
    uint32_t free = 0;
    /* acquire: pairs with the release in lock_drop; what the last holder did is seen. */
    if (unlikely(!cas_acquire(lock, &free, 1))) lock_slow(lock);
    chaos_point();
}

static inline void lock_drop(Atomic(uint32_t) *lock)
{
    uint32_t before = swap_release(lock, 0);
    chaos_point();
    if (unlikely(before == 2)) platform_futex_wake(lock, 1);
}

#endif
