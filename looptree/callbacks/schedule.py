"""Schedule: set a field of any loop by a function of how far the training is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from looptree.callbacks.fields import find_owner
from looptree.core.callback import Callback
from looptree.core.errors import BadSetting

Curve = Callable[[float], Any]


class Schedule(Callback):
    """Sets `field` before each pass of its loop to `curve(over)`.

        Learner(cbs=Schedule("epsilon", linear(1.0, 0.04, 8000)))
        DQN(cbs=Schedule("epsilon", linear(1.0, 0.04, 8000), over="env_steps"))

    Args:
        field: a name, or the end of a path; the loop or callback that has the field (see `find_owner`) is found when a
            run begins.
        curve: a function of one number.
        over: the field that the curve is a function of; by default the passes that the schedule's loop has done in its
            life. A run that is continued goes on where it was, so a schedule has no state of its own.

    Raises:
        BadSetting: `curve` is no function.
        NoSuchField: when a run begins, where no loop or callback of the tree has `field`, or `over`.
    """

    def __init__(self, field: str, curve: Curve, over: str = "count") -> None:
        if not callable(curve):
            raise BadSetting(
                f"Schedule({field!r}, {curve!r}): a function of {over!r} would fit, such as linear(1.0, 0.0, 1000)."
            )
        self.field = field
        self.curve = curve
        self.over = over
        self._owner: Any = None
        self._clock: Any = None

    def before_run(self) -> None:
        """Find whose fields they are."""
        self._owner = find_owner(self.loop, self.field)
        self._clock = find_owner(self.loop, self.over)

    def before_pass(self, _order: int = -100) -> None:
        """Set the field, before any other hook of the pass looks at it."""
        now = getattr(self._clock, self.over.rpartition(".")[2])
        setattr(self._owner, self.field.rpartition(".")[2], self.curve(now))

    def finally_run(self) -> None:
        """Forget whose fields they are: the tree may be another one in the next run."""
        self._owner = self._clock = None


@dataclass(frozen=True)
class linear:
    """In a straight line from `start` at 0 to `end` at `steps` (in the unit of `Schedule`'s `over`), then constant."""

    start: float
    end: float
    steps: float

    def __post_init__(self) -> None:
        _check_steps(self)

    def __call__(self, now: float) -> float:
        return self.start + (self.end - self.start) * _share(now, self.steps)


@dataclass(frozen=True)
class cosine:
    """Along half a cosine wave, gently at both ends, from `start` at 0 to `end` at `steps`, then constant."""

    start: float
    end: float
    steps: float

    def __post_init__(self) -> None:
        _check_steps(self)

    def __call__(self, now: float) -> float:
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * _share(now, self.steps))) / 2


@dataclass(frozen=True)
class exponential:
    """By the same factor at each step from `start` at 0 to `end` at `steps`, then constant; both have one sign."""

    start: float
    end: float
    steps: float

    def __post_init__(self) -> None:
        _check_steps(self)
        if not self.start * self.end > 0:
            raise BadSetting(f"{self}: no factor leads from {self.start!r} to {self.end!r}; linear(...) would fit.")

    def __call__(self, now: float) -> float:
        return float(self.start * (self.end / self.start) ** _share(now, self.steps))


def _share(now: float, steps: float) -> float:
    """How much of the way is done, from 0 to 1."""
    return min(max(now / steps, 0.0), 1.0)


def _check_steps(curve: linear | cosine | exponential) -> None:
    if not curve.steps > 0:
        raise BadSetting(f"{curve}: steps is how long the way takes, a number above 0.")
