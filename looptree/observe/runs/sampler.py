"""Sampler: the callback by which a Recorder learns how far a run is."""

from __future__ import annotations

import time
from collections.abc import Callable

from looptree.callbacks.metrics import Metrics
from looptree.core.callback import Callback
from looptree.observe.runs.writer import Writer

_PASS = "INSERT INTO passes VALUES (?, ?, ?)"
_METRIC = "INSERT INTO metrics VALUES (?, ?, ?)"


class Sampler(Callback):
    """Puts down after each pass how far the run is, and which metrics have a new value.

    It looks when all other hooks on `after_pass` have run. A pass that was left before that, by a `Cancel` or by a
    failure from which a hook recovered, is done as well: it is put down before anything else happens.

    While the writer is full, passes are left out; a metric that has changed by then is put down with the next pass that
    is not. `left_out` counts them; `seconds` are those that the run has taken up to its latest pass.

    Args:
        writer: where to.
        metrics: what is read.
        done: passes of the loop's life that are not to be put down.
        seconds: how long the run had taken before.
        every_s: how often to call `now_and_then`, in seconds.
    """

    def __init__(
        self,
        writer: Writer,
        metrics: Metrics,
        done: int,
        seconds: float,
        every_s: float,
        now_and_then: Callable[[], None],
    ) -> None:
        self.name = "recorder"
        self.left_out = 0
        self.seconds = seconds
        self._writer = writer
        self._metrics = metrics
        self._done = done
        self._every_s = every_s
        now_s = time.perf_counter()
        self._began_s = now_s - seconds
        self._due_s = now_s + every_s
        self._now_and_then = now_and_then

    def before_run(self) -> None:
        """Begin with the first pass of this run, whatever was done between two."""
        self._done = self.loop.count

    def before_pass(self, _order: int = -2000) -> None:
        """Put down the pass before if it was left early, before a checkpoint is taken or anything is changed."""
        if self._done < self.loop.count:
            self._put_down(self._done)

    def after_pass(self, _order: int = 1000) -> None:
        """Put down the pass that has been made."""
        self._put_down(self.loop.count)

    def finally_run(self, _order: int = -2000) -> None:
        """Put down the last pass if it was left early."""
        if self._done < self.loop.count:
            self._put_down(self._done)

    def _put_down(self, number: int) -> None:
        """Put down of one pass what is new."""
        now_s = time.perf_counter()
        self._done = number + 1
        self.seconds = now_s - self._began_s
        self._writer.catch_up()
        if self._writer.full:
            self.left_out += 1
        else:
            done = _PASS, (number, self._metrics.step(number), self.seconds)
            self._writer.add(done, *((_METRIC, (name, number, value)) for name, value in self._metrics.changed()))
        if now_s >= self._due_s:
            self._now_and_then()
            self._due_s = time.perf_counter() + self._every_s
