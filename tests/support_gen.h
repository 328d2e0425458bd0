/* support_gen.h - programs of generators, run for real and by a model, which have to agree
 *
 * A program is any bytes: the scripts of a few generators, and what the one who holds them
 * does with them.  A script yields, delegates to any of them, resumes any of them (itself too, which is
 * refused), and returns; what it gets back at each step is noted.  The model knows no stacks: it keeps for each
 * generator how far its script is, and hands on through a chain of delegates from each to the next,
 * as PEP 380 explains it.
 */
#ifndef WEFT_TEST_SUPPORT_GEN_H
#define WEFT_TEST_SUPPORT_GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether both noted the same.  `waits`: the scripts wait now and then, for which this is called in a task. */
bool gen_program_agrees(const uint8_t *bytes, size_t size, bool waits);

#endif
