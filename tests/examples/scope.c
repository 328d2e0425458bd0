/* scope.c - a scope owns its tasks: one error cancels the others, and none is left behind */
#include <stdatomic.h>
#include <stdio.h>

#include <weft/weft.h>

static atomic_int gave_up, cleaned_up;

/* Would go on for ever: it asks now and then whether it still should. */
static int search(void *arg)
{
    int number = *(const int *)arg, reason;

    while (!(reason = weft_check())) {
    }
    printf("search %d gives up\n", number);
    gave_up++;

    /* Cleaning up may wait, which a cancelled task otherwise does not: behind a shield. */
    weft_scope shield;
    if (weft_scope_open(&shield, WEFT_SCOPE(.shield = true)) == 0) {
        weft_yield();
        if (weft_check() == 0) cleaned_up++;
        weft_scope_close(&shield);
    }
    return reason;
}

static int read_sensor(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) weft_yield();
    return -EIO;
}

static int run(void *arg)
{
    weft_scope scope;

    (void)arg;
    int error = weft_scope_open(&scope, NULL);
    if (error) return error;
    for (int i = 0; i < 3; i++) weft_scope_go(&scope, search, &i, sizeof i); /* each has its own copy of i */
    weft_scope_go(&scope, read_sensor, NULL, 0);
    return weft_scope_close(&scope); /* waits for all four; the first error */
}

int main(void)
{
    int result = weft_run(run, NULL, NULL);

    printf("the scope ended with %d, after %d searches gave up and %d cleaned up\n", result, gave_up, cleaned_up);
    return result == -EIO && gave_up == 3 && cleaned_up == 3 ? 0 : 1;
}
