/* paths.c - the hot paths, each a number of times, for their instructions to be counted
 *
 *      paths NAME COUNT
 *
 * On one worker, so that a count is the same every time.  Without arguments: the names.
 */
#include <weft/weft.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long count;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void spawn_await(void)
{
    for (long i = 0; i < count; i++) {
        weft_task task;
        weft_spawn(&task, nothing, NULL);
        weft_await(&task);
    }
}

static void spawn_take(void)
{
    for (long i = 0; i < count; i++) {
        weft_task task;
        weft_spawn(&task, nothing, NULL);
        if (!weft_take(&task)) weft_await(&task);
    }
}

/* Each begins on a stack of its own, as one that was stolen does. */
static void await_oldest_first(void)
{
    enum { SOME = 100 };
    static weft_task tasks[SOME];
    for (long i = 0; i < count; i += SOME) {
        for (int k = 0; k < SOME; k++) weft_spawn(&tasks[k], nothing, NULL);
        for (int k = 0; k < SOME; k++) weft_await(&tasks[k]);
    }
}

static int yield_once(void *arg)
{
    (void)arg;
    weft_yield();
    return 0;
}

/* The awaiter waits, and is woken by the task's end; the yields that bring this about are in the count. */
static void await_begun(void)
{
    for (long i = 0; i < count; i++) {
        weft_task task;
        weft_spawn(&task, yield_once, NULL);
        weft_yield();
        weft_await(&task);
    }
}

static int yield_all_the_time(void *arg)
{
    (void)arg;
    for (long i = 0; i < count / 2; i++) weft_yield();
    return 0;
}

static void yield(void)
{
    weft_task other;
    weft_spawn(&other, yield_all_the_time, NULL);
    yield_all_the_time(NULL);
    weft_await(&other);
}

static void scope_go(void)
{
    weft_scope scope;
    for (long i = 0; i < count; i++) {
        weft_scope_open(&scope, NULL);
        weft_scope_go(&scope, nothing, NULL, 0);
        weft_scope_close(&scope);
    }
}

static void send_receive(void)
{
    weft_chan *chan;
    int        value = 1;
    if (weft_chan_create(&chan, sizeof value, 1) != 0) abort();
    for (long i = 0; i < count; i++) {
        weft_send(chan, &value, WEFT_NEVER);
        weft_recv(chan, &value, WEFT_NEVER);
    }
    weft_chan_destroy(chan);
}

struct pair {
    weft_chan *there, *back;
};

static int pong(void *arg)
{
    struct pair *pair = arg;
    int          value;
    while (weft_recv(pair->there, &value, WEFT_NEVER) == 0) weft_send(pair->back, &value, WEFT_NEVER);
    return 0;
}

/* Two sends and two receives, of which each waits or wakes. */
static void ping_pong(void)
{
    struct pair pair;
    weft_task   other;
    int         value = 1;
    if (weft_chan_create(&pair.there, sizeof value, 0) || weft_chan_create(&pair.back, sizeof value, 0)) abort();
    weft_spawn(&other, pong, &pair);
    for (long i = 0; i < count; i++) {
        weft_send(pair.there, &value, WEFT_NEVER);
        weft_recv(pair.back, &value, WEFT_NEVER);
    }
    weft_chan_close(pair.there);
    weft_await(&other);
    weft_chan_destroy(pair.there);
    weft_chan_destroy(pair.back);
}

static void select_ready(void)
{
    weft_chan *chans[4];
    int        value = 1;
    for (int i = 0; i < 4; i++)
        if (weft_chan_create(&chans[i], sizeof value, 1) != 0) abort();
    for (long i = 0; i < count; i++) {
        struct weft_case cases[] = {WEFT_RECV(chans[0], &value), WEFT_RECV(chans[1], &value),
                                    WEFT_RECV(chans[2], &value), WEFT_RECV(chans[3], &value)};
        weft_send(chans[i % 4], &value, WEFT_NEVER);
        weft_select(cases, 4, WEFT_NEVER);
    }
    for (int i = 0; i < 4; i++) weft_chan_destroy(chans[i]);
}

static void lock_unlock(void)
{
    static weft_mutex mutex;
    for (long i = 0; i < count; i++) {
        weft_mutex_lock(&mutex);
        weft_mutex_unlock(&mutex);
    }
}

static weft_sem there, back;

static int post_back(void *arg)
{
    (void)arg;
    for (long i = 0; i < count; i++) {
        weft_sem_wait(&there, WEFT_NEVER);
        weft_sem_post(&back);
    }
    return 0;
}

/* Two waits and two wakes, of the plainest kind. */
static void wait_wake(void)
{
    weft_task other;
    weft_spawn(&other, post_back, NULL);
    for (long i = 0; i < count; i++) {
        weft_sem_post(&there);
        weft_sem_wait(&back, WEFT_NEVER);
    }
    weft_await(&other);
}

static void check(void)
{
    for (long i = 0; i < count; i++) weft_check();
}

static int numbers(weft_gen *self, void *arg)
{
    (void)arg;
    for (long i = 0;; i++)
        if (weft_gen_yield(self, &i, NULL) < 0) return 0;
}

static void generator_next(void)
{
    weft_gen *gen;
    void     *value;
    if (weft_gen_create(&gen, numbers, NULL, 0) != 0) abort();
    for (long i = 0; i < count; i++) weft_gen_next(gen, &value);
    weft_gen_destroy(gen);
}

static const struct {
    const char *name;
    void (*run)(void);
} paths[] = {
    {"spawn-await", spawn_await},   {"spawn-take", spawn_take}, {"await-oldest-first", await_oldest_first},
    {"await-begun", await_begun},   {"yield", yield},           {"scope-go", scope_go},
    {"send-receive", send_receive}, {"ping-pong", ping_pong},   {"select-ready", select_ready},
    {"lock-unlock", lock_unlock},   {"wait-wake", wait_wake},   {"check", check},
    {"gen-next", generator_next},
};

static int run(void *path)
{
    (*(void (**)(void))path)();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) puts(paths[i].name);
    if (argc != 3) return argc == 1 ? 0 : 2;
    count = atol(argv[2]);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        void (*path)(void) = paths[i].run;
        if (strcmp(argv[1], paths[i].name) == 0) return weft_run(run, &path, WEFT_OPTIONS(.workers = 1)) != 0;
    }
    fprintf(stderr, "there is no path \"%s\"\n", argv[1]);
    return 2;
}
