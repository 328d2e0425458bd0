/* peer.h - what the programs in C and C++ share: their command line, their clock, and the line that they print
 *
 * bench/peers/README.md states the contract.  A program is a table of subjects; peer_main runs the one that was
 * asked for, within whatever the program starts for it.  Nothing here knows of tasks.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define PEER_NORETURN [[noreturn]]
extern "C" {
#else
#define PEER_NORETURN _Noreturn
#endif

/* Of the command line. */
extern unsigned    peer_workers;
extern long        peer_size;
extern const char *peer_text; /* the size, as it was given */

struct peer_subject {
    const char *name;
    void (*run)(void); /* ends by printing; NULL: cannot be done */
    const char *why_not;
    bool        one_worker; /* why_not says why it is not done with more */
};

/* Runs the subject by within(run); NULL: run().  The status to exit with. */
int peer_main(int argc, char **argv, const struct peer_subject *subjects, size_t count,
              void (*within)(void (*run)(void)));

/* Does the work once to warm up, then again and again for at least 50 ms, and prints the mean time of one and the
 * check value, which is the same each time.  Where one takes a second, the first is what is measured. */
void peer_measure(uint64_t (*work)(void));

/* Prints a figure that was found otherwise. */
void peer_print(double figure, uint64_t check);

/* Timers: prints the time of all, then the median and the 99th percentile of what each was late; the check value is
 * how many were not early.  `late` is sorted. */
void peer_print_timers(double ns, int64_t *late, long count);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t peer_now(void);

/* For qsort: int64_t, the least first. */
int peer_ascending(const void *left, const void *right);

/* Bytes of this process that are resident. */
double peer_resident(void);

/* A server's listening socket on the loopback, its port printed. */
int peer_listen(void);

/* Sits until the standard input ends, and ends the process. */
PEER_NORETURN void peer_serve_until_told(void);

/* Says why and ends the program with status 1. */
PEER_NORETURN void peer_fail(const char *what);

#ifdef __cplusplus
}
#endif
#endif /* PEER_H */
