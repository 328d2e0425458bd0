// The subjects in oneTBB: parallel_invoke for two, a task_group for more, its loops for loops.  All runs in an arena
// of as many threads as there are workers.
extern "C" {
#include "../../uts_tree.h"
}
#include "../common/peer.h"
#include "../common/work.h"

#include <oneapi/tbb.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace tbb = oneapi::tbb;

namespace
{

long fib(long n)
{
    if (n < 2) return n;
    long left, right;
    tbb::parallel_invoke([&] { left = fib(n - 1); }, [&] { right = fib(n - 2); });
    return left + right;
}

void fib_subject()
{
    peer_measure([] { return static_cast<uint64_t>(fib(peer_size)); });
}

void spawn()
{
    peer_measure([] {
        std::vector<long> counts(1000);
        for (long round = 0; round < peer_size / 1000; round++) {
            tbb::task_group group;
            for (long &count : counts) group.run([&count] { count++; });
            group.wait();
        }
        uint64_t sum = 0;
        for (long count : counts) sum += static_cast<uint64_t>(count);
        return sum;
    });
}

constexpr int fan = 10;

long skynet(long first, long leaves)
{
    if (leaves == 1) return first;
    long            sums[fan], sum = 0, share = leaves / fan;
    tbb::task_group group;
    for (int i = 0; i < fan; i++) group.run([=, &sums] { sums[i] = skynet(first + i * share, share); });
    group.wait();
    for (long part : sums) sum += part;
    return sum;
}

void skynet_subject()
{
    peer_measure([] { return static_cast<uint64_t>(skynet(0, peer_size)); });
}

uts_params tree;

struct found {
    uint64_t nodes, leaves;
    int      depth;
};

found uts(const uts_node &node)
{
    int   count = uts_num_children(&node, &tree);
    found all{1, count == 0, node.depth};
    if (count == 0) return all;
    std::vector<found> below(static_cast<size_t>(count));
    tbb::task_group    group;
    for (int i = 0; i < count; i++)
        group.run([&node, &below, i] {
            uts_node child;
            uts_child(&child, &node, i);
            below[static_cast<size_t>(i)] = uts(child);
        });
    group.wait();
    for (const found &f : below) {
        all.nodes += f.nodes;
        all.leaves += f.leaves;
        all.depth = std::max(all.depth, f.depth);
    }
    return all;
}

void uts_subject()
{
    tree = uts_t1;
    tree.limit = static_cast<int>(peer_size);
    peer_measure([] {
        uts_node root;
        uts_root(&root, &tree);
        found all = uts(root);
        return all.nodes + all.leaves + static_cast<uint64_t>(all.depth);
    });
}

uint64_t queens(const board &b)
{
    if (b.rows <= WORK_ALONE) return board_solutions(&b);
    uint64_t        below[WORK_BOARD] = {}, sum = 0;
    int             count = 0;
    tbb::task_group group;
    for (uint32_t free = board_places(&b); free; free &= free - 1, count++)
        group.run([&below, count, next = board_with(&b, free & -free)] { below[count] = queens(next); });
    group.wait();
    for (uint64_t part : below) sum += part;
    return sum;
}

void nqueens()
{
    peer_measure([] {
        int size = static_cast<int>(peer_size);
        return queens(board{0, 0, 0, size, size});
    });
}

matrices  m;
uint32_t *numbers, *sorted, *scratch;

void matmul()
{
    m = work_matrices(static_cast<size_t>(peer_size));
    peer_measure([] {
        tbb::parallel_for(tbb::blocked_range<size_t>(0, m.n),
                          [](const auto &range) { work_multiply_rows(&m, range.begin(), range.end()); });
        return work_product_check(&m);
    });
}

void reduce()
{
    numbers = work_numbers(static_cast<size_t>(peer_size));
    peer_measure([] {
        return tbb::parallel_reduce(
            tbb::blocked_range<size_t>(0, static_cast<size_t>(peer_size)), uint64_t{0},
            [](const auto &range, uint64_t sum) { return sum + work_add_up(numbers, range.begin(), range.end()); },
            std::plus<>());
    });
}

void merge_sort(uint32_t *array, uint32_t *space, size_t count)
{
    size_t middle = count / 2;
    if (count <= WORK_SORT_ALONE) return work_sort(array, space, count);
    tbb::parallel_invoke([=] { merge_sort(array, space, middle); },
                         [=] { merge_sort(array + middle, space + middle, count - middle); });
    work_merge(array, space, middle, count);
}

void sort()
{
    size_t count = static_cast<size_t>(peer_size);
    numbers = work_random_array(count);
    sorted = work_random_array(count);
    scratch = work_random_array(count);
    peer_measure([] {
        size_t size = static_cast<size_t>(peer_size);
        memcpy(sorted, numbers, size * sizeof *sorted);
        merge_sort(sorted, scratch, size);
        return work_sorted_check(sorted, size);
    });
}

// Its spinning lock: nothing is done under it but to add.
void mutex()
{
    constexpr int lockers = 64;
    peer_measure([] {
        tbb::spin_mutex lock;
        tbb::task_group group;
        uint64_t        count = 0;
        for (int i = 0; i < lockers; i++)
            group.run([&] {
                for (long k = peer_size / lockers; k > 0; k--) {
                    tbb::spin_mutex::scoped_lock hold(lock);
                    count++;
                }
            });
        group.wait();
        return count;
    });
}

file_list files;

void contrast()
{
    files = work_list_files(peer_text);
    peer_measure([] {
        std::atomic<uint64_t> words{0};
        tbb::task_group       group;
        for (size_t i = 0; i < files.count; i++)
            group.run([&words, i] { words.fetch_add(work_count_words(files.path[i]), std::memory_order_relaxed); });
        group.wait();
        return words.load();
    });
}

// The one thread is here until all have been started.
void memory_spawned()
{
    std::atomic<long> count{0};
    tbb::task_group   group;
    double            before = peer_resident();
    for (long i = 0; i < peer_size; i++) group.run([&count] { count.fetch_add(1, std::memory_order_relaxed); });
    double after = peer_resident();
    group.wait();
    peer_print((after - before) / static_cast<double>(peer_size), count == peer_size);
}

// Threads come with the first work and end when the scheduler is finalized, which waits for them.
uint64_t start_work()
{
    std::atomic<uint64_t> count{0};
    for (long i = 0; i < peer_size; i++) {
        tbb::task_scheduler_handle handle{tbb::attach{}};
        {
            tbb::task_arena arena(static_cast<int>(peer_workers));
            arena.execute([&] {
                tbb::task_group group;
                group.run_and_wait([&] { count.fetch_add(1, std::memory_order_relaxed); });
            });
        }
        if (!tbb::finalize(handle, std::nothrow)) peer_fail("the scheduler is not finalized");
    }
    return count;
}

void start()
{
    peer_measure(start_work);
}

constexpr const char *no_channels = "oneTBB's tasks wait on no channels";
constexpr const char *no_waiting = "oneTBB's tasks run to their end and are not suspended, but by hand";

const peer_subject subjects[] = {
    {"fib", fib_subject, nullptr, false},
    {"spawn", spawn, nullptr, false},
    {"skynet", skynet_subject, nullptr, false},
    {"skynet-chan", nullptr, no_channels, false},
    {"uts", uts_subject, nullptr, false},
    {"nqueens", nqueens, nullptr, false},
    {"matmul", matmul, nullptr, false},
    {"reduce", reduce, nullptr, false},
    {"sort", sort, nullptr, false},
    {"yield", nullptr, no_waiting, false},
    {"pingpong", nullptr, no_channels, false},
    {"chan", nullptr, no_channels, false},
    {"chan4", nullptr, no_channels, false},
    {"select", nullptr, no_channels, false},
    {"mutex", mutex, nullptr, false},
    {"timers", nullptr, "oneTBB has no timers and no sockets", false},
    {"echo", nullptr, "oneTBB has no timers and no sockets", false},
    {"contrast", contrast, nullptr, false},
    {"memory", nullptr, no_waiting, false},
    {"memory-spawned", memory_spawned, nullptr, false},
    {"start", start, nullptr, false},
};

void within(void (*run)())
{
    if (run == start) return run();
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, peer_workers);
    tbb::task_arena     arena(static_cast<int>(peer_workers));
    arena.execute(run);
}

} // namespace

int main(int argc, char **argv)
{
    return peer_main(argc, argv, subjects, std::size(subjects), within);
}
