/* memory.h - memory that is there, or a message and the end of the program
 *
 * The demo holds paths, counts and a picture; without room for these there is
 * nothing left that it could show.
 */
#ifndef DEMO_MEMORY_H
#define DEMO_MEMORY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void *memory_checked(void *p)
{
    if (!p) {
        fputs("weft-demo: out of memory\n", stderr);
        exit(2);
    }
    return p;
}

/* Room for count elements, all zero; never NULL, not for none either. */
static inline void *memory_zeroed(size_t count, size_t size)
{
    return memory_checked(calloc(count ? count : 1, size));
}

/* Room for at least one more element than count: doubled when it is full. */
static inline void *memory_grow(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room) return array;
    *room = *room ? 2 * *room : 64;
    return memory_checked(reallocarray(array, *room, size));
}

static inline char *memory_string(const char *string)
{
    return memory_checked(strdup(string));
}

#endif /* DEMO_MEMORY_H */
