/* support_play.h - plays: many actors who do random things in random places, and judge what they are told
 *
 * An actor is one line of control: a spawned task, a task of a scope, a task of another runtime, or a plain thread.  It
 * does one random thing after the other, which is the play's `act`; a task does so also in scopes that it opens, and in
 * tasks that it spawns, all of which are cancelled at random, by itself and by others.  At last, where nothing is
 * cancelled, the play's `settle` makes up for all that the actor has done, and may wait for good.  A play is such that
 * all can settle together, in whatever order; so a wake-up that is lost is a deadlock, and the runtime names it.
 */
#ifndef WEFT_TEST_SUPPORT_PLAY_H
#define WEFT_TEST_SUPPORT_PLAY_H

#include "support.h"

/* An open scope, or a spawned task; and why it, and all within, may be cancelled, which is noted before it is done. */
struct test_place {
    struct test_place *outer;
    bool               shield;
    bool               doomed; /* it will be cancelled for sure, so one may wait here for good */
    weft_time          deadline;
    atomic_bool        cancelled, failed;
    int                told; /* the first reason; whoever acts here has it alone */
    weft_scope         scope;
};

/* Whether somebody has given this reason who reaches that far. */
bool test_was_given(const struct test_place *p, int reason);

enum { TEST_SHOWN = 16 };

/* Some of the open scopes stand where whoever wants to cancels them.  If the one before stands there, that after it
 * does from now on; NULL: nobody. */
bool test_show(unsigned at, struct test_place *before, struct test_place *after);

/* Any thread. */
void test_cancel_shown(unsigned at);

enum { TEST_ACTORS = 10 };

/* Serial: it is in one scope of one root with others. */
struct test_serial {
    size_t        acts; /* plain */
    atomic_size_t all;
};

struct test_actor {
    const struct test_play *play;
    void                   *stage; /* what the actors share */
    unsigned                index;
    uint32_t                chance;
    unsigned                turns; /* left */
    bool                    is_thread;
    bool                    settled;
    struct test_serial     *serial; /* NULL: on no root with others */
    struct test_place      *at;
    struct test_place       outermost;
};

struct test_play {
    void (*act)(struct test_actor *a);
    bool (*settle)(struct test_actor *a);           /* false: it was cancelled, and is to settle again */
    void (*disturb)(void *stage, uint32_t *chance); /* meanwhile, by a task or a thread; NULL: nothing */
    void *(*begin)(uint32_t *chance);               /* makes the stage */
    void (*end)(void *stage);                       /* judges what is left, and frees it */
    unsigned turns;                                 /* of each actor */
    size_t   times;                                 /* how often it is played, with ThreadSanitizer half as often */
};

/* So often, each time with another chance, by tasks, or in a plain thread by threads.  For assert_everywhere. */
int test_play_often(void *play);

/* 0, past, or soon; or, if one may wait for good, WEFT_NEVER now and then. */
weft_time test_any_deadline(struct test_actor *a, bool for_good);

/* Judges why a call has given up, one that began when weft_check returned `before`. */
void test_judge(struct test_actor *a, int before, weft_time deadline, int result);

#endif
