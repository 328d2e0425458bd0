/* context.h - one stack's saved registers, and what tools must be told of it
 *
 * Everything that Boost.Context, AddressSanitizer, ThreadSanitizer, Valgrind
 * and the C++ runtime have to do with stacks and switches is in context.c, but for
 * the bare jump of context_hop.
 */
#ifndef WEFT_CONTEXT_H
#define WEFT_CONTEXT_H

#include "base.h"

struct context {
    void           *sp;    /* as fcontext has it; meaningless while the context runs */
    struct context *under; /* its user's: what goes on when this gives control back, or NULL */
    struct context *to;    /* of its last switch, if that was to a new one */
    void (*entry)(struct context *from);
    void       *exceptions[2]; /* C++: what __cxa_get_globals holds, which belongs to the stack, not to the thread */
    char       *low;           /* the stack; of a thread's own known to AddressSanitizer alone */
    size_t      size;
    const void *what;   /* its user's, for reports: the function that runs on it */
    bool        canary; /* its user's: the guard below the stack is a pattern, to be checked when it is left */
#if STACK_PER_TASK
    void *fake_stack;
    void *tsan;
#endif
    unsigned valgrind; /* the id of a registered stack */
};

/* A context that will call entry(from) on the stack [low, top), `from` being the one
 * that switched to it.  entry does not return. */
void context_make(struct context *c, char *low, char *top, void (*entry)(struct context *from));

/* The context of the calling thread's own stack: to switch away from and back to. */
void context_thread(struct context *c);

/* Tells the tools that nobody will switch to it again, wherever it was left. */
void context_end(struct context *c);

/* Leaves `from`, which runs, for `to`.  Returns when somebody switches to `from`: that
 * one's context, which may be resumed, by another thread too, from then on and no
 * sooner. */
struct context *context_switch(struct context *from, struct context *to);

/* context_switch, then then(a, b), whose result it returns: for two that pass control to and fro all the time. */
typedef int context_then(void *a, void *b);
int         context_pass(struct context *from, struct context *to, context_then *then, void *a, void *b);

/* ---- context_switch without its call ---------------------------------------------- */

struct context_jumped {
    void           *sp;
    struct context *from;
};
struct context_jumped context_jump(void *to, struct context *from) __asm__("weft_context_jump");

/* In the lowest bit of sp: the context has never run. */
#define CONTEXT_FRESH ((uintptr_t)1)

/* Defined when the program has a C++ runtime.  Its two words (caught exceptions
 * and the count of those in flight) live with the thread, but belong to the stack:
 * a catch block may wait. */
extern void *__cxa_get_globals(void) __attribute__((weak));

static always_inline void context_hop(struct context *from, struct context *to)
{
    if (STACK_PER_TASK || unlikely((uintptr_t)to->sp & CONTEXT_FRESH) || unlikely(__cxa_get_globals != NULL)) {
        context_switch(from, to);
    } else {
        struct context_jumped back = context_jump(to->sp, from);
        back.from->sp = back.sp;
    }
}

/* ---- of one that was left ---------------------------------------------------- */

/* For unwind.c: where the registers of a context that was left are saved.  On x86-64 it points to the address that
 * jump_fcontext goes on at, in context_jump or context_pass, which has rbp, rbx, r15, r14, r13 and r12 below it and
 * their frame above; on aarch64 to d8, with which jump_fcontext begins.  NULL: the context has never run,
 * or this version of jump_fcontext is not known. */
const void *context_saved(const struct context *c);

/* For ThreadSanitizer, in the build of order.h: what the calling thread does between these is done in the name of `as`,
 * which has been left, and which nobody goes on with meanwhile.  NULL: in the name of nobody, who knows only what was
 * done before the first time; by one thread at a time, and with no switch in between.  context_unpose takes what
 * context_pose has returned. */
void *context_pose(struct context *as);
void  context_unpose(void *before);

/* It will be switched to soon: what it finds first on its stack is in nobody's cache, perhaps. */
static always_inline void context_prefetch(const struct context *c)
{
    for (unsigned i = 0; i < 6; i++) prefetch((uintptr_t)c->sp + i * CACHE_LINE);
}

/* For AddressSanitizer: memory below the saved stack pointer is nobody's until
 * context_revive, as its task has ended. */
void context_bury(struct context *c);
void context_revive(struct context *c);

#endif
