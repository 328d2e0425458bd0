/* order.h - what ThreadSanitizer is told, for testing users' programs: the order that weft.h promises, and no other
 *
 * In the build for it (WEFT_TSAN=precise) the program is instrumented and the library is not, so that the
 * sanitizer sees neither the scheduler's atomics nor that two tasks took turns on one worker: each task is a
 * thread to it, and switching orders nothing.  What orders is said here, by the calls that
 * weft.h says it of, each in the task or thread that has called.  In all other builds this is empty.
 *
 * What the library reads or writes for the caller is said too; what it keeps for itself is hidden
 * where the C library would be seen to touch it.
 *
 * Input and output order as they do between the threads of any program under ThreadSanitizer, which follows the system
 * calls itself: who reads is ordered after who wrote to that pipe or pair of sockets before, or, as the sanitizer does
 * not tell those apart, to any socket of the network, or any file.  weft_poll orders nothing.  Who finds a descriptor
 * closed is ordered after the weft_close; that is no use of the descriptor that could race with those who wait on it.
 * A blocking call is the caller's own.
 */
#ifndef WEFT_ORDER_H
#define WEFT_ORDER_H

#include "base.h"

#if ORDER_PRECISE

/* What the caller has done is seen by whoever acquires the object after. */
void order_release(const void *object);
/* The same, but what was released there before is forgotten: the storage has become this object just now.  It is
 * written to, as far as the sanitizer is concerned, and has 8 bytes, aligned. */
void order_renew(void *object);
void order_acquire(const void *object);

/* Between these nothing that the caller touches is judged, no system call orders anything, and memory that is allocated
 * is as good as new. */
void order_hide(void);
void order_show(void);

/* By a thread that tasks will run on: who acquires the object is ordered after its beginning, when its thread-locals
 * were written, and its errno belongs to whoever runs on it. */
void order_thread(const void *object);

/* What one sender has done before it sent one element; it travels with the element. */
typedef struct order_mark {
    void *cell;
} order_mark;

/* By the sender, whose element is read.  Stops the program when there is no memory. */
order_mark order_send(const void *elem, size_t size);
/* By the receiver of that element, which is written unless it is NULL. */
void order_receive(order_mark mark, void *elem, size_t size);
/* By anybody: the element is not received. */
void order_drop(order_mark mark);

/* The marks of a queue of elements. */
typedef struct order_marks {
    order_mark *at;
} order_marks;

bool order_marks_make(order_marks *marks, size_t count); /* false: no memory */
void order_marks_free(order_marks *marks);

static inline void order_marks_set(order_marks *marks, size_t at, order_mark mark)
{
    marks->at[at] = mark;
}

static inline order_mark order_marks_get(const order_marks *marks, size_t at)
{
    return marks->at[at];
}

#else

typedef struct order_mark {
} order_mark;
typedef struct order_marks {
} order_marks;

static always_inline void order_release(const void *object)
{
    (void)object;
}

static always_inline void order_renew(void *object)
{
    (void)object;
}

static always_inline void order_acquire(const void *object)
{
    (void)object;
}

static always_inline void order_thread(const void *object)
{
    (void)object;
}

static always_inline void order_hide(void)
{
}

static always_inline void order_show(void)
{
}

static always_inline order_mark order_send(const void *elem, size_t size)
{
    (void)elem;
    (void)size;
    return (order_mark){};
}

static always_inline void order_receive(order_mark mark, void *elem, size_t size)
{
    (void)mark;
    (void)elem;
    (void)size;
}

static always_inline void order_drop(order_mark mark)
{
    (void)mark;
}

static always_inline bool order_marks_make(order_marks *marks, size_t count)
{
    (void)marks;
    (void)count;
    return true;
}

static always_inline void order_marks_free(order_marks *marks)
{
    (void)marks;
}

static always_inline void order_marks_set(order_marks *marks, size_t at, order_mark mark)
{
    (void)marks;
    (void)at;
    (void)mark;
}

static always_inline order_mark order_marks_get(const order_marks *marks, size_t at)
{
    (void)marks;
    (void)at;
    return (order_mark){};
}

#endif

#endif
