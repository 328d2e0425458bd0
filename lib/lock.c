#include "lock.h"

#ifndef LOCK_SPINS
#define LOCK_SPINS 100
#endif

void lock_slow(Atomic(uint32_t) *lock)
{
    for (int i = 0; i < LOCK_SPINS; i++) {
        uint32_t free = 0;
        if (load_relaxed(lock) == 0 && cas_acquire(lock, &free, 1)) return; /* as in lock_take */
        atomic_pause();
    }
    while (swap_acquire(lock, 2) != 0) platform_futex_wait(lock, 2, -1);
}
