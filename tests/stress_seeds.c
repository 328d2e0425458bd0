/* stress_seeds.c - one program, under very many schedules
 *
 *     stress_seeds            the seeds from 1 to 100,000; CTest's entries have a quarter each
 *     stress_seeds SEED       replays that one, and says what happens
 *
 * The seed makes the schedule, and also what each actor does.  Whatever that is:
 * each element that was sent is received once, or still there at the end; a receiver sees a
 * sender's in their order; locks keep apart whom they should; a signal goes to one who
 * takes it; no call gives up without its reason, nor early; and the same seed does it all again.
 */
#include "support.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACTORS = 24, FIRST_ACTORS = 5, CHANS = 4, MOST_CASES = 4, STEPS = 8, MOST_ITEMS = 64, SEM_COUNT = 2 };

struct item {
    unsigned sender, chan, number;
};

struct world {
    uint64_t    seed;
    bool        tells;
    uint64_t    trace; /* a hash of all that happened, in order */
    const char *wrong; /* what first did not hold */
    int         wrong_line;
    weft_chan  *chans[CHANS];
    bool        closed[CHANS];
    unsigned    sent[ACTORS][CHANS];
    uint64_t    received[ACTORS][CHANS]; /* a bit for each number */
    int         newest[ACTORS][ACTORS][CHANS];
    unsigned    actors, begun, ended;
    weft_mutex  mutex;
    unsigned    owners; /* at most 1 */
    weft_cond   cond;   /* of the mutex: tickets have come */
    unsigned    tickets, given, taken;
    weft_rwlock rwlock;
    unsigned    readers, writers;
    weft_sem    sem;
    unsigned    inside; /* at most SEM_COUNT */
    weft_once   once;
    unsigned    once_calls;
};

/* Who does something; what it does follows from its own chance, when it does it from the seed. */
struct actor {
    struct world *world;
    unsigned      index;
    uint32_t      chance;
    int           depth;
    bool          sheltered; /* the deadline of the whole does not reach it */
};

#define expect(world, condition) ((condition) ? (void)0 : note((world), __LINE__, #condition))

static void note(struct world *world, int line, const char *condition)
{
    if (world->wrong) return;
    world->wrong = condition;
    world->wrong_line = line;
    if (world->tells) printf("from here on this did not hold: %s (line %d)\n", condition, line);
}

static void tell(struct actor *self, const char *what, int64_t which, int64_t result)
{
    struct world *world = self->world;
    const int64_t now = weft_now();
    const int64_t facts[] = {self->index, which, result, now};

    for (const char *c = what; *c; c++) world->trace = (world->trace ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < TEST_LENGTH(facts); i++)
        world->trace = (world->trace ^ (uint64_t)facts[i]) * UINT64_C(0x9e3779b97f4a7c15) + (world->trace >> 29);
    if (world->tells)
        printf("%14.6f ms  actor %2u  %-8s %3" PRId64 "  %" PRId64 "\n", (double)now / 1e6, self->index, what, which,
               result);
}

static uint32_t below(struct actor *self, uint32_t n)
{
    return test_random(&self->chance) % n;
}

static weft_time any_deadline(struct actor *self)
{
    switch (below(self, 6)) {
    case 0: return 0;
    case 1: return 1;
    case 2: return weft_now() + below(self, WEFT_US);
    case 3: return weft_now() + below(self, WEFT_MS);
    case 4: return weft_now() + below(self, WEFT_SEC);
    default: return self->sheltered ? weft_now() + below(self, WEFT_SEC) : WEFT_NEVER;
    }
}

/* Whether the error has a right to be there.  `before`: the reason for which the actor was cancelled already. */
static void judge(struct actor *self, int error, weft_time deadline, int before)
{
    if (before) expect(self->world, error == before);
    else if (error == -EAGAIN) expect(self->world, deadline == 0);
    else if (error == -ETIMEDOUT && deadline != 0 && deadline != WEFT_NEVER && weft_now() >= deadline) return;
    else expect(self->world, error < 0 && error == weft_check());
}

/* ---- elements ------------------------------------------------------------------------- */

static struct item next_item(struct actor *self, unsigned chan)
{
    return (struct item){self->index, chan, self->world->sent[self->index][chan]};
}

static void note_sent(struct actor *self, unsigned chan)
{
    self->world->sent[self->index][chan]++;
}

static void note_received(struct actor *self, unsigned chan, const struct item *item)
{
    struct world *world = self->world;

    expect(world, item->chan == chan && item->sender < ACTORS && item->number < MOST_ITEMS);
    if (world->wrong) return;
    uint64_t bit = UINT64_C(1) << item->number;
    int     *newest = &world->newest[self->index][item->sender][chan];
    expect(world, !(world->received[item->sender][chan] & bit));
    expect(world, (int)item->number >= *newest);
    world->received[item->sender][chan] |= bit;
    *newest = (int)item->number + 1;
}

static bool may_send(struct actor *self, unsigned chan)
{
    return self->world->sent[self->index][chan] < MOST_ITEMS;
}

/* ---- steps ----------------------------------------------------------------------------- */

static void step(struct actor *self);

static void step_send(struct actor *self)
{
    unsigned    chan = below(self, CHANS);
    weft_time   deadline = any_deadline(self);
    struct item item = next_item(self, chan);
    int         before = weft_check();

    if (!may_send(self, chan)) return;
    int result = weft_send(self->world->chans[chan], &item, deadline);
    tell(self, "send", chan, result);
    if (result == 0) note_sent(self, chan);
    else if (result == -EPIPE) expect(self->world, self->world->closed[chan]);
    else judge(self, result, deadline, before);
}

static void step_recv(struct actor *self)
{
    unsigned    chan = below(self, CHANS);
    weft_time   deadline = any_deadline(self);
    struct item item = {ACTORS, 0, 0};
    int         before = weft_check();
    int         result = weft_recv(self->world->chans[chan], &item, deadline);

    tell(self, "recv", chan, result);
    if (result == 0) {
        note_received(self, chan, &item);
        return;
    }
    expect(self->world, item.sender == ACTORS);
    if (result == -EPIPE) expect(self->world, self->world->closed[chan]);
    else judge(self, result, deadline, before);
}

static void step_select(struct actor *self)
{
    struct weft_case cases[MOST_CASES];
    struct item      items[MOST_CASES];
    unsigned         chans[MOST_CASES];
    unsigned         count = below(self, MOST_CASES + 1);
    weft_time        deadline = any_deadline(self);

    for (unsigned i = 0; i < count; i++) {
        chans[i] = below(self, CHANS);
        weft_chan *chan = below(self, 8) ? self->world->chans[chans[i]] : NULL;
        items[i] = (struct item){ACTORS, 0, 0};
        cases[i] = (struct weft_case){chan, NULL, &items[i], sizeof items[i], 1};
        if (below(self, 2) && may_send(self, chans[i])) {
            items[i] = next_item(self, chans[i]);
            cases[i].from = &items[i];
            cases[i].into = NULL;
        }
    }
    int before = weft_check();
    int index = weft_select(cases, count, deadline);
    tell(self, "select", (int64_t)count, index);
    expect(self->world, index < (int)count);
    for (int i = 0; i < (int)count; i++)
        if (i != index) expect(self->world, cases[i].result == 1 && (cases[i].from || items[i].sender == ACTORS));
    if (index < 0) judge(self, index, deadline, before);
    else if (cases[index].result == -EPIPE) expect(self->world, self->world->closed[chans[index]]);
    else if (cases[index].from) note_sent(self, chans[index]);
    else note_received(self, chans[index], &items[index]);
}

static void step_close(struct actor *self)
{
    unsigned chan = below(self, CHANS);

    if (below(self, 8)) return;
    /* It may let others run, who see it closed. */
    bool closed = self->world->closed[chan];
    self->world->closed[chan] = true;
    int result = weft_chan_close(self->world->chans[chan]);
    tell(self, "close", chan, result);
    expect(self->world, result == 0 || result == -EPIPE);
    if (closed) expect(self->world, result == -EPIPE);
}

static void step_sleep(struct actor *self)
{
    weft_time until = weft_now() + below(self, below(self, 2) ? WEFT_MS : WEFT_SEC);
    int       result = weft_sleep(until);

    tell(self, "sleep", 0, result);
    if (result == 0) expect(self->world, weft_now() >= until);
    else expect(self->world, result == weft_check());
}

static void step_yield(struct actor *self)
{
    weft_yield();
    tell(self, "yield", 0, weft_check());
}

/* ---- what is shared ---------------------------------------------------------------------- */

/* While something is held, so that others come and find it so. */
static void linger(struct actor *self)
{
    switch (below(self, 3)) {
    case 0: weft_yield(); break;
    case 1: weft_sleep(weft_now() + below(self, WEFT_MS)); break;
    default: break;
    }
}

static void lock(struct actor *self)
{
    if (below(self, 4) || !weft_mutex_trylock(&self->world->mutex)) weft_mutex_lock(&self->world->mutex);
    expect(self->world, self->world->owners++ == 0);
}

static void unlock(struct actor *self)
{
    expect(self->world, --self->world->owners == 0);
    weft_mutex_unlock(&self->world->mutex);
}

static void step_mutex(struct actor *self)
{
    lock(self);
    tell(self, "lock", 0, 0);
    linger(self);
    unlock(self);
}

static void step_ticket(struct actor *self)
{
    struct world *world = self->world;

    lock(self);
    unsigned count = 1 + below(self, 2);
    world->tickets += count;
    world->given += count;
    if (count == 1) weft_cond_signal(&world->cond);
    else weft_cond_broadcast(&world->cond);
    tell(self, "ticket", count, world->tickets);
    unlock(self);
}

static void step_cond(struct actor *self)
{
    struct world *world = self->world;
    weft_time     deadline = any_deadline(self);
    int           result = 0;

    lock(self);
    while (!world->tickets && result == 0) {
        int before = weft_check();
        world->owners--;
        result = weft_cond_wait(&world->cond, &world->mutex, deadline);
        expect(world, world->owners++ == 0);
        if (result != 0) judge(self, result, deadline, before);
    }
    tell(self, "cond", world->tickets, result);
    if (world->tickets) {
        world->tickets--;
        world->taken++;
    }
    unlock(self);
}

static void step_rwlock(struct actor *self)
{
    struct world *world = self->world;
    bool          writes = below(self, 2), tries = below(self, 4) == 0;

    if (writes) {
        if (!tries || !weft_rwlock_trywrlock(&world->rwlock)) weft_rwlock_wrlock(&world->rwlock);
        expect(world, world->writers++ == 0 && world->readers == 0);
        tell(self, "write", 0, 0);
        linger(self);
        expect(world, --world->writers == 0 && world->readers == 0);
    } else {
        if (!tries || !weft_rwlock_tryrdlock(&world->rwlock)) weft_rwlock_rdlock(&world->rwlock);
        expect(world, world->readers++ < ACTORS && world->writers == 0);
        tell(self, "read", 0, world->readers);
        linger(self);
        expect(world, world->readers-- > 0 && world->writers == 0);
    }
    weft_rwlock_unlock(&world->rwlock);
}

static void step_sem(struct actor *self)
{
    weft_time deadline = any_deadline(self);
    int       before = weft_check();
    int       result = weft_sem_wait(&self->world->sem, deadline);

    tell(self, "sem", self->world->inside, result);
    if (result != 0) {
        judge(self, result, deadline, before);
        return;
    }
    expect(self->world, self->world->inside++ < SEM_COUNT);
    linger(self);
    self->world->inside--;
    weft_sem_post(&self->world->sem);
}

static void count_once(void *arg)
{
    struct actor *self = arg;

    linger(self);
    self->world->once_calls++;
}

static void step_once(struct actor *self)
{
    weft_once_call(&self->world->once, count_once, self);
    tell(self, "once", 0, self->world->once_calls);
    expect(self->world, self->world->once_calls == 1);
}

/* All in the frame of the one who waits, who is gone as soon as he has seen it. */
struct signals {
    weft_group   group;
    weft_event   event;
    weft_future  future;
    weft_barrier barrier;
    unsigned     done;
};

struct helper {
    struct signals *signals;
    weft_time       duration;
    unsigned        index;
    bool            barrier;
    int             arrived;
};

static int help(void *arg)
{
    struct helper *self = arg;

    weft_sleep(weft_now() + self->duration); /* for less, if cancelled */
    if (self->barrier) self->arrived = weft_barrier_wait(&self->signals->barrier);
    self->signals->done++;
    if (self->index > 0) {
        weft_event_set(&self->signals->event);
        weft_future_set(&self->signals->future, 77);
    }
    weft_group_done(&self->signals->group);
    return 0;
}

static int wait_for_help(struct signals *signals, unsigned which, weft_time deadline)
{
    intptr_t value = 77;
    int      result;

    switch (which) {
    case 0: return weft_group_wait(&signals->group, deadline);
    case 1: return weft_event_wait(&signals->event, deadline);
    default: result = weft_future_await(&signals->future, &value, deadline); break;
    }
    return value == 77 ? result : -EBADMSG;
}

static void step_signals(struct actor *self)
{
    enum { HELPERS = 2 };
    struct signals signals = {.done = 0};
    struct helper  helpers[HELPERS];
    weft_task      tasks[HELPERS];
    bool           barrier = below(self, 3) == 0;
    int            arrived = 0;

    weft_barrier_init(&signals.barrier, HELPERS + 1);
    weft_group_add(&signals.group, HELPERS);
    for (unsigned i = 0; i < HELPERS; i++) {
        helpers[i] = (struct helper){&signals, below(self, WEFT_MS), i, barrier, 0};
        weft_spawn(&tasks[i], help, &helpers[i]);
    }
    if (barrier) {
        arrived = weft_barrier_wait(&signals.barrier);
        tell(self, "barrier", 0, arrived);
        if (arrived < 0) expect(self->world, arrived == weft_check());
    }
    for (unsigned which = below(self, 3); which < 3; which++) {
        weft_time deadline = any_deadline(self);
        int       before = weft_check();
        int       result = wait_for_help(&signals, which, deadline);
        tell(self, "help", which, result);
        if (result == 0) expect(self->world, signals.done >= (which == 0 ? HELPERS : 1));
        else judge(self, result, deadline, before);
    }
    for (unsigned i = 0; i < HELPERS; i++) weft_await(&tasks[i]);
    expect(self->world, weft_group_wait(&signals.group, 0) == 0 && weft_event_wait(&signals.event, 0) == 0);
    if (barrier && arrived >= 0 && helpers[0].arrived >= 0 && helpers[1].arrived >= 0)
        expect(self->world, arrived + helpers[0].arrived + helpers[1].arrived == 1);
}

/* ---- others ----------------------------------------------------------------------------- */

static int act(void *arg)
{
    struct actor *self = arg;

    tell(self, "begin", self->depth, weft_check());
    for (unsigned steps = 1 + below(self, STEPS); steps > 0; steps--) step(self);
    bool fails = below(self, 16) == 0;
    tell(self, "end", 0, fails);
    self->world->ended++;
    return fails ? -EIO : 0;
}

/* False: there have been enough. */
static bool make_actor(struct actor *self, struct actor *other)
{
    if (self->world->actors == ACTORS) return false;
    *other = (struct actor){self->world, self->world->actors++, test_random(&self->chance) | 1, self->depth - 1,
                            self->sheltered};
    self->world->begun++;
    return true;
}

static void step_scope(struct actor *self)
{
    bool       shield = below(self, 4) == 0, sheltered = self->sheltered;
    weft_time  deadline = below(self, 2) ? weft_now() + below(self, 100 * WEFT_MS) : 0;
    weft_scope scope;

    expect(self->world, weft_scope_open(&scope, WEFT_SCOPE(.shield = shield, .deadline = deadline,
                                                           .one_root = below(self, 2))) == 0);
    self->sheltered |= shield;
    self->depth--;
    for (unsigned i = below(self, 3); i > 0; i--) {
        struct actor other;
        if (make_actor(self, &other)) expect(self->world, weft_scope_go(&scope, act, &other, sizeof other) == 0);
    }
    for (unsigned i = below(self, 3); i > 0; i--) step(self);
    if (below(self, 4) == 0) weft_scope_cancel(&scope);
    int before = weft_check();
    int result = weft_scope_close(&scope);
    memset(&scope, 255, sizeof scope);
    self->depth++;
    self->sheltered = sheltered;
    tell(self, "scope", before, result);
    expect(self->world, before == 0 || result == before);
    if (result == -ETIMEDOUT && weft_check() == 0) expect(self->world, deadline && weft_now() >= deadline);
}

/* Spawns two, waits for either, may cancel one, and awaits both. */
static void step_spawn(struct actor *self)
{
    struct actor others[2];
    weft_task    storage[2], *tasks[2] = {&storage[0], &storage[1]};
    size_t       count = 0;

    while (count < 2 && make_actor(self, &others[count])) count++;
    for (size_t i = 0; i < count; i++) weft_spawn(tasks[i], act, &others[i]);
    for (unsigned i = below(self, 3); i > 0; i--) step(self);
    if (count > 0 && below(self, 2)) {
        weft_time deadline = any_deadline(self);
        int       before = weft_check();
        int       index = weft_await_any(tasks, count, deadline);
        tell(self, "any", (int64_t)count, index);
        if (index < 0) judge(self, index, deadline, before);
        else expect(self->world, weft_done(tasks[index]));
    }
    for (size_t i = 0; i < count; i++) {
        if (below(self, 4) == 0) weft_cancel(tasks[i]);
        int result = weft_await(tasks[i]);
        tell(self, "await", others[i].index, result);
        expect(self->world, result == 0 || result == -EIO);
    }
}

static void step(struct actor *self)
{
    static void (*const steps[])(struct actor *) = {
        step_send,  step_recv,  step_select,  step_send,   step_recv,  step_select, step_close,
        step_sleep, step_yield, step_mutex,   step_ticket, step_cond,  step_cond,   step_rwlock,
        step_sem,   step_once,  step_signals, step_scope,  step_scope, step_spawn,  step_spawn,
    };

    steps[below(self, TEST_LENGTH(steps) - (self->depth > 0 ? 0 : 4))](self);
}

/* ---- the whole ---------------------------------------------------------------------------- */

static void check_all(struct world *world)
{
    struct actor last = {.world = world, .index = ACTORS - 1};

    memset(world->newest[last.index], 0, sizeof world->newest[last.index]);
    for (unsigned chan = 0; chan < CHANS; chan++) {
        struct item item;
        while (weft_recv(world->chans[chan], &item, 0) == 0) note_received(&last, chan, &item);
        for (unsigned i = 0; i < ACTORS; i++) {
            unsigned sent = world->sent[i][chan];
            expect(world, world->received[i][chan] == (sent < 64 ? (UINT64_C(1) << sent) - 1 : UINT64_MAX));
        }
        weft_chan_destroy(world->chans[chan]);
    }
    expect(world, world->begun == world->ended);
    expect(world, world->given == world->taken + world->tickets);
    expect(world, weft_mutex_trylock(&world->mutex));
    expect(world, weft_rwlock_trywrlock(&world->rwlock));
    for (int i = 0; i <= SEM_COUNT; i++) expect(world, weft_sem_wait(&world->sem, 0) == (i < SEM_COUNT ? 0 : -EAGAIN));
}

static int play(void *arg)
{
    struct world *world = arg;
    struct actor  self = {.world = world, .chance = (uint32_t)(world->seed * 2654435761u) | 1, .depth = 3};
    weft_scope    scope;

    for (unsigned i = 0; i < CHANS; i++)
        if (weft_chan_create(&world->chans[i], sizeof(struct item), i) != 0) abort();
    weft_sem_init(&world->sem, SEM_COUNT);
    world->actors = 1;
    expect(world, weft_scope_open(&scope, WEFT_SCOPE(.deadline = weft_now() + 3 * WEFT_SEC)) == 0);
    for (unsigned i = 0; i < FIRST_ACTORS; i++) {
        struct actor other;
        if (make_actor(&self, &other)) expect(world, weft_scope_go(&scope, act, &other, sizeof other) == 0);
    }
    int result = weft_scope_close(&scope);
    tell(&self, "all", 0, result);
    expect(world, result == 0 || result == -EIO || result == -ETIMEDOUT);
    expect(world, weft_check() == 0);
    check_all(world);
    return 0;
}

static volatile uint64_t current_seed;

/* True: all held. */
static bool run_seed(uint64_t seed, bool tells, uint64_t *trace)
{
    struct world world = {.seed = seed, .tells = tells};

    current_seed = seed;
    int result = weft_run(play, &world, WEFT_OPTIONS(.seed = seed));
    if (trace) *trace = world.trace;
    if (result == 0 && !world.wrong) return true;
    print_error("with seed %" PRIu64 " this did not hold: %s (%s:%d); it replays by: stress_seeds %" PRIu64 "\n", seed,
                world.wrong ? world.wrong : "weft_run's result is 0", __FILE__, world.wrong_line, seed);
    return false;
}

/* CTest's entries differ by the number of workers, of which a seed has one. */
static void my_seeds(uint64_t *first, uint64_t *count)
{
    const char *text = getenv("WEFT_TEST_WORKERS");

    *first = 1;
    *count = test_scale(TEST_CHAOS ? 4000 : 100000); /* which chaos delays, and does not change */
    if (!text) return;
    unsigned workers = test_workers();
    *count /= 4;
    *first += (workers >= 8 ? 3 : workers / 2) * *count;
}

static void all_seeds_hold(void **state)
{
    (void)state;
    uint64_t first, count;

    my_seeds(&first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) assert_true(run_seed(seed, false, NULL));
}

static void seeds_replay(void **state)
{
    (void)state;
    uint64_t first, count, traces[3], same = 0;

    my_seeds(&first, &count);
    for (uint64_t seed = first; seed < first + count; seed += 50) {
        assert_true(run_seed(seed, false, &traces[0]));
        assert_true(run_seed(seed, false, &traces[1]));
        if (traces[0] != traces[1]) print_error("seed %" PRIu64 " does not replay\n", seed);
        assert_true(traces[0] == traces[1]);
        same += seed > first && traces[0] == traces[2];
        traces[2] = traces[0];
    }
    assert_int_equal(same, 0);
}

/* A schedule that hangs says which it is. */
static void say_if_stuck(int signal)
{
    static uint64_t last;
    char            text[64];

    (void)signal;
    if (last == current_seed) {
        int length = snprintf(text, sizeof text, "still at seed %" PRIu64 "\n", last);
        if (write(STDERR_FILENO, text, (size_t)length) < 0) return;
    }
    last = current_seed;
    alarm(20);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_seeds_hold),
        cmocka_unit_test(seeds_replay),
    };

    if (argc > 1) {
        uint64_t trace;
        bool     held = run_seed(strtoull(argv[1], NULL, 0), true, &trace);
        printf("trace %016" PRIx64 "\n", trace);
        return !held;
    }
    signal(SIGALRM, say_if_stuck);
    alarm(20);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
