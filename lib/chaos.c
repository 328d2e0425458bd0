#include "chaos.h"

#if WEFT_CHAOS
#include <sched.h>
#include <unistd.h>

/* Mostly nothing, often a few cache misses' time, seldom long enough for another thread to do a lot, and more seldom,
 * as it may cost a thread its turn, a system call: a busy program passes millions of points. */
noinline void chaos_point(void)
{
    /* Each thread's own: a draw that they shared would order them. */
    static _Thread_local struct choice draws;
    if (!draws.state) choice_init(&draws, 0, (uintptr_t)&draws);
    uint32_t draw = choice_below(&draws, 1u << 14);
    if (draw >= 1u << 11) return;
    if (draw < 1) usleep(50);
    else if (draw < 8) sched_yield();
    else
        for (uint32_t spins = draw < 64 ? 10 * draw : draw / 64; spins > 0; spins--) atomic_pause();
}
#endif
