#include "order.h"

#if ORDER_PRECISE
#include <errno.h>
#include <stdlib.h>

/* Of the sanitizer's runtime, which gcc and clang have in common. */
void __tsan_acquire(void *object);
void __tsan_release(void *object);
void __tsan_read_range(void *begin, unsigned long size);
void __tsan_write_range(void *begin, unsigned long size);
void __tsan_atomic64_store(volatile uint64_t *word, uint64_t value, int order);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *begin, size_t size, const char *what);
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);

void order_release(const void *object)
{
    __tsan_release((void *)object);
}

void order_renew(void *object)
{
    /* A store with release is the one thing that replaces what the sanitizer knows of an address. */
    __tsan_atomic64_store(object, *(uint64_t *)object, __ATOMIC_RELEASE);
}

void order_acquire(const void *object)
{
    __tsan_acquire((void *)object);
}

void order_thread(const void *object)
{
    AnnotateBenignRaceSized(__FILE__, __LINE__, &errno, sizeof errno, "errno");
    __tsan_release((void *)object);
}

/* Reads are ignored with the writes. */
void order_hide(void)
{
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

void order_show(void)
{
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
}

/* A block of its own for each, as what the sanitizer knows of a block ends with it. */
order_mark order_send(const void *elem, size_t size)
{
    if (size > 0) __tsan_read_range((void *)elem, size);
    order_mark mark = {malloc(1)};
    if (!mark.cell) base_die("no memory for what ThreadSanitizer is to know of an element");
    __tsan_release(mark.cell);
    return mark;
}

void order_receive(order_mark mark, void *elem, size_t size)
{
    __tsan_acquire(mark.cell);
    free(mark.cell);
    if (elem && size > 0) __tsan_write_range(elem, size);
}

void order_drop(order_mark mark)
{
    order_hide();
    free(mark.cell);
    order_show();
}

bool order_marks_make(order_marks *marks, size_t count)
{
    marks->at = calloc(count + 1, sizeof *marks->at);
    return marks->at;
}

void order_marks_free(order_marks *marks)
{
    free(marks->at);
}
#endif
