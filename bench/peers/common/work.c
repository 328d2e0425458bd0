/* work.c - the parts of the subjects that no library has a hand in */
#define _GNU_SOURCE
#include "work.h"
#include "peer.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *memory(size_t size)
{
    void *got = malloc(size);
    if (!got) peer_fail("no memory");
    return got;
}

static uint64_t solutions(uint32_t all, uint32_t columns, uint32_t left, uint32_t right)
{
    uint64_t found = 0;
    if (columns == all) return 1;
    for (uint32_t free = all & ~(columns | left | right); free; free &= free - 1) {
        uint32_t place = free & -free;
        found += solutions(all, columns | place, (left | place) << 1, (right | place) >> 1);
    }
    return found;
}

uint64_t board_solutions(const struct board *b)
{
    return solutions((UINT32_C(1) << b->size) - 1, b->columns, b->left, b->right);
}

/* ---- sorting ------------------------------------------------------------- */

uint32_t *work_random_array(size_t count)
{
    uint32_t *array = memory(count * sizeof *array);
    uint64_t  state = WORK_SEED;
    for (size_t i = 0; i < count; i++) array[i] = (uint32_t)work_random(&state);
    return array;
}

uint64_t work_sorted_check(const uint32_t *array, size_t count)
{
    uint64_t check = 0;
    for (size_t i = 0; i < count; i++) check += array[i] * (uint64_t)(i + 1);
    return check;
}

static void insertion_sort(uint32_t *array, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint32_t moved = array[i];
        size_t   k = i;
        for (; k > 0 && array[k - 1] > moved; k--) array[k] = array[k - 1];
        array[k] = moved;
    }
}

void work_merge(uint32_t *array, uint32_t *scratch, size_t middle, size_t count)
{
    size_t left = 0, right = middle, out = 0;
    memcpy(scratch, array, middle * sizeof *array);
    while (left < middle && right < count)
        array[out++] = array[right] < scratch[left] ? array[right++] : scratch[left++];
    memcpy(array + out, scratch + left, (middle - left) * sizeof *array);
}

void work_sort(uint32_t *array, uint32_t *scratch, size_t count)
{
    size_t middle = count / 2;
    if (count <= 32) {
        insertion_sort(array, count);
        return;
    }
    work_sort(array, scratch, middle);
    work_sort(array + middle, scratch + middle, count - middle);
    work_merge(array, scratch, middle, count);
}

/* ---- matrices and numbers ------------------------------------------------ */

struct matrices work_matrices(size_t n)
{
    size_t          size = n * n * sizeof(double);
    struct matrices m = {n, memory(size), memory(size), memory(size)};
    for (size_t i = 0; i < n * n; i++) m.a[i] = (double)(i % 7), m.b[i] = (double)(i % 5);
    return m;
}

void work_multiply_rows(const struct matrices *m, size_t begin, size_t end)
{
    size_t n = m->n;
    memset(m->c + begin * n, 0, (end - begin) * n * sizeof(double));
    for (size_t i = begin; i < end; i++)
        for (size_t k = 0; k < n; k++) {
            const double *restrict b = m->b + k * n;
            double *restrict c = m->c + i * n;
            double factor = m->a[i * n + k];
            for (size_t j = 0; j < n; j++) c[j] += factor * b[j];
        }
}

uint64_t work_product_check(const struct matrices *m)
{
    double sum = 0;
    for (size_t i = 0; i < m->n * m->n; i++) sum += m->c[i] * (double)(i % 3 + 1);
    return (uint64_t)sum;
}

uint32_t *work_numbers(size_t count)
{
    uint32_t *array = memory(count * sizeof *array);
    for (size_t i = 0; i < count; i++) array[i] = (uint32_t)i;
    return array;
}

uint64_t work_add_up(const uint32_t *array, size_t begin, size_t end)
{
    uint64_t sum = 0;
    for (size_t i = begin; i < end; i++) sum += array[i];
    return sum;
}

/* ---- files --------------------------------------------------------------- */

static struct file_list listed;

static int list_file(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)where;
    if (kind != FTW_F) return 0;
    listed.path = realloc(listed.path, (listed.count + 1) * sizeof *listed.path);
    char *copy = strdup(path);
    if (!listed.path || !copy) peer_fail("no memory");
    listed.path[listed.count++] = copy;
    return 0;
}

struct file_list work_list_files(const char *directory)
{
    listed = (struct file_list){0};
    if (nftw(directory, list_file, 16, FTW_PHYS) != 0 || listed.count == 0) peer_fail("no files are to be read");
    return listed;
}

static inline int is_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

uint64_t work_count_words(const char *path)
{
    unsigned char buffer[16 << 10];
    uint64_t      words = 0;
    int           before = 1, fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t       got;

    if (fd < 0) peer_fail("a file cannot be opened");
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            int space = is_space(buffer[i]);
            words += (uint64_t)(before & !space);
            before = space;
        }
    if (got < 0) peer_fail("a file cannot be read");
    close(fd);
    return words;
}
