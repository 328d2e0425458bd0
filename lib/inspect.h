/* inspect.h - what the tasks of a runtime are at, seen from outside
 *
 * Every task that has begun has a stack, and at its top the fiber; so the slabs are the list of all tasks.
 * To look at one that may go on at any moment it is held: nobody goes on in it meanwhile.  Held are a few at a
 * time, for as long as it takes to note down their frames, and with no lock but one that keeps others from
 * looking, and stacks from being put back.
 */
#ifndef WEFT_INSPECT_H
#define WEFT_INSPECT_H

#include "park.h"

#define INSPECT_FRAMES 24
#define INSPECT_OUTERS 24

enum inspect_state { INSPECT_RUNS, INSPECT_READY, INSPECT_WAITS };

/* A task that awaits another, which runs in place on its stack. */
struct inspect_outer {
    const struct task *task;
    weft_fn           *fn;
};

struct inspect_task {
    enum inspect_state      state;
    const struct task      *task;
    weft_fn                *fn;
    const struct root      *root;   /* NULL: free */
    const struct node      *scope;  /* the innermost that it is in */
    int                     reason; /* why it is cancelled, or 0 */
    const struct wait_kind *kind;   /* of one that waits, as the two behind */
    const void             *object;
    int64_t                 since;
    int64_t                 alone;  /* of one that runs: so long it has had its worker to itself, as far as is known */
    unsigned                outers; /* the first awaits this task, each of the others the one before */
    struct inspect_outer    outer[INSPECT_OUTERS];
    unsigned                frames;
    void                   *pcs[INSPECT_FRAMES];
    struct inspect_names   *names; /* for inspect_write */
};

/* Calls visit for each task that has begun and not ended; one that begins or ends meanwhile may be left out.
 * -ENOMEM. */
int inspect_tasks(struct weft_runtime *runtime, void (*visit)(const struct inspect_task *task, void *arg), void *arg);

/* The node that runs on a stack, or is suspended there; NULL.  It is the caller's care that it stays. */
struct node *inspect_node(const struct weft_runtime *runtime, char *low);

/* Writes a task to the descriptor, as the report and the dump have it.  `now` in nanoseconds.  0, or a negative
 * errno. */
int inspect_write(int fd, const struct inspect_task *task, int64_t now);

/* The frames of the calling task, and of those that go on after it: below it is who has resumed the generator that it
 * is in.  How many. */
unsigned inspect_here(void *pcs[INSPECT_FRAMES]);

/* Writes them, but for those at the ends that every task has.  `names` may be NULL.  As inspect_write. */
int inspect_write_frames(int fd, struct inspect_names *names, void *const *pcs, unsigned count);

/* As dprintf, but -errno, and whole. */
int inspect_print(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
