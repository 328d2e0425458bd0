#include "timers.h"

void timers_init(struct timers *ts, bool exact)
{
    atomic_set(&ts->lock, 0);
    atomic_set(&ts->next, INT64_MAX);
    ts->at = 0;
    ts->count = 0;
    ts->exact = exact;
    for (unsigned level = 0; level < TIMERS_LEVELS; level++) ts->used[level] = 0;
}

static uint64_t slot_of(int64_t when)
{
    return when < 0 ? 0 : (uint64_t)when >> TIMERS_SHIFT;
}

static int64_t moment_of(uint64_t slot)
{
    return (int64_t)(min_of(slot, (uint64_t)INT64_MAX >> TIMERS_SHIFT) << TIMERS_SHIFT);
}

static unsigned digit(uint64_t slot, unsigned level)
{
    return slot >> (6 * level) & 63;
}

/* Where the digits of a level begin: those above it kept, those below it 0. */
static uint64_t begin_of(uint64_t slot, unsigned level, unsigned index)
{
    return (slot >> (6 * (level + 1)) << (6 * (level + 1))) + ((uint64_t)index << (6 * level));
}

static void put(struct timers *ts, struct timer *t)
{
    uint64_t       slot = max_of(slot_of(t->when), ts->at), differ = slot ^ ts->at;
    unsigned       level = differ < 64 ? 0 : (63 - (unsigned)__builtin_clzll(differ)) / 6;
    unsigned       index = digit(slot, level);
    uint64_t       bit = UINT64_C(1) << index;
    struct timer **head = &ts->slots[level][index];
    t->next = ts->used[level] & bit ? *head : NULL;
    if (t->next) t->next->link = &t->next;
    ts->used[level] |= bit;
    t->link = head;
    *head = t;
}

static void take_out(struct timers *ts, struct timer *t)
{
    struct timer **link = t->link;
    t->link = NULL;
    *link = t->next;
    if (t->next) t->next->link = link;
    ts->count--;
    uintptr_t at = (uintptr_t)link - (uintptr_t)ts->slots;
    if (!t->next && at < sizeof ts->slots) { /* it was alone in its slot */
        at /= sizeof ts->slots[0][0];
        ts->used[at / TIMERS_SLOTS] &= ~(UINT64_C(1) << at % TIMERS_SLOTS);
    }
}

/* The level of the slot that comes next, and where that begins; TIMERS_LEVELS: all are empty. */
static unsigned next_slot(const struct timers *ts, uint64_t *begin)
{
    unsigned level = 0;
    while (level < TIMERS_LEVELS && !ts->used[level]) level++;
    if (level < TIMERS_LEVELS) *begin = begin_of(ts->at, level, (unsigned)__builtin_ctzll(ts->used[level]));
    return level;
}

static void set_next(struct timers *ts)
{
    uint64_t begin = 0;
    unsigned level = next_slot(ts, &begin);
    /* A slot of the lowest level counts when it is over, a higher one when it begins, since it is spread then. */
    int64_t next = level == TIMERS_LEVELS ? INT64_MAX : moment_of(begin + (level == 0 && !ts->exact));
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

static struct timer *take_slot(struct timers *ts, unsigned level, unsigned index)
{
    ts->used[level] &= ~(UINT64_C(1) << index);
    return ts->slots[level][index];
}

/* Of a slot of the lowest level those that have come. */
static unsigned expire_slot(struct timers *ts, unsigned index, int64_t now, void *arg)
{
    unsigned      n = 0;
    struct timer *t = take_slot(ts, 0, index), *next;
    for (; t; t = next) {
        next = t->next;
        if (t->when > now) {
            put(ts, t);
            continue;
        }
        t->link = NULL;
        ts->count--;
        n++;
        t->expire(t, arg);
    }
    return n;
}

unsigned timers_expire(struct timers *ts, int64_t now, void *arg)
{
    uint64_t to = slot_of(now), begin;
    unsigned n = 0, level;
    timers_lock(ts);
    /* The slot that contains now is not over: with `exact` it is looked through, too. */
    uint64_t last = to + ts->exact;
    while ((level = next_slot(ts, &begin)) < TIMERS_LEVELS) {
        if (level == 0) {
            if (begin >= last) break;
            ts->at = begin;
            n += expire_slot(ts, digit(begin, 0), now, arg);
            if (begin == to) break; /* what is left there has not come */
        } else {
            if (begin > to) break;
            ts->at = begin;
            for (struct timer *t = take_slot(ts, level, digit(begin, level)), *next; t; t = next) {
                next = t->next;
                put(ts, t);
            }
        }
    }
    ts->at = max_of(ts->at, to);
    set_next(ts);
    timers_unlock(ts);
    return n;
}

int64_t timers_earliest(struct timers *ts)
{
    int64_t  earliest = INT64_MAX;
    uint64_t begin = 0;
    timers_lock(ts);
    unsigned level = next_slot(ts, &begin);
    if (level < TIMERS_LEVELS)
        for (const struct timer *t = ts->slots[level][digit(begin, level)]; t; t = t->next)
            earliest = min_of(earliest, t->when);
    timers_unlock(ts);
    return earliest;
}
