/* permutations.c - all orders of a few letters, by a generator that delegates to itself
 *
 * The order is made in one array, in place: each level swaps, delegates to the next, and
 * swaps back.  What is yielded is the array itself.
 */
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

struct order {
    char  *letters;
    size_t from, length; /* those from here on are permuted */
};

static int permute(weft_gen *self, void *arg)
{
    struct order *order = arg;
    char         *letters = order->letters;

    if (order->from + 1 >= order->length) return weft_gen_yield(self, letters, NULL);
    for (size_t i = order->from; i < order->length; i++) {
        /* Turned, not swapped, so that they come in the order of the alphabet. */
        char last = letters[i];
        memmove(letters + order->from + 1, letters + order->from, i - order->from);
        letters[order->from] = last;

        struct order rest = {letters, order->from + 1, order->length};
        weft_gen    *inner;
        int          error = weft_gen_create(&inner, permute, &rest, sizeof rest);
        if (!error) error = weft_gen_yield_from(self, inner);
        weft_gen_destroy(inner);
        if (error) return error;

        memmove(letters + order->from, letters + order->from + 1, i - order->from);
        letters[i] = last;
    }
    return 0;
}

int main(void)
{
    char         letters[] = "abcdefgh", before[sizeof letters] = "";
    struct order order = {letters, 0, strlen(letters)};
    weft_gen    *gen;
    void        *value;
    int          count = 0, unordered = 0;

    if (weft_gen_create(&gen, permute, &order, sizeof order)) return 1;
    for (; weft_gen_next(gen, &value) == 1; count++) {
        if (strcmp(before, value) >= 0) unordered++;
        memcpy(before, value, sizeof before);
        if (count % 10000 == 0) printf("number %d: %s\n", count, before);
    }
    weft_gen_destroy(gen);
    printf("%d orders, the last one %s\n", count, before);
    return count == 40320 && !unordered && !strcmp(before, "hgfedcba") && !strcmp(letters, "abcdefgh") ? 0 : 1;
}
