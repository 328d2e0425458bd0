#define _GNU_SOURCE
#include "platform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

bool platform_asymmetric;

static void register_membarrier(void)
{
    platform_asymmetric = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void platform_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_membarrier);
}

void platform_fence_heavy(void)
{
    fence_seq();
    if (platform_asymmetric && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
        base_die("membarrier, which worked at the start, fails");
}

static bool read_file(int dir, const char *name, char *text, size_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    if (n < 0) return false;
    text[n] = 0;
    return true;
}

/* ThreadSanitizer has a thread of its own. */
#define HIDDEN_THREADS (UNDER_TSAN ? 1u : 0u)

unsigned platform_threads(void)
{
    struct stat tasks; /* its links are ".", ".." and one for each thread: one call, and no descriptor */
    if (stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink < 3) return 0;
    return (unsigned)tasks.st_nlink - 2 - HIDDEN_THREADS;
}

/* From a thread's line in /proc (proc(5)): the flags are the seventh field after the name, which may have any
 * characters, parentheses too. */
static bool is_system_thread(const char *stat)
{
    enum { PF_IO_WORKER = 0x10 };
    unsigned flags = 0;
    stat = strrchr(stat, ')');
    return stat && sscanf(stat, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && (flags & PF_IO_WORKER);
}

unsigned platform_system_threads(void)
{
    unsigned n = 0;
    DIR     *tasks = opendir("/proc/self/task");
    if (!tasks) return 0;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char name[sizeof entry->d_name + 8], stat[512];
        snprintf(name, sizeof name, "%s/stat", entry->d_name);
        if (entry->d_name[0] != '.' && read_file(dirfd(tasks), name, stat, sizeof stat)) n += is_system_thread(stat);
    }
    closedir(tasks);
    return n;
}

int platform_thread_id(void)
{
    return (int)syscall(SYS_gettid);
}

int64_t platform_thread_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

bool platform_thread_exists(int id, int64_t moment)
{
    char name[64], stat[512];
    if (syscall(SYS_tgkill, getpid(), id, 0) != 0) return false;
    snprintf(name, sizeof name, "/proc/self/task/%d/stat", id);
    if (!read_file(AT_FDCWD, name, stat, sizeof stat)) return false; /* a thread more that may act does no harm */
    const char *at = strrchr(stat, ')'); /* when it began is the twentieth field after the name */
    for (int i = 0; at && i < 20; i++) at = strchr(at + 1, ' ');
    return !at || strtoll(at, NULL, 10) * (INT64_C(1000000000) / sysconf(_SC_CLK_TCK)) <= moment;
}

int platform_thread_start(uint64_t *thread, size_t stack_size, void *(*fn)(void *arg), void *arg)
{
    static const int kept[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF};
    pthread_attr_t   attr;
    pthread_t        id;
    sigset_t         all, before;
    int              error = pthread_attr_init(&attr);
    if (error) return error;
    pthread_attr_setstacksize(&attr, max_of(stack_size, (size_t)sysconf(_SC_THREAD_STACK_MIN)));
    sigfillset(&all);
    for (unsigned i = 0; i < array_len(kept); i++) sigdelset(&all, kept[i]);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    error = pthread_create(&id, &attr, fn, arg);
    if (error == EINVAL) error = pthread_create(&id, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (!error) *thread = (uint64_t)id;
    return error;
}

static int64_t clock_of(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t platform_clock(void)
{
    return clock_of(CLOCK_MONOTONIC);
}

int64_t platform_clock_coarse(void)
{
    return clock_of(CLOCK_MONOTONIC_COARSE);
}

int64_t platform_clock_tick(void)
{
    struct timespec tick;
    clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
    return (int64_t)tick.tv_sec * 1000000000 + tick.tv_nsec;
}

void platform_futex_wait(Atomic(uint32_t) *word, uint32_t value, int64_t timeout)
{
    struct timespec t = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout < 0 ? NULL : &t, NULL, 0);
}

void platform_futex_wake(Atomic(uint32_t) *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/* ---- how many CPUs ------------------------------------------------------- */

/* The caller may be a task with a small stack, so names of files are not on it. */
#define NAME_BYTES ((size_t)4096)

static uint64_t as_thousandths(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return UINT64_MAX;
    return (uint64_t)(((double)quota * 1000 + (double)period - 1) / (double)period);
}

/* The limit of one group: cpu.max is of version 2, cpu.cfs_quota_us of version 1. */
static uint64_t group_limit(int dir)
{
    char      text[64];
    long long quota, period;
    uint64_t  limit = UINT64_MAX;
    if (read_file(dir, "cpu.max", text, sizeof text) && sscanf(text, "%lld %lld", &quota, &period) == 2)
        limit = as_thousandths(quota, period);
    if (read_file(dir, "cpu.cfs_quota_us", text, sizeof text) && sscanf(text, "%lld", &quota) == 1 &&
        read_file(dir, "cpu.cfs_period_us", text, sizeof text) && sscanf(text, "%lld", &period) == 1)
        limit = min_of(limit, as_thousandths(quota, period));
    return limit;
}

/* The least limit of the group `name` and of all above it, `name` being cut short in
 * place down to `keep` characters. */
static uint64_t least_upwards(char *name, size_t keep)
{
    for (uint64_t least = UINT64_MAX;;) {
        int dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir >= 0) {
            uint64_t limit = group_limit(dir);
            least = min_of(least, limit);
            close(dir);
        }
        char *slash = strrchr(name + keep, '/');
        if (!slash) return least;
        *slash = 0;
    }
}

/* Whether the comma-separated list holds the word. */
static bool list_has(const char *list, size_t length, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; p + n <= list + length; p++)
        if (!strncmp(p, word, n) && (p == list || p[-1] == ',') && (p + n == list + length || p[n] == ',')) return true;
    return false;
}

uint64_t platform_cgroup_limit(const char *root, const char *membership)
{
    char *name = malloc(NAME_BYTES);
    if (!name) return UINT64_MAX;
    /* Lines are "number:controllers:path"; version 2 has no controllers. */
    uint64_t least = UINT64_MAX;
    for (const char *line = membership; *line;) {
        const char *end = strchrnul(line, '\n');
        const char *list = memchr(line, ':', (size_t)(end - line));
        const char *path = list ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;
        if (path) {
            size_t      length = (size_t)(path - list - 1);
            const char *mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified", NULL};
            if (length > 0) mounts[0] = "/sys/fs/cgroup/cpu", mounts[1] = "/sys/fs/cgroup/cpu,cpuacct";
            for (int i = 0; mounts[i] && (length == 0 || list_has(list + 1, length, "cpu")); i++) {
                int keep = snprintf(name, NAME_BYTES, "%s%s", root, mounts[i]);
                int n = snprintf(name + keep, NAME_BYTES - (size_t)keep, "%.*s", (int)(end - path - 1), path + 1);
                if (n < 0 || (size_t)n >= NAME_BYTES - (size_t)keep) continue;
                if (name[keep + n - 1] == '/') name[keep + n - 1] = 0;
                uint64_t limit = least_upwards(name, (size_t)keep);
                least = min_of(least, limit);
            }
        }
        line = *end ? end + 1 : end;
    }
    free(name);
    return least;
}

unsigned platform_allowed(void)
{
    for (int size = 1024; size <= 1 << 20; size *= 4) { /* the kernel's mask may be wider than cpu_set_t */
        cpu_set_t *set = CPU_ALLOC(size);
        if (!set) break;
        int result = sched_getaffinity(0, CPU_ALLOC_SIZE(size), set);
        int count = result == 0 ? CPU_COUNT_S(CPU_ALLOC_SIZE(size), set) : 0;
        CPU_FREE(set);
        if (count > 0) return (unsigned)count;
        if (errno != EINVAL) break;
    }
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (unsigned)count;
}

unsigned platform_cpus(void)
{
    long  count = platform_allowed();
    char *membership = malloc(NAME_BYTES);
    if (membership && read_file(AT_FDCWD, "/proc/self/cgroup", membership, NAME_BYTES)) {
        uint64_t limit = platform_cgroup_limit("", membership);
        if (limit != UINT64_MAX) count = min_of(count, (long)((limit + 999) / 1000));
    }
    free(membership);
    return count < 1 ? 1 : (unsigned)count;
}
