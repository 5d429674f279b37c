"""Charts of metrics: what is drawn, the same in words, and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from looptree.observe.report.groups import Group
from looptree.observe.report.held import Held, line, places, spread
from looptree.observe.report.thinning import thinned
from looptree.observe.report.words import in_json, number, spaced
from looptree.observe.runs import Run
from looptree.observe.runs.run import Curve

_POINTS = 2_000  # of the values of one chart
_FEWEST = 300  # of one curve
_ROWS = 10


@dataclass(frozen=True)
class Axis:
    """What curves are drawn over, from 0 to `end`: `key` is "steps", "passes" or "seconds"."""

    key: str
    name: str
    end: float


@dataclass(frozen=True)
class Row:
    """A line of the table below a chart: a place on the first axis, and what each group's curve is there."""

    place: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Extent:
    """How far a curve went: its last, lowest and highest value, and where the latter two were on the first axis."""

    last: float
    low: float
    low_at: float
    high: float
    high_at: float


@dataclass(frozen=True)
class Chart:
    """A metric of some groups of runs.

    Attributes:
        summary: in words, a sentence for each group.
        extent: how far it went, where it is of a single run.
        is_smoothed: whether lines are means over what came just before.
        drawn: for each axis the series to draw, of plain values that go into JSON. A series has its `group`'s number,
            a `kind` ("values" as they were, or "mean"), `x` and `y`, and of a mean of several runs `low` and `high`.
    """

    name: str
    summary: str
    extent: Extent | None
    is_smoothed: bool
    rows: tuple[Row, ...]
    drawn: dict[str, list[dict[str, Any]]]


def axes(runs: Sequence[Run]) -> list[Axis]:
    """What the curves of some runs can be drawn over, the most telling first."""
    counted = {run.over for run in runs}
    steps = Axis("steps", spaced(counted.pop()) if len(counted) == 1 else "steps", max(run.steps for run in runs))
    passes = Axis("passes", "passes", max(run.passes_done for run in runs))
    seconds = Axis("seconds", "seconds", max(run.seconds for run in runs))
    return [passes, seconds] if steps.name == "count" else [steps, passes, seconds]


def charts(groups: Sequence[Group], over: Sequence[Axis]) -> list[Chart]:
    """A chart for each metric that any of the runs has."""
    ends = {id(run): {axis.key: _end(run, axis.key) for axis in over} for group in groups for run in group.runs}
    names = dict.fromkeys(name for group in groups for run in group.runs for name in run.metrics)
    return [_chart(name, groups, over, ends) for name in names]


def at(curve: Curve, axis: str) -> list[float]:
    """Where the values of a curve stand on an axis; the end of a pass is that many passes done."""
    if axis == "passes":
        return [pass_ + 1 for pass_ in curve.passes]
    return curve.steps if axis == "steps" else curve.at_s


Ends = Mapping[int, Mapping[str, float]]  # of each run, by its id, on each axis


def _end(run: Run, axis: str) -> float:
    if axis == "passes":
        return run.passes_done
    return run.steps if axis == "steps" else run.seconds


def _chart(name: str, groups: Sequence[Group], over: Sequence[Axis], ends: Ends) -> Chart:
    recorded = [[(ends[id(run)], run.metric(name)) for run in group.runs if name in run.metrics] for group in groups]
    held = {axis.key: [[_held(*each, axis.key) for each in group] for group in recorded] for axis in over}
    first = held[over[0].key]
    extents = [[_extent(curve) for curve in group] for group in first]
    most = max(_FEWEST, _POINTS // len(groups))
    kept = [thinned(group[0].values, most) if len(group) == 1 else [] for group in first]
    smooth = any(curve.is_jagged for group in first for curve in group)
    means = {key: _means(curves, smooth) for key, curves in held.items()}
    return Chart(
        name,
        " ".join(_summary(group, far, over[0], len(groups) > 1) for group, far in zip(groups, extents) if far),
        extents[0][0] if len(groups) == len(first[0]) == 1 else None,
        smooth,
        _rows(*means[over[0].key]),
        {key: _series(curves, kept, *means[key], smooth) for key, curves in held.items()},
    )


def _held(ends: Mapping[str, float], curve: Curve, axis: str) -> Held:
    xs = at(curve, axis)
    return Held(xs, curve.values, max(ends[axis], xs[-1]))


Means = list[list[tuple[float, float, float]]]  # of each group, mean, lowest and highest at each place


def _means(curves: Sequence[Sequence[Held]], smooth: bool) -> tuple[list[float], Means]:
    xs = places([curve for group in curves for curve in group])
    return xs, [spread([line(curve, xs, smooth) for curve in group]) for group in curves]


def _series(
    curves: Sequence[Sequence[Held]], kept: Sequence[Sequence[int]], xs: Sequence[float], means: Means, smooth: bool
) -> list[dict[str, Any]]:
    """What is drawn: of the values of a run that stands alone those that are kept, and the mean where they are many or
    several runs'."""
    series: list[dict[str, Any]] = []
    for place, group in enumerate(curves):
        if len(group) == 1:
            series.append({"group": place, "kind": "values", **_values(group[0], kept[place])})
        if len(group) > 1 or (group and smooth):
            columns = zip(("y", "low", "high") if len(group) > 1 else ("y",), zip(*means[place]))
            drawn = {name: [in_json(value) for value in values] for name, values in columns}
            series.append({"group": place, "kind": "mean", "x": [in_json(x) for x in xs], **drawn})
    return series


def _values(curve: Held, kept: Sequence[int]) -> dict[str, Any]:
    xs, values = [curve.xs[index] for index in kept], [curve.values[index] for index in kept]
    return {"x": [in_json(x) for x in (*xs, curve.end)], "y": [in_json(value) for value in (*values, values[-1])]}


def _extent(curve: Held) -> Extent | None:
    """None where the curve never was a number."""
    known = [(value, x) for x, value in zip(curve.xs, curve.values) if math.isfinite(value)]
    return Extent(curve.values[-1], *min(known), *max(known)) if known else None


def _summary(group: Group, far: Sequence[Extent | None], axis: Axis, is_named: bool) -> str:
    extents = [extent for extent in far if extent is not None]
    lasts = [extent.last for extent in extents if math.isfinite(extent.last)]
    if not extents:
        said = "never a number."
    elif len(far) == 1:
        (only,) = extents
        said = f"{number(only.last)} at the end; lowest {number(only.low)} at {number(only.low_at)} {axis.name}, "
        said += f"highest {number(only.high)} at {number(only.high_at)}."
    elif lasts:
        mean = math.fsum(lasts) / len(lasts)
        said = f"{number(mean)} at the end, {number(min(lasts))} to {number(max(lasts))} in {len(lasts)} runs."
    else:
        said = "not a number at the end."
    return f"{group.name}: {said}" if is_named else said[0].upper() + said[1:]


def _rows(xs: Sequence[float], means: Means) -> tuple[Row, ...]:
    last = len(xs) - 1
    picked = [round(last * row / _ROWS) for row in range(_ROWS + 1)]
    return tuple(Row(number(xs[index]), tuple(_cell(group, index) for group in means)) for index in picked)


def _cell(group: Sequence[tuple[float, float, float]], index: int) -> str:
    if not group:
        return ""
    mean, low, high = group[index]
    if math.isnan(mean):
        return ""
    return number(mean) if low == high else f"{number(mean)} ({number(low)} to {number(high)})"
