/* openmp.c - the subjects in OpenMP: tasks that one thread of a team starts, and its own loops for loops
 *
 * The compiler's runtime is the one that is linked by -fopenmp.
 */
#include "../../uts_tree.h"
#include "../common/peer.h"
#include "../common/work.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1000, FAN = 10, LOCKERS = 64 };

static long fib_of(long n)
{
    long left, right;
    if (n < 2) return n;
#pragma omp task shared(left) firstprivate(n)
    left = fib_of(n - 1);
    right = fib_of(n - 2);
#pragma omp taskwait
    return left + right;
}

static uint64_t fib_work(void)
{
    return (uint64_t)fib_of(peer_size);
}

static void fib(void)
{
    peer_measure(fib_work);
}

static uint64_t spawn_work(void)
{
    static long counts[BATCH];
    uint64_t    sum = 0;
    memset(counts, 0, sizeof counts);
    for (long round = 0; round < peer_size / BATCH; round++) {
        for (int i = 0; i < BATCH; i++)
#pragma omp task firstprivate(i)
            counts[i]++;
#pragma omp taskwait
    }
    for (int i = 0; i < BATCH; i++) sum += (uint64_t)counts[i];
    return sum;
}

static void spawn(void)
{
    peer_measure(spawn_work);
}

static long skynet_of(long first, long leaves)
{
    long sums[FAN], sum = 0, share = leaves / FAN;
    if (leaves == 1) return first;
    for (int i = 0; i < FAN; i++)
#pragma omp task shared(sums) firstprivate(i)
        sums[i] = skynet_of(first + i * share, share);
#pragma omp taskwait
    for (int i = 0; i < FAN; i++) sum += sums[i];
    return sum;
}

static uint64_t skynet_work(void)
{
    return (uint64_t)skynet_of(0, peer_size);
}

static void skynet(void)
{
    peer_measure(skynet_work);
}

static struct uts_params tree;

struct found {
    uint64_t nodes, leaves;
    int      depth;
};

enum { CHUNK = 8 };

static struct found uts_of(const struct uts_node *node)
{
    int          count = uts_num_children(node, &tree);
    struct found all = {1, count == 0, node->depth}, below[CHUNK];
    for (int first = 0; first < count; first += CHUNK) {
        int here = count - first < CHUNK ? count - first : CHUNK;
        for (int i = 0; i < here; i++)
#pragma omp task shared(below) firstprivate(i, node, first)
        {
            struct uts_node child;
            uts_child(&child, node, first + i);
            below[i] = uts_of(&child);
        }
#pragma omp taskwait
        for (int i = 0; i < here; i++) {
            all.nodes += below[i].nodes;
            all.leaves += below[i].leaves;
            all.depth = below[i].depth > all.depth ? below[i].depth : all.depth;
        }
    }
    return all;
}

static uint64_t uts_work(void)
{
    struct uts_node root;
    uts_root(&root, &tree);
    struct found all = uts_of(&root);
    return all.nodes + all.leaves + (uint64_t)all.depth;
}

static void uts(void)
{
    tree = uts_t1;
    tree.limit = (int)peer_size;
    peer_measure(uts_work);
}

static uint64_t queens(const struct board *b)
{
    uint64_t below[WORK_BOARD] = {0}, sum = 0;
    int      count = 0;
    if (b->rows <= WORK_ALONE) return board_solutions(b);
    for (uint32_t free = board_places(b); free; free &= free - 1, count++) {
        struct board next = board_with(b, free & -free);
#pragma omp task shared(below) firstprivate(next, count)
        below[count] = queens(&next);
    }
#pragma omp      taskwait
    for (int i = 0; i < count; i++) sum += below[i];
    return sum;
}

static uint64_t nqueens_work(void)
{
    struct board empty = {.size = (int)peer_size, .rows = (int)peer_size};
    return queens(&empty);
}

static void nqueens(void)
{
    peer_measure(nqueens_work);
}

/* ---- loops, which have teams of their own --------------------------------- */

static struct matrices matrices;
static uint32_t       *numbers, *sorted, *scratch;

static uint64_t matmul_work(void)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < matrices.n; i++) work_multiply_rows(&matrices, i, i + 1);
    return work_product_check(&matrices);
}

static void matmul(void)
{
    matrices = work_matrices((size_t)peer_size);
    peer_measure(matmul_work);
}

static uint64_t reduce_work(void)
{
    uint64_t sum = 0;
#pragma omp parallel for reduction(+ : sum) schedule(static)
    for (long i = 0; i < peer_size; i++) sum += numbers[i];
    return sum;
}

static void reduce(void)
{
    numbers = work_numbers((size_t)peer_size);
    peer_measure(reduce_work);
}

static void sort_range(uint32_t *array, uint32_t *space, size_t count)
{
    size_t middle = count / 2;
    if (count <= WORK_SORT_ALONE) {
        work_sort(array, space, count);
        return;
    }
#pragma omp task
    sort_range(array + middle, space + middle, count - middle);
    sort_range(array, space, middle);
#pragma omp taskwait
    work_merge(array, space, middle, count);
}

static uint64_t sort_work(void)
{
    size_t count = (size_t)peer_size;
    memcpy(sorted, numbers, count * sizeof *sorted);
    sort_range(sorted, scratch, count);
    return work_sorted_check(sorted, count);
}

static void sort(void)
{
    numbers = work_random_array((size_t)peer_size);
    sorted = work_random_array((size_t)peer_size);
    scratch = work_random_array((size_t)peer_size);
    peer_measure(sort_work);
}

static uint64_t mutex_work(void)
{
    omp_lock_t lock;
    uint64_t   count = 0;
    omp_init_lock(&lock);
    for (int i = 0; i < LOCKERS; i++)
#pragma omp task shared(lock, count)
        for (long k = peer_size / LOCKERS; k > 0; k--) {
            omp_set_lock(&lock);
            count++;
            omp_unset_lock(&lock);
        }
#pragma omp taskwait
    omp_destroy_lock(&lock);
    return count;
}

static void mutex(void)
{
    peer_measure(mutex_work);
}

static struct file_list files;

static uint64_t contrast_work(void)
{
    uint64_t words = 0;
#pragma omp taskgroup task_reduction(+ : words)
    for (size_t i = 0; i < files.count; i++)
#pragma omp task in_reduction(+ : words) firstprivate(i)
        words += work_count_words(files.path[i]);
    return words;
}

static void contrast(void)
{
    files = work_list_files(peer_text);
    peer_measure(contrast_work);
}

/* Threads that are paused hard are gone, and come again with the next team. */
static uint64_t start_work(void)
{
    uint64_t count = 0;
    for (long i = 0; i < peer_size; i++) {
#pragma omp parallel num_threads(peer_workers)
#pragma omp          single
        count++;
        if (omp_pause_resource_all(omp_pause_hard) != 0) peer_fail("OpenMP does not let go of its threads");
    }
    return count;
}

static void start(void)
{
    peer_measure(start_work);
}

static const char no_channels[] = "OpenMP's tasks wait on no channels";

static const struct peer_subject subjects[] = {
    {.name = "fib", .run = fib},
    {.name = "spawn", .run = spawn},
    {.name = "skynet", .run = skynet},
    {.name = "skynet-chan", .why_not = no_channels},
    {.name = "uts", .run = uts},
    {.name = "nqueens", .run = nqueens},
    {.name = "matmul", .run = matmul},
    {.name = "reduce", .run = reduce},
    {.name = "sort", .run = sort},
    {.name = "yield", .why_not = "taskyield may do nothing, and in gcc's runtime does"},
    {.name = "pingpong", .why_not = no_channels},
    {.name = "chan", .why_not = no_channels},
    {.name = "chan4", .why_not = no_channels},
    {.name = "select", .why_not = no_channels},
    {.name = "mutex", .run = mutex},
    {.name = "timers", .why_not = "OpenMP has no timers and no sockets"},
    {.name = "echo", .why_not = "OpenMP has no timers and no sockets"},
    {.name = "contrast", .run = contrast},
    {.name = "memory", .why_not = "OpenMP's tasks wait for nothing but tasks and locks"},
    {.name = "memory-spawned", .why_not = "gcc's runtime runs a task at once when many wait already"},
    {.name = "start", .run = start},
};

/* Loops make their own teams, and so does what starts and stops. */
static void within(void (*run)(void))
{
    omp_set_num_threads((int)peer_workers);
    if (run == matmul || run == reduce || run == start) {
        run();
        return;
    }
#pragma omp parallel
#pragma omp single
    run();
}

int main(int argc, char **argv)
{
    return peer_main(argc, argv, subjects, sizeof subjects / sizeof *subjects, within);
}
