/* idle.h - which workers sleep, who looks for work, and whom to wake
 *
 * The protocol, its invariants and the proof sketch are in idle.md.  In short: of
 * the workers that have nothing to do at most one, the watch, looks for work;
 * the others sleep for good.  The watch looks awake for a short while, then dozes with a
 * timeout as long as somebody runs, and without one when nobody does.  It wakes
 * a successor when it finds work and others may find more.  A worker that sees plenty of work makes sleepers run, too.
 */
#ifndef WEFT_IDLE_H
#define WEFT_IDLE_H

#include "chaos.h"
#include "platform.h"

#define IDLE_MAX 1024u /* workers */

/* Where one worker sleeps. */
struct idle_seat {
    _Alignas(CACHE_LINE) Atomic(uint32_t) token; /* 1: get up */
    Atomic(bool)     polls; /* whoever sits here sleeps in idle_doze_in's `sleep`, not on the token */
    Atomic(bool)     hired; /* it has been taken off the pile, and runs */
    Atomic(uint32_t) below; /* in the pile of sleepers: the next seat, from 1 */
};

/* The word
 *      bits  0-10  top of the pile of sleepers, from 1; 0: nobody
 *      bits 11-21  how many run, that is neither watch nor sleep
 *      bits 22-23  IDLE_NONE, IDLE_AWAKE, IDLE_DOZING: what the watch does
 *      bits 24-34  the watch's seat, from 1
 *      bits 35-63  tag: changes whenever the pile does
 */
struct idle {
    Atomic(uint64_t) word;
    Atomic(bool)     closed;
    Atomic(int64_t)  until; /* when the watch that dozes gets up by itself; INT64_MAX: not known, or never */
    void (*poke)(void *arg);
    void             *poke_arg;
    struct idle_seat *seats;
    unsigned          count;
};

enum idle_role { IDLE_SLEEP, IDLE_WATCH };

/* All run. */
void idle_init(struct idle *idle, struct idle_seat *seats, unsigned count, void (*poke)(void *arg), void *arg);

/* A worker that runs has found nothing: what it is to do now.  The word has it
 * that it sleeps, or watches, already. */
enum idle_role idle_enter(struct idle *idle, unsigned me);

/* What somebody who has woken a sleeper has made of it. */
enum idle_woken {
    IDLE_CLOSED,  /* nothing: the runtime stops */
    IDLE_WATCHES, /* the watch, awake */
    IDLE_RUNS,    /* one that runs, though it has nothing yet (idle_hire) */
};

/* After IDLE_SLEEP: until somebody wakes this one. */
enum idle_woken idle_sleep(struct idle *idle, unsigned me);

/* The watch is about to doze.  It then looks at everything once more, and calls
 * idle_doze if there was still nothing, else idle_undoze.  True: nobody runs,
 * so it may doze for good: who makes work from outside calls idle_notify. */
bool idle_lie_down(struct idle *idle, unsigned me);
/* Until woken, or for `timeout` nanoseconds (negative: for good).  Awake after. */
void idle_doze(struct idle *idle, unsigned me, int64_t now, int64_t timeout);
/* The same, in `sleep`, which idle_init's `poke` ends. */
void idle_doze_in(struct idle *idle, unsigned me, int64_t now, int64_t timeout,
                  void (*sleep)(void *arg, int64_t timeout), void *arg);
void idle_undoze(struct idle *idle, unsigned me);

/* What the watch, which has found work, leaves behind. */
enum idle_left {
    IDLE_ALONE,     /* nobody else is idle: nothing to care for */
    IDLE_SUCCEEDED, /* another one watches: it was woken */
    IDLE_UNWATCHED, /* there are sleepers, nobody watches, and only the caller runs: it looks at the shared
                        queue and the timers once more, and calls idle_call if there is something, or when it makes
                        work for others */
};

/* The watch has found work and runs.  `more`: there may be work for others too. */
enum idle_left idle_leave(struct idle *idle, bool more);

/* A worker that runs has made work that others may take: wakes the watch, or
 * appoints one, unless one is awake.  True: somebody was woken. */
bool idle_call(struct idle *idle);

/* A worker that runs sees more work than the watch will soon come to: as idle_call, but if the watch is awake a sleeper
 * is made to run. */
bool idle_hire(struct idle *idle);

/* After IDLE_SLEEP: the worker has a timer that expires then, and timers_next showed it before idle_enter.
 * Whoever watches will look at it in time: if the watch would get up too late it is woken, and if there is
 * none one is appointed.  True: somebody was woken. */
bool idle_expect(struct idle *idle, int64_t when);

/* Anybody has made work, and a place that idle workers look at shows it.
 * Orders that before it looks for sleepers.  True: somebody was woken. */
bool idle_notify(struct idle *idle);

/* Everybody gets up, for good: the runtime stops. */
void idle_close(struct idle *idle);

static inline bool idle_closed(struct idle *idle)
{
    return load_relaxed(&idle->closed); /* who was woken for it sees it, by the release in rouse */
}

/* Whether the watch does. */
bool idle_dozes(struct idle *idle);

/* How many run. */
unsigned idle_running(struct idle *idle);

#endif
