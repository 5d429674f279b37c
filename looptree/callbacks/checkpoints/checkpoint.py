"""Checkpoint: writes down the whole state of a loop while it runs, so that a run that was cut off can go on."""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from looptree.callbacks.checkpoints.errors import CheckpointsAhead, DamagedCheckpoint, NoCheckpoint, UnsavableState
from looptree.callbacks.checkpoints.layout import checkpoints_of, numbered
from looptree.callbacks.checkpoints.reading import load_checkpoint
from looptree.callbacks.checkpoints.tree import Parts, taken_apart
from looptree.callbacks.checkpoints.writing import clear_away, write_checkpoint
from looptree.callbacks.fields import below
from looptree.core.callback import Callback
from looptree.core.errors import BadSetting

_COPIED_BYTES = 64 * 2**20

Beforehand = Callable[[], Callable[[], object] | None]


class CheckpointNotWritten(UserWarning):
    """A checkpoint cannot be written at present; the run goes on, and it is tried again."""


class Checkpoint(Callback):
    """Writes the state of its loop into `folder/checkpoints` when a run begins, then now and then, and when it ends.

        Learner(cbs=Checkpoint("runs/first")).run()
        newest_checkpoint("runs/first").into(learner)

    The state is that between two passes; a run that fails within a pass keeps the checkpoints that it has. States whose
    arrays take up to 64 MiB are copied and written by a thread, so that training waits for the copy only. Larger ones
    are not held twice: they are written while training waits.

    A checkpoint appears whole or not at all. Where the disk does not take it, the run goes on with one warning
    (`CheckpointNotWritten`), and it is tried again.

    Args:
        folder: of the run; made if it is not there.
        every_s: seconds between two checkpoints.
        keep: how many stay, the newest ones.
        beforehand: called when the state is taken; what it returns, if anything, is called by the thread that writes,
            when the checkpoint is on the disk but not yet in its place.

    Attributes:
        written: the folder of the newest checkpoint of this run, None before the first.

    Raises:
        BadSetting: a value that does not fit; when a run begins, another Checkpoint of the tree with the same folder.
        CheckpointsAhead: when a run begins, where the folder has checkpoints of more passes than the loop has done.
        UnsavableState: when a run begins, where the state holds what cannot be written.
        DamagedCheckpoint: the folder's checkpoints are somewhere else, behind a link.
    """

    def __init__(
        self, folder: str | Path, every_s: float = 60.0, keep: int = 3, *, beforehand: Beforehand | None = None
    ) -> None:
        if not every_s > 0:
            raise BadSetting(f"Checkpoint(every_s={every_s!r}): seconds between two checkpoints, as 60, would fit.")
        if not isinstance(keep, int) or keep < 1:
            raise BadSetting(f"Checkpoint(keep={keep!r}): how many checkpoints stay, 1 or more, would fit.")
        self.folder = Path(folder)
        self.every_s = every_s
        self.keep = keep
        self.beforehand = beforehand
        self.written: Path | None = None
        self._checkpoints = checkpoints_of(folder)
        self._begun = 0  # the count of the loop in the latest pass that was begun
        self._due_s = -math.inf
        self._writing: threading.Thread | None = None
        self._problem = ""  # why the latest checkpoint was not written
        self._said = False  # that there is a problem

    def before_run(self) -> None:
        """Make sure that the folder is this run's, and clear away what a run that was cut off has left there."""
        self.written = None
        self._begun = self.loop.count
        self._due_s = -math.inf
        self._refuse_another()
        self._refuse_those_ahead()
        clear_away(self._checkpoints)

    def before_pass(self, _order: int = -1000) -> None:
        """Take the state, if it is time: the pass before is done and counted, and this one has not changed anything."""
        self._begun = self.loop.count
        if time.perf_counter() < self._due_s:
            return
        if self._problem:
            self._say()
        else:
            self._save()

    def finally_run(self, _order: int = -1000) -> None:
        """Take the state at the end, unless it is that within a pass."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None  # a thread could not be copied
        if self.loop.count != self._begun:
            self._save(at_once=True)
        self._say()

    def _refuse_another(self) -> None:
        """Each would take what the other is writing for what a run that was cut off has left."""
        place = self._checkpoints.resolve()
        for other in below(self.loop.root):
            if other is not self and isinstance(other, Checkpoint) and other._checkpoints.resolve() == place:
                raise BadSetting(
                    f"{self.path} and {other.path} both write into {self._checkpoints}. Take one of them out, or name "
                    f"another folder for it."
                )

    def _refuse_those_ahead(self) -> None:
        """A checkpoint of more passes would be taken for the newest of this run; a damaged one is set aside."""
        for path in reversed(numbered(self._checkpoints)):
            if int(path.name) <= self.loop.count:
                return
            try:
                load_checkpoint(path)
            except (DamagedCheckpoint, NoCheckpoint):
                path.rename(path.with_name(f"{path.name}.damaged"))
            else:
                raise CheckpointsAhead(
                    f"{self.folder} has a checkpoint of {int(path.name):,} passes, and {self.loop.name} has done "
                    f"{self.loop.count:,}. Go on from there, with "
                    f"newest_checkpoint({str(self.folder)!r}).into({self.loop.name}), or name another folder."
                )

    def _save(self, at_once: bool = False) -> None:
        """Write a checkpoint, or have it written."""
        self._due_s = math.inf  # until it is written
        before_placed = self.beforehand() if self.beforehand is not None else None
        try:
            parts = taken_apart(self.loop.state_dict())
            waits = at_once or parts.nbytes > _COPIED_BYTES
            arguments = self.loop.count, parts if waits else parts.copy(), before_placed
        except UnsavableState as error:
            if self.written is None:
                raise
            self._fail(str(error))
        except MemoryError as error:
            self._fail(str(error) or "there is no memory left")
        else:
            if waits:
                self._write(*arguments)
            else:
                self._writing = threading.Thread(target=self._write, args=arguments, name="checkpoint", daemon=True)
                self._writing.start()

    def _write(self, count: int, parts: Parts, before_placed: Callable[[], object] | None) -> None:
        try:
            self.written = write_checkpoint(self._checkpoints, count, parts, self.keep, before_placed)
        except Exception as error:  # whatever it is, a training of hours does not end because of it
            self._fail(f"{type(error).__name__}: {error}")
        else:
            self._problem, self._said = "", False
            self._due_s = time.perf_counter() + self.every_s

    def _fail(self, problem: str) -> None:
        """A checkpoint was not written: the next pass is to say so."""
        self._problem = problem
        self._due_s = -math.inf

    def _say(self) -> None:
        """Warn where a checkpoint was not written, once until one is, and try again after a while."""
        problem, self._problem = self._problem, ""
        self._due_s = time.perf_counter() + self.every_s
        if problem and not self._said:
            self._said = True
            newest = (
                f"The newest one is {self.written}" if self.written is not None else "There is none of this run yet"
            )
            warnings.warn(
                f"{self._checkpoints}: a checkpoint cannot be written at present ({problem}). Training goes on, and it "
                f"is tried again every {self.every_s:g} s. {newest}.",
                CheckpointNotWritten,
                stacklevel=2,
            )
