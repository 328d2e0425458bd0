/* life.h - the life of a number: it begins when the system gives it out, and ends with weft_close
 *
 * weft_close wakes who waits for the descriptor, waits for the calls that are under way on its number (call.h), and
 * only then gives the number back: nobody who meant the old descriptor reaches what has the number next.
 */
#ifndef WEFT_LIFE_H
#define WEFT_LIFE_H

#include "descriptor.h"

/* A number that weft itself has just been given by the system, for a thing of that kind, if it knows: nothing that was
 * known of it holds. */
void life_begin(int fd, enum descriptor_kind kind);

#endif
