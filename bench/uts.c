/* uts.c - searching a tree whose shape nobody knows beforehand
 *
 * While a child is searched the ones behind it are on offer, as one task, which is taken back if nobody has
 * come for it.  One side does so for every child.  The other first looks whether the child has children: a leaf is
 * found to be one before anybody could come.  The twin is the plain recursion.  All count nodes, leaves and depth,
 * which must be those that are published.
 */
#include "bench.h"
#include "uts_tree.h"

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

static void add(struct rest *sum, uint64_t nodes, uint64_t leaves, int depth)
{
    sum->nodes += nodes;
    sum->leaves += leaves;
    sum->depth = depth > sum->depth ? depth : sum->depth;
}

static void spread(struct search *search, int children, bool leaves_too);

/* Where the compiler knows `leaves_too`. */
static inline __attribute__((always_inline)) void siblings(struct rest *rest, weft_fn *others, bool leaves_too)
{
    struct search child = {.params = rest->parent->params};
    struct rest   sum = {0};
    for (int i = rest->next, count = rest->count; i < count; i++) {
        uts_child(&child.node, &rest->parent->node, i);
        int children = begin(&child);
        if (i + 1 == count || (children == 0 && !leaves_too)) {
            spread(&child, children, leaves_too);
            add(&sum, child.nodes, child.leaves, child.depth);
            continue;
        }
        struct rest behind = {.parent = rest->parent, .next = i + 1, .count = count};
        weft_task   task;
        weft_spawn(&task, others, &behind);
        spread(&child, children, leaves_too);
        add(&sum, child.nodes, child.leaves, child.depth);
        if (weft_take(&task)) continue;
        weft_await(&task);
        add(&sum, behind.nodes, behind.leaves, behind.depth);
        break;
    }
    *rest = sum;
}

static int siblings_each(void *rest)
{
    siblings(rest, siblings_each, true);
    return 0;
}

static int siblings_behind_subtrees(void *rest)
{
    siblings(rest, siblings_behind_subtrees, false);
    return 0;
}

static void spread(struct search *search, int children, bool leaves_too)
{
    if (children == 0) return;
    struct rest all = {.parent = search, .count = children};
    if (leaves_too) siblings_each(&all);
    else siblings_behind_subtrees(&all);
    search->nodes += all.nodes;
    search->leaves += all.leaves;
    search->depth = all.depth > search->depth ? all.depth : search->depth;
}

static int each(void *root)
{
    spread(root, begin(root), true);
    return 0;
}

static int behind_subtrees(void *root)
{
    spread(root, begin(root), false);
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
        {.name = "on offer: each", .run = run, .arg = each, .count = (double)tree->nodes, .workers = BENCH_EACH},
        {.name = "behind subtrees",
         .run = run,
         .arg = behind_subtrees,
         .count = (double)tree->nodes,
         .workers = BENCH_EACH},
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
