"""Metrics: fields that hold numbers, read after each pass."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from looptree.callbacks.fields import find_owner
from looptree.core.errors import FieldWarning


class Metrics:
    """Reads some fields of a tree, and says which have another value than before.

    Fields are found by `find_owner`, and hold numbers or tensors of one number; None is no value yet. What is something
    else is left out, with one warning, until it is a number again.

    `last` has by name the value that each metric had at the latest look, NaN where it had none.

    Raises:
        NoSuchField: no loop or callback of the tree has a field.
    """

    def __init__(self, loop: Any, names: Iterable[str], over: str, last: Mapping[str, float] | None = None) -> None:
        """`over` is the field that says how far the run is, `"count"` is passes done; `last` are the values that the
        metrics had before, where they had any."""
        self._loop = loop
        self._fields = [(name, find_owner(loop, name), name.rpartition(".")[2]) for name in names]
        self._over = (find_owner(loop, over), over.rpartition(".")[2])
        self._counts_passes = over == "count"
        self._said: set[str] = set()  # which metrics were no numbers
        self.last = {name: math.nan for name, _, _ in self._fields} | dict(last or {})

    def step(self, number: int) -> float:
        """How far the run is at the end of a pass of that number (`count` when it began)."""
        if self._counts_passes:
            return number + 1
        owner, name = self._over
        step: float = getattr(owner, name)
        return step

    def changed(self) -> list[tuple[str, float]]:
        """The metrics that have a new value, with it. From NaN to NaN is nothing new."""
        found = []
        for name, owner, field in self._fields:
            new = self._read(name, getattr(owner, field, None))
            old = self.last[name]
            if new is not None and new != old and not (new != new and old != old):
                self.last[name] = new
                found.append((name, new))
        return found

    def _read(self, name: str, value: Any) -> float | None:
        if value is None:
            return None
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            if name not in self._said:
                self._said.add(name)
                what = "too large" if isinstance(error, OverflowError) else f"a {type(value).__name__}"
                text = f"The metric {name!r} is {what} and left out; a number would fit."
                warnings.warn(text, FieldWarning, stacklevel=3)
            return None
