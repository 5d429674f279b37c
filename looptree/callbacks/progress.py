"""Progress: a bar that shows how far a loop is, how quick it is, and some of its fields."""

from __future__ import annotations

import math
import time
from typing import Any, TextIO

from looptree.callbacks.bars import Stand, bar_on
from looptree.callbacks.fields import find_owner
from looptree.core.callback import Callback


class Progress(Callback):
    """A live bar in a terminal and in a notebook, elsewhere a plain line now and then; works on any loop.

        Training(cbs=Progress("loss", "epsilon"))
        DQN(cbs=Progress("episode_return", over="env_steps", total=50_000))

    Args:
        fields: fields to show with the bar: names, or ends of paths (see `find_owner`).
        over: the field that is counted, by default passes done. Its rate (per second) is the mean of the whole run.
        total: where `over` will be when the run ends; for passes it is found by itself where the loop knows it.
        file: where to write; standard error unless given, or the output of the cell in a notebook.

    The bar of a loop inside another one disappears when its run ends; the outermost stays.

    Raises:
        NoSuchField: when a run begins, where no loop or callback of the tree has a field.
    """

    def __init__(
        self, *fields: str, over: str = "count", total: float | None = None, file: TextIO | None = None
    ) -> None:
        self.fields = fields
        self.over = over
        self.total = total
        self.file = file
        self._screen: _Screen | None = None

    def before_run(self) -> None:
        """Open the bar."""
        self._screen = _Screen(self, self.loop)

    def after_pass(self, _order: int = 1000) -> None:
        """Show how far the loop is, if it is time to, when all other hooks of the pass have run."""
        if self._screen is not None and time.perf_counter() >= self._screen.due_s:
            self._screen.after_pass()

    def finally_run(self) -> None:
        """Show the end and close the bar."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None


class _Screen:
    """What one run of a loop is shown on. Times are those of `time.perf_counter`, in seconds."""

    def __init__(self, progress: Progress, loop: Any) -> None:
        self.loop = loop
        self.shown = [(name.rpartition(".")[2], find_owner(loop, name)) for name in progress.fields]
        self.counter = find_owner(loop, progress.over)
        self.counted = progress.over.rpartition(".")[2]
        self.of_passes = progress.over == "count"
        self.unit = "passes" if self.of_passes else self.counted.replace("_", " ")
        self.first = self.done()
        self.total = progress.total
        if self.total is None and self.of_passes:
            self.total = _last_count(loop)
        self.start_s = time.perf_counter()
        self.bar = bar_on(progress.file, stays=loop.parent is None)
        self.bar.open(self.stand(self.first))
        self.due_s = self.start_s + self.bar.wait_s

    def done(self) -> float:
        """How far the loop is."""
        now: float = getattr(self.counter, self.counted)
        return now

    def stand(self, done: float) -> Stand:
        """How far, how quick, and the fields, as they are shown."""
        passed_s = time.perf_counter() - self.start_s
        of = f" of {self.total:,.0f}" if self.total is not None else ""
        rate = (done - self.first) / passed_s if passed_s > 0 else 0.0
        fields = [f"{name.replace('_', ' ')} {_number(getattr(owner, name, None))}" for name, owner in self.shown]
        return Stand(
            self.loop.name,
            done - self.first,
            None if self.total is None else self.total - self.first,
            passed_s,
            f"{done:,.0f}{of} {self.unit}",
            f"{_number(rate)}/s",
            ", ".join(fields),
        )

    def after_pass(self) -> None:
        """Show how far the loop is; the pass that has just been done counts, though the loop has not counted it yet."""
        self.bar.show(self.stand(self.done() + 1 if self.of_passes else self.done()))
        self.due_s = time.perf_counter() + self.bar.wait_s

    def close(self) -> None:
        """Show the end."""
        self.bar.close(self.stand(self.done()))


def _last_count(loop: Any) -> float | None:
    """The `count` that a loop will have after this run, if it is known."""
    return None if loop.planned in (None, math.inf) else loop.count + loop.planned


def _number(value: Any) -> str:
    """A value in few characters; what is not measured yet is a dash."""
    if value is None:
        return "-"
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)[:20]
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
