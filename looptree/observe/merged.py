"""One plan out of several of the same loop, for watching one whose hooks and inner loops change while it runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, replace
from typing import TypeVar

from looptree.core.plan import EventPlan, LoopPlan, PhasePlan, Step

T = TypeVar("T")


def merged(old: LoopPlan, new: LoopPlan) -> LoopPlan:
    """The newer plan, with what only the older one has at the places where it was."""
    if old == new:
        return new
    return replace(
        new,
        run=_merged_event(old.run, new.run),
        pass_=_merged_event(old.pass_, new.pass_),
        phases=_union(old.phases, new.phases, lambda phase: phase.name, _merged_phase),
        inner_loops=_union(old.inner_loops, new.inner_loops, lambda loop: loop.path, merged),
    )


def _merged_phase(old: PhasePlan, new: PhasePlan) -> PhasePlan:
    return replace(
        new,
        frame=_merged_event(old.frame, new.frame),
        events=_union(old.events, new.events, lambda event: event.name, _merged_event),
    )


def _merged_event(old: EventPlan, new: EventPlan) -> EventPlan:
    moments = [field.name for field in fields(EventPlan) if field.name != "name"]
    steps = {name: _union(getattr(old, name), getattr(new, name), lambda step: step.key, _newer) for name in moments}
    return replace(new, **steps)


def _newer(old: Step, new: Step) -> Step:
    return new


def _union(
    old: Sequence[T], new: Sequence[T], key: Callable[[T], Hashable], merge: Callable[[T, T], T]
) -> tuple[T, ...]:
    """The members of both; one that only `old` has comes after the one that it came after there."""
    before = {key(member): member for member in old}
    together = [merge(before[key(member)], member) if key(member) in before else member for member in new]
    place = 0
    for member in old:
        keys = [key(each) for each in together]
        if key(member) in keys:
            place = keys.index(key(member)) + 1
        else:
            together.insert(place, member)
            place += 1
    return tuple(together)
