#include "spin.h"

#include <sched.h>
#include <unistd.h>

#define SPINS  100
#define YIELDS 20

void spin_pause(unsigned *tries)
{
    unsigned n = (*tries)++;
    if (n < SPINS) atomic_pause();
    else if (n < SPINS + YIELDS) sched_yield();
    else usleep(min_of(n - SPINS - YIELDS, 50u));
}
