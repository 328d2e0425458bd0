/* skynet.c - a tree of a million tasks: each inner one starts ten and adds up what they find
 *
 * They leave it in the parent's frame, or send it by a channel that each inner one
 * makes for its children, unbuffered.  The leaves are numbered, and their sum is known.  The twin
 * is the same recursion, called through a pointer.  Peak memory is that of all runs
 * so far: it does not grow with the number of tasks, only with the depth of the tree.
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

/* ---- by channel ---------------------------------------------------------- */

struct branch {
    struct node node;
    weft_chan  *up; /* where the sum goes */
};

static weft_chan *chan_of_sums(void)
{
    weft_chan *chan;
    if (weft_chan_create(&chan, sizeof(long), 0)) bench_fail("no memory");
    return chan;
}

/* Adds up what so many send, who then have no more to do with the channel. */
static int receive_sums(weft_chan *chan, int count, long *sum)
{
    int wrong = 0;
    *sum = 0;
    for (long part; count > 0 && !wrong; count--) {
        wrong = weft_recv(chan, &part, WEFT_NEVER);
        if (!wrong) *sum += part;
    }
    weft_chan_destroy(chan);
    return wrong;
}

/* The children are copies of their own, and nobody waits for their end but the scope. */
static int sent(void *arg)
{
    const struct branch *branch = arg;
    long                 sum = branch->node.first;
    if (branch->node.leaves > 1) {
        struct branch below = {.up = chan_of_sums()};
        for (int i = 0; i < FAN; i++) {
            below.node = child(&branch->node, i);
            if (weft_go(sent, &below, sizeof(below))) bench_fail("no memory");
        }
        int wrong = receive_sums(below.up, FAN, &sum);
        if (wrong) return wrong;
    }
    return weft_send(branch->up, &sum, WEFT_NEVER);
}

/* The children are in the parent's frame, which awaits their end. */
static int spawned_sends(void *arg)
{
    const struct branch *branch = arg;
    struct branch        children[FAN];
    weft_task            tasks[FAN];
    long                 sum = branch->node.first;
    if (branch->node.leaves > 1) {
        weft_chan *chan = chan_of_sums();
        for (int i = 0; i < FAN; i++) {
            children[i] = (struct branch){child(&branch->node, i), chan};
            weft_spawn(&tasks[i], spawned_sends, &children[i]);
        }
        int wrong = receive_sums(chan, FAN, &sum);
        for (int i = FAN; i-- > 0;) wrong |= weft_await(&tasks[i]);
        if (wrong) return wrong;
    }
    return weft_send(branch->up, &sum, WEFT_NEVER);
}

static int run_by_channel(void *arg)
{
    weft_scope    scope;
    struct branch root = {.node.leaves = leaves, .up = chan_of_sums()};
    long          sum;
    if (weft_scope_open(&scope, NULL) || weft_go((weft_fn *)arg, &root, sizeof(root))) return 1;
    int wrong = receive_sums(root.up, 1, &sum);
    wrong |= weft_scope_close(&scope);
    return wrong || sum != leaves * (leaves - 1) / 2;
}

/* ---- all of it ----------------------------------------------------------- */

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

    const struct bench_side channels[] = {
        {.name = "through a pointer, no task", .run = run, .arg = called, .count = 1},
        {.name = "weft_go", .run = run_by_channel, .arg = sent, .count = 1, .workers = BENCH_EACH},
        {.name = "spawn, await", .run = run_by_channel, .arg = spawned_sends, .count = 1, .workers = BENCH_EACH},
    };
    leaves = bench_size(1000000, 1000); /* few: those that wait to send each have a stack */
    bench_compare("the same tree, sums by channel", "tree", channels);
    bench_value("peak memory grew by", (bench_memory("VmHWM") - before) / 1024, "KiB");
    return bench_end();
}
