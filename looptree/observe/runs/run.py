"""Run: what a Recorder wrote, read while the run goes on or afterwards.

run = Run("runs/first")
print(run)
run.metric("episode_return").values[-1]
"""

from __future__ import annotations

import json
import math
import operator
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from looptree.core.errors import LooptreeError, NoSuchField, listed, nearest
from looptree.observe.runs import folder as files
from looptree.observe.runs.database import WrongFormat, open_to_read
from looptree.observe.runs.lock import is_held
from looptree.observe.runs.run_html import run_html
from looptree.observe.timings import Timing
from looptree.observe.traced_fields import called

# What a column may hold: a database takes any value in any column, whatever its table says.
_TEXT: set[type] = {str}
_WHOLE: set[type] = {int}
_NUMBER: set[type] = {int, float}
_NONE: set[type] = {type(None)}


# For a DISTINCT, SQLite would go over every row; this goes from each name to the next.
_METRICS = """WITH RECURSIVE names (name) AS (
    SELECT min(name) FROM metrics
    UNION ALL SELECT (SELECT min(name) FROM metrics WHERE name > names.name) FROM names WHERE name IS NOT NULL
) SELECT name FROM names WHERE name IS NOT NULL"""


class NotARun(LooptreeError, FileNotFoundError):
    """A folder has no run in it, or what is there cannot be read; the message says which."""


class NoSuchStep(LooptreeError, LookupError):
    """A run was asked about a step that it did not come to, or of which nothing is known."""


@dataclass(frozen=True)
class Curve:
    """The values of a metric: from `passes[i]`, at whose end the run had come as far as `steps[i]` and had taken
    `at_s[i]` seconds, it was `values[i]`, NaN where it was that, until the next one."""

    name: str
    passes: list[int]
    steps: list[float]
    at_s: list[float]
    values: list[float]


class FieldChange(NamedTuple):
    """A traced field was `old` before and `new` after a hook; `value` is the new one where it is a number. The values
    are texts, as a trace prints them."""

    number: int  # in the order of all changes
    pass_: int | None  # of the loop recorded; None outside of all passes
    step: float | None  # how far the run was at the end of that pass; None before that
    at: str  # the passes of all loops around the hook
    field: str
    hook: str
    old: str
    new: str
    value: float | None


class Cause(NamedTuple):
    """The change that made a field what it was, where the hook stands that made it, and the fields that it reads."""

    change: FieldChange
    source: str
    reads: tuple[str, ...]


class Recorded(NamedTuple):
    """What a Recorder records of a loop: metrics, how far the run is in the unit of a field, and the changes of fields,
    in the loops below too where it looks `inside`."""

    metrics: tuple[str, ...]
    over: str
    fields: tuple[str, ...]
    inside: bool


class Session(NamedTuple):
    """A run was begun, or gone on with from some pass on; times of day are in ISO 8601."""

    from_pass: int  # passes of the loop's life done by then
    began_at: str
    ended_at: str | None
    ended: str | None  # how, in one sentence; None where it goes on, or was killed
    passes_again: int  # those that were made before in vain: their state was lost when the run was killed
    inexact: tuple[str, ...]  # what of the state that it went on from is not as it was


class Run:
    """A run in a folder. Everything is read when it is asked for, so that a run that goes on shows how far it is.

    Raises:
        NotARun: the folder is not there, has no run in it, or what is there cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            is_folder, has_database = self.folder.is_dir(), (self.folder / files.DATABASE).exists()
        except OSError as error:
            raise NotARun(f"{self.folder} cannot be read: {error.strerror}.") from error
        if not is_folder:
            what = "is a file" if self.folder.exists() else "does not exist"
            raise NotARun(f"{self.folder} {what}; the folder of a run would fit.")
        if not has_database:
            raise NotARun(f"{self.folder} has no run in it: there is no {files.DATABASE}.")
        self._held: sqlite3.Connection | None = None
        with self._reading():
            pass

    @contextmanager
    def still(self) -> Iterator[None]:
        """For as long as this `with` lasts, what was recorded is as it was at its first reading, while the run goes on;
        so all that is read fits together."""
        if self._held is not None:
            yield
            return
        with self._reading() as connection:
            connection.execute("BEGIN")
            self._held = connection
            try:
                yield
            finally:
                self._held = None

    # how it was made, and how it went

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with."""
        return self._object(files.SETTINGS)

    @property
    def versions(self) -> dict[str, str]:
        """The versions of what ran."""
        return self._object(files.VERSIONS)

    @property
    def description(self) -> dict[str, Any]:
        """The tree, as `describe(loop).json()` has it."""
        return self._object(files.DESCRIPTION)

    @property
    def hooks(self) -> list[dict[str, Any]]:
        """The hooks in the description, wherever they stand in the tree."""
        return list(_hooks(self.description))

    @property
    def code(self) -> list[tuple[str, str | None]]:
        """The generated code, line by line, with the key of the hook or inner loop that stands there, as `timings` have
        it."""
        lines = self._json(files.CODE)
        if not isinstance(lines, list) or not all(isinstance(line, list) and len(line) == 2 for line in lines):
            raise self._damaged(files.CODE, "it is not what a Recorder writes")
        return [(str(text), None if key is None else str(key)) for text, key in lines]

    @property
    def loop(self) -> str:
        """The path of the loop that was recorded."""
        return self._about.get("loop", "")

    @property
    def over(self) -> str:
        """What `steps` count."""
        return self._about.get("over", "count")

    @property
    def recorded(self) -> Recorded:
        """What was recorded of the loop."""
        found = self._loaded(self._about.get("recorded", ""))
        kinds = {"metrics": list, "over": str, "fields": list, "inside": bool}
        if not isinstance(found, dict) or {name: type(value) for name, value in found.items()} != kinds:
            raise self._damaged(files.DATABASE, "it does not say what was recorded")
        metrics, fields = (tuple(map(str, found[name])) for name in ("metrics", "fields"))
        return Recorded(metrics, found["over"], fields, found["inside"])

    @property
    def sessions(self) -> list[Session]:
        """The times that it was begun and gone on with, in their order: one, where it was not interrupted."""
        rows = self._rows(
            "SELECT from_pass, began_at, ended_at, ended, passes_again, inexact FROM sessions ORDER BY number",
            [_WHOLE, _TEXT, _TEXT | _NONE, _TEXT | _NONE, _WHOLE, _TEXT],
        )
        if not rows:
            raise self._damaged(files.DATABASE, "it does not say when it was begun")
        return [
            Session(from_pass, began_at, ended_at, ended, again, self._sentences(inexact))
            for from_pass, began_at, ended_at, ended, again, inexact in rows
        ]

    @property
    def began_at(self) -> str:
        """When it was begun first, in ISO 8601."""
        return self.sessions[0].began_at

    @property
    def ended(self) -> str | None:
        """How it ended, in one sentence; None where it goes on, or was killed."""
        return self.sessions[-1].ended

    @property
    def goes_on(self) -> bool:
        """Whether a process records it at present."""
        try:
            return is_held(files.database_in(self.folder, files.LOCK))
        except files.NotReadable:
            return False

    @property
    def outcome(self) -> str:
        """How it ended, that it goes on, or was killed; and how often it had been interrupted before."""
        sessions = self.sessions
        how = sessions[-1].ended or ("goes on" if self.goes_on else "was killed")
        times = len(sessions) - 1
        return how if not times else f"{how}; interrupted {times:,} time{'s' if times > 1 else ''} before that"

    def at(self, passes_done: int) -> tuple[float, float]:
        """How far it was, in the unit of `over`, and how many seconds it had taken, when so many passes were done."""
        rows = self._rows(
            "SELECT step, at_s FROM passes WHERE number < ? ORDER BY number DESC LIMIT 1", [_NUMBER] * 2, passes_done
        )
        return rows[0] if rows else (0.0, 0.0)

    @property
    def passes(self) -> int:
        """The passes recorded."""
        ((number,),) = self._rows("SELECT count(*) FROM passes", [_WHOLE])
        return int(number)

    @property
    def passes_done(self) -> int:
        """The passes of the loop's life by the end of the recording, those before it too."""
        ((number,),) = self._rows("SELECT max(number) + 1 FROM passes", [_WHOLE | _NONE])
        return int(number or 0)

    @property
    def steps(self) -> float:
        """How far it came, in the unit of `over`."""
        ((steps,),) = self._rows("SELECT max(step) FROM passes", [_NUMBER | _NONE])
        return float(steps or 0.0)

    @property
    def steps_per_s(self) -> float:
        """How far it came in a second, between the ends of its first and of its latest pass; NaN where there is one."""
        ((steps, seconds),) = self._rows(
            "SELECT max(step) - min(step), max(at_s) - min(at_s) FROM passes", [_NUMBER | _NONE] * 2
        )
        return steps / seconds if seconds else math.nan

    @property
    def seconds(self) -> float:
        """How long it took, up to the latest pass."""
        ((at_s,),) = self._rows("SELECT max(at_s) FROM passes", [_NUMBER | _NONE])
        return float(at_s or 0.0)

    # what was recorded

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that have had a value."""
        return tuple(name for (name,) in self._rows(_METRICS, [_TEXT]))

    def metric(self, name: str) -> Curve:
        """The values of a metric.

        Raises:
            NoSuchField: there is no such metric.
        """
        if name not in self.metrics:
            raise NoSuchField(f"{self.folder} has no metric {name!r}. {_fits(name, self.metrics)}")
        rows = self._rows(
            "SELECT pass, step, at_s, value FROM metrics JOIN passes ON number = pass WHERE name = ? ORDER BY pass",
            [_WHOLE, _NUMBER, _NUMBER, _NUMBER | _NONE],
            name,
        )
        if not rows:
            raise self._damaged(files.DATABASE, f"it has no pass in which {name!r} had a value")
        passes, steps, at_s, values = (list(map(operator.itemgetter(place), rows)) for place in range(4))
        return Curve(name, passes, steps, at_s, [math.nan if value is None else value for value in values])

    @property
    def timings(self) -> list[Timing]:
        """The times of every line of the tree, in its order."""
        rows = self._rows(
            "SELECT path, kind, calls, total_s, own_s, all_s, place, name, note, depth, key FROM timings ORDER BY line",
            [_TEXT, _TEXT, _WHOLE, _NUMBER, _NUMBER, _NUMBER, _TEXT, _TEXT, _TEXT, _WHOLE, _TEXT],
        )
        timings = [Timing(*columns) for columns in rows]
        if any(timing.depth > files.DEEPEST for timing in timings):
            raise self._strange()
        return timings

    @property
    def fields(self) -> tuple[str, ...]:
        """The traced fields that were changed, by their paths."""
        rows = self._rows("SELECT DISTINCT name FROM changes JOIN names ON id = field ORDER BY name", [_TEXT])
        return tuple(name for (name,) in rows)

    def changes(self, field: str, latest: int = -1) -> list[FieldChange]:
        """The changes of a traced field, called by its path or the end of it, in the order in which they happened; all,
        or the latest ones only.

        Raises:
            NoSuchField: no such field was traced, or several.
        """
        rows = self._rows(
            """SELECT changes.number, pass, step, at, fields.name, hooks.name, old, new, value
            FROM changes JOIN names AS fields ON fields.id = field JOIN names AS hooks ON hooks.id = hook
            LEFT JOIN passes ON passes.number = pass WHERE fields.name = ? ORDER BY changes.number DESC LIMIT ?""",
            [_WHOLE, _WHOLE | _NONE, _NUMBER | _NONE, *[_TEXT] * 5, _NUMBER | _NONE],
            self.field(field),
            latest,
        )
        return [FieldChange(*row) for row in reversed(rows)]

    def written(self, field: str) -> dict[str, Curve]:
        """The numbers that a traced field was changed to, apart for each hook that did it. A change outside of all
        passes, or in one that was not finished, stands where the change before it does.

        Raises:
            NoSuchField: no such field was traced, or several.
        """
        rows = self._rows(
            """SELECT hooks.name, pass, step, at_s, value FROM changes JOIN names AS hooks ON hooks.id = hook
            JOIN names AS fields ON fields.id = field LEFT JOIN passes ON passes.number = pass
            WHERE fields.name = ? AND value IS NOT NULL ORDER BY changes.number""",
            [_TEXT, _WHOLE | _NONE, _NUMBER | _NONE, _NUMBER | _NONE, _NUMBER],
            self.field(field),
        )
        curves: dict[str, Curve] = {}
        place: tuple[int, float, float] = (0, 0.0, 0.0)
        for hook, pass_, step, at_s, value in rows:
            place = place if step is None else (pass_, step, at_s)
            curve = curves.setdefault(hook, Curve(hook, [], [], [], []))
            curve.passes.append(place[0])
            curve.steps.append(place[1])
            curve.at_s.append(place[2])
            curve.values.append(value)
        return curves

    def writers(self, field: str) -> dict[str, int]:
        """The hooks that changed a traced field, with how often each did; the most frequent first."""
        rows = self._rows(
            """SELECT hooks.name, count(*) FROM changes JOIN names AS hooks ON hooks.id = hook
            JOIN names AS fields ON fields.id = field WHERE fields.name = ? GROUP BY hook ORDER BY 2 DESC, 1""",
            [_TEXT, _WHOLE],
            self.field(field),
        )
        return dict(rows)

    def why(self, field: str, step: float | None = None) -> Cause:
        """Who made a traced field what it was in the pass that came to a step, or what it was in the end.

        Raises:
            NoSuchField: no such field was traced, or several.
            NoSuchStep: the run did not come so far, or the field had not been changed by then.
        """
        changes = self.changes(field)
        if step is not None:
            rows = self._rows("SELECT min(number) FROM passes WHERE step >= ?", [_WHOLE | _NONE], step)
            if rows[0][0] is None:
                raise NoSuchStep(f"{self.folder} came to {self.over} {self.steps:,.10g}, not to {step:,.10g}.")
            changes = [change for change in changes if change.pass_ is None or change.pass_ <= rows[0][0]]
        if not changes:
            raise NoSuchStep(f"{self.field(field)} had not been changed by {self.over} {step:,.10g}.")
        hook = next((each for each in self.hooks if changes[-1].hook in _names(each)), {})
        return Cause(changes[-1], str(hook.get("source", "")), tuple(hook.get("reads", ())))

    def field(self, name: str) -> str:
        """The path of the traced field that a name, or the end of a path, means.

        Raises:
            NoSuchField: no such field was traced, or several.
        """
        fields = self.fields
        found = called(name, fields)
        if len(found) > 1:
            raise NoSuchField(
                f"Several traced fields are called {name!r}: {listed(found)}. Write the one that is meant."
            )
        if not found:
            ends = [field.rpartition(".")[2] for field in fields]
            hint = _fits(name, [*fields, *ends]) if fields else "None was traced, or none was changed."
            raise NoSuchField(f"The field {name!r} was not traced in {self.folder}. {hint}")
        return found[0]

    def __str__(self) -> str:
        metrics = [f"{name} {value}" for name, value in self._latest().items()]
        return "\n".join([f"{self.folder}: {self._how()}", self._how_far(), *metrics])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: how it went and the latest metrics, with a link to the folder."""
        html = run_html(self.folder, self._how(), self._how_far(), self._latest())
        return {"text/plain": str(self), "text/html": html}

    def _how(self) -> str:
        return f"{self.loop} {self.outcome}"

    def _how_far(self) -> str:
        return f"{self.passes:,} passes, {self.over} {self.steps:,.10g}"

    def _latest(self) -> dict[str, str]:
        return {name: f"{self.metric(name).values[-1]:.6g}" for name in self.metrics}

    # reading

    @property
    def _about(self) -> dict[str, str]:
        return dict(self._rows("SELECT name, value FROM about WHERE value IS NOT NULL", [_TEXT, _TEXT]))

    def _rows(self, statement: str, kinds: Sequence[set[type]], *values: Any) -> list[tuple[Any, ...]]:
        """What a statement finds, whose columns hold values of these kinds."""
        with self._reading() as connection:
            rows = connection.execute(statement, values).fetchall()
        for place, kind in enumerate(kinds):
            if not set(map(type, map(operator.itemgetter(place), rows))) <= kind:
                raise self._strange()
        return rows

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if self._held is not None:
            yield self._held
            return
        try:
            connection = open_to_read(files.database_in(self.folder, files.DATABASE))
            try:
                yield connection
            finally:
                connection.close()
        except (sqlite3.Error, WrongFormat, files.NotReadable) as error:
            raise self._damaged(files.DATABASE, str(error)) from error

    def _object(self, name: str) -> dict[str, Any]:
        found = self._json(name)
        if not isinstance(found, dict):
            raise self._damaged(name, "it is not what a Recorder writes")
        return found

    def _json(self, name: str) -> Any:
        try:
            return files.json_in(self.folder, name)
        except files.NotReadable as error:
            raise self._damaged(name, str(error)) from error

    def _loaded(self, text: str) -> Any:
        """What stands in the database as JSON."""
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged(files.DATABASE, str(error)) from error

    def _sentences(self, text: str) -> tuple[str, ...]:
        found = self._loaded(text)
        if not isinstance(found, list):
            raise self._strange()
        return tuple(map(str, found))

    def _strange(self) -> NotARun:
        return self._damaged(files.DATABASE, "there are values in it that a Recorder does not write")

    def _damaged(self, name: str, why: str) -> NotARun:
        return NotARun(f"{self.folder / name} cannot be read: {why}.")


def _hooks(part: Any) -> Iterator[dict[str, Any]]:
    """The hooks in a description, from any part of it down."""
    if isinstance(part, dict):
        if "hook" in part:
            yield part
        for each in part.values():
            yield from _hooks(each)
    elif isinstance(part, list):
        for each in part:
            yield from _hooks(each)


def _names(hook: dict[str, Any]) -> tuple[str, str]:
    """What a trace may call a hook."""
    return str(hook.get("label")), f"{hook.get('owner')}.{hook.get('hook')}"


def _fits(name: str, names: Any) -> str:
    """What would fit instead of a name."""
    close = nearest(name, names)
    return f"Nearest is {close!r}." if close else f"There are {listed(names)}." if names else "There is none."
