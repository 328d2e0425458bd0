/* mutex.c - 64 tasks that lock, add one, and unlock
 *
 * The twins have pthread's mutex, and threads in place of tasks: one, which never
 * meets another, and as many as there are processors.  All make the same number of
 * additions in all.
 */
#define _GNU_SOURCE /* for affinity */
#include "bench.h"

#include <sched.h>

enum { TASKS = 64, THREADS_MOST = 64 };

static weft_mutex      mutex;
static pthread_mutex_t thread_mutex = PTHREAD_MUTEX_INITIALIZER;
static long            total, sum; /* under the mutex */

static int add_task(void *arg)
{
    for (long i = *(long *)arg; i > 0; i--) {
        weft_mutex_lock(&mutex);
        sum++;
        weft_mutex_unlock(&mutex);
    }
    return 0;
}

static int add_thread(void *arg)
{
    for (long i = *(long *)arg; i > 0; i--) {
        pthread_mutex_lock(&thread_mutex);
        sum++;
        pthread_mutex_unlock(&thread_mutex);
    }
    return 0;
}

static int run_tasks(void *arg)
{
    weft_task tasks[TASKS];
    long      each = total / TASKS;
    (void)arg;
    sum = 0;
    for (int i = 0; i < TASKS; i++) weft_spawn(&tasks[i], add_task, &each);
    for (int i = TASKS; i-- > 0;) weft_await(&tasks[i]);
    return sum != total;
}

static int run_threads(void *arg)
{
    struct bench_thread threads[THREADS_MOST];
    int                 count = *(int *)arg;
    long                each = total / count, rest = total - each * (count - 1);
    sum = 0;
    for (int i = 0; i < count; i++) bench_thread_start(&threads[i], add_thread, i ? &each : &rest);
    for (int i = 0; i < count; i++) bench_thread_join(&threads[i]);
    return sum != total;
}

int main(int argc, char **argv)
{
    bench_start("mutex", argc, argv);
    total = TASKS * bench_size(40000, 300);

    cpu_set_t cpus;
    int       one = 1, each = 1;
    if (!sched_getaffinity(0, sizeof(cpus), &cpus)) each = CPU_COUNT(&cpus);
    if (each > THREADS_MOST) each = THREADS_MOST;
    const struct bench_side sides[] = {
        {.name = "pthread_mutex, one thread", .run = run_threads, .arg = &one, .count = (double)total},
        {.name = "pthread_mutex, a thread a processor", .run = run_threads, .arg = &each, .count = (double)total},
        {.name = "weft_mutex, 64 tasks", .run = run_tasks, .count = (double)total, .workers = BENCH_EACH},
    };
    bench_compare("lock, add one, unlock", "addition", sides);
    return bench_end();
}
