/* platform.h - what weft asks of the operating system: CPUs, clock, sleep, fences
 */
#ifndef WEFT_PLATFORM_H
#define WEFT_PLATFORM_H

#include "base.h"
#include "atomic.h"

/* The CPUs that this process may really use: the least of its affinity and of
 * the CPU quota of its control group and of every one above that, rounded up;
 * at least 1. */
unsigned platform_cpus(void);

/* The CPUs of its affinity alone: for a system call. */
unsigned platform_allowed(void);

/* The threads that this process has, but for those that a sanitizer keeps for itself; 0: not known.  One that was
 * joined may be counted for a moment longer. */
unsigned platform_threads(void);

/* Of these, the ones that the system has started for itself, to carry out requests of an io_uring.  They stay while the
 * thread does that has made the request. */
unsigned platform_system_threads(void);

/* The calling thread's number. */
int platform_thread_id(void);

/* The moment for platform_thread_exists: CLOCK_BOOTTIME in nanoseconds. */
int64_t platform_thread_clock(void);

/* Whether this process has a thread of that number that began by then, as far as the system tells, which does so in
 * hundredths of a second: numbers are given out again. */
bool platform_thread_exists(int id, int64_t moment);

/* Starts a thread that runs fn(arg), with a stack of that size, or with the default one where that is too small for the
 * thread-locals of the program, which lie on it.  No signal is delivered there but what the thread itself causes, and a
 * profiler's: handlers are the business of the program's own threads.  0, and in *thread a pthread_t; or a positive
 * errno. */
int platform_thread_start(uint64_t *thread, size_t stack_size, void *(*fn)(void *arg), void *arg);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t platform_clock(void);

/* The same as of the kernel's last tick, 1 to 10 ms ago, for a fifth of the price. */
int64_t platform_clock_coarse(void);
int64_t platform_clock_tick(void); /* how long one is, in nanoseconds */

/* The part of platform_cpus that reads control groups, below `root` as if that
 * were /, for the process whose /proc/self/cgroup text is `membership`: CPUs
 * as thousandths, or UINT64_MAX when there is no limit. */
uint64_t platform_cgroup_limit(const char *root, const char *membership);

/* Sleeps while *word is `value`, until woken or, `timeout` nanoseconds (negative:
 * for good) from now.  May return for nothing. */
void platform_futex_wait(Atomic(uint32_t) *word, uint32_t value, int64_t timeout);

/* Wakes up to `count` who sleep on the word.  The word itself is not touched:
 * its storage may be gone by now, and the worst that follows is that somebody
 * wakes for nothing. */
void platform_futex_wake(Atomic(uint32_t) *word, int count);

/* An asymmetric fence.  Two threads that each store one word and then load the
 * other's: with platform_fence_light between in the one and platform_fence_heavy in the
 * other, at least one of them sees the other's store.  The light side is free
 * when the kernel has membarrier(2), and a full fence where it has not; the
 * heavy side interrupts every CPU that runs this process (measured: 10 us for
 * the caller on a virtual machine, 6 us for each who is interrupted). */
#ifdef WEFT_MODEL
#define platform_fence_light() fence_compiler()
#define platform_fence_heavy() fence_heavy()
#else
extern bool platform_asymmetric; /* set once by platform_init */

static always_inline void platform_fence_light(void)
{
    fence_compiler();
    if (unlikely(!platform_asymmetric)) fence_seq();
}

void platform_fence_heavy(void);
#endif

/* Before anything else here; any number of times, by any thread. */
void platform_init(void);

#endif
