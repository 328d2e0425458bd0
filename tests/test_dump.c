/* test_dump.c - weft_dump: every task, its state, what it waits for, how long and where */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

/* After a call, so that it is one, and its caller has a frame. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

/* ---- a dump as text ------------------------------------------------------------------- */

/* The first task of that function: its line, and those of its frames.  NULL: there is none. */
static char *task_in(const char *text, const char *function)
{
    const char *line = text, *end;
    char        name[100];

    snprintf(name, sizeof name, " %s (", function);
    for (; (line = strstr(line, "\ntask ")); line++) {
        const char *after = strchr(line + strlen("\ntask "), ' ');
        if (after && strncmp(after, name, strlen(name)) == 0) break;
    }
    if (!line) return NULL;
    for (end = line + 1; (end = strchr(end, '\n')) && strncmp(end, "\n    ", 5) == 0; end++)
        ;
    return end ? strndup(line, (size_t)(end - line)) : NULL;
}

/* Whether the first task of that function has all of these in its lines, in this order. */
static bool task_has(const char *text, const char *function, const char *const *what)
{
    char       *task = task_in(text, function);
    const char *at = task;

    for (; at && *what; what++) at = strstr(at, *what);
    if (!at) fprintf(stderr, "%s lacks \"%s\": %s\n", function, *what ? *what : "", task ? task : text);
    free(task);
    return at;
}

#define HAS(text, function, ...) task_has(text, function, (const char *const[]){__VA_ARGS__, NULL})

static const char *words(char into[100], const char *format, const void *object)
{
    snprintf(into, 100, format, object);
    return into;
}

/* ---- states and waits -------------------------------------------------------------------- */

static weft_chan *make_chan(void)
{
    weft_chan *chan = NULL;

    task_check(weft_chan_create(&chan, sizeof(int), 0) == 0);
    return chan;
}

static NOINLINE int receive(weft_chan *chan)
{
    int result = weft_chan_recv(chan, NULL, sizeof(int), WEFT_NEVER);

    KEEP_FRAME();
    return result;
}

static NOINLINE int receives(void *arg)
{
    int result = receive(arg);

    KEEP_FRAME();
    return result;
}

static NOINLINE int sends(void *arg)
{
    int value = 1, result = weft_send((weft_chan *)arg, &value, WEFT_NEVER);

    KEEP_FRAME();
    return result;
}

static NOINLINE int selects(void *arg)
{
    struct weft_case cases[] = {{arg, NULL, NULL, sizeof(int), 0}};
    int              result = weft_select(cases, 1, WEFT_NEVER);

    KEEP_FRAME();
    return result;
}

static NOINLINE int sleeps(void *arg)
{
    (void)arg;
    int result = weft_sleep(weft_now() + 1000 * WEFT_SEC);

    KEEP_FRAME();
    return result;
}

static NOINLINE int awaits(void *arg)
{
    int result = weft_await(arg);

    KEEP_FRAME();
    return result;
}

static NOINLINE int awaits_any(void *arg)
{
    weft_task *tasks[] = {arg};
    int        result = weft_await_any(tasks, 1, WEFT_NEVER);

    KEEP_FRAME();
    return result;
}

static NOINLINE int closes_scope(void *arg)
{
    weft_scope scope;

    task_check(weft_scope_open(&scope, NULL) == 0);
    task_check(weft_scope_go(&scope, receives, arg, 0) == 0);
    int result = weft_scope_close(&scope);

    KEEP_FRAME();
    return result;
}

static atomic_bool over;

static NOINLINE int yields(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) weft_yield();
    return 0;
}

static int never_begun(void *arg)
{
    (void)arg;
    return 0;
}

/* All that can be waited for, on one worker, where everybody has come to rest when others were let run. */
static NOINLINE int look_at_all(void *arg)
{
    weft_chan *chan = make_chan(), *full = make_chan();
    weft_task  tasks[9], late;
    char       room[100];

    (void)arg;
    atomic_store(&over, false);
    weft_spawn(&tasks[0], receives, chan);
    weft_spawn(&tasks[1], sends, full);
    weft_spawn(&tasks[2], selects, chan);
    weft_spawn(&tasks[3], sleeps, NULL);
    weft_spawn(&tasks[4], closes_scope, chan);
    weft_spawn(&tasks[5], yields, NULL);
    weft_spawn(&tasks[6], receives, chan);
    test_let_run();
    weft_spawn(&tasks[7], awaits, &tasks[0]);
    weft_spawn(&tasks[8], awaits_any, &tasks[6]);
    test_let_run();
    weft_spawn(&late, never_begun, NULL);

    char *text = test_dump_text();
    task_check(strncmp(text, "runtime 0x", 10) == 0 && strstr(text, ", 1 workers\n"));
    task_check(HAS(text, "receives", words(room, " waits to receive from the channel %p for ", chan), ", scope 0x",
                   "\n    receive+0x", "\n    receives+0x"));
    task_check(HAS(text, "sends", words(room, " waits to send to the channel %p for ", full), "\n    sends+0x"));
    task_check(HAS(text, "selects", words(room, " waits in a select %p for ", chan), "\n    selects+0x"));
    task_check(HAS(text, "sleeps", " waits for a moment to come for ", "\n    sleeps+0x"));
    task_check(
        HAS(text, "awaits", words(room, " waits for the end of the task %p for ", &tasks[0]), "\n    awaits+0x"));
    task_check(HAS(text, "awaits_any", " waits for the end of one of several tasks for ", "\n    awaits_any+0x"));
    task_check(HAS(text, "closes_scope", " waits for the tasks of a scope to end 0x", "\n    closes_scope+0x"));
    task_check(HAS(text, "yields", " is ready", "\n    yields+0x"));
    task_check(HAS(text, "look_at_all", " runs", ", scope 0x", "\n    look_at_all+0x"));
    /* Each once, by its storage. */
    for (int i = 0; i < 9; i++) task_check(test_count_of(text, words(room, "\ntask %p ", &tasks[i])) == 1);
    task_check(test_count_of(text, "\ntask ") == 11);
    task_check(strstr(text, "\nand 1 that have not begun") != NULL);
    task_check(text[strlen(text) - 1] == '\n');
    /* What every stack has at its ends is no news. */
    task_check(!strstr(text, "context_") && !strstr(text, "worker_") && !strstr(text, "scope_run"));
    free(text);

    atomic_store(&over, true);
    task_check(weft_chan_close(chan) == 0 && weft_chan_close(full) == 0);
    weft_cancel(&tasks[3]);
    for (int i = 1; i < 9; i++)
        if (i != 6) weft_await(&tasks[i]);
    weft_await(&tasks[6]);
    weft_await(&late);
    weft_chan_destroy(chan);
    weft_chan_destroy(full);
    return 0;
}

static void every_task_is_shown_with_what_it_waits_for(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_at_all, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(look_at_all, NULL, WEFT_OPTIONS(.one_root = true)), 0);
}

/* ---- woken ---------------------------------------------------------------------------------- */

static int look_at_woken(void *arg)
{
    weft_chan *chan = make_chan();
    weft_task  task;

    (void)arg;
    weft_spawn(&task, receives, chan);
    test_let_run();
    char *text = test_dump_text();
    task_check(HAS(text, "receives", " waits to receive"));
    free(text);
    task_check(weft_send(chan, &(int){1}, 0) == 0); /* it is woken, and has not run */
    text = test_dump_text();
    task_check(HAS(text, "receives", " is ready", "\n    receives+0x"));
    free(text);
    task_check(weft_await(&task) == 0);
    weft_chan_destroy(chan);
    return 0;
}

static void who_is_woken_does_not_wait(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_at_woken, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- how long --------------------------------------------------------------------------------- */

/* Seconds that the task of that function has waited; negative: it does not say. */
static double waited(const char *text, const char *function)
{
    char  *task = task_in(text, function);
    double seconds = -1;

    for (const char *at = task; at && (at = strstr(at, " for ")); at++)
        if (sscanf(at, " for %lf s", &seconds) == 1) break;
    free(task);
    return seconds;
}

static int look_how_long(void *arg)
{
    weft_chan *chan = make_chan();
    weft_time  rest = 30 * WEFT_MS;
    weft_task  task;

    (void)arg;
    weft_time begin = weft_now() + rest;
    task_check(weft_sleep(begin) == 0); /* the time before does not count */
    weft_spawn(&task, receives, chan);
    test_let_run();
    task_check(weft_sleep(weft_now() + rest) == 0);
    char     *text = test_dump_text();
    weft_time end = weft_now();
    double    seconds = waited(text, "receives");
    task_check(seconds >= 0.029 && seconds <= (double)(end - begin) / 1e9 + 0.002);
    free(text);
    task_check(weft_chan_close(chan) == 0);
    task_check(weft_await(&task) == -EPIPE);
    weft_chan_destroy(chan);
    return 0;
}

static void how_long_is_from_when_it_began_to_wait(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_how_long, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(test_run(look_how_long, NULL, WEFT_OPTIONS(.seed = 6)), 0);
}

/* Nor does the time for which nobody had anything to do. */
static void how_long_is_not_since_the_runtime_came_to_rest(void **state)
{
    (void)state;
    weft_runtime *runtime;
    weft_chan    *chan = make_chan();
    double        seconds;

    assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = test_workers())), 0);
    test_sleep(100 * WEFT_MS);
    weft_time begin = test_now();
    assert_int_equal(weft_runtime_go(runtime, receives, chan, 0), 0);
    do {
        char *text = test_dump_text();
        seconds = waited(text, "receives");
        free(text);
    } while (seconds < 0);
    assert_true(seconds <= (double)(test_now() - begin) / 1e9 + 0.002);
    weft_chan_close(chan);
    assert_int_equal(weft_runtime_stop(runtime), 0);
    weft_chan_destroy(chan);
    assert_task_checks();
}

/* ---- roots, scopes, cancelling -------------------------------------------------------------------- */

static NOINLINE int free_one(void *arg)
{
    int result = receives(arg);

    KEEP_FRAME();
    return result;
}

/* A dump in which so many wait. */
static char *dump_of_waiting(size_t count)
{
    char *text;

    for (; test_count_of(text = test_dump_text(), " waits to ") != count; free(text)) weft_yield();
    return text;
}

static int look_at_owners(void *arg)
{
    weft_chan *chan = make_chan(), *full = make_chan();
    weft_task  task;
    weft_scope scope, inner;
    char       room[100], root[100] = "";

    (void)arg;
    weft_spawn(&task, free_one, chan);
    task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = true)) == 0);
    task_check(weft_scope_go(&scope, receives, chan, 0) == 0);
    task_check(weft_scope_open(&inner, WEFT_SCOPE(.shield = true)) == 0);
    task_check(weft_scope_go(&inner, sends, full, 0) == 0);
    char       *text = dump_of_waiting(3);
    char       *mine = task_in(text, "look_at_owners"), *alone = task_in(text, "free_one");
    const char *of_root = mine ? strstr(mine, ", root 0x") : NULL;
    task_check(of_root != NULL);
    if (of_root) sscanf(of_root, ", root %99[^,]", root);
    task_check(HAS(text, "look_at_owners", " runs, root ", root, words(room, ", scope %p\n", &inner)));
    task_check(HAS(text, "receives", " waits to receive", ", root ", root, words(room, ", scope %p\n", &scope)));
    task_check(HAS(text, "sends", " waits to send", ", root ", root, words(room, ", scope %p\n", &inner)));
    task_check(alone && !strstr(alone, ", root ") && strstr(alone, ", scope 0x"));
    task_check(!strstr(text, "cancelled"));
    free(alone);
    free(mine);
    free(text);
    /* Short of the shield all below is cancelled; to the one that still runs in its root it has yet to come. */
    weft_scope_cancel(&scope);
    text = test_dump_text();
    task_check(HAS(text, "receives", words(room, ", scope %p, cancelled: Operation canceled\n", &scope)));
    task_check(HAS(text, "sends", words(room, ", scope %p\n", &inner)));
    task_check(HAS(text, "look_at_owners", " runs", words(room, ", scope %p\n", &inner)));
    free(text);
    weft_scope_cancel(&inner);
    text = test_dump_text();
    task_check(HAS(text, "sends", words(room, ", scope %p, cancelled: Operation canceled\n", &inner)));
    task_check(HAS(text, "free_one", ", scope 0x"));
    free(text);
    task_check(weft_scope_close(&inner) == -ECANCELED);
    task_check(weft_scope_close(&scope) == -ECANCELED);
    task_check(weft_chan_close(chan) == 0);
    task_check(weft_await(&task) == -EPIPE);
    weft_chan_destroy(chan);
    weft_chan_destroy(full);
    return 0;
}

static void root_scope_and_reason_are_shown(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_at_owners, NULL, WEFT_OPTIONS(.workers = 2)), 0);
}

/* ---- on other workers -------------------------------------------------------------------------------- */

static atomic_bool runs_now;

static NOINLINE int runs_on(void *arg)
{
    (void)arg;
    atomic_store(&runs_now, true);
    task_spin_until(atomic_load(&over));
    return 0;
}

static int look_at_running(void *arg)
{
    weft_task task;

    (void)arg;
    atomic_store(&over, false);
    atomic_store(&runs_now, false);
    weft_spawn(&task, runs_on, NULL);
    task_spin_until(atomic_load(&runs_now));
    char *text = test_dump_text();
    task_check(HAS(text, "runs_on", " runs"));
    free(text);
    atomic_store(&over, true);
    task_check(weft_await(&task) == 0);
    return 0;
}

static void who_runs_elsewhere_is_shown_by_its_function(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_at_running, NULL, WEFT_OPTIONS(.workers = 2)), 0);
}

/* ---- from outside -------------------------------------------------------------------------------------- */

static int receives_here(void *arg)
{
    return receives(arg);
}

static int receives_there(void *arg)
{
    return receives(arg);
}

static void a_plain_thread_sees_all_runtimes(void **state)
{
    (void)state;
    weft_runtime *here, *there;
    weft_chan    *chan = make_chan();

    char *text = test_dump_text();
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(weft_runtime_start(&here, WEFT_OPTIONS(.workers = 1)), 0);
    assert_int_equal(weft_runtime_start(&there, WEFT_OPTIONS(.workers = 2)), 0);
    assert_int_equal(weft_runtime_go(here, receives_here, chan, 0), 0);
    assert_int_equal(weft_runtime_go(there, receives_there, chan, 0), 0);
    for (;; free(text)) {
        text = test_dump_text();
        if (test_count_of(text, " waits to receive") == 2) break;
        test_sleep(WEFT_MS);
    }
    assert_int_equal(test_count_of(text, "runtime 0x"), 2);
    assert_non_null(strstr(text, ", 1 workers\n"));
    assert_non_null(strstr(text, ", 2 workers\n"));
    assert_true(HAS(text, "receives_here", " waits to receive"));
    assert_true(HAS(text, "receives_there", " waits to receive"));
    free(text);
    weft_chan_close(chan);
    assert_int_equal(weft_runtime_stop(here), 0);
    text = test_dump_text();
    assert_int_equal(test_count_of(text, "runtime 0x"), 1);
    free(text);
    assert_int_equal(weft_runtime_stop(there), 0);
    weft_chan_destroy(chan);
    assert_task_checks();
}

/* ---- descriptors that fail -------------------------------------------------------------------------------- */

static int dump_into_bad(void *arg)
{
    int        full[2], broken[2];
    weft_chan *chan = make_chan();
    weft_task  task;

    (void)arg;
    weft_spawn(&task, receives, chan);
    test_let_run();
    task_check(weft_dump(-1) == -EBADF);
    int device = open("/dev/full", O_WRONLY | O_CLOEXEC);
    task_check(device >= 0 && weft_dump(device) == -ENOSPC);
    close(device);
    device = open("/dev/null", O_RDONLY | O_CLOEXEC);
    task_check(weft_dump(device) == -EBADF);
    close(device);
    task_check(pipe2(full, O_CLOEXEC | O_NONBLOCK) == 0);
    char some[4096] = "";
    while (write(full[1], some, sizeof some) > 0) {
    }
    task_check(weft_dump(full[1]) == -EAGAIN);
    close(full[0]);
    close(full[1]);
    task_check(pipe2(broken, O_CLOEXEC) == 0);
    close(broken[0]);
    task_check(weft_dump(broken[1]) == -EPIPE);
    close(broken[1]);
    /* Nobody is held by what went wrong. */
    task_check(weft_chan_close(chan) == 0);
    task_check(weft_await(&task) == -EPIPE);
    weft_chan_destroy(chan);
    return 0;
}

/* Though there is no runtime, and so nothing to write. */
static void a_descriptor_that_is_none_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(weft_dump(-1), -EBADF);
    int device = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(device >= 0);
    assert_int_equal(weft_dump(device), -EBADF);
    close(device);
    device = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(weft_dump(device), 0);
    close(device);
}

static void a_descriptor_that_fails_is_an_error(void **state)
{
    (void)state;
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);

    assert_int_equal(test_run(dump_into_bad, NULL, WEFT_OPTIONS(.workers = 1)), 0);
    signal(SIGPIPE, before);
}

/* ---- work ---------------------------------------------------------------------------------------------------- */

int __wrap_open(const char *path, int flags, ...);
int __real_open(const char *path, int flags, ...);

static atomic_size_t opened;

int __wrap_open(const char *path, int flags, ...)
{
    atomic_fetch_add(&opened, 1);
    return __real_open(path, flags, 0);
}

/* How many files a dump of so many tasks that wait at the same place opens. */
static size_t opened_for(size_t count)
{
    weft_task *tasks = malloc(count * sizeof *tasks);
    weft_chan *chan = make_chan();

    if (!tasks) abort();
    for (size_t i = 0; i < count; i++) weft_spawn(&tasks[i], receives, chan);
    test_let_run();
    size_t before = atomic_load(&opened);
    free(test_dump_text());
    size_t files = atomic_load(&opened) - before;
    task_check(weft_chan_close(chan) == 0);
    for (size_t i = 0; i < count; i++) weft_await(&tasks[i]);
    weft_chan_destroy(chan);
    free(tasks);
    return files;
}

static int look_for_names(void *arg)
{
    (void)arg;
    size_t few = opened_for(10), many = opened_for(100);
    task_check(few > 0);
    task_check(many < 2 * few);
    return 0;
}

/* To find a name is to read through a file, which may be large. */
static void a_name_is_looked_up_once(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_for_names, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- many -------------------------------------------------------------------------------------------------- */

struct reader {
    int    fd;
    char  *text;
    size_t length;
};

static void read_all(void *arg)
{
    struct reader *r = arg;
    size_t         room = 1 << 16;

    r->text = malloc(room);
    for (ssize_t got; (got = read(r->fd, r->text + r->length, room - 1 - r->length)) > 0;) {
        r->length += (size_t)got;
        if (room - r->length > 4096) continue;
        room *= 2;
        r->text = realloc(r->text, room);
        if (!r->text) abort();
    }
    r->text[r->length] = 0;
}

/* Through a pipe, which holds little of it, and whose reader is slower. */
static int look_at_many(void *arg)
{
    size_t        count = test_stacks(*(size_t *)arg);
    weft_task    *tasks = malloc(count * sizeof *tasks);
    weft_chan    *chan = make_chan();
    struct reader reader = {0};
    test_thread   thread;
    int           ends[2];
    bool          good = true;

    if (!tasks) abort();
    for (size_t i = 0; i < count; i++) weft_spawn(&tasks[i], receives, chan);
    free(dump_of_waiting(count));
    task_check(pipe2(ends, O_CLOEXEC) == 0);
    reader.fd = ends[0];
    test_thread_start(&thread, read_all, &reader);
    task_check(weft_dump(ends[1]) == 0);
    close(ends[1]);
    test_thread_join(&thread);
    close(ends[0]);
    task_check(test_count_of(reader.text, " waits to receive from the channel 0x") == count);
    task_check(test_count_of(reader.text, "\n    receives+0x") == count);
    task_check(test_count_of(reader.text, "\ntask 0x") == count + 1);
    free(reader.text);
    task_check(weft_chan_close(chan) == 0);
    for (size_t i = 0; i < count; i++) good &= weft_await(&tasks[i]) == -EPIPE;
    task_check(good);
    weft_chan_destroy(chan);
    free(tasks);
    return 0;
}

static void many_are_shown_each_once(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(look_at_many, &(size_t){20000}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_is_shown_with_what_it_waits_for),
        cmocka_unit_test(who_is_woken_does_not_wait),
        cmocka_unit_test(how_long_is_from_when_it_began_to_wait),
        cmocka_unit_test(how_long_is_not_since_the_runtime_came_to_rest),
        cmocka_unit_test(root_scope_and_reason_are_shown),
        cmocka_unit_test(who_runs_elsewhere_is_shown_by_its_function),
        cmocka_unit_test(a_plain_thread_sees_all_runtimes),
        cmocka_unit_test(a_descriptor_that_is_none_is_an_error),
        cmocka_unit_test(a_descriptor_that_fails_is_an_error),
        cmocka_unit_test(a_name_is_looked_up_once),
        cmocka_unit_test(many_are_shown_each_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
