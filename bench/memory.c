/* memory.c - what a task that waits takes up
 *
 * Memory is compared before tasks are started and when all of them wait: for an event,
 * then as many more for a channel, and some for idle connections.  The first go on waiting
 * meanwhile, so that nothing of theirs is used again and not seen.  It is all that a task costs:
 * what weft_go has allocated, the stack, what waiting takes; page tables are told beside it, since
 * they are not the program's own, and what the system keeps of a connection is not in it.  The twin is
 * a thread that waits for a condition.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { THREADS_MOST = 1000, OTHER_DESCRIPTORS = 64 };

struct memory {
    double resident, tables; /* bytes */
};

static long          each; /* tasks for one kind of waiting */
static long          waiting;
static weft_event    event;
static weft_chan    *chan;
static struct memory by_event, by_chan, by_connection, by_thread;
static long          connections; /* 0: no descriptors for them */
static int          *sockets;

static struct memory look(void)
{
    return (struct memory){bench_memory("VmRSS"), bench_memory("VmPTE")};
}

/* What has come up since then, for each of so many. */
static struct memory since(struct memory before, long count)
{
    struct memory now = look();
    return (struct memory){(now.resident - before.resident) / (double)count,
                           (now.tables - before.tables) / (double)count};
}

/* ---- tasks --------------------------------------------------------------- */

static int wait_for_event(void *arg)
{
    (void)arg;
    __atomic_fetch_add(&waiting, 1, __ATOMIC_RELAXED);
    return weft_event_wait(&event, WEFT_NEVER);
}

static int wait_for_item(void *arg)
{
    (void)arg;
    __atomic_fetch_add(&waiting, 1, __ATOMIC_RELAXED);
    return weft_chan_recv(chan, NULL, sizeof(int), WEFT_NEVER) != -EPIPE;
}

static int wait_for_bytes(void *arg)
{
    char buffer[64];
    int  fd = *(int *)arg;
    __atomic_fetch_add(&waiting, 1, __ATOMIC_RELAXED);
    return weft_read(fd, buffer, sizeof buffer, WEFT_NEVER) != -EBADF;
}

/* There is one worker, so while this runs whoever has counted itself waits. */
static struct memory wait_all(weft_fn *fn, int *args, long count)
{
    struct memory before = look();
    waiting = 0;
    for (long i = 0; i < count; i++)
        if (weft_go(fn, args ? &args[i] : NULL, 0)) bench_fail("no memory for %ld tasks", count);
    while (__atomic_load_n(&waiting, __ATOMIC_RELAXED) < count) weft_yield();
    return since(before, count);
}

/* A socket that is connected to itself: a connection for each descriptor. */
static int connect_to_itself(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          length = sizeof address;
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0 ||
        connect(fd, (struct sockaddr *)&address, length) != 0)
        bench_fail("no connection: %s", strerror(errno));
    return fd;
}

/* The connections are there before, since their memory is the system's. */
static struct memory wait_connected(void)
{
    for (long i = 0; i < connections; i++) sockets[i] = connect_to_itself();
    return wait_all(wait_for_bytes, sockets, connections);
}

static int run_tasks(void *arg)
{
    weft_scope scope;
    (void)arg;
    if (weft_chan_create(&chan, sizeof(int), 0) || weft_scope_open(&scope, NULL)) return 1;
    by_event = wait_all(wait_for_event, NULL, each);
    by_chan = wait_all(wait_for_item, NULL, each);
    if (connections) by_connection = wait_connected();
    weft_event_set(&event);
    weft_chan_close(chan);
    for (long i = 0; i < connections; i++) weft_close(sockets[i]);
    int wrong = weft_scope_close(&scope);
    weft_chan_destroy(chan);
    return wrong;
}

/* ---- threads ------------------------------------------------------------- */

static struct bench_thread threads[THREADS_MOST];
static pthread_mutex_t     mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t      all_wait = PTHREAD_COND_INITIALIZER, released = PTHREAD_COND_INITIALIZER;
static bool                release;

static int wait_for_release(void *arg)
{
    pthread_mutex_lock(&mutex);
    if (++waiting == *(long *)arg) pthread_cond_signal(&all_wait);
    while (!release) pthread_cond_wait(&released, &mutex);
    pthread_mutex_unlock(&mutex);
    return 0;
}

static void run_threads(long count)
{
    struct memory before = look();
    waiting = 0;
    for (long i = 0; i < count; i++) bench_thread_start(&threads[i], wait_for_release, &count);
    pthread_mutex_lock(&mutex);
    while (waiting < count) pthread_cond_wait(&all_wait, &mutex);
    by_thread = since(before, count);
    release = true;
    pthread_mutex_unlock(&mutex);
    pthread_cond_broadcast(&released);
    for (long i = 0; i < count; i++) bench_thread_join(&threads[i]);
}

/* So many, if the process may have as many descriptors. */
static void prepare_connections(long count)
{
    struct rlimit limit;
    rlim_t        wanted = (rlim_t)count + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted;
        limit.rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            fprintf(stderr, "no row of connections: RLIMIT_NOFILE cannot be raised to %ld\n", (long)wanted);
            return;
        }
    }
    /* Its pages are touched here, as they are none of a task's. */
    sockets = malloc((size_t)count * sizeof *sockets);
    if (!sockets) bench_fail("no memory");
    memset(sockets, -1, (size_t)count * sizeof *sockets);
    connections = count;
}

int main(int argc, char **argv)
{
    bench_start("memory", argc, argv);
    each = bench_size(100000, 300);
    prepare_connections(bench_size(10000, 100));
    if (weft_run(run_tasks, NULL, WEFT_OPTIONS(.workers = 1)))
        bench_fail("%ld tasks that wait: the result is wrong", 2 * each + connections);
    free(sockets);
    run_threads(bench_size(THREADS_MOST, 100));
    bench_value("a task that waits for an event", by_event.resident, "bytes");
    bench_value("page tables for it", by_event.tables, "bytes");
    bench_value("a task that waits for a channel", by_chan.resident, "bytes");
    bench_value("page tables for it", by_chan.tables, "bytes");
    if (connections) {
        bench_value("a task that waits for an idle connection", by_connection.resident, "bytes");
        bench_value("page tables for it", by_connection.tables, "bytes");
    }
    bench_value("a thread that waits for a condition", by_thread.resident, "bytes");
    bench_value("page tables for it", by_thread.tables, "bytes");
    return bench_end();
}
