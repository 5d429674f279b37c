"""The plan: who runs when in a tree of loops, as frozen data. Code, description, times and traces are readings of it.

LoopPlan > PhasePlan > EventPlan > HookPlan (a hook) and CallPlan (an inner loop called at that place)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from looptree.core.hook import PhaseFilter
from looptree.core.node import declared_names


@dataclass(frozen=True)
class HookPlan:
    """One hook at its place. `reads` and `writes` are fields as `path.name`; `replaces` is the loop's own hook that
    this one runs instead of (which still runs where this one's filters say no); `travels` says that the hooks of its
    callback stand in several loops."""

    key: str
    label: str
    name: str
    moment: str
    event: str
    owner: str
    source: str
    order: int
    phase: PhaseFilter
    every: int
    replaces: HookPlan | None
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    travels: bool
    target: Any = field(compare=False, repr=False)


@dataclass(frozen=True)
class CallPlan:
    """An inner loop called at a place of its parent; `phase` and `every` are those of the hook it stands on."""

    key: str
    name: str
    loop: str
    moment: str
    event: str
    phase: PhaseFilter
    every: int
    target: Any = field(compare=False, repr=False)


Step = HookPlan | CallPlan


@dataclass(frozen=True)
class EventPlan:
    """One event: its steps moment by moment."""

    name: str
    before: tuple[Step, ...] = ()
    on: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    failed: tuple[Step, ...] = ()
    finally_: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in the order of the moments."""
        return self.before + self.on + self.after + self.failed + self.finally_


@dataclass(frozen=True)
class PhasePlan:
    """One phase of a loop, or the one nameless stretch of a loop without phases (`name` None, no `switch`).

    `switches` says whether `switch_phase` is overridden; the base's just sets the loop's phase.
    """

    name: str | None
    every: int
    switch: HookPlan | None
    switches: bool
    frame: EventPlan
    events: tuple[EventPlan, ...]


@dataclass(frozen=True)
class CallbackPlan:
    """A callback at the loop it is attached to."""

    name: str
    label: str
    source: str
    target: Any = field(compare=False, repr=False)


@dataclass(frozen=True)
class FieldPlan:
    """A field of a loop or callback, and the keys of the hooks that read and write it."""

    owner: str
    name: str
    declared: bool
    readers: tuple[str, ...]
    writers: tuple[str, ...]
    target: Any = field(compare=False, repr=False)


@dataclass(frozen=True)
class LoopPlan:
    """One loop: its frames `run` and `pass_`, its phases with their events, its inner loops with their own plans."""

    key: str
    name: str
    path: str
    label: str
    source: str
    times: int | float | None
    own_items: bool  # whether the class overrides items()
    remarks: tuple[str, ...]  # what the loop says of itself
    produces: str
    parent: str | None
    call_on: tuple[str, ...]
    run: EventPlan
    pass_: EventPlan
    phases: tuple[PhasePlan, ...]
    callbacks: tuple[CallbackPlan, ...]
    inner_loops: tuple[LoopPlan, ...]
    target: Any = field(compare=False, repr=False)

    @property
    def makes_one_pass(self) -> bool:
        """Whether a run is one pass, whatever happens."""
        return not self.own_items and self.times in (None, 1)

    @property
    def may_recover_below(self) -> bool:
        """Whether a loop further in has a `failed_` hook, which may recover this one: its next item is then due."""
        below = (plan for inner in self.inner_loops for plan in inner.walk())
        return any(step.moment == "failed" for plan in below for step in plan.steps())

    def walk(self) -> Iterator[LoopPlan]:
        """This loop's plan and those of all loops below, outer ones first."""
        pending = [self]
        while pending:
            plan = pending.pop()
            yield plan
            pending.extend(reversed(plan.inner_loops))

    def steps(self) -> Iterator[Step]:
        """The steps of this loop alone, in the order in which they run."""
        yield from self.run.before
        yield from self.pass_.before
        for phase in self.phases:
            if phase.switch is not None:
                yield phase.switch
            yield from phase.frame.before
            for event in phase.events:
                yield from event.steps
            for moment in (phase.frame.on, phase.frame.after, phase.frame.failed, phase.frame.finally_):
                yield from moment
        for frame in (self.pass_, self.run):
            for moment in (frame.on, frame.after, frame.failed, frame.finally_):
                yield from moment

    @cached_property
    def fields(self) -> tuple[FieldPlan, ...]:
        """The fields of this loop, of its callbacks, and of all below, with the hooks that read and write them."""
        owners = {plan.path: plan.target for plan in self.walk()}
        owners |= {f"{plan.path}.{cb.name}": cb.target for plan in self.walk() for cb in plan.callbacks}
        readers: dict[tuple[str, str], dict[str, None]] = {
            (path, name): {} for path, owner in owners.items() for name in declared_names(type(owner))
        }
        writers: dict[tuple[str, str], dict[str, None]] = {}
        for step in (step for plan in self.walk() for step in plan.steps() if isinstance(step, HookPlan)):
            for names, keys in ((step.reads, readers), (step.writes, writers)):
                for full_name in names:
                    path, _, name = full_name.rpartition(".")
                    keys.setdefault((path, name), {})[step.key] = None
        known = dict.fromkeys((*readers, *writers))
        return tuple(
            FieldPlan(
                path,
                name,
                name in declared_names(type(owners[path])),
                tuple(readers.get((path, name), ())),
                tuple(writers.get((path, name), ())),
                owners[path],
            )
            for path, name in known
            if path in owners
        )
