"""Side by side: where the time went in several groups of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from looptree.observe.report.groups import Group
from looptree.observe.timings import Timing


@dataclass(frozen=True)
class Pace:
    """What a line of the tree took in a group, as the mean of its runs: seconds a call, and its own part of the whole,
    from 0 to 1."""

    mean_s: float
    own_share: float


def side_by_side(groups: Sequence[Group]) -> dict[str, list[Pace | None]]:
    """For the path of each line that took time itself its pace in each group, None where it did not run there; those
    that took most come first."""
    found = [_times(group) for group in groups]
    paths = dict.fromkeys(path for times in found for path in times)
    rows = {path: [_pace(times[path]) if path in times else None for times in found] for path in paths}
    return dict(sorted(rows.items(), key=lambda row: -max(pace.own_share for pace in row[1] if pace is not None)))


def _times(group: Group) -> dict[str, list[Timing]]:
    found: dict[str, list[Timing]] = {}
    for run in group.runs:
        for timing in run.timings:
            if timing.calls and timing.own_s > 0:
                found.setdefault(timing.path, []).append(timing)
    return found


def _pace(timings: Sequence[Timing]) -> Pace:
    means, shares = zip(*((timing.mean_s, timing.own_s / timing.all_s) for timing in timings))
    return Pace(math.fsum(means) / len(means), math.fsum(shares) / len(shares))
