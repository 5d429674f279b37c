"""Change: one field of one loop that was another value after a hook than before it; and when that was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from looptree.observe.digest import show

CHANGE_HEADS = ("at", "hook", "field", "old", "new")

_SHOWN_ROWS = 40
_VALUE_WIDTH = 36


class At(tuple[tuple[str, int], ...]):
    """A place in the passes of a tree, the outermost loop first: `(("learner", 3), ("update", 401))`.

    The numbers are the loops' `count`: passes that they had done in their life when this one began. Prints as
    `learner 3 > update 401`; empty outside of all passes (in `before_run` of the outermost loop, say).
    """

    __slots__ = ()

    def __str__(self) -> str:
        return " > ".join(f"{loop} {number}" for loop, number in self) or "outside a pass"

    __repr__ = __str__


class Change(NamedTuple):
    """A field was `old` before and `new` after `hook`.

    `field` is the path of its owner with the field's name (`learner.source.epsilon`), `hook` the hook as `Class.name`
    (with its path instead of its class where two hooks of the tree would read alike). Values are kept as they were:
    scalars themselves, copies of what is small, and a `Summary` of the rest.
    """

    at: At
    hook: str
    field: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.at}: {self.hook}: {self.field} went from {show(self.old)} to {show(self.new)}"


@dataclass(frozen=True)
class Moment:
    """The traced fields at the end of one pass (`values`), and what was changed in that pass (`changes`)."""

    values: dict[str, Any]
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        rows = [("field", "value"), *((field, show(value)) for field, value in self.values.items())]
        return "\n".join([*table(rows), "", *timeline(self.changes)])


def timeline(changes: Sequence[Change]) -> list[str]:
    """Changes as the lines of a table, without those that are left out (see `chosen`)."""
    shown = chosen(changes)
    lines = table([CHANGE_HEADS, *(change_row(changes[number]) for number in shown)])
    told = lines[:1]
    for before, number, text in zip([-1, *shown], shown, lines[1:], strict=False):
        if number > before + 1:
            told.append(f"... {number - before - 1:,} more ...")
        told.append(text)
    return told


def chosen(changes: Sequence[Change]) -> list[int]:
    """The numbers of the changes to show: of each field all, or as many first and last ones as there is room for, so
    that a field that hardly ever changes is not lost among others."""
    places: dict[str, list[int]] = {}
    for number, change in enumerate(changes):
        places.setdefault(change.field, []).append(number)
    most = max(map(len, places.values()), default=0)
    each = 2
    while each < most and sum(min(len(found), each + 1) for found in places.values()) <= _SHOWN_ROWS:
        each += 1
    numbers: set[int] = set()
    for found in places.values():
        numbers.update(found[: (each + 1) // 2])
        numbers.update(found[-(each // 2) :])
    return sorted(numbers)


def table(rows: Iterable[Iterable[str]]) -> list[str]:
    """Rows of words as lines with aligned columns."""
    held = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*held, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in held]


def change_row(change: Change) -> tuple[str, ...]:
    """A change in a table: under `CHANGE_HEADS`."""
    return (str(change.at), change.hook, change.field, _short(change.old), _short(change.new))


def _short(kept: Any) -> str:
    """A value in a column of its own; of a long one the end is left, where a digest stands."""
    text = show(kept)
    return text if len(text) <= _VALUE_WIDTH else f"{text[: _VALUE_WIDTH - 15]} ... {text[-10:].strip()}"
