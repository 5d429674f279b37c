"""CSVLog: metrics as a table in a text file, which spreadsheets and pandas read."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any, TextIO

from looptree.callbacks.metrics import Metrics
from looptree.core.callback import Callback
from looptree.core.errors import BadSetting

_FLUSH_S = 1.0


class CSVLog(Callback):
    """Writes a row after each pass in which a metric has a new value; works on any loop.

        Training(cbs=CSVLog("metrics.csv", "loss", "source.episode_return", over="env_steps"))

    The columns are `over`, `seconds` since the first run began, and the metrics, each with the value that it has; one
    without a value, or of NaN, is empty. Each run goes on where the one before it ended. The file is never more than a
    second behind.

    Args:
        file: where; its folder is there, and a file that is there already is left alone.
        metrics: fields, as `find_owner` finds them.
        over: the field that says how far the run is, by default passes done.

    Raises:
        BadSetting: without a metric, and when a run begins, where the file is there already or cannot be made.
        NoSuchField: when a run begins, where no loop or callback of the tree has a field.
    """

    def __init__(self, file: str | Path, *metrics: str, over: str = "count") -> None:
        if not metrics:
            raise BadSetting('CSVLog without a metric writes nothing. Write CSVLog("metrics.csv", "loss").')
        self.file = Path(file)
        self.metrics = metrics
        self.over = over
        self._metrics: Metrics | None = None
        self._last: dict[str, float] = {}  # what the metrics were when the run before ended
        self._opened: TextIO | None = None
        self._began_s: float | None = None
        self._flushed_s = 0.0

    def before_run(self) -> None:
        """Open the file, and find whose fields the metrics are."""
        self._begin()

    def after_pass(self, _order: int = 1000) -> None:
        """Write a row if there is something new, when all other hooks of the pass have run."""
        metrics = self._metrics or self._begin()  # which it has not where it was added to a loop that ran already
        if metrics.changed():
            assert self._began_s is not None
            seconds = time.perf_counter() - self._began_s
            shown = ("" if value != value else repr(value) for value in metrics.last.values())
            self._write((metrics.step(self.loop.count), f"{seconds:.3f}", *shown))

    def finally_run(self) -> None:
        """Close the file; forget whose fields the metrics are, for the next run may be another loop's."""
        if self._metrics is not None:
            self._last, self._metrics = self._metrics.last, None
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _begin(self) -> Metrics:
        self._metrics = Metrics(self.loop, self.metrics, self.over, self._last)
        self._opened = self._open()
        if self._began_s is None:
            self._began_s = time.perf_counter()
            self._write((self.over, "seconds", *self.metrics))
        return self._metrics

    def _open(self) -> TextIO:
        try:
            return self.file.open("x" if self._began_s is None else "a", newline="", encoding="utf-8")
        except FileExistsError as error:
            raise BadSetting(
                f"{self.file} is there already. Name another file for CSVLog, or move that one."
            ) from error
        except OSError as error:
            raise BadSetting(
                f"{self.file} cannot be made: {error.strerror}. Name a file in a folder that is there."
            ) from error

    def _write(self, row: tuple[Any, ...]) -> None:
        assert self._opened is not None
        csv.writer(self._opened).writerow(row)
        now_s = time.perf_counter()
        if now_s - self._flushed_s >= _FLUSH_S:
            self._opened.flush()
            self._flushed_s = now_s
