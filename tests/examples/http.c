/* http.c - a server of HTTP/1.1 for the files below a directory: http DIRECTORY [PORT]
 *
 * One task a connection; it reads, lets http_parser (a library) understand what it has read, and answers from within
 * the parser's callback, which may wait like any other function of a task.  Answers to requests that came together
 * leave together.
 *
 * Port 0 is one that nobody has; it says which.  SIGTERM cancels the scope of all connections: those that wait for a
 * request end at once, and an answer that has begun is finished behind a shield.  Without arguments it is its own
 * client, and stops itself. / */
#define _GNU_SOURCE
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <http_parser.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include <weft/weft.h>

#define PATIENCE (60 * WEFT_SEC) /* for a whole request, and for a client to take the next piece of an answer */

static char root[200]; /* the directory */

/* ---- a connection ------------------------------------------------------------ */

struct connection {
    int         fd;
    bool        last; /* after this answer it is closed */
    int         error;
    weft_time   until; /* then the next request has come, or nobody waits for it any longer */
    http_parser parser;
    size_t      url_length, used;
    char        url[1024];
    char        out[8192]; /* what is not sent yet */
};

static void flush(struct connection *c)
{
    if (!c->error && c->used > 0) {
        ssize_t n = weft_write_full(c->fd, c->out, c->used, weft_now() + PATIENCE);
        if (n != (ssize_t)c->used) c->error = n < 0 ? (int)n : -ETIMEDOUT;
    }
    c->used = 0;
}

static void put(struct connection *c, const char *text, size_t length)
{
    if (c->used + length > sizeof c->out) flush(c);
    memcpy(c->out + c->used, text, length);
    c->used += length;
}

static void put_head(struct connection *c, int status, const char *type, long long length)
{
    char head[300];
    int  n = snprintf(head, sizeof head,
                      "HTTP/1.1 %d %s\r\nContent-Length: %lld\r\nContent-Type: %s\r\nConnection: %s\r\n\r\n", status,
                      http_status_str((enum http_status)status), length, type, c->last ? "close" : "keep-alive");
    put(c, head, (size_t)n);
}

static void put_error(struct connection *c, int status)
{
    const char *text = http_status_str((enum http_status)status);
    put_head(c, status, "text/plain", (long long)strlen(text));
    if (c->parser.method != HTTP_HEAD) put(c, text, strlen(text));
}

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {
        {".html", "text/html"}, {".css", "text/css"},      {".js", "text/javascript"},   {".txt", "text/plain"},
        {".png", "image/png"},  {".svg", "image/svg+xml"}, {".json", "application/json"}};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t end = strlen(types[i][0]);
        if (length > end && !strcmp(path + length - end, types[i][0])) return types[i][1];
    }
    return "application/octet-stream";
}

/* The file that the URL names, or the status that says why there is none. */
static int path_of(const char *url, size_t length, char *path, size_t size)
{
    struct http_parser_url parts;
    size_t                 at = (size_t)snprintf(path, size, "%s", root);

    http_parser_url_init(&parts);
    if (http_parser_parse_url(url, length, 0, &parts) || !(parts.field_set & 1 << UF_PATH)) return 400;
    const char *from = url + parts.field_data[UF_PATH].off, *end = from + parts.field_data[UF_PATH].len;
    if (*from != '/') return 400;
    for (; from < end; from++) {
        if (at + sizeof "/index.html" > size) return 414;
        path[at] = *from;
        if (*from == '%') {
            if (end - from < 3 || !isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2])) return 400;
            path[at] = (char)strtol((char[]){from[1], from[2], '\0'}, NULL, 16);
            from += 2;
        }
        if (path[at++] == '\0') return 400;
    }
    path[at] = '\0';
    if (strstr(path + strlen(root), "/..")) return 404;
    if (path[at - 1] == '/') strcpy(path + at, "index.html");
    return 0;
}

static void put_file(struct connection *c, int fd, long long length)
{
    while (length > 0 && !c->error) {
        if (c->used == sizeof c->out) flush(c);
        size_t  room = sizeof c->out - c->used;
        ssize_t got = weft_read(fd, c->out + c->used, (long long)room < length ? room : (size_t)length, WEFT_NEVER);
        if (got <= 0) c->error = got < 0 ? (int)got : -EIO; /* it has become shorter */
        else c->used += (size_t)got, length -= got;
    }
}

static void put_answer(struct connection *c)
{
    char        path[sizeof root + sizeof c->url];
    struct stat status;
    int         error = 0, file = -1;

    if (c->parser.method != HTTP_GET && c->parser.method != HTTP_HEAD) error = 405;
    else if (c->url_length > sizeof c->url) error = 414;
    else error = path_of(c->url, c->url_length, path, sizeof path);
    if (!error) {
        file = weft_open(path, O_RDONLY | O_NONBLOCK, 0); /* a named pipe is not waited for */
        if (file == -EMFILE || file == -ENFILE || file == -ENOMEM || file == -EAGAIN) error = 503;
        else if (file < 0 || fstat(file, &status) || !S_ISREG(status.st_mode)) error = 404;
    }
    if (error) {
        put_error(c, error);
    } else {
        put_head(c, 200, type_of(path), status.st_size);
        if (c->parser.method == HTTP_GET) put_file(c, file, status.st_size);
    }
    if (file >= 0) weft_close(file);
}

static int begin_request(http_parser *parser)
{
    ((struct connection *)parser->data)->url_length = 0;
    return 0;
}

static int add_to_url(http_parser *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;
    if (c->url_length + length <= sizeof c->url) memcpy(c->url + c->url_length, at, length);
    c->url_length += length;
    return 0;
}

/* In the middle of http_parser_execute; the task may wait here. */
static int end_request(http_parser *parser)
{
    struct connection *c = parser->data;

    if (!http_should_keep_alive(parser) || parser->upgrade) c->last = true;
    put_answer(c);
    c->until = weft_now() + PATIENCE;
    return c->error || c->last;
}

static void answer(struct connection *c, const char *in, size_t length)
{
    static const http_parser_settings callbacks = {
        .on_message_begin = begin_request, .on_url = add_to_url, .on_message_complete = end_request};
    weft_scope shield;

    /* Who is told to stop answers the request that has come, and says that it is the last. */
    c->last = weft_check() != 0;
    c->error = weft_scope_open(&shield, WEFT_SCOPE(.shield = true));
    if (c->error) return;
    size_t parsed = http_parser_execute(&c->parser, &callbacks, in, length);
    if (parsed < length && !c->last && !c->error) {
        c->last = true;
        put_error(c, 400);
    }
    flush(c);
    weft_scope_close(&shield);
}

static int serve(void *arg)
{
    struct connection c = {.fd = *(int *)arg, .until = weft_now() + PATIENCE};
    char              in[4096];
    ssize_t           got;

    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    http_parser_init(&c.parser, HTTP_REQUEST);
    c.parser.data = &c;
    while (!c.last && !c.error && (got = weft_read(c.fd, in, sizeof in, c.until)) > 0) answer(&c, in, (size_t)got);

    /* If there were more to read, closing would reset the connection, and the answer could be lost. */
    shutdown(c.fd, SHUT_WR);
    c.until = weft_now() + WEFT_SEC;
    while (weft_read(c.fd, in, sizeof in, c.until) > 0 && weft_now() < c.until) {
    }
    weft_close(c.fd);
    return 0; /* what one client does concerns no other */
}

/* ---- the server --------------------------------------------------------------- */

struct server {
    int        listener, signals;
    weft_scope connections;
};

static int stop_on_signal(void *arg)
{
    struct server          *server = arg;
    struct signalfd_siginfo signal;

    if (weft_read(server->signals, &signal, sizeof signal, WEFT_NEVER) > 0) weft_scope_cancel(&server->connections);
    return 0;
}

/* Until a signal comes, and then until all is answered. */
static int run_server(void *arg)
{
    struct server *server = arg;
    int            error = weft_scope_open(&server->connections, NULL);

    if (error) return error;
    error = weft_scope_go(&server->connections, stop_on_signal, server, 0);
    if (error) weft_scope_cancel(&server->connections);
    while (!weft_check()) {
        int fd = weft_accept(server->listener, NULL, NULL, WEFT_NEVER);
        if (fd >= 0 && weft_scope_go(&server->connections, serve, &fd, sizeof fd)) weft_close(fd);
    }
    weft_close(server->listener);
    int reason = weft_scope_close(&server->connections);
    return reason == -ECANCELED ? error : reason;
}

/* ---- clients, to see that it works -------------------------------------------- */

#define HOST "Host: example\r\n\r\n"

/* A file's name is its size, which says what is in it, too. */
static char byte_at(long long size, long long i)
{
    return (char)(size * 7 + i * 31 + i / 256);
}

static const struct wanted {
    const char *request;
    int         status;
    long long   size; /* of the body, or of what a HEAD would have; -1: any */
} wanted[] = {
    {"GET /100 HTTP/1.1\r\n" HOST, 200, 100},
    {"GET / HTTP/1.1\r\n" HOST, 200, 1234},
    {"GET /0?question HTTP/1.1\r\n" HOST, 200, 0},
    {"GET /none HTTP/1.1\r\n" HOST, 404, -1},
    {"HEAD /100 HTTP/1.1\r\n" HOST, 200, 100},
    {"GET /100000 HTTP/1.1\r\n" HOST, 200, 100000},
    {"GET /a%20b/%31%30%30%30%30 HTTP/1.1\r\n" HOST, 200, 10000},
    {"GET /a%20b HTTP/1.1\r\n" HOST, 404, -1},
    {"GET /%zz HTTP/1.1\r\n" HOST, 400, -1},
    {"GET /../../../../../../etc/passwd HTTP/1.1\r\n" HOST, 404, -1},
    {"GET /%2e%2e/%2E%2E%2f../../../../etc/passwd HTTP/1.1\r\n" HOST, 404, -1},
    {"POST /100 HTTP/1.1\r\nContent-Length: 5\r\n" HOST "hello", 405, -1},
    {"GET /100 HTTP/1.1\r\nUser-Agent: x\r\n" HOST, 200, 100},
    {"GET /10000 HTTP/1.0\r\n\r\n", 200, 10000},
};

enum { WANTED = sizeof wanted / sizeof *wanted, CLIENTS = 48 };

struct client {
    const char *port;
    unsigned    piece; /* 0: a request, its answer, the next; else all requests first, in pieces of so many bytes */
    http_parser parser;
    size_t      answered;
    long long   received;
    bool        wrong;
};

static int check_body(http_parser *parser, const char *at, size_t length)
{
    struct client       *client = parser->data;
    const struct wanted *w = &wanted[client->answered];

    for (size_t i = 0; i < length && w->status == 200; i++)
        if (at[i] != byte_at(w->size, client->received + (long long)i)) client->wrong = true;
    client->received += (long long)length;
    return 0;
}

/* 1: the answer to a HEAD has no body. */
static int check_head(http_parser *parser)
{
    struct client       *client = parser->data;
    const struct wanted *w = &wanted[client->answered];

    if ((int)parser->status_code != w->status) client->wrong = true;
    if (w->size >= 0 && (long long)parser->content_length != w->size) client->wrong = true;
    client->received = 0;
    return !strncmp(w->request, "HEAD", 4);
}

static int check_end(http_parser *parser)
{
    struct client       *client = parser->data;
    const struct wanted *w = &wanted[client->answered++];

    if (w->size >= 0 && client->received != (strncmp(w->request, "HEAD", 4) ? w->size : 0)) client->wrong = true;
    return 0;
}

static int read_answers(struct client *client, int fd, size_t count)
{
    static const http_parser_settings callbacks = {
        .on_headers_complete = check_head, .on_body = check_body, .on_message_complete = check_end};
    char in[3000];

    while (client->answered < count) {
        ssize_t got = weft_read(fd, in, sizeof in, WEFT_NEVER);
        if (got <= 0) return got < 0 ? (int)got : -EPIPE;
        size_t parsed = http_parser_execute(&client->parser, &callbacks, in, (size_t)got);
        if (client->wrong || parsed != (size_t)got || client->answered > count) return -EBADMSG;
    }
    return 0;
}

static int converse(void *arg)
{
    struct client *client = arg;
    int            error = 0, fd = weft_tcp_connect("127.0.0.1", client->port, WEFT_NEVER);
    char           out[4096], rest;
    size_t         length = 0;

    if (fd < 0) return fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    http_parser_init(&client->parser, HTTP_RESPONSE);
    client->parser.data = client;
    for (size_t i = 0; i < WANTED && !error; i++) {
        length += (size_t)snprintf(out + length, sizeof out - length, "%s", wanted[i].request);
        if (client->piece > 0) continue;
        if (weft_write_full(fd, out, length, WEFT_NEVER) != (ssize_t)length) error = -EPIPE;
        else error = read_answers(client, fd, i + 1);
        length = 0;
    }
    for (size_t at = 0, size; at < length && !error; at += size) {
        size = client->piece < length - at ? client->piece : length - at;
        if (weft_write_full(fd, out + at, size, WEFT_NEVER) != (ssize_t)size) error = -EPIPE;
    }
    if (!error) error = read_answers(client, fd, WANTED);
    if (!error && weft_read(fd, &rest, 1, WEFT_NEVER) != 0) error = -EBADMSG; /* the last one was of HTTP/1.0 */
    weft_close(fd);
    return error;
}

/* What is no request is answered once, and ends the connection. */
static int talk_nonsense(const char *port)
{
    static const char nonsense[] = "Good morning!\r\n\r\n" HOST;
    char              in[1000];
    int               fd = weft_tcp_connect("127.0.0.1", port, WEFT_NEVER);

    if (fd < 0) return fd;
    weft_write_full(fd, nonsense, strlen(nonsense), WEFT_NEVER);
    ssize_t got = weft_read_full(fd, in, sizeof in, WEFT_NEVER);
    weft_close(fd);
    return got > 12 && !memcmp(in, "HTTP/1.1 400", 12) ? 0 : -EBADMSG;
}

enum { LARGE = 32 << 20 }; /* more than the system holds of a connection */

/* Stops the server while one client waits for nothing, and another has read the beginning of an answer only: the one is
 * left, and the other gets all of it. */
static int stop_in_the_middle(const char *port)
{
    static const char request[] = "GET /large HTTP/1.1\r\n" HOST;
    char              in[16384], rest;
    int               idle = weft_tcp_connect("127.0.0.1", port, WEFT_NEVER);
    int               busy = weft_tcp_connect("127.0.0.1", port, WEFT_NEVER);

    weft_write_full(busy, request, strlen(request), WEFT_NEVER);
    ssize_t   got = weft_read_full(busy, in, 1000, WEFT_NEVER);
    char     *body = got > 0 ? memmem(in, (size_t)got, "\r\n\r\n", 4) : NULL;
    long long size = body ? in + got - (body + 4) : -1;
    kill(getpid(), SIGTERM);
    int error = weft_read(idle, &rest, 1, WEFT_NEVER) == 0 ? 0 : -EBADMSG;
    while ((got = weft_read(busy, in, sizeof in, WEFT_NEVER)) > 0) size += got;
    weft_close(idle);
    weft_close(busy);
    return error ? error : got < 0 ? (int)got : size == LARGE ? 0 : -EMSGSIZE;
}

static int run_test(void *arg)
{
    struct server     *server = arg;
    struct sockaddr_in address;
    socklen_t          length = sizeof address;
    char               port[8];
    weft_task          server_task, tasks[CLIENTS];
    struct client      clients[CLIENTS];

    getsockname(server->listener, (struct sockaddr *)&address, &length);
    snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
    weft_spawn(&server_task, run_server, server);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.port = port, .piece = i % 8 == 7 ? 4096 : i % 8 * 3};
        weft_spawn(&tasks[i], converse, &clients[i]);
    }
    int error = 0, answered = 0;
    for (unsigned i = CLIENTS; i-- > 0;) {
        int result = weft_await(&tasks[i]);
        if (!error) error = result;
        answered += (int)clients[i].answered;
    }
    printf("%d answers to %d clients: %s\n", answered, CLIENTS, error ? strerror(-error) : "all as they should be");
    int nonsense = talk_nonsense(port), middle = stop_in_the_middle(port), stopped = weft_await(&server_task);
    printf("stopped in the middle of one: %s\n", middle ? strerror(-middle) : "it was finished");
    return error || nonsense || middle || stopped || weft_tcp_connect("127.0.0.1", port, WEFT_NEVER) != -ECONNREFUSED;
}

static int make_file(const char *name, long long size, bool filled)
{
    char path[sizeof root + 100];

    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    if (!file) return -errno;
    for (long long i = 0; i < size && filled; i++) fputc(byte_at(size, i), file);
    int error = filled ? 0 : ftruncate(fileno(file), size);
    return fclose(file) || error ? -EIO : 0;
}

static int test(struct server *server)
{
    char directory[sizeof root + 100], command[sizeof root + 100];

    strcpy(root, "/tmp/weft-http-XXXXXX");
    if (!mkdtemp(root)) return 1;
    snprintf(directory, sizeof directory, "%s/a b", root);
    int result = mkdir(directory, 0700) || make_file("0", 0, true) || make_file("100", 100, true) ||
                 make_file("index.html", 1234, true) || make_file("100000", 100000, true) ||
                 make_file("a b/10000", 10000, true) || make_file("10000", 10000, true) ||
                 make_file("large", LARGE, false);
    server->listener = weft_tcp_listen("127.0.0.1", "0", 128);
    if (!result) result = server->listener < 0 || weft_run(run_test, server, NULL);
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command) || result;
}

static void print_port(int listener)
{
    struct sockaddr_storage address;
    socklen_t               size = sizeof address;

    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("listening on port %d\n", ntohs(((struct sockaddr_in *)&address)->sin_port)); /* of IPv6 at the same place */
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct server server;
    sigset_t      signals;

    /* Before there are other threads, so that none of them is stopped by it. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    server.signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (server.signals < 0) return 1;
    if (argc == 1) return test(&server);

    if (snprintf(root, sizeof root, "%s", argv[1]) >= (int)sizeof root) return 2;
    server.listener = weft_tcp_listen(NULL, argc > 2 ? argv[2] : "8080", 1024);
    if (server.listener >= 0) print_port(server.listener);
    int error = server.listener < 0 ? server.listener : weft_run(run_server, &server, NULL);
    if (error) fprintf(stderr, "http: %s\n", strerror(-error));
    return error ? 1 : 0;
}
