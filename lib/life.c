#define _GNU_SOURCE
#include "life.h"
#include "blocking.h"
#include "io.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#if defined(__has_include) && __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#endif

void life_begin(int fd, enum descriptor_kind kind)
{
    struct descriptor *d = descriptor_get(fd);
    if (!d) return; /* whoever uses it will be told */
    spin_take(&d->lock);
    add_relaxed(&d->life, 1);
    store_relaxed(&d->kind, kind);
    store_relaxed(&d->registered, 0);
    descriptor_be_sure(d, DESCRIPTOR_SURE);
    spin_drop(&d->lock, 0);
}

/* ---- opening --------------------------------------------------------------- */

#ifdef RESOLVE_CACHED

/* If all names of the path are in the system's cache, else -1. */
static int open_if_cached(const char *path, unsigned flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_CACHED};
    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

/* A regular file or a directory that no other machine or process has to be asked for; of what lies below an overlay
 * this is taken for granted. */
static bool is_local(int fd)
{
    struct stat   status;
    struct statfs system;
    if (fstat(fd, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) return false;
    if (fstatfs(fd, &system) != 0) return false;
    switch (system.f_type) {
    case BTRFS_SUPER_MAGIC:
    case EXT4_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case RAMFS_MAGIC:
    case SQUASHFS_MAGIC:
    case TMPFS_MAGIC:
    case XFS_SUPER_MAGIC: return true;
    default: return false;
    }
}

/* To open a file for reading takes the system a microsecond if it has the names of the path at hand, and to leave it to
 * a thread takes twenty.  So it is done here, unless it might block or have an effect of its own: to open a named pipe
 * lets go who waits to write to it, and a device may do whatever it likes.  Where the path leads is looked at first, by
 * a descriptor that opens nothing (O_PATH).  It is closed before the file is opened, which is to have the lowest number
 * that is free.  -1: it is left to a thread. */
static int open_here(const char *path, int flags)
{
    const int harmless = O_NONBLOCK | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW | O_NOCTTY | O_LARGEFILE;
    if (ORDER_PRECISE || (flags & ~harmless) != O_RDONLY) return -1; /* the sanitizer does not know the call */
    int  looked = open_if_cached(path, O_PATH | ((unsigned)flags & (O_DIRECTORY | O_NOFOLLOW)));
    bool local = looked >= 0 && is_local(looked);
    if (looked >= 0) close(looked);
    if (!local) return -1;
    int fd = open_if_cached(path, (unsigned)flags | O_NONBLOCK);
    if (fd < 0 || is_local(fd)) return fd;
    close(fd); /* the path has come to lead elsewhere meanwhile */
    return -1;
}

#else

static int open_here(const char *path, int flags)
{
    (void)path;
    (void)flags;
    return -1;
}

#endif

struct opening {
    const char *path;
    int         flags;
    mode_t      mode;
    int         fd;
};

static int run_open(void *arg)
{
    struct opening *o = arg;
    do o->fd = open(o->path, o->flags | O_CLOEXEC, o->mode);
    while (o->fd < 0 && errno == EINTR);
    if (o->fd < 0) o->fd = -errno;
    else fcntl(o->fd, F_SETFL, fcntl(o->fd, F_GETFL) | O_NONBLOCK);
    return 0;
}

int weft_open(const char *path, int flags, mode_t mode)
{
    struct opening o = {.path = path, .flags = flags, .mode = mode};
    struct worker *w = worker_self();
    if (w) worker_spend_more(w, IO_CALLS);
    int fd = w ? open_here(path, flags) : -1;
    if (fd >= 0) {
        life_begin(fd, DESCRIPTOR_FILE);
        return fd;
    }
    int error = blocking_call(BLOCKING_FILES, run_open, &o);
    if (error) return error;
    if (o.fd >= 0) life_begin(o.fd, DESCRIPTOR_UNKNOWN);
    return o.fd;
}

/* ---- closing --------------------------------------------------------------- */

/* A socket that lingers keeps whoever closes it until all is sent, O_NONBLOCK or not.  To ask is a system call for each
 * socket, a fifteenth of what closing one takes. */
static bool lingers(int fd, uint32_t kind)
{
    struct linger linger;
    socklen_t     size = sizeof linger;
    if (kind == DESCRIPTOR_FILE || kind == DESCRIPTOR_OTHER) return false;
    return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 && linger.l_onoff && linger.l_linger > 0;
}

static int close_now(int fd)
{
    return close(fd) == 0 || errno == EINTR ? 0 : -errno;
}

static int run_close(void *fd)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a profiler's would cut it short */
    int error = close_now((int)(intptr_t)fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* The last descriptor of a socket that lingers. */
static int close_lingering(int fd)
{
    if (!worker_self()) return close_now(fd);
    int result = blocking_call(BLOCKING_CALLS, run_close, (void *)(intptr_t)fd);
    return result == -EAGAIN ? close_now(fd) : result; /* which close(2) does not say: there was no thread */
}

int weft_close(int fd)
{
    struct descriptor *d = descriptor_get(fd);
    if (!d) return close_now(fd); /* without an entry nobody waits */
    order_release(d);             /* pairs with call_was_closed */
    spin_take(&d->lock);
    struct wait_entry *in = wait_claim_all(&d->waiting[DESCRIPTOR_IN]),
                      *out = wait_claim_all(&d->waiting[DESCRIPTOR_OUT]);
    uint64_t one = 1;
    order_hide(); /* those who wait have used it, and are not ordered before this */
    for (struct io_thread *t = d->threads; t; t = t->next)
        while (write(t->event, &one, sizeof one) < 0 && errno == EINTR) {
        }
    d->threads = NULL;
    /* Nobody is in a call on the number when it is given back.  Those who come meanwhile wait until it is, and only
     * then look which life it is that they have noted: somebody may have the number for another thing already. */
    add_acq_rel(&d->calls, DESCRIPTOR_CLOSING); /* pairs with call_begin and call_end */
    chaos_point();
    for (unsigned tries = 0; load_acquire(&d->calls) != DESCRIPTOR_CLOSING;) spin_pause(&tries);
    chaos_point();
    add_release(&d->life, 1); /* pairs with call_life; a call that has not begun to wait sees it under the lock */
    /* It lingers by another number, as this one is free as soon as its close begins. */
    int lingering = lingers(fd, load_relaxed(&d->kind)) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    store_relaxed(&d->kind, DESCRIPTOR_UNKNOWN);
    store_relaxed(&d->registered, 0);
    descriptor_be_sure(d, 0);
    int error = close_now(fd); /* with the lock held: nobody gets the number sooner */
    order_show();
    sub_acq_rel(&d->calls, DESCRIPTOR_CLOSING);
    spin_drop(&d->lock, 0);
    wait_wake_all(in, IO_CLOSED);
    wait_wake_all(out, IO_CLOSED);
    return lingering < 0 ? error : close_lingering(lingering);
}
