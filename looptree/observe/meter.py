"""Meters: what the lines that a Profile puts into the generated code count up."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
Keep = Callable[[tuple[int, float, float]], None]


class Meter:
    """Calls and seconds of one hook, of one place where an inner loop is called, or of the runs of one loop that were
    called at no such place.

    Of a loop that is running, `since_s` is when it began. While a loop that is gone over with `for` waits for its
    consumer, `away_s` is since when; afterwards `since_s` is moved on by the time that it waited. `run` is, for a place
    where an inner loop is called, the meter of that loop, and `number` is that loop's.
    """

    __slots__ = ("away_s", "calls", "number", "run", "since_s", "total_s")

    def __init__(self, number: int, run: Meter | None = None) -> None:
        self.number = number
        self.run = run
        self.calls = 0
        self.total_s = 0.0
        self.since_s: float | None = None
        self.away_s: float | None = None

    def running_s(self, now_s: float) -> float:
        """Seconds of the run that is under way; 0 where none is."""
        if self.since_s is None:
            return 0.0
        return (now_s if self.away_s is None else self.away_s) - self.since_s


class Timed:
    """A `failed_` or `finally_` hook, or an inner loop called there, timed when one of the engine's helpers calls
    it."""

    def __init__(self, hook: Callable[[], object], meter: Meter, clock: Clock, keep: Keep | None) -> None:
        self.__wrapped__ = getattr(hook, "__wrapped__", hook)
        self._hook = hook
        self._meter = meter
        self._clock = clock
        self._keep = keep

    def __call__(self) -> None:
        began_s = self._clock()
        if self._meter.run is not None:
            self._meter.run.since_s = began_s
        try:
            self._hook()
        finally:
            ended_s = self._clock()
            self._meter.total_s += ended_s - began_s
            self._meter.calls += 1
            if self._meter.run is not None:
                self._meter.run.since_s = None
            if self._keep is not None:
                self._keep((self._meter.number, began_s, ended_s))
