"""bench/compare: weft beside the systems that its users would pick instead, on the same work, in the same run."""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

import chart
import machine
import report
import sides
import store
from measure import measure
from progress import Progress
from subjects import SUBJECTS, Subject

RESULTS = sides.ROOT / "bench" / "results"
SCRATCH = sides.ROOT / "build" / "compare"  # and the results of quick runs
_ROUNDS = 9
_QUICK_ROUNDS = 3


def _arguments() -> argparse.Namespace:
    names = [subject.name for subject in SUBJECTS]
    parser = argparse.ArgumentParser(
        prog="bench/compare",
        description="Builds weft's release and every peer that this machine can have, then runs subject by subject, "
        "the sides taking turns, with 1 worker and with all cores; prints medians, spread and the ratio to weft; "
        "writes bench/results/*.json, compare.md and compare.svg.",
        epilog=f"Subjects: {', '.join(names)}. bench/peers/README.md states what each does.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, into build/compare: to see that all works")
    parser.add_argument("--rounds", type=int, help=f"{_ROUNDS}, which is the least; with --quick {_QUICK_ROUNDS}")
    parser.add_argument("--readme", action="store_true", help="puts the table into README.md; measures nothing")
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="default: all")
    given = parser.parse_args()
    unknown = [name for name in given.subjects if name not in names]
    if unknown:
        parser.error(f"there is no subject {', '.join(unknown)}; there are {', '.join(names)}")
    given.rounds = given.rounds or (_QUICK_ROUNDS if given.quick else _ROUNDS)
    if given.rounds < (1 if given.quick else _ROUNDS):
        parser.error(f"fewer than {_ROUNDS} rounds say nothing")
    return given


def _counts(subject: Subject) -> list[int]:
    """Of workers: one, and all cores."""
    return [1] if subject.one_worker or machine.workers() == 1 else [1, machine.workers()]


def _say(text: str) -> None:
    print(text, flush=True)


def _build() -> list[sides.Side]:
    print("building weft and its peers", file=sys.stderr, flush=True)
    every = sides.all_sides()
    sides.build(every)
    sides.build_load()
    if every[0].missing:
        raise SystemExit(f"bench/compare: weft is not built: {every[0].missing}")
    return every


def _write_tables(directory: Path) -> None:
    same, others = store.alike(store.load_all(directory))
    (directory / "compare.md").write_text(report.markdown(same, others, "compare.svg"))
    trouble = chart.draw(directory / "compare.svg", same)
    _say(f"\n{directory / 'compare.md'}")
    _say(f"no chart: {trouble}" if trouble else f"{directory / 'compare.svg'}")


def _measure_all(given: argparse.Namespace) -> bool:
    """Whether no side has failed."""
    chosen = [subject for subject in SUBJECTS if not given.subjects or subject.name in given.subjects]
    every = _build()
    there = [side for side in every if not side.missing]
    command = " ".join(["bench/compare", *sys.argv[1:]])
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    run = store.Run(command, date, given.rounds, given.quick, machine.describe(every))
    directory = SCRATCH / "quick" if given.quick else RESULTS
    _say(report.header(run, machine.load()))
    if machine.busy():
        _say("This machine is busy with something else: expect noise.")

    plan = [(subject.name, count, side.name) for subject in chosen for count in _counts(subject) for side in there]
    progress = Progress(SCRATCH / "times.json", given.quick, plan, given.rounds)
    well = True
    for subject in chosen:
        result = measure(subject, there, _counts(subject), given.rounds, given.quick, SCRATCH, progress)
        progress.clear()
        _say(report.text(result))
        store.save(directory, run, result)
        well = well and not result.failed
    progress.end()
    _write_tables(directory)
    return well


def _fill_readme() -> None:
    stored = store.load_all(RESULTS)
    if not stored:
        raise SystemExit("bench/compare: there are no results; run it without --readme first")
    same, others = store.alike(stored)
    table = report.markdown(same, others, "bench/results/compare.svg")
    report.put_into(sides.ROOT / "README.md", "bench/compare", table)


def main() -> int:
    given = _arguments()
    if given.readme:
        _fill_readme()
        return 0
    return 0 if _measure_all(given) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
