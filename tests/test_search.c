/* test_search.c - who looks for work, whom it asks and has run: each decision by itself, on workers without threads
 *
 * The library's source is part of this program, so that what it keeps to itself can be called.
 */
#include "support.h"

#include "../lib/search.c"

enum { WORKERS = 8, TASKS = 256 };

static struct weft_runtime  runtime;
static struct worker        workers[WORKERS];
static struct idle_seat     seats[WORKERS];
static struct task          tasks[TASKS];
static struct worker *const self = &workers[0], *const victim = &workers[1];

/* All run, and there are more CPUs than that. */
static int setup(void **state)
{
    (void)state;
    memset(&runtime, 0, sizeof runtime);
    memset(workers, 0, sizeof workers);
    memset(tasks, 0, sizeof tasks);
    runtime.workers = workers;
    runtime.count = WORKERS;
    runtime.cpus = 2 * WORKERS;
    inject_init(&runtime.inject);
    idle_init(&runtime.idle, seats, WORKERS, NULL, NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].runtime = &runtime;
        workers[i].index = i;
        timers_init(&workers[i].timers, false);
        choice_init(&workers[i].choice, 0, i + 1);
        runq_init(&workers[i].runq);
        runq_init(&workers[i].yielded);
        if (!deque_init(&workers[i].deque)) return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORKERS; i++) deque_destroy(&workers[i].deque);
    return 0;
}

/* So many run, this one among them; the last one watches, awake, and the others sleep. */
static void leave_running(unsigned count)
{
    assert_int_equal(idle_enter(&runtime.idle, WORKERS - 1), IDLE_WATCH);
    for (unsigned i = count; i < WORKERS - 1; i++) assert_int_equal(idle_enter(&runtime.idle, i), IDLE_SLEEP);
    assert_int_equal(idle_running(&runtime.idle), count);
}

static void put_one(void)
{
    inject_put(&runtime.inject, task_ready(&tasks[0]));
}

static void give_victim(unsigned count)
{
    for (unsigned i = 0; i < count; i++) assert_true(deque_push(&victim->deque, &tasks[i]));
}

static void publish_many(void)
{
    give_victim(TASKS);
    deque_publish(&victim->deque);
}

/* ---- having others run -------------------------------------------------------------------- */

static void crowded_is_as_many_as_cpus(void **state)
{
    (void)state;
    leave_running(3);
    if (WEFT_CHAOS) skip(); /* there it is drawn */
    runtime.cpus = 4;
    assert_false(crowded(self));
    runtime.cpus = 3;
    assert_true(crowded(self));
    runtime.cpus = 2;
    assert_true(crowded(self));
}

static unsigned hired_with(uint32_t left, unsigned most)
{
    unsigned before = idle_running(&runtime.idle);
    uint64_t wakeups = load_relaxed(&self->count.wakeups);
    self->left_there = left;
    assert_true(spread(self, task_ready(&tasks[0]), most) == task_ready(&tasks[0]));
    unsigned hired = idle_running(&runtime.idle) - before;
    assert_int_equal(load_relaxed(&self->count.wakeups) - wakeups, hired);
    return hired;
}

/* The more is left the more are, up to so many. */
static void others_are_hired_where_plenty_is_left(void **state)
{
    (void)state;
    leave_running(1);
    if (WEFT_CHAOS) skip();
    assert_int_equal(hired_with(0, 2), 0);
    assert_int_equal(hired_with(2, 2), 0);
    assert_int_equal(hired_with(3, 2), 1);
    assert_int_equal(hired_with(4, 2), 1);
    assert_int_equal(hired_with(5, 1), 1);
    assert_int_equal(hired_with(5, 2), 2);
    assert_int_equal(hired_with(1000, 2), 1); /* nobody else sleeps */
}

static void nobody_is_hired_in_a_crowd(void **state)
{
    (void)state;
    leave_running(1);
    if (WEFT_CHAOS) skip();
    runtime.cpus = 2;
    assert_int_equal(hired_with(1000, 2), 1);
    assert_int_equal(hired_with(1000, 2), 0);
}

/* Of many that have been published it takes a share, and one more comes for the rest. */
static void who_steals_of_many_has_another_run(void **state)
{
    (void)state;
    publish_many();
    leave_running(2);
    assert_true(search_work(self) == task_ready(&tasks[0]));
    assert_int_equal(self->left_there, TASKS - STEAL_MOST);
    assert_int_equal(deque_length(&self->deque), STEAL_MOST - 1);
    assert_int_equal(load_relaxed(&self->count.steals), 1);
    if (!WEFT_CHAOS) assert_int_equal(idle_running(&runtime.idle), 3);
}

static void what_was_left_before_hires_nobody(void **state)
{
    (void)state;
    leave_running(LOOKERS_SHARE);
    put_one();
    self->left_there = 1000;
    assert_true(search_work(self) == task_ready(&tasks[0]));
    assert_int_equal(idle_running(&runtime.idle), LOOKERS_SHARE);
}

/* It finds nothing, and sleeps. */
static void search_in_thread(void *arg)
{
    *(ready_t *)arg = search_work(self);
}

static ready_t hire_for(void (*work)(void))
{
    test_thread thread;
    ready_t     found;
    leave_running(2);
    test_thread_start(&thread, search_in_thread, &found);
    task_spin_until(idle_running(&runtime.idle) == 1);
    work();
    assert_true(idle_hire(&runtime.idle));
    test_thread_join(&thread);
    assert_task_checks();
    return found;
}

/* The watch has one successor, and who was hired has two others run. */
static void who_was_hired_hires_two(void **state)
{
    (void)state;
    assert_true(hire_for(publish_many) == task_ready(&tasks[0]));
    if (!WEFT_CHAOS) assert_int_equal(idle_running(&runtime.idle), 4);
}

/* For whatever it is. */
static void who_was_hired_looks(void **state)
{
    (void)state;
    assert_true(hire_for(put_one) == task_ready(&tasks[0]));
    assert_int_equal(idle_running(&runtime.idle), 2);
}

/* ---- looking before it goes idle ---------------------------------------------------------------- */

/* Whether it looks: it finds what is there. */
static bool looks(bool hired)
{
    uint32_t lookers = load_relaxed(&runtime.lookers);
    put_one();
    ready_t item = look_aside(self, hired);
    if (!item) assert_true(inject_take(&runtime.inject) == task_ready(&tasks[0]));
    assert_true(inject_empty(&runtime.inject));
    assert_int_equal(load_relaxed(&runtime.lookers), lookers);
    return item;
}

static void few_look_aside(void **state)
{
    (void)state;
    leave_running(2 * LOOKERS_SHARE - 1);
    assert_true(looks(false));
    store_relaxed(&runtime.lookers, 1);
    assert_false(looks(false));
    assert_true(looks(true)); /* who was hired is to */
    store_relaxed(&runtime.lookers, 0);
    self->choice.seeded = true;
    assert_false(looks(true));
}

static void one_looks_in_the_place_of_a_watch_that_dozes(void **state)
{
    (void)state;
    leave_running(1);
    assert_false(looks(false));
    idle_lie_down(&runtime.idle, WORKERS - 1);
    assert_true(looks(false));
    store_relaxed(&runtime.lookers, 1);
    assert_false(looks(false));
}

static void nobody_looks_aside_in_a_crowd(void **state)
{
    (void)state;
    leave_running(LOOKERS_SHARE);
    if (WEFT_CHAOS) skip();
    runtime.cpus = LOOKERS_SHARE;
    assert_true(looks(false)); /* the CPU that it has */
    runtime.cpus = LOOKERS_SHARE - 1;
    assert_false(looks(false));
    assert_false(looks(true));
}

static uint32_t asked_after_a_look(uint32_t before)
{
    store_relaxed(&victim->asked, before);
    assert_true(look_aside(self, true) == 0);
    return load_relaxed(&victim->asked);
}

static void who_looks_aside_asks_and_is_not_called(void **state)
{
    (void)state;
    leave_running(2);
    assert_int_equal(asked_after_a_look(0), 0); /* it has nothing */
    give_victim(2);
    assert_int_equal(asked_after_a_look(0), ASKED_ASIDE);
    /* Others want more than that. */
    assert_int_equal(asked_after_a_look(ASKED_SHARE), ASKED_SHARE);
    assert_int_equal(asked_after_a_look(ASKED_WATCH), ASKED_WATCH);
}

/* When the watch dozes the others are to call before that is over, also those that have nothing yet. */
static void who_has_looked_in_vain_lets_the_others_call(void **state)
{
    (void)state;
    leave_running(3);
    idle_lie_down(&runtime.idle, WORKERS - 1);
    give_victim(2);
    assert_int_equal(asked_after_a_look(0), ASKED_SHARE);
    assert_int_equal(load_relaxed(&workers[2].asked), ASKED_SHARE);
    assert_int_equal(asked_after_a_look(ASKED_WATCH), ASKED_WATCH);
}

/* ---- whether it was worth it ----------------------------------------------------------------------- */

static void judge_after(int64_t ran)
{
    self->stole_at = choice_clock() - ran;
    judge_steal(self);
    assert_true(self->stole_at == 0);
}

static void tiny_tasks_make_a_thief_rest(void **state)
{
    (void)state;
    self->stole_count = 1;
    for (unsigned times = 1; times <= RESTS_MOST + 2; times++) {
        self->rest = false;
        self->saved = 0;
        judge_after(-WEFT_SEC); /* however slow this machine is, less than nothing */
        assert_true(self->rest);
        assert_int_equal(self->rests, min_of(times, (unsigned)RESTS_MOST));
        assert_int_equal(self->saved, GRANT_NS);
    }
    /* The grant lasts for a while. */
    self->rest = false;
    judge_after(0);
    assert_false(self->rest);
}

static void large_tasks_let_it_go_on(void **state)
{
    (void)state;
    self->rests = RESTS_MOST;
    self->stole_count = 1;
    judge_after(WEALTHY_NS + 2 * WORTH_NS);
    assert_false(self->rest);
    assert_int_equal(self->rests, 0);
    judge_after(WEFT_SEC);
    assert_int_equal(self->saved, SAVED_MOST_NS);
}

/* What it runs was not stolen. */
static void own_work_is_not_judged(void **state)
{
    (void)state;
    self->saved = 5;
    judge_steal(self);
    assert_int_equal(self->saved, 5);
    assert_false(self->rest);
}

/* What its outbox has made ready was not stolen either. */
static void send_one(struct worker *w)
{
    assert_true(runq_push(&w->runq, task_ready(&tasks[0])));
}

static void who_runs_dry_but_for_its_outbox_has_done_what_it_stole(void **state)
{
    (void)state;
    runtime.send_out = send_one;
    store_relaxed(&self->outbox, (struct outbox *)&runtime); /* there is one */
    self->near = WORK_NEAR;
    self->stole_at = choice_clock();
    assert_true(search_work(self) == task_ready(&tasks[0]));
    assert_true(self->stole_at == 0);
}

int main(void)
{
#define WITH_WORKERS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest all[] = {
        WITH_WORKERS(crowded_is_as_many_as_cpus),
        WITH_WORKERS(others_are_hired_where_plenty_is_left),
        WITH_WORKERS(nobody_is_hired_in_a_crowd),
        WITH_WORKERS(who_steals_of_many_has_another_run),
        WITH_WORKERS(what_was_left_before_hires_nobody),
        WITH_WORKERS(who_was_hired_hires_two),
        WITH_WORKERS(who_was_hired_looks),
        WITH_WORKERS(few_look_aside),
        WITH_WORKERS(one_looks_in_the_place_of_a_watch_that_dozes),
        WITH_WORKERS(nobody_looks_aside_in_a_crowd),
        WITH_WORKERS(who_looks_aside_asks_and_is_not_called),
        WITH_WORKERS(who_has_looked_in_vain_lets_the_others_call),
        WITH_WORKERS(tiny_tasks_make_a_thief_rest),
        WITH_WORKERS(large_tasks_let_it_go_on),
        WITH_WORKERS(own_work_is_not_judged),
        WITH_WORKERS(who_runs_dry_but_for_its_outbox_has_done_what_it_stole),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
