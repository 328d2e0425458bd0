/* fault_runtime.c - whatever cannot be had, a call says so and nothing is lost
 *
 * Linked with --wrap, so that each call by which the library asks the system
 * for memory, mappings or threads passes through here.  The same program runs
 * again and again, with the first such call failing, then the second, and so
 * on until there are no more to fail.
 */
#include "support.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- what is asked of the system ------------------------------------------------ */

enum kind { MEMORY = 1, GUARD = 2, THREAD = 4 };

static atomic_uint   failing_kinds; /* 0: nothing fails and nothing is counted */
static atomic_ulong  asked;
static unsigned long fail_from; /* calls with a number in [from, to) fail */
static unsigned long fail_to;

static bool fails(enum kind kind)
{
    if (!(atomic_load(&failing_kinds) & kind)) return false;
    unsigned long number = atomic_fetch_add(&asked, 1);
    return number >= fail_from && number < fail_to;
}

static void fail_begin(unsigned kinds, unsigned long from, unsigned long to)
{
    fail_from = from;
    fail_to = to;
    atomic_store(&asked, 0);
    atomic_store(&failing_kinds, kinds);
}

/* How many calls there were. */
static unsigned long fail_end(void)
{
    atomic_store(&failing_kinds, 0);
    return atomic_load(&asked);
}

/* ---- what is held ---------------------------------------------------------------- */

enum { BLOCKS = 1 << 16 };

static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static void           *held_blocks[BLOCKS];
static struct held {
    size_t blocks;
    size_t mapped; /* bytes */
    size_t threads;
} held;

static void *hold(void *block)
{
    pthread_mutex_lock(&held_lock);
    if (block && held.blocks < BLOCKS) held_blocks[held.blocks++] = block;
    pthread_mutex_unlock(&held_lock);
    return block;
}

/* What libc allocated for the library was not held, and is not missed. */
static void let_go(void *block)
{
    pthread_mutex_lock(&held_lock);
    for (size_t i = held.blocks; block && i-- > 0;)
        if (held_blocks[i] == block) {
            held_blocks[i] = held_blocks[--held.blocks];
            break;
        }
    pthread_mutex_unlock(&held_lock);
}

static struct held held_now(void)
{
    pthread_mutex_lock(&held_lock);
    struct held now = held;
    pthread_mutex_unlock(&held_lock);
    return now;
}

/* ---- the wrappers ------------------------------------------------------------------ */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int   __real_posix_memalign(void **block, size_t alignment, size_t size);
void  __real_free(void *block);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int   __real_munmap(void *address, size_t size);
int   __real_madvise(void *address, size_t size, int advice);
int   __real_mprotect(void *address, size_t size, int protection);
int   __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int   __real_pthread_join(pthread_t thread, void **result);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int   __wrap_posix_memalign(void **block, size_t alignment, size_t size);
void  __wrap_free(void *block);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int   __wrap_munmap(void *address, size_t size);
int   __wrap_madvise(void *address, size_t size, int advice);
int   __wrap_mprotect(void *address, size_t size, int protection);
int   __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int   __wrap_pthread_join(pthread_t thread, void **result);

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *__wrap_malloc(size_t size)
{
    return fails(MEMORY) ? no_memory() : hold(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(MEMORY) ? no_memory() : hold(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    if (fails(MEMORY)) return no_memory();
    void *moved = __real_realloc(block, size);
    if (moved) {
        let_go(block);
        hold(moved);
    }
    return moved;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails(MEMORY) ? no_memory() : hold(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    if (fails(MEMORY)) return ENOMEM;
    int result = __real_posix_memalign(block, alignment, size);
    if (result == 0) hold(*block);
    return result;
}

void __wrap_free(void *block)
{
    let_go(block);
    __real_free(block);
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fails(MEMORY)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *mapping = __real_mmap(address, size, protection, flags, fd, offset);
    /* What is mapped over an older mapping takes its place. */
    if (mapping != MAP_FAILED && !(flags & MAP_FIXED)) {
        pthread_mutex_lock(&held_lock);
        held.mapped += size;
        pthread_mutex_unlock(&held_lock);
    }
    return mapping;
}

int __wrap_munmap(void *address, size_t size)
{
    int result = __real_munmap(address, size);

    if (result == 0) {
        pthread_mutex_lock(&held_lock);
        held.mapped -= size;
        pthread_mutex_unlock(&held_lock);
    }
    return result;
}

int __wrap_madvise(void *address, size_t size, int advice)
{
    if (fails(GUARD)) {
        errno = ENOMEM;
        return -1;
    }
    return __real_madvise(address, size, advice);
}

int __wrap_mprotect(void *address, size_t size, int protection)
{
    if (fails(GUARD)) {
        errno = ENOMEM;
        return -1;
    }
    return __real_mprotect(address, size, protection);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    if (fails(THREAD)) return EAGAIN;
    int result = __real_pthread_create(thread, attr, fn, arg);
    if (result == 0) {
        pthread_mutex_lock(&held_lock);
        held.threads++;
        pthread_mutex_unlock(&held_lock);
    }
    return result;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    int error = __real_pthread_join(thread, result);

    if (error == 0) {
        pthread_mutex_lock(&held_lock);
        held.threads--;
        pthread_mutex_unlock(&held_lock);
    }
    return error;
}

/* ---- a program that asks for everything -------------------------------------------- */

enum { WORKERS = 3, SPAWNED = 60 };

struct work {
    atomic_int ran;
    atomic_int started; /* tasks of scopes that were taken */
    atomic_int ended;
    unsigned   workers;
};

static int yield_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) weft_yield();
    return 0;
}

static int end_in_scope(void *arg)
{
    struct work *work = *(struct work **)arg;

    weft_yield();
    atomic_fetch_add(&work->ended, 1);
    return 0;
}

static int go_back(void *arg)
{
    return *(int *)arg;
}

static void loop_body(size_t begin, size_t end, void *arg)
{
    atomic_fetch_add((atomic_size_t *)arg, end - begin);
}

static void note_start(struct work *work, int result)
{
    task_check(result == 0 || result == -ENOMEM);
    if (result == 0) atomic_fetch_add(&work->started, 1);
}

static int do_work(void *arg)
{
    struct work  *work = arg;
    weft_task     storage[SPAWNED];
    weft_task    *tasks[SPAWNED];
    weft_scope    scope;
    weft_runtime *inner;
    int           seven = 7;
    atomic_size_t sum = 0;
    struct {
        struct work *work;
        char         bytes[5000];
    } big = {.work = work};

    atomic_fetch_add(&work->ran, 1);
    work->workers = weft_worker_count();

    /* None of these can fail. */
    task_check(weft_scope_open(&scope, NULL) == 0);
    for (int i = 0; i < SPAWNED; i++) {
        tasks[i] = &storage[i];
        weft_spawn(tasks[i], yield_some, NULL);
    }
    weft_for(0, 1000, 10, loop_body, &sum);
    task_check(sum == 1000);

    for (int i = 0; i < 20; i++) {
        note_start(work, weft_scope_go(&scope, end_in_scope, &work, sizeof work));
        note_start(work, weft_scope_go(&scope, end_in_scope, &big, sizeof big));
        note_start(work, weft_go(end_in_scope, &work, sizeof work));
    }

    int index = weft_await_any(tasks, SPAWNED, WEFT_NEVER);
    task_check(index == -ENOMEM || (index >= 0 && index < SPAWNED));
    for (int i = 0; i < SPAWNED; i++) task_check(weft_await(tasks[i]) == 0);

    int result = weft_runtime_start(&inner, WEFT_OPTIONS(.workers = 2));
    task_check(result == 0 || result == -ENOMEM || result == -EAGAIN);
    task_check((result == 0) == (inner != NULL));
    if (result == 0) {
        note_start(work, weft_runtime_go(inner, end_in_scope, &work, sizeof work));
        task_check(weft_runtime_call(inner, go_back, &seven) == 7);
        task_check(weft_runtime_stop(inner) == 0);
    }
    return weft_scope_close(&scope);
}

/* ---- one failure ------------------------------------------------------------------- */

static void assert_nothing_lost(const struct held *before)
{
    struct held after = held_now();

    assert_int_equal(after.blocks, before->blocks);
    assert_int_equal(after.mapped, before->mapped);
    assert_int_equal(after.threads, before->threads);
}

/* Whether so many calls were made that number `n` was among them. */
static bool fail_nth(unsigned kinds, unsigned long n)
{
    struct work work = {0};
    struct held before = held_now();

    fail_begin(kinds, n, n + 1);
    int           result = weft_run(do_work, &work, WEFT_OPTIONS(.workers = WORKERS));
    unsigned long count = fail_end();
    assert_task_checks();
    assert_true(result == 0 || result == -ENOMEM || result == -EAGAIN);
    assert_int_equal(work.ran, result == 0);
    assert_int_equal(work.ended, work.started);
    /* There are fallbacks for guards; where there is one thread, there is a runtime. */
    if (kinds == GUARD || (kinds == THREAD && n > 0)) assert_int_equal(result, 0);
    if (result == 0) assert_in_range(work.workers, kinds == GUARD ? WORKERS : 1, WORKERS);
    assert_nothing_lost(&before);
    return count > n;
}

static void fail_each(unsigned kinds)
{
    unsigned long n = 0;

    /* Once, so that what is kept for the process's life is there. */
    assert_int_equal(weft_run(do_work, &(struct work){0}, WEFT_OPTIONS(.workers = WORKERS)), 0);
    assert_task_checks();
    while (fail_nth(kinds, n)) n++;
    /* The wrappers are in effect. */
    assert_true(n >= 1);
}

static void memory_fails_once(void **state)
{
    (void)state;
    fail_each(MEMORY);
}

static void thread_fails_once(void **state)
{
    (void)state;
    fail_each(THREAD);
}

static void anything_fails_once(void **state)
{
    (void)state;
    fail_each(MEMORY | THREAD);
}

static void guard_fails_once(void **state)
{
    (void)state;
    fail_each(GUARD);
}

/* ---- all fail from some moment on ---------------------------------------------------- */

static bool start_with_less(unsigned kinds, unsigned long n)
{
    struct work   work = {0};
    struct held   before = held_now();
    weft_runtime *runtime = (weft_runtime *)&work;

    fail_begin(kinds, n, ULONG_MAX);
    int           result = weft_runtime_start(&runtime, WEFT_OPTIONS(.workers = WORKERS));
    unsigned long count = fail_end();
    if (result == 0) {
        assert_int_equal(weft_runtime_call(runtime, do_work, &work), 0);
        assert_int_equal(weft_runtime_stop(runtime), 0);
        assert_int_equal(work.ran, 1);
        assert_int_equal(work.ended, work.started);
        assert_in_range(work.workers, 1, WORKERS);
        /* What was asked for and refused shows. */
        if (kinds == THREAD && count > n) assert_in_range(work.workers, 1, n);
    } else {
        assert_true(result == -EAGAIN || (result == -ENOMEM && (kinds & MEMORY)));
        assert_null(runtime);
        assert_int_equal(work.ran, 0);
    }
    if (n == 0 && kinds == THREAD) assert_int_equal(result, -EAGAIN);
    if (n == 0 && kinds == MEMORY) assert_int_equal(result, -ENOMEM);
    assert_task_checks();
    assert_nothing_lost(&before);
    return count > n;
}

static void start_runs_on_what_it_gets(void **state)
{
    (void)state;
    const unsigned kinds[] = {MEMORY, THREAD, MEMORY | THREAD};

    for (size_t i = 0; i < TEST_LENGTH(kinds); i++) {
        unsigned long n = 0;
        while (start_with_less(kinds[i], n)) n++;
        assert_true(n >= 1);
    }
}

static void guards_fail_for_good(void **state)
{
    (void)state;
    struct held before = held_now();
    struct work work = {0};

    fail_begin(GUARD, 0, ULONG_MAX);
    int result = weft_run(do_work, &work, WEFT_OPTIONS(.workers = WORKERS));
    assert_true(fail_end() > 0);
    assert_task_checks();
    assert_int_equal(result, 0);
    assert_int_equal(work.ended, work.started);
    assert_nothing_lost(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_fails_once),   cmocka_unit_test(thread_fails_once),
        cmocka_unit_test(anything_fails_once), cmocka_unit_test(start_runs_on_what_it_gets),
        cmocka_unit_test(guard_fails_once),    cmocka_unit_test(guards_fail_for_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
