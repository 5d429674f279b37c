"""How a run ended, in one sentence."""

from __future__ import annotations

from typing import Any

from looptree.core.blame import blame, left_loops

_WORDS = {
    "stopped": "stopped by",
    "cancelled": "cancelled by",
    "failed": "failed in",
    "recovered": "recovered from",
}


def settle(error: BaseException, how: str, why: str, below: bool = False) -> None:
    """Let every loop that an exception has left say so, once; with `below`, all but the outermost, whose level still
    decides."""
    label = blame(error)
    told: list[Any] = error.__dict__.setdefault("__looptree_told__", [])
    for loop in left_loops(error)[1 if below else 0 :]:
        if not any(loop is each for each in told):
            told.append(loop)
            loop._ended = how, label, why


def in_words(error: BaseException) -> str:
    """An exception as `ValueError: what it says`, or its class alone."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


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
