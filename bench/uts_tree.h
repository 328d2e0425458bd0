/* uts_tree.h - the trees of the Unbalanced Tree Search benchmark
 *
 * A tree that nobody can foresee and everybody can check: how many children a
 * node has follows from a random number that is the SHA-1 of its parent's and
 * of its own place among its siblings, so that any part of the tree may be
 * grown anywhere, by anybody, and always comes out the same.  The trees are
 * those of Olivier et al., "UTS: An Unbalanced Tree Search Benchmark", 2006,
 * under the names and with the sizes that are published there.
 */
#ifndef UTS_TREE_H
#define UTS_TREE_H

#include <stdint.h>

enum uts_shape {
    UTS_GEOMETRIC, /* b0 children on average, in a geometric distribution, and none at depth `limit` */
    UTS_BINOMIAL,  /* b0 children at the root; elsewhere m with probability q, else none */
};

struct uts_params {
    const char    *name;
    enum uts_shape shape;
    double         b0, q;
    int            m, limit;
    uint32_t       seed;
    uint64_t       nodes, leaves; /* as published */
    int            depth;         /* of the deepest node, the root being at 0 */
};

extern const struct uts_params uts_t1, uts_t3;

struct uts_node {
    uint32_t random[5]; /* a SHA-1 value, as words */
    int      depth;
};

void uts_root(struct uts_node *root, const struct uts_params *params);
int  uts_num_children(const struct uts_node *node, const struct uts_params *params);

/* Child i, from 0. */
void uts_child(struct uts_node *child, const struct uts_node *parent, int i);

#endif /* UTS_TREE_H */
