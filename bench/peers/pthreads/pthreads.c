/* pthreads.c - the subjects in plain threads, on as many processors as there are workers
 *
 * What others do with a task each is done here as programs of threads do it: by a thread for each processor, which
 * share the work out; by a thread for each party, where parties wait for each other.
 */
#define _GNU_SOURCE
#include "../common/peer.h"
#include "../common/work.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 1000, MEMBERS = 1000, LOCKERS = 64, ENDS = 4, SLOTS = 128, WORKERS_MOST = 1024, HELD = 1000 };

typedef void *thread_fn(void *arg);

static pthread_t start_thread(thread_fn *fn, void *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, fn, arg) != 0) peer_fail("no thread is to be had");
    return thread;
}

/* As many threads as there are workers, which share out what they find by a common counter. */
static void share_out(thread_fn *fn)
{
    pthread_t threads[WORKERS_MOST];
    for (unsigned i = 0; i < peer_workers; i++) threads[i] = start_thread(fn, NULL);
    for (unsigned i = 0; i < peer_workers; i++) pthread_join(threads[i], NULL);
}

static atomic_size_t    next_index;
static _Atomic uint64_t total;

static void *add_one(void *arg)
{
    ++*(long *)arg;
    return NULL;
}

static uint64_t spawn_work(void)
{
    static long counts[BATCH];
    pthread_t   threads[BATCH];
    uint64_t    sum = 0;
    memset(counts, 0, sizeof counts);
    for (long round = 0; round < peer_size / BATCH; round++) {
        for (int i = 0; i < BATCH; i++) threads[i] = start_thread(add_one, &counts[i]);
        for (int i = 0; i < BATCH; i++) pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < BATCH; i++) sum += (uint64_t)counts[i];
    return sum;
}

static void spawn(void)
{
    peer_measure(spawn_work);
}

/* ---- what is computed ----------------------------------------------------- */

static struct board boards[WORK_BOARD * WORK_BOARD]; /* with two queens each */
static size_t       boards_count;

static void place_two(void)
{
    struct board empty = {.size = (int)peer_size, .rows = (int)peer_size};
    boards_count = 0;
    for (uint32_t free = board_places(&empty); free; free &= free - 1) {
        struct board one = board_with(&empty, free & -free);
        for (uint32_t also = board_places(&one); also; also &= also - 1)
            boards[boards_count++] = board_with(&one, also & -also);
    }
}

static void *search_boards(void *arg)
{
    uint64_t found = 0;
    for (size_t i; (i = atomic_fetch_add(&next_index, 1)) < boards_count;) found += board_solutions(&boards[i]);
    atomic_fetch_add(&total, found);
    return arg;
}

static uint64_t nqueens_work(void)
{
    next_index = 0;
    total = 0;
    place_two();
    share_out(search_boards);
    return total;
}

static void nqueens(void)
{
    peer_measure(nqueens_work);
}

static struct matrices matrices;
static uint32_t       *numbers, *sorted, *scratch;

/* The piece of [0, count) that is the next thread's. */
static size_t piece(size_t count, size_t *end)
{
    size_t i = atomic_fetch_add(&next_index, 1);
    *end = count * (i + 1) / peer_workers;
    return count * i / peer_workers;
}

static void *multiply(void *arg)
{
    size_t end, begin = piece(matrices.n, &end);
    work_multiply_rows(&matrices, begin, end);
    return arg;
}

static uint64_t matmul_work(void)
{
    next_index = 0;
    share_out(multiply);
    return work_product_check(&matrices);
}

static void matmul(void)
{
    matrices = work_matrices((size_t)peer_size);
    peer_measure(matmul_work);
}

static void *add_up(void *arg)
{
    size_t end, begin = piece((size_t)peer_size, &end);
    atomic_fetch_add(&total, work_add_up(numbers, begin, end));
    return arg;
}

static uint64_t reduce_work(void)
{
    next_index = 0;
    total = 0;
    share_out(add_up);
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
    unsigned  threads; /* that may work on it */
};

static void *sort_range(void *arg)
{
    const struct range *r = arg;
    size_t              middle = r->count / 2;
    if (r->threads <= 1) {
        work_sort(r->array, r->scratch, r->count);
        return NULL;
    }
    struct range left = {r->array, r->scratch, middle, r->threads / 2};
    struct range right = {r->array + middle, r->scratch + middle, r->count - middle, r->threads - r->threads / 2};
    pthread_t    thread = start_thread(sort_range, &right);
    sort_range(&left);
    pthread_join(thread, NULL);
    work_merge(r->array, r->scratch, middle, r->count);
    return NULL;
}

static uint64_t sort_work(void)
{
    size_t count = (size_t)peer_size;
    memcpy(sorted, numbers, count * sizeof *sorted);
    sort_range(&(struct range){sorted, scratch, count, peer_workers});
    return work_sorted_check(sorted, count);
}

static void sort(void)
{
    numbers = work_random_array((size_t)peer_size);
    sorted = work_random_array((size_t)peer_size);
    scratch = work_random_array((size_t)peer_size);
    peer_measure(sort_work);
}

/* ---- taking turns --------------------------------------------------------- */

static void *yield_thread(void *arg)
{
    for (long *left = arg; *left > 0; --*left) sched_yield();
    return NULL;
}

static uint64_t yield_work(void)
{
    static long left[MEMBERS];
    pthread_t   threads[MEMBERS];
    uint64_t    unused = 0;
    for (int i = 0; i < MEMBERS; i++) {
        left[i] = peer_size / MEMBERS;
        threads[i] = start_thread(yield_thread, &left[i]);
    }
    for (int i = 0; i < MEMBERS; i++) {
        pthread_join(threads[i], NULL);
        unused += (uint64_t)left[i];
    }
    return (uint64_t)peer_size - unused;
}

static void yield(void)
{
    peer_measure(yield_work);
}

/* A ring under a mutex, with two conditions. */
struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t  filled, drained; /* no longer empty, or closed; no longer full */
    size_t          capacity, first, count;
    bool            closed;
    long            items[SLOTS];
};

static void queue_init(struct queue *q, size_t capacity)
{
    *q = (struct queue){.mutex = PTHREAD_MUTEX_INITIALIZER,
                        .filled = PTHREAD_COND_INITIALIZER,
                        .drained = PTHREAD_COND_INITIALIZER,
                        .capacity = capacity};
}

static void queue_send(struct queue *q, long item)
{
    pthread_mutex_lock(&q->mutex);
    while (q->count == q->capacity) pthread_cond_wait(&q->drained, &q->mutex);
    q->items[(q->first + q->count++) % q->capacity] = item;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_signal(&q->filled);
}

/* False: closed and empty. */
static bool queue_recv(struct queue *q, long *item)
{
    pthread_mutex_lock(&q->mutex);
    while (q->count == 0 && !q->closed) pthread_cond_wait(&q->filled, &q->mutex);
    bool got = q->count > 0;
    if (got) {
        *item = q->items[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->count--;
    }
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_signal(&q->drained);
    return got;
}

static void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->closed = true;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_broadcast(&q->filled);
}

static void *pong(void *arg)
{
    struct queue *queues = arg;
    long          ball;
    while (queue_recv(&queues[0], &ball)) {
        ball++;
        queue_send(&queues[1], ball);
    }
    return NULL;
}

static uint64_t pingpong_work(void)
{
    struct queue queues[2];
    long         ball = 0;
    for (int i = 0; i < 2; i++) queue_init(&queues[i], 1);
    pthread_t thread = start_thread(pong, queues);
    for (long i = 0; i < peer_size; i++) {
        queue_send(&queues[0], ball);
        queue_recv(&queues[1], &ball);
    }
    queue_close(&queues[0]);
    pthread_join(thread, NULL);
    return (uint64_t)ball;
}

static void pingpong(void)
{
    peer_measure(pingpong_work);
}

struct end {
    struct queue *queue;
    int           first;
    long          count;
    uint64_t      sum;
};

static void *sender(void *arg)
{
    const struct end *end = arg;
    for (long i = 0; i < end->count; i++) queue_send(end->queue, end->first + i);
    return NULL;
}

static void *receiver(void *arg)
{
    struct end *end = arg;
    for (long item; queue_recv(end->queue, &item);) end->sum += (uint64_t)item;
    return NULL;
}

static uint64_t stream(int ends)
{
    struct queue queue;
    struct end   senders[ENDS], receivers[ENDS];
    pthread_t    send_threads[ENDS], recv_threads[ENDS];
    long         share = peer_size / ends;
    uint64_t     sum = 0;
    queue_init(&queue, SLOTS);
    for (int i = 0; i < ends; i++) {
        receivers[i] = (struct end){.queue = &queue};
        senders[i] = (struct end){.queue = &queue, .first = (int)(i * share), .count = share};
        recv_threads[i] = start_thread(receiver, &receivers[i]);
        send_threads[i] = start_thread(sender, &senders[i]);
    }
    for (int i = 0; i < ends; i++) pthread_join(send_threads[i], NULL);
    queue_close(&queue);
    for (int i = 0; i < ends; i++) {
        pthread_join(recv_threads[i], NULL);
        sum += receivers[i].sum;
    }
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

/* ---- select: four rings under one mutex, and a condition that says that any has something ---- */

static pthread_mutex_t rings_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  rings_filled = PTHREAD_COND_INITIALIZER;
static struct ring {
    pthread_cond_t drained;
    int            items[SLOTS], head, filled, first;
    bool           closed;
} rings[ENDS];

static void *ring_sender(void *arg)
{
    struct ring *ring = arg;
    for (long i = 0; i < peer_size / ENDS; i++) {
        pthread_mutex_lock(&rings_mutex);
        while (ring->filled == SLOTS) pthread_cond_wait(&ring->drained, &rings_mutex);
        ring->items[(ring->head + ring->filled++) % SLOTS] = ring->first + (int)i;
        pthread_mutex_unlock(&rings_mutex);
        pthread_cond_signal(&rings_filled);
    }
    pthread_mutex_lock(&rings_mutex);
    ring->closed = true;
    pthread_mutex_unlock(&rings_mutex);
    pthread_cond_signal(&rings_filled);
    return NULL;
}

/* The next ring in turn that has something; how many may yet get something. */
static struct ring *look(int *turn, int *open)
{
    *open = 0;
    for (int i = 0; i < ENDS; i++) {
        struct ring *ring = &rings[(*turn + i) % ENDS];
        if (ring->filled > 0) {
            *turn += i + 1;
            return ring;
        }
        *open += !ring->closed;
    }
    return NULL;
}

static uint64_t select_work(void)
{
    pthread_t threads[ENDS];
    uint64_t  sum = 0;
    int       turn = 0, open;
    for (int i = 0; i < ENDS; i++) {
        rings[i] = (struct ring){.drained = PTHREAD_COND_INITIALIZER, .first = (int)(i * (peer_size / ENDS))};
        threads[i] = start_thread(ring_sender, &rings[i]);
    }
    for (;;) {
        struct ring *ring;
        pthread_mutex_lock(&rings_mutex);
        while (!(ring = look(&turn, &open)) && open > 0) pthread_cond_wait(&rings_filled, &rings_mutex);
        if (ring) {
            sum += (uint64_t)ring->items[ring->head];
            ring->head = (ring->head + 1) % SLOTS;
            ring->filled--;
        }
        pthread_mutex_unlock(&rings_mutex);
        if (!ring) break;
        pthread_cond_signal(&ring->drained);
    }
    for (int i = 0; i < ENDS; i++) pthread_join(threads[i], NULL);
    return sum;
}

static void select_(void)
{
    peer_measure(select_work);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *locker(void *arg)
{
    for (long i = peer_size / LOCKERS; i > 0; i--) {
        pthread_mutex_lock(&mutex);
        ++*(uint64_t *)arg;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static uint64_t mutex_work(void)
{
    pthread_t threads[LOCKERS];
    uint64_t  count = 0;
    for (int i = 0; i < LOCKERS; i++) threads[i] = start_thread(locker, &count);
    for (int i = 0; i < LOCKERS; i++) pthread_join(threads[i], NULL);
    return count;
}

static void mutex_(void)
{
    peer_measure(mutex_work);
}

/* ---- sockets, files, memory ------------------------------------------------ */

static void *echo_connection(void *arg)
{
    int     fd = (int)(intptr_t)arg, on = 1;
    char    buffer[4096];
    ssize_t got;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0)
        if (send(fd, buffer, (size_t)got, MSG_NOSIGNAL) != got) break;
    close(fd);
    return NULL;
}

static void echo(void)
{
    for (int listener = peer_listen();;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) peer_fail("no connection is to be had");
        pthread_detach(start_thread(echo_connection, (void *)(intptr_t)fd));
    }
}

static struct file_list files;

static void *count_files(void *arg)
{
    uint64_t words = 0;
    for (size_t i; (i = atomic_fetch_add(&next_index, 1)) < files.count;) words += work_count_words(files.path[i]);
    atomic_fetch_add(&total, words);
    return arg;
}

static uint64_t contrast_work(void)
{
    next_index = 0;
    total = 0;
    share_out(count_files);
    return total;
}

static void contrast(void)
{
    files = work_list_files(peer_text);
    peer_measure(contrast_work);
}

static sem_t arrived, gate;

static void *wait_at_gate(void *arg)
{
    sem_post(&arrived);
    sem_wait(&gate);
    return arg;
}

/* A thousand, whatever size is asked for: more are not to be had everywhere. */
static void memory(void)
{
    static pthread_t threads[HELD];
    sem_init(&arrived, 0, 0);
    sem_init(&gate, 0, 0);
    double before = peer_resident();
    for (int i = 0; i < HELD; i++) threads[i] = start_thread(wait_at_gate, NULL);
    for (int i = 0; i < HELD; i++) sem_wait(&arrived);
    double after = peer_resident();
    for (int i = 0; i < HELD; i++) sem_post(&gate);
    for (int i = 0; i < HELD; i++) pthread_join(threads[i], NULL);
    peer_print((after - before) / HELD, 1);
}

static void *do_nothing(void *arg)
{
    return arg;
}

static uint64_t start_work(void)
{
    for (long i = 0; i < peer_size; i++) share_out(do_nothing);
    return (uint64_t)peer_size;
}

static void start(void)
{
    peer_measure(start_work);
}

/* ---- which ----------------------------------------------------------------- */

static const char no_recursion[] = "nobody would have a thread for each of so many calls";

static const struct peer_subject subjects[] = {
    {.name = "fib", .why_not = no_recursion},
    {.name = "spawn", .run = spawn},
    {.name = "skynet", .why_not = no_recursion},
    {.name = "skynet-chan", .why_not = no_recursion},
    {.name = "uts", .why_not = no_recursion},
    {.name = "nqueens", .run = nqueens},
    {.name = "matmul", .run = matmul},
    {.name = "reduce", .run = reduce},
    {.name = "sort", .run = sort},
    {.name = "yield", .run = yield},
    {.name = "pingpong", .run = pingpong},
    {.name = "chan", .run = chan},
    {.name = "chan4", .run = chan4},
    {.name = "select", .run = select_},
    {.name = "mutex", .run = mutex_},
    {.name = "timers", .why_not = "so many threads that sleep are not to be had"},
    {.name = "echo", .run = echo},
    {.name = "contrast", .run = contrast},
    {.name = "memory", .run = memory},
    {.name = "memory-spawned", .why_not = "a thread begins when it is made"},
    {.name = "start", .run = start},
};

/* All threads inherit it: as many processors as there are workers. */
static void within(void (*run)(void))
{
    cpu_set_t allowed, some;
    CPU_ZERO(&some);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) peer_fail("which processors there are is not told");
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&some) < (int)peer_workers; cpu++)
        if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &some);
    if (sched_setaffinity(0, sizeof some, &some) != 0) peer_fail("processors cannot be chosen");
    run();
}

int main(int argc, char **argv)
{
    return peer_main(argc, argv, subjects, sizeof subjects / sizeof *subjects, within);
}
