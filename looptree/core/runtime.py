"""What the generated code calls: where runs begin, and what happens when a level is left by an exception.

The generated code is plain `for` and `try`. It calls these helpers where a run begins (`enter`, `items`), in the
`except` and `finally` of a level (`leaves`, `finish`), and at the end of a pass when something was asked of the loop
(`changed`, then `resume`). None of them is on the path of a pass in which nothing happens.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal

from looptree.core.callback import Callback
from looptree.core.compiled import Compiled, generated
from looptree.core.errors import UnknownEvent, listed, nearest
from looptree.core.node import ancestry
from looptree.core.signals import Cancel

Finalizer = Callable[[], object]
Handed = Finalizer | Literal[False]  # False stands for one that is filtered out on this pass


def enter(loop: Any) -> None:
    """A run of the loop begins."""
    above = loop.parent
    loop.phase = above.phase if above is not None else None
    loop.index = -1
    loop.error = loop._failure = loop._stopped = loop._ended = None
    loop._pending = loop._recovering = loop._handed_on = False
    loop._first = loop.count


def items(loop: Any) -> Iterator[tuple[int, Any]]:
    """What this run goes over, numbered: the loop's `items()`, at most `times` of them."""
    if loop._stopped is not None:
        return enumerate(())
    times = loop._run_times if loop._run_times is not None else loop.times
    found = loop.items()
    if times is not None and times != float("inf"):
        found = itertools.islice(found, times)
    return enumerate(found)


def leaves(loop: Any, error: BaseException, *events: str, failed: Sequence[Handed] = ()) -> bool:
    """Whether an exception that leaves a level (named by its events) ends there: a Cancel of it, or a recovery.

    A failure runs the level's `failed_` hooks first; second errors become notes of the first.
    """
    if loop._handed_on and "run" in events:
        return False  # newer code has seen to the end of this run
    if isinstance(error, GeneratorExit):
        return False  # the consumer of a pulled loop broke off, which is no failure
    if isinstance(error, Cancel):
        unknown = _unknown_event(error)
        if unknown is None:
            return _cancelled(loop, error, events)
        _fail(loop, unknown, failed)
        raise unknown
    _fail(loop, error, failed)
    if not loop._recovering:
        return False
    _recovered(loop, error, events)
    if "pass" in events or "run" in events:
        return True
    raise Cancel("pass")


def finish(loop: Any, *events: str, hooks: Sequence[Handed]) -> None:
    """Run all `finally_` hooks of a level, whatever they raise.

    Errors become notes of the failure that left the level; where there is none, they are raised, several as a group.
    A Cancel of this level has nothing left to do, one of a level further out goes on.
    """
    if loop._handed_on and "run" in events:
        return
    errors, cancels = [], []
    for hook, error in _call_all(loop, hooks):
        if isinstance(error, Cancel):
            if error.event is not None and error.event not in events:
                cancels.append(error)
        elif loop._failure is not None:
            _note(loop._failure, hook, error)
        else:
            errors.append(error)
    if len(errors) > 1:
        raise BaseExceptionGroup(f"several finally_{events[0]} hooks of {loop.path} failed", errors)
    for error in (*errors, *cancels):
        shown = error.__traceback__.tb_next if error.__traceback__ is not None else None
        raise error.with_traceback(shown.tb_next if shown is not None else None)


def changed(loop: Any) -> bool:
    """What was asked of the loop, at the end of a pass: False to end (`stop`), True to go on in new code."""
    loop._pending = False
    if loop._stopped is not None:
        loop._ended = ("stopped", *loop._stopped)
        return False
    loop.root._bound()
    return True


def resume(loop: Any, passes: Iterator[tuple[int, Any]]) -> None:
    """Go on with the passes that are left in the code made after a change.

    Code that is replaced again while it runs here returns at once, so that no number of changes nests deeper.
    """
    if loop._resuming:
        loop._handed_on = True
        return
    loop._resuming = loop._handed_on = True
    try:
        while loop._handed_on:
            loop._handed_on = False
            loop._go(passes)
    finally:
        loop._resuming = False
        loop._handed_on = True


def repull(loop: Any, passes: Iterator[tuple[int, Any]]) -> Generator[Any, None, None]:
    """As `resume`, for a loop that is pulled."""
    if loop._resuming:
        loop._handed_on = True
        return
    loop._resuming = loop._handed_on = True
    try:
        while loop._handed_on:
            loop._handed_on = False
            yield from loop._pulled()(passes)
    finally:
        loop._resuming = False
        loop._handed_on = True


# failing


def _fail(loop: Any, error: BaseException, failed: Iterable[Handed]) -> None:
    loop._failure = error
    for level in ancestry(loop):
        level.error = error
    for hook, second in _call_all(loop, failed):
        _note(error, hook, second)


def _recovered(loop: Any, error: BaseException, events: tuple[str, ...]) -> None:
    loop._recovering = False
    loop._failure = None
    for level in ancestry(loop):
        level.error = None
    settle(error, "failed", f"{type(error).__name__}: {error}", below=True)
    if "run" in events:
        loop.count = loop._first + loop.index + 1
        loop._ended = "recovered", blame(error.__traceback__), f"{type(error).__name__}: {error}"


def _call_all(loop: Any, hooks: Iterable[Handed]) -> list[tuple[Finalizer, BaseException]]:
    """Call every hook, and return those that raised, with what they raised."""
    raised: list[tuple[Finalizer, BaseException]] = []
    for hook in hooks:
        if hook is False:
            continue
        owner = getattr(getattr(hook, "__wrapped__", hook), "__self__", None)
        if isinstance(owner, Callback):
            owner.loop = loop
        try:
            hook()
        except BaseException as error:
            raised.append((hook, error))
    return raised


def _note(first: BaseException, hook: Finalizer, second: BaseException) -> None:
    function = getattr(hook, "__wrapped__", hook)
    owner = getattr(function, "__self__", None)
    label = f"{type(owner).__name__}.{function.__name__}" if owner is not None else blame(second.__traceback__)
    first.add_note(f"After that {label} raised {type(second).__name__}: {second}")


# leaving


def _cancelled(loop: Any, cancel: Cancel, events: tuple[str, ...]) -> bool:
    ends = cancel.event is None or cancel.event in events
    if "run" in events:
        loop.count = loop._first + loop.index + 1  # the pass that was left is done
        loop._ended = "cancelled", blame(cancel.__traceback__), cancel.reason
    if ends:
        settle(cancel, "cancelled", cancel.reason, below=True)
    return ends


def _unknown_event(cancel: Cancel) -> UnknownEvent | None:
    """The error of naming an event that is not running, where a Cancel is first met."""
    if cancel.event is None or cancel._met:
        return None
    cancel._met = True
    running = list(dict.fromkeys(_running_events(cancel.__traceback__)))
    if cancel.event in running:
        return None
    close = nearest(cancel.event, running)
    return UnknownEvent(
        f"Cancel({cancel.event!r}) by {blame(cancel.__traceback__)} names no event that is running; running are"
        f" {listed(running)}. Write Cancel({close or running[0]!r})."
    )


def _running_events(traceback: TracebackType | None) -> Iterator[str]:
    """The names of all events that are running where a Cancel is met, the innermost first."""
    inside = [(entry.tb_frame, entry.tb_lineno) for entry in _entries(traceback)]
    outside = []
    frame = inside[0][0].f_back if inside else None
    while frame is not None:
        outside.append((frame, frame.f_lineno))
        frame = frame.f_back
    for each, line in (*inside[::-1], *outside):
        compiled = generated(each.f_code)
        step = compiled.step_at(line) if compiled is not None else None
        if step is not None:
            frames = {"run": ("run",), "pass": ("pass", "run"), "phase": ("phase", "pass", "run")}
            yield from frames.get(step.event, (step.event, "phase", "pass", "run"))


# who it was


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def blame(traceback: TracebackType | None) -> str:
    """The hook in which an exception was raised, as `Class.hook`; else the function that generated code called."""
    label, helper = "", False
    for entry in _entries(traceback):
        compiled = generated(entry.tb_frame.f_code)
        if compiled is not None:
            step = compiled.step_at(entry.tb_lineno)
            label, helper = (step.label, False) if step is not None else ("", True)
        elif helper and entry.tb_frame.f_globals is not globals():
            owner = entry.tb_frame.f_locals.get("self")
            name = entry.tb_frame.f_code.co_name
            label, helper = (f"{type(owner).__name__}.{name}" if owner is not None else name), False
    return label


def caller() -> str:
    """The hook that is running now, as `Class.hook`; else the function outside looptree that called in."""
    frame = sys._getframe(2)
    outermost = frame.f_code.co_name
    current: Any = frame
    while current is not None:
        compiled = generated(current.f_code)
        step = compiled.step_at(current.f_lineno) if compiled is not None else None
        if step is not None:
            return step.label
        current = current.f_back
    return outermost


def settle(error: BaseException, how: str, why: str, below: bool = False) -> None:
    """Let every loop that an exception left say so: all those in its traceback, or only those below the first."""
    label = blame(error.__traceback__)
    frames = [entry.tb_frame for entry in _entries(error.__traceback__) if generated(entry.tb_frame.f_code)]
    for frame in frames[1:] if below else frames:
        compiled: Compiled | None = generated(frame.f_code)
        loop = compiled.loop_of(frame.f_code.co_name) if compiled is not None else None
        if loop is not None and loop._ended is None:
            loop._ended = how, label, why


def broke_off(loop: Any) -> None:
    """Let a pulled loop say that its consumer wanted no more."""
    loop._ended = loop._ended or ("left", "", f"the consumer broke off after {_passes(loop.index + 1)}")


def sentence(loop: Any) -> str:
    """How the last run of a loop ended."""
    if loop.index is None:
        return "not run yet"
    how, label, why = loop._ended or ("done", "", "")
    if how == "left":
        return why
    if how == "done":
        if loop._running:
            return f"still running, after {_passes(loop.count - loop._first)}"
        done = loop.index + 1
        return {0: "ran no items: there were none", 1: "ran its only item"}.get(done, f"ran all {done} items")
    who = {
        "stopped": "stopped by",
        "cancelled": "cancelled by",
        "failed": "failed in",
        "recovered": "recovered from",
    }
    return f"{who[how]} {label or 'something outside'}" + (f": {why}" if why else "")


def _passes(number: int) -> str:
    return "1 pass" if number == 1 else f"{number} passes"
