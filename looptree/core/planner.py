"""Planner: the plan of a tree whose hooks and inner loops are placed, and the check of its fields on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from looptree.core import findings
from looptree.core.accesses import Access, Scope, function_accesses
from looptree.core.findings import Finding
from looptree.core.hook import MOMENTS, Hook, PhaseFilter, phase_fits
from looptree.core.names import class_place
from looptree.core.node import ancestry, declared_names
from looptree.core.phase import Phase
from looptree.core.plan import CallbackPlan, CallPlan, EventPlan, HookPlan, LoopPlan, PhasePlan, Step
from looptree.core.sites import Placed, Site

_BASE_FIELDS = frozenset({"name", "parent", "inner_loops", "cbs", "persist_cbs", "call_on", "times", "produces"})
_KEPT_FIELDS = frozenset({"name", "parent", "inner_loops", "cbs", "persist_cbs", "index", "count", "error"})


class Planner:
    """Plans the loops of one tree; `findings` has what is wrong with their fields."""

    def __init__(self, sites: Mapping[int, Site], bound_loops: Mapping[int, list[Any]]) -> None:
        self.sites = sites
        nodes = [node for site in sites.values() for node in (site.loop, *site.loop.cbs)]
        self.scope = Scope(nodes, bound_loops)
        self.paths = {id(node): node.path for node in nodes}
        self.plans: dict[int, LoopPlan] = {}
        self.findings: list[Finding] = []
        self._accesses: dict[tuple[int, str], list[Access]] = {}

    # the tree, from the outside in

    def loop_plan(self, loop: Any) -> LoopPlan:
        """The plan of a loop and of those below."""
        site = self.sites[id(loop)]
        self.check_idle_phases(site)
        path = self.paths[id(loop)]
        phases = [phase for phase in site.phases if loop._only is None or phase.name in loop._only]
        plan = LoopPlan(
            key=path,
            name=loop.name,
            path=path,
            label=site.cls,
            source=class_place(type(loop)),
            times=loop.bound_times,
            own_items=loop._own_items,
            remarks=tuple(loop.remarks()),
            produces=loop.produces,
            parent=loop.parent.name if loop.parent is not None else None,
            call_on=loop.call_names(),
            run=self.event_plan(site, "run", None),
            pass_=self.event_plan(site, "pass", None),
            phases=tuple(self.phase_plan(site, phase) for phase in phases) or (self.phase_plan(site, None),),
            callbacks=tuple(CallbackPlan(cb.name, type(cb).__name__, class_place(type(cb)), cb) for cb in loop.cbs),
            inner_loops=tuple(self.loop_plan(inner) for inner in loop.inner_loops),
            target=loop,
        )
        self.plans[id(loop)] = plan
        return plan

    def phase_plan(self, site: Site, phase: Phase | None) -> PhasePlan:
        """One phase, or the one stretch of a loop without phases."""
        name = phase.name if phase is not None else None
        events = [self.event_plan(site, event, name) for event in site.events]
        return PhasePlan(
            name=name,
            every=phase.every if phase is not None and site.loop._only is None else 1,
            switch=self.switch_plan(site, name) if name is not None else None,
            switches=name is not None and site.loop._switches_phases_itself(),
            frame=self.event_plan(site, "phase", name),
            events=tuple(event for event in events if event.steps),
        )

    def switch_plan(self, site: Site, phase: str) -> HookPlan:
        """The hook that opens a phase."""
        placed = Placed(Hook(type(site.loop).switch_phase, phase=phase), site.loop)
        return self.hook_plan(site, placed, "before", "phase", phase)

    def event_plan(self, site: Site, event: str, phase: str | None) -> EventPlan:
        """One event of a loop in one phase."""
        before, on, after, failed, finally_ = (self.steps(site, moment, event, phase) for moment in MOMENTS)
        return EventPlan(event, before, on, after, failed, finally_)

    def steps(self, site: Site, moment: str, event: str, phase: str | None) -> tuple[Step, ...]:
        """The hooks of one moment, then the inner loops called there."""
        hooks = [self.hook_plan(site, placed, moment, event, phase) for placed in _running(site, moment, event, phase)]
        called = [inner for name, inner in site.calls if name == f"{moment}_{event}"]
        calls = [self.call_plan(site, inner, moment, event, phase) for inner in called]
        return (*hooks, *(call for call in calls if _here(call.phase, phase)))

    def hook_plan(self, site: Site, placed: Placed, moment: str, event: str, phase: str | None) -> HookPlan:
        """One hook at its place."""
        hook, owner = placed.hook, self.paths[id(placed.owner)]
        accesses = self.fields(placed)
        replaced = placed.replaces if placed.replaces and _here(placed.replaces.hook.phase, phase) else None
        return HookPlan(
            key="/".join((self.paths[id(site.loop)], phase or "", event, moment, f"{owner}.{hook.name}")),
            label=placed.label,
            name=hook.name,
            moment=moment,
            event=event,
            owner=owner,
            source=placed.place,
            order=hook.order,
            phase=hook.phase,
            every=hook.every,
            replaces=self.hook_plan(site, replaced, moment, event, phase) if replaced is not None else None,
            reads=_field_names(accesses, "read"),
            writes=_field_names(accesses, "write"),
            travels=len(self.scope.bound_loops.get(id(placed.owner), ())) > 1,
            target=placed.owner,
        )

    def call_plan(self, site: Site, inner: Any, moment: str, event: str, phase: str | None) -> CallPlan:
        """One call of an inner loop, when the parent's own hook on which it stands runs."""
        own = site.own_hook(f"{moment}_{event}")
        path = self.paths[id(inner)]
        return CallPlan(
            key="/".join((self.paths[id(site.loop)], phase or "", event, moment, path)),
            name=inner.name,
            loop=path,
            moment=moment,
            event=event,
            phase=own.hook.phase if own is not None else None,
            every=own.hook.every if own is not None else 1,
            target=inner,
        )

    def check_idle_phases(self, site: Site) -> None:
        """A callback's hook without `_phase` belongs on an event on which the loop does something in every phase."""
        phases = [phase.name for phase in site.phases]
        for event in site.events:
            filters = site.own_filters(event)
            busy = [phase for phase in phases if any(_here(each, phase) for each in filters)]
            idle = [phase for phase in phases if phase not in busy]
            for placed in site.hooks if busy and idle else ():
                if placed.hook.event == event and placed.hook.phase is None:
                    self.findings.append(findings.idle_phase(placed, site, idle, busy))

    # fields

    def fields(self, placed: Placed) -> list[Access]:
        """The fields that a hook reads and writes, checked when it is first met."""
        key = (id(placed.owner), placed.hook.name)
        if key not in self._accesses:
            found = function_accesses(self.scope, placed.owner, placed.hook.name, placed.hook.function)
            self._accesses[key] = [access for access in found if access.name not in _BASE_FIELDS]
            for access in found:
                if access.kind == "write" and access.name in _KEPT_FIELDS and id(access.base) in self.sites:
                    self.findings.append(findings.reserved_field(placed, access))
                elif access.name in _BASE_FIELDS:
                    continue
                elif access.kind == "write":
                    self.check_write(placed, access)
                elif access.owner is None and access.name not in self.scope.mentioned:
                    self.check_read(placed, access)
        return self._accesses[key]

    def check_write(self, placed: Placed, access: Access) -> None:
        """A plain assignment belongs to a field of one's own, not to one that an ancestor declares."""
        if access.base is not placed.owner or access.name in declared_names(type(placed.owner)):
            return
        for ancestor in list(ancestry(placed.owner))[1:]:
            declaring = declared_names(type(ancestor)).get(access.name)
            if declaring is not None:
                self.findings.append(findings.shadowed_field(placed, access, ancestor, declaring))
                return

    def check_read(self, placed: Placed, access: Access) -> None:
        """A read finds a field; a class that answers for names by itself is left alone."""
        if not any(hasattr(type(node), "__getattr__") for node in ancestry(access.base)):
            self.findings.append(findings.unknown_field(placed, access))


def _running(site: Site, moment: str, event: str, phase: str | None) -> Iterator[Placed]:
    """The hooks of a moment that run in a phase; a replaced one stands behind its replacer."""
    for placed in site.at(moment, event):
        replaced = any(_here(replacer.hook.phase, phase) for replacer in placed.replacers)
        if _here(placed.hook.phase, phase) and not replaced:
            yield placed


def _here(phase_filter: PhaseFilter, phase: str | None) -> bool:
    """Whether a filter lets a hook into a phase; without phases of the loop's own it is asked at run time."""
    return phase is None or phase_fits(phase_filter, phase)


def _field_names(accesses: Iterable[Access], kind: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(access) for access in accesses if access.kind == kind))
