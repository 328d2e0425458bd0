/* model_lock.c - one at a time holds the lock, sees what the one before did, and nobody sleeps on a free one
 *
 * Compiled with a single turn of spinning, so that the sleep is reached.
 */
#include "model_explore.h"

#define LOCK_SPINS 1
#include "../lib/lock.c"

void platform_futex_wait(Atomic(uint32_t) *word, uint32_t value, int64_t timeout)
{
    model_assert(timeout < 0, "a lock waits for good");
    model_futex_wait(word, value);
}

void platform_futex_wake(Atomic(uint32_t) *word, int count)
{
    model_futex_wake(word, count);
}

static Atomic(uint32_t) lock;
static unsigned         guarded, wanted;

static void begin(void)
{
    atomic_set(&lock, 0);
    guarded = wanted = 0;
}

static void all_held_it(void)
{
    model_assert(load_relaxed(&lock) == 0, "the lock is free in the end");
    model_assert(guarded == wanted, "each has held it");
}

static void hold(void)
{
    wanted++;
    lock_take(&lock);
    model_data_write(&guarded);
    guarded++;
    lock_drop(&lock);
}

static void hold_twice(void)
{
    hold();
    hold();
}

#define PROGRAM(title, ...)                                                               \
    {                                                                                     \
        .name = (title), .setup = begin, .check = all_held_it, .threads = { __VA_ARGS__ } \
    }

static const struct model_program programs[] = {
    PROGRAM("two", hold, hold),
    PROGRAM("two, one of them twice", hold_twice, hold),
    PROGRAM("three", hold, hold, hold),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, sizeof programs / sizeof *programs, ":lock_");
}
