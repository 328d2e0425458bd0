/* fault_wait.c - what waits needs no memory; what needs some says so and has done nothing
 *
 * Linked with --wrap, so that each call by which the library asks the heap for
 * memory passes through here.  Stacks are no part of this: fault_runtime.c.
 */
#include "support.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is asked of the heap ---------------------------------------------------- */

static atomic_bool   counting;
static atomic_ulong  asked;
static unsigned long fail_from; /* calls with a number in [from, to) fail */
static unsigned long fail_to;
static atomic_long   held; /* blocks that the wrapped calls have handed out while counting */

static bool fails(void)
{
    if (!atomic_load(&counting)) return false;
    unsigned long number = atomic_fetch_add(&asked, 1);
    return number >= fail_from && number < fail_to;
}

static void fail_begin(unsigned long from, unsigned long to)
{
    fail_from = from;
    fail_to = to;
    atomic_store(&asked, 0);
    atomic_store(&counting, true);
}

/* How many calls there were. */
static unsigned long fail_end(void)
{
    atomic_store(&counting, false);
    return atomic_load(&asked);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int   __real_posix_memalign(void **block, size_t alignment, size_t size);
void  __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int   __wrap_posix_memalign(void **block, size_t alignment, size_t size);
void  __wrap_free(void *block);

static void *refuse(void)
{
    errno = ENOMEM;
    return NULL;
}

static void *hold(void *block)
{
    if (block) atomic_fetch_add(&held, 1);
    return block;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? refuse() : hold(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? refuse() : hold(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    if (fails()) return refuse();
    void *moved = __real_realloc(block, size);
    if (moved && !block) atomic_fetch_add(&held, 1);
    return moved;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? refuse() : hold(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    if (fails()) return ENOMEM;
    int result = __real_posix_memalign(block, alignment, size);
    if (result == 0) hold(*block);
    return result;
}

void __wrap_free(void *block)
{
    if (block) atomic_fetch_sub(&held, 1);
    __real_free(block);
}

/* ---- channels --------------------------------------------------------------------- */

static void create_says_that_there_is_no_memory(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 4, 4096};

    for (size_t s = 0; s < TEST_LENGTH(sizes); s++)
        for (size_t capacity = 0; capacity <= 128; capacity += 64) {
            unsigned long count = 1;
            for (unsigned long n = 0; n < count; n++) {
                weft_chan *chan = (weft_chan *)&chan;
                long       before = atomic_load(&held);
                fail_begin(n, n + 1);
                int result = weft_chan_create(&chan, sizes[s], capacity);
                count = fail_end();
                assert_int_equal(result, n < count ? -ENOMEM : 0);
                if (result == 0) weft_chan_destroy(chan);
                else assert_null(chan);
                assert_int_equal(atomic_load(&held), before);
            }
            assert_true(count >= 1); /* the wrappers are in effect */
        }
}

/* ---- select ------------------------------------------------------------------------- */

enum { CASES = 1000 };

/* Every case could go ahead, or none. */
static int select_with_failures(void *arg)
{
    weft_chan        *ready = NULL, *never = NULL;
    struct weft_case *cases = malloc(CASES * sizeof *cases);
    int               value = 0, one = 1;

    (void)arg;
    if (!cases || weft_chan_create(&ready, sizeof(int), 2) || weft_chan_create(&never, sizeof(int), 0)) abort();
    for (int waits = 0; waits <= 1; waits++)
        for (int sends = 0; sends <= 1; sends++) {
            unsigned long count = 1;
            for (unsigned long n = 0; n <= count; n++) {
                for (int i = 0; i < CASES; i++)
                    cases[i] = sends ? (struct weft_case){waits ? never : ready, &one, NULL, sizeof one, 77}
                                     : (struct weft_case){waits ? never : ready, NULL, &value, sizeof value, 77};
                task_check(weft_send(ready, &one, 0) == 0);
                long before = atomic_load(&held);
                fail_begin(n, n + 1);
                int result = weft_select(cases, CASES, waits ? 1 : WEFT_NEVER);
                count = fail_end();
                task_check(atomic_load(&held) == before);
                if (waits) task_check(result == -ETIMEDOUT || (n < count && result == -ENOMEM));
                else task_check((result >= 0 && result < CASES) || (n < count && result == -ENOMEM));
                size_t touched = 0;
                for (int i = 0; i < CASES; i++) touched += i != result && cases[i].result != 77;
                task_check(touched == 0);
                task_check(weft_chan_len(ready) == (result < 0 ? 1u : sends ? 2u : 0u));
                while (weft_recv(ready, &value, 0) == 0) continue;
            }
        }
    weft_chan_destroy(ready);
    weft_chan_destroy(never);
    free(cases);
    return 0;
}

static void select_has_done_nothing_without_memory(void **state)
{
    (void)state;
    select_with_failures(NULL);
    assert_task_checks();
    assert_int_equal(test_run(select_with_failures, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* ---- waiting ------------------------------------------------------------------------- */

enum { WAITERS = 300 };

struct waiting {
    weft_chan  *chan;
    weft_chan  *other;
    atomic_uint begun, received;
};

static int wait_in_many_ways(void *arg)
{
    struct waiting *self = arg;
    weft_scope      scope;
    int             value;

    /* It has a stack before there is no memory left, and is not let go on before. */
    atomic_fetch_add(&self->begun, 1);
    task_check(weft_recv(self->chan, &value, WEFT_NEVER) == 0);
    task_check(weft_sleep(weft_now() + WEFT_MS) == 0);
    task_check(weft_recv(self->other, &value, weft_now() + WEFT_MS) == -ETIMEDOUT);
    struct weft_case cases[] = {WEFT_RECV(self->other, &value), WEFT_SEND(self->other, &value)};
    task_check(weft_select(cases, 1, weft_now() + WEFT_MS) == -ETIMEDOUT);
    task_check(weft_scope_open(&scope, NULL) == 0);
    task_check(weft_sleep(weft_now() + WEFT_MS) == 0);
    task_check(weft_scope_close(&scope) == 0);
    task_check(weft_scope_open(&scope, WEFT_SCOPE(.deadline = weft_now() + WEFT_MS)) == -ENOMEM);
    task_check(weft_check() == 0);
    task_check(weft_recv(self->chan, &value, WEFT_NEVER) == 0);
    atomic_fetch_add(&self->received, 1);
    return 0;
}

static int wait_without_memory(void *arg)
{
    struct waiting self = {0};
    weft_task     *tasks = malloc(WAITERS * sizeof *tasks);

    (void)arg;
    if (!tasks || weft_chan_create(&self.chan, sizeof(int), 0) || weft_chan_create(&self.other, sizeof(int), 0))
        abort();
    for (int i = 0; i < WAITERS; i++) weft_spawn(&tasks[i], wait_in_many_ways, &self);
    task_until(atomic_load(&self.begun) == WAITERS);
    fail_begin(0, ULONG_MAX);
    for (int i = 0; i < 2 * WAITERS; i++) task_check(weft_send(self.chan, &i, WEFT_NEVER) == 0);
    for (int i = 0; i < WAITERS; i++) task_check(weft_await(&tasks[i]) == 0);
    fail_end();
    task_check(atomic_load(&self.received) == WAITERS);
    weft_chan_destroy(self.chan);
    weft_chan_destroy(self.other);
    free(tasks);
    return 0;
}

static void waits_go_on_without_memory(void **state)
{
    (void)state;
    assert_int_equal(test_run_workers(wait_without_memory, NULL), 0);
    assert_int_equal(test_run(wait_without_memory, NULL, WEFT_OPTIONS(.seed = 1)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_says_that_there_is_no_memory),
        cmocka_unit_test(select_has_done_nothing_without_memory),
        cmocka_unit_test(waits_go_on_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
