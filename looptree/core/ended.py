"""How a run ended, in one sentence."""

from __future__ import annotations

from types import FrameType
from typing import Any

from looptree.core.blame import blame, left_runs
from looptree.core.signals import Cancel

_WORDS = {
    "stopped": "stopped by",
    "cancelled": "cancelled by",
    "failed": "failed in",
    "recovered": "recovered from",
}


_TOLD = "__looptree_told__"


class _Told(set[FrameType]):
    """The runs that an exception has left and told so. They stay where they are: a copy of it, in another process say,
    has left none."""

    def __reduce__(self) -> tuple[type[_Told], tuple[()]]:
        return _Told, ()


def settle(error: BaseException, below: bool = False) -> None:
    """Let every loop whose run an exception has left say so, once a run; with `below`, all but the outermost, whose
    level still decides."""
    how, why = ("cancelled", error.reason) if isinstance(error, Cancel) else ("failed", in_words(error))
    label = blame(error)
    told = error.__dict__.setdefault(_TOLD, _Told())
    left = left_runs(error)
    for run, loop in left:
        if run not in told and not (below and loop is left[0][1]):
            told.add(run)
            loop._ended = how, label, why


def let_go(cancel: Cancel) -> None:
    """A Cancel ends here. The same one may be raised again, on every pass say, and then knows nothing of this time."""
    cancel.with_traceback(None)._met = False
    cancel.__dict__.pop(_TOLD, None)


def in_words(error: BaseException) -> str:
    """An exception as `ValueError: what it says`, or its class alone."""
    name = type(error).__name__
    try:
        said = str(error)
    except Exception as second:  # of a class's own __str__; the failure to be told of is the first
        said = f"(its __str__ raised {type(second).__name__})"
    return f"{name}: {said}" if said else name


def sentence(loop: Any) -> str:
    """How the last run of a loop ended."""
    if loop.index is None:
        return "not run yet"
    if loop._ended is None:
        return _ran_all(loop)
    how, label, why = loop._ended
    if how == "left":
        return f"the consumer broke off after {_passes(loop.index + 1)}"
    return f"{_WORDS[how]} {label or 'something outside'}" + (f": {why}" if why else "")


def _ran_all(loop: Any) -> str:
    if loop._running:
        return f"still running, after {_passes(loop.count - loop._first)}"
    done = loop.index + 1
    return {0: "ran no items: there were none", 1: "ran its only item"}.get(done, f"ran all {done:,} items")


def _passes(number: int) -> str:
    return "1 pass" if number == 1 else f"{number:,} passes"
