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

struct child {
    const struct search *parent;
    int                  number;
    uint64_t             nodes, leaves;
    int                  depth;
};

static void spread(struct search *search);

static int spawned(void *arg)
{
    struct child *child = arg;
    struct search search = {.params = child->parent->params};
    uts_child(&search.node, &child->parent->node, child->number);
    spread(&search);
    child->nodes = search.nodes;
    child->leaves = search.leaves;
    child->depth = search.depth;
    return 0;
}

static void spread(struct search *search)
{
    struct child children[CHUNK];
    weft_task    tasks[CHUNK];

    for (int first = 0, count = begin(search); first < count; first += CHUNK) {
        int last = (count - first < CHUNK ? count - first : CHUNK) - 1;
        for (int i = 0; i <= last; i++) {
            children[i].parent = search;
            children[i].number = first + i;
            if (i < last) weft_spawn(&tasks[i], spawned, &children[i]);
        }
        spawned(&children[last]);
        for (int i = last; i >= 0; i--) {
            if (i < last) weft_await(&tasks[i]);
            search->nodes += children[i].nodes;
            search->leaves += children[i].leaves;
            search->depth = children[i].depth > search->depth ? children[i].depth : search->depth;
        }
    }
}

static int from_root(void *arg)
{
    spread(arg);
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
        {.name = "spawn, await", .run = run, .arg = from_root, .count = (double)tree->nodes, .workers = BENCH_EACH},
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
