#define _GNU_SOURCE
#include "raw_uring.h"

#if defined(__has_include) && __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif

#ifdef IORING_SETUP_DEFER_TASKRUN /* Linux 6.1, which has all the rest */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BUFFERS = 4096, BUFFER = 4096, ENTRIES = 1024 };

#define ANSWER (UINT64_C(1) << 63) /* of a completion's data: an answer, of the buffer and the connection */

struct raw_uring {
    int                       fd;
    uint32_t                 *tail, *done_tail, *done_head, mask, done_mask;
    struct io_uring_sqe      *entries;
    struct io_uring_cqe      *done;
    char                     *mapped;
    size_t                    size;
    struct io_uring_buf_ring *ring;
    char                     *buffers;
    uint16_t                  given;
    unsigned                  pending, answers;
    int                      *fds;
    bool                      answered; /* the buffer that `got` has been shown is not to be given back yet */
    uint16_t                  buffer;
    raw_uring_got            *got;
    void                     *arg;
};

static void *anonymous(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void *map(int fd, size_t size, off_t what)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
    return at == MAP_FAILED ? NULL : at;
}

static void give_buffer(struct raw_uring *u, uint16_t number)
{
    struct io_uring_buf *b = &u->ring->bufs[u->given++ & (BUFFERS - 1)];
    b->addr = (uintptr_t)(u->buffers + (size_t)number * BUFFER);
    b->len = BUFFER;
    b->bid = number;
    __atomic_store_n(&u->ring->tail, u->given, __ATOMIC_RELEASE);
}

struct raw_uring *raw_uring_make(unsigned connections, raw_uring_got *got, void *arg)
{
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = 2 * BUFFERS,
    };
    struct raw_uring *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    u->got = got;
    u->arg = arg;
    u->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
    u->ring = anonymous(BUFFERS * sizeof(struct io_uring_buf));
    u->buffers = anonymous((size_t)BUFFERS * BUFFER);
    u->fds = calloc(connections, sizeof *u->fds);
    size_t done_end = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    u->size = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
    if (u->size < done_end) u->size = done_end;
    if (u->fd >= 0) u->mapped = map(u->fd, u->size, IORING_OFF_SQ_RING);
    if (u->fd >= 0) u->entries = map(u->fd, ENTRIES * sizeof *u->entries, IORING_OFF_SQES);
    struct io_uring_buf_reg buffers = {.ring_addr = (uintptr_t)u->ring, .ring_entries = BUFFERS};
    if (!u->ring || !u->buffers || !u->fds || !u->mapped || !u->entries ||
        syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_PBUF_RING, &buffers, 1) != 0) {
        raw_uring_destroy(u);
        return NULL;
    }
    u->tail = (void *)(u->mapped + p.sq_off.tail);
    u->mask = p.sq_entries - 1;
    u->done_head = (void *)(u->mapped + p.cq_off.head);
    u->done_tail = (void *)(u->mapped + p.cq_off.tail);
    u->done_mask = p.cq_entries - 1;
    u->done = (void *)(u->mapped + p.cq_off.cqes);
    uint32_t *order = (void *)(u->mapped + p.sq_off.array);
    for (uint32_t i = 0; i < p.sq_entries; i++) order[i] = i;
    for (int i = 0; i < BUFFERS; i++) give_buffer(u, (uint16_t)i);
    return u;
}

void raw_uring_destroy(struct raw_uring *u)
{
    if (u->entries) munmap(u->entries, ENTRIES * sizeof *u->entries);
    if (u->mapped) munmap(u->mapped, u->size);
    if (u->fd >= 0) close(u->fd);
    if (u->ring) munmap(u->ring, BUFFERS * sizeof(struct io_uring_buf));
    if (u->buffers) munmap(u->buffers, (size_t)BUFFERS * BUFFER);
    free(u->fds);
    free(u);
}

/* Who waits for none only submits. */
static void enter(struct raw_uring *u, unsigned wait)
{
    long n = syscall(SYS_io_uring_enter, u->fd, u->pending, wait, wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
    if (n > 0) u->pending -= (unsigned)n;
}

static void submit(struct raw_uring *u, const struct io_uring_sqe *entry)
{
    while (u->pending == ENTRIES) enter(u, 0);
    u->entries[*u->tail & u->mask] = *entry;
    __atomic_store_n(u->tail, *u->tail + 1, __ATOMIC_RELEASE);
    u->pending++;
}

void raw_uring_receive(struct raw_uring *u, int fd, int number)
{
    u->fds[number] = fd;
    submit(u, &(struct io_uring_sqe){.opcode = IORING_OP_RECV,
                                     .ioprio = IORING_RECV_MULTISHOT,
                                     .flags = IOSQE_BUFFER_SELECT,
                                     .fd = fd,
                                     .user_data = (uint64_t)number});
}

void raw_uring_answer(struct raw_uring *u, int fd, int number, const char *bytes, int size)
{
    u->answered = true;
    u->answers++;
    submit(u, &(struct io_uring_sqe){.opcode = IORING_OP_SEND,
                                     .fd = fd,
                                     .addr = (uintptr_t)bytes,
                                     .len = (uint32_t)size,
                                     .msg_flags = MSG_NOSIGNAL | MSG_WAITALL,
                                     .user_data = ANSWER | (uint64_t)u->buffer << 32 | (uint64_t)number});
}

static void complete(struct raw_uring *u, const struct io_uring_cqe *c)
{
    int number = (int)(uint32_t)c->user_data;
    if (c->user_data & ANSWER) {
        u->answers--;
        give_buffer(u, (uint16_t)(c->user_data >> 32));
        u->got(u->arg, number, NULL, c->res);
        return;
    }
    if (!(c->flags & IORING_CQE_F_MORE)) raw_uring_receive(u, u->fds[number], number);
    if (c->res == -ENOBUFS) return;
    u->buffer = (uint16_t)(c->flags >> IORING_CQE_BUFFER_SHIFT);
    u->answered = false;
    u->got(u->arg, number, u->buffers + (size_t)u->buffer * BUFFER, c->res);
    if (c->res > 0 && !u->answered) give_buffer(u, u->buffer);
}

unsigned raw_uring_turn(struct raw_uring *u)
{
    enter(u, 1);
    uint32_t head = *u->done_head, tail = __atomic_load_n(u->done_tail, __ATOMIC_ACQUIRE);
    for (; head != tail; head++) complete(u, &u->done[head & u->done_mask]);
    __atomic_store_n(u->done_head, head, __ATOMIC_RELEASE);
    return u->answers;
}

#else

struct raw_uring *raw_uring_make(unsigned connections, raw_uring_got *got, void *arg)
{
    (void)connections;
    (void)got;
    (void)arg;
    return NULL;
}

void raw_uring_destroy(struct raw_uring *u)
{
    (void)u;
}

void raw_uring_receive(struct raw_uring *u, int fd, int number)
{
    (void)u;
    (void)fd;
    (void)number;
}

void raw_uring_answer(struct raw_uring *u, int fd, int number, const char *bytes, int size)
{
    (void)u;
    (void)fd;
    (void)number;
    (void)bytes;
    (void)size;
}

unsigned raw_uring_turn(struct raw_uring *u)
{
    (void)u;
    return 0;
}

#endif
