/* stress_select.c - selects against selects, and against everything that ends them
 *
 * What holds in every order of events: each call performs the one case that it
 * names, or none; what was sent is received once or still there.
 */
#include "support_chan.h"

#include <string.h>

enum { CHANS = 4, MOST_CASES = 8, NOBODY = -1 };

/* What all have sent and received, as sums of numbers that are each sent once. */
struct account {
    atomic_size_t   sent, received;
    _Atomic int64_t balance; /* of the numbers: sent less received */
};

static void note_sent(struct account *account, int value)
{
    atomic_fetch_add(&account->sent, 1);
    atomic_fetch_add(&account->balance, value);
}

static void note_received(struct account *account, int value)
{
    atomic_fetch_add(&account->received, 1);
    atomic_fetch_sub(&account->balance, value);
}

static void check_account(struct account *account)
{
    task_check(atomic_load(&account->sent) == atomic_load(&account->received));
    task_check(atomic_load(&account->balance) == 0);
}

static void drain(struct account *account, weft_chan *chan)
{
    int value;

    while (weft_recv(chan, &value, 0) == 0) note_received(account, value);
}

/* ---- in opposite orders --------------------------------------------------------------- */

struct crossing {
    weft_chan     *chans[CHANS];
    struct account account;
    unsigned       each;
    atomic_uint    numbers; /* the next one to send */
};

struct party {
    struct crossing *crossing;
    unsigned         index;
    bool             sends;
};

/* Over all channels, each party's in an order of its own. */
static int cross_all(void *arg)
{
    struct party    *self = arg;
    struct crossing *crossing = self->crossing;

    for (unsigned round = 0; round < crossing->each; round++) {
        struct weft_case cases[CHANS];
        int              into[CHANS], from = self->sends ? (int)atomic_fetch_add(&crossing->numbers, 1) : 0;
        for (unsigned i = 0; i < CHANS; i++) {
            weft_chan *chan = crossing->chans[(self->index % 2 ? CHANS - 1 - i : i) ^ (self->index & 2)];
            into[i] = NOBODY;
            cases[i] = self->sends ? (struct weft_case){chan, &from, NULL, sizeof from, NOBODY}
                                   : (struct weft_case){chan, NULL, &into[i], sizeof from, NOBODY};
        }
        int index = weft_select(cases, CHANS, WEFT_NEVER);
        task_check(index >= 0 && index < CHANS);
        if (index < 0) break;
        for (int i = 0; i < CHANS; i++) {
            task_check(cases[i].result == (i == index ? 0 : NOBODY));
            task_check((into[i] != NOBODY) == (i == index && !self->sends));
        }
        if (self->sends) note_sent(&crossing->account, from);
        else note_received(&crossing->account, into[index]);
    }
    return 0;
}

/* As many senders as receivers, half of each plain threads in the second round. */
static int cross(void *arg)
{
    enum { PARTIES = 8 };

    (void)arg;
    for (int threads = 0; threads <= 1; threads++)
        for (size_t capacity = 0; capacity <= 1; capacity++) {
            struct crossing crossing = {.each = (unsigned)test_scale(threads ? 2000 : 10000)};
            struct party    parties[PARTIES];
            test_side       sides[PARTIES];
            for (int i = 0; i < CHANS; i++) crossing.chans[i] = test_make_ints(capacity);
            for (unsigned i = 0; i < PARTIES; i++) {
                parties[i] = (struct party){&crossing, i / 2, i % 2};
                test_side_start(&sides[i], threads && i < 4, cross_all, &parties[i]);
            }
            for (unsigned i = 0; i < PARTIES; i++) task_check(test_side_end(&sides[i]) == 0);
            for (int i = 0; i < CHANS; i++) task_check(weft_chan_len(crossing.chans[i]) == 0);
            check_account(&crossing.account);
            for (int i = 0; i < CHANS; i++) weft_chan_destroy(crossing.chans[i]);
        }
    return 0;
}

static void selects_meet_in_any_order(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cross, NULL), 0);
}

static void selects_of_threads_meet(void **state)
{
    (void)state;
    cross(NULL);
    assert_task_checks();
}

/* ---- a mesh in which everything can end a select --------------------------------------------- */

struct mesh {
    weft_chan     *chans[CHANS];
    struct account account;
    atomic_uint    numbers;
    unsigned       each;
};

struct weaver {
    struct mesh *mesh;
    uint32_t     chance;
};

static weft_time any_deadline(uint32_t *chance, bool never)
{
    switch (test_random(chance) % 4) {
    case 0: return 0;
    case 1: return 1;
    case 2: return weft_now() + test_random(chance) % (20 * WEFT_US);
    default: return never ? WEFT_NEVER : weft_now() + test_random(chance) % (100 * WEFT_US);
    }
}

/* One select over any cases; false when it is over with all of them. */
static bool weave_once(struct weaver *self, bool never)
{
    struct mesh     *mesh = self->mesh;
    struct weft_case cases[MOST_CASES];
    int              values[MOST_CASES];
    size_t           count = test_random(&self->chance) % (MOST_CASES + 1);
    weft_time        deadline = any_deadline(&self->chance, never);

    for (size_t i = 0; i < count; i++) {
        uint32_t   any = test_random(&self->chance);
        weft_chan *chan = any % 16 == 0 ? NULL : mesh->chans[any / 16 % CHANS];
        bool       sends = any / 256 % 2;
        values[i] = sends ? (int)atomic_fetch_add(&mesh->numbers, 1) : NOBODY;
        cases[i] = (struct weft_case){chan, sends ? &values[i] : NULL, sends ? NULL : &values[i], sizeof(int), NOBODY};
    }
    int index = weft_select(cases, count, deadline);
    task_check(index < (int)count);
    for (size_t i = 0; i < count; i++)
        if ((int)i != index) task_check(cases[i].result == NOBODY && (cases[i].from || values[i] == NOBODY));
    if (index >= 0) {
        task_check(cases[index].result == 0 || cases[index].result == -EPIPE);
        if (cases[index].result == 0 && cases[index].from) note_sent(&mesh->account, values[index]);
        if (cases[index].result == 0 && cases[index].into) note_received(&mesh->account, values[index]);
        return cases[index].result == 0;
    }
    int reason = weft_check();
    if (reason && index == reason) return false;
    if (index == -EAGAIN) task_check(deadline == 0);
    else task_check(index == -ETIMEDOUT && deadline != 0 && deadline != WEFT_NEVER && weft_now() >= deadline);
    return true;
}

static int weave(void *arg)
{
    struct weaver *self = arg;

    for (unsigned i = 0; i < self->mesh->each; i++) weave_once(self, false);
    return 0;
}

static void make_mesh(struct mesh *mesh)
{
    for (size_t i = 0; i < CHANS; i++) mesh->chans[i] = test_make_ints(i / 2); /* 0, 0, 1, 1 */
}

static void end_mesh(struct mesh *mesh)
{
    for (int i = 0; i < CHANS; i++) drain(&mesh->account, mesh->chans[i]);
    check_account(&mesh->account);
    for (int i = 0; i < CHANS; i++) weft_chan_destroy(mesh->chans[i]);
}

static int weave_together(void *arg)
{
    enum { WEAVERS = 10 };
    struct mesh   mesh = {.each = (unsigned)test_scale(5000)};
    struct weaver weavers[WEAVERS];
    test_side     sides[WEAVERS];

    (void)arg;
    make_mesh(&mesh);
    for (unsigned i = 0; i < WEAVERS; i++) {
        weavers[i] = (struct weaver){&mesh, i + 1};
        test_side_start(&sides[i], i < 3, weave, &weavers[i]);
    }
    for (unsigned i = 0; i < WEAVERS; i++) task_check(test_side_end(&sides[i]) == 0);
    end_mesh(&mesh);
    return 0;
}

static void any_cases_keep_account(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(weave_together, NULL), 0);
    weave_together(NULL);
    assert_task_checks();
}

/* ---- close, cancel and deadline race --------------------------------------------------------- */

static int weave_until_over(void *arg)
{
    struct weaver *self = arg;

    for (unsigned i = 0; i < 64; i++)
        if (!weave_once(self, true)) return 0;
    return 0;
}

static void race_once(uint32_t chance)
{
    struct mesh mesh = {.each = 0};
    weft_scope  scope;
    int         ending = test_random(&chance) % 3;
    weft_time   deadline = ending == 2 ? weft_now() + test_random(&chance) % (40 * WEFT_US) : 0;

    make_mesh(&mesh);
    task_check(weft_scope_open(&scope, WEFT_SCOPE(.deadline = deadline)) == 0);
    for (int i = 0; i < 4; i++) {
        struct weaver weaver = {&mesh, test_random(&chance)};
        task_check(weft_scope_go(&scope, weave_until_over, &weaver, sizeof weaver) == 0);
    }
    for (unsigned i = test_random(&chance) % 16; i > 0; i--) weft_yield();
    if (ending == 0) {
        for (int i = 0; i < CHANS; i++) task_check(weft_chan_close(mesh.chans[i]) == 0);
        /* Who has no case but with NULL channels waits for good. */
        weft_scope_cancel(&scope);
    }
    if (ending == 1) weft_scope_cancel(&scope);
    int result = weft_scope_close(&scope);
    task_check(result == (ending == 2 ? -ETIMEDOUT : -ECANCELED) || (ending == 2 && result == 0));
    end_mesh(&mesh);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selects_meet_in_any_order),
        cmocka_unit_test(selects_of_threads_meet),
        cmocka_unit_test(any_cases_keep_account),
        cmocka_unit_test(endings_race),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
