#include "deque.h"

#include <stdlib.h>

#define SPLIT_MASK 0xffffffu
#define TAG_ONE    (UINT64_C(1) << 40)

static uint32_t word_count(uint64_t word)
{
    return (uint32_t)(word >> 24) & DEQUE_COUNT_MAX;
}

static uint32_t word_top(uint64_t word)
{
    return ((uint32_t)word - word_count(word)) & SPLIT_MASK;
}

/* The word with this top and count, not pending, and the tag that `word` has. */
static uint64_t word_make(uint64_t word, uint32_t top, uint32_t count)
{
    return (word & ~(TAG_ONE - 1)) | (uint64_t)count << 24 | ((top + count) & SPLIT_MASK);
}

static struct deque_ring *ring_make(uint32_t size)
{
    struct deque_ring *ring = malloc(sizeof *ring + size * sizeof ring->slots[0]);
    if (!ring) return NULL;
    ring->mask = size - 1;
    ring->older = NULL;
    for (uint32_t i = 0; i < size; i++) atomic_set(&ring->slots[i], NULL);
    return ring;
}

bool deque_init(struct deque *d)
{
    struct deque_ring *ring = ring_make(DEQUE_MIN);
    if (!ring) return false;
    d->own = ring;
    d->limit = DEQUE_MIN;
    atomic_set(&d->ring, ring);
    atomic_set(&d->bottom, 0);
    atomic_set(&d->word, 0);
    return true;
}

void deque_destroy(struct deque *d)
{
    for (struct deque_ring *ring = d->own; ring;) {
        struct deque_ring *older = ring->older;
        free(ring);
        ring = older;
    }
    d->own = NULL;
}

noinline bool deque_push_slow(struct deque *d, void *item)
{
    uint32_t b = load_relaxed(&d->bottom);
    /* acquire: pairs with the release of the CAS in deque_steal; a thief has
     * read its slots before they are written again. */
    uint64_t           word = load_acquire(&d->word);
    uint32_t           used = (uint32_t)deque_above(b, word) + word_count(word);
    struct deque_ring *ring = d->own;
    if (used == ring->mask + 1) {
        if (used >= DEQUE_MAX) return false;
        struct deque_ring *larger = ring_make(2 * used);
        if (!larger) return false;
        for (uint32_t i = b - used; i != b; i++)
            atomic_set(&larger->slots[i & larger->mask], load_relaxed(&ring->slots[i & ring->mask]));
        larger->older = ring;
        d->own = ring = larger;
        /* release: pairs with the acquire in deque_steal; a thief that reads
         * the new ring sees what was copied into it. */
        store_release(&d->ring, larger);
    }
    d->limit = b - used + ring->mask + 1;
    store_relaxed(&ring->slots[b & ring->mask], item);
    store_release(&d->bottom, b + 1); /* as in deque_push_fast */
    return true;
}

/* bottom is b already, and below split as `word` has it. */
noinline void *deque_pop_slow(struct deque *d, uint32_t b, uint64_t word)
{
    while (deque_above(b, word) < 0) {
        uint32_t count = word_count(word);
        if (count == 0) { /* top is split, so entry b is not there */
            store_relaxed(&d->bottom, b + 1);
            return NULL;
        }
        /* A claim is refused altogether, since the thief may have seen a bottom
         * above this one.  Of what is public half is left.  The entries were
         * written by this thread, so the CAS orders nothing. */
        uint32_t left = word & DEQUE_PENDING ? 0 : count / 2;
        uint64_t next = word_make(word, word_top(word), left) + TAG_ONE;
        if (cas_relaxed(&d->word, &word, next)) word = next;
    }
    struct deque_ring *ring = d->own;
    return load_relaxed(&ring->slots[b & ring->mask]);
}

void deque_publish(struct deque *d)
{
    uint64_t word = load_relaxed(&d->word);
    int32_t  length = deque_above(load_relaxed(&d->bottom), word);
    if (word_count(word) != 0 || length <= 0) return;
    uint32_t count = min_of(((uint32_t)length + 1) / 2, DEQUE_COUNT_MAX);
    /* release: pairs with the acquire in deque_steal; the thief sees the
     * entries, and what they point to.  A failure means that a thief has
     * forced it. */
    cas_release(&d->word, &word, word_make(word, word_top(word), count));
}

uint32_t deque_steal(struct deque *d, void **items, uint32_t max)
{
    /* acquire: pairs with the release in deque_publish, or in deque_force. */
    uint64_t word = load_acquire(&d->word);
    for (;;) {
        uint32_t count = word & DEQUE_PENDING ? 0 : min_of(word_count(word), max);
        if (count == 0) return 0;
        uint32_t top = word_top(word);
        /* acquire: pairs with the release in deque_push_slow.  The ring is read
         * after the word, so it is the one that the entries were in, or a newer one
         * into which they were copied. */
        struct deque_ring *ring = load_acquire(&d->ring);
        for (uint32_t i = 0; i < count; i++) items[i] = load_relaxed(&ring->slots[(top + i) & ring->mask]);
        uint64_t old = word;
        chaos_point();
        /* release: pairs with the acquire in deque_push_slow; the slots were
         * read before the owner may write them again. */
        if (cas_acq_rel(&d->word, &word, word_make(old, top + count, word_count(old) - count))) {
            for (uint32_t i = 0; i < count; i++) model_used(&ring->slots[(top + i) & ring->mask]);
            return count;
        }
    }
}

void deque_force(struct deque *d)
{
    uint64_t word = load_relaxed(&d->word);
    int32_t  length = deque_above(load_relaxed(&d->bottom), word);
    if (word_count(word) != 0 || length <= 0) return;
    uint32_t top = word_top(word), count = min_of(((uint32_t)length + 1) / 2, DEQUE_COUNT_MAX);
    uint64_t claim = word_make(word, top, count) | DEQUE_PENDING;
    if (!cas_relaxed(&d->word, &word, claim)) return;
    /* Pairs with the light fence in deque_lower.  From here on the owner sees the
     * claim before it pops below split, and refuses it. */
    platform_fence_heavy();
    chaos_point();
    /* acquire: pairs with the releases in deque_push_fast and deque_lower; with the release below it
     * hands on to the thief what the owner wrote. */
    int32_t  there = (int32_t)((load_acquire(&d->bottom) - top) << 8) >> 8;
    uint32_t settled = there <= 0 ? 0 : min_of((uint32_t)there, count);
    chaos_point();
    cas_release(&d->word, &claim, word_make(claim, top, settled));
}

uint32_t deque_length(struct deque *d)
{
    uint64_t word = load_relaxed(&d->word);
    int32_t  length = deque_above(load_relaxed(&d->bottom), word);
    length += (int32_t)word_count(word);
    return length <= 0 ? 0 : (uint32_t)length;
}

uint32_t deque_public(struct deque *d)
{
    uint64_t word = load_relaxed(&d->word);
    return word & DEQUE_PENDING ? 0 : word_count(word);
}
