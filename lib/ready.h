/* ready.h - a thing that is ready to run, as one word
 *
 * A task that has not begun, a fiber that goes on, or a root that has either: each has a
 * link in it, and the word is that link's address and the kind.  Lists of ready
 * things are linked through themselves, so that making something ready
 * cannot fail, and know nothing else of them.
 */
#ifndef WEFT_READY_H
#define WEFT_READY_H

#include "atomic.h"
#include "base.h"

typedef uintptr_t         ready_t; /* 0: nothing */
typedef Atomic(uintptr_t) ready_link;

enum ready_kind { READY_TASK = 0, READY_FIBER = 1, READY_ROOT = 2, READY_KIND = 3 };

static inline ready_t ready_make(ready_link *link, enum ready_kind kind)
{
    return (uintptr_t)link | kind;
}

static inline ready_link *ready_to_link(ready_t item)
{
    return (ready_link *)(item & ~(uintptr_t)READY_KIND);
}

static inline enum ready_kind ready_kind(ready_t item)
{
    return (enum ready_kind)(item & READY_KIND);
}

/* The entry behind; for whoever holds the list. */
static inline ready_t ready_next(ready_t item)
{
    return load_relaxed(ready_to_link(item));
}

/* For what leaves a list: the entry behind.  A task's link has another use once it runs. */
static inline ready_t ready_unlink(ready_t item)
{
    ready_t next = load_relaxed(ready_to_link(item));
    store_relaxed(ready_to_link(item), 0);
    return next;
}

static inline void ready_set_next(ready_t item, ready_t next)
{
    store_relaxed(ready_to_link(item), next);
}

#endif
