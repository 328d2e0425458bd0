/* one_root.c - the same tasks concurrent but never parallel, so that a plain counter needs no lock
 *
 * On one root a task is left at a call that waits or yields, and nowhere else.
 */
#include <stdatomic.h>
#include <stdio.h>

#include <weft/weft.h>

enum { TASKS = 100, ROUNDS = 20000 };

static long        plain;    /* for the tasks of one root */
static atomic_long shared;   /* for tasks over all cores */
static atomic_int  inside;   /* how many count just now */
static atomic_int  together; /* how often there was more than one */

static int count(void *arg)
{
    int one_root = *(const int *)arg;

    for (int i = 0; i < ROUNDS; i++) {
        if (inside++ > 0) together++;
        if (one_root) plain++;
        else shared++;
        inside--;
        if (i % 1000 == 0) weft_yield();
    }
    return 0;
}

static int count_all(void *arg)
{
    int        one_root = *(const int *)arg;
    weft_scope scope;

    int error = weft_scope_open(&scope, WEFT_SCOPE(.one_root = one_root));
    if (error) return error;
    for (int i = 0; i < TASKS; i++) weft_scope_go(&scope, count, &one_root, sizeof one_root);
    return weft_scope_close(&scope);
}

int main(void)
{
    int error = 0;

    for (int one_root = 0; one_root <= 1 && !error; one_root++) {
        together = 0;
        error = weft_run(count_all, &one_root, WEFT_OPTIONS(.workers = 4));
        printf("%s: counted to %ld, %d times two at once\n", one_root ? "on one root" : "over all cores",
               one_root ? plain : (long)shared, together);
    }
    return !error && together == 0 && plain == TASKS * ROUNDS && shared == TASKS * ROUNDS ? 0 : 1;
}
