/* test_gen.c - a generator stops, hands out, takes in, and goes on, as its holder says
 *
 * First alone, then one that delegates to others, then in tasks and threads, then
 * what it costs and what stops the program.  Each behaviour is tried both in a plain
 * thread and in a task where that could make a difference: see in_both.
 */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stack.h"

#define noinline __attribute__((noinline))

/* ---- what happened, in order ---------------------------------------------------------------- */

static char   story[1024];
static size_t story_length;

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    story_length += (size_t)vsnprintf(story + story_length, sizeof story - story_length, format, list);
    va_end(list);
    if (story_length >= sizeof story) abort();
}

/* Whether just that was told since the last time. */
static bool told(const char *expected)
{
    bool same = !strcmp(story, expected);

    if (!same) print_error("told:     %s\nexpected: %s\n", story, expected);
    story_length = 0;
    story[0] = '\0';
    return same;
}

/* Runs the part in a plain thread and in a task.  What it does is checked by task_check. */
static int call_part(void *arg)
{
    (*(void (**)(void))arg)();
    return 0;
}

static void in_both(void (*part)(void))
{
    part();
    assert_task_checks();
    assert_int_equal(test_run(call_part, &part, WEFT_OPTIONS(.workers = 2)), 0);
}

static weft_gen *make(weft_gen_fn *fn, void *arg)
{
    weft_gen *gen = NULL;

    if (weft_gen_create(&gen, fn, arg, 0) || !gen) abort();
    return gen;
}

/* The number that it yields next; INT32_MIN: something else came. */
static int next(weft_gen *gen)
{
    void *value = NULL;

    return weft_gen_next(gen, &value) == 1 && value ? *(int *)value : INT32_MIN;
}

static int send_in(weft_gen *gen, void *sent)
{
    void *value = NULL;

    return weft_gen_send(gen, sent, &value) == 1 && value ? *(int *)value : INT32_MIN;
}

/* ---- values ------------------------------------------------------------------------------------ */

/* Yields 0 to *arg - 1, from a local; its result is how many. */
static int count_up(weft_gen *self, void *arg)
{
    int n = *(int *)arg;

    for (int i = 0; i < n; i++) {
        int error = weft_gen_yield(self, &i, NULL);
        if (error) return error;
    }
    return n;
}

static void values_part(void)
{
    int       n = 100;
    void     *value = &n;
    weft_gen *gen = make(count_up, &n);

    task_check(!weft_gen_done(gen));
    task_check(weft_gen_result(gen) == -EAGAIN);
    for (int i = 0; i < n; i++) {
        task_check(weft_gen_next(gen, &value) == 1);
        task_check(*(int *)value == i);
        task_check(!weft_gen_done(gen));
        task_check(weft_gen_result(gen) == -EAGAIN);
    }
    for (int i = 0; i < 3; i++) {
        task_check(weft_gen_next(gen, &value) == 0);
        task_check(weft_gen_done(gen));
        task_check(weft_gen_result(gen) == n);
    }
    task_check(weft_gen_send(gen, &n, &value) == 0);
    weft_gen_destroy(gen);
}

static void values_come_in_order(void **state)
{
    (void)state;
    in_both(values_part);
}

static void unwanted_part(void)
{
    int       n = 3;
    weft_gen *gen = make(count_up, &n);

    task_check(weft_gen_next(gen, NULL) == 1);
    task_check(weft_gen_send(gen, &n, NULL) == 1);
    task_check(next(gen) == 2);
    task_check(weft_gen_next(gen, NULL) == 0);
    weft_gen_destroy(gen);
}

static void value_need_not_be_wanted(void **state)
{
    (void)state;
    in_both(unwanted_part);
}

static int yield_null(weft_gen *self, void *arg)
{
    (void)arg;
    return weft_gen_yield(self, NULL, NULL);
}

static void value_may_be_null(void **state)
{
    (void)state;
    int       something = 0;
    void     *value = &something;
    weft_gen *gen = make(yield_null, NULL);

    assert_int_equal(weft_gen_next(gen, &value), 1);
    assert_null(value);
    weft_gen_destroy(gen);
}

static void nothing_runs_before_it_is_resumed(void **state)
{
    (void)state;
    weft_gen *gen = make(count_up, NULL); /* which it would stumble over */

    assert_false(weft_gen_done(gen));
    assert_int_equal(weft_gen_result(gen), -EAGAIN);
    weft_gen_destroy(gen);
}

struct large {
    _Alignas(max_align_t) unsigned char bytes[100000];
};

static int sum_bytes(weft_gen *self, void *arg)
{
    struct large *large = arg;
    int           sum = 0;

    task_check((uintptr_t)arg % _Alignof(max_align_t) == 0);
    weft_gen_yield(self, large, NULL);
    for (size_t i = 0; i < sizeof large->bytes; i++) sum += large->bytes[i];
    return sum;
}

static int see_byte(weft_gen *self, void *arg)
{
    task_check((uintptr_t)arg % _Alignof(max_align_t) == 0);
    weft_gen_yield(self, arg, NULL);
    return *(unsigned char *)arg;
}

static void argument_is_copied(void **state)
{
    (void)state;
    struct large *large = malloc(sizeof *large);
    weft_gen     *gen = NULL;
    int           sum = 0;

    assert_non_null(large);
    for (size_t i = 0; i < sizeof large->bytes; i++) sum += large->bytes[i] = (unsigned char)(i * 7);
    assert_int_equal(weft_gen_create(&gen, sum_bytes, large, sizeof *large), 0);
    free(large);
    assert_int_equal(weft_gen_next(gen, NULL), 1);
    assert_int_equal(weft_gen_next(gen, NULL), 0);
    assert_int_equal(weft_gen_result(gen), sum);
    weft_gen_destroy(gen);
    /* Of every size, and nothing beyond it is read. */
    for (size_t size = 1; size <= 300; size++) {
        unsigned char bytes[300] = {(unsigned char)size};
        void         *exact = test_exact_copy(bytes, size), *value;
        assert_int_equal(weft_gen_create(&gen, see_byte, exact, size), 0);
        free(exact);
        assert_int_equal(weft_gen_next(gen, &value), 1);
        assert_memory_equal(value, bytes, size);
        assert_int_equal(weft_gen_next(gen, NULL), 0);
        assert_int_equal(weft_gen_result(gen), (unsigned char)size);
        weft_gen_destroy(gen);
    }
    assert_task_checks();
}

static void argument_may_be_itself(void **state)
{
    (void)state;
    int       n = 2;
    weft_gen *gen = make(count_up, &n);

    n = 1; /* it is seen at the first resume */
    assert_int_equal(next(gen), 0);
    assert_int_equal(weft_gen_next(gen, NULL), 0);
    assert_int_equal(weft_gen_result(gen), 1);
    weft_gen_destroy(gen);
}

static int return_it(weft_gen *self, void *arg)
{
    (void)self;
    return *(int *)arg;
}

static void error_is_said_once(void **state)
{
    (void)state;
    const int results[] = {0, 1, INT32_MAX, -1, -EIO, INT32_MIN};

    for (size_t i = 0; i < TEST_LENGTH(results); i++) {
        int       result = results[i];
        weft_gen *gen = make(return_it, &result);
        void     *value = &result;
        assert_int_equal(weft_gen_next(gen, &value), result < 0 ? result : 0);
        assert_ptr_equal(value, &result); /* nothing was yielded */
        assert_int_equal(weft_gen_next(gen, NULL), 0);
        assert_int_equal(weft_gen_result(gen), result);
        assert_true(weft_gen_done(gen));
        assert_int_equal(weft_gen_close(gen), 0);
        assert_int_equal(weft_gen_result(gen), result);
        weft_gen_destroy(gen);
    }
}

/* ---- sending ------------------------------------------------------------------------------------- */

/* Adds up what is sent, until NULL comes. */
static int add_up(weft_gen *self, void *arg)
{
    int   sum = 0;
    void *sent;

    (void)arg;
    for (;;) {
        int error = weft_gen_yield(self, &sum, &sent);
        if (error) return error;
        if (!sent) return sum;
        sum += *(int *)sent;
    }
}

static void send_part(void)
{
    int       n = 0;
    weft_gen *gen = make(add_up, NULL);

    task_check(weft_gen_send(gen, &n, NULL) == -EINVAL); /* there is no yield that could take it */
    task_check(weft_gen_result(gen) == -EAGAIN);
    task_check(send_in(gen, NULL) == 0);
    for (int sum = 0; n < 10; sum += n) {
        n++;
        task_check(send_in(gen, &n) == sum + n);
    }
    task_check(weft_gen_next(gen, NULL) == 0);
    task_check(weft_gen_result(gen) == 55);
    weft_gen_destroy(gen);
}

static void what_is_sent_comes_out_of_the_yield(void **state)
{
    (void)state;
    in_both(send_part);
}

/* ---- throwing -------------------------------------------------------------------------------------- */

/* Yields how often something was thrown in; -EPIPE ends it. */
static int catch_all(weft_gen *self, void *arg)
{
    int   caught = 0;
    void *sent = arg;

    tell("begin ");
    for (;;) {
        int error = weft_gen_yield(self, &caught, &sent);
        if (error) {
            tell("%d ", error);
            task_check(!sent);
            caught++;
        }
        if (error == -EPIPE) return -EIO;
    }
}

static void throw_part(void)
{
    int       n = 3;
    void     *value = NULL;
    weft_gen *gen = make(catch_all, &n);

    task_check(next(gen) == 0);
    task_check(weft_gen_throw(gen, -7, &value) == 1 && *(int *)value == 1);
    task_check(weft_gen_throw(gen, -8, NULL) == 1);
    task_check(next(gen) == 2);
    task_check(weft_gen_throw(gen, 0, &value) == -EINVAL);
    task_check(weft_gen_throw(gen, 1, &value) == -EINVAL);
    task_check(next(gen) == 2);
    task_check(weft_gen_throw(gen, -EPIPE, &value) == -EIO);
    task_check(weft_gen_done(gen) && weft_gen_result(gen) == -EIO);
    task_check(weft_gen_next(gen, NULL) == 0);
    task_check(weft_gen_throw(gen, -9, NULL) == -9); /* nobody there to take it */
    task_check(weft_gen_result(gen) == -EIO);
    weft_gen_destroy(gen);

    gen = make(count_up, &n); /* which hands it back */
    task_check(next(gen) == 0);
    task_check(weft_gen_throw(gen, -77, NULL) == -77);
    task_check(weft_gen_result(gen) == -77);
    weft_gen_destroy(gen);

    gen = make(catch_all, &n);
    task_check(weft_gen_throw(gen, -5, &value) == -5);
    task_check(weft_gen_done(gen) && weft_gen_result(gen) == -ECANCELED);
    task_check(weft_gen_next(gen, &value) == 0);
    weft_gen_destroy(gen);
    task_check(told("begin -7 -8 -32 "));
}

static void what_is_thrown_comes_out_of_the_yield(void **state)
{
    (void)state;
    in_both(throw_part);
}

/* ---- closing and destroying ------------------------------------------------------------------------- */

struct manners {
    int refusals; /* how often it goes on when it is told to end */
    int result;
};

static int with_manners(weft_gen *self, void *arg)
{
    struct manners *manners = arg;

    for (int i = 0;; i++) {
        int error = weft_gen_yield(self, &i, NULL);
        if (!error) continue;
        tell("%d ", error);
        if (manners->refusals-- <= 0) break;
    }
    tell("clean ");
    return manners->result;
}

static void close_part(void)
{
    const int results[] = {0, 5, -ECANCELED, -EIO};

    for (size_t i = 0; i < TEST_LENGTH(results); i++) {
        struct manners manners = {0, results[i]};
        weft_gen      *gen = make(with_manners, &manners);
        task_check(next(gen) == 0 && next(gen) == 1);
        task_check(weft_gen_close(gen) == 0);
        task_check(told("-125 clean "));
        task_check(weft_gen_done(gen) && weft_gen_result(gen) == results[i]);
        task_check(weft_gen_close(gen) == 0);
        task_check(weft_gen_next(gen, NULL) == 0);
        weft_gen_destroy(gen);
        task_check(told(""));
    }

    struct manners stubborn = {2, 1};
    weft_gen      *gen = make(with_manners, &stubborn);
    task_check(next(gen) == 0);
    task_check(weft_gen_close(gen) == -EBUSY);
    task_check(!weft_gen_done(gen) && weft_gen_result(gen) == -EAGAIN);
    task_check(next(gen) == 2); /* 1 was what it yielded to the closer */
    task_check(weft_gen_close(gen) == -EBUSY);
    task_check(weft_gen_close(gen) == 0);
    task_check(weft_gen_result(gen) == 1);
    weft_gen_destroy(gen);
    task_check(told("-125 -125 -125 clean "));

    gen = make(with_manners, NULL); /* that never began */
    task_check(weft_gen_close(gen) == 0);
    task_check(weft_gen_done(gen) && weft_gen_result(gen) == -ECANCELED);
    task_check(weft_gen_next(gen, NULL) == 0);
    weft_gen_destroy(gen);
    task_check(told(""));
}

static void close_asks_it_to_end(void **state)
{
    (void)state;
    in_both(close_part);
}

static void destroy_part(void)
{
    struct manners manners = {0, 0}, stubborn = {1000, 0};
    weft_gen      *gen = make(with_manners, &manners);

    task_check(next(gen) == 0);
    weft_gen_destroy(gen);
    task_check(told("-125 clean "));

    gen = make(with_manners, &stubborn);
    task_check(next(gen) == 0);
    weft_gen_destroy(gen); /* asks once */
    task_check(told("-125 "));
    task_check(stubborn.refusals == 999);

    weft_gen_destroy(make(with_manners, &manners));
    weft_gen_destroy(NULL);
    task_check(told(""));
    /* What is made on a stack that was taken away is as good as new. */
    for (int i = 0; i < 100; i++) {
        int n = 3;
        gen = make(i % 2 ? with_manners : count_up, i % 2 ? (void *)&stubborn : &n);
        task_check(next(gen) == 0 && next(gen) == 1);
        weft_gen_destroy(gen);
    }
    task_check(stubborn.refusals == 949);
    story_length = 0;
    story[0] = '\0';
}

static void destroy_closes_first(void **state)
{
    (void)state;
    in_both(destroy_part);
}

/* ---- wrong calls --------------------------------------------------------------------------------------- */

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    int       n = 1;
    void     *value = &n;
    weft_gen *gen = (weft_gen *)&n;

    assert_int_equal(weft_gen_create(NULL, count_up, &n, 0), -EINVAL);
    assert_int_equal(weft_gen_create(&gen, NULL, &n, 0), -EINVAL);
    assert_null(gen);
    assert_int_equal(weft_gen_create(&gen, count_up, NULL, 4), -EINVAL);
    assert_int_equal(weft_gen_create(&gen, count_up, &n, SIZE_MAX), -ENOMEM);
    assert_null(gen);
    assert_int_equal(weft_gen_next(NULL, &value), -EINVAL);
    assert_int_equal(weft_gen_send(NULL, &n, &value), -EINVAL);
    assert_int_equal(weft_gen_throw(NULL, -1, &value), -EINVAL);
    assert_int_equal(weft_gen_close(NULL), -EINVAL);
    assert_int_equal(weft_gen_result(NULL), -EINVAL);
    assert_true(weft_gen_done(NULL));
    assert_int_equal(weft_gen_yield(NULL, &n, &value), -EINVAL);
    gen = make(count_up, &n);
    assert_int_equal(weft_gen_yield_from(gen, NULL), -EINVAL);
    assert_int_equal(weft_gen_yield_from(NULL, gen), -EINVAL);
    weft_gen_destroy(gen);
}

/* Tries all that a resumer may try. */
static void find_busy(weft_gen *gen)
{
    void *value = NULL;

    task_check(weft_gen_next(gen, &value) == -EBUSY);
    task_check(weft_gen_send(gen, &value, &value) == -EBUSY);
    task_check(weft_gen_throw(gen, -1, &value) == -EBUSY);
    task_check(weft_gen_close(gen) == -EBUSY);
    task_check(!weft_gen_done(gen) && weft_gen_result(gen) == -EAGAIN);
    task_check(!value);
}

static weft_gen *outermost;

static int resume_outermost(weft_gen *self, void *arg)
{
    int n = 1;

    (void)arg;
    find_busy(self);
    find_busy(outermost);
    weft_gen_yield(self, &n, NULL);
    find_busy(self);
    find_busy(outermost);
    return 3;
}

static int resume_itself(weft_gen *self, void *arg)
{
    weft_gen *inner = make(resume_outermost, NULL);

    find_busy(self);
    if (arg) {
        task_check(weft_gen_yield_from(self, inner) == 3);
    } else {
        task_check(next(inner) == 1);
        find_busy(self);
        weft_gen_yield(self, &(int){1}, NULL);
        task_check(weft_gen_next(inner, NULL) == 0);
    }
    find_busy(self);
    task_check(weft_gen_yield_from(self, self) == -EBUSY);
    weft_gen_destroy(inner);
    return 0;
}

static void busy_part(void)
{
    for (int delegate = 0; delegate < 2; delegate++) {
        outermost = make(resume_itself, delegate ? &delegate : NULL);
        task_check(next(outermost) == 1);
        task_check(weft_gen_next(outermost, NULL) == 0);
        weft_gen_destroy(outermost);
    }
}

static void one_that_runs_is_busy(void **state)
{
    (void)state;
    in_both(busy_part);
}

static int yield_for_another(weft_gen *self, void *arg)
{
    weft_gen *other = arg;
    void     *sent = &other;

    task_check(weft_gen_yield(other, &other, &sent) == -EPERM);
    task_check(weft_gen_yield_from(other, self) == -EPERM);
    weft_gen_yield(self, NULL, NULL);
    task_check(weft_gen_yield(other, &other, &sent) == -EPERM);
    task_check(sent == &other);
    return 0;
}

static int resume_one_that_yields_for_this(weft_gen *self, void *arg)
{
    weft_gen *inner = make(yield_for_another, self);

    (void)arg;
    task_check(weft_gen_next(inner, NULL) == 1);
    task_check(weft_gen_next(inner, NULL) == 0);
    weft_gen_destroy(inner);
    return 0;
}

static int try_to_yield(void *arg)
{
    weft_gen *gen = arg;

    task_check(weft_gen_yield(gen, NULL, NULL) == -EPERM);
    task_check(weft_gen_yield_from(gen, gen) == -EPERM);
    return 0;
}

static int spawn_one_that_yields_for_this(weft_gen *self, void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        weft_task task;
        weft_spawn(&task, try_to_yield, self);
        task_check(weft_await(&task) == 0);
        weft_gen_yield(self, &i, NULL);
    }
    return 0;
}

static int drain(void *arg)
{
    int n = 0;

    while (weft_gen_next(arg, NULL) == 1) n++;
    return n;
}

static void only_the_body_yields(void **state)
{
    (void)state;
    int       n = 5;
    weft_gen *gen = make(count_up, &n);

    for (int i = 0; i < n; i++) {
        assert_int_equal(weft_gen_yield(gen, &n, NULL), -EPERM);
        assert_int_equal(weft_gen_yield_from(gen, gen), -EPERM);
        assert_int_equal(next(gen), i);
    }
    assert_int_equal(weft_gen_next(gen, NULL), 0);
    assert_int_equal(weft_gen_yield(gen, &n, NULL), -EPERM);
    weft_gen_destroy(gen);

    gen = make(resume_one_that_yields_for_this, NULL);
    assert_int_equal(weft_gen_next(gen, NULL), 0);
    weft_gen_destroy(gen);
    gen = make(spawn_one_that_yields_for_this, NULL);
    assert_int_equal(test_run(drain, gen, WEFT_OPTIONS(.workers = 1)), 10);
    weft_gen_destroy(gen);
    assert_task_checks();
}

/* ---- delegating ------------------------------------------------------------------------------------------ */

struct level {
    const char  *name;
    weft_gen_fn *fn; /* of the inner one; NULL: none */
    void        *arg;
};

/* Yields 1, then what the inner one yields, then 2; tells the inner's result. */
static int sandwich(weft_gen *self, void *arg)
{
    struct level *level = arg;
    weft_gen     *inner = make(level->fn, level->arg);

    weft_gen_yield(self, &(int){1}, NULL);
    int result = weft_gen_yield_from(self, inner);
    tell("%s:%d ", level->name, result);
    weft_gen_destroy(inner);
    if (result < 0) return result - 1;
    weft_gen_yield(self, &(int){2}, NULL);
    return result + 1;
}

static void delegate_part(void)
{
    int          n = 3;
    struct level low = {"low", count_up, &n}, high = {"high", sandwich, &low};
    weft_gen    *gen = make(sandwich, &high);

    const int expected[] = {1, 1, 0, 1, 2, 2, 2};
    for (size_t i = 0; i < TEST_LENGTH(expected); i++) task_check(next(gen) == expected[i]);
    task_check(weft_gen_next(gen, NULL) == 0);
    task_check(weft_gen_result(gen) == 5);
    task_check(told("low:3 high:4 "));
    weft_gen_destroy(gen);
}

static void values_go_straight_through(void **state)
{
    (void)state;
    in_both(delegate_part);
}

static void delegate_send_part(void)
{
    struct level low = {"low", add_up, NULL}, high = {"high", sandwich, &low};
    weft_gen    *gen = make(sandwich, &high);
    int          n = 10, m = 32;

    task_check(next(gen) == 1);
    task_check(send_in(gen, &n) == 1); /* the outer yields take it, and it begins with nothing sent */
    task_check(send_in(gen, &n) == 0);
    task_check(send_in(gen, &n) == 10);
    task_check(send_in(gen, &m) == 42);
    task_check(next(gen) == 2);
    task_check(next(gen) == 2);
    task_check(weft_gen_next(gen, NULL) == 0);
    task_check(weft_gen_result(gen) == 44);
    task_check(told("low:42 high:43 "));
    weft_gen_destroy(gen);
}

static void what_is_sent_goes_straight_through(void **state)
{
    (void)state;
    in_both(delegate_send_part);
}

static void delegate_throw_part(void)
{
    struct level low = {"low", catch_all, NULL}, high = {"high", sandwich, &low};
    weft_gen    *gen = make(sandwich, &high);

    task_check(next(gen) == 1 && next(gen) == 1 && next(gen) == 0);
    task_check(weft_gen_throw(gen, -9, NULL) == 1);
    task_check(next(gen) == 1);
    task_check(weft_gen_throw(gen, -EPIPE, NULL) == -EIO - 2);
    task_check(weft_gen_result(gen) == -EIO - 2);
    weft_gen_destroy(gen);
    task_check(told("begin -9 -32 low:-5 high:-6 "));
}

static void what_is_thrown_goes_straight_through(void **state)
{
    (void)state;
    in_both(delegate_throw_part);
}

/* An error of the inner one is the outer one's to judge. */
static int go_on_after_error(weft_gen *self, void *arg)
{
    weft_gen *inner = make(count_up, arg);
    int       result = weft_gen_yield_from(self, inner);

    weft_gen_destroy(inner);
    tell("%d ", result);
    weft_gen_yield(self, &(int){77}, NULL);
    return 1;
}

static void error_of_the_inner_is_the_outers_to_judge(void **state)
{
    (void)state;
    int       n = 3;
    void     *value = NULL;
    weft_gen *gen = make(go_on_after_error, &n);

    assert_int_equal(next(gen), 0);
    assert_int_equal(weft_gen_throw(gen, -33, &value), 1);
    assert_int_equal(*(int *)value, 77);
    assert_true(told("-33 "));
    assert_int_equal(weft_gen_next(gen, NULL), 0);
    assert_int_equal(weft_gen_result(gen), 1);
    weft_gen_destroy(gen);
}

/* Delegates to a given one, which is somebody else's, tells the result and is done. */
static int delegate_to(weft_gen *self, void *arg)
{
    int result = weft_gen_yield_from(self, arg);

    tell("%d ", result);
    return result;
}

static void delegate_anywhere_part(void)
{
    int       n = 4;
    weft_gen *inner = make(count_up, &n), *gen = make(delegate_to, inner);

    /* One that has been used. */
    task_check(next(inner) == 0 && next(inner) == 1);
    task_check(next(gen) == 2);
    find_busy(inner);
    task_check(next(gen) == 3);
    task_check(weft_gen_next(gen, NULL) == 0);
    task_check(weft_gen_done(inner) && weft_gen_result(inner) == 4);
    task_check(weft_gen_next(inner, NULL) == 0);
    weft_gen_destroy(gen);
    /* One that has ended. */
    gen = make(delegate_to, inner);
    task_check(weft_gen_next(gen, NULL) == 0 && weft_gen_result(gen) == 4);
    weft_gen_destroy(gen);
    weft_gen_destroy(inner);
    /* One that was closed before it began, and one that failed. */
    inner = make(count_up, NULL);
    weft_gen_close(inner);
    gen = make(delegate_to, inner);
    task_check(weft_gen_next(gen, NULL) == -ECANCELED);
    weft_gen_destroy(gen);
    weft_gen_destroy(inner);
    task_check(told("4 4 -125 "));
    /* One to which another delegates. */
    inner = make(count_up, &n);
    weft_gen *first = make(delegate_to, inner);
    gen = make(delegate_to, inner);
    task_check(next(first) == 0);
    task_check(weft_gen_next(gen, NULL) == -EBUSY);
    task_check(next(first) == 1);
    task_check(told("-16 "));
    weft_gen_destroy(first);
    weft_gen_destroy(gen);
    task_check(weft_gen_done(inner)); /* it was closed with the one that delegated to it */
    weft_gen_destroy(inner);
    task_check(told("-125 "));
}

static void inner_may_be_anywhere(void **state)
{
    (void)state;
    in_both(delegate_anywhere_part);
}

/* Chains that become the tail of others, each at another moment. */
static void delegate_chains_part(void)
{
    int       n = 6;
    weft_gen *c = make(count_up, &n), *b = make(delegate_to, c), *a = make(delegate_to, b), *top = make(delegate_to, a);

    task_check(next(c) == 0);
    task_check(next(b) == 1);
    task_check(next(b) == 2);
    find_busy(c);
    task_check(next(a) == 3);
    find_busy(c);
    find_busy(b);
    task_check(next(top) == 4);
    find_busy(a);
    task_check(next(top) == 5);
    task_check(weft_gen_next(top, NULL) == 0);
    task_check(told("6 6 6 "));
    task_check(weft_gen_done(a) && weft_gen_done(b) && weft_gen_done(c));
    weft_gen_destroy(a);
    weft_gen_destroy(b);
    weft_gen_destroy(c);
    weft_gen_destroy(top);
}

static void chain_may_become_the_tail_of_another(void **state)
{
    (void)state;
    in_both(delegate_chains_part);
}

/* A round of three: each delegates to the next, the last to the first. */
static weft_gen *rounds[3];

static int delegate_round(weft_gen *self, void *arg)
{
    int result = weft_gen_yield_from(self, *(weft_gen **)arg);

    tell("%d ", result);
    weft_gen_yield(self, NULL, NULL);
    return 0;
}

static void round_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) rounds[i] = make(delegate_round, &rounds[(i + 1) % 3]);
    assert_int_equal(weft_gen_next(rounds[0], NULL), 1);
    assert_true(told("-16 "));
    assert_int_equal(weft_gen_next(rounds[0], NULL), 1);
    assert_int_equal(weft_gen_next(rounds[0], NULL), 1);
    assert_int_equal(weft_gen_next(rounds[0], NULL), 0);
    assert_true(told("0 0 "));
    for (size_t i = 0; i < 3; i++) weft_gen_destroy(rounds[i]);
}

/* ---- closing those that delegate ---------------------------------------------------------------------------- */

static void delegate_close_part(void)
{
    /* From the inside out; whatever the inner one makes of it, those outside see that they are closed. */
    struct manners manners = {0, 5};
    struct level   low = {"low", with_manners, &manners}, high = {"high", sandwich, &low};
    weft_gen      *gen = make(sandwich, &high);
    task_check(next(gen) == 1 && next(gen) == 1 && next(gen) == 0);
    task_check(weft_gen_close(gen) == 0);
    task_check(told("-125 clean low:-125 high:-125 "));
    task_check(weft_gen_result(gen) == -126);
    weft_gen_destroy(gen);

    /* The inner one refuses: all of them stand where they stood. */
    manners = (struct manners){1, 5};
    gen = make(sandwich, &high);
    task_check(next(gen) == 1 && next(gen) == 1 && next(gen) == 0);
    task_check(weft_gen_close(gen) == -EBUSY);
    task_check(told("-125 "));
    task_check(next(gen) == 2);
    weft_gen_destroy(gen);
    task_check(told("-125 clean low:-125 high:-125 "));
}

static void closing_goes_from_the_inside_out(void **state)
{
    (void)state;
    in_both(delegate_close_part);
}

/* When its inner one is closed, delegates to another, or yields once more if that is NULL; its result is 6. */
static int not_impressed(weft_gen *self, void *arg)
{
    weft_gen *first = make(with_manners, &(struct manners){0, 5});
    int       result = weft_gen_yield_from(self, first);

    tell("mid:%d ", result);
    weft_gen_destroy(first);
    if (arg) {
        weft_gen *second = make(((struct level *)arg)->fn, ((struct level *)arg)->arg);
        tell("again:%d ", weft_gen_yield_from(self, second));
        weft_gen_destroy(second);
    } else {
        weft_gen_yield(self, &(int){99}, NULL);
    }
    return 6;
}

static void close_refused_part(void)
{
    /* What begins after the close is not told of it: its result is its own.  That does not
     * save the ones outside. */
    int          seven = 7;
    struct level second = {"", return_it, &seven}, top = {"top", not_impressed, &second};
    weft_gen    *gen = make(sandwich, &top);
    task_check(next(gen) == 1 && next(gen) == 0);
    task_check(weft_gen_close(gen) == 0);
    task_check(told("-125 clean mid:-125 again:7 top:-125 "));
    weft_gen_destroy(gen);

    /* The one in the middle yields: the close is over, and forgotten. */
    top.arg = NULL;
    gen = make(sandwich, &top);
    task_check(next(gen) == 1 && next(gen) == 0);
    task_check(weft_gen_close(gen) == -EBUSY);
    task_check(next(gen) == 2);
    task_check(told("-125 clean mid:-125 top:6 "));
    weft_gen_destroy(gen);

    /* The same, but the yield is that of another inner one. */
    int n = 2;
    second = (struct level){"", count_up, &n};
    top.arg = &second;
    gen = make(sandwich, &top);
    task_check(next(gen) == 1 && next(gen) == 0);
    task_check(weft_gen_close(gen) == -EBUSY);
    task_check(next(gen) == 1);
    task_check(next(gen) == 2);
    task_check(told("-125 clean mid:-125 again:2 top:6 "));
    weft_gen_destroy(gen);
}

static void close_that_was_refused_is_over(void **state)
{
    (void)state;
    in_both(close_refused_part);
}

/* A thrown -ECANCELED is an error as any other. */
static void thrown_cancel_is_not_a_close(void **state)
{
    (void)state;
    struct manners manners = {0, 5};
    struct level   low = {"low", with_manners, &manners};
    weft_gen      *gen = make(sandwich, &low);

    assert_int_equal(next(gen), 1);
    assert_int_equal(next(gen), 0);
    void *value;
    assert_int_equal(weft_gen_throw(gen, -ECANCELED, &value), 1);
    assert_int_equal(*(int *)value, 2);
    assert_true(told("-125 clean low:5 "));
    weft_gen_destroy(gen);
}

/* ---- destroying those that delegate --------------------------------------------------------------------------- */

/* Delegates, and yields what came of it again and again, whatever is thrown in. */
static int delegate_for_ever(weft_gen *self, void *arg)
{
    int result = weft_gen_yield_from(self, arg);

    tell("%d ", result);
    while (weft_gen_yield(self, &result, NULL) <= 0) continue;
    return 0;
}

static void destroy_inner_part(void)
{
    int       n = 10, m = 3;
    void     *value = NULL;
    weft_gen *c = make(count_up, &n), *b = make(delegate_to, c), *a = make(delegate_for_ever, b);

    task_check(next(a) == 0);
    weft_gen_destroy(b); /* closes c as well, which delegates no more */
    task_check(told("-125 "));
    task_check(weft_gen_done(c) && weft_gen_result(c) == -ECANCELED);
    task_check(send_in(a, &m) == -ECANCELED);
    task_check(told("-125 "));
    weft_gen_destroy(c);
    weft_gen_destroy(a);

    /* What is thrown in at that moment comes out of the yield_from that lost its inner one. */
    c = make(count_up, &n);
    a = make(delegate_for_ever, c);
    task_check(next(a) == 0);
    weft_gen_destroy(c);
    task_check(weft_gen_throw(a, -55, &value) == 1 && *(int *)value == -55);
    task_check(told("-55 "));
    weft_gen_destroy(a);
}

static void inner_destroyed_is_as_if_closed(void **state)
{
    (void)state;
    in_both(destroy_inner_part);
}

static void destroy_outer_part(void)
{
    struct manners stubborn = {1, 5};
    weft_gen      *c = make(with_manners, &stubborn), *b = make(delegate_for_ever, c);
    weft_gen      *a = make(delegate_for_ever, b);

    task_check(next(a) == 0);
    weft_gen_destroy(a); /* c yields again, so nobody has ended */
    task_check(told("-125 "));
    find_busy(c);
    task_check(next(b) == 2); /* and b goes on, with c inside */
    weft_gen_destroy(b);
    task_check(told("-125 clean -125 "));
    task_check(weft_gen_done(c) && weft_gen_result(c) == 5);
    weft_gen_destroy(c);

    stubborn.refusals = 1;
    c = make(with_manners, &stubborn);
    b = make(delegate_for_ever, c);
    task_check(next(b) == 0);
    weft_gen_destroy(b);
    task_check(next(c) == 2);
    weft_gen_destroy(c);
    task_check(told("-125 -125 clean "));
}

static void outer_destroyed_sets_the_inner_free(void **state)
{
    (void)state;
    in_both(destroy_outer_part);
}

/* ---- deep ----------------------------------------------------------------------------------------------------- */

static size_t deepest;

/* Delegates down to the deepest, which yields three times; each result is one more. */
static int descend(weft_gen *self, void *arg)
{
    size_t    depth = *(size_t *)arg + 1;
    weft_gen *inner;

    if (depth == deepest) {
        for (int i = 0; i < 3; i++) {
            int error = weft_gen_yield(self, &i, NULL);
            if (error) return error;
        }
        return 0;
    }
    if (weft_gen_create(&inner, descend, &depth, sizeof depth)) abort();
    int result = weft_gen_yield_from(self, inner);
    weft_gen_destroy(inner);
    return result < 0 ? result : result + 1;
}

static void depth_part(void)
{
    size_t    depth = 0;
    weft_gen *gen = make(descend, &depth);

    for (int i = 0; i < 3; i++) task_check(next(gen) == i);
    task_check(weft_gen_next(gen, NULL) == 0);
    task_check(weft_gen_result(gen) == (int)deepest - 1);
    weft_gen_destroy(gen);
    gen = make(descend, &depth);
    task_check(next(gen) == 0);
    task_check(weft_gen_close(gen) == 0);
    task_check(weft_gen_result(gen) == -ECANCELED);
    weft_gen_destroy(gen);
}

static void delegation_has_no_depth_limit(void **state)
{
    (void)state;
    deepest = test_stacks(100000);
    in_both(depth_part);
}

static int delegate_silently(weft_gen *self, void *arg)
{
    return weft_gen_yield_from(self, arg);
}

/* Puts a generator into one more at every step, so that an ever longer chain becomes the tail of another. */
static void chain_grows_outwards(void **state)
{
    (void)state;
    int        n = (int)test_stacks(20000) - 1;
    weft_gen **gens = malloc((size_t)(n + 1) * sizeof *gens);

    assert_non_null(gens);
    gens[0] = make(count_up, &n);
    for (int i = 0; i < n; i++) {
        gens[i + 1] = make(delegate_silently, gens[i]);
        assert_int_equal(next(gens[i + 1]), i);
    }
    for (int i = 0; i < n; i++) find_busy(gens[i]);
    assert_int_equal(weft_gen_next(gens[n], NULL), 0);
    for (int i = 0; i <= n; i++) {
        assert_int_equal(weft_gen_result(gens[i]), n);
        weft_gen_destroy(gens[i]);
    }
    free(gens);
    assert_task_checks();
}

/* ---- what one writes with them ----------------------------------------------------------------------------------- */

/* A sieve: each prime found puts one more filter behind the last. */
static int integers(weft_gen *self, void *arg)
{
    for (int i = *(int *)arg;; i++) {
        int error = weft_gen_yield(self, &i, NULL);
        if (error) return error;
    }
}

struct filter {
    weft_gen *source;
    int       prime;
};

static int not_divisible(weft_gen *self, void *arg)
{
    struct filter *filter = arg;
    void          *value;

    while (weft_gen_next(filter->source, &value) == 1) {
        if (*(int *)value % filter->prime == 0) continue;
        int error = weft_gen_yield(self, value, NULL);
        if (error) break;
    }
    weft_gen_destroy(filter->source);
    return 0;
}

static void sieve_part(void)
{
    int       two = 2, last = 0;
    weft_gen *primes = make(integers, &two);

    for (int i = 0; i < 100; i++) {
        last = next(primes);
        struct filter filter = {primes, last};
        if (weft_gen_create(&primes, not_divisible, &filter, sizeof filter)) abort();
    }
    task_check(last == 541);
    task_check(next(primes) == 547); /* so that the last one, too, has begun and owns its source */
    weft_gen_destroy(primes);
}

static void filters_may_be_put_behind_each_other(void **state)
{
    (void)state;
    in_both(sieve_part);
}

struct tree {
    struct tree *left, *right;
    int          value;
};

static int in_order(weft_gen *self, void *arg)
{
    struct tree *tree = arg;
    int          error = 0;

    if (!tree) return 0;
    for (int side = 0; side < 2 && !error; side++) {
        weft_gen *inner = make(in_order, side ? tree->right : tree->left);
        error = weft_gen_yield_from(self, inner);
        weft_gen_destroy(inner);
        if (side == 0 && !error) error = weft_gen_yield(self, &tree->value, NULL);
    }
    return error;
}

static void insert(struct tree **at, struct tree *node)
{
    while (*at) at = node->value < (*at)->value ? &(*at)->left : &(*at)->right;
    *at = node;
}

static void tree_part(void)
{
    static struct tree nodes[500];
    struct tree       *root = NULL;
    uint32_t           chance = 17;

    memset(nodes, 0, sizeof nodes);
    for (size_t i = 0; i < TEST_LENGTH(nodes); i++) {
        nodes[i].value = (int)(test_random(&chance) % 1000);
        insert(&root, &nodes[i]);
    }
    weft_gen *gen = make(in_order, root);
    int       count = 0;
    void     *value;
    for (int last = 0; weft_gen_next(gen, &value) == 1; last = *(int *)value) {
        task_check(last <= *(int *)value);
        count++;
    }
    task_check(count == TEST_LENGTH(nodes));
    weft_gen_destroy(gen);
    /* Stopped in the middle: all levels end, and none is left over. */
    gen = make(in_order, root);
    for (int i = 0; i < 250; i++) task_check(weft_gen_next(gen, NULL) == 1);
    weft_gen_destroy(gen);
}

static void tree_is_walked_by_recursion(void **state)
{
    (void)state;
    in_both(tree_part);
}

/* ---- in tasks ---------------------------------------------------------------------------------------------------- */

static int yield_and_count(void *arg)
{
    for (int i = 0; i < 10; i++) {
        ++*(int *)arg;
        weft_yield();
    }
    return 0;
}

/* Waits in all the ways there are, between its yields and in the middle of a deeper call. */
static noinline int wait_somehow(int i)
{
    int       counts[3] = {0, 0, 0};
    weft_task tasks[3];

    if (i % 3 == 0) {
        for (int n = 0; n < 5; n++) weft_yield();
        return 0;
    }
    for (int n = 0; n < 3; n++) weft_spawn(&tasks[n], yield_and_count, &counts[n]);
    if (i % 3 == 1) {
        for (int n = 3; n-- > 0;) weft_await(&tasks[n]);
    } else {
        for (int n = 0; n < 3; n++) weft_await(&tasks[n]);
    }
    return counts[0] + counts[1] + counts[2] - 30;
}

static int wait_and_count(weft_gen *self, void *arg)
{
    for (int i = 0; i < *(int *)arg; i++) {
        task_check(wait_somehow(i) == 0);
        int error = weft_gen_yield(self, &i, NULL);
        if (error) return error;
    }
    return 0;
}

static int delegate_and_wait(weft_gen *self, void *arg)
{
    weft_gen *inner = make(wait_and_count, arg);

    weft_yield();
    int result = weft_gen_yield_from(self, inner);
    weft_yield();
    weft_gen_destroy(inner);
    return result;
}

static int drain_in_order(void *arg)
{
    int n = (int)test_scale(1000);

    for (int turn = 0; turn < 2; turn++) {
        weft_gen *gen = make(turn ? delegate_and_wait : wait_and_count, &n);
        for (int i = 0; i < n; i++) {
            task_check(next(gen) == i);
            if (i % 7 == 0) weft_yield();
        }
        task_check(weft_gen_next(gen, NULL) == 0);
        weft_gen_destroy(gen);
    }
    (void)arg;
    return 0;
}

static int drain_many_in_order(void *arg)
{
    weft_task tasks[8];

    (void)arg;
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_spawn(&tasks[i], drain_in_order, NULL);
    for (size_t i = 0; i < TEST_LENGTH(tasks); i++) weft_await(&tasks[i]);
    return 0;
}

static void body_may_wait(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers++)
        assert_int_equal(test_run(drain_many_in_order, NULL, WEFT_OPTIONS(.workers = workers)), 0);
    assert_int_equal(test_run(drain_many_in_order, NULL, WEFT_OPTIONS(.seed = 5)), 0);
    assert_int_equal(test_run(drain_many_in_order, NULL, WEFT_OPTIONS(.workers = 2, .one_root = true)), 0);
}

/* Its scope, its root and its cancelling are those of the task that resumes it, each time. */
static int ask_why(weft_gen *self, void *arg)
{
    for (;;) {
        int reason = weft_check();
        (void)arg;
        if (weft_gen_yield(self, &reason, NULL)) return 0;
    }
}

static int ask_in_task(void *arg)
{
    weft_scope scope;

    task_check(next(arg) == 0);
    task_check(weft_scope_open(&scope, NULL) == 0);
    weft_scope_cancel(&scope);
    task_check(next(arg) == -ECANCELED);
    task_check(weft_scope_close(&scope) == -ECANCELED);
    task_check(next(arg) == 0);
    return 0;
}

static void body_is_the_task_that_resumes_it(void **state)
{
    (void)state;
    weft_gen *gen = make(ask_why, NULL);

    assert_int_equal(next(gen), 0);
    assert_int_equal(test_run_workers(ask_in_task, gen), 0);
    assert_int_equal(next(gen), 0);
    weft_gen_destroy(gen);
}

static int scope_of_its_own(weft_gen *self, void *arg)
{
    for (int i = 0; i < 10; i++) {
        weft_scope scope;
        int        count = 0, *counted = &count;
        task_check(weft_scope_open(&scope, WEFT_SCOPE(.one_root = i % 2)) == 0);
        for (int n = 0; n < 5; n++) weft_go(yield_and_count, counted, 0);
        weft_task task;
        weft_spawn(&task, yield_and_count, counted);
        if (i % 2) {
            task_check(weft_await(&task) == 0);
            task_check(weft_scope_close(&scope) == 0);
            task_check(count == 60);
        } else {
            task_check(weft_await(&task) == 0);
            task_check(weft_scope_close(&scope) == 0);
        }
        (void)arg;
        weft_gen_yield(self, &i, NULL);
    }
    return 0;
}

static int drain_scopes(void *arg)
{
    weft_gen *gen = make(scope_of_its_own, NULL);
    int       n = drain(gen);

    (void)arg;
    weft_gen_destroy(gen);
    /* The task's own stack is again as it was: what it spawns and awaits runs as ever. */
    weft_task task;
    int       count = 0;
    weft_spawn(&task, yield_and_count, &count);
    task_check(weft_await(&task) == 0 && count == 10);
    return n;
}

static void body_may_open_scopes(void **state)
{
    (void)state;
    assert_int_equal(test_run(drain_scopes, NULL, WEFT_OPTIONS(.workers = 1)), 10);
}

/* After it, a task runs in place again as before. */
static int inline_after(void *arg)
{
    struct weft_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    int               n = 3;
    weft_gen         *gen = make(wait_and_count, &n);

    (void)arg;
    while (weft_gen_next(gen, NULL) == 1) continue;
    weft_gen_destroy(gen);
    weft_stats(&before);
    for (int i = 0; i < 10; i++) {
        weft_task task;
        int       seven = 7;
        weft_spawn(&task, drain_scopes, &seven);
        weft_await(&task);
    }
    weft_stats(&after);
    task_check(STACK_PER_TASK || after.inlined - before.inlined >= 10);
    return 0;
}

static void tasks_run_in_place_again(void **state)
{
    (void)state;
    assert_int_equal(test_run(inline_after, NULL, WEFT_OPTIONS(.workers = 1)), 0);
}

/* From a plain thread into a task and on into another runtime, standing at its yields. */
static weft_gen *kept;

static int make_and_keep(void *arg)
{
    kept = make(count_up, arg);
    return next(kept);
}

static int next_kept(void *arg)
{
    (void)arg;
    return next(kept);
}

static void generator_outlives_its_runtime(void **state)
{
    (void)state;
    static int n = 100;

    assert_int_equal(test_run(make_and_keep, &n, WEFT_OPTIONS(.workers = 2, .stack_size = 128 * 1024)), 0);
    for (int i = 1; i < 90; i += 3) {
        assert_int_equal(next(kept), i);
        assert_int_equal(test_run(next_kept, NULL, WEFT_OPTIONS(.workers = 1)), i + 1);
        assert_int_equal(test_run(next_kept, NULL, WEFT_OPTIONS(.workers = 3)), i + 2);
    }
    weft_gen_destroy(kept);
}

/* How much of its stack a body has: nearly all that a task has. */
static int stack_left(weft_gen *self, void *arg)
{
    size_t        size = *(size_t *)arg / 8 * 7;
    volatile char frame[size];

    (void)self;
    for (size_t i = 0; i < size; i += 1024) frame[size - 1 - i] = 1;
    return frame[size - 1] - 1;
}

static int use_stack(void *arg)
{
    weft_gen *gen = make(stack_left, arg);
    int       result = weft_gen_next(gen, NULL);

    weft_gen_destroy(gen);
    return result;
}

static void stack_is_the_runtimes(void **state)
{
    (void)state;
    size_t size = 300 * 1024;

    assert_int_equal(test_run(use_stack, &size, WEFT_OPTIONS(.workers = 1, .stack_size = size)), 0);
}

/* ---- seen from outside -------------------------------------------------------------------------------- */

static noinline int sleep_in_body(void)
{
    int reason = weft_sleep(WEFT_NEVER);

    return reason ? reason : -EIO;
}

static int sleeping_body(weft_gen *self, void *arg)
{
    (void)arg;
    weft_gen_yield(self, NULL, NULL);
    int reason = sleep_in_body();
    return reason - 1;
}

static int outer_of_sleeping_body(weft_gen *self, void *arg)
{
    weft_gen *inner = make(sleeping_body, arg);
    int       result = weft_gen_yield_from(self, inner);

    weft_gen_destroy(inner);
    return result;
}

static noinline int resumer_of_sleeping_body(void *arg)
{
    weft_gen *gen = make(outer_of_sleeping_body, arg);

    weft_gen_next(gen, NULL);
    int result = weft_gen_next(gen, NULL);
    weft_gen_destroy(gen);
    return result;
}

static char *dumped;

static int dump_one_that_sleeps(void *arg)
{
    weft_task task;

    (void)arg;
    weft_spawn(&task, resumer_of_sleeping_body, NULL);
    do { /* until it sleeps */
        weft_yield();
        free(dumped);
        dumped = test_dump_text();
    } while (!strstr(dumped, "sleep_in_body"));
    weft_cancel(&task);
    return weft_await(&task);
}

/* The frames of a task that waits in a body: all, from there down to the task's own. */
static void dump_shows_the_bodies_of_a_task(void **state)
{
    (void)state;
    static const char *const names[] = {"sleep_in_body", "sleeping_body", "outer_of_sleeping_body",
                                        "resumer_of_sleeping_body"};

    for (unsigned workers = 1; workers <= 2; workers++) {
        assert_int_equal(test_run(dump_one_that_sleeps, NULL, WEFT_OPTIONS(.workers = workers)), -ECANCELED - 1);
        const char *at = dumped;
        for (size_t i = 0; i < TEST_LENGTH(names); i++) {
            char name[64];
            snprintf(name, sizeof name, " %s", names[i]);
            const char *found = strstr(at, name);
            if (!found) print_error("%s is not at its place in:\n%s\n", names[i], dumped);
            assert_non_null(found);
            at = found + 1;
        }
        free(dumped);
        dumped = NULL;
    }
}

/* ---- in threads -------------------------------------------------------------------------------------------------- */

struct relay {
    weft_gen  *gen;
    atomic_int turn;
    int        threads, rounds;
};

struct runner {
    struct relay *relay;
    int           index;
};

static void run_relay(void *arg)
{
    struct runner *runner = arg;
    struct relay  *relay = runner->relay;

    for (int i = runner->index; i < relay->rounds; i += relay->threads) {
        while (atomic_load_explicit(&relay->turn, memory_order_relaxed) != i) sched_yield();
        task_check(weft_gen_next(relay->gen, NULL) == 1);
        /* Relaxed: that the next one sees what the body did is the generator's own doing. */
        atomic_store_explicit(&relay->turn, i + 1, memory_order_relaxed);
    }
}

static int set_errno(weft_gen *self, void *arg)
{
    for (int i = 0; i < *(int *)arg; i++) {
        errno = i;
        task_check(errno == i);
        if (weft_gen_yield(self, &i, NULL)) return 0;
        errno = i;
        task_check(errno == i);
    }
    return 0;
}

static void pass_around(weft_gen_fn *fn)
{
    enum { THREADS = 4 };
    int           rounds = (int)test_scale(4000);
    struct relay  relay = {.gen = make(fn, &rounds), .threads = THREADS, .rounds = rounds};
    struct runner runners[THREADS];
    test_thread   threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        runners[i] = (struct runner){&relay, i};
        test_thread_start(&threads[i], run_relay, &runners[i]);
    }
    for (int i = 0; i < THREADS; i++) test_thread_join(&threads[i]);
    weft_gen_destroy(relay.gen);
    assert_task_checks();
}

static int delegate_count(weft_gen *self, void *arg)
{
    weft_gen *inner = make(count_up, arg);
    int       result = weft_gen_yield_from(self, inner);

    weft_gen_destroy(inner);
    return result;
}

static void generator_goes_from_thread_to_thread(void **state)
{
    (void)state;
    pass_around(count_up);
    pass_around(delegate_count);
    pass_around(set_errno);
}

/* ---- what it takes ----------------------------------------------------------------------------------------------- */

static size_t resident(void)
{
    unsigned long size, pages = 0;
    FILE         *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%lu %lu", &size, &pages) != 2) abort();
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void many_live_in_a_page_each(void **state)
{
    (void)state;
    size_t     count = test_stacks(100000);
    int        n = 2;
    weft_gen **gens = malloc(count * sizeof *gens);

    assert_non_null(gens);
    memset(gens, 1, count * sizeof *gens);
    size_t before = resident();
    for (size_t i = 0; i < count; i++) {
        gens[i] = make(count_up, &n);
        assert_int_equal(next(gens[i]), 0);
    }
    size_t after = resident();
    for (size_t i = 0; i < count; i++) assert_int_equal(next(gens[i]), 1);
    for (size_t i = 0; i < count; i++) weft_gen_destroy(gens[i]);
    free(gens);
    if (!TEST_TSAN && !TEST_ASAN) assert_in_range((after - before) / count, 1, 6000);
}

/* Of many that lived at once all but a few stacks are given back. */
static void little_is_left_of_many(void **state)
{
    (void)state;
    struct test_census before, after;
    size_t             count = test_stacks(100000);
    int                n = 2;
    weft_gen         **gens = malloc(count * sizeof *gens);

    assert_non_null(gens);
    for (int order = 0; order < 3; order++) {
        weft_gen_destroy(make(count_up, &n));
        test_census(&before);
        for (size_t i = 0; i < count; i++) {
            gens[i] = make(count_up, &n);
            if (i % 16 == 0) assert_int_equal(next(gens[i]), 0);
        }
        uint32_t chance = 3;
        for (size_t i = count; order == 2 && i > 1; i--) {
            size_t    at = test_random(&chance) % i;
            weft_gen *other = gens[at];
            gens[at] = gens[i - 1];
            gens[i - 1] = other;
        }
        for (size_t i = 0; i < count; i++) weft_gen_destroy(gens[order == 1 ? count - 1 - i : i]);
        test_census(&after);
        if (TEST_TSAN || TEST_ASAN) continue; /* they map for themselves */
        assert_in_range(after.mappings, 0, before.mappings + 200);
        assert_in_range(after.address_space, 0, before.address_space + ((size_t)32 << 20));
    }
    free(gens);
}

static void many_made_and_destroyed_stay_few(void **state)
{
    (void)state;
    size_t count = test_scale(1000000), early = 0;
    int    n = 3;
    enum { LIVE = 100 };
    weft_gen *gens[LIVE] = {NULL};

    for (size_t i = 0; i < count; i++) {
        weft_gen **gen = &gens[i * 7 % LIVE];
        weft_gen_destroy(*gen);
        *gen = make(count_up, &n);
        if (i % 3) assert_int_equal(next(*gen), 0);
        if (i == count / 10) early = resident();
    }
    size_t late = resident();
    for (size_t i = 0; i < LIVE; i++) weft_gen_destroy(gens[i]);
    if (!TEST_TSAN && !TEST_ASAN) assert_in_range(late, 0, early + ((size_t)1 << 20));
}

/* In every state, without anybody's help: what was taken away and what was recycled leave nothing. */
static void those_taken_away_leave_nothing(void **state)
{
    (void)state;
    size_t             count = TEST_TSAN ? 8500 : test_scale(200000); /* more than ThreadSanitizer holds */
    struct manners     stubborn = {INT32_MAX, 0};
    struct test_census before, after;

    for (size_t i = 0; i < count; i++) {
        if (i == count / 10) test_census(&before);
        weft_gen *gen = make(with_manners, &stubborn);
        assert_int_equal(next(gen), 0);
        weft_gen_destroy(gen);
        story_length = 0;
    }
    story[0] = '\0';
    test_census(&after);
    assert_in_range(after.mappings, 0, before.mappings + 50);
    assert_in_range(after.address_space, 0, before.address_space + ((size_t)256 << 20));
}

/* ---- what cannot be had ------------------------------------------------------------------------------------------ */

static atomic_bool memory_fails;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t size)
{
    return memory_fails ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return memory_fails ? NULL : __real_calloc(count, size);
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (!memory_fails) return __real_mmap(address, size, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

static void create_says_when_there_is_no_memory(void **state)
{
    (void)state;
    enum { MOST = 5000 };
    static weft_gen *gens[MOST];
    static char      large[1000];
    int              n = 1, error = 0, count = 0;

    memory_fails = true;
    for (; count < MOST && !(error = weft_gen_create(&gens[count], count_up, &n, sizeof n)); count++) continue;
    weft_gen *one = (weft_gen *)&n;
    int       large_error = weft_gen_create(&one, count_up, large, sizeof large);
    memory_fails = false;
    assert_int_equal(error, -ENOMEM);
    assert_null(gens[count]);
    assert_int_equal(large_error, -ENOMEM);
    assert_null(one);
    /* Those that there was a stack for are as good as any. */
    for (int i = 0; i < count; i++) {
        assert_int_equal(next(gens[i]), 0);
        weft_gen_destroy(gens[i]);
    }
    one = make(count_up, &n);
    assert_int_equal(next(one), 0);
    weft_gen_destroy(one);
}

/* ---- programs that die ------------------------------------------------------------------------------------------- */

/* With a frame that is really there. */
static noinline int recurse(int depth)
{
    volatile char frame[256];

    frame[0] = (char)depth;
    return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

int overflowing_body(weft_gen *self, void *arg);

int overflowing_body(weft_gen *self, void *arg)
{
    weft_gen_yield(self, NULL, NULL);
    weft_yield();
    return recurse(*(int *)arg);
}

static int resume_overflowing(void *arg)
{
    weft_gen *gen = make(overflowing_body, arg);

    weft_gen_next(gen, NULL);
    return weft_gen_next(gen, NULL);
}

static int overflow_in_task(void)
{
    return weft_run(resume_overflowing, &(int){0}, WEFT_OPTIONS(.workers = 1, .stack_size = 128 * 1024));
}

static void overflow_is_reported(void **state)
{
    (void)state;
    static struct test_child child;

    test_child_run(&child, "overflow_in_task");
    if (!strstr(child.text, "overflowing_body")) print_error("the child said: %s\n", child.text);
    assert_non_null(strstr(child.text, "generator overflowing_body"));
    assert_non_null(strstr(child.text, "131072"));
    assert_true(WIFSIGNALED(child.status));
    assert_int_equal(WTERMSIG(child.status), SIGSEGV);
}

/* Writes below its stack and comes back. */
static int write_below(weft_gen *self, void *arg)
{
    char *here = __builtin_frame_address(0);
    char *low = (char *)((uintptr_t)here & ~(STACK_DEFAULT - 1));

    *(volatile char *)low = 1;
    if (arg) weft_yield();
    weft_gen_yield(self, NULL, NULL);
    return 0;
}

static int resume_writer(void *arg)
{
    weft_gen *gen = make(write_below, arg);

    weft_gen_next(gen, NULL);
    return 0;
}

static int canary_in_thread(void)
{
    atomic_store(&stack_guard_best, STACK_GUARD_CANARY);
    return resume_writer(NULL);
}

static int write_and_wait(void *arg)
{
    weft_task task;
    int       count = 0;

    weft_spawn(&task, yield_and_count, &count); /* so that the body's yield leaves the stack */
    resume_writer(&arg);
    return weft_await(&task);
}

static int canary_in_task(void)
{
    atomic_store(&stack_guard_best, STACK_GUARD_CANARY);
    return weft_run(write_and_wait, NULL, WEFT_OPTIONS(.workers = 1));
}

static int destroy_itself(weft_gen *self, void *arg)
{
    (void)arg;
    weft_gen_destroy(self);
    return 0;
}

static int destroy_running(void)
{
    return weft_gen_next(make(destroy_itself, NULL), NULL);
}

static int leave_scope_open(weft_gen *self, void *arg)
{
    weft_scope scope;

    (void)arg;
    weft_scope_open(&scope, NULL);
    weft_gen_yield(self, NULL, NULL);
    return weft_scope_close(&scope);
}

static int resume_once(void *arg)
{
    (void)arg;
    return weft_gen_next(make(leave_scope_open, NULL), NULL);
}

static int yield_in_scope(void)
{
    return weft_run(resume_once, NULL, NULL);
}

static void broken_programs_are_stopped(void **state)
{
    (void)state;
    static const char *const parts[] = {"canary_in_thread", "canary_in_task", "destroy_running", "yield_in_scope"};
    static const char *const words[] = {"overflow", "overflow", "destroyed", "scope"};

    for (size_t i = 0; i < TEST_LENGTH(parts); i++) assert_part_stops(parts[i], words[i]);
}

int main(int argc, char **argv)
{
    const struct test_part parts[] = {
        {"overflow_in_task", overflow_in_task}, {"canary_in_thread", canary_in_thread},
        {"canary_in_task", canary_in_task},     {"destroy_running", destroy_running},
        {"yield_in_scope", yield_in_scope},
    };
    test_child_main(argc, argv, parts, TEST_LENGTH(parts));

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_in_order),
        cmocka_unit_test(value_need_not_be_wanted),
        cmocka_unit_test(value_may_be_null),
        cmocka_unit_test(nothing_runs_before_it_is_resumed),
        cmocka_unit_test(argument_is_copied),
        cmocka_unit_test(argument_may_be_itself),
        cmocka_unit_test(error_is_said_once),
        cmocka_unit_test(what_is_sent_comes_out_of_the_yield),
        cmocka_unit_test(what_is_thrown_comes_out_of_the_yield),
        cmocka_unit_test(close_asks_it_to_end),
        cmocka_unit_test(destroy_closes_first),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(one_that_runs_is_busy),
        cmocka_unit_test(only_the_body_yields),
        cmocka_unit_test(values_go_straight_through),
        cmocka_unit_test(what_is_sent_goes_straight_through),
        cmocka_unit_test(what_is_thrown_goes_straight_through),
        cmocka_unit_test(error_of_the_inner_is_the_outers_to_judge),
        cmocka_unit_test(inner_may_be_anywhere),
        cmocka_unit_test(chain_may_become_the_tail_of_another),
        cmocka_unit_test(round_is_refused),
        cmocka_unit_test(closing_goes_from_the_inside_out),
        cmocka_unit_test(close_that_was_refused_is_over),
        cmocka_unit_test(thrown_cancel_is_not_a_close),
        cmocka_unit_test(inner_destroyed_is_as_if_closed),
        cmocka_unit_test(outer_destroyed_sets_the_inner_free),
        cmocka_unit_test(delegation_has_no_depth_limit),
        cmocka_unit_test(chain_grows_outwards),
        cmocka_unit_test(filters_may_be_put_behind_each_other),
        cmocka_unit_test(tree_is_walked_by_recursion),
        cmocka_unit_test(body_may_wait),
        cmocka_unit_test(body_is_the_task_that_resumes_it),
        cmocka_unit_test(body_may_open_scopes),
        cmocka_unit_test(tasks_run_in_place_again),
        cmocka_unit_test(generator_outlives_its_runtime),
        cmocka_unit_test(stack_is_the_runtimes),
        cmocka_unit_test(dump_shows_the_bodies_of_a_task),
        cmocka_unit_test(generator_goes_from_thread_to_thread),
        cmocka_unit_test(create_says_when_there_is_no_memory),
        cmocka_unit_test(many_live_in_a_page_each),
        cmocka_unit_test(little_is_left_of_many),
        cmocka_unit_test(many_made_and_destroyed_stay_few),
        cmocka_unit_test(those_taken_away_leave_nothing),
        cmocka_unit_test(overflow_is_reported),
        cmocka_unit_test(broken_programs_are_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
