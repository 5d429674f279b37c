"""TensorBoardLog: metrics as scalars that TensorBoard shows."""

from __future__ import annotations

import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from looptree.callbacks.metrics import Metrics
from looptree.core.callback import Callback
from looptree.core.errors import BadSetting


class TensorBoardLog(Callback):
    """Writes each metric that has a new value after a pass; works on any loop.

        Training(cbs=TensorBoardLog("runs/first", "loss", over="env_steps"))
        # tensorboard --logdir runs

    A thread of TensorBoard's writes the file, so that no pass waits for the disk. Needs the package `tensorboard`.

    Args:
        folder: where; made if it is not there.
        metrics: fields, as `find_owner` finds them; each becomes a tag.
        over: the field that says how far the run is, by default passes done; TensorBoard's step.

    Raises:
        BadSetting: without a metric.
        NoSuchField: when a run begins, where no loop or callback of the tree has a field.
    """

    def __init__(self, folder: str | Path, *metrics: str, over: str = "count") -> None:
        if not metrics:
            raise BadSetting(
                'TensorBoardLog without a metric writes nothing. Write TensorBoardLog("runs/first", "loss").'
            )
        self.folder = Path(folder)
        self.metrics = metrics
        self.over = over
        self._metrics: Metrics | None = None
        self._last: dict[str, float] = {}  # what the metrics were when the run before ended
        self._writer: EventFileWriter | None = None

    def before_run(self) -> None:
        """Begin a file, and find whose fields the metrics are; TensorBoard shows the files of a folder as one."""
        self._begin()

    def after_pass(self, _order: int = 1000) -> None:
        """Write what is new, when all other hooks of the pass have run."""
        metrics = self._metrics or self._begin()  # which it has not where it was added to a loop that ran already
        if changed := metrics.changed():
            assert self._writer is not None
            values = [Summary.Value(tag=name, simple_value=value) for name, value in changed]
            step = int(metrics.step(self.loop.count))
            self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def finally_run(self) -> None:
        """Close the file; forget whose fields the metrics are, for the next run may be another loop's."""
        if self._metrics is not None:
            self._last, self._metrics = self._metrics.last, None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _begin(self) -> Metrics:
        self._metrics = Metrics(self.loop, self.metrics, self.over, self._last)
        self._writer = EventFileWriter(str(self.folder))
        return self._metrics
