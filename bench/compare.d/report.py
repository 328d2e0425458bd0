"""What is printed, and the table in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import verdict
from measure import Result, Series
from store import Run, Stored
from subjects import Figure
from verdict import Verdict

WEFT = "weft"
QUICK = "Small sizes, to see that all works: nothing follows from these figures."


def _digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def amount(value: float, unit: str) -> str:
    """With a unit that a reader can take in; what it is per is told elsewhere."""
    if not unit.startswith("ns"):
        return f"{_digits(value)} B"
    for name in ("ns", "us", "ms"):
        if abs(value) < 10000:
            return f"{_digits(value)} {name}"
        value /= 1000
    return f"{_digits(value)} s"


def _per(figure: Figure) -> str:
    return figure.unit.partition("/")[2]


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def counts(result: Result) -> list[int]:
    return sorted({series.workers for series in result.series})


def with_workers(result: Result, workers: int) -> list[Series]:
    return [series for series in result.series if series.workers == workers]


def compare(result: Result, series: Series, which: int) -> tuple[float, Verdict | None]:
    """The ratio of the medians to weft's, and whether it counts; weft itself has no verdict."""
    weft = result.find(WEFT, series.workers)
    if weft is None or weft is series:
        return 1.0, None
    ours, theirs = weft.figure(which), series.figure(which)
    base = statistics.median(ours)
    ratio = statistics.median(theirs) / base if base else float("nan")
    return ratio, verdict.judge(ours, theirs)


# ---- on the terminal ----


def _rows(result: Result, workers: int, which: int) -> Iterator[str]:
    unit = result.subject.figures[which].unit
    for series in with_workers(result, workers):
        values = series.figure(which)
        low, middle, high = verdict.quartiles(values)
        ratio, judged = compare(result, series, which)
        width = 100 * (high - low) / middle if middle else 0.0
        word = judged.value if judged else ""
        yield f"  {series.side:<14}{amount(middle, unit):>12} {width:>7.1f}% {ratio:>9.2f}  {word}"


def text(result: Result) -> str:
    lines = []
    for which, figure in enumerate(result.subject.figures):
        for workers in counts(result):
            name = f"{result.subject.name}, {figure.name}" if figure.name else result.subject.name
            unit = f" per {_per(figure)}" if _per(figure) else ""
            title = f"{name}{unit}, {_workers(workers)}"
            lines.append(f"\n{title:<30}{'median':>10} {'spread':>8} {'ratio':>9}")
            lines += _rows(result, workers, which)
    for side, why in result.blank.items():
        lines.append(f"  {side}: {why}")
    for side, why in result.failed.items():
        lines.append(f"  {side} FAILED: {why}")
    return "\n".join(lines)


def header(run: Run, load: float) -> str:
    machine = run.machine
    lines = [f"{machine[key]}" for key in ("cpu", "memory", "kernel", "libc", "compiler")]
    lines.append(", ".join(f"{side} {version}" for side, version in _dict(machine["versions"]).items()))
    lines.append(f"weft's commit {machine['weft']}")
    lines += [f"without {side}: {why}" for side, why in _dict(machine["missing"]).items()]
    lines.append(f"load {load:.2f}; medians of {run.rounds} rounds after a warm-up; spread: the interquartile range")
    lines.append(verdict.RULE)
    if run.quick:
        lines.append(QUICK)
    return "\n".join(lines)


def _dict(value: object) -> dict[str, str]:
    assert isinstance(value, dict)
    return value


# ---- in Markdown ----


def _cell(result: Result, series: Series | None, which: int) -> str:
    if series is None:
        return ""
    values = series.figure(which)
    low, middle, high = verdict.quartiles(values)
    ratio, judged = compare(result, series, which)
    shown = amount(middle, result.subject.figures[which].unit)
    width = f" ±{50 * (high - low) / middle:.0f}%" if middle else ""
    if judged is None:
        return f"{shown}{width}"
    mark = "≈" if judged is Verdict.SAME else "×"
    return f"{shown}{width}, {mark}{ratio:.2f}"


def _sides(stored: list[Stored], workers: int) -> list[str]:
    found = {series.side for s in stored for series in with_workers(s.result, workers)}
    return [side for side in _dict(stored[0].run.machine["versions"]) if side in found]


def _label(result: Result, which: int) -> str:
    figure = result.subject.figures[which]
    name = f"`{result.subject.name}`"
    if which == 0:
        per = f", each {_per(figure)}" if _per(figure) else ""
        return f"{name}: {result.subject.what}{per}"
    return f"{name}: {figure.name}"


def _table(stored: list[Stored], workers: int) -> Iterator[str]:
    sides = _sides(stored, workers)
    yield f"| {_workers(workers)} | " + " | ".join(sides) + " |"
    yield "|---" * (len(sides) + 1) + "|"
    for s in stored:
        if workers not in counts(s.result):
            continue
        for which in range(len(s.result.subject.figures)):
            cells = [_cell(s.result, s.result.find(side, workers), which) for side in sides]
            yield f"| {_label(s.result, which)} | " + " | ".join(cells) + " |"


def _notes(stored: list[Stored]) -> Iterator[str]:
    """Why cells are blank, each reason once."""
    reasons: dict[str, list[str]] = {}
    for s in stored:
        for kind, entries in (("", s.result.blank), ("failed: ", s.result.failed)):
            for side, why in entries.items():
                reasons.setdefault(f"{side}: {kind}{why}", []).append(f"`{s.result.subject.name}`")
    for reason, subjects in reasons.items():
        yield f"- {reason} ({', '.join(subjects)})."


def markdown(stored: list[Stored], others: list[Stored], chart: str) -> str:
    run = max((s.run for s in stored), key=lambda r: r.date)
    machine = run.machine
    load = max(s.result.load for s in stored)
    described = "; ".join(f"{machine[key]}" for key in ("cpu", "memory", "kernel", "libc", "compiler"))
    versions = ", ".join(f"{side} {version}" for side, version in _dict(machine["versions"]).items())
    lines = [
        f"`{run.command}`, {run.date}, on {described}. {versions}; weft's commit {machine['weft']}. The load before a subject was at most {load:.2f}.",
        "",
        f"Medians of {run.rounds} rounds in which the sides took turns, ± half of the interquartile range, and the "
        f"ratio to weft's median: ×2.00 takes twice as much as weft. {verdict.RULE}",
    ]
    if run.quick:
        lines += ["", f"**{QUICK}**"]
    for workers in sorted({count for s in stored for count in counts(s.result)}):
        lines += ["", *_table(stored, workers)]
    lines += ["", f"![The ratios to weft]({chart})", "", "What is blank:", "", *_notes(stored)]
    lines += [f"- {side} could not be had: {why}." for side, why in _dict(machine["missing"]).items()]
    if others:
        names = ", ".join(f"`{s.result.subject.name}`" for s in others)
        lines += ["", f"Measured elsewhere or with other versions, and left out: {names}."]
    return "\n".join(lines) + "\n"


def put_into(readme: Path, command: str, table: str) -> None:
    """Between the two markers of the command."""
    opening, closing = f"<!-- {command}: begin -->", f"<!-- {command}: end -->"
    before, begin, rest = readme.read_text().partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end:
        raise SystemExit(f"{command}: {readme} lacks the lines {opening} and {closing}")
    readme.write_text(f"{before}{begin}\n{table}{end}{after}")
