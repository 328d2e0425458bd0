/* switch.c - what the library adds to the bare switch of stacks
 *
 * Two contexts of Boost.Context that jump to each other, against two of the
 * library's own, which is what every switch of tasks goes through, and against two
 * tasks that yield to each other on one worker, where a queue and the choice of the
 * next come on top.  A task's time is divided by the switches that the runtime
 * counted, and these must be about as many as the yields, so that one that did
 * not switch does not pass for a fast one.
 */
#include "bench.h"
#include "context.h"
#include "jump.h"

static long turns;
static char stack[64 * 1024] __attribute__((aligned(64)));
static long bounced;

static void bounce(struct transfer from)
{
    for (;;) {
        bounced++;
        from = jump_fcontext(from.context, NULL);
    }
}

/* Two switches a turn: there and back. */
static int run_jumps(void *arg)
{
    (void)arg;
    struct transfer other = {make_fcontext(stack + sizeof(stack), sizeof(stack), bounce), NULL};
    bounced = 0;
    for (long i = 0; i < turns; i++) other = jump_fcontext(other.context, NULL);
    return bounced != turns;
}

static struct context here, there;

/* Both sides from the same place, as two tasks of one function: the processor
 * predicts where a return goes. */
static void hop_to(struct context *other, struct context *self)
{
    for (; bounced < 2 * turns; bounced++) context_switch(self, other);
}

/* One copy of it: through this pointer the compiler makes no variant for one of the sides. */
static void (*volatile hop)(struct context *other, struct context *self) = hop_to;

static void bounce_back(struct context *from)
{
    for (;; context_switch(&there, from)) hop(from, &there);
}

static int run_switches(void *arg)
{
    (void)arg;
    context_thread(&here);
    context_make(&there, stack, stack + sizeof(stack), bounce_back);
    bounced = 0;
    hop(&there, &here);
    context_end(&there);
    return bounced < 2 * turns;
}

static int yield_turns(void *arg)
{
    long *done = arg;
    for (; *done < turns; ++*done) weft_yield();
    return 0;
}

static double switches;

static int run_tasks(void *arg)
{
    weft_task         tasks[2];
    long              done[2] = {0, 0};
    struct weft_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};

    (void)arg;
    if (weft_stats(&before)) return 1;
    for (int i = 0; i < 2; i++) weft_spawn(&tasks[i], yield_turns, &done[i]);
    for (int i = 0; i < 2; i++) weft_await(&tasks[i]);
    if (weft_stats(&after)) return 1;
    switches = (double)(after.switches - before.switches);
    return done[0] != turns || done[1] != turns || switches < 1.9 * (double)turns;
}

int main(int argc, char **argv)
{
    bench_start("switch", argc, argv);
    turns = bench_size(1000000, 10000);

    /* Once to learn how many switches the yields take. */
    if (weft_run(run_tasks, NULL, WEFT_OPTIONS(.workers = 1))) bench_fail("two tasks that yield: the result is wrong");
    const struct bench_side sides[] = {
        {.name = "jump_fcontext", .run = run_jumps, .count = 2.0 * (double)turns},
        {.name = "the library's switch", .run = run_switches, .count = 2.0 * (double)turns},
        {.name = "weft_yield", .run = run_tasks, .count = switches, .workers = 1},
    };
    bench_compare("two that switch to each other", "switch", sides);
    bench_value("switches for a yield", switches / (2.0 * (double)turns), "");
    return bench_end();
}
