/* test_platform.c - how many CPUs there are to use, the clock, sleep, the asymmetric fence */
#include "support.h"

#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform.h"

/* ---- control groups that are made up ------------------------------------------------ */

/* What stands in for / in each test. */
static char root[256];

static int make_root(void **state)
{
    const char *base = getenv("TMPDIR");

    (void)state;
    snprintf(root, sizeof root, "%s/weft-test-XXXXXX", base && strlen(base) < 200 ? base : "/tmp");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes root/sys/fs/cgroup/<path>, whose directories are made. */
static void put(const char *path, const char *text)
{
    char name[512];

    snprintf(name, sizeof name, "%s/sys/fs/cgroup/%s", root, path);
    for (char *slash = name + strlen(root); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        mkdir(name, 0700);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_limit(const char *membership, uint64_t thousandths)
{
    char *exact = test_exact_copy(membership, strlen(membership) + 1);

    uint64_t limit = platform_cgroup_limit(root, exact);
    free(exact);
    assert_int_equal(limit, thousandths);
}

#define NO_LIMIT UINT64_MAX

static void version_two_limits(void **state)
{
    (void)state;
    put("a/b/cpu.max", "150000 100000\n");
    put("c/cpu.max", "max 100000\n");
    assert_limit("0::/a/b\n", 1500);
    assert_limit("0::/a/b", 1500);
    assert_limit("0::/c\n", NO_LIMIT);
    assert_limit("0::/a\n", NO_LIMIT);
    assert_limit("0::/\n", NO_LIMIT);
}

static void every_ancestor_limits(void **state)
{
    (void)state;
    put("a/cpu.max", "50000 100000\n");
    put("a/b/c/cpu.max", "200000 100000\n");
    put("d/e/cpu.max", "300000 100000\n");
    assert_limit("0::/a/b/c\n", 500);
    assert_limit("0::/a/b\n", 500);
    assert_limit("0::/d/e\n", 3000);
    /* One that is gone still has ancestors. */
    assert_limit("0::/a/gone/for/good\n", 500);
    /* The outermost is seen as a limit only in a container, where it is one. */
    put("cpu.max", "100000 100000\n");
    assert_limit("0::/d/e\n", 1000);
    assert_limit("0::/\n", 1000);
}

static void version_one_limits(void **state)
{
    (void)state;
    put("cpu/a/cpu.cfs_quota_us", "25000\n");
    put("cpu/a/cpu.cfs_period_us", "100000\n");
    put("cpu/a/b/cpu.cfs_quota_us", "-1\n");
    put("cpu/a/b/cpu.cfs_period_us", "100000\n");
    put("cpu,cpuacct/c/cpu.cfs_quota_us", "400000\n");
    put("cpu,cpuacct/c/cpu.cfs_period_us", "200000\n");
    put("cpu/half/cpu.cfs_quota_us", "1000\n");
    assert_limit("4:cpu,cpuacct:/a\n", 250);
    assert_limit("4:cpu:/a/b\n", 250);
    assert_limit("4:cpuacct,cpu:/c\n", 2000);
    assert_limit("12:pids:/a\n4:cpu:/c\n3:memory:/\n", 2000);
    assert_limit("4:cpu:/half\n", NO_LIMIT);
    /* Of other controllers none is cpu. */
    assert_limit("4:cpuset:/a\n5:cpuacct:/a\n6:memory,cpux,xcpu:/a\n7:name=cpu:/a\n", NO_LIMIT);
}

static void hybrid_takes_the_least(void **state)
{
    (void)state;
    put("unified/a/cpu.max", "700000 100000\n");
    put("cpu/b/cpu.cfs_quota_us", "300000\n");
    put("cpu/b/cpu.cfs_period_us", "100000\n");
    put("cpu/c/cpu.cfs_quota_us", "900000\n");
    put("cpu/c/cpu.cfs_period_us", "100000\n");
    assert_limit("4:cpu,cpuacct:/b\n0::/a\n", 3000);
    assert_limit("4:cpu,cpuacct:/c\n0::/a\n", 7000);
    assert_limit("0::/a\n", 7000);
}

static void parts_of_a_cpu_are_rounded_up(void **state)
{
    (void)state;
    put("a/cpu.max", "33333 100000\n");
    put("b/cpu.max", "1 1000000\n");
    put("c/cpu.max", "1000000000000 1000\n");
    assert_limit("0::/a\n", 334);
    assert_limit("0::/b\n", 1);
    assert_limit("0::/c\n", UINT64_C(1000000000000));
}

static void odd_text_is_no_limit(void **state)
{
    (void)state;
    const char *odd[] = {"",        "\n",         "100000\n",   "0 100000\n", "-5 100000\n", "100000 0\n",
                         "1 -1000", "cpu 100000", "100000 max", "\xff\xfe",   " \t ",        "max"};
    const char *odd_alone[] = {"", "\n", "-1\n", "0\n", "max\n", "-", "\xff\xfe", " \t "};
    const char *memberships[] = {
        "",  "\n",         "\n\n\n", ":",     "::",    ":::",    "0:",      "0:\n",
        "0", "no colon\n", "0::",    "0::\n", "1:cpu", "1:cpu:", "1:,:/\n",
    };
    char deep[20000];

    for (size_t i = 0; i < TEST_LENGTH(odd); i++) {
        put("a/cpu.max", odd[i]);
        assert_limit("0::/a\n", NO_LIMIT);
    }
    for (size_t i = 0; i < TEST_LENGTH(odd_alone); i++) {
        put("cpu/a/cpu.cfs_quota_us", odd_alone[i]);
        put("cpu/a/cpu.cfs_period_us", "100000\n");
        assert_limit("4:cpu:/a\n", NO_LIMIT);
        put("cpu/a/cpu.cfs_quota_us", "100000\n");
        put("cpu/a/cpu.cfs_period_us", odd_alone[i]);
        assert_limit("4:cpu:/a\n", NO_LIMIT);
    }
    for (size_t i = 0; i < TEST_LENGTH(memberships); i++) assert_limit(memberships[i], NO_LIMIT);

    /* A path longer than any is passed over; the line behind it counts. */
    memset(deep, 'd', sizeof deep);
    memcpy(deep, "1:cpu:/", 7);
    put("a/cpu.max", "100000 50000");
    strcpy(deep + sizeof deep - 16, "\n0::/a\n");
    assert_limit(deep, 2000);
}

/* ---- CPUs ---------------------------------------------------------------------------- */

static unsigned quota_cpus(void)
{
    char     text[4096] = "";
    FILE    *file = fopen("/proc/self/cgroup", "r");
    uint64_t limit = UINT64_MAX;

    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
        limit = platform_cgroup_limit("", text);
    }
    return limit == UINT64_MAX ? UINT32_MAX : (unsigned)((limit + 999) / 1000);
}

static void cpus_are_those_of_the_affinity(void **state)
{
    (void)state;
    cpu_set_t all;
    cpu_set_t some;
    unsigned  quota = quota_cpus();

    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&some);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        CPU_SET(cpu, &some);
        unsigned count = (unsigned)CPU_COUNT(&some);
        assert_int_equal(sched_setaffinity(0, sizeof some, &some), 0);
        unsigned found = platform_cpus(), allowed = platform_allowed();
        assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
        assert_int_equal(allowed, count);
        assert_int_equal(found, count < quota ? count : quota);
    }
}

/* ---- clock and sleep ------------------------------------------------------------------- */

static void clock_is_the_monotonic_one(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        weft_time before = test_now();
        int64_t   now = platform_clock();
        weft_time after = test_now();
        assert_true(before <= now && now <= after);
    }
}

static void wait_returns_for_another_value(void **state)
{
    (void)state;
    Atomic(uint32_t) word = 1;
    weft_time        begin = test_now();

    platform_futex_wait(&word, 0, 100 * WEFT_SEC);
    platform_futex_wait(&word, 0, -1);
    assert_true(test_now() - begin < TEST_LONG);
}

/* It may return early, so it is asked until the time is over. */
static void wait_times_out(void **state)
{
    (void)state;
    Atomic(uint32_t) word = 0;
    weft_time        begin = test_now();
    unsigned         calls = 0;

    for (; test_now() - begin < 100 * WEFT_MS; calls++) platform_futex_wait(&word, 0, 50 * WEFT_MS);
    assert_in_range(calls, 1, 20);
    /* Seconds and nanoseconds are both heeded. */
    begin = test_now();
    while (test_now() - begin < WEFT_SEC + 50 * WEFT_MS && calls < 100) {
        platform_futex_wait(&word, 0, WEFT_SEC + 50 * WEFT_MS);
        calls++;
    }
    assert_true(calls < 100);
}

struct sleeper {
    Atomic(uint32_t) word;
    atomic_bool      asleep;
    atomic_bool      woken;
};

static void sleep_for_good(void *arg)
{
    struct sleeper *self = arg;

    atomic_store(&self->asleep, true);
    while (load_acquire(&self->word) == 0) platform_futex_wait(&self->word, 0, -1);
    atomic_store(&self->woken, true);
}

static void wake_wakes(void **state)
{
    (void)state;
    struct sleeper sleeper = {0};
    test_thread    thread;

    test_thread_start(&thread, sleep_for_good, &sleeper);
    task_spin_until(atomic_load(&sleeper.asleep));
    test_sleep(20 * WEFT_MS);
    assert_false(atomic_load(&sleeper.woken));
    store_release(&sleeper.word, 1);
    platform_futex_wake(&sleeper.word, 1);
    test_thread_join(&thread);
    assert_true(atomic_load(&sleeper.woken));
    /* Nobody sleeps there: nothing happens. */
    platform_futex_wake(&sleeper.word, INT32_MAX);
    assert_task_checks();
}

/* ---- the fence ---------------------------------------------------------------------------- */

/* Two threads each store one word and load the other's, again and again, beginning as
 * nearly together as they can. */
struct dekker {
    atomic_uint round;
    atomic_uint finished;
    unsigned    rounds;
    _Alignas(CACHE_LINE) Atomic(uint32_t) light;
    _Alignas(CACHE_LINE) Atomic(uint32_t) heavy;
    _Alignas(CACHE_LINE) atomic_bool light_saw;
};

static void light_side(void *arg)
{
    struct dekker *d = arg;

    for (unsigned i = 1; i <= d->rounds; i++) {
        /* Nearly together is only who spins; but the machine may have one processor. */
        for (unsigned spins = 1; atomic_load_explicit(&d->round, memory_order_acquire) != i; spins++)
            if (spins % 1024 == 0) sched_yield();
        store_relaxed(&d->light, i);
        platform_fence_light();
        bool saw = load_relaxed(&d->heavy) == i;
        atomic_store_explicit(&d->light_saw, saw, memory_order_relaxed);
        atomic_store_explicit(&d->finished, i, memory_order_release);
    }
}

static void one_side_of_the_fence_sees_the_other(void **state)
{
    (void)state;
    static struct dekker d;
    test_thread          thread;
    unsigned             neither = 0;

    platform_init();
    platform_init();
    d.rounds = (unsigned)test_scale(20000);
    test_thread_start(&thread, light_side, &d);
    for (unsigned i = 1; i <= d.rounds; i++) {
        atomic_store_explicit(&d.round, i, memory_order_release);
        store_relaxed(&d.heavy, i);
        platform_fence_heavy();
        bool saw = load_relaxed(&d.light) == i;
        while (atomic_load_explicit(&d.finished, memory_order_acquire) != i) sched_yield();
        neither += !saw && !atomic_load_explicit(&d.light_saw, memory_order_relaxed);
    }
    test_thread_join(&thread);
    assert_int_equal(neither, 0);
}

/* ---- threads ---------------------------------------------------------------------------- */

static atomic_bool may_end;

static void stay(void *arg)
{
    (void)arg;
    while (!atomic_load(&may_end)) test_sleep(WEFT_MS);
}

static void threads_are_counted(void **state)
{
    (void)state;
    test_thread threads[3];

    /* Those of the tests before may be listed a moment longer. */
    task_until(platform_threads() == 1);
    atomic_store(&may_end, false);
    for (unsigned i = 0; i < 3; i++) {
        test_thread_start(&threads[i], stay, NULL);
        assert_int_equal(platform_threads(), i + 2);
    }
    atomic_store(&may_end, true);
    for (int i = 0; i < 3; i++) test_thread_join(&threads[i]);
    task_until(platform_threads() == 1);
    assert_task_checks();
}

/* Such threads come with requests of an io_uring (test_uring.c): these here are none. */
static void own_threads_are_not_the_systems(void **state)
{
    (void)state;
    test_thread thread;

    atomic_store(&may_end, false);
    test_thread_start(&thread, stay, NULL);
    assert_int_equal(platform_system_threads(), 0);
    atomic_store(&may_end, true);
    test_thread_join(&thread);
}

static atomic_int number;

static void note_number(void *arg)
{
    (void)arg;
    atomic_store(&number, platform_thread_id());
}

/* Who began later is another, which has been given the number of one that has ended. */
static void a_thread_exists_from_its_beginning(void **state)
{
    (void)state;
    test_thread thread;
    int         own = platform_thread_id();

    assert_true(platform_thread_exists(own, platform_thread_clock()));
    assert_false(platform_thread_exists(own, 0));
    test_thread_start(&thread, note_number, NULL);
    test_thread_join(&thread);
    task_until(!platform_thread_exists(atomic_load(&number), platform_thread_clock()));
    assert_task_checks();
}

int main(void)
{
#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        WITH_ROOT(version_two_limits),
        WITH_ROOT(every_ancestor_limits),
        WITH_ROOT(version_one_limits),
        WITH_ROOT(hybrid_takes_the_least),
        WITH_ROOT(parts_of_a_cpu_are_rounded_up),
        WITH_ROOT(odd_text_is_no_limit),
        cmocka_unit_test(cpus_are_those_of_the_affinity),
        cmocka_unit_test(clock_is_the_monotonic_one),
        cmocka_unit_test(wait_returns_for_another_value),
        cmocka_unit_test(wait_times_out),
        cmocka_unit_test(wake_wakes),
        cmocka_unit_test(threads_are_counted),
        cmocka_unit_test(own_threads_are_not_the_systems),
        cmocka_unit_test(a_thread_exists_from_its_beginning),
        cmocka_unit_test(one_side_of_the_fence_sees_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
