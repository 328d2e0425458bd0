#include "registry.h"
#include "lock.h"
#include "spin.h"

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
    for (unsigned tries = 0; rt->visitors > 0; spin_pause(&tries), lock_take(&lock)) lock_drop(&lock);
    struct weft_runtime **at = &first;
    while (*at != rt) at = &(*at)->registered;
    *at = rt->registered;
    lock_drop(&lock);
}

void registry_each(void (*visit)(struct weft_runtime *rt, void *arg), void *arg)
{
    lock_take(&lock);
    for (struct weft_runtime *rt = first; rt; rt = rt->registered) {
        rt->visitors++;
        lock_drop(&lock);
        visit(rt, arg);
        lock_take(&lock);
        rt->visitors--;
    }
    lock_drop(&lock);
}
