/* stress_random.c - plays on channels, on shared state, and with tasks, in which everybody does anything at any time
 *
 * Who sends, gives or sets notes that before it does, so whatever a call returns is judged by what may have happened,
 * and in the end everything that was given has been taken once or is still there.
 */
#include "support_chan.h"
#include "support_play.h"

#include <stdlib.h>
#include <string.h>

/* ---- a market: channels and selects ---------------------------------------- */

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

/* ---- an office: locks, counts, and what happens once ------------------------ */

enum { ROUNDS = 4 };

/* What happens once, by anybody; and whose `index` it is in the end. */
struct deed {
    weft_event  event;
    weft_future future;
    weft_once   once;
    size_t      content; /* plain, written by its owner before he sets the event first */
    size_t      made;    /* plain, by the once */
    atomic_bool setting, set;
    atomic_bool offering[TEST_ACTORS], has_value;
    atomic_int  accepted; /* offers that were told 0 */
    atomic_int  value;    /* of the future, as the first was told, and 1 more; 0: nobody was */
};

struct clerk {
    long     tokens, posts; /* that it has put and not taken; negative: taken, and not put */
    bool     stays;         /* counts in the group */
    bool     is_here;       /* noted for the round of the barrier */
    unsigned round;
};

struct office {
    weft_mutex    mutex;
    size_t        sections; /* plain, under it */
    atomic_size_t all_sections;
    weft_rwlock   lock;
    size_t        left, right; /* plain, equal when nobody writes */
    atomic_size_t writes;
    weft_mutex    cond_mutex;
    weft_cond     cond;
    long          tokens; /* plain */
    int           inside; /* plain: who has cond_mutex */
    weft_sem      sem;
    unsigned      count; /* of the semaphore, at first */
    weft_group    group; /* of those who are not ready to settle, one each, and of who comes and goes meanwhile */
    weft_barrier  barrier;
    atomic_uint   arriving[ROUNDS], ones[ROUNDS];
    struct deed   deeds[TEST_ACTORS];
    struct clerk  clerks[TEST_ACTORS];
};

static void yield_some(struct test_actor *a)
{
    if (test_random(&a->chance) % 4 == 0) weft_yield();
    if (test_random(&a->chance) % 4 == 0) test_spin(test_random(&a->chance) % 2000);
}

static int unlock_for_another(void *arg)
{
    weft_mutex_unlock(arg);
    return 0;
}

static void work_alone(struct test_actor *a)
{
    struct office *o = a->stage;
    weft_task      task;

    if (test_random(&a->chance) % 2 || !weft_mutex_trylock(&o->mutex)) weft_mutex_lock(&o->mutex);
    size_t before = o->sections;
    yield_some(a);
    o->sections = before + 1;
    atomic_fetch_add(&o->all_sections, 1);
    if (a->is_thread || test_random(&a->chance) % 4) {
        weft_mutex_unlock(&o->mutex);
    } else {
        weft_spawn(&task, unlock_for_another, &o->mutex);
        weft_await(&task);
    }
}

static void read_or_write(struct test_actor *a)
{
    struct office *o = a->stage;
    bool           tries = test_random(&a->chance) % 4 == 0;

    if (test_random(&a->chance) % 3 == 0) {
        if (!tries || !weft_rwlock_trywrlock(&o->lock)) weft_rwlock_wrlock(&o->lock);
        o->left++;
        yield_some(a);
        o->right++;
        atomic_fetch_add(&o->writes, 1);
    } else {
        if (!tries || !weft_rwlock_tryrdlock(&o->lock)) weft_rwlock_rdlock(&o->lock);
        size_t left = o->left;
        yield_some(a);
        task_check(left == o->right);
    }
    weft_rwlock_unlock(&o->lock);
}

static void enter(struct office *o)
{
    weft_mutex_lock(&o->cond_mutex);
    task_check(o->inside++ == 0);
}

static void leave(struct office *o)
{
    task_check(--o->inside == 0);
    weft_mutex_unlock(&o->cond_mutex);
}

static void put_token(struct test_actor *a)
{
    struct office *o = a->stage;
    bool           within = test_random(&a->chance) % 2, all = test_random(&a->chance) % 8 == 0;

    enter(o);
    o->tokens++;
    if (!within) leave(o);
    if (all) weft_cond_broadcast(&o->cond);
    else weft_cond_signal(&o->cond);
    if (within) leave(o);
    o->clerks[a->index].tokens++;
}

/* A signal comes with each token, so there is no token for which nobody is awake. */
static bool take_token(struct test_actor *a, weft_time deadline)
{
    struct office *o = a->stage;
    int            result = 0, before = 0;

    enter(o);
    while (o->tokens == 0 && result == 0) {
        before = weft_check();
        o->inside--;
        result = weft_cond_wait(&o->cond, &o->cond_mutex, deadline);
        task_check(o->inside++ == 0);
    }
    if (result == 0) o->tokens--;
    leave(o);
    if (result == 0) o->clerks[a->index].tokens--;
    else test_judge(a, before, deadline, result);
    return result == 0;
}

static void post(struct test_actor *a)
{
    struct office *o = a->stage;

    weft_sem_post(&o->sem);
    o->clerks[a->index].posts++;
}

static bool take_post(struct test_actor *a, weft_time deadline)
{
    struct office *o = a->stage;
    int            before = weft_check(), result = weft_sem_wait(&o->sem, deadline);

    if (result == 0) o->clerks[a->index].posts--;
    else test_judge(a, before, deadline, result);
    return result == 0;
}

static void set_event(struct test_actor *a, unsigned which)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];

    if (which != a->index && !atomic_load(&d->set)) return;
    if (!atomic_load(&d->setting)) d->content = which + 1;
    atomic_store(&d->setting, true);
    weft_event_set(&d->event);
    atomic_store(&d->set, true);
}

static bool wait_event(struct test_actor *a, unsigned which, weft_time deadline)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];
    bool         set = atomic_load(&d->set);
    int          before = weft_check(), result = weft_event_wait(&d->event, deadline);

    if (result == 0) {
        task_check(atomic_load(&d->setting));
        task_check(d->content == which + 1);
    } else {
        task_check(!set);
        test_judge(a, before, deadline, result);
    }
    return result == 0;
}

static void set_future(struct test_actor *a, unsigned which)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];
    bool         offered = atomic_exchange(&d->offering[a->index], true);

    int result = weft_future_set(&d->future, (intptr_t)a->index);
    if (result == 0) {
        task_check(atomic_fetch_add(&d->accepted, 1) == 0);
    } else {
        for (unsigned i = 0; i < TEST_ACTORS; i++) offered = offered || (i != a->index && atomic_load(&d->offering[i]));
        task_check(result == -EALREADY && offered);
    }
    atomic_store(&d->has_value, true);
}

static bool await_future(struct test_actor *a, unsigned which, weft_time deadline)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];
    bool         has_value = atomic_load(&d->has_value);
    intptr_t     value = -1;
    int          before = weft_check(), result = weft_future_await(&d->future, &value, deadline);

    if (result == 0) {
        task_check(value >= 0 && value < TEST_ACTORS && atomic_load(&d->offering[value]));
        int told = 0;
        if (!atomic_compare_exchange_strong(&d->value, &told, (int)value + 1)) task_check(told == (int)value + 1);
    } else {
        task_check(!has_value && value == -1);
        test_judge(a, before, deadline, result);
    }
    return result == 0;
}

static void make(void *arg)
{
    struct deed *d = arg;

    weft_yield();
    d->made++;
}

static void do_once(struct test_actor *a, unsigned which)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];

    weft_once_call(&d->once, make, d);
    task_check(d->made == 1);
}

/* It counts itself, so there is no moment in which nobody is left. */
static void wait_for_all_though_it_stays(struct test_actor *a)
{
    struct office *o = a->stage;
    int            more = (int)(test_random(&a->chance) % 3);

    weft_group_add(&o->group, more);
    weft_time deadline = test_any_deadline(a, false);
    int       before = weft_check(), result = weft_group_wait(&o->group, deadline);
    task_check(result < 0);
    test_judge(a, before, deadline, result);
    weft_group_add(&o->group, -more);
}

/* One round, which is complete when all are in it who have not been told that they are not. */
static bool pass_barrier(struct test_actor *a)
{
    struct office *o = a->stage;
    struct clerk  *c = &o->clerks[a->index];

    if (!c->is_here) atomic_fetch_add(&o->arriving[c->round], 1);
    c->is_here = true;
    int before = weft_check(), result = weft_barrier_wait(&o->barrier);
    if (result < 0) {
        test_judge(a, before, WEFT_NEVER, result);
        return false;
    }
    task_check(atomic_load(&o->arriving[c->round]) == TEST_ACTORS);
    atomic_fetch_add(&o->ones[c->round], (unsigned)result);
    c->round++;
    c->is_here = false;
    return true;
}

static void sleep_some(struct test_actor *a)
{
    weft_time deadline = test_any_deadline(a, false);
    int       before = weft_check(), result = weft_sleep(deadline);

    if (result == 0) task_check(deadline != WEFT_NEVER && weft_now() >= deadline);
    else test_judge(a, before, WEFT_NEVER, result);
}

static void do_work(struct test_actor *a)
{
    struct office *o = a->stage;
    unsigned       which = test_random(&a->chance) % TEST_ACTORS;

    switch (test_random(&a->chance) % 16) {
    case 0: work_alone(a); break;
    case 1:
    case 2: read_or_write(a); break;
    case 3: put_token(a); break;
    case 4:
    case 5: take_token(a, test_any_deadline(a, false)); break;
    case 6: post(a); break;
    case 7:
    case 8: take_post(a, test_any_deadline(a, false)); break;
    case 9:
        test_random(&a->chance) % 32 ? (void)wait_event(a, which, test_any_deadline(a, false)) : set_event(a, which);
        break;
    case 10:
        test_random(&a->chance) % 32 ? (void)await_future(a, which, test_any_deadline(a, false)) : set_future(a, which);
        break;
    case 11: do_once(a, which); break;
    case 12: wait_for_all_though_it_stays(a); break;
    case 13:
    case 14:
        if (a->at->doomed && o->clerks[a->index].round < ROUNDS) pass_barrier(a);
        break;
    case 15: sleep_some(a); break;
    }
}

/* First all that nobody waits for long to do; then each wait is for what others do first. */
static bool settle_work(struct test_actor *a)
{
    struct office *o = a->stage;
    struct clerk  *c = &o->clerks[a->index];

    while (c->tokens < 0) put_token(a);
    while (c->posts < 0) post(a);
    set_event(a, a->index);
    set_future(a, a->index);
    if (c->stays) {
        c->stays = false;
        weft_group_done(&o->group);
    }
    while (c->tokens > 0)
        if (!take_token(a, WEFT_NEVER)) return false;
    while (c->posts > 0)
        if (!take_post(a, WEFT_NEVER)) return false;
    for (unsigned i = 0; i < TEST_ACTORS; i++)
        if (!wait_event(a, i, WEFT_NEVER) || !await_future(a, i, WEFT_NEVER)) return false;
    int before = weft_check(), result = weft_group_wait(&o->group, WEFT_NEVER);
    if (result) test_judge(a, before, WEFT_NEVER, result);
    if (result) return false;
    for (unsigned i = 0; i < TEST_ACTORS; i++) task_check(!o->clerks[i].stays);
    while (c->round < ROUNDS)
        if (!pass_barrier(a)) return false;
    return true;
}

static void *begin_office(uint32_t *chance)
{
    struct office *o = calloc(1, sizeof *o);

    if (!o) abort();
    o->count = test_random(chance) % 4;
    weft_sem_init(&o->sem, o->count);
    weft_barrier_init(&o->barrier, TEST_ACTORS);
    weft_group_add(&o->group, TEST_ACTORS);
    for (unsigned i = 0; i < TEST_ACTORS; i++) o->clerks[i].stays = true;
    return o;
}

static void end_office(void *stage)
{
    struct office *o = stage;
    unsigned       left = 0;

    task_check(weft_mutex_trylock(&o->mutex) && weft_mutex_trylock(&o->cond_mutex));
    task_check(o->sections == atomic_load(&o->all_sections));
    task_check(weft_rwlock_trywrlock(&o->lock));
    task_check(o->left == atomic_load(&o->writes) && o->right == o->left);
    task_check(o->tokens == 0);
    while (weft_sem_wait(&o->sem, 0) == 0) left++;
    task_check(left == o->count);
    for (unsigned i = 0; i < ROUNDS; i++) task_check(atomic_load(&o->ones[i]) == 1);
    for (unsigned i = 0; i < TEST_ACTORS; i++) task_check(atomic_load(&o->deeds[i].accepted) == 1);
    free(o);
}

static struct test_play office = {
    .act = do_work,
    .settle = settle_work,
    .begin = begin_office,
    .end = end_office,
    .turns = 60,
    .times = 50,
};

static void nothing_shared_is_lost_or_doubled(void **state)
{
    (void)state;
    assert_everywhere(test_play_often, &office);
}

/* ---- a family: tasks that are awaited, and generators ------------------------ */

enum { CHILDREN = 5, GENERATORS = 3, FAMILY_TURNS = 40 };

/* What a child does; the last waits until it is cancelled, or for a while. */
enum calling { RETURNS, YIELDS, SLEEPS, BLOCKS, HAS_CHILDREN, WAITS, CALLINGS };

struct child {
    struct test_actor actor; /* its own part */
    struct test_place place;
    enum calling      calling;
    int               depth;
    int               value, result; /* what it returns; what it is to return */
    atomic_bool       begun, ended;
    weft_task         task;
};

/* Numbers that it hands out, each to one. */
struct source {
    weft_gen     *gen;
    long          next; /* plain: nobody else is in it */
    atomic_int    users;
    atomic_size_t uses;
    atomic_long   taken;
    atomic_bool   seen[TEST_ACTORS * FAMILY_TURNS + 1];
};

struct family {
    weft_event    never;
    struct source sources[GENERATORS];
};

static void have_children(struct test_actor *a, int depth);

static int give_value(void *arg)
{
    return *(int *)arg;
}

static int be_child(void *arg)
{
    struct child      *c = arg;
    struct test_actor *a = &c->actor;
    weft_time          deadline = WEFT_NEVER;
    int                before = weft_check(), result;

    task_check(!atomic_exchange(&c->begun, true));
    switch (c->calling) {
    case YIELDS:
        for (unsigned i = test_random(&a->chance) % 8; i > 0; i--) weft_yield();
        break;
    case SLEEPS:
        result = weft_sleep(weft_now() + test_random(&a->chance) % (100 * WEFT_US));
        if (result) test_judge(a, before, WEFT_NEVER, result);
        break;
    case BLOCKS: task_check(weft_blocking(give_value, &c->value) == c->value); break;
    case HAS_CHILDREN: have_children(a, c->depth - 1); break;
    case WAITS:
        if (!a->at->doomed) deadline = weft_now() + test_random(&a->chance) % (50 * WEFT_US);
        result = weft_event_wait(&((struct family *)a->stage)->never, deadline);
        task_check(result < 0);
        test_judge(a, before, deadline, result);
        break;
    default: break;
    }
    atomic_store(&c->ended, true);
    return c->value;
}

static int await_for_another(void *arg)
{
    return weft_await(arg);
}

/* Waits for any of some that are left, which all end sooner or later. */
static void await_one_of(struct test_actor *a, struct child *children, const bool *left, unsigned count)
{
    weft_task *tasks[2 * CHILDREN];
    unsigned   which[2 * CHILDREN], n = 0;
    bool       done = false;

    for (unsigned i = 0; i < count; i++) {
        if (!left[i] || test_random(&a->chance) % 4 == 0) continue;
        unsigned copies = 1 + (test_random(&a->chance) % 8 == 0);
        for (; copies > 0; copies--) {
            which[n] = i;
            tasks[n++] = &children[i].task;
        }
    }
    weft_time deadline = test_any_deadline(a, n > 0);
    for (unsigned i = 0; i < n; i++) done = done || weft_done(tasks[i]);
    int before = weft_check(), index = weft_await_any(tasks, n, deadline);
    if (n == 0) {
        task_check(index == -EINVAL);
    } else if (index >= 0) {
        task_check(index < (int)n && weft_done(tasks[index]) && atomic_load(&children[which[index]].ended));
    } else {
        task_check(!done);
        test_judge(a, before, deadline, index);
    }
}

static void cancel_child(struct child *c)
{
    atomic_store(&c->place.cancelled, true);
    weft_cancel(&c->task);
}

static void have_children(struct test_actor *a, int depth)
{
    struct child children[CHILDREN];
    bool         left[CHILDREN], cancelled[CHILDREN];
    unsigned     count = 1 + test_random(&a->chance) % CHILDREN, remaining = count;

    for (unsigned i = 0; i < count; i++) {
        struct child *c = &children[i];
        *c = (struct child){.actor = {.stage = a->stage, .chance = test_random(&a->chance) | 1, .at = &c->place},
                            .place = {.outer = a->at, .doomed = a->at->doomed},
                            .calling = test_random(&a->chance) % CALLINGS,
                            .depth = depth,
                            .value = (int)(test_random(&a->chance) % 2000) - 1000};
        if (c->calling == HAS_CHILDREN && depth == 0) c->calling = YIELDS;
        if (c->calling == WAITS && test_random(&a->chance) % 2) c->place.doomed = true;
        left[i] = true;
        cancelled[i] = false;
        weft_spawn(&c->task, be_child, c);
        if (test_random(&a->chance) % 4 == 0 && weft_take(&c->task)) {
            task_check(!atomic_load(&c->begun));
            c->place.doomed = a->at->doomed;
            c->place.told = 0;
            c->actor.at = a->at;
            task_check(be_child(c) == c->value);
            left[i] = false;
            remaining--;
        } else if (c->place.doomed && !a->at->doomed) {
            for (unsigned yields = test_random(&a->chance) % 4; yields > 0; yields--) weft_yield();
            cancel_child(c);
            cancelled[i] = true;
        }
    }
    while (remaining > 0) {
        unsigned      i = test_random(&a->chance) % count;
        struct child *c = &children[i];
        weft_task     helper;
        if (!left[i]) continue;
        switch (test_random(&a->chance) % 8) {
        case 0:
            if (weft_done(&c->task)) task_check(atomic_load(&c->ended));
            break;
        case 1:
            if (!cancelled[i]) cancel_child(c);
            cancelled[i] = true;
            break;
        case 2:
            weft_spawn(&helper, await_for_another, &c->task);
            if (test_random(&a->chance) % 2) weft_cancel(&helper);
            task_check(weft_await(&helper) == c->value);
            task_check(weft_done(&c->task) && atomic_load(&c->ended));
            left[i] = false;
            remaining--;
            break;
        case 3:
            task_check(weft_await(&c->task) == c->value);
            task_check(weft_done(&c->task) && atomic_load(&c->ended));
            left[i] = false;
            remaining--;
            break;
        default: await_one_of(a, children, left, count);
        }
    }
}

static int hand_out(weft_gen *self, void *arg)
{
    struct source *s = arg;

    for (;;) {
        long next = s->next + 1;
        if (next % 4 == 0) weft_yield();
        if (next % 4 == 1) weft_sleep(weft_now() + 5 * WEFT_US);
        s->next = next;
        int error = weft_gen_yield(self, (void *)next, NULL);
        if (error) return error;
    }
}

/* Whoever is told that another is in it has met one. */
static void take_from(struct test_actor *a)
{
    struct source *s = &((struct family *)a->stage)->sources[test_random(&a->chance) % GENERATORS];
    void          *value = NULL;
    size_t         uses = atomic_load(&s->uses);
    int            users = atomic_fetch_add(&s->users, 1);

    atomic_fetch_add(&s->uses, 1); /* last, so whoever begins to use it from here on is counted from there on */
    int result = weft_gen_next(s->gen, &value);

    if (result == 1) {
        long number = (long)value;
        task_check(number > 0 && number < (long)TEST_LENGTH(s->seen));
        if (number > 0 && number < (long)TEST_LENGTH(s->seen)) task_check(!atomic_exchange(&s->seen[number], true));
        atomic_fetch_add(&s->taken, 1);
    } else {
        task_check(result == -EBUSY && (users > 0 || atomic_load(&s->uses) > uses + 1));
    }
    atomic_fetch_sub(&s->users, 1);
}

static void add_range(size_t begin, size_t end, void *arg)
{
    for (size_t i = begin; i < end; i++) atomic_fetch_add((atomic_size_t *)arg, i);
}

static void live_in_family(struct test_actor *a)
{
    atomic_size_t sum = 0;
    size_t        n = test_random(&a->chance) % 40;
    int           value = (int)n - 20;

    switch (test_random(&a->chance) % 8) {
    case 0:
        weft_for(0, n, test_random(&a->chance) % 4, add_range, &sum);
        task_check(n == 0 || atomic_load(&sum) == n * (n - 1) / 2);
        break;
    case 1: task_check(weft_blocking(give_value, &value) == value); break;
    case 2:
    case 3:
    case 4: take_from(a); break;
    default:
        if (!a->is_thread) have_children(a, 2);
    }
}

static bool settle_family(struct test_actor *a)
{
    (void)a;
    return true;
}

static void *begin_family(uint32_t *chance)
{
    struct family *f = calloc(1, sizeof *f);

    (void)chance;
    if (!f) abort();
    for (int i = 0; i < GENERATORS; i++) {
        struct source *s = &f->sources[i];
        task_check(weft_gen_create(&s->gen, hand_out, s, 0) == 0);
    }
    return f;
}

static void end_family(void *stage)
{
    struct family *f = stage;

    for (int i = 0; i < GENERATORS; i++) {
        struct source *s = &f->sources[i];
        task_check(s->next == atomic_load(&s->taken));
        task_check(weft_gen_close(s->gen) == 0 && weft_gen_result(s->gen) == -ECANCELED);
        weft_gen_destroy(s->gen);
    }
    free(f);
}

static struct test_play family = {
    .act = live_in_family,
    .settle = settle_family,
    .begin = begin_family,
    .end = end_family,
    .turns = FAMILY_TURNS,
    .times = 50,
};

static void every_result_is_told_once(void **state)
{
    (void)state;
    assert_everywhere(test_play_often, &family);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_arrive_once_or_come_back),
        cmocka_unit_test(nothing_shared_is_lost_or_doubled),
        cmocka_unit_test(every_result_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
