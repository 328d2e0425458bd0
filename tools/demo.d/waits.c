#include "waits.h"
#include "memory.h"
#include "progress.h"
#include "way.h"

#define SAMPLE 200 /* one in so many */

void waits_make(struct waits *waits, size_t count)
{
    *waits = (struct waits){
        .count = count,
        .sample = count > SAMPLE ? count / SAMPLE : 1,
        .wait = memory_zeroed(count, sizeof *waits->wait),
    };
}

void waits_free(struct waits *waits)
{
    free(waits->wait);
}

static size_t to_do(const struct waits *waits)
{
    return way_tasks ? waits->count : waits->sample;
}

static int wait_once(void *arg)
{
    struct wait *wait = arg;
    wait->due = weft_now() + WAITS_MS * WEFT_MS;
    int error = weft_sleep(wait->due);
    wait->woken = weft_now();
    progress_add(1, wait->woken);
    return error;
}

int waits_run(void *arg)
{
    struct waits *waits = arg;
    size_t        count = to_do(waits);
    memset(waits->wait, 0, waits->count * sizeof *waits->wait);

    weft_scope scope;
    int        error = way_open(&scope);
    if (error < 0) return error;
    for (size_t i = 0; i < count && !error; i++) error = way_go(&scope, wait_once, &waits->wait[i]);
    trace_sample();
    int closed = way_close(&scope);
    return error ? error : closed;
}

bool waits_right(const struct waits *waits)
{
    for (size_t i = 0; i < to_do(waits); i++)
        if (waits->wait[i].due == 0 || waits->wait[i].woken < waits->wait[i].due) return false;
    return true;
}
