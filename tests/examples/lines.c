/* lines.c - the lines of a file, one at a time, however large it is
 *
 * One generator reads blocks and yields lines; another takes its lines and yields records, which
 * go over several lines.  Neither knows more of the file than a block, and whoever holds them writes a plain
 * loop.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/weft.h>

enum { BLOCK = 4096, LINE = 1000 };

/* Yields each line of the descriptor, without its end. */
static int lines(weft_gen *self, void *arg)
{
    int     fd = *(int *)arg;
    char    block[BLOCK], line[LINE];
    size_t  length = 0;
    ssize_t got;

    while ((got = read(fd, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (block[i] != '\n') {
                if (length == LINE - 1) return -EMSGSIZE;
                line[length++] = block[i];
                continue;
            }
            line[length] = '\0';
            length = 0;
            int error = weft_gen_yield(self, line, NULL);
            if (error) return error;
        }
    }
    return got < 0 ? -errno : 0;
}

struct record {
    long id, sum, count;
};

/* Yields each record: a line "record ID", then its numbers, one a line. */
static int records(weft_gen *self, void *arg)
{
    weft_gen     *source;
    struct record record = {-1, 0, 0};
    void         *line;
    int           error = weft_gen_create(&source, lines, arg, sizeof(int));

    while (!error && weft_gen_next(source, &line) == 1) {
        long id;
        if (sscanf(line, "record %ld", &id) == 1) {
            if (record.id >= 0) error = weft_gen_yield(self, &record, NULL);
            record = (struct record){id, 0, 0};
        } else {
            record.sum += strtol(line, NULL, 10);
            record.count++;
        }
    }
    if (!error) error = weft_gen_result(source);
    if (!error && record.id >= 0) error = weft_gen_yield(self, &record, NULL);
    weft_gen_destroy(source);
    return error;
}

int main(void)
{
    enum { RECORDS = 20000 };
    FILE *file = tmpfile();
    long  total = 0, expected = 0, count = 0, wrong = 0;
    void *value;

    if (!file) return 1;
    for (long i = 0; i < RECORDS; i++) {
        fprintf(file, "record %ld\n", i);
        for (long n = 0; n < i % 37; n++) fprintf(file, "%ld\n", i + n);
        for (long n = 0; n < i % 37; n++) expected += i + n;
    }
    fflush(file);
    int fd = fileno(file);
    lseek(fd, 0, SEEK_SET);

    weft_gen *gen;
    if (weft_gen_create(&gen, records, &fd, sizeof fd)) return 1;
    for (; weft_gen_next(gen, &value) == 1; count++) {
        struct record *record = value;
        if (record->id != count || record->count != count % 37) wrong++;
        total += record->sum;
    }
    int error = weft_gen_result(gen);
    weft_gen_destroy(gen);
    printf("%ld records add up to %ld\n", count, total);
    fclose(file);
    return !error && !wrong && count == RECORDS && total == expected ? 0 : 1;
}
