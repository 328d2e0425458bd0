#include "registry.h"
#include "lock.h"

static Atomic(uint32_t)     lock;
static struct weft_runtime *first;

void registry_add(struct weft_runtime *rt)
{
    lock_take(&lock);
    rt->registered = first;
    first = rt;
    lock_drop(&lock);
}

void registry_remove(struct weft_runtime *rt)
{
    lock_take(&lock);
    struct weft_runtime **at = &first;
    while (*at != rt) at = &(*at)->registered;
    *at = rt->registered;
    lock_drop(&lock);
}

void registry_each(void (*visit)(struct weft_runtime *rt, void *arg), void *arg)
{
    lock_take(&lock);
    for (struct weft_runtime *rt = first; rt; rt = rt->registered) visit(rt, arg);
    lock_drop(&lock);
}
