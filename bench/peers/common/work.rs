//! The parts of the subjects that no library has a hand in, as work.c has them; the command line and the line that
//! is printed.  Each program takes of it what it needs.
#![allow(dead_code)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is measured at least.
pub const ENOUGH: Duration = Duration::from_millis(50);

/// A run that takes so long needs no other one to warm it up.
pub const LONG: Duration = Duration::from_secs(1);

/// Why a subject is not done.
pub type Reason = &'static str;

pub struct Arguments {
    pub program: String,
    pub subject: String,
    pub workers: usize,
    pub text: String,
    pub size: usize,
}

pub fn arguments() -> Arguments {
    let all: Vec<String> = std::env::args().collect();
    if all.len() < 3 {
        eprintln!("usage: {} SUBJECT WORKERS [SIZE]", all[0]);
        std::process::exit(2);
    }
    let text = all.get(3).cloned().unwrap_or_default();
    Arguments {
        program: all[0].clone(),
        subject: all[1].clone(),
        workers: all[2].parse().expect("a number of workers"),
        size: text.parse().unwrap_or(0),
        text,
    }
}

pub fn cannot(reason: Reason) -> ! {
    eprintln!("{reason}");
    std::process::exit(3);
}

/// Sums up runs until enough has been measured.
#[derive(Default)]
pub struct Stopwatch {
    taken: Duration,
    runs: u32,
    check: Option<u64>,
}

impl Stopwatch {
    /// The first run is to warm up, unless it takes long.
    pub fn add(&mut self, begin: Instant, check: u64) {
        let taken = begin.elapsed();
        if self.check.is_some() || taken >= LONG {
            self.taken += taken;
            self.runs += 1;
        }
        assert_eq!(*self.check.get_or_insert(check), check, "two runs have come to different results");
    }

    pub fn enough(&self) -> bool {
        self.runs > 0 && self.taken >= ENOUGH
    }

    pub fn print(&self) {
        println!("{:.1} {}", self.taken.as_nanos() as f64 / f64::from(self.runs), self.check.unwrap_or(0));
    }
}

pub fn measure(work: impl Fn() -> u64) {
    let mut watch = Stopwatch::default();
    while !watch.enough() {
        let begin = Instant::now();
        watch.add(begin, work());
    }
    watch.print();
}

/// Bytes of this process that are resident.
pub fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib = line.trim().trim_end_matches(" kB").parse::<f64>().expect("kB");
    kib * 1024.0
}

/// xorshift, from one start.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        Random(88172645463325252)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

// ---- the tree T1 of the Unbalanced Tree Search, as in bench/uts_tree.c ----

#[derive(Clone, Copy)]
pub struct UtsNode {
    random: [u32; 5],
    pub depth: u32,
}

#[derive(Clone, Copy, Default)]
pub struct Found {
    pub nodes: u64,
    pub leaves: u64,
    pub depth: u32,
}

impl Found {
    pub fn of(node: &UtsNode, children: u32) -> Self {
        Found { nodes: 1, leaves: u64::from(children == 0), depth: node.depth }
    }

    pub fn add(self, other: Found) -> Self {
        Found {
            nodes: self.nodes + other.nodes,
            leaves: self.leaves + other.leaves,
            depth: self.depth.max(other.depth),
        }
    }

    pub fn check(&self) -> u64 {
        self.nodes + self.leaves + u64::from(self.depth)
    }
}

fn hash(message: &[u32]) -> [u32; 5] {
    const START: [u32; 5] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
    let mut state = START;
    let mut word = [0u32; 16];
    word[..message.len()].copy_from_slice(message);
    word[message.len()] = 0x80000000;
    word[15] = message.len() as u32 * 32;

    // Unrolled, as the C is: the words that move on by a place each round do not move at all.
    macro_rules! rounds {
        ($first:expr, $($t:expr)*) => {$({
            const T: usize = $first + $t;
            if T >= 16 {
                let mixed = word[(T + 13) % 16] ^ word[(T + 8) % 16] ^ word[(T + 2) % 16] ^ word[T % 16];
                word[T % 16] = mixed.rotate_left(1);
            }
            let [a, b, c, d, e] = state;
            let mixed = match T / 20 {
                0 => (d ^ (b & (c ^ d))).wrapping_add(0x5a827999),
                1 => (b ^ c ^ d).wrapping_add(0x6ed9eba1),
                2 => ((b & c) | (d & (b | c))).wrapping_add(0x8f1bbcdc),
                _ => (b ^ c ^ d).wrapping_add(0xca62c1d6),
            };
            let sum = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(word[T % 16]);
            state = [sum, a, b.rotate_left(30), c, d];
        })*};
    }
    rounds!(0, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    rounds!(20, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    rounds!(40, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    rounds!(60, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    std::array::from_fn(|i| START[i].wrapping_add(state[i]))
}

impl UtsNode {
    pub fn root() -> Self {
        UtsNode { random: hash(&[0, 0, 0, 0, 19]), depth: 0 }
    }

    pub fn child(&self, i: u32) -> Self {
        let [a, b, c, d, e] = self.random;
        UtsNode { random: hash(&[a, b, c, d, e, i]), depth: self.depth + 1 }
    }

    pub fn children(&self, limit: u32) -> u32 {
        if self.depth >= limit {
            return 0;
        }
        let u = f64::from(self.random[4] & 0x7fffffff) / 2147483648.0;
        let step = 4.0 / 5.0;
        let (mut count, mut power) = (0, step);
        while power >= 1.0 - u {
            power *= step;
            count += 1;
        }
        count
    }
}

// ---- queens ----

/// Rows that are searched without tasks.
pub const ALONE: usize = 8;

#[derive(Clone, Copy)]
pub struct Board {
    all: u32,
    columns: u32,
    left: u32,
    right: u32,
    pub rows: usize,
}

impl Board {
    pub fn empty(size: usize) -> Self {
        Board { all: (1 << size) - 1, columns: 0, left: 0, right: 0, rows: size }
    }

    /// The boards with a queen more.
    pub fn next(self) -> impl Iterator<Item = Board> {
        let mut free = self.all & !(self.columns | self.left | self.right);
        std::iter::from_fn(move || {
            let place = free & free.wrapping_neg();
            free &= free.wrapping_sub(1);
            (place != 0).then(|| Board {
                columns: self.columns | place,
                left: (self.left | place) << 1,
                right: (self.right | place) >> 1,
                rows: self.rows - 1,
                ..self
            })
        })
    }

    pub fn solutions(&self) -> u64 {
        solutions(self.all, self.columns, self.left, self.right)
    }
}

fn solutions(all: u32, columns: u32, left: u32, right: u32) -> u64 {
    if columns == all {
        return 1;
    }
    let (mut found, mut free) = (0, all & !(columns | left | right));
    while free != 0 {
        let place = free & free.wrapping_neg();
        found += solutions(all, columns | place, (left | place) << 1, (right | place) >> 1);
        free &= free - 1;
    }
    found
}

// ---- sorting, matrices ----

/// Elements that are sorted without tasks.
pub const SORT_ALONE: usize = 4096;

pub fn random_array(count: usize) -> Vec<u32> {
    let mut random = Random::new();
    (0..count).map(|_| random.draw() as u32).collect()
}

pub fn sorted_check(array: &[u32]) -> u64 {
    array.iter().zip(1u64..).fold(0, |sum, (&x, i)| sum.wrapping_add(u64::from(x) * i))
}

fn insertion_sort(array: &mut [u32]) {
    for i in 1..array.len() {
        let (moved, mut k) = (array[i], i);
        while k > 0 && array[k - 1] > moved {
            array[k] = array[k - 1];
            k -= 1;
        }
        array[k] = moved;
    }
}

pub fn merge(array: &mut [u32], scratch: &mut [u32], middle: usize) {
    scratch[..middle].copy_from_slice(&array[..middle]);
    let (mut left, mut right, mut out) = (0, middle, 0);
    while left < middle && right < array.len() {
        if array[right] < scratch[left] {
            array[out] = array[right];
            right += 1;
        } else {
            array[out] = scratch[left];
            left += 1;
        }
        out += 1;
    }
    array[out..out + middle - left].copy_from_slice(&scratch[left..middle]);
}

pub fn sort(array: &mut [u32], scratch: &mut [u32]) {
    if array.len() <= 32 {
        return insertion_sort(array);
    }
    let middle = array.len() / 2;
    sort(&mut array[..middle], &mut scratch[..middle]);
    sort(&mut array[middle..], &mut scratch[middle..]);
    merge(array, scratch, middle);
}

/// One row of the product of a row and a matrix.
pub fn multiply_row(a: &[f64], b: &[f64], c: &mut [f64]) {
    c.fill(0.0);
    for (factor, row) in a.iter().zip(b.chunks_exact(c.len())) {
        for (sum, x) in c.iter_mut().zip(row) {
            *sum += factor * x;
        }
    }
}

pub fn product_check(c: &[f64]) -> u64 {
    c.iter().enumerate().map(|(i, x)| x * (i % 3 + 1) as f64).sum::<f64>() as u64
}

// ---- the words of files ----

pub fn list_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind of file");
        if kind.is_dir() {
            files.extend(list_files(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || (b'\t'..=b'\r').contains(&byte)
}

pub fn count_words(path: &Path) -> u64 {
    let mut file = std::fs::File::open(path).expect("a file");
    let mut buffer = [0u8; 16 << 10];
    let (mut words, mut before) = (0, true);
    loop {
        let got = file.read(&mut buffer).expect("bytes");
        if got == 0 {
            return words;
        }
        for &byte in &buffer[..got] {
            let space = is_space(byte);
            words += u64::from(before & !space);
            before = space;
        }
    }
}
