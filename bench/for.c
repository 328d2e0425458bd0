/* for.c - loops over a range, in one go and in pieces
 *
 * Adding up an array is bound by memory, multiplying matrices by arithmetic,
 * and marking one element a piece by the loop itself.  The twin calls the same
 * body through a pointer, with pieces of the same grain, one after the other.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

struct loop {
    void (*body)(size_t begin, size_t end, void *arg);
    size_t end, grain; /* grain 0: the twin does all at once, weft chooses */
};

static size_t    length, side;
static uint32_t *array, *marks, passes;
static uint64_t  sum;
static double   *a, *b, *c;

static int run_in_turn(void *arg)
{
    const volatile struct loop *loop = arg; /* volatile: which body it is is not the compiler's to see */
    size_t                      end = loop->end, step = loop->grain ? loop->grain : end;
    for (size_t i = 0; i < end; i += step) loop->body(i, i + step < end ? i + step : end, NULL);
    return 0;
}

static int run_pieces(void *arg)
{
    const struct loop *loop = arg;
    weft_for(0, loop->end, loop->grain, loop->body, NULL);
    return 0;
}

static void compare(const char *what, const char *unit, struct loop loop, weft_fn *judge, double operations)
{
    const struct bench_side sides[] = {
        {.name = "one after the other", .run = run_in_turn, .judge = judge, .arg = &loop, .count = operations},
        {.name = "weft_for",
         .run = run_pieces,
         .judge = judge,
         .arg = &loop,
         .count = operations,
         .workers = BENCH_EACH},
    };
    bench_compare(what, unit, sides);
}

/* ---- the loops, and whether they did all their work once ----------------- */

static void add_up(size_t begin, size_t end, void *arg)
{
    uint64_t part = 0;
    (void)arg;
    for (size_t i = begin; i < end; i++) part += array[i];
    __atomic_fetch_add(&sum, part, __ATOMIC_RELAXED);
}

static int judge_sum(void *arg)
{
    uint64_t was = sum;
    (void)arg;
    sum = 0;
    return was != (uint64_t)length * (length - 1) / 2;
}

static void multiply_rows(size_t begin, size_t end, void *arg)
{
    (void)arg;
    memset(c + begin * side, 0, (end - begin) * side * sizeof(*c));
    for (size_t i = begin; i < end; i++)
        for (size_t k = 0; k < side; k++)
            for (size_t j = 0; j < side; j++) c[i * side + j] += a[i * side + k] * b[k * side + j];
}

/* All elements of a product add up to column sums times row sums; whole
 * numbers that are small make it exact. */
static int judge_product(void *arg)
{
    double expected = 0, is = 0;
    (void)arg;
    for (size_t k = 0; k < side; k++) {
        double column = 0, row = 0;
        for (size_t i = 0; i < side; i++) column += a[i * side + k], row += b[k * side + i];
        expected += column * row;
    }
    for (size_t i = 0; i < side * side; c[i++] = -1) is += c[i];
    return is != expected;
}

static void mark(size_t begin, size_t end, void *arg)
{
    (void)arg;
    for (size_t i = begin; i < end; i++) marks[i]++;
}

static int judge_marks(void *arg)
{
    int wrong = 0;
    (void)arg;
    passes++;
    for (size_t i = 0; i < length; i++) wrong |= marks[i] != passes;
    return wrong;
}

int main(int argc, char **argv)
{
    bench_start("for", argc, argv);
    length = (size_t)bench_size(4 << 20, 1 << 16);
    side = (size_t)bench_size(320, 64);
    array = malloc(length * sizeof(*array));
    marks = calloc(length, sizeof(*marks));
    a = malloc(side * side * sizeof(*a));
    b = malloc(side * side * sizeof(*b));
    c = malloc(side * side * sizeof(*c));
    if (!array || !marks || !a || !b || !c) bench_fail("no memory");
    for (size_t i = 0; i < length; i++) array[i] = (uint32_t)i;
    for (size_t i = 0; i < side * side; i++) a[i] = (double)(i % 7), b[i] = (double)(i % 5);

    compare("adding up an array", "element", (struct loop){add_up, length, 0}, judge_sum, (double)length);
    compare("multiplying matrices", "multiply and add", (struct loop){multiply_rows, side, 0}, judge_product,
            (double)(side * side * side));
    compare("one element a piece", "piece", (struct loop){mark, length, 1}, judge_marks, (double)length);
    free(c), free(b), free(a), free(marks), free(array);
    return bench_end();
}
