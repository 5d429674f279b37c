"""Checks that the settings dataclasses of algorithms share: one clear sentence for each thing that cannot
be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

from looptree.core.errors import BadSetting, listed, nearest

_INFINITE = ("inf", "-inf")
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    tuple[int, ...]: "a list of whole numbers",
    tuple[str, ...]: 'a list of strings such as ["TimeAwareObservation"]',
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
    """Settings made of values by name as a data file has them: the words "inf" and "-inf" are numbers too.

    Raises `BadSetting` for a name that the settings do not have (with the nearest), and what the settings raise for a
    value of another kind or one that cannot be.
    """
    kinds = _kinds_of(kind)
    for name in values:
        if name not in kinds:
            close = nearest(name, kinds)
            hint = f"nearest is {close!r}" if close else f"its settings are those of {kind.__name__}()"
            raise BadSetting(f"{kind.__name__} has no setting {name!r}; {hint}.")
    return kind(**{name: _in_numbers(kinds[name], value) for name, value in values.items()})


def _in_numbers(kind: Any, value: Any) -> Any:
    return float(value) if kind is float and isinstance(value, str) and value in _INFINITE else value


def check_kinds(settings: Any) -> None:
    """Raise `BadSetting` for the first setting that is of another kind than its field; make the others plain.

    Whole numbers are numbers too, those of NumPy become Python's, and lists become tuples. NaN is no number. A field of
    a kind that is not known here, as settings of one's own may have it, is left alone.
    """
    for name, kind in _kinds_of(type(settings)).items():
        if kind in _KINDS or get_origin(kind) is Literal:
            value = getattr(settings, name)
            require(settings, name, is_of(kind, value), _in_kind(kind))
            object.__setattr__(settings, name, _plain(kind, value))  # as a frozen dataclass sets its own fields


def _kinds_of(settings: type[Any]) -> dict[str, Any]:
    """The kinds of settings by name."""
    hints = get_type_hints(settings)
    return {field.name: hints[field.name] for field in dataclasses.fields(settings)}


def is_of(kind: Any, value: Any) -> bool:
    """Whether a value is of the kind of a setting: `int`, `float` (whole numbers too, but not NaN), `bool`, `str`, a
    tuple of such, or a Literal."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(is_of(get_args(kind)[0], member) for member in value)
    if kind is int:
        return not isinstance(value, bool) and isinstance(value, Integral)
    if kind is float:
        return not isinstance(value, bool) and isinstance(value, Real) and not math.isnan(value)
    return isinstance(value, kind)


def _in_kind(kind: Any) -> str:
    """A kind in words."""
    return f"one of {listed(get_args(kind))}" if get_origin(kind) is Literal else _KINDS[kind]


def _plain(kind: Any, value: Any) -> Any:
    if get_origin(kind) is tuple:
        return tuple(_plain(get_args(kind)[0], member) for member in value)
    return kind(value) if kind in (int, float) else value


def require(settings: Any, name: str, fits: bool, wanted: str) -> None:
    """Raise `BadSetting` where a setting does not fit, with what would."""
    if not fits:
        raise BadSetting(f"{type(settings).__name__}({name}={getattr(settings, name)!r}): {wanted} would fit.")


def require_whole(settings: Any, *names: str, least: int = 1) -> None:
    """Raise `BadSetting` for the first of some settings, which are whole numbers, that is below `least`."""
    for name in names:
        require(settings, name, getattr(settings, name) >= least, f"a whole number of {least} or more")


def require_finite(settings: Any, *names: str) -> None:
    """Raise `BadSetting` for the first of some settings that is infinite."""
    for name in names:
        require(settings, name, math.isfinite(getattr(settings, name)), "a finite number")


def require_order(settings: Any, low: str, relation: Literal["<", "<="], high: str) -> None:
    """Raise `BadSetting` where of two settings one is not below (or at most) the other."""
    lower, higher = getattr(settings, low), getattr(settings, high)
    if lower > higher or (lower == higher and relation == "<"):
        raise BadSetting(
            f"{type(settings).__name__}({low}={lower!r}, {high}={higher!r}): these contradict each other; "
            f"{low} {relation} {high} would fit."
        )
