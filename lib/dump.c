/* dump.c - all tasks, in words: those of the calling task's runtime, in a plain thread those of all
 */
#include "inspect.h"
#include "registry.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>

struct dump {
    int      fd, error;
    int64_t  now;
    uint64_t begun;
};

static void write_task(const struct inspect_task *task, void *arg)
{
    struct dump *d = arg;
    d->begun += 1 + task->outers;
    if (!d->error) d->error = inspect_write(d->fd, task, d->now);
}

static void dump_runtime(struct weft_runtime *rt, void *arg)
{
    struct dump *d = arg;
    d->now = worker_now(worker_self());
    d->begun = 0;
    if (!d->error) d->error = inspect_print(d->fd, "runtime %p, %u workers\n", (void *)rt, rt->count);
    int      error = inspect_tasks(rt, write_task, d);
    uint64_t tasks = stats_tasks(rt);
    if (!d->error) d->error = error;
    if (!d->error && tasks > d->begun)
        d->error = inspect_print(d->fd, "and %llu that have not begun, or wait for a task that runs on their stack\n",
                                 (unsigned long long)(tasks - d->begun));
}

int weft_dump(int fd)
{
    struct worker *w = worker_self();
    struct dump    d = {.fd = fd};
    int            flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) return -EBADF; /* also when there is nothing to write */
    if (w) dump_runtime(w->runtime, &d);
    else registry_each(dump_runtime, &d);
    return d.error;
}
