#include "tree.h"
#include "memory.h"
#include "trace.h"
#include "way.h"

#define FAN 8 /* tasks that one spawns before it awaits them; they are on its stack */

_Static_assert(FAN <= TRACE_MAIN, "each part of the root has a colour");

/* Where part i of `parts` begins. */
static int cut(int first, int last, int i, int parts)
{
    return first + (int)((int64_t)(last - first) * i / parts);
}

/* Children [first, last) of a node, and all that is below them. */
struct branch {
    weft_task                task;
    const struct uts_params *params;
    const struct uts_node   *parent;
    int                      first, last;
    uint32_t                 kind;
    uint64_t                 nodes, leaves;
    int                      depth;
};

/* A node with more children than FAN is searched by tasks that share them out
 * among tasks, so that no stack holds more than FAN.  All are awaited, newest
 * first, and none is merely called: only a task may rely on room on its stack,
 * and the tree is deep. */
static int search(void *arg)
{
    struct branch         *branch = arg;
    const struct uts_node *parent = branch->parent;
    struct uts_node        node;
    int                    first = branch->first, last = branch->last;
    uint64_t               nodes = 0, leaves = 0;
    int                    depth = 0;

    if (last - first == 1) {
        uts_child(&node, parent, first);
        parent = &node;
        first = 0;
        last = uts_num_children(&node, branch->params);
        nodes = 1;
        leaves = last == 0;
        depth = node.depth;
        trace_tiny(branch->kind);
    }
    if (first < last) {
        struct branch part[FAN];
        int           parts = last - first < FAN ? last - first : FAN;
        for (int i = 0; i < parts; i++) {
            part[i].params = branch->params;
            part[i].parent = parent;
            part[i].first = cut(first, last, i, parts);
            part[i].last = cut(first, last, i + 1, parts);
            /* The colour of a node is the part of the root that it is below. */
            part[i].kind = parent->depth == 0 && branch->kind == TRACE_MAIN ? (uint32_t)i : branch->kind;
            way_fork(&part[i].task, search, &part[i]);
        }
        for (int i = parts; i-- > 0;) {
            way_join(&part[i].task);
            nodes += part[i].nodes;
            leaves += part[i].leaves;
            depth = part[i].depth > depth ? part[i].depth : depth;
        }
    }
    branch->nodes = nodes;
    branch->leaves = leaves;
    branch->depth = depth;
    return 0;
}

int tree_search(void *arg)
{
    struct tree    *tree = arg;
    struct uts_node root;
    uts_root(&root, tree->params);
    int           children = uts_num_children(&root, tree->params);
    struct branch all = {.params = tree->params, .parent = &root, .last = children, .kind = TRACE_MAIN};
    search(&all);
    tree->nodes = 1 + all.nodes;
    tree->leaves = children ? all.leaves : 1;
    tree->depth = all.depth;
    return 0;
}

bool tree_right(const struct tree *tree)
{
    const struct uts_params *p = tree->params;
    return tree->nodes == p->nodes && tree->leaves == p->leaves && tree->depth == p->depth;
}

void tree_kinds(const struct uts_params *params, char *kind[], int count)
{
    struct uts_node root;
    uts_root(&root, params);
    int children = uts_num_children(&root, params), parts = children < FAN ? children : FAN;
    for (int i = 0; i < count; i++) {
        int  first = i < parts ? cut(0, children, i, parts) : 0, last = i < parts ? cut(0, children, i + 1, parts) : 0;
        char name[64];
        if (last - first > 1) snprintf(name, sizeof name, "subtrees %d to %d", first + 1, last);
        else snprintf(name, sizeof name, "subtree %d", last);
        kind[i] = i < parts ? memory_string(name) : NULL;
    }
}
