#define _GNU_SOURCE
#include "poller.h"
#include "lock.h"
#include "order.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ThreadSanitizer does not see its system calls: who wakes, who polls and who registers are not ordered by them. */

#define MOST  128u
#define WOKEN UINT64_MAX /* the eventfd's */

void poller_init(struct poller *p)
{
    atomic_set(&p->epoll, -1);
    atomic_set(&p->lock, 0);
    p->event = -1;
}

void poller_destroy(struct poller *p)
{
    if (load_relaxed(&p->epoll) < 0) return;
    order_hide();
    close(p->event);
    close(load_relaxed(&p->epoll));
    order_show();
}

int poller_make(struct poller *p)
{
    if (poller_made(p)) return 0;
    lock_take(&p->lock);
    order_hide();
    int error = 0, epoll = -1;
    if (load_relaxed(&p->epoll) < 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = WOKEN};
        p->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (p->event < 0 || (epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, p->event, &event) != 0) {
            error = -errno;
            if (p->event >= 0) close(p->event);
            if (epoll >= 0) close(epoll);
        } else {
            store_release(&p->epoll, epoll); /* pairs with poller_made */
        }
    }
    order_show();
    lock_drop(&p->lock);
    return error;
}

static int control(struct poller *p, int operation, int fd, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET, .data.u64 = data};
    order_hide();
    int error = epoll_ctl(load_relaxed(&p->epoll), operation, fd, &event) == 0 ? 0 : -errno;
    order_show();
    return error;
}

int poller_add_new(struct poller *p, int fd, uint64_t data)
{
    return control(p, EPOLL_CTL_ADD, fd, data);
}

int poller_add(struct poller *p, int fd, uint64_t data)
{
    int error = poller_add_new(p, fd, data);
    return error == -EEXIST ? control(p, EPOLL_CTL_MOD, fd, data) : error;
}

/* Nanoseconds where the kernel knows them (Linux 5.11), else milliseconds, rounded up.  A container that does not know
 * the call may say that it is not permitted. */
static int wait_for_events(int epoll, struct epoll_event *events, int most, int64_t timeout)
{
    static Atomic(bool) coarse;
    if (!load_relaxed(&coarse)) {
        struct timespec left = {timeout / 1000000000, timeout % 1000000000};
        int             n = epoll_pwait2(epoll, events, most, timeout < 0 ? NULL : &left, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n;
        store_relaxed(&coarse, true);
    }
    int64_t ms = timeout < 0 ? -1 : timeout / 1000000 + (timeout % 1000000 > 0);
    return epoll_wait(epoll, events, most, (int)min_of(ms, (int64_t)INT_MAX));
}

/* A signal that the thread handles is no reason to return: who waits would go round for nothing, as often as a profiler
 * sends one. */
static int wait_through_signals(int epoll, struct epoll_event *events, int most, int64_t timeout)
{
    int64_t begin = timeout > 0 ? platform_clock() : 0, left = timeout;
    for (;;) {
        int n = wait_for_events(epoll, events, most, left);
        if (n >= 0 || errno != EINTR) return n;
        if (timeout <= 0) continue;
        int64_t waited = platform_clock() - begin;
        left = waited < timeout ? timeout - waited : 0;
    }
}

unsigned poller_wait(struct poller *p, struct poller_report *reports, unsigned most, int64_t timeout)
{
    struct epoll_event events[MOST];
    unsigned           n = 0;
    order_hide();
    int got = wait_through_signals(load_relaxed(&p->epoll), events, (int)min_of(most, MOST), timeout);
    for (int i = 0; i < got; i++) {
        if (events[i].data.u64 == WOKEN) {
            uint64_t count;
            /* Reported until it is read: who only looks leaves it to who waits, and would go on to. */
            while (timeout != 0 && read(p->event, &count, sizeof count) < 0 && errno == EINTR) {
            }
            continue;
        }
        uint32_t e = events[i].events;
        bool     both = e & (EPOLLERR | EPOLLHUP);
        reports[n++] = (struct poller_report){.data = events[i].data.u64,
                                              .in = both || (e & (EPOLLIN | EPOLLRDHUP | EPOLLPRI)),
                                              .out = both || (e & EPOLLOUT),
                                              .end = both || (e & (EPOLLRDHUP | EPOLLPRI))};
    }
    order_show();
    return n;
}

void poller_wake(struct poller *p)
{
    uint64_t one = 1;
    order_hide();
    while (write(p->event, &one, sizeof one) < 0 && errno == EINTR) {
    }
    order_show();
}
