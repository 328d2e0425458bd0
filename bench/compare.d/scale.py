"""bench/scale: how weft, Go and Tokio grow with the number of tasks, senders, workers and connections."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import machine
import sides
from sides import Blank, Failed, Line, Side

_NAMES = ("weft", "go", "tokio")
_ROUNDS = 5
_QUICK_ROUNDS = 1
_SHARED = 100_000  # items of the senders
_MESSAGES = 20_000  # at least, on all connections
_FIB = (24, 75_024)  # the number, and its spawns


@dataclass(frozen=True)
class Curve:
    name: str
    axis: str  # what grows
    unit: str  # of the nanoseconds
    points: list[int]
    quick: list[int]
    run: Callable[[Side, int], Line]
    per: Callable[[int], float]  # what a run's time is divided by


def _messages(connections: int) -> int:
    return max(_MESSAGES, connections) // connections * connections


def _tens(most: int) -> list[int]:
    return [10**power for power in range(most + 1)]


def _curves() -> list[Curve]:
    cores = machine.workers()
    return [
        Curve(
            "skynet",
            "tasks",
            "ns a task",
            _tens(7)[1:],
            [10, 1000],
            lambda side, n: sides.run_program(side, "skynet", cores, str(n)),
            float,
        ),
        Curve(
            "senders",
            "senders to one channel",
            "ns an item",
            _tens(3),
            [1, 100],
            lambda side, n: sides.run_program(side, "senders", cores, str(n)),
            lambda n: _SHARED,
        ),
        Curve(
            "fib",
            "workers",
            "ns a spawn",
            [2**power for power in range(7)],
            [1, 4],
            lambda side, n: sides.run_program(side, "fib", n, str(_FIB[0])),
            lambda n: _FIB[1],
        ),
        Curve(
            "echo",
            "connections",
            "ns a request",
            _tens(4),
            [1, 100],
            lambda side, n: sides.run_server(side, cores, _messages(n), n),
            _messages,
        ),
    ]


@dataclass
class Measured:
    """Of one curve: for each side its points, and for each point the rounds."""

    curve: Curve
    sides: dict[str, dict[int, list[float]]]


def _measure(curve: Curve, there: list[Side], quick: bool) -> Measured:
    measured = Measured(curve, {side.name: {} for side in there})
    for point in curve.quick if quick else curve.points:
        check: int | None = None
        for turn in range(_QUICK_ROUNDS if quick else _ROUNDS):
            for side in reversed(there) if turn % 2 else there:
                try:
                    line = curve.run(side, point)
                except (Blank, Failed) as why:
                    print(f"{curve.name}, {point} {curve.axis}, {side.name}: {why}", file=sys.stderr)
                    continue
                check = line.check if check is None else check
                if line.check != check:
                    raise SystemExit(f"bench/scale: {side.name} came to {line.check}, and others to {check}")
                ns = line.figures[0] / curve.per(point)
                measured.sides[side.name].setdefault(point, []).append(ns)
        _print(measured, point)
    return measured


def _print(measured: Measured, point: int) -> None:
    medians = (
        f"{name} {statistics.median(points[point]):,.1f}" for name, points in measured.sides.items() if point in points
    )
    curve = measured.curve
    print(f"{point:>10,} {curve.axis}: {', '.join(medians)} {curve.unit}", flush=True)


def _save(path: Path, measured: list[Measured], there: list[Side]) -> None:
    document = {
        "machine": machine.describe(there),
        "load": machine.load(),
        "curves": [{"name": m.curve.name, "axis": m.curve.axis, "unit": m.curve.unit, "ns": m.sides} for m in measured],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _draw(path: Path, measured: list[Measured]) -> None:
    lines = [
        'set terminal svg size 1000,800 font "sans-serif,12" background "#ffffff"',
        f"set output '{path}'",
        "set multiplot layout 2,2",
        "set logscale xy",
        "set grid",
        "set key top left",
        'set format x "%.0f"',
    ]
    for m in measured:
        lines += [f"set title '{m.curve.name}'", f"set xlabel '{m.curve.axis}'", f"set ylabel '{m.curve.unit}'"]
        plots = []
        for index, (name, points) in enumerate(m.sides.items()):
            if points:
                rows = [f"{point} {statistics.median(rounds):.6g}" for point, rounds in points.items()]
                lines += [f"$side{index} << END", *rows, "END"]
                plots.append(f"$side{index} with linespoints linewidth 2 title '{name}'")
        lines.append("plot " + ", ".join(plots))
    subprocess.run(["gnuplot"], input="\n".join(lines), text=True, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two points a curve, into build/compare/quick")
    quick = parser.parse_args().quick
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    every = [side for side in sides.all_sides() if side.name in _NAMES]
    sides.build(every)
    sides.build_load()
    there = [side for side in every if not side.missing]
    for side in every:
        if side.missing:
            print(f"without {side.name}: {side.missing}")
    measured = [_measure(curve, there, quick) for curve in _curves()]
    directory = sides.ROOT / ("build/compare/quick" if quick else "bench/results")
    _save(directory / "scale.json", measured, every)
    _draw(directory / "scale.svg", measured)
    print(directory / "scale.svg")


if __name__ == "__main__":
    main()
