/* stress_chan.c - many at both ends, and everything that can end a wait, all at once
 *
 * What holds in every order of events: what was sent is received once or still
 * there, what was not sent is never seen, and one receiver sees one sender's
 * elements in their order.
 */
#include "support_chan.h"

#include <stdlib.h>
#include <string.h>

struct item {
    unsigned sender;
    unsigned number;
};

static weft_chan *make_items(size_t capacity)
{
    return test_make_chan(sizeof(struct item), capacity);
}

/* For good, a mere try, too late, or soon. */
static weft_time any_deadline(uint32_t *chance)
{
    switch (test_random(chance) % 8) {
    case 0: return 0;
    case 1: return 1;
    case 2: return weft_now() + test_random(chance) % (50 * WEFT_US);
    case 3: return weft_now() + test_random(chance) % (5 * WEFT_US);
    default: return WEFT_NEVER;
    }
}

static bool gave_up(int result, weft_time deadline)
{
    return (result == -EAGAIN && deadline == 0) ||
           (result == -ETIMEDOUT && deadline != 0 && deadline != WEFT_NEVER && weft_now() >= deadline);
}

/* ---- many to many -------------------------------------------------------------------- */

enum { SENDERS = 6, RECEIVERS = 6 };

struct market {
    weft_chan    *chan;
    unsigned      each; /* items of each sender */
    bool          hurried;
    atomic_uint   senders_left;
    atomic_size_t received;
    atomic_uchar *seen; /* [sender * each + number] */
};

struct trader {
    struct market *market;
    unsigned       index;
};

static int sell(void *arg)
{
    struct trader *self = arg;
    struct market *market = self->market;
    uint32_t       chance = self->index + 1;

    for (unsigned number = 0; number < market->each;) {
        struct item *item = malloc(sizeof *item);
        if (!item) abort();
        *item = (struct item){self->index, number};
        weft_time deadline = market->hurried ? any_deadline(&chance) : WEFT_NEVER;
        int       result = weft_send(market->chan, item, deadline);
        memset(item, 255, sizeof *item);
        free(item);
        task_check(result == 0 || gave_up(result, deadline));
        number += result == 0;
    }
    if (atomic_fetch_sub(&market->senders_left, 1) == 1) task_check(weft_chan_close(market->chan) == 0);
    return 0;
}

static int buy(void *arg)
{
    struct trader *self = arg;
    struct market *market = self->market;
    uint32_t       chance = self->index + 100;
    long           last[SENDERS];
    int            result;

    for (int i = 0; i < SENDERS; i++) last[i] = -1;
    do {
        struct item item = {SENDERS, 0};
        weft_time   deadline = market->hurried ? any_deadline(&chance) : WEFT_NEVER;
        result = weft_recv(market->chan, &item, deadline);
        if (result == 0) {
            task_check(item.sender < SENDERS && item.number < market->each);
            if (item.sender >= SENDERS || item.number >= market->each) break;
            task_check((long)item.number > last[item.sender]);
            last[item.sender] = item.number;
            task_check(atomic_fetch_add(&market->seen[item.sender * market->each + item.number], 1) == 0);
            atomic_fetch_add(&market->received, 1);
        } else {
            task_check(item.sender == SENDERS);
            task_check(result == -EPIPE || gave_up(result, deadline));
        }
    } while (result != -EPIPE);
    return 0;
}

static int buy_in_other_runtime(void *arg)
{
    return buy(*(struct trader **)arg);
}

/* Tasks, two plain threads at each end, and, the last receiver, a task of another runtime. */
static int trade(void *arg)
{
    static const size_t capacities[] = {0, 1, 7, 128};
    const bool          hurried = *(const bool *)arg;

    for (size_t c = 0; c < TEST_LENGTH(capacities); c++) {
        struct market  market = {.chan = make_items(capacities[c]), .hurried = hurried, .senders_left = SENDERS};
        struct trader  sellers[SENDERS], buyers[RECEIVERS], *foreign = &buyers[RECEIVERS - 1];
        test_side      sides[SENDERS + RECEIVERS];
        weft_runtime  *other;
        const unsigned sides_count = SENDERS + RECEIVERS - 1;

        market.each = (unsigned)test_scale(10000);
        market.seen = calloc((size_t)SENDERS * market.each, sizeof *market.seen);
        if (!market.seen) abort();
        task_check(weft_runtime_start(&other, WEFT_OPTIONS(.workers = 1)) == 0);
        for (unsigned i = 0; i < RECEIVERS; i++) buyers[i] = (struct trader){&market, i};
        for (unsigned i = 0; i < SENDERS; i++) sellers[i] = (struct trader){&market, i};
        task_check(weft_runtime_go(other, buy_in_other_runtime, &foreign, sizeof foreign) == 0);
        for (unsigned i = 0; i < sides_count; i++) {
            if (i < SENDERS) test_side_start(&sides[i], i < 2, sell, &sellers[i]);
            else test_side_start(&sides[i], i < SENDERS + 2, buy, &buyers[i - SENDERS]);
        }
        for (unsigned i = 0; i < sides_count; i++) task_check(test_side_end(&sides[i]) == 0);
        task_check(weft_runtime_stop(other) == 0);
        task_check(atomic_load(&market.received) == (size_t)SENDERS * market.each);
        task_check(weft_chan_len(market.chan) == 0);
        weft_chan_destroy(market.chan);
        free(market.seen);
    }
    return 0;
}

static void every_item_arrives_once(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(trade, &(bool){false}), 0);
}

static void every_item_arrives_once_among_those_who_give_up(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(trade, &(bool){true}), 0);
}

static void every_item_arrives_once_between_threads(void **state)
{
    (void)state;
    trade(&(bool){false});
    trade(&(bool){true});
    assert_task_checks();
}

/* ---- close, cancel, deadline and completion race ---------------------------------------- */

enum { PAIRS = 2, MOST = 32 /* items of a sender, one bit each */ };

struct race {
    weft_chan       *chan;
    _Atomic uint32_t sent[PAIRS];
    _Atomic uint32_t received[PAIRS];
};

struct racer {
    struct race *race;
    unsigned     index;
    uint32_t     chance;
};

/* False: no more of it. */
static bool race_goes_on(int result, weft_time deadline)
{
    if (result == 0) return true;
    int reason = weft_check();
    if (result == -EPIPE || (reason && result == reason)) return false;
    task_check(gave_up(result, deadline));
    return true;
}

static int race_to_send(void *arg)
{
    struct racer *self = arg;

    for (unsigned number = 0; number < MOST; number++) {
        struct item item = {self->index, number};
        weft_time   deadline = any_deadline(&self->chance);
        int         result = weft_send(self->race->chan, &item, deadline);
        if (result == 0) atomic_fetch_or(&self->race->sent[self->index], (uint32_t)1 << number);
        else if (!race_goes_on(result, deadline)) break;
    }
    return 0;
}

static void note_item(struct race *race, const struct item *item)
{
    task_check(item->sender < PAIRS && item->number < MOST);
    if (item->sender >= PAIRS || item->number >= MOST) return;
    uint32_t bit = (uint32_t)1 << item->number;
    task_check(!(atomic_fetch_or(&race->received[item->sender], bit) & bit));
}

static int race_to_recv(void *arg)
{
    struct racer *self = arg;

    for (unsigned i = 0; i < MOST; i++) {
        struct item item = {PAIRS, 0};
        weft_time   deadline = any_deadline(&self->chance);
        int         result = weft_recv(self->race->chan, &item, deadline);
        if (result == 0) {
            note_item(self->race, &item);
        } else {
            task_check(item.sender == PAIRS);
            if (!race_goes_on(result, deadline)) break;
        }
    }
    return 0;
}

static int race_once(uint32_t chance)
{
    struct race race = {.chan = NULL};
    weft_scope  scope;
    int         ending = test_random(&chance) % 3;
    weft_time   deadline =
        ending == 2 || test_random(&chance) % 4 == 0 ? weft_now() + test_random(&chance) % (40 * WEFT_US) : 0;

    race.chan = make_items(test_random(&chance) % 3);
    task_check(weft_scope_open(&scope, WEFT_SCOPE(.deadline = deadline)) == 0);
    for (unsigned i = 0; i < PAIRS; i++) {
        struct racer sender = {&race, i, test_random(&chance)};
        struct racer receiver = {&race, i, test_random(&chance)};
        task_check(weft_scope_go(&scope, race_to_send, &sender, sizeof sender) == 0);
        task_check(weft_scope_go(&scope, race_to_recv, &receiver, sizeof receiver) == 0);
    }
    for (unsigned i = test_random(&chance) % 16; i > 0; i--) weft_yield();
    if (ending == 0) task_check(weft_chan_close(race.chan) == 0);
    if (ending == 1) weft_scope_cancel(&scope);
    int result = weft_scope_close(&scope);
    task_check(result == 0 || (ending == 1 && result == -ECANCELED) || (deadline && result == -ETIMEDOUT));
    struct item item;
    while (weft_recv(race.chan, &item, 0) == 0) note_item(&race, &item);
    for (unsigned i = 0; i < PAIRS; i++) task_check(atomic_load(&race.sent[i]) == atomic_load(&race.received[i]));
    weft_chan_destroy(race.chan);
    return 0;
}

static int race_often(void *arg)
{
    (void)arg;
    for (size_t round = 0; round < test_scale(50000); round++) race_once((uint32_t)round * 2654435761u | 1);
    return 0;
}

static void endings_race(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(race_often, NULL), 0);
}

/* ---- tasks cancelled while threads send and receive -------------------------------------- */

struct crossing {
    weft_chan    *chan;
    atomic_bool   over;
    atomic_size_t sent, received;
};

static int thread_sends(void *arg)
{
    struct crossing *self = arg;
    struct item      item = {0, 0};
    uint32_t         chance = 17;

    while (!atomic_load(&self->over)) {
        weft_time deadline = weft_now() + test_random(&chance) % (30 * WEFT_US);
        int       result = weft_send(self->chan, &item, deadline);
        task_check(result == 0 || gave_up(result, deadline));
        if (result == 0) atomic_fetch_add(&self->sent, 1);
    }
    return 0;
}

static int recv_until_cancelled(void *arg)
{
    struct crossing *self = arg;
    struct item      item;
    int              result;

    while ((result = weft_recv(self->chan, &item, WEFT_NEVER)) == 0) {
        atomic_fetch_add(&self->received, 1);
        if (weft_check()) break; /* what is there at once is received for ever */
    }
    task_check(result == 0 || result == -ECANCELED);
    return 0;
}

static int cross(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        struct crossing crossing = {.over = false};
        test_side       sides[2];
        crossing.chan = make_items(capacity);
        for (int i = 0; i < 2; i++) test_side_start(&sides[i], true, thread_sends, &crossing);
        for (size_t round = 0; round < test_scale(10000); round++) {
            weft_task task;
            weft_spawn(&task, recv_until_cancelled, &crossing);
            for (size_t i = 0; i < round % 8; i++) weft_yield();
            weft_cancel(&task);
            task_check(weft_await(&task) == 0);
        }
        atomic_store(&crossing.over, true);
        for (int i = 0; i < 2; i++) task_check(test_side_end(&sides[i]) == 0);
        task_check(atomic_load(&crossing.sent) == atomic_load(&crossing.received) + weft_chan_len(crossing.chan));
        weft_chan_destroy(crossing.chan);
    }
    return 0;
}

static void cancelled_tasks_lose_nothing_of_threads(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cross, NULL), 0);
}

/* ---- nobody waits for ever ----------------------------------------------------------------- */

struct crowd {
    weft_chan  *chan;
    atomic_bool over;
    atomic_uint turns[8];
};

struct member {
    struct crowd *crowd;
    unsigned      index;
};

static int jostle(void *arg)
{
    struct member *self = arg;
    struct item    item = {self->index, 0};

    while (!atomic_load(&self->crowd->over)) {
        int result = weft_send(self->crowd->chan, &item, WEFT_NEVER);
        task_check(result == 0 || result == -EPIPE);
        if (result == 0) atomic_fetch_add(&self->crowd->turns[self->index], 1);
    }
    return 0;
}

/* Each of those who send all the time gets a turn, and again. */
static int serve_all(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity <= 2; capacity += 2) {
        struct crowd  crowd = {.over = false};
        struct member members[8];
        test_side     sides[8];
        struct item   item;
        crowd.chan = make_items(capacity);
        for (unsigned i = 0; i < 8; i++) {
            members[i] = (struct member){&crowd, i};
            test_side_start(&sides[i], i < 2, jostle, &members[i]);
        }
        for (unsigned i = 0; i < 8; i++)
            for (unsigned target = 1; target <= 100; target++)
                task_spin_until((task_check(weft_recv(crowd.chan, &item, WEFT_NEVER) == 0),
                                 atomic_load(&crowd.turns[i]) >= target));
        atomic_store(&crowd.over, true);
        task_check(weft_chan_close(crowd.chan) == 0);
        for (unsigned i = 0; i < 8; i++) task_check(test_side_end(&sides[i]) == 0);
        weft_chan_destroy(crowd.chan);
    }
    return 0;
}

static void every_sender_gets_its_turn(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(serve_all, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_arrives_once),
        cmocka_unit_test(every_item_arrives_once_among_those_who_give_up),
        cmocka_unit_test(every_item_arrives_once_between_threads),
        cmocka_unit_test(endings_race),
        cmocka_unit_test(cancelled_tasks_lose_nothing_of_threads),
        cmocka_unit_test(every_sender_gets_its_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
