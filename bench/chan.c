/* chan.c - many items through one channel of 128 slots
 *
 * One sends and one receives, or four and four; an item is an int, or 256 bytes.
 * The items are numbered, at both ends of each, and the receivers add up the numbers
 * until the channel is closed.  The twin has as many threads, and a queue.
 */
#include "bench.h"
#include "queue.h"

enum { SLOTS = 128, MOST = 4, WIDE = 64 /* ints */ };

struct stream {
    int          ends;  /* on each side */
    size_t       ints;  /* in an item */
    long         items; /* in all */
    weft_chan   *chan;
    struct queue queue;
};

struct end {
    struct stream      *stream;
    int                 first; /* a sender's numbers start here */
    long                count, sum;
    weft_task           task;
    struct bench_thread thread;
};

static void number_item(const struct end *end, int *item, long i)
{
    item[0] = item[end->stream->ints - 1] = end->first + (int)i;
}

/* An item that was torn counts as none. */
static void account(struct end *end, const int *item)
{
    end->count += item[0] == item[end->stream->ints - 1];
    end->sum += item[0];
}

static int send_task(void *arg)
{
    const struct end *end = arg;
    size_t            size = end->stream->ints * sizeof(int);
    int               item[WIDE] = {0}, wrong = 0;
    for (long i = 0; i < end->count && !wrong; i++) {
        number_item(end, item, i);
        wrong = weft_chan_send(end->stream->chan, item, size, WEFT_NEVER);
    }
    return wrong;
}

static int recv_task(void *arg)
{
    struct end *end = arg;
    size_t      size = end->stream->ints * sizeof(int);
    int         item[WIDE];
    while (!weft_chan_recv(end->stream->chan, item, size, WEFT_NEVER)) account(end, item);
    return 0;
}

static int send_thread(void *arg)
{
    struct end *end = arg;
    int         item[WIDE] = {0};
    for (long i = 0; i < end->count; i++) {
        number_item(end, item, i);
        queue_send(&end->stream->queue, item);
    }
    return 0;
}

static int recv_thread(void *arg)
{
    struct end *end = arg;
    int         item[WIDE];
    while (queue_recv(&end->stream->queue, item)) account(end, item);
    return 0;
}

static void share_out(struct stream *stream, struct end *senders, struct end *receivers)
{
    long share = stream->items / stream->ends;
    for (int i = 0; i < stream->ends; i++) {
        senders[i] = (struct end){.stream = stream, .first = (int)(i * share), .count = share};
        receivers[i] = (struct end){.stream = stream};
    }
}

static int judge(const struct stream *stream, const struct end *receivers)
{
    long count = 0, sum = 0;
    for (int i = 0; i < stream->ends; i++) count += receivers[i].count, sum += receivers[i].sum;
    return count != stream->items || sum != stream->items * (stream->items - 1) / 2;
}

static int run_tasks(void *arg)
{
    struct stream *stream = arg;
    struct end     senders[MOST], receivers[MOST];
    int            wrong = 0;

    if (weft_chan_create(&stream->chan, stream->ints * sizeof(int), SLOTS)) return 1;
    share_out(stream, senders, receivers);
    for (int i = 0; i < stream->ends; i++) weft_spawn(&receivers[i].task, recv_task, &receivers[i]);
    for (int i = 0; i < stream->ends; i++) weft_spawn(&senders[i].task, send_task, &senders[i]);
    for (int i = stream->ends; i-- > 0;) wrong |= weft_await(&senders[i].task);
    weft_chan_close(stream->chan);
    for (int i = stream->ends; i-- > 0;) wrong |= weft_await(&receivers[i].task);
    weft_chan_destroy(stream->chan);
    return wrong || judge(stream, receivers);
}

static int run_threads(void *arg)
{
    struct stream *stream = arg;
    struct end     senders[MOST], receivers[MOST];

    queue_init(&stream->queue, stream->ints * sizeof(int), SLOTS);
    share_out(stream, senders, receivers);
    for (int i = 0; i < stream->ends; i++) bench_thread_start(&receivers[i].thread, recv_thread, &receivers[i]);
    for (int i = 0; i < stream->ends; i++) bench_thread_start(&senders[i].thread, send_thread, &senders[i]);
    for (int i = 0; i < stream->ends; i++) bench_thread_join(&senders[i].thread);
    queue_close(&stream->queue);
    for (int i = 0; i < stream->ends; i++) bench_thread_join(&receivers[i].thread);
    queue_destroy(&stream->queue);
    return judge(stream, receivers);
}

static void compare(const char *what, int ends, size_t ints)
{
    struct stream           tasks = {.ends = ends, .ints = ints, .items = bench_size(1000000, 20000)};
    struct stream           threads = {.ends = ends, .ints = ints, .items = bench_size(200000, 20000)};
    const struct bench_side sides[] = {
        {.name = "threads and a queue", .run = run_threads, .arg = &threads, .count = (double)threads.items},
        {.name = "tasks and a channel",
         .run = run_tasks,
         .arg = &tasks,
         .count = (double)tasks.items,
         .workers = BENCH_EACH},
    };
    bench_compare(what, "item", sides);
}

int main(int argc, char **argv)
{
    bench_start("chan", argc, argv);
    compare("one to one, an int", 1, 1);
    compare("one to one, 256 bytes", 1, WIDE);
    compare("four to four, an int", MOST, 1);
    compare("four to four, 256 bytes", MOST, WIDE);
    return bench_end();
}
