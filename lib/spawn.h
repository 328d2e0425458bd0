/* spawn.h - tasks in their spawner's storage: fork and join
 */
#ifndef WEFT_SPAWN_H
#define WEFT_SPAWN_H

#include "cancel.h"
#include "order.h"
#include "team.h"

void spawn_wake(uintptr_t state);

/* Stops the program: a task has ended with a scope of its own still open. */
_Noreturn void spawn_left_open(void);

/* The task, which ran from the loop, has ended. */
static always_inline void spawn_ended(struct weft_runtime *runtime, struct task *task, int result)
{
    cancel_leave(runtime, &task->node);
    store_relaxed(&task->node.result, result);
    order_release(task);
    /* acq_rel: release pairs with the acquire in weft_await and weft_done, which see
     * what the task did; acquire pairs with publish_await, for the waiter.  The task is
     * not touched after. */
    chaos_point();
    uintptr_t state = swap_acq_rel(&task->node.state, TASK_DONE);
    chaos_point();
    if (state) spawn_wake(state);
}

/* As weft_await. */
int spawn_await(struct task *task);

#endif
