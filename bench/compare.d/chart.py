"""The ratios to weft as a picture, drawn by gnuplot: a row a subject, a point a side, on a logarithmic scale."""

from __future__ import annotations

import shutil
import statistics
import subprocess
from pathlib import Path

import report
from store import Stored
from verdict import quartiles

_HEAD = """
set terminal svg size 1000,{height} font "sans-serif,12" background "#ffffff"
set output {path}
set multiplot layout {panels},1
set logscale x
set format x "%g"
set grid xtics
set key outside right top Left reverse
set lmargin 17
set rmargin 20
set xlabel "ratio to weft's median; right of 1: takes longer than weft, or more"
"""

# A side's, in every panel; after them they begin again.
_COLOURS = (
    "#000000", "#00a0d0", "#d04000", "#f0a020", "#a03000", "#0050b0", "#8060c0", "#d03090", "#308030", "#707070",
    "#90b030",
)  # fmt: skip


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _points(stored: list[Stored], workers: int, side: str) -> list[str]:
    """Ratio, row, and the side's quartiles as ratios."""
    points = []
    for row, s in enumerate(stored):
        weft, series = s.result.find(report.WEFT, workers), s.result.find(side, workers)
        if weft is None or series is None:
            continue
        base = statistics.median(weft.figure(0))
        low, middle, high = (value / base for value in quartiles(series.figure(0)))
        if low > 0:
            points.append(f"{middle:.5g} {len(stored) - row} {low:.5g} {high:.5g}")
    return points


def _panel(stored: list[Stored], workers: int, sides: list[str]) -> list[str]:
    names = [s.result.subject.name for s in stored]
    tics = ", ".join(f"{_quote(name)} {len(names) - row}" for row, name in enumerate(names))
    lines = [
        f"set title {_quote('1 worker' if workers == 1 else f'{workers} workers')}",
        f"set yrange [0.3:{len(names)}.7]",
        f"set ytics ({tics})",
    ]
    plots = []
    for index, side in enumerate(sides):
        points = _points(stored, workers, side)
        if not points:
            continue
        lines += [f"$side{index} << END", *points, "END"]
        style = f"linecolor rgb {_quote(_COLOURS[index % len(_COLOURS)])} pointtype {index % 12 + 4} pointsize 0.9"
        plots.append(f"$side{index} using 1:2:3:4 with xerrorbars {style} title {_quote(side)}")
    lines.append("plot " + ", ".join(plots))
    return lines


def draw(path: Path, stored: list[Stored]) -> str:
    """Why there is no chart, or nothing."""
    if not shutil.which("gnuplot"):
        return "gnuplot is not there (Debian: gnuplot-nox)"
    counts = sorted({count for s in stored for count in report.counts(s.result)})
    versions = stored[0].run.machine["versions"]
    assert isinstance(versions, dict)
    height = len(counts) * (140 + 22 * max(len(stored), len(versions)))  # the key has a row for each side
    lines = [_HEAD.format(height=height, path=_quote(str(path)), panels=len(counts))]
    for workers in counts:
        there = [s for s in stored if workers in report.counts(s.result)]
        lines += _panel(there, workers, list(versions))
    drawn = subprocess.run(["gnuplot"], input="\n".join(lines), capture_output=True, text=True)
    return drawn.stderr.strip() if drawn.returncode != 0 else ""
