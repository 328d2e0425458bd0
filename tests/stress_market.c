/* stress_market.c - a play on channels and selects, in which everybody does anything at any time
 *
 * Who sends notes that before it does, so whatever a call returns is judged by what may have happened, and in the end
 * every item has been received once, has come back to its sender, or is still there.
 */
#include "support_chan.h"
#include "support_play.h"

#include <stdlib.h>
#include <string.h>

enum { CHANS = 4, CASES = 80, SERIALS = 8192, ACTOR_SHIFT = 16, WORDS = 16, UNTOUCHED = 0x5a };

/* What has become of an item, in bits: its sender is about to offer it; was told that it was sent; that it was not; and
 * somebody has received it. */
enum { OFFERED = 1, SENT = 2, WITHDRAWN = 4, RECEIVED = 8 };

struct trader {
    int          owes[CHANS]; /* what it has received less what it has sent: to settle, it sends so many */
    bool         over[CHANS]; /* it was told that the channel is closed */
    unsigned     serial;
    atomic_uchar fate[SERIALS];
    unsigned     last[CHANS][TEST_ACTORS + 1]; /* the serial of the last item that it received of each */
    uint32_t     from[CASES][WORDS], into[CASES][WORDS];
};

struct market {
    unsigned      count; /* of channels */
    weft_chan    *chans[CHANS];
    size_t        sizes[CHANS];
    size_t        rest[CHANS];   /* how many are to be left there, unless it is closed */
    bool          drops;         /* who receives may not look at it */
    bool          closes[CHANS]; /* it will be closed for sure */
    atomic_bool   closing[CHANS], closed[CHANS];
    atomic_bool   ended[CHANS]; /* a receiver was told that it is closed and empty */
    atomic_size_t sent[CHANS], received[CHANS], dropped[CHANS];
    struct trader traders[TEST_ACTORS + 1]; /* the last drains what is left */
};

struct offer {
    unsigned chan;
    bool     sends, drops;
    bool     nowhere; /* it is for no channel, and never ready */
    unsigned serial;
    bool     closed, ended; /* already before the call */
};

/* Numbers that say whose they are, and that all arrived. */
static void write_item(uint32_t *words, size_t size, uint32_t item)
{
    for (size_t i = 0; i < size / sizeof *words; i++) words[i] = i % 2 ? ~item : item;
}

static void receive_item(struct market *m, struct trader *t, unsigned chan, const uint32_t *words)
{
    size_t   size = m->sizes[chan];
    uint32_t item = words[0];
    unsigned sender = item >> ACTOR_SHIFT, serial = item & ((1u << ACTOR_SHIFT) - 1);

    atomic_fetch_add(&m->received[chan], 1);
    if (size == 0) return;
    for (size_t i = 0; i < size / sizeof *words; i++) task_check(words[i] == (i % 2 ? ~item : item));
    task_check(sender < TEST_ACTORS && serial < SERIALS);
    if (sender >= TEST_ACTORS || serial >= SERIALS) return;
    int before = atomic_fetch_or(&m->traders[sender].fate[serial], RECEIVED);
    task_check((before & OFFERED) && !(before & (WITHDRAWN | RECEIVED)));
    task_check(serial > t->last[chan][sender]);
    t->last[chan][sender] = serial;
}

static bool is_untouched(const void *bytes, size_t from)
{
    for (size_t i = from; i < WORDS * sizeof(uint32_t); i++)
        if (((const unsigned char *)bytes)[i] != UNTOUCHED) return false;
    return true;
}

static void prepare(struct test_actor *a, struct offer *o, unsigned at)
{
    struct market *m = a->stage;
    struct trader *t = &m->traders[a->index];

    o->closed = atomic_load(&m->closed[o->chan]);
    o->ended = atomic_load(&m->ended[o->chan]);
    o->drops = !o->sends && m->drops && test_random(&a->chance) % 4 == 0;
    if (!o->sends) return;
    o->serial = ++t->serial;
    if (o->serial >= SERIALS) abort();
    atomic_store(&t->fate[o->serial], OFFERED);
    write_item(t->from[at], m->sizes[o->chan], (uint32_t)a->index << ACTOR_SHIFT | o->serial);
}

static void judge_offer(struct test_actor *a, struct offer *o, unsigned at, bool chosen, int result)
{
    struct market *m = a->stage;
    struct trader *t = &m->traders[a->index];
    bool           done = chosen && result == 0;
    size_t         size = m->sizes[o->chan];

    if (chosen && result == -EPIPE) {
        task_check(atomic_load(&m->closing[o->chan]));
        if (!o->sends) atomic_store(&m->ended[o->chan], true);
        t->over[o->chan] = true;
    } else if (chosen) {
        task_check(result == 0 && !(o->sends ? o->closed : o->ended));
    }
    if (o->sends) {
        int before = atomic_fetch_or(&t->fate[o->serial], done ? SENT : WITHDRAWN);
        task_check(done || !(before & RECEIVED));
        if (done) atomic_fetch_add(&m->sent[o->chan], 1);
        memset(t->from[at], 255, sizeof t->from[at]);
    } else if (done && o->drops) {
        atomic_fetch_add(&m->dropped[o->chan], 1);
    } else if (done) {
        task_check(is_untouched(t->into[at], size));
        receive_item(m, t, o->chan, t->into[at]);
        memset(t->into[at], UNTOUCHED, sizeof t->into[at]);
    }
    if (done) t->owes[o->chan] += o->sends ? -1 : 1;
}

/* One call with one of these, by a select or not.  False: it gave up. */
static bool deal(struct test_actor *a, struct offer *offers, unsigned count, weft_time deadline)
{
    struct market   *m = a->stage;
    struct trader   *t = &m->traders[a->index];
    struct weft_case cases[CASES];
    bool             ready = false;
    int              index, result = 0;

    for (unsigned i = 0; i < count; i++) {
        struct offer *o = &offers[i];
        prepare(a, o, i);
        ready = ready || (o->closed && !o->nowhere);
        cases[i] = (struct weft_case){o->nowhere ? NULL : m->chans[o->chan], o->sends ? t->from[i] : NULL,
                                      o->sends || o->drops ? NULL : t->into[i], m->sizes[o->chan], 1};
    }
    int before = weft_check();
    if (count == 1 && !offers[0].nowhere && test_random(&a->chance) % 4) {
        index = cases[0].from ? weft_chan_send(cases[0].chan, cases[0].from, cases[0].size, deadline)
                              : weft_chan_recv(cases[0].chan, cases[0].into, cases[0].size, deadline);
        if (index == -EPIPE) result = -EPIPE;
        if (index == -EPIPE) index = 0;
    } else {
        index = weft_select(cases, count, deadline);
        task_check(index < (int)count);
        for (int i = 0; i < (int)count; i++) task_check(i == index ? !offers[i].nowhere : cases[i].result == 1);
        if (index >= 0) result = cases[index].result;
    }
    for (unsigned i = 0; i < count; i++) judge_offer(a, &offers[i], i, (int)i == index, result);
    for (unsigned i = 0; i < count; i++) task_check(is_untouched(t->into[i], 0));
    if (index >= 0) return true;
    task_check(!ready);
    test_judge(a, before, deadline, index);
    return false;
}

static void trade(struct test_actor *a)
{
    struct market *m = a->stage;
    struct offer   offers[CASES];
    unsigned most = test_random(&a->chance) % 16 ? 6 : CASES; /* select has ways of its own for more than 8, and 64 */
    unsigned count = test_random(&a->chance) % 2 ? 1 : test_random(&a->chance) % (most + 1);
    bool     ends = false;

    for (unsigned i = 0; i < count; i++) {
        offers[i] = (struct offer){.chan = test_random(&a->chance) % m->count,
                                   .sends = test_random(&a->chance) % 2,
                                   .nowhere = test_random(&a->chance) % 16 == 0};
        ends = ends || (m->closes[offers[i].chan] && !offers[i].nowhere);
    }
    deal(a, offers, count, test_any_deadline(a, ends));
}

/* At each channel the items that are owed and those that are there are as many as the receives that are owed and what
 * is to be left.  So when all have come so far, somebody's case can go ahead, until nobody owes any more: there is an
 * item to receive, or room for one that is owed, or two who meet. */
static bool settle_trade(struct test_actor *a)
{
    struct market *m = a->stage;
    struct trader *t = &m->traders[a->index];

    for (;;) {
        struct offer offers[CASES];
        unsigned     count = 0;
        unsigned     first = test_random(&a->chance) % m->count;
        for (unsigned i = 0; i < m->count; i++) {
            unsigned chan = (first + i) % m->count;
            if (t->owes[chan] == 0 || t->over[chan]) continue;
            unsigned copies = 1 + (count + m->count - i < CASES && test_random(&a->chance) % 8 == 0);
            for (; copies > 0; copies--) offers[count++] = (struct offer){.chan = chan, .sends = t->owes[chan] > 0};
        }
        if (count == 0) return true;
        if (!deal(a, offers, count, WEFT_NEVER)) {
            task_check(a->at->told);
            return false;
        }
    }
}

static void close_some(void *stage, uint32_t *chance)
{
    struct market *m = stage;

    for (unsigned i = 0; i < m->count; i++) {
        if (!m->closes[i]) continue;
        for (unsigned left = test_random(chance) % 64; left > 0; left--) weft_yield();
        test_spin(test_random(chance) % 20000);
        atomic_store(&m->closing[i], true);
        task_check(weft_chan_close(m->chans[i]) == 0);
        atomic_store(&m->closed[i], true);
        task_check(weft_chan_close(m->chans[i]) == -EPIPE);
    }
}

static void *begin_market(uint32_t *chance)
{
    static const size_t sizes[] = {0, 4, 8, 12, 64}, capacities[] = {0, 0, 1, 2, 5};
    struct market      *m = calloc(1, sizeof *m);
    bool                closing = test_random(chance) % 2;

    if (!m) abort();
    m->count = 1 + test_random(chance) % CHANS;
    m->drops = test_random(chance) % 4 == 0;
    for (unsigned i = 0; i < m->count; i++) {
        m->sizes[i] = sizes[test_random(chance) % TEST_LENGTH(sizes)];
        size_t capacity = capacities[test_random(chance) % TEST_LENGTH(capacities)];
        m->chans[i] = test_make_chan(m->sizes[i], capacity);
        m->rest[i] = test_random(chance) % (capacity + 1);
        m->traders[0].owes[i] = (int)m->rest[i];
        m->closes[i] = closing && test_random(chance) % 2;
    }
    for (unsigned i = 0; i <= TEST_ACTORS; i++) memset(m->traders[i].into, UNTOUCHED, sizeof m->traders[i].into);
    return m;
}

static void end_market(void *stage)
{
    struct market *m = stage;
    uint32_t       words[WORDS];

    for (unsigned i = 0; i < m->count; i++) {
        int result;
        if (!m->closes[i]) task_check(weft_chan_len(m->chans[i]) == m->rest[i]);
        while ((result = weft_chan_recv(m->chans[i], words, m->sizes[i], 0)) == 0)
            receive_item(m, &m->traders[TEST_ACTORS], i, words);
        task_check(result == (m->closes[i] ? -EPIPE : -EAGAIN));
        task_check(atomic_load(&m->sent[i]) == atomic_load(&m->received[i]) + atomic_load(&m->dropped[i]));
        weft_chan_destroy(m->chans[i]);
    }
    free(m);
}

static struct test_play market = {
    .act = trade,
    .settle = settle_trade,
    .disturb = close_some,
    .begin = begin_market,
    .end = end_market,
    .turns = 60,
    .times = 50,
};

static void items_arrive_once_or_come_back(void **state)
{
    (void)state;
    assert_everywhere(test_play_often, &market);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(items_arrive_once_or_come_back)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
