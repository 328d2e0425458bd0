/* io.h - what io.c has for the files above it
 */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include "descriptor.h"

/* A number that weft itself has just been given by the system: nothing that was known of it holds. */
void io_fresh(int fd);

/* For struct weft_runtime's hooks: see there. */
void io_init(struct weft_runtime *runtime);

#endif
