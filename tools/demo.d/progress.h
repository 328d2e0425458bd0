/* progress.h - what is going on, on stderr: a line that is redrawn on a terminal, else a line a second
 *
 * Whoever does the work reports it, on any worker; there is no thread for it.
 */
#ifndef DEMO_PROGRESS_H
#define DEMO_PROGRESS_H

#include <stdint.h>

/* A new piece of work, of `total` units; 0: nobody knows how many. */
void progress_begin(const char *what, uint64_t total);

/* That many units more are done, at the time `now`.  Any thread. */
void progress_add(uint64_t units, int64_t now);

/* Takes the line off the terminal, so that other output can follow. */
void progress_end(void);

#endif /* DEMO_PROGRESS_H */
