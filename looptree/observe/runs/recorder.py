"""Recorder: writes down the runs of a loop while they go on, in a folder that `Run` reads.

with Recorder(learner, "runs/first", metrics=("loss", "epsilon"), over="env_steps", fields=("epsilon",)):
    learner.run()
"""

from __future__ import annotations

import contextlib
import datetime
import json
import sqlite3
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from looptree.core.errors import LooptreeError
from looptree.core.loop import Loop
from looptree.core.tree_html import tree_html
from looptree.observe.describe import describe
from looptree.observe.digest import NUMBERS, show
from looptree.observe.given import given_loop
from looptree.observe.profile import Profile
from looptree.observe.runs import folder as files
from looptree.observe.runs.sampler import Sampler
from looptree.observe.runs.writer import Writer
from looptree.observe.save import CannotSave, save_whole
from looptree.observe.trace import Trace

_EVERY_S = 0.5
_KEPT_CHANGES = 1_000_000  # between two times that they are written

_ABOUT = "INSERT OR REPLACE INTO about VALUES (?, ?)"
_TIMING = "INSERT OR REPLACE INTO timings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NAME = "INSERT OR IGNORE INTO names (name) VALUES (?)"
_CHANGE = """INSERT INTO changes VALUES (
    ?, ?, ?, (SELECT id FROM names WHERE name = ?), (SELECT id FROM names WHERE name = ?), ?, ?, ?
)"""


class RunExists(LooptreeError, FileExistsError):
    """A folder that was to become a run's has one in it."""


class NotWritten(UserWarning):
    """What a run records cannot be written at present; the run goes on, and it is tried again."""


class Recorder:
    """Records the runs of a loop for as long as its `with` lasts: metrics, times, changes of fields.

    Nothing in the run waits for the disk: a thread writes what has come in, several times a second, so that a process
    that is killed loses less than a second of it. The recorder is seen like any other callback: in the tree, in the
    code, and in the times.

    Args:
        loop: the loop to record, with all below it.
        folder: where; made if it is not there, and refused if a run is in it.
        metrics: fields whose values are kept after each pass: names, or ends of paths (see `find_owner`). They hold
            numbers, or tensors of one number.
        over: the field that says how far the run is, by default passes done.
        fields: fields of which each change is kept, with the hook that made it, as `Trace` takes them.
        inside: whether changes are looked for in the loops below, too, hook by hook (see `Trace`).
        settings: what the run was made with, for `settings.json`.

    Attributes:
        folder: the folder.
        profile: the times, to be printed or asked.

    Raises:
        NotALoop, NoSuchField, BindingError: what was given does not fit, when the `with` begins.
        RunExists: the folder has a run in it.
        CannotSave: the folder cannot be written.
    """

    def __init__(
        self,
        loop: Loop,
        folder: str | Path,
        *,
        metrics: Iterable[str] = (),
        over: str = "count",
        fields: Iterable[str] = (),
        inside: bool = True,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.loop = given_loop(loop, "Recorder")
        self.folder = Path(folder)
        self.profile = Profile(loop)
        self._metrics = tuple(metrics)
        self._over = over
        self._fields = tuple(fields)
        self._inside = inside
        self._settings = dict(settings or {})
        self._trace: Trace | None = None
        self._writer: Writer
        self._sampler: Sampler
        self._changes = 0  # that were written
        self._watching = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self._trace = (
                Trace(self.loop, *self._fields, keep=_KEPT_CHANGES, inside=self._inside) if self._fields else None
            )
            self._writer = undo.enter_context(contextlib.closing(self._made_folder()))
            self._sampler = Sampler(
                self._writer, self._metrics, self._over, time.perf_counter(), _EVERY_S, self._now_and_then
            )
            self.loop.add_cb(self._sampler)
            undo.callback(self.loop.remove_cb, self._sampler)
            self._describe()
            undo.enter_context(self.profile)
            if self._trace is not None:
                undo.enter_context(self._trace)
            self._now_and_then()  # so that the tree is there from the beginning
            self._watching = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._now_and_then()
            self._writer.add(_ABOUT, ("ended", self.loop.ended), ("ended_at", _now()))
        finally:
            self._watching.close()
        self._warn()

    def _made_folder(self) -> Writer:
        """The folder with an empty database in it."""
        database = self.folder / files.DATABASE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if database.exists():
                raise RunExists(f"{self.folder} has a run in it already. Name another folder, or move that one away.")
            return Writer(database)
        except OSError as error:
            if isinstance(error, RunExists):
                raise
            existing = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
            what = "is a file" if existing.is_file() else f"cannot be written ({error.strerror})"
            raise CannotSave(
                f"{self.folder}: {existing} {what}; a folder that may be written to, or made, would fit."
            ) from error
        except sqlite3.Error as error:
            raise CannotSave(f"{database} cannot be written: {error}.") from error

    def _describe(self) -> None:
        """Write what is known before the run begins."""
        plan = self.loop.plan
        self._writer.add(_ABOUT, ("began_at", _now()), ("loop", plan.path), ("over", self._over))
        for name, text in (
            (files.SETTINGS, json.dumps(self._settings, indent=2, allow_nan=False) + "\n"),
            (files.VERSIONS, files.versions_json()),
            (files.DESCRIPTION, describe(self.loop).json()),
            (files.DESCRIPTION_PAGE, tree_html(plan)),
            (files.CODE, files.code_json(self.loop)),
        ):
            save_whole(text, self.folder / name)

    def _now_and_then(self) -> None:
        """Hand over what is not written pass by pass: the times so far, and the changes of fields since."""
        self._writer.add(_TIMING, *((number, *astuple(timing)) for number, timing in enumerate(self.profile)))
        if self._trace is not None:
            for change in self._trace.take():
                self._changes += 1
                self._writer.add(_NAME, (change.field,), (change.hook,))
                number = dict(change.at).get(self.loop.name)
                value = float(change.new) if type(change.new) in NUMBERS else None
                shown = (show(change.old), show(change.new), value)
                self._writer.add(_CHANGE, (self._changes, number, str(change.at), change.field, change.hook, *shown))
        self._warn()

    def _warn(self) -> None:
        """Say so where the disk does not take what is recorded."""
        if self._writer.problem:
            text = f"{self.folder} cannot be written at present, and it is tried again: {self._writer.problem}."
            warnings.warn(text, NotWritten, stacklevel=3)


def _now() -> str:
    """The time of day as ISO 8601 has it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
