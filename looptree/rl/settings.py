"""Checks that the settings dataclasses of algorithms share: one clear sentence for each thing that cannot
be."""

from __future__ import annotations

from typing import Any, Literal

from looptree.core.errors import BadSetting


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
