/* test_unwind.c - the frames of a suspended stack are found from outside */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "symbol.h"
#include "team.h"
#include "unwind.h"

enum { FRAMES = 64 };

static void    *frames[FRAMES];
static unsigned count;

/* Whether these names are among the frames, in this order and next to each other, the first one within the
 * first few.  Compilers add suffixes to names. */
static bool frames_have(const char *const *names, size_t length)
{
    size_t   matched = 0;
    unsigned first = 0;

    for (unsigned i = 0; i < count && matched < length; i++) {
        char   text[256];
        size_t n = strlen(names[matched]);
        symbol_describe((char *)frames[i] - 1, text, sizeof text);
        if (!strncmp(text, names[matched], n) && strchr("+. ", text[n]) && text[n]) {
            if (matched++ == 0) first = i;
        } else if (matched > 0) {
            break;
        }
    }
    if (matched == length && first < 12) return true;
    for (unsigned i = 0; i < count; i++) {
        char text[256];
        symbol_describe((char *)frames[i] - 1, text, sizeof text);
        print_error("%2u %s\n", i, text);
    }
    return false;
}

/* The assembly at the base of each stack, a few dozen bytes. */
extern const char weft_context_entry[];

static bool frames_end_at_the_base(void)
{
    return count > 0 && (size_t)((const char *)frames[count - 1] - weft_context_entry) - 1 < 64;
}

#define BARRIER() __asm__ volatile("" : : : "memory") /* after a call: it is not the function's last act */

/* ---- a task that waits ----------------------------------------------------------------- */

static const struct fiber *sleeper;
static weft_chan          *chan;
static weft_task           awaited;
static atomic_bool         let_go;

static noinline int inner_receives(void)
{
    char element = 0;
    int  result = weft_recv(chan, &element, WEFT_NEVER);

    BARRIER();
    return result;
}

static noinline int inner_awaits(void)
{
    int result = weft_await(&awaited);

    BARRIER();
    return result;
}

static noinline int inner_yields(void)
{
    while (!atomic_load(&let_go)) weft_yield();
    BARRIER();
    return 0;
}

/* A frame of a size that is known only now is found by way of rbp, which those below have to restore; and
 * the values that live across the call are in registers that they save. */
static noinline int middle(int (*inner)(void), size_t size)
{
    volatile char *room = __builtin_alloca(size);
    size_t         a = size * 3, b = size * 5, c = size * 7, d = size * 11;

    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    room[size - 1] = 1;
    int result = inner();
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    return result + (a + b + c + d == size * 26 ? 0 : 1000) + room[size - 1] - 1;
}

static noinline int outer(int (*inner)(void), size_t size)
{
    int result = middle(inner, size);

    BARRIER();
    return result;
}

static int sleeping_task(void *arg)
{
    int (**inner)(void) = arg;

    sleeper = worker_fiber();
    int result = outer(*inner, 100);
    BARRIER();
    return result;
}

static int wait_for_flag(void *arg)
{
    (void)arg;
    task_until(atomic_load(&let_go));
    return 0;
}

struct wait_case {
    int (*inner)(void);
    const char *names[4];
};

/* On one worker: while this task runs, the sleeper is suspended. */
static int look_at_sleeper(void *arg)
{
    struct wait_case *wait = arg;
    weft_task         task;

    sleeper = NULL;
    atomic_store(&let_go, false);
    task_check(weft_chan_create(&chan, 1, 0) == 0);
    weft_spawn(&awaited, wait_for_flag, NULL);
    weft_yield(); /* once it has begun, awaiting it suspends */
    weft_spawn(&task, sleeping_task, &wait->inner);
    task_until(sleeper);
    weft_yield();
    task_check(sleeper != worker_fiber());
    count = unwind_context(&sleeper->context, frames, FRAMES);
    task_check(frames_have(wait->names, TEST_LENGTH(wait->names)));
    task_check(frames_end_at_the_base());

    void *few[4] = {NULL, NULL, NULL, wait};
    task_check(unwind_context(&sleeper->context, few, 3) == 3);
    task_check(!memcmp(few, frames, 3 * sizeof *few) && few[3] == wait);
    task_check(unwind_context(&sleeper->context, few, 0) == 0);

    atomic_store(&let_go, true);
    if (wait->inner == inner_receives) task_check(weft_send(chan, "x", WEFT_NEVER) == 0);
    task_check(weft_await(&task) == 0);
    if (wait->inner != inner_awaits) task_check(weft_await(&awaited) == 0);
    weft_chan_destroy(chan);
    return 0;
}

static void waiting_task_is_unwound(void **state)
{
    (void)state;
    struct wait_case waits[] = {
        {inner_receives, {"inner_receives", "middle", "outer", "sleeping_task"}},
        {inner_awaits, {"inner_awaits", "middle", "outer", "sleeping_task"}},
        {inner_yields, {"inner_yields", "middle", "outer", "sleeping_task"}},
    };

    for (size_t i = 0; i < TEST_LENGTH(waits); i++)
        assert_int_equal(test_run(look_at_sleeper, &waits[i], WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- contexts without tasks ------------------------------------------------------------ */

enum { STACK = 256 * 1024 };

static struct context here, there;

static noinline void switch_below(unsigned depth)
{
    if (depth > 0) switch_below(depth - 1);
    else context_switch(&there, &here);
    BARRIER();
}

/* Then, of the thread, which is as suspended as anybody. */
static void enter_and_switch(struct context *from)
{
    (void)from;
    switch_below(3);
    count = unwind_context(&here, frames, FRAMES);
    for (;;) context_switch(&there, &here);
}

static noinline void switch_to_there(void)
{
    context_switch(&here, &there);
    BARRIER();
}

static void context_is_unwound(void **state)
{
    (void)state;
    const char *const below[] = {"switch_below", "switch_below", "switch_below", "switch_below", "enter_and_switch"};
    const char *const thread[] = {"switch_to_there", "context_is_unwound"};
    char             *stack = aligned_alloc(4096, STACK);

    assert_non_null(stack);
    context_thread(&here);
    context_make(&there, stack, stack + STACK, enter_and_switch);
    /* One that has never run. */
    assert_int_equal(unwind_context(&there, frames, FRAMES), 0);
    switch_to_there();
    count = unwind_context(&there, frames, FRAMES);
    assert_true(frames_have(below, TEST_LENGTH(below)));
    assert_true(frames_end_at_the_base());
    switch_to_there();
    assert_true(frames_have(thread, TEST_LENGTH(thread)));
    context_end(&there);
    free(stack);
}

/* ---- registers ------------------------------------------------------------------------- */

/* From <unwind.h>, which lib/unwind.h hides here. */
struct _Unwind_Context;
uintptr_t _Unwind_GetGR(struct _Unwind_Context *frame, int index);
uintptr_t _Unwind_GetIP(struct _Unwind_Context *frame);
void      weft_unwind_across(const void *saved, int (*visit)(struct _Unwind_Context *frame, void *arg), void *arg);

/* context_switch, with numbers in all registers that it has to keep. */
void              switch_with_registers(struct context *from, struct context *to);
extern const char switch_with_registers_end[];
#if defined(__x86_64__)
static const int numbers[] = {3, 6, 12, 13, 14, 15}; /* of rbx, rbp, r12 to r15 in unwind tables */
__asm__(".text\n"
        ".globl switch_with_registers, switch_with_registers_end\n"
        ".type switch_with_registers,@function\n"
        "switch_with_registers:\n"
        ".cfi_startproc\n"
        ".cfi_remember_state\n"
        "    pushq %rbx\n"
        "    pushq %rbp\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    pushq %rax\n"
        ".cfi_adjust_cfa_offset 56\n"
        ".cfi_offset %rbx, -16\n"
        ".cfi_offset %rbp, -24\n"
        ".cfi_offset %r12, -32\n"
        ".cfi_offset %r13, -40\n"
        ".cfi_offset %r14, -48\n"
        ".cfi_offset %r15, -56\n"
        "    movl $1003, %ebx\n"
        "    movl $1006, %ebp\n"
        "    movl $1012, %r12d\n"
        "    movl $1013, %r13d\n"
        "    movl $1014, %r14d\n"
        "    movl $1015, %r15d\n"
        "    call context_switch\n"
        "    popq %rax\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbp\n"
        "    popq %rbx\n"
        ".cfi_restore_state\n"
        "    ret\n"
        ".cfi_endproc\n"
        "switch_with_registers_end:\n"
        ".size switch_with_registers,.-switch_with_registers\n");
#elif defined(__aarch64__)
static const int numbers[] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29};
__asm__(".text\n"
        ".globl switch_with_registers, switch_with_registers_end\n"
        ".type switch_with_registers,%function\n"
        "switch_with_registers:\n"
        ".cfi_startproc\n"
        ".cfi_remember_state\n"
        "    stp x29, x30, [sp, #-96]!\n"
        ".cfi_adjust_cfa_offset 96\n"
        "    stp x19, x20, [sp, #16]\n"
        "    stp x21, x22, [sp, #32]\n"
        "    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n"
        "    stp x27, x28, [sp, #80]\n"
        ".cfi_rel_offset x29, 0\n"
        ".cfi_rel_offset x30, 8\n"
        ".cfi_rel_offset x19, 16\n"
        ".cfi_rel_offset x20, 24\n"
        ".cfi_rel_offset x21, 32\n"
        ".cfi_rel_offset x22, 40\n"
        ".cfi_rel_offset x23, 48\n"
        ".cfi_rel_offset x24, 56\n"
        ".cfi_rel_offset x25, 64\n"
        ".cfi_rel_offset x26, 72\n"
        ".cfi_rel_offset x27, 80\n"
        ".cfi_rel_offset x28, 88\n"
        "    mov x19, #1019\n"
        "    mov x20, #1020\n"
        "    mov x21, #1021\n"
        "    mov x22, #1022\n"
        "    mov x23, #1023\n"
        "    mov x24, #1024\n"
        "    mov x25, #1025\n"
        "    mov x26, #1026\n"
        "    mov x27, #1027\n"
        "    mov x28, #1028\n"
        "    mov x29, #1029\n"
        "    bl context_switch\n"
        "    ldp x19, x20, [sp, #16]\n"
        "    ldp x21, x22, [sp, #32]\n"
        "    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n"
        "    ldp x27, x28, [sp, #80]\n"
        "    ldp x29, x30, [sp], #96\n"
        ".cfi_restore_state\n"
        "    ret\n"
        ".cfi_endproc\n"
        "switch_with_registers_end:\n"
        ".size switch_with_registers,.-switch_with_registers\n");
#endif

/* How many frames of switch_with_registers were seen, and how many registers in them that were not right. */
struct registers {
    unsigned frames, wrong;
};

static int check_registers(struct _Unwind_Context *frame, void *arg)
{
    struct registers *seen = arg;
    uintptr_t         pc = _Unwind_GetIP(frame);

    if (pc < (uintptr_t)switch_with_registers || pc >= (uintptr_t)switch_with_registers_end) return 0;
    seen->frames++;
    for (size_t i = 0; i < TEST_LENGTH(numbers); i++)
        seen->wrong += _Unwind_GetGR(frame, numbers[i]) != 1000 + (uintptr_t)numbers[i];
    return 0;
}

static void enter_with_registers(struct context *from)
{
    (void)from;
    for (;;) switch_with_registers(&there, &here);
}

static void registers_are_the_suspended_ones(void **state)
{
    (void)state;
    struct registers seen = {0, 0};
    char            *stack = aligned_alloc(4096, STACK);

    assert_non_null(stack);
    context_thread(&here);
    context_make(&there, stack, stack + STACK, enter_with_registers);
    context_switch(&here, &there);
    weft_unwind_across(context_saved(&there), check_registers, &seen);
    assert_int_equal(seen.frames, 1);
    assert_int_equal(seen.wrong, 0);
    /* What looks is not seen. */
    assert_true(unwind_context(&there, frames, FRAMES) > 0);
    assert_true((uintptr_t)frames[0] - (uintptr_t)weft_unwind_across > 256);
    context_end(&there);
    free(stack);
}

/* ---- the caller ------------------------------------------------------------------------ */

static noinline int inner_looks(void)
{
    count = unwind_self(frames, FRAMES);
    BARRIER();
    return 0;
}

static const char *const own_names[] = {"inner_looks", "middle", "outer"};

static int looking_task(void *arg)
{
    (void)arg;
    task_check(outer(inner_looks, 100) == 0);
    task_check(frames_have(own_names, TEST_LENGTH(own_names)));
    task_check(frames_end_at_the_base());
    return 0;
}

static void caller_is_unwound(void **state)
{
    (void)state;
    char  text[256];
    void *few[2] = {NULL, NULL};

    assert_int_equal(outer(inner_looks, 100), 0);
    assert_true(frames_have(own_names, TEST_LENGTH(own_names)));
    symbol_describe((char *)frames[0] - 1, text, sizeof text);
    assert_ptr_equal(strstr(text, "inner_looks"), text);
    assert_int_equal(unwind_self(few, 1), 1);
    assert_null(few[1]);
    assert_int_equal(test_run_workers(looking_task, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_task_is_unwound),
        cmocka_unit_test(context_is_unwound),
        cmocka_unit_test(registers_are_the_suspended_ones),
        cmocka_unit_test(caller_is_unwound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
