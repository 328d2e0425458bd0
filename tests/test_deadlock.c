/* test_deadlock.c - when all that is left waits for each other, and when it only looks so
 *
 * A program in a deadlock is a process of its own: its report is what it writes, and no
 * thread of the test may live beside it.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

/* ---- the child's side --------------------------------------------------------------- */

/* What does not hold ends the child, from whatever stack. */
#define expect(condition) ((condition) ? (void)0 : fail_here(__LINE__, #condition))

static void fail_here(int line, const char *condition)
{
    fprintf(stderr, "line %d: this did not hold: %s\n", line, condition);
    _exit(3);
}

/* After a call, so that it is one, and its caller has a frame. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

/* No report has long to come: the last look is a second after everything came to rest. */
#define REST (1500 * WEFT_MS)

static weft_chan *make_chan(void)
{
    weft_chan *chan;

    expect(weft_chan_create(&chan, sizeof(int), 0) == 0);
    return chan;
}

static NOINLINE int receive(weft_chan *chan)
{
    int result = weft_chan_recv(chan, NULL, sizeof(int), WEFT_NEVER);

    KEEP_FRAME();

    return result;
}

static NOINLINE int send_one(weft_chan *chan)
{
    int one = 1;
    int result = weft_send(chan, &one, WEFT_NEVER);

    KEEP_FRAME();

    return result;
}

/* ---- two tasks on two channels --------------------------------------------------------- */

struct pair {
    weft_chan *first, *second;
    weft_task  tasks[2];
};

static int take_first(void *arg)
{
    struct pair *p = arg;
    int          result = receive(p->first);

    expect(result == -EDEADLK);
    expect(weft_chan_close(p->second) == 0);
    return 1;
}

/* The same end for both: who is freed first closes on the other, or both are freed. */
static int take_second(void *arg)
{
    struct pair *p = arg;
    int          result = receive(p->second);

    expect(result == -EDEADLK || result == -EPIPE);
    return 2;
}

static int two_on_two_channels(void *arg)
{
    struct pair p = {make_chan(), make_chan(), {{{0}}}};

    (void)arg;
    fprintf(stderr, "first %p second %p\n", (void *)p.first, (void *)p.second);
    weft_spawn(&p.tasks[0], take_first, &p);
    weft_spawn(&p.tasks[1], take_second, &p);
    expect(weft_await(&p.tasks[0]) == 1);
    expect(weft_await(&p.tasks[1]) == 2);
    weft_chan_destroy(p.first);
    weft_chan_destroy(p.second);
    return 7;
}

static int part_two(void)
{
    return weft_run(two_on_two_channels, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static int part_two_on_1(void)
{
    return weft_run(two_on_two_channels, NULL, WEFT_OPTIONS(.workers = 1));
}

static int part_two_on_4(void)
{
    return weft_run(two_on_two_channels, NULL, WEFT_OPTIONS(.workers = 4));
}

static int part_two_on_one_root(void)
{
    return weft_run(two_on_two_channels, NULL, WEFT_OPTIONS(.one_root = true));
}

static int part_two_seeded(void)
{
    return weft_run(two_on_two_channels, NULL, WEFT_OPTIONS(.seed = 5));
}

/* ---- other ways to wait ------------------------------------------------------------------- */

static NOINLINE int choose(weft_chan *a, weft_chan *b)
{
    int              from = 1, into = 0;
    struct weft_case cases[] = {WEFT_SEND(a, &from), WEFT_RECV(b, &into)};
    int              result = weft_select(cases, 2, WEFT_NEVER);

    KEEP_FRAME();

    return result;
}

static int in_a_select(void *arg)
{
    weft_chan *a = make_chan(), *b = make_chan();

    (void)arg;
    expect(choose(a, b) == -EDEADLK);
    weft_chan_destroy(a); /* no entry is left */
    weft_chan_destroy(b);
    return 11;
}

static int part_select(void)
{
    return weft_run(in_a_select, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static int wait_for_chan(void *arg)
{
    return receive(arg);
}

/* These have nothing that could happen but the deadlock. */
static int for_ever(void *arg)
{
    (void)arg;
    expect(weft_select(NULL, 0, WEFT_NEVER) == -EDEADLK);
    expect(weft_sleep(WEFT_NEVER) == -EDEADLK);
    expect(weft_sleep(weft_now() + WEFT_MS) == 0); /* time has not come to its end */
    return 14;
}

static int part_for_ever(void)
{
    return weft_run(for_ever, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static int part_for_ever_seeded(void)
{
    return weft_run(for_ever, NULL, WEFT_OPTIONS(.seed = 2));
}

/* Who awaits is not freed, but what it awaits is. */
static int await_any_of(void *arg)
{
    weft_chan *chan = make_chan();
    weft_task  tasks[2], *both[] = {&tasks[0], &tasks[1]};

    (void)arg;
    weft_spawn(&tasks[0], wait_for_chan, chan);
    weft_spawn(&tasks[1], wait_for_chan, chan);
    int any = weft_await_any(both, 2, WEFT_NEVER);
    expect(any == -EDEADLK || any == 0 || any == 1);
    expect(weft_await(&tasks[0]) == -EDEADLK);
    expect(weft_await(&tasks[1]) == -EDEADLK);
    weft_chan_destroy(chan);
    return 12;
}

static int part_await_any(void)
{
    return weft_run(await_any_of, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

/* A job that fails cancels its siblings: the program unwinds by its scope. */
static int in_a_scope(void *arg)
{
    weft_chan *chan = make_chan();
    weft_scope scope;

    (void)arg;
    expect(weft_scope_open(&scope, NULL) == 0);
    expect(weft_scope_go(&scope, wait_for_chan, chan, 0) == 0);
    expect(weft_scope_go(&scope, wait_for_chan, chan, 0) == 0);
    expect(weft_scope_close(&scope) == -EDEADLK);
    weft_chan_destroy(chan);
    return 13;
}

static int part_scope(void)
{
    return weft_run(in_a_scope, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

/* ---- shared state ------------------------------------------------------------------------------ */

static weft_sem     sem;
static weft_group   group;
static weft_event   event;
static weft_barrier barrier;
static weft_future  future;
static weft_cond    cond;
static weft_mutex   mutex, locked[2];
static weft_rwlock  rwlock;

static int wait_for_sem(void *arg)
{
    (void)arg;
    return weft_sem_wait(&sem, WEFT_NEVER);
}

static int wait_for_group(void *arg)
{
    (void)arg;
    return weft_group_wait(&group, WEFT_NEVER);
}

static int wait_for_event(void *arg)
{
    (void)arg;
    return weft_event_wait(&event, WEFT_NEVER);
}

static int wait_for_barrier(void *arg)
{
    (void)arg;
    return weft_barrier_wait(&barrier);
}

static int wait_for_future(void *arg)
{
    (void)arg;
    return weft_future_await(&future, NULL, WEFT_NEVER);
}

static int wait_for_cond(void *arg)
{
    (void)arg;
    weft_mutex_lock(&mutex);
    int result = weft_cond_wait(&cond, &mutex, WEFT_NEVER);
    weft_mutex_unlock(&mutex); /* it is held again */
    return result;
}

static weft_fn *const waits_for_state[] = {wait_for_sem,     wait_for_group,  wait_for_event,
                                           wait_for_barrier, wait_for_future, wait_for_cond};
enum { STATES = TEST_LENGTH(waits_for_state) };

/* All of them fail; those that lock go on when they are given what they want. */
static int lock_locked(void *arg)
{
    weft_mutex_lock(arg);
    weft_mutex_unlock(arg);
    return 0;
}

static int lock_written(void *arg)
{
    weft_rwlock_rdlock(arg);
    weft_rwlock_unlock(arg);
    return 0;
}

static int wait_for_states(void *arg)
{
    weft_task tasks[STATES], locks, reads;

    (void)arg;
    weft_group_add(&group, 1);
    weft_barrier_init(&barrier, 2);
    weft_mutex_lock(&locked[0]);
    weft_rwlock_wrlock(&rwlock);
    for (int i = 0; i < STATES; i++) weft_spawn(&tasks[i], waits_for_state[i], NULL);
    weft_spawn(&locks, lock_locked, &locked[0]);
    weft_spawn(&reads, lock_written, &rwlock);
    for (int i = 0; i < STATES; i++) expect(weft_await(&tasks[i]) == -EDEADLK);
    weft_mutex_unlock(&locked[0]);
    weft_rwlock_unlock(&rwlock);
    expect(weft_await(&locks) == 0);
    expect(weft_await(&reads) == 0);
    /* What has failed left nothing behind. */
    weft_sem_post(&sem);
    expect(weft_sem_wait(&sem, 0) == 0);
    weft_task other;
    weft_spawn(&other, wait_for_barrier, NULL);
    int mine = weft_barrier_wait(&barrier), its = weft_await(&other);
    expect(mine + its == 1 && mine >= 0 && its >= 0);
    return 15;
}

static int part_states(void)
{
    return weft_run(wait_for_states, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

/* Two locks, in either order. */
static atomic_int holding;

static int lock_both(void *arg)
{
    int first = arg != NULL;

    weft_mutex_lock(&locked[first]);
    atomic_fetch_add(&holding, 1);
    while (atomic_load(&holding) < 2) weft_yield();
    weft_mutex_lock(&locked[!first]);
    return 0;
}

static int lock_in_either_order(void *arg)
{
    weft_task task;

    fprintf(stderr, "locks %p %p\n", (void *)&locked[0], (void *)&locked[1]);
    weft_spawn(&task, lock_both, &task);
    lock_both(arg);
    return weft_await(&task);
}

static int part_locks(void)
{
    return weft_run(lock_in_either_order, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

/* ---- nobody can fail --------------------------------------------------------------------- */

/* Waits for good, in a way that cannot fail: this task is never spawned. */
static int await_in_vain(void)
{
    weft_task never = {{0}};

    return weft_await(&never);
}

struct circle {
    weft_task   tasks[3];
    atomic_bool begun[3];
};

struct member {
    struct circle *circle;
    int            me;
};

/* Each has begun before anybody awaits it, so all have stacks of their own. */
static NOINLINE int await_next(void *arg)
{
    const struct member *m = arg;
    struct circle       *c = m->circle;
    int                  next = (m->me + 1) % 3;

    atomic_store(&c->begun[m->me], true);
    for (int i = 0; i < 3; i++)
        while (!atomic_load(&c->begun[i])) weft_yield();
    int result = weft_await(&c->tasks[next]);

    KEEP_FRAME();
    return result;
}

static int three_in_a_circle(void *arg)
{
    static struct circle c;
    struct member        members[3];

    (void)arg;
    for (int i = 0; i < 3; i++) {
        members[i] = (struct member){&c, i};
        weft_spawn(&c.tasks[i], await_next, &members[i]);
    }
    while (!atomic_load(&c.begun[0]) || !atomic_load(&c.begun[1]) || !atomic_load(&c.begun[2])) weft_yield();
    fprintf(stderr, "circle %p %p %p\n", (void *)&c.tasks[0], (void *)&c.tasks[1], (void *)&c.tasks[2]);
    return await_in_vain();
}

static int part_circle(void)
{
    return weft_run(three_in_a_circle, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static int part_circle_seeded(void)
{
    return weft_run(three_in_a_circle, NULL, WEFT_OPTIONS(.seed = 3));
}

/* Two that have not begun when they are awaited: one may run in place, on the other's stack. */
static weft_task two[2];

static NOINLINE int await_other(void *arg)
{
    int result = weft_await(arg);

    KEEP_FRAME();
    return result;
}

static int two_await_each_other(void *arg)
{
    (void)arg;
    fprintf(stderr, "circle %p %p %p\n", (void *)&two[0], (void *)&two[1], (void *)&two[0]);
    weft_spawn(&two[0], await_other, &two[1]);
    weft_spawn(&two[1], await_other, &two[0]);
    weft_yield(); /* on one worker the newest begins, and awaits the other in place */
    return await_in_vain();
}

static int part_two_await_each_other(void)
{
    return weft_run(two_await_each_other, NULL, WEFT_OPTIONS(.workers = 1));
}

/* ---- again and again -------------------------------------------------------------------- */

static int deadlock_often(void *arg)
{
    weft_chan *chan = make_chan();

    (void)arg;
    for (int i = 0; i < 20; i++) {
        weft_task task;
        weft_spawn(&task, wait_for_chan, chan);
        expect(receive(chan) == -EDEADLK);
        expect(weft_await(&task) == -EDEADLK);
    }
    weft_chan_destroy(chan);
    return 21;
}

static int part_often(void)
{
    return weft_run(deadlock_often, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static int fork_join(void *arg)
{
    uintptr_t depth = (uintptr_t)arg;
    weft_task left;

    if (depth == 0) {
        weft_yield();
        return 0;
    }
    weft_spawn(&left, fork_join, (void *)(depth - 1));
    fork_join((void *)(depth - 1));
    return weft_await(&left);
}

static int work_then_wait(void *arg)
{
    weft_chan *chan = make_chan();

    for (int i = 0; i < 20; i++) fork_join((void *)8);
    expect(weft_sleep(weft_now() + 20 * WEFT_MS) == 0); /* there have been timers */
    expect(weft_recv(chan, &(int){0}, weft_now() + 5 * WEFT_MS) == -ETIMEDOUT);
    expect(receive(chan) == -EDEADLK);
    fork_join((void *)8);
    expect(send_one(chan) == -EDEADLK);
    weft_chan_destroy(chan);
    (void)arg;
    return 22;
}

static int part_after_work(void)
{
    return weft_run(work_then_wait, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static int part_after_work_seeded(void)
{
    return weft_run(work_then_wait, NULL, WEFT_OPTIONS(.seed = 9));
}

/* One runtime after another: threads of those before may still be listed. */
static int part_one_after_another(void)
{
    for (int i = 0; i < 10; i++)
        if (weft_run(in_a_scope, NULL, WEFT_OPTIONS(.workers = test_workers())) != 13) return 1;
    return 23;
}

/* ---- with plain threads ------------------------------------------------------------------- */

static void receive_for_good(void *arg)
{
    receive(arg);
}

/* The thread waits for good, as the task does: nobody can act. */
static int beside_a_thread_that_waits(void *arg)
{
    weft_chan  *chan = make_chan();
    test_thread thread;

    (void)arg;
    test_thread_start(&thread, receive_for_good, chan);
    expect(receive(chan) == -EDEADLK);
    expect(weft_chan_close(chan) == 0);
    test_thread_join(&thread);
    weft_chan_destroy(chan);
    return 31;
}

static int part_thread_waits(void)
{
    return weft_run(beside_a_thread_that_waits, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static void end_at_once(void *arg)
{
    (void)arg;
}

/* Those that have just been joined are listed a moment longer. */
static int after_threads_that_were_joined(void *arg)
{
    weft_chan *chan = make_chan();

    (void)arg;
    for (int i = 0; i < 20; i++) {
        test_thread thread;
        test_thread_start(&thread, end_at_once, NULL);
        test_thread_join(&thread);
    }
    expect(receive(chan) == -EDEADLK);
    weft_chan_destroy(chan);
    return 32;
}

static int part_threads_joined(void)
{
    return weft_run(after_threads_that_were_joined, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

struct helper {
    weft_chan *chan;
    int (*rest)(struct helper *);
    test_thread thread;
};

static int rest_asleep(struct helper *h)
{
    (void)h;
    test_sleep(REST);
    return 0;
}

static int rest_running(struct helper *h)
{
    (void)h;
    for (weft_time end = test_now() + REST; test_now() < end;) test_spin(1000);
    return 0;
}

static int rest_in_weft(struct helper *h)
{
    (void)h;
    weft_chan *other = make_chan();
    expect(weft_recv(other, &(int){0}, test_now() + REST) == -ETIMEDOUT);
    weft_chan_destroy(other);
    return 0;
}

static int rest_in_weft_sleep(struct helper *h)
{
    (void)h;
    expect(weft_sleep(test_now() + REST) == 0);
    return 0;
}

static int rest_in_pipe(struct helper *h)
{
    (void)h;
    int ends[2];
    expect(pipe(ends) == 0);
    struct timeval now = {.tv_sec = REST / WEFT_SEC, .tv_usec = REST % WEFT_SEC / 1000};
    fd_set         set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    expect(select(ends[0] + 1, &set, NULL, NULL, &now) == 0);
    return 0;
}

static void help_later(void *arg)
{
    struct helper *h = arg;

    h->rest(h);
    expect(send_one(h->chan) == 0);
}

static int wait_for_help(void *arg)
{
    struct helper *h = arg;

    h->chan = make_chan();
    test_thread_start(&h->thread, help_later, h);
    expect(receive(h->chan) == 0);
    test_thread_join(&h->thread);
    weft_chan_destroy(h->chan);
    return 33;
}

static int run_with_help(int (*rest)(struct helper *))
{
    struct helper h = {.rest = rest};

    return weft_run(wait_for_help, &h, WEFT_OPTIONS(.workers = test_workers()));
}

static int part_thread_asleep(void)
{
    return run_with_help(rest_asleep);
}

static int part_thread_running(void)
{
    return run_with_help(rest_running);
}

static int part_thread_in_weft(void)
{
    return run_with_help(rest_in_weft);
}

static int part_thread_in_weft_sleep(void)
{
    return run_with_help(rest_in_weft_sleep);
}

static int part_thread_in_select(void)
{
    return run_with_help(rest_in_pipe);
}

/* With a seed there is no first moment of rest: the thread is seen at once, too. */
static int part_thread_asleep_seeded(void)
{
    struct helper h = {.rest = rest_asleep};

    return weft_run(wait_for_help, &h, WEFT_OPTIONS(.seed = 4));
}

/* The number of a worker that has ended is given to the thread that helps. */
struct namesake {
    struct helper helper;
    atomic_int    number;
    atomic_int    verdict; /* 1: it helps; -1: it ends */
};

static int note_number(void *number)
{
    *(int *)number = (int)gettid();
    return 0;
}

static void help_if_wanted(void *arg)
{
    struct namesake *n = arg;

    atomic_store(&n->number, (int)gettid());
    while (atomic_load(&n->verdict) == 0) sched_yield();
    if (atomic_load(&n->verdict) == 1) help_later(&n->helper);
}

static int receive_help(void *arg)
{
    struct helper *h = arg;

    expect(receive(h->chan) == 0);
    return 36;
}

/* What number comes next the system can be told, by who may; others of the machine may be faster.  37: it was not to be
 * had. */
static int part_namesake(void)
{
    struct namesake n = {.helper = {.chan = make_chan(), .rest = rest_asleep}};
    int             worker, result = 37, last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);

    expect(weft_run(note_number, &worker, WEFT_OPTIONS(.workers = 1)) == 0);
    test_sleep(20 * WEFT_MS); /* the system says when a thread began in hundredths of a second */
    for (int tries = 0; result == 37 && last >= 0 && tries < 100; tries++) {
        atomic_store(&n.number, 0);
        atomic_store(&n.verdict, 0);
        if (dprintf(last, "%d", worker - 1) < 0) break;
        test_thread_start(&n.helper.thread, help_if_wanted, &n);
        while (atomic_load(&n.number) == 0) sched_yield();
        bool same = atomic_load(&n.number) == worker;
        atomic_store(&n.verdict, same ? 1 : -1);
        if (same) result = weft_run(receive_help, &n.helper, WEFT_OPTIONS(.workers = 1));
        test_thread_join(&n.helper.thread);
    }
    if (last >= 0) close(last);
    weft_chan_destroy(n.helper.chan);
    return result;
}

/* ---- the moments at which a thread begins to wait ------------------------------------------------- */

void     __wrap_search_park(void);
void     __real_search_park(void);
unsigned __wrap_platform_threads(void);
unsigned __real_platform_threads(void);

static bool        slow_park;
static atomic_bool slow_look, looking, parked;

/* Counted, and not yet done with what it does before it waits. */
void __wrap_search_park(void)
{
    __real_search_park();
    atomic_store(&parked, true);
    if (slow_park) test_sleep(REST);
}

/* The threads are counted, and then things change. */
unsigned __wrap_platform_threads(void)
{
    unsigned count = __real_platform_threads();
    if (!atomic_load(&slow_look)) return count;
    atomic_store(&looking, true);
    while (!atomic_load(&parked)) test_sleep(WEFT_MS);
    test_sleep(50 * WEFT_MS);
    atomic_store(&slow_look, false);
    return count;
}

static int send_into(void *arg)
{
    return send_one(arg);
}

/* The thread calls, which counts as waiting, and what it calls is what all wait for. */
static int part_call_slowly(void)
{
    weft_runtime *runtime;
    weft_chan    *chan = make_chan();

    expect(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = test_workers(), .deadlock = 1)) == 0);
    expect(weft_runtime_go(runtime, wait_for_chan, chan, 0) == 0);
    test_sleep(5 * WEFT_MS); /* so that most often it waits by now */
    slow_park = true;
    expect(weft_runtime_call(runtime, send_into, chan) == 0);
    slow_park = false;
    expect(weft_runtime_stop(runtime) == 0);
    weft_chan_destroy(chan);
    return 34;
}

/* The thread starts another while the watch counts, and then waits itself. */
static int part_start_thread_meanwhile(void)
{
    weft_runtime *runtime;
    struct helper h = {.chan = make_chan(), .rest = rest_asleep};

    atomic_store(&slow_look, true);
    expect(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = test_workers(), .deadlock = 1)) == 0);
    expect(weft_runtime_go(runtime, wait_for_chan, h.chan, 0) == 0);
    while (!atomic_load(&looking)) test_sleep(WEFT_MS);
    test_thread_start(&h.thread, help_later, &h);
    expect(weft_runtime_stop(runtime) == 0);
    test_thread_join(&h.thread);
    weft_chan_destroy(h.chan);
    return 35;
}

/* ---- timers and other runtimes -------------------------------------------------------------- */

static int wait_beside_a_timer(void *arg)
{
    weft_chan *chan = make_chan();
    weft_scope scope;
    int        value;

    (void)arg;
    expect(weft_recv(chan, &value, weft_now() + REST) == -ETIMEDOUT);
    /* That of a scope, too. */
    expect(weft_scope_open(&scope, WEFT_SCOPE(.deadline = weft_now() + REST)) == 0);
    expect(receive(chan) == -ETIMEDOUT);
    expect(weft_scope_close(&scope) == -ETIMEDOUT);
    weft_chan_destroy(chan);
    return 41;
}

static int part_timer(void)
{
    return weft_run(wait_beside_a_timer, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static int wait_for_outer(void *arg)
{
    return receive(arg);
}

static int send_late(void *arg)
{
    expect(weft_sleep(weft_now() + REST) == 0);
    return send_one(arg);
}

/* All of the inner one's tasks wait; the outer one's can act. */
static int run_inner(void *arg)
{
    weft_chan *chan = make_chan();
    weft_task  task;

    (void)arg;
    weft_spawn(&task, send_late, chan);
    expect(weft_run(wait_for_outer, chan, WEFT_OPTIONS(.workers = 1)) == 0);
    expect(weft_await(&task) == 0);
    weft_chan_destroy(chan);
    return 42;
}

static int part_inner(void)
{
    return weft_run(run_inner, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

static int send_late_inner(void *arg)
{
    expect(weft_sleep(weft_now() + REST) == 0);
    return send_one(arg);
}

static int run_inner_beside(void *arg)
{
    return weft_run(send_late_inner, arg, WEFT_OPTIONS(.workers = 1));
}

/* And the other way round. */
static int wait_for_inner(void *arg)
{
    weft_chan *chan = make_chan();
    weft_task  task;

    (void)arg;
    weft_spawn(&task, run_inner_beside, chan);
    expect(receive(chan) == 0);
    expect(weft_await(&task) == 0);
    weft_chan_destroy(chan);
    return 43;
}

static int part_outer(void)
{
    return weft_run(wait_for_inner, NULL, WEFT_OPTIONS(.workers = test_workers()));
}

/* ---- in pieces, and never ------------------------------------------------------------------- */

/* Stops the process when no report has come for long. */
static void end_soon(void)
{
    signal(SIGALRM, SIG_DFL);
    alarm(2);
}

static int in_pieces(int deadlock)
{
    weft_runtime *runtime;
    weft_chan    *chan = make_chan();

    expect(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = test_workers(), .deadlock = deadlock)) == 0);
    expect(weft_runtime_go(runtime, wait_for_chan, chan, 0) == 0);
    expect(weft_runtime_stop(runtime) == 0);
    weft_chan_destroy(chan);
    return 51;
}

static int part_pieces(void)
{
    end_soon();
    return in_pieces(0);
}

static int part_pieces_reported(void)
{
    return in_pieces(1);
}

static int part_never(void)
{
    end_soon();
    return weft_run(in_a_scope, NULL, WEFT_OPTIONS(.workers = test_workers(), .deadlock = -1));
}

static int part_never_seeded(void)
{
    end_soon();
    return weft_run(in_a_scope, NULL, WEFT_OPTIONS(.seed = 1, .deadlock = -1));
}

/* ---- the parent's side ----------------------------------------------------------------------- */

#define REPORT "weft: deadlock: "

static void assert_contains(const char *text, const char *what)
{
    if (!strstr(text, what)) print_error("there is no \"%s\" in:\n%s\n", what, text);
    assert_non_null(strstr(text, what));
}

/* The child has ended with `result` after so many reports. */
static void assert_ended(const struct test_child *child, const char *name, int result, size_t reports)
{
    bool good = WIFEXITED(child->status) && WEXITSTATUS(child->status) == result;
    if (!good || test_count_of(child->text, REPORT) != reports) print_error("%s said: %s\n", name, child->text);
    assert_true(good);
    assert_int_equal(test_count_of(child->text, REPORT), reports);
}

static void run_part(struct test_child *child, const char *name, int result, size_t reports)
{
    test_child_run(child, name);
    assert_ended(child, name, result, reports);
}

/* The line that begins with the task of that function, and what follows up to the next task. */
static void task_in(const char *text, const char *function, char *into, size_t size)
{
    const char *line = text, *end = NULL;
    char        name[100];

    snprintf(name, sizeof name, " %s (", function);
    for (; (line = strstr(line, "\ntask 0x")); line++) {
        const char *after = strchr(line + strlen("\ntask 0x"), ' ');
        if (after && strncmp(after, name, strlen(name)) == 0) break;
    }
    if (!line) print_error("there is no task %s in:\n%s\n", function, text);
    assert_non_null(line);
    for (end = line + 1; (end = strchr(end, '\n')) && strncmp(end, "\n    ", 5) == 0; end++)
        ;
    assert_non_null(end);
    snprintf(into, size, "%.*s\n", (int)(end - line), line);
}

static void assert_two_reported(const char *text)
{
    void *first, *second;
    char  task[4096], waits[100];

    assert_int_equal(sscanf(strstr(text, "first 0x"), "first %p second %p", &first, &second), 2);
    assert_contains(text, "these 3 tasks wait:\n");
    task_in(text, "take_first", task, sizeof task);
    snprintf(waits, sizeof waits, " waits to receive from the channel %p for ", first);
    assert_contains(task, waits);
    assert_contains(task, "\n    receive+0x");
    assert_contains(task, "\n    take_first+0x");
    assert_true(strstr(task, "\n    receive+") < strstr(task, "\n    take_first+"));
    task_in(text, "take_second", task, sizeof task);
    snprintf(waits, sizeof waits, " waits to receive from the channel %p for ", second);
    assert_contains(task, waits);
    assert_contains(task, "\n    receive+0x");
    assert_contains(task, "\n    take_second+0x");
    task_in(text, "two_on_two_channels", task, sizeof task);
    assert_contains(task, " waits for the end of the task 0x");
    assert_contains(task, "\n    two_on_two_channels+0x");
    assert_null(strstr(text, "a cycle"));
}

static void two_tasks_on_two_channels_are_reported_and_freed(void **state)
{
    (void)state;
    static const char *const names[] = {"two", "two_on_1", "two_on_4", "two_on_one_root", "two_seeded"};

    for (size_t i = 0; i < TEST_LENGTH(names); i++) {
        struct test_child child;
        run_part(&child, names[i], 7, 1);
        assert_two_reported(child.text);
    }
}

static void a_select_is_reported_and_freed(void **state)
{
    (void)state;
    struct test_child child;
    char              task[4096];

    run_part(&child, "select", 11, 1);
    task_in(child.text, "in_a_select", task, sizeof task);
    assert_contains(task, " waits in a select");
    assert_contains(task, "\n    choose+0x");
    static const char *const names[] = {"for_ever", "for_ever_seeded"};
    for (size_t i = 0; i < TEST_LENGTH(names); i++) {
        run_part(&child, names[i], 14, 2);
        assert_contains(child.text, " waits in a select without channels");
        assert_contains(child.text, " waits for a moment to come");
    }
}

static void shared_state_is_reported_and_freed(void **state)
{
    (void)state;
    static const char *const waits[][2] = {
        {"wait_for_sem", " waits for the semaphore 0x"},
        {"wait_for_group", " waits for the count of the group 0x"},
        {"wait_for_event", " waits for the event 0x"},
        {"wait_for_barrier", " waits for all to arrive at the barrier 0x"},
        {"wait_for_future", " waits for the value of the future 0x"},
        {"wait_for_cond", " waits for a signal of the cond 0x"},
        {"lock_locked", " waits to lock the mutex 0x"},
        {"lock_written", " waits to read-lock the rwlock 0x"},
    };
    struct test_child child;
    char              task[4096];

    run_part(&child, "states", 15, 1);
    for (size_t i = 0; i < TEST_LENGTH(waits); i++) {
        task_in(child.text, waits[i][0], task, sizeof task);
        assert_contains(task, waits[i][1]);
    }
}

static void locks_in_either_order_stop_the_program(void **state)
{
    (void)state;
    struct test_child child;
    void             *locks[2];
    char              waits[2][100];

    test_child_run(&child, "locks");
    assert_stopped_with_message(&child);
    assert_int_equal(sscanf(strstr(child.text, "locks 0x"), "locks %p %p", &locks[0], &locks[1]), 2);
    for (int i = 0; i < 2; i++) {
        snprintf(waits[i], sizeof waits[i], " waits to lock the mutex %p for ", locks[i]);
        assert_contains(child.text, waits[i]);
    }
    assert_contains(child.text, "weft: deadlock: no task waits in a way that can fail\n");
}

static void who_awaits_is_freed_by_whom_it_awaits(void **state)
{
    (void)state;
    struct test_child child;
    char              task[4096];

    run_part(&child, "await_any", 12, 1);
    task_in(child.text, "await_any_of", task, sizeof task);
    assert_contains(task, " waits for the end of one of several tasks");
    run_part(&child, "scope", 13, 1);
    task_in(child.text, "in_a_scope", task, sizeof task);
    assert_contains(task, " waits for the tasks of a scope to end");
    task_in(child.text, "wait_for_chan", task, sizeof task);
    assert_contains(task, ", scope 0x");
}

/* Every step of the cycle is one that a task takes, and it ends where it began. */
static void assert_cycle_named(const char *text, size_t length)
{
    void       *task[3], *at, *first, *to;
    const char *line = strstr(text, "weft: a cycle: task 0x");

    assert_contains(text, "weft: a cycle: task 0x");
    assert_int_equal(sscanf(strstr(text, "circle 0x"), "circle %p %p %p", &task[0], &task[1], &task[2]), 3);
    assert_int_equal(sscanf(line, "weft: a cycle: task %p", &first), 1);
    at = first;
    for (size_t i = 0; i < length; i++) {
        size_t me = 0;
        line = strstr(line, " waits for task 0x");
        assert_non_null(line);
        assert_int_equal(sscanf(line, " waits for task %p", &to), 1);
        line++;
        while (me < length && task[me] != at) me++;
        assert_in_range(me, 0, length - 1);
        assert_ptr_equal(to, task[(me + 1) % length]);
        at = to;
    }
    assert_ptr_equal(at, first);
}

static void a_cycle_that_cannot_fail_is_named_and_stops_the_program(void **state)
{
    (void)state;
    static const char *const names[] = {"circle", "circle_seeded"};

    for (size_t i = 0; i < TEST_LENGTH(names); i++) {
        struct test_child child;
        char              task[4096];
        test_child_run(&child, names[i]);
        assert_stopped_with_message(&child);
        assert_cycle_named(child.text, 3);
        task_in(child.text, "await_next", task, sizeof task);
        assert_contains(task, " waits for the end of the task 0x");
        assert_contains(task, "\n    await_next+0x");
        assert_contains(child.text, "weft: deadlock: no task waits in a way that can fail\n");
    }
}

static void a_cycle_is_named_when_one_runs_in_place_of_another(void **state)
{
    (void)state;
    struct test_child child;

    test_child_run(&child, "two_await_each_other");
    assert_stopped_with_message(&child);
    assert_cycle_named(child.text, 2);
    /* A sanitizer has each task on a stack of its own. */
    if (!TEST_ASAN && !TEST_TSAN) assert_contains(child.text, ", which runs on its stack\n");
}

static void who_waits_again_is_freed_again(void **state)
{
    (void)state;
    struct test_child child;

    run_part(&child, "often", 21, 4); /* and no more is said after these */
    run_part(&child, "after_work", 22, 2);
    run_part(&child, "after_work_seeded", 22, 2);
    run_part(&child, "one_after_another", 23, 10);
}

static void threads_that_cannot_act_are_no_help(void **state)
{
    (void)state;
    struct test_child child;

    run_part(&child, "thread_waits", 31, 1);
    run_part(&child, "threads_joined", 32, 1);
}

static void nothing_is_reported_while_somebody_can_act(void **state)
{
    (void)state;
    static const char *const names[] = {"thread_asleep",        "thread_running",   "thread_in_weft",
                                        "thread_in_weft_sleep", "thread_in_select", "thread_asleep_seeded"};
    struct test_child        child;

    for (size_t i = 0; i < TEST_LENGTH(names); i++) run_part(&child, names[i], 33, 0);
    run_part(&child, "call_slowly", 34, 0);
    run_part(&child, "start_thread_meanwhile", 35, 0);
    run_part(&child, "timer", 41, 0);
    run_part(&child, "inner", 42, 0);
    run_part(&child, "outer", 43, 0);
}

static void who_has_the_number_of_one_that_has_ended_can_act(void **state)
{
    (void)state;
    struct test_child child;

    test_child_run(&child, "namesake");
    if (WIFEXITED(child.status) && WEXITSTATUS(child.status) == 37) skip();
    assert_ended(&child, "namesake", 36, 0);
}

/* It hangs, until its alarm. */
static void assert_hangs(const char *name)
{
    struct test_child child;

    test_child_run(&child, name);
    assert_true(WIFSIGNALED(child.status));
    assert_int_equal(WTERMSIG(child.status), SIGALRM);
    assert_null(strstr(child.text, REPORT));
}

static void the_option_says_whether(void **state)
{
    (void)state;
    struct test_child child;

    run_part(&child, "pieces_reported", 51, 1);
    assert_hangs("pieces");
    assert_hangs("never");
    assert_hangs("never_seeded");
}

int main(int argc, char **argv)
{
    static const struct test_part parts[] = {
        {"two", part_two},
        {"two_on_1", part_two_on_1},
        {"two_on_4", part_two_on_4},
        {"two_on_one_root", part_two_on_one_root},
        {"two_seeded", part_two_seeded},
        {"select", part_select},
        {"for_ever", part_for_ever},
        {"for_ever_seeded", part_for_ever_seeded},
        {"await_any", part_await_any},
        {"scope", part_scope},
        {"states", part_states},
        {"locks", part_locks},
        {"circle", part_circle},
        {"circle_seeded", part_circle_seeded},
        {"two_await_each_other", part_two_await_each_other},
        {"often", part_often},
        {"after_work", part_after_work},
        {"after_work_seeded", part_after_work_seeded},
        {"one_after_another", part_one_after_another},
        {"thread_waits", part_thread_waits},
        {"threads_joined", part_threads_joined},
        {"thread_asleep", part_thread_asleep},
        {"thread_running", part_thread_running},
        {"thread_in_weft", part_thread_in_weft},
        {"thread_in_weft_sleep", part_thread_in_weft_sleep},
        {"thread_in_select", part_thread_in_select},
        {"thread_asleep_seeded", part_thread_asleep_seeded},
        {"namesake", part_namesake},
        {"call_slowly", part_call_slowly},
        {"start_thread_meanwhile", part_start_thread_meanwhile},
        {"timer", part_timer},
        {"inner", part_inner},
        {"outer", part_outer},
        {"pieces", part_pieces},
        {"pieces_reported", part_pieces_reported},
        {"never", part_never},
        {"never_seeded", part_never_seeded},
    };
    test_child_main(argc, argv, parts, TEST_LENGTH(parts));

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_tasks_on_two_channels_are_reported_and_freed),
        cmocka_unit_test(a_select_is_reported_and_freed),
        cmocka_unit_test(shared_state_is_reported_and_freed),
        cmocka_unit_test(locks_in_either_order_stop_the_program),
        cmocka_unit_test(who_awaits_is_freed_by_whom_it_awaits),
        cmocka_unit_test(a_cycle_that_cannot_fail_is_named_and_stops_the_program),
        cmocka_unit_test(a_cycle_is_named_when_one_runs_in_place_of_another),
        cmocka_unit_test(who_waits_again_is_freed_again),
        cmocka_unit_test(threads_that_cannot_act_are_no_help),
        cmocka_unit_test(nothing_is_reported_while_somebody_can_act),
        cmocka_unit_test(who_has_the_number_of_one_that_has_ended_can_act),
        cmocka_unit_test(the_option_says_whether),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
