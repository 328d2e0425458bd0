/* stress_scope.c - scopes that are cancelled while they grow, nest and fail
 *
 * What holds in every order of events: each task that was taken runs and ends
 * before its scope is closed, and whoever is told a reason within one scope is
 * told the same one, which somebody gave who reaches that far.
 */
#include "support_play.h"

#include <string.h>

/* ---- cancelled while it grows --------------------------------------------------------- */

struct growth {
    weft_scope    *scope;
    atomic_size_t *started;
    atomic_size_t *ended;
    int            depth;
    bool           until_cancelled;
};

static int grow(void *arg)
{
    struct growth self = *(struct growth *)arg;

    if (self.depth-- > 0)
        for (int i = 0; i < 3; i++) {
            int result =
                i % 2 ? weft_go(grow, &self, sizeof self) : weft_scope_go(self.scope, grow, &self, sizeof self);
            task_check(result == 0);
            atomic_fetch_add(self.started, 1);
            if (i == 1) weft_yield();
        }
    else if (self.until_cancelled) task_until(weft_check() != 0);
    atomic_fetch_add(self.ended, 1);
    return weft_check();
}

static int cancel_late(void *arg)
{
    _Atomic(weft_scope *) *open = *(_Atomic(weft_scope *) **)arg;

    task_until(atomic_load(open));
    for (int i = 0; i < 10; i++) weft_yield();
    weft_scope_cancel(atomic_load(open));
    return 0;
}

static void cancel_from_thread(void *arg)
{
    test_spin(20000);
    weft_scope_cancel(arg);
}

enum canceller { TASK_WITHIN, TASK_OUTSIDE, THREAD, CANCELLERS };

static int grow_and_cancel(void *arg)
{
    enum canceller canceller = *(enum canceller *)arg;

    for (size_t round = 0; round < test_scale(200); round++) {
        atomic_size_t          started = 1;
        atomic_size_t          ended = 0;
        weft_scope             scope;
        _Atomic(weft_scope *)  open = NULL;
        _Atomic(weft_scope *) *handed = &open;
        weft_task              task;
        test_thread            thread;
        struct growth          growth = {&scope, &started, &ended, TEST_TSAN ? 3 : 5, round % 2};

        if (canceller == TASK_OUTSIDE) weft_spawn(&task, cancel_late, &handed);
        task_check(weft_scope_open(&scope, NULL) == 0);
        atomic_store(&open, &scope);
        task_check(weft_scope_go(&scope, grow, &growth, sizeof growth) == 0);
        if (canceller == TASK_WITHIN) task_check(weft_scope_go(&scope, cancel_late, &handed, sizeof handed) == 0);
        else if (canceller == THREAD) test_thread_start(&thread, cancel_from_thread, &scope);
        /* A scope may be cancelled from outside only while it is open. */
        if (canceller == TASK_OUTSIDE) task_until(weft_done(&task));
        if (canceller == THREAD) test_thread_join(&thread);
        int result = weft_scope_close(&scope);
        memset(&scope, 255, sizeof scope);
        task_check(result == -ECANCELED);
        task_check(atomic_load(&started) == atomic_load(&ended));
        task_check(weft_check() == 0);
        if (canceller == TASK_OUTSIDE) weft_await(&task);
    }
    return 0;
}

static void scope_is_cancelled_while_it_grows(void **state)
{
    (void)state;
    for (enum canceller canceller = TASK_WITHIN; canceller < CANCELLERS; canceller++)
        assert_int_equal(test_run_workers(grow_and_cancel, &canceller), 0);
}

/* ---- errors race -------------------------------------------------------------------------- */

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

struct failing {
    struct verdict *verdict;
    int             error;
    unsigned        yields;
};

static int end_with_error(void *arg)
{
    struct failing *self = arg;

    for (unsigned i = 0; i < self->yields; i++) {
        weft_yield();
        tell(self->verdict, weft_check());
    }
    return self->error;
}

static int let_errors_race(void *arg)
{
    uint32_t chance = 99;

    (void)arg;
    for (size_t round = 0; round < test_scale(2000); round++) {
        struct verdict verdict = {0};
        weft_scope     scope;

        task_check(weft_scope_open(&scope, NULL) == 0);
        for (int i = 0; i < 10; i++) {
            struct failing failing = {&verdict, -1000 - i, test_random(&chance) % 4};
            task_check(weft_scope_go(&scope, end_with_error, &failing, sizeof failing) == 0);
        }
        if (round % 8 == 0) weft_scope_cancel(&scope);
        tell(&verdict, weft_check());
        int result = weft_scope_close(&scope);
        tell(&verdict, result);
        task_check(result == -ECANCELED || (result <= -1000 && result > -1010));
        task_check(!atomic_load(&verdict.mixed));
        task_check(weft_check() == 0);
    }
    return 0;
}

static void one_error_wins(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(let_errors_race, NULL), 0);
}

/* ---- trees of scopes --------------------------------------------------------------------- */

static atomic_size_t started;
static atomic_size_t ended;

struct nest {
    uint32_t chance;
    int      depth;
};

/* Opens a scope in a task of a scope, and tasks within that, some of which
 * fail, some of which are spawned, some shielded. */
static int nest(void *arg)
{
    struct nest self = *(struct nest *)arg;
    bool        shield = test_random(&self.chance) % 8 == 0;
    bool        one_root = test_random(&self.chance) % 8 == 0;
    weft_scope  scope;
    weft_task   spawned;
    struct nest child = {test_random(&self.chance) | 1, self.depth - 1};
    bool        spawns = false;

    task_check(weft_scope_open(&scope, WEFT_SCOPE(.shield = shield, .one_root = one_root)) == 0);
    if (self.depth > 0) {
        for (unsigned i = test_random(&self.chance) % 4; i > 0; i--) {
            struct nest other = {test_random(&self.chance) | 1, self.depth - 1};
            atomic_fetch_add(&started, 1);
            task_check(weft_scope_go(&scope, nest, &other, sizeof other) == 0);
        }
        spawns = test_random(&self.chance) % 2;
        if (spawns) {
            atomic_fetch_add(&started, 1);
            weft_spawn(&spawned, nest, &child);
        }
    }
    switch (test_random(&self.chance) % 8) {
    case 0: weft_scope_cancel(&scope); break;
    case 1: weft_yield(); break;
    case 2:
        if (spawns) weft_cancel(&spawned);
        break;
    }
    if (spawns) weft_await(&spawned);
    int before = weft_check();
    int result = weft_scope_close(&scope);
    task_check(before == 0 || result == before);
    atomic_fetch_add(&ended, 1);
    return test_random(&self.chance) % 4 == 0 ? -EIO : result;
}

static void trees_of_scopes_close(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= test_scale(1000); seed++) {
        struct nest root = {seed * 2654435761u | 1, 6};
        atomic_store(&started, 1);
        atomic_store(&ended, 0);
        test_run_workers(nest, &root);
        assert_int_equal(atomic_load(&started), atomic_load(&ended));
    }
}

/* ---- who waits is reached ------------------------------------------------------------------- */

static int run_until_let_go(void *arg)
{
    task_until(atomic_load((atomic_bool *)arg));
    return 0;
}

static int wait_until_cancelled(void)
{
    atomic_bool let_go = false;
    weft_task   endless;
    weft_task  *tasks[] = {&endless};

    weft_spawn(&endless, run_until_let_go, &let_go);
    int result = weft_await_any(tasks, 1, WEFT_NEVER);
    atomic_store(&let_go, true);
    task_check(weft_await(&endless) == 0);
    return result;
}

/* Waits in an inner scope of an inner scope, however deep. */
static int wait_within(void *arg)
{
    int        depth = *(int *)arg - 1;
    weft_scope scope;
    weft_task  task;
    int        result;

    task_check(weft_scope_open(&scope, NULL) == 0);
    if (depth > 0) {
        weft_spawn(&task, wait_within, &depth);
        result = weft_await(&task);
    } else {
        result = wait_until_cancelled();
    }
    task_check(result == -ECANCELED);
    task_check(weft_scope_close(&scope) == -ECANCELED);
    return result;
}

static int cancel_waiters(void *arg)
{
    (void)arg;
    for (size_t round = 0; round < test_scale(500); round++) {
        weft_scope scope;

        task_check(weft_scope_open(&scope, NULL) == 0);
        for (int depth = 1; depth < 8; depth++)
            task_check(weft_scope_go(&scope, wait_within, &depth, sizeof depth) == 0);
        for (size_t i = 0; i < round % 20; i++) weft_yield();
        weft_scope_cancel(&scope);
        task_check(weft_scope_close(&scope) == -ECANCELED);
    }
    return 0;
}

static void cancel_reaches_all_who_wait(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_waiters, NULL), 0);
}

/* ---- the first reason stays ------------------------------------------------------------------ */

static weft_event never;

static int give_failure(void *arg)
{
    (void)arg;
    return -EIO;
}

/* Its scope has failed, so that is why each of its waits ends, also while all is cancelled around it. */
static int wait_in_failed(void *arg)
{
    atomic_bool *over = *(atomic_bool **)arg;
    weft_scope   scope;

    task_check(weft_scope_open(&scope, NULL) == 0);
    task_check(weft_go(give_failure, NULL, 0) == 0);
    task_until(weft_check() != 0);
    int reason = weft_check(); /* that of those around, if they were first */
    do task_check(weft_event_wait(&never, WEFT_NEVER) == reason);
    while (!atomic_load(over));
    task_check(weft_scope_close(&scope) == reason);
    return 0;
}

static int cancel_around_failed(void *arg)
{
    (void)arg;
    for (size_t round = 0; round < test_scale(500); round++) {
        weft_scope   scope;
        atomic_bool  over = false;
        atomic_bool *end = &over;

        task_check(weft_scope_open(&scope, NULL) == 0);
        for (int i = 0; i < 8; i++) task_check(weft_scope_go(&scope, wait_in_failed, &end, sizeof end) == 0);
        for (size_t i = 0; i < round % 20; i++) weft_yield();
        weft_scope_cancel(&scope);
        atomic_store(&over, true);
        task_check(weft_scope_close(&scope) == -ECANCELED);
    }
    return 0;
}

static void the_first_reason_stays(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_around_failed, NULL), 0);
}

/* ---- reasons ------------------------------------------------------------------------------- */

/* A job or a spawned task. */
struct branch {
    struct test_place *at;
    atomic_int        *jobs; /* of its scope, that have not ended */
    uint32_t           chance;
    int                depth;
};

static void live(struct test_place *at, uint32_t *chance, int depth);

static int run_job(void *arg)
{
    struct branch self = *(struct branch *)arg;

    live(self.at, &self.chance, self.depth);
    bool fails = test_random(&self.chance) % 8 == 0;
    if (fails) atomic_store(&self.at->failed, true);
    atomic_fetch_sub(self.jobs, 1);
    return fails ? -EIO : 0;
}

static int run_spawned(void *arg)
{
    struct branch *self = arg;

    live(self->at, &self->chance, self->depth);
    return 0;
}

static void spawn_within(struct test_place *outer, uint32_t *chance, int depth)
{
    struct test_place places[3];
    struct branch     branches[3];
    weft_task         tasks[3];
    unsigned          count = 1 + test_random(chance) % 3;

    for (unsigned i = 0; i < count; i++) {
        places[i] = (struct test_place){.outer = outer};
        branches[i] = (struct branch){&places[i], NULL, test_random(chance) | 1, depth};
        weft_spawn(&tasks[i], run_spawned, &branches[i]);
    }
    if (test_random(chance) % 2) {
        unsigned i = test_random(chance) % count;
        atomic_store(&places[i].cancelled, true);
        weft_cancel(&tasks[i]);
    }
    for (unsigned i = 0; i < count; i++) task_check(weft_await(&tasks[i]) == 0);
}

static void open_within(struct test_place *outer, uint32_t *chance, int depth)
{
    struct test_place self = {.outer = outer, .shield = test_random(chance) % 6 == 0};
    bool              one_root = test_random(chance) % 6 == 0;
    atomic_int        jobs = 0;
    unsigned          at = test_random(chance) % TEST_SHOWN;

    if (test_random(chance) % 3 == 0) self.deadline = weft_now() + test_random(chance) % WEFT_MS;
    task_check(weft_scope_open(&self.scope, WEFT_SCOPE(.deadline = self.deadline, .one_root = one_root,
                                                       .shield = self.shield)) == 0);
    bool shown = test_show(at, NULL, &self);
    for (unsigned i = test_random(chance) % 4; i > 0; i--) {
        struct branch job = {&self, &jobs, test_random(chance) | 1, depth};
        atomic_fetch_add(&jobs, 1);
        task_check(weft_go(run_job, &job, sizeof job) == 0);
    }
    live(&self, chance, depth);
    if (test_random(chance) % 4 == 0) {
        atomic_store(&self.cancelled, true);
        weft_scope_cancel(&self.scope);
        task_check(weft_check() != 0);
    }
    if (shown) test_show(at, &self, NULL);
    bool late = self.deadline && weft_now() >= self.deadline;
    int  before = weft_check(), result = weft_scope_close(&self.scope);
    task_check(result == 0 ? before == 0 && !late : test_was_given(&self, result));
    task_check(before == 0 || result == before);
    task_check(atomic_load(&jobs) == 0);
}

static void live(struct test_place *at, uint32_t *chance, int depth)
{
    int before = 0;

    for (unsigned steps = test_random(chance) % 4; steps > 0; steps--) {
        int reason = 0;
        switch (test_random(chance) % 6) {
        case 0:
        case 1:
            if (depth > 0) open_within(at, chance, depth - 1);
            break;
        case 2:
            if (depth > 0) spawn_within(at, chance, depth - 1);
            break;
        case 3: reason = weft_sleep(weft_now() + test_random(chance) % (WEFT_MS / 4)); break;
        case 4:
            if ((reason = weft_check())) task_check(weft_event_wait(&never, WEFT_NEVER) == reason);
            break;
        case 5: weft_yield(); break;
        }
        if (reason == 0) reason = weft_check();
        task_check(reason == 0 ? before == 0 : test_was_given(at, reason));
        task_check(before == 0 || reason == before);
        before = reason;
    }
}

static void cancel_any(void *arg)
{
    uint32_t chance = 1;

    while (!atomic_load((atomic_bool *)arg)) {
        test_cancel_shown(test_random(&chance) % TEST_SHOWN);
        test_sleep(50 * WEFT_US);
    }
}

static int grow_trees(void *arg)
{
    uint32_t chance = *(uint32_t *)arg;

    for (size_t i = 0; i < test_scale(400); i++) open_within(NULL, &chance, 7);
    return 0;
}

static void nobody_is_told_what_nobody_said(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 2; seed++) {
        atomic_bool over = false;
        test_thread thread;
        if (seed == 2) test_thread_start(&thread, cancel_any, &over);
        assert_int_equal(test_run_workers(grow_trees, &seed), 0);
        atomic_store(&over, true);
        if (seed == 2) test_thread_join(&thread);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scope_is_cancelled_while_it_grows),
        cmocka_unit_test(one_error_wins),
        cmocka_unit_test(trees_of_scopes_close),
        cmocka_unit_test(cancel_reaches_all_who_wait),
        cmocka_unit_test(the_first_reason_stays),
        cmocka_unit_test(nobody_is_told_what_nobody_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
