//! Taking turns, channels, a lock.

use crate::measure;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

const MEMBERS: usize = 1000;

pub async fn yield_subject(size: usize) {
    measure(|| async move {
        let each = size / MEMBERS;
        let one = move || async move {
            let mut done = 0;
            while done < each {
                tokio::task::yield_now().await;
                done += 1;
            }
            done as u64
        };
        let tasks: Vec<_> = (0..MEMBERS).map(|_| tokio::spawn(one())).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    })
    .await;
}

/// Tokio has no channel without a slot.
pub async fn pingpong(size: usize) {
    measure(|| async move {
        let (there, mut arrived) = mpsc::channel::<u64>(1);
        let (back, mut returned) = mpsc::channel(1);
        let pong = tokio::spawn(async move {
            while let Some(ball) = arrived.recv().await {
                back.send(ball + 1).await.unwrap();
            }
        });
        let mut ball = 0;
        for _ in 0..size {
            there.send(ball).await.unwrap();
            ball = returned.recv().await.unwrap();
        }
        drop(there);
        pong.await.unwrap();
        ball
    })
    .await;
}

const SLOTS: usize = 128;

async fn send_numbers(to: mpsc::Sender<u32>, first: usize, count: usize) {
    for i in 0..count {
        to.send((first + i) as u32).await.unwrap();
    }
}

pub async fn chan(size: usize) {
    measure(|| async move {
        let (to, mut from) = mpsc::channel(SLOTS);
        let receiver = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(item) = from.recv().await {
                sum += u64::from(item);
            }
            sum
        });
        tokio::spawn(send_numbers(to, 0, size)).await.unwrap();
        receiver.await.unwrap()
    })
    .await;
}

/// For bench/scale: as many senders as size says share out what one receives.
pub async fn senders(size: usize) {
    const SHARED: usize = 100_000;
    measure(|| async move {
        let (to, mut from) = mpsc::channel(SLOTS);
        for _ in 0..size {
            tokio::spawn(send_numbers(to.clone(), 0, SHARED / size));
        }
        drop(to);
        let mut sum = 0;
        while let Some(item) = from.recv().await {
            sum += u64::from(item);
        }
        sum
    })
    .await;
}

/// Tokio's own channel has one receiver.
pub async fn chan4(size: usize) {
    const ENDS: usize = 4;
    measure(|| async move {
        let (to, from) = async_channel::bounded(SLOTS);
        let receivers = [0; ENDS].map(|_| {
            let from = from.clone();
            tokio::spawn(async move {
                let mut sum = 0;
                while let Ok(item) = from.recv().await {
                    sum += item;
                }
                sum
            })
        });
        for i in 0..ENDS {
            let to = to.clone();
            tokio::spawn(async move {
                for k in 0..size / ENDS {
                    to.send((i * (size / ENDS) + k) as u64).await.unwrap();
                }
            });
        }
        drop(to);
        let mut sum = 0;
        for receiver in receivers {
            sum += receiver.await.unwrap();
        }
        sum
    })
    .await;
}

pub async fn select(size: usize) {
    const LANES: usize = 4;
    measure(|| async move {
        let lane = |i| {
            let (to, from) = mpsc::channel(SLOTS);
            tokio::spawn(send_numbers(to, i * (size / LANES), size / LANES));
            from
        };
        let [mut a, mut b, mut c, mut d] = std::array::from_fn::<_, LANES, _>(lane);
        let mut sum = 0;
        loop {
            sum += u64::from(tokio::select! {
                Some(item) = a.recv() => item,
                Some(item) = b.recv() => item,
                Some(item) = c.recv() => item,
                Some(item) = d.recv() => item,
                else => return sum,
            });
        }
    })
    .await;
}

/// The lock of the standard library, which Tokio's documentation prefers where nothing is awaited under it.
pub async fn mutex(size: usize) {
    const LOCKERS: usize = 64;
    measure(|| async move {
        let count = Arc::new(Mutex::new(0));
        let tasks = [0; LOCKERS].map(|_| {
            let count = count.clone();
            tokio::spawn(async move {
                for _ in 0..size / LOCKERS {
                    *count.lock().unwrap() += 1;
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        let sum = *count.lock().unwrap();
        sum
    })
    .await;
}
