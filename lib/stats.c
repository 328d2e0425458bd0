#include "stats.h"
#include "blocking.h"

#include <errno.h>
#include <string.h>

uint64_t stats_tasks(struct weft_runtime *rt)
{
    uint64_t spawned = load_relaxed(&rt->outside_spawned), ended = 0;
    for (unsigned i = 0; i < rt->count; i++) {
        const struct worker_count *count = &rt->workers[i].count;
        spawned += load_relaxed(&count->spawned);
        ended += load_relaxed(&count->ended) + load_relaxed(&count->inlined);
    }
    return spawned > ended ? spawned - ended : 0;
}

int weft_stats(struct weft_stats *stats)
{
    struct worker *self = worker_self();
    if (!self) return -EPERM;
    if (!stats || stats->size < sizeof stats->size) return -EINVAL;
    struct weft_runtime *rt = self->runtime;
    struct weft_stats    s = {.size = stats->size,
                              .spawned = load_relaxed(&rt->outside_spawned),
                              .wakeups = load_relaxed(&rt->shared_wakeups)};
    uint64_t             kept = load_relaxed(&rt->spare_count);
    for (unsigned i = 0; i < rt->count; i++) {
        const struct worker *w = &rt->workers[i];
        s.spawned += load_relaxed(&w->count.spawned);
        s.inlined += load_relaxed(&w->count.inlined);
        s.ended += load_relaxed(&w->count.ended);
        s.switches += load_relaxed(&w->count.switches);
        s.steals += load_relaxed(&w->count.steals);
        s.parks += load_relaxed(&w->count.parks);
        s.wakeups += load_relaxed(&w->count.wakeups);
        s.timers += load_relaxed(&w->count.timers);
        s.io_waits += load_relaxed(&w->count.io_waits);
        s.blocking_calls += load_relaxed(&w->count.blocking_calls);
        kept += load_relaxed(&w->spare_count);
    }
    s.ended += s.inlined;
    s.tasks = s.spawned > s.ended ? s.spawned - s.ended : 0;
    uint64_t fibers = load_relaxed(&rt->fibers);
    s.stacks_pooled = min_of(kept, fibers);
    s.stacks_in_use = fibers - s.stacks_pooled;
    s.stack_bytes = load_relaxed(&rt->stacks.bytes);
    blocking_gauges(rt, &s.blocking_queued, &s.blocking_threads);
    memcpy(stats, &s, min_of(stats->size, sizeof s));
    return 0;
}
