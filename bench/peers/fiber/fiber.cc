// The subjects in Boost.Fiber.  With more than one worker, as many threads share one group of its work stealing; with
// one, the thread has the scheduler that it has by itself, since a group of one has nobody to steal from and says so
// by never ending its search.  What forks and joins is launched so that it runs at once, which keeps few stacks alive;
// everything else is launched to wait its turn.  Stacks have 32 KiB, of which what is touched is memory.
extern "C" {
#include "../../uts_tree.h"
}
#include "../common/peer.h"
#include "../common/work.h"

#include <boost/fiber/all.hpp>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace fibers = boost::fibers;

namespace
{

// Stacks that are used again, by whichever thread has freed them: the library's own pool is one thread's, and
// malloc gives so large pieces back to the system.
class stacks
{
    static constexpr size_t size = 32 << 10;

    struct pool {
        std::vector<void *> free;
        ~pool()
        {
            for (void *stack : free) ::operator delete(stack);
        }
    };
    static pool &here()
    {
        static thread_local pool mine;
        return mine;
    }

  public:
    boost::context::stack_context allocate()
    {
        std::vector<void *>          &free = here().free;
        void                         *stack;
        boost::context::stack_context context;
        if (free.empty()) {
            stack = ::operator new(size);
        } else {
            stack = free.back();
            free.pop_back();
        }
        context.size = size;
        context.sp = static_cast<char *>(stack) + size;
        return context;
    }

    void deallocate(boost::context::stack_context &context) noexcept
    {
        here().free.push_back(static_cast<char *>(context.sp) - size);
    }
};

template <class F> fibers::fiber launch(fibers::launch how, F &&f)
{
    return fibers::fiber(how, std::allocator_arg, stacks(), std::forward<F>(f));
}

template <class F> fibers::fiber fork(F &&f)
{
    return launch(fibers::launch::dispatch, std::forward<F>(f));
}

template <class F> fibers::fiber post(F &&f)
{
    return launch(fibers::launch::post, std::forward<F>(f));
}

void join_all(std::vector<fibers::fiber> &all)
{
    for (fibers::fiber &fiber : all) fiber.join();
}

// ---- fork and join ----

long fib(long n)
{
    if (n < 2) return n;
    long          left;
    fibers::fiber child = fork([&left, n] { left = fib(n - 1); });
    long          right = fib(n - 2);
    child.join();
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
            std::vector<fibers::fiber> all;
            all.reserve(counts.size());
            for (long &count : counts) all.push_back(post([&count] { count++; }));
            join_all(all);
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
    long          sums[fan], sum = 0, share = leaves / fan;
    fibers::fiber below[fan];
    for (int i = 0; i < fan; i++) below[i] = fork([=, &sums] { sums[i] = skynet(first + i * share, share); });
    for (int i = 0; i < fan; i++) {
        below[i].join();
        sum += sums[i];
    }
    return sum;
}

void skynet_subject()
{
    peer_measure([] { return static_cast<uint64_t>(skynet(0, peer_size)); });
}

using sums_channel = fibers::unbuffered_channel<long>;

void skynet_chan(sums_channel &up, long first, long leaves)
{
    long sum = first;
    if (leaves > 1) {
        sums_channel               chan;
        long                       share = leaves / fan, part = 0;
        std::vector<fibers::fiber> below;
        for (int i = 0; i < fan; i++)
            below.push_back(fork([=, &chan] { skynet_chan(chan, first + i * share, share); }));
        sum = 0;
        for (int i = 0; i < fan; i++) {
            chan.pop(part);
            sum += part;
        }
        join_all(below);
    }
    up.push(sum);
}

void skynet_chan_subject()
{
    peer_measure([] {
        sums_channel  up;
        long          sum = 0;
        fibers::fiber root = post([&up] { skynet_chan(up, 0, peer_size); });
        up.pop(sum);
        root.join();
        return static_cast<uint64_t>(sum);
    });
}

uts_params tree;

struct found {
    uint64_t nodes, leaves;
    int      depth;
};

found uts(const uts_node &node)
{
    int                        count = uts_num_children(&node, &tree);
    found                      all{1, count == 0, node.depth};
    std::vector<found>         below(static_cast<size_t>(count));
    std::vector<fibers::fiber> children;
    children.reserve(below.size());
    for (int i = 0; i < count; i++)
        children.push_back(fork([&node, &below, i] {
            uts_node child;
            uts_child(&child, &node, i);
            below[static_cast<size_t>(i)] = uts(child);
        }));
    join_all(children);
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
    uint64_t                   below[WORK_BOARD] = {}, sum = 0;
    std::vector<fibers::fiber> children;
    for (uint32_t free = board_places(&b); free; free &= free - 1) {
        uint64_t *found = &below[children.size()];
        children.push_back(fork([found, next = board_with(&b, free & -free)] { *found = queens(next); }));
    }
    join_all(children);
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

uint32_t *numbers, *sorted, *scratch;

void merge_sort(uint32_t *array, uint32_t *space, size_t count)
{
    size_t middle = count / 2;
    if (count <= WORK_SORT_ALONE) return work_sort(array, space, count);
    fibers::fiber child = fork([=] { merge_sort(array + middle, space + middle, count - middle); });
    merge_sort(array, space, middle);
    child.join();
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

// ---- taking turns ----

void yield()
{
    constexpr int members = 1000;
    peer_measure([] {
        std::vector<long>          done(members);
        std::vector<fibers::fiber> all;
        for (long &count : done)
            all.push_back(post([&count] {
                for (; count < peer_size / members; count++) boost::this_fiber::yield();
            }));
        join_all(all);
        uint64_t sum = 0;
        for (long count : done) sum += static_cast<uint64_t>(count);
        return sum;
    });
}

void pingpong()
{
    peer_measure([] {
        fibers::unbuffered_channel<long> there, back;
        fibers::fiber                    pong = post([&] {
            for (long ball : there) back.push(ball + 1);
        });
        long                             ball = 0;
        for (long i = 0; i < peer_size; i++) {
            there.push(ball);
            back.pop(ball);
        }
        there.close();
        pong.join();
        return static_cast<uint64_t>(ball);
    });
}

constexpr size_t slots = 128;

uint64_t stream(int ends)
{
    fibers::buffered_channel<int> chan(slots);
    std::vector<uint64_t>         sums(static_cast<size_t>(ends));
    std::vector<fibers::fiber>    senders, receivers;
    long                          share = peer_size / ends;
    for (int i = 0; i < ends; i++) {
        receivers.push_back(post([&chan, &sum = sums[static_cast<size_t>(i)]] {
            uint64_t mine = 0;
            for (int item : chan) mine += static_cast<uint64_t>(item);
            sum = mine;
        }));
        senders.push_back(post([&chan, first = i * share, share] {
            for (long k = 0; k < share; k++) chan.push(static_cast<int>(first + k));
        }));
    }
    join_all(senders);
    chan.close();
    join_all(receivers);
    uint64_t sum = 0;
    for (uint64_t part : sums) sum += part;
    return sum;
}

void chan()
{
    peer_measure([] { return stream(1); });
}

void chan4()
{
    peer_measure([] { return stream(4); });
}

void mutex()
{
    constexpr int lockers = 64;
    peer_measure([] {
        fibers::mutex              lock;
        uint64_t                   count = 0;
        std::vector<fibers::fiber> all;
        for (int i = 0; i < lockers; i++)
            all.push_back(post([&] {
                for (long k = peer_size / lockers; k > 0; k--) {
                    std::lock_guard<fibers::mutex> hold(lock);
                    count++;
                }
            }));
        join_all(all);
        return count;
    });
}

// ---- time, files, memory ----

std::vector<int64_t> durations, late;

double sleep_all()
{
    int64_t                    begin = peer_now();
    std::vector<fibers::fiber> all;
    all.reserve(durations.size());
    for (size_t i = 0; i < durations.size(); i++)
        all.push_back(post([i] {
            int64_t began = peer_now();
            boost::this_fiber::sleep_for(std::chrono::nanoseconds(durations[i]));
            late[i] = peer_now() - began - durations[i];
        }));
    join_all(all);
    return static_cast<double>(peer_now() - begin);
}

void timers()
{
    uint64_t state = WORK_SEED;
    for (long i = 0; i < peer_size; i++) durations.push_back(work_duration(&state));
    late.resize(durations.size());
    sleep_all();
    peer_print_timers(sleep_all(), late.data(), peer_size);
}

file_list files;

void contrast()
{
    files = work_list_files(peer_text);
    peer_measure([] {
        std::atomic<uint64_t>      words{0};
        std::vector<fibers::fiber> all;
        for (size_t i = 0; i < files.count; i++)
            all.push_back(
                post([&words, i] { words.fetch_add(work_count_words(files.path[i]), std::memory_order_relaxed); }));
        join_all(all);
        return words.load();
    });
}

// As many fibers as size says, which wait for the gate; what they take up when they do, or when none has begun.
void hold(bool settled)
{
    std::vector<fibers::fiber> all;
    fibers::mutex              lock;
    fibers::condition_variable gate, all_there;
    long                       there = 0;
    bool                       open = false;
    double                     before = peer_resident();
    all.reserve(static_cast<size_t>(peer_size));
    for (long i = 0; i < peer_size; i++)
        all.push_back(post([&] {
            std::unique_lock<fibers::mutex> hold(lock);
            if (++there == peer_size) all_there.notify_one();
            gate.wait(hold, [&] { return open; });
        }));
    double                          after = peer_resident();
    std::unique_lock<fibers::mutex> hold(lock);
    all_there.wait(hold, [&] { return there == peer_size; });
    if (settled) after = peer_resident();
    open = true;
    gate.notify_all();
    hold.unlock();
    join_all(all);
    peer_print((after - before) / static_cast<double>(peer_size), 1);
}

void memory()
{
    hold(true);
}

void memory_spawned()
{
    hold(false);
}

// ---- which, and within what ----

constexpr const char *no_loops = "Boost.Fiber has no loops: it is for what waits";

const peer_subject subjects[] = {
    {"fib", fib_subject, nullptr, false},
    {"spawn", spawn, nullptr, false},
    {"skynet", skynet_subject, nullptr, false},
    {"skynet-chan", skynet_chan_subject, nullptr, false},
    {"uts", uts_subject, nullptr, false},
    {"nqueens", nqueens, nullptr, false},
    {"matmul", nullptr, no_loops, false},
    {"reduce", nullptr, no_loops, false},
    {"sort", sort, nullptr, false},
    {"yield", yield, nullptr, false},
    {"pingpong", pingpong, nullptr, false},
    {"chan", chan, nullptr, false},
    {"chan4", chan4, nullptr, false},
    {"select", nullptr, "Boost.Fiber has no select", false},
    {"mutex", mutex, nullptr, false},
    {"timers", timers, nullptr, false},
    {"echo", nullptr, "Boost.Fiber has no sockets; with Asio it needs a scheduler of one's own", false},
    {"contrast", contrast, nullptr, false},
    {"memory", memory, nullptr, false},
    {"memory-spawned", memory_spawned, nullptr, false},
    {"start", nullptr, "a group of stealing threads can be had once in a process", false},
};

// The other threads wait, as fibers, for the end.
void within(void (*run)())
{
    fibers::mutex              lock;
    fibers::condition_variable end;
    bool                       ended = false;
    std::vector<std::thread>   threads;
    for (unsigned i = 1; i < peer_workers; i++)
        threads.emplace_back([&] {
            fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(peer_workers);
            std::unique_lock<fibers::mutex> hold(lock);
            end.wait(hold, [&] { return ended; });
        });
    if (peer_workers > 1) fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(peer_workers);
    fibers::fiber(fibers::launch::post, run).join();
    {
        std::lock_guard<fibers::mutex> hold(lock);
        ended = true;
    }
    end.notify_all();
    for (std::thread &thread : threads) thread.join();
}

} // namespace

int main(int argc, char **argv)
{
    return peer_main(argc, argv, subjects, std::size(subjects), within);
}
