/* model_atomic.h - the operations of lib/atomic.h, each a step of the explorer
 *
 * Every operation written in the source has a record of its own, with the order
 * it asks for: by it a schedule is printed, and a mutant weakened.  The
 * records are found through a linker section, also those that no program reaches.
 */
#ifndef MODEL_ATOMIC_H
#define MODEL_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum model_kind {
    MODEL_LOAD,
    MODEL_STORE,
    MODEL_SWAP,
    MODEL_ADD,
    MODEL_SUB,
    MODEL_OR,
    MODEL_AND,
    MODEL_CAS,
    MODEL_FENCE,
    MODEL_HEAVY,
    MODEL_SET,
    MODEL_USED,
    MODEL_DATA,
    MODEL_FUTEX,
};

/* An order is a set of these; the empty one is relaxed. */
#define MODEL_ACQUIRE 1u
#define MODEL_RELEASE 2u
#define MODEL_SEQ     4u
#define MODEL_ACQ_REL (MODEL_ACQUIRE | MODEL_RELEASE)
#define MODEL_SEQ_CST (MODEL_ACQ_REL | MODEL_SEQ)

struct model_site {
    const char     *file;
    int             line;
    const char     *function;
    const char     *op;     /* as in lib/atomic.h */
    const char     *object; /* the operand, as it is written */
    enum model_kind kind;
    unsigned        order;   /* as written */
    unsigned        runs_as; /* as this mutant has it */
    bool            reached;
};

#define MODEL_SITE(kind, op, order, object)                                                                            \
    __extension__({                                                                                                    \
        static struct model_site  model_site_ = {__FILE__, __LINE__, __func__, op, object, kind, order, order, false}; \
        static struct model_site *model_site_at_ __attribute__((section("model_sites"), used)) = &model_site_;         \
        &model_site_;                                                                                                  \
    })

uint64_t model_load(const volatile void *p, size_t size, struct model_site *site);
/* Stores, or modifies and returns the value before. */
uint64_t model_modify(volatile void *p, size_t size, uint64_t operand, struct model_site *site);
bool     model_cas(volatile void *p, size_t size, void *old, uint64_t value, struct model_site *site);
void     model_fence(struct model_site *site);
void     model_set(volatile void *p, size_t size, uint64_t value, struct model_site *site);
void     model_use(const volatile void *p, struct model_site *site);
void     model_data(const volatile void *p, bool write, struct model_site *site);
int      model_sleep(const volatile void *p, uint32_t value, struct model_site *site);
int      model_wake(const volatile void *p, int count, struct model_site *site);
void     model_pause(void);
void     model_spin(void);

/* The type of *p without its qualifiers. */
#define MODEL_TYPE(p)     __typeof__(((void)0, *(p)))
#define MODEL_VALUE(p, v) ((uint64_t)(MODEL_TYPE(p))(v))

/* A statement in braces, so that the result may be left unused. */
#define MODEL_RESULT(p, call)     __extension__({ (MODEL_TYPE(p))(call); })
#define MODEL_LOAD_(p, op, order) MODEL_RESULT(p, model_load((p), sizeof *(p), MODEL_SITE(MODEL_LOAD, op, order, #p)))
#define MODEL_STORE_(p, v, op, order) \
    ((void)model_modify((p), sizeof *(p), MODEL_VALUE(p, v), MODEL_SITE(MODEL_STORE, op, order, #p)))
#define MODEL_MODIFY_(p, v, kind, op, order) \
    MODEL_RESULT(p, model_modify((p), sizeof *(p), MODEL_VALUE(p, v), MODEL_SITE(kind, op, order, #p)))
#define MODEL_CAS_(p, old, v, op, order) \
    model_cas((p), sizeof *(p), (old), MODEL_VALUE(p, v), MODEL_SITE(MODEL_CAS, op, order, #p))

/* ---- what lib/atomic.h has ----------------------------------------------- */

#define Atomic(type) __typeof__(type)

#define atomic_set(p, v) model_set((p), sizeof *(p), MODEL_VALUE(p, v), MODEL_SITE(MODEL_SET, "atomic_set", 0, #p))

#define load_relaxed(p) MODEL_LOAD_(p, "load_relaxed", 0)
#define load_acquire(p) MODEL_LOAD_(p, "load_acquire", MODEL_ACQUIRE)
#define load_seq(p)     MODEL_LOAD_(p, "load_seq", MODEL_ACQUIRE | MODEL_SEQ)

#define store_relaxed(p, v) MODEL_STORE_(p, v, "store_relaxed", 0)
#define store_release(p, v) MODEL_STORE_(p, v, "store_release", MODEL_RELEASE)
#define store_seq(p, v)     MODEL_STORE_(p, v, "store_seq", MODEL_RELEASE | MODEL_SEQ)

#define swap_relaxed(p, v) MODEL_MODIFY_(p, v, MODEL_SWAP, "swap_relaxed", 0)
#define swap_acquire(p, v) MODEL_MODIFY_(p, v, MODEL_SWAP, "swap_acquire", MODEL_ACQUIRE)
#define swap_release(p, v) MODEL_MODIFY_(p, v, MODEL_SWAP, "swap_release", MODEL_RELEASE)
#define swap_acq_rel(p, v) MODEL_MODIFY_(p, v, MODEL_SWAP, "swap_acq_rel", MODEL_ACQ_REL)
#define swap_seq(p, v)     MODEL_MODIFY_(p, v, MODEL_SWAP, "swap_seq", MODEL_SEQ_CST)
#define add_relaxed(p, v)  MODEL_MODIFY_(p, v, MODEL_ADD, "add_relaxed", 0)
#define add_acquire(p, v)  MODEL_MODIFY_(p, v, MODEL_ADD, "add_acquire", MODEL_ACQUIRE)
#define add_release(p, v)  MODEL_MODIFY_(p, v, MODEL_ADD, "add_release", MODEL_RELEASE)
#define add_acq_rel(p, v)  MODEL_MODIFY_(p, v, MODEL_ADD, "add_acq_rel", MODEL_ACQ_REL)
#define add_seq(p, v)      MODEL_MODIFY_(p, v, MODEL_ADD, "add_seq", MODEL_SEQ_CST)
#define sub_relaxed(p, v)  MODEL_MODIFY_(p, v, MODEL_SUB, "sub_relaxed", 0)
#define sub_acquire(p, v)  MODEL_MODIFY_(p, v, MODEL_SUB, "sub_acquire", MODEL_ACQUIRE)
#define sub_release(p, v)  MODEL_MODIFY_(p, v, MODEL_SUB, "sub_release", MODEL_RELEASE)
#define sub_acq_rel(p, v)  MODEL_MODIFY_(p, v, MODEL_SUB, "sub_acq_rel", MODEL_ACQ_REL)
#define sub_seq(p, v)      MODEL_MODIFY_(p, v, MODEL_SUB, "sub_seq", MODEL_SEQ_CST)
#define or_relaxed(p, v)   MODEL_MODIFY_(p, v, MODEL_OR, "or_relaxed", 0)
#define or_acquire(p, v)   MODEL_MODIFY_(p, v, MODEL_OR, "or_acquire", MODEL_ACQUIRE)
#define or_release(p, v)   MODEL_MODIFY_(p, v, MODEL_OR, "or_release", MODEL_RELEASE)
#define or_acq_rel(p, v)   MODEL_MODIFY_(p, v, MODEL_OR, "or_acq_rel", MODEL_ACQ_REL)
#define or_seq(p, v)       MODEL_MODIFY_(p, v, MODEL_OR, "or_seq", MODEL_SEQ_CST)
#define and_relaxed(p, v)  MODEL_MODIFY_(p, v, MODEL_AND, "and_relaxed", 0)
#define and_acquire(p, v)  MODEL_MODIFY_(p, v, MODEL_AND, "and_acquire", MODEL_ACQUIRE)
#define and_release(p, v)  MODEL_MODIFY_(p, v, MODEL_AND, "and_release", MODEL_RELEASE)
#define and_acq_rel(p, v)  MODEL_MODIFY_(p, v, MODEL_AND, "and_acq_rel", MODEL_ACQ_REL)
#define and_seq(p, v)      MODEL_MODIFY_(p, v, MODEL_AND, "and_seq", MODEL_SEQ_CST)

/* A failure is a load with the acquire and seq_cst parts of the order. */
#define cas_relaxed(p, old, v) MODEL_CAS_(p, old, v, "cas_relaxed", 0)
#define cas_acquire(p, old, v) MODEL_CAS_(p, old, v, "cas_acquire", MODEL_ACQUIRE)
#define cas_release(p, old, v) MODEL_CAS_(p, old, v, "cas_release", MODEL_RELEASE)
#define cas_acq_rel(p, old, v) MODEL_CAS_(p, old, v, "cas_acq_rel", MODEL_ACQ_REL)
#define cas_seq(p, old, v)     MODEL_CAS_(p, old, v, "cas_seq", MODEL_SEQ_CST)

#define fence_seq()      model_fence(MODEL_SITE(MODEL_FENCE, "fence_seq", MODEL_SEQ_CST, ""))
#define fence_compiler() ((void)0) /* of itself it orders nothing */

/* The other half of an asymmetric fence: each other thread, at some moment
 * before this returns, has a seq_cst fence. */
#define fence_heavy() model_fence(MODEL_SITE(MODEL_HEAVY, "fence_heavy", MODEL_SEQ_CST, ""))

/* What this thread last read from p is now relied on: it fails unless whoever
 * writes there next comes after that read. */
#define model_used(p) model_use((p), MODEL_SITE(MODEL_USED, "used", 0, #p))

/* This thread goes on when there is something new in what it has read since it
 * last paused, and then reads nothing older there; now and then for nothing. */
static inline void atomic_pause(void)
{
    model_pause();
}

#endif
