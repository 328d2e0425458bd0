"""How far it has come, and how long the rest will take, on the standard error."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

_GUESS = 0.5  # seconds for a run of which nothing is known


def _duration(seconds: float) -> str:
    minutes = int(seconds + 30) // 60
    return f"{minutes} min" if minutes else f"{int(seconds)} s"


class Progress:
    """Knows from earlier runs how long each side takes for each subject, and learns while it goes."""

    def __init__(self, memory: Path, quick: bool, plan: list[tuple[str, int, str]], rounds: int) -> None:
        """The plan is every subject, number of workers and side."""
        self._memory = memory
        self._kind = "quick" if quick else "full"
        self._known: dict[str, float] = json.loads(memory.read_text()) if memory.exists() else {}
        self._left = {step: rounds + 1 for step in plan}
        self._subject, self._workers = "", 0
        self._said = 0.0

    def _key(self, step: tuple[str, int, str]) -> str:
        return f"{self._kind} {step[0]} {step[1]} {step[2]}"

    def _seconds_left(self) -> float:
        return sum(left * self._known.get(self._key(step), _GUESS) for step, left in self._left.items())

    def begin(self, subject: str, workers: int) -> None:
        self._subject, self._workers = subject, workers
        if not sys.stderr.isatty():
            self._say("", "begins")

    def step(self, side: str, what: str, seconds: float) -> None:
        step = (self._subject, self._workers, side)
        before = self._known.get(self._key(step))
        self._known[self._key(step)] = seconds if before is None else (before + seconds) / 2
        self._left[step] -= 1
        if sys.stderr.isatty() and time.monotonic() - self._said > 0.1:
            self._say(side, what)

    def skip(self, side: str) -> None:
        """It takes no part in what has begun; that takes no time at the next run either."""
        step = (self._subject, self._workers, side)
        self._left[step] = 0
        self._known[self._key(step)] = 0.0

    def _say(self, side: str, what: str) -> None:
        self._said = time.monotonic()
        workers = f"{self._workers} worker{'' if self._workers == 1 else 's'}"
        words = f"{self._subject}, {workers}, {side + ': ' if side else ''}{what}"
        text = f"{_duration(self._seconds_left()):>7} left  {words}"
        if sys.stderr.isatty():
            print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        self.clear()
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        self._memory.write_text(json.dumps(self._known, indent=1))
