/* descriptor.h - what is known of a descriptor, and who waits for it
 *
 * The table is the process's, since numbers are: an entry for each, found without a lock, never freed.  What an entry
 * says of a number may be out of date, as close(2) and dup2(2) tell nobody: so it decides what is tried first, and who
 * is to wait makes sure, or is looked after (io.c).
 *
 * `change` counts what was reported for each direction; who has found a descriptor not ready waits only if no report
 * has come since before it tried.  `life` counts the weft_close calls: a report, and a call, of an earlier life is
 * void.
 */
#ifndef WEFT_DESCRIPTOR_H
#define WEFT_DESCRIPTOR_H

#include "wait.h"

enum descriptor_kind {
    DESCRIPTOR_UNKNOWN,
    DESCRIPTOR_STREAM, /* a TCP socket, of which a short read has read all there is */
    DESCRIPTOR_SOCKET, /* another one */
    DESCRIPTOR_FILE,   /* always ready, and may yet block: regular files, directories, block devices */
    DESCRIPTOR_OTHER,  /* pipes, terminals, eventfds */
};

enum { DESCRIPTOR_IN, DESCRIPTOR_OUT };

struct descriptor {
    /* what a call touches is one cache line, which the system's own work has most often driven out since the last */
    _Alignas(CACHE_LINE) spin_word lock;
    wait_queue       waiting[2];
    Atomic(uint32_t) change[2];
    Atomic(uint32_t) life;
    Atomic(uint32_t) calls; /* system calls under way, and DESCRIPTOR_CLOSING while weft_close waits for their end */
    Atomic(uint64_t) registered; /* marks of the runtimes whose pollers have it, in this life */
    Atomic(uint32_t) dry;        /* the change, and 1 more, before a read that took all there was; 0: none did */
    Atomic(uint16_t) kind;
    Atomic(bool)     ended;     /* the end of the stream, an error, or urgent data has been reported */
    Atomic(uint8_t)  sure;      /* how sure it is that the marks are right (io.c) */
    Atomic(const void *) claim; /* of who has begun to wait last, and may be gone: an address to be fetched, no more */
    /* what is rarely touched */
    _Alignas(CACHE_LINE) Atomic(uint32_t) slow[2]; /* locks, each of one direction: of a terminal or a named pipe, which
                                                      may block */
    struct io_thread *threads;                     /* plain ones that poll it */
    Atomic(uint32_t)  seen;         /* by who looks after waits: the changes at its last look, and 1 more */
    Atomic(uint32_t)  confirmed;    /* and those at which the poller was found to have it, */
    Atomic(uint32_t)  looked_after; /* and those at which it has registered it again, */
    Atomic(uint32_t)  looked_at;    /* which was then, in milliseconds */
};

_Static_assert(offsetof(struct descriptor, slow) == CACHE_LINE, "one line");

#define DESCRIPTOR_TABLE   1024
#define DESCRIPTOR_CLOSING (UINT32_C(1) << 31)

/* No process has more descriptors (fs.nr_open). */
#define DESCRIPTOR_TABLES 1024u

/* Of `sure`: at so many waits in a row the pollers that were asked had it; once one had not, and from then on it is
 * asked each time.  A wait that counts just then may write over that, and then it is found out once more. */
#define DESCRIPTOR_SURE    16u
#define DESCRIPTOR_DOUBTED UINT8_MAX

static inline void descriptor_be_sure(struct descriptor *d, uint8_t sure)
{
    if (load_relaxed(&d->sure) != DESCRIPTOR_DOUBTED) store_relaxed(&d->sure, sure);
}

extern Atomic(struct descriptor *) descriptor_tables[DESCRIPTOR_TABLES];

/* NULL: it has none yet, nor have the others of its table, whose numbers begin at a multiple of DESCRIPTOR_TABLE. */
static inline struct descriptor *descriptor_of(int fd)
{
    /* acquire: pairs with make_table. */
    struct descriptor *table = load_acquire(&descriptor_tables[(unsigned)fd / DESCRIPTOR_TABLE]);
    return likely(table) ? &table[(unsigned)fd % DESCRIPTOR_TABLE] : NULL;
}

/* NULL: a number out of range, or no memory. */
struct descriptor               *descriptor_make(int fd);
static inline struct descriptor *descriptor_get(int fd)
{
    bool               fits = (unsigned)fd < DESCRIPTOR_TABLES * DESCRIPTOR_TABLE;
    struct descriptor *d = likely(fits) ? descriptor_of(fd) : NULL;
    return likely(d) ? d : descriptor_make(fd);
}

/* Why descriptor_get has returned NULL: -EBADF or -ENOMEM. */
int descriptor_error(int fd);

/* No number from here on has one. */
int descriptor_most(void);

#endif
