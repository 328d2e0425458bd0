/* model_mutex.c - one at a time has the mutex and sees what the one before did; nobody sleeps on a free one, and none
 * touches one that its last holder has freed
 *
 * Compiled with a single look more, and with a hand-over after the first loss, so that both are reached.
 */
#include "model_wait.h"

#define MUTEX_LOOKS  1
#define MUTEX_PAUSES 1
#define LOST_MOST    1
#include "../lib/mutex.c"

/* ---- the threads ----------------------------------------------------------- */

static weft_mutex *mutex;
static unsigned    guarded, wanted;
static unsigned    owners; /* under the mutex; the last one frees it */

static void begin(void)
{
    model_wait_begin();
    mutex = model_alloc(sizeof *mutex);
    atomic_set(&of(mutex)->word, 0);
    atomic_set(&of(mutex)->queue, NULL);
    guarded = wanted = owners = 0;
}

static void begin_owned(void)
{
    begin();
    owners = 3;
}

static void all_held_it(void)
{
    model_assert(load_relaxed(&of(mutex)->word) == 0, "the mutex is free in the end");
    model_assert(wait_empty(&of(mutex)->queue), "nobody is left in the queue");
    model_assert(guarded == wanted, "each has held it");
}

static void count_up(void)
{
    model_data_write(&guarded);
    guarded++;
}

static void hold(void)
{
    wanted++;
    weft_mutex_lock(mutex);
    count_up();
    weft_mutex_unlock(mutex);
}

static void hold_twice(void)
{
    hold();
    hold();
}

static void hold_thrice(void)
{
    hold_twice();
    hold();
}

static void hold_if_free(void)
{
    if (!weft_mutex_trylock(mutex)) return;
    wanted++;
    count_up();
    weft_mutex_unlock(mutex);
}

static void let_go(void)
{
    weft_mutex_lock(mutex);
    bool last = --owners == 0;
    weft_mutex_unlock(mutex);
    if (last) model_free(mutex);
}

static void let_go_after_another(void)
{
    weft_mutex_lock(mutex);
    weft_mutex_unlock(mutex);
    let_go();
}

#define PROGRAM(title, start, end, bound, ...)                                                              \
    {                                                                                                       \
        .name = (title), .setup = (start), .check = (end), .threads = {__VA_ARGS__}, .preemptions = (bound) \
    }

static const struct model_program programs[] = {
    PROGRAM("two", begin, all_held_it, 4, hold, hold),
    PROGRAM("two, one of them thrice", begin, all_held_it, 4, hold_thrice, hold),
    PROGRAM("two, both twice", begin, all_held_it, 3, hold_twice, hold_twice),
    PROGRAM("three", begin, all_held_it, 3, hold, hold, hold),
    PROGRAM("three, one of them twice", begin, all_held_it, 2, hold_twice, hold, hold),
    PROGRAM("one tries", begin, all_held_it, 3, hold, hold, hold_if_free),
    PROGRAM("the last one frees it", begin_owned, NULL, 3, let_go, let_go, let_go),
    PROGRAM("the last one frees it, who has had it before", begin_owned, NULL, 2, let_go_after_another, let_go, let_go),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs), "mutex.");
}
