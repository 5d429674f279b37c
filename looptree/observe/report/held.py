"""Held values: a metric says what it is only where it changes, and is that until its next value.

So a mean over a stretch weighs each value by how long it held; a metric that stays where it is counts all the while.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, pairwise

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
    areas, lengths = [], []
    for begin, end in pairwise(xs):
        values, held = _between(curve, begin, min(end, curve.end))
        areas.append(sum(map(operator.mul, values, held)))
        lengths.append(sum(held))
    return areas, lengths


def _between(curve: Held, begin: float, end: float) -> tuple[Sequence[float], Sequence[float]]:
    """The values that a curve holds between two places, and over which length each; of a million values it is gone
    over in long strides."""
    first = max(0, bisect_right(curve.xs, begin) - 1)
    last = bisect_left(curve.xs, end) if begin < end else first
    if last <= first:
        return (), ()
    values = curve.values[first:last]
    edges = [max(begin, curve.xs[first]), *curve.xs[first + 1 : last], end]
    lengths = list(map(operator.sub, edges[1:], edges))
    if not all(map(math.isfinite, values)):
        known = [math.isfinite(value) for value in values]
        return list(compress(values, known)), list(compress(lengths, known))
    return values, lengths
