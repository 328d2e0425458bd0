/* proxy.c - a proxy of TCP: each connection to it becomes one to the server behind it
 *
 * Two tasks for each, one for each direction.  The end of what one side sends is passed on while the other direction
 * goes on (a half-closed connection); an error in one direction cancels the other.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <netinet/in.h>

#include <weft/weft.h>

enum { CLIENTS = 50, RUDE = 10, LETTER = 100000 };

/* Starts fn(fd) for each connection, until the listener is closed. */
struct service {
    int      listener;
    weft_fn *fn;
};

static int accept_all(void *arg)
{
    struct service *service = arg;
    weft_scope      scope;
    int             fd, error = weft_scope_open(&scope, NULL);

    if (error) return error;
    while ((fd = weft_accept(service->listener, NULL, NULL, WEFT_NEVER)) >= 0)
        if (weft_scope_go(&scope, service->fn, &fd, sizeof fd)) weft_close(fd);
    error = weft_scope_close(&scope);
    return fd == -EBADF ? error : fd;
}

/* ---- the proxy --------------------------------------------------------------- */

static char       server_port[8];
static atomic_int finished, broken; /* connections that came to their end, or did not */

struct direction {
    int from, to;
};

static int pump(void *arg)
{
    struct direction *way = arg;
    char              buffer[8192];
    ssize_t           got, put;

    while ((got = weft_read(way->from, buffer, sizeof buffer, WEFT_NEVER)) > 0)
        if ((put = weft_write_full(way->to, buffer, (size_t)got, WEFT_NEVER)) != got)
            return put < 0 ? (int)put : -EPIPE;
    if (got == 0) shutdown(way->to, SHUT_WR);
    return (int)got;
}

static int relay(void *arg)
{
    int        client = *(int *)arg, server = weft_tcp_connect("127.0.0.1", server_port, WEFT_NEVER);
    weft_scope scope;

    if (server >= 0 && weft_scope_open(&scope, NULL) == 0) {
        int back = weft_scope_go(&scope, pump, &(struct direction){server, client}, sizeof(struct direction));
        if (back || pump(&(struct direction){client, server}) < 0) weft_scope_cancel(&scope);
        if (weft_scope_close(&scope)) broken++;
        else finished++;
    }
    if (server >= 0) weft_close(server);
    weft_close(client);
    return 0;
}

/* ---- the server behind it ------------------------------------------------------ */

static atomic_int ended;

/* Answers, with the sum of all bytes, when it has read the last one. */
static int add_up(void *arg)
{
    int           fd = *(int *)arg;
    unsigned char buffer[8192];
    uint64_t      sum = 0;
    ssize_t       got;

    while ((got = weft_read(fd, buffer, sizeof buffer, WEFT_NEVER)) > 0)
        for (ssize_t i = 0; i < got; i++) sum += buffer[i];
    if (got == 0) weft_write_full(fd, &sum, sizeof sum, WEFT_NEVER);
    weft_close(fd);
    ended++;
    return 0;
}

/* ---- clients ----------------------------------------------------------------- */

static char proxy_port[8];

static int ask(void *arg)
{
    int           number = *(int *)arg, fd = weft_tcp_connect("127.0.0.1", proxy_port, WEFT_NEVER);
    unsigned char letter[LETTER];
    uint64_t      expected = 0, answer = 0, nothing;

    if (fd < 0) return fd;
    for (int i = 0; i < LETTER; i++) expected += letter[i] = (unsigned char)(i * 7 + number);
    ssize_t n = weft_write_full(fd, letter, sizeof letter, WEFT_NEVER);
    shutdown(fd, SHUT_WR); /* there is no answer before this has come through */
    if (n == LETTER) n = weft_read_full(fd, &answer, sizeof answer, WEFT_NEVER);
    if (n == sizeof answer) n = weft_read(fd, &nothing, sizeof nothing, WEFT_NEVER);
    weft_close(fd);
    return n < 0 ? (int)n : answer != expected || n > 0 ? -EBADMSG : 0;
}

/* Goes away in the middle, with a reset. */
static int be_rude(void *arg)
{
    int fd = weft_tcp_connect("127.0.0.1", proxy_port, WEFT_NEVER);

    (void)arg;
    if (fd < 0) return fd;
    ssize_t n = weft_write_full(fd, "hello", 5, WEFT_NEVER);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    weft_close(fd);
    return n == 5 ? 0 : -EPIPE;
}

static int listen_somewhere(char port[8])
{
    struct sockaddr_in address;
    socklen_t          length = sizeof address;
    int                listener = weft_tcp_listen("127.0.0.1", "0", 128);

    if (listener < 0) return listener;
    getsockname(listener, (struct sockaddr *)&address, &length);
    snprintf(port, 8, "%d", ntohs(address.sin_port));
    return listener;
}

static int run(void *arg)
{
    struct service server = {listen_somewhere(server_port), add_up}, proxy = {listen_somewhere(proxy_port), relay};
    weft_task      server_task, proxy_task;
    weft_scope     clients;

    (void)arg;
    if (server.listener < 0 || proxy.listener < 0) return 1;
    weft_spawn(&server_task, accept_all, &server);
    weft_spawn(&proxy_task, accept_all, &proxy);
    int error = weft_scope_open(&clients, NULL);
    for (int i = 0; i < CLIENTS && !error; i++) {
        weft_scope_go(&clients, ask, &i, sizeof i);
        if (i < RUDE) weft_scope_go(&clients, be_rude, NULL, 0);
    }
    if (!error) error = weft_scope_close(&clients);
    weft_close(proxy.listener); /* first, so that the server is left by all */
    int proxy_error = weft_await(&proxy_task);
    weft_close(server.listener);
    int server_error = weft_await(&server_task);
    if (error) printf("%s\n", strerror(-error));
    printf("%d connections came to their end, %d were broken off, and the server was left by %d\n", finished, broken,
           ended);
    return error || proxy_error || server_error || finished != CLIENTS || broken != RUDE || ended != CLIENTS + RUDE;
}

int main(void)
{
    return weft_run(run, NULL, WEFT_OPTIONS(.stack_size = 256 << 10));
}
