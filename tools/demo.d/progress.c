#include "progress.h"
#include "clock.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define REDRAW_NS INT64_C(100000000)  /* on a terminal */
#define LINE_NS   INT64_C(1000000000) /* in a log */

static char             work[160];
static uint64_t         work_total;
static _Atomic uint64_t done;
static _Atomic int64_t  next;  /* when to say something again; whoever moves it says it */
static _Atomic bool     drawn; /* there is a line on the terminal */

static bool terminal(void)
{
    static int known = -1;
    if (known < 0) known = isatty(STDERR_FILENO);
    return known == 1;
}

static void say(void)
{
    uint64_t units = atomic_load_explicit(&done, memory_order_relaxed);
    char     line[256];
    int      length;
    if (!work_total && !units) length = snprintf(line, sizeof line, "%s", work);
    else if (work_total) length = snprintf(line, sizeof line, "%s: %u%%", work, (unsigned)(units * 100 / work_total));
    else length = snprintf(line, sizeof line, "%s: %" PRIu64, work, units);
    /* One call a line, so that the lines of two workers cannot mix. */
    if (terminal()) fprintf(stderr, "\r%.*s\033[K", length, line);
    else fprintf(stderr, "%.*s\n", length, line);
}

static void say_when_due(int64_t now)
{
    int64_t due = atomic_load_explicit(&next, memory_order_relaxed);
    if (now < due) return;
    int64_t later = now + (terminal() ? REDRAW_NS : LINE_NS);
    if (atomic_compare_exchange_strong_explicit(&next, &due, later, memory_order_relaxed, memory_order_relaxed)) {
        say();
        drawn = terminal();
    }
}

void progress_begin(const char *what, uint64_t total)
{
    int64_t now = clock_now();
    snprintf(work, sizeof work, "%s", what);
    work_total = total;
    atomic_store_explicit(&done, 0, memory_order_relaxed);
    if (!atomic_load_explicit(&next, memory_order_relaxed)) /* the first: a log hears of it after a second */
        atomic_store_explicit(&next, terminal() ? now : now + LINE_NS, memory_order_relaxed);
    say_when_due(now);
}

void progress_add(uint64_t units, int64_t now)
{
    atomic_fetch_add_explicit(&done, units, memory_order_relaxed);
    say_when_due(now);
}

void progress_end(void)
{
    if (drawn) fputs("\r\033[K", stderr);
    drawn = false;
}
