#include "requests.h"
#include "memory.h"
#include "progress.h"
#include "way.h"

#include <sys/resource.h>
#include <unistd.h>

#define SAMPLE  40  /* one in so many */
#define OTHERS  200 /* descriptors for everything else */
#define BACKLOG 4096

struct request {
    struct requests *all;
    uint64_t         answer;
    weft_time        asked, answered; /* 0: not yet */
};

static uint64_t answer_to(uint64_t question)
{
    return question * question + 1;
}

/* ---- the server ------------------------------------------------------------------ */

static int serve(void *arg)
{
    int      fd = *(int *)arg;
    uint64_t question;
    while (weft_read_full(fd, &question, sizeof question, WEFT_NEVER) == sizeof question) {
        uint64_t answer = answer_to(question);
        weft_sleep(weft_now() + REQUESTS_MS * WEFT_MS);
        if (weft_write_full(fd, &answer, sizeof answer, WEFT_NEVER) != sizeof answer) break;
    }
    weft_close(fd);
    return 0;
}

static int accept_all(void *arg)
{
    int listener = *(int *)arg, fd;
    while ((fd = weft_accept(listener, NULL, NULL, WEFT_NEVER)) != -EBADF)
        if (fd >= 0 && weft_go(serve, &fd, sizeof fd) < 0) weft_close(fd);
    return 0;
}

/* How many connections there can be at a time, each with both its ends here. */
static unsigned connections(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return OTHERS;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 4 * OTHERS ? (unsigned)((limit.rlim_cur - OTHERS) / 2 % INT32_MAX) : OTHERS / 2;
}

int requests_begin(struct requests *requests, size_t count)
{
    *requests = (struct requests){
        .count = count,
        .sample = count > SAMPLE ? count / SAMPLE : 1,
        .listener = -1,
    };
    weft_sem_init(&requests->slots, connections());
    int error = weft_runtime_start(&requests->server, WEFT_OPTIONS(.workers = 1));
    if (error < 0) return error;
    requests->listener = weft_tcp_listen("127.0.0.1", "0", BACKLOG);
    socklen_t size = sizeof requests->address;
    if (requests->listener < 0) error = requests->listener;
    else if (getsockname(requests->listener, (struct sockaddr *)&requests->address, &size) != 0) error = -errno;
    else error = weft_runtime_go(requests->server, accept_all, &requests->listener, sizeof requests->listener);
    requests->request = memory_zeroed(count, sizeof *requests->request);
    if (error < 0) requests_end(requests);
    return error;
}

void requests_end(struct requests *requests)
{
    if (requests->listener >= 0) weft_close(requests->listener);
    weft_runtime_stop(requests->server);
    free(requests->request);
}

/* ---- those who ask ----------------------------------------------------------------- */

static int ask(int fd, struct request *request)
{
    uint64_t question = (uint64_t)(request - request->all->request);
    int error = weft_connect(fd, (struct sockaddr *)&request->all->address, sizeof request->all->address, WEFT_NEVER);
    ssize_t n;
    if (error) return error;
    request->asked = weft_now();
    if ((n = weft_write_full(fd, &question, sizeof question, WEFT_NEVER)) != sizeof question)
        return n < 0 ? (int)n : -EPIPE;
    n = weft_read_full(fd, &request->answer, sizeof request->answer, WEFT_NEVER);
    request->answered = weft_now();
    return n == sizeof request->answer ? 0 : n < 0 ? (int)n : -EPIPE;
}

static int ask_once(void *arg)
{
    struct request *request = arg;
    int             error = weft_sem_wait(&request->all->slots, WEFT_NEVER);
    if (error) return error;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    error = fd < 0 ? -errno : ask(fd, request);
    if (fd >= 0) weft_close(fd);
    weft_sem_post(&request->all->slots);
    progress_add(1, request->answered);
    return error;
}

static size_t to_do(const struct requests *requests)
{
    return way_tasks ? requests->count : requests->sample;
}

int requests_run(void *arg)
{
    struct requests *requests = arg;
    size_t           count = to_do(requests);
    memset(requests->request, 0, requests->count * sizeof *requests->request);

    weft_scope scope;
    int        error = way_open(&scope);
    if (error < 0) return error;
    for (size_t i = 0; i < count && !error; i++) {
        requests->request[i].all = requests;
        error = way_go(&scope, ask_once, &requests->request[i]);
    }
    trace_sample();
    int closed = way_close(&scope);
    return error ? error : closed;
}

bool requests_right(const struct requests *requests)
{
    for (size_t i = 0; i < to_do(requests); i++) {
        const struct request *r = &requests->request[i];
        if (r->asked == 0 || r->answered < r->asked + REQUESTS_MS * WEFT_MS || r->answer != answer_to(i)) return false;
    }
    return true;
}
