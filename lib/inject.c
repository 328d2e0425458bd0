#include "inject.h"

void inject_init(struct inject *q)
{
    atomic_set(&q->lock, 0);
    atomic_set(&q->count, 0);
    q->head = q->tail = 0;
}

void inject_put(struct inject *q, ready_t item)
{
    ready_set_next(item, 0);
    lock_take(&q->lock);
    if (q->head) ready_set_next(q->tail, item);
    else q->head = item;
    q->tail = item;
    store_relaxed(&q->count, load_relaxed(&q->count) + 1);
    lock_drop(&q->lock);
}

ready_t inject_take(struct inject *q)
{
    if (inject_empty(q)) return 0;
    lock_take(&q->lock);
    ready_t item = q->head;
    if (item) {
        q->head = ready_unlink(item);
        store_relaxed(&q->count, load_relaxed(&q->count) - 1);
    }
    lock_drop(&q->lock);
    return item;
}
