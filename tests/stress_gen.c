/* stress_gen.c - generators that many want at once, whose bodies wait, and that nest at random
 */
#include "support.h"
#include "support_gen.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- many resume one ----------------------------------------------------------------------- */

/* Counts, and nobody else is in it: a plain number says so to ThreadSanitizer, the other to all. */
struct shared {
    weft_gen   *gen;
    long        count; /* the body's */
    atomic_int  inside;
    atomic_long taken, busy;
    long        most;
    long        turns; /* of each who takes */
    unsigned    waits; /* how often the body waits: 1 in so many times; 0: never */
};

static int count_alone(weft_gen *self, void *arg)
{
    struct shared *shared = arg;

    for (;;) {
        task_check(atomic_fetch_add(&shared->inside, 1) == 0);
        long next = shared->count + 1;
        if (shared->waits && next % shared->waits == 0) weft_yield();
        shared->count = next;
        atomic_fetch_sub(&shared->inside, 1);
        if (next > shared->most) return 7;
        if (weft_gen_yield(self, (void *)next, NULL)) return -1;
    }
}

static int delegate_count_alone(weft_gen *self, void *arg)
{
    weft_gen *inner;

    if (weft_gen_create(&inner, count_alone, arg, 0)) return -ENOMEM;
    int result = weft_gen_yield_from(self, inner);
    weft_gen_destroy(inner);
    return result;
}

/* Each number is handed to exactly one. */
static void take_turns(struct shared *shared)
{
    long last = 0;

    for (long i = 0; i < shared->turns;) {
        void *value;
        int   result = weft_gen_next(shared->gen, &value);
        if (result == -EBUSY) {
            atomic_fetch_add(&shared->busy, 1);
            weft_yield();
            continue;
        }
        if (result != 1) {
            task_check(result == 0);
            task_check(weft_gen_done(shared->gen) && weft_gen_result(shared->gen) == 7);
            return;
        }
        task_check((long)value > last);
        last = (long)value;
        atomic_fetch_add(&shared->taken, 1);
        i++;
    }
}

static int take_turns_task(void *arg)
{
    take_turns(arg);
    return 0;
}

static void take_turns_thread(void *arg)
{
    take_turns(arg);
}

static int take_all_tasks(void *arg)
{
    weft_task tasks[6];

    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_spawn(&tasks[i], take_turns_task, arg);
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_await(&tasks[i]);
    return 0;
}

static void share(weft_gen_fn *fn, unsigned waits, bool tasks, bool threads)
{
    struct shared shared = {.most = (long)test_scale(60000), .turns = INT32_MAX, .waits = waits};
    test_thread   thread[3];

    assert_int_equal(weft_gen_create(&shared.gen, fn, &shared, 0), 0);
    for (size_t i = 0; threads && i < TEST_LENGTH(thread); i++)
        test_thread_start(&thread[i], take_turns_thread, &shared);
    if (tasks) test_run_workers(take_all_tasks, &shared);
    for (size_t i = 0; threads && i < TEST_LENGTH(thread); i++) test_thread_join(&thread[i]);
    assert_task_checks();
    assert_int_equal(shared.taken, shared.most);
    weft_gen_destroy(shared.gen);
}

static void one_resumes_of_many(void **state)
{
    (void)state;
    share(count_alone, 0, false, true);
    share(count_alone, 0, true, false);
    share(count_alone, 3, true, false);
    share(count_alone, 5, true, true); /* a wait in a plain thread lets the processor go */
    share(delegate_count_alone, 7, true, true);
}

/* ---- many do anything with one ------------------------------------------------------------- */

struct doings {
    weft_gen    *gen;
    atomic_long  yields, closes, throws; /* as the body has it */
    atomic_long  seen, thrown;           /* as the others have it */
    atomic_ulong number;
};

/* Never ends of itself: it counts what comes in. */
static int count_doings(weft_gen *self, void *arg)
{
    struct doings *doings = arg;

    for (;;) {
        atomic_fetch_add(&doings->yields, 1);
        int error = weft_gen_yield(self, NULL, NULL);
        if (error == -ECANCELED) atomic_fetch_add(&doings->closes, 1);
        else if (error) atomic_fetch_add(&doings->throws, 1);
        if (error == -EPIPE) return error;
    }
}

static void do_anything(void *arg)
{
    struct doings *doings = arg;
    uint32_t       chance = 1 + (uint32_t)atomic_fetch_add(&doings->number, 1);

    for (size_t i = 0; i < test_scale(50000); i++) {
        int result, deed = (int)(test_random(&chance) % 4);
        switch (deed) {
        case 0: result = weft_gen_next(doings->gen, NULL); break;
        case 1: result = weft_gen_send(doings->gen, doings, NULL); break;
        case 2: result = weft_gen_throw(doings->gen, -7, NULL); break;
        default: result = weft_gen_close(doings->gen); break;
        }
        if (result == 1) atomic_fetch_add(&doings->seen, 1);
        if (result == 1 && deed == 2) atomic_fetch_add(&doings->thrown, 1);
        task_check(result == 1 || result == -EBUSY);
        task_check(!weft_gen_done(doings->gen));
        task_check(weft_gen_result(doings->gen) == -EAGAIN);
    }
}

static void anything_by_anybody_is_accounted_for(void **state)
{
    (void)state;
    struct doings doings = {0};
    test_thread   threads[4];

    assert_int_equal(weft_gen_create(&doings.gen, count_doings, &doings, 0), 0);
    assert_int_equal(weft_gen_next(doings.gen, NULL), 1);
    for (size_t i = 0; i < TEST_LENGTH(threads); i++) test_thread_start(&threads[i], do_anything, &doings);
    for (size_t i = 0; i < TEST_LENGTH(threads); i++) test_thread_join(&threads[i]);
    assert_task_checks();
    /* One by the first resume; each that was seen, and each that was refused to a closer. */
    assert_int_equal(doings.yields, 1 + doings.seen + doings.closes);
    assert_int_equal(doings.throws, doings.thrown);
    assert_int_equal(weft_gen_throw(doings.gen, -EPIPE, NULL), -EPIPE);
    assert_int_equal(weft_gen_result(doings.gen), -EPIPE);
    weft_gen_destroy(doings.gen);
}

/* ---- bodies that wait for each other ---------------------------------------------------------- */

/* A pipeline: generators in tasks, with channels between them. */
struct stage {
    weft_chan *in, *out;
    long       count;
};

static int receive_and_yield(weft_gen *self, void *arg)
{
    struct stage *stage = arg;
    long          number;

    for (int result; !(result = weft_recv(stage->in, &number, WEFT_NEVER));) {
        int error = weft_gen_yield(self, &number, NULL);
        if (error) return error;
    }
    return 0;
}

/* Recursion, so that it waits at many depths. */
static int receive_deep(weft_gen *self, void *arg)
{
    struct stage *stage = arg;
    long          number;
    weft_gen     *inner;

    if (weft_recv(stage->in, &number, WEFT_NEVER)) return 0;
    int error = weft_gen_yield(self, &number, NULL);
    if (error || weft_gen_create(&inner, number % 50 ? receive_deep : receive_and_yield, stage, 0)) return error;
    error = weft_gen_yield_from(self, inner);
    weft_gen_destroy(inner);
    return error;
}

static int pass_on(void *arg)
{
    struct stage *stage = arg;
    weft_gen     *gen;
    void         *value;

    if (weft_gen_create(&gen, stage->count % 2 ? receive_deep : receive_and_yield, stage, 0)) return -ENOMEM;
    while (weft_gen_next(gen, &value) == 1) {
        long number = *(long *)value + 1;
        task_check(weft_send(stage->out, &number, WEFT_NEVER) == 0);
    }
    task_check(weft_gen_result(gen) == 0);
    weft_gen_destroy(gen);
    weft_chan_close(stage->out);
    return 0;
}

enum { STAGES = 8 };

static int feed(void *arg)
{
    struct stage *stage = arg;

    for (long i = 0; i < stage->count; i++) task_check(weft_send(stage->out, &i, WEFT_NEVER) == 0);
    weft_chan_close(stage->out);
    return 0;
}

static int run_pipeline(void *arg)
{
    weft_chan   *chans[STAGES + 1];
    struct stage stages[STAGES], first;
    weft_task    tasks[STAGES], feeder;
    long         number, expected = 0;

    (void)arg;
    for (size_t i = 0; i <= STAGES; i++) task_check(weft_chan_create(&chans[i], sizeof(long), i % 3) == 0);
    first = (struct stage){NULL, chans[0], (long)test_scale(5000)};
    weft_spawn(&feeder, feed, &first);
    for (long i = 0; i < STAGES; i++) {
        stages[i] = (struct stage){chans[i], chans[i + 1], i};
        weft_spawn(&tasks[i], pass_on, &stages[i]);
    }
    while (!weft_recv(chans[STAGES], &number, WEFT_NEVER)) task_check(number == expected++ + STAGES);
    task_check(expected == first.count);
    for (size_t i = 0; i < STAGES; i++) weft_await(&tasks[i]);
    weft_await(&feeder);
    for (size_t i = 0; i <= STAGES; i++) weft_chan_destroy(chans[i]);
    return 0;
}

static void bodies_wait_on_channels(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(run_pipeline, NULL), 0);
}

/* A wait in a body is cut short as any other. */
static int wait_for_ever(weft_gen *self, void *arg)
{
    int reason = weft_sleep(WEFT_NEVER);

    (void)arg;
    weft_gen_yield(self, NULL, NULL);
    task_check(weft_sleep(WEFT_NEVER) == reason);
    return reason;
}

static int resume_and_wait(void *arg)
{
    weft_gen *gen;

    (void)arg;
    if (weft_gen_create(&gen, wait_for_ever, NULL, 0)) return -ENOMEM;
    task_check(weft_gen_next(gen, NULL) == 1);
    int result = weft_gen_next(gen, NULL);
    weft_gen_destroy(gen);
    return result;
}

static int cancel_those_that_wait(void *arg)
{
    enum { TASKS = 20 };
    (void)arg;
    for (size_t round = 0; round < test_scale(400); round++) {
        weft_task tasks[TASKS];
        for (size_t i = 0; i < TASKS; i++) weft_spawn(&tasks[i], resume_and_wait, NULL);
        if (round % 2) weft_yield();
        for (size_t i = 0; i < TASKS; i++) weft_cancel(&tasks[i]);
        for (size_t i = 0; i < TASKS; i++) task_check(weft_await(&tasks[i]) == -ECANCELED);
    }
    return 0;
}

static void bodies_that_wait_are_cancelled(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(cancel_those_that_wait, NULL), 0);
}

/* ---- at random -------------------------------------------------------------------------------- */

enum { BYTES = 300 };

struct seeds {
    uint32_t    from, to;
    bool        waits;
    atomic_uint failed; /* one that did not agree */
};

static void try_seeds(struct seeds *seeds, uint32_t from, uint32_t to)
{
    uint8_t bytes[BYTES];

    for (uint32_t seed = from; seed < to; seed++) {
        uint32_t chance = seed * 2654435761u | 1;
        for (size_t i = 0; i < BYTES; i++) bytes[i] = (uint8_t)(test_random(&chance) >> 11);
        if (!gen_program_agrees(bytes, test_random(&chance) % BYTES, seeds->waits)) atomic_store(&seeds->failed, seed);
    }
}

static void try_some(size_t begin, size_t end, void *arg)
{
    struct seeds *seeds = arg;

    try_seeds(seeds, seeds->from + (uint32_t)begin, seeds->from + (uint32_t)end);
}

static int try_in_tasks(void *arg)
{
    struct seeds *seeds = arg;

    weft_for(0, seeds->to - seeds->from, 10, try_some, seeds);
    return 0;
}

static void random_programs_agree_with_the_model(void **state)
{
    (void)state;
    struct seeds alone = {.from = 1, .to = 1 + (uint32_t)test_scale(10000)};
    struct seeds tasks = {.from = 1u << 20, .to = (1u << 20) + (uint32_t)test_scale(10000), .waits = true};

    try_seeds(&alone, alone.from, alone.to);
    test_run_workers(try_in_tasks, &tasks);
    if (alone.failed || tasks.failed) print_error("not with seed %u or %u\n", alone.failed, tasks.failed);
    assert_int_equal(alone.failed, 0);
    assert_int_equal(tasks.failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_resumes_of_many),
        cmocka_unit_test(anything_by_anybody_is_accounted_for),
        cmocka_unit_test(bodies_wait_on_channels),
        cmocka_unit_test(bodies_that_wait_are_cancelled),
        cmocka_unit_test(random_programs_agree_with_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
