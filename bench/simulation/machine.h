/* machine.h - a machine that is not there: as many CPUs as wanted, one clock for each
 *
 * It takes the place of lib/platform.c, and of the few calls of pthreads and the system that the scheduler makes, so
 * that the library's own code runs on it unchanged: its deques, its thieves, its idle workers.  Every thread has a CPU
 * to itself.  All of them are coroutines of one thread of this process, and the one whose clock is furthest behind
 * runs, until it reads the clock, computes, sleeps or wakes; what it does in between takes no time.  So a run is the
 * same every time, and takes as long as the work of one worker, however many there are.
 *
 * The costs are those that were measured on real machines (machine.c).
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

/* Calls main_thread(arg) on a machine whose clocks begin at a second; returns when that does. */
void machine_run(void (*main_thread)(void *arg), void *arg);

/* By a thread of the machine: its CPU is busy for so many nanoseconds. */
void machine_compute(int64_t duration);

/* The caller's clock. */
int64_t machine_now(void);

#endif
