/* work.h - what is ready: made so, and picked to run next
 *
 * Making something ready cannot fail, and nothing ready waits for ever while others run:
 * a worker takes what is near first, and every so often what has waited longest.
 *
 *   near    whom the last task has woken; by turns the queue that all workers share, what was resumed, oldest
 *           first, and its own tasks, newest first; then who has only yielded
 *   far     what was resumed, what is shared and who has yielded, by turns; now and then the oldest of its own tasks
 *
 * With a seed each pick is drawn at random.
 */
#ifndef WEFT_WORK_H
#define WEFT_WORK_H

#include "team.h"

/* ---- making things ready ------------------------------------------------- */

/* The owner's answer to `asked`: publishes, and wakes who sleeps. */
void work_answer(struct worker *w);

void work_push_slow(struct worker *w, struct task *task);

/* By a task: a free task that has not begun is ready, here or for thieves. */
static always_inline void work_push(struct worker *w, struct task *task)
{
    if (unlikely(!deque_push_fast(&w->deque, task))) work_push_slow(w, task);
    else if (unlikely(load_relaxed(&w->asked))) work_answer(w);
}

/* By any thread: the item is ready in that runtime, which the caller knows to be
 * alive until the item runs. */
void work_ready(struct weft_runtime *runtime, ready_t item);

/* A fiber is ready, in its root if it has one.  `next`: by a task that ends or will soon wait; if it can, the fiber
 * runs next on this worker. */
void work_ready_fiber(struct fiber *f, bool next);

/* On this worker, behind what it has resumed already. */
void work_ready_here(struct worker *w, ready_t item);

/* By a worker that has just left it: behind all that have waited, as it has not. */
static always_inline void work_ready_yielded(struct worker *w, ready_t item)
{
    if (WEFT_CHAOS || unlikely(!runq_push(&w->yielded, item))) work_ready_here(w, item);
}

/* For the `expire` of a timer, whose moment and arg these are: the fiber is ready as soon as the lock of the timers is
 * dropped. */
void work_expired(struct fiber *f, int64_t when, void *arg);

/* Makes those ready whose moment has come, of this worker's timers, or of everybody's, as far as its queue has room,
 * but a few in any case: what is left any worker may take up.  How many. */
unsigned work_expire(struct worker *w, bool all);

/* Sends what is in the worker's outbox, and wakes who waits for descriptors that are ready: looks, and does not wait.
 * How many there were of these. */
unsigned work_poll(struct worker *w);

/* Looks, every WORK_LOOK_AFTER_NS, after those who wait for a descriptor for long.  True: somebody is to, again. */
#define WORK_LOOK_AFTER_NS (50 * WEFT_MS)
bool work_look_after(struct worker *w);

/* The moment of the runtime's next timer, at the earliest; INT64_MAX. */
int64_t work_next_timer(struct weft_runtime *rt);

/* Where every worker looks; wakes one if it sleeps. */
void work_ready_shared(struct weft_runtime *rt, ready_t item);

/* By a task that is to make a system call which takes long: what runs after it, most likely, is in no cache any more,
 * or will not be after the call. */
void work_look_ahead(struct worker *w);

/* ---- picking ------------------------------------------------------------- */

/* Each takes one item from one place; 0: there is none. */
static inline ready_t work_take_task(struct worker *w)
{
    struct task *task = deque_pop(&w->deque);
    return task ? task_ready(task) : 0;
}

static inline ready_t work_take_next(struct worker *w)
{
    return slot_take(&w->next);
}

static inline ready_t work_take_resumed(struct worker *w)
{
    return runq_pop(&w->runq);
}

static inline ready_t work_take_yielded(struct worker *w)
{
    return runq_pop(&w->yielded);
}

ready_t work_take_shared(struct worker *w);

/* How many that have begun are ready on this worker. */
static inline uint32_t work_length(struct worker *w)
{
    return runq_length(&w->runq) + runq_length(&w->yielded);
}

/* Of the tasks for which the deque had no memory. */
ready_t work_take_spilled(struct worker *w);

/* Looks at the clock, after WORK_NEAR near picks at most, and after fewer the longer they take.  If it is time it picks
 * from the far end, or with a seed from anywhere; 0: it is not time yet, or there is nothing. */
#define WORK_NEAR 60 /* and the far one: 61, Go's number, prime so as not to beat with loops */
ready_t work_pick_far(struct worker *w);

/* What runs next on this worker, by its own means; 0: nothing. */
static always_inline ready_t work_pick(struct worker *w)
{
    ready_t item;
    if (unlikely(--w->near < 0) && ((item = work_pick_far(w)) || w->choice.seeded)) return item;
    if ((item = work_take_next(w))) return item;
    /* By turns: what goes on frees a stack in the end, what begins takes one, and neither may pile up behind the other.
     * What goes on has three of four, as every task begins but once, and who is to go on has often been promised
     * when. */
    unsigned turn = w->picks++ & 3;
    if (turn == 3 && !inject_empty(&w->runtime->inject) && (item = work_take_shared(w))) return item;
    if (turn && (item = work_take_resumed(w))) return item;
    if ((item = work_take_task(w))) return item;
    if (unlikely(w->spill)) return work_take_spilled(w);
    if (!turn && (item = work_take_resumed(w))) return item;
    if (!inject_empty(&w->runtime->inject) && (item = work_take_shared(w))) return item;
    return work_take_yielded(w);
}

/* What a task that breathes lets run: what was resumed, is shared or has yielded; every WORK_BREATHS breaths, or every
 * WORK_LATE_BREATHS of those that a tick of the clock has asked for, the oldest task that has not begun.  That is
 * seldom, since to begin the far end of a recursion costs a stack, and most often the recursion would have come to
 * it. */
#define WORK_BREATHS      64
#define WORK_LATE_BREATHS 4
ready_t work_pick_breath(struct worker *w);

#endif
