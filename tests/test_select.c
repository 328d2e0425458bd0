/* test_select.c - exactly one case happens, or none */
#include "support_chan.h"

#include <limits.h>
#include <stdlib.h>

#define HOUR (3600 * WEFT_SEC)

/* What stands where nothing is to be written. */
#define UNTOUCHED (-12345)

static const weft_time passed[] = {1, 1000, -1, INT64_MIN};

/* An error, or what was received. */
static int recv_int(weft_chan *chan, weft_time deadline)
{
    int value = UNTOUCHED;
    int result = weft_recv(chan, &value, deadline);

    return result == 0 ? value : result;
}

static struct weft_case sends(weft_chan *chan, const int *from)
{
    return (struct weft_case){chan, from, NULL, sizeof *from, UNTOUCHED};
}

static struct weft_case receives(weft_chan *chan, int *into)
{
    *into = UNTOUCHED;
    return (struct weft_case){chan, NULL, into, sizeof *into, UNTOUCHED};
}

/* All but the one that was performed are as they were; `performed` is negative when none was. */
static void check_untouched(const struct weft_case *cases, size_t count, int performed)
{
    size_t touched = 0;

    for (size_t i = 0; i < count; i++) {
        if ((int)i == performed) continue;
        touched += cases[i].result != UNTOUCHED;
        touched += cases[i].into && *(const int *)cases[i].into != UNTOUCHED;
    }
    task_check(touched == 0);
}

/* ---- bad arguments ----------------------------------------------------------------- */

static int select_badly(void *arg)
{
    const weft_time times[] = {0, 1, WEFT_NEVER};
    weft_chan      *ready = test_make_ints(2);
    weft_chan      *other = test_make_ints(2);
    int             one = 1, into;

    (void)arg;
    task_check(test_send_int(ready, 7, 0) == 0);
    for (size_t i = 0; i < TEST_LENGTH(times); i++)
        for (int last = 0; last <= 1; last++) {
            struct weft_case cases[2];
            cases[!last] = i % 2 ? receives(ready, &into) : sends(ready, &one);
            into = UNTOUCHED;

            cases[last] = sends(other, &one);
            cases[last].size = sizeof one - 1;
            task_check(weft_select(cases, 2, times[i]) == -EMSGSIZE);
            cases[last].size = 0;
            task_check(weft_select(cases, 2, times[i]) == -EMSGSIZE);
            cases[last].size = SIZE_MAX;
            task_check(weft_select(cases, 2, times[i]) == -EMSGSIZE);
            cases[last] = (struct weft_case){other, NULL, &one, 8, UNTOUCHED};
            task_check(weft_select(cases, 2, times[i]) == -EMSGSIZE);
            cases[last] = (struct weft_case){other, &one, &one, sizeof one, UNTOUCHED};
            task_check(weft_select(cases, 2, times[i]) == -EINVAL);
            cases[last].chan = NULL;
            task_check(weft_select(cases, 2, times[i]) == -EINVAL);
            task_check(weft_select(cases, (size_t)INT_MAX + 1, times[i]) == -EINVAL);
            task_check(weft_select(cases, SIZE_MAX, times[i]) == -EINVAL);
            task_check(weft_select(NULL, 1, times[i]) == -EINVAL);

            task_check(cases[0].result == UNTOUCHED && cases[1].result == UNTOUCHED);
            task_check(weft_chan_len(ready) == 1);
            task_check(weft_chan_len(other) == 0);
            task_check(into == UNTOUCHED && one == 1);
        }
    task_check(recv_int(ready, 0) == 7);
    weft_chan_destroy(ready);
    weft_chan_destroy(other);
    return 0;
}

static void bad_cases_are_refused_before_anything_is_done(void **state)
{
    (void)state;
    assert_everywhere(select_badly, NULL);
}

/* ---- trying -------------------------------------------------------------------------- */

static void check_gives_up(struct weft_case *cases, size_t count)
{
    task_check(weft_select(cases, count, 0) == -EAGAIN);
    for (size_t i = 0; i < TEST_LENGTH(passed); i++) task_check(weft_select(cases, count, passed[i]) == -ETIMEDOUT);
    for (int i = 0; i < 3; i++) {
        weft_time until = weft_now() + (i + 1) * 300 * WEFT_US;
        task_check(weft_select(cases, count, until) == -ETIMEDOUT);
        task_check(weft_now() >= until);
    }
    task_check(weft_select(cases, count, 0) == -EAGAIN);
    check_untouched(cases, count, -1);
}

static int wait_for_none(void *arg)
{
    weft_chan       *nobody = test_make_ints(0);
    weft_chan       *empty = test_make_ints(1);
    weft_chan       *full = test_make_ints(1);
    int              one = 1, into[3];
    struct weft_case cases[] = {
        sends(NULL, &one),          receives(NULL, &into[0]),  sends(nobody, &one),
        receives(nobody, &into[1]), receives(empty, &into[2]), sends(full, &one),
    };

    (void)arg;
    task_check(test_send_int(full, 4, 0) == 0);
    for (size_t count = 0; count <= TEST_LENGTH(cases); count++) check_gives_up(cases, count);
    task_check(weft_chan_len(empty) == 0);
    task_check(recv_int(full, 0) == 4);
    task_check(recv_int(full, 0) == -EAGAIN);
    /* Nobody is left waiting on any of them. */
    task_check(test_send_int(nobody, 1, 0) == -EAGAIN);
    task_check(recv_int(nobody, 0) == -EAGAIN);
    task_check(test_send_int(empty, 1, 0) == 0);
    task_check(weft_chan_len(empty) == 1);
    weft_chan_destroy(nobody);
    weft_chan_destroy(empty);
    weft_chan_destroy(full);
    return 0;
}

static void nothing_happens_where_no_case_is_ready(void **state)
{
    (void)state;
    assert_everywhere(wait_for_none, NULL);
}

/* One ready case at every place among others that are not; a NULL channel's size is nobody's. */
static int find_the_ready_one(void *arg)
{
    enum { CASES = 9 };
    const weft_time times[] = {0, 1, -1, weft_now() + HOUR, WEFT_NEVER};
    weft_chan      *nobody = test_make_ints(0);
    weft_chan      *ready = test_make_ints(1);
    int             one = 1, into[CASES];

    (void)arg;
    for (size_t t = 0; t < TEST_LENGTH(times); t++)
        for (int at = 0; at < CASES; at++) {
            struct weft_case cases[CASES];
            for (int i = 0; i < CASES; i++)
                cases[i] = i % 2 ? sends(i % 3 ? nobody : NULL, &one) : receives(i % 3 ? nobody : NULL, &into[i]);
            if (at > 0) cases[0].size = 99;
            cases[at] = sends(ready, &at);
            task_check(weft_select(cases, CASES, times[t]) == at);
            task_check(cases[at].result == 0);
            check_untouched(cases, CASES, at);
            task_check(weft_chan_len(ready) == 1);
            cases[at] = receives(ready, &into[at]);
            task_check(weft_select(cases, CASES, times[t]) == at);
            task_check(cases[at].result == 0);
            task_check(into[at] == at);
            check_untouched(cases, CASES, at);
            task_check(weft_chan_len(ready) == 0);
        }
    weft_chan_destroy(nobody);
    weft_chan_destroy(ready);
    return 0;
}

static void ready_case_is_found(void **state)
{
    (void)state;
    assert_everywhere(find_the_ready_one, NULL);
}

static int select_closed(void *arg)
{
    const weft_time times[] = {0, 1, -1, weft_now() + HOUR, WEFT_NEVER};
    weft_chan      *closed = test_make_ints(2);
    weft_chan      *nobody = test_make_ints(0);
    int             one = 1, into, other;

    (void)arg;
    task_check(test_send_int(closed, 5, 0) == 0);
    weft_chan_close(closed);
    for (size_t t = 0; t < TEST_LENGTH(times); t++) {
        struct weft_case cases[] = {receives(nobody, &other), sends(closed, &one)};
        task_check(weft_select(cases, 2, times[t]) == 1);
        task_check(cases[1].result == -EPIPE);
        check_untouched(cases, 2, 1);
        task_check(weft_chan_len(closed) == (t == 0));

        cases[1] = receives(closed, &into);
        task_check(weft_select(cases, 2, times[t]) == 1);
        task_check(cases[1].result == (t == 0 ? 0 : -EPIPE));
        task_check(into == (t == 0 ? 5 : UNTOUCHED));
        check_untouched(cases, 2, 1);
    }
    weft_chan_destroy(closed);
    weft_chan_destroy(nobody);
    return 0;
}

static void closed_channel_makes_its_cases_ready(void **state)
{
    (void)state;
    assert_everywhere(select_closed, NULL);
}

/* Drops by a receive without `into`; tokens, which have no size to tell by. */
static int select_nothing_at_all(void *arg)
{
    weft_chan       *chan = test_make_ints(1);
    weft_chan       *tokens = test_make_chan(0, 2);
    struct weft_case drop = {chan, NULL, NULL, sizeof(int), UNTOUCHED};
    struct weft_case give = {tokens, "", NULL, 0, UNTOUCHED};
    struct weft_case take = {tokens, NULL, NULL, 0, UNTOUCHED};

    (void)arg;
    task_check(weft_select(&drop, 1, 0) == -EAGAIN);
    task_check(test_send_int(chan, 5, 0) == 0);
    task_check(weft_select(&drop, 1, 0) == 0);
    task_check(drop.result == 0);
    task_check(weft_chan_len(chan) == 0);

    for (size_t i = 1; i <= 2; i++) {
        task_check(weft_select(&give, 1, 0) == 0);
        task_check(give.result == 0);
        task_check(weft_chan_len(tokens) == i);
    }
    task_check(weft_select(&give, 1, 0) == -EAGAIN);
    for (size_t i = 2; i-- > 0;) {
        take.result = UNTOUCHED;
        task_check(weft_select(&take, 1, 0) == 0);
        task_check(take.result == 0);
        task_check(weft_chan_len(tokens) == i);
    }
    task_check(weft_select(&take, 1, 0) == -EAGAIN);
    weft_chan_destroy(chan);
    weft_chan_destroy(tokens);
    return 0;
}

static void elements_may_be_dropped_or_tokens(void **state)
{
    (void)state;
    assert_everywhere(select_nothing_at_all, NULL);
}

/* ---- one channel in several cases --------------------------------------------------- */

static int select_from_both_ends(void *arg)
{
    weft_chan *nobody = test_make_ints(0);
    weft_chan *ring = test_make_ints(2);
    int        one = 1, into[2];
    unsigned   taken[4] = {0};

    (void)arg;
    struct weft_case meet[] = {sends(nobody, &one), receives(nobody, &into[0]), sends(nobody, &one)};
    check_gives_up(meet, 3);

    for (size_t round = 0; round < 400; round++) {
        struct weft_case cases[] = {receives(ring, &into[0]), sends(ring, &one), receives(ring, &into[1]),
                                    sends(ring, &one)};
        size_t           length = weft_chan_len(ring);
        int              index = weft_select(cases, 4, round % 2 ? 0 : WEFT_NEVER);
        task_check(index >= 0 && index < 4);
        if (index < 0 || index > 3) break;
        taken[index]++;
        check_untouched(cases, 4, index);
        task_check(cases[index].result == 0);
        if (length == 0) task_check(index % 2 == 1);
        if (length == 2) task_check(index % 2 == 0);
        if (index % 2 == 0) task_check(into[index / 2] == 1);
        task_check(weft_chan_len(ring) == (index % 2 ? length + 1 : length - 1));
    }
    for (int i = 0; i < 4; i++) task_check(taken[i] > 0);
    weft_chan_destroy(nobody);
    weft_chan_destroy(ring);
    return 0;
}

static void one_channel_may_stand_in_both_directions(void **state)
{
    (void)state;
    assert_everywhere(select_from_both_ends, NULL);
}

/* ---- waiting ------------------------------------------------------------------------- */

struct choosing {
    weft_chan *chans[4];
    int        from;
    int        into[4];
    int        index;
    int        result;
};

/* Receives from 0 and 1, sends to 2 and 3, and receives from 0 once more. */
static int choose(void *arg)
{
    struct choosing *self = arg;
    struct weft_case cases[] = {
        receives(self->chans[0], &self->into[0]), receives(self->chans[1], &self->into[1]),
        sends(self->chans[2], &self->from),       sends(self->chans[3], &self->from),
        receives(self->chans[0], &self->into[2]),
    };

    self->index = weft_select(cases, TEST_LENGTH(cases), WEFT_NEVER);
    task_check(self->index >= 0 && self->index < 5);
    self->result = self->index >= 0 ? cases[self->index].result : self->index;
    check_untouched(cases, TEST_LENGTH(cases), self->index);
    return 0;
}

/* The other party of the select's case, which is done as soon as the select waits; then nothing more is to be had. */
static int wake(void *arg)
{
    const bool thread = *(const bool *)arg;

    for (int round = 0; round < 120; round++) {
        struct choosing self = {.from = round, .result = UNTOUCHED};
        test_side       side;
        int             at = round % 4, result;
        for (int i = 0; i < 4; i++) self.chans[i] = test_make_ints(0);
        test_side_start(&side, thread, choose, &self);
        switch (round / 4 % 3) {
        case 0:
            if (at < 2) task_until((result = test_send_int(self.chans[at], 70, 0)) != -EAGAIN);
            else task_until((result = recv_int(self.chans[at], 0)) != -EAGAIN);
            break;
        case 1:
            result = at < 2 ? test_send_int(self.chans[at], 70, WEFT_NEVER) : recv_int(self.chans[at], WEFT_NEVER);
            break;
        default: result = weft_chan_close(self.chans[at]); break;
        }
        bool closed = round / 4 % 3 == 2;
        task_check(result == (closed || at < 2 ? 0 : round));
        task_check(test_side_end(&side) == 0);
        task_check(self.index == at || (at == 0 && self.index == 4));
        task_check(self.result == (closed ? -EPIPE : 0));
        if (at < 2) task_check(self.into[self.index == 4 ? 2 : at] == (closed ? UNTOUCHED : 70));
        for (int i = 0; i < 4; i++) {
            if (closed && i == at) continue;
            task_check(test_send_int(self.chans[i], 1, 0) == -EAGAIN);
            task_check(recv_int(self.chans[i], 0) == -EAGAIN);
        }
        for (int i = 0; i < 4; i++) weft_chan_destroy(self.chans[i]);
    }
    return 0;
}

static void waiting_select_performs_one_case(void **state)
{
    (void)state;
    assert_everywhere(wake, &(bool){false});
    assert_in_tasks(wake, &(bool){true});
}

/* Two that select meet each other: what the one sends the other receives. */
struct meeting {
    weft_chan *there, *back;
    unsigned   rounds;
    unsigned   sent, received;
    long       sent_sum, received_sum;
};

static int meet(void *arg)
{
    struct meeting *self = arg;

    for (unsigned round = 0; round < self->rounds; round++) {
        int              from = (int)round, into;
        struct weft_case cases[] = {sends(self->there, &from), receives(self->back, &into)};
        int              index = weft_select(cases, 2, WEFT_NEVER);
        task_check(index == 0 || index == 1);
        check_untouched(cases, 2, index);
        if (index == 0) {
            self->sent++;
            self->sent_sum += from;
        } else {
            self->received++;
            self->received_sum += into;
        }
    }
    return 0;
}

static int meet_each_other(void *arg)
{
    const bool     thread = *(const bool *)arg;
    weft_chan     *a = test_make_ints(0), *b = test_make_ints(0);
    unsigned       rounds = (unsigned)test_scale(2000);
    struct meeting here = {.there = a, .back = b, .rounds = rounds};
    struct meeting there = {.there = b, .back = a, .rounds = rounds};
    test_side      side;

    test_side_start(&side, thread, meet, &there);
    meet(&here);
    task_check(test_side_end(&side) == 0);
    task_check(here.sent == there.received && here.received == there.sent);
    task_check(here.sent + here.received == rounds);
    task_check(here.sent_sum == there.received_sum && here.received_sum == there.sent_sum);
    weft_chan_destroy(a);
    weft_chan_destroy(b);
    return 0;
}

static void two_selects_meet(void **state)
{
    (void)state;
    assert_everywhere(meet_each_other, &(bool){false});
    assert_in_tasks(meet_each_other, &(bool){true});
}

/* What was done before the send is seen by who selects the receive; ThreadSanitizer would tell. */
static int send_letters(void *arg)
{
    weft_chan **chans = arg;

    for (int i = 0; i < 200; i++) {
        int *letter = malloc(sizeof *letter);
        if (!letter) abort();
        *letter = i;
        struct weft_case cases[] = {WEFT_SEND(chans[0], &letter), WEFT_SEND(chans[1], &letter)};
        int              index = weft_select(cases, 2, WEFT_NEVER);
        task_check(index >= 0 && index < 2 && cases[index].result == 0);
    }
    return 0;
}

static int select_letters(void *arg)
{
    const bool thread = *(const bool *)arg;

    for (size_t capacity = 0; capacity <= 1; capacity++) {
        weft_chan *chans[2] = {test_make_chan(sizeof(int *), capacity), test_make_chan(sizeof(int *), capacity)};
        bool       seen[200] = {false};
        test_side  side;
        test_side_start(&side, thread, send_letters, chans);
        for (int i = 0; i < 200; i++) {
            int             *letters[2] = {NULL, NULL};
            struct weft_case cases[] = {WEFT_RECV(chans[0], &letters[0]), WEFT_RECV(chans[1], &letters[1])};
            int              index = weft_select(cases, 2, WEFT_NEVER);
            task_check(index == 0 || index == 1);
            if (index < 0) break;
            task_check(!letters[!index]);
            task_check(!seen[*letters[index]]);
            seen[*letters[index]] = true;
            free(letters[index]);
        }
        task_check(test_side_end(&side) == 0);
        for (int i = 0; i < 200; i++) task_check(seen[i]);
        weft_chan_destroy(chans[0]);
        weft_chan_destroy(chans[1]);
    }
    return 0;
}

static void what_came_before_is_seen(void **state)
{
    (void)state;
    assert_everywhere(select_letters, &(bool){false});
    assert_in_tasks(select_letters, &(bool){true});
}

/* ---- many cases ---------------------------------------------------------------------- */

enum { MANY = 1000 };

struct many {
    weft_chan *chans[MANY];
    int        into[MANY];
    size_t     count;
    int        index;
};

static int choose_of_many(void *arg)
{
    struct many      *self = arg;
    struct weft_case *cases = malloc(self->count * sizeof *cases);

    if (!cases) abort();
    for (size_t i = 0; i < self->count; i++) cases[i] = receives(self->chans[i], &self->into[i]);
    self->index = weft_select(cases, self->count, WEFT_NEVER);
    task_check(self->index >= 0 && self->index < (int)self->count && cases[self->index].result == 0);
    check_untouched(cases, self->count, self->index);
    free(cases);
    return 0;
}

static int select_from_many(void *arg)
{
    static const size_t counts[] = {1, 2, 63, 64, 65, 128, MANY};
    const bool          thread = *(const bool *)arg;
    struct many        *self = malloc(sizeof *self);
    uint32_t            chance = 5;

    if (!self) abort();
    for (int i = 0; i < MANY; i++) self->chans[i] = test_make_ints(i % 2 ? 1 : 0);
    for (size_t c = 0; c < TEST_LENGTH(counts); c++)
        for (int round = 0; round < 10; round++) {
            test_side side;
            int       at = round == 0 ? 0 : round == 1 ? (int)counts[c] - 1 : (int)(test_random(&chance) % counts[c]);
            self->count = counts[c];
            test_side_start(&side, thread, choose_of_many, self);
            for (int i = 0; i < round; i++) weft_yield();
            task_check(test_send_int(self->chans[at], at, WEFT_NEVER) == 0);
            task_check(test_side_end(&side) == 0);
            task_check(self->index == at && self->into[at] == at);
        }
    for (int i = 0; i < MANY; i++) {
        task_check(weft_chan_len(self->chans[i]) == 0);
        task_check(i % 2 || test_send_int(self->chans[i], 1, 0) == -EAGAIN);
        weft_chan_destroy(self->chans[i]);
    }
    free(self);
    return 0;
}

static void there_may_be_many_cases(void **state)
{
    (void)state;
    assert_everywhere(select_from_many, &(bool){false});
    assert_in_tasks(select_from_many, &(bool){true});
}

/* ---- fair ---------------------------------------------------------------------------- */

/* Of `count` cases the `ready` that begin at `first` always can go ahead; each is taken at least a
 * fifth as often as if all were alike. */
static void check_fair(size_t count, size_t first, size_t ready)
{
    struct weft_case *cases = malloc(count * sizeof *cases);
    unsigned         *taken = calloc(count, sizeof *taken);
    weft_chan        *never = test_make_ints(0);
    weft_chan        *always = test_make_ints(1);
    size_t            rounds = ready * 100, least = rounds;
    int               into;

    if (!cases || !taken) abort();
    task_check(test_send_int(always, 1, 0) == 0);
    for (size_t i = 0; i < count; i++) cases[i] = receives(i >= first && i < first + ready ? always : never, &into);
    for (size_t round = 0; round < rounds; round++) {
        int index = weft_select(cases, count, round % 2 ? 0 : WEFT_NEVER);
        task_check(index >= 0 && index < (int)count);
        if (index < 0) break;
        taken[index]++;
        task_check(test_send_int(always, 1, 0) == 0);
    }
    for (size_t i = first; i < first + ready; i++) least = taken[i] < least ? taken[i] : least;
    task_check(least >= 20);
    weft_chan_destroy(never);
    weft_chan_destroy(always);
    free(cases);
    free(taken);
}

static int choose_fairly(void *arg)
{
    (void)arg;
    check_fair(2, 0, 2);
    check_fair(4, 0, 4);
    check_fair(100, 0, 100);
    /* Neighbours, among many that are not ready. */
    check_fair(64, 0, 2);
    check_fair(64, 62, 2);
    check_fair(200, 100, 3);
    return 0;
}

static void ready_cases_are_chosen_fairly(void **state)
{
    (void)state;
    assert_everywhere(choose_fairly, NULL);
}

/* ---- one moment ------------------------------------------------------------------------ */

struct moving {
    weft_chan  *chans[2];
    atomic_bool over;
};

/* At each moment there is something in at least one of the two, if nobody else has it. */
static int move_to_and_fro(void *arg)
{
    struct moving *self = arg;

    for (unsigned to = 1; !atomic_load(&self->over); to = !to) {
        task_check(test_send_int(self->chans[to], 1, WEFT_NEVER) == 0);
        task_check(recv_int(self->chans[!to], WEFT_NEVER) == 1);
    }
    return 0;
}

static int try_both(void *arg)
{
    enum { CASES = 60 }; /* what is never ready lies between: to look takes a while */
    struct moving self = {.chans = {test_make_ints(4), test_make_ints(4)}};
    weft_chan    *never = test_make_ints(0);
    test_side     side;
    size_t        missed = 0;

    (void)arg;
    task_check(test_send_int(self.chans[0], 1, 0) == 0);
    test_side_start(&side, true, move_to_and_fro, &self);
    for (size_t round = 0; round < test_scale(100000); round++) {
        int              into;
        struct weft_case cases[CASES];
        for (int i = 0; i < CASES; i++)
            cases[i] = receives(i == 0 ? self.chans[0] : i == CASES - 1 ? self.chans[1] : never, &into);
        int index = weft_select(cases, CASES, 0);
        task_check(index == 0 || index == CASES - 1 || index == -EAGAIN);
        if (index >= 0) task_check(test_send_int(self.chans[index > 0], 1, WEFT_NEVER) == 0);
        else missed++;
    }
    task_check(missed == 0);
    atomic_store(&self.over, true);
    task_check(test_side_end(&side) == 0);
    weft_chan_destroy(self.chans[0]);
    weft_chan_destroy(self.chans[1]);
    weft_chan_destroy(never);
    return 0;
}

static void try_looks_at_all_at_one_moment(void **state)
{
    (void)state;
    assert_everywhere(try_both, NULL);
}

/* ---- cancelled ----------------------------------------------------------------------- */

static int select_cancelled(void *arg)
{
    const weft_time times[] = {0, 1, -1, weft_now() + HOUR, WEFT_NEVER};
    weft_chan      *nobody = test_make_ints(0);
    weft_chan      *ready = test_make_ints(1);
    weft_scope      scope;
    int             one = 1, into;

    (void)arg;
    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_scope_cancel(&scope);
    for (size_t t = 0; t < TEST_LENGTH(times); t++) {
        struct weft_case cases[] = {sends(nobody, &one), sends(ready, &one)};
        for (size_t count = 0; count <= 1; count++) task_check(weft_select(cases, count, times[t]) == -ECANCELED);
        check_untouched(cases, 2, -1);
        task_check(weft_select(cases, 2, times[t]) == 1);
        cases[1] = receives(ready, &into);
        task_check(weft_select(cases, 2, times[t]) == 1);
        task_check(into == 1);
    }
    task_check(weft_scope_close(&scope) == -ECANCELED);
    weft_chan_destroy(nobody);
    weft_chan_destroy(ready);
    return 0;
}

static void cancelled_select_returns_the_reason(void **state)
{
    (void)state;
    assert_in_tasks(select_cancelled, NULL);
}

static int select_until_cancelled(void *arg)
{
    weft_chan      **chans = arg;
    int              from = 9, into[2];
    struct weft_case cases[] = {receives(chans[0], &into[0]), sends(chans[0], &from), receives(chans[1], &into[1]),
                                sends(chans[2], &from)};

    task_check(weft_select(cases, TEST_LENGTH(cases), WEFT_NEVER) == -ECANCELED);
    check_untouched(cases, TEST_LENGTH(cases), -1);
    return 0;
}

static int cancel_waiting(void *arg)
{
    weft_chan *chans[3] = {test_make_ints(0), test_make_ints(1), test_make_ints(1)};

    (void)arg;
    task_check(test_send_int(chans[2], 3, 0) == 0);
    for (int round = 0; round < 50; round++) {
        weft_task task;
        weft_spawn(&task, select_until_cancelled, chans);
        for (int i = 0; i < round; i++) weft_yield();
        weft_cancel(&task);
        task_check(weft_await(&task) == 0);
        task_check(recv_int(chans[0], 0) == -EAGAIN);
        task_check(test_send_int(chans[0], 1, 0) == -EAGAIN);
        task_check(weft_chan_len(chans[1]) == 0);
        task_check(weft_chan_len(chans[2]) == 1);
        /* Who comes later is not taken for the one who left. */
        task_check(test_send_int(chans[1], round, 0) == 0);
        task_check(recv_int(chans[1], 0) == round);
        task_check(recv_int(chans[2], 0) == 3);
        task_check(recv_int(chans[2], 0) == -EAGAIN);
        task_check(test_send_int(chans[2], 3, 0) == 0);
    }
    for (int i = 0; i < 3; i++) weft_chan_destroy(chans[i]);
    return 0;
}

static void cancelled_wait_moves_nothing(void **state)
{
    (void)state;
    assert_in_tasks(cancel_waiting, NULL);
}

/* ---- in its turn ------------------------------------------------------------------------ */

struct turn {
    weft_chan *chan, *other;
    int        got;
};

static int recv_in_turn(void *arg)
{
    struct turn *self = arg;

    self->got = recv_int(self->chan, WEFT_NEVER);
    return 0;
}

static int select_in_turn(void *arg)
{
    struct turn     *self = arg;
    int              other;
    struct weft_case cases[] = {receives(self->other, &other), receives(self->chan, &self->got)};

    task_check(weft_select(cases, 2, WEFT_NEVER) == 1);
    return 0;
}

static int take_turns(void *arg)
{
    enum { TURNS = 6 };
    weft_chan  *chan = test_make_ints(0), *other = test_make_ints(0);
    weft_task   tasks[TURNS];
    struct turn turns[TURNS];

    (void)arg;
    for (int i = 0; i < TURNS; i++) {
        turns[i] = (struct turn){chan, other, UNTOUCHED};
        weft_spawn(&tasks[i], i % 2 ? select_in_turn : recv_in_turn, &turns[i]);
        test_let_run();
    }
    for (int i = 0; i < TURNS; i++) task_check(test_send_int(chan, i, 0) == 0);
    for (int i = 0; i < TURNS; i++) {
        weft_await(&tasks[i]);
        task_check(turns[i].got == i);
    }
    weft_chan_destroy(chan);
    weft_chan_destroy(other);
    return 0;
}

static void select_is_served_in_its_turn(void **state)
{
    (void)state;
    assert_int_equal(test_run(take_turns, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(take_turns, NULL, WEFT_OPTIONS(.seed = 1)), 0);
}

/* ---- lifetimes ------------------------------------------------------------------------- */

/* The other side selects over a channel that it is handed and one of its own. */
struct handing {
    _Atomic(weft_chan *) chan;
    atomic_bool          over;
    int                  what; /* 0: it sends, 1: receives */
};

static int select_handed(void *arg)
{
    struct handing *self = arg;

    while (!atomic_load(&self->over)) {
        weft_chan *chan = atomic_exchange(&self->chan, NULL);
        if (!chan) {
            weft_yield();
            continue;
        }
        weft_chan       *own[2] = {test_make_ints(0), test_make_ints(1)};
        int              from = 5, into, other;
        struct weft_case cases[3] = {receives(own[0], &other), sends(chan, &from), receives(own[1], &other)};
        if (self->what == 1) cases[1] = receives(chan, &into);
        task_check(weft_select(cases, 3, WEFT_NEVER) == 1);
        task_check(cases[1].result == 0);
        weft_chan_destroy(own[0]);
        weft_chan_destroy(own[1]);
    }
    return 0;
}

static int destroy_at_once(void *arg)
{
    const bool thread = *(const bool *)arg;

    for (int what = 0; what <= 1; what++)
        for (size_t capacity = 0; capacity <= 1; capacity++) {
            struct handing handing = {.what = what};
            test_side      side;
            test_side_start(&side, thread, select_handed, &handing);
            for (size_t round = 0; round < test_scale(3000); round++) {
                weft_chan *chan = test_make_ints(capacity);
                if (what == 1 && capacity > 0) task_check(test_send_int(chan, 1, 0) == 0);
                atomic_store(&handing.chan, chan);
                if (what == 0) task_check(recv_int(chan, WEFT_NEVER) == 5);
                else task_check(test_send_int(chan, 1, WEFT_NEVER) == 0);
                weft_chan_destroy(chan);
            }
            atomic_store(&handing.over, true);
            task_check(test_side_end(&side) == 0);
        }
    return 0;
}

static void who_has_seen_the_effect_may_destroy(void **state)
{
    (void)state;
    assert_everywhere(destroy_at_once, &(bool){false});
    assert_in_tasks(destroy_at_once, &(bool){true});
}

/* The other side selects over two channels that it is handed. */
struct both {
    _Atomic(weft_chan **) chans;
    atomic_bool           over;
};

static int select_both(void *arg)
{
    struct both *self = arg;

    while (!atomic_load(&self->over)) {
        weft_chan **chans = atomic_exchange(&self->chans, NULL);
        if (!chans) {
            weft_yield();
            continue;
        }
        int              into[2];
        struct weft_case cases[2] = {receives(chans[0], &into[0]), receives(chans[1], &into[1])};
        task_check(weft_select(cases, 2, WEFT_NEVER) >= 0);
    }
    return 0;
}

/* What ends the select at one channel is all that its caller has to know to destroy the other. */
static int destroy_both_at_once(void *arg)
{
    const bool  thread = *(const bool *)arg;
    struct both both = {NULL, false};
    test_side   side;

    test_side_start(&side, thread, select_both, &both);
    for (size_t round = 0; round < test_scale(6000); round++) {
        weft_chan *chans[2] = {test_make_ints(0), test_make_ints(0)}, *wins = chans[round % 2];
        atomic_store(&both.chans, chans);
        if (round % 3 == 0) {
            int              from = 1;
            struct weft_case one = sends(wins, &from);
            task_check(weft_select(&one, 1, WEFT_NEVER) == 0);
        } else {
            task_check(test_send_int(wins, 1, WEFT_NEVER) == 0);
        }
        weft_chan_destroy(chans[0]);
        weft_chan_destroy(chans[1]);
    }
    atomic_store(&both.over, true);
    task_check(test_side_end(&side) == 0);
    return 0;
}

static void who_has_ended_a_select_may_destroy_the_others(void **state)
{
    (void)state;
    bool thread = false;

    assert_int_equal(test_run(destroy_both_at_once, &thread, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run_workers(destroy_both_at_once, &thread), 0);
    thread = true;
    assert_int_equal(test_run_workers(destroy_both_at_once, &thread), 0);
}

static int destroy_under_select(void *arg)
{
    struct choosing self = {.from = 1};
    weft_task       task;

    (void)arg;
    for (int i = 0; i < 4; i++) self.chans[i] = test_make_ints(0);
    weft_spawn(&task, choose, &self);
    test_let_run();
    weft_chan_destroy(self.chans[2]);
    return 0;
}

static int part_destroy_under_select(void)
{
    return weft_run(destroy_under_select, NULL, WEFT_OPTIONS(.workers = 1, .deadlock = -1));
}

static void destroy_under_select_stops_the_program(void **state)
{
    (void)state;
    assert_part_stops("destroy_under_select", "a channel is destroyed");
}

/* ---- others run -------------------------------------------------------------------------- */

static int run_other(void *arg)
{
    atomic_store((atomic_bool *)arg, true);
    return 0;
}

static void hog_by_tries(weft_chan *chan)
{
    int              into;
    struct weft_case one = receives(chan, &into);

    task_check(weft_select(&one, 1, 0) == -EAGAIN);
}

static void hog_by_none(weft_chan *chan)
{
    struct weft_case one = {0};

    (void)chan;
    task_check(weft_select(&one, 0, 0) == -EAGAIN);
}

static void hog_when_ready(weft_chan *chan)
{
    int              from = 1, into;
    struct weft_case cases[] = {sends(chan, &from), receives(chan, &into)};

    task_check(weft_select(cases, 2, WEFT_NEVER) >= 0);
}

static int hog(void *arg)
{
    static void (*const hogs[])(weft_chan *) = {hog_by_tries, hog_by_none, hog_when_ready};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(hogs); i++) {
        weft_chan  *chan = test_make_ints(1);
        atomic_bool ran = false;
        weft_task   task;
        weft_spawn(&task, run_other, &ran);
        task_spin_until((hogs[i](chan), atomic_load(&ran)));
        weft_await(&task);
        weft_chan_destroy(chan);
    }
    return 0;
}

static void selects_let_others_run(void **state)
{
    (void)state;
    assert_in_tasks(hog, NULL);
}

int main(int argc, char **argv)
{
    static const struct test_part parts[] = {{"destroy_under_select", part_destroy_under_select}};
    const struct CMUnitTest       tests[] = {
              cmocka_unit_test(bad_cases_are_refused_before_anything_is_done),
              cmocka_unit_test(nothing_happens_where_no_case_is_ready),
              cmocka_unit_test(ready_case_is_found),
              cmocka_unit_test(closed_channel_makes_its_cases_ready),
              cmocka_unit_test(elements_may_be_dropped_or_tokens),
              cmocka_unit_test(one_channel_may_stand_in_both_directions),
              cmocka_unit_test(waiting_select_performs_one_case),
              cmocka_unit_test(two_selects_meet),
              cmocka_unit_test(what_came_before_is_seen),
              cmocka_unit_test(there_may_be_many_cases),
              cmocka_unit_test(ready_cases_are_chosen_fairly),
              cmocka_unit_test(try_looks_at_all_at_one_moment),
              cmocka_unit_test(cancelled_select_returns_the_reason),
              cmocka_unit_test(cancelled_wait_moves_nothing),
              cmocka_unit_test(select_is_served_in_its_turn),
              cmocka_unit_test(who_has_seen_the_effect_may_destroy),
              cmocka_unit_test(who_has_ended_a_select_may_destroy_the_others),
              cmocka_unit_test(destroy_under_select_stops_the_program),
              cmocka_unit_test(selects_let_others_run),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
