/* uts.c - searching a tree whose shape nobody knows beforehand
 *
 * A node is a task, whether it has children or not; they are spawned a few at a
 * time, in an array on the stack.  The twin is the plain recursion.  Both count
 * nodes, leaves and depth, and all three must be those that are published.
 */
#include "bench.h"
#include "uts_tree.h"

enum { CHUNK = 8 };

struct search {
    struct uts_node          node;
    const struct uts_params *params;
    uint64_t                 nodes, leaves; /* of the tree below, the node included */
    int                      depth;
};

static void add(struct search *search, const struct search *child)
{
    search->nodes += child->nodes;
    search->leaves += child->leaves;
    search->depth = child->depth > search->depth ? child->depth : search->depth;
}

static int begin(struct search *search)
{
    int count = uts_num_children(&search->node, search->params);
    search->nodes = 1;
    search->leaves = count == 0;
    search->depth = search->node.depth;
    return count;
}

static int called(void *arg)
{
    struct search *search = arg, child = {.params = search->params};
    for (int i = 0, count = begin(search); i < count; i++) {
        uts_child(&child.node, &search->node, i);
        called(&child);
        add(search, &child);
    }
    return 0;
}

static int spawned(void *arg)
{
    struct search *search = arg, children[CHUNK];
    weft_task      tasks[CHUNK];

    for (int first = 0, count = begin(search); first < count; first += CHUNK) {
        int some = count - first < CHUNK ? count - first : CHUNK;
        for (int i = 0; i < some; i++) {
            children[i].params = search->params;
            uts_child(&children[i].node, &search->node, first + i);
            weft_spawn(&tasks[i], spawned, &children[i]);
        }
        for (int i = some; i-- > 0;) {
            weft_await(&tasks[i]);
            add(search, &children[i]);
        }
    }
    return 0;
}

static struct search search(weft_fn *from, const struct uts_params *params)
{
    struct search root = {.params = params};
    uts_root(&root.node, params);
    from(&root);
    return root;
}

static const struct uts_params *tree;

static int run(void *from)
{
    struct search found = search((weft_fn *)from, tree);
    return found.nodes != tree->nodes || found.leaves != tree->leaves || found.depth != tree->depth;
}

static void compare(const char *what, const struct uts_params *params)
{
    tree = params;
    const struct bench_side sides[] = {
        {.name = "recursion", .run = run, .arg = called, .count = (double)tree->nodes},
        {.name = "spawn, await", .run = run, .arg = spawned, .count = (double)tree->nodes, .workers = BENCH_EACH},
    };
    bench_compare(what, "node", sides);
}

/* All of T1, but once and without tasks; with tasks only its top, which has to
 * be what the recursion finds there. */
static void compare_quickly(void)
{
    tree = &uts_t1;
    if (run(called)) bench_fail("T1 is not as published");

    struct uts_params top = uts_t1;
    top.limit -= 3;
    struct search found = search(called, &top);
    top.nodes = found.nodes;
    top.leaves = found.leaves;
    top.depth = found.depth;
    compare("the top of T1", &top);
}

int main(int argc, char **argv)
{
    bench_start("uts", argc, argv);
    if (bench_options.quick) {
        compare_quickly();
    } else {
        compare("T1, geometric", &uts_t1);
        compare("T3, binomial", &uts_t3);
    }
    return bench_end();
}
