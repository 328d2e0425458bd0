/* model_rwlock.c - readers together or one writer, each sees what the writers before did, and nobody is left waiting */
#include "model_wait.h"

#include "../lib/rwlock.c"

static weft_rwlock *lock;
static unsigned     guarded, wrote; /* under the lock */
static unsigned     owners;         /* those that will lock; the last one frees it */

static void begin_for(unsigned n)
{
    model_wait_begin();
    lock = model_alloc(sizeof *lock);
    atomic_set(&of(lock)->word, 0);
    atomic_set(&of(lock)->readers, NULL);
    atomic_set(&of(lock)->writers, NULL);
    guarded = wrote = 0;
    owners = n;
}

static void begin(void)
{
    begin_for(0);
}

static void begin_owned(void)
{
    begin_for(3);
}

static void all_had_it(void)
{
    model_assert(load_relaxed(&of(lock)->word) == 0, "the lock is free in the end");
    model_assert(wait_empty(&of(lock)->readers) && wait_empty(&of(lock)->writers), "nobody is left in a queue");
    model_assert(guarded == wrote, "each has written");
}

static void read_it(void)
{
    weft_rwlock_rdlock(lock);
    model_data_read(&guarded);
    weft_rwlock_unlock(lock);
}

static void count_up(void)
{
    model_data_write(&guarded);
    guarded++;
    wrote++;
    weft_rwlock_unlock(lock);
}

static void write_it(void)
{
    weft_rwlock_wrlock(lock);
    count_up();
}

static void write_twice(void)
{
    write_it();
    write_it();
}

static void try_to_read(void)
{
    if (!weft_rwlock_tryrdlock(lock)) return;
    model_data_read(&guarded);
    weft_rwlock_unlock(lock);
}

static void try_to_write(void)
{
    if (weft_rwlock_trywrlock(lock)) count_up();
}

static void let_go(void)
{
    weft_rwlock_wrlock(lock);
    bool last = --owners == 0;
    weft_rwlock_unlock(lock);
    if (last) model_free(lock);
}

static void read_and_let_go(void)
{
    read_it();
    let_go();
}

#define PROGRAM(title, start, end, bound, ...)                                                              \
    {                                                                                                       \
        .name = (title), .setup = (start), .check = (end), .threads = {__VA_ARGS__}, .preemptions = (bound) \
    }

static const struct model_program programs[] = {
    PROGRAM("two write", begin, all_had_it, 4, write_it, write_it),
    PROGRAM("one reads, one writes", begin, all_had_it, 4, read_it, write_it),
    PROGRAM("one reads, one writes twice", begin, all_had_it, 3, read_it, write_twice),
    PROGRAM("two read, one writes", begin, all_had_it, 2, read_it, read_it, write_it),
    PROGRAM("one reads, two write", begin, all_had_it, 2, read_it, write_it, write_it),
    PROGRAM("one tries to read", begin, all_had_it, 3, try_to_read, write_it),
    PROGRAM("one tries to write", begin, all_had_it, 3, try_to_write, read_it),
    PROGRAM("the last one frees it", begin_owned, NULL, 2, let_go, let_go, let_go),
    PROGRAM("the last one frees it, who has read before", begin_owned, NULL, 1, read_and_let_go, let_go, let_go),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs), "rwlock.");
}
