/* jump.h - Boost.Context's own switch of stacks, by its C symbols: the least that a switch can take
 */
#ifndef BENCH_JUMP_H
#define BENCH_JUMP_H

#include <stddef.h>

/* Who has jumped here, and what it has handed over. */
struct transfer {
    void *context, *data;
};

struct transfer jump_fcontext(void *to, void *data);
void           *make_fcontext(void *stack_top, size_t size, void (*entry)(struct transfer));

#endif /* BENCH_JUMP_H */
