/* stress_family.c - a play with awaited tasks and shared generators, in which everybody does anything at any time
 *
 * Whatever a call returns is judged by what may have happened: a child's result is told by each call that says that it
 * has ended, and a generator's number to one.
 */
#include "support_play.h"

#include <stdlib.h>

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
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_result_is_told_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
