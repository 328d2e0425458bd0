/* start.c - starting and stopping a runtime, measured in threads
 *
 * The first side creates a thread and joins it, so that the ratio of another
 * side says how many such threads it costs.
 */
#include "bench.h"

static long times;

/* What the task or the thread does: it says that it was there. */
static int count_one(void *arg)
{
    ++*(long *)arg;
    return 0;
}

static int run_threads(void *arg)
{
    long there = 0;
    (void)arg;
    for (long i = 0; i < times; i++) {
        struct bench_thread thread;
        bench_thread_start(&thread, count_one, &there);
        bench_thread_join(&thread);
    }
    return there != times;
}

static int run_start_stop(void *arg)
{
    for (long i = 0; i < times; i++) {
        weft_runtime *runtime;
        if (weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = *(unsigned *)arg)) || weft_runtime_stop(runtime))
            return 1;
    }
    return 0;
}

static int run_weft_run(void *arg)
{
    long there = 0;
    for (long i = 0; i < times; i++)
        if (weft_run(count_one, &there, WEFT_OPTIONS(.workers = *(unsigned *)arg))) return 1;
    return there != times;
}

static void compare(const char *what, unsigned workers)
{
    const struct bench_side sides[] = {
        {.name = "a thread: create, join", .run = run_threads, .count = (double)times},
        {.name = "a runtime: start, stop", .run = run_start_stop, .arg = &workers, .count = (double)times},
        {.name = "weft_run of one task", .run = run_weft_run, .arg = &workers, .count = (double)times},
    };
    bench_compare(what, "start and stop", sides);
}

int main(int argc, char **argv)
{
    unsigned workers;

    bench_start("start", argc, argv);
    workers = bench_options.workers;
    times = bench_size(200, 10);
    if (workers != 0) {
        compare("with the workers asked for", workers);
    } else {
        compare("with 1 worker", 1);
        compare("with 2 workers", 2);
    }
    return bench_end();
}
