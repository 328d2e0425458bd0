/* work.h - the parts of the subjects that no library has a hand in
 *
 * They are plain functions, so that all programs in C and C++ do the same between two calls of their library.  Those
 * in other languages have them translated.
 */
#ifndef WORK_H
#define WORK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers that everything random is drawn from: xorshift, from one start. */
#define WORK_SEED UINT64_C(88172645463325252)
static inline uint64_t work_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* What timer sleeps for, drawn in turn: 1 to 100 ms, in nanoseconds. */
static inline int64_t work_duration(uint64_t *state)
{
    return 1000000 + (int64_t)(work_random(state) % 99000000);
}

/* ---- queens: a board whose first rows are taken ---- */

enum { WORK_ALONE = 8, WORK_BOARD = 16 }; /* rows that are searched without tasks; the largest board */

struct board {
    uint32_t columns, left, right; /* attacked in the next row: straight, and by the two diagonals */
    int      size, rows;           /* rows still free */
};

static inline uint32_t board_places(const struct board *b)
{
    return ~(b->columns | b->left | b->right) & ((UINT32_C(1) << b->size) - 1);
}

/* With a queen more on `place`, one bit, of the next row. */
static inline struct board board_with(const struct board *b, uint32_t place)
{
    struct board next = {b->columns | place, (b->left | place) << 1, (b->right | place) >> 1, b->size, b->rows - 1};
    return next;
}

uint64_t board_solutions(const struct board *b);

/* ---- sorting: halves that are sorted apart, and merged ---- */

enum { WORK_SORT_ALONE = 4096 }; /* elements, that are sorted without tasks */

uint32_t *work_random_array(size_t count);
uint64_t  work_sorted_check(const uint32_t *array, size_t count);
void      work_merge(uint32_t *array, uint32_t *scratch, size_t middle, size_t count);
void      work_sort(uint32_t *array, uint32_t *scratch, size_t count);

/* ---- matrices, n by n; and an array to add up ---- */

struct matrices {
    size_t  n;
    double *a, *b, *c;
};
struct matrices work_matrices(size_t n);
void            work_multiply_rows(const struct matrices *m, size_t begin, size_t end);
uint64_t        work_product_check(const struct matrices *m);

uint32_t *work_numbers(size_t count); /* 0, 1, 2, ... */
uint64_t  work_add_up(const uint32_t *array, size_t begin, size_t end);

/* ---- the words of files ---- */

struct file_list {
    char **path;
    size_t count;
};
/* All regular files below a directory. */
struct file_list work_list_files(const char *directory);
/* What is between white space; ends the program if it cannot be read. */
uint64_t work_count_words(const char *path);

#ifdef __cplusplus
}
#endif
#endif /* WORK_H */
