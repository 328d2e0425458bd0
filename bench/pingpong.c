/* pingpong.c - two tasks that send a number there and back, by two unbuffered channels
 *
 * Whoever sends it back adds one, so that the number counts the round trips.  The
 * twin has two threads and a queue of one item for each direction; each way there
 * wakes a thread, so it makes fewer.
 */
#include "bench.h"
#include "queue.h"

static int pong_task(void *arg)
{
    weft_chan *const *chans = arg;
    long              ball;
    while (!weft_recv(chans[0], &ball, WEFT_NEVER)) {
        ball++;
        if (weft_send(chans[1], &ball, WEFT_NEVER)) return 1;
    }
    return 0;
}

static int run_tasks(void *arg)
{
    long       rounds = *(long *)arg, ball = 0;
    weft_chan *chans[2];
    weft_task  task;
    int        wrong = 0;

    for (int i = 0; i < 2; i++)
        if (weft_chan_create(&chans[i], sizeof(ball), 0)) return 1;
    weft_spawn(&task, pong_task, chans);
    for (long i = 0; i < rounds && !wrong; i++) {
        wrong |= weft_send(chans[0], &ball, WEFT_NEVER);
        wrong |= weft_recv(chans[1], &ball, WEFT_NEVER);
    }
    weft_chan_close(chans[0]);
    wrong |= weft_await(&task);
    for (int i = 0; i < 2; i++) weft_chan_destroy(chans[i]);
    return wrong || ball != rounds;
}

static int pong_thread(void *arg)
{
    struct queue *queues = arg;
    long          ball;
    while (queue_recv(&queues[0], &ball)) {
        ball++;
        queue_send(&queues[1], &ball);
    }
    return 0;
}

static int run_threads(void *arg)
{
    long                rounds = *(long *)arg, ball = 0;
    struct queue        queues[2];
    struct bench_thread thread;

    for (int i = 0; i < 2; i++) queue_init(&queues[i], sizeof(ball), 1);
    bench_thread_start(&thread, pong_thread, queues);
    for (long i = 0; i < rounds; i++) {
        queue_send(&queues[0], &ball);
        queue_recv(&queues[1], &ball);
    }
    queue_close(&queues[0]);
    bench_thread_join(&thread);
    for (int i = 0; i < 2; i++) queue_destroy(&queues[i]);
    return ball != rounds;
}

int main(int argc, char **argv)
{
    bench_start("pingpong", argc, argv);
    long                    tasks = bench_size(1000000, 10000), threads = bench_size(20000, 1000);
    const struct bench_side sides[] = {
        {.name = "two threads, mutex and condition", .run = run_threads, .arg = &threads, .count = (double)threads},
        {.name = "two tasks", .run = run_tasks, .arg = &tasks, .count = (double)tasks, .workers = BENCH_EACH},
    };
    bench_compare("two unbuffered channels", "round trip", sides);
    return bench_end();
}
