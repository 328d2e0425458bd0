/* support.c - see support.h */
#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- sanitizers ----------------------------------------------------------- */

/* They ask for these at the start.  An allocation beyond reason fails, as it does
 * without them, instead of ending the program: that is what some tests are about. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* ---- how much ------------------------------------------------------------ */

unsigned test_workers(void)
{
    const char   *text = getenv("WEFT_TEST_WORKERS");
    unsigned long workers = text ? strtoul(text, NULL, 10) : 0;

    return workers ? (unsigned)workers : 2;
}

size_t test_scale(size_t n)
{
    size_t scaled = TEST_TSAN ? n / 20 : TEST_ASAN ? n / 10 : n;

    return scaled ? scaled : 1;
}

size_t test_stacks(size_t n)
{
    /* ThreadSanitizer holds about 8,000 contexts, each of which may take a
     * megabyte; what it is given here leaves room for those kept in pools. */
    size_t most = TEST_TSAN ? 1000 : TEST_ASAN ? 5000 : n;

    return n < most ? n : most;
}

/* ---- checks in tasks and threads ------------------------------------------ */

struct note {
    const char *file;
    int         line;
    const char *condition;
};

static pthread_mutex_t note_lock = PTHREAD_MUTEX_INITIALIZER;
static struct note     first_note;

void test_note(const char *file, int line, const char *condition)
{
    pthread_mutex_lock(&note_lock);
    if (!first_note.file) first_note = (struct note){file, line, condition};
    pthread_mutex_unlock(&note_lock);
}

static const char *place; /* for messages */

void assert_task_checks(void)
{
    pthread_mutex_lock(&note_lock);
    struct note note = first_note;
    first_note = (struct note){0};
    pthread_mutex_unlock(&note_lock);

    if (note.file) {
        print_error("%s, this did not hold: %s\n", place ? place : "in a task or thread", note.condition);
        place = NULL;
        _fail(note.file, note.line);
    }
}

int test_run(weft_fn *fn, void *arg, const struct weft_options *options)
{
    int result = weft_run(fn, arg, options);

    assert_task_checks();
    return result;
}

int test_run_workers(weft_fn *fn, void *arg)
{
    return test_run(fn, arg, WEFT_OPTIONS(.workers = test_workers()));
}

void *test_exact_copy(const void *bytes, size_t size)
{
    void *copy = malloc(size);

    if (!copy) abort();
    return memcpy(copy, bytes, size);
}

/* ---- time, chance, threads ------------------------------------------------ */

weft_time test_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (weft_time)now.tv_sec * WEFT_SEC + now.tv_nsec;
}

void test_sleep(weft_time duration)
{
    struct timespec left = {.tv_sec = duration / WEFT_SEC, .tv_nsec = duration % WEFT_SEC};

    while (nanosleep(&left, &left))
        ;
}

void test_spin(unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) __asm__ volatile("" : "+r"(i));
}

uint32_t test_random(uint32_t *state)
{
    uint32_t x = *state;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

struct thread_start {
    void (*fn)(void *arg);
    void *arg;
};

static void *thread_entry(void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;

    free(arg);
    start.fn(start.arg);
    return NULL;
}

void test_thread_start(test_thread *thread, void (*fn)(void *arg), void *arg)
{
    struct thread_start *start = malloc(sizeof *start);
    pthread_t            id;

    if (!start) abort();
    *start = (struct thread_start){fn, arg};
    if (pthread_create(&id, NULL, thread_entry, start)) abort();
    thread->id = id;
}

void test_thread_join(test_thread *thread)
{
    pthread_join(thread->id, NULL);
}

/* ---- sides and places ------------------------------------------------------ */

static void run_side(void *arg)
{
    test_side *side = arg;

    side->result = side->fn(side->arg);
    atomic_store(&side->ended, true);
}

void test_side_start(test_side *side, bool thread, weft_fn *fn, void *arg)
{
    side->fn = fn;
    side->arg = arg;
    side->thread = thread || weft_worker_index() < 0;
    atomic_init(&side->ended, false);
    if (side->thread) test_thread_start(&side->id, run_side, side);
    else weft_spawn(&side->task, fn, arg);
}

int test_side_end(test_side *side)
{
    if (!side->thread) return weft_await(&side->task);
    /* To join is to block the worker, which the thread may still need. */
    task_until(atomic_load(&side->ended));
    test_thread_join(&side->id);
    return side->result;
}

void test_let_run(void)
{
    for (int i = 0; i < 300; i++) weft_yield();
}

static void assert_in_place(const char *name, weft_fn *fn, void *arg, const struct weft_options *options)
{
    place = name;
    int result = options ? weft_run(fn, arg, options) : fn(arg);
    assert_task_checks();
    place = NULL;
    assert_int_equal(result, 0);
}

void assert_in_tasks(weft_fn *fn, void *arg)
{
    assert_in_place("on several workers", fn, arg, WEFT_OPTIONS(.workers = test_workers()));
    assert_in_place("on one root", fn, arg, WEFT_OPTIONS(.one_root = true));
    for (uint64_t seed = 1; seed <= 3; seed++)
        assert_in_place("with a seed of 1 to 3", fn, arg, WEFT_OPTIONS(.seed = seed));
}

void assert_everywhere(weft_fn *fn, void *arg)
{
    assert_in_place("without a runtime", fn, arg, NULL);
    assert_in_tasks(fn, arg);
}

/* ---- what a process holds ------------------------------------------------- */

static size_t count_entries(const char *path)
{
    DIR   *dir = opendir(path);
    size_t count = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

void test_census(struct test_census *census)
{
    char          line[4096];
    unsigned long pages = 0;

    *census = (struct test_census){
        .threads = count_entries("/proc/self/task"),
        .descriptors = count_entries("/proc/self/fd"),
    };
    FILE *file = fopen("/proc/self/maps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) census->mappings++;
    fclose(file);
    file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    census->address_space = pages * (size_t)sysconf(_SC_PAGESIZE);
}

void assert_threads_end_at(size_t threads)
{
    weft_time end = test_now() + 10 * WEFT_SEC;

    while (count_entries("/proc/self/task") > threads && test_now() < end) test_sleep(WEFT_MS);
    assert_in_range(count_entries("/proc/self/task"), 1, threads);
}

/* ---- text ------------------------------------------------------------------ */

size_t test_count_of(const char *text, const char *what)
{
    size_t count = 0;

    for (; (text = strstr(text, what)); text += strlen(what)) count++;
    return count;
}

char *test_read_all(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);

    if (!text) abort();
    task_check(pread(fd, text, (size_t)size, 0) == size);
    return text;
}

char *test_dump_text(void)
{
    int fd = memfd_create("dump", MFD_CLOEXEC);

    task_check(fd >= 0);
    task_check(weft_dump(fd) == 0);
    char *text = test_read_all(fd);
    close(fd);
    return text;
}

/* ---- programs that die ---------------------------------------------------- */

/* Long enough for the slowest sanitizer, short of a test's time-out. */
#define CHILD_SECONDS 60

static void append_option(const char *name, const char *option)
{
    const char *old = getenv(name);
    char        text[1024];

    snprintf(text, sizeof text, "%s%s%s", old ? old : "", old ? ":" : "", option);
    setenv(name, text, 1);
}

static void child_exec(const char *name, int output)
{
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    append_option("ASAN_OPTIONS", "handle_segv=0:allow_user_segv_handler=1");
    append_option("TSAN_OPTIONS", "handle_segv=0:allow_user_segv_handler=1");
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    alarm(CHILD_SECONDS);
    execl("/proc/self/exe", "test", name, (char *)NULL);
    _exit(127);
}

void test_child_run(struct test_child *child, const char *name)
{
    int    ends[2];
    size_t length = 0;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) child_exec(name, ends[1]);
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], child->text + length, sizeof child->text - 1 - length)) > 0;)
        length += (size_t)got;
    child->text[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &child->status, 0), pid);
}

void test_child_main(int argc, char **argv, const struct test_part *parts, size_t count)
{
    if (argc < 2) return;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(argv[1], parts[i].name)) exit(parts[i].fn());
    fprintf(stderr, "%s: there is no part %s\n", argv[0], argv[1]);
    exit(126);
}

void assert_stopped_with_message(const struct test_child *child)
{
    if (!WIFSIGNALED(child->status) || WTERMSIG(child->status) != SIGABRT)
        print_error("the child said: %s\n", child->text);
    assert_true(WIFSIGNALED(child->status));
    assert_int_equal(WTERMSIG(child->status), SIGABRT);
    assert_non_null(strstr(child->text, "weft"));
}

void assert_part_stops(const char *name, const char *said)
{
    static struct test_child child;

    test_child_run(&child, name);
    assert_stopped_with_message(&child);
    if (!strstr(child.text, said)) print_error("%s said: %s\n", name, child.text);
    assert_non_null(strstr(child.text, said));
}
