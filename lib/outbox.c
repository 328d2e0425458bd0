#include "outbox.h"
#include "park.h"
#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#if RING_KNOWN

#define ENTRIES 64u

/* Of fewer tasks there is not enough to gain: the one that writes, and those that may. */
#define LEAST (WEFT_CHAOS ? 1u : 5u)

/* What a write gains by going with others is half a microsecond and more; what it waits for is mostly others' work
 * that has to be done before or after.  When it has waited for longer than this, in the mean, the next so many are
 * made at once, and each time in a row twice as many. */
#define WAIT_NS    (8 * WEFT_US)
#define REST_FIRST 16u
#define REST_MOST  1024u

struct letter {
    struct waiter      waiter;
    struct letter     *next; /* that was put in before this one */
    struct descriptor *descriptor;
    uint32_t           life;
    int                fd;
    const void        *bytes;
    size_t             size;
    int32_t            result;
};

struct outbox {
    Atomic(struct letter *) last; /* the worker puts in; anybody takes all out */
    /* the worker's */
    unsigned    count; /* since it was emptied by the worker */
    int64_t     since; /* when the first of these was put in */
    unsigned    rest;  /* so many writes are made at once */
    unsigned    rests; /* how many they were to be, the last time */
    bool        made;  /* the ring is */
    struct ring ring;
};

/* ---- putting in ------------------------------------------------------------ */

noinline bool outbox_open(struct worker *w)
{
    struct outbox *o = load_relaxed(&w->outbox);
    if (o && o->count > 0) return true; /* behind those that are in it */
    if (1 + runq_length(&w->runq) < LEAST || w->choice.seeded) return false;
    if (!o) {
        if (!(o = calloc(1, sizeof *o))) return false;
        store_release(&w->outbox, o); /* pairs with unsent */
    }
    if (o->rest > 0) {
        o->rest--;
        return false;
    }
    if (!o->made && !(o->made = ring_make(&o->ring, ENTRIES))) o->rest = REST_MOST;
    return o->made;
}

static bool put(struct waiter *waiter, void *arg)
{
    struct letter *l = arg;
    struct worker *w = worker_self();
    struct outbox *o = load_relaxed(&w->outbox);
    (void)waiter;
    if (o->count++ == 0) o->since = choice_clock();
    if (o->count >= ENTRIES) w->poll_due = true;
    l->next = load_relaxed(&o->last);
    while (!cas_release(&o->last, &l->next, l)) { /* pairs with take_all; it may be gone after */
    }
    chaos_point();
    return true;
}

ssize_t outbox_send(int fd, const void *bytes, size_t size, struct descriptor *d, uint32_t life)
{
    struct letter l = {.descriptor = d, .life = life, .fd = fd, .bytes = bytes, .size = size};
    park_init(&l.waiter, &io_kind_out, (const void *)(intptr_t)fd);
    park_wait(&l.waiter, put, &l);
    return l.result;
}

/* ---- taking out ------------------------------------------------------------ */

/* All, the first that was put in first. */
static struct letter *take_all(struct outbox *o)
{
    struct letter *l = swap_acquire(&o->last, NULL), *first = NULL; /* pairs with put */
    chaos_point();
    while (l) {
        struct letter *next = l->next;
        l->next = first;
        first = l;
        l = next;
    }
    return first;
}

static void write_entry(struct ring *r, uint32_t at, const struct letter *l)
{
    r->entries[at & r->mask] = (struct io_uring_sqe){
        .opcode = IORING_OP_SEND,
        .fd = l->fd,
        .addr = (uintptr_t)l->bytes,
        .len = (uint32_t)l->size,
        .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
        .user_data = (uintptr_t)l,
    };
}

/* So many that are written before `tail`.  How many the system took, the first ones: these have their results. */
static unsigned carry_out(struct ring *r, uint32_t tail, unsigned count)
{
    store_release(r->tail, tail); /* pairs with the system's acquire */
    int      n = count > 0 ? ring_enter(r, count, count) : 0;
    unsigned took = n > 0 ? (unsigned)n : 0, done = 0;
    if (took < count) store_release(r->tail, tail - count + took); /* the others have not been looked at; as above */
    while (done < took) {
        uint32_t head = load_relaxed(r->done_head),
                 end = load_acquire(r->done_tail); /* pairs with the system's release */
        if (head == end) ring_enter(r, 0, 1);      /* it said it would not wait, and does */
        for (; head != end; head++, done++) {
            const struct io_uring_cqe *e = &r->done[head & r->done_mask];
            ((struct letter *)(uintptr_t)e->user_data)->result = e->res;
        }
        store_release(r->done_head, head); /* pairs with the system's acquire */
    }
    return took;
}

/* As many as there are entries; what is left.  A number that is being closed is not waited for: who closes it waits
 * for the calls on it, one of which may be a write before this one. */
static struct letter *hand_in(struct outbox *o, struct letter *letters)
{
    struct ring   *r = &o->ring;
    struct letter *all[ENTRIES], *handed[ENTRIES];
    unsigned       count = 0, entries = 0;
    uint32_t       tail = load_relaxed(r->tail);
    for (; letters && count < ENTRIES; letters = letters->next) {
        struct letter *l = all[count++] = letters;
        fiber_fetch(l->waiter.fiber);
        l->result = -EINTR;
        if (!call_try(l->descriptor, l->life)) continue;
        write_entry(r, tail + entries, l);
        handed[entries++] = l;
    }
    chaos_point();
    if (carry_out(r, tail + entries, entries) == 0 && entries > 0) o->rest = REST_MOST; /* it has none any more */
    chaos_point();
    for (unsigned i = 0; i < entries; i++) call_end(handed[i]->descriptor);
    for (unsigned i = 0; i < count; i++) context_prefetch(all[i]->waiter.fiber->current);
    for (unsigned i = 0; i < count; i++) park_wake(&all[i]->waiter, false);
    return letters;
}

static void judge(struct outbox *o)
{
    bool late = !WEFT_CHAOS && choice_clock() - o->since > o->count * WAIT_NS;
    if (late) o->rest = o->rests = min_of(max_of(2 * o->rests, REST_FIRST), REST_MOST);
    else o->rests = 0;
}

void outbox_send_out(struct worker *w)
{
    struct outbox *o = load_relaxed(&w->outbox);
    if (o->count == 0) return;
    struct letter *letters = take_all(o);
    judge(o);
    o->count = 0;
    while (letters) letters = hand_in(o, letters);
}

static bool unsent(struct worker *victim, bool take)
{
    struct outbox *o = load_acquire(&victim->outbox); /* pairs with outbox_open */
    if (!o || !load_relaxed(&o->last)) return false;
    struct letter *l = take ? take_all(o) : NULL;
    while (l) {
        struct letter *next = l->next; /* it is gone once its task is awake */
        l->result = -EINTR;
        park_wake(&l->waiter, false);
        l = next;
    }
    return true;
}

/* ---- a runtime's ----------------------------------------------------------- */

void outbox_init(struct weft_runtime *rt)
{
    rt->send_out = outbox_send_out;
    rt->unsent = unsent;
}

void outbox_end(struct worker *w)
{
    struct outbox *o = load_relaxed(&w->outbox);
    if (o && o->made) ring_unmake(&o->ring);
    free(o);
}

#else

bool outbox_open(struct worker *w)
{
    (void)w;
    return false;
}

ssize_t outbox_send(int fd, const void *bytes, size_t size, struct descriptor *d, uint32_t life)
{
    (void)fd;
    (void)bytes;
    (void)size;
    (void)d;
    (void)life;
    return -EINTR;
}

void outbox_send_out(struct worker *w)
{
    (void)w;
}

void outbox_init(struct weft_runtime *rt)
{
    (void)rt;
}

void outbox_end(struct worker *w)
{
    (void)w;
}

#endif
