#include "search.h"
#include "lock.h"
#include "order.h"
#include "spare.h"
#include "work.h"

#include <string.h>
#include <unistd.h>

/* An idle worker looks for LOOK_NS before it lies down.  While others run it then dozes, for DOZE_FIRST_NS at first and
 * DOZE_MOST_NS at most.  An owner that was asked to publish, and has not after FORCE_NS, is forced by a thief.  Waking
 * across cores takes 10 to 70 us, so looking for less than that is cheaper than being woken; and dozing longer than
 * 2 ms saves little more.  So for 2 ms at most a task may be stranded on a worker that computes and does not answer,
 * while another is idle. */
#define LOOK_NS       (20 * 1000)
#define DOZE_FIRST_NS (50 * 1000)
#define DOZE_MOST_NS  (2 * 1000 * 1000)
#define CALL_FROM_NS  (400 * 1000) /* whoever dozes longer asks to be called */
#define FORCE_NS      (50 * 1000)
#define TRIM_NS       (500 * 1000 * 1000) /* after so long without work, spare stacks go back to the system */

/* To steal a task moves about six cache lines between cores, at 100 ns and more each, half of which its victim pays;
 * one that is stolen together with it moves only its own, a line or two.  So a thief has an account: what it stole pays
 * the time that it ran for, and costs WORTH_NS, and WORTH_MORE_NS for each but the first.  When the account is empty
 * the thief rests, twice as long each time in a row, and then has a grant for a few tries: a storm of tiny tasks is
 * left to its owner, and many small ones are searched for a few large.  (Rejected: judging by the last steal alone, or
 * with no grant.  In an unbalanced tree nearly all are tiny, and the second worker slept through it.  And WORTH_NS for
 * each: of a million tasks that begin to sleep within 300 ns nearly all were left to one worker.) */
#define WORTH_NS      1000
#define WORTH_MORE_NS 250
#define SAVED_MOST_NS (2 * 1000 * 1000)
#define GRANT_NS      (8 * WORTH_NS)
#define WEALTHY_NS    (50 * 1000) /* then the rests begin short again */
#define RESTS_MOST    5u          /* 50 us << 5: 1.6 ms */

/* Of so many that run, one may look for work beside the watch. */
#define LOOKERS_SHARE 4

/* Between two looks, each of which takes cache lines from those who work. */
#define LOOK_PAUSES 16

#define STEAL_MOST 32u

/* Who has dozed in the poller for less than this has not slept: what came was there already. */
#define AT_ONCE_NS (5 * 1000)

/* ---- stealing ------------------------------------------------------------ */

/* Half of a queue: the first, and the others into the worker's own one. */
static ready_t steal_begun(struct worker *w, struct runq *theirs, struct runq *own)
{
    uint32_t n = min_of((runq_length(theirs) + 1) / 2, STEAL_MOST);
    if (n == 0) return 0;
    ready_t first = runq_pop(theirs), more;
    for (uint32_t i = 1; first && i < n && (more = runq_pop(theirs)); i++)
        if (!runq_push(own, more)) inject_put(&w->runtime->inject, more);
    w->stole_count = n;
    return first;
}

/* From another worker: public tasks first, then what it has resumed, then who has yielded there. */
static ready_t steal_from(struct worker *w, struct worker *victim)
{
    void    *tasks[STEAL_MOST];
    uint32_t there = deque_public(&victim->deque);
    if (there > 0) {
        /* The oldest of a few are the largest, so one is enough; of many, which are
         * likely alike, a share. */
        uint32_t n = there <= 8 || w->rests > 0 ? 1 : min_of(there / 4, STEAL_MOST);
        n = deque_steal(&victim->deque, tasks, n);
        for (uint32_t i = 1; i < n; i++) work_push(w, tasks[i]);
        if (n > 0) {
            w->stole_count = n;
            w->left_there = deque_length(&victim->deque);
            return task_ready(tasks[0]);
        }
    }
    ready_t item = steal_begun(w, &victim->runq, &w->runq);
    if (!item) item = steal_begun(w, &victim->yielded, &w->yielded);
    if (item) w->left_there = work_length(victim);
    return item;
}

static void stole(struct worker *w, uint32_t count)
{
    worker_count_one(&w->count.steals);
    w->stole_count = count;
    w->stole_at = choice_clock();
}

static ready_t steal(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    uint32_t             n = rt->count, first = n > 1 ? choice_below(&w->choice, n) : 0;
    for (uint32_t i = 0; i < n; i++) {
        struct worker *victim = &rt->workers[(first + i) % n];
        if (victim == w) continue;
        ready_t item = steal_from(w, victim);
        if (item) {
            stole(w, w->stole_count);
            return item;
        }
    }
    return 0;
}

enum ask_how {
    ASK_FIRST, /* and notes how far each has come */
    ASK_AGAIN,
    ASK_FORCE, /* long enough has passed since the first time: who does not answer is not asked any more, and who has
                  not moved since has its next task taken away */
    ASK_CALL,  /* to be called, too, by those who have nothing yet */
    ASK_ASIDE, /* by one who is not the watch, and who is not to be called */
};

/* Asks the others for what they keep to themselves.  Whether there is any. */
static bool ask(struct worker *w, enum ask_how how, ready_t *forced)
{
    struct weft_runtime *rt = w->runtime;
    bool                 any = false;
    for (uint32_t i = 0; i < rt->count; i++) {
        struct worker *victim = &rt->workers[i];
        if (victim == w) continue;
        bool has = deque_length(&victim->deque) > 0;
        if (has && how == ASK_FORCE) deque_force(&victim->deque);
        uint32_t asked = load_relaxed(&victim->asked);
        if (how == ASK_ASIDE) {
            /* Not over what the watch may have asked since.  (What that asks just as the owner answers this is lost;
             * the watch then looks again when its doze is over.) */
            if (has && asked == 0) cas_relaxed(&victim->asked, &asked, ASKED_ASIDE);
            any |= has;
            continue;
        }
        if ((has || how == ASK_CALL) && (asked == 0 || asked == ASKED_ASIDE))
            store_relaxed(&victim->asked, ASKED_SHARE);
        /* While it switches it takes care of its next task itself. */
        uint64_t switches = load_relaxed(&victim->count.switches);
        if (how == ASK_FIRST) store_relaxed(&victim->seen_at, switches);
        if (!slot_empty(&victim->next)) {
            bool stands = how == ASK_FORCE && load_relaxed(&victim->seen_at) == switches;
            if (stands && !*forced) *forced = slot_force(&victim->next);
            has = true;
        }
        bool stands = load_relaxed(&victim->outbox) && load_relaxed(&victim->seen_at) == switches;
        has |= stands && rt->unsent(victim, how == ASK_FORCE);
        any |= has;
    }
    return any;
}

/* Plain threads that wait for good: the lower half says how many, the upper how often that has changed. */
static Atomic(uint64_t) parked;
#define PARKED_CHANGE (UINT64_C(1) << 32)

/* Of these, those that are not asleep: they may be about to make something ready. */
static Atomic(uint32_t) parking;

void search_park(void)
{
    add_relaxed(&parking, 1);
    add_release(&parked, PARKED_CHANGE + 1); /* pairs with alone, which then sees that it is not asleep, too */
}

void search_parked(void)
{
    sub_acq_rel(&parking, 1); /* release: pairs with alone, which sees what was made ready */
}

void search_unpark(void)
{
    /* by a thread that runs, or one that this runtime's idle workers have seen run */
    add_relaxed(&parked, PARKED_CHANGE - 1);
}

/* ---- having nothing to do ------------------------------------------------ */

static void pause_before_look(void)
{
    for (int i = 0; i < LOOK_PAUSES; i++) atomic_pause();
}

/* Who is about to run may have slept for long. */
static void get_up(struct worker *w)
{
    w->now = worker_now(w);
    pace_rested(&w->near_pace, choice_tick());
    pace_rested(&w->breath_pace, w->near_pace.looked);
}

/* The watch takes up the work that it has found. */
static ready_t leave_watch(struct worker *w, ready_t item, bool stolen)
{
    struct weft_runtime *rt = w->runtime;
    get_up(w);
    bool more = stolen || work_length(w) > 0 || !inject_empty(&rt->inject);
    switch (idle_leave(&rt->idle, more)) {
    case IDLE_ALONE: break;
    case IDLE_SUCCEEDED: worker_count_one(&w->count.wakeups); break;
    case IDLE_UNWATCHED:
        store_relaxed(&w->asked, ASKED_WATCH);
        /* What is ready by then may compute for long, and somebody has to look after timers and descriptors. */
        if (!inject_empty(&rt->inject) || work_next_timer(rt) != INT64_MAX || poller_made(&rt->poller)) work_answer(w);
        break;
    }
    return item;
}

/* As many run as there are CPUs, so that one more who gets up takes a CPU from one who works, and may find that this is
 * the one whose answer it waits for. */
static bool crowded(struct worker *w)
{
    if (WEFT_CHAOS) return choice_below(&w->choice, 8) == 0;
    return idle_running(&w->runtime->idle) >= w->runtime->cpus;
}

/* Who has stolen, where there is plenty left, has others run, too: so it takes as many wake-ups, one after the other,
 * as the logarithm of the workers until all run.  (Rejected: the successor of the watch alone.  With 30 us from one to
 * the next the last of 256 began after 10 ms.) */
static ready_t spread(struct worker *w, ready_t item, unsigned most)
{
    struct weft_runtime *rt = w->runtime;
    for (unsigned n = 0; n < most && w->left_there > 2u << n && !crowded(w) && idle_hire(&rt->idle); n++)
        worker_count_one(&w->count.wakeups);
    return item;
}

/* Was what this worker stole worth it? */
static void judge_steal(struct worker *w)
{
    if (!w->stole_at) return;
    int64_t worth = WORTH_NS + (int64_t)(w->stole_count - 1) * WORTH_MORE_NS;
    int64_t gain = choice_clock() - w->stole_at - worth;
    w->stole_at = 0;
    w->saved = min_of(w->saved + gain, (int64_t)SAVED_MOST_NS);
    if (w->saved < 0) {
        w->saved = GRANT_NS;
        w->rests = min_of(w->rests + 1, RESTS_MOST);
        w->rest = true;
    } else if (w->saved > WEALTHY_NS) {
        w->rests = 0;
    }
}

/* Threads of runtimes that have been joined, and that the system may list for a moment still; or that are long gone, as
 * nobody has looked since, and whose numbers others may have. */
static struct {
    Atomic(uint32_t) lock;
    unsigned         count;
    struct ended {
        int     id;
        int64_t over;
    } threads[64];
} ended;

void search_thread_ended(int id, int64_t moment)
{
    lock_take(&ended.lock);
    if (ended.count == array_len(ended.threads)) ended.count--; /* the first of so many are long gone */
    order_hide();
    memmove(ended.threads + 1, ended.threads, ended.count * sizeof ended.threads[0]);
    order_show();
    ended.threads[0] = (struct ended){id, moment};
    ended.count++;
    lock_drop(&ended.lock);
}

static unsigned still_listed(void)
{
    unsigned n = 0;
    lock_take(&ended.lock);
    order_hide(); /* it reads files */
    for (unsigned i = 0; i < ended.count; i++) {
        struct ended t = ended.threads[i];
        if (platform_thread_exists(t.id, t.over)) ended.threads[n++] = t;
    }
    ended.count = n;
    order_show();
    lock_drop(&ended.lock);
    return n;
}

/* Those that carry out this runtime's requests. */
static unsigned of_the_system(struct weft_runtime *rt)
{
    return load_relaxed(&rt->uring) ? platform_system_threads() : 0;
}

/* Whether nobody but this runtime's tasks can make anything happen, and nobody has: the process has no thread that
 * runs, but for those that wait for good.  What such a thread did before it began to wait is seen.  `if_unknown`: what
 * to say when the system does not tell how many threads there are. */
static bool alone(struct weft_runtime *rt, bool if_unknown)
{
    uint64_t before = load_acquire(&parked); /* pairs with search_park */
    unsigned threads = platform_threads(), idle = rt->count + (uint32_t)before;
    bool quiet = threads == 0 ? if_unknown : threads <= idle || threads <= idle + still_listed() + of_the_system(rt);
    if (!quiet || load_relaxed(&rt->blocking_calls) > 0) return false;
    for (unsigned tries = 0; load_acquire(&parking) > 0;) spin_pause(&tries); /* pairs with search_parked */
    /* Had one begun to wait since, it may have started another before. */
    return load_acquire(&parked) == before && inject_empty(&rt->inject);
}

/* So many looks, so far apart: a thread that was joined is listed for a moment only. */
#define ALONE_LOOKS   100
#define ALONE_LOOK_US 50

/* As alone, for virtual time, which is to replay: a thread that has ended is waited for while the system still lists
 * it.  Once time flows because of one that has not, nobody is waited for. */
static bool alone_soon(struct worker *w)
{
    for (int looks = 0; !alone(w->runtime, true); looks++) {
        if (w->flowed || looks == ALONE_LOOKS || !inject_empty(&w->runtime->inject)) return false;
        usleep(ALONE_LOOK_US);
    }
    return true;
}

/* Virtual time jumps to the next timer.  But while somebody else could act it follows the clock, or who waits for
 * that would see its deadline pass at once.  True: it has jumped. */
static bool jump(struct worker *w)
{
    int64_t next = timers_earliest(&w->timers);
    if (!poller_made(&w->runtime->poller) && alone_soon(w)) {
        w->flowed = 0;
        if (next == INT64_MAX) return false;
        w->choice.now = max_of(w->choice.now, next);
        return true;
    }
    int64_t clock = choice_clock();
    if (w->flowed) w->choice.now = min_of(w->choice.now + clock - w->flowed, max_of(next, w->choice.now));
    w->flowed = clock;
    return false;
}

ready_t search_yielding(struct worker *w)
{
    if (!jump(w)) w->choice.now += WEFT_US; /* so that who yields until some moment comes to it */
    work_expire(w, false);
    return work_pick(w);
}

/* Nobody runs, and nothing is ready.  With a seed time goes on; when nothing will come of that, the tasks that are
 * left wait for each other.  True: something has been made ready, or will be by the clock. */
static bool nobody_runs(struct worker *w, int64_t next)
{
    struct weft_runtime *rt = w->runtime;
    if (w->choice.seeded && jump(w)) return true;
    return next == INT64_MAX && rt->stuck && alone(rt, false) && rt->stuck(rt);
}

/* When nobody runs: how long the watch dozes until it looks for a deadlock again, or trims; then it dozes for good.  A
 * thread that has ended is listed a while longer. */
static const int64_t quiet_ns[] = {10 * 1000 * 1000, 90 * 1000 * 1000, TRIM_NS - 100 * 1000 * 1000, TRIM_NS};
#define TRIM_AT 3

/* The watch of a runtime that waits for descriptors sleeps in the poller. */
struct polling {
    struct poller       *poller;
    struct poller_report reports[64];
    unsigned             count;
};

static void poll_instead(void *arg, int64_t timeout)
{
    struct polling *p = arg;
    p->count = poller_wait(p->poller, p->reports, array_len(p->reports), timeout);
}

static void doze_until(struct worker *w, int64_t now, int64_t timeout)
{
    struct weft_runtime *rt = w->runtime;
    if (!poller_made(&rt->poller)) {
        idle_doze(&rt->idle, w->index, now, timeout);
        return;
    }
    struct polling p = {.poller = &rt->poller};
    idle_doze_in(&rt->idle, w->index, now, timeout, poll_instead, &p);
    rt->reported(rt, p.reports, p.count);
    w->poll_first = rt->count == 1 && p.count > 0 && !w->choice.seeded && choice_clock() - now < AT_ONCE_NS;
}

/* What the watch knows, from when it begins until it has found work. */
struct watching {
    int64_t  begin;  /* of this look, which ends with a doze */
    int64_t  asked;  /* when it asked the others first; 0: it has not, or they had nothing */
    int64_t  doze;   /* for how long, the next time that others run */
    int64_t  rested; /* of what `quiet` asks for: signals may cut each doze short */
    unsigned quiet;  /* the next in quiet_ns */
    bool     fresh;  /* it has not dozed */
    bool     crowd;
};

/* Steals from the others, or asks them for what they keep to themselves.  True: it is not to doze yet: it runs *item,
 * or, if that is 0, looks at everything again. */
static bool look_at_others(struct worker *w, struct watching *s, int64_t now, ready_t *item)
{
    struct weft_runtime *rt = w->runtime;
    if ((*item = steal(w))) {
        spread(w, leave_watch(w, *item, true), 1);
        return true;
    }
    bool force = s->asked && now - s->asked >= FORCE_NS;
    bool any = ask(w, !s->asked ? ASK_FIRST : force ? ASK_FORCE : ASK_AGAIN, item);
    if (*item) {
        stole(w, 1);
        leave_watch(w, *item, false);
        return true;
    }
    if (work_length(w) > 0) return true; /* taken out of an outbox */
    if (!any || (s->crowd && force)) s->asked = 0;
    else if (!s->asked) s->asked = now;
    bool polls = poller_made(&rt->poller);
    if (polls && idle_running(&rt->idle) > 0 && work_poll(w)) return true;
    if (s->crowd) return false;
    if (now - s->begin < LOOK_NS && !(polls && idle_running(&rt->idle) == 0)) {
        pause_before_look();
        return true;
    }
    return s->asked && now - s->asked < FORCE_NS + LOOK_NS && idle_running(&rt->idle) > 0;
}

/* For how long, when the next timer is due in so many nanoseconds.  `final`: nobody runs. */
static int64_t doze_time(struct worker *w, const struct watching *s, bool final, int64_t due)
{
    int64_t timeout = w->rest ? DOZE_FIRST_NS << w->rests : !s->crowd ? s->doze : s->asked ? FORCE_NS : DOZE_MOST_NS;
    if (final) timeout = s->quiet < array_len(quiet_ns) ? quiet_ns[s->quiet] - s->rested : -1;
    if (timeout < 0 ? due != INT64_MAX : due < timeout) timeout = due;
    if (work_look_after(w) && (timeout < 0 || timeout > WORK_LOOK_AFTER_NS)) timeout = WORK_LOOK_AFTER_NS;
    return timeout;
}

/* It has lain down, and there was still nothing. */
static void doze(struct worker *w, struct watching *s, bool final, int64_t due)
{
    ready_t none = 0;
    if (!w->rest && !s->crowd && s->doze >= CALL_FROM_NS) ask(w, ASK_CALL, &none);
    worker_count_one(&w->count.parks);
    int64_t timeout = doze_time(w, s, final, due), now = choice_clock();
    doze_until(w, now, timeout);
    int64_t dozed = choice_clock() - now;
    if (final && s->quiet < array_len(quiet_ns) && (s->rested += dozed) >= quiet_ns[s->quiet]) {
        s->rested = 0;
        s->quiet++;
    }
    if (!w->rest && !s->crowd) s->doze = min_of(s->doze * 2, DOZE_MOST_NS);
    w->rest = s->fresh = false;
    if (!s->crowd) s->asked = 0;
    s->begin = choice_clock() - LOOK_NS / 2; /* after a doze a shorter look is enough */
}

static ready_t watch(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    struct watching      s = {.begin = choice_clock(), .doze = DOZE_FIRST_NS, .fresh = true};
    for (;;) {
        ready_t item;
        if (idle_closed(&rt->idle)) return leave_watch(w, 0, false);
        if (!w->choice.seeded && (item = work_take_shared(w))) return leave_watch(w, item, false);
        if (work_next_timer(rt) != INT64_MAX) work_expire(w, true);
        if ((item = work_pick(w))) return leave_watch(w, item, false);
        int64_t now = choice_clock();
        /* In a crowd it looks when it has dozed, in case some of those who run do not compute, but block. */
        s.crowd = !w->choice.seeded && crowded(w);
        if (!w->rest && !w->choice.seeded && !(s.crowd && s.fresh) && look_at_others(w, &s, now, &item)) {
            if (item) return item;
            continue;
        }
        if (s.quiet < TRIM_AT) {
            spare_ebb(rt, choice_tick());
        } else if (spare_trim(w)) { /* a few at a time, and in between it looks at what may have come */
            work_poll(w);
            continue;
        }
        bool    final = idle_lie_down(&rt->idle, w->index);
        int64_t next = w->choice.seeded ? timers_earliest(&w->timers) : work_next_timer(rt);
        int64_t due = next == INT64_MAX ? next : next - worker_now(w);
        if (!inject_empty(&rt->inject) || idle_closed(&rt->idle) || due <= 0 ||
            (final && (w->choice.seeded || s.quiet > 0) && nobody_runs(w, next))) {
            idle_undoze(&rt->idle, w->index);
            continue;
        }
        doze(w, &s, final, due);
    }
}

void search_init(struct worker *w)
{
    w->saved = SAVED_MOST_NS;
}

/* Before it goes idle, or when it has been woken to run: looks for as long as the watch does at first, so that many
 * find work at once.  But a few at a time, as each look takes cache lines from those who work; or one in the place of a
 * watch that dozes, for longer if there is work to be had.  (Rejected: to go idle as soon as nobody has any.  Who has
 * just run dry in a recursion of 0.6 ms that goes on is too late to be called.) */
static ready_t look_aside(struct worker *w, bool hired)
{
    struct weft_runtime *rt = w->runtime;
    uint32_t             lookers = load_relaxed(&rt->lookers), running = idle_running(&rt->idle);
    ready_t              item;
    if (w->choice.seeded || (running > rt->cpus && !WEFT_CHAOS)) return 0;
    bool few = hired || (lookers + 1) * LOOKERS_SHARE <= running;
    if (!few && (lookers > 0 || !idle_dozes(&rt->idle))) return 0;
    add_relaxed(&rt->lookers, 1);
    int64_t begin = choice_clock(), most = LOOK_NS;
    do {
        if ((item = work_take_shared(w)) || (item = steal(w)) || idle_closed(&rt->idle)) break;
        if (ask(w, ASK_ASIDE, &item) && !few) most = LOOK_NS + FORCE_NS;
        pause_before_look();
    } while (choice_clock() - begin < most);
    sub_relaxed(&rt->lookers, 1);
    if (!item && idle_dozes(&rt->idle)) ask(w, ASK_CALL, &item); /* or its CPU may be idle until the doze is over */
    return item;
}

/* Until there is something to watch for, or to run. */
static enum idle_woken sleep_in_pile(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    worker_count_one(&w->count.parks);
    int64_t next = timers_next(&w->timers);
    if (next != INT64_MAX && idle_expect(&rt->idle, next)) worker_count_one(&w->count.wakeups);
    return idle_sleep(&rt->idle, w->index);
}

ready_t search_work(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    bool                 hired = false;
    for (;;) {
        ready_t item;
        judge_steal(w);
        w->left_there = 0;
        if (load_relaxed(&w->outbox)) {
            rt->send_out(w);
            if ((item = work_pick(w))) return item;
        }
        /* To watch is a thousand instructions and more each time, which a busy server need not spend: it is as if a
         * pick had polled.  (Rejected: with other workers, too.  With 64 connections two of them took 1.14 times as
         * long, and lay down three times as often.) */
        if (w->poll_first && (w->poll_first = work_poll(w) > 0) && (item = work_pick(w))) return item;
        if (!w->rest && ((item = steal(w)) || (item = look_aside(w, hired)))) return spread(w, item, hired ? 2 : 1);
        if (idle_closed(&rt->idle)) return 0;
        hired = false;
        if (idle_enter(&rt->idle, w->index) == IDLE_SLEEP) {
            enum idle_woken woken = sleep_in_pile(w);
            if (woken == IDLE_CLOSED) return 0;
            if (woken == IDLE_RUNS) {
                get_up(w);
                w->rest = false; /* it has rested */
                hired = true;
                continue;
            }
        }
        if ((item = watch(w)) || (item = work_pick(w))) return item;
    }
}
