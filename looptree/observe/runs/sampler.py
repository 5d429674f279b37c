"""Sampler: the callback by which a Recorder learns how far a run is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from looptree.callbacks.metrics import Metrics
from looptree.core.callback import Callback
from looptree.observe.runs.writer import Writer

_PASS = "INSERT INTO passes VALUES (?, ?, ?)"
_METRIC = "INSERT INTO metrics VALUES (?, ?, ?)"


class Sampler(Callback):
    """Puts down after each pass how far the run is, and which metrics have a new value.

    While the writer is full, passes are left out; a metric that has changed by then is put down with the next pass that
    is not. `left_out` counts them; `seconds` are those that the run has taken up to its latest pass.

    Args:
        writer: where to.
        metrics: fields, as `find_owner` finds them.
        over: the field that says how far the run is.
        seconds: how long the run had taken before.
        last: the values that the metrics had before.
        every_s: how often to call `now_and_then`, in seconds.
    """

    def __init__(
        self,
        writer: Writer,
        metrics: tuple[str, ...],
        over: str,
        seconds: float,
        last: Mapping[str, float],
        every_s: float,
        now_and_then: Callable[[], None],
    ) -> None:
        self.name = "recorder"
        self.metrics = metrics
        self.over = over
        self.left_out = 0
        self.seconds = seconds
        self._writer = writer
        self._last = last
        self._every_s = every_s
        now_s = time.perf_counter()
        self._began_s = now_s - seconds
        self._due_s = now_s + every_s
        self._now_and_then = now_and_then
        self._metrics: Metrics | None = None

    def before_run(self) -> None:
        """Find out where the fields are."""
        if self._metrics is None:
            self._metrics = Metrics(self.loop, self.metrics, self.over, self._last)

    def after_pass(self) -> None:
        """Put down what is new."""
        assert self._metrics is not None
        number, now_s = self.loop.count, time.perf_counter()
        self.seconds = now_s - self._began_s
        self._writer.catch_up()
        if self._writer.full:
            self.left_out += 1
        else:
            done = _PASS, (number, self._metrics.step(), self.seconds)
            self._writer.add(done, *((_METRIC, (name, number, value)) for name, value in self._metrics.changed()))
        if now_s >= self._due_s:
            self._now_and_then()
            self._due_s = time.perf_counter() + self._every_s
