/* stress_sync.c - what tasks share, with many of them, plain threads, deadlines and cancels: every count comes out
 *
 * In each test tasks and threads give and take, some waits end by a deadline or are cancelled, and in the end what
 * was given is what was taken and what is left.
 */
#include "support_chan.h"
#include "support_wait.h"

#include <stdlib.h>

enum { TASKS = 12, THREADS = 3 };

/* ---- a crowd --------------------------------------------------------------- */

struct crowd {
    void (*member)(void *shared, uint32_t *random, bool is_task);
    void      *shared;
    atomic_int next;
};

static void run_member(struct crowd *c, bool is_task)
{
    uint32_t random = 1 + 0x9e3779b9u * (uint32_t)atomic_fetch_add(&c->next, 1);

    c->member(c->shared, &random, is_task);
}

static int member_task(void *arg)
{
    run_member(arg, true);
    return 0;
}

static void member_thread(void *arg)
{
    run_member(arg, false);
}

static int run_crowd(void *arg)
{
    weft_task   tasks[TASKS];
    test_thread threads[THREADS];

    for (int i = 0; i < THREADS; i++) test_thread_start(&threads[i], member_thread, arg);
    for (int i = 0; i < TASKS; i++) weft_spawn(&tasks[i], member_task, arg);
    for (int i = 0; i < TASKS; i++) task_check(weft_await(&tasks[i]) == 0);
    for (int i = 0; i < THREADS; i++) test_thread_join(&threads[i]);
    return 0;
}

static void crowd(void (*member)(void *shared, uint32_t *random, bool is_task), void *shared)
{
    struct crowd c = {.member = member, .shared = shared};

    assert_int_equal(test_run_workers(run_crowd, &c), 0);
}

/* ---- waits that are given up -------------------------------------------------- */

/* A wait by the member itself, with a deadline that comes soon, or by a task of its own that it cancels soon after. */
struct cancelled_wait {
    test_wait_call *call;
    void           *object;
};

static int wait_to_be_cancelled(void *arg)
{
    struct cancelled_wait *wait = arg;

    return wait->call(wait->object, WEFT_NEVER);
}

static int wait_somehow(test_wait_call *call, void *object, uint32_t *random, bool is_task)
{
    uint32_t how = test_random(random) % 8;
    int      result;

    if (how == 0) {
        result = call(object, 0);
        task_check(result >= 0 || result == -EAGAIN);
    } else if (how < 4) {
        result = call(object, test_now() + test_random(random) % 100 * WEFT_US);
        task_check(result >= 0 || result == -ETIMEDOUT);
    } else if (is_task) {
        struct cancelled_wait wait = {call, object};
        weft_task             task;
        weft_spawn(&task, wait_to_be_cancelled, &wait);
        for (uint32_t i = test_random(random) % 4; i > 0; i--) weft_yield();
        test_spin(test_random(random) % 1000);
        weft_cancel(&task);
        result = weft_await(&task);
        task_check(result >= 0 || result == -ECANCELED);
    } else {
        result = call(object, test_now() + WEFT_MS);
        task_check(result >= 0 || result == -ETIMEDOUT);
    }
    return result;
}

/* ---- mutex ------------------------------------------------------------------ */

struct counter {
    weft_mutex mutex;
    size_t     count; /* plain */
};

static void count_up(void *shared, uint32_t *random, bool is_task)
{
    struct counter *c = shared;

    for (size_t i = 0; i < test_scale(20000); i++) {
        if (test_random(random) % 4 || !weft_mutex_trylock(&c->mutex)) weft_mutex_lock(&c->mutex);
        c->count++;
        if (is_task && test_random(random) % 16 == 0) weft_yield();
        weft_mutex_unlock(&c->mutex);
        if (test_random(random) % 8 == 0) test_spin(test_random(random) % 512);
    }
}

static void mutex_counts(void **state)
{
    (void)state;
    struct counter c = {.count = 0};

    crowd(count_up, &c);
    assert_int_equal(c.count, (TASKS + THREADS) * test_scale(20000));
}

/* ---- rwlock ----------------------------------------------------------------- */

struct pair {
    weft_rwlock   lock;
    size_t        left, right; /* plain; equal when nobody writes */
    atomic_size_t wrote;
};

static void read_or_write(void *shared, uint32_t *random, bool is_task)
{
    struct pair *p = shared;

    for (size_t i = 0; i < test_scale(10000); i++) {
        bool writes = test_random(random) % 4 == 0, tries = test_random(random) % 4 == 0;
        if (writes) {
            if (!tries || !weft_rwlock_trywrlock(&p->lock)) weft_rwlock_wrlock(&p->lock);
            p->left++;
            if (is_task && test_random(random) % 8 == 0) weft_yield();
            p->right++;
            atomic_fetch_add(&p->wrote, 1);
        } else {
            if (!tries || !weft_rwlock_tryrdlock(&p->lock)) weft_rwlock_rdlock(&p->lock);
            size_t left = p->left;
            if (is_task && test_random(random) % 8 == 0) weft_yield();
            task_check(left == p->right);
        }
        weft_rwlock_unlock(&p->lock);
    }
}

static void rwlock_keeps_two_words_equal(void **state)
{
    (void)state;
    struct pair p = {.left = 0};

    crowd(read_or_write, &p);
    assert_int_equal(p.left, p.right);
    assert_int_equal(p.left, atomic_load(&p.wrote));
    assert_true(weft_rwlock_trywrlock(&p.lock));
}

/* ---- semaphore ------------------------------------------------------------- */

struct purse {
    weft_sem    sem;
    atomic_long balance; /* posted, less taken */
};

static int take_one(void *sem, weft_time deadline)
{
    return weft_sem_wait(sem, deadline);
}

static void post_and_take(void *shared, uint32_t *random, bool is_task)
{
    struct purse *p = shared;

    for (size_t i = 0; i < test_scale(5000); i++) {
        if (test_random(random) % 2) {
            weft_sem_post(&p->sem);
            atomic_fetch_add(&p->balance, 1);
        }
        if (wait_somehow(take_one, &p->sem, random, is_task) == 0) atomic_fetch_sub(&p->balance, 1);
    }
}

static void sem_neither_loses_nor_doubles(void **state)
{
    (void)state;
    struct purse p = {.balance = 3};
    long         left = 0;

    weft_sem_init(&p.sem, 3);
    crowd(post_and_take, &p);
    while (weft_sem_wait(&p.sem, 0) == 0) left++;
    assert_int_equal(left, atomic_load(&p.balance));
}

/* ---- cond ------------------------------------------------------------------- */

/* Tokens under a mutex.  A signal comes with each; it is lost if one who gave up has taken it, and then a waiter
 * sleeps though there is a token. */
struct tokens {
    weft_mutex mutex;
    weft_cond  cond;
    long       count; /* plain */
};

static int take_token(void *shared, weft_time deadline)
{
    struct tokens *t = shared;
    int            result = 0;

    weft_mutex_lock(&t->mutex);
    while (t->count == 0 && result == 0) result = weft_cond_wait(&t->cond, &t->mutex, deadline);
    /* Who gave up took no signal, so no token either. */
    if (result == 0) t->count--;
    weft_mutex_unlock(&t->mutex);
    return result;
}

static void put_token(struct tokens *t, uint32_t *random)
{
    bool within = test_random(random) % 2, broadcast = test_random(random) % 16 == 0;

    weft_mutex_lock(&t->mutex);
    t->count++;
    if (!within) weft_mutex_unlock(&t->mutex);
    if (broadcast) weft_cond_broadcast(&t->cond);
    else weft_cond_signal(&t->cond);
    if (within) weft_mutex_unlock(&t->mutex);
}

/* For each token that is put one is taken, by a patient wait if the hasty one gave up: a signal that were lost would
 * leave the last ones asleep. */
static void put_and_take(void *shared, uint32_t *random, bool is_task)
{
    struct tokens *t = shared;

    for (size_t i = 0; i < test_scale(5000); i++) {
        put_token(t, random);
        if (wait_somehow(take_token, t, random, is_task) < 0) task_check(take_token(t, WEFT_NEVER) == 0);
    }
}

static void cond_loses_no_signal(void **state)
{
    (void)state;
    struct tokens t = {.count = 0};

    crowd(put_and_take, &t);
    assert_int_equal(t.count, 0);
}

/* ---- one is patient among those who give up ------------------------------------- */

/* Where one who waits for good is to get what is given once, though others wait as well, for a while: who of these
 * gets it gives it back.  If one who has given up took a wake-up with it, nobody would come to wake the patient one. */
struct desk {
    struct tokens tokens;
    weft_sem      sem;
    weft_chan    *chan;
    weft_event    begun;
};

struct hall {
    struct desk    *desks;
    size_t          count;
    test_wait_call *take;
    void (*give)(void *desk, uint32_t *random);
    atomic_uint members;
};

static int take_from_cond(void *desk, weft_time deadline)
{
    return take_token(&((struct desk *)desk)->tokens, deadline);
}

static void give_to_cond(void *desk, uint32_t *random)
{
    put_token(&((struct desk *)desk)->tokens, random);
}

static int take_from_sem(void *desk, weft_time deadline)
{
    return weft_sem_wait(&((struct desk *)desk)->sem, deadline);
}

static void give_to_sem(void *desk, uint32_t *random)
{
    (void)random;
    weft_sem_post(&((struct desk *)desk)->sem);
}

static int take_from_chan(void *desk, weft_time deadline)
{
    return weft_chan_recv(((struct desk *)desk)->chan, NULL, 0, deadline);
}

static int select_from_chan(void *desk, weft_time deadline)
{
    weft_chan       *chan = ((struct desk *)desk)->chan;
    struct weft_case cases[] = {{.chan = chan}, {.chan = NULL}, {.chan = chan}};

    return weft_select(cases, TEST_LENGTH(cases), deadline);
}

static void give_to_chan(void *desk, uint32_t *random)
{
    (void)random;
    task_check(weft_chan_send(((struct desk *)desk)->chan, NULL, 0, WEFT_NEVER) == 0);
}

static void linger(uint32_t *random, bool is_task)
{
    for (uint32_t i = is_task ? test_random(random) % 8 : 0; i > 0; i--) weft_yield();
    test_spin(test_random(random) % 4096);
}

/* Gives when one who waits has just been cancelled, and may not have gone on yet. */
static void cancel_and_give(struct hall *h, struct desk *d, uint32_t *random, bool is_task)
{
    struct cancelled_wait wait = {h->take, d};
    weft_task             task;

    if (is_task) weft_spawn(&task, wait_to_be_cancelled, &wait);
    linger(random, is_task);
    if (is_task) weft_cancel(&task);
    h->give(d, random);
    if (is_task && weft_await(&task) >= 0) h->give(d, random);
}

static void serve_desks(void *shared, uint32_t *random, bool is_task)
{
    struct hall *h = shared;
    unsigned     self = atomic_fetch_add(&h->members, 1);

    for (size_t i = 0; i < h->count; i++) {
        struct desk *d = &h->desks[i];
        unsigned     part = (unsigned)(self + i) % (TASKS + THREADS);
        if (part == 0) {
            weft_event_set(&d->begun);
            linger(random, is_task); /* so that others wait before it */
            task_check(h->take(d, WEFT_NEVER) >= 0);
        } else if (part < 6) {
            task_check(weft_event_wait(&d->begun, WEFT_NEVER) == 0);
            if (part == 1) cancel_and_give(h, d, random, is_task);
            else if (wait_somehow(h->take, d, random, is_task) >= 0) h->give(d, random);
        }
    }
}

static void the_patient_one_is_woken(void **state)
{
    static const struct {
        test_wait_call *take;
        void (*give)(void *desk, uint32_t *random);
        size_t capacity;
    } kinds[] = {
        {take_from_cond, give_to_cond, 0}, {take_from_sem, give_to_sem, 0},     {take_from_chan, give_to_chan, 0},
        {take_from_chan, give_to_chan, 1}, {select_from_chan, give_to_chan, 0}, {select_from_chan, give_to_chan, 1},
    };

    (void)state;
    for (size_t k = 0; k < TEST_LENGTH(kinds); k++) {
        struct hall h = {.count = test_scale(1000), .take = kinds[k].take, .give = kinds[k].give};
        h.desks = calloc(h.count, sizeof *h.desks);
        assert_non_null(h.desks);
        for (size_t i = 0; i < h.count; i++) h.desks[i].chan = test_make_chan(0, kinds[k].capacity);
        crowd(serve_desks, &h);
        for (size_t i = 0; i < h.count; i++) {
            assert_int_equal(h.take(&h.desks[i], 0), -EAGAIN);
            weft_chan_destroy(h.desks[i].chan);
        }
        free(h.desks);
    }
}

/* ---- group and event --------------------------------------------------------- */

enum { SHARED_ROUNDS = 2000 };

/* A chain of rounds: each has an event, which one of the members sets when all have come. */
struct chain {
    weft_event  events[SHARED_ROUNDS];
    weft_group  groups[SHARED_ROUNDS];
    atomic_int  arrived[SHARED_ROUNDS];
    size_t      content[SHARED_ROUNDS]; /* plain, written before the event is set */
    size_t      rounds;
    atomic_long gave_up;
};

static int wait_event(void *event, weft_time deadline)
{
    return weft_event_wait(event, deadline);
}

static int wait_group(void *group, weft_time deadline)
{
    return weft_group_wait(group, deadline);
}

static void go_along(void *shared, uint32_t *random, bool is_task)
{
    struct chain *c = shared;

    for (size_t i = 0; i < c->rounds; i++) {
        weft_group_done(&c->groups[i]);
        if (atomic_fetch_add(&c->arrived[i], 1) == TASKS + THREADS - 1) {
            c->content[i] = i + 1;
            weft_event_set(&c->events[i]);
        }
        while (wait_somehow(wait_event, &c->events[i], random, is_task) < 0) atomic_fetch_add(&c->gave_up, 1);
        task_check(c->content[i] == i + 1);
        while (wait_somehow(wait_group, &c->groups[i], random, is_task) < 0) atomic_fetch_add(&c->gave_up, 1);
        task_check(atomic_load(&c->arrived[i]) == TASKS + THREADS);
    }
}

static void groups_and_events_let_all_go_on(void **state)
{
    (void)state;
    struct chain *c = calloc(1, sizeof *c);

    assert_non_null(c);
    c->rounds = test_scale(SHARED_ROUNDS);
    for (size_t i = 0; i < c->rounds; i++) weft_group_add(&c->groups[i], TASKS + THREADS);
    crowd(go_along, c);
    for (size_t i = 0; i < c->rounds; i++) {
        assert_int_equal(weft_event_wait(&c->events[i], 0), 0);
        assert_int_equal(weft_group_wait(&c->groups[i], 0), 0);
    }
    free(c);
}

/* ---- barrier ----------------------------------------------------------------- */

enum { PARTIES = 4 };

static int pass_barrier(void *barrier)
{
    return weft_barrier_wait(barrier);
}

/* Some of a round are cancelled as the last one arrives.  Either it was complete before that, and all have passed; or
 * they have not arrived, nor has anybody passed, and as many others make it complete. */
static void pass_or_be_cancelled(void *shared, uint32_t *random, bool is_task)
{
    for (size_t i = 0; is_task && i < test_scale(5000); i++) {
        weft_barrier barrier;
        weft_task    tasks[PARTIES], others[PARTIES];
        unsigned     cancelled = 1 + test_random(random) % ((1u << PARTIES) - 1);
        int          results[PARTIES], out = 0, ones = 0;

        weft_barrier_init(&barrier, PARTIES);
        for (int t = 0; t < PARTIES; t++) weft_spawn(&tasks[t], pass_barrier, &barrier);
        for (uint32_t n = test_random(random) % 4; n > 0; n--) weft_yield();
        test_spin(test_random(random) % 2000);
        for (int t = 0; t < PARTIES; t++)
            if (cancelled >> t & 1) weft_cancel(&tasks[t]);
        for (int t = 0; t < PARTIES; t++)
            if (cancelled >> t & 1) out += (results[t] = weft_await(&tasks[t])) < 0;
        task_check(out == 0 || out == __builtin_popcount(cancelled));
        for (int t = 0; t < out; t++) weft_spawn(&others[t], pass_barrier, &barrier);
        for (int t = 0; t < PARTIES; t++) {
            if (!(cancelled >> t & 1)) results[t] = weft_await(&tasks[t]);
            task_check(results[t] == 0 || results[t] == 1 ||
                       (out > 0 && cancelled >> t & 1 && results[t] == -ECANCELED));
            ones += results[t] == 1;
        }
        for (int t = 0; t < out; t++) ones += weft_await(&others[t]);
        task_check(ones == 1);
        atomic_fetch_add((atomic_size_t *)shared, 1);
    }
}

static void barrier_counts_only_those_that_came(void **state)
{
    (void)state;
    atomic_size_t rounds = 0;

    crowd(pass_or_be_cancelled, &rounds);
    assert_int_equal(atomic_load(&rounds), TASKS * test_scale(5000));
}

/* ---- future and once --------------------------------------------------------- */

struct first {
    weft_future future;
    weft_once   once;
    size_t      made; /* plain */
    atomic_long set;
};

struct firsts {
    struct first all[SHARED_ROUNDS];
    size_t       rounds;
};

static int await_future(void *future, weft_time deadline)
{
    intptr_t value = 0;
    int      result = weft_future_await(future, &value, deadline);

    task_check(result < 0 || value == (intptr_t)future);
    return result;
}

static void make(void *arg)
{
    struct first *f = arg;

    f->made++;
    if (weft_future_set(&f->future, (intptr_t)&f->future) == 0) atomic_fetch_add(&f->set, 1);
}

static void be_first(void *shared, uint32_t *random, bool is_task)
{
    struct firsts *all = shared;

    for (size_t i = 0; i < all->rounds; i++) {
        struct first *f = &all->all[i];
        switch (test_random(random) % 3) {
        case 0: weft_once_call(&f->once, make, f); break;
        case 1:
            if (weft_future_set(&f->future, (intptr_t)&f->future) == 0) atomic_fetch_add(&f->set, 1);
            break;
        default: break;
        }
        (void)wait_somehow(await_future, &f->future, random, is_task);
        weft_once_call(&f->once, make, f);
        task_check(f->made == 1);
        task_check(await_future(&f->future, WEFT_NEVER) == 0);
    }
}

static void the_first_is_the_only_one(void **state)
{
    (void)state;
    struct firsts *all = calloc(1, sizeof *all);

    assert_non_null(all);
    all->rounds = test_scale(SHARED_ROUNDS);
    crowd(be_first, all);
    for (size_t i = 0; i < all->rounds; i++) {
        assert_int_equal(all->all[i].made, 1);
        assert_int_equal(atomic_load(&all->all[i].set), 1);
    }
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutex_counts),
        cmocka_unit_test(rwlock_keeps_two_words_equal),
        cmocka_unit_test(sem_neither_loses_nor_doubles),
        cmocka_unit_test(cond_loses_no_signal),
        cmocka_unit_test(the_patient_one_is_woken),
        cmocka_unit_test(groups_and_events_let_all_go_on),
        cmocka_unit_test(barrier_counts_only_those_that_came),
        cmocka_unit_test(the_first_is_the_only_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
