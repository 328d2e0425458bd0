/* bench.h - sides measured against each other in one run
 *
 * The sides of a comparison take turns in one process: after a warm-up of each,
 * every repetition runs all of them, every other time in the opposite order.
 * So what the machine does meanwhile happens to all alike, and the ratios
 * between sides can be relied on where the figures themselves cannot.
 *
 * A runtime is started once for each number of workers, before the first run
 * that needs it, and is kept.  A side that runs in one is timed within its task,
 * so that neither starting nor submitting is measured.  Each run says whether
 * its result was right; the first that was wrong ends the program with status 1.
 */
#ifndef BENCH_H
#define BENCH_H

#include <weft/weft.h>

#include <pthread.h>

struct bench_options {
    unsigned workers; /* 0: with 1 and with 2 */
    int      reps;
    bool     quick; /* small sizes: to see that all works, not to measure */
    bool     json;  /* an object a line */
};
extern struct bench_options bench_options;

/* Of the tasks, in bytes; 0: weft's default.  Before the first comparison. */
extern size_t bench_stack_size;

/* Where a side runs: in a plain thread, or as a task with that many workers. */
#define BENCH_THREAD 0
#define BENCH_EACH   (-1) /* once for each number of workers asked for */

/* One way to do the work: run(arg) does `count` operations and returns 0 if the
 * result is right.  What takes long to judge is left to judge(arg), which
 * returns the same, is called after each run, and is not timed. */
struct bench_side {
    const char *name;
    weft_fn    *run, *judge; /* NULL: nothing more to judge */
    void       *arg;
    double      count;
    int         workers;
};

/* Reads the flags; a wrong one ends the program with status 2. */
void bench_start(const char *name, int argc, char **argv);

/* Measures the sides and prints, of each, the time per operation: the median,
 * the least, how far it spread; how many processors it kept busy, which shows
 * when two workers had to share one; and the ratio of its median to that of the
 * first side.  `unit` names one operation. */
void bench_compare_sides(const char *what, const char *unit, const struct bench_side *sides, size_t count);
#define bench_compare(what, unit, sides) bench_compare_sides(what, unit, sides, sizeof(sides) / sizeof(*(sides)))

/* Prints a figure that is not a time. */
void bench_value(const char *what, double value, const char *unit);

/* Says why and ends the program with status 1. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CLOCK_MONOTONIC in nanoseconds, for what has no runtime. */
int64_t bench_now(void);

/* For qsort: doubles, the least first. */
int bench_ascending(const void *left, const void *right);

/* A thread of a twin, in the caller's storage, as weft_spawn and weft_await have a task: join returns what fn
 * did.  Where no thread is to be had the program ends with status 1. */
struct bench_thread {
    pthread_t id;
    weft_fn  *fn;
    void     *arg;
    int       result;
};
void bench_thread_start(struct bench_thread *thread, weft_fn *fn, void *arg);
int  bench_thread_join(struct bench_thread *thread);

/* Bytes of this process's memory, by their name in /proc/self/status: "VmRSS",
 * what is resident now, "VmHWM", the most that has been, or "VmPTE", its page tables. */
double bench_memory(const char *field);

/* Stops the runtimes.  The status to exit with. */
int bench_end(void);

/* A size: the full one, or the small one with --quick. */
static inline long bench_size(long full, long quick)
{
    return bench_options.quick ? quick : full;
}

#endif /* BENCH_H */
