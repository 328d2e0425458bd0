/* registry.h - the runtimes of the process
 */
#ifndef WEFT_REGISTRY_H
#define WEFT_REGISTRY_H

#include "team.h"

void registry_add(struct weft_runtime *runtime);
void registry_remove(struct weft_runtime *runtime);

/* Calls visit for each, with no lock held, as it may write to whoever is slow to read.  That one is not removed
 * meanwhile, others may be, and added. */
void registry_each(void (*visit)(struct weft_runtime *runtime, void *arg), void *arg);

#endif
