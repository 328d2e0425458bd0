/* timers.c - a million tasks that each sleep 1 to 100 ms, started as fast as can be
 *
 * What counts is how long all of it takes, and how late the tasks go on: half of
 * them, 99 of 100, and the last, in the latest run.  None may be early.  The
 * twin has no tasks: one thread goes through the moments, sorted beforehand and all
 * counted from the start, and sleeps until the next whenever it has caught up, which
 * is as punctual as a thread can be.
 */
#include "bench.h"
#include "peers/common/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct sleeper {
    weft_time duration, late; /* WEFT_NEVER: has not gone on yet */
} * sleepers;
static weft_time *sorted; /* the durations */
static weft_time *lates;  /* of one run */
static long       count;

/* What was seen of one side. */
struct lateness {
    const char *name;
    double      half, most99, most; /* microseconds */
};

static int ascending(const void *left, const void *right)
{
    weft_time a = *(const weft_time *)left, b = *(const weft_time *)right;
    return (a > b) - (a < b);
}

/* The same in every program that is compared (bench/peers). */
static void draw_durations(void)
{
    uint64_t state = WORK_SEED;
    for (long i = 0; i < count; i++) {
        sleepers[i].late = WEFT_NEVER;
        sorted[i] = sleepers[i].duration = work_duration(&state);
    }
    qsort(sorted, (size_t)count, sizeof(*sorted), ascending);
}

static int sleep_task(void *arg)
{
    struct sleeper *sleeper = arg;
    weft_time       until = weft_now() + sleeper->duration;
    int             wrong = weft_sleep(until);
    sleeper->late = weft_now() - until;
    return wrong;
}

static int run_tasks(void *arg)
{
    weft_scope scope;
    int        wrong = weft_scope_open(&scope, NULL);
    (void)arg;
    if (wrong) return wrong;
    for (long i = 0; i < count && !wrong; i++) wrong = weft_go(sleep_task, &sleepers[i], 0);
    int closed = weft_scope_close(&scope);
    return wrong ? wrong : closed;
}

static int run_thread(void *arg)
{
    int64_t begin = bench_now(), now = begin;
    (void)arg;
    for (long i = 0; i < count; i++) {
        int64_t         until = begin + sorted[i];
        struct timespec moment = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
        for (; now < until; now = bench_now()) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
        now = bench_now();
        sleepers[i].late = now - until;
    }
    return 0;
}

/* Before the next run all are marked as not gone on. */
static int judge(void *arg)
{
    struct lateness *lateness = arg;
    for (long i = 0; i < count; i++) {
        lates[i] = sleepers[i].late;
        sleepers[i].late = WEFT_NEVER;
    }
    qsort(lates, (size_t)count, sizeof(*lates), ascending);
    lateness->half = (double)lates[count / 2] / 1000;
    lateness->most99 = (double)lates[count / 100 * 99] / 1000;
    lateness->most = (double)lates[count - 1] / 1000;
    return lates[0] < 0 || lates[count - 1] == WEFT_NEVER;
}

int main(int argc, char **argv)
{
    struct lateness lateness[] = {{.name = "one thread"}, {.name = "1 worker"}, {.name = "2 workers"}};
    bench_start("timers", argc, argv);
    count = bench_size(1000000, 1000);
    sleepers = calloc((size_t)count, sizeof(*sleepers));
    sorted = calloc((size_t)count, sizeof(*sorted));
    lates = calloc((size_t)count, sizeof(*lates));
    if (!sleepers || !sorted || !lates) bench_fail("no memory");
    draw_durations();

    int               given = (int)bench_options.workers;
    size_t            sides_count = given ? 2 : 3;
    struct bench_side sides[] = {
        {.name = "one thread, no tasks", .run = run_thread},
        {.name = "a task each", .run = run_tasks, .workers = given ? given : 1},
        {.name = "a task each", .run = run_tasks, .workers = 2},
    };
    if (given) lateness[1].name = "the workers asked for";
    for (size_t i = 0; i < sides_count; i++) {
        sides[i].judge = judge;
        sides[i].arg = &lateness[i];
        sides[i].count = 1;
    }
    bench_compare_sides("sleeps of 1 to 100 ms", "run", sides, sides_count);
    bench_value("sleeps in a run", (double)count, "");
    for (size_t i = 0; i < sides_count; i++) {
        char what[80];
        snprintf(what, sizeof(what), "%s: half are late by at most", lateness[i].name);
        bench_value(what, lateness[i].half, "us");
        snprintf(what, sizeof(what), "%s: 99 of 100", lateness[i].name);
        bench_value(what, lateness[i].most99, "us");
        snprintf(what, sizeof(what), "%s: all", lateness[i].name);
        bench_value(what, lateness[i].most, "us");
    }
    free(lates), free(sorted), free(sleepers);
    return bench_end();
}
