/* parser.c - a parser that is fed what arrives, and is written as if all of it were there
 *
 * Whoever holds it sends it pieces, cut anywhere; it yields NULL when it needs more, and else what it has
 * understood.  It keeps its place in the middle of a number or of a list in a list by being there: its
 * place is where its functions are.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/weft.h>

/* What it is fed, a piece at a time, each a string; an empty one is the end. */
struct input {
    weft_gen   *self;
    const char *at;
};

/* The next character, '\0' at the end; negative: an error was thrown in. */
static int peek(struct input *input)
{
    if (*input->at) return (unsigned char)*input->at;
    void *piece;
    int   error = weft_gen_yield(input->self, NULL, &piece);
    if (error) return error;
    input->at = piece;
    return (unsigned char)*input->at;
}

static int skip_spaces(struct input *input)
{
    int c;

    while ((c = peek(input)) > 0 && isspace(c)) input->at++;
    return c;
}

struct list {
    long sum;
    int  items, depth;
};

/* A number, or a list in parentheses: each is added to the sum. */
static int parse_item(struct input *input, struct list *list, int depth)
{
    int c = skip_spaces(input);

    if (depth > list->depth) list->depth = depth;
    if (c == '(') {
        input->at++;
        while ((c = skip_spaces(input)) != ')') {
            if (c == 0) return -EPROTO;
            int error = c < 0 ? c : parse_item(input, list, depth + 1);
            if (error) return error;
        }
        input->at++;
        return 0;
    }
    if (c < 0 || !isdigit(c)) return c < 0 ? c : -EPROTO;
    long number = 0;
    for (; (c = peek(input)) > 0 && isdigit(c); input->at++) number = number * 10 + (c - '0');
    list->sum += number;
    list->items++;
    return c < 0 ? c : 0;
}

/* Yields each item at the outermost level. */
static int parse(weft_gen *self, void *arg)
{
    struct input input = {self, ""};
    int          c;

    (void)arg;
    while ((c = skip_spaces(&input)) > 0) {
        struct list list = {0, 0, 0};
        int         error = parse_item(&input, &list, 0);
        /* It is asked for more only when what it had is used up, so nothing is sent with this. */
        if (!error) error = weft_gen_yield(self, &list, NULL);
        if (error) return error;
    }
    return c;
}

/* In pieces of so many characters; the sum of sums, or what went wrong. */
static long feed(const char *text, size_t size, int *items, int *depth)
{
    weft_gen *gen;
    void     *value;
    char      piece[100];
    long      sum = 0;

    *items = *depth = 0;
    if (weft_gen_create(&gen, parse, NULL, 0)) return -ENOMEM;
    int result = weft_gen_next(gen, &value);
    while (result == 1) {
        if (value) {
            struct list *list = value;
            sum += list->sum;
            *items += list->items;
            if (list->depth > *depth) *depth = list->depth;
            result = weft_gen_next(gen, &value);
        } else {
            snprintf(piece, sizeof piece, "%.*s", (int)size, text);
            text += strlen(piece);
            result = weft_gen_send(gen, piece, &value);
        }
    }
    weft_gen_destroy(gen);
    return result < 0 ? result : sum;
}

int main(void)
{
    const char *text = "1 22 (333 (4 (5) ()) 66)  7\n(8 90)10";
    int         items, depth, wrong = 0;

    for (size_t size = 1; size < 50; size++)
        if (feed(text, size, &items, &depth) != 546 || items != 10 || depth != 3) wrong++;
    printf("%d items, %d deep, add up to %ld\n", items, depth, feed(text, 3, &items, &depth));
    if (feed("1 (2", 1, &items, &depth) != -EPROTO || feed("1 x", 2, &items, &depth) != -EPROTO) wrong++;
    return wrong ? 1 : 0;
}
