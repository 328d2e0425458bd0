#include "spin.h"

#include <sched.h>
#include <unistd.h>

/* How a waiter goes on: it spins so many times, then gives the processor away so many times, then sleeps, for a
 * microsecond more each time, up to so many. */
#ifndef SPINS
#define SPINS 6
#endif
#define YIELDS        20
#define SLEEP_MOST_US 50u

#ifndef SPIN_PAUSES
#define SPIN_PAUSES      4
#define SPIN_PAUSES_MOST 32
#endif

/* Each look takes the line away from one who takes and drops it again and again, and costs both of them 100 ns, as much
 * as ten sends to a channel.  So the first comes after as long, and each of the next after twice as long as the one
 * before.  (Rejected: a look after each pause, with which four senders and four receivers on two workers took three
 * times as long.) */
void spin_pause(unsigned *tries)
{
    unsigned n = (*tries)++;
    if (n < SPINS) {
        for (int left = min_of(SPIN_PAUSES << n, SPIN_PAUSES_MOST); left > 0; left--) atomic_pause();
    } else if (n < SPINS + YIELDS) {
        sched_yield();
    } else {
        usleep(min_of(n - SPINS - YIELDS, SLEEP_MOST_US));
    }
}
