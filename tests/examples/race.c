/* race.c - await_any: three ways to the same answer, the first one counts and the others are cancelled */
#include <stdio.h>

#include <weft/weft.h>

struct runner {
    const char *name;
    int         steps;
};

static int run_to_the_end(void *arg)
{
    struct runner *runner = arg;

    for (int i = 0; i < runner->steps; i++) {
        int reason = weft_check();
        if (reason) return reason;
        weft_yield();
    }
    return runner->steps;
}

static int race(void *arg)
{
    struct runner runners[3] = {{"the tortoise", 100}, {"the hare", 1000000000}, {"the snail", 2000000000}};
    weft_task     storage[3];
    weft_task    *tasks[3];
    int           wrong = 0;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        tasks[i] = &storage[i];
        weft_spawn(tasks[i], run_to_the_end, &runners[i]);
    }
    int first = weft_await_any(tasks, 3, WEFT_NEVER);
    if (first < 0) return 1;
    printf("%s is there first\n", runners[first].name);
    for (int i = 0; i < 3; i++)
        if (i != first) weft_cancel(tasks[i]);
    /* Each is awaited once, the winner too. */
    for (int i = 0; i < 3; i++) {
        int result = weft_await(tasks[i]);
        printf("%s: %d\n", runners[i].name, result);
        wrong += result != (i == first ? runners[i].steps : -ECANCELED);
    }
    return wrong || first != 0;
}

int main(void)
{
    return weft_run(race, NULL, NULL);
}
