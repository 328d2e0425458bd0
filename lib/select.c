/* select.c - one case of many, exactly once, on channels that others send to and receive from
 */
#include "chan.h"
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* How one case of many happens, exactly once
 *
 *   Without waiting: of the cases that look ready one is drawn, its channel locked, and
 *   tried; until one goes ahead or none is left.
 *
 *   Else all channels are locked, in the order of their addresses, and looked at: this is the one moment.
 *   If none can go ahead, an entry for each case is put into its channel's queue, all with the same waiter, and the
 *   locks are dropped when the stack is left.  Who wants one of the entries must claim the waiter, which
 *   only one can.  That one takes out the other entries at its own channel while it has the lock, and those at the
 *   other channels before it wakes the waiter: once its own call has returned, any of the channels may be destroyed.
 *   After a deadline or a cancel the waiter takes them out itself.
 */

#define FEW 8

struct select {
    struct waiter      waiter;
    struct weft_case  *cases;
    int                count;
    int                locks; /* how many channels there are */
    struct chan_entry *entries;
    struct weft_chan **order; /* each channel once, by address */
};

static const struct wait_kind kind_select = {.what = "in a select"};
static const struct wait_kind kind_nothing = {.what = "in a select without channels"};

static inline bool sends(const struct weft_case *c)
{
    return c->from;
}

static wait_queue *queue_of(const struct weft_case *c)
{
    return sends(c) ? &c->chan->senders : &c->chan->receivers;
}

static always_inline bool may(const struct weft_case *c)
{
    return sends(c) ? chan_may_send(c->chan) : chan_may_recv(c->chan);
}

static int attempt(struct weft_case *c, struct chan_entry **wake)
{
    return sends(c) ? chan_send(c->chan, c->from, wake) : chan_recv(c->chan, c->into, wake);
}

static uint32_t draw(struct worker *w, uint32_t n)
{
    if (n <= 1) return 0;
    return w ? choice_below(&w->choice, n) : choice_outside(n);
}

void select_forget(struct select *s, struct weft_chan *chan)
{
    for (int i = 0; i < s->count; i++)
        if (s->cases[i].chan == chan) wait_remove(queue_of(&s->cases[i]), &s->entries[i].entry);
}

void select_forget_others(struct select *s, const struct weft_chan *won)
{
    for (int i = 0; i < s->count; i++) {
        struct weft_chan *chan = s->cases[i].chan;
        if (!chan || chan == won) continue;
        spin_take(&chan->lock);
        wait_remove(queue_of(&s->cases[i]), &s->entries[i].entry);
        spin_drop(&chan->lock, 0);
    }
}

/* ---- without waiting ------------------------------------------------------- */

/* One of the first 64 cases, those of the mask, that can go ahead: its index, or -1. */
static always_inline int try_some(struct weft_case *cases, uint64_t mask)
{
    while (mask) {
        uint64_t left = mask;
        for (uint32_t skip = draw(worker_self(), (uint32_t)__builtin_popcountll(mask)); skip > 0; skip--)
            left &= left - 1;
        int                i = __builtin_ctzll(left);
        struct weft_chan  *chan = cases[i].chan;
        struct chan_entry *wake = NULL;
        spin_take(&chan->lock);
        int result = attempt(&cases[i], &wake);
        spin_drop(&chan->lock, 0);
        if (wake) chan_wake(wake, chan, true);
        if (result != -EAGAIN) {
            cases[i].result = result;
            return i;
        }
        mask &= ~(UINT64_C(1) << i);
    }
    return -1;
}

/* ---- with all channels locked ---------------------------------------------- */

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (struct weft_chan *const *)a, y = (uintptr_t) * (struct weft_chan *const *)b;
    return (x > y) - (x < y);
}

/* The channels in their order, each once. */
static void put_in_order(struct select *s)
{
    int n = 0;
    for (int i = 0; i < s->count; i++)
        if (s->cases[i].chan) s->order[n++] = s->cases[i].chan;
    if (n > FEW) {
        qsort(s->order, (size_t)n, sizeof *s->order, by_address);
    } else {
        for (int i = 1; i < n; i++) {
            struct weft_chan *chan = s->order[i];
            int               at = i;
            for (; at > 0 && (uintptr_t)s->order[at - 1] > (uintptr_t)chan; at--) s->order[at] = s->order[at - 1];
            s->order[at] = chan;
        }
    }
    s->locks = 0;
    for (int i = 0; i < n; i++)
        if (i == 0 || s->order[i] != s->order[s->locks - 1]) s->order[s->locks++] = s->order[i];
}

static void lock_all(struct select *s)
{
    for (int i = 0; i < s->locks; i++) spin_take(&s->order[i]->lock);
}

/* While a lock is held that is not the winner's, select_forget_others waits for it, and the frame stays; not a moment
 * longer, so how many there are is read before the last is dropped. */
static void unlock_all(void *arg)
{
    const struct select     *s = arg;
    struct weft_chan *const *order = s->order;
    for (int i = 0, n = s->locks; i < n; i++) spin_drop(&order[i]->lock, 0);
}

/* Drawn from those that can go ahead: its index, or -1. */
static int try_all(struct select *s, struct chan_entry **wake)
{
    uint32_t ready = 0;
    int      chosen = -1;
    for (int i = 0; i < s->count; i++) /* each of those so far is as likely as the others (reservoir sampling) */
        if (s->cases[i].chan && may(&s->cases[i]) && draw(worker_self(), ++ready) == 0) chosen = i;
    for (int tried = 0; chosen >= 0 && tried < s->count; tried++, chosen = (chosen + 1) % s->count) {
        /* One that looked ready because of a waiter that cannot be claimed any more is not. */
        if (!s->cases[chosen].chan) continue;
        int result = attempt(&s->cases[chosen], wake);
        if (result == -EAGAIN) continue;
        s->cases[chosen].result = result;
        return chosen;
    }
    return -1;
}

static int select_all(struct select *s, weft_time deadline)
{
    struct chan_entry *wake = NULL;
    put_in_order(s);
    lock_all(s);
    int chosen = try_all(s, &wake);
    if (chosen >= 0) {
        unlock_all(s);
        if (wake) chan_wake(wake, s->cases[chosen].chan, true);
        return chosen;
    }
    int refused = wait_refused(deadline);
    if (refused) {
        unlock_all(s);
        return refused;
    }
    if (s->locks == 0) {
        int why = wait_until(&kind_nothing, deadline);
        return why ? why : -ETIMEDOUT;
    }
    park_init(&s->waiter, &kind_select, s->order[0]);
    for (int i = 0; i < s->count; i++) {
        struct weft_case *c = &s->cases[i];
        if (!c->chan) continue;
        s->entries[i] = (struct chan_entry){
            .entry.waiter = &s->waiter, .elem = sends(c) ? (void *)c->from : c->into, .index = i, .select = s};
        if (sends(c)) s->entries[i].mark = order_send(c->from, c->size);
        wait_push(queue_of(c), &s->entries[i].entry);
    }
    int outcome = wait_for(&s->waiter, deadline, unlock_all, s);
    for (int i = 0; ORDER_PRECISE && i < s->count; i++)
        if (s->cases[i].chan)
            chan_waited(&s->entries[i], sends(&s->cases[i]), s->cases[i].size,
                        outcome >= 0 && i == outcome / 2 ? outcome : -1);
    if (outcome < 0) {
        select_forget_others(s, NULL);
        return outcome;
    }
    s->cases[outcome / 2].result = outcome % 2 ? -EPIPE : 0;
    return outcome / 2;
}

static noinline int select_few(struct weft_case *cases, int count, weft_time deadline)
{
    struct chan_entry entries[FEW];
    struct weft_chan *order[FEW];
    struct select     s = {.cases = cases, .count = count, .entries = entries, .order = order};
    return select_all(&s, deadline);
}

static noinline int select_many(struct weft_case *cases, int count, weft_time deadline)
{
    struct select s = {.cases = cases, .count = count};
    s.entries = malloc((size_t)count * sizeof *s.entries);
    s.order = malloc((size_t)count * sizeof(struct weft_chan *));
    int result = s.entries && s.order ? select_all(&s, deadline) : -ENOMEM;
    free(s.order);
    free(s.entries);
    return result;
}

int weft_select(struct weft_case *cases, size_t size, weft_time deadline)
{
    if (unlikely(size > INT_MAX) || unlikely(!cases && size > 0)) return -EINVAL;
    int      count = (int)size, error = 0;
    uint64_t ready = 0;
    for (int i = 0; i < count; i++) {
        const struct weft_case *c = &cases[i];
        if (unlikely(c->from && c->into)) return -EINVAL;
        if (!c->chan) continue;
        if (unlikely(c->size != c->chan->elem_size)) error = -EMSGSIZE;
        if (i < 64 && may(c)) ready |= UINT64_C(1) << i;
    }
    if (unlikely(error)) return error;
    struct worker *w = worker_self();
    if (likely(w)) worker_spend(w);
    /* Of more than 64 cases all have to be looked at to be fair. */
    int chosen = count <= 64 ? try_some(cases, ready) : -1;
    if (likely(chosen >= 0)) return chosen;
    return count <= FEW ? select_few(cases, count, deadline) : select_many(cases, count, deadline);
}
