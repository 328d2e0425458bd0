/* symbol.h - code addresses as a person reads them
 *
 * symbol_describe allocates nothing and (with glibc 2.35 or later) takes no lock, so that a signal
 * handler may call it.  It opens the file that the code came from at each call, and reads the names there.
 */
#ifndef WEFT_SYMBOL_H
#define WEFT_SYMBOL_H

#include "base.h"

/* Writes "function+0x2f (module+0x1a2f)", cut short to fit: the module's offset is what addr2line wants.
 * Static functions have their names too, unless the file is stripped: "module+0x1a2f".  Of an address that is no
 * module's: "0x1a2f".  Of what a call returns to, ask for the byte before, which is certainly the caller's. */
void symbol_describe(const void *address, char *text, size_t size);

#endif
