/* support_io.c - see support_io.h */
#include "support_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

static int need(int result)
{
    if (result >= 0) return result;
    perror("support_io");
    abort();
}

static void make_fifo(int ends[2])
{
    char directory[] = "/tmp/weft_test_XXXXXX", path[64];

    if (!mkdtemp(directory)) abort();
    snprintf(path, sizeof path, "%s/fifo", directory);
    need(mkfifo(path, 0600));
    int both = need(open(path, O_RDWR | O_CLOEXEC));
    ends[0] = need(open(path, O_RDONLY | O_CLOEXEC));
    ends[1] = need(open(path, O_WRONLY | O_CLOEXEC));
    close(both);
    unlink(path);
    rmdir(directory);
}

static void make_tcp(int ends[2])
{
    struct sockaddr_storage address;
    socklen_t               size;
    int                     listener = test_listener(&address, &size, 1);

    ends[1] = need(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    need(connect(ends[1], (struct sockaddr *)&address, size));
    ends[0] = need(accept(listener, NULL, NULL));
    close(listener);
}

static void make_tty(int ends[2])
{
    struct termios settings;

    ends[1] = need(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    need(grantpt(ends[1]));
    need(unlockpt(ends[1]));
    ends[0] = need(open(ptsname(ends[1]), O_RDWR | O_NOCTTY | O_CLOEXEC));
    need(tcgetattr(ends[0], &settings));
    cfmakeraw(&settings);
    need(tcsetattr(ends[0], TCSANOW, &settings));
}

static void make_link(int ends[2], enum test_link link)
{
    switch (link) {
    case TEST_PIPE: need(pipe2(ends, O_CLOEXEC)); break;
    case TEST_PIPE_NONBLOCK: need(pipe2(ends, O_CLOEXEC | O_NONBLOCK)); break;
    case TEST_FIFO: make_fifo(ends); break;
    case TEST_UNIX: need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)); break;
    case TEST_TCP: make_tcp(ends); break;
    case TEST_TTY: make_tty(ends); break;
    case TEST_DATAGRAM: need(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends)); break;
    case TEST_PACKET: need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)); break;
    case TEST_LINKS: abort();
    }
}

/* What is made here is made by calls that must not be interrupted (support_signals.c). */
void test_link_make(int ends[2], enum test_link link)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    make_link(ends, link);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void test_datagrams_make(int ends[2])
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          size = sizeof to;

    for (int i = 0; i < 2; i++) ends[i] = need(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    need(bind(ends[0], (struct sockaddr *)&to, size));
    need(getsockname(ends[0], (struct sockaddr *)&to, &size));
    need(connect(ends[1], (struct sockaddr *)&to, size));
}

int test_listener(struct sockaddr_storage *address, socklen_t *size, int backlog)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int                fd = need(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    need(bind(fd, (struct sockaddr *)&any, sizeof any));
    need(listen(fd, backlog));
    *size = sizeof *address;
    need(getsockname(fd, (struct sockaddr *)address, size));
    return fd;
}

int test_unix_listener(struct sockaddr_storage *address, socklen_t *size, int backlog)
{
    struct sockaddr_un none = {.sun_family = AF_UNIX};
    int                fd = need(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

    /* Without a name the system makes one up. */
    need(bind(fd, (struct sockaddr *)&none, offsetof(struct sockaddr_un, sun_path)));
    need(listen(fd, backlog));
    *size = sizeof *address;
    need(getsockname(fd, (struct sockaddr *)address, size));
    return fd;
}

const char *test_port(int fd, char text[8])
{
    struct sockaddr_storage address;
    socklen_t               size = sizeof address;

    need(getsockname(fd, (struct sockaddr *)&address, &size));
    /* At the same place in an address of either kind. */
    snprintf(text, 8, "%u", ntohs(((struct sockaddr_in *)&address)->sin_port));
    return text;
}

ssize_t test_write(int fd, const void *bytes, size_t size)
{
    ssize_t n;

    do n = write(fd, bytes, size);
    while (n < 0 && errno == EINTR);
    return n;
}

size_t test_fill(int fd)
{
    static const char bytes[16384];
    size_t            filled = 0;
    int               flags = need(fcntl(fd, F_GETFL));

    need(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
    for (size_t size = sizeof bytes; size > 0; size /= 2)
        for (ssize_t n; (n = test_write(fd, bytes, size)) > 0;) filled += (size_t)n;
    need(fcntl(fd, F_SETFL, flags));
    return filled;
}

void test_pattern(char *bytes, size_t size, size_t offset)
{
    for (size_t i = 0; i < size; i++) bytes[i] = (char)((offset + i) * 31 + (offset + i) / 251);
}

bool test_is_pattern(const char *bytes, size_t size, size_t offset)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (char)((offset + i) * 31 + (offset + i) / 251)) return false;
    return true;
}

void test_take_number(int fd, int number)
{
    if (fd == number) return;
    need(dup3(fd, number, O_CLOEXEC));
    close(fd);
}

int test_file(void)
{
    char path[] = "/tmp/weft_test_XXXXXX";
    int  fd = need(mkostemp(path, O_CLOEXEC));

    unlink(path);
    return fd;
}

static int run_call(void *arg)
{
    struct test_call *c = arg;

    atomic_store(&c->begun, true);
    if (c->events) c->result = weft_poll(c->fd, c->events, c->deadline);
    else if (c->writes && c->full) c->result = weft_write_full(c->fd, c->bytes, c->size, c->deadline);
    else if (c->writes) c->result = weft_write(c->fd, c->bytes, c->size, c->deadline);
    else if (c->full) c->result = weft_read_full(c->fd, c->bytes, c->size, c->deadline);
    else c->result = weft_read(c->fd, c->bytes, c->size, c->deadline);
    return 0;
}

void test_call_start(struct test_call *c, bool thread)
{
    atomic_init(&c->begun, false);
    test_side_start(&c->side, thread, run_call, c);
    task_until(atomic_load(&c->begun));
}

void test_call_begin(struct test_call *c, bool thread)
{
    test_call_start(c, thread);
    test_let_run();
}

ssize_t test_call_end(struct test_call *c)
{
    task_check(test_side_end(&c->side) == 0);
    return c->result;
}
