/* echo.c - a server that sends back what it is sent, and clients that talk to it all at once; or for others: echo PORT
 *
 * One task a connection, and each reads as if it were alone.  The server ends when its listener is closed, after
 * the connections that it still has.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <netinet/in.h>

#include <weft/weft.h>

enum { CLIENTS = 100, MESSAGES = 50, LONGEST = 3000 };

static atomic_int  served;
static atomic_long echoed;

/* ---- the server -------------------------------------------------------------- */

static int serve(void *arg)
{
    int     fd = *(int *)arg;
    char    buffer[4096];
    ssize_t got;

    while ((got = weft_read(fd, buffer, sizeof buffer, WEFT_NEVER)) > 0) {
        if (weft_write_full(fd, buffer, (size_t)got, WEFT_NEVER) != got) break;
        echoed += got;
    }
    weft_close(fd);
    served++;
    return 0; /* a client that has gone away is no reason to cancel the others */
}

static int run_server(void *arg)
{
    int        listener = *(int *)arg, fd;
    weft_scope scope;

    int error = weft_scope_open(&scope, NULL);
    if (error) return error;
    while ((fd = weft_accept(listener, NULL, NULL, WEFT_NEVER)) >= 0)
        if (weft_scope_go(&scope, serve, &fd, sizeof fd)) weft_close(fd);
    error = weft_scope_close(&scope);
    return fd == -EBADF ? error : fd;
}

/* ---- the clients ------------------------------------------------------------- */

struct client {
    const char *port;
    unsigned    number;
};

/* The bytes sent and received again, which is all of them, or an error. */
static int talk(void *arg)
{
    struct client *client = arg;
    char           sent[LONGEST], received[LONGEST];
    int            total = 0, error = 0;

    int fd = weft_tcp_connect("127.0.0.1", client->port, WEFT_NEVER);
    if (fd < 0) return fd;
    for (unsigned i = 0; i < MESSAGES && !error; i++) {
        size_t size = 1 + (client->number * 977 + i * 131) % LONGEST;
        memset(sent, (int)('a' + (client->number + i) % 26), size);
        ssize_t n = weft_write_full(fd, sent, size, WEFT_NEVER);
        if (n == (ssize_t)size) n = weft_read_full(fd, received, size, WEFT_NEVER);
        if (n != (ssize_t)size) error = n < 0 ? (int)n : -EPIPE;
        else if (memcmp(sent, received, size) != 0) error = -EBADMSG;
        else total += (int)size;
    }
    /* Nothing follows, in either direction. */
    shutdown(fd, SHUT_WR);
    if (!error && weft_read(fd, received, sizeof received, WEFT_NEVER) != 0) error = -EBADMSG;
    weft_close(fd);
    return error ? error : total;
}

static int run(void *arg)
{
    struct sockaddr_in address;
    socklen_t          length = sizeof address;
    char               port[8];
    weft_task          server, tasks[CLIENTS];
    struct client      clients[CLIENTS];
    long               total = 0;
    int                failed = 0;

    (void)arg;
    int listener = weft_tcp_listen("127.0.0.1", "0", 128);
    if (listener < 0) return listener;
    getsockname(listener, (struct sockaddr *)&address, &length);
    snprintf(port, sizeof port, "%d", ntohs(address.sin_port));

    weft_spawn(&server, run_server, &listener);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){port, i};
        weft_spawn(&tasks[i], talk, &clients[i]);
    }
    for (unsigned i = CLIENTS; i-- > 0;) {
        int result = weft_await(&tasks[i]);
        if (result < 0) failed++, printf("client %u: %s\n", i, strerror(-result));
        else total += result;
    }
    weft_close(listener); /* wakes the server */
    int error = weft_await(&server);
    printf("%d clients had %ld bytes echoed\n", CLIENTS - failed, total);
    return error || failed || total != echoed || served != CLIENTS ? 1 : 0;
}

/* Until it is killed.  Port 0 is one that nobody has. */
static int serve_others(void *arg)
{
    struct sockaddr_storage address;
    socklen_t               length = sizeof address;

    int listener = weft_tcp_listen(NULL, arg, SOMAXCONN);
    if (listener < 0) return listener;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening on port %d\n", ntohs(((struct sockaddr_in *)&address)->sin_port)); /* of IPv6 at the same place */
    fflush(stdout);
    return run_server(&listener);
}

int main(int argc, char **argv)
{
    int result = argc > 1 ? weft_run(serve_others, argv[1], NULL) : weft_run(run, NULL, NULL);

    if (result < 0) printf("%s\n", strerror(-result));
    return result != 0;
}
