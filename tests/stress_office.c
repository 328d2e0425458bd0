/* stress_office.c - a play on locks, counts, and what happens once, in which everybody does anything at any time
 *
 * Who gives or sets notes that before it does, so whatever a call returns is judged by what may have happened, and in
 * the end everything that was given has been taken once or is still there.
 */
#include "support_play.h"

#include <stdlib.h>

enum { ROUNDS = 4 };

/* What happens once, by anybody; and whose `index` it is in the end. */
struct deed {
    weft_event  event;
    weft_future future;
    weft_once   once;
    size_t      content; /* plain, written by its owner before he sets the event first */
    size_t      made;    /* plain, by the once */
    atomic_bool setting, set;
    atomic_bool offering[TEST_ACTORS], has_value;
    atomic_int  accepted; /* offers that were told 0 */
    atomic_int  value;    /* of the future, as the first was told, and 1 more; 0: nobody was */
};

struct clerk {
    long     tokens, posts; /* that it has put and not taken; negative: taken, and not put */
    bool     stays;         /* counts in the group */
    bool     is_here;       /* noted for the round of the barrier */
    unsigned round;
};

struct office {
    weft_mutex    mutex;
    size_t        sections; /* plain, under it */
    atomic_size_t all_sections;
    weft_rwlock   lock;
    size_t        left, right; /* plain, equal when nobody writes */
    atomic_size_t writes;
    weft_mutex    cond_mutex;
    weft_cond     cond;
    long          tokens; /* plain */
    int           inside; /* plain: who has cond_mutex */
    weft_sem      sem;
    unsigned      count; /* of the semaphore, at first */
    weft_group    group; /* of those who are not ready to settle, one each, and of who comes and goes meanwhile */
    weft_barrier  barrier;
    atomic_uint   arriving[ROUNDS], ones[ROUNDS];
    struct deed   deeds[TEST_ACTORS];
    struct clerk  clerks[TEST_ACTORS];
};

static void yield_some(struct test_actor *a)
{
    if (test_random(&a->chance) % 4 == 0) weft_yield();
    if (test_random(&a->chance) % 4 == 0) test_spin(test_random(&a->chance) % 2000);
}

static int unlock_for_another(void *arg)
{
    weft_mutex_unlock(arg);
    return 0;
}

static void work_alone(struct test_actor *a)
{
    struct office *o = a->stage;
    weft_task      task;

    if (test_random(&a->chance) % 2 || !weft_mutex_trylock(&o->mutex)) weft_mutex_lock(&o->mutex);
    size_t before = o->sections;
    yield_some(a);
    o->sections = before + 1;
    atomic_fetch_add(&o->all_sections, 1);
    if (a->is_thread || test_random(&a->chance) % 4) {
        weft_mutex_unlock(&o->mutex);
    } else {
        weft_spawn(&task, unlock_for_another, &o->mutex);
        weft_await(&task);
    }
}

static void read_or_write(struct test_actor *a)
{
    struct office *o = a->stage;
    bool           tries = test_random(&a->chance) % 4 == 0;

    if (test_random(&a->chance) % 3 == 0) {
        if (!tries || !weft_rwlock_trywrlock(&o->lock)) weft_rwlock_wrlock(&o->lock);
        o->left++;
        yield_some(a);
        o->right++;
        atomic_fetch_add(&o->writes, 1);
    } else {
        if (!tries || !weft_rwlock_tryrdlock(&o->lock)) weft_rwlock_rdlock(&o->lock);
        size_t left = o->left;
        yield_some(a);
        task_check(left == o->right);
    }
    weft_rwlock_unlock(&o->lock);
}

static void enter(struct office *o)
{
    weft_mutex_lock(&o->cond_mutex);
    task_check(o->inside++ == 0);
}

static void leave(struct office *o)
{
    task_check(--o->inside == 0);
    weft_mutex_unlock(&o->cond_mutex);
}

static void put_token(struct test_actor *a)
{
    struct office *o = a->stage;
    bool           within = test_random(&a->chance) % 2, all = test_random(&a->chance) % 8 == 0;

    enter(o);
    o->tokens++;
    if (!within) leave(o);
    if (all) weft_cond_broadcast(&o->cond);
    else weft_cond_signal(&o->cond);
    if (within) leave(o);
    o->clerks[a->index].tokens++;
}

/* A signal comes with each token, so there is no token for which nobody is awake. */
static bool take_token(struct test_actor *a, weft_time deadline)
{
    struct office *o = a->stage;
    int            result = 0, before = 0;

    enter(o);
    while (o->tokens == 0 && result == 0) {
        before = weft_check();
        o->inside--;
        result = weft_cond_wait(&o->cond, &o->cond_mutex, deadline);
        task_check(o->inside++ == 0);
    }
    if (result == 0) o->tokens--;
    leave(o);
    if (result == 0) o->clerks[a->index].tokens--;
    else test_judge(a, before, deadline, result);
    return result == 0;
}

static void post(struct test_actor *a)
{
    struct office *o = a->stage;

    weft_sem_post(&o->sem);
    o->clerks[a->index].posts++;
}

static bool take_post(struct test_actor *a, weft_time deadline)
{
    struct office *o = a->stage;
    int            before = weft_check(), result = weft_sem_wait(&o->sem, deadline);

    if (result == 0) o->clerks[a->index].posts--;
    else test_judge(a, before, deadline, result);
    return result == 0;
}

static void set_event(struct test_actor *a, unsigned which)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];

    if (which != a->index && !atomic_load(&d->set)) return;
    if (!atomic_load(&d->setting)) d->content = which + 1;
    atomic_store(&d->setting, true);
    weft_event_set(&d->event);
    atomic_store(&d->set, true);
}

static bool wait_event(struct test_actor *a, unsigned which, weft_time deadline)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];
    bool         set = atomic_load(&d->set);
    int          before = weft_check(), result = weft_event_wait(&d->event, deadline);

    if (result == 0) {
        task_check(atomic_load(&d->setting));
        task_check(d->content == which + 1);
    } else {
        task_check(!set);
        test_judge(a, before, deadline, result);
    }
    return result == 0;
}

static void set_future(struct test_actor *a, unsigned which)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];
    bool         offered = atomic_exchange(&d->offering[a->index], true);

    int result = weft_future_set(&d->future, (intptr_t)a->index);
    if (result == 0) {
        task_check(atomic_fetch_add(&d->accepted, 1) == 0);
    } else {
        for (unsigned i = 0; i < TEST_ACTORS; i++) offered = offered || (i != a->index && atomic_load(&d->offering[i]));
        task_check(result == -EALREADY && offered);
    }
    atomic_store(&d->has_value, true);
}

static bool await_future(struct test_actor *a, unsigned which, weft_time deadline)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];
    bool         has_value = atomic_load(&d->has_value);
    intptr_t     value = -1;
    int          before = weft_check(), result = weft_future_await(&d->future, &value, deadline);

    if (result == 0) {
        task_check(value >= 0 && value < TEST_ACTORS && atomic_load(&d->offering[value]));
        int told = 0;
        if (!atomic_compare_exchange_strong(&d->value, &told, (int)value + 1)) task_check(told == (int)value + 1);
    } else {
        task_check(!has_value && value == -1);
        test_judge(a, before, deadline, result);
    }
    return result == 0;
}

static void make(void *arg)
{
    struct deed *d = arg;

    weft_yield();
    d->made++;
}

static void do_once(struct test_actor *a, unsigned which)
{
    struct deed *d = &((struct office *)a->stage)->deeds[which];

    weft_once_call(&d->once, make, d);
    task_check(d->made == 1);
}

/* It counts itself, so there is no moment in which nobody is left. */
static void wait_for_all_though_it_stays(struct test_actor *a)
{
    struct office *o = a->stage;
    int            more = (int)(test_random(&a->chance) % 3);

    weft_group_add(&o->group, more);
    weft_time deadline = test_any_deadline(a, false);
    int       before = weft_check(), result = weft_group_wait(&o->group, deadline);
    task_check(result < 0);
    test_judge(a, before, deadline, result);
    weft_group_add(&o->group, -more);
}

/* One round, which is complete when all are in it who have not been told that they are not. */
static bool pass_barrier(struct test_actor *a)
{
    struct office *o = a->stage;
    struct clerk  *c = &o->clerks[a->index];

    if (!c->is_here) atomic_fetch_add(&o->arriving[c->round], 1);
    c->is_here = true;
    int before = weft_check(), result = weft_barrier_wait(&o->barrier);
    if (result < 0) {
        test_judge(a, before, WEFT_NEVER, result);
        return false;
    }
    task_check(atomic_load(&o->arriving[c->round]) == TEST_ACTORS);
    atomic_fetch_add(&o->ones[c->round], (unsigned)result);
    c->round++;
    c->is_here = false;
    return true;
}

static void sleep_some(struct test_actor *a)
{
    weft_time deadline = test_any_deadline(a, false);
    int       before = weft_check(), result = weft_sleep(deadline);

    if (result == 0) task_check(deadline != WEFT_NEVER && weft_now() >= deadline);
    else test_judge(a, before, WEFT_NEVER, result);
}

static void do_work(struct test_actor *a)
{
    struct office *o = a->stage;
    unsigned       which = test_random(&a->chance) % TEST_ACTORS;

    switch (test_random(&a->chance) % 16) {
    case 0: work_alone(a); break;
    case 1:
    case 2: read_or_write(a); break;
    case 3: put_token(a); break;
    case 4:
    case 5: take_token(a, test_any_deadline(a, false)); break;
    case 6: post(a); break;
    case 7:
    case 8: take_post(a, test_any_deadline(a, false)); break;
    case 9:
        test_random(&a->chance) % 32 ? (void)wait_event(a, which, test_any_deadline(a, false)) : set_event(a, which);
        break;
    case 10:
        test_random(&a->chance) % 32 ? (void)await_future(a, which, test_any_deadline(a, false)) : set_future(a, which);
        break;
    case 11: do_once(a, which); break;
    case 12: wait_for_all_though_it_stays(a); break;
    case 13:
    case 14:
        if (a->at->doomed && o->clerks[a->index].round < ROUNDS) pass_barrier(a);
        break;
    case 15: sleep_some(a); break;
    }
}

/* First all that nobody waits for long to do; then each wait is for what others do first. */
static bool settle_work(struct test_actor *a)
{
    struct office *o = a->stage;
    struct clerk  *c = &o->clerks[a->index];

    while (c->tokens < 0) put_token(a);
    while (c->posts < 0) post(a);
    set_event(a, a->index);
    set_future(a, a->index);
    if (c->stays) {
        c->stays = false;
        weft_group_done(&o->group);
    }
    while (c->tokens > 0)
        if (!take_token(a, WEFT_NEVER)) return false;
    while (c->posts > 0)
        if (!take_post(a, WEFT_NEVER)) return false;
    for (unsigned i = 0; i < TEST_ACTORS; i++)
        if (!wait_event(a, i, WEFT_NEVER) || !await_future(a, i, WEFT_NEVER)) return false;
    int before = weft_check(), result = weft_group_wait(&o->group, WEFT_NEVER);
    if (result) test_judge(a, before, WEFT_NEVER, result);
    if (result) return false;
    for (unsigned i = 0; i < TEST_ACTORS; i++) task_check(!o->clerks[i].stays);
    while (c->round < ROUNDS)
        if (!pass_barrier(a)) return false;
    return true;
}

static void *begin_office(uint32_t *chance)
{
    struct office *o = calloc(1, sizeof *o);

    if (!o) abort();
    o->count = test_random(chance) % 4;
    weft_sem_init(&o->sem, o->count);
    weft_barrier_init(&o->barrier, TEST_ACTORS);
    weft_group_add(&o->group, TEST_ACTORS);
    for (unsigned i = 0; i < TEST_ACTORS; i++) o->clerks[i].stays = true;
    return o;
}

static void end_office(void *stage)
{
    struct office *o = stage;
    unsigned       left = 0;

    task_check(weft_mutex_trylock(&o->mutex) && weft_mutex_trylock(&o->cond_mutex));
    task_check(o->sections == atomic_load(&o->all_sections));
    task_check(weft_rwlock_trywrlock(&o->lock));
    task_check(o->left == atomic_load(&o->writes) && o->right == o->left);
    task_check(o->tokens == 0);
    while (weft_sem_wait(&o->sem, 0) == 0) left++;
    task_check(left == o->count);
    for (unsigned i = 0; i < ROUNDS; i++) task_check(atomic_load(&o->ones[i]) == 1);
    for (unsigned i = 0; i < TEST_ACTORS; i++) task_check(atomic_load(&o->deeds[i].accepted) == 1);
    free(o);
}

static struct test_play office = {
    .act = do_work,
    .settle = settle_work,
    .begin = begin_office,
    .end = end_office,
    .turns = 60,
    .times = 50,
};

static void nothing_shared_is_lost_or_doubled(void **state)
{
    (void)state;
    assert_everywhere(test_play_often, &office);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_shared_is_lost_or_doubled)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
