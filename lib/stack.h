/* stack.h - guarded stacks, by the thousand from one mapping
 *
 * A stack_pool hands out stacks of one size, aligned to that size, whose
 * lowest page is a guard: what runs over it faults instead of writing into
 * the neighbour.  Pages are committed when they are first touched.  A stack
 * that is put back cold has given its memory back to the system.  All stacks
 * of a pool are unmapped with the pool; while the pool maps more than `keep`, a slab
 * is unmapped as soon as none of its stacks is in use.  Any thread may call; a lock is
 * held for the list operation alone.
 */
#ifndef WEFT_STACK_H
#define WEFT_STACK_H

#include "platform.h"

/* How a stack is guarded. */
enum stack_guard {
    STACK_GUARD_INSTALL, /* MADV_GUARD_INSTALL (Linux 6.13): splits no mapping, so a million is no problem */
    STACK_GUARD_PROTECT, /* mprotect: two mappings each, of which a process may have 65,530 */
    STACK_GUARD_CANARY,  /* a pattern, checked when a task leaves the stack: beyond STACK_PROTECT_MAX stacks */
};

#define STACK_SIZE_MIN ((size_t)16 << 10)
#define STACK_SIZE_MAX ((size_t)1 << 30)
#define STACK_DEFAULT  ((size_t)(STACK_PER_TASK ? 256 : 64) << 10)
#ifndef STACK_PROTECT_MAX
#define STACK_PROTECT_MAX 25000u /* of all pools of the process: leaves the program its share of the mappings */
#endif

struct stack_slab;

struct stack_pool {
    size_t             size;
    size_t             guard;
    Atomic(uint32_t)   lock;
    struct stack_slab *slabs;      /* newest, and so largest, first */
    struct stack_slab *cold;       /* slabs that have free stacks */
    Atomic(uint64_t)   bytes;      /* of address space */
    uint64_t           keep;       /* of it, when no stack is in use; stack_pool_init: all */
    uint32_t           next_count; /* stacks of the next slab */
};

void stack_pool_init(struct stack_pool *pool, size_t size);
void stack_pool_destroy(struct stack_pool *pool);

/* The lowest address of a stack, or NULL: no memory or no address space.
 * *canary: the user calls stack_check each time it leaves the stack. */
char *stack_get(struct stack_pool *pool, bool *canary);

/* Gives the stack and its memory back. */
void stack_put(struct stack_pool *pool, char *low);

/* Calls visit(low, arg) for each stack that was ever handed out, also of those that were put back.  No lock is held
 * meanwhile. */
void stack_each(struct stack_pool *pool, void (*visit)(char *low, void *arg), void *arg);

/* Where the guard ends: the first byte that may be used. */
static inline char *stack_floor(const struct stack_pool *pool, char *low)
{
    return low + pool->guard;
}

/* Where the stack's user may begin, growing downwards.  Tops are spread over
 * 2 KiB by cache lines: were they all at the same offset of their page, all
 * would share a few sets of the first-level cache, and a switch between a
 * thousand stacks would take half as long again. */
static inline char *stack_top(const struct stack_pool *pool, char *low)
{
    return low + pool->size - ((uintptr_t)low / pool->size * CACHE_LINE) % 2048;
}

/* For a stack that has a canary, by its floor: stops the program if that is overwritten. */
void stack_check(const char *floor);

/* How many reasons a switch has to look twice at the stack that it leaves, mostly 0: 1 for canaries, if any stack has
 * had one, and 1 for each runtime that is watched (monitor.c). */
extern Atomic(uint32_t) stack_leaving;

/* For tests: what the system can do at best; the kind in use otherwise. */
extern Atomic(enum stack_guard) stack_guard_best;

/* Counts those who want a stack overflow reported.  From the first call until the last stack_watch_end
 * a SIGSEGV or SIGBUS asks `describe`, on the signal's own stack, whether the
 * address is a guard; if so that prints what there is to say and returns true,
 * and the fault then takes the course it had before weft.  Any other goes to
 * the handler that was there before. */
void stack_watch_begin(bool (*describe)(void *fault));
void stack_watch_end(void);

/* An alternate signal stack for the calling thread; NULL: no memory, and an
 * overflow goes without a report.  stack_signal_end takes it back. */
void *stack_signal_begin(void);
void  stack_signal_end(void *signal_stack);

#endif
