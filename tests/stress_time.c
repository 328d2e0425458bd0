/* stress_time.c - timers that are stopped while they fire
 *
 * What holds in every order of events: who is told that time is up is not told
 * so early, and then nothing else has happened to him; who is told otherwise hears no more of it.
 */
#include "support_chan.h"

#include <stdlib.h>
#include <string.h>

static weft_time soon(uint32_t *chance)
{
    return weft_now() + test_random(chance) % (30 * WEFT_US);
}

/* ---- a deadline and what was waited for come at about one time ---------------------------- */

struct duel {
    weft_chan  *chan;
    atomic_bool over;
    size_t      sent;
    size_t      rounds;
    uint32_t    chance;
};

static int send_about_now(void *arg)
{
    struct duel *self = arg;

    while (!atomic_load(&self->over)) {
        int       value = (int)self->sent;
        weft_time deadline = soon(&self->chance);
        int       result = weft_send(self->chan, &value, deadline);
        task_check(result == 0 || (result == -ETIMEDOUT && weft_now() >= deadline));
        self->sent += result == 0;
        test_spin(test_random(&self->chance) % 2000);
    }
    return 0;
}

/* Elements come in order and without a gap, whatever was too late. */
static int duel(void *arg)
{
    const bool thread = *(const bool *)arg;

    for (size_t capacity = 0; capacity <= 1; capacity++) {
        struct duel duel = {.chan = test_make_ints(capacity), .rounds = test_scale(20000), .chance = 5};
        uint32_t    chance = 7;
        size_t      received = 0;
        test_side   side;
        test_side_start(&side, thread, send_about_now, &duel);
        for (size_t round = 0; round < duel.rounds; round++) {
            int       value = -1;
            weft_time deadline = soon(&chance);
            int       result = weft_recv(duel.chan, &value, deadline);
            if (result == 0) task_check(value == (int)received++);
            else task_check(result == -ETIMEDOUT && value == -1 && weft_now() >= deadline);
            test_spin(test_random(&chance) % 2000);
        }
        atomic_store(&duel.over, true);
        task_check(test_side_end(&side) == 0);
        task_check(duel.sent == received + weft_chan_len(duel.chan));
        weft_chan_destroy(duel.chan);
    }
    return 0;
}

static void deadline_races_with_completion(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(duel, &(bool){false}), 0);
    assert_int_equal(test_run_workers(duel, &(bool){true}), 0);
    duel(&(bool){true});
    assert_task_checks();
}

/* ---- sleepers that are woken ----------------------------------------------------------------- */

static int sleep_soon(void *arg)
{
    weft_time until = weft_now() + *(weft_time *)arg;
    int       result = weft_sleep(until);

    task_check(result == -ECANCELED || (result == 0 && weft_now() >= until));
    return result;
}

static int cancel_sleepers(void *arg)
{
    uint32_t chance = 11;

    (void)arg;
    for (size_t round = 0; round < test_scale(30000); round++) {
        weft_time durations[3];
        weft_task tasks[3];
        for (int i = 0; i < 3; i++) {
            durations[i] = test_random(&chance) % (20 * WEFT_US);
            weft_spawn(&tasks[i], sleep_soon, &durations[i]);
        }
        for (unsigned i = test_random(&chance) % 8; i > 0; i--) weft_yield();
        test_spin(test_random(&chance) % 5000);
        for (int i = 0; i < 2; i++) weft_cancel(&tasks[i]);
        weft_await(&tasks[0]);
        weft_await(&tasks[1]);
        task_check(weft_await(&tasks[2]) == 0);
    }
    return 0;
}

static void cancel_races_with_waking(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_sleepers, NULL), 0);
}

/* ---- scopes that close at their deadline --------------------------------------------------------- */

static int wait_a_little(void *arg)
{
    weft_time until = weft_now() + *(weft_time *)arg;
    int       result = weft_sleep(until);

    task_check(result == weft_check() || (result == 0 && weft_now() >= until));
    return 0;
}

/* The storage is somebody else's at once. */
static int close_at_deadline(void *arg)
{
    uint32_t chance = 13;

    (void)arg;
    for (size_t round = 0; round < test_scale(40000); round++) {
        weft_scope *scope = malloc(sizeof *scope);
        weft_time   deadline = soon(&chance);
        if (!scope) abort();
        task_check(weft_scope_open(scope, WEFT_SCOPE(.deadline = deadline)) == 0);
        for (unsigned i = test_random(&chance) % 3; i > 0; i--) {
            weft_time duration = test_random(&chance) % (30 * WEFT_US);
            task_check(weft_scope_go(scope, wait_a_little, &duration, sizeof duration) == 0);
        }
        bool cancels = test_random(&chance) % 4 == 0;
        if (test_random(&chance) % 2) weft_yield();
        if (cancels) weft_scope_cancel(scope);
        int before = weft_check();
        int result = weft_scope_close(scope);
        memset(scope, 255, sizeof *scope);
        free(scope);
        task_check(result == 0 || result == -ETIMEDOUT || (cancels && result == -ECANCELED));
        task_check(!before || result == before);
        task_check(result != -ETIMEDOUT || weft_now() >= deadline);
        task_check(weft_check() == 0);
    }
    return 0;
}

/* Several such at once, so that timers come and go everywhere among each other. */
static int close_many_at_deadline(void *arg)
{
    weft_task tasks[4];

    for (int i = 0; i < 4; i++) weft_spawn(&tasks[i], close_at_deadline, arg);
    for (int i = 0; i < 4; i++) task_check(weft_await(&tasks[i]) == 0);
    return 0;
}

static void deadline_races_with_close(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(close_at_deadline, NULL), 0);
    assert_int_equal(test_run_workers(close_many_at_deadline, NULL), 0);
}

/* ---- one reason for all --------------------------------------------------------------------------- */

struct verdict {
    atomic_int  seen; /* the reason that some task was told */
    atomic_bool mixed;
};

static void tell(struct verdict *verdict, int reason)
{
    int none = 0;

    if (reason != 0 && !atomic_compare_exchange_strong(&verdict->seen, &none, reason) && none != reason)
        atomic_store(&verdict->mixed, true);
}

static int hear_reason(void *arg)
{
    struct verdict *verdict = *(struct verdict **)arg;
    weft_chan      *chan = test_make_ints(0);
    int             value;

    tell(verdict, weft_recv(chan, &value, WEFT_NEVER));
    tell(verdict, weft_check());
    tell(verdict, weft_sleep(WEFT_NEVER));
    weft_chan_destroy(chan);
    return 0;
}

static int fail_about_now(void *arg)
{
    weft_sleep(weft_now() + *(weft_time *)arg);
    return -EIO;
}

static int let_reasons_race(void *arg)
{
    uint32_t chance = 19;

    (void)arg;
    for (size_t round = 0; round < test_scale(20000); round++) {
        struct verdict verdict = {0}, *handed = &verdict;
        weft_scope     scope;
        weft_time      duration = test_random(&chance) % (20 * WEFT_US);

        task_check(weft_scope_open(&scope, WEFT_SCOPE(.deadline = soon(&chance))) == 0);
        for (int i = 0; i < 3; i++) task_check(weft_scope_go(&scope, hear_reason, &handed, sizeof handed) == 0);
        task_check(weft_scope_go(&scope, fail_about_now, &duration, sizeof duration) == 0);
        for (unsigned i = test_random(&chance) % 8; i > 0; i--) weft_yield();
        if (round % 4 == 0) weft_scope_cancel(&scope);
        tell(&verdict, weft_check());
        int result = weft_scope_close(&scope);
        tell(&verdict, result);
        task_check(result == -ETIMEDOUT || result == -EIO || (round % 4 == 0 && result == -ECANCELED));
        task_check(!atomic_load(&verdict.mixed));
    }
    return 0;
}

static void all_hear_one_reason(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(let_reasons_race, NULL), 0);
}

/* ---- awaiting any in time ----------------------------------------------------------------------------- */

static int await_in_time(void *arg)
{
    uint32_t chance = 23;

    (void)arg;
    for (size_t round = 0; round < test_scale(20000); round++) {
        weft_time  durations[3];
        weft_task  storage[3];
        weft_task *tasks[3];
        for (int i = 0; i < 3; i++) {
            durations[i] = test_random(&chance) % (20 * WEFT_US);
            tasks[i] = &storage[i];
            weft_spawn(tasks[i], sleep_soon, &durations[i]);
        }
        for (int left = 3; left > 0;) {
            weft_time deadline = soon(&chance);
            int       index = weft_await_any(tasks, (size_t)left, deadline);
            if (index < 0) {
                task_check(index == -ETIMEDOUT && weft_now() >= deadline);
                continue;
            }
            task_check(weft_done(tasks[index]));
            task_check(weft_await(tasks[index]) == 0);
            tasks[index] = tasks[--left];
        }
    }
    return 0;
}

static void await_any_races_with_its_deadline(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(await_in_time, NULL), 0);
}

/* ---- many timers, among tasks and threads ----------------------------------------------------------------- */

static int sleep_again_and_again(void *arg)
{
    uint32_t chance = *(uint32_t *)arg;

    for (int i = 0; i < 20; i++) {
        weft_time until = weft_now() + test_random(&chance) % (2 * WEFT_MS);
        task_check(weft_sleep(until) == 0);
        task_check(weft_now() >= until);
    }
    return 0;
}

static int sleep_in_crowd(void *arg)
{
    enum { THREADS = 4 };
    test_side  sides[THREADS];
    uint32_t   seeds[THREADS];
    weft_scope scope;

    (void)arg;
    for (uint32_t i = 0; i < THREADS; i++) {
        seeds[i] = i + 1;
        test_side_start(&sides[i], true, sleep_again_and_again, &seeds[i]);
    }
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (uint32_t i = 0; i < test_stacks(5000); i++) {
        uint32_t seed = i + 100;
        task_check(weft_scope_go(&scope, sleep_again_and_again, &seed, sizeof seed) == 0);
    }
    task_check(weft_scope_close(&scope) == 0);
    for (int i = 0; i < THREADS; i++) task_check(test_side_end(&sides[i]) == 0);
    return 0;
}

static void crowd_sleeps(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(sleep_in_crowd, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadline_races_with_completion),    cmocka_unit_test(cancel_races_with_waking),
        cmocka_unit_test(deadline_races_with_close),         cmocka_unit_test(all_hear_one_reason),
        cmocka_unit_test(await_any_races_with_its_deadline), cmocka_unit_test(crowd_sleeps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
