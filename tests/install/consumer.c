/* consumer.c - a program that knows weft as installed */
#include <weft/weft.h>

struct fib {
    unsigned      n;
    unsigned long result;
};

static int fib(void *arg)
{
    struct fib *f = arg;
    struct fib  left = {f->n - 1, 0}, right = {f->n - 2, 0};
    weft_task   task;

    if (f->n < 2) {
        f->result = f->n;
        return 0;
    }
    weft_spawn(&task, fib, &left);
    fib(&right);
    weft_await(&task);
    f->result = left.result + right.result;
    return 0;
}

int main(void)
{
    struct fib f = {20, 0};

    return weft_run(fib, &f, WEFT_OPTIONS(.workers = 2)) != 0 || f.result != 6765;
}
