/* skynet.c - a tree of a million tasks: each inner one spawns ten and adds up what they return
 *
 * The leaves are numbered, and their sum is known.  The twin is the same
 * recursion, called through a pointer.  Peak memory is that of all runs: it
 * does not grow with the number of tasks, only with the depth of the tree.
 */
#include "bench.h"

enum { FAN = 10 };

struct node {
    long first, leaves; /* numbers of the leaves below */
    long sum;
};

static weft_fn *volatile pointer;
static long leaves;

static struct node child(const struct node *node, int i)
{
    long share = node->leaves / FAN;
    return (struct node){.first = node->first + i * share, .leaves = share};
}

static int called(void *arg)
{
    struct node *node = arg, children[FAN];
    if (node->leaves == 1) {
        node->sum = node->first;
        return 0;
    }
    for (int i = 0; i < FAN; i++) {
        children[i] = child(node, i);
        pointer(&children[i]);
        node->sum += children[i].sum;
    }
    return 0;
}

static int spawned(void *arg)
{
    struct node *node = arg, children[FAN];
    weft_task    tasks[FAN];
    if (node->leaves == 1) {
        node->sum = node->first;
        return 0;
    }
    for (int i = 0; i < FAN; i++) {
        children[i] = child(node, i);
        weft_spawn(&tasks[i], spawned, &children[i]);
    }
    for (int i = FAN; i-- > 0;) {
        weft_await(&tasks[i]);
        node->sum += children[i].sum;
    }
    return 0;
}

static int run(void *arg)
{
    struct node root = {.leaves = leaves};
    ((weft_fn *)arg)(&root);
    return root.sum != leaves * (leaves - 1) / 2;
}

int main(int argc, char **argv)
{
    bench_start("skynet", argc, argv);
    leaves = bench_size(1000000, 10000);
    pointer = called;

    double                  before = bench_memory("VmHWM");
    const struct bench_side sides[] = {
        {.name = "through a pointer, no task", .run = run, .arg = called, .count = 1},
        {.name = "spawn, await", .run = run, .arg = spawned, .count = 1, .workers = BENCH_EACH},
    };
    bench_compare("a tree of ten children each", "tree", sides);
    bench_value("leaves", (double)leaves, "tasks");
    bench_value("peak memory grew by", (bench_memory("VmHWM") - before) / 1024, "KiB");
    return bench_end();
}
