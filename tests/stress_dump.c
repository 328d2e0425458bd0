/* stress_dump.c - weft_dump while everything that it looks at comes and goes
 *
 * The dumps are written to files in memory, and each is checked: it is whole lines of known
 * forms, and who is sure to wait is there, once.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a dump, looked at ------------------------------------------------------------ */

static bool begins(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* Who waits here all the while is in every dump of the runtime. */
static void check_dump(const char *name, size_t sure)
{
    char *text = test_dump_text();

    if (name) task_check(test_count_of(text, name) == sure);
    for (const char *line = text, *end; *line; line = end + 1) {
        if (!(end = strchr(line, '\n'))) {
            task_check(!"the last line ends");
            break;
        }
        task_check(begins(line, "runtime 0x") || begins(line, "task ") || begins(line, "    ") || begins(line, "and "));
    }
    free(text);
}

/* ---- what comes and goes ----------------------------------------------------------- */

static atomic_bool over;

static int add_one(void *arg)
{
    ++*(int *)arg;
    return 0;
}

static __attribute__((noinline)) int ping(void *arg)
{
    weft_chan **chans = arg;
    int         n = 0;

    while (weft_recv(chans[0], &n, WEFT_NEVER) == 0)
        if (weft_send(chans[1], &n, WEFT_NEVER)) break;
    return 0;
}

static int descend(void *arg)
{
    uintptr_t depth = (uintptr_t)arg;
    weft_task left, right;

    if (depth == 0) {
        weft_yield();
        return 1;
    }
    weft_spawn(&left, descend, (void *)(depth - 1));
    weft_spawn(&right, descend, (void *)(depth - 1));
    if (depth % 2) weft_yield();
    int sum = weft_await(&right);
    return sum + weft_await(&left);
}

static int nap(void *arg)
{
    return weft_sleep(weft_now() + (weft_time)(uintptr_t)arg);
}

/* Tasks of every kind: in place and not, in scopes and roots, timed, cancelled, talking to each other. */
static int churn(void *arg)
{
    uint32_t state = (uint32_t)(uintptr_t)arg | 1;

    while (!atomic_load(&over)) {
        switch (test_random(&state) % 5) {
        case 0: {
            weft_task task;
            int       n = 0;
            weft_spawn(&task, add_one, &n);
            task_check(weft_await(&task) == 0 && n == 1);
            break;
        }
        case 1: task_check(descend((void *)5) == 32); break;
        case 2: {
            weft_scope scope;
            bool       one_root = test_random(&state) % 2;
            task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = one_root)) == 0);
            for (uintptr_t i = 0; i < 8; i++) task_check(weft_scope_go(&scope, nap, (void *)(i * WEFT_US), 0) == 0);
            task_check(weft_scope_close(&scope) == 0);
            break;
        }
        case 3: {
            weft_scope scope;
            task_check(weft_scope_open(&scope, NULL) == 0);
            for (int i = 0; i < 4; i++) task_check(weft_scope_go(&scope, nap, (void *)WEFT_SEC, 0) == 0);
            weft_yield();
            weft_scope_cancel(&scope);
            task_check(weft_scope_close(&scope) == -ECANCELED);
            break;
        }
        default: {
            weft_chan *chans[2];
            weft_task  task;
            task_check(weft_chan_create(&chans[0], sizeof(int), 0) == 0);
            task_check(weft_chan_create(&chans[1], sizeof(int), 1) == 0);
            weft_spawn(&task, ping, chans);
            for (int i = 0, back; i < 20; i++) {
                task_check(weft_send(chans[0], &i, WEFT_NEVER) == 0);
                task_check(weft_recv(chans[1], &back, WEFT_NEVER) == 0 && back == i);
            }
            weft_chan_close(chans[0]);
            weft_await(&task);
            weft_chan_destroy(chans[0]);
            weft_chan_destroy(chans[1]);
        }
        }
    }
    return 0;
}

static __attribute__((noinline)) int sure_to_wait(void *arg)
{
    return weft_recv((weft_chan *)arg, (int *)NULL, WEFT_NEVER);
}

enum { SURE = 40, CHURNS = 8 };

static atomic_int waiting;

static int wait_surely(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    return sure_to_wait(arg);
}

/* ---- who looks ---------------------------------------------------------------------- */

struct looker {
    const char *name;
    size_t      sure;
    size_t      times;
};

static int look(void *arg)
{
    const struct looker *looker = arg;

    for (size_t i = 0; i < looker->times; i++) {
        check_dump(looker->name, looker->sure);
        weft_yield();
    }
    return 0;
}

static void look_from_outside(void *arg)
{
    look(arg);
}

static int run_churn(void *arg)
{
    struct looker inside = {" wait_surely ", SURE, *(size_t *)arg}, outside = inside;
    weft_task     sure[SURE], churns[CHURNS], looks[2];
    test_thread   threads[2];
    weft_chan    *chan;
    bool          none = true;

    atomic_store(&over, false);
    atomic_store(&waiting, 0);
    task_check(weft_chan_create(&chan, sizeof(int), 0) == 0);
    for (int i = 0; i < SURE; i++) weft_spawn(&sure[i], wait_surely, chan);
    task_until(atomic_load(&waiting) == SURE);
    for (uintptr_t i = 0; i < CHURNS; i++) weft_spawn(&churns[i], churn, (void *)(i + 1));
    for (int i = 0; i < 2; i++) test_thread_start(&threads[i], look_from_outside, &outside);
    for (int i = 0; i < 2; i++) weft_spawn(&looks[i], look, &inside);
    for (int i = 0; i < 2; i++) weft_await(&looks[i]);
    for (int i = 0; i < 2; i++) test_thread_join(&threads[i]);
    atomic_store(&over, true);
    for (int i = 0; i < CHURNS; i++) task_check(weft_await(&churns[i]) == 0);
    task_check(weft_chan_close(chan) == 0);
    for (int i = 0; i < SURE; i++) none &= weft_await(&sure[i]) == -EPIPE;
    task_check(none);
    weft_chan_destroy(chan);
    return 0;
}

static void dumps_while_tasks_come_and_go(void **state)
{
    (void)state;
    size_t times = test_scale(100);

    assert_int_equal(test_run_workers(run_churn, &times), 0);
}

/* ---- runtimes that come and go --------------------------------------------------------- */

static int short_life(void *arg)
{
    (void)arg;
    return descend((void *)3);
}

static void come_and_go(void *arg)
{
    for (size_t i = 0; i < *(size_t *)arg; i++)
        task_check(weft_run(short_life, NULL, WEFT_OPTIONS(.workers = test_workers())) == 8);
}

static void dumps_while_runtimes_come_and_go(void **state)
{
    (void)state;
    test_thread   threads[2];
    size_t        times = test_scale(100);
    struct looker outside = {NULL, 0, times};

    for (int i = 0; i < 2; i++) test_thread_start(&threads[i], come_and_go, &times);
    look(&outside);
    for (int i = 0; i < 2; i++) test_thread_join(&threads[i]);
    assert_task_checks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dumps_while_tasks_come_and_go),
        cmocka_unit_test(dumps_while_runtimes_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
