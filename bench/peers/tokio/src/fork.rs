//! Fork and join.  A recursion is boxed, as the compiler asks.

use crate::measure;
use crate::work::{Board, Found, UtsNode, ALONE};
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn fib(n: usize) -> Boxed<u64> {
    Box::pin(async move {
        if n < 2 {
            return n as u64;
        }
        let left = tokio::spawn(fib(n - 1));
        let right = fib(n - 2).await;
        left.await.unwrap() + right
    })
}

pub async fn fib_subject(size: usize) {
    measure(|| fib(size)).await;
}

const BATCH: usize = 1000;

pub async fn spawn(size: usize) {
    measure(|| async move {
        let mut sum = 0;
        let mut tasks = Vec::with_capacity(BATCH);
        for _ in 0..size / BATCH {
            tasks.extend((0..BATCH).map(|_| tokio::spawn(async { 1 })));
            for task in tasks.drain(..) {
                sum += task.await.unwrap();
            }
        }
        sum
    })
    .await;
}

const FAN: usize = 10;

fn skynet(first: usize, leaves: usize) -> Boxed<u64> {
    Box::pin(async move {
        if leaves == 1 {
            return first as u64;
        }
        let share = leaves / FAN;
        let tasks: [_; FAN] = std::array::from_fn(|i| tokio::spawn(skynet(first + i * share, share)));
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    })
}

pub async fn skynet_subject(size: usize) {
    measure(|| skynet(0, size)).await;
}

/// Tokio has no channel without a slot.
fn skynet_chan(up: mpsc::Sender<u64>, first: usize, leaves: usize) -> Boxed<()> {
    Box::pin(async move {
        if leaves == 1 {
            return up.send(first as u64).await.unwrap();
        }
        let share = leaves / FAN;
        let (below, mut parts) = mpsc::channel(1);
        for i in 0..FAN {
            tokio::spawn(skynet_chan(below.clone(), first + i * share, share));
        }
        let mut sum = 0;
        for _ in 0..FAN {
            sum += parts.recv().await.unwrap();
        }
        up.send(sum).await.unwrap();
    })
}

pub async fn skynet_chan_subject(size: usize) {
    measure(|| async move {
        let (up, mut sum) = mpsc::channel(1);
        tokio::spawn(skynet_chan(up, 0, size));
        sum.recv().await.unwrap()
    })
    .await;
}

fn uts(node: UtsNode, limit: u32) -> Boxed<Found> {
    Box::pin(async move {
        let count = node.children(limit);
        let mut found = Found::of(&node, count);
        let tasks: Vec<_> = (0..count).map(|i| tokio::spawn(async move { uts(node.child(i), limit).await })).collect();
        for task in tasks {
            found = found.add(task.await.unwrap());
        }
        found
    })
}

pub async fn uts_subject(size: usize) {
    measure(|| async move { uts(UtsNode::root(), size as u32).await.check() }).await;
}

fn queens(board: Board) -> Boxed<u64> {
    Box::pin(async move {
        if board.rows <= ALONE {
            return board.solutions();
        }
        let tasks: Vec<_> = board.next().map(|next| tokio::spawn(queens(next))).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    })
}

pub async fn nqueens(size: usize) {
    measure(|| queens(Board::empty(size))).await;
}
