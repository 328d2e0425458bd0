/* net.c - listening at and connecting to names: looked up off the workers, all their addresses tried in turn
 */
#define _GNU_SOURCE
#include "blocking.h"
#include "life.h"
#include "order.h"
#include "worker.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- names ----------------------------------------------------------------- */

/* A look-up, in memory of its own: whoever asked may give up, and the thread goes on. */
struct lookup {
    struct blocking_call call;
    Atomic(uint32_t)     holders; /* who asked, and the thread */
    weft_event           ended;
    struct addrinfo     *found;
    int                  error; /* a negative errno */
    bool                 listens;
    struct weft_runtime *runtime;      /* NULL: a plain thread's own call */
    char                *port, host[]; /* the port behind the host; an empty host: none */
};

static void let_go(struct lookup *l)
{
    if (sub_acq_rel(&l->holders, 1) > 1) return; /* acq_rel: pairs with itself; the last one sees what the other did */
    order_hide();                                /* of the two neither is ordered after the other */
    if (l->found) freeaddrinfo(l->found);
    free(l);
    order_show();
}

static int error_of(int code)
{
    switch (code) {
    case 0: return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY: return -ENOENT;
    case EAI_SERVICE: return -EINVAL;
    case EAI_MEMORY: return -ENOMEM;
    case EAI_SYSTEM: return errno ? -errno : -EAGAIN;
    default: return -EAGAIN; /* EAI_AGAIN, and EAI_FAIL of a name server that is out of order */
    }
}

/* By numbers alone neither the network nor a file is asked, so nothing blocks. */
static int ask(struct lookup *l, bool numbers)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = numbers ? AI_NUMERICHOST | AI_NUMERICSERV : 0};
    if (l->listens) hints.ai_flags |= AI_PASSIVE;
    errno = 0;
    return getaddrinfo(l->host[0] ? l->host : NULL, l->port, &hints, &l->found);
}

/* RFC 6761, 6.3: this name, and those below it, are the loopback address whatever a server says; and a machine may
 * have no file of names. */
static bool is_loopback(const char *host)
{
    static const char name[] = "localhost";
    size_t            before = strlen(host) - min_of(strlen(host), strlen(name));
    return strcasecmp(host + before, name) == 0 && (before == 0 || host[before - 1] == '.');
}

static int ask_loopback(struct lookup *l)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    errno = 0;
    return getaddrinfo(NULL, l->port, &hints, &l->found);
}

/* Takes its time. */
static void ask_all(struct lookup *l)
{
    int  code = ask(l, false);
    bool unknown = code == EAI_NONAME || code == EAI_NODATA || code == EAI_AGAIN || code == EAI_FAIL;
    if (unknown && is_loopback(l->host)) code = ask_loopback(l);
    l->error = error_of(code);
}

static void run(struct blocking_call *call)
{
    order_hide();
    ask_all(container_of(call, struct lookup, call));
    order_show();
}

static void done(struct blocking_call *call)
{
    struct lookup *l = container_of(call, struct lookup, call);
    sub_relaxed(&l->runtime->blocking_calls, 1);
    chaos_point();
    weft_event_set(&l->ended);
    chaos_point();
    let_go(l);
}

/* The resolver takes the lower bits of any number, whatever is before its digits, and nothing for 0. */
static bool is_bad_port(const char *port)
{
    char *end;
    long  number = strtol(port ? port : "", &end, 10);
    return !port || !port[0] || (!*end && (port[0] < '0' || port[0] > '9' || number > UINT16_MAX));
}

/* *lookup is the caller's to let go of, unless there is an error. */
static int look_up(const char *host, const char *port, bool listens, weft_time deadline, struct lookup **lookup)
{
    if (is_bad_port(port)) return -EINVAL;
    size_t         host_size = host ? strlen(host) + 1 : 1;
    struct lookup *l = calloc(1, sizeof *l + host_size + strlen(port) + 1);
    if (!l) return -ENOMEM;
    if (host) memcpy(l->host, host, host_size);
    l->port = strcpy(l->host + host_size, port);
    l->listens = listens;
    atomic_set(&l->holders, 1);
    int            code = ask(l, true);
    struct worker *w = worker_self();
    if (code == 0 || (w && code == EAI_MEMORY)) {
        l->error = error_of(code);
    } else if (!w) {
        ask_all(l);
    } else {
        l->call = (struct blocking_call){.run = run, .done = done};
        l->runtime = w->runtime;
        add_relaxed(&l->holders, 1);
        add_relaxed(&l->runtime->blocking_calls, 1);
        worker_count_one(&w->count.blocking_calls);
        int error = blocking_submit(l->runtime, BLOCKING_NAMES, &l->call);
        if (error) {
            sub_relaxed(&l->runtime->blocking_calls, 1);
            sub_relaxed(&l->holders, 1);
        } else {
            error = weft_event_wait(&l->ended, deadline);
        }
        if (error) {
            let_go(l);
            return error;
        }
    }
    int error = l->error;
    if (error) let_go(l);
    else *lookup = l;
    return error;
}

/* ---- listening ------------------------------------------------------------- */

static int listen_at(const struct addrinfo *at, int backlog)
{
    int on = 1, off = 0, fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* Every address of IPv6 is every one of IPv4, too. */
    if (at->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, backlog) == 0) {
        life_begin(fd, DESCRIPTOR_UNKNOWN);
        return fd;
    }
    int error = -errno;
    close(fd);
    return error;
}

static bool is_no_family(int error)
{
    return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;
}

int weft_tcp_listen(const char *host, const char *port, int backlog)
{
    struct lookup *l = NULL;
    int            result = look_up(host, port, true, WEFT_NEVER, &l);
    if (result) return result;
    static const int families[] = {AF_INET6, AF_INET};
    bool             every = !host || !host[0];
    result = -ENOENT;
    /* Of every address that of IPv6 first, and that of IPv4 alone only where there is no IPv6: else another server
     * could have half of them without a word.  Of a name in the order of the resolver. */
    for (unsigned i = 0; i < array_len(families) && (result == -ENOENT || is_no_family(result)); i++) {
        for (const struct addrinfo *at = l->found; at && result < 0; at = at->ai_next)
            if (!every || at->ai_family == families[i]) result = listen_at(at, backlog);
        if (!every) break;
    }
    let_go(l);
    return result;
}

/* ---- connecting ------------------------------------------------------------ */

#define ATTEMPT_NS (250 * WEFT_MS) /* RFC 8305, 5: after so long the next address is tried, too */

/* Connections that are under way, all watched by one epoll instance, which can itself be waited for. */
struct race {
    int      epoll;
    int      error; /* of the last that failed */
    unsigned running, count;
    int     *fds;
};

/* The next attempt, which is under way then, or has failed; *connected: it was connected at once. */
static void begin(struct race *r, const struct addrinfo *to, int *connected)
{
    struct epoll_event event = {.events = EPOLLOUT};
    int                fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        r->error = -errno;
        return;
    }
    life_begin(fd, DESCRIPTOR_UNKNOWN);
    event.data.u32 = r->count;
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0) {
        *connected = fd;
    } else if ((errno == EINPROGRESS || errno == EINTR) && epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event) == 0) {
        r->fds[r->count++] = fd;
        r->running++;
    } else {
        r->error = -errno;
        close(fd);
    }
}

/* Those that have come to an end, one way or the other. */
static void judge(struct race *r, int *connected)
{
    struct epoll_event events[16];
    int                n = epoll_wait(r->epoll, events, array_len(events), 0);
    for (int i = 0; i < n && *connected < 0; i++) {
        int      *fd = &r->fds[events[i].data.u32], error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
        epoll_ctl(r->epoll, EPOLL_CTL_DEL, *fd, &events[i]);
        r->running--;
        if (error) {
            r->error = -error;
            close(*fd);
        } else {
            *connected = *fd;
        }
        *fd = -1;
    }
}

static int run_race(struct race *r, const struct addrinfo *next, weft_time deadline)
{
    int connected = -1;
    while (next || r->running > 0) {
        if (next) {
            begin(r, next, &connected);
            next = next->ai_next;
        }
        if (connected >= 0) return connected;
        if (r->running == 0) continue;
        weft_time until = next ? min_of(weft_now() + ATTEMPT_NS, deadline) : deadline;
        int       events = weft_poll(r->epoll, EPOLLIN, until);
        bool      late = events == -ETIMEDOUT && until < deadline;
        int       reason = late ? weft_check() : 0; /* which may be -ETIMEDOUT, too */
        if (reason) return reason;
        if (events < 0 && !late) return events;
        judge(r, &connected);
        if (connected >= 0) return connected;
    }
    return r->error;
}

int weft_tcp_connect(const char *host, const char *port, weft_time deadline)
{
    struct lookup *l = NULL;
    int            result = look_up(host, port, false, deadline, &l);
    if (result) return result;
    struct race r = {.epoll = epoll_create1(EPOLL_CLOEXEC), .error = -ENOENT};
    unsigned    addresses = 0;
    for (const struct addrinfo *at = l->found; at; at = at->ai_next) addresses++;
    if (r.epoll < 0) {
        result = -errno;
    } else if (!(r.fds = malloc(addresses * sizeof *r.fds))) {
        result = -ENOMEM;
    } else {
        life_begin(r.epoll, DESCRIPTOR_UNKNOWN);
        result = run_race(&r, l->found, deadline);
        for (unsigned i = 0; i < r.count; i++)
            if (r.fds[i] >= 0) close(r.fds[i]);
    }
    if (r.epoll >= 0) weft_close(r.epoll);
    free(r.fds);
    let_go(l);
    return result;
}
