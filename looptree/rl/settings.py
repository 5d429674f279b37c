"""Checks that the settings dataclasses of algorithms share: one clear sentence for each thing that cannot
be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from looptree.core.errors import BadSetting, listed, nearest

_INFINITE = ("inf", "-inf")
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple[int, ...]: "a list of whole numbers",
    tuple[str, ...]: "a list of strings",
}


def plain(settings: Any) -> dict[str, Any]:
    """Settings by name as JSON can hold them, for `settings_from`: tuples are lists, infinite numbers the words "inf"
    and "-inf"."""
    return {name: _in_words(value) for name, value in dataclasses.asdict(settings).items()}


def _in_words(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def settings_from(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Settings made of values by name as a data file has them: lists are tuples, whole numbers are numbers too, and so
    are the words "inf" and "-inf".

    Raises `BadSetting` for a name that the settings do not have (with the nearest), and for a value of another kind or
    one that cannot be.
    """
    hints = get_type_hints(kind)
    kinds = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in kinds:
            close = nearest(name, kinds)
            hint = f"nearest is {close!r}" if close else f"its settings are those of {kind.__name__}()"
            raise BadSetting(f"{kind.__name__} has no setting {name!r}; {hint}.")
        if not _is_of(kinds[name], value):
            raise BadSetting(f"{kind.__name__}({name}={value!r}): {_kind(kinds[name])} would fit.")
    return kind(**{name: _value(kinds[name], value) for name, value in values.items()})


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a value from a data file is of the kind of a setting."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(_is_of(get_args(kind)[0], member) for member in value)
    if kind is float and value in _INFINITE:
        return True
    wanted = (int, float) if kind is float else kind
    return isinstance(value, wanted) and (kind is bool or not isinstance(value, bool))


def _kind(kind: Any) -> str:
    """A kind in words."""
    return f"one of {listed(get_args(kind))}" if get_origin(kind) is Literal else _KINDS[kind]


def _value(kind: Any, value: Any) -> Any:
    if kind is float:
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def require(settings: Any, name: str, fits: bool, wanted: str) -> None:
    """Raise `BadSetting` where a setting does not fit, with what would."""
    if not fits:
        raise BadSetting(f"{type(settings).__name__}({name}={getattr(settings, name)!r}): {wanted} would fit.")


def require_whole(settings: Any, *names: str, least: int = 1) -> None:
    """Raise `BadSetting` for the first of some settings that is not a whole number of `least` or more."""
    for name in names:
        value = getattr(settings, name)
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        require(settings, name, fits, f"a whole number of {least} or more")


def require_order(settings: Any, low: str, relation: Literal["<", "<="], high: str) -> None:
    """Raise `BadSetting` where of two settings one is not below (or at most) the other."""
    lower, higher = getattr(settings, low), getattr(settings, high)
    if lower > higher or (lower == higher and relation == "<"):
        raise BadSetting(
            f"{type(settings).__name__}({low}={lower!r}, {high}={higher!r}): these contradict each other; "
            f"{low} {relation} {high} would fit."
        )
