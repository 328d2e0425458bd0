/* echo.c - 64 bytes there and back over TCP, on many connections at once
 *
 * Servers take turns: a loop over epoll, a task for each connection, and, where there is one, a loop over an io_uring.
 * The last is that loop with a stack for each connection, and two switches there and back for each request: what tasks
 * could reach if there were no scheduler, if a number belonged to one reader, and if nobody ever gave up.
 * The load is common to all: a thread on another processor that has one message under way on each connection, and
 * compares every byte that comes back.  The connections are made once and stay; each server has its own, so that none
 * is known to two.
 *
 * Beside the time for a request, which the load takes part in, it prints what the server alone took of its processor,
 * its system calls (those that are made through the functions of libc below), and the latencies that the load saw.
 */
#define _GNU_SOURCE
#include "bench.h"
#include "context.h"
#include "raw_uring.h"
#include "stack.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MESSAGE = 64, EVENTS = 256 };

/* ---- system calls, counted --------------------------------------------------- */

/* The linker sends the calls of these functions here: bench/CMakeLists.txt. */
static _Thread_local long calls;

#define COUNTED(type, name, parameters, arguments) \
    type __real_##name parameters;                 \
    type __wrap_##name parameters;                 \
    type __wrap_##name parameters                  \
    {                                              \
        calls++;                                   \
        return __real_##name arguments;            \
    }
COUNTED(ssize_t, recv, (int fd, void *bytes, size_t size, int flags), (fd, bytes, size, flags))
COUNTED(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags))
COUNTED(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size))
COUNTED(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
COUNTED(int, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event), (epoll, what, fd, event))
COUNTED(int, epoll_wait, (int epoll, struct epoll_event *events, int most, int ms), (epoll, events, most, ms))
COUNTED(int, epoll_pwait2,
        (int epoll, struct epoll_event *events, int most, const struct timespec *timeout, const sigset_t *mask),
        (epoll, events, most, timeout, mask))
COUNTED(int, sched_yield, (void), ())

/* Futexes and what else libc has no function for. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    va_list list;
    long    a[6];

    calls++;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- one server and its connections -------------------------------------------- */

struct connection {
    /* the server's; what the load writes to is on other cache lines, as the loop over epoll has none in common with
     * it */
    _Alignas(CACHE_LINE) weft_task task;
    struct echo   *echo;
    int            server;
    struct context stack; /* where there is no task */
    const char    *got_bytes;
    int            got_size;
    /* the load's */
    _Alignas(CACHE_LINE) int client;
    long     left;  /* messages that it has yet to send */
    int64_t  began; /* when the one under way was sent */
    size_t   got;   /* so much of it has come back */
    uint64_t sent[MESSAGE / 8], received[MESSAGE / 8];
};

/* What is told of each run; of all of them together the mean of the first three, and the median of the others. */
enum { USER, SYSTEM, CALLS, P50, P99, P999, FIGURES };

struct echo {
    int                count; /* connections */
    long               each;  /* messages on each */
    struct connection *connections;
    int                load_epoll, server_epoll;
    struct raw_uring  *uring;
    struct stack_pool  stacks;
    struct context     loop;
    long               server_left; /* bytes that it has yet to receive */
    double            *latencies;   /* of a run */
    long               wrong;
    int                runs; /* the first is to warm up */
    double            *figures[FIGURES];
};

static int server_cpu, load_cpu;

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

/* The first two processors that the process may use, or the only one twice. */
static void choose_cpus(void)
{
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    server_cpu = load_cpu = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE && load_cpu == server_cpu; cpu++) {
        if (!CPU_ISSET(cpu, &set)) continue;
        if (server_cpu < 0) server_cpu = load_cpu = cpu;
        else load_cpu = cpu;
    }
}

static void connect_pair(int listener, const struct sockaddr_in *address, struct connection *c)
{
    int on = 1;

    c->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->client < 0 || connect(c->client, (const struct sockaddr *)address, sizeof *address) != 0)
        bench_fail("no connection: %s", strerror(errno));
    c->server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c->server < 0) bench_fail("no connection: %s", strerror(errno));
    setsockopt(c->client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void echo_init(struct echo *e, int count, long each)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          length = sizeof address;
    int                listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *e = (struct echo){.count = count, .each = each};
    e->connections = aligned_alloc(CACHE_LINE, (size_t)count * sizeof *e->connections);
    e->latencies = calloc((size_t)(count * each), sizeof *e->latencies);
    for (int i = 0; i < FIGURES; i++) e->figures[i] = calloc((size_t)bench_options.reps, sizeof(double));
    if (!e->connections || !e->latencies || !e->figures[FIGURES - 1]) bench_fail("no memory");
    if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 16) != 0)
        bench_fail("no listener: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &length);
    e->load_epoll = epoll_create1(EPOLL_CLOEXEC);
    e->server_epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        struct connection *c = &e->connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        *c = (struct connection){.echo = e};
        connect_pair(listener, &address, c);
        if (epoll_ctl(e->load_epoll, EPOLL_CTL_ADD, c->client, &event) != 0)
            bench_fail("no epoll: %s", strerror(errno));
    }
    close(listener);
}

static void echo_destroy(struct echo *e)
{
    if (e->uring) raw_uring_destroy(e->uring);
    for (int i = 0; i < e->count; i++) {
        struct context *stack = &e->connections[i].stack;
        if (stack->low) context_end(stack);
    }
    stack_pool_destroy(&e->stacks);
    for (int i = 0; i < e->count; i++) {
        close(e->connections[i].client);
        weft_close(e->connections[i].server); /* tells what weft knows of the number */
    }
    close(e->load_epoll);
    close(e->server_epoll);
    for (int i = 0; i < FIGURES; i++) free(e->figures[i]);
    free(e->latencies);
    free(e->connections);
}

/* ---- the load ---------------------------------------------------------------- */

static void send_next(struct connection *c)
{
    uint64_t number = (uint64_t)c->client << 32 | (uint64_t)c->left;

    for (int i = 0; i < MESSAGE / 8; i++) c->sent[i] = (number + (uint64_t)i) * UINT64_C(0x9e3779b97f4a7c15);
    c->left--;
    c->got = 0;
    c->began = bench_now();
    if (send(c->client, c->sent, MESSAGE, 0) != MESSAGE) bench_fail("the load cannot send: %s", strerror(errno));
}

static int load(void *arg)
{
    struct echo       *e = arg;
    struct epoll_event events[EVENTS];
    long               answered = 0;

    pin(load_cpu);
    e->wrong = 0;
    for (int i = 0; i < e->count; i++) {
        e->connections[i].left = e->each;
        send_next(&e->connections[i]);
    }
    while (answered < e->count * e->each) {
        int n = epoll_wait(e->load_epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t            got = recv(c->client, (char *)c->received + c->got, MESSAGE - c->got, 0);
            if (got <= 0) bench_fail("a connection has ended: %s", got ? strerror(errno) : "closed by the server");
            c->got += (size_t)got;
            if (c->got < MESSAGE) continue;
            if (memcmp(c->sent, c->received, MESSAGE) != 0) e->wrong++;
            e->latencies[answered++] = (double)(bench_now() - c->began);
            if (c->left > 0) send_next(c);
        }
    }
    return 0;
}

/* ---- servers ----------------------------------------------------------------- */

/* Runs a server, which returns when it has echoed all messages, on its processor, with the load on the other. */
static int run_server(struct echo *e, void (*serve)(struct echo *e))
{
    struct bench_thread thread;
    struct rusage       before, after;
    cpu_set_t           allowed;

    sched_getaffinity(0, sizeof allowed, &allowed);
    pin(server_cpu);
    bench_thread_start(&thread, load, e);
    getrusage(RUSAGE_THREAD, &before);
    long calls_before = calls;
    serve(e);
    double made = (double)(calls - calls_before);
    getrusage(RUSAGE_THREAD, &after);
    bench_thread_join(&thread);
    sched_setaffinity(0, sizeof allowed, &allowed);

    double requests = (double)(e->count * e->each);
    int    rep = e->runs++ - 1;
    if (rep < 0) return 0;
    e->figures[CALLS][rep] = made / requests;
    e->figures[USER][rep] = ((double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1e6 +
                             (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec)) /
                            requests;
    e->figures[SYSTEM][rep] = ((double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1e6 +
                               (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec)) /
                              requests;
    return 0;
}

static void serve_by_epoll(struct echo *e)
{
    struct epoll_event events[EVENTS];
    char               buffer[4096];
    long               left = e->count * e->each * MESSAGE;

    while (left > 0) {
        int n = epoll_wait(e->server_epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            ssize_t got = recv(events[i].data.fd, buffer, sizeof buffer, 0);
            if (got <= 0 || send(events[i].data.fd, buffer, (size_t)got, MSG_NOSIGNAL) != got)
                bench_fail("a connection has ended: %s", strerror(errno));
            left -= got;
        }
    }
}

static void answer(void *arg, int number, const char *bytes, int size)
{
    struct echo *e = arg;

    if (size <= 0) bench_fail("a connection has ended: %s", strerror(size ? -size : EPIPE));
    if (!bytes) return;
    raw_uring_answer(e->uring, e->connections[number].server, number, bytes, size);
    e->server_left -= size;
}

static void serve_by_uring(struct echo *e)
{
    unsigned under_way = 0;

    e->server_left = e->count * e->each * MESSAGE;
    while (e->server_left > 0 || under_way > 0) under_way = raw_uring_turn(e->uring);
}

static struct connection *gone_on; /* the connection whose stack goes on */

static void go_on(void *arg, int number, const char *bytes, int size)
{
    struct echo *e = arg;

    if (size <= 0) bench_fail("a connection has ended: %s", strerror(size ? -size : EPIPE));
    gone_on = &e->connections[number];
    gone_on->got_bytes = bytes;
    gone_on->got_size = size;
    context_switch(&e->loop, &gone_on->stack);
}

static void serve_on_stack(struct context *loop)
{
    struct connection *c = gone_on;
    char               buffer[4096];

    for (;;) {
        int size = c->got_size;
        memcpy(buffer, c->got_bytes, (size_t)size);
        raw_uring_answer(c->echo->uring, c->server, (int)(c - c->echo->connections), buffer, size);
        loop = context_switch(&c->stack, loop); /* until that has gone */
        c->echo->server_left -= size;
        loop = context_switch(&c->stack, loop); /* until more has come */
    }
}

static int serve_one(void *arg)
{
    struct connection *c = arg;
    char               buffer[4096];

    for (long left = c->echo->each * MESSAGE; left > 0;) {
        ssize_t got = weft_read(c->server, buffer, sizeof buffer, WEFT_NEVER);
        if (got <= 0 || weft_write_full(c->server, buffer, (size_t)got, WEFT_NEVER) != got)
            bench_fail("a connection has ended: %s", strerror(got < 0 ? (int)-got : EPIPE));
        left -= got;
    }
    return 0;
}

static void serve_by_tasks(struct echo *e)
{
    for (int i = 0; i < e->count; i++) weft_spawn(&e->connections[i].task, serve_one, &e->connections[i]);
    for (int i = e->count; i-- > 0;) weft_await(&e->connections[i].task);
}

static int run_epoll(void *arg)
{
    return run_server(arg, serve_by_epoll);
}

static int run_uring(void *arg)
{
    return run_server(arg, serve_by_uring);
}

static int run_tasks(void *arg)
{
    return run_server(arg, serve_by_tasks);
}

/* ---- judging ----------------------------------------------------------------- */

static int judge(void *arg)
{
    struct echo *e = arg;
    size_t       count = (size_t)(e->count * e->each);
    int          rep = e->runs - 2;

    if (e->wrong || rep < 0) return e->wrong ? 1 : 0;
    qsort(e->latencies, count, sizeof(double), bench_ascending);
    e->figures[P50][rep] = e->latencies[count / 2] / 1e3;
    e->figures[P99][rep] = e->latencies[count - 1 - count / 100] / 1e3;
    e->figures[P999][rep] = e->latencies[count - 1 - count / 1000] / 1e3;
    return 0;
}

static void print(const char *name, struct echo *e)
{
    static const char *const what[FIGURES][2] = {
        [USER] = {"user time of the server", "us a request"},
        [SYSTEM] = {"system time of the server", "us a request"},
        [CALLS] = {"system calls of the server", "a request"},
        [P50] = {"latency, median", "us"},
        [P99] = {"latency, p99", "us"},
        [P999] = {"latency, p99.9", "us"},
    };
    char text[100];

    /* The system counts processor time in ticks: only many runs together say something. */
    for (int i = 0; i < FIGURES; i++) {
        double *each = e->figures[i], figure = 0;
        qsort(each, (size_t)bench_options.reps, sizeof(double), bench_ascending);
        for (int rep = 0; rep < bench_options.reps; rep++) figure += each[rep] / bench_options.reps;
        if (i >= P50) figure = each[bench_options.reps / 2];
        snprintf(text, sizeof text, "%d, %s: %s", e->count, name, what[i][0]);
        bench_value(text, figure, what[i][1]);
    }
}

/* The receives are the calling thread's, which runs the loop, too. */
static bool prepare_uring(struct echo *e, raw_uring_got *got)
{
    e->uring = raw_uring_make((unsigned)e->count, got, e);
    for (int i = 0; e->uring && i < e->count; i++) raw_uring_receive(e->uring, e->connections[i].server, i);
    return e->uring;
}

static void prepare_stacks(struct echo *e)
{
    bool canary;

    stack_pool_init(&e->stacks, STACK_DEFAULT);
    context_thread(&e->loop);
    for (int i = 0; i < e->count; i++) {
        char *low = stack_get(&e->stacks, &canary);
        if (!low) bench_fail("no memory");
        context_make(&e->connections[i].stack, stack_floor(&e->stacks, low), low + e->stacks.size, serve_on_stack);
    }
}

static void prepare_epoll(struct echo *e)
{
    for (int i = 0; i < e->count; i++) {
        int                fd = e->connections[i].server;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(e->server_epoll, EPOLL_CTL_ADD, fd, &event) != 0) bench_fail("no epoll: %s", strerror(errno));
    }
}

static void compare(int count, long messages)
{
    static const struct bench_side kinds[] = {
        {.name = "epoll", .run = run_epoll, .judge = judge},
        {.name = "tasks", .run = run_tasks, .judge = judge, .workers = 1},
        {.name = "io_uring", .run = run_uring, .judge = judge},
        {.name = "io_uring, and stacks", .run = run_uring, .judge = judge},
    };
    enum { SIDES = sizeof kinds / sizeof *kinds, URING = SIDES - 2, STACKS };
    struct echo       echoes[SIDES];
    struct bench_side sides[SIDES];
    char              what[40];

    for (int i = 0; i < SIDES; i++) {
        echo_init(&echoes[i], count, messages / count);
        sides[i] = kinds[i];
        sides[i].arg = &echoes[i];
        sides[i].count = (double)(messages / count * count);
    }
    prepare_epoll(&echoes[0]);
    size_t there = prepare_uring(&echoes[URING], answer) && prepare_uring(&echoes[STACKS], go_on) ? SIDES : URING;
    prepare_stacks(&echoes[STACKS]);
    snprintf(what, sizeof what, "%d connections", count);
    bench_compare_sides(what, "request", sides, there);
    for (size_t i = 0; i < there; i++) print(sides[i].name, &echoes[i]);
    for (int i = 0; i < SIDES; i++) echo_destroy(&echoes[i]);
}

int main(int argc, char **argv)
{
    struct rlimit limit;

    bench_start("echo", argc, argv);
    choose_cpus();
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    compare(64, bench_size(256000, 6400));
    compare((int)bench_size(1000, 200), bench_size(250000, 4000));
    return bench_end();
}
