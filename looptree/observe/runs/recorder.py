"""Recorder: writes down the runs of a loop while they go on, in a folder that `Run` reads.

with Recorder(learner, "runs/first", metrics=("loss", "epsilon"), over="env_steps", fields=("epsilon",)):
    learner.run()

Where that was killed, and the loop has been given the state of some pass again (`load_state_dict`):

with Recorder.resume(learner, "runs/first"):
    learner.run()
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import operator
import os
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from looptree.callbacks.fields import find_owner
from looptree.callbacks.metrics import Metrics
from looptree.core.errors import LooptreeError
from looptree.core.loop import Loop
from looptree.core.tree_html import tree_html
from looptree.observe.describe import describe
from looptree.observe.digest import NUMBERS, show
from looptree.observe.given import given_loop
from looptree.observe.profile import Profile
from looptree.observe.runs import folder as files
from looptree.observe.runs.database import WrongFormat
from looptree.observe.runs.lock import IsHeld, held
from looptree.observe.runs.run import Run
from looptree.observe.runs.sampler import Sampler
from looptree.observe.runs.sessions import ENDS, NOTHING, Before, begin, go_on, now
from looptree.observe.runs.writer import Writer
from looptree.observe.save import CannotSave, save_whole
from looptree.observe.timings import Timing
from looptree.observe.trace import Trace

_EVERY_S = 0.5
_KEPT_CHANGES = 1_000_000  # between two times that they are written

_TIMING = "INSERT OR REPLACE INTO timings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NO_MORE_TIMINGS = "DELETE FROM timings WHERE line >= ?"
_NAME = "INSERT OR IGNORE INTO names (name) VALUES (?)"
_CHANGE = """INSERT INTO changes VALUES (
    ?, ?, ?, (SELECT id FROM names WHERE name = ?), (SELECT id FROM names WHERE name = ?), ?, ?, ?
)"""

_values_of = operator.attrgetter(*(field.name for field in dataclasses.fields(Timing)))


class RunExists(LooptreeError, FileExistsError):
    """A folder that was to become a run's has one in it."""


class RunGoesOn(LooptreeError):
    """A run that was to be gone on with is recorded by another process at present."""


class NotWritten(UserWarning):
    """What a run records cannot be written, at present or for good; the message says which. The run goes on."""


class Recorder:
    """Records the runs of a loop for as long as its `with` lasts: metrics, times, changes of fields.

    Nothing in the run waits for the disk, unless hundreds of thousands of rows come in quicker than they are written: a
    thread writes what has come in, several times a second, so that a process that is killed loses less than a second of
    it. The recorder is seen like any other callback: in the tree, in the code, and in the times.

    Where the disk is full, or takes nothing for another reason, a warning (`NotWritten`) says so, and what comes in is
    kept until the disk takes it again, up to some 300 MB; beyond that passes are left out, which is said as well. Where
    it takes nothing until the end, the run is written where temporary files go.

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
        folder: the folder; after the end, where the disk would not take the run, the one that it was written to.
        profile: the times, to be printed or asked.
        whole: after the end, whether all that was recorded is in the folder that was asked for.

    Raises:
        NotALoop, NoSuchField, BindingError: what was given does not fit, when the `with` begins.
        RunExists: the folder has a run in it.
        RunGoesOn: of a recorder that resumes, the run is recorded by another process.
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
        self.whole = True
        self._metrics = tuple(metrics)
        self._over = over
        self._fields = tuple(fields)
        self._inside = inside
        self._settings = dict(settings or {})
        self._resumes = False
        self._inexact: tuple[str, ...] = ()
        self._before: Before = NOTHING
        self._trace: Trace | None = None
        self._writer: Writer
        self._sampler: Sampler
        self._changes = 0  # that are recorded
        self._said: set[str] = set()  # what was warned of
        self._watching = contextlib.ExitStack()

    @classmethod
    def resume(cls, loop: Loop, folder: str | Path, *, inexact: Iterable[str] = ()) -> Self:
        """A recorder that goes on with the run in a folder, and records what was recorded there.

        The loop is in the state of some pass, `loop.count`. What is recorded of that pass and of later ones, by a
        process that was killed when its state was not kept yet, is taken out when the `with` begins, for these passes
        are made again: in the end the rows are those of a run that was never interrupted. Times go on, and add up.

        Args:
            loop: a loop of the same making.
            folder: where the run is.
            inexact: what of the loop's state is not as it was, in sentences.

        Raises:
            NotALoop: something else was given, a class of loops for instance.
            NotARun: the folder is not there, has no run in it, or what is there cannot be read.
        """
        recorder = cls(loop, folder, **Run(folder).recorded._asdict())
        recorder._resumes = True
        recorder._inexact = tuple(inexact)
        return recorder

    @property
    def seconds(self) -> float:
        """How long the run has taken up to its latest pass, in all sessions."""
        return self._sampler.seconds

    def on_disk(self) -> Callable[[], None]:
        """Hand over all that has been recorded by now, and return what waits, in whatever thread it is called, until
        it is on the disk: a checkpoint that comes after that is of a state whose rows are all there.

        What is returned raises CannotSave where the disk does not take them.
        """
        self._now_and_then()
        return self._writer.on_disk()

    def __enter__(self) -> Self:
        for name in (*self._metrics, self._over):
            find_owner(self.loop, name)
        with contextlib.ExitStack() as undo:
            self._trace = (
                Trace(self.loop, *self._fields, keep=_KEPT_CHANGES, inside=self._inside) if self._fields else None
            )
            undo.enter_context(self._folder_held())
            self._before = self._gone_on() if self._resumes else NOTHING
            self._changes = self._before.changes
            self._writer = Writer(self._database)
            self._sampler = Sampler(
                self._writer,
                Metrics(self.loop, self._metrics, self._over, self._before.metrics),
                self.loop.count,
                self._before.seconds,
                _EVERY_S,
                self._now_and_then,
            )
            self.loop.add_cb(self._sampler)
            undo.callback(self.loop.remove_cb, self._sampler)
            self._describe()
            if not self._resumes:
                self._begun()  # the last of all files: a folder with a database in it has everything
            with self._that_may_be_full():
                self._writer.open()
            undo.callback(self._writer.close)
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
            self._writer.add((ENDS, (self.loop.ended, now(), self._before.session)))
        finally:
            self._watching.close()
        self._warn()
        self.whole = not (self._writer.rescued or self._writer.waiting or self._writer.unfit or self._sampler.left_out)
        if self._writer.rescued is not None:
            self._move_to(self._writer.rescued)
        elif self._writer.waiting:
            rows = f"{self._writer.waiting:,} rows (passes, metrics, changes)"
            self._say("lost", f"{self.folder} cannot be written, nor can temporary files: {rows} are lost.")

    def _move_to(self, folder: Path) -> None:
        """Go on in the folder in which the database was written in the end."""
        for name in (files.SETTINGS, files.VERSIONS, files.DESCRIPTION, files.DESCRIPTION_PAGE, files.CODE):
            with contextlib.suppress(OSError):
                shutil.copyfile(self.folder / name, folder / name)
        self._say(
            "moved",
            f"{self.folder} cannot be written: {self._writer.problem}. The whole run, but for its checkpoints, is in "
            f"{folder}; move it to where it is safe.",
        )
        self.folder = folder

    @contextlib.contextmanager
    def _folder_held(self) -> Iterator[None]:
        """The folder, which is made if it is not there, for this recorder alone."""
        with contextlib.ExitStack() as stack:
            with self._that_may_be_full():
                self.folder.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(held(files.database_in(self.folder, files.LOCK)))
                except IsHeld as error:
                    raise self._in_use() from error
                if self._database.exists() and not self._resumes:
                    raise RunExists(
                        f"{self.folder} has a run in it already. Name another folder, or move that one away."
                    )
            yield

    def _in_use(self) -> LooptreeError:
        if self._resumes:
            return RunGoesOn(f"{self.folder} is recorded by another process, which still goes on.")
        return RunExists(f"{self.folder} has a run in it that goes on. Name another folder.")

    def _begun(self) -> None:
        recorded = {"metrics": self._metrics, "over": self._over, "fields": self._fields, "inside": self._inside}
        about = {"loop": self.loop.path, "over": self._over, "recorded": json.dumps(recorded)}
        with self._that_may_be_full():
            begin(self._database, self.loop.count, about)

    def _gone_on(self) -> Before:
        with self._that_may_be_full():
            return go_on(files.database_in(self.folder, files.DATABASE), self.loop.count, self._inexact)

    @property
    def _database(self) -> Path:
        return self.folder / files.DATABASE

    @contextlib.contextmanager
    def _that_may_be_full(self) -> Iterator[None]:
        """What the disk has to say of the folder, in a sentence."""
        try:
            yield
        except RunExists:
            raise
        except OSError as error:
            existing = next(path for path in (self.folder, *self.folder.absolute().parents) if os.path.exists(path))
            what = "is a file" if existing.is_file() else f"cannot be written ({error.strerror})"
            raise CannotSave(
                f"{self.folder}: {existing} {what}; a folder that may be written to, or made, would fit."
            ) from error
        except (sqlite3.Error, WrongFormat, files.NotReadable) as error:
            raise CannotSave(f"{self.folder} cannot be written: {error}.") from error

    def _describe(self) -> None:
        """Write what is known before the run begins; what it was made with stays as it is where it goes on."""
        made_with = {} if self._resumes else {files.SETTINGS: json.dumps(self._settings, indent=2, allow_nan=False)}
        found = made_with | {
            files.VERSIONS: files.versions_json(),
            files.DESCRIPTION: describe(self.loop).json(),
            files.DESCRIPTION_PAGE: tree_html(self.loop.plan),
            files.CODE: files.code_json(self.loop),
        }
        for name, text in found.items():
            save_whole(text, self.folder / name)

    def _now_and_then(self) -> None:
        """Hand over what is not written pass by pass: the times so far, and the changes of fields since."""
        timings = [self._before.and_since(timing) for timing in self.profile]
        lines = [(_TIMING, (number, *_values_of(timing))) for number, timing in enumerate(timings)]
        self._writer.add(*lines, (_NO_MORE_TIMINGS, (len(timings),)))
        self._writer.catch_up()
        if self._trace is not None and not self._writer.full:
            for pass_, change in self._trace.take():
                self._changes += 1
                names = [(_NAME, (change.field,)), (_NAME, (change.hook,))]
                value = float(change.new) if type(change.new) in NUMBERS else None
                shown = (show(change.old), show(change.new), value)
                row = (self._changes, pass_, str(change.at), change.field, change.hook, *shown)
                self._writer.add(*names, (_CHANGE, row))
        self._warn()

    def _warn(self) -> None:
        """Say so, once each time, where the disk does not take what is recorded, and where something is left out."""
        writer = self._writer
        if writer.unfit:
            self._say("unfit", f"{self.folder} cannot hold all that is recorded; left out is the row {writer.unfit}.")
        if self._sampler.left_out:
            self._say(
                "full",
                f"{self.folder} could not be written for so long that {writer.waiting:,} rows wait; passes are left "
                f"out until it can be written again.",
            )
        if not writer.problem:
            self._said.discard("problem")
        elif writer.rescued is None:
            tried = "cannot be written at present, and it is tried again"
            self._say("problem", f"{self.folder} {tried}: {writer.problem}.")

    def _say(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            warnings.warn(text, NotWritten, stacklevel=4)
