#include "queue.h"
#include "bench.h"

#include <stdlib.h>
#include <string.h>

void queue_init(struct queue *q, size_t size, size_t capacity)
{
    *q = (struct queue){.size = size, .capacity = capacity, .items = calloc(capacity, size)};
    if (!q->items) bench_fail("no memory");
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->filled, NULL);
    pthread_cond_init(&q->drained, NULL);
}

void queue_destroy(struct queue *q)
{
    pthread_cond_destroy(&q->drained);
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->mutex);
    free(q->items);
}

void queue_send(struct queue *q, const void *item)
{
    pthread_mutex_lock(&q->mutex);
    while (q->count == q->capacity) pthread_cond_wait(&q->drained, &q->mutex);
    memcpy(q->items + (q->first + q->count++) % q->capacity * q->size, item, q->size);
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_signal(&q->filled);
}

bool queue_recv(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->mutex);
    while (q->count == 0 && !q->closed) pthread_cond_wait(&q->filled, &q->mutex);
    bool got = q->count > 0;
    if (got) {
        memcpy(item, q->items + q->first * q->size, q->size);
        q->first = (q->first + 1) % q->capacity;
        q->count--;
    }
    pthread_mutex_unlock(&q->mutex);
    if (got) pthread_cond_signal(&q->drained);
    return got;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->closed = true;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_broadcast(&q->filled);
}
