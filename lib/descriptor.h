/* descriptor.h - what is known of a descriptor, and who waits for it
 *
 * The table is the process's, since numbers are: an entry for each, found without a lock, never freed.  What an entry
 * says of a number may be out of date, as close(2) and dup2(2) tell nobody: so it decides what is tried first, and a
 * wait that relies on it is looked after (io.c).
 *
 * `change` counts what was reported for each direction; who has found a descriptor not ready waits only if no report
 * has come since before it tried.  `life` counts the weft_close calls: a report, and a call, of an earlier life is void.
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
    spin_word        lock;
    wait_queue       waiting[2];
    Atomic(uint32_t) change[2];
    Atomic(uint32_t) life;
    Atomic(uint32_t) calls; /* system calls under way, and DESCRIPTOR_CLOSING while weft_close waits for their end */
    Atomic(uint32_t) kind;
    Atomic(uint64_t)
        registered; /* serial number of the runtime whose poller has it in this life, and last registered it */
    Atomic(uint32_t)  slow[2];      /* locks, each of one direction: of a terminal or a named pipe, which may block */
    struct io_thread *threads;      /* plain ones that poll it */
    Atomic(uint32_t)  dry;          /* the change, and 1 more, before a read that took all there was; 0: none did */
    Atomic(bool)      ended;        /* the end of the stream, an error, or urgent data has been reported */
    Atomic(uint32_t)  seen;         /* by who looks after waits: the changes at its last look, and 1 more */
    Atomic(uint32_t)  looked_after; /* and the changes at which it has registered it again */
};

#define DESCRIPTOR_TABLE   1024
#define DESCRIPTOR_CLOSING (UINT32_C(1) << 31)

/* NULL: a number out of range, or no memory. */
struct descriptor *descriptor_get(int fd);

/* Why descriptor_get has returned NULL: -EBADF or -ENOMEM. */
int descriptor_error(int fd);

/* NULL: it has none yet, nor have the others of its table, whose numbers begin at a multiple of DESCRIPTOR_TABLE. */
struct descriptor *descriptor_of(int fd);

/* No number from here on has one. */
int descriptor_most(void);

#endif
