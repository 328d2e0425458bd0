/* uts_tree.c - nodes from hashes
 *
 * SHA-1 reads and writes big-endian words, and a node is never looked at but as
 * words.  So no byte is ever moved: the words of a hash are the first words of
 * the next message, which, with the padding, is always a single block.
 */
#include "uts_tree.h"

#include <string.h>

const struct uts_params uts_t1 = {
    .name = "T1",
    .shape = UTS_GEOMETRIC,
    .b0 = 4,
    .limit = 10,
    .seed = 19,
    .nodes = 4130071,
    .leaves = 3305118,
    .depth = 10,
};
const struct uts_params uts_t3 = {
    .name = "T3",
    .shape = UTS_BINOMIAL,
    .b0 = 2000,
    .q = 0.124875,
    .m = 8,
    .seed = 42,
    .nodes = 4112897,
    .leaves = 3599034,
    .depth = 1572,
};

static inline uint32_t rotate(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

/* What round t mixes of three of its words, with its constant. */
static inline uint32_t mix(int t, uint32_t b, uint32_t c, uint32_t d)
{
    switch (t / 20) {
    case 0: return (d ^ (b & (c ^ d))) + 0x5a827999;
    case 1: return (b ^ c ^ d) + 0x6ed9eba1;
    case 2: return ((b & c) | (d & (b | c))) + 0x8f1bbcdc;
    default: return (b ^ c ^ d) + 0xca62c1d6;
    }
}

/* SHA-1 of a message of `count` words, at most 6. */
static void hash(uint32_t digest[5], const uint32_t *message, int count)
{
    const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint32_t       a = start[0], b = start[1], c = start[2], d = start[3], e = start[4];
    uint32_t       word[16] = {0}; /* the schedule's latest */

    memcpy(word, message, (size_t)count * sizeof(*message));
    word[count] = 0x80000000;
    word[15] = (uint32_t)count * 32;

    /* Unrolled, the words that move on by a place each round do not move at all:
     * only the names of the registers do, and each round knows its kind. */
#pragma GCC unroll 80
    for (int t = 0; t < 80; t++) {
        uint32_t *next = &word[t % 16];
        if (t >= 16) *next = rotate(word[(t + 13) % 16] ^ word[(t + 8) % 16] ^ word[(t + 2) % 16] ^ *next, 1);
        uint32_t sum = rotate(a, 5) + mix(t, b, c, d) + e + *next;
        e = d, d = c, c = rotate(b, 30), b = a, a = sum;
    }

    digest[0] = start[0] + a;
    digest[1] = start[1] + b;
    digest[2] = start[2] + c;
    digest[3] = start[3] + d;
    digest[4] = start[4] + e;
}

void uts_root(struct uts_node *root, const struct uts_params *params)
{
    const uint32_t message[5] = {0, 0, 0, 0, params->seed};
    hash(root->random, message, 5);
    root->depth = 0;
}

void uts_child(struct uts_node *child, const struct uts_node *parent, int i)
{
    uint32_t message[6];
    memcpy(message, parent->random, sizeof(parent->random));
    message[5] = (uint32_t)i;
    hash(child->random, message, 6);
    child->depth = parent->depth + 1;
}

int uts_num_children(const struct uts_node *node, const struct uts_params *params)
{
    double u = (node->random[4] & 0x7fffffff) / 2147483648.0;

    if (params->shape == UTS_BINOMIAL) return node->depth == 0 ? (int)params->b0 : u < params->q ? params->m : 0;
    if (node->depth >= params->limit) return 0;

    /* The published floor(log(1 - u) / log(1 - p)) with p = 1 / (1 + b0), found
     * by multiplying: how many powers of 1 - p are not less than 1 - u. */
    int count = 0;
    for (double step = params->b0 / (1 + params->b0), power = step; power >= 1 - u; power *= step) count++;
    return count;
}
