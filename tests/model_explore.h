/* model_explore.h - runs small concurrent programs in every way that C11 allows
 *
 * What is explored   All interleavings of 1 to 5 threads with at most so many
 *     preemptions, and within each one every value that a load may return, every
 *     place in the modification order that a store may take, and every message
 *     that a read-modify-write may follow.  Depth first, so the same program
 *     is explored in the same order each time; a failure is reported at the least
 *     number of preemptions that it needs, with the schedule that leads to it.
 * The memory model   That of RC11 (Lahav et al., PLDI 2017), run forward with
 *     a view per thread and per message, as in the promising semantics without
 *     promises (Kang et al., POPL 2017).  A release sequence is continued by
 *     read-modify-writes alone, as in C++20 (see model_c11_sequences).  A seq_cst
 *     operation is not a fence: it is ordered with seq_cst operations on its own
 *     object and with seq_cst fences only; of what was before such a fence it
 *     knows what was read there, too, as in C++20.
 * Not explored       A load that returns what is stored later (load buffering);
 *     seq_cst fences in another order than they run in; a weak CAS; a wait
 *     that ends for nothing.  A thread reads one stale message three times at most,
 *     since stores become visible in the end.
 * What fails   model_assert; a data race (model_data_*, atomic_set, model_used);
 *     use of freed memory; all threads asleep or spinning, with nobody left to
 *     wake them; no end within a great many steps; SIGSEGV, SIGABRT.
 *
 * The source under test is compiled with WEFT_MODEL defined, and included:
 *
 *     #include "model_explore.h"
 *     #define malloc model_alloc // before the source, after the system's headers
 *     #define free   model_free
 *     #include "../lib/deque.c"
 *
 *     static struct deque d;
 *     static int          item[2], taken[2];
 *
 *     static void setup(void) { ... }                  // one thread, before the others
 *     static void owner(void) { model_data_write(&item[0]); deque_push(&d, &item[0]); ... }
 *     static void thief(void) { int *i = deque_steal(&d); if (i) model_data_read(i); ... }
 *     static void check(void) { model_assert(taken[0] == 1, "each item is taken once"); }
 *
 *     static const struct model_program programs[] = {
 *         {.name = "push, then steal", .setup = setup, .threads = {owner, thief}, .check = check},
 *     };
 *
 *     int main(int argc, char **argv)
 *     {
 *         return model_main(argc, argv, programs, sizeof programs / sizeof *programs, "deque.");
 *     }
 *
 * Setup runs before each execution and sets all state anew: static data keep
 * what the last execution left.  Capacities should be shrunk, and spinning a
 * bounded number of times be bounded by 1 or 2.
 *
 * Command line   no argument: explores all programs.  See --help; --mutants runs the
 *     programs once for each operation of the source under test that is stronger than
 *     relaxed, with that one weakened, and wants a failure each time.
 */
#ifndef MODEL_EXPLORE_H
#define MODEL_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model_atomic.h"

#define MODEL_THREADS 5

struct model_program {
    const char *name;
    void (*setup)(void); /* may be NULL */
    void (*threads[MODEL_THREADS])(void);
    void (*check)(void);     /* after all have ended; may be NULL */
    const char *fails;       /* NULL: never; else it has to, and the report has these words in it */
    unsigned    preemptions; /* 0: the default, or as the command line has it */
    unsigned    sleepers;    /* bit n: thread n may be asleep for good at the end */
};

/* The exit status.  Operations of which "file:function" contains one of the words in
 * `under_test` are those that --mutants weakens. */
int model_main(int argc, char **argv, const struct model_program *programs, size_t count, const char *under_test);

/* Set before model_main, or in every setup: a thread's own next store, too, continues a release
 * sequence, as it did before C++20. */
extern bool model_c11_sequences;

/* ---- for the programs ---------------------------------------------------- */

#define model_assert(condition, text) ((condition) ? (void)0 : model_fail(text))
_Noreturn void model_fail(const char *text);

/* Which thread runs the caller, from 0; MODEL_THREADS in setup and check. */
int model_self(void);

/* A number below n, each in turn: for what the world decides, a timeout say. */
unsigned model_choose(unsigned n);

/* Reads and writes of data that are not atomic: two of different threads, one of
 * them a write, must be ordered.  Only the address counts. */
#define model_data_read(p)  model_data((p), false, MODEL_SITE(MODEL_DATA, "read", 0, #p))
#define model_data_write(p) model_data((p), true, MODEL_SITE(MODEL_DATA, "write", 0, #p))

/* Waits until the condition, which may have atomic operations in it, holds. */
#define model_block_until(condition)         \
    do {                                     \
        model_spin();                        \
        while (!(condition)) atomic_pause(); \
    } while (0)

/* futex(2).  A wait reads the word no older than those who have called wake
 * know it, and orders nothing else; 0 when woken, -EAGAIN when *p is not
 * `value`.  A wake returns how many it woke, the oldest first. */
#define model_futex_wait(p, value) model_sleep((p), (value), MODEL_SITE(MODEL_FUTEX, "futex_wait", 0, #p))
#define model_futex_wake(p, count) model_wake((p), (count), MODEL_SITE(MODEL_FUTEX, "futex_wake", 0, #p))

/* A wait with a timeout.  True: it is over, as the explorer has chosen, or as nobody else can go on; false: the word is
 * not `value` any more. */
static inline bool model_futex_times_out(Atomic(uint32_t) *word, uint32_t value)
{
    if (model_choose(2)) {
        model_spin();
        if (load_relaxed(word) != value) return false;
        atomic_pause();
    }
    return true;
}

/* Memory that no two blocks of one execution share, filled with 0xa5.  Use
 * after free is reported; blocks that are not freed are not. */
void *model_alloc(size_t size);
void  model_free(void *block);

#endif
