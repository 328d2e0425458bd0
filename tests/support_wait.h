/* support_wait.h - calls that wait, from the outside: begun, ended, given up
 *
 * Each primitive is a call of one form, so that what is true of all is written once.
 */
#ifndef WEFT_TEST_SUPPORT_WAIT_H
#define WEFT_TEST_SUPPORT_WAIT_H

#include "support.h"

typedef int test_wait_call(void *object, weft_time deadline);

/* A task that calls, in a runtime of one worker. */
struct test_wait {
    weft_task       task;
    test_wait_call *call;
    void           *object;
    weft_time       deadline;
    bool            begun;
    bool            ended;
    int             turn; /* how many, since test_wait_turns was 0, have ended with this one */
};
extern int test_wait_turns;

/* Returns when the task waits, or has ended. */
void test_wait_begin(struct test_wait *wait, test_wait_call *call, void *object, weft_time deadline);
/* Awaits it: the call's result. */
int test_wait_end(struct test_wait *wait);
/* Lets all that is ready run until it waits again, on one worker. */
void test_wait_settle(void);

/* The call, which would wait, gives up: when it is but a try, when it is late, when it gets late, when it is cancelled,
 * before or while it waits, and when its scope's deadline comes; in a task, and as far as that goes in a
 * plain thread.  Main thread.  Without `deadlines` the call is only ever cancelled. */
void assert_gives_up(test_wait_call *call, void *object, bool deadlines);

#endif
