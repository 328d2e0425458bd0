/* sum.c - fork and join: a large array is summed by halves, over all cores */
#include <stdio.h>
#include <stdlib.h>

#include <weft/weft.h>

struct part {
    const int *numbers;
    size_t     count;
    long long  sum;
};

static int sum(void *arg)
{
    struct part *part = arg;

    if (part->count <= 1000) {
        for (size_t i = 0; i < part->count; i++) part->sum += part->numbers[i];
        return 0;
    }
    size_t      half = part->count / 2;
    struct part left = {part->numbers, half, 0};
    struct part right = {part->numbers + half, part->count - half, 0};
    weft_task   task;

    weft_spawn(&task, sum, &left);
    sum(&right);
    weft_await(&task);
    part->sum = left.sum + right.sum;
    return 0;
}

int main(void)
{
    const int count = 1000000;
    int      *numbers = malloc(count * sizeof *numbers);

    if (!numbers) return 1;
    for (int i = 0; i < count; i++) numbers[i] = i;

    struct part all = {numbers, count, 0};
    int         error = weft_run(sum, &all, NULL);
    free(numbers);
    if (error) {
        fprintf(stderr, "weft_run: error %d\n", error);
        return 1;
    }
    printf("the numbers below %d add up to %lld\n", count, all.sum);
    return all.sum == (long long)count * (count - 1) / 2 ? 0 : 1;
}
