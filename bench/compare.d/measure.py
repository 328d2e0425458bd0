"""Rounds: the sides of a subject take turns, every other time in the opposite order."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import machine
from progress import Progress
from sides import Blank, Failed, Line, Side, run
from subjects import Subject, make_files

# A side that takes this long to warm up, and so many times as long as the first, is not asked ten times more.
_SLOW_SECONDS = 4
_SLOW_TIMES = 20


@dataclass
class Series:
    """A side with a number of workers: what each figure was in each round, in the subject's units."""

    side: str
    workers: int
    rounds: list[list[float]] = field(default_factory=list)

    def figure(self, which: int) -> list[float]:
        return [figures[which] for figures in self.rounds]


@dataclass
class Result:
    subject: Subject
    size: str
    load: float  # before
    series: list[Series] = field(default_factory=list)
    blank: dict[str, str] = field(default_factory=dict)  # side, and workers if it matters: why
    failed: dict[str, str] = field(default_factory=dict)

    def find(self, side: str, workers: int) -> Series | None:
        return next((s for s in self.series if s.side == side and s.workers == workers), None)


@dataclass
class _Judge:
    """The value that all sides must come to: the known one, or the first."""

    right: int | None

    def look(self, line: Line) -> None:
        if self.right is None:
            self.right = line.check
        if line.check != self.right:
            raise Failed(f"it came to {line.check}, and {self.right} is right")


def size_of(subject: Subject, quick: bool, scratch: Path) -> tuple[str, int]:
    """What a side is given, and the number that it stands for."""
    number = subject.size(quick)
    if subject.name == "contrast":
        return str(make_files(scratch, number)), number
    return str(number), number


def _warm_up(
    sides: list[Side], result: Result, workers: int, judge: _Judge, progress: Progress
) -> dict[str, tuple[Side, Series]]:
    """One round that does not count; who cannot do the subject, or does it wrong, is out."""
    there: dict[str, tuple[Side, Series]] = {}
    first = 0.0
    for side in sides:
        key = side.name if workers == 1 else f"{side.name}, {workers} workers"
        if side.name in result.blank or side.name in result.failed:
            progress.skip(side.name)
            continue
        began = time.monotonic()
        try:
            judge.look(run(side, result.subject, workers, result.size))
            took = time.monotonic() - began
            first = first or took
            if took > max(_SLOW_SECONDS, _SLOW_TIMES * first):
                raise Blank(f"a run takes {took:.0f} s, {took / first:.0f} times as long as {sides[0].name}'s")
            there[side.name] = (side, Series(side.name, workers))
            progress.step(side.name, "warming up", took)
        except Blank as why:
            result.blank[key] = str(why)
            progress.skip(side.name)
        except Failed as why:
            result.failed[key] = str(why)
            progress.skip(side.name)
    return there


def _measure_with(
    sides: list[Side], result: Result, workers: int, rounds: int, number: int, judge: _Judge, progress: Progress
) -> None:
    there = _warm_up(sides, result, workers, judge, progress)
    for turn in range(rounds):
        order = list(there.values())
        for side, series in reversed(order) if turn % 2 else order:
            began = time.monotonic()
            try:
                line = run(side, result.subject, workers, result.size)
                judge.look(line)
            except (Blank, Failed) as why:
                result.failed[f"{side.name}, {workers} workers"] = f"round {turn + 1}: {why}"
                del there[side.name]
                continue
            units = (figure.per(number) for figure in result.subject.figures)
            series.rounds.append([value / unit for value, unit in zip(line.figures, units)])
            progress.step(side.name, f"round {turn + 1} of {rounds}", time.monotonic() - began)
    result.series += [series for _, series in there.values()]


def measure(
    subject: Subject, sides: list[Side], counts: list[int], rounds: int, quick: bool, scratch: Path, progress: Progress
) -> Result:
    """All sides that are there, with each number of workers."""
    size, number = size_of(subject, quick, scratch)
    result = Result(subject, size, machine.load())
    judge = _Judge(subject.check(number) if subject.check else None)
    for workers in counts:
        progress.begin(subject.name, workers)
        _measure_with(sides, result, workers, rounds, number, judge, progress)
    return result
