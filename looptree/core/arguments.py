"""What the constructor of a loop takes, checked and brought into one form."""

from __future__ import annotations

import inspect
import keyword
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from looptree.core.callback import Callback
from looptree.core.errors import BadSetting, listed
from looptree.core.node import Node

CallOn = str | Callable[..., Any] | Iterable[str | Callable[..., Any]]
Callbacks = Callback | type[Callback] | Iterable[Callback | type[Callback]]
N = TypeVar("N", bound=Node)

_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def several(given: Any) -> list[Any]:
    """One or several, instances or classes, as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, type | Node) or not isinstance(given, Iterable) else list(given)


def instance(given: Any, cls: type[N], error: type[Exception]) -> N:
    """An instance of a loop or callback class, made where the class itself was given."""
    kind = cls.__name__
    if isinstance(given, type) and issubclass(given, cls):
        needed = [
            parameter.name
            for parameter in inspect.signature(given).parameters.values()
            if parameter.default is parameter.empty and parameter.kind not in _ANY_NUMBER
        ]
        if needed:
            name = given.__name__
            raise error(
                f"The class {name} is made with {listed(needed)}; give one that is made: {name}({needed[0]}=...)."
            )
        return given()
    if isinstance(given, cls):
        return given
    shown = f"the class {given.__name__}" if isinstance(given, type) else f"{given!r} ({type(given).__name__})"
    other = "cbs" if isinstance(given, Callback) or _is_class(given, Callback) else "inner_loops"
    hint = ""
    if isinstance(given, Node) or _is_class(given, Node):
        hint = f" It belongs into {other}."
    raise error(f"A {kind} or a class of {kind} fits here; given was {shown}.{hint}")


def _is_class(given: Any, cls: type) -> bool:
    return isinstance(given, type) and issubclass(given, cls)


def names_called_on(call_on: CallOn) -> Iterator[str]:
    """The names of hooks, given as strings or as the functions themselves, one or several."""
    for each in call_on if isinstance(call_on, Iterable) and not isinstance(call_on, str) else [call_on]:
        name = each if isinstance(each, str) else getattr(each, "__name__", None)
        if name is None:
            raise BadSetting(f"call_on={call_on!r}: the parent's hooks fit, by name or themselves: call_on='on_step'.")
        yield name


def checked_name(name: str) -> str:
    """A name that can be an attribute."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise BadSetting(
            f"name={name!r}: loops and callbacks are attributes, so a name like 'source' would fit, no word of"
            " Python's own."
        )
    return name


def checked_times(times: Any) -> int | float:
    """A number of passes, or `math.inf`."""
    if times == math.inf:
        return math.inf
    try:
        number = operator.index(times)
    except TypeError:
        number = -1
    if number < 0 or isinstance(times, bool):
        raise BadSetting(f"times={times!r}: a number of passes fits (0, 1, 2...), or math.inf for a loop without end.")
    return number
