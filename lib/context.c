#define _GNU_SOURCE
#include "context.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "lock.h"
#include "order.h"

/* Boost.Context's C symbols; fcontext.hpp, which declares them, is C++.  Its transfer_t is our context_jumped. */
extern void *make_fcontext(void *top, size_t size, void (*entry)(struct context_jumped));

#if UNDER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if UNDER_TSAN
void *__tsan_create_fiber(unsigned flags);
void  __tsan_destroy_fiber(void *fiber);
void  __tsan_switch_to_fiber(void *fiber, unsigned flags);
void *__tsan_get_current_fiber(void);

/* gcc's runtime dies inside at 8,128 threads and contexts. */
#define TSAN_CONTEXTS 8000
static Atomic(int) tsan_contexts;

/* In __tsan_switch_to_fiber: 0 orders what the one that is left has done before what the other will do. */
#define TSAN_NO_SYNC 1u
#define TSAN_SWITCH  (ORDER_PRECISE ? TSAN_NO_SYNC : 0u)

static Atomic(uint32_t) nobody_lock;
static Atomic(void *)   nobody;

/* A new context knows what its maker knows.  In the build of order.h all are made by nobody: else whoever first runs in
 * one would be ordered after the task that ran where it was made.  There it also knows what the last user of the stack
 * knew, whose frames lie there. */
static void tsan_make(struct context *c)
{
    void *self = context_pose(NULL);
    c->tsan = __tsan_create_fiber(0);
    context_unpose(self);
    if (!ORDER_PRECISE) return;
    self = context_pose(c);
    order_acquire(c->low);
    context_unpose(self);
}

static void tsan_end(struct context *c)
{
    if (ORDER_PRECISE) {
        void *self = context_pose(c);
        order_release(c->low);
        context_unpose(self);
    }
    __tsan_destroy_fiber(c->tsan);
}
#endif

void *context_pose(struct context *as)
{
#if UNDER_TSAN
    if (ORDER_PRECISE) {
        void *before = __tsan_get_current_fiber();
        if (!as) {
            lock_take(&nobody_lock);
            if (!load_relaxed(&nobody)) store_relaxed(&nobody, __tsan_create_fiber(0));
        }
        __tsan_switch_to_fiber(as ? as->tsan : load_relaxed(&nobody), TSAN_NO_SYNC);
        return before;
    }
#endif
    (void)as;
    return NULL;
}

void context_unpose(void *before)
{
#if UNDER_TSAN
    if (ORDER_PRECISE) {
        bool was_nobody = __tsan_get_current_fiber() == load_relaxed(&nobody);
        __tsan_switch_to_fiber(before, TSAN_NO_SYNC);
        if (was_nobody) lock_drop(&nobody_lock);
    }
#endif
    (void)before;
}

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(from, to) 0
#define VALGRIND_STACK_DEREGISTER(id)     ((void)(id))
#endif

/* jump_fcontext, for the processor's return predictor.  On x86-64 it is entered by a call and
 * left by an indirect jump, so each switch leaves one return address too many on the
 * predictor's stack, and every return up to the task's own code is mispredicted, 5 ns each.
 * Going through a return here pairs them again.  (Measured: a yield of 25 ns became one of 11.) */
#if defined(__x86_64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".hidden weft_context_jump\n"
        ".globl weft_context_jump\n"
        ".type weft_context_jump,@function\n"
        "weft_context_jump:\n"
        ".cfi_startproc\n"
        "    leaq weft_context_jumped(%rip), %rax\n"
        "    pushq %rax\n"
        ".cfi_adjust_cfa_offset 8\n"
        "    jmp jump_fcontext@PLT\n"
        ".cfi_adjust_cfa_offset -8\n"
        "    nop\n" /* unwinders look up the byte before an address that they return to */
        ".hidden weft_context_jumped\n"
        ".globl weft_context_jumped\n"
        "weft_context_jumped:\n"
        "    endbr64\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size weft_context_jump,.-weft_context_jump\n");
#else
extern struct context_jumped jump_fcontext(void *to, struct context *from);
struct context_jumped        context_jump(void *to, struct context *from)
{
    return jump_fcontext(to, from);
}
#endif

/* context_pass, for the processor's predictor too.  Two stacks that pass control to and fro return, each time, to
 * where the other one was not called from, so their returns are all mispredicted; indirect jumps are not.  So the
 * switch ends where then is called, which is paired, and what follows returns to the caller by a jump.  (Measured:
 * there and back 40 ns by context_switch and returns, 15 ns by this, 11 ns by two bare jump_fcontext.)  Not where
 * tools are to be told, who want their calls from C. */
#if defined(__x86_64__) && !STACK_PER_TASK
#define PASS_BY_JUMP 1
int        context_pass(struct context *from, struct context *to, context_then *then, void *a,
                        void *b) __asm__("weft_context_pass");
static int pass_slow(struct context *from, struct context *to, context_then *then, void *a,
                     void *b) __asm__("weft_context_pass_slow") __attribute__((used));
int        pass(struct context *from, struct context *to, context_then *then, void *a,
                void *b) __asm__("weft_context_pass_anyway");
_Static_assert(offsetof(struct context, sp) == 0, "as it is used below");
__asm__(".text\n"
        ".p2align 4\n"
        ".hidden context_pass\n"
        ".globl context_pass\n"
        ".type context_pass,@function\n"
        "context_pass:\n"
        ".cfi_startproc\n"
        "    testb $1, (%rsi)\n" /* CONTEXT_FRESH */
        "    jne weft_context_pass_slow\n"
        "    cmpq $0, __cxa_get_globals@GOTPCREL(%rip)\n"
        "    jne weft_context_pass_slow\n"
        "weft_context_pass_anyway:\n"
        "    pushq %rdx\n"
        ".cfi_adjust_cfa_offset 8\n"
        "    pushq %rcx\n"
        ".cfi_adjust_cfa_offset 8\n"
        "    pushq %r8\n"
        ".cfi_adjust_cfa_offset 8\n"
        "    leaq weft_context_passed(%rip), %rax\n"
        "    pushq %rax\n"
        ".cfi_adjust_cfa_offset 8\n"
        "    movq %rdi, %rax\n"
        "    movq (%rsi), %rdi\n" /* to->sp */
        "    movq %rax, %rsi\n"
        "    jmp jump_fcontext@PLT\n"
        ".cfi_adjust_cfa_offset -8\n"
        "    nop\n" /* as in context_jump */
        ".hidden weft_context_passed\n"
        ".globl weft_context_passed\n"
        "weft_context_passed:\n"
        "    endbr64\n"
        "    movq %rax, (%rdx)\n" /* the other's sp */
        "    popq %rsi\n"
        ".cfi_adjust_cfa_offset -8\n"
        "    popq %rdi\n"
        ".cfi_adjust_cfa_offset -8\n"
        "    popq %rax\n"
        ".cfi_adjust_cfa_offset -8\n"
        "    subq $8, %rsp\n"
        ".cfi_adjust_cfa_offset 8\n"
        "    call *%rax\n"
        "    addq $8, %rsp\n"
        ".cfi_adjust_cfa_offset -8\n"
        "    popq %rcx\n"
        ".cfi_adjust_cfa_offset -8\n"
        ".cfi_register rip, rcx\n"
        "    notrack jmp *%rcx\n"
        ".cfi_endproc\n"
        ".size context_pass,.-context_pass\n");
#else
#define PASS_BY_JUMP 0
#endif

/* make_fcontext leaves a code address where the frame pointer goes, and
 * unwinders would run on from it.  So contexts start here: frame pointer zero,
 * and a frame that says it has no caller. */
void context_entry(struct context_jumped from) __asm__("weft_context_entry");
#if defined(__x86_64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".hidden weft_context_entry\n"
        ".globl weft_context_entry\n"
        ".type weft_context_entry,@function\n"
        "weft_context_entry:\n"
        ".cfi_startproc\n"
        ".cfi_undefined rip\n"
        "    endbr64\n"
        "    xorl %ebp, %ebp\n"
        "    subq $8, %rsp\n"
        "    call weft_context_start\n"
        "    ud2\n"
        ".cfi_endproc\n"
        ".size weft_context_entry,.-weft_context_entry\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".hidden weft_context_entry\n"
        ".globl weft_context_entry\n"
        ".type weft_context_entry,%function\n"
        "weft_context_entry:\n"
        ".cfi_startproc\n"
        ".cfi_undefined x30\n"
        "    mov x29, #0\n"
        "    mov x30, #0\n"
        "    bl weft_context_start\n"
        "    brk #0\n"
        ".cfi_endproc\n"
        ".size weft_context_entry,.-weft_context_entry\n");
#else
#error "weft knows x86-64 and aarch64"
#endif

/* Before the first switch to it, so that what is made and never run costs ThreadSanitizer nothing. */
static void begin(struct context *c)
{
#if UNDER_TSAN
    if (add_relaxed(&tsan_contexts, 1) >= TSAN_CONTEXTS)
        base_die("ThreadSanitizer holds no more than %d tasks and generators that have begun and wait; use fewer in "
                 "this build",
                 TSAN_CONTEXTS);
    tsan_make(c);
#endif
    (void)c;
}

static void left(struct context *from, struct context *to)
{
#if UNDER_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->low, to->size);
#endif
#if UNDER_TSAN
    __tsan_switch_to_fiber(to->tsan, TSAN_SWITCH);
#endif
    (void)from;
    (void)to;
}

static void arrived(struct context *self)
{
#if UNDER_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
#endif
    (void)self;
}

/* Runs first on a new stack. */
void context_start(struct context_jumped t) __asm__("weft_context_start")
    __attribute__((used, noreturn, visibility("hidden")));
void context_start(struct context_jumped t)
{
    struct context *from = t.from, *self = from->to;
    from->sp = t.sp;
    arrived(self);
    self->entry(from);
    __builtin_trap();
}

void context_make(struct context *c, char *low, char *top, void (*entry)(struct context *from))
{
    memset(c, 0, sizeof *c);
    c->entry = entry;
    c->low = low;
    c->size = (size_t)(top - low);
    c->valgrind = VALGRIND_STACK_REGISTER(low, top);
    c->sp = (void *)((uintptr_t)make_fcontext(top, (size_t)(top - low), context_entry) | CONTEXT_FRESH);
}

void context_thread(struct context *c)
{
    memset(c, 0, sizeof *c);
#if UNDER_ASAN
    pthread_attr_t attr;
    void          *low;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &c->size);
        c->low = low;
        pthread_attr_destroy(&attr);
    }
#endif
#if UNDER_TSAN
    c->tsan = __tsan_get_current_fiber();
#endif
}

#if UNDER_ASAN
/* The frames that AddressSanitizer keeps elsewhere go when a context is left for good, which
 * one that is ended from outside never does: so this pretends to be there, and leaves. */
__attribute__((no_sanitize("address"))) static void end_fake_stack(struct context *c)
{
    void       *mine;
    const void *low;
    size_t      size;
    __sanitizer_start_switch_fiber(&mine, c->low, c->size);
    __sanitizer_finish_switch_fiber(c->fake_stack, &low, &size);
    __sanitizer_start_switch_fiber(NULL, low, size);
    __sanitizer_finish_switch_fiber(mine, NULL, NULL);
}
#endif

void context_end(struct context *c)
{
#if UNDER_ASAN
    context_revive(c);
    if (c->fake_stack) end_fake_stack(c);
#endif
#if UNDER_TSAN
    if (c->tsan) {
        tsan_end(c);
        sub_relaxed(&tsan_contexts, 1);
    }
#endif
    VALGRIND_STACK_DEREGISTER(c->valgrind);
    (void)c;
}

static inline struct context *jump(struct context *from, struct context *to)
{
    /* A new context finds itself by this; its mark is in the pointer so that a switch
     * need not write to another cache line. */
    uintptr_t sp = (uintptr_t)to->sp;
    if (unlikely(sp & CONTEXT_FRESH)) {
        from->to = to;
        begin(to);
    }
    left(from, to);
    struct context_jumped t = context_jump((void *)(sp & ~CONTEXT_FRESH), from);
    arrived(from);
    t.from->sp = t.sp;
    return t.from;
}

/* Both on the thread that switches. */
static noinline void exchange_exceptions(struct context *from, const struct context *to)
{
    void *globals = __cxa_get_globals();
    memcpy(from->exceptions, globals, sizeof from->exceptions);
    memcpy(globals, to->exceptions, sizeof to->exceptions);
}

struct context *context_switch(struct context *from, struct context *to)
{
    if (unlikely(__cxa_get_globals != NULL)) exchange_exceptions(from, to);
    return jump(from, to);
}

#if defined(__x86_64__)
extern const char context_jumped[] __asm__("weft_context_jumped");
#if PASS_BY_JUMP
extern const char context_passed[] __asm__("weft_context_passed");
#else
#define context_passed context_jumped
#endif
#endif

unjudged const void *context_saved(const struct context *c)
{
    if ((uintptr_t)c->sp & CONTEXT_FRESH) return NULL;
#if defined(__x86_64__)
    /* Versions of jump_fcontext differ in what they save of the processor's modes, and that comes first.
     * Then come the six registers, and then this. */
    const uintptr_t *saved = c->sp;
    for (unsigned i = 6; i < 12; i++)
        if (saved[i] == (uintptr_t)context_jumped || saved[i] == (uintptr_t)context_passed) return &saved[i];
    return NULL;
#else
    return c->sp;
#endif
}

#if PASS_BY_JUMP
static noinline int pass_slow(struct context *from, struct context *to, context_then *then, void *a, void *b)
{
    if (!((uintptr_t)to->sp & CONTEXT_FRESH)) {
        exchange_exceptions(from, to);
        return pass(from, to, then, a, b);
    }
    context_switch(from, to);
    return then(a, b);
}
#else
int context_pass(struct context *from, struct context *to, context_then *then, void *a, void *b)
{
    context_switch(from, to);
    return then(a, b);
}
#endif

/* The red zone below the saved registers may be in use. */
#define RED_ZONE 128

void context_bury(struct context *c)
{
#if UNDER_ASAN
    char *sp = (char *)((uintptr_t)c->sp & ~CONTEXT_FRESH);
    __asan_poison_memory_region(c->low, (size_t)(sp - RED_ZONE - c->low));
#endif
    (void)c;
}

void context_revive(struct context *c)
{
#if UNDER_ASAN
    __asan_unpoison_memory_region(c->low, c->size);
#endif
    (void)c;
}
