/* fib.c - what a spawn costs when there is next to nothing to spawn
 *
 * Fibonacci by the definition: of the two calls one is spawned, the other is
 * called.  The twins do the same with no task: the function as one would write
 * it, and with its argument and result in a struct and called through a pointer
 * that the compiler cannot see through, which is what any task has to do.
 */
#include "bench.h"

struct fib {
    long n, result;
};

static long plain(long n) __attribute__((noinline));
static long plain(long n)
{
    return n < 2 ? n : plain(n - 1) + plain(n - 2);
}

static weft_fn *volatile pointer;

static int called(void *arg)
{
    struct fib *fib = arg;
    if (fib->n < 2) {
        fib->result = fib->n;
        return 0;
    }
    struct fib left = {.n = fib->n - 1}, right = {.n = fib->n - 2};
    pointer(&left);
    pointer(&right);
    fib->result = left.result + right.result;
    return 0;
}

static int spawned(void *arg)
{
    struct fib *fib = arg;
    if (fib->n < 2) {
        fib->result = fib->n;
        return 0;
    }
    struct fib left = {.n = fib->n - 1}, right = {.n = fib->n - 2};
    weft_task  task;
    weft_spawn(&task, spawned, &left);
    spawned(&right);
    weft_await(&task);
    fib->result = left.result + right.result;
    return 0;
}

static int taken(void *arg)
{
    struct fib *fib = arg;
    if (fib->n < 2) {
        fib->result = fib->n;
        return 0;
    }
    struct fib left = {.n = fib->n - 1}, right = {.n = fib->n - 2};
    weft_task  task;
    weft_spawn(&task, taken, &left);
    taken(&right);
    if (weft_take(&task)) taken(&left);
    else weft_await(&task);
    fib->result = left.result + right.result;
    return 0;
}

static long number, expected;

static int run_plain(void *arg)
{
    (void)arg;
    return plain(number) != expected;
}

static int run_struct(void *arg)
{
    struct fib fib = {.n = number};
    ((weft_fn *)arg)(&fib);
    return fib.result != expected;
}

int main(int argc, char **argv)
{
    bench_start("fib", argc, argv);
    number = bench_size(34, 22);

    /* By adding up.  fib(n) takes fib(n + 1) - 1 spawns. */
    long after = 1;
    for (long i = 0, sum; i < number; i++, expected = after, after = sum) sum = expected + after;
    double spawns = (double)after - 1;

    pointer = called;
    const struct bench_side sides[] = {
        {.name = "plain function", .run = run_plain, .count = spawns},
        {.name = "through a pointer, no task", .run = run_struct, .arg = called, .count = spawns},
        {.name = "spawn, await", .run = run_struct, .arg = spawned, .count = spawns, .workers = BENCH_EACH},
        {.name = "spawn, take", .run = run_struct, .arg = taken, .count = spawns, .workers = BENCH_EACH},
    };
    bench_compare("fib, one child spawned, one called", "spawn", sides);
    return bench_end();
}
