#include "idle.h"

#define TOP_MASK   UINT64_C(0x7ff)
#define RUN_SHIFT  11
#define RUN_ONE    (UINT64_C(1) << RUN_SHIFT)
#define RUN_MASK   (UINT64_C(0x7ff) << RUN_SHIFT)
#define WATCH_MASK (UINT64_C(3) << 22)
#define NONE       (UINT64_C(0) << 22)
#define AWAKE      (UINT64_C(1) << 22)
#define DOZING     (UINT64_C(2) << 22)
#define SEAT_SHIFT 24
#define SEAT_MASK  (UINT64_C(0x7ff) << SEAT_SHIFT)
#define TAG_ONE    (UINT64_C(1) << 35)

static unsigned running(uint64_t word)
{
    return (unsigned)((word & RUN_MASK) >> RUN_SHIFT);
}

static uint64_t with_watch(uint64_t word, uint64_t what, unsigned seat)
{
    return (word & ~(WATCH_MASK | SEAT_MASK)) | what | (uint64_t)seat << SEAT_SHIFT;
}

void idle_init(struct idle *idle, struct idle_seat *seats, unsigned count, void (*poke)(void *arg), void *arg)
{
    for (unsigned i = 0; i < count; i++) {
        atomic_set(&seats[i].token, 0);
        atomic_set(&seats[i].polls, false);
        atomic_set(&seats[i].hired, false);
        atomic_set(&seats[i].below, 0);
    }
    atomic_set(&idle->closed, false);
    atomic_set(&idle->until, INT64_MAX);
    idle->poke = poke;
    idle->poke_arg = arg;
    idle->seats = seats;
    idle->count = count;
    atomic_set(&idle->word, (uint64_t)count << RUN_SHIFT);
}

unsigned idle_running(struct idle *idle)
{
    return running(load_relaxed(&idle->word));
}

bool idle_dozes(struct idle *idle)
{
    return (load_relaxed(&idle->word) & WATCH_MASK) == DOZING;
}

enum idle_role idle_enter(struct idle *idle, unsigned me)
{
    uint64_t       word = load_relaxed(&idle->word), next;
    enum idle_role role;
    do {
        next = word - RUN_ONE;
        if ((word & WATCH_MASK) == NONE) {
            next = with_watch(next, AWAKE, me + 1);
            role = IDLE_WATCH;
        } else {
            store_relaxed(&idle->seats[me].below, (uint32_t)(word & TOP_MASK));
            next = ((next & ~TOP_MASK) | (me + 1)) + TAG_ONE;
            role = IDLE_SLEEP;
        }
        /* release: pairs with the acquires in idle_leave and wake_one; take_off then sees `below`.  And with the
         * fences in idle_lie_down and idle_leave: the watch then sees the timers that this one has started. */
    } while (!cas_release(&idle->word, &word, next));
    chaos_point();
    return role;
}

static void sleep_in(struct idle_seat *seat, int64_t timeout)
{
    /* acquire: pairs with the release in rouse; what the caller did is seen. */
    while (swap_acquire(&seat->token, 0) == 0) {
        platform_futex_wait(&seat->token, 0, timeout);
        if (timeout >= 0) { /* whether it was woken, the word of the watch tells */
            swap_acquire(&seat->token, 0);
            return;
        }
    }
}

static void rouse(struct idle *idle, unsigned seat)
{
    /* release: pairs with sleep_in.  A swap, not a store: it hands on what others who have roused
     * this seat did, and cannot be overtaken by a token that was used up before. */
    chaos_point();
    swap_seq(&idle->seats[seat].token, 1);
    chaos_point();
    /* seq: pairs with idle_doze_in: either that sees the token, or this that it polls. */
    if (load_seq(&idle->seats[seat].polls)) idle->poke(idle->poke_arg);
    else platform_futex_wake(&idle->seats[seat].token, 1);
}

enum idle_woken idle_sleep(struct idle *idle, unsigned me)
{
    for (;;) {
        sleep_in(&idle->seats[me], -1);
        chaos_point();
        if (idle_closed(idle)) return IDLE_CLOSED;
        /* A token may be an old one: for a watch that found work by itself. */
        if (load_relaxed(&idle->seats[me].hired)) {
            store_relaxed(&idle->seats[me].hired, false);
            return IDLE_RUNS;
        }
        uint64_t word = load_relaxed(&idle->word);
        if ((word & WATCH_MASK) == AWAKE && (word & SEAT_MASK) >> SEAT_SHIFT == me + 1) return IDLE_WATCHES;
    }
}

bool idle_lie_down(struct idle *idle, unsigned me)
{
    uint64_t word = load_relaxed(&idle->word), next;
    store_relaxed(&idle->until, INT64_MAX);
    chaos_point();
    do next = with_watch(word, DOZING, me + 1);
    /* release: pairs with the acquire in idle_expect, for `until`. */
    while (!cas_release(&idle->word, &word, next));
    /* Pairs with the fence in idle_notify, and with idle_enter before idle_expect: either the caller, who looks
     * again now, sees the work or the timer, or whoever made it sees that the watch dozes. */
    fence_seq();
    chaos_point();
    return running(word) == 0;
}

void idle_undoze(struct idle *idle, unsigned me)
{
    uint64_t word = load_relaxed(&idle->word);
    /* Whoever wakes the watch makes it awake first; then there is nothing to do. */
    while ((word & WATCH_MASK) == DOZING && !cas_relaxed(&idle->word, &word, with_watch(word, AWAKE, me + 1))) {
    }
}

void idle_doze(struct idle *idle, unsigned me, int64_t now, int64_t timeout)
{
    if (timeout >= 0) store_relaxed(&idle->until, now + timeout);
    chaos_point();
    sleep_in(&idle->seats[me], timeout);
    chaos_point();
    idle_undoze(idle, me);
}

void idle_doze_in(struct idle *idle, unsigned me, int64_t now, int64_t timeout,
                  void (*sleep)(void *arg, int64_t timeout), void *arg)
{
    struct idle_seat *seat = &idle->seats[me];
    if (timeout >= 0) store_relaxed(&idle->until, now + timeout);
    chaos_point();
    swap_seq(&seat->polls, true); /* pairs with rouse */
    chaos_point();
    if (load_seq(&seat->token) == 0) sleep(arg, timeout);
    chaos_point();
    store_relaxed(&seat->polls, false);
    chaos_point();
    /* A swap, as in rouse; what it had to say the caller sees when it looks at everything now. */
    swap_relaxed(&seat->token, 0);
    idle_undoze(idle, me);
}

/* The word without the topmost sleeper. */
static uint64_t take_off(struct idle *idle, uint64_t word, unsigned *seat)
{
    *seat = (unsigned)(word & TOP_MASK) - 1;
    /* May be read after somebody else has taken that one off: then the tag has
     * changed, and the CAS that follows fails. */
    uint32_t below = load_relaxed(&idle->seats[*seat].below);
    return ((word & ~TOP_MASK) | below) + TAG_ONE;
}

/* The same, and that one is the watch, awake. */
static uint64_t promote(struct idle *idle, uint64_t word, unsigned *seat)
{
    uint64_t next = take_off(idle, word, seat);
    return with_watch(next, AWAKE, *seat + 1);
}

enum idle_left idle_leave(struct idle *idle, bool more)
{
    uint64_t       word = load_acquire(&idle->word), next; /* pairs with idle_enter, for `below` */
    enum idle_left left;
    unsigned       seat = 0;
    do {
        if (!(word & TOP_MASK)) {
            next = with_watch(word, NONE, 0);
            left = IDLE_ALONE;
        } else if (more || running(word) > 0) {
            next = promote(idle, word, &seat);
            left = IDLE_SUCCEEDED;
        } else {
            next = with_watch(word, NONE, 0);
            left = IDLE_UNWATCHED;
        }
        next += RUN_ONE;
    } while (!cas_acquire(&idle->word, &word, next)); /* as above, when it fails */
    if (left == IDLE_SUCCEEDED) rouse(idle, seat);
    /* Pairs with the fence in idle_notify, and with idle_enter before idle_expect: either the caller, who looks
     * again now, sees the work or the timer, or whoever made it sees that nobody watches. */
    if (left == IDLE_UNWATCHED) fence_seq();
    return left;
}

/* `hire`: a sleeper, when the watch is awake. */
static bool wake_one(struct idle *idle, bool hire)
{
    uint64_t word = load_acquire(&idle->word), next; /* pairs with idle_enter, for `below` */
    unsigned seat;
    bool     hired;
    do {
        hired = false;
        if ((word & WATCH_MASK) == DOZING) {
            seat = (unsigned)((word & SEAT_MASK) >> SEAT_SHIFT) - 1;
            next = with_watch(word, AWAKE, seat + 1);
        } else if ((word & WATCH_MASK) == NONE && (word & TOP_MASK)) {
            next = promote(idle, word, &seat);
        } else if (hire && (word & TOP_MASK)) {
            next = take_off(idle, word, &seat) + RUN_ONE;
            hired = true;
        } else {
            return false; /* awake: it looks once more before it dozes; or nobody is idle */
        }
    } while (!cas_acquire(&idle->word, &word, next)); /* as above, when it fails */
    /* Nobody else's to write, as it is in the pile no more; its token shows it. */
    if (hired) store_relaxed(&idle->seats[seat].hired, true);
    rouse(idle, seat);
    return true;
}

bool idle_call(struct idle *idle)
{
    return wake_one(idle, false);
}

bool idle_hire(struct idle *idle)
{
    return wake_one(idle, true);
}

bool idle_expect(struct idle *idle, int64_t when)
{
    chaos_point();
    /* Needs no fence: idle_enter has changed this very word since the timer was started, so the watch's next
     * change of it comes before that one, and is seen here, or after it, and the watch sees the timer.  acquire:
     * pairs with idle_lie_down, for `until`. */
    uint64_t word = load_acquire(&idle->word);
    if ((word & WATCH_MASK) == DOZING && when >= load_relaxed(&idle->until)) return false;
    return idle_call(idle);
}

bool idle_notify(struct idle *idle)
{
    chaos_point();
    fence_seq(); /* pairs with idle_lie_down, and with idle_leave */
    return idle_call(idle);
}

void idle_close(struct idle *idle)
{
    store_relaxed(&idle->closed, true); /* the tokens carry it to those who sleep */
    for (unsigned i = 0; i < idle->count; i++) rouse(idle, i);
}
