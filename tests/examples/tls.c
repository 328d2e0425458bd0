/* tls.c - a server that sends back what it is sent, encrypted by OpenSSL: tls PORT
 *
 * One task a connection.  OpenSSL works on memory, and the task carries what it has for the other side to the socket,
 * and what the other side has sent back to OpenSSL.  So no task ever waits within OpenSSL, which keeps its errors by
 * thread: between a call and the question of what went wrong the task stays on its thread, and nobody else runs there.
 * (With a BIO whose callbacks read and write the socket the code would be shorter; but then a call begins on one
 * thread and ends on another, in whose queue of errors are those of whom it has interrupted.)
 *
 * The certificate is made when it starts.  Without arguments it is its own client, many times at once.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/signalfd.h>

#include <weft/weft.h>

#define PATIENCE (60 * WEFT_SEC) /* for the other side's next piece */
#define NAME     "weft.example"

/* ---- a connection ------------------------------------------------------------ */

struct tls {
    int  fd;
    SSL *ssl;
    BIO *in, *out; /* what has come and is not decrypted yet; what is encrypted and not sent yet */
};

static int tls_open(struct tls *t, SSL_CTX *context, int fd)
{
    *t = (struct tls){.fd = fd, .ssl = SSL_new(context), .in = BIO_new(BIO_s_mem()), .out = BIO_new(BIO_s_mem())};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* what is sent is a whole piece */
    if (t->ssl && t->in && t->out) {
        SSL_set_bio(t->ssl, t->in, t->out); /* which owns them from now on */
        return 0;
    }
    BIO_free(t->in);
    BIO_free(t->out);
    SSL_free(t->ssl);
    return -ENOMEM;
}

static void tls_close(struct tls *t)
{
    SSL_free(t->ssl);
    weft_close(t->fd);
}

static int send_out(struct tls *t)
{
    char *bytes;
    long  size = BIO_get_mem_data(t->out, &bytes);

    if (size == 0) return 0;
    ssize_t n = weft_write_full(t->fd, bytes, (size_t)size, weft_now() + PATIENCE);
    BIO_reset(t->out);
    return n == size ? 0 : n < 0 ? (int)n : -ETIMEDOUT;
}

static int take_in(struct tls *t)
{
    char    bytes[16384];
    ssize_t n = weft_read(t->fd, bytes, sizeof bytes, weft_now() + PATIENCE);

    if (n > 0) return BIO_write(t->in, bytes, (int)n) == n ? 0 : -ENOMEM;
    return n < 0 ? (int)n : -EPIPE; /* the end of the stream is not the end of what was said */
}

enum tls_call { TLS_CONNECT, TLS_ACCEPT, TLS_READ, TLS_WRITE, TLS_SHUTDOWN };

static int call(struct tls *t, enum tls_call what, void *bytes, int size)
{
    switch (what) {
    case TLS_CONNECT: return SSL_connect(t->ssl);
    case TLS_ACCEPT: return SSL_accept(t->ssl);
    case TLS_READ: return SSL_read(t->ssl, bytes, size);
    case TLS_WRITE: return SSL_write(t->ssl, bytes, size);
    default: return SSL_shutdown(t->ssl);
    }
}

/* As the call of OpenSSL: more than 0 when it is done, 0 when the other side has said that it is done; or a negative
 * errno value. */
static int tls_do(struct tls *t, enum tls_call what, void *bytes, int size)
{
    for (;;) {
        ERR_clear_error(); /* whose ever they were */
        int  result = call(t, what, bytes, size), why = SSL_get_error(t->ssl, result);
        bool again = what == TLS_SHUTDOWN && result == 0; /* said; the other side has not yet */
        ERR_clear_error();
        /* From here on the task may go on on another thread. */
        int error = send_out(t);
        if (error || (result > 0 && why == SSL_ERROR_NONE)) return error ? error : result;
        if (again) continue;
        if (why == SSL_ERROR_ZERO_RETURN) return 0;
        if (why != SSL_ERROR_WANT_READ) return -EPROTO;
        error = take_in(t);
        if (error) return error;
    }
}

/* ---- the server -------------------------------------------------------------- */

struct server {
    SSL_CTX    *context;
    int         listener, signals; /* signals: -1, or where the one comes that ends it */
    weft_scope  connections;
    atomic_int  served, refused;
    atomic_long echoed;
};

struct guest {
    struct server *server;
    int            fd;
};

static int serve(void *arg)
{
    struct guest *guest = arg;
    struct tls    t;
    char          bytes[16384];
    int           n;

    if (tls_open(&t, guest->server->context, guest->fd)) {
        weft_close(guest->fd);
        return 0;
    }
    n = tls_do(&t, TLS_ACCEPT, NULL, 0);
    while (n > 0 && (n = tls_do(&t, TLS_READ, bytes, sizeof bytes)) > 0) {
        guest->server->echoed += n;
        n = tls_do(&t, TLS_WRITE, bytes, n);
    }
    if (n == 0) n = tls_do(&t, TLS_SHUTDOWN, NULL, 0);
    if (n > 0) guest->server->served++;
    else guest->server->refused++;
    tls_close(&t);
    return 0; /* what one client does concerns no other */
}

static int stop_on_signal(void *arg)
{
    struct server          *server = arg;
    struct signalfd_siginfo signal;

    if (weft_read(server->signals, &signal, sizeof signal, WEFT_NEVER) > 0) weft_scope_cancel(&server->connections);
    return 0;
}

static int run_server(void *arg)
{
    struct server *server = arg;
    struct guest   guest = {.server = server};
    int            error = weft_scope_open(&server->connections, NULL);

    if (!error && server->signals >= 0) error = weft_scope_go(&server->connections, stop_on_signal, server, 0);
    while (!error && (guest.fd = weft_accept(server->listener, NULL, NULL, WEFT_NEVER)) >= 0)
        if (weft_scope_go(&server->connections, serve, &guest, sizeof guest)) weft_close(guest.fd);
    return weft_scope_close(&server->connections);
}

/* ---- the certificate ----------------------------------------------------------- */

static X509 *make_certificate(EVP_PKEY *key)
{
    X509           *certificate = X509_new();
    X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:" NAME);

    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)NAME, -1,
                               -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_set_pubkey(certificate, key);
    X509_add_ext(certificate, name, -1);
    X509_EXTENSION_free(name);
    return X509_sign(certificate, key, EVP_sha256()) > 0 ? certificate : NULL;
}

/* Of a server, which has a new certificate, and of clients that trust it. */
static void make_contexts(SSL_CTX **server, SSL_CTX **client)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509     *certificate = key ? make_certificate(key) : NULL;

    *server = SSL_CTX_new(TLS_server_method());
    *client = SSL_CTX_new(TLS_client_method());
    if (!certificate || !*server || !*client || SSL_CTX_use_certificate(*server, certificate) != 1 ||
        SSL_CTX_use_PrivateKey(*server, key) != 1 ||
        X509_STORE_add_cert(SSL_CTX_get_cert_store(*client), certificate) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_CTX_set_verify(*client, SSL_VERIFY_PEER, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* ---- clients, to see that it works --------------------------------------------- */

enum { CLIENTS = 64, PIECE = 40000, LARGE = 2000000 };

struct client {
    SSL_CTX    *context;
    const char *port;
    unsigned    number;
};

static char byte_at(unsigned number, long i)
{
    return (char)((long)number * 7 + i * 31 + i / 251);
}

/* Every eighth has much to say; every eighth expects somebody else, and refuses. */
static long length_of(unsigned number)
{
    return number % 8 == 3 ? LARGE : number % 8 == 5 ? 0 : 1 + (long)(number * 977 % 50000);
}

static int send_all(struct tls *t, char *bytes, int size)
{
    int n = tls_do(t, TLS_WRITE, bytes, size);
    return n == size ? 0 : n < 0 ? n : -EPROTO;
}

static int receive_all(struct tls *t, char *bytes, int size)
{
    for (int at = 0, n; at < size; at += n) {
        n = tls_do(t, TLS_READ, bytes + at, size - at);
        if (n <= 0) return n < 0 ? n : -EPIPE;
    }
    return 0;
}

static int talk_over(struct tls *t, unsigned number)
{
    char *bytes = malloc(PIECE);
    long  length = length_of(number);
    int   error = bytes ? 0 : -ENOMEM;

    for (long at = 0; at < length && !error;) {
        int size = (int)(length - at < PIECE ? length - at : PIECE);
        for (int i = 0; i < size; i++) bytes[i] = byte_at(number, at + i);
        error = send_all(t, bytes, size);
        memset(bytes, 0, PIECE);
        if (!error) error = receive_all(t, bytes, size);
        for (int i = 0; i < size && !error; i++)
            if (bytes[i] != byte_at(number, at + i)) error = -EBADMSG;
        at += size;
    }
    free(bytes);
    return error;
}

static int talk(void *arg)
{
    struct client *client = arg;
    struct tls     t;
    bool           refuses = length_of(client->number) == 0;

    int fd = weft_tcp_connect("127.0.0.1", client->port, WEFT_NEVER);
    if (fd < 0) return fd;
    int error = tls_open(&t, client->context, fd);
    if (error) {
        weft_close(fd);
        return error;
    }
    SSL_set1_host(t.ssl, refuses ? "somebody.else" : NAME);
    error = tls_do(&t, TLS_CONNECT, NULL, 0);
    if (refuses) {
        error = error == -EPROTO ? 0 : -EBADMSG;
    } else if (error > 0) {
        error = talk_over(&t, client->number);
        /* Both sides say that they are done, so that nothing was cut off. */
        if (!error && tls_do(&t, TLS_SHUTDOWN, NULL, 0) != 1) error = -EPROTO;
    }
    tls_close(&t);
    return error;
}

/* ---- the program --------------------------------------------------------------- */

static void port_of(int listener, char port[8])
{
    struct sockaddr_storage address;
    socklen_t               size = sizeof address;

    getsockname(listener, (struct sockaddr *)&address, &size);
    snprintf(port, 8, "%d", ntohs(((struct sockaddr_in *)&address)->sin_port)); /* of IPv6 at the same place */
}

static int see_that_it_works(void *arg)
{
    static struct server server = {.signals = -1};
    SSL_CTX             *context;
    weft_task            task, tasks[CLIENTS];
    struct client        clients[CLIENTS];
    char                 port[8];
    long                 wanted = 0;
    int                  failed = 0, refusing = 0;

    (void)arg;
    make_contexts(&server.context, &context);
    server.listener = weft_tcp_listen("127.0.0.1", "0", CLIENTS);
    if (server.listener < 0) return server.listener;
    port_of(server.listener, port);
    weft_spawn(&task, run_server, &server);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){context, port, i};
        wanted += length_of(i);
        refusing += length_of(i) == 0;
        weft_spawn(&tasks[i], talk, &clients[i]);
    }
    for (unsigned i = CLIENTS; i-- > 0;) {
        int error = weft_await(&tasks[i]);
        if (error) failed++, printf("client %u: %s\n", i, strerror(-error));
    }
    weft_close(server.listener);
    int error = weft_await(&task);
    SSL_CTX_free(context);
    SSL_CTX_free(server.context);
    printf("%d clients had %ld bytes echoed, %d refused\n", server.served, server.echoed, server.refused);
    return error || failed || server.echoed != wanted || server.refused != refusing ||
           server.served != CLIENTS - refusing;
}

/* Until a signal comes. */
static int serve_others(void *arg)
{
    static struct server server;
    SSL_CTX             *context;
    sigset_t             signals;
    char                 port[8];

    make_contexts(&server.context, &context);
    SSL_CTX_free(context);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    server.signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    server.listener = weft_tcp_listen(NULL, arg, SOMAXCONN);
    if (server.listener < 0) return server.listener;
    port_of(server.listener, port);
    printf("listening on port %s\n", port);
    fflush(stdout);
    int error = run_server(&server);
    SSL_CTX_free(server.context);
    return error == -ECANCELED ? 0 : error;
}

int main(int argc, char **argv)
{
    /* OpenSSL takes more of a stack than most. */
    const struct weft_options *options = WEFT_OPTIONS(.stack_size = 256 << 10);
    sigset_t                   signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (argc > 1) sigprocmask(SIG_BLOCK, &signals, NULL);
    int result = argc > 1 ? weft_run(serve_others, argv[1], options) : weft_run(see_that_it_works, NULL, options);
    if (result < 0) printf("%s\n", strerror(-result));
    return result != 0;
}
