//! The subjects in Rayon: join for two, a scope or a parallel iterator for more.  All runs within a pool of as many
//! threads as there are workers.

#[path = "../../common/work.rs"]
mod work;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::path::Path;
use std::sync::{mpsc, Mutex};
use work::{cannot, measure, Board, Found, UtsNode, ALONE, SORT_ALONE};

fn fib(n: usize) -> u64 {
    if n < 2 {
        return n as u64;
    }
    let (left, right) = rayon::join(|| fib(n - 1), || fib(n - 2));
    left + right
}

const BATCH: usize = 1000;

/// Each a task of its own, which an iterator would else not make of so little.
fn spawn(size: usize) {
    measure(|| {
        let mut counts = [0; BATCH];
        for _ in 0..size / BATCH {
            counts.par_iter_mut().with_max_len(1).for_each(|count| *count += 1);
        }
        counts.iter().sum()
    });
}

const FAN: usize = 10;

fn skynet(first: usize, leaves: usize) -> u64 {
    if leaves == 1 {
        return first as u64;
    }
    let share = leaves / FAN;
    (0..FAN).into_par_iter().map(|i| skynet(first + i * share, share)).sum()
}

fn uts(node: UtsNode, limit: u32) -> Found {
    let count = node.children(limit);
    let own = Found::of(&node, count);
    if count == 0 {
        return own;
    }
    let below = (0..count).into_par_iter().map(|i| uts(node.child(i), limit));
    own.add(below.reduce(Found::default, Found::add))
}

fn queens(board: Board) -> u64 {
    if board.rows <= ALONE {
        return board.solutions();
    }
    let next: Vec<_> = board.next().collect();
    next.into_par_iter().map(queens).sum()
}

fn matmul(n: usize) {
    let a: Vec<_> = (0..n * n).map(|i| (i % 7) as f64).collect();
    let b: Vec<_> = (0..n * n).map(|i| (i % 5) as f64).collect();
    let c = Mutex::new(vec![0.0; n * n]);
    measure(|| {
        let mut c = c.lock().unwrap();
        c.par_chunks_exact_mut(n).zip(a.par_chunks_exact(n)).for_each(|(c, a)| work::multiply_row(a, &b, c));
        work::product_check(&c)
    });
}

fn reduce(size: usize) {
    let array: Vec<u32> = (0..size as u32).collect();
    measure(|| array.par_iter().map(|&x| u64::from(x)).sum());
}

fn merge_sort(array: &mut [u32], scratch: &mut [u32]) {
    if array.len() <= SORT_ALONE {
        return work::sort(array, scratch);
    }
    let middle = array.len() / 2;
    let (left, right) = array.split_at_mut(middle);
    let (scratch_left, scratch_right) = scratch.split_at_mut(middle);
    rayon::join(|| merge_sort(left, scratch_left), || merge_sort(right, scratch_right));
    work::merge(array, scratch, middle);
}

fn sort(size: usize) {
    let unsorted = work::random_array(size);
    let arrays = Mutex::new((unsorted.clone(), unsorted.clone()));
    measure(|| {
        let (array, scratch) = &mut *arrays.lock().unwrap();
        array.copy_from_slice(&unsorted);
        merge_sort(array, scratch);
        work::sorted_check(array)
    });
}

/// Whoever waits for the lock blocks a thread of the pool; nothing is done under it but to add.
fn mutex(size: usize) {
    const LOCKERS: usize = 64;
    measure(|| {
        let count = Mutex::new(0);
        rayon::scope(|scope| {
            for _ in 0..LOCKERS {
                scope.spawn(|_| {
                    for _ in 0..size / LOCKERS {
                        *count.lock().unwrap() += 1;
                    }
                });
            }
        });
        count.into_inner().unwrap()
    });
}

fn contrast(directory: &str) {
    let files = work::list_files(Path::new(directory));
    measure(|| files.par_iter().map(|file| work::count_words(file)).sum());
}

/// The one thread is in the scope's body until all have been spawned.
fn memory_spawned(size: usize) {
    let count = Mutex::new(0);
    let before = work::resident();
    let mut bytes = 0.0;
    rayon::scope(|scope| {
        for _ in 0..size {
            scope.spawn(|_| *count.lock().unwrap() += 1);
        }
        bytes = work::resident() - before;
    });
    println!("{:.1} {}", bytes / size as f64, u64::from(count.into_inner().unwrap() == size));
}

/// A pool that is dropped tells its threads to end and does not wait; whoever wants them gone counts them.
fn start(workers: usize, size: usize) {
    measure(|| {
        let mut count = 0;
        for _ in 0..size {
            let (ended, ends) = mpsc::sync_channel(workers);
            let tell = move |_| ended.send(()).unwrap();
            let pool = ThreadPoolBuilder::new().num_threads(workers).exit_handler(tell).build().expect("a pool");
            count += pool.install(|| 1);
            drop(pool);
            for _ in 0..workers {
                ends.recv().unwrap();
            }
        }
        count
    });
}

fn pool(workers: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(workers).build().expect("a pool")
}

fn main() {
    let work::Arguments { subject, workers, text, size, .. } = work::arguments();
    if subject == "start" {
        return start(workers, size);
    }
    pool(workers).install(|| match subject.as_str() {
        "fib" => measure(|| fib(size)),
        "spawn" => spawn(size),
        "skynet" => measure(|| skynet(0, size)),
        "uts" => measure(|| uts(UtsNode::root(), size as u32).check()),
        "nqueens" => measure(|| queens(Board::empty(size))),
        "matmul" => matmul(size),
        "reduce" => reduce(size),
        "sort" => sort(size),
        "mutex" => mutex(size),
        "contrast" => contrast(&text),
        "memory-spawned" => memory_spawned(size),
        "skynet-chan" | "pingpong" | "chan" | "chan4" | "select" => {
            cannot("Rayon has no channels that its tasks wait on")
        }
        "yield" | "memory" => cannot("Rayon's tasks run to their end and are never suspended"),
        "timers" | "echo" => cannot("Rayon has no timers and no sockets"),
        _ => cannot("it has no such subject"),
    });
}
