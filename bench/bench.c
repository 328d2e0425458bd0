/* bench.c - taking turns, and what is printed of it */
#include "bench.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench_options bench_options = {.reps = 9};
size_t               bench_stack_size;

static const char *bench_name;

/* The runtimes so far, one for each number of workers. */
static struct {
    unsigned      workers;
    weft_runtime *runtime;
} runtimes[4];

/* A side with one number of workers, and what was measured of it. */
struct series {
    const struct bench_side *side;
    unsigned                 workers;
    int64_t                  taken, busy; /* by the latest run: time, and processor time of all threads */
    double                   cpus;        /* kept busy, on average; summed up over the repetitions */
    double                  *ns;          /* per operation, one for each repetition; in the end sorted */
};

/* ---- flags -------------------------------------------------------------- */

static void usage(FILE *file)
{
    fprintf(file,
            "usage: %s [--workers N] [--reps N] [--quick] [--json]\n"
            "  --workers N  worker threads; 0, the default: once with 1 and once with 2\n"
            "  --reps N     repetitions, after one to warm up; the default is %d\n"
            "  --quick      small sizes\n"
            "  --json       one JSON object a line\n",
            bench_name, bench_options.reps);
}

static long number(const char *flag, const char *text, long least, long most)
{
    char *end;
    long  value = strtol(text, &end, 10);
    if (end == text || *end || value < least || value > most) {
        fprintf(stderr, "%s: --%s takes a number from %ld to %ld, not \"%s\"\n", bench_name, flag, least, most, text);
        exit(2);
    }
    return value;
}

void bench_start(const char *name, int argc, char **argv)
{
    static const struct option flags[] = {
        {"workers", required_argument, NULL, 'w'}, {"reps", required_argument, NULL, 'r'},
        {"quick", no_argument, NULL, 'q'},         {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };

    bench_name = name;
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) switch (flag) {
        case 'w': bench_options.workers = (unsigned)number("workers", optarg, 0, 1024); break;
        case 'r': bench_options.reps = (int)number("reps", optarg, 1, 1000000); break;
        case 'q': bench_options.quick = true; break;
        case 'j': bench_options.json = true; break;
        case 'h': usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    if (optind < argc) {
        usage(stderr);
        exit(2);
    }
    if (!bench_options.json) printf("%s, medians of %d\n", name, bench_options.reps);
}

/* ---- running ------------------------------------------------------------ */

void bench_fail(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "%s: ", bench_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static weft_runtime *runtime_with(unsigned workers)
{
    size_t i = 0;
    while (i < sizeof(runtimes) / sizeof(*runtimes) && runtimes[i].runtime && runtimes[i].workers != workers) i++;
    if (i == sizeof(runtimes) / sizeof(*runtimes)) bench_fail("too many different numbers of workers");
    if (!runtimes[i].runtime) {
        int error =
            weft_runtime_start(&runtimes[i].runtime, WEFT_OPTIONS(.workers = workers, .stack_size = bench_stack_size));
        if (error) bench_fail("no runtime with %u workers: %s", workers, strerror(-error));
        runtimes[i].workers = workers;
    }
    return runtimes[i].runtime;
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t bench_now(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

static int timed(void *arg)
{
    struct series *series = arg;
    int64_t        busy = now_ns(CLOCK_PROCESS_CPUTIME_ID), begin = bench_now();
    int            result = series->side->run(series->side->arg);

    series->taken = bench_now() - begin;
    series->busy = now_ns(CLOCK_PROCESS_CPUTIME_ID) - busy;
    return result;
}

/* Nanoseconds for one operation. */
static double run_once(struct series *series, const char *what)
{
    int result = series->workers ? weft_runtime_call(runtime_with(series->workers), timed, series) : timed(series);
    if (!result && series->side->judge) result = series->side->judge(series->side->arg);
    if (result)
        bench_fail("%s, %s (workers: %u): the result is wrong (%d)", what, series->side->name, series->workers, result);
    return (double)series->taken / series->side->count;
}

int bench_ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(const struct series *series)
{
    int reps = bench_options.reps;
    return (series->ns[(reps - 1) / 2] + series->ns[reps / 2]) / 2;
}

static void take_turns(struct series *series, size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++) run_once(&series[i], what);
    for (int rep = 0; rep < bench_options.reps; rep++)
        for (size_t i = 0; i < count; i++) {
            struct series *next = &series[rep % 2 ? count - 1 - i : i];
            next->ns[rep] = run_once(next, what);
            next->cpus += (double)next->busy / (double)next->taken / bench_options.reps;
        }
    for (size_t i = 0; i < count; i++) qsort(series[i].ns, (size_t)bench_options.reps, sizeof(double), bench_ascending);
}

/* ---- printing ----------------------------------------------------------- */

static void print_time(double ns)
{
    int step = 0;
    for (; ns >= 10000 && step < 3; step++) ns /= 1000;
    printf(" %9.*f %s", ns < 10 ? 2 : 1, ns, (const char *const[]){"ns", "us", "ms", "s "}[step]);
}

/* `alone` is the same side with the first number of workers. */
static void print_series(const struct series *series, const struct series *first, const struct series *alone)
{
    const double *ns = series->ns, middle = median(series), most = ns[bench_options.reps - 1];
    char          workers[32] = "";

    if (series->workers)
        snprintf(workers, sizeof(workers), ", %u worker%s", series->workers, series->workers == 1 ? "" : "s");
    printf("  %s%s%*s", series->side->name, workers, (int)(40 - strlen(series->side->name) - strlen(workers)), "");
    print_time(middle);
    print_time(ns[0]);
    printf(" %7.1f%% %6.2f %8.3f", 100 * (most - ns[0]) / middle, series->cpus, middle / median(first));
    if (alone != series) printf("  %.2f times as fast as with %u", median(alone) / middle, alone->workers);
    putchar('\n');
}

static void print_series_json(const struct series *series, const struct series *first, const char *what,
                              const char *unit)
{
    printf("{\"bench\": \"%s\", \"what\": \"%s\", \"side\": \"%s\", \"workers\": %u, \"unit\": \"%s\", "
           "\"operations\": %.0f, \"reps\": %d, \"median_ns\": %.4f, \"min_ns\": %.4f, \"max_ns\": %.4f, "
           "\"cpus\": %.3f, \"ratio\": %.4f}\n",
           bench_name, what, series->side->name, series->workers, unit, series->side->count, bench_options.reps,
           median(series), series->ns[0], series->ns[bench_options.reps - 1], series->cpus,
           median(series) / median(first));
}

void bench_compare_sides(const char *what, const char *unit, const struct bench_side *sides, size_t count)
{
    unsigned       given[] = {bench_options.workers}, both[] = {1, 2}, *each = given[0] ? given : both;
    size_t         each_count = given[0] ? 1 : 2, total = 0;
    struct series *series = calloc(2 * count, sizeof(*series));
    double        *ns = calloc(2 * count * (size_t)bench_options.reps, sizeof(*ns));

    if (!series || !ns) bench_fail("no memory");
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < (sides[i].workers == BENCH_EACH ? each_count : 1); k++, total++) {
            series[total].side = &sides[i];
            series[total].workers = sides[i].workers == BENCH_EACH ? each[k] : (unsigned)sides[i].workers;
            series[total].ns = ns + total * (size_t)bench_options.reps;
        }
    take_turns(series, total, what);

    if (!bench_options.json)
        printf("\n%-42s %12s %12s %8s %6s %8s\n", what, "median", "least", "spread", "CPUs", "ratio");
    for (const struct series *s = series, *alone = s; s < series + total; s++) {
        alone = alone->side == s->side ? alone : s;
        if (bench_options.json) print_series_json(s, series, what, unit);
        else print_series(s, series, alone);
    }
    if (!bench_options.json) printf("  (time per %s)\n", unit);
    fflush(stdout);
    free(ns);
    free(series);
}

void bench_value(const char *what, double value, const char *unit)
{
    if (bench_options.json)
        printf("{\"bench\": \"%s\", \"what\": \"%s\", \"value\": %.4f, \"unit\": \"%s\"}\n", bench_name, what, value,
               unit);
    else printf("\n%-42s %12.*f %s\n", what, value == (double)(int64_t)value ? 0 : 2, value, unit);
    fflush(stdout);
}

/* ---- twins -------------------------------------------------------------- */

static void *run_thread(void *arg)
{
    struct bench_thread *thread = arg;
    thread->result = thread->fn(thread->arg);
    return NULL;
}

void bench_thread_start(struct bench_thread *thread, weft_fn *fn, void *arg)
{
    thread->fn = fn;
    thread->arg = arg;
    int error = pthread_create(&thread->id, NULL, run_thread, thread);
    if (error) bench_fail("no thread is to be had: %s", strerror(error));
}

int bench_thread_join(struct bench_thread *thread)
{
    pthread_join(thread->id, NULL);
    return thread->result;
}

/* ---- the process -------------------------------------------------------- */

double bench_memory(const char *field)
{
    char   line[256];
    double kib = 0;
    FILE  *file = fopen("/proc/self/status", "re");

    if (!file) bench_fail("/proc/self/status cannot be read");
    while (fgets(line, sizeof(line), file))
        if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
            kib = strtod(line + strlen(field) + 1, NULL);
    fclose(file);
    if (kib == 0) bench_fail("/proc/self/status does not tell %s", field);
    return kib * 1024;
}

int bench_end(void)
{
    for (size_t i = 0; i < sizeof(runtimes) / sizeof(*runtimes); i++)
        if (runtimes[i].runtime && weft_runtime_stop(runtimes[i].runtime))
            bench_fail("the runtime with %u workers did not stop", runtimes[i].workers);
    return 0;
}
