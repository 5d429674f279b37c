"""Profile: how often each hook in a tree of loops is called, and how long it takes.

    with Profile(loop) as p:
        loop.run()
    print(p)

While a Profile watches, the generated code reads the clock around each hook and inner loop; afterwards it is what it
was before.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Self

from looptree.core.errors import BadSetting, LooptreeError, nearest
from looptree.core.loop import Loop
from looptree.core.markup import element
from looptree.core.names import free_name
from looptree.core.plan import HookPlan
from looptree.observe.given import given_loop
from looptree.observe.meter import Clock
from looptree.observe.save import save_whole
from looptree.observe.stopwatch import Stopwatch, watchers
from looptree.observe.timeline import Slice, chrome_trace, speedscope
from looptree.observe.timing_formats import csv_text, json_text, table
from looptree.observe.timings import Timing, Timings
from looptree.observe.timings_html import timings_html


class AlreadyWatching(LooptreeError):
    """A Profile was entered that is watching."""


class NoTimeline(LooptreeError):
    """Single calls were asked of a Profile that keeps none."""


class NoSuchTiming(LooptreeError, LookupError):
    """A Profile was asked for a path that leads to nothing in its tree."""


class Profile:
    """Times every hook and loop from a loop down, for as long as its `with` lasts.

        with Profile(learner) as p:
            learner.run()
        print(p)                                 # the tree with calls, total, own time, mean and share
        p["learner.update.on_loss"].mean_s       # by the path of a loop, phase, callback or hook
        p.save_csv("times.csv")

    It may be printed and asked at any time, while the loop runs too; a hook that is running then counts for its loop
    until it returns. A run that fails is timed to where it failed. `Profile`s nest; of two watchers of one loop, the
    one entered last stands closest to the hooks, so that what the other one does there is not timed with them.

    A loop's own time is what its hooks and inner loops leave of it: its `items()` and the engine. What a consumer does
    between the passes of `for x in loop` is in no time. The own times of all lines add up to `total_s`.

    Args:
        loop: the loop to watch, with all below it.
        keep_calls: how many single calls to keep for `chrome_trace` and `speedscope`, the latest ones; each takes
            about 120 bytes and 50 ns.
        clock: what gives the time in seconds.

    Raises:
        NotALoop: something else was given, a class of loops for instance.
        BadSetting: `keep_calls` is not a number from 0 up.
    """

    def __init__(self, loop: Loop, *, keep_calls: int = 0, clock: Clock = time.perf_counter) -> None:
        if not isinstance(keep_calls, int) or isinstance(keep_calls, bool) or keep_calls < 0:
            raise BadSetting(
                f"keep_calls={keep_calls!r}: a number of calls fits, as Profile(loop, keep_calls=100_000)."
            )
        self.loop = given_loop(loop, "Profile")
        self._clock = clock
        self._kept: deque[tuple[int, float, float]] = deque(maxlen=keep_calls)
        self._watch = Stopwatch(clock, self._kept.append if keep_calls else None)
        self._final: Timings | None = None  # as it was when the `with` ended
        self._undo: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        if self._undo is not None:
            raise AlreadyWatching(f"This Profile watches {self.loop.path} already. Make a second one: Profile(loop).")
        self._final = None
        others = {watcher.name for watcher in watchers(self.loop) if isinstance(watcher, Stopwatch)}
        self._watch.name = free_name("profile", others)
        self._undo = self.loop.watch(self._watch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._undo is not None
        self._undo()
        self._undo = None
        if self._watch.plan is not None:
            self._final = self._now()

    # what it tells

    def __str__(self) -> str:
        if self._watch.plan is None:
            return f"{self.loop.path}: nothing was run"
        return table(self._now())

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the tree with its times and bars."""
        text = str(self)
        html = element("tree", f"<p>{escape(text)}</p>") if self._watch.plan is None else timings_html(self._now())
        return {"text/plain": text, "text/html": html}

    def __getitem__(self, path: str) -> Timing:
        """The times of a loop, phase, hook or callback, by its path from the root or from the loop watched.

        `p["learner.update.on_loss"]` adds up all phases, `p["learner.train.on_collect"]` is of one; `p["learner.clip"]`
        adds up all hooks of a callback.

        Raises:
            NoSuchTiming: the path leads to nothing; the message has the nearest that does.
        """
        timings = self._now()
        found = timings.asked(path)
        if found is None:
            paths = timings.paths()
            close = next((each for each in paths if each.endswith(f".{path}")), None) or nearest(path, paths)
            fits = f"Nearest is {close!r}." if close else f"Paths begin with {timings.plan.path!r}."
            raise NoSuchTiming(f"No loop, phase, callback or hook is at {path!r}. {fits}")
        return found

    def __iter__(self) -> Iterator[Timing]:
        """The times of every line, in the order of the tree."""
        return iter(self._now())

    @property
    def total_s(self) -> float:
        """Seconds in runs of the loop watched, and in runs of loops below it that were called on their own."""
        return self._now().total_s

    @property
    def dropped_calls(self) -> int:
        """Calls that were timed and are not kept (any more) for `chrome_trace` and `speedscope`."""
        return sum(meter.calls for meter in self._watch.meters.values()) - len(self._kept)

    def csv(self) -> str:
        """A row for each line of the tree: path, kind, calls, seconds, share (0 to 1), place."""
        return csv_text(self._now())

    def json(self) -> str:
        """The tree with its times as nested JSON objects; times in seconds, shares from 0 to 1."""
        return json_text(self._now())

    def chrome_trace(self) -> str:
        """The calls kept as a Chrome trace, which Perfetto (ui.perfetto.dev) opens.

        Raises:
            NoTimeline: no calls were to be kept.
        """
        return chrome_trace(self._slices(), self.loop.path, self.dropped_calls)

    def speedscope(self) -> str:
        """The calls kept as JSON for speedscope (speedscope.app).

        Raises:
            NoTimeline: no calls were to be kept.
        """
        return speedscope(self._slices(), self.loop.path)

    def save_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write `csv` to a file. Raises CannotSave, and leaves nothing half-written, where that cannot be."""
        return save_whole(self.csv(), path)

    def save_json(self, path: str | os.PathLike[str]) -> Path:
        """Write `json` to a file; see `save_csv`."""
        return save_whole(self.json(), path)

    def save_chrome_trace(self, path: str | os.PathLike[str]) -> Path:
        """Write `chrome_trace` to a file; see `save_csv`."""
        return save_whole(self.chrome_trace(), path)

    def save_speedscope(self, path: str | os.PathLike[str]) -> Path:
        """Write `speedscope` to a file; see `save_csv`."""
        return save_whole(self.speedscope(), path)

    def _now(self) -> Timings:
        if self._final is not None:
            return self._final
        return Timings(self._watch.plan or self.loop.plan, self._watch.meters, self._clock())

    def _slices(self) -> list[Slice]:
        """The calls kept and the runs under way, those that hold others before them."""
        if not self._kept.maxlen:
            raise NoTimeline("This Profile kept no single calls. Write Profile(loop, keep_calls=100_000).")
        now_s = self._clock()
        meters = self._watch.meters.values()
        running = [(each.number, each.since_s, now_s) for each in meters if each.since_s is not None]
        calls = [*self._kept, *reversed(running)]
        first_s = min((began_s for _, began_s, _ in calls), default=0.0)
        inside_out = enumerate(calls)
        in_time = sorted(inside_out, key=lambda call: (call[1][1], -call[1][2], -call[0]))
        return [self._slice(*call, first_s) for _, call in in_time]

    def _slice(self, number: int, began_s: float, ended_s: float, first_s: float) -> Slice:
        part = self._watch.counted[number]
        began_ns, ended_ns = round((began_s - first_s) * 1e9), round((ended_s - first_s) * 1e9)
        if isinstance(part, HookPlan):
            name = f"{part.owner.rpartition('.')[2]}.{part.name}"
            return Slice(name, "hook", f"{part.owner}.{part.name}", part.source, began_ns, ended_ns)
        return Slice(part.name, "loop", part.path, part.source, began_ns, ended_ns)
