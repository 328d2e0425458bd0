"""When a difference is a difference.

A side is called faster or slower than weft only if the medians are further apart than the larger of the two
interquartile ranges, and a sign test over the rounds, in each of which both were run, gives p < 0.01.  Everything
else is noise, and is called the same.
"""

from __future__ import annotations

import math
import statistics
from enum import Enum

RULE = (
    "A difference counts only if the medians are further apart than the larger of the two interquartile ranges, "
    "and a sign test over the paired rounds gives p < 0.01; else it is marked ≈, the same within the noise."
)
_SIGNIFICANT = 0.01


class Verdict(Enum):
    """Of a side, beside weft."""

    FASTER = "less"
    SLOWER = "more"
    SAME = "≈"


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """The first, the median, the third."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def spread(values: list[float]) -> float:
    low, _, high = quartiles(values)
    return high - low


def sign_test(ours: list[float], theirs: list[float]) -> float:
    """How likely it is that signs of the differences are as one-sided as this, if neither is faster."""
    signs = [a < b for a, b in zip(ours, theirs) if a != b]
    count, fewer = len(signs), min(sum(signs), len(signs) - sum(signs))
    tail = sum(math.comb(count, k) for k in range(fewer + 1))
    return min(1.0, math.ldexp(2 * tail, -count))


def judge(ours: list[float], theirs: list[float]) -> Verdict:
    difference = statistics.median(theirs) - statistics.median(ours)
    if abs(difference) <= max(spread(ours), spread(theirs)) or sign_test(ours, theirs) >= _SIGNIFICANT:
        return Verdict.SAME
    return Verdict.SLOWER if difference > 0 else Verdict.FASTER
