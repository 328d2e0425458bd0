/* base.h - small things that every file uses
 */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE 64

/* The size, rounded up to whole lines, as aligned_alloc wants it. */
static inline size_t base_lines(size_t size)
{
    return (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
}

#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define noinline      __attribute__((noinline))
#define always_inline inline __attribute__((always_inline))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define array_len(a)                    (sizeof(a) / sizeof *(a))

/* Each argument is evaluated once: it may be an atomic load. */
#define min_of(a, b)                   \
    ({                                 \
        __auto_type min_a = (a);       \
        __auto_type min_b = (b);       \
        min_a < min_b ? min_a : min_b; \
    })
#define max_of(a, b)                   \
    ({                                 \
        __auto_type max_a = (a);       \
        __auto_type max_b = (b);       \
        max_a > max_b ? max_a : max_b; \
    })

/* The line is wanted soon.  Any address: nothing comes of one that is not there. */
#define prefetch(p) __builtin_prefetch((const void *)(p))

/* The same, and it will be written to. */
#define prefetch_written(p) __builtin_prefetch((const void *)(p), 1)

/* Where the running stack is, roughly. */
static always_inline char *base_stack_pointer(void)
{
    char *sp;
#if defined(__x86_64__)
    __asm__("movq %%rsp, %0" : "=r"(sp));
#else
    sp = __builtin_frame_address(0);
#endif
    return sp;
}

/* The build of which order.h tells: ThreadSanitizer judges the program, not the library. */
#ifdef WEFT_TSAN_PRECISE
#define ORDER_PRECISE 1
#else
#define ORDER_PRECISE 0
#endif

/* Which sanitizer is in the process; gcc and clang tell it in different ways. */
#if defined(__has_feature)
#define has_feature(feature) __has_feature(feature)
#else
#define has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || has_feature(address_sanitizer)
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif
#if ORDER_PRECISE || defined(__SANITIZE_THREAD__) || has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif

/* A build whose tools must see each task on a stack of its own: two tasks that
 * merely ran one after the other on one stack would pass for ordered, and the
 * second would hide the first one's dead frames. */
#define STACK_PER_TASK (UNDER_ASAN || UNDER_TSAN)

/* For a function that reads what others may be about to change, or what lies in the frames of
 * others: no sanitizer is to judge its accesses. */
#if defined(__clang__)
#define unjudged noinline __attribute__((no_sanitize("address", "thread")))
#else
#define unjudged noinline __attribute__((no_sanitize_address, no_sanitize_thread))
#endif

/* Prints "weft: " and the message on stderr, then aborts: for what only a
 * broken program does, and for what leaves no way to go on. */
_Noreturn void base_die(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

#endif
