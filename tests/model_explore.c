/* model_explore.c - the explorer: one execution after the other, each different
 *
 * An execution is a function of the choices made in it, and all are made by choose(),
 * which replays the last execution's choices up to the one to be changed.  Each
 * thread is a context; it gives control away only in point(), before an
 * operation, and in give_way(), when it can't go on.
 *
 * What a thread knows is its view: for each location the time stamp of the oldest
 * message (a store that was made) it may still read, and for each thread the
 * clock up to which it comes after that thread.  Time stamps are positions
 * in the modification order.  A message carries a view to those who acquire it.
 */
#include "model_explore.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_SIZE (64 * 1024)
#define LOCATIONS  64 /* bits of `spun`, too */
#define MESSAGES   1024
#define MODIFIED   64 /* messages of one location */
#define DATA       64
#define BLOCKS     64
#define ARENA      (256 * 1024)
#define STEPS      1500 /* of one execution; more is taken for endless */
#define REREADS    3    /* how often a thread reads one stale message: stores become visible in the end */
#define PATIENCE   4    /* how often a pause ends for nothing when nobody else can run */
#define GAP        (1u << 12)

struct view {
    uint32_t at[LOCATIONS];
    uint32_t clock[MODEL_THREADS];
};

struct message {
    struct view view;
    uint32_t    writer_clock[MODEL_THREADS]; /* what its writer came after */
    uint64_t    value;
    uint32_t    stamp;
    int         own;     /* whose it is, -1: setup's */
    bool        follows; /* by a read-modify-write: nothing gets between it and the one before */
    uint8_t     reads[MODEL_THREADS];
};

struct location {
    const volatile void *p;
    size_t               size;
    int                  count;
    uint16_t             order[MODIFIED]; /* messages in modification order */
    uint32_t             seq;             /* stamp of the newest seq_cst store */
    uint32_t             woken;           /* what those who called wake know of it */
    int                  set_by;          /* who called atomic_set, or -1, and its clock */
    uint32_t             set_at;
    uint32_t             accessed[MODEL_THREADS]; /* clocks */
    uint32_t             read_at[MODEL_THREADS];  /* clocks */
    uint32_t             read[MODEL_THREADS];     /* stamps */
    uint32_t             relied[MODEL_THREADS];   /* clocks */
};

struct data {
    const volatile void *p;
    int                  writer; /* or -1 */
    uint32_t             written_at;
    uint32_t             read_at[MODEL_THREADS];
};

struct block {
    char *begin, *end;
    bool  freed;
};

enum state { RUNS, PAUSES, SLEEPS, ENDED };

struct thread {
    ucontext_t context;
    char      *stack;
    void (*run)(void);
    bool        made;  /* the context stands before its next run */
    bool        fresh; /* was chosen to run, and has done nothing since */
    enum state  state;
    struct view now;      /* what it has acquired */
    struct view read;     /* what a fence would acquire */
    struct view released; /* as of its last fence */
    uint64_t    spun;     /* locations read since the last pause */
    unsigned    patience;
    int         sleeps_on;
    unsigned    asleep_since;
};

struct step {
    int                      thread;
    const struct model_site *site;
    const char              *note;
    uint64_t                 before, after, newest;
    enum { READ, WROTE, CHANGED, NOTED } what;
};

bool model_c11_sequences;

/* ---- one execution -------------------------------------------------------- */

static struct thread   threads[MODEL_THREADS + 1]; /* the last one runs setup and check */
static struct thread  *self;
static int             thread_count;
static ucontext_t      driver;
static struct location locations[LOCATIONS];
static int             location_count;
static struct message  messages[MESSAGES];
static int             message_count;
static struct data     data[DATA];
static int             data_count;
static uint32_t        fenced[LOCATIONS]; /* what seq_cst fences have made known */
static struct block    blocks[BLOCKS];
static int             block_count;
static size_t          arena_used;
_Alignas(64) static char arena[ARENA];
static struct step                 trace[STEPS];
static int                         step_count;
static unsigned                    preempted, stale_reads, sleep_count;
static char                        failure[256];
static const struct model_program *program;

/* ---- choices -------------------------------------------------------------- */

struct choice {
    uint16_t made, of;
};

static struct choice choices[STEPS * 4];
static int           choice_count, choice_next;
static unsigned      preemption_bound;
static unsigned      stale_bound = UINT32_MAX;

_Noreturn void model_fail(const char *text)
{
    snprintf(failure, sizeof failure, "%s", text);
    for (int i = 0; i <= MODEL_THREADS; i++) threads[i].made = false;
    setcontext(&driver);
    abort();
}

static unsigned choose(unsigned n)
{
    if (n <= 1) return 0;
    if (choice_next == choice_count) {
        if (choice_count == sizeof choices / sizeof *choices) model_fail("explorer: too many choices in one execution");
        choices[choice_count++] = (struct choice){0, (uint16_t)n};
    }
    struct choice *c = &choices[choice_next++];
    if (c->of != n) model_fail("explorer: the program is not a function of its choices; does setup set all state?");
    return c->made;
}

/* Moves on to the next execution; false when there is none. */
static bool choices_advance(void)
{
    while (choice_count > 0 && choices[choice_count - 1].made + 1 == choices[choice_count - 1].of) choice_count--;
    if (choice_count == 0) return false;
    choices[choice_count - 1].made++;
    return true;
}

unsigned model_choose(unsigned n)
{
    return choose(n);
}

int model_self(void)
{
    return (int)(self - threads);
}

static bool harness(void)
{
    return self == &threads[MODEL_THREADS];
}

/* ---- views ---------------------------------------------------------------- */

static void stamps_join(uint32_t *restrict to, const uint32_t *restrict from)
{
    for (int i = 0; i < location_count; i++) to[i] = to[i] > from[i] ? to[i] : from[i];
}

static void view_join(struct view *restrict to, const struct view *restrict from)
{
    stamps_join(to->at, from->at);
    for (int i = 0; i < MODEL_THREADS; i++)
        to->clock[i] = to->clock[i] > from->clock[i] ? to->clock[i] : from->clock[i];
}

static uint32_t *own_clock(void)
{
    return &self->now.clock[model_self()];
}

/* Whether what thread `who` did at that clock comes before what this one does now. */
static bool ordered(int who, uint32_t clock)
{
    return who == model_self() || self->now.clock[who] >= clock;
}

static void step_begin(void)
{
    if (step_count == STEPS) model_fail("no end: the threads go on without getting anywhere");
    step_count++;
}

static struct step *note(const struct model_site *site)
{
    struct step *s = &trace[step_count - 1];
    *s = (struct step){.thread = model_self(), .site = site, .what = NOTED, .note = ""};
    return s;
}

/* A step of its own: for what is not preceded by point(). */
static struct step *note_extra(const struct model_site *site)
{
    step_begin();
    return note(site);
}

/* ---- scheduling ----------------------------------------------------------- */

static struct message *newest(const struct location *l)
{
    return &messages[l->order[l->count - 1]];
}

/* Whether there is something that a pausing thread has not read. */
static bool has_news(int who)
{
    for (int i = 0; i < location_count; i++)
        if (threads[who].spun >> i & 1 && newest(&locations[i])->stamp != locations[i].read[who]) return true;
    return false;
}

static void switch_to(int next)
{
    struct thread *from = self;
    self = &threads[next];
    if (self != from) swapcontext(&from->context, &self->context);
}

/* Before each operation: here another thread may come in between. */
static void point(struct model_site *site)
{
    site->reached = true;
    step_begin();
    if (self->fresh) {
        self->fresh = false;
        return;
    }
    if (preempted >= preemption_bound) return;
    int options[MODEL_THREADS], n = 0;
    options[n++] = model_self();
    for (int i = 0; i < thread_count; i++) {
        if (i == model_self()) continue;
        if (threads[i].state == RUNS || (threads[i].state == PAUSES && has_news(i))) options[n++] = i;
    }
    unsigned chosen = choose((unsigned)n);
    if (chosen == 0) return;
    preempted++;
    step_count--;
    switch_to(options[chosen]);
    step_count++;
}

/* The caller can't go on, or need not: somebody else does. */
static void give_way(void)
{
    int  options[MODEL_THREADS], n = 0;
    bool paused = self->state == PAUSES;
    for (int i = 0; i < thread_count; i++)
        if (threads[i].state == RUNS) options[n++] = i;
    int free_of_charge = n;
    if (n > 0 && paused && preempted < preemption_bound) options[n++] = model_self();
    for (int i = 0; n == 0 && i < thread_count; i++)
        if (threads[i].state == PAUSES && has_news(i)) options[n++] = i;
    if (n == 0) {
        for (int i = 0; i < thread_count; i++)
            if (threads[i].state == PAUSES && threads[i].patience > 0) options[n++] = i;
        if (n > 0) threads[options[0]].patience--;
        n = n > 0;
    }
    if (n > 0) {
        unsigned chosen = choose((unsigned)n);
        if (free_of_charge > 0 && (int)chosen >= free_of_charge) preempted++;
        switch_to(options[chosen]);
        return;
    }
    for (int i = 0; i < thread_count; i++) {
        if (threads[i].state == ENDED || (threads[i].state == SLEEPS && program->sleepers >> i & 1)) continue;
        model_fail(threads[i].state == SLEEPS
                       ? "lost wake-up or deadlock: a thread sleeps and nobody is left to wake it"
                       : "deadlock: a thread waits for what nobody is left to do");
    }
    swapcontext(&self->context, &driver);
}

static void thread_main(void)
{
    for (;;) {
        self->run();
        self->state = ENDED;
        self->made = true; /* and runs again from here */
        if (harness()) swapcontext(&self->context, &driver);
        else give_way();
    }
}

static void thread_make(struct thread *t, void (*run)(void))
{
    t->run = run;
    t->fresh = true;
    t->state = RUNS;
    t->spun = 0;
    t->patience = PATIENCE;
    memset(&t->now, 0, sizeof t->now);
    memset(&t->read, 0, sizeof t->read);
    memset(&t->released, 0, sizeof t->released);
    if (t != &threads[MODEL_THREADS]) t->now.clock[t - threads] = 1;
    if (t->made) {
        t->made = false;
        return;
    }
    if (!t->stack) t->stack = malloc(STACK_SIZE);
    if (!t->stack || getcontext(&t->context)) abort();
    t->context.uc_stack.ss_sp = t->stack;
    t->context.uc_stack.ss_size = STACK_SIZE;
    t->context.uc_link = NULL;
    makecontext(&t->context, thread_main, 0);
}

void model_spin(void)
{
    self->spun = 0;
}

void model_pause(void)
{
    if (harness()) model_fail("a spin loop in setup or check");
    self->state = PAUSES;
    give_way();
    bool news = has_news(model_self());
    for (int i = 0; news && i < location_count; i++)
        if (self->spun >> i & 1 && self->now.at[i] < newest(&locations[i])->stamp)
            self->now.at[i] = newest(&locations[i])->stamp;
    self->state = RUNS;
    self->fresh = true;
    self->spun = 0;
}

/* ---- memory --------------------------------------------------------------- */

void *model_alloc(size_t size)
{
    size_t room = (size + 63) & ~(size_t)63;
    if (block_count == BLOCKS || room > ARENA - arena_used) model_fail("explorer: out of memory for blocks");
    char *begin = arena + arena_used;
    arena_used += room;
    memset(begin, 0xa5, room);
    blocks[block_count++] = (struct block){begin, begin + size, false};
    return begin;
}

static struct block *block_of(const volatile void *p)
{
    for (int i = 0; i < block_count; i++)
        if ((char *)p >= blocks[i].begin && (char *)p < blocks[i].end) return &blocks[i];
    return NULL;
}

void model_free(void *block)
{
    if (!block) return;
    struct block *b = block_of(block);
    if (!b || b->begin != block) model_fail("free of what is not a block");
    if (b->freed) model_fail("a block is freed twice");
    b->freed = true;
}

static void freed_check(const volatile void *p, const struct model_site *site)
{
    if ((char *)p < arena || (char *)p >= arena + arena_used) return;
    struct block *b = block_of(p);
    if (b && !b->freed) return;
    if (!harness()) note(site);
    model_fail(b ? "use of freed memory" : "an access beside a block");
}

static uint64_t peek(const volatile void *p, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)p, size);
    return value;
}

static void poke(const volatile void *p, size_t size, uint64_t value)
{
    memcpy((void *)p, &value, size);
}

static struct message *message_make(void)
{
    if (message_count == MESSAGES) model_fail("explorer: too many stores in one execution");
    struct message *m = &messages[message_count++];
    memset(m, 0, sizeof *m);
    return m;
}

static int location_of(const volatile void *p, size_t size, const struct model_site *site)
{
    freed_check(p, site);
    for (int i = 0; i < location_count; i++) {
        if (locations[i].p != p) continue;
        if (size && locations[i].size != size) model_fail("explorer: an object is accessed in two sizes");
        return i;
    }
    if (location_count == LOCATIONS) model_fail("explorer: too many locations");
    struct location *l = &locations[location_count++];
    memset(l, 0, sizeof *l);
    l->p = p;
    l->size = size;
    l->set_by = -1;
    struct message *m = message_make();
    m->value = peek(p, size);
    m->stamp = GAP;
    m->own = -1;
    l->order[l->count++] = (uint16_t)(m - messages);
    return location_count - 1;
}

static uint64_t truncated(uint64_t value, size_t size)
{
    return size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

/* The access of an atomic operation, as far as data races go. */
static struct location *touch(int at)
{
    struct location *l = &locations[at];
    if (l->set_by >= 0 && !ordered(l->set_by, l->set_at)) model_fail("data race with atomic_set");
    l->accessed[model_self()] = *own_clock();
    self->spun |= UINT64_C(1) << at;
    return l;
}

/* The oldest stamp that an operation of this order may read, or store after. */
static uint32_t floor_of(int at, unsigned order)
{
    uint32_t floor = self->now.at[at];
    if (!(order & MODEL_SEQ)) return floor;
    if (floor < fenced[at]) floor = fenced[at];
    return floor < locations[at].seq ? locations[at].seq : floor;
}

/* Message number i of the location is read. */
static struct message *take(int at, int i, unsigned order)
{
    struct location *l = &locations[at];
    struct message  *m = &messages[l->order[i]];
    int              me = model_self();
    if (i != l->count - 1) {
        stale_reads++;
        m->reads[me]++;
    }
    l->read[me] = m->stamp;
    l->read_at[me] = *own_clock();
    if (self->now.at[at] < m->stamp) self->now.at[at] = m->stamp;
    view_join(&self->read, &m->view);
    if (order & MODEL_ACQUIRE) view_join(&self->now, &m->view);
    return m;
}

static bool readable(const struct location *l, int i)
{
    if (i == l->count - 1) return true;
    return stale_reads < stale_bound && messages[l->order[i]].reads[model_self()] < REREADS;
}

/* Whether a store may come right after message number i. */
static bool has_room(const struct location *l, int i)
{
    return i == l->count - 1 || !messages[l->order[i + 1]].follows;
}

/* Stores right after message number i, which `from` is when it is followed. */
static void put(int at, int i, uint64_t value, unsigned order, const struct message *from)
{
    struct location *l = &locations[at];
    int              me = model_self();
    for (int u = 0; u < thread_count; u++)
        if (!ordered(u, l->relied[u]))
            model_fail("a read that is relied on, and a newer store that does not come after it");
    if (l->count == MODIFIED) model_fail("explorer: too many stores to one location");
    uint32_t before = messages[l->order[i]].stamp, stamp = before + GAP;
    if (i < l->count - 1) {
        stamp = before + (messages[l->order[i + 1]].stamp - before) / 2;
        stale_reads++;
    }
    if (stamp == before) model_fail("explorer: too many stores between two stores");
    struct message *m = message_make();
    m->value = value;
    m->stamp = stamp;
    m->follows = from != NULL;
    if (self->now.at[at] < stamp) self->now.at[at] = stamp;
    memcpy(&m->view, order & MODEL_RELEASE ? &self->now : &self->released, sizeof m->view);
    struct message *previous = &messages[l->order[i]];
    if (from) view_join(&m->view, &from->view);
    else if (model_c11_sequences && previous->own == me && !previous->follows) view_join(&m->view, &previous->view);
    m->own = me;
    if (m->view.at[at] < stamp) m->view.at[at] = stamp;
    memcpy(m->writer_clock, self->now.clock, sizeof m->writer_clock);
    if (order & MODEL_SEQ && l->seq < stamp) l->seq = stamp;
    memmove(&l->order[i + 2], &l->order[i + 1], (size_t)(l->count - i - 1) * sizeof l->order[0]);
    l->order[i + 1] = (uint16_t)(m - messages);
    l->count++;
    l->read[me] = stamp;
    poke(l->p, l->size, newest(l)->value);
    for (int u = 0; u < thread_count; u++) threads[u].patience = PATIENCE;
}

/* Threads do, setup and check don't, take part: before the operation. */
static int begin(const volatile void *p, size_t size, struct model_site *site)
{
    if (size > 8) model_fail("explorer: an object of more than 8 bytes");
    point(site);
    int at = location_of(p, size, site);
    note(site);
    touch(at);
    return at;
}

uint64_t model_load(const volatile void *p, size_t size, struct model_site *site)
{
    if (harness()) {
        freed_check(p, site);
        return peek(p, size);
    }
    int              at = begin(p, size, site), options[MODIFIED], n = 0;
    struct location *l = &locations[at];
    uint32_t         floor = floor_of(at, site->runs_as);
    for (int i = l->count - 1; i >= 0 && messages[l->order[i]].stamp >= floor; i--)
        if (readable(l, i)) options[n++] = i;
    uint64_t     last = newest(l)->value;
    uint64_t     value = take(at, options[choose((unsigned)n)], site->runs_as)->value;
    struct step *s = note(site);
    s->what = READ;
    s->before = value;
    s->newest = last;
    ++*own_clock();
    return value;
}

static uint64_t changed(enum model_kind kind, uint64_t value, uint64_t operand)
{
    switch (kind) {
    case MODEL_ADD: return value + operand;
    case MODEL_SUB: return value - operand;
    case MODEL_OR: return value | operand;
    case MODEL_AND: return value & operand;
    default: return operand;
    }
}

/* A store, a read-modify-write, or a compare-and-swap when `expected` is given. */
static uint64_t modify(const volatile void *p, size_t size, uint64_t operand, const uint64_t *expected,
                       struct model_site *site)
{
    unsigned order = site->runs_as;
    bool     reads = site->kind != MODEL_STORE;
    if (harness()) {
        freed_check(p, site);
        uint64_t value = peek(p, size);
        if (!expected || *expected == value) poke(p, size, changed(site->kind, value, operand));
        return value;
    }
    int              at = begin(p, size, site), options[MODIFIED], n = 0;
    struct location *l = &locations[at];
    uint32_t         floor = floor_of(at, order);
    for (int i = l->count - 1; i >= 0 && messages[l->order[i]].stamp >= floor; i--) {
        bool last = i == l->count - 1, fails = expected && messages[l->order[i]].value != *expected;
        if (fails ? readable(l, i) : has_room(l, i) && (last || stale_reads < stale_bound)) options[n++] = i;
    }
    int             i = options[choose((unsigned)n)];
    uint64_t        last = newest(l)->value, before = 0;
    const char     *text = i == l->count - 1 ? "" : "; newer ones are there";
    struct message *from = NULL;
    if (reads) {
        from = take(at, i, expected && messages[l->order[i]].value != *expected ? order & ~MODEL_RELEASE : order);
        before = from->value;
    }
    struct step *s = note(site);
    s->note = text;
    s->before = before;
    s->newest = last;
    if (expected && before != *expected) {
        s->what = READ;
    } else {
        s->what = reads ? CHANGED : WROTE;
        s->after = truncated(changed(site->kind, before, operand), size);
        put(at, i, s->after, order, from);
    }
    ++*own_clock();
    return before;
}

uint64_t model_modify(volatile void *p, size_t size, uint64_t operand, struct model_site *site)
{
    return modify(p, size, operand, NULL, site);
}

bool model_cas(volatile void *p, size_t size, void *old, uint64_t value, struct model_site *site)
{
    uint64_t expected = peek(old, size), was = modify(p, size, value, &expected, site);
    poke(old, size, was);
    return was == expected;
}

void model_set(volatile void *p, size_t size, uint64_t value, struct model_site *site)
{
    value = truncated(value, size);
    if (harness()) {
        freed_check(p, site);
        poke(p, size, value);
        return;
    }
    struct step *s = note_extra(site);
    s->what = WROTE;
    s->after = value;
    int              at = location_of(p, size, site);
    struct location *l = touch(at);
    for (int u = 0; u < thread_count; u++)
        if (!ordered(u, l->accessed[u])) model_fail("data race: atomic_set of what others use");
    put(at, l->count - 1, value, 0, NULL);
    l->set_by = model_self();
    l->set_at = *own_clock();
}

void model_use(const volatile void *p, struct model_site *site)
{
    if (harness()) return;
    note_extra(site);
    int              at = location_of(p, 0, site), me = model_self();
    struct location *l = &locations[at];
    if (l->read_at[me] == 0) model_fail("used without having been read");
    l->relied[me] = l->read_at[me];
    for (int i = l->count - 1; messages[l->order[i]].stamp > l->read[me]; i--)
        if (messages[l->order[i]].writer_clock[me] < l->read_at[me])
            model_fail("a read that is relied on, and a newer store that does not come after it");
}

void model_data(const volatile void *p, bool write, struct model_site *site)
{
    if (harness()) return;
    note_extra(site);
    freed_check(p, site);
    int i = 0;
    while (i < data_count && data[i].p != p) i++;
    if (i == DATA) model_fail("explorer: too many data");
    struct data *d = &data[i];
    if (i == data_count) {
        data_count++;
        *d = (struct data){.p = p, .writer = -1};
    }
    if (d->writer >= 0 && !ordered(d->writer, d->written_at)) model_fail("data race");
    if (write) {
        for (int u = 0; u < thread_count; u++)
            if (!ordered(u, d->read_at[u])) model_fail("data race");
        d->writer = model_self();
        d->written_at = *own_clock();
    } else {
        d->read_at[model_self()] = *own_clock();
    }
}

/* ---- fences --------------------------------------------------------------- */

static void fence(struct thread *t)
{
    view_join(&t->now, &t->read);
    stamps_join(t->now.at, fenced);
    for (int i = 0; i < location_count; i++)
        if (t->now.at[i] < locations[i].seq) t->now.at[i] = locations[i].seq;
    memcpy(fenced, t->now.at, sizeof fenced);
    memcpy(&t->released, &t->now, sizeof t->released);
}

void model_fence(struct model_site *site)
{
    if (harness()) return;
    int me = model_self();
    point(site);
    note(site);
    if (site->runs_as & MODEL_SEQ) {
        fence(self);
        /* The kernel reaches one processor after the other. */
        for (int i = 1; site->kind == MODEL_HEAVY && i < thread_count; i++) {
            struct thread *other = &threads[(me + i) % thread_count];
            if (i > 1 && other->state != ENDED) {
                point(site);
                note(site);
            }
            fence(other);
        }
        fence(self);
    }
    ++*own_clock();
}

/* ---- sleeping ------------------------------------------------------------- */

int model_sleep(const volatile void *p, uint32_t value, struct model_site *site)
{
    if (harness()) model_fail("a sleep in setup or check");
    int              at = begin(p, sizeof(uint32_t), site), options[MODIFIED], n = 0;
    struct location *l = &locations[at];
    uint32_t         floor = l->woken > self->now.at[at] ? l->woken : self->now.at[at];
    for (int i = l->count - 1; i >= 0 && messages[l->order[i]].stamp >= floor; i--)
        if (readable(l, i)) options[n++] = i;
    uint64_t     last = newest(l)->value;
    uint64_t     was = take(at, options[choose((unsigned)n)], 0)->value;
    struct step *s = note(site);
    s->what = READ;
    s->before = was;
    s->newest = last;
    ++*own_clock();
    if (was != value) return -EAGAIN;
    s->note = ": sleeps";
    self->state = SLEEPS;
    self->sleeps_on = at;
    self->asleep_since = sleep_count++;
    give_way();
    self->fresh = true;
    if (self->now.at[at] < l->woken) self->now.at[at] = l->woken;
    return 0;
}

int model_wake(const volatile void *p, int count, struct model_site *site)
{
    if (harness()) return 0;
    point(site);
    note(site);
    if (block_of(p) && block_of(p)->freed) return 0; /* as the kernel, which only compares addresses */
    int at = location_of(p, sizeof(uint32_t), site), woken = 0;
    if (locations[at].woken < self->now.at[at]) locations[at].woken = self->now.at[at];
    for (; woken < count; woken++) {
        struct thread *oldest = NULL;
        for (int i = 0; i < thread_count; i++) {
            struct thread *t = &threads[i];
            if (t->state != SLEEPS || t->sleeps_on != at) continue;
            if (!oldest || t->asleep_since < oldest->asleep_since) oldest = t;
        }
        if (!oldest) break;
        oldest->state = RUNS;
    }
    if (woken) note(site)->note = ": wakes";
    ++*own_clock();
    return woken;
}

/* ---- reports -------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const char *shown(uint64_t value, char text[24])
{
    int64_t v = (int64_t)value;
    snprintf(text, 24, v > -100000 && v < 100000 ? "%lld" : "0x%llx", (long long)v);
    return text;
}

static void trace_print(FILE *out)
{
    char a[24], b[24];
    for (int i = 0; i < step_count; i++) {
        const struct step *s = &trace[i];
        if (!s->site) continue;
        fprintf(out, "    thread %d  %s:%d %s  %s(%s)", s->thread, base_name(s->site->file), s->site->line,
                s->site->function, s->site->op, s->site->object);
        if (s->what == READ) {
            fprintf(out, " is %s", shown(s->before, a));
            if (s->before != s->newest) fprintf(out, ", stale: the newest is %s", shown(s->newest, b));
        } else if (s->what == WROTE) {
            fprintf(out, " becomes %s", shown(s->after, a));
        } else if (s->what == CHANGED) {
            fprintf(out, " from %s to %s", shown(s->before, a), shown(s->after, b));
        }
        fprintf(out, "%s\n", s->note);
    }
}

static void crashed(int signal_number)
{
    printf("FAILED  %s: %s, after\n", program ? program->name : "",
           signal_number == SIGABRT ? "abort" : "a wild pointer");
    trace_print(stdout);
    fflush(stdout);
    _exit(1);
}

/* ---- exploring ------------------------------------------------------------ */

/* Runs threads until one fails or the last one has ended. */
static void run(int first)
{
    self = &threads[first];
    swapcontext(&driver, &self->context);
}

static void nothing(void)
{
}

static bool execution(void)
{
    location_count = message_count = data_count = block_count = step_count = choice_next = 0;
    arena_used = 0;
    preempted = stale_reads = sleep_count = 0;
    failure[0] = '\0';
    memset(fenced, 0, sizeof fenced);
    thread_count = 0;
    struct thread *harness_thread = &threads[MODEL_THREADS];
    thread_make(harness_thread, program->setup ? program->setup : nothing);
    run(MODEL_THREADS);
    while (thread_count < MODEL_THREADS && program->threads[thread_count]) {
        thread_make(&threads[thread_count], program->threads[thread_count]);
        thread_count++;
    }
    if (!failure[0]) run((int)choose((unsigned)thread_count));
    for (int i = 0; i < thread_count; i++) threads[i].made = threads[i].state == ENDED && !failure[0];
    if (!failure[0]) {
        thread_make(harness_thread, program->check ? program->check : nothing);
        run(MODEL_THREADS);
    }
    return !failure[0];
}

/* All executions with at most so many preemptions, up to one that fails. */
static bool explore(const struct model_program *p, unsigned bound, unsigned long *executions)
{
    program = p;
    preemption_bound = bound;
    choice_count = 0;
    *executions = 0;
    do {
        ++*executions;
        if (!execution()) return false;
    } while (choices_advance());
    return true;
}

/* ---- the command ---------------------------------------------------------- */

extern struct model_site *__start_model_sites[], *__stop_model_sites[];

static struct {
    const struct model_program *programs;
    size_t                      count;
    const char                 *under_test, *only;
    unsigned                    preemptions;
    bool                        show, strict;
} command;

static bool selected(const struct model_program *p)
{
    return !command.only || strstr(p->name, command.only);
}

static unsigned bound_of(const struct model_program *p)
{
    if (command.preemptions) return command.preemptions - 1;
    return p->preemptions ? p->preemptions : 2;
}

static bool program_run(const struct model_program *p)
{
    unsigned long executions = 0;
    bool          good = true;
    unsigned      bound = 0;
    for (; good && bound <= bound_of(p); bound++) good = explore(p, bound, &executions);
    bound--;
    if (good && !p->fails) {
        printf("ok      %s: %lu executions, up to %u preemptions\n", p->name, executions, bound);
    } else if (good) {
        printf("FAILED  %s: not found in %lu executions, up to %u preemptions: %s\n", p->name, executions, bound,
               p->fails);
    } else if (p->fails && strstr(failure, p->fails)) {
        printf("ok      %s: found in %lu executions, %u preemptions: %s\n", p->name, executions, bound, failure);
        if (command.show) trace_print(stdout);
        good = true;
        fflush(stdout);
        return true;
    } else {
        printf("FAILED  %s: %s, in execution %lu of those with up to %u preemptions:\n", p->name, failure, executions,
               bound);
        trace_print(stdout);
    }
    fflush(stdout);
    return good && !p->fails;
}

static bool programs_run(void)
{
    bool   good = true;
    size_t ran = 0;
    for (size_t i = 0; i < command.count; i++) {
        if (!selected(&command.programs[i])) continue;
        good &= program_run(&command.programs[i]);
        ran++;
    }
    if (ran == 0) printf("FAILED  no program\n");
    return good && ran > 0;
}

static bool is_under_test(const struct model_site *site)
{
    char name[256], part[64];
    int  length;
    snprintf(name, sizeof name, "%s:%s", base_name(site->file), site->function);
    for (const char *at = command.under_test; sscanf(at, "%63s%n", part, &length) == 1; at += length)
        if (strstr(name, part)) return true;
    return false;
}

static int site_compare(const void *a, const void *b)
{
    const struct model_site *x = *(struct model_site *const *)a, *y = *(struct model_site *const *)b;
    int                      file = strcmp(x->file, y->file);
    if (file) return file;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* The sites under test that are stronger than relaxed, by file and line. */
static struct model_site **sites_collect(size_t *count)
{
    size_t              all = (size_t)(__stop_model_sites - __start_model_sites), n = 0;
    struct model_site **sites = malloc(all * sizeof(struct model_site *));
    if (!sites) abort();
    for (size_t i = 0; i < all; i++)
        if (__start_model_sites[i]->order && is_under_test(__start_model_sites[i])) sites[n++] = __start_model_sites[i];
    qsort(sites, n, sizeof *sites, site_compare);
    *count = n;
    return sites;
}

static const char *order_name(const struct model_site *site, unsigned order)
{
    static const char *const names[] = {"relaxed", "acquire", "release", "acq_rel", "", "seq", "seq", "seq"};
    bool                     is_fence = site->kind == MODEL_FENCE || site->kind == MODEL_HEAVY;
    return is_fence && !order ? "nothing" : names[order];
}

static void site_print(const struct model_site *site, size_t number)
{
    printf("%3zu  %s:%d %s  %s(%s)", number, base_name(site->file), site->line, site->function, site->op, site->object);
}

/* In a process of its own, since a mutant may crash: the first program that
 * fails, the least preemptions first, as a line in `report`. */
static bool mutant_is_caught(struct model_site *site, unsigned order, char *report, size_t size)
{
    int ends[2];
    if (pipe(ends)) abort();
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        site->runs_as = order;
        for (unsigned bound = 0, more = 1; more; bound++) {
            more = 0;
            for (size_t i = 0; i < command.count; i++) {
                const struct model_program *p = &command.programs[i];
                unsigned long               executions;
                if (p->fails || !selected(p) || bound > bound_of(p)) continue;
                more = 1;
                if (explore(p, bound, &executions)) continue;
                printf("%s: %s\n", p->name, failure);
                fflush(stdout);
                _exit(1);
            }
        }
        _exit(0);
    }
    close(ends[1]);
    ssize_t got = 0, n;
    char    rest[4096];
    while (got < (ssize_t)size - 1 && (n = read(ends[0], report + got, size - 1 - (size_t)got)) > 0) got += n;
    while (read(ends[0], rest, sizeof rest) > 0) continue;
    report[got] = '\0';
    report[strcspn(report, "\n")] = '\0';
    close(ends[0]);
    int status;
    if (waitpid(child, &status, 0) != child) abort();
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static bool mutants_run(void)
{
    size_t              count, missed = 0, partly = 0, caught = 0;
    struct model_site **sites = sites_collect(&count);
    for (size_t i = 0; i < count; i++) {
        /* What is weaker than each order, the weakest first. */
        static const unsigned char weaker[8][4] = {[MODEL_ACQ_REL] = {MODEL_ACQUIRE, MODEL_RELEASE},
                                                   [MODEL_ACQUIRE | MODEL_SEQ] = {MODEL_ACQUIRE},
                                                   [MODEL_RELEASE | MODEL_SEQ] = {MODEL_RELEASE},
                                                   [MODEL_SEQ_CST] = {MODEL_ACQUIRE, MODEL_RELEASE, MODEL_ACQ_REL}};
        struct model_site         *site = sites[i];
        bool                       is_fence = site->kind == MODEL_FENCE || site->kind == MODEL_HEAVY;
        const unsigned char       *parts = weaker[site->order];
        for (int k = -1; k < 0 || (!is_fence && parts[k]); k++) {
            unsigned order = k < 0 ? 0 : parts[k];
            char     report[300] = "";
            bool     is_caught = site->reached && mutant_is_caught(site, order, report, sizeof report);
            site_print(site, i);
            printf(" as %s%s: %s%s\n", order_name(site, order), k < 0 ? "" : " (in part)",
                   is_caught       ? "caught by "
                   : site->reached ? "NOT CAUGHT"
                                   : "NOT REACHED",
                   report);
            fflush(stdout);
            caught += is_caught;
            if (!is_caught && k < 0) missed++;
            if (!is_caught && k >= 0) partly++;
            if (!is_caught && k < 0) break; /* what is between is not caught either */
        }
    }
    free(sites);
    printf("%zu mutants caught, %zu not; %zu with part of the order left not caught\n", caught, missed, partly);
    if (caught == 0) printf("FAILED  no mutant\n");
    if (missed || (partly && command.strict))
        printf("FAILED  an order that is not needed, or a program that is missing\n");
    return caught > 0 && !missed && !(partly && command.strict);
}

static int usage(void)
{
    puts("usage: [--preemptions N] [--stale N] [--only NAME] [--show] [--list | --sites | --mutants [--strict] |\n"
         "       --weaken SITE[:relaxed|acquire|release|acq_rel]]\n"
         "  --preemptions N  in every program, instead of its own bound\n"
         "  --stale N        at most N stale reads in one execution\n"
         "  --only NAME      programs with NAME in their name\n"
         "  --show           prints the schedule of failures that have to be found, too\n"
         "  --list           lists the programs\n"
         "  --sites          lists the operations under test that are stronger than relaxed\n"
         "  --weaken SITE    runs the programs with operation number SITE weakened\n"
         "  --mutants        weakens each in turn and wants it caught; --strict: in each part of its order");
    return 2;
}

int model_main(int argc, char **argv, const struct model_program *programs, size_t count, const char *under_test)
{
    enum { RUN, LIST, SITES, MUTANTS } what = RUN;
    const char *weaken = NULL;
    command.programs = programs;
    command.count = count;
    command.under_test = under_test;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(option, "--show")) command.show = true;
        else if (!strcmp(option, "--strict")) command.strict = true;
        else if (!strcmp(option, "--list")) what = LIST;
        else if (!strcmp(option, "--sites")) what = SITES;
        else if (!strcmp(option, "--mutants")) what = MUTANTS;
        else if (!value) return usage();
        else if (!strcmp(option, "--preemptions")) command.preemptions = (unsigned)atoi(value) + 1, i++;
        else if (!strcmp(option, "--stale")) stale_bound = (unsigned)atoi(value), i++;
        else if (!strcmp(option, "--only")) command.only = value, i++;
        else if (!strcmp(option, "--weaken")) weaken = value, i++;
        else return usage();
    }

    static char      signal_stack[64 * 1024];
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK | SA_RESETHAND};
    if (sigaltstack(&(stack_t){.ss_sp = signal_stack, .ss_size = sizeof signal_stack}, NULL)) abort();
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGABRT, &action, NULL);

    size_t              site_count;
    struct model_site **sites = sites_collect(&site_count);
    if (weaken) {
        char         *end;
        unsigned long number = strtoul(weaken, &end, 10);
        if (number >= site_count) return usage();
        unsigned order = 0;
        while (*end == ':' && order <= MODEL_ACQ_REL && strcmp(end + 1, order_name(sites[number], order))) order++;
        if (order > MODEL_ACQ_REL) return usage();
        sites[number]->runs_as = order;
    }
    for (size_t i = 0; what == SITES && i < site_count; i++) {
        site_print(sites[i], i);
        puts("");
    }
    for (size_t i = 0; what == LIST && i < count; i++) puts(programs[i].name);
    free(sites);
    if (what == SITES || what == LIST) return 0;
    return !(programs_run() && (what == RUN || mutants_run()));
}
