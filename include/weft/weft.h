/* weft.h - green threads woven over every core
 *
 * Words      A task is a function that runs as a coroutine.  Workers are the
 *            OS threads that run tasks; idle ones steal from the others.  A root
 *            is a serial domain: tasks of one root are concurrent but never
 *            parallel.  A scope owns the tasks started in it and does not close
 *            before they have ended.
 * Errors     A call that can fail returns 0 (or a count) or a negative errno
 *            value.  errno itself is unspecified after a call, but is always
 *            the calling task's own: see weft_errno_location below.
 * Deadlines  A call that can wait takes, last, the moment to give up, on
 *            CLOCK_MONOTONIC in nanoseconds: WEFT_NEVER waits for good, 0 only
 *            tries.  Too late: -ETIMEDOUT (a mere try: -EAGAIN).  What can be
 *            done at once is done, also past the deadline.
 * Cancelling In a cancelled scope every call that takes a deadline returns the
 *            scope's reason instead of waiting, a mere try too.  What can be
 *            done at once is done.  The first reason sticks; it reaches all
 *            inner scopes and spawned tasks before it wakes anybody.  The
 *            scope's opener is cancelled with it, until it closes it.
 * Ordering   What a task did before it spawned, ended, cancelled or closed is
 *            seen by whoever runs, awaits or is woken as a consequence; what a
 *            task of a root did, by the root's next.
 * Fairness   Nothing that is ready, and no waiter on a lock or a channel, waits for
 *            ever while others go on; a waiting writer holds back new readers.  A
 *            call that can wait (await, send, lock, read) lets others run, and
 *            the poller look, every so often even when it need not wait.
 *              Where every task goes on for at most T between two such calls, a
 *            turn of a worker ends when its task waits, and at the latest after
 *            4,096 calls, or after 512 T and a tick of the kernel (1 to 10 ms),
 *            whichever is less.  A task that is ready to go on does so within
 *            200 (n + 1) turns of its worker, and one that has not begun begins
 *            within 1,000 (n + 1), n being how many of its kind were ready
 *            before it.  Mostly it is much sooner, and takes the fewer turns
 *            the longer these are.  A task that has waited mostly comes before
 *            one that has only yielded.  Idle workers take from both ends.  The
 *            tasks of a root take turns within the turns of their root.
 * Threads    Calls that wait work in a plain pthread too, with or without a
 *            runtime: there they block the thread.  Calls that need a task
 *            return -EPERM in a plain thread: weft_scope_open, _go and _close,
 *            weft_go, weft_stats.  weft_spawn stops the program with a message
 *            there, weft_for runs on that thread, weft_yield yields the thread,
 *            weft_check is 0.  Any thread may cancel a task or a scope.  No
 *            call is made from a signal handler.  After fork the child only
 *            execs or exits.
 * Lifetime   An object that nobody waits on and that nobody will call again may
 *            be destroyed, or its storage used again, at once: a call whose
 *            effect another has seen does not touch the object again.
 * Misuse     What only a broken program does stops it: a message on stderr,
 *            then SIGABRT.
 */
#ifndef WEFT_H
#define WEFT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_VERSION "0.1.0"

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#else
#define WEFT_API
#endif

/* A task's body: 0 or more is success, a negative errno value an error. */
typedef int weft_fn(void *arg);

/* Nanoseconds on CLOCK_MONOTONIC. */
typedef int64_t weft_time;

#define WEFT_NEVER INT64_MAX
#define WEFT_US    ((weft_time)1000)
#define WEFT_MS    ((weft_time)1000000)
#define WEFT_SEC   ((weft_time)1000000000)

/* ---- running ------------------------------------------------------------ */

/* How a runtime is made.  A field left at zero takes its default.  A caller
 * that was compiled with a shorter struct gets zeros for the rest; one with a
 * longer struct is served if what weft does not know of is zero, and refused
 * with -E2BIG otherwise. */
struct weft_options {
    size_t    size;       /* of this struct, as the caller was compiled; else -EINVAL */
    unsigned  workers;    /* threads that run tasks; at most 1024, else -EINVAL.  Default: the CPUs
                            this process may really use (affinity and cgroup quotas) */
    size_t    stack_size; /* bytes per task, 16 KiB to 1 GiB, else -EINVAL; rounded up to a power of two.
                            Default 64 KiB (256 KiB with a sanitizer); guarded, committed page by page */
    bool      one_root;   /* the whole program on one root: concurrent, never parallel */
    uint64_t  seed;       /* not 0: one worker, and every choice is drawn from the seed, so that
                            the same seed replays the same schedule */
    int       deadlock;   /* report deadlocks: 0: in weft_run, 1: here too, -1: never */
    weft_time monitor;    /* a task that has had its worker to itself for longer is named on stderr; see below.  0: as
                    WEFT_MONITOR in the environment says, in milliseconds; without that, in a debug build of weft
                    100 ms, else never.  Negative: never.  At least 1 ms */
};

/* A runtime that is monitored says so when a task goes on for long without a wait, a weft_yield or a weft_check that
 * lets others run: its function, and when it lets others run at last, where that is.  Once for each task; weft_dump
 * shows for how long a task runs.  All such runtimes share one more thread. */

/* WEFT_OPTIONS(.workers = 2): a pointer to options.  In C; C++ fills the struct. */
#define WEFT_OPTIONS(...) (&(const struct weft_options){.size = sizeof(struct weft_options), __VA_ARGS__})

/* Starts a runtime, runs fn(arg) in it as a task, waits for every task, stops
 * the runtime.  Returns fn's result, or why the runtime could not start:
 * -EINVAL (no fn, options out of range), -E2BIG (above), -ENOMEM, -EAGAIN (not
 * one thread was to be had; with fewer than asked for it runs on those).  NULL
 * options: all defaults.  Any thread, also with runtimes of its own; within a
 * task it suspends that task while the inner runtime runs.  After it has
 * returned no thread, descriptor or mapping of that runtime is left. */
WEFT_API int weft_run(weft_fn *fn, void *arg, const struct weft_options *options);

/* The same in pieces, for a program that has its own main loop or threads.
 * Several runtimes may live in one process. */
typedef struct weft_runtime weft_runtime;

/* Starts the workers, which sleep until there is work.  Any thread.  Errors as
 * weft_run's; *runtime is NULL then. */
WEFT_API int weft_runtime_start(weft_runtime **runtime, const struct weft_options *options);

/* Starts fn on a copy of the `size` bytes at arg (size 0: on arg itself) as a
 * task that nobody awaits; its result is nobody's.  Any thread, any task.
 * -EINVAL, -ENOMEM. */
WEFT_API int weft_runtime_go(weft_runtime *runtime, weft_fn *fn, const void *arg, size_t size);

/* Runs fn(arg) as a task and waits for its end; its result.  -EINVAL.  Any
 * thread, any task, of this runtime or another. */
WEFT_API int weft_runtime_call(weft_runtime *runtime, weft_fn *fn, void *arg);

/* Waits for every task, then stops the workers and frees everything; nobody
 * may call the runtime again.  -EDEADLK from one of its own tasks, -EINVAL for
 * NULL.  Any other thread or task. */
WEFT_API int weft_runtime_stop(weft_runtime *runtime);

/* ---- tasks: fork and join ----------------------------------------------- */

/* The caller's storage, often a local.  Spawning cannot fail and allocates
 * nothing; a task has no stack before it first runs.  Every spawned task is
 * awaited exactly once, before its storage goes away, before its spawner ends,
 * and before the scope it was spawned in closes; its error is its awaiter's to
 * judge and cancels nobody.  It belongs to its spawner's scope and root.
 * However it is run, it finds at least half of its stack size free. */
typedef struct weft_task {
    uint64_t opaque[8];
} weft_task;

/* Makes fn(arg) ready to run.  Only in a task: a plain thread is stopped.  When there is no memory for one more stack,
 * a task that would begin waits until one is free; where none will ever be, the program stops with a message. */
WEFT_API void weft_spawn(weft_task *task, weft_fn *fn, void *arg);

/* The task's result, once it has ended; waits for good, cancelled or not.  One at
 * a time waits for a task, here or in weft_await_any: a second one is stopped, or
 * waits for good if it comes in the very moment in which the first begins the task.
 * A task that nobody has begun, and that the caller spawned last, runs as a call
 * on the caller's stack.  Any task; any thread, which blocks. */
WEFT_API int weft_await(weft_task *task);

/* Takes back a task that nobody has begun and that the caller spawned last.  True: it is
 * the caller's again, as if it had never been spawned, and is not awaited; the caller does its
 * work by calling the function by its name, which a compiler can see through:
 *
 *     if (weft_take(&task)) left(&arg);
 *     else weft_await(&task);
 *
 * False: it has begun, or others are due; weft_await waits for it.  The last thing that is done with a
 * task, if it is true.  Any task; false in a plain thread. */
WEFT_API bool weft_take(weft_task *task);

/* Cancels the task, the scopes that it has open and what it spawned, for
 * -ECANCELED.  It goes on running and sees it in weft_check and in calls that
 * take a deadline.  Any thread; the task has not been awaited yet.  NULL:
 * nothing. */
WEFT_API void weft_cancel(weft_task *task);

/* Whether it has ended, so that weft_await returns at once.  Any thread. */
WEFT_API bool weft_done(const weft_task *task);

/* Waits until one of the tasks has ended, and returns its index; that task is
 * still to be awaited.  With several done, the choice is fair.  -EINVAL for
 * count 0 or more than INT_MAX, or a NULL among the tasks; -ENOMEM, -EAGAIN for
 * a mere try, the reason when cancelled, -ETIMEDOUT.  Any task; any thread,
 * which blocks. */
WEFT_API int weft_await_any(weft_task *const tasks[], size_t count, weft_time deadline);

/* Lets the others that are ready run before it returns. */
WEFT_API void weft_yield(void);

/* 0, or the reason for which the calling task is cancelled.  A task that
 * computes for long calls it now and then: every so often it yields, too. */
WEFT_API int weft_check(void);

/* Runs body over [begin, end) in pieces of at most grain (0: chosen), in
 * parallel, and returns when all are done.  Nothing happens when end <= begin.
 * The range is halved until it is small, and right halves are spawned, so the pieces
 * are tasks: on one root no two run at once, but one that waits lets another begin.
 * In a plain thread they run one after the other. */
WEFT_API void weft_for(size_t begin, size_t end, size_t grain, void (*body)(size_t begin, size_t end, void *arg),
                       void *arg);

/* ---- scopes: who owns whom ---------------------------------------------- */

/* Sizes as with struct weft_options. */
struct weft_scope_options {
    size_t    size;
    weft_time deadline; /* absolute; 0 or WEFT_NEVER: none.  When it has passed, the scope is cancelled for -ETIMEDOUT,
                      at the latest when it closes */
    bool      one_root; /* tasks of this scope, the opener included, are never parallel */
    bool      shield;   /* outer cancelling does not reach in: for cleaning up */
};
#define WEFT_SCOPE(...) (&(const struct weft_scope_options){.size = sizeof(struct weft_scope_options), __VA_ARGS__})

typedef struct weft_scope {
    uint64_t opaque[16];
} weft_scope;

/* Opens a scope in the caller's storage, within the one that the task is in.
 * Whoever opens it closes it, innermost first.  NULL options: all defaults.
 * -EINVAL, -E2BIG; -EPERM in a plain thread; -ENOMEM only with a deadline.
 * A one_root scope within a root is that root. */
WEFT_API int weft_scope_open(weft_scope *scope, const struct weft_scope_options *options);

/* Starts fn on a copy of the `size` bytes at arg (size 0: on arg itself) as a
 * task of the scope.  If it ends with an error, the scope is cancelled for it.
 * A cancelled scope, too, takes tasks and runs them, since they may own what
 * their argument points to.  Any task while the scope is open.  -EINVAL,
 * -ENOMEM; -EPERM in a plain thread. */
WEFT_API int weft_scope_go(weft_scope *scope, weft_fn *fn, const void *arg, size_t size);

/* Cancels the scope for -ECANCELED.  Any thread while it is open.  NULL: nothing. */
WEFT_API void weft_scope_cancel(weft_scope *scope);

/* Waits for all tasks of the scope, cancelled or not, then closes it.  Returns
 * the first reason: the error that cancelled the others, or what it was
 * cancelled for before any error; else 0.  Its opener only; any other task is
 * stopped with a message, a plain thread gets -EPERM.  -EINVAL for NULL. */
WEFT_API int weft_scope_close(weft_scope *scope);

/* weft_scope_go, with its errors, in the innermost scope that the calling task
 * has open, else the one that it was started in.  The outermost is the runtime's
 * own: it waits for its tasks, but an error there cancels nobody and is nobody's. */
WEFT_API int weft_go(weft_fn *fn, const void *arg, size_t size);

/* ---- channels ----------------------------------------------------------- */

/* A queue of elements of one size, first in, first out.  With capacity 0 there is no
 * queue: an element goes from the sender's hands into the receiver's.  Any number
 * of senders and receivers: tasks of any runtime, and plain threads, which block.  Who
 * waits first is served first. */
typedef struct weft_chan weft_chan;

/* -EINVAL for a NULL chan, -ENOMEM; *chan is NULL then.  Elements of size 0 are tokens: only
 * their number counts.  Any thread. */
WEFT_API int weft_chan_create(weft_chan **chan, size_t elem_size, size_t capacity);

/* Sends a copy of *elem; size is the channel's element size, else -EMSGSIZE.  Waits while
 * the channel is full, with capacity 0 until a receiver takes it.  -EPIPE when the channel is closed, also
 * while it waits; -EAGAIN, -ETIMEDOUT, the reason when cancelled: then nothing was sent.  -EINVAL for a
 * NULL chan, or a NULL elem of a size other than 0.  Any task; any thread, which blocks. */
WEFT_API int weft_chan_send(weft_chan *chan, const void *elem, size_t size, weft_time deadline);

/* Receives into *elem; a NULL elem drops what is received.  Waits while the channel is empty.  -EPIPE when it is
 * closed and empty.  Else as weft_chan_send: after an error nothing was received. */
WEFT_API int weft_chan_recv(weft_chan *chan, void *elem, size_t size, weft_time deadline);

/* Nothing more can be sent: who waits to send gets -EPIPE, and so does who receives once the
 * channel is empty.  -EPIPE when it was closed before; -EINVAL for NULL.  Any thread. */
WEFT_API int weft_chan_close(weft_chan *chan);

/* How many elements are in the queue just now; 0 for NULL.  Any thread. */
WEFT_API size_t weft_chan_len(const weft_chan *chan);

/* Frees the channel and the elements in it.  The program is stopped if somebody waits on
 * it; who has received the last element may destroy it at once.  NULL: nothing.  Any thread. */
WEFT_API void weft_chan_destroy(weft_chan *chan);

#define weft_send(chan, elem, deadline) weft_chan_send((chan), (elem), sizeof *(elem), (deadline))
#define weft_recv(chan, elem, deadline) weft_chan_recv((chan), (elem), sizeof *(elem), (deadline))

/* A case of weft_select: a send if `from` is set, else a receive; with neither, a receive
 * that drops, or, of size 0, a token.  WEFT_SEND and WEFT_RECV fill one. */
struct weft_case {
    weft_chan  *chan; /* NULL: never ready */
    const void *from;
    void       *into;
    size_t      size;
    int         result; /* of the case that was performed: 0, or -EPIPE when closing has made it ready */
};
#define WEFT_SEND(c, p)                \
    {                                  \
        (c), (p), NULL, sizeof *(p), 0 \
    }
#define WEFT_RECV(c, p)                \
    {                                  \
        (c), NULL, (p), sizeof *(p), 0 \
    }

/* Performs exactly one case, chosen fairly among those that can go ahead, and returns
 * its index.  Waits until there is one.  A mere try looks at all channels at one moment.  The same channel may
 * stand in several cases, in either direction; two cases of one call do not meet each other.
 * -EMSGSIZE, -EINVAL (both from and into; count above INT_MAX; NULL cases) before anything is done; -ENOMEM
 * for very many cases; -EAGAIN, -ETIMEDOUT, the reason when cancelled.  No case, or only NULL
 * channels: waits for its deadline.  Any task; any thread, which blocks. */
WEFT_API int weft_select(struct weft_case *cases, size_t count, weft_time deadline);

/* ---- shared state ------------------------------------------------------- */

/* All but the barrier are ready when they are zero, and need no call to end them: their storage
 * may be used again as soon as nobody is in a call on them.  All calls by any task; by any thread,
 * which blocks.  -EINVAL for NULL where there is a result; a NULL elsewhere stops the program. */
typedef struct weft_mutex {
    uint64_t opaque[2];
} weft_mutex;
typedef struct weft_rwlock {
    uint64_t opaque[4];
} weft_rwlock;
typedef struct weft_cond {
    uint64_t opaque[2];
} weft_cond;
typedef struct weft_sem {
    uint64_t opaque[3];
} weft_sem;
typedef struct weft_group {
    uint64_t opaque[3];
} weft_group;
typedef struct weft_event {
    uint64_t opaque[2];
} weft_event;
typedef struct weft_barrier {
    uint64_t opaque[4];
} weft_barrier;
typedef struct weft_once {
    uint64_t opaque[2];
} weft_once;
typedef struct weft_future {
    uint64_t opaque[4];
} weft_future;

/* One at a time.  Who comes while it is free may take it before those that wait, but no waiter
 * is overtaken for ever.  Waiting for a lock is not ended by cancelling.  To unlock one that is not
 * locked stops the program.  Whoever holds it may unlock it, also another task than the one that locked. */
WEFT_API void weft_mutex_lock(weft_mutex *mutex);
WEFT_API bool weft_mutex_trylock(weft_mutex *mutex);
WEFT_API void weft_mutex_unlock(weft_mutex *mutex);

/* Many readers or one writer.  A writer that waits holds back new readers; readers that wait go before
 * the next writer.  So a reader does not lock it again.  To unlock one that is not locked stops the program. */
WEFT_API void weft_rwlock_rdlock(weft_rwlock *lock);
WEFT_API void weft_rwlock_wrlock(weft_rwlock *lock);
WEFT_API bool weft_rwlock_tryrdlock(weft_rwlock *lock);
WEFT_API bool weft_rwlock_trywrlock(weft_rwlock *lock);
WEFT_API void weft_rwlock_unlock(weft_rwlock *lock);

/* Gives the mutex back, waits for a signal, and has the mutex again when it returns, whatever
 * it returns: 0 (a signal; or nothing at all, so ask for what is waited for in a loop), -EAGAIN,
 * -ETIMEDOUT, the reason when cancelled.  Who gave up took no signal. */
WEFT_API int  weft_cond_wait(weft_cond *cond, weft_mutex *mutex, weft_time deadline);
WEFT_API void weft_cond_signal(weft_cond *cond);    /* one of those that wait, the longest */
WEFT_API void weft_cond_broadcast(weft_cond *cond); /* all of them */

/* A count that wait takes one from, and post gives one to.  Who waits first is served first.  -EAGAIN,
 * -ETIMEDOUT, the reason when cancelled: then nothing was taken.  A count of more than UINT32_MAX stops the program. */
WEFT_API void weft_sem_init(weft_sem *sem, unsigned count);
WEFT_API int  weft_sem_wait(weft_sem *sem, weft_time deadline);
WEFT_API void weft_sem_post(weft_sem *sem);

/* Counts to zero, as Go's WaitGroup: wait returns 0 when the count is 0; else -EAGAIN, -ETIMEDOUT, the reason when
 * cancelled.  A count below 0 stops the program.  It may be used again once all that waited have returned. */
WEFT_API void weft_group_add(weft_group *group, int n);
WEFT_API void weft_group_done(weft_group *group); /* adds -1 */
WEFT_API int  weft_group_wait(weft_group *group, weft_time deadline);

/* Set once, seen by all: wait returns 0 from then on; before, -EAGAIN, -ETIMEDOUT, the reason when cancelled.  To set
 * it again changes nothing. */
WEFT_API void weft_event_set(weft_event *event);
WEFT_API int  weft_event_wait(weft_event *event, weft_time deadline);

/* Waits until `count` have arrived, then is ready for the next round: 1 for one of them, 0 for the
 * others.  The reason when cancelled, and then it counts as not arrived.  A count of 0 stops the program. */
WEFT_API void weft_barrier_init(weft_barrier *barrier, unsigned count);
WEFT_API int  weft_barrier_wait(weft_barrier *barrier);

/* Runs fn(arg) by the first call; all calls return after it has ended. */
WEFT_API void weft_once_call(weft_once *once, void (*fn)(void *arg), void *arg);

/* A value that arrives once, from anywhere: a callback, another library's thread, another
 * runtime.  To set it a second time is -EALREADY.  Await puts it in *value (if that is not NULL) and returns 0;
 * -EAGAIN, -ETIMEDOUT, the reason when cancelled. */
WEFT_API int weft_future_set(weft_future *future, intptr_t value);
WEFT_API int weft_future_await(weft_future *future, intptr_t *value, weft_time deadline);

/* ---- time --------------------------------------------------------------- */

/* The moment on CLOCK_MONOTONIC; with a seed the runtime's own, so take deadlines from here.  Any thread. */
WEFT_API weft_time weft_now(void);

/* Waits until the moment has come: 0, never early; or the reason when cancelled.  WEFT_NEVER: only
 * cancelling ends it.  Any task; any thread, which blocks. */
WEFT_API int weft_sleep(weft_time until);

/* ---- input and output --------------------------------------------------- */

/* As the system calls of the same name, on any descriptor, suspending the task and never the
 * worker; never -EINTR.  Errors are the system's, negative.  What got somewhere returns how far, and an error or the
 * reason of a cancel comes from the next call.  By any task; by any thread, which blocks.
 *
 * A socket that weft is handed becomes non-blocking; other descriptors keep their flags, since they
 * may be shared with other processes; those that weft makes are non-blocking and close-on-exec.  A terminal or a named
 * pipe without O_NONBLOCK is opened once more for each transfer, through /proc/self/fd, so that nobody who is faster
 * can make a worker block; where that may not be, it is used when it says that it is ready, and then may block.
 * Regular files are always ready: what is not in memory is read and written by the system itself where it has an
 * io_uring for us, else, or with WEFT_IO=epoll in the environment, by a thread of weft's; -EAGAIN when none can be had.
 * The call waits for the end of that whatever its deadline, cancelled or not.
 *
 * A write to a socket may let those run first that are ready on its worker, so that what they write goes to the system
 * together, by an io_uring; not with WEFT_IO=epoll.  Another worker that is idle makes it instead when one of them
 * computes for long, and later writes then do not wait.
 *
 * A descriptor that nobody waits on may also be closed or replaced by close(2) and dup2(2); a number that
 * was waited for often before, and is used again after that, may be noticed late, by a tenth of a second, or a
 * second at most, but only once.  While somebody waits, by weft_close only.  A bad descriptor is -EBADF.
 * SIGPIPE is the program's own, but sockets never raise it here. */
WEFT_API ssize_t weft_read(int fd, void *buf, size_t count, weft_time deadline);
WEFT_API ssize_t weft_write(int fd, const void *buf, size_t count, weft_time deadline);
WEFT_API ssize_t weft_pread(int fd, void *buf, size_t count, off_t offset, weft_time deadline);
WEFT_API ssize_t weft_pwrite(int fd, const void *buf, size_t count, off_t offset, weft_time deadline);

/* MSG_DONTWAIT is a deadline of 0; in receiving so are MSG_ERRQUEUE and MSG_OOB, by which the system never waits.
 * MSG_WAITALL is left out with MSG_PEEK and MSG_TRUNC. */
WEFT_API ssize_t weft_recvmsg(int fd, struct msghdr *msg, int flags, weft_time deadline);
WEFT_API ssize_t weft_sendmsg(int fd, const struct msghdr *msg, int flags, weft_time deadline);

/* Returns the new descriptor; addr and addrlen are as for accept(2).  When there is no descriptor or memory left the
 * error comes after 10 ms, so that a loop that asks again does not spin. */
WEFT_API int weft_accept(int fd, struct sockaddr *addr, socklen_t *addrlen, weft_time deadline);

/* 0 when it is connected.  An attempt that was given up goes on in the system; only weft_close ends it. */
WEFT_API int weft_connect(int fd, const struct sockaddr *addr, socklen_t addrlen, weft_time deadline);

/* Waits until one of the events (poll.h) is ready, and returns those that are, POLLERR and POLLHUP unasked. */
WEFT_API int weft_poll(int fd, short events, weft_time deadline);

/* Returns the new descriptor, or open(2)'s error; -EAGAIN when no thread can be had for it.  Waits for open(2) however
 * long, cancelled or not. */
WEFT_API int weft_open(const char *path, int flags, mode_t mode);

/* 0, or close(2)'s error; the descriptor is closed in any case.  Those who wait on it wake, and get -EBADF.  A number
 * used again gets no old event.  For a socket that lingers (SO_LINGER) the call waits; its number is free before. */
WEFT_API int weft_close(int fd);

/* Transfers all of it, and returns how much that was: less at the end of what can be read, or when given up or
 * cancelled; any other error comes back instead of the count. */
WEFT_API ssize_t weft_read_full(int fd, void *buf, size_t count, weft_time deadline);
WEFT_API ssize_t weft_write_full(int fd, const void *buf, size_t count, weft_time deadline);

/* Return a descriptor that listens, or is connected.  Host and port are numbers or names; a host that is NULL or empty
 * listens on every address, and connects to this machine; "localhost" is its loopback address also where no file and no
 * server knows the name.  -ENOENT: no such name; -EAGAIN: it could not be looked up now; -EINVAL: a bad port; or the
 * system's error, of connecting the last one.  All addresses of a name are tried, a quarter of a second apart (RFC
 * 8305).  The deadline covers the look-up, which goes on in memory of its own when it is given up; the runtime does not
 * stop before it has ended. */
WEFT_API int weft_tcp_listen(const char *host, const char *port, int backlog);
WEFT_API int weft_tcp_connect(const char *host, const char *port, weft_time deadline);

/* Runs fn(arg), which may block its thread, off the workers, and waits for its end however long, cancelled or not: its
 * result, or -EAGAIN when no thread can be had, -EINVAL for a NULL fn.  256 run at once, more queue; files and names
 * have threads of their own.  The task's root goes on meanwhile.  In a plain thread: a call. */
WEFT_API int weft_blocking(weft_fn *fn, void *arg);

/* ---- generators --------------------------------------------------------- */

/* A coroutine that its holder resumes by hand: a function that stops in the middle to hand out a
 * value, keeps its stack and its place, and goes on when it is resumed.
 *
 *     static int count(weft_gen *self, void *arg)
 *     {
 *         for (int i = 0; i < *(int *)arg; i++) {
 *             int error = weft_gen_yield(self, &i, NULL);
 *             if (error) return error;
 *         }
 *         return 0;
 *     }
 *
 *     weft_gen_create(&gen, count, &ten, sizeof ten);
 *     while (weft_gen_next(gen, &value) == 1) printf("%d\n", *(int *)value);
 *     weft_gen_destroy(gen);
 *
 * With or without a runtime, from any thread, now from one and then from another; one at a time: -EBUSY
 * while it runs (for a second resumer, for the body itself, for what the body resumes) and while another
 * delegates to it.  A value is a pointer, often to a local of the body, and is valid until the
 * next resume; where a value or what was sent is taken out, NULL says that it is not wanted.
 *
 * Resumed by a task the body is that task: its scope, its root and its waits are the task's, and it may
 * wait as the task may; the task may go on on another worker then.  A body does not yield, or
 * return, with a scope open that it has opened; that stops the program.
 *
 * Its stack is as large as those of the runtime whose task creates it, 64 KiB (256 KiB with a sanitizer)
 * in a plain thread; it is committed page by page, so a generator that stands at its yield takes about a
 * page.  -EINVAL for a NULL generator. */
typedef struct weft_gen weft_gen;

/* What it returns is the generator's result: 0 or more is success, negative an error. */
typedef int weft_gen_fn(weft_gen *self, void *arg);

/* Makes a generator of fn(self, arg), on a copy of the `size` bytes at arg (size 0: on arg itself).  Nothing
 * of it runs before the first resume.  -EINVAL, -ENOMEM; *gen is NULL then. */
WEFT_API int weft_gen_create(weft_gen **gen, weft_gen_fn *fn, const void *arg, size_t size);

/* Resumes it until it yields or ends.  1: *value is what it yields.  0: it has ended, now or before.
 * Negative: it has ended with this error; that is said once, then 0.  -EBUSY: above. */
WEFT_API int weft_gen_next(weft_gen *gen, void **value);

/* The same, and the yield at which it stands gives `sent`.  -EINVAL for one that stands at no
 * yield yet, unless sent is NULL. */
WEFT_API int weft_gen_send(weft_gen *gen, void *sent, void **value);

/* The same, and the yield at which it stands fails with `error`, which is negative, else -EINVAL.  One that has
 * not begun ends without having run; then, and when it has ended before, the error comes back. */
WEFT_API int weft_gen_throw(weft_gen *gen, int error, void **value);

/* Asks it to end: the yield at which it stands fails with -ECANCELED.  0 when it has ended, however
 * (weft_gen_result tells), now or before; -EBUSY when it yields again instead, and lives on.  One that has
 * not begun ends without having run. */
WEFT_API int weft_gen_close(weft_gen *gen);

/* Whether it has ended; true for NULL.  Any thread, also while it runs. */
WEFT_API bool weft_gen_done(const weft_gen *gen);

/* Its result; -EAGAIN while it has not ended; -ECANCELED if it ended without having begun. */
WEFT_API int weft_gen_result(const weft_gen *gen);

/* Closes it, once, and frees it, even if it yields again; what is on its stack is gone then, and a generator to
 * which it still delegates is free to be resumed again.  A generator that delegates to the one destroyed goes on as if
 * that had been closed.  NULL: nothing.  One that runs stops the program. */
WEFT_API void weft_gen_destroy(weft_gen *gen);

/* By its body: hands `value` out and waits to be resumed.  0, and in *sent what was sent (NULL after
 * weft_gen_next); or the error that was thrown in.  Not by anybody else: -EPERM. */
WEFT_API int weft_gen_yield(weft_gen *self, void *value, void **sent);

/* By its body: delegates to `inner` until that ends, and gives its result.  What inner yields goes to whoever
 * resumes self; what is sent and thrown in goes to inner, and so does closing: then the result is -ECANCELED,
 * whatever inner made of it.  However deep generators delegate, to resume them costs the same.  For an inner that has
 * ended, its result at once.  It need not be at its beginning.  Inner stays its owner's to destroy.
 * -EBUSY: inner runs, or another delegates to it.  -EPERM as with weft_gen_yield. */
WEFT_API int weft_gen_yield_from(weft_gen *self, weft_gen *inner);

/* ---- looking inside ------------------------------------------------------ */

/* Counts since the runtime started, then gauges.  They are read one by one
 * while the others run, so sums may be off by what happens meanwhile. */
struct weft_stats {
    size_t   size;
    uint64_t spawned;          /* tasks made, the first too */
    uint64_t ended;            /* of these, have ended */
    uint64_t inlined;          /* of these, ran in place, as a call of their awaiter */
    uint64_t switches;         /* from one stack to another */
    uint64_t steals;           /* times that a worker took ready work of another; it may take several tasks at once */
    uint64_t parks;            /* times that a worker went to sleep */
    uint64_t wakeups;          /* times that one was woken */
    uint64_t io_waits;         /* times that a task began to wait for a descriptor */
    uint64_t timers;           /* deadlines that have passed, of waits, sleeps and scopes */
    uint64_t blocking_calls;   /* made by threads that may block: weft_blocking, files, names */
    uint64_t tasks;            /* not ended */
    uint64_t stacks_in_use;    /* stacks that hold a task or a worker's loop */
    uint64_t stacks_pooled;    /* kept for the next one */
    uint64_t stack_bytes;      /* address space of all stacks; only touched pages are memory */
    uint64_t blocking_queued;  /* of the blocking calls, wait for a thread */
    uint64_t blocking_threads; /* that run them, or are kept for the next one */
};

/* Fills *stats, as far as stats->size says, with the counts of the calling
 * task's runtime.  0; -EPERM in a plain thread, -EINVAL for NULL or a size of
 * less than the size field. */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* g++: the struct of this name has a constructor */
#endif
WEFT_API int weft_stats(struct weft_stats *stats);
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* Writes every task of the calling task's runtime to the descriptor: its function, state, what it waits for and
 * since when, its backtrace, root and scope; of one that runs just now on another worker its function only and, with
 * the monitor, for how long; and of those that have not begun their number.  In a plain thread: of all runtimes.  0, or
 * why it could not be written. */
WEFT_API int weft_dump(int fd);

/* The number, from 0, of the worker that runs the caller just now; -1 in a
 * plain thread.  For pictures and statistics: the answer may be old when it
 * arrives. */
WEFT_API int weft_worker_index(void);

/* How many workers the calling task's runtime has; 0 in a plain thread. */
WEFT_API unsigned weft_worker_count(void);

/* Where errno is on the thread that runs the caller.  glibc says of its own
 * function that the answer never changes, so compilers keep the address, and a
 * task that has moved to another thread would read the wrong errno. */
WEFT_API int *weft_errno_location(void);
#undef errno
#define errno (*weft_errno_location())

#ifdef __cplusplus
}
#endif
#endif /* WEFT_H */
