#define _GNU_SOURCE
#include "machine.h"
#include "context.h"
#include "platform.h"
#include "team.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* In nanoseconds. */
#define CLOCK_READ   28 /* clock_gettime */
#define LOOK_AT_ONE  50 /* by a thief: a cache line of another worker's, which most often has not changed */
#define SYSTEM_CALL  250
#define WAKE_CALL    3000    /* a futex wake that wakes somebody on another CPU, for the waker */
#define WAKE_LATENCY 30000   /* until that one runs */
#define FENCE_HEAVY  10000   /* membarrier(2) */
#define PAUSE        1000    /* of a thread that gives way to others */
#define TICK         4000000 /* of the coarse clock: a kernel's with 250 a second */

enum { THREADS = IDLE_MAX + 1, STACK = 256 << 10 };

struct thread {
    struct context    context;
    int64_t           clock; /* or when it will wake by itself, if it sleeps */
    Atomic(uint32_t) *word;  /* on which it sleeps; NULL: it runs */
    unsigned          place; /* in the queue, from 1; 0: it is not there, since nothing but a wake will make it run */
    bool              ended;
    struct worker    *worker; /* its worker_here, while another thread runs */
    void *(*fn)(void *arg);
    void *arg;
};

static struct thread  threads[THREADS];
static unsigned       thread_count;
static struct thread *running;

/* ---- who is furthest behind: a binary heap ----------------------------------- */

static struct thread *queue[THREADS + 1];
static unsigned       queued;

static void put_at(unsigned place, struct thread *t)
{
    queue[place] = t;
    t->place = place;
}

static void sift(struct thread *t)
{
    unsigned at = t->place;
    for (; at > 1 && queue[at / 2]->clock > t->clock; at /= 2) put_at(at, queue[at / 2]);
    for (unsigned below; (below = 2 * at) <= queued; at = below) {
        if (below < queued && queue[below + 1]->clock < queue[below]->clock) below++;
        if (queue[below]->clock >= t->clock) break;
        put_at(at, queue[below]);
    }
    put_at(at, t);
}

static void enqueue(struct thread *t)
{
    put_at(++queued, t);
    sift(t);
}

static void dequeue(struct thread *t)
{
    struct thread *last = queue[queued--];
    if (last != t) {
        put_at(t->place, last);
        sift(last);
    }
    t->place = 0;
}

/* ---- one after the other ------------------------------------------------------- */

static void go_on(void)
{
    if (queued == 0) base_die("all threads of the machine sleep for good");
    struct thread *from = running, *to = queue[1];
    to->word = NULL;
    if (to == from) return;
    from->worker = worker_here;
    running = to;
    worker_here = to->worker;
    context_switch(&from->context, &to->context);
}

static void spend(int64_t duration)
{
    running->clock += duration;
    sift(running);
    go_on();
}

void machine_compute(int64_t duration)
{
    spend(duration);
}

int64_t machine_now(void)
{
    return running->clock;
}

static void wake(struct thread *t)
{
    t->word = NULL;
    if (t->place) dequeue(t);
    t->clock = running->clock + WAKE_LATENCY;
    enqueue(t);
}

void machine_run(void (*main_thread)(void *arg), void *arg)
{
    running = &threads[0];
    *running = (struct thread){.clock = 1000000000};
    thread_count = 1;
    context_thread(&running->context);
    enqueue(running);
    main_thread(arg);
    dequeue(running);
}

static void begin(struct context *from)
{
    (void)from;
    running->fn(running->arg);
    running->ended = true;
    dequeue(running);
    go_on();
    abort();
}

/* ---- in the place of the system's --------------------------------------------------- */

int __wrap_pthread_join(pthread_t id, void **result);
int __wrap_sched_yield(void);
int __wrap_usleep(useconds_t duration);

int __wrap_pthread_join(pthread_t id, void **result)
{
    (void)result;
    while (!threads[id].ended) spend(WAKE_LATENCY);
    return 0;
}

int __wrap_sched_yield(void)
{
    spend(PAUSE);
    return 0;
}

int __wrap_usleep(useconds_t duration)
{
    spend((int64_t)duration * 1000);
    return 0;
}

/* ---- in the place of lib/platform.c --------------------------------------------------- */

bool platform_asymmetric = true;

void platform_init(void)
{
}

unsigned platform_cpus(void)
{
    return IDLE_MAX;
}

unsigned platform_allowed(void)
{
    return IDLE_MAX;
}

unsigned platform_threads(void)
{
    return 0;
}

unsigned platform_system_threads(void)
{
    return 0;
}

int platform_thread_start(uint64_t *id, size_t stack_size, void *(*fn)(void *arg), void *arg)
{
    (void)stack_size;
    unsigned at = 1;
    while (at < thread_count && !threads[at].ended) at++;
    if (at == THREADS) return EAGAIN;
    struct thread *t = &threads[at];
    char          *stack = t->context.low;
    if (!stack) stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) return EAGAIN;
    if (at == thread_count) thread_count++;
    *t = (struct thread){.clock = running->clock + WAKE_LATENCY, .fn = fn, .arg = arg};
    context_make(&t->context, stack, stack + STACK, begin);
    enqueue(t);
    *id = at;
    return 0;
}

int platform_thread_id(void)
{
    return (int)(running - threads);
}

int64_t platform_thread_clock(void)
{
    return platform_clock();
}

bool platform_thread_exists(int id, int64_t moment)
{
    (void)moment;
    return !threads[id].ended;
}

/* A worker without a task is looking for work: between two looks at the clock at every other one. */
int64_t platform_clock(void)
{
    struct worker *w = worker_here;
    bool           looks = w && w->fiber && !w->fiber->node;
    spend(CLOCK_READ + (looks ? (int64_t)w->runtime->count * LOOK_AT_ONE : 0));
    return running->clock;
}

int64_t platform_clock_coarse(void)
{
    return running->clock / TICK * TICK;
}

int64_t platform_clock_tick(void)
{
    return TICK;
}

uint64_t platform_cgroup_limit(const char *root, const char *membership)
{
    (void)root;
    (void)membership;
    return UINT64_MAX;
}

void platform_futex_wait(Atomic(uint32_t) *word, uint32_t value, int64_t timeout)
{
    struct thread *t = running;
    spend(SYSTEM_CALL);
    if (load_relaxed(word) != value) return;
    t->word = word;
    dequeue(t);
    if (timeout >= 0) {
        t->clock += timeout;
        enqueue(t);
    }
    go_on();
}

void platform_futex_wake(Atomic(uint32_t) *word, int count)
{
    int woken = 0;
    for (unsigned i = 0; i < thread_count && woken < count; i++) {
        if (threads[i].word != word) continue;
        wake(&threads[i]);
        woken++;
    }
    spend(woken ? WAKE_CALL : SYSTEM_CALL);
}

void platform_fence_heavy(void)
{
    spend(FENCE_HEAVY);
}
