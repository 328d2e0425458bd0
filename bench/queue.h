/* queue.h - what threads use where tasks have a channel: a ring under a mutex, with two conditions
 *
 * First in, first out, for any number of threads on either side.  After queue_close
 * nothing is sent any more.
 */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t  filled, drained; /* no longer empty, or closed; no longer full */
    size_t          size, capacity;  /* of an item in bytes; at least one item */
    size_t          first, count;
    bool            closed;
    char           *items;
};

void queue_init(struct queue *q, size_t size, size_t capacity);
void queue_destroy(struct queue *q);
void queue_send(struct queue *q, const void *item);
bool queue_recv(struct queue *q, void *item); /* false: closed and empty */
void queue_close(struct queue *q);

#endif /* BENCH_QUEUE_H */
