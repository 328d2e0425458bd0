/* spawn.c - many tasks at once, one at a time, and what one that waits its turn takes up
 *
 * A task adds one to a count beside it, so that each is seen to have run, and
 * to have run once.  The twin calls it through a pointer.
 */
#include "bench.h"

#include <stdlib.h>

enum { BATCH = 1000 };

struct item {
    weft_task task;
    long      count;
};

static struct item items[BATCH];
static weft_fn *volatile pointer;
static long   rounds, waiting;
static double bytes_each;

static int add_one(void *arg)
{
    (*(long *)arg)++;
    return 0;
}

/* Whether each has run once a round; then from the start again. */
static int judge(struct item *all, long count, long expected)
{
    int wrong = 0;
    for (long i = 0; i < count; i++) {
        wrong |= all[i].count != expected;
        all[i].count = 0;
    }
    return wrong;
}

static int call(void *arg)
{
    (void)arg;
    for (long round = 0; round < rounds; round++)
        for (int i = 0; i < BATCH; i++) pointer(&items[i].count);
    return judge(items, BATCH, rounds);
}

static int first_first(void *arg)
{
    (void)arg;
    for (long round = 0; round < rounds; round++) {
        for (int i = 0; i < BATCH; i++) weft_spawn(&items[i].task, add_one, &items[i].count);
        for (int i = 0; i < BATCH; i++) weft_await(&items[i].task);
    }
    return judge(items, BATCH, rounds);
}

static int last_first(void *arg)
{
    (void)arg;
    for (long round = 0; round < rounds; round++) {
        for (int i = 0; i < BATCH; i++) weft_spawn(&items[i].task, add_one, &items[i].count);
        for (int i = BATCH; i-- > 0;) weft_await(&items[i].task);
    }
    return judge(items, BATCH, rounds);
}

static int one_at_a_time(void *arg)
{
    (void)arg;
    for (long i = 0; i < rounds * BATCH; i++) {
        weft_spawn(&items[0].task, add_one, &items[0].count);
        weft_await(&items[0].task);
    }
    return judge(items, 1, rounds * BATCH);
}

/* Memory is compared while nothing has been awaited yet. */
static int wait_their_turn(void *arg)
{
    (void)arg;
    double       before = bench_memory("VmRSS");
    struct item *all = calloc((size_t)waiting, sizeof(*all));
    if (!all) return 1;
    for (long i = 0; i < waiting; i++) weft_spawn(&all[i].task, add_one, &all[i].count);
    bytes_each = (bench_memory("VmRSS") - before) / (double)waiting - (double)sizeof(all->count);
    for (long i = waiting; i-- > 0;) weft_await(&all[i].task);
    int wrong = judge(all, waiting, 1);
    free(all);
    return wrong;
}

int main(int argc, char **argv)
{
    bench_start("spawn", argc, argv);
    rounds = bench_size(1000, 10);
    waiting = bench_size(1000000, 50000);
    pointer = add_one;

    /* First of all: memory that is free but not given back would be used again, and not be seen. */
    if (weft_run(wait_their_turn, NULL, WEFT_OPTIONS(.workers = 1)))
        bench_fail("%ld tasks waiting their turn: the result is wrong", waiting);
    bench_value("a task's own storage", sizeof(weft_task), "bytes");
    bench_value("memory of a task that waits its turn", bytes_each, "bytes");

    double                  tasks = (double)rounds * BATCH;
    const struct bench_side many[] = {
        {.name = "calls through a pointer", .run = call, .count = tasks},
        {.name = "awaited last first", .run = last_first, .count = tasks, .workers = BENCH_EACH},
        {.name = "awaited first first", .run = first_first, .count = tasks, .workers = BENCH_EACH},
    };
    bench_compare("1,000 spawned, then awaited", "task", many);
    const struct bench_side single[] = {
        {.name = "calls through a pointer", .run = call, .count = tasks},
        {.name = "spawn, await", .run = one_at_a_time, .count = tasks, .workers = BENCH_EACH},
    };
    bench_compare("spawned and awaited, one at a time", "task", single);
    return bench_end();
}
