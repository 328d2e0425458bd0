/* raw_uring.h - an io_uring by the system calls themselves: the loop that a twin goes round
 *
 * One receive for each connection goes on for good, into buffers that the system picks from a ring of them; what is to
 * be submitted goes with the call that waits.
 */
#ifndef BENCH_RAW_URING_H
#define BENCH_RAW_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct raw_uring;

/* Called for what has come on the connection of that number; less than 0: an error.  NULL and more than 0: so much of
 * the answer has gone. */
typedef void raw_uring_got(void *arg, int number, const char *bytes, int size);

/* For the calling thread alone; NULL: there is none to be had. */
struct raw_uring *raw_uring_make(unsigned connections, raw_uring_got *got, void *arg);
void              raw_uring_destroy(struct raw_uring *u);

void raw_uring_receive(struct raw_uring *u, int fd, int number);

/* From `got`: these bytes go back.  An error is told as one of that connection. */
void raw_uring_answer(struct raw_uring *u, int fd, int number, const char *bytes, int size);

/* Waits until something has come or gone, and calls `got`.  How many answers are under way. */
unsigned raw_uring_turn(struct raw_uring *u);

#endif
