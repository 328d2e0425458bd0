/* model_event.c - who waits for an event sees what was done before it, and may then take its storage away */
#include "model_wait.h"

#include "../lib/event.c"

static weft_event *event;
static unsigned    content; /* written before it is set */
static unsigned    waiters; /* that are not done */

static void begin_for(unsigned n)
{
    model_wait_begin();
    event = model_alloc(sizeof *event);
    atomic_set(&of(event)->word, 0);
    atomic_set(&of(event)->queue, NULL);
    atomic_set(&waiters, n);
}

static void begin(void)
{
    begin_for(1);
}

static void begin_for_two(void)
{
    begin_for(2);
}

static void set(void)
{
    model_data_write(&content);
    weft_event_set(event);
}

/* The last of them takes it away. */
static void seen(void)
{
    model_data_read(&content);
    if (sub_acq_rel(&waiters, 1) == 1) model_free(event);
}

static void wait_for_good(void)
{
    model_assert(weft_event_wait(event, WEFT_NEVER) == 0, "it is set");
    seen();
}

static void wait_twice(void)
{
    int result = weft_event_wait(event, MODEL_DEADLINE);
    model_assert(result == 0 || result == -ETIMEDOUT, "set, or late");
    if (result) model_assert(weft_event_wait(event, WEFT_NEVER) == 0, "it is set");
    seen();
}

static void wait_by_trying(void)
{
    model_block_until(weft_event_wait(event, 0) == 0);
    seen();
}

#define PROGRAM(title, start, bound, ...)                                                   \
    {                                                                                       \
        .name = (title), .setup = (start), .threads = {__VA_ARGS__}, .preemptions = (bound) \
    }

static const struct model_program programs[] = {
    PROGRAM("one waits", begin, 3, wait_for_good, set),
    PROGRAM("one waits, and is late", begin, 3, wait_twice, set),
    PROGRAM("one tries", begin, 3, wait_by_trying, set),
    PROGRAM("two wait", begin_for_two, 2, wait_for_good, wait_for_good, set),
    PROGRAM("two wait, and one is late", begin_for_two, 1, wait_for_good, wait_twice, set),
    PROGRAM("one waits, another tries", begin_for_two, 2, wait_for_good, wait_by_trying, set),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, array_len(programs), ":event_");
}
