"""Hook: a method named `<moment>_<event>`, and what its signature says of when it runs."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Container
from types import CodeType
from typing import Any

MOMENTS = ("before", "on", "after", "failed", "finally")
RESERVED_EVENTS = ("run", "pass", "phase")
PARAMETERS = ("_order", "_phase", "_every", "_replace")

PhaseFilter = str | tuple[str, ...] | None


class Hook:
    """A hook function and when it runs: `order` among its like, in which `phase`, on `every` n-th pass.

    They are read from the defaults of the function's `_order`, `_phase`, `_every` and `_replace`; `phase` given here
    goes before the signature's.
    """

    def __init__(self, function: Callable[..., Any], phase: PhaseFilter = None) -> None:
        self.function = function
        self.name: str = getattr(function, "__name__", "")
        parameters = inspect.signature(function).parameters if is_function(function) else {}
        self.parameters: tuple[str, ...] = tuple(parameters)
        settings = {name: parameters[name].default for name in PARAMETERS if name in parameters}
        self.order: int = settings.get("_order", -1)
        self.phase: PhaseFilter = as_filter(settings.get("_phase") if phase is None else phase)
        self.every: int = settings.get("_every", 1)
        self.replace: bool = settings.get("_replace", False)

    @property
    def moment(self) -> str | None:
        """The first part of the name; None for a function that is not named like a hook."""
        return self.name.partition("_")[0] if Hook.ishook(self.name) else None

    @property
    def event(self) -> str | None:
        """The rest of the name; None for a function that is not named like a hook."""
        return self.name.partition("_")[2] if Hook.ishook(self.name) else None

    @property
    def code(self) -> CodeType:
        """The code of the function, behind any decorators that name what they wrap."""
        return function_code(self.function)

    def copy(self, **changes: Any) -> Hook:
        """The same hook with some of its attributes changed."""
        copied = Hook(self.function)
        for name in ("name", "order", "phase", "every", "replace"):
            setattr(copied, name, getattr(self, name))
        for name, value in changes.items():
            setattr(copied, name, value)
        return copied

    @classmethod
    def ishook(cls, name: str) -> bool:
        """Whether a method of this name is a hook: a moment, an underscore, an event."""
        moment, _, event = name.partition("_")
        return moment in MOMENTS and bool(event)

    def _key(self) -> tuple[object, ...]:
        return (self.function, self.name, self.order, self.phase, self.every, self.replace)

    def __lt__(self, other: Hook) -> bool:
        return self.order < other.order

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hook) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"{self.order}_{self.phase}_{self.name}"


def in_phase(hook: Hook, current_phase: str | None) -> bool:
    """Whether a hook runs in a phase: it names none, that one, or a tuple with that one."""
    return phase_fits(hook.phase, current_phase)


def phase_fits(phase: PhaseFilter, current_phase: str | None) -> bool:
    """Whether a `_phase` filter lets a phase through."""
    return phase is None or current_phase == phase or (isinstance(phase, tuple) and current_phase in phase)


def as_filter(phase: Any) -> PhaseFilter:
    """A `_phase` as it may be written (a name, or several in a tuple or list) in its one form; binding refuses what
    is neither."""
    if not isinstance(phase, tuple | list):
        filtered: PhaseFilter = phase
        return filtered
    return phase[0] if len(phase) == 1 else tuple(phase)


def function_code(function: Callable[..., Any]) -> CodeType:
    """The code of a function or bound method, behind decorators that keep `__wrapped__`."""
    code: CodeType = inspect.unwrap(function).__code__
    return code


def is_function(function: Callable[..., Any]) -> bool:
    """Whether there is a function behind the decorators: anything else that can be called is not handed self."""
    return hasattr(inspect.unwrap(function), "__code__")


def misspelt(name: str, events: Container[str]) -> str | None:
    """The hook that a method of another name was meant to be: of one of `events`, and its moment all but right."""
    moment, _, event = name.partition("_")
    if moment in MOMENTS:
        return None
    if event in events:
        close = difflib.get_close_matches(moment, MOMENTS, 1, cutoff=0.85)  # `final_step` may be a helper's name
        return f"{close[0]}_{event}" if close else None
    joined = (each for each in MOMENTS if name.startswith(each) and name.removeprefix(each) in events)
    return next((f"{each}_{name.removeprefix(each)}" for each in joined), None)


def class_hooks(cls: type) -> list[Hook]:
    """The hooks of a class in the order of definition, base classes first; an override keeps its place."""
    places: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if Hook.ishook(name) and callable(value) and not isinstance(value, type):
                places[name] = value
            elif name in places:  # `on_step = None` in a subclass takes the hook away
                del places[name]
    hooks = []
    for name, function in places.items():
        hook = Hook(function)
        hook.name = name
        hooks.append(hook)
    return hooks
