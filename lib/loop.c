/* loop.c - weft_for: a range in pieces, in parallel
 *
 * The range is halved until a piece is small enough; each right half is spawned.
 * So a thief takes the largest piece that is left, as in fork and join, and a
 * worker that nobody steals from walks through the range in order.
 */
#include "team.h"

/* Without a grain: so many pieces for each worker that the last to end keeps the
 * others waiting for a small part of the whole only. */
#define PIECES 32

struct range {
    size_t begin, end, grain;
    void (*body)(size_t begin, size_t end, void *arg);
    void *arg;
};

static void serially(const struct range *r)
{
    for (size_t at = r->begin, n; at < r->end; at += n) {
        n = min_of(r->grain, r->end - at);
        r->body(at, at + n, r->arg);
    }
}

static int halves(void *arg)
{
    struct range *r = arg;
    if (r->end - r->begin <= r->grain) {
        r->body(r->begin, r->end, r->arg);
        return 0;
    }
    struct range right = *r;
    r->end = right.begin = r->begin + (r->end - r->begin) / 2;
    weft_task task;
    weft_spawn(&task, halves, &right);
    halves(r);
    return weft_await(&task);
}

void weft_for(size_t begin, size_t end, size_t grain, void (*body)(size_t begin, size_t end, void *arg), void *arg)
{
    if (end <= begin) return;
    struct worker *w = worker_self();
    size_t         workers = w ? w->runtime->count : 1;
    if (grain == 0) grain = max_of((end - begin) / (PIECES * workers), (size_t)1);
    struct range r = {begin, end, grain, body, arg};
    if (w) halves(&r);
    else serially(&r);
}
