"""Sites: each loop of a tree while it is bound, with the hooks that stand on its events and the loops called there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from looptree.core.hook import RESERVED_EVENTS, Hook, PhaseFilter, class_hooks
from looptree.core.names import code_place
from looptree.core.node import ancestry
from looptree.core.phase import as_phases


@dataclass
class Placed:
    """A hook of a loop or callback at a loop where it runs."""

    hook: Hook
    owner: Any
    replaces: Placed | None = None
    replacers: list[Placed] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{type(self.owner).__name__}.{self.hook.name}"

    @property
    def place(self) -> str:
        return code_place(self.hook.code)

    @property
    def rank(self) -> tuple[int, int]:
        """Lower first: `_order`, then the loop's own, then callbacks as they were added; a replacer stands for what
        it replaces."""
        standing = self.replaces or self
        return standing.hook.order, getattr(standing.owner, "_added", 0)


class Site:
    """One loop: its events, and what stands on them."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.cls = type(loop).__name__
        self.phases = as_phases(loop.phases)
        self.own = placed_hooks(loop)
        events = [str(placed.hook.event) for placed in self.own]
        self.events = [event for event in dict.fromkeys(events) if event not in RESERVED_EVENTS]
        self._own = {placed.hook.name: placed for placed in self.own}
        self._standing: dict[tuple[str | None, str | None], list[Placed]] = {}
        for placed in self.own:
            self.place(placed)
        self.calls: list[tuple[str, Any]] = []  # the name of a hook, and the inner loop called on it

    @property
    def all_events(self) -> list[str]:
        """The loop's own events and the reserved ones that it has."""
        return [*self.events, "run", "pass", *(["phase"] if self.phases else [])]

    def own_hook(self, name: str) -> Placed | None:
        """The loop's own hook of a name."""
        return self._own.get(name)

    def place(self, placed: Placed) -> None:
        """Let a hook stand on the moment and event of its name."""
        self._standing.setdefault((placed.hook.moment, placed.hook.event), []).append(placed)

    @property
    def hooks(self) -> list[Placed]:
        """All hooks that stand at this loop, its own and those of callbacks."""
        return [placed for standing in self._standing.values() for placed in standing]

    def at(self, moment: str, event: str) -> list[Placed]:
        """The hooks of one moment of an event, in order."""
        return sorted(self._standing.get((moment, event), ()), key=lambda placed: placed.rank)

    def own_filters(self, event: str) -> list[PhaseFilter]:
        """The phase filters of what the loop itself does on an event: of its own hooks, and None for an inner loop that
        is called where it has no hook."""
        hooks = [placed.hook.phase for placed in self.own if placed.hook.event == event]
        called = [name for name, _ in self.calls if name.partition("_")[2] == event]
        return [*hooks, *(None for name in called if self.own_hook(name) is None)]

    def phases_at(self, event: str | None) -> tuple[str, ...]:
        """The phases that a filter on an event may name: the loop's own within them, else those in which the loop
        may be called, which the nearest loop above that has phases decides."""
        above = list(ancestry(self.loop))[1:]
        own = [] if event in ("run", "pass") else [self.phases]
        candidates = [*own, *(as_phases(ancestor.phases) for ancestor in above)]
        return tuple(phase.name for phase in next(filter(None, candidates), ()))


def placed_hooks(owner: Any) -> list[Placed]:
    """The hooks of a loop's or callback's class, not yet at any site but its own."""
    return [Placed(hook, owner) for hook in class_hooks(type(owner))]


def loops_from(loop: Any) -> Iterator[Any]:
    """A loop and all below it, outer ones first."""
    yield loop
    for inner in loop.inner_loops:
        yield from loops_from(inner)
