"""Who is measured: how a side is built, and run once."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from subjects import CONNECTIONS, Subject

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "peers"
PATIENCE = 120  # seconds, for one run
_CANNOT = 3  # the status of a side that does not do this subject


@dataclass
class Side:
    name: str
    peer: str  # the directory in bench/peers
    version: str = ""
    missing: str = ""  # why it could not be had

    @property
    def program(self) -> Path:
        return BUILD / self.peer / self.name


class Blank(Exception):
    """A side does not do a subject; why."""


class Failed(Exception):
    """A side broke down; how."""


@dataclass
class Line:
    """What a side printed."""

    figures: list[float]
    check: int


def all_sides() -> list[Side]:
    """The first is the one that all others are compared to."""
    names = ("weft", "go", "tokio", "tokio-current", "rayon", "tbb", "openmp", "fiber", "libuv", "pthreads", "raw")
    return [Side(name, name.split("-")[0]) for name in names if (_peers() / name.split("-")[0]).is_dir()]


def _peers() -> Path:
    return ROOT / "bench" / "peers"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it does not say why"


def build(sides: list[Side]) -> None:
    """Builds each peer once; a peer's build script prints its version, or says why it cannot be had."""
    done: dict[str, Side] = {}
    for side in sides:
        if side.peer in done:
            side.version, side.missing = done[side.peer].version, done[side.peer].missing
            continue
        done[side.peer] = side
        out = BUILD / side.peer
        out.mkdir(parents=True, exist_ok=True)
        made = subprocess.run([_peers() / side.peer / "build", out], capture_output=True, text=True)
        if made.returncode == 0:
            side.version = _last_line(made.stdout)
        else:
            side.missing = _last_line(made.stderr)


def build_load() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    common = _peers() / "common"
    subprocess.run([common / "compile", BUILD / "load", common / "load.c"], check=True)


def _parse(text: str) -> Line:
    words = text.split()
    if len(words) < 2:
        raise Failed(f'it printed "{text.strip()}"')
    return Line([float(words[0]), *map(float, words[2:])], int(words[1]))


def _judge(status: int, error: str) -> None:
    if status == _CANNOT:
        raise Blank(_last_line(error))
    if status != 0:
        raise Failed(f"status {status}: {_last_line(error)}")


def _execute(command: list[str | Path]) -> Line:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Blank(f"it takes longer than {PATIENCE} s") from None
    _judge(ran.returncode, ran.stderr)
    return _parse(ran.stdout)


def run(side: Side, subject: Subject, workers: int, size: str) -> Line:
    """One round of a side."""
    if subject.name == "echo":
        return run_server(side, ["echo", str(workers)], workers, int(size), CONNECTIONS)
    return run_program(side, subject.name, workers, size)


def run_program(side: Side, subject: str, workers: int, size: str) -> Line:
    return _execute([side.program, subject, str(workers), size])


@dataclass
class Placement:
    """Which processors a server and its load have: one of its own for a server with one worker."""

    server: set[int] = field(default_factory=set)
    load: set[int] = field(default_factory=set)

    @staticmethod
    def of(workers: int) -> Placement:
        allowed = sorted(os.sched_getaffinity(0))
        if workers > 1 or len(allowed) == 1:
            return Placement(set(allowed), set(allowed))
        return Placement({allowed[0]}, set(allowed[1:]))


def run_server(side: Side, subject: list[str], workers: int, messages: int, connections: int) -> Line:
    """Starts the server, which says on which port it is, and lets the load, the same for all, measure it."""
    place = Placement.of(workers)
    server = subprocess.Popen(
        [side.program, *subject],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, place.server),
    )
    assert server.stdout and server.stderr
    try:
        port = server.stdout.readline().strip()
        if not port:
            _judge(server.wait(PATIENCE), server.stderr.read())
            raise Failed("it named no port")
        load: list[str | Path] = [BUILD / "load", port, str(connections), str(messages)]
        # The load gets its processors by way of its parent, whose own are put back.
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, place.load)
        try:
            return _execute(load)
        finally:
            os.sched_setaffinity(0, mine)
    finally:
        server.kill()
        server.communicate()
