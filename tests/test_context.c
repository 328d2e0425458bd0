/* test_context.c - a switch keeps what the calling convention says, and each stack has an end */
#include "support.h"

#include <execinfo.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

#if TEST_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* A C++ runtime's, as context.c finds it where there is one: two words of the thread's. */
void *__cxa_get_globals(void);

noinline void *__cxa_get_globals(void)
{
    static _Thread_local void *globals[2];

    return globals;
}

/* ---- a context with a stack of its own ------------------------------------------------- */

enum { STACK = 256 * 1024 };

struct strand {
    struct context  context;
    char           *stack;
    struct context *came_from; /* who switched to it last */
    unsigned        turns;
};

static void strand_make(struct strand *s, size_t size, void (*entry)(struct context *from))
{
    memset(s, 0, sizeof *s);
    s->stack = aligned_alloc(4096, STACK);
    assert_non_null(s->stack);
    context_make(&s->context, s->stack, s->stack + size, entry);
}

static void strand_end(struct strand *s)
{
    context_end(&s->context);
    free(s->stack);
}

/* The test's thread, and the strand that it switches to first. */
static struct context here;
static struct strand  first;

static void begin(struct context *from)
{
    first.came_from = from;
    first.turns = 1;
}

/* For an entry: back to the thread, again and again. */
static _Noreturn void take_turns(void)
{
    for (;;) {
        first.came_from = context_switch(&first.context, &here);
        first.turns++;
    }
}

/* ---- there and back ------------------------------------------------------------------------ */

static void enter_and_take_turns(struct context *from)
{
    begin(from);
    take_turns();
}

static void switch_goes_there_and_back(void **state)
{
    (void)state;
    context_thread(&here);
    strand_make(&first, STACK, enter_and_take_turns);
    for (unsigned i = 1; i <= 1000; i++) {
        first.came_from = NULL;
        assert_ptr_equal(context_switch(&here, &first.context), &first.context);
        assert_ptr_equal(first.came_from, &here);
        assert_int_equal(first.turns, i);
    }
    strand_end(&first);
}

/* Each switches to one that was just made, and when the last is reached it goes back
 * through all of them. */
enum { CHAIN = 200 };

static struct strand chain[CHAIN];
static unsigned      chain_length;

static void chain_on(struct context *from)
{
    unsigned       self = chain_length++;
    struct strand *s = &chain[self];

    s->came_from = from;
    if (chain_length < CHAIN && context_switch(&s->context, &chain[self + 1].context) != &chain[self + 1].context)
        abort();
    s->turns++;
    for (;;) context_switch(&s->context, s->came_from);
}

static void switches_go_deep(void **state)
{
    (void)state;
    context_thread(&here);
    chain_length = 0;
    for (unsigned i = 0; i < CHAIN; i++) strand_make(&chain[i], STACK, chain_on);
    assert_ptr_equal(context_switch(&here, &chain[0].context), &chain[0].context);
    assert_int_equal(chain_length, CHAIN);
    for (unsigned i = 0; i < CHAIN; i++) {
        assert_ptr_equal(chain[i].came_from, i ? &chain[i - 1].context : &here);
        assert_int_equal(chain[i].turns, 1);
    }
    for (unsigned i = 0; i < CHAIN; i++) strand_end(&chain[i]);
}

/* A context that one thread has left goes on on another, which has one of its own to go back to. */
static struct context there;

static void switch_from_there(void *arg)
{
    struct context *other;

    (void)arg;
    context_thread(&there);
    other = context_switch(&there, &first.context);
    task_check(other == &first.context);
}

static struct context *first_resumed_by;

static void enter_and_go_back_to_both(struct context *from)
{
    begin(from);
    first_resumed_by = context_switch(&first.context, &here);
    first_resumed_by = context_switch(&first.context, &there);
    take_turns();
}

static void context_goes_on_on_another_thread(void **state)
{
    (void)state;
    test_thread thread;

    context_thread(&here);
    strand_make(&first, STACK, enter_and_go_back_to_both);
    context_switch(&here, &first.context);
    test_thread_start(&thread, switch_from_there, NULL);
    test_thread_join(&thread);
    assert_task_checks();
    assert_ptr_equal(first_resumed_by, &there);
    context_switch(&here, &first.context);
    assert_ptr_equal(first_resumed_by, &here);
    strand_end(&first);
}

/* ---- what a switch keeps ---------------------------------------------------------------------- */

/* Puts `in` into the registers that a call keeps, switches, and writes what they are then to `out`. */
#if defined(__x86_64__)
enum { REGISTERS = 6 };
__asm__(".text\n"
        ".globl switch_with_registers\n"
        ".type switch_with_registers,@function\n"
        "switch_with_registers:\n"
        "    pushq %rbx\n"
        "    pushq %rbp\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    pushq %rcx\n"
        "    movq 0(%rdx), %rbx\n"
        "    movq 8(%rdx), %rbp\n"
        "    movq 16(%rdx), %r12\n"
        "    movq 24(%rdx), %r13\n"
        "    movq 32(%rdx), %r14\n"
        "    movq 40(%rdx), %r15\n"
        "    call context_switch\n"
        "    popq %rcx\n"
        "    movq %rbx, 0(%rcx)\n"
        "    movq %rbp, 8(%rcx)\n"
        "    movq %r12, 16(%rcx)\n"
        "    movq %r13, 24(%rcx)\n"
        "    movq %r14, 32(%rcx)\n"
        "    movq %r15, 40(%rcx)\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbp\n"
        "    popq %rbx\n"
        "    ret\n"
        ".size switch_with_registers,.-switch_with_registers\n");
#elif defined(__aarch64__)
enum { REGISTERS = 18 }; /* x19 to x28, and the lower halves of v8 to v15 */
__asm__(".text\n"
        ".globl switch_with_registers\n"
        ".type switch_with_registers,%function\n"
        "switch_with_registers:\n"
        "    stp x29, x30, [sp, #-176]!\n"
        "    stp x19, x20, [sp, #16]\n"
        "    stp x21, x22, [sp, #32]\n"
        "    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n"
        "    stp x27, x28, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    str x3, [sp, #160]\n"
        "    ldp x19, x20, [x2, #0]\n"
        "    ldp x21, x22, [x2, #16]\n"
        "    ldp x23, x24, [x2, #32]\n"
        "    ldp x25, x26, [x2, #48]\n"
        "    ldp x27, x28, [x2, #64]\n"
        "    ldp d8, d9, [x2, #80]\n"
        "    ldp d10, d11, [x2, #96]\n"
        "    ldp d12, d13, [x2, #112]\n"
        "    ldp d14, d15, [x2, #128]\n"
        "    bl context_switch\n"
        "    ldr x3, [sp, #160]\n"
        "    stp x19, x20, [x3, #0]\n"
        "    stp x21, x22, [x3, #16]\n"
        "    stp x23, x24, [x3, #32]\n"
        "    stp x25, x26, [x3, #48]\n"
        "    stp x27, x28, [x3, #64]\n"
        "    stp d8, d9, [x3, #80]\n"
        "    stp d10, d11, [x3, #96]\n"
        "    stp d12, d13, [x3, #112]\n"
        "    stp d14, d15, [x3, #128]\n"
        "    ldp x19, x20, [sp, #16]\n"
        "    ldp x21, x22, [sp, #32]\n"
        "    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n"
        "    ldp x27, x28, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    ldp x29, x30, [sp], #176\n"
        "    ret\n"
        ".size switch_with_registers,.-switch_with_registers\n");
#endif
struct context *switch_with_registers(struct context *from, struct context *to, const uint64_t *in, uint64_t *out);

static uint64_t registers[4][REGISTERS];

static void fill(uint64_t *in, uint64_t with)
{
    for (unsigned i = 0; i < REGISTERS; i++) in[i] = with + i;
}

static void enter_with_registers(struct context *from)
{
    begin(from);
    switch_with_registers(&first.context, &here, registers[2], registers[3]);
    take_turns();
}

static void switch_keeps_registers(void **state)
{
    (void)state;
    context_thread(&here);
    fill(registers[0], UINT64_C(0x1122334455667700));
    fill(registers[2], UINT64_C(0xfedcba9876543200));
    strand_make(&first, STACK, enter_with_registers);
    switch_with_registers(&here, &first.context, registers[0], registers[1]);
    assert_memory_equal(registers[0], registers[1], sizeof registers[0]);
    fill(registers[0], UINT64_C(0x0f1e2d3c4b5a6900));
    switch_with_registers(&here, &first.context, registers[0], registers[1]);
    assert_memory_equal(registers[0], registers[1], sizeof registers[0]);
    assert_memory_equal(registers[2], registers[3], sizeof registers[2]);
    strand_end(&first);
}

static uintptr_t frame_of_entry;

static void enter_and_note_frame(struct context *from)
{
    begin(from);
    frame_of_entry = (uintptr_t)__builtin_frame_address(0);
    take_turns();
}

/* Wherever the stack's top is: fcontext rounds it down. */
static void stack_is_aligned_and_within(void **state)
{
    (void)state;
    context_thread(&here);
    for (size_t cut = 0; cut < 128; cut += 8) {
        strand_make(&first, STACK - cut, enter_and_note_frame);
        context_switch(&here, &first.context);
        assert_int_equal(frame_of_entry % 16, 0);
        assert_true(frame_of_entry < (uintptr_t)first.stack + STACK - cut);
        assert_true(frame_of_entry > (uintptr_t)first.stack + STACK - 4096);
        strand_end(&first);
    }
}

/* On x86-64 the way of rounding belongs to the context; on aarch64 fcontext leaves it with the thread. */
#if defined(__x86_64__)
enum rounding { NEAREST, DOWN, UP, TO_ZERO };

/* Two control words, one for SSE and one for the x87. */
static void set_rounding(enum rounding rounding)
{
    unsigned short word;

    __builtin_ia32_ldmxcsr((__builtin_ia32_stmxcsr() & ~0x6000u) | (unsigned)rounding << 13);
    __asm__ volatile("fnstcw %0" : "=m"(word));
    word = (unsigned short)((word & ~0x0c00u) | (unsigned)rounding << 10);
    __asm__ volatile("fldcw %0" : : "m"(word));
}

static bool has_rounding(enum rounding rounding)
{
    unsigned short word;

    __asm__ volatile("fnstcw %0" : "=m"(word));
    return (__builtin_ia32_stmxcsr() >> 13 & 3) == (unsigned)rounding && (word >> 10 & 3) == (int)rounding;
}

static bool first_kept;

static void enter_and_round_down(struct context *from)
{
    begin(from);
    set_rounding(DOWN);
    context_switch(&first.context, &here);
    first_kept = has_rounding(DOWN);
    take_turns();
}

static void switch_keeps_rounding(void **state)
{
    (void)state;
    context_thread(&here);
    strand_make(&first, STACK, enter_and_round_down);
    set_rounding(UP);
    context_switch(&here, &first.context);
    bool kept = has_rounding(UP);
    set_rounding(TO_ZERO);
    context_switch(&here, &first.context);
    bool kept_later = has_rounding(TO_ZERO);
    set_rounding(NEAREST);
    assert_true(kept);
    assert_true(kept_later);
    assert_true(first_kept);
    strand_end(&first);
}
#endif

/* What was there, -1 when its two words do not belong together. */
static int set_exceptions(uintptr_t value)
{
    void    **globals = __cxa_get_globals();
    uintptr_t was[2] = {(uintptr_t)globals[0], (uintptr_t)globals[1]};

    globals[0] = (void *)value;
    globals[1] = (void *)(value + 1);
    return was[1] == was[0] + 1 ? (int)was[0] : was[0] || was[1] ? -1 : 0;
}

static int exceptions_found[2];

static void enter_and_throw(struct context *from)
{
    begin(from);
    exceptions_found[0] = set_exceptions(300);
    context_switch(&first.context, &here);
    exceptions_found[1] = set_exceptions(0);
    take_turns();
}

static void exceptions_belong_to_the_stack(void **state)
{
    (void)state;
    context_thread(&here);
    strand_make(&first, STACK, enter_and_throw);
    set_exceptions(100);
    context_switch(&here, &first.context);
    assert_int_equal(exceptions_found[0], 0);
    assert_int_equal(set_exceptions(200), 100);
    context_switch(&here, &first.context);
    assert_int_equal(exceptions_found[1], 300);
    assert_int_equal(set_exceptions(0), 200);
    memset(__cxa_get_globals(), 0, 2 * sizeof(void *));
    strand_end(&first);
}

/* ---- passing to and fro ---------------------------------------------------------------------------- */

static int then_add(void *sum, void *number)
{
    return *(int *)sum += (int)(uintptr_t)number;
}

static int passed[2]; /* on the thread's side, and on the other */

static noinline int pass_there(struct context *from, struct context *to, int *sum, int number)
{
    return context_pass(from, to, then_add, sum, (void *)(uintptr_t)number);
}

/* What each passes is added on its own side, whatever is below it on its stack. */
static noinline bool pass_below(int depth, struct context *from, struct context *to, int *sum, int number)
{
    bool below = depth == 0 || pass_below(depth - 1, from, to, sum, number);
    int  before = *sum;

    return pass_there(from, to, sum, number) == before + number && below;
}

static bool passes_were_right;

static void enter_and_pass(struct context *from)
{
    begin(from);
    set_exceptions(300);
    for (passes_were_right = true;; first.turns++) {
        if (!pass_below(3, &first.context, &here, &passed[1], 7)) passes_were_right = false;
        if (set_exceptions(300) != 300) passes_were_right = false;
    }
}

static void pass_goes_there_and_back(void **state)
{
    (void)state;
    context_thread(&here);
    strand_make(&first, STACK, enter_and_pass);
    set_exceptions(100);
    for (int i = 1; i <= 1000; i++) {
        assert_true(pass_below(i % 5, &here, &first.context, &passed[0], i));
        assert_int_equal(set_exceptions(100), 100);
        /* The same stack by a plain switch. */
        context_switch(&here, &first.context);
        assert_int_equal(set_exceptions(100), 100);
    }
    assert_true(passes_were_right);
    assert_true(first.turns > 500);
    /* All of its passes but the first switch, and but the one that it is in. */
    int sum = 0;
    for (int i = 1; i <= 1000; i++) sum += (i % 5 + 1) * i;
    assert_int_equal(passed[0], sum);
    int resumes = 1000 + 1000 * 3; /* by switches, and by passes of 1 to 5 at a time */
    assert_int_equal(passed[1], 7 * (resumes - 1));
    set_exceptions(0);
    memset(__cxa_get_globals(), 0, 2 * sizeof(void *));
    strand_end(&first);
}

/* ---- for tools ------------------------------------------------------------------------------------ */

/* The assembly at the base of each context, a few dozen bytes. */
extern const char weft_context_entry[];

static void *trace[64];
static int   trace_length;

static noinline void trace_below(int depth)
{
    if (depth > 0) trace_below(depth - 1);
    else trace_length = backtrace(trace, (int)TEST_LENGTH(trace));
    __asm__ volatile("" : : : "memory"); /* so that it is not the last call */
}

static void enter_and_trace(struct context *from)
{
    begin(from);
    trace_below(5);
    take_turns();
}

static void backtrace_ends_at_the_base(void **state)
{
    (void)state;
    context_thread(&here);
    /* It loads its library at the first call, for which a thread's own stack is the place. */
    trace_below(0);
    memset(trace, 0, sizeof trace);
    strand_make(&first, STACK, enter_and_trace);
    context_switch(&here, &first.context);
    /* trace_below six times, the entry, the base; what comes first is backtrace's own. */
    assert_in_range(trace_length, 8, 12);
    ptrdiff_t beyond = (const char *)trace[trace_length - 1] - weft_context_entry;
    assert_in_range(beyond, 1, 64);
    strand_end(&first);
}

#if TEST_ASAN
static char *used_below;

static noinline void use_stack(void)
{
    char *bytes = __builtin_alloca(8192);

    memset(bytes, 1, 8192);
    used_below = bytes + 64;
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

static void enter_and_use_stack(struct context *from)
{
    begin(from);
    use_stack();
    take_turns();
}

static void buried_stack_is_nobodys(void **state)
{
    (void)state;
    context_thread(&here);
    strand_make(&first, STACK, enter_and_use_stack);
    context_switch(&here, &first.context);
    context_bury(&first.context);
    assert_true(__asan_address_is_poisoned(used_below));
    assert_true(__asan_address_is_poisoned(first.stack));
    context_revive(&first.context);
    assert_false(__asan_address_is_poisoned(used_below));
    assert_ptr_equal(context_switch(&here, &first.context), &first.context);
    assert_int_equal(first.turns, 2);
    context_bury(&first.context);
    strand_end(&first); /* which gives the memory back as it was */
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switch_goes_there_and_back),
        cmocka_unit_test(switches_go_deep),
        cmocka_unit_test(context_goes_on_on_another_thread),
        cmocka_unit_test(switch_keeps_registers),
        cmocka_unit_test(stack_is_aligned_and_within),
#if defined(__x86_64__)
        cmocka_unit_test(switch_keeps_rounding),
#endif
        cmocka_unit_test(exceptions_belong_to_the_stack),
        cmocka_unit_test(pass_goes_there_and_back),
        cmocka_unit_test(backtrace_ends_at_the_base),
#if TEST_ASAN
        cmocka_unit_test(buried_stack_is_nobodys),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
