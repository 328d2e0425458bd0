/* stress_root.c - one root is never in two places, however its tasks are moved about */
#include "support.h"

/* What a root alone guards.  It is plain: an update that is lost, or that
 * ThreadSanitizer finds unordered, is a root run twice at once. */
struct domain {
    long counter;
    bool inside;
    int  last_worker;
    long moves;
};

static void enter_and_leave(struct domain *domain)
{
    int  worker = weft_worker_index();
    long counter = domain->counter;

    task_check(!domain->inside);
    domain->inside = true;
    if (domain->last_worker != worker) {
        domain->last_worker = worker;
        domain->moves++;
    }
    test_spin((unsigned)counter % 64);
    domain->inside = false;
    domain->counter = counter + 1;
}

struct visit {
    struct domain *domain;
    int            turns;
    int            depth;
};

/* All ways to let go of the root and get it back. */
static int visit(void *arg)
{
    struct visit self = *(struct visit *)arg;
    struct visit child = {self.domain, self.turns, self.depth - 1};
    weft_task    tasks[2];
    weft_task   *any[] = {&tasks[0], &tasks[1]};
    weft_scope   scope;

    for (int i = 0; i < self.turns; i++) {
        enter_and_leave(self.domain);
        weft_yield();
    }
    if (self.depth == 0) return 0;
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], visit, &child);
    enter_and_leave(self.domain);
    task_check(weft_await_any(any, 2, WEFT_NEVER) >= 0);
    enter_and_leave(self.domain);
    for (int i = 0; i < 2; i++) task_check(weft_await(&tasks[i]) == 0);
    enter_and_leave(self.domain);
    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = self.depth % 2)) == 0);
    task_check(weft_scope_go(&scope, visit, &child, sizeof child) == 0);
    enter_and_leave(self.domain);
    task_check(weft_scope_close(&scope) == 0);
    enter_and_leave(self.domain);
    return 0;
}

static long visits(int turns, int depth)
{
    return depth == 0 ? turns : turns + 5 + 3 * visits(turns, depth - 1);
}

static int visit_in_a_root(void *arg)
{
    struct visit *self = arg;
    weft_scope    scope;

    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = true)) == 0);
    for (int i = 0; i < 4; i++) task_check(weft_scope_go(&scope, visit, self, sizeof *self) == 0);
    task_check(visit(self) == 0);
    return weft_scope_close(&scope);
}

/* ---- many roots ------------------------------------------------------------------------- */

enum { ROOTS = 16 };

static int run_roots(void *arg)
{
    struct visit *visits_of_roots = arg;
    weft_task     tasks[ROOTS];

    for (int i = 0; i < ROOTS; i++) weft_spawn(&tasks[i], visit_in_a_root, &visits_of_roots[i]);
    for (int i = 0; i < ROOTS; i++) task_check(weft_await(&tasks[i]) == 0);
    return 0;
}

static void many_roots_are_each_serial(void **state)
{
    (void)state;
    long moves = 0;

    for (size_t round = 0; round < (TEST_TSAN ? 2 : 20); round++) {
        struct domain domains[ROOTS] = {{0}};
        struct visit  all[ROOTS];
        int           depth = TEST_TSAN ? 2 : 3;

        for (int i = 0; i < ROOTS; i++) all[i] = (struct visit){&domains[i], 10, depth};
        assert_int_equal(test_run_workers(run_roots, all), 0);
        for (int i = 0; i < ROOTS; i++) {
            assert_int_equal(domains[i].counter, 5 * visits(10, depth));
            moves += domains[i].moves;
        }
    }
    /* The roots were stolen, so that it was not just one thread each. */
    if (test_workers() > 1) assert_true(moves > 0);
}

/* ---- a root that is in great demand ------------------------------------------------------ */

static struct domain shared;

static int visit_shared(void *arg)
{
    (void)arg;
    enter_and_leave(&shared);
    return 0;
}

static _Atomic(weft_scope *) shared_root;
static atomic_int            fillers;

enum { FILLERS = 4 };

static int own_root(void *arg)
{
    weft_scope root;

    (void)arg;
    task_check(weft_scope_open(&root, WEFT_SCOPE(.one_root = true)) == 0);
    atomic_store(&shared_root, &root);
    while (atomic_load(&fillers) > 0) {
        enter_and_leave(&shared);
        shared.counter--;
        weft_yield();
    }
    return weft_scope_close(&root);
}

static int fill_root(void *arg)
{
    (void)arg;
    task_until(atomic_load(&shared_root));
    for (size_t i = 0; i < test_scale(5000); i++) {
        task_check(weft_scope_go(atomic_load(&shared_root), visit_shared, NULL, 0) == 0);
        if (i % 8 == 0) weft_yield();
    }
    atomic_fetch_sub(&fillers, 1);
    return 0;
}

/* Free tasks on all workers fill one root, while it runs. */
static int fill_from_many(void *arg)
{
    weft_task owner;
    weft_task tasks[FILLERS];

    (void)arg;
    weft_spawn(&owner, own_root, NULL);
    for (int i = 0; i < FILLERS; i++) weft_spawn(&tasks[i], fill_root, NULL);
    for (int i = 0; i < FILLERS; i++) task_check(weft_await(&tasks[i]) == 0);
    return weft_await(&owner);
}

static void root_is_filled_from_all_sides(void **state)
{
    (void)state;
    for (size_t round = 0; round < (TEST_TSAN ? 2 : 10); round++) {
        shared = (struct domain){0};
        atomic_store(&shared_root, NULL);
        atomic_store(&fillers, FILLERS);
        assert_int_equal(test_run_workers(fill_from_many, NULL), 0);
        assert_int_equal(shared.counter, FILLERS * test_scale(5000));
    }
}

/* ---- a whole runtime on one root ------------------------------------------------------------ */

static void call_from_thread(void *arg)
{
    for (size_t i = 0; i < test_scale(2000); i++) task_check(weft_runtime_call(arg, visit_shared, NULL) == 0);
}

static void runtime_on_one_root_serves_many_threads(void **state)
{
    (void)state;
    weft_runtime *runtime;
    test_thread   threads[4];

    shared = (struct domain){0};
    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = test_workers(), .one_root = true)), 0);
    for (size_t i = 0; i < TEST_LENGTH(threads); i++) test_thread_start(&threads[i], call_from_thread, runtime);
    for (size_t i = 0; i < TEST_LENGTH(threads); i++) test_thread_join(&threads[i]);
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
    assert_int_equal(shared.counter, TEST_LENGTH(threads) * test_scale(2000));
}

/* ---- opened and closed over and over --------------------------------------------------------- */

static int open_again_and_again(void *arg)
{
    struct domain *domain = arg;

    for (size_t i = 0; i < test_scale(2000); i++) {
        struct visit once = {domain, 1, 0};
        weft_scope   scope;

        task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = true)) == 0);
        for (int j = 0; j < 3; j++) task_check(weft_scope_go(&scope, visit, &once, sizeof once) == 0);
        enter_and_leave(domain);
        task_check(weft_scope_close(&scope) == 0);
        /* The root is gone, and with it whoever could be inside. */
        enter_and_leave(domain);
    }
    return 0;
}

static int open_many(void *arg)
{
    struct domain *domains = arg;
    weft_task      tasks[ROOTS];

    for (int i = 0; i < ROOTS; i++) weft_spawn(&tasks[i], open_again_and_again, &domains[i]);
    for (int i = 0; i < ROOTS; i++) task_check(weft_await(&tasks[i]) == 0);
    return 0;
}

static void roots_come_and_go(void **state)
{
    (void)state;
    struct domain domains[ROOTS] = {{0}};

    assert_int_equal(test_run_workers(open_many, domains), 0);
    for (int i = 0; i < ROOTS; i++) assert_int_equal(domains[i].counter, 5 * test_scale(2000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_roots_are_each_serial),
        cmocka_unit_test(root_is_filled_from_all_sides),
        cmocka_unit_test(runtime_on_one_root_serves_many_threads),
        cmocka_unit_test(roots_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
