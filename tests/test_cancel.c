/* test_cancel.c - reasons up the tree, epochs, and the links downwards */
#include "support.h"

#include <string.h>

#include "cancel.h"
#include "scope.h"

/* ---- a tree without tasks ------------------------------------------------------------------- */

/* outermost - scope - task - inner - leaf, and the task's shield - sheltered. */
enum { OUTERMOST, SCOPE, TASK, INNER, LEAF, SHIELD, SHELTERED, NODES };

static struct weft_runtime runtime;
static struct node         nodes[NODES];

static int setup(void **state)
{
    (void)state;
    memset(&runtime, 0, sizeof runtime);
    node_init(&nodes[OUTERMOST], NULL, NODE_SCOPE);
    nodes[OUTERMOST].arg = &runtime;
    node_init(&nodes[SCOPE], &nodes[OUTERMOST], NODE_SCOPE);
    node_init(&nodes[TASK], &nodes[SCOPE], NODE_JOB);
    node_init(&nodes[INNER], &nodes[TASK], NODE_SCOPE);
    node_init(&nodes[LEAF], &nodes[INNER], NODE_TASK);
    node_init(&nodes[SHIELD], &nodes[TASK], NODE_SCOPE | NODE_SHIELD);
    node_init(&nodes[SHELTERED], &nodes[SHIELD], NODE_TASK);
    return 0;
}

/* As a task that runs as this node, or has it open, sees it. */
static int check(int node)
{
    struct fiber fiber = {.node = &nodes[node], .runtime = &runtime};

    return cancel_check(&fiber);
}

static void assert_reasons(const int (*expected)[NODES])
{
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(cancel_reason(&nodes[i]), (*expected)[i]);
        assert_int_equal(check(i), (*expected)[i]);
    }
}

static void nothing_is_cancelled_at_first(void **state)
{
    (void)state;
    assert_reasons(&(const int[NODES]){0});
    assert_int_equal(cancel_reason(NULL), 0);
}

static void reason_reaches_what_is_below(void **state)
{
    (void)state;
    cancel_node(&runtime, &nodes[INNER], -5);
    assert_reasons(&(const int[NODES]){[INNER] = -5, [LEAF] = -5});
    cancel_node(&runtime, &nodes[SCOPE], -6);
    assert_reasons(&(const int[NODES]){[SCOPE] = -6, [TASK] = -6, [INNER] = -5, [LEAF] = -5});
}

static void shield_keeps_out_what_is_above(void **state)
{
    (void)state;
    cancel_node(&runtime, &nodes[TASK], -5);
    assert_reasons(&(const int[NODES]){[TASK] = -5, [INNER] = -5, [LEAF] = -5});
    /* Its own reason is within. */
    cancel_node(&runtime, &nodes[SHIELD], -6);
    assert_reasons(&(const int[NODES]){[TASK] = -5, [INNER] = -5, [LEAF] = -5, [SHIELD] = -6, [SHELTERED] = -6});
}

static void first_reason_sticks(void **state)
{
    (void)state;
    cancel_node(&runtime, &nodes[SCOPE], -5);
    int32_t epoch = load_relaxed(&runtime.epoch);
    cancel_node(&runtime, &nodes[SCOPE], -6);
    cancel_node(&runtime, &nodes[LEAF], -7);
    assert_reasons(&(const int[NODES]){[SCOPE] = -5, [TASK] = -5, [INNER] = -5, [LEAF] = -5});
    /* Nothing was written where a reason from above holds. */
    assert_int_equal(load_relaxed(&nodes[LEAF].reason), 0);
    assert_int_equal(load_relaxed(&runtime.epoch), epoch);
}

static void call_leaves_nothing_locked(void **state)
{
    (void)state;
    cancel_node(&runtime, &nodes[OUTERMOST], -5);
    cancel_node(&runtime, &nodes[LEAF], -6);
    assert_int_equal(load_relaxed(&runtime.cancel_lock), 0);
    assert_int_equal(load_relaxed(&runtime.pins), 0);
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(load_relaxed(&nodes[i].children), 0);
        assert_int_equal(load_relaxed(&nodes[i].wait), 0);
    }
    cancel_settle(&runtime, &nodes[OUTERMOST]);
    cancel_leave(&runtime, &nodes[LEAF]);
    assert_int_equal(load_relaxed(&runtime.cancel_lock), 0);
}

static void runtime_is_found_from_any_node(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++) assert_ptr_equal(cancel_runtime(&nodes[i]), &runtime);
}

/* ---- epochs ----------------------------------------------------------------------------------- */

/* A node that has looked does not look again before something was cancelled. */
static void check_looks_up_once_an_epoch(void **state)
{
    (void)state;
    cancel_node(&runtime, &nodes[SHIELD], -5);
    assert_int_equal(check(LEAF), 0);
    assert_int_equal(load_relaxed(&nodes[LEAF].result), load_relaxed(&runtime.epoch));
    /* As if by magic, and without a new epoch: it is not seen. */
    store_relaxed(&nodes[INNER].reason, -7);
    assert_int_equal(check(LEAF), 0);
    store_relaxed(&nodes[INNER].reason, 0);
    cancel_node(&runtime, &nodes[SCOPE], -6);
    assert_int_equal(check(LEAF), -6);
    assert_int_equal(check(LEAF), -6);
}

/* And who is below it looks no further than to there; from a shield nobody goes on up. */
static void check_looks_up_to_who_has_looked(void **state)
{
    (void)state;
    struct node young, sheltered;

    cancel_node(&runtime, &nodes[SHIELD], -5);
    assert_int_equal(check(LEAF), 0);
    node_init(&young, &nodes[LEAF], NODE_TASK);
    struct fiber fiber = {.node = &young, .runtime = &runtime};
    for (int above = LEAF; above != OUTERMOST; above--) {
        store_relaxed(&nodes[above].reason, -7);
        assert_int_equal(cancel_check(&fiber), 0);
        store_relaxed(&young.result, 0);
        store_relaxed(&nodes[above].reason, 0);
    }
    cancel_node(&runtime, &nodes[TASK], -6);
    assert_int_equal(cancel_check(&fiber), -6);

    /* One in a shield that is not cancelled says nothing of who is outside of it. */
    node_init(&nodes[SHIELD], &nodes[TASK], NODE_SCOPE | NODE_SHIELD);
    node_init(&sheltered, &nodes[SHIELD], NODE_TASK);
    fiber.node = &sheltered;
    assert_int_equal(cancel_check(&fiber), 0);
    assert_int_equal(check(SHIELD), 0);
    assert_int_equal(check(TASK), -6);
    assert_int_equal(check(LEAF), -6);
}

/* A reason is noted in all below it that are asked, and in nobody above it or in a shield. */
static void reason_is_noted_on_the_way(void **state)
{
    (void)state;
    struct node  young;
    struct fiber fiber = {.node = &young, .runtime = &runtime};

    node_init(&young, &nodes[LEAF], NODE_TASK);
    cancel_node(&runtime, &nodes[TASK], -6);
    assert_int_equal(check(LEAF), -6);
    assert_int_equal(load_relaxed(&nodes[INNER].result), -6);
    assert_int_equal(load_relaxed(&nodes[TASK].result), 0);
    /* As if by magic: what is noted is enough. */
    store_relaxed(&nodes[TASK].reason, 0);
    assert_int_equal(cancel_check(&fiber), -6);
    assert_int_equal(cancel_reason(&young), -6);
    store_relaxed(&nodes[TASK].reason, -6);

    assert_int_equal(check(SHELTERED), 0);
    assert_int_equal(check(SCOPE), 0);
    /* The first reason stays. */
    cancel_node(&runtime, &young, -7);
    cancel_node(&runtime, &nodes[SCOPE], -8);
    assert_int_equal(cancel_check(&fiber), -6);
    assert_int_equal(check(TASK), -6);
    assert_int_equal(check(SCOPE), -8);
}

/* A node that was never looked at has 0 and a cancelled one a reason, so the runtime's epoch is never like either, but
 * before the first cancel. */
static void epoch_is_positive(void **state)
{
    (void)state;
    store_relaxed(&runtime.epoch, EPOCH_LAST);
    cancel_node(&runtime, &nodes[SCOPE], -5);
    assert_int_equal(load_relaxed(&runtime.epoch), EPOCH_FIRST);
    assert_int_equal(check(LEAF), -5);
}

/* While it changes: whether a reason is found is left to the next look. */
static void changing_epoch_is_not_noted(void **state)
{
    (void)state;
    store_relaxed(&runtime.epoch, EPOCH_FIRST | EPOCH_CHANGES);
    assert_int_equal(check(LEAF), 0);
    for (int i = 0; i < NODES; i++) assert_int_equal(load_relaxed(&nodes[i].result), 0);
    store_relaxed(&nodes[SCOPE].reason, -5);
    assert_int_equal(check(LEAF), -5);
}

/* ---- links, in real tasks on one worker --------------------------------------------------------- */

static bool linked(const struct node *n)
{
    return load_relaxed(&n->next) & NODE_LINKED;
}

static struct node *node_of(weft_task *task)
{
    return &((struct task *)task)->node;
}

static struct node *node_of_scope(weft_scope *scope)
{
    return &((struct scope *)scope)->node;
}

/* The children that `up` knows, each with the right neighbour before it. */
static unsigned children(const struct node *up)
{
    const struct node *before = NULL;
    unsigned           count = 0;

    for (uintptr_t at = load_relaxed(&up->children); at; count++) {
        const struct node *n = (const struct node *)at;
        task_check(!(at & NODE_LOCKED));
        task_check(linked(n));
        task_check(node_up(n) == up);
        task_check(n->prev == before);
        before = n;
        at = load_relaxed(&n->next) & ~NODE_LINKED;
    }
    return count;
}

static int run_until(void *arg)
{
    const bool *over = arg;

    while (!*(volatile const bool *)over) weft_yield();
    return 0;
}

struct waiting {
    weft_task *awaited;
    bool       waits;
    int        result;
};

static int wait_for_any(void *arg)
{
    struct waiting *self = arg;

    self->waits = true;
    self->result = weft_await_any(&self->awaited, 1, WEFT_NEVER);
    return 0;
}

enum { WAITERS = 5 };

/* Lets them all reach their waits; the waited-for go on yielding. */
static void let_run(void)
{
    for (int i = 0; i < 300; i++) weft_yield();
}

static int link_and_unlink(void *arg)
{
    const unsigned order[WAITERS] = {2, 0, 4, 1, 3}; /* in which they leave: from the middle and both ends */
    bool           over[WAITERS] = {false};
    weft_task      awaited[WAITERS];
    weft_task      tasks[WAITERS];
    struct waiting waits[WAITERS] = {0};
    weft_scope     scope;

    (void)arg;
    task_check(weft_scope_open(&scope, NULL) == 0);
    struct node *up = node_of_scope(&scope);
    for (unsigned i = 0; i < WAITERS; i++) {
        waits[i].awaited = &awaited[i];
        weft_spawn(&awaited[i], run_until, &over[i]);
        weft_spawn(&tasks[i], wait_for_any, &waits[i]);
    }
    task_check(children(up) == 0);
    let_run();
    /* Who waits so that cancelling must end it is known, and so are all above; who merely runs is not. */
    task_check(children(up) == WAITERS);
    task_check(linked(up));
    for (unsigned i = 0; i < WAITERS; i++) {
        task_check(waits[i].waits);
        task_check(linked(node_of(&tasks[i])));
        task_check(!linked(node_of(&awaited[i])));
    }
    for (unsigned i = 0; i < WAITERS; i++) {
        over[order[i]] = true;
        weft_await(&tasks[order[i]]);
        task_check(weft_await(&awaited[order[i]]) == 0);
        task_check(waits[order[i]].result == 0);
        task_check(children(up) == WAITERS - 1 - i);
    }
    struct node *task = node_up(up);
    task_check(children(task) == 1);
    task_check(weft_scope_close(&scope) == 0);
    task_check(children(task) == 0);
    return 0;
}

static void waiters_are_linked_until_they_end(void **state)
{
    (void)state;
    assert_int_equal(test_run(link_and_unlink, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* Some have left when the cancel comes, others lie behind a shield. */
static int cancel_linked(void *arg)
{
    bool           over = false;
    bool           over_first = false;
    weft_task      ends;
    weft_task      others[3];
    weft_task      tasks[4];
    struct waiting waits[4] = {
        {.awaited = &others[0]}, {.awaited = &ends}, {.awaited = &others[1]}, {.awaited = &others[2]}};
    weft_scope outer;
    weft_scope shield;

    (void)arg;
    weft_spawn(&ends, run_until, &over_first);
    for (int i = 0; i < 3; i++) weft_spawn(&others[i], run_until, &over);
    task_check(weft_scope_open(&outer, NULL) == 0);
    for (int i = 0; i < 3; i++) weft_spawn(&tasks[i], wait_for_any, &waits[i]);
    task_check(weft_scope_open(&shield, WEFT_SCOPE(.shield = true)) == 0);
    weft_spawn(&tasks[3], wait_for_any, &waits[3]);
    let_run();
    over_first = true;
    weft_await(&tasks[1]);
    weft_await(&ends);
    task_check(children(node_of_scope(&outer)) == 3); /* two waiters and the shield */
    weft_scope_cancel(&outer);
    weft_await(&tasks[0]);
    weft_await(&tasks[2]);
    let_run();
    task_check(!weft_done(&tasks[3]));
    task_check(waits[0].result == -ECANCELED);
    task_check(waits[1].result == 0);
    task_check(waits[2].result == -ECANCELED);
    over = true;
    weft_await(&tasks[3]);
    for (int i = 0; i < 3; i++) weft_await(&others[i]);
    task_check(waits[3].result == 0);
    task_check(weft_scope_close(&shield) == 0);
    task_check(weft_scope_close(&outer) == -ECANCELED);
    return 0;
}

static void cancel_wakes_those_who_are_linked(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_linked, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* Who closes a scope notes for those around it what it has found, so that of a nest, however deep, each looks but a
 * little way up. */
static int close_in_turn(void *arg)
{
    weft_scope outer, middle, inner;

    (void)arg;
    task_check(weft_scope_open(&outer, NULL) == 0);
    weft_scope_cancel(&outer); /* so that there is an epoch */
    task_check(weft_scope_close(&outer) == -ECANCELED);

    task_check(weft_scope_open(&outer, NULL) == 0);
    task_check(weft_scope_open(&middle, NULL) == 0);
    task_check(weft_scope_open(&inner, NULL) == 0);
    task_check(weft_scope_close(&inner) == 0);
    int32_t epoch = load_relaxed(&worker_fiber()->runtime->epoch);
    task_check(load_relaxed(&node_of_scope(&middle)->result) == epoch);

    task_check(weft_scope_open(&inner, NULL) == 0);
    weft_scope_cancel(&outer);
    task_check(weft_scope_close(&inner) == -ECANCELED);
    task_check(load_relaxed(&node_of_scope(&middle)->result) == -ECANCELED);
    task_check(weft_scope_close(&middle) == -ECANCELED);
    task_check(weft_scope_close(&outer) == -ECANCELED);
    return 0;
}

static void closing_notes_what_it_has_found(void **state)
{
    (void)state;
    assert_int_equal(test_run(close_in_turn, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

int main(void)
{
#define WITH_TREE(test) cmocka_unit_test_setup(test, setup)
    const struct CMUnitTest tests[] = {
        WITH_TREE(nothing_is_cancelled_at_first),
        WITH_TREE(reason_reaches_what_is_below),
        WITH_TREE(shield_keeps_out_what_is_above),
        WITH_TREE(first_reason_sticks),
        WITH_TREE(call_leaves_nothing_locked),
        WITH_TREE(runtime_is_found_from_any_node),
        WITH_TREE(check_looks_up_once_an_epoch),
        WITH_TREE(check_looks_up_to_who_has_looked),
        WITH_TREE(reason_is_noted_on_the_way),
        WITH_TREE(epoch_is_positive),
        WITH_TREE(changing_epoch_is_not_noted),
        cmocka_unit_test(waiters_are_linked_until_they_end),
        cmocka_unit_test(cancel_wakes_those_who_are_linked),
        cmocka_unit_test(closing_notes_what_it_has_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
