"""Interruptions: where a run was cut off, and gone on with later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from looptree.observe.report.charts import Axis
from looptree.observe.report.words import counted, day, in_json, number
from looptree.observe.runs import Run
from looptree.observe.runs.run import Session


@dataclass(frozen=True)
class Interruption:
    """A run was gone on with.

    Attributes:
        said: how it had ended before, and from where it was gone on with.
        inexact: what of its state was not what it had been, in sentences.
        at: where that is on the axes, by their keys; none where it was gone on with later from no further on, so that
            nothing of it is left.
    """

    said: str
    inexact: tuple[str, ...]
    at: dict[str, float] | None


def interruptions(run: Run) -> list[Interruption]:
    """Where a run was gone on with, in the order in which that happened."""
    sessions = run.sessions
    left = [
        all(session.from_pass < later.from_pass for later in sessions[place + 1 :])
        for place, session in enumerate(sessions)
    ]
    return [
        Interruption(_said(before, session), session.inexact, _at(run, session) if is_left else None)
        for (before, session), is_left in zip(pairwise(sessions), left[1:])
    ]


def marks(found: Sequence[Interruption], over: Sequence[Axis]) -> dict[str, list[Any]]:
    """The places to mark on each axis, as plain values that go into JSON."""
    places = [each.at for each in found if each.at is not None]
    return {axis.key: [in_json(at[axis.key]) for at in places] for axis in over}


def _said(before: Session, session: Session) -> str:
    again = f", making {counted(session.passes_again, 'pass')} again" if session.passes_again else ""
    how = f"Ended before: {before.ended}." if before.ended else "Killed before."
    return f"{how} Gone on with after {number(session.from_pass)} passes{again}: {day(session.began_at)}."


def _at(run: Run, session: Session) -> dict[str, float]:
    steps, seconds = run.at(session.from_pass)
    return {"passes": session.from_pass, "steps": steps, "seconds": seconds}
