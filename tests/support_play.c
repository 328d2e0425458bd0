/* support_play.c - see support_play.h */
#include "support_play.h"

/* ---- places ---------------------------------------------------------------- */

static weft_mutex         shown_lock;
static struct test_place *shown[TEST_SHOWN];

bool test_show(unsigned at, struct test_place *before, struct test_place *after)
{
    weft_mutex_lock(&shown_lock);
    bool done = shown[at] == before;
    if (done) shown[at] = after;
    weft_mutex_unlock(&shown_lock);
    return done;
}

void test_cancel_shown(unsigned at)
{
    weft_mutex_lock(&shown_lock);
    if (shown[at]) {
        atomic_store(&shown[at]->cancelled, true);
        weft_scope_cancel(&shown[at]->scope);
    }
    weft_mutex_unlock(&shown_lock);
}

bool test_was_given(const struct test_place *p, int reason)
{
    for (; p; p = p->shield ? NULL : p->outer) {
        if (reason == -ECANCELED && atomic_load(&p->cancelled)) return true;
        if (reason == -EIO && atomic_load(&p->failed)) return true;
        if (reason == -ETIMEDOUT && p->deadline && weft_now() >= p->deadline) return true;
    }
    return false;
}

/* The reason of where it is just now. */
static void judge_reason(struct test_actor *a, int reason)
{
    struct test_place *p = a->at;

    if (reason) task_check(test_was_given(p, reason));
    task_check(p->told == 0 || reason == p->told);
    p->told = reason;
}

void test_judge(struct test_actor *a, int before, weft_time deadline, int result)
{
    int reason = weft_check();

    judge_reason(a, reason);
    if (before) task_check(result == before);
    if (result == reason) return;
    if (result == -EAGAIN) task_check(deadline == 0);
    else task_check(result == -ETIMEDOUT && deadline != 0 && deadline != WEFT_NEVER && weft_now() >= deadline);
}

weft_time test_any_deadline(struct test_actor *a, bool for_good)
{
    switch (test_random(&a->chance) % 6) {
    case 0: return 0;
    case 1: return 1;
    case 2: return weft_now() + test_random(&a->chance) % (5 * WEFT_US);
    case 3: return weft_now() + test_random(&a->chance) % (100 * WEFT_US);
    default: return for_good || a->at->doomed ? WEFT_NEVER : weft_now() + test_random(&a->chance) % (20 * WEFT_US);
    }
}

/* ---- lives ----------------------------------------------------------------- */

static void live(struct test_actor *a, unsigned turns, int depth);

struct doom {
    struct test_place *place;
    unsigned           yields;
    bool               fails;
};

static int bring_doom(void *arg)
{
    struct doom self = *(struct doom *)arg;

    for (; self.yields > 0; self.yields--) weft_yield();
    atomic_store(self.fails ? &self.place->failed : &self.place->cancelled, true);
    if (self.fails) return -EIO;
    weft_scope_cancel(&self.place->scope);
    return 0;
}

static void live_in_scope(struct test_actor *a, int depth)
{
    struct test_place self = {.outer = a->at, .shield = test_random(&a->chance) % 6 == 0};
    bool              one_root = test_random(&a->chance) % 6 == 0;
    unsigned          at = test_random(&a->chance) % TEST_SHOWN;
    struct doom       doom = {&self, test_random(&a->chance) % 8, test_random(&a->chance) % 2};
    bool              doomed = test_random(&a->chance) % 2;

    if (test_random(&a->chance) % 3 == 0) self.deadline = weft_now() + test_random(&a->chance) % (200 * WEFT_US);
    self.doomed = doomed || self.deadline || (a->at->doomed && !self.shield);
    task_check(weft_scope_open(&self.scope, WEFT_SCOPE(.deadline = self.deadline, .one_root = one_root,
                                                       .shield = self.shield)) == 0);
    a->at = &self;
    bool is_shown = test_show(at, NULL, &self);
    if (doomed) task_check(weft_go(bring_doom, &doom, sizeof doom) == 0);
    live(a, test_random(&a->chance) % 12, depth);
    if (test_random(&a->chance) % 8 == 0) {
        atomic_store(&self.cancelled, true);
        weft_scope_cancel(&self.scope);
        task_check(weft_check() != 0);
    }
    if (is_shown) test_show(at, &self, NULL);
    bool late = self.deadline && weft_now() >= self.deadline;
    int  before = weft_check(), result = weft_scope_close(&self.scope);
    judge_reason(a, result);
    task_check(before == 0 ? result || (!late && !doomed) : result == before);
    a->at = self.outer;
}

struct stand_in {
    struct test_actor *actor;
    struct test_place  place;
    unsigned           turns;
    int                depth;
};

static int live_for_another(void *arg)
{
    struct stand_in *self = arg;

    self->actor->at = &self->place;
    live(self->actor, self->turns, self->depth);
    self->actor->at = self->place.outer;
    return 7;
}

/* Meanwhile the actor is the spawned task, and its spawner has nothing of it. */
static void live_in_task(struct test_actor *a, int depth)
{
    struct stand_in self = {.actor = a, .turns = test_random(&a->chance) % 12, .depth = depth};
    unsigned        yields = test_random(&a->chance) % 8;
    weft_task       task;

    self.place.outer = a->at;
    self.place.doomed = test_random(&a->chance) % 2;
    bool cancels = self.place.doomed;
    if (a->at->doomed) self.place.doomed = true;
    weft_spawn(&task, live_for_another, &self);
    if (cancels) {
        for (; yields > 0; yields--) weft_yield();
        atomic_store(&self.place.cancelled, true);
        weft_cancel(&task);
    }
    task_check(weft_await(&task) == 7);
}

static void live(struct test_actor *a, unsigned turns, int depth)
{
    for (; turns > 0 && a->turns > 0; turns--) {
        a->turns--;
        switch (test_random(&a->chance) % 16) {
        case 0:
        case 1:
            if (!a->is_thread && depth > 0) live_in_scope(a, depth - 1);
            break;
        case 2:
            if (!a->is_thread && depth > 0) live_in_task(a, depth - 1);
            break;
        case 3: weft_yield(); break;
        case 4: test_cancel_shown(test_random(&a->chance) % TEST_SHOWN); break;
        case 5: judge_reason(a, weft_check()); break;
        default:
            if (a->serial) {
                a->serial->acts++;
                atomic_fetch_add(&a->serial->all, 1);
            }
            a->play->act(a);
        }
    }
}

static int live_and_settle(void *arg)
{
    struct test_actor *a = arg;

    a->at = &a->outermost;
    a->is_thread = weft_worker_index() < 0;
    live(a, a->turns, 4);
    a->settled = a->play->settle(a);
    return 0;
}

/* ---- a play ---------------------------------------------------------------- */

static int live_in_gang(void *arg)
{
    return live_and_settle(*(struct test_actor **)arg);
}

static int settle_again(void *arg)
{
    struct test_actor *a = arg;

    a->outermost = (struct test_place){.outer = NULL};
    a->is_thread = weft_worker_index() < 0;
    a->settled = a->play->settle(a);
    return 0;
}

struct foreign {
    weft_runtime      *runtime;
    struct test_actor *actor;
};

static int live_elsewhere(void *arg)
{
    struct foreign *self = arg;

    return weft_runtime_call(self->runtime, live_and_settle, self->actor);
}

struct disturbance {
    const struct test_play *play;
    void                   *stage;
    uint32_t                chance;
};

static int disturb(void *arg)
{
    struct disturbance *self = arg;

    self->play->disturb(self->stage, &self->chance);
    return 0;
}

/* Actors of one scope, which is cancelled at random. */
static void play_gang(struct test_actor *actors, unsigned count, uint32_t *chance)
{
    struct test_place  gang = {.outer = NULL};
    struct test_serial serial = {0};
    bool               one_root = test_random(chance) % 2, cancels = test_random(chance) % 2;
    unsigned           at = test_random(chance) % TEST_SHOWN;

    if (test_random(chance) % 4 == 0) gang.deadline = weft_now() + test_random(chance) % WEFT_MS;
    gang.doomed = cancels || gang.deadline;
    task_check(weft_scope_open(&gang.scope, WEFT_SCOPE(.deadline = gang.deadline, .one_root = one_root)) == 0);
    bool is_shown = test_show(at, NULL, &gang);
    for (unsigned i = 0; i < count; i++) {
        struct test_actor *a = &actors[i];
        a->outermost.outer = &gang;
        a->outermost.doomed = gang.doomed;
        if (one_root) a->serial = &serial;
        task_check(weft_go(live_in_gang, &a, sizeof a) == 0);
    }
    if (cancels) {
        for (unsigned i = test_random(chance) % 64; i > 0; i--) weft_yield();
        atomic_store(&gang.cancelled, true);
        weft_scope_cancel(&gang.scope);
    }
    if (is_shown) test_show(at, &gang, NULL);
    int result = weft_scope_close(&gang.scope);
    task_check(result ? test_was_given(&gang, result) : !cancels);
    task_check(serial.acts == atomic_load(&serial.all));
    for (unsigned i = 0; i < count; i++) actors[i].serial = NULL;
}

static void play_once(const struct test_play *play, weft_runtime *other, uint32_t chance)
{
    struct test_actor  actors[TEST_ACTORS];
    test_side          sides[TEST_ACTORS], disturber;
    struct foreign     foreign = {other, &actors[0]};
    bool               is_task = weft_worker_index() >= 0;
    unsigned           threads = 1 + test_random(&chance) % 3, gang = is_task ? test_random(&chance) % 6 : 0;
    const unsigned     rest = TEST_ACTORS - gang;
    struct disturbance disturbance = {play, play->begin(&chance), test_random(&chance) | 1};

    for (unsigned i = 0; i < TEST_ACTORS; i++)
        actors[i] = (struct test_actor){.play = play,
                                        .stage = disturbance.stage,
                                        .index = i,
                                        .chance = test_random(&chance) | 1,
                                        .turns = play->turns};
    test_side_start(&sides[0], test_random(&chance) % 2, live_elsewhere, &foreign);
    for (unsigned i = 1; i < rest; i++) test_side_start(&sides[i], i <= threads, live_and_settle, &actors[i]);
    if (play->disturb) test_side_start(&disturber, test_random(&chance) % 2, disturb, &disturbance);
    if (gang > 0) play_gang(&actors[rest], gang, &chance);
    for (unsigned i = rest; i < TEST_ACTORS; i++)
        if (!actors[i].settled) test_side_start(&sides[i], false, settle_again, &actors[i]);
        else sides[i] = (test_side){.fn = NULL};
    for (unsigned i = 0; i < TEST_ACTORS; i++) {
        if (i < rest || sides[i].fn) task_check(test_side_end(&sides[i]) == 0);
        task_check(actors[i].settled);
    }
    if (play->disturb) task_check(test_side_end(&disturber) == 0);
    play->end(disturbance.stage);
}

int test_play_often(void *arg)
{
    const struct test_play *play = arg;
    weft_runtime           *other;
    /* Much of it is the system's work, so a sanitizer need not do so much less. */
    size_t times = test_scale(10 * play->times) < play->times ? test_scale(10 * play->times) : play->times;

    task_check(weft_runtime_start(&other, WEFT_OPTIONS(.workers = 1)) == 0);
    for (size_t i = 1; i <= times; i++) play_once(play, other, (uint32_t)i * 2654435761u | 1);
    task_check(weft_runtime_stop(other) == 0);
    return 0;
}
