"""bench/figures: what weft's calls cost, each beside its twin without tasks, from the benchmarks' own figures."""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import machine
import report
from sides import ROOT

RESULTS = ROOT / "bench" / "results" / "figures.json"
QUICK = ROOT / "build" / "compare" / "quick" / "figures.json"
_BENCHES = ROOT / "build" / "release" / "bench"
_REPS = 9
_QUICK_REPS = 3
_WORKERS = (1, 2)  # what the benchmarks run with unless told otherwise


@dataclass(frozen=True)
class Row:
    """A line of the table: a comparison of a benchmark, and which of its sides stand in the columns."""

    bench: str
    what: str  # the comparison's name, as the benchmark prints it
    label: str
    twin: str  # the side without tasks; "": it has none
    side: str
    note: str = ""  # what the twin is, where the label does not tell
    workers: tuple[int, ...] = _WORKERS  # (0,): the side runs in a plain thread, and fills the first column
    in_quick: bool = True  # small sizes have this comparison too


_POINTER = "through a pointer, no task"
_CALLS = "calls through a pointer"

ROWS: tuple[Row, ...] = (
    Row(
        "fib",
        "fib, one child spawned, one called",
        "`fib`: one child spawned, one called",
        _POINTER,
        "spawn, await",
        "a call through a pointer",
    ),
    Row(
        "fib",
        "fib, one child spawned, one called",
        "the same, the child taken back if nobody has it",
        "plain function",
        "spawn, take",
        "a plain call",
    ),
    Row(
        "spawn",
        "1,000 spawned, then awaited",
        "`spawn`: 1,000 spawned, then awaited, first first",
        _CALLS,
        "awaited first first",
        "calls",
    ),
    Row("spawn", "1,000 spawned, then awaited", "the same, last first", _CALLS, "awaited last first"),
    Row("spawn", "spawned and awaited, one at a time", "spawned and awaited one at a time", _CALLS, "spawn, await"),
    Row("skynet", "a tree of ten children each", "`skynet`: a tree of a million leaves", _POINTER, "spawn, await"),
    Row("skynet", "the same tree, sums by channel", "the same, every sum by a channel", _POINTER, "spawn, await"),
    Row(
        "uts",
        "T1, geometric",
        "`uts`: unbalanced tree search, T1",
        "recursion",
        "behind subtrees",
        "recursion",
        in_quick=False,
    ),
    Row("uts", "T3, binomial", "the same, T3", "recursion", "behind subtrees", "recursion", in_quick=False),
    Row(
        "nqueens",
        "n queens",
        "`nqueens`: 13 queens, the last rows in one task",
        "recursion",
        "the last rows in one task",
        "recursion",
    ),
    Row("yield", "2 that yield in turn", "`yield`: 2 tasks", "sched_yield, threads", "weft_yield", "`sched_yield`"),
    Row(
        "yield",
        "1,000 that yield in turn",
        "the same, 1,000 tasks",
        "sched_yield, threads",
        "weft_yield",
        "`sched_yield`",
    ),
    Row(
        "switch",
        "two that switch to each other",
        "`switch`: of stacks",
        "jump_fcontext",
        "the library's switch",
        "`jump_fcontext`",
        workers=(0,),
    ),
    Row(
        "pingpong",
        "two unbuffered channels",
        "`pingpong`: there and back by two channels",
        "two threads, mutex and condition",
        "two tasks",
        "threads",
    ),
    Row(
        "chan",
        "one to one, an int",
        "`chan`: one to one, 128 slots",
        "threads and a queue",
        "tasks and a channel",
        "threads",
    ),
    Row(
        "chan", "four to four, an int", "the same, four to four", "threads and a queue", "tasks and a channel", "threads"
    ),
    Row(
        "select",
        "over four channels, 128 slots",
        "`select`: over four channels, 128 slots",
        "threads, one condition",
        "tasks, weft_select",
        "threads",
    ),
    Row(
        "select",
        "over four channels, unbuffered",
        "the same, unbuffered",
        "threads, one condition",
        "tasks, weft_select",
        "threads",
    ),
    Row(
        "mutex",
        "lock, add one, unlock",
        "`mutex`: 64 tasks lock, add and unlock",
        "pthread_mutex, a thread a processor",
        "weft_mutex, 64 tasks",
        "a thread a processor",
    ),
    Row(
        "gen",
        "numbers, one at a time",
        "`gen`: a number from a generator",
        "two jump_fcontext",
        "weft_gen_next",
        "two `jump_fcontext`",
        workers=(0,),
    ),
    Row(
        "gen",
        "numbers, through others",
        "the same, 10,000 delegating to each other",
        "",
        "10,000 delegate",
        workers=(0,),
        in_quick=False,
    ),
)

# Its comparisons have the number of workers in their names, and its figure is a ratio.
_START = "`start`: start and stop of a runtime, in threads created and joined"
_START_SIDE = "a runtime: start, stop"
_START_WHAT = {1: "with 1 worker", 2: "with 2 workers"}

NAMES = tuple(dict.fromkeys([*(row.bench for row in ROWS), "start"]))


# ---- measuring ----


@dataclass
class Run:
    """What a benchmark printed, and what was true meanwhile."""

    command: str
    date: str
    reps: int
    quick: bool
    load: float  # before it
    machine: dict[str, object]
    lines: list[dict[str, object]]


class Figures:
    """The figures of one run, by what was compared, side and number of workers."""

    def __init__(self, bench: str, run: Run) -> None:
        self._bench = bench
        self._lines = {(line["what"], line["side"], line["workers"]): line for line in run.lines if "side" in line}

    def get(self, what: str, side: str, workers: int, figure: str = "median_ns") -> float:
        line = self._lines.get((what, side, workers))
        if line is None:
            raise SystemExit(f'bench/figures: {self._bench} has no "{side}" with {workers} workers in "{what}"')
        value = line[figure]
        assert isinstance(value, float)
        return value


def _measure(name: str, command: str, reps: int, quick: bool) -> Run:
    load = machine.load()
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    flags = ["--json", "--reps", str(reps), *(["--quick"] if quick else [])]
    ran = subprocess.run([_BENCHES / name, *flags], stdout=subprocess.PIPE, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"bench/figures: {name} ended with status {ran.returncode}")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    return Run(command, date, reps, quick, load, machine.describe([]), lines)


def _load(path: Path) -> dict[str, Run]:
    if not path.exists():
        return {}
    return {name: Run(**entry) for name, entry in json.loads(path.read_text()).items()}


def _save(path: Path, runs: dict[str, Run]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {name: asdict(runs[name]) for name in NAMES if name in runs}
    path.write_text(json.dumps(document, indent=1) + "\n")


# ---- the table ----


def _time(value: float) -> str:
    return report.amount(value, "ns")


def _cells(row: Row, figures: Figures) -> Iterator[str]:
    twin = _time(figures.get(row.what, row.twin, 0)) if row.twin else ""
    yield f"{twin}, {row.note}" if row.note else twin
    yield from (_time(figures.get(row.what, row.side, workers)) for workers in row.workers)
    yield from [""] * (len(_WORKERS) - len(row.workers))


def _rows(runs: dict[str, Run]) -> Iterator[str]:
    figures = {name: Figures(name, run) for name, run in runs.items()}
    for row in ROWS:
        if row.bench in runs and (row.in_quick or not runs[row.bench].quick):
            yield f"| {row.label} | {' | '.join(_cells(row, figures[row.bench]))} |"
    if "start" in runs:
        ratios = (figures["start"].get(_START_WHAT[n], _START_SIDE, 0, "ratio") for n in _WORKERS)
        yield f"| {_START} | | {' | '.join(f'{ratio:.1f}' for ratio in ratios)} |"


def _alike(runs: dict[str, Run]) -> dict[str, Run]:
    """Those that stand in one table with the latest."""
    latest = max(runs.values(), key=lambda run: run.date)
    kind = (latest.machine, latest.reps)
    return {name: run for name, run in runs.items() if (run.machine, run.reps) == kind}


def _markdown(runs: dict[str, Run]) -> str:
    same = _alike(runs)
    run = max(same.values(), key=lambda r: r.date)
    described = "; ".join(f"{run.machine[key]}" for key in ("cpu", "memory", "kernel", "libc", "compiler"))
    load = max(r.load for r in same.values())
    commands = " and ".join(dict.fromkeys(f"`{r.command}`" for r in same.values()))
    lines = [
        f"{commands}, {run.date}, on {described}; weft's commit {run.machine['weft']}. "
        f"The load before a benchmark was at most {load:.2f}. Medians of {run.reps}.",
        "",
    ]
    if run.quick:
        lines += [f"**{report.QUICK}**", ""]
    lines.append("| per operation | without tasks | 1 worker | 2 workers |")
    lines.append("|---|---|---|---|")
    lines += _rows(same)
    left_out = [f"`{name}`" for name in NAMES if name not in same]
    if left_out:
        lines += ["", f"Not measured, or elsewhere, or with another weft, and left out: {', '.join(left_out)}."]
    return "\n".join(lines) + "\n"


def _fill_readme() -> None:
    runs = _load(RESULTS)
    if not runs:
        raise SystemExit("bench/figures: there are no results; run it without --readme first")
    report.put_into(ROOT / "README.md", "bench/figures", _markdown(runs))


# ---- the command ----


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/figures",
        description="Builds weft's release, runs the benchmarks one after the other, prints the table of README.md, "
        "and writes all that they have measured to bench/results/figures.json.",
        epilog=f"Benchmarks: {', '.join(NAMES)}. Those not named keep what was measured of them.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, into build/compare: to see that all works")
    parser.add_argument("--reps", type=int, help=f"{_REPS}, which is the least; with --quick {_QUICK_REPS}")
    parser.add_argument("--readme", action="store_true", help="puts the table into README.md; measures nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)} in the table; there are {', '.join(NAMES)}")
    given.reps = given.reps or (_QUICK_REPS if given.quick else _REPS)
    if given.reps < (1 if given.quick else _REPS):
        parser.error(f"medians of fewer than {_REPS} say nothing")
    return given


def _measure_all(given: argparse.Namespace) -> None:
    chosen = [name for name in NAMES if not given.names or name in given.names]
    subprocess.run([ROOT / "tools" / "build", "release", *(f"bench_{name}" for name in chosen)], check=True)
    path = QUICK if given.quick else RESULTS
    command = " ".join(["bench/figures", *sys.argv[1:]])
    runs = _load(path)
    for at, name in enumerate(chosen, 1):
        print(f"{name}, {at} of {len(chosen)}", file=sys.stderr, flush=True)
        runs[name] = _measure(name, command, given.reps, given.quick)
        _save(path, runs)
    print(_markdown(runs), end="")


def main() -> None:
    given = _arguments()
    if given.readme:
        _fill_readme()
    else:
        _measure_all(given)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
