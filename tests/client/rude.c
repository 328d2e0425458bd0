/* rude.c - clients that are no pleasure: rude_client PORT PATH FILE
 *
 * The server at that port of this machine speaks HTTP, and what it has at /PATH is in FILE.  Whatever the others
 * do, those who are only slow, or have nothing more to ask, get all of it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GONE = 200, SILENT = 100, SLOW = 8 };

static struct sockaddr_in server = {.sin_family = AF_INET};
static char               request[300];
static char              *wanted;
static long               size;

static void fail(const char *why)
{
    fprintf(stderr, "rude_client: ");
    perror(why);
    exit(1);
}

static int connected(int receives)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0) fail("socket");
    if (receives > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receives, sizeof receives);
    if (connect(fd, (struct sockaddr *)&server, sizeof server)) fail("connect");
    return fd;
}

static void say(int fd, const char *what, size_t length)
{
    if (send(fd, what, length, MSG_NOSIGNAL) != (ssize_t)length) fail("send");
}

/* Closing sends a reset, and forgets what has come. */
static void reset(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd);
}

struct answer {
    int   fd;
    char *bytes;
    long  got;
};

/* A piece of the answer; 0 at its end. */
static ssize_t take(struct answer *a, size_t most)
{
    ssize_t n = recv(a->fd, a->bytes + a->got, most, 0);

    if (n < 0) fail("recv");
    a->got += n;
    return n;
}

static void begin(struct answer *a, int receives)
{
    *a = (struct answer){connected(receives), calloc(1, (size_t)size + 4096), 0};
    if (!a->bytes) fail("calloc");
    say(a->fd, request, strlen(request));
}

static void end(struct answer *a)
{
    while (a->got < size + 2048 && take(a, 4096) > 0) {
    }
    const char *body = strstr(a->bytes, "\r\n\r\n");
    long        length = body ? a->got - (body + 4 - a->bytes) : -1;
    if (length != size || memcmp(body + 4, wanted, (size_t)size) != 0) {
        fprintf(stderr, "rude_client: %ld bytes instead of %ld, or others\n", length, size);
        exit(1);
    }
    close(a->fd);
    free(a->bytes);
}

int main(int argc, char **argv)
{
    int           silent[SILENT];
    struct answer slow[SLOW], half;

    if (argc != 4) return 2;
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(request, sizeof request, "GET /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", argv[2]);
    FILE *file = fopen(argv[3], "rb");
    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0) fail(argv[3]);
    rewind(file);
    wanted = malloc((size_t)size + 1);
    if (!wanted || fread(wanted, 1, (size_t)size, file) != (size_t)size) fail(argv[3]);
    fclose(file);

    for (int i = 0; i < SILENT; i++) silent[i] = connected(0);
    /* They have asked, and take the answer when all the others are done; what the server has yet to send waits. */
    for (int i = 0; i < SLOW; i++) begin(&slow[i], 4096);
    for (int i = 0; i < GONE; i++) {
        int fd = connected(0), whole = i % 3;
        say(fd, request, whole ? strlen(request) : 10);
        if (whole == 2) recv(fd, &(char){0}, 1, 0);
        if (i % 2) reset(fd);
        else close(fd);
    }
    begin(&half, 0);
    shutdown(half.fd, SHUT_WR); /* nothing more to ask, and everything to hear */
    end(&half);
    /* One after the other, by the piece, so that each waits while the others take theirs. */
    for (int round = 0; round < 200; round++)
        for (int i = 0; i < SLOW; i++) take(&slow[i], 1 + (size_t)(round * 7 % 100));
    for (int i = 0; i < SLOW; i++) end(&slow[i]);
    for (int i = 0; i < SILENT; i++) i % 2 ? reset(silent[i]) : (void)close(silent[i]);
    return 0;
}
