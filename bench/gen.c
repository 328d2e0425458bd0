/* gen.c - what a value costs that a generator hands out
 *
 * The numbers from 0 on are added up.  They come from a generator; from two contexts of
 * Boost.Context that do nothing but jump to each other, which is the least that it could
 * take; from a function that is called with each of them; from a state machine
 * written by hand, whose step is called through a pointer; and, if it is on the machine, from a
 * generator of Python's.  Then from a generator to which others delegate, ever more of them, and from
 * one that is made anew for every few of them.
 */
#include "bench.h"
#include "jump.h"

#include <stdio.h>
#include <stdlib.h>

static long count; /* of the numbers */

static int judge(long sum)
{
    return sum != count * (count - 1) / 2;
}

/* ---- two that jump ---------------------------------------------------------- */

static char stack[64 * 1024] __attribute__((aligned(64)));

static void jump_numbers(struct transfer from)
{
    for (long i = 0;; i++) from = jump_fcontext(from.context, &i);
}

static int run_jumps(void *arg)
{
    struct transfer other = {make_fcontext(stack + sizeof(stack), sizeof(stack), jump_numbers), NULL};
    long            sum = 0;

    (void)arg;
    for (long i = 0; i < count; i++) {
        other = jump_fcontext(other.context, NULL);
        sum += *(long *)other.data;
    }
    return judge(sum);
}

/* ---- a generator ------------------------------------------------------------ */

static int yield_numbers(weft_gen *self, void *arg)
{
    int error = 0;

    (void)arg;
    for (long i = 0; !error; i++) error = weft_gen_yield(self, &i, NULL);
    return error;
}

static int add_numbers(weft_gen *gen)
{
    long  sum = 0;
    void *value;

    for (long i = 0; i < count && weft_gen_next(gen, &value) == 1; i++) sum += *(long *)value;
    weft_gen_destroy(gen);
    return judge(sum);
}

static int run_generator(void *arg)
{
    weft_gen *gen;

    (void)arg;
    return weft_gen_create(&gen, yield_numbers, NULL, 0) || add_numbers(gen);
}

/* ---- the same without ------------------------------------------------------- */

static void call_with_numbers(void (*each)(long i, void *arg), void *arg)
{
    for (long i = 0; i < count; i++) each(i, arg);
}

static void add(long i, void *arg)
{
    *(long *)arg += i;
}

/* Through pointers of which the compiler knows nothing, as from a library. */
static void (*volatile call_each)(void (*each)(long i, void *arg), void *arg) = call_with_numbers;
static void (*volatile add_each)(long i, void *arg) = add;

static int run_callback(void *arg)
{
    long sum = 0;

    (void)arg;
    call_each(add_each, &sum);
    return judge(sum);
}

struct machine {
    enum { AT_START, AT_NUMBER } state;
    long i;
};

static int step_machine(struct machine *machine, void **value)
{
    switch (machine->state) {
    case AT_START:
        machine->i = 0;
        machine->state = AT_NUMBER;
        break;
    case AT_NUMBER: machine->i++; break;
    }
    *value = &machine->i;
    return 1;
}

static int (*volatile step)(struct machine *machine, void **value) = step_machine;

static int run_machine(void *arg)
{
    struct machine machine = {AT_START, 0};
    long           sum = 0;
    void          *value;

    (void)arg;
    for (long i = 0; i < count && step(&machine, &value) == 1; i++) sum += *(long *)value;
    return judge(sum);
}

/* ---- delegating --------------------------------------------------------------- */

static int delegate(weft_gen *self, void *arg)
{
    long      depth = *(long *)arg - 1;
    weft_gen *inner;
    int       error = weft_gen_create(&inner, depth > 0 ? delegate : yield_numbers, &depth, sizeof(depth));

    if (error) return error;
    error = weft_gen_yield_from(self, inner);
    weft_gen_destroy(inner);
    return error;
}

/* A chain that stands ready, so that making it is not measured: it hands out one number after the other. */
struct chain {
    long      depth;
    weft_gen *gen;
};

static int run_chain(void *arg)
{
    struct chain *chain = arg;
    long          sum = 0, first = 0;
    void         *value;

    for (long i = 0; i < count && weft_gen_next(chain->gen, &value) == 1; i++) {
        if (i == 0) first = *(long *)value;
        sum += *(long *)value - first;
    }
    return judge(sum);
}

static void chain_begin(struct chain *chain)
{
    void *value;

    if (weft_gen_create(&chain->gen, delegate, &chain->depth, 0) || weft_gen_next(chain->gen, &value) != 1)
        bench_fail("no chain of %ld generators is to be had", chain->depth);
}

/* ---- made anew --------------------------------------------------------------- */

enum { FEW = 10 };

static int yield_few(weft_gen *self, void *arg)
{
    for (long i = *(long *)arg, end = i + FEW; i < end; i++) weft_gen_yield(self, &i, NULL);
    return 0;
}

static int run_made_anew(void *arg)
{
    long  sum = 0;
    void *value;

    (void)arg;
    for (long i = 0; i < count; i += FEW) {
        weft_gen *gen;
        if (weft_gen_create(&gen, yield_few, &i, sizeof(i))) return 1;
        while (weft_gen_next(gen, &value) == 1) sum += *(long *)value;
        weft_gen_destroy(gen);
    }
    return judge(sum);
}

/* ---- Python's ------------------------------------------------------------------ */

/* Nanoseconds a number; 0: there is no Python here. */
static double python(void)
{
    FILE  *pipe = popen("python3 -c '\n"
                         "import time\n"
                         "def numbers():\n"
                         "    i = 0\n"
                         "    while True:\n"
                         "        yield i\n"
                         "        i += 1\n"
                         "n, total, gen = 1000000, 0, numbers()\n"
                         "begin = time.perf_counter()\n"
                         "for i in range(n): total += next(gen)\n"
                         "print((time.perf_counter() - begin) / n * 1e9)' 2>/dev/null",
                        "r");
    double ns = 0;

    if (!pipe) return 0;
    if (fscanf(pipe, "%lf", &ns) != 1) ns = 0;
    pclose(pipe);
    return ns;
}

int main(int argc, char **argv)
{
    bench_start("gen", argc, argv);
    count = bench_size(2000000, 20000);

    const struct bench_side sides[] = {
        {.name = "two jump_fcontext", .run = run_jumps, .count = (double)count},
        {.name = "weft_gen_next", .run = run_generator, .count = (double)count},
        {.name = "weft_gen_next in a task", .run = run_generator, .count = (double)count, .workers = 1},
        {.name = "a callback", .run = run_callback, .count = (double)count},
        {.name = "a state machine", .run = run_machine, .count = (double)count},
        {.name = "made anew for every 10", .run = run_made_anew, .count = (double)count},
    };
    bench_compare("numbers, one at a time", "number", sides);
    double ns = bench_options.quick ? 0 : python();
    if (ns > 0) bench_value("a generator of Python's", ns, "ns a number");

    static struct chain chains[] = {{.depth = 1}, {.depth = 10}, {.depth = 1000}, {.depth = 10000}};
    struct bench_side   deep[] = {
          {.name = "1 delegates"},
          {.name = "10 delegate"},
          {.name = "1,000 delegate"},
          {.name = "10,000 delegate"},
    };
    size_t few = sizeof(chains) / sizeof(*chains);
    /* Sanitizers, which run this with --quick, hold fewer stacks. */
    if (bench_options.quick) chains[few - 1].depth = 2000;
    for (size_t i = 0; i < few; i++) {
        chain_begin(&chains[i]);
        deep[i].run = run_chain;
        deep[i].arg = &chains[i];
        deep[i].count = (double)count;
    }
    bench_compare("numbers, through others", "number", deep);
    for (size_t i = 0; i < few; i++) weft_gen_destroy(chains[i].gen);
    return bench_end();
}
