/* spin.h - a lock of one bit, which its holder drops with a plain store
 *
 * For what is touched often and shortly: to take it is one locked operation, to drop it
 * none.  The bit is the lowest of a word whose other bits are the holder's to change.  Who finds
 * it taken spins, then lets others run, then sleeps for ever longer moments: the
 * holder may have been preempted, or may be copying a megabyte, and nobody tells when it is
 * done.  (Rejected: a futex, whose holder must ask at the drop whether somebody sleeps,
 * with a second locked operation: a channel's send and receive were a third slower.)
 * The drop is the holder's last touch of the word.
 */
#ifndef WEFT_SPIN_H
#define WEFT_SPIN_H

#include "atomic.h"
#include "base.h"
#include "chaos.h"

#define SPIN_HELD ((uintptr_t)1)

typedef Atomic(uintptr_t) spin_word;

void spin_pause(unsigned *tries);

/* The word's other bits. */
static inline uintptr_t spin_take(spin_word *word)
{
    for (unsigned tries = 0;; spin_pause(&tries)) {
        uintptr_t old = load_relaxed(word);
        /* acquire: pairs with the release in spin_drop; what the last holder did is seen. */
        if (likely(!(old & SPIN_HELD)) && likely(cas_acquire(word, &old, old | SPIN_HELD))) return old;
    }
}

/* Leaves `value` in the word. */
static inline void spin_drop(spin_word *word, uintptr_t value)
{
    chaos_point();
    store_release(word, value); /* pairs with spin_take */
    chaos_point();
}

#endif
