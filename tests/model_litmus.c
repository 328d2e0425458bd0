/* model_litmus.c - the explorer finds what C11 allows, and nothing else
 *
 * First the litmus tests of the literature, each in a form whose weak outcome is
 * allowed, and so has to be found, and in one where it is forbidden.  Then data
 * races, sleeping and memory.  Last a published deque with each of the faults
 * that published ones have had.
 */
#include "model_explore.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static Atomic(int) x, y, z, own[2];
static int         seen[MODEL_THREADS][2];
static int         datum;

static void clear(void)
{
    atomic_set(&x, 0);
    atomic_set(&y, 0);
    atomic_set(&z, 0);
    for (int i = 0; i < 2; i++) atomic_set(&own[i], 0);
    memset(seen, 0, sizeof seen);
    model_c11_sequences = false;
}

static void clear_c11(void)
{
    clear();
    model_c11_sequences = true;
}

static int *mine(void)
{
    return seen[model_self()];
}

/* ---- store buffering: each stores one word, then loads the other's -------- */

static void sb_check(void)
{
    model_assert(seen[0][0] || seen[1][0], "both have missed the other's store");
}

#define SB(name, store, fence, load) \
    static void name##_x(void)       \
    {                                \
        store(&x, 1);                \
        fence;                       \
        mine()[0] = load(&y);        \
    }                                \
    static void name##_y(void)       \
    {                                \
        store(&y, 1);                \
        fence;                       \
        mine()[0] = load(&x);        \
    }

SB(sb_relaxed, store_relaxed, (void)0, load_relaxed)
SB(sb_release, store_release, (void)0, load_acquire)
SB(sb_fences, store_relaxed, fence_seq(), load_relaxed)
SB(sb_seq, store_seq, (void)0, load_seq)
SB(sb_light, store_relaxed, fence_compiler(), load_relaxed)
SB(sb_heavy, store_relaxed, fence_heavy(), load_relaxed)
/* A seq_cst read-modify-write of another word is no fence; but of two of the
 * same word one acquires what the other released. */
SB(sb_rmw, store_relaxed, (void)add_seq(&own[model_self()], 1), load_relaxed)
SB(sb_same, store_relaxed, (void)add_acq_rel(&z, 1), load_relaxed)

/* ---- message passing: who sees the flag sees what was before it ----------- */

static void mp_check(void)
{
    model_assert(!seen[1][0] || seen[1][1], "the flag is seen, and what was stored before it is not");
}

#define MP(name, before, store, load, after) \
    static void name##_send(void)            \
    {                                        \
        store_relaxed(&x, 1);                \
        before;                              \
        store(&y, 1);                        \
    }                                        \
    static void name##_receive(void)         \
    {                                        \
        mine()[0] = load(&y);                \
        after;                               \
        mine()[1] = load_relaxed(&x);        \
    }

MP(mp_relaxed, (void)0, store_relaxed, load_relaxed, (void)0)
MP(mp_release, (void)0, store_release, load_relaxed, (void)0)
MP(mp_acquire, (void)0, store_relaxed, load_acquire, (void)0)
MP(mp_both, (void)0, store_release, load_acquire, (void)0)
MP(mp_fences, fence_seq(), store_relaxed, load_relaxed, fence_seq())
MP(mp_fence_send, fence_seq(), store_relaxed, load_relaxed, (void)0)

/* ---- load buffering: out of reach, as the explorer runs forward ----------- */

static void lb_x(void)
{
    mine()[0] = load_relaxed(&x);
    store_relaxed(&y, 1);
}

static void lb_y(void)
{
    mine()[0] = load_relaxed(&y);
    store_relaxed(&x, 1);
}

static void lb_check(void)
{
    /* C11 allows it, so no program is proven right that depends on this. */
    model_assert(!(seen[0][0] && seen[1][0]), "each has loaded what the other stores later");
}

/* ---- fences of which one knows of the other by two words, relaxed --------- */

static void ff_first(void)
{
    store_relaxed(&x, 1);
    fence_seq();
    store_relaxed(&y, 1);
}

static void ff_between(void)
{
    if (load_relaxed(&y)) store_relaxed(&z, 1);
}

static void ff_last(void)
{
    mine()[0] = load_relaxed(&z);
    fence_seq();
    mine()[1] = load_relaxed(&x);
}

static void ff_check(void)
{
    /* C11 allows it: what was read right before a fence counts, and what somebody else had read before does not. */
    model_assert(!seen[2][0] || seen[2][1], "the fence that ran last comes first");
}

/* ---- independent reads of independent writes ------------------------------ */

static void iriw_check(void)
{
    bool x_first = seen[2][0] && !seen[2][1], y_first = seen[3][0] && !seen[3][1];
    model_assert(!(x_first && y_first), "two readers see two stores in different orders");
}

#define IRIW(name, store, load) \
    static void name##_x(void)  \
    {                           \
        store(&x, 1);           \
    }                           \
    static void name##_y(void)  \
    {                           \
        store(&y, 1);           \
    }                           \
    static void name##_xy(void) \
    {                           \
        mine()[0] = load(&x);   \
        mine()[1] = load(&y);   \
    }                           \
    static void name##_yx(void) \
    {                           \
        mine()[0] = load(&y);   \
        mine()[1] = load(&x);   \
    }

IRIW(iriw_acquire, store_release, load_acquire)
IRIW(iriw_seq, store_seq, load_seq)

/* ---- two times two writes -------------------------------------------------- */

static void ww_check(void)
{
    model_assert(!(load_relaxed(&x) == 1 && load_relaxed(&y) == 1), "each first store came after the other's second");
}

#define WW(name, store, fence)  \
    static void name##_xy(void) \
    {                           \
        store(&x, 1);           \
        fence;                  \
        store(&y, 2);           \
    }                           \
    static void name##_yx(void) \
    {                           \
        store(&y, 1);           \
        fence;                  \
        store(&x, 2);           \
    }

WW(ww_relaxed, store_relaxed, (void)0)
WW(ww_release, store_release, (void)0)
WW(ww_fences, store_relaxed, fence_seq())
WW(ww_seq, store_seq, (void)0)

/* ---- coherence: one word has one order ------------------------------------ */

static void co_one(void)
{
    store_relaxed(&x, 1);
}

static void co_two(void)
{
    store_relaxed(&x, 2);
}

static void co_read(void)
{
    mine()[0] = load_relaxed(&x);
    mine()[1] = load_relaxed(&x);
}

static void co_check(void)
{
    bool up = seen[2][0] == 1 && seen[2][1] == 2, down = seen[3][0] == 2 && seen[3][1] == 1;
    model_assert(!(up && down), "two readers see one word's stores in different orders");
}

static void co_back_check(void)
{
    model_assert(!(seen[1][0] && !seen[1][1]), "a word goes back");
}

static void co_own(void)
{
    store_relaxed(&x, 1);
    mine()[0] = load_relaxed(&x);
    model_assert(mine()[0] != 0, "a thread does not see its own store");
}

/* A store may go before one that is there already, but not before one that its thread knows. */
static void co_overtaken_check(void)
{
    model_assert(load_relaxed(&x) != 1 || seen[1][0] == 0, "the second store is lost to the first");
}

static void co_know_and_store(void)
{
    mine()[0] = load_relaxed(&x);
    store_relaxed(&x, 2);
}

/* ---- read-modify-writes ----------------------------------------------------- */

static void rmw_add(void)
{
    add_relaxed(&x, 1);
}

static void rmw_cas(void)
{
    int old = load_relaxed(&x);
    while (!cas_relaxed(&x, &old, old + 1)) continue;
}

static void rmw_torn(void)
{
    store_relaxed(&x, load_relaxed(&x) + 1);
}

static void rmw_check(void)
{
    model_assert(load_relaxed(&x) == 3, "an increment is lost");
}

static void rmw_once(void)
{
    int none = 0;
    mine()[0] = cas_relaxed(&x, &none, 1 + model_self());
}

static void rmw_once_check(void)
{
    model_assert(seen[0][0] + seen[1][0] + seen[2][0] == 1, "not one CAS has won");
}

/* ---- release sequences: y's head is 1, which a read-modify-write or a store follows */

static void rs_head(void)
{
    store_relaxed(&x, 1);
    store_release(&y, 1);
}

static void rs_head_and_store(void)
{
    store_relaxed(&x, 1);
    store_release(&y, 1);
    store_relaxed(&y, 2);
}

static void rs_add(void)
{
    if (load_relaxed(&y) == 1) add_relaxed(&y, 1);
}

static void rs_store(void)
{
    if (load_relaxed(&y) == 1) store_relaxed(&y, 2);
}

static void rs_receive(void)
{
    if (load_acquire(&y) != 2) return;
    mine()[0] = 1;
    mine()[1] = load_relaxed(&x);
}

static void rs_check(void)
{
    int *s = seen[2][0] ? seen[2] : seen[1];
    model_assert(!s[0] || s[1], "the flag is seen, and what was stored before it is not");
}

/* ---- Dekker with an asymmetric fence, and without either half --------------- */

static void dekker_check(void)
{
    model_assert(seen[0][0] || seen[1][0], "both have missed the other's store");
}

/* Three: one heavy side is the fence of all light ones. */
static void dekker_three_check(void)
{
    model_assert((seen[0][0] || seen[1][0]) && (seen[0][0] || seen[2][0]), "both have missed the other's store");
}

/* ---- data races ------------------------------------------------------------- */

static void race_send(void)
{
    model_data_write(&datum);
    store_release(&x, 1);
}

static void race_send_relaxed(void)
{
    model_data_write(&datum);
    store_relaxed(&x, 1);
}

static void race_send_fence(void)
{
    model_data_write(&datum);
    fence_seq();
    store_relaxed(&x, 1);
}

static void race_receive(void)
{
    if (load_acquire(&x)) model_data_read(&datum);
}

static void race_receive_write(void)
{
    if (load_acquire(&x)) model_data_write(&datum);
}

static void race_receive_fence(void)
{
    bool flag = load_relaxed(&x);
    fence_seq();
    if (flag) model_data_read(&datum);
}

static void race_read(void)
{
    model_data_read(&datum);
}

static void race_read_send(void)
{
    model_data_read(&datum);
    store_relaxed(&x, 1);
}

/* seq_cst fences order what is stored, and what is read after them, but
 * happens-before takes a load that sees a store. */
static void race_fence_write(void)
{
    model_data_write(&datum);
    fence_seq();
}

static void race_fence_read(void)
{
    fence_seq();
    model_data_read(&datum);
}

static void load_then_tell(void)
{
    (void)load_relaxed(&x);
    store_relaxed(&y, 1);
}

static void set_when_told(void)
{
    model_block_until(load_relaxed(&y) == 1);
    atomic_set(&x, 1);
}

static Atomic(int *)         pointer;
static Atomic(unsigned char) narrow[2];

static void set_clear(void)
{
    clear();
    atomic_set(&pointer, NULL);
    atomic_set(&narrow[0], 0);
    atomic_set(&narrow[1], 0);
}

static void set_and_publish(void)
{
    Atomic(int) *made = model_alloc(sizeof *made);
    atomic_set(made, 7);
    store_release(&pointer, made);
}

static void set_and_publish_relaxed(void)
{
    Atomic(int) *made = model_alloc(sizeof *made);
    atomic_set(made, 7);
    store_relaxed(&pointer, made);
}

static void fill_and_publish_relaxed(void)
{
    Atomic(int) *made = model_alloc(sizeof *made);
    store_relaxed(made, 7);
    store_relaxed(&pointer, made);
}

static void follow(void)
{
    Atomic(int) *found = load_acquire(&pointer);
    if (found) model_assert(load_relaxed(found) == 7, "what was there before is read");
}

static void free_early(void)
{
    Atomic(int) *made = model_alloc(sizeof *made);
    atomic_set(made, 7);
    store_release(&pointer, made);
    swap_acq_rel(&pointer, NULL);
    model_free(made);
}

static void narrow_add(void)
{
    for (int i = 0; i < 2; i++) sub_acq_rel(&narrow[0], 1);
}

static void narrow_wrap(void)
{
    unsigned char all = 255;
    sub_acq_rel(&narrow[0], 1);
    model_assert(cas_relaxed(&narrow[0], &all, 1), "a byte that went below 0 is not 255");
}

static void free_twice(void)
{
    void *made = model_alloc(1);
    model_free(made);
    model_free(made);
}

static void narrow_check(void)
{
    model_assert(load_relaxed(&narrow[0]) == 252 && load_relaxed(&narrow[1]) == 0, "a byte runs over");
}

/* A reader that relies on what it read, and a writer that has not heard of it. */
static void rely(void)
{
    load_relaxed(&x);
    store_release(&y, 1);
    model_used(&x);
}

static void rely_relaxed(void)
{
    load_relaxed(&x);
    store_relaxed(&y, 1);
    model_used(&x);
}

static void overwrite(void)
{
    if (load_acquire(&y)) store_relaxed(&x, 2);
}

/* ---- waiting ---------------------------------------------------------------- */

static Atomic(uint32_t) word;

static void word_clear(void)
{
    clear();
    atomic_set(&word, 0);
}

static void spin_wait(void)
{
    model_block_until(load_acquire(&x) == 1);
    model_data_read(&datum);
}

static void spin_wait_relaxed(void)
{
    model_block_until(load_relaxed(&x) == 1);
    model_data_read(&datum);
}

static void spin_lock(void)
{
    while (swap_acquire(&x, 1)) atomic_pause();
    model_data_write(&datum);
    store_release(&x, 0);
}

static void spin_for_nothing(void)
{
    model_block_until(load_relaxed(&z) == 1);
}

/* A spinner that was seen to spin goes on between two steps of another. */
static void spin_and_tell(void)
{
    bool spun = false;
    while (load_relaxed(&x) == 0) {
        spun = true;
        store_relaxed(&z, 1);
        atomic_pause();
    }
    model_assert(!spun || add_relaxed(&y, 0), "between two steps");
}

static void two_steps_when_told(void)
{
    model_block_until(load_relaxed(&z) == 1);
    store_relaxed(&x, 1);
    add_relaxed(&y, 1);
}

/* Who spins a bounded number of times goes on in the end, though nothing changed. */
static void spin_bounded(void)
{
    for (int i = 0; i < 2 && load_relaxed(&x) == 0; i++) atomic_pause();
    store_relaxed(&z, 1);
}

static void loop_for_ever(void)
{
    while (load_relaxed(&z) == 0) continue;
}

/* Sleeps while word is 0; who sets it looks at x to see whether anybody sleeps. */
#define SLEEP(name, fence)                                           \
    static void name##_sleep(void)                                   \
    {                                                                \
        store_relaxed(&x, 1);                                        \
        fence;                                                       \
        while (load_relaxed(&word) == 0) model_futex_wait(&word, 0); \
    }                                                                \
    static void name##_wake(void)                                    \
    {                                                                \
        store_relaxed(&word, 1);                                     \
        fence;                                                       \
        if (load_relaxed(&x)) model_futex_wake(&word, 1);            \
    }

SLEEP(sleep_bare, (void)0)
SLEEP(sleep_fences, fence_seq())

static void sleep_blindly(void)
{
    model_futex_wait(&word, 0);
}

static void sleep_and_look(void)
{
    model_futex_wait(&word, 0);
    model_assert(load_relaxed(&word) == 1, "woken, and the reason is not seen");
}

/* The sleeper has announced itself too late for the waker to see it; so the kernel
 * has to see what the waker stored, which takes an order between the two adds. */
#define ANNOUNCE(name, add)                         \
    static void name##_sleep(void)                  \
    {                                               \
        add(&x, 1);                                 \
        model_futex_wait(&word, 0);                 \
    }                                               \
    static void name##_wake(void)                   \
    {                                               \
        store_relaxed(&word, 1);                    \
        if (add(&x, 1)) model_futex_wake(&word, 1); \
    }

ANNOUNCE(announce_relaxed, add_relaxed)
ANNOUNCE(announce_acq_rel, add_acq_rel)

static void wake_only(void)
{
    model_futex_wake(&word, 1);
}

static void wake_one(void)
{
    store_relaxed(&word, 1);
    model_futex_wake(&word, 1);
}

static void wake_all(void)
{
    store_relaxed(&word, 1);
    model_futex_wake(&word, 2);
}

static void choose_two(void)
{
    mine()[0] = (int)model_choose(2);
    mine()[1] = (int)model_choose(3);
    model_assert(mine()[0] != 1 || mine()[1] != 2, "the last of all choices");
}

/* Drepper's mutex 3: 0 free, 1 held, 2 held and somebody may sleep. */
static void lock_and_write(void)
{
    uint32_t was = 0;
    if (!cas_acquire(&word, &was, 1)) {
        while (swap_acquire(&word, 2) != 0) model_futex_wait(&word, 2);
    }
    model_data_write(&datum);
    if (swap_release(&word, 0) == 2) model_futex_wake(&word, 1);
}

/* The same, whose sleepers say that nobody else sleeps. */
static void lock_forgetful(void)
{
    while (swap_acquire(&word, 1) != 0) model_futex_wait(&word, 1);
    model_data_write(&datum);
    if (swap_release(&word, 0) == 2) model_futex_wake(&word, 1);
}

/* ---- a work-stealing deque ---------------------------------------------------
 * Chase and Lev's (SPAA 2005) as Lê, Pop, Cohen and Zappa Nardelli gave it to
 * C11 (PPoPP 2013), with a ring that grows, with each order as weak as the
 * programs below let it be, and faults to be planted. */

static enum fault {
    NONE,
    RING_RELAXED, /* the grown ring is published without an order */
    UNSIGNED,     /* bottom - 1 of an empty deque that has never been used passes for large */
    TAKE_NO_FENCE,
    STEAL_NO_FENCE,
    LAST_NO_CAS,   /* the owner takes the last item as if it were alone */
    PUSH_RELAXED,  /* bottom is published without an order */
    READ_TOO_LATE, /* a thief reads the slot when the CAS has given it back */
} fault;

#define ITEMS 6

struct cl_ring {
    unsigned    size;
    Atomic(int) slots[];
};

static struct {
    Atomic(unsigned)         top, bottom;
    Atomic(struct cl_ring *) ring;
} cl;

static int item[ITEMS + 1], taken[ITEMS + 1], pushed;

static struct cl_ring *cl_ring_make(unsigned size)
{
    struct cl_ring *ring = model_alloc(sizeof *ring + size * sizeof ring->slots[0]);
    ring->size = size;
    return ring;
}

static void cl_push(int i)
{
    unsigned        b = load_relaxed(&cl.bottom), t = load_acquire(&cl.top);
    struct cl_ring *ring = load_relaxed(&cl.ring);
    if (b - t >= ring->size) {
        struct cl_ring *larger = cl_ring_make(2 * ring->size);
        for (unsigned k = t; k != b; k++)
            store_relaxed(&larger->slots[k % larger->size], load_relaxed(&ring->slots[k % ring->size]));
        ring = larger;
        if (fault == RING_RELAXED) store_relaxed(&cl.ring, ring);
        else store_release(&cl.ring, ring);
    }
    store_relaxed(&ring->slots[b % ring->size], i);
    if (fault == PUSH_RELAXED) store_relaxed(&cl.bottom, b + 1);
    else store_release(&cl.bottom, b + 1);
}

static int cl_take(void)
{
    unsigned        b = load_relaxed(&cl.bottom) - 1;
    struct cl_ring *ring = load_relaxed(&cl.ring);
    /* release: a thief that reads this bottom, and not the one that a push
     * stored, sees what the push made visible all the same. */
    store_release(&cl.bottom, b);
    if (fault != TAKE_NO_FENCE) fence_seq();
    unsigned t = load_relaxed(&cl.top);
    int      got = 0;
    bool     some = fault == UNSIGNED ? t <= b : (int)(b - t) >= 0;
    if (some) {
        got = load_relaxed(&ring->slots[b % ring->size]);
        if (t != b) return got;
        if (fault != LAST_NO_CAS && !cas_relaxed(&cl.top, &t, t + 1)) got = 0;
        else if (fault == LAST_NO_CAS) store_relaxed(&cl.top, t + 1);
    }
    store_relaxed(&cl.bottom, b + 1);
    return got;
}

static int cl_steal(void)
{
    unsigned t = load_relaxed(&cl.top);
    if (fault != STEAL_NO_FENCE) fence_seq();
    unsigned b = load_acquire(&cl.bottom);
    if ((int)(b - t) <= 0) return 0;
    struct cl_ring *ring = load_acquire(&cl.ring);
    int             got = fault == READ_TOO_LATE ? 0 : load_relaxed(&ring->slots[t % ring->size]);
    unsigned        was = t;
    /* release: pairs with the acquire in cl_push, which writes the slot again. */
    if (!cas_release(&cl.top, &t, t + 1)) return 0;
    if (fault == READ_TOO_LATE) got = load_relaxed(&ring->slots[was % ring->size]);
    model_used(&ring->slots[was % ring->size]);
    return got;
}

static void deque_setup(enum fault planted, unsigned size, int items)
{
    fault = planted;
    struct cl_ring *ring = cl_ring_make(size);
    atomic_set(&cl.top, 0);
    atomic_set(&cl.bottom, 0);
    atomic_set(&cl.ring, ring);
    memset(item, 0, sizeof item);
    memset(taken, 0, sizeof taken);
    pushed = 0;
    while (pushed < items) cl_push(++pushed);
}

static void push_next(void)
{
    model_data_write(&item[++pushed]);
    cl_push(pushed);
}

static void have(int i)
{
    if (i == 0) return;
    model_assert(i > 0 && i <= ITEMS, "an item that nobody pushed");
    model_assert(taken[i]++ == 0, "an item is taken twice");
    model_data_read(&item[i]);
}

static void deque_check(void)
{
    for (int got; (got = cl_take());) have(got);
    for (int i = 1; i <= pushed; i++) model_assert(taken[i] == 1, "an item is lost");
}

static void thief(void)
{
    have(cl_steal());
}

static void thief_twice(void)
{
    have(cl_steal());
    have(cl_steal());
}

static void owner_grows(void)
{
    push_next();
    push_next();
    push_next();
}

static void owner_pops(void)
{
    push_next();
    push_next();
    have(cl_take());
    have(cl_take());
}

static void owner_takes(void)
{
    have(cl_take());
    have(cl_take());
}

static void owner_wraps(void)
{
    push_next();
    have(cl_take());
    push_next();
    push_next();
}

#define SETUP(name, fault, size, items)        \
    static void name(void)                     \
    {                                          \
        deque_setup((fault), (size), (items)); \
    }

SETUP(ring_of_two, NONE, 2, 0)
SETUP(two_in_ring_of_four, NONE, 4, 2)
SETUP(one_in_ring_of_two, NONE, 2, 1)
SETUP(ring_relaxed, RING_RELAXED, 2, 0)
SETUP(bottom_unsigned, UNSIGNED, 2, 0)
SETUP(take_no_fence, TAKE_NO_FENCE, 4, 2)
SETUP(steal_no_fence, STEAL_NO_FENCE, 4, 2)
SETUP(last_no_cas, LAST_NO_CAS, 2, 0)
SETUP(push_relaxed, PUSH_RELAXED, 2, 0)
SETUP(read_too_late, READ_TOO_LATE, 2, 1)

/* ---- the matrix ------------------------------------------------------------- */

#define FORBIDDEN(title, start, end, ...)                                             \
    {                                                                                 \
        .name = (title), .setup = (start), .check = (end), .threads = { __VA_ARGS__ } \
    }
#define FOUND(title, text, start, end, ...)                                                          \
    {                                                                                                \
        .name = (title), .setup = (start), .check = (end), .threads = {__VA_ARGS__}, .fails = (text) \
    }

static const struct model_program programs[] = {
    FOUND("store buffering, relaxed", "both have missed", clear, sb_check, sb_relaxed_x, sb_relaxed_y),
    FOUND("store buffering, release and acquire", "both have missed", clear, sb_check, sb_release_x, sb_release_y),
    FOUND("store buffering, a seq_cst add between", "both have missed", clear, sb_check, sb_rmw_x, sb_rmw_y),
    FOUND("store buffering, one fence", "both have missed", clear, sb_check, sb_fences_x, sb_relaxed_y),
    FOUND("store buffering, fence against a seq_cst add", "both have missed", clear, sb_check, sb_rmw_x, sb_fences_y),
    FORBIDDEN("store buffering, an add to the same word between", clear, sb_check, sb_same_x, sb_same_y),
    FORBIDDEN("store buffering, fences", clear, sb_check, sb_fences_x, sb_fences_y),
    FORBIDDEN("store buffering, seq_cst", clear, sb_check, sb_seq_x, sb_seq_y),
    FORBIDDEN("store buffering, fence against seq_cst", clear, sb_check, sb_fences_x, sb_seq_y),

    FOUND("message passing, relaxed", "the flag is seen", clear, mp_check, mp_relaxed_send, mp_relaxed_receive),
    FOUND("message passing, no acquire", "the flag is seen", clear, mp_check, mp_release_send, mp_release_receive),
    FOUND("message passing, no release", "the flag is seen", clear, mp_check, mp_acquire_send, mp_acquire_receive),
    FOUND("message passing, one fence", "the flag is seen", clear, mp_check, mp_fence_send_send, mp_fence_send_receive),
    FORBIDDEN("message passing, release and acquire", clear, mp_check, mp_both_send, mp_both_receive),
    FORBIDDEN("message passing, fences", clear, mp_check, mp_fences_send, mp_fences_receive),
    FORBIDDEN("message passing, fence and acquire", clear, mp_check, mp_fences_send, mp_both_receive),

    FORBIDDEN("load buffering is not explored", clear, lb_check, lb_x, lb_y),
    FORBIDDEN("fences in another order are not explored", clear, ff_check, ff_first, ff_between, ff_last),

    FOUND("independent reads, acquire", "in different orders", clear, iriw_check, iriw_acquire_x, iriw_acquire_y,
          iriw_acquire_xy, iriw_acquire_yx),
    FORBIDDEN("independent reads, seq_cst", clear, iriw_check, iriw_seq_x, iriw_seq_y, iriw_seq_xy, iriw_seq_yx),

    FOUND("two times two writes, relaxed", "each first store", clear, ww_check, ww_relaxed_xy, ww_relaxed_yx),
    FOUND("two times two writes, release", "each first store", clear, ww_check, ww_release_xy, ww_release_yx),
    FORBIDDEN("two times two writes, fences", clear, ww_check, ww_fences_xy, ww_fences_yx),
    FORBIDDEN("two times two writes, seq_cst", clear, ww_check, ww_seq_xy, ww_seq_yx),

    FORBIDDEN("coherence of one word", clear, co_check, co_one, co_two, co_read, co_read),
    FORBIDDEN("coherence, a word never goes back", clear, co_back_check, co_one, co_read),
    FORBIDDEN("coherence, one's own store", clear, NULL, co_own, co_two),
    FORBIDDEN("coherence, a store after a load", clear, co_overtaken_check, co_one, co_know_and_store),

    FORBIDDEN("increments", clear, rmw_check, rmw_add, rmw_add, rmw_add),
    FORBIDDEN("increments by CAS", clear, rmw_check, rmw_cas, rmw_cas, rmw_add),
    FOUND("increments by load and store", "an increment is lost", clear, rmw_check, rmw_torn, rmw_add, rmw_add),
    FORBIDDEN("one CAS wins", clear, rmw_once_check, rmw_once, rmw_once, rmw_once),

    FORBIDDEN("release sequence through an add", clear, rs_check, rs_head, rs_add, rs_receive),
    FOUND("release sequence ends at a store", "the flag is seen", clear, rs_check, rs_head, rs_store, rs_receive),
    FOUND("release sequence ends at one's own store", "the flag is seen", clear, rs_check, rs_head_and_store,
          rs_receive),

    FORBIDDEN("release sequence through one's own store, before C++20", clear_c11, rs_check, rs_head_and_store,
              rs_receive),
    FOUND("release sequence ends at another's store, before C++20", "the flag is seen", clear_c11, rs_check, rs_head,
          rs_store, rs_receive),

    FORBIDDEN("asymmetric fence", clear, dekker_check, sb_heavy_x, sb_light_y),
    FORBIDDEN("asymmetric fence, two light sides", clear, dekker_three_check, sb_heavy_x, sb_light_y, sb_light_y),
    FORBIDDEN("asymmetric fence, two heavy sides", clear, dekker_check, sb_heavy_x, sb_heavy_y),
    FOUND("asymmetric fence, light sides only", "both have missed", clear, dekker_check, sb_light_x, sb_light_y),
    FOUND("asymmetric fence, fence instead of the heavy side", "both have missed", clear, dekker_check, sb_fences_x,
          sb_light_y),

    FORBIDDEN("data, release and acquire", clear, NULL, race_send, race_receive),
    FORBIDDEN("data, write after write", clear, NULL, race_send, race_receive_write),
    FORBIDDEN("data, fences", clear, NULL, race_send_fence, race_receive_fence),
    FOUND("data, no release", "data race", clear, NULL, race_send_relaxed, race_receive),
    FOUND("data, a read and then a write", "data race", clear, NULL, race_read_send, race_receive_write),
    FOUND("data, no order at all", "data race", clear, NULL, race_send, race_read),
    FOUND("data, seq_cst fences alone", "data race", clear, NULL, race_fence_write, race_fence_read),
    FORBIDDEN("data, readers only", clear, NULL, race_read, race_read),
    FORBIDDEN("made, then published", set_clear, NULL, set_and_publish, follow),
    FOUND("made, and published too early", "data race with atomic_set", set_clear, NULL, set_and_publish_relaxed,
          follow),
    FOUND("filled, and published too early", "what was there before", set_clear, NULL, fill_and_publish_relaxed,
          follow),
    FOUND("freed while in use", "use of freed memory", set_clear, NULL, free_early, follow),
    FOUND("freed twice", "freed twice", set_clear, NULL, free_twice),
    FOUND("set while in use", "atomic_set of what others use", clear, NULL, load_then_tell, set_when_told),
    FORBIDDEN("bytes, below 0", set_clear, NULL, narrow_wrap),
    FORBIDDEN("bytes", set_clear, narrow_check, narrow_add, narrow_add),
    FORBIDDEN("a read that is relied on", clear, NULL, rely, overwrite),
    FOUND("a read that is relied on, no release", "relied on", clear, NULL, rely_relaxed, overwrite),
    FOUND("a read that is relied on, no order at all", "relied on", clear, NULL, rely, co_two),

    FORBIDDEN("spinning", clear, NULL, spin_wait, race_send),
    FOUND("spinning, no acquire", "data race", clear, NULL, spin_wait_relaxed, race_send),
    FORBIDDEN("spin lock", clear, NULL, spin_lock, spin_lock, spin_lock),
    FOUND("spinning, between two steps", "between two steps", clear, NULL, spin_and_tell, two_steps_when_told),
    FORBIDDEN("spinning a bounded number of times", clear, NULL, spin_bounded, two_steps_when_told),
    FOUND("spinning for what nobody does", "deadlock: a thread waits", clear, NULL, spin_for_nothing, race_send),
    FOUND("an endless loop", "no end", clear, NULL, loop_for_ever, race_send),
    FORBIDDEN("sleep and wake, fences", word_clear, NULL, sleep_fences_sleep, sleep_fences_wake),
    FOUND("sleep and wake, no fences", "lost wake-up", word_clear, NULL, sleep_bare_sleep, sleep_bare_wake),
    FOUND("sleep and wake, no fence in the sleeper", "lost wake-up", word_clear, NULL, sleep_bare_sleep,
          sleep_fences_wake),
    FOUND("sleep and wake, no fence in the waker", "lost wake-up", word_clear, NULL, sleep_fences_sleep,
          sleep_bare_wake),
    FOUND("sleep and wake, adds relaxed", "lost wake-up", word_clear, NULL, announce_relaxed_sleep,
          announce_relaxed_wake),
    FORBIDDEN("sleep and wake, adds acquire and release", word_clear, NULL, announce_acq_rel_sleep,
              announce_acq_rel_wake),
    FORBIDDEN("a sleeper sees why it was woken", word_clear, NULL, sleep_and_look, wake_one),
    FORBIDDEN("a sleeper knows what its waker did", word_clear, NULL, sleep_blindly, wake_one),
    FOUND("a wake that changes nothing", "lost wake-up", word_clear, NULL, sleep_blindly, wake_only),
    FORBIDDEN("two sleepers, both woken", word_clear, NULL, sleep_blindly, sleep_blindly, wake_all),
    FOUND("two sleepers, one woken", "lost wake-up", word_clear, NULL, sleep_blindly, sleep_blindly, wake_one),
    {.name = "a sleeper that may sleep on",
     .setup = word_clear,
     .threads = {sleep_blindly, sleep_blindly, wake_one},
     .sleepers = 3},
    FORBIDDEN("a lock that sleeps", word_clear, NULL, lock_and_write, lock_and_write, lock_and_write),
    FOUND("a lock that forgets its sleepers", "lost wake-up", word_clear, NULL, lock_forgetful, lock_forgetful),
    FOUND("all choices", "the last of all choices", clear, NULL, choose_two),

    FORBIDDEN("deque, growing", ring_of_two, deque_check, owner_grows, thief),
    FORBIDDEN("deque, two takes and two steals", two_in_ring_of_four, deque_check, owner_takes, thief_twice),
    FORBIDDEN("deque, two thieves", ring_of_two, deque_check, owner_pops, thief, thief),
    FORBIDDEN("deque, going round the ring", one_in_ring_of_two, deque_check, owner_wraps, thief),
    FOUND("deque, ring published relaxed", "relied on", ring_relaxed, deque_check, owner_grows, thief),
    FOUND("deque, bottom goes below 0", "nobody pushed", bottom_unsigned, deque_check, owner_takes, thief),
    FOUND("deque, no fence in take", "taken twice", take_no_fence, deque_check, owner_takes, thief_twice),
    FOUND("deque, no fence in steal", "taken twice", steal_no_fence, deque_check, owner_takes, thief_twice),
    FOUND("deque, no CAS for the last item", "taken twice", last_no_cas, deque_check, owner_pops, thief),
    FOUND("deque, bottom published relaxed", "data race", push_relaxed, deque_check, owner_pops, thief),
    FOUND("deque, slot read after the CAS", "relied on", read_too_late, deque_check, owner_wraps, thief),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, programs, COUNT(programs), ":cl_");
}
