/* registry.h - the runtimes of the process
 */
#ifndef WEFT_REGISTRY_H
#define WEFT_REGISTRY_H

#include "team.h"

void registry_add(struct weft_runtime *runtime);
void registry_remove(struct weft_runtime *runtime);

/* Calls visit for each; none is removed meanwhile. */
void registry_each(void (*visit)(struct weft_runtime *runtime, void *arg), void *arg);

#endif
