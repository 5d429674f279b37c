"""What the generated code calls: where runs begin, and what happens when a level is left by an exception.

The generated code is plain `for` and `try`. It calls these helpers where a run begins (`enter` and `items`, or `clear`
where it is one pass), in the `except` and `finally` of a level (`leaves`, `finish`), and at the end of a pass when
something was asked of the loop (`changed`, then `resume`). None of them is on the path of a pass in which nothing
happens.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Literal

from looptree.core.blame import blame, broke_off, event_left, hook_label, running_events
from looptree.core.callback import Callback
from looptree.core.ended import in_words, let_go, settle
from looptree.core.errors import UnknownEvent, listed, nearest
from looptree.core.node import ancestry
from looptree.core.signals import Cancel

Finalizer = Callable[[], object]
Handed = Finalizer | Literal[False]  # False stands for one that is filtered out on this pass


def enter(loop: Any) -> None:
    """A run of the loop begins."""
    if loop._marked:
        clear(loop)
    above = loop.parent
    loop.phase = above.phase if above is not None else None
    loop.index = -1
    loop._first = loop.count


def clear(loop: Any) -> None:
    """Forget what happened in the last run, or was asked of the loop since, and left its mark."""
    loop.error = loop._failure = loop._raised = loop._recovering = loop._stopped = loop._ended = None
    loop._pending = loop._handed_on = loop._marked = False


def items(loop: Any) -> Iterator[tuple[int, int, Any]]:
    """What this run goes over: the loop's `items()`, at most `times` of them, with the numbers of the passes in this
    run and in the loop's life."""
    if loop._stopped is not None:
        loop._ended = ("stopped", *loop._stopped)
        return iter(())
    found = loop.items()
    if loop._own_items and loop.planned not in (None, math.inf):
        found = itertools.islice(found, loop.planned)
    return zip(itertools.count(), itertools.count(loop.count), found)


def leaves(loop: Any, error: BaseException, *events: str, failed: Sequence[Handed] = ()) -> bool:
    """Whether an exception that leaves a level (named by its events) ends there: a Cancel of it, or a recovery.

    A failure runs the level's `failed_` hooks first; second errors become notes of the first.
    """
    loop._marked = True
    if (loop._handed_on and "run" in events) or broke_off(error):
        return False  # newer code has seen to the end of this run, or a consumer wants no more: no failure
    _out_of_phases(loop, events)
    if "run" in events and event_left(error) == "run":
        loop.count = loop._first + loop.index + 1  # raised between passes: all that began are done
    unknown = _unknown_event(error) if isinstance(error, Cancel) else None
    if isinstance(error, Cancel) and unknown is None:
        return _cancelled(loop, error, events)
    problem = unknown or error
    second_errors = _fail(loop, problem, failed)
    if loop._recovering is problem:
        _recovered(loop, problem, events, second_errors)
        if "pass" in events or "run" in events:
            return True
        problem = Cancel("pass", met=True)
    if problem is not error:
        raise problem
    return False


def finish(loop: Any, *events: str, hooks: Sequence[Handed]) -> BaseException | None:
    """Run all `finally_` hooks of a level, whatever they raise, and return what is to be raised after that.

    Errors become notes of the failure that left the level; where there is none, they go on, several as a group. A
    Cancel of this level has nothing left to do, one of a level further out goes on.
    """
    if loop._handed_on and "run" in events:
        return None
    _out_of_phases(loop, events)
    raised = call_all(loop, hooks)
    return _left_over(loop, events, raised) if raised else None


def _left_over(
    loop: Any, events: tuple[str, ...], raised: list[tuple[Finalizer, BaseException]]
) -> BaseException | None:
    """Of what `finally_` hooks raised, what is to be raised after them."""
    errors: list[BaseException] = []
    cancels: list[BaseException] = []
    for hook, second in raised:
        error = (_unknown_event(second) or second) if isinstance(second, Cancel) else second
        if loop._failure is not None:
            _note(loop._failure, hook, error)
        elif not isinstance(error, Cancel):
            errors.append(error)
            loop._raised = error, hook_label(hook)
        elif error.event is not None and error.event not in events:
            cancels.append(error)
        else:
            let_go(error)
    loop._marked = True
    if len(errors) > 1:
        group = BaseExceptionGroup(f"several finally_{events[0]} hooks of {loop.path} failed", errors)
        loop._raised = group, f"finally_{events[0]} hooks of {loop.path}"
        return group
    return next(iter((*errors, *cancels)), None)


def changed(loop: Any) -> bool:
    """What was asked of the loop, at the end of a pass: False to end (`stop`), True to go on in new code."""
    loop._pending = False
    if loop._stopped is not None:
        loop._ended = ("stopped", *loop._stopped)
        return False
    loop.root._bound()
    return True


def resume(loop: Any, passes: Iterator[tuple[int, int, Any]]) -> None:
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


def repull(loop: Any, passes: Iterator[tuple[int, int, Any]]) -> Generator[Any, None, None]:
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


def _fail(loop: Any, error: BaseException, failed: Iterable[Handed]) -> list[BaseException]:
    """Run the `failed_` hooks of a level, and return what they raised themselves."""
    levels = list(ancestry(loop))
    loop._failure = error
    settle(error, below=True)
    raised: list[BaseException] = []
    for hook in failed:
        for level in levels:
            level.error, level._may_recover = error, True
        for _, second in call_all(loop, [hook]):
            _note(error, hook, second)
            raised.append(second)
    for level in levels:
        level.error, level._may_recover, level._marked = error, False, True
    return raised


def _recovered(loop: Any, error: BaseException, events: tuple[str, ...], seconds: list[BaseException]) -> None:
    """The failure ends here; errors that would be lost with it go on in its place."""
    loop._recovering = loop._failure = None
    for level in ancestry(loop):
        level.error = None
    if "run" in events:
        loop.count = loop._first + loop.index + 1
        loop._ended = "recovered", blame(error), in_words(error)
    interrupts = [second for second in _noted(error) if not isinstance(second, Exception | Cancel)]
    lost = list(dict.fromkeys([*interrupts, *(second for second in seconds if not isinstance(second, Cancel))]))
    if lost:
        loop._failure = lost[0] if len(lost) == 1 else BaseExceptionGroup("several failed_ hooks failed", lost)
        raise loop._failure


def call_all(loop: Any, hooks: Iterable[Handed]) -> list[tuple[Finalizer, BaseException]]:
    """Call every hook, and return those that raised, with what they raised."""
    raised: list[tuple[Finalizer, BaseException]] = []
    for hook in hooks:
        if hook is False:
            continue
        owner = getattr(hook, "__self__", None)
        if owner is None:  # a watcher has wrapped it, or it is an inner loop
            owner = getattr(getattr(hook, "__wrapped__", None), "__self__", None)
        if isinstance(owner, Callback):
            owner.loop = loop
        try:
            hook()
        except BaseException as error:
            shown = error.__traceback__.tb_next if error.__traceback__ is not None else None
            raised.append((hook, error.with_traceback(shown)))  # without this frame
            settle(error)
    return raised


def _note(first: BaseException, hook: Handed, second: BaseException) -> None:
    if hook is not False:
        first.add_note(f"After that {hook_label(hook)} raised {in_words(second)}")
    first.__dict__.setdefault(_NOTED, []).append(second)


def _noted(first: BaseException) -> list[BaseException]:
    """The second errors that were attached to a failure on its way, which ends here."""
    return list(first.__dict__.pop(_NOTED, ()))


_NOTED = "__looptree_second_errors__"


# leaving


def _out_of_phases(loop: Any, events: tuple[str, ...]) -> None:
    """Outside of its phases a loop is in the phase in which it was called."""
    if events[0] in ("pass", "run"):
        loop.phase = loop.parent.phase if loop.parent is not None else None


def _cancelled(loop: Any, cancel: Cancel, events: tuple[str, ...]) -> bool:
    ends = cancel.event is None or cancel.event in events
    if "run" in events:
        loop.count = loop._first + loop.index + 1  # the pass that was left is done
        loop._ended = "cancelled", blame(cancel), cancel.reason
    if ends:
        settle(cancel, below=True)
        let_go(cancel)
    return ends


def _unknown_event(cancel: Cancel) -> UnknownEvent | None:
    """The error of naming an event that is not running, where a Cancel is first met."""
    if cancel.event is None or cancel._met:
        return None
    cancel._met = True
    running = running_events(cancel)
    if cancel.event in running:
        return None
    close = nearest(cancel.event, running)
    unknown = UnknownEvent(
        f"Cancel({cancel.event!r}) by {blame(cancel)} names no event that is running; running are {listed(running)}."
        f" Write Cancel({close or running[0]!r})."
    )
    return unknown.with_traceback(cancel.__traceback__)
