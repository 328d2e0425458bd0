/* deque.h - a work-stealing deque of pointers that costs its owner no fence
 *
 * The owner pushes and pops at the bottom, thieves take from the top.  All
 * entries between are in one of two parts, divided at `split`:
 *
 *      top            split           bottom
 *       | public: by CAS | private: plain |
 *
 * Thieves take public entries only, by a CAS of the word that holds top and
 * split; the owner pushes and pops private ones by moving bottom, which costs
 * a store, a load and a comparison.  Entries become public when
 *
 *   - the owner publishes some (deque_publish), because a thief asked it to: this
 *     is the common way; or
 *   - a thief does it in the owner's place (deque_force), because the owner computes
 *     and does not answer.  This needs a heavy fence, 10 us and an interrupt
 *     for everybody, so it comes last.
 *
 * and private again when the owner has run out of private ones and reclaims
 * half of what is left.
 *
 * Sources: the two parts are from Lace (van Dijk and van de Pol, 2014) and from
 * the split queues of Dinan et al. (2009); the race for the last entries, with the
 * asymmetric fence, is Cilk-5's THE protocol (Frigo et al., 1998).  Rejected:
 * Chase and Lev's deque with its fence (2.4 ns for each pop, a fifth of a spawn)
 * and the same with the fence moved to the thief by membarrier (10 us and an
 * interrupt for every steal, measured with the other core busy).
 *
 * The word
 *      bits  0-23  split, modulo 2^24
 *      bits 24-38  count of public entries, so top = split - count
 *      bit  39     pending: a thief claims the count entries below split and
 *                  has yet to see whether they are there
 *      bits 40-63  tag: how often the owner took public entries back
 *
 *      (split, 0, no)      --publish-->  (split + n, n, no)     owner
 *      (split, 0, no)      --force-->    (split + n, n, yes)    a thief
 *      (split, n, yes)     --settle-->   (split - n + m, m, no) that thief; m <= n are there
 *      (split, n, yes)     --refuse-->   (split - n, 0, no)     owner, tag + 1
 *      (split, n, no)      --steal m-->  (split, n - m, no)     a thief
 *      (split, n, no)      --reclaim-->  (split - n/2.., n/2, no) owner, tag + 1
 *
 * A thief's CAS proves that the entries that it read are still the top ones:
 * top never moves back, and the tag changes when an entry that was public may
 * have been popped and its index used again.  2^24 reclaims while one
 * thief stands between its load and its CAS would deceive it.
 */
#ifndef WEFT_DEQUE_H
#define WEFT_DEQUE_H

#include "chaos.h"
#include "platform.h"

#ifndef DEQUE_MIN
#define DEQUE_MIN 256u
#endif
#ifndef DEQUE_MAX
#define DEQUE_MAX (1u << 22) /* entries; below 2^23, so that differences modulo 2^24 have a sign */
#endif

struct deque_ring {
    uint32_t           mask;
    struct deque_ring *older; /* a thief may still read it: freed with the deque */
    Atomic(void *)     slots[];
};

struct deque {
    /* owner writes, thieves read */
    Atomic(uint32_t)            bottom;
    uint32_t                    limit; /* bottom may grow up to here before top must be looked at */
    struct deque_ring          *own;   /* == ring */
    Atomic(struct deque_ring *) ring;
    /* all write */
    _Alignas(CACHE_LINE) Atomic(uint64_t) word;
};

bool deque_init(struct deque *d); /* false: no memory */
void deque_destroy(struct deque *d);

#define DEQUE_COUNT_MAX 0x7fffu
#define DEQUE_PENDING   (UINT64_C(1) << 39)
#define DEQUE_COUNTS    ((uint64_t)DEQUE_COUNT_MAX << 24)

/* How far b is above split; negative below. */
static always_inline int32_t deque_above(uint32_t b, uint64_t word)
{
    return (int32_t)((b - (uint32_t)word) << 8) >> 8;
}

bool  deque_push_slow(struct deque *d, void *item);
void *deque_pop_slow(struct deque *d, uint32_t b, uint64_t word);

/* Owner: false, and nothing is done, when it takes deque_push_slow to make room. */
static always_inline bool deque_push_fast(struct deque *d, void *item)
{
    uint32_t b = load_relaxed(&d->bottom);
    if (unlikely(b == d->limit)) return false;
    struct deque_ring *ring = d->own;
    store_relaxed(&ring->slots[b & ring->mask], item);
    /* release: pairs with the acquire of bottom in deque_force; whoever makes
     * this entry public in the owner's place sees the entry, and what it points to. */
    store_release(&d->bottom, b + 1);
    return true;
}

/* Owner: false when full and no memory to grow. */
static always_inline bool deque_push(struct deque *d, void *item)
{
    return likely(deque_push_fast(d, item)) || deque_push_slow(d, item);
}

/* Owner: takes bottom down to b.  The word, if what is at b is the owner's; else
 * deque_pop_slow knows. */
static always_inline bool deque_lower(struct deque *d, uint32_t b, uint64_t *word)
{
    /* release: as in deque_push_fast, since deque_force may read bottom from here as well.
     * (That a later store of the same thread carries on what an earlier one released was true of C11,
     * and is not of C++20.) */
    store_release(&d->bottom, b);
    /* Pairs with the heavy fence in deque_force: either this load sees the
     * claim, or the thief sees the new bottom. */
    platform_fence_light();
    chaos_point();
    *word = load_relaxed(&d->word);
    return likely(deque_above(b, *word) >= 0);
}

/* Owner: the newest entry, or NULL. */
static always_inline void *deque_pop(struct deque *d)
{
    uint32_t b = load_relaxed(&d->bottom) - 1;
    uint64_t word = load_relaxed(&d->word);
    /* Nothing private and nothing public: thieves only ever take away. */
    if (deque_above(b, word) < 0 && !(word & DEQUE_COUNTS)) return NULL;
    if (!deque_lower(d, b, &word)) return deque_pop_slow(d, b, word);
    struct deque_ring *ring = d->own;
    return load_relaxed(&ring->slots[b & ring->mask]);
}

/* Owner: pops the newest entry if it is this one. */
static always_inline bool deque_pop_if(struct deque *d, const void *item)
{
    uint32_t           b = load_relaxed(&d->bottom) - 1;
    struct deque_ring *ring = d->own;
    /* The slot may hold what a thief has taken: the pop decides. */
    if (load_relaxed(&ring->slots[b & ring->mask]) != item) return false;
    uint64_t word;
    return deque_lower(d, b, &word) || deque_pop_slow(d, b, word);
}

/* Owner: makes half of the private entries public, unless some still are. */
void deque_publish(struct deque *d);

/* A thief (or the owner, to have the oldest): takes up to `max` of the oldest
 * public entries; how many.  0 says nothing of private ones. */
uint32_t deque_steal(struct deque *d, void **items, uint32_t max);

/* A thief: makes half of the private entries public in the owner's place.  Heavy. */
void deque_force(struct deque *d);

/* Anybody: how many entries there are, and how many of them are public; a
 * guess, as it changes meanwhile. */
uint32_t deque_length(struct deque *d);
uint32_t deque_public(struct deque *d);

#endif
