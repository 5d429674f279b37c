"""One plan out of several of the same loop, for watching one whose hooks and inner loops change while it runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
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
    return EventPlan(
        new.name,
        _merged_steps(old.before, new.before),
        _merged_steps(old.on, new.on),
        _merged_steps(old.after, new.after),
        _merged_steps(old.failed, new.failed),
        _merged_steps(old.finally_, new.finally_),
    )


def _merged_steps(old: Sequence[Step], new: Sequence[Step]) -> tuple[Step, ...]:
    return _union(old, new, lambda step: step.key, lambda _, newer: newer)


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
