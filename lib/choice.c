#include "choice.h"

/* A counter drawn through the generator: any thread may ask, and none depends on another's luck. */
uint32_t choice_outside(uint32_t n)
{
    static Atomic(uint64_t) asked;
    struct choice           c = {.state = add_relaxed(&asked, 0x9e3779b97f4a7c15u)};
    return choice_below(&c, n);
}
