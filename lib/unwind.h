/* unwind.h - where a stack's owner has come from
 *
 * What is found are return addresses, the innermost first.  Each is where a call comes back to, which
 * may be past the end of the calling function, while the byte before it is not.  Frames of the library are
 * among them, down to weft_context_entry at the base of a stack.  A function compiled without unwind tables
 * ends the list.
 */
#ifndef WEFT_UNWIND_H
#define WEFT_UNWIND_H

#include "context.h"

/* Of a context that somebody has left, and that nobody resumes meanwhile; its stack is read and not
 * run on.  How many, at most `most`: none, if it has never run. */
unsigned unwind_context(const struct context *c, void **pcs, unsigned most);

/* Of the caller. */
unsigned unwind_self(void **pcs, unsigned most);

#endif
