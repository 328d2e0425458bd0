"""What is measured: each subject's work is stated in bench/peers/README.md, its sizes and units here."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def _fib(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def _queens(n: int) -> int:
    return {10: 724, 13: 73_712}[n]


def _sum_below(n: int) -> int:
    return n * (n - 1) // 2


def _itself(n: int) -> int:
    return n


def _one(_: int) -> int:
    return 1


@dataclass(frozen=True)
class Figure:
    """One number of the line that a side prints."""

    name: str
    unit: str  # of what is shown: "ns" and what a nanosecond is in it are all that differs
    per: Callable[[int], float] = _one  # what the printed number is divided by, from the size


@dataclass(frozen=True)
class Subject:
    name: str
    what: str
    full: int
    quick: int
    figures: tuple[Figure, ...]  # in the order in which they are printed
    check: Callable[[int], int] | None = None  # the value that is right; None: the sides must agree
    one_worker: bool = False  # more workers make no difference to it

    def size(self, quick: bool) -> int:
        return self.quick if quick else self.full


def _time(unit: str, per: Callable[[int], float]) -> tuple[Figure, ...]:
    return (Figure("", f"ns/{unit}", per),)


CONNECTIONS = 64
_BYTES = (Figure("", "bytes/task"),)

# Nodes and leaves of T1 of the Unbalanced Tree Search, by the depth at which it is cut: 10 is all of it, as published.
_T1 = {7: (63_914, 51_124), 10: (4_130_071, 3_305_118)}


def _t1_nodes(depth: int) -> int:
    return _T1[depth][0]


def _t1_check(depth: int) -> int:
    return sum(_T1[depth]) + depth


SUBJECTS: tuple[Subject, ...] = (
    Subject("fib", "Fibonacci: of two calls one is a task", 25, 18, _time("spawn", lambda n: _fib(n + 1) - 1), _fib),
    Subject("spawn", "1,000 tasks started, then awaited", 20_000, 2_000, _time("task", _itself), _itself),
    Subject("skynet", "a tree of tasks, ten below each", 1_000_000, 1_000, _time("leaf", _itself), _sum_below),
    Subject("skynet-chan", "the same, sums by channel", 1_000_000, 1_000, _time("leaf", _itself), _sum_below),
    Subject("uts", "Unbalanced Tree Search, T1, a task a node", 10, 7, _time("node", _t1_nodes), _t1_check),
    Subject("nqueens", "n queens, the last 8 rows in one task", 13, 10, (Figure("", "ns"),), _queens),
    Subject("matmul", "two matrices multiplied", 512, 96, (Figure("", "ns"),)),
    Subject("reduce", "an array added up", 1 << 22, 1 << 18, (Figure("", "ns"),), _sum_below),
    Subject("sort", "merge sort", 1_000_000, 50_000, _time("element", _itself)),
    Subject("yield", "1,000 tasks that yield in turn", 500_000, 10_000, _time("yield", _itself), _itself),
    Subject("pingpong", "a number there and back", 50_000, 2_000, _time("round trip", _itself), _itself),
    Subject("chan", "a channel, one to one", 500_000, 20_000, _time("item", _itself), _sum_below),
    Subject("chan4", "a channel, four to four", 500_000, 20_000, _time("item", _itself), _sum_below),
    Subject("select", "select over four channels", 200_000, 10_000, _time("item", _itself), _sum_below),
    Subject("mutex", "64 tasks lock, add, unlock", 640_000, 64_000, _time("addition", _itself), _itself),
    Subject(
        "timers",
        "sleeps of 1 to 100 ms, all at once",
        300_000,
        2_000,
        (Figure("all", "ns"), Figure("late, median", "ns"), Figure("late, p99", "ns")),
        _itself,
    ),
    Subject(
        "echo",
        f"TCP echo of 64 bytes, {CONNECTIONS} connections",
        128_000,
        6_400,
        (Figure("", "ns/request", _itself), Figure("median", "ns"), Figure("p99", "ns")),
        _itself,
    ),
    Subject("contrast", "the words of many files, a task each", 2_000, 100, _time("file", _itself)),
    Subject("memory", "a task that waits", 100_000, 10_000, _BYTES, _one, one_worker=True),
    Subject("memory-spawned", "a task that has not begun", 100_000, 10_000, _BYTES, _one, one_worker=True),
    Subject("start", "a runtime started and stopped", 100, 10, _time("start", _itself), _itself),
)


def make_files(directory: Path, count: int) -> Path:
    """Files of words, the same on every machine, a hundred to a directory; made once."""
    root = directory / f"files-{count}"
    if (root / "complete").exists():
        return root / "files"
    draw = random.Random(count)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(1, 12))) for _ in range(1000)]
    for number in range(count):
        below = root / "files" / f"{number // 100:03}"
        below.mkdir(parents=True, exist_ok=True)
        text = " ".join(draw.choices(words, k=draw.randint(100, 4000)))
        (below / f"{number:05}").write_text(text.replace(" a", "\n a"))
    (root / "complete").touch()
    return root / "files"
