"""Timelines of traced fields: their numbers over the run, apart for each hook that wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from looptree.observe.report.charts import Axis, at
from looptree.observe.report.thinning import thinned
from looptree.observe.report.words import counted, in_json, number
from looptree.observe.runs import Run
from looptree.observe.runs.run import FieldChange

_POINTS = 2_000  # of one timeline
_FEWEST = 200  # of one writer
_LATEST = 12


@dataclass(frozen=True)
class Timeline:
    """A traced field.

    Attributes:
        writers: the hooks that changed it with how often each did, the most frequent first.
        latest: its latest changes, in the order in which they happened.
        drawn: for each axis the points of each writer that wrote numbers, of plain values that go into JSON: `writer`
            is its number among the writers.
    """

    field: str
    summary: str
    writers: dict[str, int]
    latest: list[FieldChange]
    drawn: dict[str, list[dict[str, Any]]]


def timelines(run: Run, over: Sequence[Axis]) -> list[Timeline]:
    """A timeline for each field that was traced and changed, those that changed most first."""
    found = [_timeline(run, field, over) for field in run.fields]
    return sorted(found, key=lambda each: -sum(each.writers.values()))


def _timeline(run: Run, field: str, over: Sequence[Axis]) -> Timeline:
    writers, written = run.writers(field), run.written(field)
    most = max(_FEWEST, _POINTS // max(1, len(written)))
    order = {hook: place for place, hook in enumerate(writers)}
    drawn: dict[str, list[dict[str, Any]]] = {axis.key: [] for axis in over}
    for hook in sorted(written, key=order.__getitem__):
        kept = thinned(written[hook].values, most)
        values = [in_json(written[hook].values[index]) for index in kept]
        for axis in over:
            xs = at(written[hook], axis.key)
            drawn[axis.key].append({"writer": order[hook], "x": [in_json(xs[index]) for index in kept], "y": values})
    numbers = [value for curve in written.values() for value in curve.values]
    said = f"{counted(sum(writers.values()), 'change')} by {counted(len(writers), 'hook')}"
    if numbers:
        said += f", from {number(min(numbers))} to {number(max(numbers))}"
    return Timeline(field, f"{said}.", writers, run.changes(field, latest=_LATEST), drawn)
