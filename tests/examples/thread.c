/* thread.c - a program with threads of its own calls into a runtime and waits for the answer */
#include <pthread.h>
#include <stdio.h>

#include <weft/weft.h>

static weft_runtime *runtime;

struct question {
    int       base;
    long long squares;
};

static void add_squares(size_t begin, size_t end, void *arg)
{
    long long *sums = arg;

    for (size_t i = begin; i < end; i++) sums[i] = (long long)i * (long long)i;
}

/* Runs as a task: here pieces of the range run in parallel. */
static int answer(void *arg)
{
    struct question *question = arg;
    long long        squares[1000];

    weft_for(0, (size_t)question->base, 50, add_squares, squares);
    for (int i = 0; i < question->base; i++) question->squares += squares[i];
    return question->base;
}

/* Runs as a plain thread, which blocks in the call. */
static void *ask(void *arg)
{
    struct question *question = arg;

    if (weft_runtime_call(runtime, answer, question) != question->base) question->squares = -1;
    return NULL;
}

int main(void)
{
    struct question questions[4];
    pthread_t       threads[4];
    int             wrong = 0;

    if (weft_runtime_start(&runtime, NULL)) return 1;
    for (int i = 0; i < 4; i++) {
        questions[i] = (struct question){.base = 250 * (i + 1)};
        if (pthread_create(&threads[i], NULL, ask, &questions[i])) return 1;
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        long long n = questions[i].base;
        printf("the squares below %lld add up to %lld\n", n, questions[i].squares);
        wrong += questions[i].squares != (n - 1) * n * (2 * n - 1) / 6;
    }
    return weft_runtime_stop(runtime) || wrong ? 1 : 0;
}
