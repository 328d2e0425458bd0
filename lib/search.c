#include "search.h"
#include "spare.h"
#include "work.h"

/* How long an idle worker looks before it lies down, how long it then dozes at
 * first and at most while others run, and how long an owner that was asked to
 * publish may take before a thief forces it.  Waking across cores takes 10
 * to 70 us, so looking for less than that is cheaper than being woken, and dozing
 * longer than 10 ms saves nothing more. */
#define LOOK_NS       (20 * 1000)
#define DOZE_FIRST_NS (50 * 1000)
#define DOZE_MOST_NS  (10 * 1000 * 1000)
#define CALL_FROM_NS  (400 * 1000) /* whoever dozes longer asks to be called */
#define FORCE_NS      (50 * 1000)
#define TRIM_NS       (500 * 1000 * 1000) /* after so long without work, spare stacks go back to the system */

/* A stolen task costs about six cache lines moved between cores, 100 ns and more
 * each, half of it its victim's.  So a thief has an account: what it stole pays the time
 * that it ran for, and costs WORTH_NS.  When the account is empty the thief rests, twice
 * as long each time in a row, and then has a grant for a few tries: a storm of tiny tasks is
 * left to its owner, and many small ones are searched for a few large.  (Rejected: judging by
 * the last steal alone, or with no grant.  In an unbalanced tree nearly all are tiny, and the
 * second worker slept through it.) */
#define WORTH_NS      1000
#define SAVED_MOST_NS (2 * 1000 * 1000)
#define GRANT_NS      (8 * WORTH_NS)
#define WEALTHY_NS    (50 * 1000) /* then the rests begin short again */
#define RESTS_MOST    5           /* 50 us << 5: 1.6 ms */

#define STEAL_MOST 32u

/* ---- stealing ------------------------------------------------------------ */

/* From another worker: public tasks first, then what it has resumed. */
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
            return task_ready(tasks[0]);
        }
    }
    uint32_t n = min_of((runq_length(&victim->runq) + 1) / 2, STEAL_MOST);
    if (n == 0) return 0;
    ready_t first = runq_pop(&victim->runq), more;
    for (uint32_t i = 1; first && i < n && (more = runq_pop(&victim->runq)); i++)
        if (!runq_push(&w->runq, more)) inject_put(&w->runtime->inject, more);
    w->stole_count = n;
    return first;
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
            worker_count_one(&w->count.steals);
            w->stole_at = choice_clock();
            return item;
        }
    }
    return 0;
}

/* Asks the others for what they keep to themselves.  Whether there is any. */
static bool ask(struct worker *w, bool call, bool force)
{
    struct weft_runtime *rt = w->runtime;
    bool                 any = false;
    for (uint32_t i = 0; i < rt->count; i++) {
        struct worker *victim = &rt->workers[i];
        if (victim == w) continue;
        bool has = deque_length(&victim->deque) > 0;
        if (has && force) deque_force(&victim->deque);
        if ((has || call) && load_relaxed(&victim->asked) == 0) store_relaxed(&victim->asked, 1);
        any |= has;
    }
    return any;
}

/* ---- having nothing to do ------------------------------------------------ */

/* The watch takes up the work that it has found. */
static ready_t leave_watch(struct worker *w, ready_t item, bool stolen)
{
    struct weft_runtime *rt = w->runtime;
    switch (idle_leave(&rt->idle, stolen || !inject_empty(&rt->inject))) {
    case IDLE_ALONE: break;
    case IDLE_SUCCEEDED: worker_count_one(&w->count.wakeups); break;
    case IDLE_UNWATCHED:
        store_relaxed(&w->asked, 1);
        if (!inject_empty(&rt->inject) && idle_call(&rt->idle)) worker_count_one(&w->count.wakeups);
        break;
    }
    return item;
}

/* Was what this worker stole worth it? */
static void judge_steal(struct worker *w)
{
    if (!w->stole_at) return;
    int64_t gain = choice_clock() - w->stole_at - (int64_t)w->stole_count * WORTH_NS;
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

static ready_t watch(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    int64_t              doze = DOZE_FIRST_NS, begin = choice_clock(), asked = 0;
    bool                 trimmed = false;
    for (;;) {
        if (idle_closed(&rt->idle)) return leave_watch(w, 0, false);
        ready_t item = work_take_shared(w);
        if (item) return leave_watch(w, item, false);
        if (!w->rest) {
            if ((item = steal(w))) return leave_watch(w, item, true);
            int64_t now = choice_clock();
            bool    any = ask(w, false, asked && now - asked >= FORCE_NS);
            if (!any) asked = 0;
            else if (!asked) asked = now;
            if (now - begin < LOOK_NS) {
                for (int i = 0; i < 16; i++) atomic_pause();
                continue;
            }
            if (asked && now - asked < FORCE_NS + LOOK_NS && idle_running(&rt->idle) > 0) continue;
        }
        bool final = idle_lie_down(&rt->idle, w->index);
        if (!inject_empty(&rt->inject) || idle_closed(&rt->idle)) {
            idle_undoze(&rt->idle, w->index);
            continue;
        }
        if (!w->rest && doze >= CALL_FROM_NS) ask(w, true, false);
        worker_count_one(&w->count.parks);
        /* When nobody runs: once for a while, then for good. */
        bool    forever = final && trimmed;
        int64_t timeout = final ? TRIM_NS : w->rest ? DOZE_FIRST_NS << w->rests : doze;
        int64_t before = choice_clock();
        idle_doze(&rt->idle, w->index, forever ? -1 : timeout);
        if (final && !trimmed && choice_clock() - before >= TRIM_NS) {
            spare_trim(w);
            trimmed = true;
            continue;
        }
        if (!w->rest) doze = min_of(doze * 2, DOZE_MOST_NS);
        w->rest = false;
        begin = choice_clock() - LOOK_NS / 2; /* after a doze a shorter look is enough */
    }
}

void search_init(struct worker *w)
{
    w->saved = SAVED_MOST_NS;
}

ready_t search_work(struct worker *w)
{
    struct weft_runtime *rt = w->runtime;
    for (;;) {
        ready_t item;
        judge_steal(w);
        if (!w->rest && (item = steal(w))) return item;
        if (idle_closed(&rt->idle)) return 0;
        if (idle_enter(&rt->idle, w->index) == IDLE_SLEEP) {
            worker_count_one(&w->count.parks);
            if (!idle_sleep(&rt->idle, w->index)) return 0;
        }
        if ((item = watch(w)) || (item = work_pick(w))) return item;
    }
}
