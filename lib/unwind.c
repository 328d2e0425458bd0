#include "unwind.h"

#include <unwind.h>

struct trace {
    void   **pcs;
    unsigned count, most;
    unsigned skip; /* frames that are only there to look */
};

static _Unwind_Reason_Code note(struct _Unwind_Context *frame, void *arg)
{
    struct trace *t = arg;
    uintptr_t     pc = _Unwind_GetIP(frame);
    if (!pc || t->count == t->most) return _URC_END_OF_STACK;
    if (t->skip > 0) t->skip--;
    else t->pcs[t->count++] = (void *)pc;
    return _URC_NO_REASON;
}

/* Calls _Unwind_Backtrace(visit, arg), and its unwind table says that its caller is the one that
 * called jump_fcontext for the context whose registers were saved at `saved`, as context_saved has
 * it.  So the unwinder walks on from here to the suspended stack by itself. */
void unwind_across(const void *saved, _Unwind_Trace_Fn visit, void *arg) __asm__("weft_unwind_across");
#if defined(__x86_64__)
#define ABOVE_CALLER 2 /* this one, and context_jump or context_pass */
__asm__(".text\n"
        ".p2align 4\n"
        ".hidden weft_unwind_across\n"
        ".globl weft_unwind_across\n"
        ".type weft_unwind_across,@function\n"
        "weft_unwind_across:\n"
        ".cfi_startproc\n"
        "    pushq %rbx\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %rbx, 0\n"
        "    movq %rdi, %rbx\n"
        "    movq %rsi, %rdi\n"
        "    movq %rdx, %rsi\n"
        ".cfi_remember_state\n"
        ".cfi_def_cfa %rbx, 0x08\n"
        ".cfi_offset %rip, -0x08\n"
        ".cfi_offset %rbp, -0x10\n"
        ".cfi_offset %rbx, -0x18\n"
        ".cfi_offset %r15, -0x20\n"
        ".cfi_offset %r14, -0x28\n"
        ".cfi_offset %r13, -0x30\n"
        ".cfi_offset %r12, -0x38\n"
        "    call _Unwind_Backtrace@PLT\n"
        ".cfi_restore_state\n"
        "    popq %rbx\n"
        ".cfi_adjust_cfa_offset -8\n"
        ".cfi_restore %rbx\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size weft_unwind_across,.-weft_unwind_across\n");
#elif defined(__aarch64__)
#define ABOVE_CALLER 1
__asm__(".text\n"
        ".p2align 4\n"
        ".hidden weft_unwind_across\n"
        ".globl weft_unwind_across\n"
        ".type weft_unwind_across,%function\n"
        "weft_unwind_across:\n"
        ".cfi_startproc\n"
        "    stp x29, x30, [sp, #-32]!\n"
        ".cfi_adjust_cfa_offset 32\n"
        ".cfi_rel_offset x29, 0\n"
        ".cfi_rel_offset x30, 8\n"
        "    str x19, [sp, #16]\n"
        ".cfi_rel_offset x19, 16\n"
        "    mov x19, x0\n"
        "    mov x0, x1\n"
        "    mov x1, x2\n"
        ".cfi_remember_state\n"
        ".cfi_def_cfa x19, 0xb0\n"
        ".cfi_offset d8, -0xb0\n"
        ".cfi_offset d9, -0xa8\n"
        ".cfi_offset d10, -0xa0\n"
        ".cfi_offset d11, -0x98\n"
        ".cfi_offset d12, -0x90\n"
        ".cfi_offset d13, -0x88\n"
        ".cfi_offset d14, -0x80\n"
        ".cfi_offset d15, -0x78\n"
        ".cfi_offset x19, -0x70\n"
        ".cfi_offset x20, -0x68\n"
        ".cfi_offset x21, -0x60\n"
        ".cfi_offset x22, -0x58\n"
        ".cfi_offset x23, -0x50\n"
        ".cfi_offset x24, -0x48\n"
        ".cfi_offset x25, -0x40\n"
        ".cfi_offset x26, -0x38\n"
        ".cfi_offset x27, -0x30\n"
        ".cfi_offset x28, -0x28\n"
        ".cfi_offset x29, -0x20\n"
        ".cfi_offset x30, -0x18\n"
        "    bl _Unwind_Backtrace\n"
        ".cfi_restore_state\n"
        "    ldr x19, [sp, #16]\n"
        "    ldp x29, x30, [sp], #32\n"
        ".cfi_adjust_cfa_offset -32\n"
        ".cfi_restore x19\n"
        ".cfi_restore x29\n"
        ".cfi_restore x30\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size weft_unwind_across,.-weft_unwind_across\n");
#endif

unsigned unwind_context(const struct context *c, void **pcs, unsigned most)
{
    const void *saved = context_saved(c);
    if (!saved) return 0;
    struct trace t = {.pcs = pcs, .most = most, .skip = ABOVE_CALLER};
    unwind_across(saved, note, &t);
    return t.count;
}

noinline unsigned unwind_self(void **pcs, unsigned most)
{
    struct trace t = {.pcs = pcs, .most = most, .skip = 1};
    _Unwind_Backtrace(note, &t);
    return t.count;
}
