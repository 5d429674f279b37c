"""Held values: a metric says what it is only where it changes, and is that until its next value.

So a mean over a stretch weighs each value by how long it held; a metric that stays where it is counts all the while.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_CELLS = 400  # of a line that is drawn
_WINDOW = 20  # cells that a smoothed value is the mean of
SMOOTHED_OVER = f"{100 * _WINDOW / _CELLS:g} %"

_FEW = 50  # values that are shown as they are
_JAGGED = 4  # how often its own height a curve goes up and down before it is smoothed


@dataclass(frozen=True)
class Held:
    """`values[i]` from `xs[i]` until `xs[i + 1]`, the last one until `end`; no value where it is not finite."""

    xs: Sequence[float]
    values: Sequence[float]
    end: float

    def at(self, x: float) -> float:
        """The value at a place; NaN where there is none."""
        index = bisect_right(self.xs, x) - 1
        return self.values[index] if index >= 0 and x <= self.end else math.nan

    @property
    def is_jagged(self) -> bool:
        """Whether it has many values that go up and down more than they get anywhere."""
        numbers = [value for value in self.values if math.isfinite(value)]
        if len(numbers) < _FEW:
            return False
        way = math.fsum(abs(after - before) for before, after in pairwise(numbers))
        return way > _JAGGED * (max(numbers) - min(numbers))


def places(curves: Sequence[Held]) -> list[float]:
    """Equally far places from where the first of some curves begins to where the last one ends."""
    begin, end = min(curve.xs[0] for curve in curves), max(curve.end for curve in curves)
    return [begin + (end - begin) * cell / _CELLS for cell in range(_CELLS)] + [end]


def line(curve: Held, xs: Sequence[float], smooth: bool) -> list[float]:
    """A curve at equally far places; NaN outside of it. Smoothed, a value is the mean over the places before it."""
    return _means(curve, xs) if smooth else [curve.at(x) for x in xs]


def spread(lines: Sequence[Sequence[float]]) -> list[tuple[float, float, float]]:
    """Mean, lowest and highest of some lines at each place, of those that have a value there; NaN where none has."""
    found = []
    for values in zip(*lines):
        numbers = [value for value in values if math.isfinite(value)]
        mean = math.fsum(numbers) / len(numbers) if numbers else math.nan
        found.append((mean, min(numbers, default=math.nan), max(numbers, default=math.nan)))
    return found


def _means(curve: Held, xs: Sequence[float]) -> list[float]:
    areas, lengths = _in_cells(curve, xs)
    means = []
    for number, x in enumerate(xs):
        window = slice(max(0, number - _WINDOW), number)
        length = math.fsum(lengths[window])
        now = curve.at(x)
        mean = math.fsum(areas[window]) / length if length > 0 else now
        means.append(now if math.isnan(now) else mean)
    return means


def _in_cells(curve: Held, xs: Sequence[float]) -> tuple[list[float], list[float]]:
    """For each cell between two places, value × length and length of what the curve holds in it."""
    areas, lengths = [0.0] * (len(xs) - 1), [0.0] * (len(xs) - 1)
    cell = 0
    for begin, end, value in zip(curve.xs, (*curve.xs[1:], curve.end), curve.values):
        while begin < end and cell < len(lengths):
            until = min(end, xs[cell + 1])
            if math.isfinite(value) and until > begin:
                areas[cell] += value * (until - begin)
                lengths[cell] += until - begin
            begin = max(begin, until)
            if xs[cell + 1] > end:
                break
            cell += 1
    return areas, lengths
