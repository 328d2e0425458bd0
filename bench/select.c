/* select.c - one task receives from four channels, whichever has something
 *
 * Each channel has a sender of its own, which closes it in the end; the items are
 * numbered, and their sum is known.  The channels have 128 slots, or none.  The twin
 * has four rings under one mutex, and a condition that says that any of them has
 * something; with no slots its rings hold one item.
 */
#include "bench.h"

enum { CHANNELS = 4, SLOTS = 128 };

struct party {
    int  slots; /* of each channel */
    long items; /* in all */
};

/* One channel and its sender. */
struct lane {
    weft_chan          *chan;
    weft_task           task;
    struct bench_thread thread;
    int                 first, items; /* numbers first, first + 1, ... */
    pthread_cond_t      drained;
    int                 ring[SLOTS], slots, head, filled; /* all under the mutex */
    bool                closed;
};

static struct lane     lanes[CHANNELS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  filled = PTHREAD_COND_INITIALIZER;

static void share_out(const struct party *party)
{
    int share = (int)(party->items / CHANNELS);
    for (int i = 0; i < CHANNELS; i++)
        lanes[i] = (struct lane){
            .first = i * share,
            .items = share,
            .slots = party->slots ? party->slots : 1,
            .drained = PTHREAD_COND_INITIALIZER,
        };
}

static int judge(const struct party *party, long count, long sum)
{
    return count != party->items || sum != party->items * (party->items - 1) / 2;
}

/* ---- tasks --------------------------------------------------------------- */

static int send_task(void *arg)
{
    struct lane *lane = arg;
    int          wrong = 0;
    for (int i = 0, item; i < lane->items && !wrong; i++) {
        item = lane->first + i;
        wrong = weft_send(lane->chan, &item, WEFT_NEVER);
    }
    weft_chan_close(lane->chan);
    return wrong;
}

static int run_tasks(void *arg)
{
    const struct party *party = arg;
    struct weft_case    cases[CHANNELS];
    int                 items[CHANNELS], wrong = 0;
    long                count = 0, sum = 0;

    share_out(party);
    for (int i = 0; i < CHANNELS; i++) {
        if (weft_chan_create(&lanes[i].chan, sizeof(int), (size_t)party->slots)) return 1;
        cases[i] = (struct weft_case)WEFT_RECV(lanes[i].chan, &items[i]);
        weft_spawn(&lanes[i].task, send_task, &lanes[i]);
    }
    for (int open = CHANNELS; open > 0 && !wrong;) {
        int i = weft_select(cases, CHANNELS, WEFT_NEVER);
        if (i < 0) {
            wrong = i;
        } else if (cases[i].result) {
            cases[i].chan = NULL; /* closed */
            open--;
        } else {
            sum += items[i];
            count++;
        }
    }
    for (int i = CHANNELS; i-- > 0;) wrong |= weft_await(&lanes[i].task);
    for (int i = 0; i < CHANNELS; i++) weft_chan_destroy(lanes[i].chan);
    return wrong || judge(party, count, sum);
}

/* ---- threads ------------------------------------------------------------- */

static int send_thread(void *arg)
{
    struct lane *lane = arg;
    for (int i = 0; i <= lane->items; i++) {
        pthread_mutex_lock(&mutex);
        while (lane->filled == lane->slots) pthread_cond_wait(&lane->drained, &mutex);
        if (i < lane->items) lane->ring[(lane->head + lane->filled++) % lane->slots] = lane->first + i;
        else lane->closed = true;
        pthread_mutex_unlock(&mutex);
        pthread_cond_signal(&filled);
    }
    return 0;
}

/* The next lane from *turn on that has an item; NULL: all are empty, and *open of them not closed. */
static struct lane *look(int *turn, int *open)
{
    *open = 0;
    for (int i = 0; i < CHANNELS; i++) {
        struct lane *lane = &lanes[(*turn + i) % CHANNELS];
        if (lane->filled > 0) {
            *turn = (*turn + i + 1) % CHANNELS;
            return lane;
        }
        *open += !lane->closed;
    }
    return NULL;
}

static int run_threads(void *arg)
{
    const struct party *party = arg;
    long                count = 0, sum = 0;
    int                 turn = 0, open;

    share_out(party);
    for (int i = 0; i < CHANNELS; i++) bench_thread_start(&lanes[i].thread, send_thread, &lanes[i]);
    for (;;) {
        struct lane *lane;
        pthread_mutex_lock(&mutex);
        while (!(lane = look(&turn, &open)) && open > 0) pthread_cond_wait(&filled, &mutex);
        if (lane) {
            sum += lane->ring[lane->head];
            lane->head = (lane->head + 1) % lane->slots;
            lane->filled--;
        }
        pthread_mutex_unlock(&mutex);
        if (!lane) break;
        count++;
        pthread_cond_signal(&lane->drained);
    }
    for (int i = 0; i < CHANNELS; i++) bench_thread_join(&lanes[i].thread);
    return judge(party, count, sum);
}

static void compare(const char *what, int slots)
{
    struct party            tasks = {slots, bench_size(400000, 20000)};
    struct party            threads = {slots, slots ? bench_size(200000, 20000) : bench_size(40000, 2000)};
    const struct bench_side sides[] = {
        {.name = "threads, one condition", .run = run_threads, .arg = &threads, .count = (double)threads.items},
        {.name = "tasks, weft_select",
         .run = run_tasks,
         .arg = &tasks,
         .count = (double)tasks.items,
         .workers = BENCH_EACH},
    };
    bench_compare(what, "item", sides);
}

int main(int argc, char **argv)
{
    bench_start("select", argc, argv);
    compare("over four channels, 128 slots", SLOTS);
    compare("over four channels, unbuffered", 0);
    return bench_end();
}
