//! The subjects in Tokio, with mimalloc: a spawned task where weft has one.  By the name of `tokio-current` it has
//! the runtime of one thread, by that of `tokio` the one of many.  What is computed runs in a spawned task, since
//! the future that block_on is given is not on a worker.

#[path = "../../common/work.rs"]
mod work;

mod fork;
mod turns;
mod world;

use std::future::Future;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use work::{cannot, Stopwatch};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub async fn measure<F: Future<Output = u64>>(work: impl Fn() -> F) {
    let mut watch = Stopwatch::default();
    while !watch.enough() {
        let begin = Instant::now();
        watch.add(begin, work().await);
    }
    watch.print();
}

#[derive(Clone, Copy)]
pub struct Kind {
    current_thread: bool,
    workers: usize,
}

/// Blocking calls get as many threads as there are workers: more would be another setting than the one measured.
pub fn runtime(kind: Kind) -> Runtime {
    let mut builder = if kind.current_thread { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if !kind.current_thread {
        builder.worker_threads(kind.workers);
    }
    builder.max_blocking_threads(kind.workers).enable_all().build().expect("a runtime")
}

fn run<F: Future<Output = ()> + Send + 'static>(kind: Kind, subject: F) {
    runtime(kind).block_on(async { tokio::spawn(subject).await.expect("a subject") });
}

fn main() {
    let work::Arguments { program, subject, workers, text, size } = work::arguments();
    let kind = Kind { current_thread: program.ends_with("-current"), workers };
    if kind.current_thread && workers > 1 {
        cannot("this runtime has one thread");
    }
    match subject.as_str() {
        "fib" => run(kind, fork::fib_subject(size)),
        "spawn" => run(kind, fork::spawn(size)),
        "skynet" => run(kind, fork::skynet_subject(size)),
        "skynet-chan" => run(kind, fork::skynet_chan_subject(size)),
        "uts" => run(kind, fork::uts_subject(size)),
        "nqueens" => run(kind, fork::nqueens(size)),
        "yield" => run(kind, turns::yield_subject(size)),
        "pingpong" => run(kind, turns::pingpong(size)),
        "chan" => run(kind, turns::chan(size)),
        "chan4" => run(kind, turns::chan4(size)),
        "senders" => run(kind, turns::senders(size)),
        "select" => run(kind, turns::select(size)),
        "mutex" => run(kind, turns::mutex(size)),
        "timers" => run(kind, world::timers(size)),
        "echo" => run(kind, world::echo()),
        "echo-busy" => run(kind, world::echo_busy(size)),
        "contrast" => run(kind, world::contrast(text)),
        "memory" => run(kind, world::memory(size)),
        "memory-spawned" => run(kind, world::memory_spawned(size)),
        "start" => world::start(kind, size),
        "matmul" | "reduce" | "sort" => cannot("Tokio's documentation sends what only computes to Rayon"),
        _ => cannot("it has no such subject"),
    }
}
