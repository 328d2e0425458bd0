//! Time, sockets, files, memory, and the runtime itself.

use crate::work::{self, Random};
use crate::{measure, Kind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

async fn sleep_all(durations: &[Duration]) -> (Duration, Vec<i64>) {
    let begin = Instant::now();
    let one = |duration: Duration| async move {
        let began = Instant::now();
        tokio::time::sleep(duration).await;
        began.elapsed().as_nanos() as i64 - duration.as_nanos() as i64
    };
    let tasks: Vec<_> = durations.iter().map(|&duration| tokio::spawn(one(duration))).collect();
    let mut late = Vec::with_capacity(durations.len());
    for task in tasks {
        late.push(task.await.unwrap());
    }
    (begin.elapsed(), late)
}

pub async fn timers(size: usize) {
    let mut random = Random::new();
    let durations: Vec<_> = (0..size).map(|_| Duration::from_nanos(1_000_000 + random.draw() % 99_000_000)).collect();
    sleep_all(&durations).await;
    let (taken, mut late) = sleep_all(&durations).await;
    late.sort_unstable();
    let in_time = late.iter().filter(|&&ns| ns >= 0).count();
    println!("{} {} {} {}", taken.as_nanos(), in_time, late[size / 2], late[size / 100 * 99]);
}

async fn echo_connection(mut connection: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    connection.set_nodelay(true)?;
    loop {
        let got = connection.read(&mut buffer).await?;
        if got == 0 {
            return Ok(());
        }
        connection.write_all(&buffer[..got]).await?;
    }
}

pub async fn echo() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    println!("{}", listener.local_addr().expect("its address").port());
    loop {
        let (connection, _) = listener.accept().await.expect("a connection");
        tokio::spawn(echo_connection(connection));
    }
}

/// Computes for a millisecond at a time, and then lets others run.
async fn compute() {
    loop {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(1) {}
        tokio::task::yield_now().await;
    }
}

pub async fn echo_busy(size: usize) {
    for _ in 0..size {
        tokio::spawn(compute());
    }
    echo().await;
}

/// Files are read in blocking calls, a whole one in each, as Tokio's documentation of its module fs asks for.
pub async fn contrast(directory: String) {
    let files: Vec<Arc<Path>> = work::list_files(Path::new(&directory)).into_iter().map(Arc::from).collect();
    measure(|| async {
        let one = |file: &Arc<Path>| {
            let file = file.clone();
            tokio::task::spawn_blocking(move || work::count_words(&file))
        };
        let tasks: Vec<_> = files.iter().map(one).collect();
        let mut words = 0;
        for task in tasks {
            words += task.await.unwrap();
        }
        words
    })
    .await;
}

/// Starts as many tasks as size says, which wait for the gate.  What they take up is looked at when they do, or at
/// once, when the one worker has not yet begun any.
async fn hold(size: usize, settled: bool) {
    let gate = Arc::new(Semaphore::new(0));
    let there = Arc::new(AtomicUsize::new(0));
    let all_there = Arc::new(Notify::new());
    let before = work::resident();
    for _ in 0..size {
        let (gate, there, all_there) = (gate.clone(), there.clone(), all_there.clone());
        // Its handle is dropped: nobody awaits it.
        tokio::spawn(async move {
            if there.fetch_add(1, Ordering::Relaxed) + 1 == size {
                all_there.notify_one();
            }
            let _ = gate.acquire().await; // closed: an error
            there.fetch_sub(1, Ordering::Relaxed);
        });
    }
    let at_once = work::resident() - before;
    all_there.notified().await;
    let bytes = if settled { work::resident() - before } else { at_once };
    gate.close();
    while there.load(Ordering::Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
    println!("{:.1} 1", bytes / size as f64);
}

pub async fn memory(size: usize) {
    hold(size, true).await;
}

pub async fn memory_spawned(size: usize) {
    hold(size, false).await;
}

pub fn start(kind: Kind, size: usize) {
    work::measure(|| {
        let mut count = 0;
        for _ in 0..size {
            count += crate::runtime(kind).block_on(async { tokio::spawn(async { 1 }).await.unwrap() });
        }
        count
    });
}
