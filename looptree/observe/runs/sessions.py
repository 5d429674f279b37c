"""Sessions: a run is begun in one process, and may be gone on with in others after that was stopped or killed.

What was recorded of passes that are to be made again is taken out, so that in the end all stands there as if the run
had never been interrupted; what time it all took in fact is kept.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from looptree.observe.runs.database import creating, open_to_write
from looptree.observe.timings import Timing

Line = tuple[str, str]  # of the tree: the path and the key of what stands there

_ABOUT = "INSERT INTO about VALUES (?, ?)"
_BEGINS = "INSERT INTO sessions VALUES (?, ?, ?, NULL, NULL, ?, ?)"

ENDS = "UPDATE sessions SET ended = ?, ended_at = ? WHERE number = ?"


@dataclass(frozen=True)
class Before:
    """What a session finds of those before it.

    Attributes:
        session: its own number, from 1.
        seconds: how long the run had taken by the end of the last pass before it.
        changes: how many changes of fields are recorded.
        metrics: the latest value of each metric.
        timings: the times of each line of the tree.
        timed_s: the seconds of all of these together.
    """

    session: int
    seconds: float
    changes: int
    metrics: Mapping[str, float]
    timings: Mapping[Line, Timing]
    timed_s: float

    def and_since(self, timing: Timing) -> Timing:
        """The times of a line in this session, and those of the sessions before."""
        before = self.timings.get((timing.path, timing.key))
        all_s = self.timed_s + timing.all_s
        if before is None:
            return replace(timing, all_s=all_s)
        calls, total_s = before.calls + timing.calls, before.total_s + timing.total_s
        return replace(timing, calls=calls, total_s=total_s, own_s=before.own_s + timing.own_s, all_s=all_s)


NOTHING = Before(1, 0.0, 0, {}, {}, 0.0)
"""What the first session finds."""


def begin(database: Path, from_pass: int, about: Mapping[str, str]) -> Before:
    """Make the database of a run whose first session begins now.

    Raises:
        sqlite3.Error, OSError: it cannot be written.
    """
    with creating(database) as connection:
        connection.executemany(_ABOUT, about.items())
        connection.execute(_BEGINS, (1, from_pass, now(), 0, "[]"))
    return NOTHING


def go_on(database: Path, from_pass: int, inexact: Sequence[str]) -> Before:
    """Take out of the database of a run what is recorded of a pass and of those after it, and begin a session with it.

    Raises:
        sqlite3.Error: it cannot be read or written.
        WrongFormat: it is another program's, or of another version of looptree.
    """
    with contextlib.closing(open_to_write(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "DELETE FROM changes WHERE number >= (SELECT min(number) FROM changes WHERE pass >= ?)", (from_pass,)
        )
        connection.execute("DELETE FROM metrics WHERE pass >= ?", (from_pass,))
        again = connection.execute("DELETE FROM passes WHERE number >= ?", (from_pass,)).rowcount
        before = _before(connection)
        said = json.dumps([*inexact, *_missing(connection, from_pass)], ensure_ascii=False)
        connection.execute(_BEGINS, (before.session, from_pass, now(), again, said))
        connection.execute("COMMIT")
    return before


def now() -> str:
    """The time of day as ISO 8601 has it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _before(connection: sqlite3.Connection) -> Before:
    (session,) = connection.execute("SELECT count(*) + 1 FROM sessions").fetchone()
    (seconds,) = connection.execute("SELECT ifnull(max(at_s), 0) FROM passes").fetchone()
    (changes,) = connection.execute("SELECT ifnull(max(number), 0) FROM changes").fetchone()
    # Where a row is asked for with the largest of all, SQLite gives the other columns of that very row.
    latest = connection.execute("SELECT name, value, max(pass) FROM metrics GROUP BY name")
    metrics = {name: math.nan if value is None else value for name, value, _ in latest}
    columns = "path, kind, calls, total_s, own_s, all_s, key"
    timings = {
        (path, key): Timing(path, kind, calls, total_s, own_s, all_s)
        for path, kind, calls, total_s, own_s, all_s, key in connection.execute(f"SELECT {columns} FROM timings")
    }
    timed_s = max((timing.all_s for timing in timings.values()), default=0.0)
    return Before(session, seconds, changes, metrics, timings, timed_s)


def _missing(connection: sqlite3.Connection, from_pass: int) -> list[str]:
    """A sentence where passes are not recorded that the session before has made, or was left with: the system lost what
    was still to be written, or a disk was full for too long. Of what the sessions before that lost, they have told."""
    (first,) = connection.execute("SELECT from_pass FROM sessions ORDER BY number DESC LIMIT 1").fetchone()
    (found,) = connection.execute("SELECT count(*) FROM passes WHERE number >= ?", (first,)).fetchone()
    lost = from_pass - first - found
    return [f"What was recorded of {lost:,} of the passes before is not there any more."] if lost > 0 else []
