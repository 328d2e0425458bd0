/* atomic.h - atomic operations with the memory order in their name
 *
 * All shared words of weft are touched by these and by nothing else, so that
 * `grep _relaxed lib` audits the library, and so that a model checker can put
 * its own operations under the real source (see WEFT_MODEL).
 *
 * ThreadSanitizer sees acquire and release operations, not fences.  So a fence
 * in weft only ever decides who may take something; what is read because of
 * it is always ordered by an acquire that pairs with a release as well.
 */
#ifndef WEFT_ATOMIC_H
#define WEFT_ATOMIC_H

#ifdef WEFT_MODEL
#include "model_atomic.h"
#else

#include <stdatomic.h>

#define Atomic(type) _Atomic(type)

#define atomic_set(p, v) atomic_init((p), (v)) /* before anybody else can see it */

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define load_seq(p)     atomic_load_explicit((p), memory_order_seq_cst)

#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define store_seq(p, v)     atomic_store_explicit((p), (v), memory_order_seq_cst)

/* The value before. */
#define swap_relaxed(p, v)  atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define swap_acquire(p, v)  atomic_exchange_explicit((p), (v), memory_order_acquire)
#define swap_release(p, v)  atomic_exchange_explicit((p), (v), memory_order_release)
#define swap_acq_rel(p, v)  atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define swap_seq(p, v)      atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define add_relaxed(p, v)   atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_release(p, v)   atomic_fetch_add_explicit((p), (v), memory_order_release)
#define add_acq_rel(p, v)   atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define add_seq(p, v)       atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define sub_relaxed(p, v)   atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define sub_acq_rel(p, v)   atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)

/* True when *p was *old; else *old is what it was.  A failure is a relaxed or,
 * where the name says acquire, an acquire load. */
#define cas_relaxed(p, old, v) \
    atomic_compare_exchange_strong_explicit((p), (old), (v), memory_order_relaxed, memory_order_relaxed)
#define cas_acquire(p, old, v) \
    atomic_compare_exchange_strong_explicit((p), (old), (v), memory_order_acquire, memory_order_acquire)
#define cas_release(p, old, v) \
    atomic_compare_exchange_strong_explicit((p), (old), (v), memory_order_release, memory_order_relaxed)
#define cas_acq_rel(p, old, v) \
    atomic_compare_exchange_strong_explicit((p), (old), (v), memory_order_acq_rel, memory_order_acquire)

#ifdef __SANITIZE_THREAD__
/* gcc warns that -fsanitize=thread does not see it: nothing relies on that. */
#pragma GCC diagnostic ignored "-Wtsan"
#endif
#define fence_seq()      atomic_thread_fence(memory_order_seq_cst)
#define fence_acquire()  atomic_thread_fence(memory_order_acquire)
#define fence_release()  atomic_thread_fence(memory_order_release)

/* Keeps the compiler, not the processor, from reordering: one half of an
 * asymmetric fence, whose other half is platform_fence_heavy. */
#define fence_compiler() atomic_signal_fence(memory_order_seq_cst)

/* Tells a model checker that what was read from p is now relied on, so that
 * whoever writes there next must come after that read. */
#define model_used(p)    ((void)(p))

/* To the processor: this thread only spins. */
static inline void atomic_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

#endif /* WEFT_MODEL */
#endif
