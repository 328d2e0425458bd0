/* libuv.c - the subjects in libuv: one loop, its timers and sockets, and its pool for what takes long */
#include "../common/peer.h"
#include "../common/work.h"

#include <uv.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1000 };

static void must(int error)
{
    if (error < 0) peer_fail(uv_strerror(error));
}

static void run_loop(void)
{
    must(uv_run(uv_default_loop(), UV_RUN_DEFAULT));
}

/* ---- the pool --------------------------------------------------------------- */

static uint64_t words, done; /* by what has come back to the loop */

struct job {
    uv_work_t   work;
    const char *path;
    uint64_t    count;
};

static void add_one(uv_work_t *work)
{
    struct job *job = work->data;
    job->count++;
}

static void count_done(uv_work_t *work, int status)
{
    must(status);
    done += ((struct job *)work->data)->count;
}

static uint64_t spawn_work(void)
{
    static struct job jobs[BATCH];
    done = 0;
    for (long round = 0; round < peer_size / BATCH; round++) {
        for (int i = 0; i < BATCH; i++) {
            jobs[i] = (struct job){.work.data = &jobs[i]};
            must(uv_queue_work(uv_default_loop(), &jobs[i].work, add_one, count_done));
        }
        run_loop();
    }
    return done;
}

static void spawn(void)
{
    peer_measure(spawn_work);
}

static struct file_list files;
static struct job      *file_jobs;

static void count_file(uv_work_t *work)
{
    struct job *job = work->data;
    job->count = work_count_words(job->path);
}

static void count_words(uv_work_t *work, int status)
{
    must(status);
    words += ((struct job *)work->data)->count;
}

static uint64_t contrast_work(void)
{
    words = 0;
    for (size_t i = 0; i < files.count; i++) {
        file_jobs[i] = (struct job){.work.data = &file_jobs[i], .path = files.path[i]};
        must(uv_queue_work(uv_default_loop(), &file_jobs[i].work, count_file, count_words));
    }
    run_loop();
    return words;
}

static void contrast(void)
{
    files = work_list_files(peer_text);
    file_jobs = calloc(files.count, sizeof *file_jobs);
    if (!file_jobs) peer_fail("no memory");
    peer_measure(contrast_work);
}

/* ---- timers ------------------------------------------------------------------ */

static struct sleeper {
    uv_timer_t timer;
    int64_t    until;
} * sleepers;
static int64_t *durations, *late;

static void wake(uv_timer_t *timer)
{
    struct sleeper *sleeper = timer->data;
    late[sleeper - sleepers] = peer_now() - sleeper->until;
    uv_close((uv_handle_t *)timer, NULL);
}

/* Its timers count milliseconds, from when the loop last looked at the clock: rounded up, and one more, so that none
 * is early. */
static int64_t sleep_all(void)
{
    int64_t begin = peer_now();
    for (long i = 0; i < peer_size; i++) {
        struct sleeper *sleeper = &sleepers[i];
        uv_update_time(uv_default_loop());
        must(uv_timer_init(uv_default_loop(), &sleeper->timer));
        sleeper->timer.data = sleeper;
        sleeper->until = peer_now() + durations[i];
        must(uv_timer_start(&sleeper->timer, wake, (uint64_t)(durations[i] + 999999) / 1000000 + 1, 0));
    }
    run_loop();
    return peer_now() - begin;
}

static void timers(void)
{
    uint64_t state = WORK_SEED;
    sleepers = calloc((size_t)peer_size, sizeof *sleepers);
    durations = calloc((size_t)peer_size, sizeof *durations);
    late = calloc((size_t)peer_size, sizeof *late);
    if (!sleepers || !durations || !late) peer_fail("no memory");
    for (long i = 0; i < peer_size; i++) durations[i] = work_duration(&state);
    sleep_all();
    peer_print_timers((double)sleep_all(), late, peer_size);
}

/* ---- sockets ------------------------------------------------------------------ */

struct connection {
    uv_tcp_t   tcp;
    uv_write_t write;
    char       buffer[4096];
};

static void free_connection(uv_handle_t *handle)
{
    free(handle->data);
}

static void hang_up(struct connection *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp)) uv_close((uv_handle_t *)&c->tcp, free_connection);
}

static void give_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    struct connection *c = handle->data;
    (void)wanted;
    *buffer = uv_buf_init(c->buffer, sizeof c->buffer);
}

static void has_written(uv_write_t *write, int status)
{
    if (status < 0) hang_up(write->data);
}

/* What can be sent at once is; the load waits for it, so that it always can. */
static void echo_back(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct connection *c = stream->data;
    if (got < 0) {
        hang_up(c);
    } else if (got > 0) {
        uv_buf_t answer = uv_buf_init(buffer->base, (unsigned)got);
        if (uv_try_write(stream, &answer, 1) == got) return;
        must(uv_write(&c->write, stream, &answer, 1, has_written));
    }
}

static void accept_one(uv_stream_t *listener, int status)
{
    struct connection *c = malloc(sizeof *c);
    must(status);
    if (!c) peer_fail("no memory");
    must(uv_tcp_init(uv_default_loop(), &c->tcp));
    c->tcp.data = c->write.data = c;
    must(uv_accept(listener, (uv_stream_t *)&c->tcp));
    must(uv_tcp_nodelay(&c->tcp, 1));
    must(uv_read_start((uv_stream_t *)&c->tcp, give_buffer, echo_back));
}

static void echo(void)
{
    static uv_tcp_t listener;
    must(uv_tcp_init(uv_default_loop(), &listener));
    must(uv_tcp_open(&listener, peer_listen()));
    must(uv_listen((uv_stream_t *)&listener, 1024, accept_one));
    run_loop();
}

/* ---- the loop itself ------------------------------------------------------------ */

static void count_idle(uv_idle_t *idle)
{
    ++*(uint64_t *)idle->data;
    uv_close((uv_handle_t *)idle, NULL);
}

static uint64_t start_work(void)
{
    uint64_t count = 0;
    for (long i = 0; i < peer_size; i++) {
        uv_loop_t loop;
        uv_idle_t idle = {.data = &count};
        must(uv_loop_init(&loop));
        must(uv_idle_init(&loop, &idle));
        must(uv_idle_start(&idle, count_idle));
        must(uv_run(&loop, UV_RUN_DEFAULT));
        must(uv_loop_close(&loop));
    }
    return count;
}

static void start(void)
{
    peer_measure(start_work);
}

/* ---- which ------------------------------------------------------------------------ */

static const char one_loop[] = "a loop is one thread";
static const char no_waiting[] = "libuv has callbacks, which do not wait";
static const char no_forking[] = "libuv's pool is for what blocks; what runs in it cannot start more";

static const struct peer_subject subjects[] = {
    {.name = "fib", .why_not = no_forking},
    {.name = "spawn", .run = spawn},
    {.name = "skynet", .why_not = no_forking},
    {.name = "skynet-chan", .why_not = no_forking},
    {.name = "uts", .why_not = no_forking},
    {.name = "nqueens", .why_not = no_forking},
    {.name = "matmul", .why_not = no_forking},
    {.name = "reduce", .why_not = no_forking},
    {.name = "sort", .why_not = no_forking},
    {.name = "yield", .why_not = no_waiting},
    {.name = "pingpong", .why_not = no_waiting},
    {.name = "chan", .why_not = no_waiting},
    {.name = "chan4", .why_not = no_waiting},
    {.name = "select", .why_not = no_waiting},
    {.name = "mutex", .why_not = "libuv's mutex is that of pthreads"},
    {.name = "timers", .run = timers, .one_worker = true, .why_not = one_loop},
    {.name = "echo", .run = echo, .one_worker = true, .why_not = one_loop},
    {.name = "contrast", .run = contrast},
    {.name = "memory", .why_not = no_waiting},
    {.name = "memory-spawned", .why_not = no_waiting},
    {.name = "start", .run = start, .one_worker = true, .why_not = one_loop},
};

/* The pool is made when it is first needed. */
static void within(void (*run)(void))
{
    char workers[16];
    snprintf(workers, sizeof workers, "%u", peer_workers);
    setenv("UV_THREADPOOL_SIZE", workers, 1);
    run();
}

int main(int argc, char **argv)
{
    return peer_main(argc, argv, subjects, sizeof subjects / sizeof *subjects, within);
}
