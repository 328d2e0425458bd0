/* raw.c - the limit: loops, calls, jump_fcontext and epoll, with no library between them and the machine
 *
 * One thread does all.  Whoever adds a scheduler, a queue or a thread is measured by what that costs.
 */
#define _GNU_SOURCE
#include "../../jump.h"
#include "../../uts_tree.h"
#include "../common/peer.h"
#include "../common/work.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1000, FAN = 10, MEMBERS = 1000, SLOTS = 128, EVENTS = 256, STACK = 16 << 10, STAGGER = 64 };

/* ---- calls ------------------------------------------------------------------- */

static long __attribute__((noinline)) fib_of(long n)
{
    return n < 2 ? n : fib_of(n - 1) + fib_of(n - 2);
}

static uint64_t fib_work(void)
{
    return (uint64_t)fib_of(peer_size);
}

static void fib(void)
{
    peer_measure(fib_work);
}

static void add_one(long *count)
{
    ++*count;
}

static uint64_t spawn_work(void)
{
    static long counts[BATCH];
    uint64_t    sum = 0;
    void (*volatile pointer)(long *) = add_one;
    memset(counts, 0, sizeof counts);
    for (long round = 0; round < peer_size / BATCH; round++)
        for (int i = 0; i < BATCH; i++) pointer(&counts[i]);
    for (int i = 0; i < BATCH; i++) sum += (uint64_t)counts[i];
    return sum;
}

static void spawn(void)
{
    peer_measure(spawn_work);
}

static long __attribute__((noinline)) skynet_of(long first, long leaves)
{
    long sum = 0, share = leaves / FAN;
    if (leaves == 1) return first;
    for (int i = 0; i < FAN; i++) sum += skynet_of(first + i * share, share);
    return sum;
}

static uint64_t skynet_work(void)
{
    return (uint64_t)skynet_of(0, peer_size);
}

static void skynet(void)
{
    peer_measure(skynet_work);
}

static struct uts_params tree;
static uint64_t          nodes, leaves;
static int               depth;

static void uts_of(const struct uts_node *node)
{
    int             count = uts_num_children(node, &tree);
    struct uts_node child;
    nodes++;
    leaves += count == 0;
    depth = node->depth > depth ? node->depth : depth;
    for (int i = 0; i < count; i++) {
        uts_child(&child, node, i);
        uts_of(&child);
    }
}

static uint64_t uts_work(void)
{
    struct uts_node root;
    nodes = leaves = 0;
    depth = 0;
    uts_root(&root, &tree);
    uts_of(&root);
    return nodes + leaves + (uint64_t)depth;
}

static void uts(void)
{
    tree = uts_t1;
    tree.limit = (int)peer_size;
    peer_measure(uts_work);
}

static uint64_t nqueens_work(void)
{
    struct board empty = {.size = (int)peer_size, .rows = (int)peer_size};
    return board_solutions(&empty);
}

static void nqueens(void)
{
    peer_measure(nqueens_work);
}

static struct matrices matrices;
static uint32_t       *numbers, *sorted, *scratch;

static uint64_t matmul_work(void)
{
    work_multiply_rows(&matrices, 0, matrices.n);
    return work_product_check(&matrices);
}

static void matmul(void)
{
    matrices = work_matrices((size_t)peer_size);
    peer_measure(matmul_work);
}

static uint64_t reduce_work(void)
{
    return work_add_up(numbers, 0, (size_t)peer_size);
}

static void reduce(void)
{
    numbers = work_numbers((size_t)peer_size);
    peer_measure(reduce_work);
}

static uint64_t sort_work(void)
{
    size_t count = (size_t)peer_size;
    memcpy(sorted, numbers, count * sizeof *sorted);
    work_sort(sorted, scratch, count);
    return work_sorted_check(sorted, count);
}

static void sort(void)
{
    numbers = work_random_array((size_t)peer_size);
    sorted = work_random_array((size_t)peer_size);
    scratch = work_random_array((size_t)peer_size);
    peer_measure(sort_work);
}

/* ---- contexts ------------------------------------------------------------------ */

/* On stacks whose tops do not all meet in the same cache sets. */
static void *context(int i, void (*fn)(struct transfer))
{
    static char *stacks;
    if (!stacks) stacks = aligned_alloc(4096, (size_t)MEMBERS * STACK);
    if (!stacks) peer_fail("no memory");
    return make_fcontext(stacks + (size_t)(i + 1) * STACK - (size_t)(i % 32) * STAGGER, STACK - 32 * STAGGER, fn);
}

/* Each goes on to the next; the last, round by round, to the first.  Whoever is switched to is told who that was. */
static struct {
    void *ring[MEMBERS], *home;
    int   now;
    long  left;
} turns;

static void take_turns(struct transfer by)
{
    int me = turns.now;
    if (me == 0) turns.home = by.context;
    else turns.ring[me - 1] = by.context;
    while (turns.left-- > 0) {
        turns.now = me + 1 == MEMBERS ? 0 : me + 1;
        by = jump_fcontext(turns.ring[turns.now], NULL);
        turns.ring[me == 0 ? MEMBERS - 1 : me - 1] = by.context;
    }
    jump_fcontext(turns.home, NULL);
    abort();
}

static uint64_t yield_work(void)
{
    turns.left = peer_size;
    turns.now = 0;
    for (int i = 0; i < MEMBERS; i++) turns.ring[i] = context(i, take_turns);
    jump_fcontext(turns.ring[0], NULL);
    return (uint64_t)(peer_size - turns.left - 1);
}

static void yield(void)
{
    peer_measure(yield_work);
}

static void pong(struct transfer by)
{
    for (;;) {
        ++*(long *)by.data;
        by = jump_fcontext(by.context, by.data);
    }
}

static uint64_t pingpong_work(void)
{
    long  ball = 0;
    void *other = context(0, pong);
    for (long i = 0; i < peer_size; i++) other = jump_fcontext(other, &ball).context;
    return (uint64_t)ball;
}

static void pingpong(void)
{
    peer_measure(pingpong_work);
}

/* A ring that is filled by one context and emptied by another: they change places when it is full, or empty. */
static struct {
    int  items[SLOTS];
    long filled;
} ring;

static void fill(struct transfer by)
{
    for (long i = 0; i < peer_size; i++) {
        ring.items[ring.filled++] = (int)i;
        if (ring.filled == SLOTS) by = jump_fcontext(by.context, NULL);
    }
    jump_fcontext(by.context, NULL);
    abort();
}

static uint64_t chan_work(void)
{
    void    *filler = context(0, fill);
    uint64_t sum = 0;
    for (long got = 0; got < peer_size;) {
        filler = jump_fcontext(filler, NULL).context;
        for (long i = 0; i < ring.filled; i++) sum += (uint64_t)ring.items[i];
        got += ring.filled;
        ring.filled = 0;
    }
    return sum;
}

static void chan(void)
{
    peer_measure(chan_work);
}

/* One exchange and one store: the least that a lock is. */
static uint64_t mutex_work(void)
{
    static atomic_bool locked;
    static uint64_t    count;
    count = 0;
    for (long i = 0; i < peer_size; i++) {
        while (atomic_exchange_explicit(&locked, true, memory_order_acquire)) {
        }
        count++;
        atomic_store_explicit(&locked, false, memory_order_release);
    }
    return count;
}

static void mutex(void)
{
    peer_measure(mutex_work);
}

/* ---- time, sockets, files --------------------------------------------------------- */

/* One thread that goes through the moments, sorted beforehand, all counted from the start. */
static void timers(void)
{
    uint64_t state = WORK_SEED;
    int64_t *durations = calloc((size_t)peer_size, sizeof *durations);
    int64_t *late = calloc((size_t)peer_size, sizeof *late);
    if (!durations || !late) peer_fail("no memory");
    for (long i = 0; i < peer_size; i++) durations[i] = work_duration(&state);
    qsort(durations, (size_t)peer_size, sizeof *durations, peer_ascending);
    int64_t begin = peer_now(), now = begin;
    for (long i = 0; i < peer_size; i++) {
        int64_t         until = begin + durations[i];
        struct timespec moment = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
        for (; now < until; now = peer_now()) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
        now = peer_now();
        late[i] = now - until;
    }
    peer_print_timers((double)(peer_now() - begin), late, peer_size);
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) peer_fail("no epoll is to be had");
}

static void accept_one(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) peer_fail("no connection is to be had");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(epoll, fd);
}

static void echo(void)
{
    struct epoll_event events[EVENTS];
    char               buffer[4096];
    int                listener = peer_listen(), epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_one(epoll, listener);
                continue;
            }
            ssize_t got = recv(fd, buffer, sizeof buffer, 0);
            if (got <= 0 || send(fd, buffer, (size_t)got, MSG_NOSIGNAL) != got) close(fd);
        }
    }
}

static struct file_list files;

static uint64_t contrast_work(void)
{
    uint64_t words = 0;
    for (size_t i = 0; i < files.count; i++) words += work_count_words(files.path[i]);
    return words;
}

static void contrast(void)
{
    files = work_list_files(peer_text);
    peer_measure(contrast_work);
}

/* ---- which -------------------------------------------------------------------------- */

static const char one_thread[] = "it is one thread";
static const char no_limit[] = "with no tasks there is no limit to compare with";

#define ONE .one_worker = true, .why_not = one_thread

static const struct peer_subject subjects[] = {
    {.name = "fib", .run = fib, ONE},           {.name = "spawn", .run = spawn, ONE},
    {.name = "skynet", .run = skynet, ONE},     {.name = "skynet-chan", .why_not = no_limit},
    {.name = "uts", .run = uts, ONE},           {.name = "nqueens", .run = nqueens, ONE},
    {.name = "matmul", .run = matmul, ONE},     {.name = "reduce", .run = reduce, ONE},
    {.name = "sort", .run = sort, ONE},         {.name = "yield", .run = yield, ONE},
    {.name = "pingpong", .run = pingpong, ONE}, {.name = "chan", .run = chan, ONE},
    {.name = "chan4", .why_not = no_limit},     {.name = "select", .why_not = no_limit},
    {.name = "mutex", .run = mutex, ONE},       {.name = "timers", .run = timers, ONE},
    {.name = "echo", .run = echo, ONE},         {.name = "contrast", .run = contrast, ONE},
    {.name = "memory", .why_not = no_limit},    {.name = "memory-spawned", .why_not = no_limit},
    {.name = "start", .why_not = no_limit},
};

int main(int argc, char **argv)
{
    return peer_main(argc, argv, subjects, sizeof subjects / sizeof *subjects, NULL);
}
