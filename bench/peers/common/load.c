/* load.c - asks a server to echo, on many connections at once, and says how long it took
 *
 * load PORT CONNECTIONS MESSAGES: 64 bytes on each connection, the next when the last have come back, until MESSAGES
 * have been answered.  Every byte that comes back is compared.  Prints the time of all, how many answers were right,
 * and the median, the 99th and the 99.9th percentile of the time of one.  All servers are measured by this program.
 */
#define _GNU_SOURCE
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE = 64, EVENTS = 256, BACKLOG = 256 };

struct connection {
    int      fd;
    long     left;  /* messages yet to send */
    int64_t  began; /* when the one under way was sent */
    size_t   got;   /* so much of it has come back */
    uint64_t sent[MESSAGE / 8], received[MESSAGE / 8];
};

static struct connection *connections;
static long               count, each, answered, right;
static int                events_fd;
static double            *latencies;

static void connect_one(struct connection *c, int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int                on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        epoll_ctl(events_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        peer_fail("the load cannot connect");
}

static void send_next(struct connection *c)
{
    uint64_t number = (uint64_t)(c - connections) << 32 | (uint64_t)c->left;
    for (int i = 0; i < MESSAGE / 8; i++) c->sent[i] = (number + (uint64_t)i) * UINT64_C(0x9e3779b97f4a7c15);
    c->left--;
    c->got = 0;
    c->began = peer_now();
    if (send(c->fd, c->sent, MESSAGE, MSG_NOSIGNAL) != MESSAGE) peer_fail("the load cannot send");
}

static void receive(struct connection *c)
{
    ssize_t got = recv(c->fd, (char *)c->received + c->got, MESSAGE - c->got, 0);
    if (got <= 0) peer_fail("the server has closed a connection");
    c->got += (size_t)got;
    if (c->got < MESSAGE) return;
    right += memcmp(c->sent, c->received, MESSAGE) == 0;
    latencies[answered++] = (double)(peer_now() - c->began);
    if (c->left > 0) send_next(c);
}

/* Who answers here has accepted all who have connected before: a listener that has more of them than it may is sent no
 * more, and a second passes until it is tried again. */
static void exchange_one(struct connection *c)
{
    char byte = 0;
    if (send(c->fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(c->fd, &byte, 1, 0) != 1)
        peer_fail("the server has closed a connection");
}

/* Nanoseconds until all have been answered. */
static double run(long messages)
{
    struct epoll_event events[EVENTS];
    int64_t            begin = peer_now();

    each = messages / count;
    answered = right = 0;
    for (long i = 0; i < count; i++) {
        connections[i].left = each;
        send_next(&connections[i]);
    }
    while (answered < count * each) {
        int n = epoll_wait(events_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) receive(events[i].data.ptr);
    }
    return (double)(peer_now() - begin);
}

static int ascending(const void *left, const void *other)
{
    double a = *(const double *)left, b = *(const double *)other;
    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    if (argc != 4) peer_fail("usage: load PORT CONNECTIONS MESSAGES");
    int  port = atoi(argv[1]);
    long messages = atol(argv[3]);

    count = atol(argv[2]);
    connections = calloc((size_t)count, sizeof *connections);
    latencies = calloc((size_t)messages, sizeof *latencies);
    events_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !latencies || events_fd < 0) peer_fail("no memory");
    for (long i = 0; i < count; i++) {
        connect_one(&connections[i], port);
        if (i % BACKLOG == BACKLOG - 1) exchange_one(&connections[i]);
    }

    run(messages / 10 > count ? messages / 10 : count);
    double ns = run(messages);
    qsort(latencies, (size_t)answered, sizeof *latencies, ascending);
    printf("%.1f %ld %.0f %.0f %.0f\n", ns, right, latencies[answered / 2], latencies[answered - 1 - answered / 100],
           latencies[answered - 1 - answered / 1000]);
    return 0;
}
