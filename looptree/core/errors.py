"""Every error and warning that looptree's core raises: what was given, what would fit, the line to write."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any


class LooptreeError(Exception):
    """The base of every error that looptree raises itself."""


class AlreadyRunning(LooptreeError):
    """A run was asked of a tree of loops in which one is under way."""


class NameClash(LooptreeError):
    """A loop or callback was added under a name that its new parent already uses for something else."""


class NotALoop(LooptreeError):
    """Something else was given where a loop, or a class of loops, belongs."""


class NotACallback(LooptreeError):
    """Something else was given where a callback, or a class of callbacks, belongs."""


class NotAttached(LooptreeError):
    """A loop or callback was to be removed from a loop that does not hold it."""


class BadSetting(LooptreeError, ValueError):
    """A constructor or run was given a value that it cannot use."""


class CannotRecover(LooptreeError):
    """`recover()` was called where there is no failure, or on one that must go on (Ctrl-C, SystemExit)."""


class UnknownEvent(LooptreeError):
    """`Cancel` named an event that is not running."""


class StateMismatch(LooptreeError):
    """A state dict does not belong to the loop that it was loaded into."""


class NoSuchField(LooptreeError, AttributeError):
    """A field was read that neither the loop or callback itself nor any loop above it has.

    The message is put together when it is read: most of these errors only tell `hasattr` no.
    """

    def __init__(self, message: str | Callable[[], str]) -> None:
        super().__init__(message)
        self._message = message

    def __str__(self) -> str:
        return self._message if isinstance(self._message, str) else self._message()

    def __reduce__(self) -> tuple[type[NoSuchField], tuple[str]]:
        return type(self), (str(self),)


class FieldWarning(UserWarning):
    """A hook assigns a field that shadows an ancestor's, or reads one that nobody writes or declares; or it runs in a
    phase in which there is nothing for it, or is none for a letter in its name."""


class BindingError(LooptreeError):
    """The tree cannot run as it is; `findings` has every `Finding`."""

    def __init__(self, findings: Iterable[Any]) -> None:
        self.findings = tuple(findings)
        super().__init__(self.findings)

    def __str__(self) -> str:
        count = len(self.findings)
        head = "1 thing is" if count == 1 else f"{count} things are"
        listed = "\n".join(f"  {number}. {finding}" for number, finding in enumerate(self.findings, 1))
        return f"{head} wrong with this tree of loops:\n{listed}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that looks most like `name`, or None where nothing comes close."""
    close = difflib.get_close_matches(name, sorted(set(names)), n=1, cutoff=0.5)
    return close[0] if close else None


def listed(names: Iterable[str]) -> str:
    """`names` as they stand in a sentence: 'a', 'b' and 'c'."""
    quoted = [repr(name) for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
