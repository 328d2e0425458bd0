/* yield.c - tasks that do nothing but let each other run
 *
 * Two tasks, and a thousand, whose stacks do not fit the first cache.  The twin
 * has as many threads, all on one processor, that call sched_yield; starting
 * and joining them is part of its time, spread over many yields.
 */
#define _GNU_SOURCE /* for affinity */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { MOST = 1000 };

struct party {
    int  members;
    long yields; /* of each */
};

static struct member {
    weft_task task;
    pthread_t thread;
    long      yields, done;
} members[MOST];

static int yield_task(void *arg)
{
    struct member *member = arg;
    for (; member->done < member->yields; member->done++) weft_yield();
    return 0;
}

static void *yield_thread(void *arg)
{
    struct member *member = arg;
    for (; member->done < member->yields; member->done++) sched_yield();
    return NULL;
}

static int judge(const struct party *party)
{
    long sum = 0;
    for (int i = 0; i < party->members; i++) sum += members[i].done;
    return sum != party->members * party->yields;
}

static int run_tasks(void *arg)
{
    const struct party *party = arg;
    for (int i = 0; i < party->members; i++) {
        members[i] = (struct member){.yields = party->yields};
        weft_spawn(&members[i].task, yield_task, &members[i]);
    }
    for (int i = party->members; i-- > 0;) weft_await(&members[i].task);
    return judge(party);
}

static int run_threads(void *arg)
{
    const struct party *party = arg;
    pthread_attr_t      attributes;
    cpu_set_t           here;
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof(here), &here);
    for (int i = 0; i < party->members; i++) {
        members[i] = (struct member){.yields = party->yields};
        if (pthread_create(&members[i].thread, &attributes, yield_thread, &members[i]))
            bench_fail("no %d threads are to be had", party->members);
    }
    for (int i = 0; i < party->members; i++) pthread_join(members[i].thread, NULL);
    pthread_attr_destroy(&attributes);
    return judge(party);
}

static void compare(const char *what, int count)
{
    long                    yields = bench_size(2000000, 20000), fewer = bench_size(200000, 20000);
    struct party            tasks = {count, yields / count}, threads = {count, fewer / count};
    const struct bench_side sides[] = {
        {.name = "sched_yield, threads", .run = run_threads, .arg = &threads, .count = (double)fewer},
        {.name = "weft_yield", .run = run_tasks, .arg = &tasks, .count = (double)yields, .workers = BENCH_EACH},
    };
    bench_compare(what, "yield", sides);
}

int main(int argc, char **argv)
{
    bench_start("yield", argc, argv);
    compare("2 that yield in turn", 2);
    compare("1,000 that yield in turn", MOST);
    return bench_end();
}
