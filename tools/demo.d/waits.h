/* waits.h - many that wait at the same time: each sleeps for 10 ms
 *
 * A subroutine that sleeps holds up whoever called it, so that the times add up.
 * Subroutines therefore do a sample only.
 */
#ifndef DEMO_WAITS_H
#define DEMO_WAITS_H

#include <weft/weft.h>

#define WAITS_MS 10

struct wait {
    weft_time due, woken; /* 0: not yet */
};

struct waits {
    size_t       count, sample; /* of these the first `sample` are what subroutines do */
    struct wait *wait;          /* the answer */
};

/* Makes room for so many; waits_free takes it back. */
void waits_make(struct waits *waits, size_t count);
void waits_free(struct waits *waits);

/* Waits them all out.  A weft_fn; the argument is a struct waits. */
int waits_run(void *waits);

/* Whether each has waited, and long enough. */
bool waits_right(const struct waits *waits);

#endif /* DEMO_WAITS_H */
