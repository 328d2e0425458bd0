/* uts.c - searching a tree whose shape nobody knows beforehand
 *
 * A node is a task, whether it has children or not, and finds itself from its
 * parent; children are spawned a few at a time, from an array on the stack, and the
 * last one is called.  The twin is the plain recursion.  Both count nodes, leaves and
 * depth, and all three must be those that are published.
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
        search->nodes += child.nodes;
        search->leaves += child.leaves;
        search->depth = child.depth > search->depth ? child.depth : search->depth;
    }
    return 0;
}

/* The children of a node from `next` on, and what was found below them. */
struct rest {
    const struct search *parent;
    int                  next, count;
    uint64_t             nodes, leaves;
    int                  depth;
};

static int spread(void *arg);

/* While a child is searched, the ones behind it are on offer, as one task.  If nobody took that, the loop
 * goes on with them. */
static int siblings(void *arg)
{
    struct rest  *rest = arg;
    struct search child = {.params = rest->parent->params};
    uint64_t      nodes = 0, leaves = 0;
    int           depth = 0;
    for (int i = rest->next, count = rest->count; i < count; i++) {
        struct rest behind = {.parent = rest->parent, .next = i + 1, .count = count};
        weft_task   task;
        weft_spawn(&task, siblings, &behind);
        uts_child(&child.node, &rest->parent->node, i);
        spread(&child);
        nodes += child.nodes;
        leaves += child.leaves;
        depth = child.depth > depth ? child.depth : depth;
        if (weft_take(&task)) continue;
        weft_await(&task);
        nodes += behind.nodes;
        leaves += behind.leaves;
        depth = behind.depth > depth ? behind.depth : depth;
        break;
    }
    rest->nodes = nodes;
    rest->leaves = leaves;
    rest->depth = depth;
    return 0;
}

static int spread(void *arg)
{
    struct search *search = arg;
    struct rest    all = {.parent = search, .count = begin(search)};
    if (all.count == 0) return 0;
    siblings(&all);
    search->nodes += all.nodes;
    search->leaves += all.leaves;
    search->depth = all.depth > search->depth ? all.depth : search->depth;
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
        {.name = "spawn, await", .run = run, .arg = spread, .count = (double)tree->nodes, .workers = BENCH_EACH},
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
    /* T3 is 1,572 levels deep: as calls, a kilobyte each. */
    bench_stack_size = (size_t)4 << 20;
    if (bench_options.quick) {
        compare_quickly();
    } else {
        compare("T1, geometric", &uts_t1);
        compare("T3, binomial", &uts_t3);
    }
    return bench_end();
}
