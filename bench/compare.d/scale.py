"""bench/scale: how weft, Go and Tokio grow with tasks, senders, workers, connections and tasks that compute."""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import machine
import report
import sides
from sides import Blank, Failed, Line, Side
from verdict import quartiles

_NAMES = ("weft", "go", "tokio")
_ROUNDS = 5
_QUICK_ROUNDS = 1
_SHARED = 100_000  # items of the senders
_MESSAGES = 20_000  # at least, on all connections
_BUSY = (64, 3_200)  # connections, and messages on all of them, beside tasks that compute
_FIB = (24, 75_024)  # the number, and its spawns
_RESULTS = sides.ROOT / "bench" / "results"
_COLOURS = {"weft": "#000000", "go": "#00a0d0", "tokio": "#d04000"}  # as in chart.py


@dataclass(frozen=True)
class Curve:
    name: str
    what: str
    axis: str  # what grows
    unit: str  # of the nanoseconds
    points: list[int]
    quick: list[int]
    run: Callable[[Side, int], Line]
    per: Callable[[int], float]  # what a run's figure is divided by
    figure: int = 0  # which of those that are printed


def _messages(connections: int) -> int:
    return max(_MESSAGES, connections) // connections * connections


def _tens(most: int) -> list[int]:
    return [10**power for power in range(most + 1)]


def _busy(name: str, workers: int) -> Curve:
    connections, messages = _BUSY
    cores = "one core" if workers == 1 else f"{workers} cores"
    return Curve(
        name,
        f"{connections} connections beside tasks that compute, on {cores}",
        "tasks that compute for 1 ms at a time",
        "ms, the 99.9th percentile",
        _tens(2),
        [1, 10],
        lambda side, n: sides.run_server(side, ["echo-busy", str(workers), str(n)], workers, messages, connections),
        lambda n: 1e6,
        figure=3,
    )


def _curves() -> list[Curve]:
    cores = machine.workers()
    return [
        Curve(
            "skynet",
            "skynet: a tree of tasks, ten below each",
            "tasks",
            "ns a task",
            _tens(7)[1:],
            [10, 1000],
            lambda side, n: sides.run_program(side, "skynet", cores, str(n)),
            float,
        ),
        Curve(
            "senders",
            "senders: so many tasks to one, by a channel of 128 slots",
            "senders to one channel",
            "ns an item",
            _tens(3),
            [1, 100],
            lambda side, n: sides.run_program(side, "senders", cores, str(n)),
            lambda n: _SHARED,
        ),
        Curve(
            "fib",
            f"fib({_FIB[0]}): of two calls one is a task, on {cores} cores",
            "workers",
            "ns a spawn",
            [2**power for power in range(7)],
            [1, 4],
            lambda side, n: sides.run_program(side, "fib", n, str(_FIB[0])),
            lambda n: _FIB[1],
        ),
        Curve(
            "echo",
            "echo: TCP, 64 bytes, the load on the same machine",
            "connections",
            "ns a request",
            _tens(4),
            [1, 100],
            lambda side, n: sides.run_server(side, ["echo", str(cores)], cores, _messages(n), n),
            _messages,
        ),
        _busy("busy-one", 1),
        _busy("busy", cores),
    ]


@dataclass
class Measured:
    """Of one curve: for each side its points, and for each point the rounds."""

    curve: Curve
    sides: dict[str, dict[int, list[float]]]
    when: str
    weft: str


def _measure(curve: Curve, there: list[Side], quick: bool) -> Measured:
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    measured = Measured(curve, {side.name: {} for side in there}, when, str(machine.describe(there)["weft"]))
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
                figure = line.figures[curve.figure] / curve.per(point)
                measured.sides[side.name].setdefault(point, []).append(figure)
        _print(measured, point)
    return measured


def _print(measured: Measured, point: int) -> None:
    medians = (
        f"{name} {statistics.median(points[point]):,.1f}" for name, points in measured.sides.items() if point in points
    )
    curve = measured.curve
    print(f"{point:>10,} {curve.axis}: {', '.join(medians)} {curve.unit}", flush=True)


def _save(path: Path, measured: list[Measured], every: list[Side], command: str) -> None:
    document: dict[str, object] = {
        "command": command,
        "machine": machine.describe(every),
        "load": machine.load(),
        "curves": [
            {
                "name": m.curve.name,
                "date": m.when,
                "weft": m.weft,
                "axis": m.curve.axis,
                "unit": m.curve.unit,
                "rounds": m.sides,
            }
            for m in measured
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _stored(path: Path, curves: list[Curve]) -> list[Measured]:
    """Those that were measured before."""
    stored = {curve["name"]: curve for curve in json.loads(path.read_text())["curves"]} if path.exists() else {}
    measured = []
    for curve in curves:
        if curve.name in stored:
            there = stored[curve.name]
            rounds = {side: {int(n): of for n, of in points.items()} for side, points in there["rounds"].items()}
            measured.append(Measured(curve, rounds, there["date"], there["weft"]))
    return measured


def _axis(points: list[int]) -> list[str]:
    """Powers of ten as such, and those of two in full."""
    if points[-1] % 10:
        return ["set logscale x 2", "set format x '%.0f'"]
    return ["set logscale x 10", "set format x '10^{%T}'" if points[-1] > 10_000 else "set format x '%.0f'"]


def _draw(path: Path, measured: list[Measured]) -> None:
    """A curve a panel: medians, and from the first to the third quartile."""
    lines = [
        'set terminal svg size 1000,1290 font "sans-serif,13" background "#ffffff"',
        f"set output '{path}'",
        "set multiplot layout 3,2",
        "set logscale y",
        "set format y '%g'",
        "set grid",
        "set key outside below horizontal center",
    ]
    for m in measured:
        lines += [f"set title '{m.curve.what}'", f"set xlabel '{m.curve.axis}'", f"set ylabel '{m.curve.unit}'"]
        lines += _axis(m.curve.points)
        ends = [n for points in m.sides.values() for n in points]
        lines.append(f"set xrange [{min(ends) / 1.3}:{max(ends) * 1.3}]")
        plots = []
        for index, (name, points) in enumerate(m.sides.items()):
            if points:
                rows = [
                    "{} {:.6g} {:.6g} {:.6g}".format(point, middle, low, high)
                    for point, (low, middle, high) in ((n, quartiles(rounds)) for n, rounds in points.items())
                ]
                lines += [f"$side{index} << END", *rows, "END"]
                style = f"linecolor rgb '{_COLOURS[name]}' linewidth 2 pointtype {index * 2 + 5} pointsize 0.6"
                plots.append(f"$side{index} with yerrorlines {style} title '{name}'")
        lines.append("plot " + ", ".join(plots))
    subprocess.run(["gnuplot"], input="\n".join(lines), text=True, check=True)


def _markdown(document: dict[str, object]) -> str:
    where = document["machine"]
    assert isinstance(where, dict) and isinstance(document["curves"], list)
    described = "; ".join(f"{where[key]}" for key in ("cpu", "memory", "kernel", "libc", "compiler"))
    versions = ", ".join(f"{side} {version}" for side, version in where["versions"].items())
    runs: dict[str, list[str]] = {}
    for curve in document["curves"]:
        runs.setdefault(f"of {curve['date']}, weft's commit {curve['weft']}", []).append(f"`{curve['name']}`")
    measured = "; ".join(f"{', '.join(names)} {run}" for run, names in runs.items())
    return (
        f"`bench/scale`, on {described}. {versions}. {measured}. "
        f"Medians of {_ROUNDS} rounds in which the sides took turns; the bars are quartiles.\n\n"
        "![Cost by tasks, senders, workers, connections and tasks that compute](bench/results/scale.svg)\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two points a curve, into build/compare/quick")
    parser.add_argument("--readme", action="store_true", help="puts the last run into README.md; measures nothing")
    names = [curve.name for curve in _curves()]
    parser.add_argument("curves", nargs="*", metavar="CURVE", help=f"of {', '.join(names)}; all, if none is named")
    given = parser.parse_args()
    quick = given.quick
    if unknown := set(given.curves) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if given.readme:
        document = json.loads((_RESULTS / "scale.json").read_text())
        report.put_into(sides.ROOT / "README.md", "bench/scale", _markdown(document))
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    every = [side for side in sides.all_sides() if side.name in _NAMES]
    sides.build(every)
    sides.build_load()
    there = [side for side in every if not side.missing]
    for side in every:
        if side.missing:
            print(f"without {side.name}: {side.missing}")
    directory = sides.ROOT / "build" / "compare" / "quick" if quick else _RESULTS
    asked = given.curves or names
    anew = {curve.name: _measure(curve, there, quick) for curve in _curves() if curve.name in asked}
    before = {m.curve.name: m for m in _stored(directory / "scale.json", _curves())}
    measured = [(before | anew)[name] for name in names if name in before | anew]
    _save(directory / "scale.json", measured, every, " ".join(["bench/scale", *sys.argv[1:]]))
    _draw(directory / "scale.svg", measured)
    print(directory / "scale.svg")


if __name__ == "__main__":
    main()
