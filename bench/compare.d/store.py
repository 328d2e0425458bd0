"""Results as files: one a subject, with every round of every side, so that anybody can judge them anew."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from measure import Result, Series
from subjects import SUBJECTS


@dataclass
class Run:
    """What was true of a whole run."""

    command: str
    date: str
    rounds: int
    quick: bool
    machine: dict[str, object]


@dataclass
class Stored:
    run: Run
    result: Result


def save(directory: Path, run: Run, result: Result) -> None:
    subject = result.subject
    document = {
        "subject": subject.name,
        "what": subject.what,
        "size": Path(result.size).name,
        "figures": [{"name": figure.name, "unit": figure.unit} for figure in subject.figures],
        "load": result.load,
        "blank": result.blank,
        "failed": result.failed,
        "run": asdict(run),
        "series": [asdict(series) for series in result.series],
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{subject.name}.json").write_text(json.dumps(document, indent=1) + "\n")


def _load(path: Path) -> Stored:
    document = json.loads(path.read_text())
    subject = next(s for s in SUBJECTS if s.name == document["subject"])
    series = [Series(**entry) for entry in document["series"]]
    result = Result(subject, document["size"], document["load"], series, document["blank"], document["failed"])
    return Stored(Run(**document["run"]), result)


def load_all(directory: Path) -> list[Stored]:
    """In the order of the subjects."""
    paths = [directory / f"{subject.name}.json" for subject in SUBJECTS]
    return [_load(path) for path in paths if path.exists()]


def alike(stored: list[Stored]) -> tuple[list[Stored], list[Stored]]:
    """Those that stand in one table with the latest, having the same machine and versions; and the others."""
    latest = max(stored, key=lambda s: s.run.date)
    same = [s for s in stored if s.run.machine == latest.run.machine and s.run.quick == latest.run.quick]
    return same, [s for s in stored if s not in same]
