/* simulate.c - how far weft's scheduling carries: from 1 to 256 workers, on a machine that is not there
 *
 * The trees of uts_tree.h, where nobody knows where the work is, and a fork-join.  For each number of workers P: how
 * many times as fast as one CPU without tasks; how often work was stolen; and c, by how much the time is more than
 * T1 / P, in critical paths, which each program finds as it goes.  A work stealer is expected to take
 * T1 / P + O(critical path), whatever P is (Blumofe and Leiserson, "Scheduling Multithreaded Computations by Work
 * Stealing", 1999), where stealing takes no longer than a step of the program does, and nobody sleeps: what c grows by
 * beyond that is the price of waking and of looking, one after the other, at all the others.
 *
 *      simulate [--quick]
 */
#include "machine.h"
#include "uts_tree.h"

#include <weft/weft.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was measured of weft and of the SHA-1 of a node, in nanoseconds. */
#define NODE 100
#define TASK 8 /* to spawn one and take it back, or await it in place */

/* ---- a tree ------------------------------------------------------------------ */

struct found {
    uint64_t nodes, leaves;
    int      depth;
    int64_t  path; /* the longest chain of what has to come one after the other, in nanoseconds */
};

struct rest {
    const struct uts_node *parent;
    int                    next, count;
    struct found           found;
};

static const struct uts_params *tree;

static struct found spread(const struct uts_node *node);

/* The children from `next` on; while one is searched, the ones behind it are on offer. */
static int siblings(void *arg)
{
    struct rest *rest = arg;
    struct found sum = {0};
    int64_t      before = 0; /* of this chain, until here */
    for (int i = rest->next; i < rest->count; i++) {
        struct uts_node child;
        struct rest     behind = {rest->parent, i + 1, rest->count, {0}};
        weft_task       task;
        bool            last = behind.next == rest->count;
        if (!last) {
            machine_compute(TASK);
            weft_spawn(&task, siblings, &behind);
            before += TASK;
        }
        uts_child(&child, rest->parent, i);
        struct found below = spread(&child);
        sum.nodes += below.nodes;
        sum.leaves += below.leaves;
        sum.depth = below.depth > sum.depth ? below.depth : sum.depth;
        sum.path = before + below.path > sum.path ? before + below.path : sum.path;
        if (last || weft_take(&task)) continue;
        weft_await(&task);
        sum.nodes += behind.found.nodes;
        sum.leaves += behind.found.leaves;
        sum.depth = behind.found.depth > sum.depth ? behind.found.depth : sum.depth;
        sum.path = before + behind.found.path > sum.path ? before + behind.found.path : sum.path;
        break;
    }
    rest->found = sum;
    return 0;
}

static struct found spread(const struct uts_node *node)
{
    machine_compute(NODE);
    int         count = uts_num_children(node, tree);
    struct rest all = {node, 0, count, {0}};
    if (count > 0) siblings(&all);
    struct found found = all.found;
    found.nodes++;
    found.leaves += count == 0;
    found.depth = node->depth > found.depth ? node->depth : found.depth;
    found.path += NODE;
    return found;
}

/* ---- a fork-join ---------------------------------------------------------------- */

#define LEAF_WORK 2000

struct fork {
    int depth;
    int leaves;
};

static int fork_join(void *arg)
{
    struct fork *fork = arg;
    if (fork->depth == 0) {
        machine_compute(LEAF_WORK);
        fork->leaves = 1;
        return 0;
    }
    struct fork one = {fork->depth - 1, 0}, other = one;
    weft_task   task;
    machine_compute(TASK);
    weft_spawn(&task, fork_join, &other);
    fork_join(&one);
    weft_await(&task);
    fork->leaves = one.leaves + other.leaves;
    return 0;
}

/* ---- runs -------------------------------------------------------------------------- */

struct run {
    const struct uts_params *tree; /* NULL: the fork-join */
    int                      depth;
    unsigned                 workers;
    int64_t                  began, ended, work, path;
    struct weft_stats        stats;
};

static int in_task(void *arg)
{
    struct run *run = arg;
    run->began = machine_now();
    if (run->tree) {
        struct uts_node root;
        tree = run->tree;
        uts_root(&root, tree);
        struct found found = spread(&root);
        if (found.nodes != tree->nodes || found.leaves != tree->leaves || found.depth != tree->depth) return 1;
        run->work = (int64_t)found.nodes * NODE;
        run->path = found.path;
    } else {
        struct fork fork = {run->depth, 0};
        fork_join(&fork);
        if (fork.leaves != 1 << run->depth) return 1;
        run->work = (int64_t)fork.leaves * LEAF_WORK;
        run->path = LEAF_WORK + run->depth * TASK;
    }
    run->ended = machine_now();
    run->stats.size = sizeof run->stats;
    return weft_stats(&run->stats);
}

static void in_main(void *arg)
{
    struct run *run = arg;
    if (weft_run(in_task, run, WEFT_OPTIONS(.workers = run->workers, .stack_size = (size_t)4 << 20)) != 0) {
        fprintf(stderr, "simulate: a wrong result on %u workers\n", run->workers);
        exit(1);
    }
}

static void simulate(const char *what, struct run run, unsigned most)
{
    double alone = 0; /* T1 */
    printf("# %s\n", what);
    for (run.workers = 1; run.workers <= most; run.workers *= 2) {
        machine_run(in_main, &run);
        double time = (double)(run.ended - run.began);
        if (run.workers == 1) {
            alone = time;
            printf("# critical path %.0f us\n# workers time_us  speed-up   steals   parks wakeups        c\n",
                   (double)run.path / 1e3);
        }
        printf("%7u %10.0f %8.2f %8llu %7llu %7llu %8.1f\n", run.workers, time / 1e3, (double)run.work / time,
               (unsigned long long)run.stats.steals, (unsigned long long)run.stats.parks,
               (unsigned long long)run.stats.wakeups, (time - alone / run.workers) / (double)run.path);
        fflush(stdout);
    }
    printf("\n\n");
}

int main(int argc, char **argv)
{
    bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;
    if (argc > 1 && !quick) {
        fprintf(stderr, "usage: simulate [--quick]\n");
        return 2;
    }
    if (!quick) {
        simulate("T1, geometric", (struct run){.tree = &uts_t1}, 256);
        simulate("T3, binomial", (struct run){.tree = &uts_t3}, 256);
    }
    simulate("fork-join", (struct run){.depth = quick ? 12 : 20}, quick ? 16 : 256);
    return 0;
}
