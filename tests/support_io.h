/* support_io.h - what the tests of input and output share
 *
 * Whatever cannot be had here stops the test.  Descriptors are made by the system's own calls, without O_NONBLOCK
 * where nothing else is said: so they come as they come to a program from elsewhere.
 */
#ifndef WEFT_TEST_SUPPORT_IO_H
#define WEFT_TEST_SUPPORT_IO_H

#include "support.h"

#include <sys/socket.h>

enum test_link {
    TEST_PIPE,
    TEST_PIPE_NONBLOCK,
    TEST_FIFO,
    TEST_UNIX,
    TEST_TCP,
    TEST_TTY, /* raw */
    TEST_STREAMS,
    TEST_DATAGRAM = TEST_STREAMS,
    TEST_PACKET,
    TEST_LINKS,
};

/* What is written to ends[1] can be read from ends[0]. */
void test_link_make(int ends[2], enum test_link link);

/* The same of the network (UDP), with room for many datagrams. */
void test_datagrams_make(int ends[2]);

/* A socket that listens on an unused port of 127.0.0.1, and its address. */
int test_listener(struct sockaddr_storage *address, socklen_t *size, int backlog);

/* One that listens on a name of UNIX domain that nobody else has. */
int test_unix_listener(struct sockaddr_storage *address, socklen_t *size, int backlog);

/* Its port, as text. */
const char *test_port(int fd, char text[8]);

/* write(2), again when a signal has interrupted it, as it may a terminal's. */
ssize_t test_write(int fd, const void *bytes, size_t size);

/* Writes without waiting until no more is taken; how much that was. */
size_t test_fill(int fd);

/* A pattern that tells where in a stream a byte belongs. */
void test_pattern(char *bytes, size_t size, size_t offset);
bool test_is_pattern(const char *bytes, size_t size, size_t offset);

/* The number goes to somebody else, by calls that tell nobody: `fd` is closed and `number` is now what it was. */
void test_take_number(int fd, int number);

/* An empty file, open for reading and writing, without a name. */
int test_file(void);

/* Somebody else's call: a task's, or a plain thread's. */
struct test_call {
    int         fd;
    short       events; /* of a call of weft_poll; 0: it reads */
    bool        writes;
    bool        full;
    char       *bytes;
    size_t      size;
    weft_time   deadline;
    ssize_t     result;
    atomic_bool begun;
    test_side   side;
};

/* It has begun. */
void test_call_start(struct test_call *c, bool thread);

/* And most likely waits. */
void test_call_begin(struct test_call *c, bool thread);

/* What it came to. */
ssize_t test_call_end(struct test_call *c);

#endif
