#include "timers.h"
#include "order.h"

#define RING_WORDS (TIMERS_RING / 64)
#define RING_SHIFT 12 /* a slot of the lowest level is as long as the ring */

_Static_assert(TIMERS_RING == 1u << RING_SHIFT && RING_WORDS == 64, "one word tells which of the words are not 0");

void timers_init(struct timers *ts, bool exact)
{
    atomic_set(&ts->lock, 0);
    atomic_set(&ts->next, INT64_MAX);
    ts->at = 0;
    ts->count = 0;
    ts->untold = NULL;
    ts->exact = exact;
    for (unsigned level = 0; level < TIMERS_LEVELS; level++) ts->used[level] = 0;
    ts->ring_words = 0;
}

static uint64_t slot_of(int64_t when)
{
    return when < 0 ? 0 : (uint64_t)when >> TIMERS_SHIFT;
}

static int64_t moment_of(uint64_t slot)
{
    return (int64_t)(min_of(slot, (uint64_t)INT64_MAX >> TIMERS_SHIFT) << TIMERS_SHIFT);
}

/* ---- the ring: all that is less than its length away ------------------------ */

static struct timers_slot *ring_begin(struct timers *ts, uint64_t slot)
{
    unsigned index = slot % TIMERS_RING, word = index / 64;
    uint64_t bit = UINT64_C(1) << index % 64, word_bit = UINT64_C(1) << word;
    if (!(ts->ring_words & word_bit)) ts->ring_used[word] = 0;
    if (!(ts->ring_words & word_bit) || !(ts->ring_used[word] & bit)) ts->ring[index].first = NULL;
    ts->ring_words |= word_bit;
    ts->ring_used[word] |= bit;
    return &ts->ring[index];
}

static void ring_empty(struct timers *ts, unsigned index)
{
    unsigned word = index / 64;
    ts->ring_used[word] &= ~(UINT64_C(1) << index % 64);
    if (!ts->ring_used[word]) ts->ring_words &= ~(UINT64_C(1) << word);
}

/* Its first slot that is not empty; UINT64_MAX. */
static uint64_t ring_next(const struct timers *ts)
{
    if (!ts->ring_words) return UINT64_MAX;
    unsigned at = ts->at % TIMERS_RING, word = at / 64;
    uint64_t here = ts->ring_words >> word & 1 ? ts->ring_used[word] : 0, bits = here & ~UINT64_C(0) << at % 64;
    if (!bits) { /* the words behind this one, then those before it, and last what is before `at` in this one */
        uint64_t behind = word == 63 ? 0 : ts->ring_words & ~UINT64_C(0) << (word + 1);
        word = (unsigned)__builtin_ctzll(behind ? behind : ts->ring_words);
        bits = ts->ring_used[word];
    }
    unsigned index = word * 64 + (unsigned)__builtin_ctzll(bits);
    return ts->at + (index - at) % TIMERS_RING;
}

/* ---- the levels: all that is farther --------------------------------------- */

static unsigned digit(uint64_t slot, unsigned level)
{
    return slot >> (RING_SHIFT + 6 * level) & 63;
}

static struct timers_slot *level_begin(struct timers *ts, uint64_t slot)
{
    unsigned level = (63 - (unsigned)__builtin_clzll(slot ^ ts->at) - RING_SHIFT) / 6, index = digit(slot, level);
    uint64_t bit = UINT64_C(1) << index;
    struct timers_slot *slot_at = &ts->slots[level][index];
    if (!(ts->used[level] & bit)) slot_at->first = NULL;
    ts->used[level] |= bit;
    return slot_at;
}

/* The level of the slot that comes next, and where that begins; TIMERS_LEVELS: all are empty, UINT64_MAX. */
static unsigned level_next(const struct timers *ts, uint64_t *begin)
{
    unsigned level = 0;
    while (level < TIMERS_LEVELS && !ts->used[level]) level++;
    *begin = UINT64_MAX;
    if (level < TIMERS_LEVELS) { /* the digits above those of the level are those of now, the ones below are 0 */
        unsigned shift = RING_SHIFT + 6 * level;
        uint64_t index = (uint64_t)__builtin_ctzll(ts->used[level]);
        *begin = (ts->at >> (shift + 6) << (shift + 6)) + (index << shift);
    }
    return level;
}

/* ---- both ------------------------------------------------------------------ */

/* Whom the latest one was put before is told so by whoever comes next: it lies in some stack, and is fetched
 * meanwhile. */
static void tell(struct timers *ts)
{
    if (ts->untold) ts->untold->next->link = &ts->untold->next;
    ts->untold = NULL;
}

static void put(struct timers *ts, struct timer *t)
{
    uint64_t            slot = max_of(slot_of(t->when), ts->at);
    struct timers_slot *s = slot - ts->at < TIMERS_RING ? ring_begin(ts, slot) : level_begin(ts, slot);
    tell(ts);
    t->next = s->first;
    if (t->next) {
        prefetch(t->next);
        ts->untold = t;
    }
    t->link = &s->first;
    t->ahead = s->latest[TIMERS_AHEAD - 1];
    order_hide(); /* a compiler makes of this a call of memmove, which the sanitizer sees */
    for (unsigned i = TIMERS_AHEAD - 1; i > 0; i--) s->latest[i] = s->latest[i - 1];
    order_show();
    s->latest[0] = t;
    s->first = t;
}

static void take_out(struct timers *ts, struct timer *t)
{
    tell(ts);
    struct timer **link = t->link;
    t->link = NULL;
    *link = t->next;
    if (t->next) t->next->link = link;
    ts->count--;
    if (t->next) return;
    /* It may have been alone in its slot. */
    uintptr_t ring = (uintptr_t)link - (uintptr_t)ts->ring, slots = (uintptr_t)link - (uintptr_t)ts->slots;
    if (ring < sizeof ts->ring) {
        ring_empty(ts, (unsigned)(ring / sizeof ts->ring[0]));
    } else if (slots < sizeof ts->slots) {
        slots /= sizeof ts->slots[0][0];
        ts->used[slots / TIMERS_SLOTS] &= ~(UINT64_C(1) << slots % TIMERS_SLOTS);
    }
}

static void set_next(struct timers *ts)
{
    uint64_t begin, slot = ring_next(ts);
    int64_t  next = slot == UINT64_MAX ? INT64_MAX : moment_of(slot + !ts->exact);
    /* A slot of the ring counts when it is over, any other when it begins, since it is spread then. */
    if (level_next(ts, &begin) < TIMERS_LEVELS) next = min_of(next, moment_of(begin));
    store_relaxed(&ts->next, next);
}

void timers_start(struct timers *ts, struct timer *t)
{
    t->timers = ts;
    put(ts, t);
    ts->count++;
    int64_t next = moment_of(slot_of(t->when) + !ts->exact);
    if (next < load_relaxed(&ts->next)) store_relaxed(&ts->next, next);
}

void timers_stop(struct timer *t)
{
    struct timers *ts = t->timers;
    timers_lock(ts);
    if (t->link) take_out(ts, t);
    timers_unlock(ts);
}

bool timers_expire_one(struct timer *t, int64_t now, void *arg)
{
    struct timers *ts = t->timers;
    timers_lock(ts);
    bool come = t->link && t->when <= now;
    if (come) {
        take_out(ts, t);
        t->expire(t, arg);
    }
    timers_unlock(ts);
    return come;
}

/* Of a slot of the ring those that have come. */
static unsigned expire_slot(struct timers *ts, uint64_t slot, int64_t now, unsigned most, void *arg)
{
    unsigned            n = 0;
    struct timers_slot *s = &ts->ring[slot % TIMERS_RING];
    for (unsigned i = 0; i < TIMERS_AHEAD; i++) prefetch(s->latest[i]);
    for (struct timer *t = s->first, *next; t && n < most; t = next) {
        next = t->next;
        prefetch(t->ahead);
        if (t->when > now) continue;
        take_out(ts, t);
        n++;
        t->expire(t, arg);
    }
    return n;
}

static void spread(struct timers *ts, unsigned level, uint64_t begin)
{
    unsigned index = digit(begin, level);
    ts->used[level] &= ~(UINT64_C(1) << index);
    for (struct timer *t = ts->slots[level][index].first, *next; t; t = next) {
        next = t->next;
        prefetch(t->ahead);
        put(ts, t);
    }
}

unsigned timers_expire(struct timers *ts, int64_t now, unsigned most, void *arg)
{
    uint64_t to = slot_of(now), begin, slot;
    unsigned n = 0, level;
    timers_lock(ts);
    /* The slot that contains now is not over: with `exact` it is looked through, too. */
    uint64_t last = to + ts->exact;
    for (;;) {
        level = level_next(ts, &begin);
        slot = ring_next(ts);
        if (begin <= slot) {
            if (level == TIMERS_LEVELS || begin > to) break;
            ts->at = begin;
            spread(ts, level, begin);
        } else {
            if (slot >= last) break;
            ts->at = slot;
            n += expire_slot(ts, slot, now, most - n, arg);
            if (n == most || slot == to) break; /* what is left there has not come */
        }
    }
    if (n < most) ts->at = max_of(ts->at, to);
    set_next(ts);
    timers_unlock(ts);
    return n;
}

int64_t timers_earliest(struct timers *ts)
{
    int64_t             earliest = INT64_MAX;
    uint64_t            begin;
    const struct timer *t;
    timers_lock(ts);
    uint64_t slot = ring_next(ts);
    unsigned level = level_next(ts, &begin);
    if (slot != UINT64_MAX)
        for (t = ts->ring[slot % TIMERS_RING].first; t; t = t->next) earliest = min_of(earliest, t->when);
    if (level < TIMERS_LEVELS)
        for (t = ts->slots[level][digit(begin, level)].first; t; t = t->next) earliest = min_of(earliest, t->when);
    timers_unlock(ts);
    return earliest;
}
