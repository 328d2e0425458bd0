/* test_worker.c - what is ready runs, whatever queue it is in and whatever cannot be had
 *
 * Linked with --wrap, so that the library's calls for memory and mappings pass through here.
 */
#include "support.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "spare.h"
#include "worker.h"

/* ---- what cannot be had --------------------------------------------------------------------- */

static atomic_bool memory_fails;
static atomic_bool mappings_fail;
static atomic_uint refused;

void *__real_malloc(size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t size)
{
    if (!atomic_load(&memory_fails)) return __real_malloc(size);
    atomic_fetch_add(&refused, 1);
    errno = ENOMEM;
    return NULL;
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (!atomic_load(&mappings_fail)) return __real_mmap(address, size, protection, flags, fd, offset);
    atomic_fetch_add(&refused, 1);
    errno = ENOMEM;
    return MAP_FAILED;
}

/* ---- who runs ----------------------------------------------------------------------------------- */

static int see_worker(void *arg)
{
    struct fiber *fiber = worker_fiber();

    (void)arg;
    for (int i = 0; i < 100; i++) {
        struct worker *w = worker_self();
        task_check(w && w->fiber == fiber);
        task_check((int)w->index == weft_worker_index());
        task_check(&w->runtime->workers[w->index] == w);
        task_check(fiber->runtime == w->runtime);
        char *here = __builtin_frame_address(0); /* a local may lie elsewhere, says AddressSanitizer */
        task_check(here > fiber->low && here < (char *)fiber);
        weft_yield();
    }
    return 0;
}

static int see_workers(void *arg)
{
    for (int i = 0; i < 20; i++) task_check(weft_go(see_worker, NULL, 0) == 0);
    return see_worker(arg);
}

static void task_keeps_its_fiber_not_its_worker(void **state)
{
    (void)state;
    assert_null(worker_self());
    assert_null(worker_fiber());
    for (unsigned workers = 1; workers <= 4; workers++)
        assert_int_equal(test_run(see_workers, NULL, WEFT_OPTIONS(.workers = workers)), 0);
    assert_null(worker_self());
}

/* A fault is described only when it is in the guard of the stack that runs. */
static int describe_faults(void *arg)
{
    struct fiber      *fiber = worker_fiber();
    struct stack_pool *pool = &worker_self()->runtime->stacks;
    char               here;

    (void)arg;
    task_check(!worker_describe_fault(NULL));
    task_check(!worker_describe_fault(&here));
    task_check(!worker_describe_fault(fiber->low - 1));
    task_check(!worker_describe_fault(stack_floor(pool, fiber->low)));
    return 0;
}

static void other_faults_are_not_described(void **state)
{
    (void)state;
    char here;

    assert_false(worker_describe_fault(NULL));
    assert_false(worker_describe_fault(&here));
    assert_int_equal(test_run_workers(describe_faults, NULL), 0);
}

/* ---- more than a queue holds ---------------------------------------------------------------------- */

static int count_up(void *arg)
{
    atomic_fetch_add((atomic_size_t *)arg, 1);
    return 0;
}

enum { SPAWNED = 20 * DEQUE_MIN };

static weft_task     spawned[SPAWNED];
static atomic_size_t ran;

/* The deque cannot grow: the tasks wait elsewhere, and none is lost. */
static int spawn_without_memory(void *arg)
{
    (void)arg;
    atomic_store(&memory_fails, true);
    for (size_t i = 0; i < SPAWNED; i++) weft_spawn(&spawned[i], count_up, &ran);
    /* Some are taken while there is no memory, so that it fails again. */
    for (size_t i = SPAWNED; i-- > SPAWNED / 2;) weft_await(&spawned[i]);
    for (size_t i = SPAWNED / 2; i < SPAWNED; i++) weft_spawn(&spawned[i], count_up, &ran);
    atomic_store(&memory_fails, false);
    for (size_t i = 0; i < SPAWNED; i++) weft_await(&spawned[i]);
    return 0;
}

static void tasks_run_without_memory_for_the_deque(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 2; workers++) {
        atomic_store(&ran, 0);
        atomic_store(&refused, 0);
        assert_int_equal(test_run(spawn_without_memory, NULL, WEFT_OPTIONS(.workers = workers)), 0);
        assert_int_equal(atomic_load(&ran), SPAWNED + SPAWNED / 2);
        if (workers == 1) assert_true(atomic_load(&refused) > 0);
    }
}

enum { YIELDS = 5 };

struct crowd {
    size_t        count;
    atomic_size_t begun;
    atomic_size_t turns;
};

/* All have begun before any goes on, so all are among the resumed at once. */
static int yield_in_a_crowd(void *arg)
{
    struct crowd *crowd = arg;

    atomic_fetch_add(&crowd->begun, 1);
    while (atomic_load(&crowd->begun) < crowd->count) weft_yield();
    for (int i = 0; i < YIELDS; i++) {
        atomic_fetch_add(&crowd->turns, 1);
        weft_yield();
    }
    return 0;
}

static int gather(void *arg)
{
    struct crowd *crowd = arg;

    for (size_t i = 0; i < crowd->count; i++) task_check(weft_go(yield_in_a_crowd, crowd, 0) == 0);
    return 0;
}

static void crowd_of_resumed_tasks_overflows(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct crowd crowd = {.count = test_stacks(3 * RUNQ_SIZE)};
        assert_int_equal(test_run(gather, &crowd, WEFT_OPTIONS(.workers = workers)), 0);
        assert_int_equal(atomic_load(&crowd.turns), crowd.count * YIELDS);
    }
}

/* ---- who is ready runs -------------------------------------------------------------------------------- */

struct pair {
    atomic_ulong turn;
    atomic_bool  over;
};

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Between its yields it lets others run by weft_check only, which is enough. */
static int check_until_the_other_moves(void *arg)
{
    struct pair *pair = arg;

    while (!atomic_load(&pair->over)) {
        unsigned long turn = atomic_load(&pair->turn);
        weft_time     end = test_now() + TEST_LONG;
        while (atomic_load(&pair->turn) == turn && !atomic_load(&pair->over)) {
            weft_check();
            if (test_now() < end) continue;
            task_check(!"an opener whose scope is empty goes on");
            atomic_store(&pair->over, true);
        }
        weft_yield();
    }
    return 0;
}

/* The job, the scope's last, makes the opener ready as it ends: that is to run next, or, when the far end
 * has its turn just then, soon. */
static int open_and_close(void *arg)
{
    struct pair *pair = arg;
    weft_task    other;

    weft_spawn(&other, check_until_the_other_moves, pair);
    weft_yield();
    for (size_t i = test_scale(10000); i > 0 && !atomic_load(&pair->over); i--) {
        weft_scope scope;
        atomic_fetch_add(&pair->turn, 1);
        task_check(weft_scope_open(&scope, NULL) == 0);
        task_check(weft_go(do_nothing, NULL, 0) == 0);
        task_check(weft_scope_close(&scope) == 0);
    }
    atomic_store(&pair->over, true);
    return weft_await(&other);
}

static void task_made_ready_by_an_end_is_not_left_behind(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct pair pair = {0};
        assert_int_equal(test_run(open_and_close, &pair, WEFT_OPTIONS(.workers = workers)), 0);
    }
}

/* ---- stacks --------------------------------------------------------------------------------------------- */

enum { WAITERS = 200 };

static weft_runtime *runtime;
static weft_task     awaited[WAITERS];
static atomic_size_t waited;

static int wait_for_one(void *arg)
{
    weft_await(arg);
    atomic_fetch_add(&waited, 1);
    return 0;
}

/* While this task computes on its root nobody runs the others of that root.  Those who wait for
 * them use up all the stacks that there are, on the other worker: that is not the end, since
 * this one may yet give some back. */
static int compute_while_stacks_run_out(void *arg)
{
    weft_scope scope;

    (void)arg;
    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = true)) == 0);
    for (size_t i = 0; i < WAITERS; i++) weft_spawn(&awaited[i], do_nothing, NULL);
    atomic_store(&refused, 0);
    atomic_store(&mappings_fail, true);
    for (size_t i = 0; i < WAITERS; i++) task_check(weft_runtime_go(runtime, wait_for_one, &awaited[i], 0) == 0);
    task_spin_until(atomic_load(&refused) > 0);
    weft_time end = test_now() + 2500 * WEFT_MS;
    task_spin_until(test_now() > end);
    task_check(atomic_load(&waited) == 0);
    atomic_store(&mappings_fail, false);
    task_until(atomic_load(&waited) == WAITERS);
    return weft_scope_close(&scope);
}

static void want_of_stacks_is_no_end_while_another_computes(void **state)
{
    (void)state;
    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 2)), 0);
    assert_int_equal(weft_runtime_call(runtime, compute_while_stacks_run_out, NULL), 0);
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
}

/* The same with nobody who could give one back. */
static int starve_for_good(void *arg)
{
    (void)arg;
    atomic_store(&mappings_fail, true);
    /* The newest is begun first, and waits for the one before it. */
    weft_spawn(&awaited[0], do_nothing, NULL);
    for (size_t i = 1; i < WAITERS; i++) weft_spawn(&awaited[i], wait_for_one, &awaited[i - 1]);
    weft_yield();
    return weft_await(&awaited[WAITERS - 1]);
}

static int stop_for_want_of_stacks(void)
{
    /* With a seed nothing runs in place. */
    return weft_run(starve_for_good, NULL, WEFT_OPTIONS(.seed = 1));
}

static void want_of_stacks_that_never_ends_stops_the_program(void **state)
{
    (void)state;
    assert_part_stops("stop_for_want_of_stacks", "no memory for a stack");
}

static int count_stacks(void *arg)
{
    struct weft_stats *stats = arg;

    stats->size = sizeof *stats;
    return weft_stats(stats);
}

/* A second after the last work what many tasks have needed is the system's again. */
static void spare_stacks_go_back_when_idle(void **state)
{
    (void)state;
    struct crowd      crowd = {.count = test_stacks(500)};
    struct weft_stats busy;
    struct weft_stats idle;

    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 2)), 0);
    assert_int_equal(weft_runtime_call(runtime, gather, &crowd), 0);
    while (atomic_load(&crowd.turns) < crowd.count * YIELDS) test_sleep(WEFT_MS);
    assert_int_equal(weft_runtime_call(runtime, count_stacks, &busy), 0);
    weft_time end = test_now() + TEST_LONG;
    do {
        test_sleep(1200 * WEFT_MS);
        assert_int_equal(weft_runtime_call(runtime, count_stacks, &idle), 0);
    } while (idle.stacks_pooled > 2 + WORKER_SPARES && test_now() < end);
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
    assert_true(busy.stacks_pooled > 2 + WORKER_SPARES);
    /* Only the watch gives back its own; a worker that slept before keeps what it had. */
    assert_in_range(idle.stacks_pooled, 1, 2 + WORKER_SPARES);
}

/* Who comes while they go back does not wait until the last has gone. */
static void work_comes_first_while_spare_stacks_go_back(void **state)
{
    (void)state;
    struct crowd      crowd = {.count = 8 * SPARES_KEPT};
    struct weft_stats stats;
    weft_time         end = test_now() + TEST_LONG;
    bool              first = false;

    if (test_stacks(crowd.count) < crowd.count) skip(); /* this build has not as many */
    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 1)), 0);
    do {
        atomic_store(&crowd.begun, 0);
        atomic_store(&crowd.turns, 0);
        assert_int_equal(weft_runtime_call(runtime, gather, &crowd), 0);
        while (load_relaxed(&runtime->spare_count) < 6 * SPARES_KEPT && test_now() < end) test_sleep(WEFT_MS);
        while (load_relaxed(&runtime->spare_count) > 5 * SPARES_KEPT && test_now() < end) test_sleep(10 * WEFT_US);
        assert_int_equal(weft_runtime_call(runtime, count_stacks, &stats), 0);
        first = test_now() < end && stats.stacks_pooled > WORKER_SPARES;
    } while (!first && test_now() < end);
    assert_int_equal(weft_runtime_stop(runtime), 0);
    assert_task_checks();
    assert_true(first);
}

struct ebb {
    struct crowd crowd;
    uint64_t     most, least; /* stacks in the pool, when all had ended and a while after */
};

static int work_on_alone(void *arg)
{
    struct ebb       *ebb = arg;
    struct weft_stats stats;

    gather(&ebb->crowd);
    while (atomic_load(&ebb->crowd.turns) < ebb->crowd.count * YIELDS) weft_yield();
    for (int i = 0; i < 10; i++) weft_yield(); /* the last has ended */
    count_stacks(&stats);
    ebb->most = stats.stacks_pooled;
    weft_time end = test_now() + TEST_LONG;
    do {
        weft_yield();
        count_stacks(&stats);
    } while (stats.stacks_pooled > SPARES_KEPT + WORKER_SPARES && test_now() < end);
    ebb->least = stats.stacks_pooled;
    return 0;
}

/* Nobody is ever idle, and what many tasks have needed together goes back all the same, but for some. */
static void spare_stacks_go_back_while_one_works(void **state)
{
    (void)state;
    struct ebb ebb = {.crowd.count = 4 * SPARES_KEPT};

    if (test_stacks(ebb.crowd.count) < ebb.crowd.count) skip(); /* this build has not as many */
    assert_int_equal(test_run(work_on_alone, &ebb, WEFT_OPTIONS(.workers = 1)), 0);
    assert_task_checks();
    assert_in_range(ebb.most, SPARES_KEPT + WORKER_SPARES + 1, 5 * SPARES_KEPT); /* some went back before */
    assert_in_range(ebb.least, SPARES_KEPT, SPARES_KEPT + WORKER_SPARES);
}

int main(int argc, char **argv)
{
    const struct test_part  parts[] = {{"stop_for_want_of_stacks", stop_for_want_of_stacks}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_keeps_its_fiber_not_its_worker),
        cmocka_unit_test(other_faults_are_not_described),
        cmocka_unit_test(tasks_run_without_memory_for_the_deque),
        cmocka_unit_test(crowd_of_resumed_tasks_overflows),
        cmocka_unit_test(task_made_ready_by_an_end_is_not_left_behind),
        cmocka_unit_test(want_of_stacks_is_no_end_while_another_computes),
        cmocka_unit_test(want_of_stacks_that_never_ends_stops_the_program),
        cmocka_unit_test(spare_stacks_go_back_when_idle),
        cmocka_unit_test(work_comes_first_while_spare_stacks_go_back),
        cmocka_unit_test(spare_stacks_go_back_while_one_works),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
