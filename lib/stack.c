#define _GNU_SOURCE
#include "stack.h"
#include "lock.h"
#include "order.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define SLAB_FIRST 16u
#define SLAB_BYTES ((size_t)256 << 20) /* at most, unless one stack is larger: a large mapping may not be had at all */
#define CANARY     UINT64_C(0x77656674206f7665)

struct stack_slab {
    struct stack_slab *older;     /* in pool->slabs */
    struct stack_slab *next_cold; /* in pool->cold, while free_count > 0 or fresh < count */
    char              *base;      /* of the stacks; aligned to their size */
    char              *mapping;
    size_t             mapping_size;
    uint32_t           count;
    uint32_t           fresh; /* stacks from here on were never used, and have no guard yet */
    uint32_t           free_count;
    bool               listed;  /* in pool->cold */
    Atomic(uint32_t) protected; /* how many have an mprotect guard */
    uint8_t *canary;            /* [count]: whether a stack is guarded by one; after free[] */
    uint32_t free[];            /* [count]: a stack of stack numbers */
};

Atomic(enum stack_guard) stack_guard_best = STACK_GUARD_INSTALL;
Atomic(uint32_t)         stack_leaving;
static Atomic(bool)      canaries; /* any stack has had one */
static Atomic(uint32_t)  protected_count;

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void stack_pool_init(struct stack_pool *pool, size_t size)
{
    *pool = (struct stack_pool){.size = size, .guard = page_size(), .next_count = SLAB_FIRST, .keep = UINT64_MAX};
}

static void slab_end(struct stack_slab *slab)
{
    sub_relaxed(&protected_count, load_relaxed(&slab->protected));
    munmap(slab->mapping, slab->mapping_size);
    free(slab);
}

void stack_pool_destroy(struct stack_pool *pool)
{
    for (struct stack_slab *slab = pool->slabs; slab;) {
        struct stack_slab *older = slab->older;
        slab_end(slab);
        slab = older;
    }
    pool->slabs = pool->cold = NULL;
}

/* Slabs double, so that a small program maps little and a large one seldom;
 * where a large one is refused, smaller ones are tried. */
static struct stack_slab *slab_make(struct stack_pool *pool)
{
    uint32_t most = (uint32_t)max_of(SLAB_BYTES / pool->size, (size_t)1);
    for (uint32_t count = min_of(pool->next_count, most); count > 0; count /= 2) {
        struct stack_slab *slab = calloc(1, sizeof *slab + count * (sizeof slab->free[0] + 1));
        if (!slab) return NULL;
        size_t bytes = (count + 1) * pool->size; /* one more, for the alignment */
        char  *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapping == MAP_FAILED) {
            free(slab);
            continue;
        }
        /* A huge page would commit 2 MiB for the first byte touched. */
        madvise(mapping, bytes, MADV_NOHUGEPAGE);
        char *base = (char *)(((uintptr_t)mapping + pool->size - 1) & ~(uintptr_t)(pool->size - 1));
        slab->older = pool->slabs;
        slab->base = base;
        slab->mapping = mapping;
        slab->mapping_size = bytes;
        slab->count = count;
        slab->canary = (uint8_t *)&slab->free[count];
        pool->slabs = slab;
        pool->next_count = min_of(2 * count, most);
        store_relaxed(&pool->bytes, load_relaxed(&pool->bytes) + bytes);
        return slab;
    }
    return NULL;
}

/* One more of the process's mappings for a guard; false: weft has had its share. */
static bool take_protected(void)
{
    uint32_t now = load_relaxed(&protected_count);
    do {
        if (now >= STACK_PROTECT_MAX) return false;
    } while (!cas_relaxed(&protected_count, &now, now + 1));
    return true;
}

/* Whether it is a canary. */
static bool set_guard(struct stack_pool *pool, struct stack_slab *slab, char *low)
{
    if (load_relaxed(&stack_guard_best) == STACK_GUARD_INSTALL) {
        if (madvise(low, pool->guard, MADV_GUARD_INSTALL) == 0) return false;
        /* An older kernel will not do it the next time either. */
        if (errno == EINVAL) store_relaxed(&stack_guard_best, STACK_GUARD_PROTECT);
    }
    if (load_relaxed(&stack_guard_best) != STACK_GUARD_CANARY && take_protected()) {
        if (mprotect(low, pool->guard, PROT_NONE) == 0) {
            add_relaxed(&slab->protected, 1);
            return false;
        }
        sub_relaxed(&protected_count, 1);
    }
    if (!swap_relaxed(&canaries, true)) add_relaxed(&stack_leaving, 1);
    *(volatile uint64_t *)low = CANARY;
    *(volatile uint64_t *)(low + pool->guard - sizeof(uint64_t)) = CANARY;
    return true;
}

char *stack_get(struct stack_pool *pool, bool *canary)
{
    lock_take(&pool->lock);
    struct stack_slab *slab = pool->cold;
    order_hide(); /* its tasks are not ordered after whoever maps the slab */
    if (!slab && (slab = slab_make(pool))) {
        pool->cold = slab;
        slab->listed = true;
    }
    order_show();
    if (!slab) {
        lock_drop(&pool->lock);
        return NULL;
    }
    bool     fresh = slab->free_count == 0;
    uint32_t i = fresh ? slab->fresh++ : slab->free[--slab->free_count];
    if (slab->free_count == 0 && slab->fresh == slab->count) {
        pool->cold = slab->next_cold;
        slab->listed = false;
    }
    lock_drop(&pool->lock);
    char *low = slab->base + i * pool->size;
    /* A guard outlives MADV_DONTNEED, so it is set once. */
    if (fresh) slab->canary[i] = set_guard(pool, slab, low);
    *canary = slab->canary[i];
    return low;
}

void stack_each(struct stack_pool *pool, void (*visit)(char *low, void *arg), void *arg)
{
    lock_take(&pool->lock);
    struct stack_slab *slab = pool->slabs;
    lock_drop(&pool->lock);
    for (; slab; slab = slab->older) { /* which never changes; the slabs of a pool that keeps all go with the pool */
        lock_take(&pool->lock);
        uint32_t fresh = slab->fresh;
        lock_drop(&pool->lock);
        for (uint32_t i = 0; i < fresh; i++) visit(slab->base + i * pool->size, arg);
    }
}

/* Takes the slab, of which no stack is in use, out of the pool.  Later slabs are no larger than it was. */
static void slab_leave(struct stack_pool *pool, struct stack_slab *slab)
{
    struct stack_slab **at = &pool->slabs;
    while (*at != slab) at = &(*at)->older;
    *at = slab->older;
    for (at = &pool->cold; *at != slab;) at = &(*at)->next_cold;
    *at = slab->next_cold;
    pool->next_count = min_of(pool->next_count, slab->count);
    store_relaxed(&pool->bytes, load_relaxed(&pool->bytes) - slab->mapping_size);
}

void stack_put(struct stack_pool *pool, char *low)
{
    /* A canary's page stays: the pattern in it says that there is one. */
    char *from = stack_floor(pool, low);
    madvise(from, (size_t)(low + pool->size - from), MADV_DONTNEED);
    lock_take(&pool->lock);
    struct stack_slab *slab = pool->slabs;
    while (low < slab->base || low >= slab->base + slab->count * pool->size) slab = slab->older;
    slab->free[slab->free_count++] = (uint32_t)((size_t)(low - slab->base) / pool->size);
    if (!slab->listed) {
        slab->listed = true;
        slab->next_cold = pool->cold;
        pool->cold = slab;
    }
    bool spare = slab->free_count == slab->fresh && load_relaxed(&pool->bytes) > pool->keep;
    if (spare) slab_leave(pool, slab);
    lock_drop(&pool->lock);
    if (spare) slab_end(slab);
}

void stack_check(const char *floor)
{
    const volatile uint64_t *low = (const volatile uint64_t *)(floor - page_size());
    if (low[0] != CANARY || ((const volatile uint64_t *)floor)[-1] != CANARY)
        base_die("the stack above %p has overflowed", (const void *)floor);
}

/* ---- the report of an overflow ------------------------------------------- */

static pthread_mutex_t   watch_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned          watch_count;
static struct sigaction  before_segv, before_bus;
static Atomic(uintptr_t) watch_describe;

static void on_fault(int number, siginfo_t *info, void *context)
{
    const struct sigaction *before = number == SIGSEGV ? &before_segv : &before_bus;
    bool (*describe)(void *) = (bool (*)(void *))load_relaxed(&watch_describe);
    if (describe) describe(info->si_addr);
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    } else if (before->sa_handler == SIG_DFL || info->si_code > 0) {
        /* The faulting instruction runs again and meets the default action; a
         * kill(2) does not, so it is sent once more. */
        sigaction(number, before, NULL);
        if (info->si_code <= 0) raise(number);
    }
}

/* Whether the handler is weft's, or one that the program has set later and that may
 * hand on to weft's: then weft's stays what it hands on to. */
static bool in_place_segv, in_place_bus;

static void install(int number, struct sigaction *before, bool *in_place)
{
    if (*in_place) return;
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    *in_place = sigaction(number, &ours, before) == 0;
}

static void restore(int number, const struct sigaction *before, bool *in_place)
{
    struct sigaction now;
    if (sigaction(number, NULL, &now) != 0 || !(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != on_fault) return;
    *in_place = sigaction(number, before, NULL) != 0;
}

void stack_watch_begin(bool (*describe)(void *fault))
{
    pthread_mutex_lock(&watch_lock);
    if (watch_count++ == 0) {
        store_relaxed(&watch_describe, (uintptr_t)describe);
        install(SIGSEGV, &before_segv, &in_place_segv);
        install(SIGBUS, &before_bus, &in_place_bus);
    }
    pthread_mutex_unlock(&watch_lock);
}

void stack_watch_end(void)
{
    pthread_mutex_lock(&watch_lock);
    if (--watch_count == 0) {
        restore(SIGSEGV, &before_segv, &in_place_segv);
        restore(SIGBUS, &before_bus, &in_place_bus);
    }
    pthread_mutex_unlock(&watch_lock);
}

static size_t signal_stack_size(void)
{
    long least = sysconf(_SC_MINSIGSTKSZ);
    return (size_t)max_of(least, 4096) + (32u << 10);
}

void *stack_signal_begin(void)
{
    stack_t old, ours = {.ss_size = signal_stack_size()};
    if (sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_DISABLE)) return NULL; /* a sanitizer's: as good */
    ours.ss_sp = mmap(NULL, ours.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ours.ss_sp == MAP_FAILED) return NULL;
    sigaltstack(&ours, NULL);
    return ours.ss_sp;
}

void stack_signal_end(void *signal_stack)
{
    if (!signal_stack) return;
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    munmap(signal_stack, signal_stack_size());
}
