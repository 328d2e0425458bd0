/* tree.h - an unbalanced tree, searched; each node is a task
 *
 * Nobody knows beforehand where the nodes are, so nobody can deal them out.
 */
#ifndef DEMO_TREE_H
#define DEMO_TREE_H

#include "../../bench/uts_tree.h"

#include <stdbool.h>

struct tree {
    const struct uts_params *params;
    uint64_t                 nodes, leaves; /* the answer */
    int                      depth;
};

/* Searches all of it.  A weft_fn; the argument is a struct tree. */
int tree_search(void *tree);

/* Whether the answer is the published one. */
bool tree_right(const struct tree *tree);

/* Names the kinds that the nodes are recorded under: the part of the root that
 * they are below.  Each name is to be freed; NULL where there is none. */
void tree_kinds(const struct uts_params *params, char *kind[], int count);

#endif /* DEMO_TREE_H */
