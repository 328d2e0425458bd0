/* weft.c - the subjects as tasks of weft, with nothing but weft.h */
#include "../../uts_tree.h"
#include "../common/peer.h"
#include "../common/work.h"

#include <weft/weft.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1000, FAN = 10, CHUNK = 8, SLOTS = 128, ENDS = 4, MEMBERS = 1000, LOCKERS = 64, SHARED = 100000 };

static void must(int error)
{
    if (error < 0) peer_fail(strerror(-error));
}

/* ---- fork and join ------------------------------------------------------- */

struct fib {
    long n, result;
};

static int fib_task(void *arg)
{
    struct fib *f = arg;
    if (f->n < 2) {
        f->result = f->n;
        return 0;
    }
    struct fib left = {.n = f->n - 1}, right = {.n = f->n - 2};
    weft_task  task;
    weft_spawn(&task, fib_task, &left);
    fib_task(&right);
    weft_await(&task);
    f->result = left.result + right.result;
    return 0;
}

static uint64_t fib_work(void)
{
    struct fib f = {.n = peer_size};
    fib_task(&f);
    return (uint64_t)f.result;
}

static void fib(void)
{
    peer_measure(fib_work);
}

static int add_one(void *arg)
{
    ++*(long *)arg;
    return 0;
}

static uint64_t spawn_work(void)
{
    static weft_task tasks[BATCH];
    static long      counts[BATCH];
    long             sum = 0;
    memset(counts, 0, sizeof counts);
    for (long round = 0; round < peer_size / BATCH; round++) {
        for (int i = 0; i < BATCH; i++) weft_spawn(&tasks[i], add_one, &counts[i]);
        for (int i = BATCH; i-- > 0;) weft_await(&tasks[i]);
    }
    for (int i = 0; i < BATCH; i++) sum += counts[i];
    return (uint64_t)sum;
}

static void spawn(void)
{
    peer_measure(spawn_work);
}

struct tree {
    long first, leaves, sum; /* numbers of the leaves below, and what they add up to */
};

static int skynet_task(void *arg)
{
    struct tree *t = arg, below[FAN];
    weft_task    tasks[FAN];
    if (t->leaves == 1) {
        t->sum = t->first;
        return 0;
    }
    long share = t->leaves / FAN, sum = 0;
    for (int i = 0; i < FAN; i++) {
        below[i] = (struct tree){.first = t->first + i * share, .leaves = share};
        weft_spawn(&tasks[i], skynet_task, &below[i]);
    }
    for (int i = FAN; i-- > 0;) {
        weft_await(&tasks[i]);
        sum += below[i].sum;
    }
    t->sum = sum;
    return 0;
}

static uint64_t skynet_work(void)
{
    struct tree t = {.leaves = peer_size};
    skynet_task(&t);
    return (uint64_t)t.sum;
}

static void skynet(void)
{
    peer_measure(skynet_work);
}

struct branch {
    long       first, leaves;
    weft_chan *up;
};

static int skynet_chan_task(void *arg)
{
    const struct branch *b = arg;
    long                 sum = b->first;
    if (b->leaves > 1) {
        struct branch below[FAN];
        weft_task     tasks[FAN];
        weft_chan    *chan;
        long          share = b->leaves / FAN, part;
        must(weft_chan_create(&chan, sizeof(long), 0));
        for (int i = 0; i < FAN; i++) {
            below[i] = (struct branch){b->first + i * share, share, chan};
            weft_spawn(&tasks[i], skynet_chan_task, &below[i]);
        }
        sum = 0;
        for (int i = 0; i < FAN; i++) {
            must(weft_recv(chan, &part, WEFT_NEVER));
            sum += part;
        }
        for (int i = FAN; i-- > 0;) weft_await(&tasks[i]);
        weft_chan_destroy(chan);
    }
    return weft_send(b->up, &sum, WEFT_NEVER);
}

static uint64_t skynet_chan_work(void)
{
    weft_chan *chan;
    weft_task  task;
    long       sum;
    must(weft_chan_create(&chan, sizeof(long), 0));
    struct branch root = {0, peer_size, chan};
    weft_spawn(&task, skynet_chan_task, &root);
    must(weft_recv(chan, &sum, WEFT_NEVER));
    weft_await(&task);
    weft_chan_destroy(chan);
    return (uint64_t)sum;
}

static void skynet_chan(void)
{
    peer_measure(skynet_chan_work);
}

static struct uts_params tree;

struct node {
    struct uts_node node;
    uint64_t        nodes, leaves;
    int             depth;
};

static int uts_task(void *arg)
{
    struct node *n = arg, child[CHUNK];
    weft_task    tasks[CHUNK];
    int          count = uts_num_children(&n->node, &tree);
    n->nodes = 1;
    n->leaves = count == 0;
    n->depth = n->node.depth;
    for (int first = 0; first < count; first += CHUNK) {
        int here = count - first < CHUNK ? count - first : CHUNK;
        for (int i = 0; i < here; i++) {
            uts_child(&child[i].node, &n->node, first + i);
            weft_spawn(&tasks[i], uts_task, &child[i]);
        }
        for (int i = here; i-- > 0;) {
            weft_await(&tasks[i]);
            n->nodes += child[i].nodes;
            n->leaves += child[i].leaves;
            n->depth = child[i].depth > n->depth ? child[i].depth : n->depth;
        }
    }
    return 0;
}

static uint64_t uts_work(void)
{
    struct node root;
    uts_root(&root.node, &tree);
    uts_task(&root);
    return root.nodes + root.leaves + (uint64_t)root.depth;
}

static void uts(void)
{
    tree = uts_t1;
    tree.limit = (int)peer_size;
    peer_measure(uts_work);
}

struct queens {
    struct board board;
    uint64_t     solutions;
};

static int nqueens_task(void *arg)
{
    struct queens *q = arg, next[WORK_BOARD];
    weft_task      tasks[WORK_BOARD];
    int            count = 0;
    if (q->board.rows <= WORK_ALONE) {
        q->solutions = board_solutions(&q->board);
        return 0;
    }
    for (uint32_t free = board_places(&q->board); free; free &= free - 1, count++) {
        next[count].board = board_with(&q->board, free & -free);
        weft_spawn(&tasks[count], nqueens_task, &next[count]);
    }
    q->solutions = 0;
    while (count-- > 0) {
        weft_await(&tasks[count]);
        q->solutions += next[count].solutions;
    }
    return 0;
}

static uint64_t nqueens_work(void)
{
    struct queens q = {.board = {.size = (int)peer_size, .rows = (int)peer_size}};
    nqueens_task(&q);
    return q.solutions;
}

static void nqueens(void)
{
    peer_measure(nqueens_work);
}

/* ---- loops and sorting --------------------------------------------------- */

static struct matrices matrices;
static uint32_t       *numbers, *sorted, *scratch;
static uint64_t        total;

static void multiply(size_t begin, size_t end, void *arg)
{
    work_multiply_rows(arg, begin, end);
}

static uint64_t matmul_work(void)
{
    weft_for(0, matrices.n, 0, multiply, &matrices);
    return work_product_check(&matrices);
}

static void matmul(void)
{
    matrices = work_matrices((size_t)peer_size);
    peer_measure(matmul_work);
}

static void add_up(size_t begin, size_t end, void *arg)
{
    __atomic_fetch_add((uint64_t *)arg, work_add_up(numbers, begin, end), __ATOMIC_RELAXED);
}

static uint64_t reduce_work(void)
{
    total = 0;
    weft_for(0, (size_t)peer_size, 0, add_up, &total);
    return total;
}

static void reduce(void)
{
    numbers = work_numbers((size_t)peer_size);
    peer_measure(reduce_work);
}

struct range {
    uint32_t *array, *scratch;
    size_t    count;
};

static int sort_task(void *arg)
{
    const struct range *r = arg;
    size_t              middle = r->count / 2;
    if (r->count <= WORK_SORT_ALONE) {
        work_sort(r->array, r->scratch, r->count);
        return 0;
    }
    struct range left = {r->array, r->scratch, middle};
    struct range right = {r->array + middle, r->scratch + middle, r->count - middle};
    weft_task    task;
    weft_spawn(&task, sort_task, &right);
    sort_task(&left);
    weft_await(&task);
    work_merge(r->array, r->scratch, middle, r->count);
    return 0;
}

static uint64_t sort_work(void)
{
    size_t count = (size_t)peer_size;
    memcpy(sorted, numbers, count * sizeof *sorted);
    sort_task(&(struct range){sorted, scratch, count});
    return work_sorted_check(sorted, count);
}

static void sort(void)
{
    numbers = work_random_array((size_t)peer_size);
    sorted = work_random_array((size_t)peer_size);
    scratch = work_random_array((size_t)peer_size);
    peer_measure(sort_work);
}

/* ---- taking turns -------------------------------------------------------- */

static int yield_task(void *arg)
{
    long *left = arg;
    for (; *left > 0; --*left) weft_yield();
    return 0;
}

static uint64_t yield_work(void)
{
    static weft_task tasks[MEMBERS];
    static long      left[MEMBERS];
    uint64_t         unused = 0;
    for (int i = 0; i < MEMBERS; i++) {
        left[i] = peer_size / MEMBERS;
        weft_spawn(&tasks[i], yield_task, &left[i]);
    }
    for (int i = MEMBERS; i-- > 0;) {
        weft_await(&tasks[i]);
        unused += (uint64_t)left[i];
    }
    return (uint64_t)peer_size - unused;
}

static void yield(void)
{
    peer_measure(yield_work);
}

static int pong(void *arg)
{
    weft_chan *const *chans = arg;
    long              ball;
    while (!weft_recv(chans[0], &ball, WEFT_NEVER)) {
        ball++;
        must(weft_send(chans[1], &ball, WEFT_NEVER));
    }
    return 0;
}

static uint64_t pingpong_work(void)
{
    weft_chan *chans[2];
    weft_task  task;
    long       ball = 0;
    for (int i = 0; i < 2; i++) must(weft_chan_create(&chans[i], sizeof ball, 0));
    weft_spawn(&task, pong, chans);
    for (long i = 0; i < peer_size; i++) {
        must(weft_send(chans[0], &ball, WEFT_NEVER));
        must(weft_recv(chans[1], &ball, WEFT_NEVER));
    }
    weft_chan_close(chans[0]);
    weft_await(&task);
    for (int i = 0; i < 2; i++) weft_chan_destroy(chans[i]);
    return (uint64_t)ball;
}

static void pingpong(void)
{
    peer_measure(pingpong_work);
}

/* ---- channels ------------------------------------------------------------ */

struct end {
    weft_chan *chan;
    int        first;
    long       count;
    uint64_t   sum;
};

static int sender(void *arg)
{
    const struct end *end = arg;
    for (long i = 0; i < end->count; i++) {
        int item = end->first + (int)i;
        must(weft_send(end->chan, &item, WEFT_NEVER));
    }
    return 0;
}

static int receiver(void *arg)
{
    struct end *end = arg;
    int         item;
    while (!weft_recv(end->chan, &item, WEFT_NEVER)) end->sum += (uint64_t)item;
    return 0;
}

static uint64_t stream(int ends)
{
    struct end senders[ENDS], receivers[ENDS];
    weft_task  send_tasks[ENDS], recv_tasks[ENDS];
    weft_chan *chan;
    long       share = peer_size / ends;
    uint64_t   sum = 0;
    must(weft_chan_create(&chan, sizeof(int), SLOTS));
    for (int i = 0; i < ends; i++) {
        receivers[i] = (struct end){.chan = chan};
        senders[i] = (struct end){.chan = chan, .first = (int)(i * share), .count = share};
        weft_spawn(&recv_tasks[i], receiver, &receivers[i]);
        weft_spawn(&send_tasks[i], sender, &senders[i]);
    }
    for (int i = 0; i < ends; i++) weft_await(&send_tasks[i]);
    weft_chan_close(chan);
    for (int i = 0; i < ends; i++) {
        weft_await(&recv_tasks[i]);
        sum += receivers[i].sum;
    }
    weft_chan_destroy(chan);
    return sum;
}

static uint64_t chan_work(void)
{
    return stream(1);
}

static void chan(void)
{
    peer_measure(chan_work);
}

static uint64_t chan4_work(void)
{
    return stream(ENDS);
}

static void chan4(void)
{
    peer_measure(chan4_work);
}

/* For bench/scale: SIZE senders share out what one receives. */
static uint64_t senders_work(void)
{
    struct end *ends = calloc((size_t)peer_size, sizeof *ends), into = {0};
    weft_task  *tasks = calloc((size_t)peer_size, sizeof *tasks), task;
    if (!ends || !tasks) peer_fail("no memory");
    must(weft_chan_create(&into.chan, sizeof(int), SLOTS));
    weft_spawn(&task, receiver, &into);
    for (long i = 0; i < peer_size; i++) {
        ends[i] = (struct end){.chan = into.chan, .count = SHARED / peer_size};
        weft_spawn(&tasks[i], sender, &ends[i]);
    }
    for (long i = peer_size; i-- > 0;) weft_await(&tasks[i]);
    weft_chan_close(into.chan);
    weft_await(&task);
    weft_chan_destroy(into.chan);
    free(tasks);
    free(ends);
    return into.sum;
}

static void senders(void)
{
    peer_measure(senders_work);
}

static int closing_sender(void *arg)
{
    const struct end *end = arg;
    sender(arg);
    return weft_chan_close(end->chan);
}

static uint64_t select_work(void)
{
    struct end       ends[ENDS];
    weft_task        tasks[ENDS];
    struct weft_case cases[ENDS];
    int              items[ENDS];
    long             share = peer_size / ENDS;
    uint64_t         sum = 0;
    for (int i = 0; i < ENDS; i++) {
        ends[i] = (struct end){.first = (int)(i * share), .count = share};
        must(weft_chan_create(&ends[i].chan, sizeof(int), SLOTS));
        cases[i] = (struct weft_case)WEFT_RECV(ends[i].chan, &items[i]);
        weft_spawn(&tasks[i], closing_sender, &ends[i]);
    }
    for (int open = ENDS; open > 0;) {
        int i = weft_select(cases, ENDS, WEFT_NEVER);
        must(i);
        if (cases[i].result) {
            cases[i].chan = NULL; /* closed */
            open--;
        } else {
            sum += (uint64_t)items[i];
        }
    }
    for (int i = 0; i < ENDS; i++) {
        weft_await(&tasks[i]);
        weft_chan_destroy(ends[i].chan);
    }
    return sum;
}

static void select_(void)
{
    peer_measure(select_work);
}

/* ---- a lock, and time ---------------------------------------------------- */

static weft_mutex mutex;

static int locker(void *arg)
{
    for (long i = peer_size / LOCKERS; i > 0; i--) {
        weft_mutex_lock(&mutex);
        ++*(uint64_t *)arg;
        weft_mutex_unlock(&mutex);
    }
    return 0;
}

static uint64_t mutex_work(void)
{
    weft_task tasks[LOCKERS];
    uint64_t  count = 0;
    for (int i = 0; i < LOCKERS; i++) weft_spawn(&tasks[i], locker, &count);
    for (int i = LOCKERS; i-- > 0;) weft_await(&tasks[i]);
    return count;
}

static void mutex_(void)
{
    peer_measure(mutex_work);
}

static int64_t *durations, *late;

static int sleeper(void *arg)
{
    int64_t  *duration = arg;
    weft_time until = weft_now() + *duration;
    must(weft_sleep(until));
    late[duration - durations] = weft_now() - until;
    return 0;
}

static int64_t sleep_all(void)
{
    weft_scope scope;
    int64_t    begin = weft_now();
    must(weft_scope_open(&scope, NULL));
    for (long i = 0; i < peer_size; i++) must(weft_go(sleeper, &durations[i], 0));
    must(weft_scope_close(&scope));
    return weft_now() - begin;
}

static void timers(void)
{
    uint64_t state = WORK_SEED;
    durations = calloc((size_t)peer_size, sizeof *durations);
    late = calloc((size_t)peer_size, sizeof *late);
    if (!durations || !late) peer_fail("no memory");
    for (long i = 0; i < peer_size; i++) durations[i] = work_duration(&state);
    sleep_all();
    peer_print_timers((double)sleep_all(), late, peer_size);
}

/* ---- sockets and files --------------------------------------------------- */

static int echo_connection(void *arg)
{
    char    buffer[4096];
    int     fd = *(int *)arg;
    ssize_t got;
    while ((got = weft_read(fd, buffer, sizeof buffer, WEFT_NEVER)) > 0)
        if (weft_write_full(fd, buffer, (size_t)got, WEFT_NEVER) != got) break;
    return weft_close(fd);
}

static void echo(void)
{
    int listener = weft_tcp_listen("127.0.0.1", "0", 1024);
    must(listener);
    struct sockaddr_storage address;
    socklen_t               length = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &length);
    const unsigned char *port = (const unsigned char *)&address + 2;
    printf("%d\n", port[0] << 8 | port[1]);
    fflush(stdout);
    for (;;) {
        int fd = weft_accept(listener, NULL, NULL, WEFT_NEVER);
        must(fd);
        must(weft_go(echo_connection, &fd, sizeof fd));
    }
}

/* Computes for a millisecond at a time, and then lets others run. */
static int compute(void *arg)
{
    (void)arg;
    do {
        int64_t end = peer_now() + 1000000;
        while (peer_now() < end) {
        }
        weft_yield();
    } while (!weft_check());
    return 0;
}

static void echo_busy(void)
{
    for (long i = 0; i < peer_size; i++) must(weft_go(compute, NULL, 0));
    echo();
}

static struct file_list files;

/* A file that is in memory is read by plain calls: they don't wait. */
static int count_file(void *arg)
{
    char **path = arg;
    __atomic_fetch_add(&total, work_count_words(*path), __ATOMIC_RELAXED);
    return 0;
}

static uint64_t contrast_work(void)
{
    weft_scope scope;
    total = 0;
    must(weft_scope_open(&scope, NULL));
    for (size_t i = 0; i < files.count; i++) must(weft_go(count_file, &files.path[i], 0));
    must(weft_scope_close(&scope));
    return total;
}

static void contrast(void)
{
    files = work_list_files(peer_text);
    peer_measure(contrast_work);
}

/* ---- memory, and the runtime itself -------------------------------------- */

static long ended;

static int wait_for_event(void *arg)
{
    must(weft_event_wait(arg, WEFT_NEVER));
    ended++;
    return 0;
}

static void memory(void)
{
    weft_event event = {0};
    weft_scope scope;
    must(weft_scope_open(&scope, NULL));
    double before = peer_resident();
    for (long i = 0; i < peer_size; i++) must(weft_go(wait_for_event, &event, 0));
    weft_yield();
    struct weft_stats stats = {.size = sizeof stats};
    do {
        weft_yield();
        must(weft_stats(&stats));
    } while (stats.stacks_in_use < (uint64_t)peer_size);
    double after = peer_resident();
    weft_event_set(&event);
    must(weft_scope_close(&scope));
    peer_print((after - before) / (double)peer_size, (uint64_t)(ended == peer_size));
}

static void memory_spawned(void)
{
    long       count = 0;
    double     before = peer_resident();
    weft_task *tasks = malloc((size_t)peer_size * sizeof *tasks);
    if (!tasks) peer_fail("no memory");
    for (long i = 0; i < peer_size; i++) weft_spawn(&tasks[i], add_one, &count);
    double after = peer_resident();
    for (long i = peer_size; i-- > 0;) weft_await(&tasks[i]);
    free(tasks);
    peer_print((after - before) / (double)peer_size, (uint64_t)(count == peer_size));
}

static uint64_t start_work(void)
{
    long count = 0;
    for (long i = 0; i < peer_size; i++) must(weft_run(add_one, &count, WEFT_OPTIONS(.workers = peer_workers)));
    return (uint64_t)count;
}

static void start(void)
{
    peer_measure(start_work);
}

/* ---- which, and within what ---------------------------------------------- */

static const struct peer_subject subjects[] = {
    {.name = "fib", .run = fib},
    {.name = "spawn", .run = spawn},
    {.name = "skynet", .run = skynet},
    {.name = "skynet-chan", .run = skynet_chan},
    {.name = "uts", .run = uts},
    {.name = "nqueens", .run = nqueens},
    {.name = "matmul", .run = matmul},
    {.name = "reduce", .run = reduce},
    {.name = "sort", .run = sort},
    {.name = "yield", .run = yield},
    {.name = "pingpong", .run = pingpong},
    {.name = "chan", .run = chan},
    {.name = "chan4", .run = chan4},
    {.name = "senders", .run = senders},
    {.name = "select", .run = select_},
    {.name = "mutex", .run = mutex_},
    {.name = "timers", .run = timers},
    {.name = "echo", .run = echo},
    {.name = "echo-busy", .run = echo_busy},
    {.name = "contrast", .run = contrast},
    {.name = "memory", .run = memory},
    {.name = "memory-spawned", .run = memory_spawned},
    {.name = "start", .run = start},
};

static int as_task(void *arg)
{
    void (*const *run)(void) = arg;
    (*run)();
    return 0;
}

static void within(void (*run)(void))
{
    if (run == start) run();
    else must(weft_run(as_task, &run, WEFT_OPTIONS(.workers = peer_workers)));
}

int main(int argc, char **argv)
{
    return peer_main(argc, argv, subjects, sizeof subjects / sizeof *subjects, within);
}
