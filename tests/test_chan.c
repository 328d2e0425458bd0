/* test_chan.c - what goes into a channel comes out once, whole and in order, or not at all */
#include "support_chan.h"

#include <stdlib.h>
#include <string.h>

#define HOUR (3600 * WEFT_SEC)

static const size_t    capacities[] = {0, 1, 128};
static const weft_time passed[] = {1, 1000, -1, INT64_MIN};

/* What is received when nothing is. */
#define NOTHING (-12345)

/* An error, or what was received; NOTHING is neither. */
static int recv_int(weft_chan *chan, weft_time deadline)
{
    int value = NOTHING;
    int result = weft_recv(chan, &value, deadline);

    if (result == 0) return value;
    task_check(result < 0);
    task_check(value == NOTHING);
    return result;
}

/* ---- bad arguments --------------------------------------------------------------- */

static int call_badly(void *arg)
{
    const weft_time times[] = {0, 1, WEFT_NEVER};
    const size_t    wrong[] = {0, 1, 3, 5, 8, SIZE_MAX};
    weft_chan      *chan = test_make_ints(1);
    char            bytes[16] = {0};

    (void)arg;
    task_check(weft_chan_create(NULL, 4, 1) == -EINVAL);
    task_check(weft_chan_close(NULL) == -EINVAL);
    task_check(weft_chan_len(NULL) == 0);
    weft_chan_destroy(NULL);
    for (int full = 0; full <= 1; full++) {
        for (size_t i = 0; i < TEST_LENGTH(times); i++) {
            task_check(weft_chan_send(NULL, bytes, 4, times[i]) == -EINVAL);
            task_check(weft_chan_recv(NULL, bytes, 4, times[i]) == -EINVAL);
            task_check(weft_chan_send(chan, NULL, 4, times[i]) == -EINVAL);
            for (size_t j = 0; j < TEST_LENGTH(wrong); j++) {
                task_check(weft_chan_send(chan, bytes, wrong[j], times[i]) == -EMSGSIZE);
                task_check(weft_chan_recv(chan, bytes, wrong[j], times[i]) == -EMSGSIZE);
            }
            task_check(weft_chan_recv(chan, NULL, 8, times[i]) == -EMSGSIZE);
        }
        task_check(weft_chan_len(chan) == (size_t)full);
        if (!full) task_check(test_send_int(chan, 7, 0) == 0);
    }
    task_check(recv_int(chan, 0) == 7);
    weft_chan_destroy(chan);

    chan = test_make_chan(0, 1);
    task_check(weft_chan_send(chan, bytes, 1, 0) == -EMSGSIZE);
    task_check(weft_chan_recv(chan, bytes, 1, 0) == -EMSGSIZE);
    task_check(weft_chan_len(chan) == 0);
    weft_chan_destroy(chan);
    return 0;
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    assert_everywhere(call_badly, NULL);
}

/* What no machine holds, and products that wrap round to something small. */
static int create_too_large(void *arg)
{
    const struct {
        size_t size, capacity;
    } cases[] = {
        {SIZE_MAX, 1},         {SIZE_MAX / 2 + 1, 2},   {SIZE_MAX / 2 + 2, 2}, {1, SIZE_MAX},
        {8, SIZE_MAX / 8 + 2}, {SIZE_MAX / 3 + 100, 3}, {SIZE_MAX, SIZE_MAX},
    };

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
        weft_chan *chan = (weft_chan *)&cases;
        task_check(weft_chan_create(&chan, cases[i].size, cases[i].capacity) == -ENOMEM);
        task_check(chan == NULL);
    }
    return 0;
}

static void create_refuses_what_no_memory_holds(void **state)
{
    (void)state;
    assert_everywhere(create_too_large, NULL);
}

/* ---- what arrives ---------------------------------------------------------------- */

/* Every byte depends on the element's number and on where it stands. */
static unsigned char byte_of(unsigned number, size_t at)
{
    return (unsigned char)(number * 37 + at * 11 + at / 251);
}

static unsigned char *new_block(size_t size)
{
    unsigned char *block = malloc(size);

    if (!block && size > 0) abort();
    return block;
}

struct stream {
    weft_chan *chan;
    size_t     size;
    unsigned   count;
};

/* Each from a block of its own, which is gone when the call returns. */
static int send_stream(void *arg)
{
    const struct stream *self = arg;

    for (unsigned number = 0; number < self->count; number++) {
        unsigned char *elem = new_block(self->size);
        for (size_t i = 0; i < self->size; i++) elem[i] = byte_of(number, i);
        task_check(weft_chan_send(self->chan, elem, self->size, WEFT_NEVER) == 0);
        if (elem) memset(elem, 255, self->size);
        free(elem);
    }
    return 0;
}

static int recv_stream(void *arg)
{
    const struct stream *self = arg;

    for (unsigned number = 0; number < self->count; number++) {
        unsigned char *elem = new_block(self->size);
        size_t         wrong = 0;
        if (elem) memset(elem, 255, self->size);
        task_check(weft_chan_recv(self->chan, elem, self->size, WEFT_NEVER) == 0);
        for (size_t i = 0; i < self->size; i++) wrong += elem[i] != byte_of(number, i);
        task_check(wrong == 0);
        free(elem);
    }
    return 0;
}

static int stream_all(void *arg)
{
    static const size_t sizes[] = {0, 1, 4, 8, 24, 4096, 1 << 20};
    const bool          thread = *(const bool *)arg;

    for (size_t i = 0; i < TEST_LENGTH(sizes); i++)
        for (size_t j = 0; j < TEST_LENGTH(capacities); j++)
            for (int sends = 0; sends <= 1; sends++) {
                struct stream stream = {test_make_chan(sizes[i], capacities[j]), sizes[i], sizes[i] > 4096 ? 4 : 300};
                test_side     side;
                test_side_start(&side, thread, sends ? recv_stream : send_stream, &stream);
                (sends ? send_stream : recv_stream)(&stream);
                task_check(test_side_end(&side) == 0);
                task_check(weft_chan_len(stream.chan) == 0);
                weft_chan_destroy(stream.chan);
            }
    return 0;
}

static void elements_arrive_whole_and_in_order(void **state)
{
    (void)state;
    assert_everywhere(stream_all, &(bool){false});
    assert_in_tasks(stream_all, &(bool){true});
}

/* A size says nothing about alignment. */
static int stream_unaligned(void *arg)
{
    (void)arg;
    for (size_t size = 2; size <= 32; size += size < 8 ? 1 : 8)
        for (size_t capacity = 0; capacity <= 2; capacity += 2) {
            weft_chan    *chan = test_make_chan(size, capacity);
            unsigned char from[64], into[64];
            test_side     side;
            struct stream stream = {chan, size, 8};

            test_side_start(&side, false, recv_stream, &stream);
            for (unsigned number = 0; number < 8; number++) {
                for (size_t i = 0; i < size; i++) from[number + i] = byte_of(number, i);
                task_check(weft_chan_send(chan, from + number, size, WEFT_NEVER) == 0);
            }
            task_check(test_side_end(&side) == 0);

            test_side_start(&side, false, send_stream, &stream);
            for (unsigned number = 0; number < 8; number++) {
                memset(into, 255, sizeof into);
                task_check(weft_chan_recv(chan, into + 1 + number, size, WEFT_NEVER) == 0);
                for (size_t i = 0; i < size; i++) task_check(into[1 + number + i] == byte_of(number, i));
                task_check(into[number] == 255 && into[1 + number + size] == 255);
            }
            task_check(test_side_end(&side) == 0);
            weft_chan_destroy(chan);
        }
    return 0;
}

static void elements_may_lie_anywhere(void **state)
{
    (void)state;
    assert_everywhere(stream_unaligned, NULL);
}

/* Against a model: sends and receives that only try, so that the ring goes round. */
static int try_at_random(void *arg)
{
    uint32_t chance = 7;

    (void)arg;
    for (unsigned capacity = 1; capacity <= 9; capacity++) {
        weft_chan *chan = test_make_ints((size_t)capacity);
        int        sent = 0, received = 0;
        for (size_t step = 0; step < test_scale(5000); step++) {
            if (test_random(&chance) % 2) {
                bool room = sent - received < (int)capacity;
                task_check(test_send_int(chan, sent, 0) == (room ? 0 : -EAGAIN));
                sent += room;
            } else {
                task_check(recv_int(chan, 0) == (received < sent ? received : -EAGAIN));
                received += received < sent;
            }
            task_check(weft_chan_len(chan) == (size_t)(sent - received));
        }
        weft_chan_destroy(chan); /* with what is in it */
    }
    return 0;
}

static void tries_agree_with_a_queue(void **state)
{
    (void)state;
    assert_everywhere(try_at_random, NULL);
}

static int fill_and_empty(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(capacities); i++) {
        int        capacity = (int)capacities[i];
        weft_chan *chan = test_make_ints(capacities[i]);
        for (int n = 0; n < capacity; n++) task_check(test_send_int(chan, n, WEFT_NEVER) == 0);
        task_check(weft_chan_len(chan) == capacities[i]);
        task_check(test_send_int(chan, 0, 0) == -EAGAIN);
        for (int n = 0; n < capacity; n++) task_check(recv_int(chan, WEFT_NEVER) == n);
        task_check(weft_chan_len(chan) == 0);
        task_check(recv_int(chan, 0) == -EAGAIN);
        weft_chan_destroy(chan);
    }
    return 0;
}

static void capacity_is_what_was_asked_for(void **state)
{
    (void)state;
    assert_everywhere(fill_and_empty, NULL);
}

static int drop_stream(void *arg)
{
    const struct stream *self = arg;

    for (unsigned i = 0; i < self->count; i++)
        task_check(weft_chan_recv(self->chan, NULL, self->size, WEFT_NEVER) == 0);
    return 0;
}

static int drop(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(capacities); i++)
        for (int sends = 0; sends <= 1; sends++) {
            struct stream stream = {test_make_chan(24, capacities[i]), 24, 300};
            test_side     side;
            test_side_start(&side, false, sends ? drop_stream : send_stream, &stream);
            (sends ? send_stream : drop_stream)(&stream);
            task_check(test_side_end(&side) == 0);
            task_check(weft_chan_recv(stream.chan, NULL, 24, 0) == -EAGAIN);
            weft_chan_destroy(stream.chan);
        }
    return 0;
}

static void null_drops_what_is_received(void **state)
{
    (void)state;
    assert_everywhere(drop, NULL);
}

static int count_tokens(void *arg)
{
    weft_chan *chan = test_make_chan(0, 3);
    char       byte = 'x';

    (void)arg;
    for (int i = 0; i < 3; i++) task_check(weft_chan_send(chan, i == 1 ? &byte : NULL, 0, 0) == 0);
    task_check(weft_chan_send(chan, NULL, 0, 0) == -EAGAIN);
    task_check(weft_chan_len(chan) == 3);
    for (int i = 0; i < 3; i++) task_check(weft_chan_recv(chan, i == 1 ? &byte : NULL, 0, 0) == 0);
    task_check(weft_chan_recv(chan, NULL, 0, 0) == -EAGAIN);
    task_check(byte == 'x');
    weft_chan_destroy(chan);
    return 0;
}

static void elements_of_no_size_are_counted(void **state)
{
    (void)state;
    assert_everywhere(count_tokens, NULL);
}

/* What was done before a send and before a close is seen; ThreadSanitizer would tell. */
struct letter {
    int text[4];
};

static int write_letters(void *arg)
{
    weft_chan *chan = arg;

    for (int i = 0; i < 200; i++) {
        struct letter *letter = malloc(sizeof *letter);
        if (!letter) abort();
        for (int j = 0; j < 4; j++) letter->text[j] = i + j;
        task_check(weft_send(chan, &letter, WEFT_NEVER) == 0);
    }
    return 0;
}

struct ledger {
    weft_chan *chan;
    int        total; /* written before the close, read after it */
};

static int close_ledger(void *arg)
{
    struct ledger *self = arg;

    self->total = 99;
    task_check(weft_chan_close(self->chan) == 0);
    return 0;
}

static int read_letters(void *arg)
{
    const bool thread = *(const bool *)arg;

    for (size_t c = 0; c < TEST_LENGTH(capacities); c++) {
        weft_chan    *chan = test_make_chan(sizeof(struct letter *), capacities[c]);
        struct ledger ledger = {test_make_ints(capacities[c]), 0};
        test_side     side;
        test_side_start(&side, thread, write_letters, chan);
        for (int i = 0; i < 200; i++) {
            struct letter *letter = NULL;
            task_check(weft_recv(chan, &letter, WEFT_NEVER) == 0);
            for (int j = 0; letter && j < 4; j++) task_check(letter->text[j] == i + j);
            free(letter);
        }
        task_check(test_side_end(&side) == 0);
        weft_chan_destroy(chan);

        test_side_start(&side, thread, close_ledger, &ledger);
        task_check(recv_int(ledger.chan, WEFT_NEVER) == -EPIPE);
        task_check(ledger.total == 99);
        task_check(test_side_end(&side) == 0);
        weft_chan_destroy(ledger.chan);
    }
    return 0;
}

static void what_came_before_is_seen(void **state)
{
    (void)state;
    assert_everywhere(read_letters, &(bool){false});
    assert_in_tasks(read_letters, &(bool){true});
}

/* ---- deadlines --------------------------------------------------------------------- */

static int op_send(weft_chan *chan, weft_time deadline)
{
    return test_send_int(chan, 5, deadline);
}

static int op_drop(weft_chan *chan, weft_time deadline)
{
    return weft_chan_recv(chan, NULL, sizeof(int), deadline);
}

typedef int operation(weft_chan *chan, weft_time deadline);

static void check_gives_up(operation *op, weft_chan *chan)
{
    size_t length = weft_chan_len(chan);

    task_check(op(chan, 0) == -EAGAIN);
    for (size_t i = 0; i < TEST_LENGTH(passed); i++) task_check(op(chan, passed[i]) == -ETIMEDOUT);
    task_check(op(chan, weft_now()) == -ETIMEDOUT);
    for (int i = 0; i < 5; i++) {
        weft_time until = weft_now() + (i + 1) * 300 * WEFT_US;
        task_check(op(chan, until) == -ETIMEDOUT);
        task_check(weft_now() >= until);
    }
    task_check(op(chan, 0) == -EAGAIN);
    task_check(weft_chan_len(chan) == length);
}

static int give_up(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(capacities); i++) {
        weft_chan *chan = test_make_ints(capacities[i]);
        check_gives_up(recv_int, chan);
        check_gives_up(op_drop, chan);
        for (size_t n = 0; n < capacities[i]; n++) task_check(test_send_int(chan, 1, 0) == 0);
        check_gives_up(op_send, chan);
        weft_chan_destroy(chan);
    }
    return 0;
}

static void who_is_too_late_gives_up(void **state)
{
    (void)state;
    assert_everywhere(give_up, NULL);
}

static int wait_to_recv(void *arg)
{
    return recv_int(arg, WEFT_NEVER);
}

static int wait_to_send(void *arg)
{
    return test_send_int(arg, 5, WEFT_NEVER);
}

/* With a side that waits, or soon will. */
static int meet_late(void *arg)
{
    const bool thread = *(const bool *)arg;

    for (size_t i = 0; i < TEST_LENGTH(passed); i++) {
        weft_chan *chan = test_make_ints(0);
        test_side  side;
        int        result;

        test_side_start(&side, thread, wait_to_recv, chan);
        task_until((result = test_send_int(chan, 6, passed[i])) != -ETIMEDOUT);
        task_check(result == 0);
        task_check(test_side_end(&side) == 6);
        test_side_start(&side, thread, wait_to_recv, chan);
        task_until((result = test_send_int(chan, 7, 0)) != -EAGAIN);
        task_check(result == 0);
        task_check(test_side_end(&side) == 7);

        test_side_start(&side, thread, wait_to_send, chan);
        task_until((result = recv_int(chan, passed[i])) != -ETIMEDOUT);
        task_check(result == 5);
        task_check(test_side_end(&side) == 0);
        test_side_start(&side, thread, wait_to_send, chan);
        task_until((result = recv_int(chan, 0)) != -EAGAIN);
        task_check(result == 5);
        task_check(test_side_end(&side) == 0);
        weft_chan_destroy(chan);
    }
    return 0;
}

static int do_late(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(passed); i++) {
        weft_chan *chan = test_make_ints(2);
        task_check(test_send_int(chan, 1, passed[i]) == 0);
        task_check(test_send_int(chan, 2, passed[i]) == 0);
        task_check(recv_int(chan, passed[i]) == 1);
        task_check(weft_chan_close(chan) == 0);
        task_check(test_send_int(chan, 2, passed[i]) == -EPIPE);
        task_check(recv_int(chan, passed[i]) == 2);
        task_check(recv_int(chan, passed[i]) == -EPIPE);
        weft_chan_destroy(chan);
    }
    return 0;
}

static void what_can_be_done_at_once_is_never_too_late(void **state)
{
    (void)state;
    assert_everywhere(do_late, NULL);
    assert_everywhere(meet_late, &(bool){false});
    assert_in_tasks(meet_late, &(bool){true});
}

static int recv_by(void *chan)
{
    return recv_int(chan, weft_now() + HOUR); /* a thread's clock is not the one of a task with a seed */
}

/* A deadline that is far away keeps nobody from anything. */
static int meet_early(void *arg)
{
    const bool thread = *(const bool *)arg;

    for (int i = 0; i < 100; i++) {
        weft_chan *chan = test_make_ints(0);
        test_side  side;
        test_side_start(&side, thread, recv_by, chan);
        task_check(test_send_int(chan, i, weft_now() + HOUR) == 0);
        task_check(test_side_end(&side) == i);
        weft_chan_destroy(chan);
    }
    return 0;
}

static void far_deadlines_do_not_matter(void **state)
{
    (void)state;
    assert_everywhere(meet_early, &(bool){false});
    assert_in_tasks(meet_early, &(bool){true});
}

/* ---- cancelled ----------------------------------------------------------------------- */

static int give_back(void *arg)
{
    return *(int *)arg;
}

/* The calling task is cancelled for the reason. */
static void check_cancelled(int reason)
{
    const weft_time times[] = {0, 1, -1, weft_now(), weft_now() + HOUR, WEFT_NEVER};
    weft_chan      *empty = test_make_ints(1);
    weft_chan      *full = test_make_ints(1);
    weft_chan      *nobody = test_make_ints(0);
    weft_chan      *closed = test_make_ints(1);

    task_check(test_send_int(full, 3, 0) == 0);
    weft_chan_close(closed);
    for (size_t i = 0; i < TEST_LENGTH(times); i++) {
        task_check(weft_check() == reason);
        task_check(recv_int(empty, times[i]) == reason);
        task_check(test_send_int(full, 9, times[i]) == reason);
        task_check(recv_int(nobody, times[i]) == reason);
        task_check(test_send_int(nobody, 9, times[i]) == reason);
        /* What can be done at once is done. */
        task_check(test_send_int(empty, 4, times[i]) == 0);
        task_check(recv_int(empty, times[i]) == 4);
        task_check(recv_int(full, times[i]) == 3);
        task_check(test_send_int(full, 3, times[i]) == 0);
        task_check(test_send_int(closed, 9, times[i]) == -EPIPE);
        task_check(recv_int(closed, times[i]) == -EPIPE);
    }
    task_check(weft_chan_len(empty) == 0);
    task_check(weft_chan_len(full) == 1);
    weft_chan_destroy(empty);
    weft_chan_destroy(full);
    weft_chan_destroy(nobody);
    weft_chan_destroy(closed);
}

static int check_in_cancelled_task(void *arg)
{
    (void)arg;
    task_until(weft_check() != 0);
    check_cancelled(-ECANCELED);
    return 0;
}

static int be_cancelled(void *arg)
{
    weft_scope scope, inner;
    weft_task  task;

    (void)arg;
    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_scope_cancel(&scope);
    check_cancelled(-ECANCELED);
    task_check(weft_scope_open(&inner, NULL) == 0);
    check_cancelled(-ECANCELED);
    task_check(weft_scope_close(&inner) == -ECANCELED);
    task_check(weft_scope_close(&scope) == -ECANCELED);

    task_check(weft_scope_open(&scope, NULL) == 0);
    task_check(weft_scope_go(&scope, give_back, &(int){-EIO}, sizeof(int)) == 0);
    task_until(weft_check() != 0);
    check_cancelled(-EIO);
    task_check(weft_scope_close(&scope) == -EIO);

    task_check(weft_scope_open(&scope, WEFT_SCOPE(.deadline = weft_now() + WEFT_MS)) == 0);
    task_until(weft_check() != 0);
    check_cancelled(-ETIMEDOUT);
    task_check(weft_scope_close(&scope) == -ETIMEDOUT);

    weft_spawn(&task, check_in_cancelled_task, NULL);
    weft_cancel(&task);
    task_check(weft_await(&task) == 0);

    /* It was the scope's, and is over. */
    weft_chan *chan = test_make_ints(0);
    task_check(recv_int(chan, 0) == -EAGAIN);
    task_check(recv_int(chan, 1) == -ETIMEDOUT);
    weft_chan_destroy(chan);
    return 0;
}

static void cancelled_calls_return_the_reason(void **state)
{
    (void)state;
    assert_in_tasks(be_cancelled, NULL);
}

/* The waits below are on one worker, where who was given the time to wait does wait. */
static void assert_on_one_worker(weft_fn *fn, void *arg)
{
    assert_int_equal(test_run(fn, arg, WEFT_OPTIONS(.workers = 1)), 0);
    for (uint64_t seed = 1; seed <= 5; seed++) assert_int_equal(test_run(fn, arg, WEFT_OPTIONS(.seed = seed)), 0);
}

struct waiting {
    weft_chan *chan;
    int        value; /* to send */
    int        result;
};

static int send_value(void *arg)
{
    struct waiting *self = arg;

    self->result = test_send_int(self->chan, self->value, WEFT_NEVER);
    return 0;
}

static int recv_value(void *arg)
{
    struct waiting *self = arg;

    self->result = recv_int(self->chan, WEFT_NEVER);
    return 0;
}

enum { WAITERS = 7 };

static void start_waiters(weft_task *tasks, struct waiting *waits, weft_fn *fn, weft_chan *chan)
{
    for (int i = 0; i < WAITERS; i++) {
        waits[i] = (struct waiting){chan, i, 1};
        weft_spawn(&tasks[i], fn, &waits[i]);
        test_let_run();
    }
}

static int serve_in_order(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity <= 3; capacity++) {
        weft_chan     *chan = test_make_ints(capacity);
        weft_task      tasks[WAITERS];
        struct waiting waits[WAITERS];

        start_waiters(tasks, waits, recv_value, chan);
        for (int i = 0; i < WAITERS; i++) {
            task_check(test_send_int(chan, 100 + i, 0) == 0);
            task_check(weft_chan_len(chan) == 0);
        }
        for (int i = 0; i < WAITERS; i++) {
            weft_await(&tasks[i]);
            task_check(waits[i].result == 100 + i);
        }

        for (size_t i = 0; i < capacity; i++) task_check(test_send_int(chan, -1 - (int)i, 0) == 0);
        start_waiters(tasks, waits, send_value, chan);
        task_check(weft_chan_len(chan) == capacity);
        for (size_t i = 0; i < capacity; i++) task_check(recv_int(chan, 0) == -1 - (int)i);
        for (int i = 0; i < WAITERS; i++) task_check(recv_int(chan, 0) == i);
        task_check(recv_int(chan, 0) == -EAGAIN);
        for (int i = 0; i < WAITERS; i++) {
            weft_await(&tasks[i]);
            task_check(waits[i].result == 0);
        }
        weft_chan_destroy(chan);
    }
    return 0;
}

static void who_waits_first_is_served_first(void **state)
{
    (void)state;
    assert_on_one_worker(serve_in_order, NULL);
}

/* From the middle, then from both ends, until nobody waits. */
static const int leaving[WAITERS] = {3, 0, 6, 4, 1, 5, 2};

static int cancel_waiters(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity <= 2; capacity++)
        for (int leave = 0; leave <= WAITERS; leave++) {
            weft_chan     *chan = test_make_ints(capacity);
            weft_task      tasks[WAITERS];
            struct waiting waits[WAITERS];
            bool           left[WAITERS] = {false};

            start_waiters(tasks, waits, recv_value, chan);
            for (int i = 0; i < leave; i++) {
                weft_cancel(&tasks[leaving[i]]);
                weft_await(&tasks[leaving[i]]);
                task_check(waits[leaving[i]].result == -ECANCELED);
                left[leaving[i]] = true;
            }
            for (int i = 0; i < WAITERS; i++) {
                if (left[i]) continue;
                task_check(test_send_int(chan, 100 + i, 0) == 0);
                weft_await(&tasks[i]);
                task_check(waits[i].result == 100 + i);
            }
            task_check(recv_int(chan, 0) == -EAGAIN);

            for (size_t i = 0; i < capacity; i++) task_check(test_send_int(chan, 50, 0) == 0);
            start_waiters(tasks, waits, send_value, chan);
            for (int i = 0; i < leave; i++) {
                weft_cancel(&tasks[leaving[i]]);
                weft_await(&tasks[leaving[i]]);
                task_check(waits[leaving[i]].result == -ECANCELED);
            }
            for (size_t i = 0; i < capacity; i++) task_check(recv_int(chan, 0) == 50);
            for (int i = 0; i < WAITERS; i++)
                if (!left[i]) task_check(recv_int(chan, 0) == i);
            task_check(recv_int(chan, 0) == -EAGAIN);
            for (int i = 0; i < WAITERS; i++)
                if (!left[i]) weft_await(&tasks[i]);
            weft_chan_destroy(chan);
        }
    return 0;
}

static void cancelled_waits_move_nothing(void **state)
{
    (void)state;
    assert_on_one_worker(cancel_waiters, NULL);
}

/* ---- closing ----------------------------------------------------------------------------- */

static int close_twice(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(capacities); i++) {
        const weft_time times[] = {0, 1, weft_now() + HOUR, WEFT_NEVER};
        weft_chan      *chan = test_make_ints(capacities[i]);
        int             count = (int)capacities[i];
        for (int n = 0; n < count; n++) task_check(test_send_int(chan, n, 0) == 0);
        task_check(weft_chan_close(chan) == 0);
        task_check(weft_chan_close(chan) == -EPIPE);
        for (size_t t = 0; t < TEST_LENGTH(times); t++) task_check(test_send_int(chan, 1, times[t]) == -EPIPE);
        task_check(weft_chan_len(chan) == capacities[i]);
        for (int n = 0; n < count; n++) {
            task_check(recv_int(chan, times[n % 4]) == n);
            task_check(test_send_int(chan, 1, 0) == -EPIPE);
        }
        for (size_t t = 0; t < TEST_LENGTH(times); t++) {
            task_check(recv_int(chan, times[t]) == -EPIPE);
            task_check(weft_chan_recv(chan, NULL, sizeof(int), times[t]) == -EPIPE);
        }
        task_check(weft_chan_close(chan) == -EPIPE);
        weft_chan_destroy(chan);
    }
    return 0;
}

static void closed_channels_empty_and_take_nothing(void **state)
{
    (void)state;
    assert_everywhere(close_twice, NULL);
}

/* Tasks and threads that wait, or come when it is too late. */
static int close_on_all(void *arg)
{
    enum { SIDES = 6 };
    test_side sides[SIDES];

    (void)arg;
    for (unsigned round = 0; round < 60; round++)
        for (size_t capacity = 0; capacity <= 3; capacity += 3) {
            weft_chan *chan = test_make_ints(capacity);
            for (int i = 0; i < SIDES; i++) test_side_start(&sides[i], i % 3 == 2, wait_to_recv, chan);
            for (unsigned i = 0; i < round; i++) weft_yield();
            task_check(weft_chan_close(chan) == 0);
            for (int i = 0; i < SIDES; i++) task_check(test_side_end(&sides[i]) == -EPIPE);
            weft_chan_destroy(chan);

            chan = test_make_ints(capacity);
            for (size_t i = 0; i < capacity; i++) task_check(test_send_int(chan, (int)i, 0) == 0);
            for (int i = 0; i < SIDES; i++) test_side_start(&sides[i], i % 3 == 2, wait_to_send, chan);
            for (unsigned i = 0; i < round; i++) weft_yield();
            task_check(weft_chan_close(chan) == 0);
            for (int i = 0; i < SIDES; i++) task_check(test_side_end(&sides[i]) == -EPIPE);
            for (size_t i = 0; i < capacity; i++) task_check(recv_int(chan, 0) == (int)i);
            task_check(recv_int(chan, WEFT_NEVER) == -EPIPE);
            weft_chan_destroy(chan);
        }
    return 0;
}

static void close_ends_all_waits(void **state)
{
    (void)state;
    assert_everywhere(close_on_all, NULL);
}

/* ---- lifetimes --------------------------------------------------------------------------- */

/* The other side does to each channel that it is handed what its function says. */
struct handing {
    _Atomic(weft_chan *) chan;
    atomic_bool          over;
    operation           *op;
    int                  expected;
};

static int handle(void *arg)
{
    struct handing *self = arg;

    while (!atomic_load(&self->over)) {
        weft_chan *chan = atomic_exchange(&self->chan, NULL);
        if (chan) task_check(self->op(chan, WEFT_NEVER) == self->expected);
        else weft_yield();
    }
    return 0;
}

static int op_close(weft_chan *chan, weft_time deadline)
{
    (void)deadline;
    return weft_chan_close(chan);
}

/* Sees the effect of the other side's call, and destroys at once. */
static void see_send(struct handing *handing, size_t capacity)
{
    weft_chan *chan = test_make_ints(capacity);

    atomic_store(&handing->chan, chan);
    task_check(recv_int(chan, WEFT_NEVER) == 5);
    weft_chan_destroy(chan);
}

static void see_close(struct handing *handing, size_t capacity)
{
    weft_chan *chan = test_make_ints(capacity);

    atomic_store(&handing->chan, chan);
    task_check(recv_int(chan, WEFT_NEVER) == -EPIPE);
    weft_chan_destroy(chan);
}

static void see_recv(struct handing *handing, size_t capacity)
{
    weft_chan *chan = test_make_ints(capacity);

    for (size_t i = 0; i < capacity; i++) task_check(test_send_int(chan, 8, 0) == 0);
    atomic_store(&handing->chan, chan);
    task_check(test_send_int(chan, 8, WEFT_NEVER) == 0); /* there was no room before the receive */
    weft_chan_destroy(chan);
}

static int destroy_at_once(void *arg)
{
    static void (*const see[])(struct handing *, size_t) = {see_send, see_close, see_recv};
    static operation *const ops[] = {op_send, op_close, op_drop};
    const bool              thread = *(const bool *)arg;

    for (size_t i = 0; i < TEST_LENGTH(see); i++)
        for (size_t capacity = 0; capacity <= 2; capacity++) {
            struct handing handing = {.op = ops[i]};
            test_side      side;
            test_side_start(&side, thread, handle, &handing);
            for (size_t round = 0; round < test_scale(3000); round++) see[i](&handing, capacity);
            atomic_store(&handing.over, true);
            task_check(test_side_end(&side) == 0);
        }
    return 0;
}

static void who_has_seen_the_effect_may_destroy(void **state)
{
    (void)state;
    assert_everywhere(destroy_at_once, &(bool){false});
    assert_in_tasks(destroy_at_once, &(bool){true});
}

struct last_one {
    weft_chan *chan;
    operation *op;
    atomic_int left;
};

static int leave_last(void *arg)
{
    struct last_one *self = arg;

    task_check(self->op(self->chan, WEFT_NEVER) == -EPIPE);
    if (atomic_fetch_sub(&self->left, 1) == 1) weft_chan_destroy(self->chan);
    return 0;
}

static int destroy_by_last(void *arg)
{
    enum { SIDES = 3 };
    const bool thread = *(const bool *)arg;

    for (size_t round = 0; round < test_scale(thread ? 200 : 2000); round++) {
        bool            sends = round % 2;
        struct last_one last = {test_make_ints(sends), sends ? op_send : op_drop, SIDES};
        test_side       sides[SIDES];
        if (sends) task_check(test_send_int(last.chan, 1, 0) == 0);
        for (int i = 0; i < SIDES; i++) test_side_start(&sides[i], thread && i > 0, leave_last, &last);
        for (size_t i = 0; i < round % 8; i++) weft_yield();
        task_check(weft_chan_close(last.chan) == 0);
        for (int i = 0; i < SIDES; i++) task_check(test_side_end(&sides[i]) == 0);
    }
    return 0;
}

static void last_one_woken_by_close_may_destroy(void **state)
{
    (void)state;
    assert_in_tasks(destroy_by_last, &(bool){false});
    assert_everywhere(destroy_by_last, &(bool){true});
}

static int destroy_under_waiter(void *arg)
{
    weft_fn   *waits = *(weft_fn **)arg;
    weft_chan *chan = test_make_ints(0);
    weft_task  task;

    weft_spawn(&task, waits, chan);
    test_let_run();
    weft_chan_destroy(chan);
    return 0;
}

static int part_destroy_under_receiver(void)
{
    return weft_run(destroy_under_waiter, &(weft_fn *){wait_to_recv}, WEFT_OPTIONS(.workers = 1, .deadlock = -1));
}

static int part_destroy_under_sender(void)
{
    return weft_run(destroy_under_waiter, &(weft_fn *){wait_to_send}, WEFT_OPTIONS(.workers = 1, .deadlock = -1));
}

static void destroy_under_waiters_stops_the_program(void **state)
{
    (void)state;
    assert_part_stops("destroy_under_receiver", "a channel is destroyed");
    assert_part_stops("destroy_under_sender", "a channel is destroyed");
}

/* ---- over runtimes ----------------------------------------------------------------------- */

static int echo(void *arg)
{
    weft_chan **chans = *(weft_chan ***)arg;
    int         value;

    while ((value = recv_int(chans[0], WEFT_NEVER)) != -EPIPE)
        task_check(test_send_int(chans[1], value + 1, WEFT_NEVER) == 0);
    task_check(weft_chan_close(chans[1]) == 0);
    return 0;
}

static int talk_to_other_runtime(void *arg)
{
    for (size_t i = 0; i < TEST_LENGTH(capacities); i++) {
        weft_chan    *chans[2] = {test_make_ints(capacities[i]), test_make_ints(capacities[i])};
        weft_chan   **handed = chans;
        weft_runtime *other;

        task_check(weft_runtime_start(&other, WEFT_OPTIONS(.workers = test_workers())) == 0);
        task_check(weft_runtime_go(other, echo, &handed, sizeof handed) == 0);
        for (int n = 0; n < (int)test_scale(2000); n++) {
            task_check(test_send_int(chans[0], n, WEFT_NEVER) == 0);
            task_check(recv_int(chans[1], WEFT_NEVER) == n + 1);
        }
        task_check(weft_chan_close(chans[0]) == 0);
        task_check(recv_int(chans[1], WEFT_NEVER) == -EPIPE);
        task_check(weft_runtime_stop(other) == 0);
        weft_chan_destroy(chans[0]);
        weft_chan_destroy(chans[1]);
    }
    (void)arg;
    return 0;
}

static void runtimes_talk_to_each_other(void **state)
{
    (void)state;
    assert_everywhere(talk_to_other_runtime, NULL);
}

static int send_three(void *arg)
{
    for (int i = 0; i < 3; i++) task_check(test_send_int(arg, i, 0) == 0);
    return 0;
}

static int recv_one(void *arg)
{
    return recv_int(arg, 0);
}

static void channel_outlives_runtimes(void **state)
{
    (void)state;
    weft_chan *chan = test_make_ints(3);

    assert_int_equal(test_run_workers(send_three, chan), 0);
    assert_int_equal(test_run_workers(recv_one, chan), 0);
    assert_int_equal(recv_one(chan), 1);
    assert_int_equal(test_run(recv_one, chan, WEFT_OPTIONS(.seed = 1)), 2);
    weft_chan_destroy(chan);
    assert_task_checks();
}

/* ---- others run ----------------------------------------------------------------------------- */

static int run_other(void *arg)
{
    atomic_store((atomic_bool *)arg, true);
    return 0;
}

static void hog_buffered(weft_chan *chan)
{
    task_check(test_send_int(chan, 1, WEFT_NEVER) == 0);
    task_check(recv_int(chan, WEFT_NEVER) == 1);
}

static void hog_by_tries(weft_chan *chan)
{
    task_check(recv_int(chan, 0) == -EAGAIN);
}

static void hog_past_deadlines(weft_chan *chan)
{
    task_check(recv_int(chan, 1) == -ETIMEDOUT);
}

static void hog_closed(weft_chan *chan)
{
    weft_chan_close(chan);
    task_check(recv_int(chan, WEFT_NEVER) == -EPIPE);
}

/* However well all goes for a task that calls what can wait, others run. */
static int hog(void *arg)
{
    static void (*const hogs[])(weft_chan *) = {hog_buffered, hog_by_tries, hog_past_deadlines, hog_closed};

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(hogs); i++) {
        weft_chan  *chan = test_make_ints(1);
        atomic_bool ran = false;
        weft_task   task;
        weft_spawn(&task, run_other, &ran);
        task_spin_until((hogs[i](chan), atomic_load(&ran)));
        weft_await(&task);
        weft_chan_destroy(chan);
    }
    return 0;
}

static void calls_that_could_wait_let_others_run(void **state)
{
    (void)state;
    assert_in_tasks(hog, NULL);
}

int main(int argc, char **argv)
{
    static const struct test_part parts[] = {
        {"destroy_under_receiver", part_destroy_under_receiver},
        {"destroy_under_sender", part_destroy_under_sender},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(create_refuses_what_no_memory_holds),
        cmocka_unit_test(elements_arrive_whole_and_in_order),
        cmocka_unit_test(elements_may_lie_anywhere),
        cmocka_unit_test(tries_agree_with_a_queue),
        cmocka_unit_test(capacity_is_what_was_asked_for),
        cmocka_unit_test(null_drops_what_is_received),
        cmocka_unit_test(elements_of_no_size_are_counted),
        cmocka_unit_test(what_came_before_is_seen),
        cmocka_unit_test(who_is_too_late_gives_up),
        cmocka_unit_test(what_can_be_done_at_once_is_never_too_late),
        cmocka_unit_test(far_deadlines_do_not_matter),
        cmocka_unit_test(cancelled_calls_return_the_reason),
        cmocka_unit_test(who_waits_first_is_served_first),
        cmocka_unit_test(cancelled_waits_move_nothing),
        cmocka_unit_test(closed_channels_empty_and_take_nothing),
        cmocka_unit_test(close_ends_all_waits),
        cmocka_unit_test(who_has_seen_the_effect_may_destroy),
        cmocka_unit_test(last_one_woken_by_close_may_destroy),
        cmocka_unit_test(destroy_under_waiters_stops_the_program),
        cmocka_unit_test(runtimes_talk_to_each_other),
        cmocka_unit_test(channel_outlives_runtimes),
        cmocka_unit_test(calls_that_could_wait_let_others_run),
    };

    test_child_main(argc, argv, parts, TEST_LENGTH(parts));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
