/* precise_order.c - programs without a race, in which each promise of weft.h is what keeps them from one
 *
 * All that they share is plain: a promise that the sanitizer is not told of is a report, and a report fails the test
 * when it ends.
 */
#include "support_io.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* On 1, 2 and 4 workers, on one root, with a seed. */
static void assert_clean(weft_fn *fn)
{
    for (unsigned workers = 1; workers <= 4; workers *= 2)
        assert_int_equal(test_run(fn, NULL, WEFT_OPTIONS(.workers = workers)), 0);
    assert_int_equal(test_run(fn, NULL, WEFT_OPTIONS(.one_root = true)), 0);
    assert_int_equal(test_run(fn, NULL, WEFT_OPTIONS(.seed = 7)), 0);
}

/* ---- tasks ---------------------------------------------------------------- */

struct node {
    struct node *left, *right;
    long         value, sum;
    weft_task    task;
};

static struct node *grow(int depth)
{
    struct node *n = calloc(1, sizeof *n);

    if (!n) abort();
    n->value = depth;
    if (depth > 1) {
        n->left = grow(depth - 1);
        n->right = grow(depth - 1);
    }
    return n;
}

static void fell(struct node *n)
{
    if (!n) return;
    fell(n->left);
    fell(n->right);
    free(n);
}

/* The way in which a child is awaited goes with the depth. */
static int add_up(void *arg)
{
    struct node *n = arg;

    n->sum = n->value;
    if (!n->left) return 0;
    weft_spawn(&n->left->task, add_up, n->left);
    add_up(n->right);
    if (n->value % 3 == 1) {
        task_until(weft_done(&n->left->task));
        n->sum += n->left->sum;
    } else if (n->value % 3 == 2) {
        weft_task *one[] = {&n->left->task};
        task_check(weft_await_any(one, 1, WEFT_NEVER) == 0);
        n->sum += n->left->sum;
    } else {
        weft_await(&n->left->task);
        n->sum += n->left->sum + n->right->sum;
        return 0;
    }
    weft_await(&n->left->task);
    n->sum += n->right->sum;
    return 0;
}

static int a_tree(void *arg)
{
    struct node *root = grow(8);

    (void)arg;
    add_up(root);
    task_check(root->sum == 502);
    fell(root);
    return 0;
}

static int write_there(void *arg)
{
    *(int *)arg += 1;
    return 0;
}

/* In frames that others have had: many more tasks than stacks, each with children that write into it. */
static int parent_of_writers(void *arg)
{
    volatile char room[2000];
    int           numbers[3] = {1, 2, 3};
    weft_task     tasks[3];

    (void)arg;
    for (size_t i = 0; i < sizeof room; i += 100) room[i] = (char)i;
    for (int i = 0; i < 3; i++) weft_spawn(&tasks[i], write_there, &numbers[i]);
    for (int i = 0; i < 3; i++) weft_await(&tasks[i]);
    task_check(numbers[0] == 2 && numbers[1] == 3 && numbers[2] == 4 && room[100] == 100);
    return 0;
}

static int old_frames(void *arg)
{
    (void)arg;
    for (int i = 0; i < 60; i++) {
        weft_task tasks[5];
        for (int k = 0; k < 5; k++) weft_spawn(&tasks[k], parent_of_writers, NULL);
        for (int k = 0; k < 5; k++) weft_await(&tasks[k]);
    }
    return 0;
}

static void square(size_t begin, size_t end, void *arg)
{
    for (size_t i = begin; i < end; i++) ((size_t *)arg)[i] *= i;
}

static int a_loop(void *arg)
{
    size_t numbers[500];

    (void)arg;
    for (size_t i = 0; i < 500; i++) numbers[i] = i;
    weft_for(0, 500, 10, square, numbers);
    for (size_t i = 0; i < 500; i++) task_check(numbers[i] == i * i);
    return 0;
}

static void tasks_are_clean(void **state)
{
    (void)state;
    assert_clean(a_tree);
    assert_clean(old_frames);
    assert_clean(a_loop);
}

/* ---- scopes and roots ----------------------------------------------------- */

struct job {
    int *result;
    int  value;
};

static int do_job(void *arg)
{
    struct job *job = arg;

    weft_yield();
    *job->result = job->value;
    job->value = 0; /* its own copy */
    return 0;
}

static int why; /* of the failure */

static int fail_soon(void *arg)
{
    (void)arg;
    weft_yield();
    why = 5;
    return -EIO;
}

static int until_failure(void *arg)
{
    int result;

    (void)arg;
    task_until((result = weft_check()) != 0);
    task_check(result == -EIO && why == 5);
    return 0;
}

static int wait_until_failure(void *arg)
{
    weft_chan *chan = arg;

    task_check(weft_chan_recv(chan, NULL, 0, WEFT_NEVER) == -EIO && why == 5);
    return 0;
}

static int scopes(void *arg)
{
    enum { JOBS = 20 };
    int        results[JOBS];
    weft_scope scope, inner;
    weft_chan *never;

    (void)arg;
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (int i = 0; i < JOBS; i++) weft_scope_go(&scope, do_job, &(struct job){&results[i], i}, sizeof(struct job));
    task_check(weft_scope_open(&inner, NULL) == 0);
    why = 0;
    task_check(weft_chan_create(&never, 0, 0) == 0);
    for (int i = 0; i < 3; i++) weft_scope_go(&inner, until_failure, NULL, 0);
    for (int i = 0; i < 3; i++) weft_scope_go(&inner, wait_until_failure, never, 0);
    weft_scope_go(&inner, fail_soon, NULL, 0);
    task_check(weft_scope_close(&inner) == -EIO && why == 5);
    weft_chan_destroy(never);
    task_check(weft_scope_close(&scope) == 0);
    for (int i = 0; i < JOBS; i++) task_check(results[i] == i);
    return 0;
}

static int add_and_yield(void *arg)
{
    for (int i = 0; i < 20; i++) {
        ++*(long *)arg;
        weft_yield();
    }
    return 0;
}

static int one_root(void *arg)
{
    long       sum = 0;
    weft_scope scope;

    (void)arg;
    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = true)) == 0);
    for (int i = 0; i < 10; i++) weft_scope_go(&scope, add_and_yield, &sum, 0);
    for (int i = 0; i < 10; i++) {
        sum++; /* the opener is on the root, too */
        weft_yield();
        weft_task task;
        weft_spawn(&task, add_and_yield, &sum);
        sum++;
        weft_await(&task);
    }
    task_check(weft_scope_close(&scope) == 0);
    task_check(sum == 10 * 20 + 10 * 22);
    return 0;
}

static long on_the_root;

static int one_root_of_all(void *arg)
{
    weft_task  tasks[4];
    weft_scope scope;

    (void)arg;
    on_the_root = 0;
    for (int i = 0; i < 4; i++) weft_spawn(&tasks[i], add_and_yield, &on_the_root);
    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = true)) == 0);
    weft_scope_go(&scope, add_and_yield, &on_the_root, 0);
    add_and_yield(&on_the_root);
    task_check(weft_scope_close(&scope) == 0);
    for (int i = 0; i < 4; i++) weft_await(&tasks[i]);
    task_check(on_the_root == 6 * 20);
    return 0;
}

static void scopes_are_clean(void **state)
{
    (void)state;
    assert_clean(scopes);
    assert_clean(one_root);
    assert_int_equal(test_run(one_root_of_all, NULL, WEFT_OPTIONS(.one_root = true)), 0);
}

/* ---- channels ------------------------------------------------------------- */

struct parcel {
    int  number;
    char text[60];
};

struct post {
    weft_chan *from, *to;
    int        closed_by; /* written before the channel is closed */
};

static struct parcel *wrap(int number)
{
    struct parcel *p = malloc(sizeof *p);

    if (!p) abort();
    p->number = number;
    memset(p->text, number % 100, sizeof p->text);
    return p;
}

enum { PARCELS = 60 };

static int produce(void *arg)
{
    struct post *post = arg;

    for (int i = 1; i <= PARCELS; i++) {
        struct parcel *p = wrap(i);
        task_check(weft_send(post->to, &p, WEFT_NEVER) == 0);
    }
    post->closed_by = 1;
    weft_chan_close(post->to);
    return 0;
}

/* The owner changes the parcel, and hands it on. */
static int relay(void *arg)
{
    struct post   *post = arg;
    struct parcel *p;

    while (weft_recv(post->from, &p, WEFT_NEVER) == 0) {
        p->number *= 2;
        task_check(weft_send(post->to, &p, WEFT_NEVER) == 0);
    }
    return 0;
}

static long consume(weft_chan *chan)
{
    struct parcel *p;
    long           sum = 0;

    while (weft_recv(chan, &p, WEFT_NEVER) == 0) {
        task_check(p->text[59] == p->number / 2 % 100);
        sum += p->number;
        free(p);
    }
    return sum;
}

static int close_after(void *arg)
{
    struct post *post = arg;
    weft_task    relays[3];

    for (int i = 0; i < 3; i++) weft_spawn(&relays[i], relay, post);
    for (int i = 0; i < 3; i++) weft_await(&relays[i]);
    post->closed_by = 2;
    weft_chan_close(post->to);
    return 0;
}

static int hand_over(void *arg)
{
    static const size_t capacities[] = {0, 1, 8};

    (void)arg;
    for (size_t c = 0; c < TEST_LENGTH(capacities); c++) {
        weft_chan *raw, *done;
        task_check(weft_chan_create(&raw, sizeof(struct parcel *), capacities[c]) == 0);
        task_check(weft_chan_create(&done, sizeof(struct parcel *), capacities[c]) == 0);
        struct post first = {NULL, raw, 0}, second = {raw, done, 0};
        test_side   producer;
        weft_task   closer;
        test_side_start(&producer, c == 1, produce, &first);
        weft_spawn(&closer, close_after, &second);
        task_check(consume(done) == PARCELS * (PARCELS + 1));
        task_check(second.closed_by == 2);
        test_side_end(&producer);
        weft_await(&closer);
        weft_chan_destroy(raw);
        weft_chan_destroy(done);
    }
    return 0;
}

struct large {
    int bytes[50];
};

/* Into and out of plain variables on both sides, with deadlines, and with elements that are never received. */
static int send_large(void *arg)
{
    struct post *post = arg;
    struct large large;

    for (int i = 0; i < 30;) {
        for (int k = 0; k < 50; k++) large.bytes[k] = i;
        i += weft_send(post->to, &large, weft_now() + 20 * WEFT_US) == 0;
    }
    post->closed_by = 3;
    weft_chan_close(post->to);
    return 0;
}

static int elements(void *arg)
{
    static const size_t capacities[] = {0, 3};

    (void)arg;
    for (size_t c = 0; c < TEST_LENGTH(capacities); c++) {
        weft_chan   *chan, *idle;
        struct large large = {{0}}, never;
        weft_task    task;
        int          received = 0, chosen;
        task_check(weft_chan_create(&chan, sizeof large, capacities[c]) == 0);
        task_check(weft_chan_create(&idle, sizeof large, 2) == 0);
        struct post post = {.to = chan};
        weft_spawn(&task, send_large, &post);
        for (;;) {
            struct weft_case cases[] = {WEFT_RECV(chan, &large), WEFT_RECV(idle, &never)};
            chosen = weft_select(cases, 2, received % 2 ? WEFT_NEVER : weft_now() + 20 * WEFT_US);
            if (chosen < 0) continue;
            task_check(chosen == 0);
            if (cases[0].result == -EPIPE) break;
            task_check(large.bytes[0] == received && large.bytes[49] == received);
            received++;
        }
        task_check(post.closed_by == 3 && received == 30);
        weft_await(&task);
        task_check(weft_send(idle, &large, WEFT_NEVER) == 0);
        weft_chan_destroy(chan);
        weft_chan_destroy(idle);
    }
    return 0;
}

static void channels_are_clean(void **state)
{
    (void)state;
    assert_clean(hand_over);
    assert_clean(elements);
}

/* ---- shared state --------------------------------------------------------- */

static struct {
    weft_mutex   mutex;
    weft_rwlock  rwlock;
    weft_cond    cond;
    weft_sem     free, full;
    weft_group   group;
    weft_event   event;
    weft_barrier barrier;
    weft_once    once;
    weft_future  future;
    long         locked, slots[4], total, told, made, parts[3];
} shared;

static int count_locked(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        if (i % 2) weft_mutex_lock(&shared.mutex);
        else task_until(weft_mutex_trylock(&shared.mutex));
        shared.locked++;
        if (i % 10 == 0) weft_yield();
        weft_mutex_unlock(&shared.mutex);
    }
    weft_group_done(&shared.group);
    return 0;
}

static int read_and_write(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        weft_rwlock_rdlock(&shared.rwlock);
        task_check(shared.total % 3 == 0);
        weft_rwlock_unlock(&shared.rwlock);
        weft_rwlock_wrlock(&shared.rwlock);
        shared.total += 3;
        weft_rwlock_unlock(&shared.rwlock);
    }
    weft_group_done(&shared.group);
    return 0;
}

static int fill(void *arg)
{
    (void)arg;
    for (int i = 0; i < 40; i++) {
        weft_sem_wait(&shared.free, WEFT_NEVER);
        shared.slots[i % 4] = i;
        weft_sem_post(&shared.full);
    }
    weft_group_done(&shared.group);
    return 0;
}

static int drain(void *arg)
{
    (void)arg;
    for (int i = 0; i < 40; i++) {
        weft_sem_wait(&shared.full, WEFT_NEVER);
        task_check(shared.slots[i % 4] == i);
        weft_sem_post(&shared.free);
    }
    weft_group_done(&shared.group);
    return 0;
}

static int wait_for_word(void *arg)
{
    (void)arg;
    weft_mutex_lock(&shared.mutex);
    while (shared.told == 0) weft_cond_wait(&shared.cond, &shared.mutex, WEFT_NEVER);
    shared.told++;
    weft_mutex_unlock(&shared.mutex);
    weft_event_wait(&shared.event, WEFT_NEVER);
    task_check(shared.made == 2);
    weft_group_done(&shared.group);
    return 0;
}

static void make(void *arg)
{
    *(long *)arg = 1;
}

static int meet(void *arg)
{
    int me = *(const int *)arg;

    weft_once_call(&shared.once, make, &shared.made);
    task_check(shared.made == 1);
    for (int round = 0; round < 10; round++) {
        shared.parts[me] = round;
        weft_barrier_wait(&shared.barrier);
        task_check(shared.parts[(me + 1) % 3] == round);
        weft_barrier_wait(&shared.barrier);
    }
    return 0;
}

static int await_value(void *arg)
{
    intptr_t value = 0;

    (void)arg;
    task_check(weft_future_await(&shared.future, &value, WEFT_NEVER) == 0);
    task_check(*(int *)value == 42);
    weft_group_done(&shared.group);
    return 0;
}

static int all_of_them(void *arg)
{
    weft_fn *const fns[] = {count_locked, count_locked, count_locked,  read_and_write, read_and_write,
                            fill,         drain,        wait_for_word, wait_for_word,  await_value};
    weft_scope     scope;
    int            answer = 0;

    (void)arg;
    memset(&shared, 0, sizeof shared);
    weft_sem_init(&shared.free, 4);
    weft_sem_init(&shared.full, 0);
    weft_barrier_init(&shared.barrier, 3);
    weft_group_add(&shared.group, TEST_LENGTH(fns));
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (size_t i = 0; i < TEST_LENGTH(fns); i++) weft_scope_go(&scope, fns[i], NULL, 0);
    weft_yield();
    weft_task tasks[3];
    int       numbers[3] = {0, 1, 2};
    for (int i = 0; i < 3; i++) weft_spawn(&tasks[i], meet, &numbers[i]);
    for (int i = 0; i < 3; i++) weft_await(&tasks[i]);
    weft_mutex_lock(&shared.mutex);
    shared.told = 1;
    weft_cond_broadcast(&shared.cond);
    weft_mutex_unlock(&shared.mutex);
    shared.made = 2;
    weft_event_set(&shared.event);
    answer = 42;
    weft_future_set(&shared.future, (intptr_t)&answer);
    task_check(weft_group_wait(&shared.group, WEFT_NEVER) == 0);
    /* Not the scope's close, but the group's count orders these. */
    task_check(shared.locked == 150 && shared.total == 120 && shared.told == 3);
    task_check(weft_scope_close(&scope) == 0);
    return 0;
}

static struct {
    weft_mutex mutex;
    weft_cond  cond;
    bool       waits;
    int        before_signal;
} one_signal;

static int wait_for_signal(void *arg)
{
    (void)arg;
    weft_mutex_lock(&one_signal.mutex);
    one_signal.waits = true;
    int result = weft_cond_wait(&one_signal.cond, &one_signal.mutex, WEFT_NEVER);
    weft_mutex_unlock(&one_signal.mutex);
    task_check(result == 0 && one_signal.before_signal == 1);
    return 0;
}

static bool somebody_waits(void)
{
    weft_mutex_lock(&one_signal.mutex);
    bool waits = one_signal.waits;
    weft_mutex_unlock(&one_signal.mutex);
    return waits;
}

/* By the signal alone: what was done before it, and after the mutex was given up.  (That no wait ends for nothing here
 * is more than weft.h says.) */
static int a_signal(void *arg)
{
    (void)arg;
    for (int all = 0; all <= 1; all++) {
        weft_task task;
        memset(&one_signal, 0, sizeof one_signal);
        weft_spawn(&task, wait_for_signal, NULL);
        task_until(somebody_waits());
        one_signal.before_signal = 1;
        if (all) weft_cond_broadcast(&one_signal.cond);
        else weft_cond_signal(&one_signal.cond);
        weft_await(&task);
    }
    return 0;
}

static void shared_state_is_clean(void **state)
{
    (void)state;
    assert_clean(all_of_them);
    assert_clean(a_signal);
}

/* ---- generators ----------------------------------------------------------- */

static int numbers_to(weft_gen *self, void *arg)
{
    int      *most = arg, number;
    weft_gen *inner;

    for (number = 1; number <= *most; number++) {
        weft_yield();
        weft_gen_yield(self, &number, NULL);
    }
    if (*most < 4) return 0;
    int less = *most - 1;
    weft_gen_create(&inner, numbers_to, &less, sizeof less);
    weft_gen_yield_from(self, inner);
    weft_gen_destroy(inner);
    return 0;
}

struct holder {
    weft_gen *gen;
    long      sum;
};

static int resume_some(void *arg)
{
    struct holder *holder = arg;
    void          *value;

    for (int i = 0; i < 3 && weft_gen_next(holder->gen, &value) == 1; i++) {
        holder->sum += *(int *)value;
    }
    return 0;
}

/* One after the other, in tasks and threads of their own. */
static int generators(void *arg)
{
    (void)arg;
    for (int round = 0; round < 3; round++) {
        struct holder holder = {NULL, 0};
        int           most = 5;
        task_check(weft_gen_create(&holder.gen, numbers_to, &most, sizeof most) == 0);
        for (int i = 0; i < 6; i++) {
            test_side side;
            test_side_start(&side, i % 2, resume_some, &holder);
            test_side_end(&side);
        }
        task_check(weft_gen_done(holder.gen));
        task_check(holder.sum == 15 + 10 + 6);
        weft_gen_destroy(holder.gen);
    }
    return 0;
}

struct talk {
    weft_gen *gen;
    int       to_body, from_body;
};

static int answer_inside(weft_gen *self, void *arg)
{
    struct talk *talk = arg;

    (void)self;
    task_check(talk->to_body == 3);
    talk->from_body = 3;
    return 0;
}

static int answer_twice(weft_gen *self, void *arg)
{
    struct talk *talk = arg;

    task_check(talk->to_body == 1);
    talk->from_body = 1;
    weft_gen_yield(self, NULL, NULL);
    task_check(talk->to_body == 2);
    weft_gen *inner;
    task_check(weft_gen_create(&inner, answer_inside, talk, 0) == 0);
    talk->to_body = 3;
    task_check(weft_gen_yield_from(self, inner) == 0 && talk->from_body == 3);
    weft_gen_destroy(inner);
    talk->from_body = 2;
    return 0;
}

static int see_the_end(void *arg)
{
    struct talk *talk = arg;

    task_until(weft_gen_done(talk->gen));
    task_check(talk->from_body == 2);
    return 0;
}

/* Of the generator's end one is told who has not resumed it. */
static int talks(void *arg)
{
    struct talk talk = {NULL, 1, 0};
    test_side   watcher;

    (void)arg;
    task_check(weft_gen_create(&talk.gen, answer_twice, &talk, 0) == 0);
    test_side_start(&watcher, false, see_the_end, &talk);
    task_check(weft_gen_next(talk.gen, NULL) == 1 && talk.from_body == 1);
    talk.to_body = 2;
    task_check(weft_gen_next(talk.gen, NULL) == 0 && talk.from_body == 2);
    test_side_end(&watcher);
    weft_gen_destroy(talk.gen);
    return 0;
}

static int use_and_destroy(void *arg)
{
    weft_gen *gen;
    int       most = 3;

    (void)arg;
    task_check(weft_gen_create(&gen, numbers_to, &most, sizeof most) == 0);
    task_check(weft_gen_next(gen, NULL) == 1);
    weft_gen_destroy(gen);
    return 0;
}

/* Copies of arguments where others have been. */
static int strangers(void *arg)
{
    test_side sides[6];

    (void)arg;
    for (int i = 0; i < 6; i++) test_side_start(&sides[i], i % 2, use_and_destroy, NULL);
    for (int i = 0; i < 6; i++) test_side_end(&sides[i]);
    return 0;
}

static int goes_on_when_told_to_end(weft_gen *self, void *arg)
{
    for (int times = 0; times < 3; times++) {
        volatile char room[3000];
        for (size_t i = 0; i < sizeof room; i += 8) room[i] = 1;
        weft_gen_yield(self, arg, NULL);
    }
    return 0;
}

/* Each leaves its frames on a stack that the next one is given. */
static int unended_generators(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++) {
        weft_gen *gen;
        task_check(weft_gen_create(&gen, goes_on_when_told_to_end, &i, 0) == 0);
        task_check(weft_gen_next(gen, NULL) == 1);
        weft_gen_destroy(gen);
    }
    return 0;
}

static void generators_are_clean(void **state)
{
    (void)state;
    assert_int_equal(unended_generators(NULL), 0);
    assert_clean(unended_generators);
    assert_int_equal(talks(NULL), 0);
    assert_clean(talks);
    assert_clean(strangers);
    assert_int_equal(generators(NULL), 0);
    assert_clean(generators);
}

/* ---- input and output ----------------------------------------------------- */

struct mail {
    int ends[2];
    int letter[100]; /* written before the byte that says so */
    int closed_by;
};

static int write_letters(void *arg)
{
    struct mail *mail = arg;

    for (int i = 0; i < 100; i++) {
        mail->letter[i] = i + 1;
        char byte = (char)i;
        task_check(weft_write(mail->ends[1], &byte, 1, WEFT_NEVER) == 1);
    }
    return 0;
}

static int read_letters(void *arg)
{
    struct mail *mail = arg;

    for (int i = 0; i < 100; i++) {
        char byte = -1;
        task_check(weft_read(mail->ends[0], &byte, 1, WEFT_NEVER) == 1 && byte == i);
        task_check(mail->letter[i] == i + 1);
    }
    return 0;
}

static int letters(void *arg)
{
    static const enum test_link links[] = {TEST_PIPE, TEST_PIPE_NONBLOCK, TEST_FIFO, TEST_UNIX, TEST_TCP};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(links); i++) {
        for (int threads = 0; threads < 4; threads++) {
            struct mail mail = {.closed_by = 0};
            test_side   writer, reader;
            test_link_make(mail.ends, links[i]);
            test_side_start(&reader, threads & 1, read_letters, &mail);
            test_side_start(&writer, threads & 2, write_letters, &mail);
            test_side_end(&reader);
            test_side_end(&writer);
            for (int k = 0; k < 2; k++) task_check(weft_close(mail.ends[k]) == 0);
        }
    }
    return 0;
}

/* The sender's message is read in its name, the receiver's written. */
static int send_parcel(void *arg)
{
    const int    *ends = arg;
    struct large  large;
    struct iovec  part = {&large, sizeof large};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 50; k++) large.bytes[k] = i;
        if (i % 2) task_check(weft_sendmsg(ends[1], &message, 0, WEFT_NEVER) == sizeof large);
        else task_check(weft_write_full(ends[1], &large, sizeof large, WEFT_NEVER) == sizeof large);
    }
    return 0;
}

static int messages(void *arg)
{
    struct large  large = {{0}};
    struct iovec  part = {&large, sizeof large};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int           ends[2];
    weft_task     task;

    (void)arg;
    test_link_make(ends, TEST_PACKET);
    weft_spawn(&task, send_parcel, ends);
    for (int i = 0; i < 20; i++) {
        task_check(weft_poll(ends[0], POLLIN, WEFT_NEVER) > 0);
        if (i % 3) task_check(weft_recvmsg(ends[0], &message, 0, WEFT_NEVER) == sizeof large);
        else task_check(weft_read(ends[0], &large, sizeof large, WEFT_NEVER) == sizeof large);
        task_check(large.bytes[0] == i && large.bytes[49] == i);
    }
    weft_await(&task);
    for (int k = 0; k < 2; k++) weft_close(ends[k]);
    return 0;
}

static int until_closed(void *arg)
{
    struct mail *mail = arg;
    char         bytes[8];

    task_check(weft_read(mail->ends[0], bytes, sizeof bytes, WEFT_NEVER) == -EBADF);
    task_check(mail->closed_by == 7);
    return 0;
}

static int closing(void *arg)
{
    (void)arg;
    for (int i = 0; i < 6; i++) {
        struct mail mail = {.closed_by = 0};
        test_side   sides[3];
        test_link_make(mail.ends, i % 2 ? TEST_TCP : TEST_PIPE);
        for (int k = 0; k < 3; k++) test_side_start(&sides[k], k == 0, until_closed, &mail);
        test_let_run();
        weft_sleep(weft_now() + 2 * WEFT_MS);
        mail.closed_by = 7;
        task_check(weft_close(mail.ends[0]) == 0);
        for (int k = 0; k < 3; k++) test_side_end(&sides[k]);
        weft_close(mail.ends[1]);
    }
    return 0;
}

struct served {
    int  listener;
    char port[8];
};

static int serve_one(void *arg)
{
    int  fd = *(const int *)arg;
    char byte;

    while (weft_read(fd, &byte, 1, WEFT_NEVER) == 1) task_check(weft_write(fd, &byte, 1, WEFT_NEVER) == 1);
    return weft_close(fd);
}

static int serve(void *arg)
{
    struct served *s = arg;
    weft_scope     scope;
    int            fd;

    task_check(weft_scope_open(&scope, NULL) == 0);
    while ((fd = weft_accept(s->listener, NULL, NULL, WEFT_NEVER)) >= 0)
        weft_scope_go(&scope, serve_one, &fd, sizeof fd);
    task_check(fd == -EBADF);
    return weft_scope_close(&scope);
}

static int ask_server(void *arg)
{
    struct served *s = arg;

    /* One that gives up is not waited for by the look-up. */
    int fd = weft_tcp_connect("localhost", s->port, 0);
    if (fd >= 0) weft_close(fd);
    fd = weft_tcp_connect("127.0.0.1", s->port, WEFT_NEVER);
    task_check(fd >= 0);
    for (char i = 0; i < 10; i++) {
        char byte = -1;
        task_check(weft_write(fd, &i, 1, WEFT_NEVER) == 1);
        task_check(weft_read(fd, &byte, 1, WEFT_NEVER) == 1 && byte == i);
    }
    return weft_close(fd);
}

static int a_server(void *arg)
{
    struct served           s;
    struct sockaddr_storage address;
    socklen_t               size;
    weft_task               server, clients[3];

    (void)arg;
    s.listener = test_listener(&address, &size, 10);
    test_port(s.listener, s.port);
    weft_spawn(&server, serve, &s);
    for (int i = 0; i < 3; i++) weft_spawn(&clients[i], ask_server, &s);
    for (int i = 0; i < 3; i++) weft_await(&clients[i]);
    task_check(weft_close(s.listener) == 0);
    weft_await(&server);
    return 0;
}

static int files(void *arg)
{
    struct large large;
    int          fd = test_file();

    (void)arg;
    memset(&large, 1, sizeof large);
    task_check(weft_write(fd, &large, sizeof large, WEFT_NEVER) == sizeof large);
    memset(&large, 2, sizeof large);
    task_check(weft_pwrite(fd, &large, sizeof large, sizeof large, WEFT_NEVER) == sizeof large);
    task_check(weft_pread(fd, &large, sizeof large, 0, WEFT_NEVER) == sizeof large);
    task_check(large.bytes[7] == 0x01010101);
    task_check(weft_read(fd, &large, sizeof large, WEFT_NEVER) == sizeof large);
    task_check(large.bytes[7] == 0x02020202);
    task_check(weft_close(fd) == 0);
    fd = weft_open("/dev/null", O_RDONLY, 0);
    task_check(fd >= 0 && weft_close(fd) == 0);
    return 0;
}

static void transfers_are_clean(void **state)
{
    (void)state;
    assert_clean(letters);
    assert_clean(messages);
    assert_clean(closing);
    assert_clean(a_server);
    assert_clean(files);
}

/* ---- calls that block ----------------------------------------------------- */

struct sum {
    int       numbers[100];
    long      result;
    int       deep;
    weft_gen *gen;
};

static int add_numbers(void *arg)
{
    struct sum   *sum = arg;
    volatile long room[200];

    sum->result = 0;
    for (int i = 0; i < 200; i++) room[i] = i;
    for (int i = 0; i < 100; i++) sum->result += sum->numbers[i];
    errno = ENOENT;
    sum->result += room[1] - 1 + (isupper((unsigned char)*"a") ? 1 : 0);
    if (sum->deep-- > 0) usleep(100);
    return 0;
}

static int in_a_body(weft_gen *self, void *arg)
{
    struct sum *sum = arg;

    for (int i = 0; i < 3; i++) {
        sum->numbers[0]++;
        task_check(weft_blocking(add_numbers, sum) == 0);
        weft_gen_yield(self, &sum->result, NULL);
    }
    return 0;
}

static int calls_and_bodies(void *arg)
{
    struct sum sum = {.deep = 2};
    void      *value;

    (void)arg;
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 100; i++) sum.numbers[i] = round;
        task_check(weft_blocking(add_numbers, &sum) == 0 && sum.result == 100L * round);
    }
    task_check(weft_gen_create(&sum.gen, in_a_body, &sum, 0) == 0);
    while (weft_gen_next(sum.gen, &value) == 1) task_check(*(long *)value == sum.numbers[0] + 99 * 3L);
    weft_gen_destroy(sum.gen);
    return 0;
}

/* More than there are threads for the calls, so that they queue, too. */
static int calls(void *arg)
{
    enum { CALLERS = 300 };
    weft_scope scope;

    (void)arg;
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (int i = 0; i < CALLERS; i++) weft_scope_go(&scope, calls_and_bodies, NULL, 0);
    return weft_scope_close(&scope);
}

struct told {
    weft_event event;
    int        value;
};

static int tell(void *arg)
{
    struct told *told = arg;

    told->value = 4;
    weft_event_set(&told->event);
    return 0;
}

static int tell_from_a_call(void *arg)
{
    return weft_blocking(tell, arg);
}

static int a_call_that_tells(void *arg)
{
    struct told told = {.value = 0};
    weft_task   task;

    (void)arg;
    weft_spawn(&task, tell_from_a_call, &told);
    task_check(weft_event_wait(&told.event, WEFT_NEVER) == 0 && told.value == 4);
    return weft_await(&task);
}

static void blocking_calls_are_clean(void **state)
{
    (void)state;
    assert_clean(calls);
    assert_clean(a_call_that_tells);
}

/* ---- threads' own --------------------------------------------------------- */

static int number_of(void *arg)
{
    for (int i = 0; i < 20; i++) {
        errno = 0;
        long number = strtol(arg, NULL, 10);
        task_check(errno == ERANGE && number > 0 && isdigit(*(const unsigned char *)arg));
        weft_yield();
    }
    return 0;
}

/* What the C library keeps for a thread is the task's that runs there. */
static int numbers(void *arg)
{
    weft_task tasks[4];

    (void)arg;
    for (int i = 0; i < 4; i++) weft_spawn(&tasks[i], number_of, "99999999999999999999999");
    for (int i = 0; i < 4; i++) weft_await(&tasks[i]);
    return 0;
}

static void thread_locals_are_clean(void **state)
{
    (void)state;
    assert_clean(numbers);
}

/* ---- threads -------------------------------------------------------------- */

struct asked {
    weft_runtime *runtime;
    int           question, answer;
    int           gone;
};

static int answer(void *arg)
{
    struct asked *asked = arg;

    asked->answer = 2 * asked->question;
    return 0;
}

static int leave_a_mark(void *arg)
{
    (*(struct asked **)arg)->gone++;
    return 0;
}

static void ask(void *arg)
{
    struct asked *asked = arg;

    for (int i = 0; i < 20; i++) {
        asked->question = i;
        task_check(weft_runtime_call(asked->runtime, answer, asked) == 0);
        task_check(asked->answer == 2 * i);
    }
    weft_runtime_go(asked->runtime, leave_a_mark, &asked, sizeof asked);
}

static void threads_are_clean(void **state)
{
    (void)state;
    struct asked asked[3];
    test_thread  threads[3];

    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        weft_runtime *runtime;
        assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = workers)), 0);
        for (int i = 0; i < 3; i++) {
            asked[i] = (struct asked){.runtime = runtime};
            test_thread_start(&threads[i], ask, &asked[i]);
        }
        for (int i = 0; i < 3; i++) test_thread_join(&threads[i]);
        assert_int_equal(weft_runtime_stop(runtime), 0);
        for (int i = 0; i < 3; i++) assert_int_equal(asked[i].gone, 1);
    }
    assert_task_checks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_are_clean),          cmocka_unit_test(scopes_are_clean),
        cmocka_unit_test(channels_are_clean),       cmocka_unit_test(shared_state_is_clean),
        cmocka_unit_test(generators_are_clean),     cmocka_unit_test(transfers_are_clean),
        cmocka_unit_test(blocking_calls_are_clean), cmocka_unit_test(thread_locals_are_clean),
        cmocka_unit_test(threads_are_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
