/* deadlock.h - when the tasks that are left wait for each other
 *
 * Nothing is ready, nobody runs, no timer is to come, and no thread could act: what is waited for will not
 * happen.  So it is said who waits where, and the waits that can fail fail with -EDEADLK, for the program to unwind.
 * If there is none that can, the program stops.
 */
#ifndef WEFT_DEADLOCK_H
#define WEFT_DEADLOCK_H

#include "team.h"

/* struct weft_runtime's `stuck`.  By the worker that watches, when nobody runs.  False: there are no tasks, or one
 * waits for what comes from outside. */
bool deadlock_break(struct weft_runtime *runtime);

#endif
