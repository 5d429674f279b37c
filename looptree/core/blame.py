"""Who it was: from tracebacks and frames to the hooks that raised, called, or are running.

Nothing is recorded while loops run. A generated line knows the hook that stands on it, so a traceback tells all.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from looptree.core.compiled import Compiled, generated
from looptree.core.signals import Cancel


def entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    """The entries of a traceback, from the outermost frame in."""
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def hook_label(hook: Callable[[], object]) -> str:
    """A hook that was handed over to a helper, as `Class.hook`; an inner loop as its path."""
    function = getattr(hook, "__wrapped__", hook)
    owner = getattr(function, "__self__", None)
    if owner is None:
        return str(getattr(function, "__name__", "an inner loop"))
    return f"{type(owner).__name__}.{function.__name__}"


def blame(error: BaseException) -> str:
    """The hook in which an exception was raised, as `Class.hook`; else the function that generated code called."""
    if isinstance(error, Cancel) and error._by:
        return error._by
    label = ""
    found = list(entries(error.__traceback__))
    for entry, below in itertools.zip_longest(found, found[1:]):
        compiled = generated(entry.tb_frame.f_code)
        if compiled is not None:
            loop = compiled.loop_of(entry.tb_frame.f_code.co_name)
            raised, by = getattr(loop, "_raised", None) or (None, "")
            label = by if raised is error else compiled.label_at(entry.tb_lineno)
            if not label and below is not None:
                label = _method(below)
    return label


def caller() -> str:
    """The hook that is running now, as `Class.hook`; else the function outside looptree that called in."""
    frame: FrameType | None = sys._getframe(2)
    outside = frame.f_code.co_name if frame is not None else ""
    handed = None
    while frame is not None:
        compiled = generated(frame.f_code)
        if compiled is not None:
            return (hook_label(handed) if handed else compiled.label_at(frame.f_lineno)) or outside
        if frame.f_code.co_name == "call_all" and frame.f_globals.get("call_all") is not None:
            handed = frame.f_locals["hook"]
        frame = frame.f_back
    return outside


def running_events(error: BaseException) -> list[str]:
    """The names of all events that are running where an exception is met, the innermost first."""
    inside = [(entry.tb_frame, entry.tb_lineno) for entry in entries(error.__traceback__)]
    outside = []
    frame = inside[0][0].f_back if inside else None
    while frame is not None:
        outside.append((frame, frame.f_lineno))
        frame = frame.f_back
    names = [name for each, line in (*inside[::-1], *outside) for name in _events_at(each, line)]
    return list(dict.fromkeys(names))


def _events_at(frame: FrameType, line: int) -> list[str]:
    """The event that a line of generated code is about, and those around it in the same loop."""
    compiled = generated(frame.f_code)
    event = compiled.event_at(line) if compiled is not None else None
    if compiled is None or event is None:
        return []
    loop = compiled.loop_of(frame.f_code.co_name)
    around = ["phase", "pass", "run"] if loop is not None and loop.phases else ["pass", "run"]
    return around[around.index(event) :] if event in around else [event, *around]


def event_left(error: BaseException) -> str | None:
    """The event in which the loop was that an exception is leaving."""
    entry = error.__traceback__
    compiled = generated(entry.tb_frame.f_code) if entry is not None else None
    return compiled.event_at(entry.tb_lineno) if compiled is not None and entry is not None else None


def left_runs(error: BaseException) -> list[tuple[FrameType, Any]]:
    """The runs that an exception has left so far, from the outermost in: the frame of each, and its loop."""
    frames = [entry.tb_frame for entry in entries(error.__traceback__)]
    found: list[tuple[FrameType, Compiled | None]] = [(frame, generated(frame.f_code)) for frame in frames]
    runs = [(frame, compiled.loop_of(frame.f_code.co_name)) for frame, compiled in found if compiled is not None]
    return [(frame, loop) for frame, loop in runs if loop is not None]


def broke_off(error: BaseException) -> bool:
    """Whether an exception is the consumer of a pulled loop who wants no more: thrown in at a `yield`, by no hook."""
    return isinstance(error, GeneratorExit) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def _method(entry: TracebackType) -> str:
    """A method as `Class.method`, with the class of the object it was called on; helpers of looptree's are skipped."""
    while entry.tb_frame.f_globals.get("call_all") is not None and entry.tb_next is not None:
        entry = entry.tb_next
    owner = entry.tb_frame.f_locals.get("self")
    name = entry.tb_frame.f_code.co_name
    return f"{type(owner).__name__}.{name}" if owner is not None else name
