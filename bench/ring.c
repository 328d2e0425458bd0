/* ring.c - a token goes round a ring of a thousand tasks, from each to the next by an unbuffered channel
 *
 * One of them is the caller, who sends it off and gets it back.  Each adds one to
 * the token, which so counts its hops.  The twin has a hundred threads, each of which
 * waits for a semaphore of its own.
 */
#include "bench.h"

#include <semaphore.h>

enum { TASKS = 1000, THREADS = 100 };

static struct member {
    weft_task           task;
    struct bench_thread thread;
    weft_chan          *chan; /* what it receives from */
    sem_t               turn;
    struct member      *next;
    long                rounds;
} members[TASKS];

static long token; /* of the threads: whose turn it is has it */

/* The last channel is the caller's. */
static void close_ring(int count, long rounds)
{
    for (int i = 0; i < count; i++) {
        members[i].next = &members[(i + 1) % count];
        members[i].rounds = rounds;
    }
}

static int hop_task(void *arg)
{
    struct member *member = arg;
    long           hops;
    int            wrong = 0;
    for (long i = 0; i < member->rounds && !wrong; i++) {
        wrong |= weft_recv(member->chan, &hops, WEFT_NEVER);
        hops++;
        wrong |= weft_send(member->next->chan, &hops, WEFT_NEVER);
    }
    return wrong;
}

static int run_tasks(void *arg)
{
    long rounds = *(long *)arg, hops = 0;
    int  wrong = 0;

    close_ring(TASKS, rounds);
    for (int i = 1; i < TASKS; i++) weft_spawn(&members[i].task, hop_task, &members[i]);
    for (long i = 0; i < rounds && !wrong; i++) {
        hops++;
        wrong |= weft_send(members[1].chan, &hops, WEFT_NEVER);
        wrong |= weft_recv(members[0].chan, &hops, WEFT_NEVER);
    }
    for (int i = TASKS; i-- > 1;) wrong |= weft_await(&members[i].task);
    return wrong || hops != rounds * TASKS;
}

static int hop_thread(void *arg)
{
    struct member *member = arg;
    for (long i = 0; i < member->rounds; i++) {
        while (sem_wait(&member->turn)) {
        }
        token++;
        sem_post(&member->next->turn);
    }
    return 0;
}

static int run_threads(void *arg)
{
    long rounds = *(long *)arg;

    token = 0;
    close_ring(THREADS, rounds);
    for (int i = 0; i < THREADS; i++) bench_thread_start(&members[i].thread, hop_thread, &members[i]);
    sem_post(&members[0].turn);
    for (int i = 0; i < THREADS; i++) bench_thread_join(&members[i].thread);
    sem_wait(&members[0].turn); /* the last one has passed it on */
    return token != rounds * THREADS;
}

int main(int argc, char **argv)
{
    bench_start("ring", argc, argv);
    long tasks = bench_size(1000, 10), threads = bench_size(200, 10);
    for (int i = 0; i < TASKS; i++) {
        if (weft_chan_create(&members[i].chan, sizeof(long), 0)) bench_fail("no memory");
        sem_init(&members[i].turn, 0, 0);
    }
    const struct bench_side sides[] = {
        {.name = "100 threads, semaphores", .run = run_threads, .arg = &threads, .count = (double)threads * THREADS},
        {.name = "1,000 tasks, channels",
         .run = run_tasks,
         .arg = &tasks,
         .count = (double)tasks * TASKS,
         .workers = BENCH_EACH},
    };
    bench_compare("a token in a ring", "hop", sides);
    for (int i = 0; i < TASKS; i++) weft_chan_destroy(members[i].chan);
    return bench_end();
}
