/* test_net.c - names, listening, connecting
 *
 * Linked with --wrap, so that a test may be the resolver, or a system without IPv6.
 */
#include "support_io.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUR (3600 * WEFT_SEC)

/* ---- the resolver --------------------------------------------------------------- */

enum { ADDRESSES = 4 };

static struct {
    bool        answers;
    int         code, error;
    atomic_bool stalls, stalled;
    unsigned    count;
    int         ports[ADDRESSES]; /* of 127.0.0.1 */
} resolver;

int  __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found);
void __real_freeaddrinfo(struct addrinfo *found);
int  __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found);
void __wrap_freeaddrinfo(struct addrinfo *found);

static atomic_int answers_held;

static char mark[] = "the test's own";

struct answer {
    struct addrinfo    info;
    struct sockaddr_in address;
};

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
    if (!resolver.answers || (hints->ai_flags & AI_NUMERICHOST)) {
        int code = __real_getaddrinfo(host, port, hints, found);
        if (code == 0) atomic_fetch_add(&answers_held, 1);
        return code;
    }
    atomic_store(&resolver.stalled, true);
    while (atomic_load(&resolver.stalls)) test_sleep(WEFT_MS);
    errno = resolver.error;
    if (resolver.code) return resolver.code;
    struct answer *answers = calloc(resolver.count, sizeof *answers);
    if (!answers) abort();
    for (unsigned i = 0; i < resolver.count; i++) {
        answers[i].address = (struct sockaddr_in){.sin_family = AF_INET,
                                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                                  .sin_port = htons((uint16_t)resolver.ports[i])};
        answers[i].info = (struct addrinfo){.ai_family = AF_INET,
                                            .ai_socktype = SOCK_STREAM,
                                            .ai_addr = (struct sockaddr *)&answers[i].address,
                                            .ai_addrlen = sizeof answers[i].address,
                                            .ai_canonname = mark,
                                            .ai_next = i + 1 < resolver.count ? &answers[i + 1].info : NULL};
    }
    atomic_fetch_add(&answers_held, 1);
    *found = &answers[0].info;
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *found)
{
    atomic_fetch_sub(&answers_held, 1);
    if (found->ai_canonname == mark) free(found);
    else __real_freeaddrinfo(found);
}

/* ---- the system ------------------------------------------------------------------ */

/* What it says of IPv6: to socket(2), and to bind(2). */
static struct {
    int no_socket, no_address;
} ipv6;

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);

static atomic_uint sockets; /* that were asked for */

int __wrap_socket(int family, int type, int protocol)
{
    atomic_fetch_add(&sockets, 1);
    if (family != AF_INET6 || !ipv6.no_socket) return __real_socket(family, type, protocol);
    errno = ipv6.no_socket;
    return -1;
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    if (address->sa_family != AF_INET6 || !ipv6.no_address) return __real_bind(fd, address, size);
    errno = ipv6.no_address;
    return -1;
}

/* A port on which nobody listens. */
static int closed_port(void)
{
    struct sockaddr_storage address;
    socklen_t               size;
    char                    text[8];
    int                     fd = test_listener(&address, &size, 1), port = atoi(test_port(fd, text));

    close(fd);
    return port;
}

/* ---- names ------------------------------------------------------------------------ */

static int refuse_ports(void *arg)
{
    static const char *const bad[] = {"65536", "99999", "-1", "", "no-such-service", "4294967376", "80x", " 80", "+80"};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
        task_check(weft_tcp_listen("127.0.0.1", bad[i], 1) == -EINVAL);
        task_check(weft_tcp_connect("127.0.0.1", bad[i], WEFT_NEVER) == -EINVAL);
        task_check(weft_tcp_connect("localhost", bad[i], WEFT_NEVER) == -EINVAL);
        task_check(weft_tcp_listen(NULL, bad[i], 1) == -EINVAL);
    }
    task_check(weft_tcp_connect("127.0.0.1", NULL, WEFT_NEVER) == -EINVAL);
    task_check(weft_tcp_listen(NULL, NULL, 1) == -EINVAL);
    return 0;
}

static void bad_ports_are_refused(void **state)
{
    (void)state;
    assert_everywhere(refuse_ports, NULL);
    assert_int_equal(answers_held, 0);
}

static int look_up_in_vain(void *arg)
{
    static const struct {
        int code, error, result;
    } ends[] = {
        {EAI_NONAME, 0, -ENOENT},  {EAI_NODATA, 0, -ENOENT}, {EAI_AGAIN, 0, -EAGAIN},       {EAI_FAIL, 0, -EAGAIN},
        {EAI_SERVICE, 0, -EINVAL}, {EAI_MEMORY, 0, -ENOMEM}, {EAI_SYSTEM, EMFILE, -EMFILE},
    };

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(ends); i++) {
        resolver.code = ends[i].code;
        resolver.error = ends[i].error;
        task_check(weft_tcp_connect("weft.invalid", "80", WEFT_NEVER) == ends[i].result);
        task_check(weft_tcp_listen("weft.invalid", "80", 1) == ends[i].result);
    }
    return 0;
}

static void failed_look_up_tells_why(void **state)
{
    (void)state;
    resolver.answers = true;
    assert_everywhere(look_up_in_vain, NULL);
    resolver.answers = false;
}

static int talk(int client, int listener)
{
    char byte = 0;

    task_check(client >= 0);
    if (client < 0) return -1; /* nobody comes */
    int server = weft_accept(listener, NULL, NULL, WEFT_NEVER);
    task_check(server >= 0);
    task_check(weft_write(client, "x", 1, WEFT_NEVER) == 1);
    task_check(weft_read(server, &byte, 1, WEFT_NEVER) == 1 && byte == 'x');
    task_check(weft_close(server) == 0);
    task_check(weft_close(client) == 0);
    return 0;
}

static int connect_by_name(void *arg)
{
    static const char *const listens[] = {"127.0.0.1", "localhost", NULL, "0.0.0.0"};
    char                     port[8];

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(listens); i++) {
        int listener = weft_tcp_listen(listens[i], "0", 10);
        task_check(listener >= 0);
        test_port(listener, port);
        task_check(talk(weft_tcp_connect("localhost", port, WEFT_NEVER), listener) == 0);
        /* The name may stand for two addresses, the other one first. */
        bool        by_name = listens[i] && strcmp(listens[i], "localhost") == 0;
        const char *number = by_name ? "localhost" : "127.0.0.1";
        task_check(talk(weft_tcp_connect(number, port, WEFT_NEVER), listener) == 0);
        if (!listens[i]) task_check(talk(weft_tcp_connect(NULL, port, weft_now() + HOUR), listener) == 0);
        /* It is in use. */
        if (!by_name) task_check(weft_tcp_listen(listens[i], port, 10) == -EADDRINUSE);
        task_check(weft_close(listener) == 0);
        task_check(weft_tcp_connect(number, port, WEFT_NEVER) == -ECONNREFUSED);
    }
    return 0;
}

static void connects_by_number_and_name(void **state)
{
    (void)state;
    assert_everywhere(connect_by_name, NULL);
    assert_int_equal(answers_held, 0);
}

/* No resolver has to know this name, and those below it. */
static int connect_to_localhost(void *arg)
{
    static const char *const names[] = {"localhost", "LocalHost", "weft.localhost"};
    static const int         codes[] = {EAI_NONAME, EAI_NODATA, EAI_AGAIN, EAI_FAIL};
    char                     port[8];

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(codes); i++) {
        resolver.code = codes[i];
        for (size_t k = 0; k < TEST_LENGTH(names); k++) {
            int listener = weft_tcp_listen(names[k], "0", 1);
            task_check(listener >= 0);
            test_port(listener, port);
            task_check(talk(weft_tcp_connect(names[k], port, WEFT_NEVER), listener) == 0);
            task_check(weft_close(listener) == 0);
        }
        task_check(weft_tcp_connect("notlocalhost", "1", WEFT_NEVER) < 0);
        task_check(weft_tcp_connect("host", "1", WEFT_NEVER) < 0);
    }
    resolver.code = EAI_MEMORY;
    task_check(weft_tcp_connect("localhost", "1", WEFT_NEVER) == -ENOMEM);
    return 0;
}

static void localhost_needs_no_resolver(void **state)
{
    (void)state;
    resolver.answers = true;
    assert_everywhere(connect_to_localhost, NULL);
    assert_int_equal(answers_held, 0);
    resolver.answers = false;
}

/* The addresses of a name that refuse are passed over. */
static int connect_to_one_of_many(void *arg)
{
    int  listener = weft_tcp_listen("127.0.0.1", "0", 10);
    char port[8];

    (void)arg;
    test_port(listener, port);
    for (unsigned good = 0; good < ADDRESSES; good++) {
        for (unsigned i = 0; i < ADDRESSES; i++) resolver.ports[i] = i == good ? atoi(port) : closed_port();
        resolver.count = ADDRESSES;
        task_check(talk(weft_tcp_connect("weft.invalid", "1", WEFT_NEVER), listener) == 0);
    }
    for (unsigned i = 0; i < ADDRESSES; i++) resolver.ports[i] = closed_port();
    task_check(weft_tcp_connect("weft.invalid", "1", WEFT_NEVER) == -ECONNREFUSED);
    task_check(weft_close(listener) == 0);
    return 0;
}

static void tries_all_addresses(void **state)
{
    (void)state;
    struct test_census before, after;

    resolver.answers = true;
    resolver.code = 0;
    test_census(&before);
    assert_everywhere(connect_to_one_of_many, NULL);
    test_census(&after);
    assert_int_equal(after.descriptors, before.descriptors);
    assert_int_equal(answers_held, 0);
    resolver.answers = false;
}

static int connect_somewhere(void *arg)
{
    return weft_tcp_connect("weft.invalid", "1", *(weft_time *)arg);
}

/* A look-up that is given up goes on, and the runtime stops when it has ended. */
static int give_look_up_up(void *arg)
{
    weft_time never = WEFT_NEVER, soon = weft_now() + 5 * WEFT_MS;
    weft_task task;

    (void)arg;
    atomic_store(&resolver.stalls, true);
    atomic_store(&resolver.stalled, false);
    task_check(connect_somewhere(&soon) == -ETIMEDOUT);
    task_check(connect_somewhere(&(weft_time){0}) == -EAGAIN);
    weft_spawn(&task, connect_somewhere, &never);
    task_until(atomic_load(&resolver.stalled));
    test_let_run();
    weft_cancel(&task);
    task_check(weft_await(&task) == -ECANCELED);
    return 0;
}

static void end_stall(void *arg)
{
    (void)arg;
    test_sleep(50 * WEFT_MS);
    atomic_store(&resolver.stalls, false);
}

static void look_up_is_given_up(void **state)
{
    (void)state;
    struct test_census before, after;

    resolver.answers = true;
    resolver.code = 0;
    resolver.count = 1;
    resolver.ports[0] = 1;
    test_census(&before);
    for (int i = 0; i < 4; i++) {
        weft_runtime *runtime;
        test_thread   thread;
        assert_int_equal(weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = 1 + i % 2, .seed = i == 3)), 0);
        assert_int_equal(weft_runtime_call(runtime, give_look_up_up, NULL), 0);
        test_thread_start(&thread, end_stall, NULL);
        assert_int_equal(weft_runtime_stop(runtime), 0);
        assert_false(atomic_load(&resolver.stalls)); /* it has waited */
        test_thread_join(&thread);
        assert_task_checks();
        assert_int_equal(answers_held, 0);
    }
    assert_threads_end_at(before.threads + TEST_TSAN);
    test_census(&after);
    assert_int_equal(after.descriptors, before.descriptors);
    resolver.answers = false;
}

/* ---- IPv4 and IPv6 -------------------------------------------------------------------- */

static int family_of(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t               size = sizeof address;

    getsockname(fd, (struct sockaddr *)&address, &size);
    return address.ss_family;
}

/* Who has the port for IPv6 alone is not left alone with it. */
static int listen_beside(void *arg)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    char                port[8];

    (void)arg;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0; /* there is no IPv6 */
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 1) == 0)
        task_check(weft_tcp_listen(NULL, test_port(fd, port), 1) == -EADDRINUSE);
    close(fd);
    return 0;
}

static int listen_without(void *arg)
{
    static const struct {
        int no_socket, no_address, result; /* 1: it listens */
    } cases[] = {{EAFNOSUPPORT, 0, 1},
                 {0, EADDRNOTAVAIL, 1},
                 {EMFILE, 0, -EMFILE},
                 {0, EADDRINUSE, -EADDRINUSE},
                 {0, EACCES, -EACCES}};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
        ipv6.no_socket = cases[i].no_socket;
        ipv6.no_address = cases[i].no_address;
        int fd = weft_tcp_listen(NULL, "0", 1);
        if (cases[i].result < 0) task_check(fd == cases[i].result);
        else task_check(fd >= 0 && family_of(fd) == AF_INET && weft_close(fd) == 0);
    }
    ipv6.no_socket = ipv6.no_address = 0;
    return 0;
}

static void every_address_is_all_or_none(void **state)
{
    (void)state;
    assert_everywhere(listen_beside, NULL);
    assert_everywhere(listen_without, NULL);
}

/* ---- giving up ------------------------------------------------------------------------- */

/* A listener from which no answer comes any more. */
struct silent {
    int  listener, fds[8];
    char port[8];
};

static void silent_begin(struct silent *s)
{
    struct sockaddr_storage address;
    socklen_t               size;

    s->listener = test_listener(&address, &size, 0);
    /* More than its queue holds: no answer comes to the last. */
    for (size_t i = 0; i < TEST_LENGTH(s->fds); i++) {
        s->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(s->fds[i], (struct sockaddr *)&address, size);
    }
    test_port(s->listener, s->port);
}

static void silent_end(struct silent *s)
{
    for (size_t i = 0; i < TEST_LENGTH(s->fds); i++) close(s->fds[i]);
    task_check(weft_close(s->listener) == 0);
}

static int connect_in_vain(void *arg)
{
    struct silent silent;

    (void)arg;
    silent_begin(&silent);
    weft_time soon = weft_now() + 5 * WEFT_MS;
    task_check(weft_tcp_connect("127.0.0.1", silent.port, soon) == -ETIMEDOUT);
    task_check(weft_now() >= soon);
    silent_end(&silent);
    return 0;
}

static void connecting_is_given_up(void **state)
{
    (void)state;
    assert_everywhere(connect_in_vain, NULL);
}

/* When the first attempt is under way, the scope is cancelled for this. */
static int fail_at_first_attempt(void *arg)
{
    task_until(atomic_load(&sockets) > 0);
    return *(int *)arg;
}

/* Whatever the reason, the second address is not tried, unless it is its time. */
static int cancel_first_attempt(void *arg)
{
    static const int reasons[] = {-EIO, -ETIMEDOUT, -EAGAIN};
    struct silent    silent;
    int              listener = weft_tcp_listen("127.0.0.1", "0", 10);
    char             port[8];

    (void)arg;
    silent_begin(&silent);
    resolver.count = 2;
    resolver.ports[0] = atoi(silent.port);
    resolver.ports[1] = atoi(test_port(listener, port));
    for (size_t i = 0; i < TEST_LENGTH(reasons); i++) {
        weft_scope scope;
        task_check(weft_scope_open(&scope, NULL) == 0);
        atomic_store(&sockets, 0);
        task_check(weft_go(fail_at_first_attempt, &reasons[i], sizeof reasons[i]) == 0);
        weft_time began = weft_now();
        int       fd = weft_tcp_connect("weft.invalid", "1", WEFT_NEVER);
        bool      due = weft_now() - began >= 250 * WEFT_MS;
        task_check(fd == reasons[i] || (fd >= 0 && due));
        task_check(atomic_load(&sockets) == 1 || due);
        if (fd >= 0) task_check(weft_close(fd) == 0);
        task_check(weft_scope_close(&scope) == reasons[i]);
    }
    silent_end(&silent);
    task_check(weft_close(listener) == 0);
    return 0;
}

static void connecting_is_cancelled(void **state)
{
    (void)state;
    resolver.answers = true;
    resolver.code = 0;
    assert_in_tasks(cancel_first_attempt, NULL);
    assert_int_equal(answers_held, 0);
    resolver.answers = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_ports_are_refused),       cmocka_unit_test(failed_look_up_tells_why),
        cmocka_unit_test(connects_by_number_and_name), cmocka_unit_test(tries_all_addresses),
        cmocka_unit_test(look_up_is_given_up),         cmocka_unit_test(connecting_is_given_up),
        cmocka_unit_test(connecting_is_cancelled),     cmocka_unit_test(every_address_is_all_or_none),
        cmocka_unit_test(localhost_needs_no_resolver),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
