#include "trace.h"
#include "clock.h"
#include "memory.h"
#include "progress.h"

#include <stdatomic.h>
#include <weft/weft.h>

#define TINY_BATCH 64
#define TINY_GAP   INT64_C(300000) /* stamps further apart than this had something else between them, or nothing */
#define SAMPLE_NS  INT64_C(50000)

static struct trace    *current;
static _Atomic uint64_t most_alive;

void trace_begin(struct trace *trace)
{
    *trace = (struct trace){.lanes = 1};
    trace->lane = memory_checked(aligned_alloc(_Alignof(struct lane), TRACE_LANES * sizeof *trace->lane));
    memset(trace->lane, 0, TRACE_LANES * sizeof *trace->lane);
    current = trace;
    atomic_store_explicit(&most_alive, 0, memory_order_relaxed);
    trace->begin = clock_now();
}

void trace_finish(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    if (weft_stats(&stats) < 0) return;
    current->tasks = stats.spawned;
    current->steals = stats.steals;
    current->lanes = weft_worker_count();
}

void trace_end(void)
{
    current->end = clock_now();
    current->most_alive = atomic_load_explicit(&most_alive, memory_order_relaxed);
    current = NULL;
}

void trace_free(struct trace *trace)
{
    if (!trace->lane) return;
    for (unsigned i = 0; i < TRACE_LANES; i++) free(trace->lane[i].spans);
    free(trace->lane);
    trace->lane = NULL;
}

void trace_sample(void)
{
    struct weft_stats stats = {.size = sizeof stats};
    if (weft_stats(&stats) < 0) return;
    uint64_t most = atomic_load_explicit(&most_alive, memory_order_relaxed);
    while (stats.tasks > most && !atomic_compare_exchange_weak_explicit(&most_alive, &most, stats.tasks,
                                                                        memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* The lane stays the caller's until it next waits, which nothing here does. */
static struct lane *lane_here(void)
{
    int worker = weft_worker_index();
    return &current->lane[worker < 0 ? 0 : worker];
}

static void sample_when_due(struct lane *lane, int64_t now)
{
    if (now - lane->sampled < SAMPLE_NS) return;
    lane->sampled = now;
    trace_sample();
}

static void add_span(struct lane *lane, uint32_t kind, int64_t begin, int64_t end, uint32_t tasks)
{
    lane->spans = memory_grow(lane->spans, lane->count, &lane->room, sizeof *lane->spans);
    lane->spans[lane->count++] = (struct span){begin - current->begin, end - current->begin, kind, tasks};
}

int64_t trace_task(uint32_t kind, int64_t begin)
{
    struct lane *lane = lane_here();
    int64_t      now = clock_now();
    add_span(lane, kind, begin, now, 1);
    sample_when_due(lane, now);
    return now;
}

void trace_tiny(uint32_t kind)
{
    struct lane *lane = lane_here();
    if (++lane->since < TINY_BATCH && kind == lane->kind) return;
    int64_t      now = clock_now();
    struct span *last = lane->count ? &lane->spans[lane->count - 1] : NULL;
    if (last && now - current->begin - last->end < TINY_GAP) {
        last->end = now - current->begin;
        last->tasks += lane->since;
    }
    if (!last || last->kind != kind || now - current->begin != last->end) add_span(lane, kind, now, now, 0);
    progress_add(lane->since, now);
    lane->since = 0;
    lane->kind = kind;
    sample_when_due(lane, now);
}
