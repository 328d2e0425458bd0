#define _GNU_SOURCE
#include "io.h"
#include "order.h"
#include "uring.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

const struct wait_kind        io_kind_in = {.what = "to read from the descriptor", .outside = true};
const struct wait_kind        io_kind_out = {.what = "to write to the descriptor", .outside = true};
static const struct wait_kind kind_poll = {.what = "for events of the descriptor", .outside = true};

/* ---- reports --------------------------------------------------------------- */

static uint64_t data_of(int fd, uint32_t life)
{
    return (uint64_t)life << 32 | (uint32_t)fd;
}

/* With the lock held: who waits for the direction is to be woken. */
static struct wait_entry *changed(struct descriptor *d, int direction)
{
    /* release: pairs with call_now_in; who sees it tries after what was reported. */
    store_release(&d->change[direction], load_relaxed(&d->change[direction]) + 1);
    return wait_empty(&d->waiting[direction]) ? NULL : wait_claim_all(&d->waiting[direction]);
}

/* NULL: of an io_uring. */
static struct descriptor *reported_of(const struct poller_report *r)
{
    return r->data == URING_DATA ? NULL : descriptor_of((int)(uint32_t)r->data);
}

/* What a report leads to is in no cache any more when many are served, from the entry to the fiber, each found by the
 * one before.  So all reports' are fetched side by side; their stacks later, one by one (work_look_ahead), as those of
 * so many would be driven out again.  An entry is not read here, as its frame may be gone, but where it lies says
 * where its fiber does, if it is a task of this runtime. */
static void fetch(struct weft_runtime *rt, const struct poller_report *reports, unsigned count)
{
    struct descriptor *d;
    for (unsigned i = 0; i < count; i++) prefetch(reported_of(&reports[i]));
    for (unsigned i = 0; i < count; i++) {
        if (!(d = reported_of(&reports[i])) || wait_empty(&d->waiting[DESCRIPTOR_IN])) continue;
        uintptr_t entry = (uintptr_t)load_relaxed(&d->waiting[DESCRIPTOR_IN]); /* whose waiter is in the same frame */
        prefetch(entry);
        prefetch(entry + CACHE_LINE);
        fiber_fetch(fiber_at(stack_top(&rt->stacks, (char *)(entry & ~(rt->stacks.size - 1)))));
        prefetch(load_relaxed(&d->claim));
    }
}

static void reported(struct weft_runtime *rt, const struct poller_report *reports, unsigned count)
{
    fetch(rt, reports, count);
    for (unsigned i = 0; i < count; i++) {
        const struct poller_report *r = &reports[i];
        struct descriptor          *d = reported_of(r);
        if (!d) {
            uring_reap(rt);
            continue;
        }
        struct wait_entry *in = NULL, *out = NULL;
        chaos_point();
        spin_take(&d->lock);
        if (load_relaxed(&d->life) == (uint32_t)(r->data >> 32)) {
            if (r->end) store_relaxed(&d->ended, true);
            if (r->in) in = changed(d, DESCRIPTOR_IN);
            if (r->out) out = changed(d, DESCRIPTOR_OUT);
        }
        spin_drop(&d->lock, 0);
        wait_wake_all(in, IO_READY);
        wait_wake_all(out, IO_READY);
    }
}

static uint32_t changes_of(const struct descriptor *d, bool in, bool out)
{
    return (in ? load_relaxed(&d->change[DESCRIPTOR_IN]) : 0) + (out ? load_relaxed(&d->change[DESCRIPTOR_OUT]) : 0) +
           load_relaxed(&d->life) + 1;
}

/* Whether the marks are right: a number that was closed and used again by calls that tell nobody is in no poller, and
 * who waits would wait in vain.  The system knows, but to ask it is a system call, a twentieth of what serving a
 * request takes.  So it is asked at the first waits for a number, and at a few of those that follow; a wait that has
 * relied on the marks looks itself when it is given up, and is looked after when it lasts.  Whenever a number is found
 * to have been used again, its waits ask from then on.  Where weft has had the number from the system they need not
 * ask so far. */
static inline bool is_sure(struct descriptor *d)
{
    uint8_t sure = load_relaxed(&d->sure);
    if (unlikely(sure < DESCRIPTOR_SURE) || unlikely(sure == DESCRIPTOR_DOUBTED)) return false;
    store_relaxed(&d->sure, sure + 1u < DESCRIPTOR_DOUBTED ? (uint8_t)(sure + 1u) : (uint8_t)(DESCRIPTOR_SURE - 1));
    return true;
}

/* With the lock held, and the runtime's mark set: the poller does not have what has the number now, or had not, but for
 * this call.  Nothing that was known of the number holds; who waits is to try again.  `renew`: it is registered again
 * even if it has it. */
static bool was_lost(struct weft_runtime *rt, int fd, struct descriptor *d, bool renew)
{
    uint64_t data = data_of(fd, load_relaxed(&d->life));
    int      error = poller_add_new(&rt->poller, fd, data);
    if (error == -EEXIST) {
        if (load_relaxed(&d->sure) < DESCRIPTOR_SURE) store_relaxed(&d->sure, load_relaxed(&d->sure) + 1);
        if (!renew || (error = poller_add(&rt->poller, fd, data)) == 0) return false;
    }
    store_relaxed(&d->kind, DESCRIPTOR_UNKNOWN);
    store_relaxed(&d->dry, 0);
    store_relaxed(&d->ended, false);
    store_relaxed(&d->registered, error ? 0 : rt->mark);
    store_relaxed(&d->sure, DESCRIPTOR_DOUBTED);
    return true;
}

/* By who looks after waits.  If it cannot be registered any more, who waits is told so by its next try; and so that
 * other runtimes register it again, too, who waits there tries again.  With the lock held all the while, or this might
 * be done after weft_close in the name of the life before. */
static void register_again(struct weft_runtime *rt, int fd, struct descriptor *d, bool whole, uint32_t now)
{
    struct wait_entry *in = NULL, *out = NULL;
    spin_take(&d->lock);
    bool waits_in = !wait_empty(&d->waiting[DESCRIPTOR_IN]), waits_out = !wait_empty(&d->waiting[DESCRIPTOR_OUT]);
    bool ours = load_relaxed(&d->registered) & rt->mark, others = load_relaxed(&d->registered) & ~rt->mark;
    if (ours && (was_lost(rt, fd, d, whole) || (whole && others))) {
        store_relaxed(&d->registered, load_relaxed(&d->registered) & rt->mark);
        in = changed(d, DESCRIPTOR_IN);
        out = changed(d, DESCRIPTOR_OUT);
    }
    /* Not of those who have given up meanwhile: that says nothing of the next wait. */
    if (waits_in || waits_out) {
        uint32_t changes = changes_of(d, waits_in, waits_out);
        if (whole) store_relaxed(&d->looked_after, changes);
        store_relaxed(&d->confirmed, changes);
    }
    if (whole) {
        /* What was tried once, and never waited for, may have had the number. */
        store_relaxed(&d->kind, DESCRIPTOR_UNKNOWN);
        store_relaxed(&d->looked_at, now);
    }
    spin_drop(&d->lock, 0);
    wait_wake_all(in, IO_READY);
    wait_wake_all(out, IO_READY);
}

/* Thousands may wait, with deadlines of less than this, one wait after the other, and each time to register it again
 * costs several system calls. */
#define AGAIN_MS 1000u

/* Waits that began before the last look and are there still: the poller is asked whether it has their descriptors,
 * once, and they are registered again, once, and each at most every AGAIN_MS.  Only the directions that are waited for
 * count, as to register is to be told that an idle connection can be written to.  True: there are some to look at
 * later. */
static bool look_after(struct weft_runtime *rt)
{
    uint32_t now = (uint32_t)(choice_clock() / WEFT_MS);
    bool     later = false;
    for (int fd = 0, most = descriptor_most(); fd < most; fd++) {
        struct descriptor *d = descriptor_of(fd);
        if (!d) {
            fd |= DESCRIPTOR_TABLE - 1;
            continue;
        }
        bool in = !wait_empty(&d->waiting[DESCRIPTOR_IN]), out = !wait_empty(&d->waiting[DESCRIPTOR_OUT]);
        if ((!in && !out) || !(load_relaxed(&d->registered) & rt->mark)) continue;
        uint32_t changes = changes_of(d, in, out);
        if (load_relaxed(&d->looked_after) == changes) continue;
        bool whole = now - load_relaxed(&d->looked_at) >= AGAIN_MS;
        if (load_relaxed(&d->seen) != changes) {
            store_relaxed(&d->seen, changes);
            later = true;
        } else {
            if (whole || load_relaxed(&d->confirmed) != changes) register_again(rt, fd, d, whole, now);
            later |= !whole;
        }
    }
    return later;
}

/* The marks that runtimes have.  One that finds none left does without: it registers what it waits for each time. */
static Atomic(uint64_t) marks;

static uint64_t take_mark(void)
{
    uint64_t taken = load_relaxed(&marks), mark;
    do mark = ~taken & (taken + 1);
    while (!cas_acquire(&marks, &taken, taken | mark)); /* pairs with drop_mark: no descriptor has it */
    return mark;
}

/* From the descriptors first, so that who takes it next finds none that has it. */
static void drop_mark(uint64_t mark)
{
    for (int fd = 0, most = descriptor_most(); fd < most; fd++) {
        struct descriptor *d = descriptor_of(fd);
        if (!d) {
            fd |= DESCRIPTOR_TABLE - 1;
        } else if (load_relaxed(&d->registered) & mark) {
            spin_take(&d->lock);
            store_relaxed(&d->registered, load_relaxed(&d->registered) & ~mark);
            spin_drop(&d->lock, 0);
        }
    }
    sub_acq_rel(&marks, mark); /* pairs with take_mark */
}

void io_init(struct weft_runtime *rt)
{
    poller_init(&rt->poller);
    rt->mark = take_mark();
    rt->reported = reported;
    rt->look_after = look_after;
}

void io_end(struct weft_runtime *rt)
{
    poller_destroy(&rt->poller);
    drop_mark(rt->mark);
}

/* ---- waiting --------------------------------------------------------------- */

static void unlock(void *arg)
{
    spin_drop(&((struct descriptor *)arg)->lock, 0);
}

/* A plain thread for which there is no eventfd left tries so often, as weft_close cannot wake it. */
#define ALONE_NS (10 * WEFT_MS)

static int thread_poll(int fd, struct descriptor *d, uint32_t life, short events, weft_time deadline)
{
    if (deadline == 0) return -EAGAIN;
    int64_t now = platform_clock();
    if (deadline <= now) return -ETIMEDOUT;
    int64_t          left = deadline == WEFT_NEVER ? -1 : deadline - now;
    struct io_thread me;
    order_hide(); /* weft_close, which writes to it, is not ordered before its end */
    me.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    order_show();
    bool alone = me.event < 0;
    if (alone) left = left < 0 ? ALONE_NS : min_of(left, ALONE_NS);
    spin_take(&d->lock);
    bool alive = call_lives(d, life);
    if (alive && !alone) {
        me.next = d->threads;
        d->threads = &me;
    }
    spin_drop(&d->lock, 0);
    int result = 0;
    if (alive) {
        struct pollfd   polled[2] = {{.fd = fd, .events = events}, {.fd = me.event, .events = POLLIN}};
        struct timespec timeout = {left / WEFT_SEC, left % WEFT_SEC};
        if (ppoll(polled, alone ? 1 : 2, left < 0 ? NULL : &timeout, NULL) < 0 && errno != EINTR) result = -errno;
        spin_take(&d->lock);
        struct io_thread **at = &d->threads;
        while (*at && *at != &me) at = &(*at)->next;
        if (*at) *at = me.next;
        alive = call_lives(d, life);
        spin_drop(&d->lock, 0);
    }
    order_hide();
    if (!alone) close(me.event);
    order_show();
    return alive ? result : call_was_closed(d);
}

static int enlist(struct weft_runtime *rt, int fd, struct descriptor *d, uint32_t life)
{
    struct wait_entry *in = NULL, *out = NULL;
    int                error = poller_make(&rt->poller);
    if (error) return error;
    spin_take(&d->lock); /* all the while, as in register_again */
    if (!call_lives(d, life)) {
        error = call_was_closed(d);
    } else if (!(load_relaxed(&d->registered) & rt->mark)) {
        /* What has ended will be reported anew: to this runtime, and the others may rely on what was. */
        if (!load_relaxed(&d->registered)) store_relaxed(&d->ended, false);
        error = poller_add(&rt->poller, fd, data_of(fd, life));
        if (!error) store_relaxed(&d->registered, load_relaxed(&d->registered) | rt->mark);
        else if (error == -EPERM) error = 0; /* always ready; so what is waited for never comes */
    } else if (was_lost(rt, fd, d, false)) {
        in = changed(d, DESCRIPTOR_IN);
        out = changed(d, DESCRIPTOR_OUT);
    }
    spin_drop(&d->lock, 0);
    wait_wake_all(in, IO_READY);
    wait_wake_all(out, IO_READY);
    return error;
}

static short ready_for(int fd, struct descriptor *d, uint32_t life, short events)
{
    struct pollfd polled = {.fd = fd, .events = events};
    if (!call_begin(d, life)) return 0;
    order_hide();
    poll(&polled, 1, 0);
    order_show();
    call_end(d);
    return polled.revents;
}

/* A wait ends in vain, and may have missed something: it has relied on the marks, or a worker was too busy to ask the
 * poller for what came long before the deadline. */
static bool missed(int fd, struct descriptor *d, uint32_t life, short events)
{
    descriptor_be_sure(d, DESCRIPTOR_SURE - 1);
    return ready_for(fd, d, life, events);
}

noinline int io_wait(int fd, struct descriptor *d, struct call_moment before, short events, weft_time deadline,
                     const struct wait_kind *kind)
{
    struct worker *w = worker_self();
    if (!w) return thread_poll(fd, d, before.life, events, deadline);
    const short writable = POLLOUT | POLLWRNORM | POLLWRBAND;
    bool        out = events & writable, in = !out || (events & ~writable); /* errors and the end come by either */
    int         refused = wait_refused(deadline);
    if (refused) return refused;
    struct weft_runtime *rt = w->runtime;
    bool                 relies = (load_relaxed(&d->registered) & rt->mark) && is_sure(d);
    if (unlikely(!relies)) {
        int error = enlist(rt, fd, d, before.life);
        if (error) return error;
    }
    chaos_point();
    spin_take(&d->lock);
    bool news = (in && load_relaxed(&d->change[DESCRIPTOR_IN]) != before.change[DESCRIPTOR_IN]) ||
                (out && load_relaxed(&d->change[DESCRIPTOR_OUT]) != before.change[DESCRIPTOR_OUT]);
    if (news || !call_lives(d, before.life)) {
        int result = call_lives(d, before.life) ? 0 : call_was_closed(d);
        spin_drop(&d->lock, 0);
        return result;
    }
    struct waiter     waiter;
    struct wait_entry entries[2] = {{.waiter = &waiter}, {.waiter = &waiter}};
    park_init(&waiter, kind, (const void *)(intptr_t)fd);
    store_relaxed(&d->claim, waiter.claim);
    if (in) wait_push(&d->waiting[DESCRIPTOR_IN], &entries[DESCRIPTOR_IN]);
    if (out) wait_push(&d->waiting[DESCRIPTOR_OUT], &entries[DESCRIPTOR_OUT]);
    if (!load_relaxed(&rt->io_waits)) store_relaxed(&rt->io_waits, true);
    worker_count_one(&w->count.io_waits);
    int outcome = wait_for(&waiter, deadline, unlock, d);
    if (outcome < 0 || (in && out)) {
        spin_take(&d->lock);
        wait_remove(&d->waiting[DESCRIPTOR_IN], &entries[DESCRIPTOR_IN]);
        wait_remove(&d->waiting[DESCRIPTOR_OUT], &entries[DESCRIPTOR_OUT]);
        if (outcome < 0) { /* what looking after it found says nothing of the next wait, if no report has come since */
            store_relaxed(&d->looked_after, 0);
            store_relaxed(&d->confirmed, 0);
            store_relaxed(&d->seen, 0);
        }
        spin_drop(&d->lock, 0);
    }
    bool doubtful = relies || deadline != WEFT_NEVER; /* if it waits again, it then neither relies nor begins to wait */
    if (outcome < 0) return doubtful && missed(fd, d, before.life, events) ? 0 : outcome;
    /* It may have been closed, and used again, since this one was woken to try. */
    return outcome == IO_CLOSED || !call_lives(d, before.life) ? call_was_closed(d) : 0;
}

/* So with a message to a local address whose receiver has no room: whether it has, the sender's socket does not know,
 * and to try is to be told again.  And so a plain thread that reads, while an error waits to be received as such; a
 * task is told of that once. */
noinline int io_wait_again(int fd, struct descriptor *d, struct call_moment before, short events, weft_time deadline,
                           const struct wait_kind *kind)
{
    int refused = wait_refused(deadline);
    if (refused) return refused;
    short ready = ready_for(fd, d, before.life, events);
    if (worker_self()) ready &= events; /* of the others a task is told once */
    if (!ready) return io_wait(fd, d, before, events, deadline, kind);
    return weft_sleep(min_of(weft_now() + WEFT_MS, deadline));
}

/* ---- what it is ------------------------------------------------------------ */

int io_socket_type(int fd)
{
    int       type;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 ? type : -1;
}

/* Other things' flags stay as they are. */
int io_make_nonblocking(int fd, struct descriptor *d, uint32_t life)
{
    if (!call_begin(d, life)) return call_was_closed(d);
    int flags = fcntl(fd, F_GETFL), error = 0;
    if (flags < 0) error = -errno;
    else if (flags & O_NONBLOCK) error = 0;
    else if (io_socket_type(fd) < 0) error = -ENOTSOCK;
    else if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) error = -errno;
    call_end(d);
    return error;
}

/* ---- polling --------------------------------------------------------------- */

int io_poll(int fd, struct descriptor *d, uint32_t life, short events, weft_time deadline)
{
    struct worker *w = worker_self();
    if (w) worker_spend_more(w, IO_CALLS);
    for (;;) {
        struct call_moment before = call_now_in(d, life);
        struct pollfd      polled = {.fd = fd, .events = events};
        if (!call_begin(d, before.life)) return call_was_closed(d);
        int n = poll(&polled, 1, 0), why = n < 0 ? errno : 0;
        call_end(d);
        if (why == EINTR) continue;
        if (why) return -why;
        if (polled.revents & POLLNVAL) return -EBADF;
        if (n > 0) return polled.revents;
        int error = io_wait(fd, d, before, events, deadline, &kind_poll);
        if (error) return error;
    }
}

int weft_poll(int fd, short events, weft_time deadline)
{
    struct descriptor *d = descriptor_get(fd);
    return d ? io_poll(fd, d, call_life(d), events, deadline) : descriptor_error(fd);
}
