"""What a trace remembers: of each field its value at the last look and its changes, of each place what it is called."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from looptree.core.node import Forward, ancestry
from looptree.core.plan import CallPlan, HookPlan, LoopPlan
from looptree.observe.changes import At, Change
from looptree.observe.digest import PLAIN, UNSET, Marks, is_fixed, show, snapshot
from looptree.observe.traced_fields import forward_of, own_value

Predicate = Callable[[Any], object]

FIELD_HEADS = ("field", "changes", "changed by", "now")

OUTSIDE = "outside the run"
NO_LOOP = -1


@dataclass(frozen=True)
class Site:
    """A place where looks are taken: what it is called, its loop, and the loops in whose passes it stands with their
    names, from the inside out; loops by their number in the trace's list."""

    label: str
    loop: int
    passes: tuple[tuple[str, int], ...]


# A change as it is recorded, quick to make; a `Change` when somebody asks: its number among the changes of all fields,
# the counts of all loops, the place, the loop whose run it was, the old value and the new one.
Entry = tuple[int, tuple[int, ...], Site, int, Any, Any]


_NEVER = object()

FORGOTTEN = object()
"""The value of a field at a time of which nothing is kept."""


class Record:
    """One traced field: what it was at the last look, and its changes."""

    __slots__ = (
        "dropped_writers", "entries", "forward", "full_name", "is_plain", "mark", "marker", "name",
        "owner", "same_as", "seen", "shown", "stop_if", "value",
    )  # fmt: skip

    def __init__(self, full_name: str, name: str, stop_if: Predicate | None) -> None:
        self.full_name = full_name
        self.name = name
        self.stop_if = stop_if
        self.entries: deque[Entry] = deque()
        self.dropped_writers: dict[str, int] = {}
        self.owner: Any = None
        self.forward: Forward | None = None
        self.shown: Any = UNSET
        self.value: Any = UNSET
        self.is_plain = False  # of a class in PLAIN; `mark` is out of date then
        self.mark: object = None
        self.marker: Callable[[Any], object] | None = None  # None where only another object can be another value
        self.seen: Any = _NEVER  # what the next look may pass by when it is still there
        self.same_as: str | None = None  # the first field that holds the very same object, where it is another one

    def watch(self, owner: Any, marks: Marks) -> None:
        """Begin to watch the field of an owner as it is now."""
        self.owner = owner
        self.forward = forward_of(owner, self.name)
        value = own_value(owner, self.name, self.forward)
        self.take(value, marks)
        self.shown = snapshot(value)

    def take(self, value: Any, marks: Marks) -> bool:
        """Remember what the field is now, for the next look; whether it is another value than before."""
        mark = marks.mark(value)
        before = marks.mark(self.value) if self.is_plain else self.mark
        self.value = value
        self.is_plain = type(value) in PLAIN
        self.mark = mark
        self.marker = None if is_fixed(value) else marks.marker(value)
        self.seen = value if self.marker is None and self.forward is None else _NEVER
        return mark != before

    def release(self) -> None:
        """Hold nothing of the loop any more; what was recorded stays."""
        self.owner = self.forward = self.marker = self.mark = None
        self.value, self.seen, self.is_plain = UNSET, _NEVER, False

    def drop_first(self) -> None:
        """Keep of the oldest change only that there was one."""
        label = self.entries.popleft()[2].label
        self.dropped_writers[label] = self.dropped_writers.get(label, 0) + 1

    @property
    def dropped(self) -> int:
        """How many changes are no longer kept."""
        return sum(self.dropped_writers.values())

    @property
    def total(self) -> int:
        """How many changes there were."""
        return self.dropped + len(self.entries)

    @property
    def writers(self) -> Counter[str]:
        """How many changes each hook made."""
        return Counter(self.dropped_writers) + Counter(entry[2].label for entry in self.entries)

    def change(self, entry: Entry) -> Change:
        """A recorded change as it is shown."""
        _, _, site, _, old, new = entry
        names = {loop: name for name, loop in site.passes}
        at = At((names[loop], number) for loop, number in passes_around(entry).items())
        return Change(at, site.label, self.full_name, old, new)

    def value_until(self, bounds: Mapping[int, int]) -> Any:
        """The value when the loops at some places had done no more than some numbers of passes."""
        value = FORGOTTEN if self.dropped else (self.entries[0][-2] if self.entries else self.shown)
        for _, counts, _, _, _, new in self.entries:
            if any(loop < len(counts) and counts[loop] > number for loop, number in bounds.items()):
                break
            value = new
        return value

    def row(self) -> tuple[str, str, str, str]:
        """The field in a table of all: how often it changed, by whom, and its last value."""
        writers = ", ".join(f"{hook} ({count:,})" for hook, count in self.writers.most_common(3))
        if len(self.writers) > 3:
            writers += f" and {len(self.writers) - 3} more"
        now = f"same object as {self.same_as}" if self.same_as is not None else show(self.shown)
        return self.full_name, f"{self.total:,}", writers or "-", now


def passes_around(entry: Entry) -> dict[int, int]:
    """The passes in which a change was made, by the number of their loop, the outermost first."""
    _, counts, site, outermost, _, _ = entry
    loops = [loop for _, loop in site.passes]
    running = loops[: loops.index(outermost) + 1] if outermost in loops else loops
    return {loop: counts[loop] for loop in reversed(running)}


def sites(plan: LoopPlan, loops: Sequence[Any]) -> dict[str, Site]:
    """All places of a tree by the keys that the generated code gives: of hooks, and the paths of loops."""
    found = {OUTSIDE: Site(OUTSIDE, NO_LOOP, ())}
    numbers = {id(loop): number for number, loop in enumerate(loops)}
    owners: dict[str, set[str]] = {}
    for step in (step for each in plan.walk() for step in _hook_steps(each)):
        owners.setdefault(step.label, set()).add(step.owner)
    for each in plan.walk():
        number = numbers[id(each.target)]
        passes = tuple((loop.name, numbers[id(loop)]) for loop in ancestry(each.target))
        found[each.path] = Site(f"{each.label} (no hook)", number, passes)
        found[f"{each.path} ends"] = Site(f"{each.label} (no hook)", number, passes[1:])
        for step in _hook_steps(each):
            label = step.label if len(owners[step.label]) == 1 else f"{step.owner}.{step.name}"
            found[step.key] = Site(label, number, passes[1:] if step.event == "run" else passes)
        for call in (step for step in each.steps() if isinstance(step, CallPlan)):
            found[call.key] = Site(f"{call.loop} (a whole run)", number, passes)
    return found


def _hook_steps(plan: LoopPlan) -> Iterator[HookPlan]:
    """The hooks of one loop, those included that only run where their replacers do not."""
    for step in plan.steps():
        hook = step if isinstance(step, HookPlan) else None
        while hook is not None:
            yield hook
            hook = hook.replaces


def find_same(records: Iterable[Record]) -> None:
    """Note of each field whether a field before it holds the very same object, so that a change in one is in both."""
    first: dict[int, str] = {}
    for record in records:
        is_shared = not is_fixed(record.value) and not isinstance(record.value, tuple)
        name = first.setdefault(id(record.value), record.full_name) if is_shared else record.full_name
        record.same_as = None if name == record.full_name else name


def in_order(records: Iterable[Record]) -> list[tuple[Entry, Change]]:
    """The changes of some fields in the order in which they happened, as they are recorded and as they are shown."""
    kept = [(entry, record.change(entry)) for record in records for entry in record.entries]
    return sorted(kept, key=lambda found: found[0][0])
