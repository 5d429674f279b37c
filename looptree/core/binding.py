"""Binding: hooks are collected, inner loops placed, everything checked, and the plan of the whole tree made.

The checks come in the order in which they need each other: the tree's shape, the signatures of hooks, where hooks and
inner loops stand, phases, and last the fields.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from looptree.core.accesses import Access, Scope, function_accesses
from looptree.core.callback import Callback
from looptree.core.errors import Finding, listed, nearest
from looptree.core.hook import (
    PARAMETERS,
    RESERVED_EVENTS,
    Hook,
    as_filter,
    class_hooks,
    phase_fits,
)
from looptree.core.names import class_place, code_place
from looptree.core.node import Node, ancestry, declared_names, known_names
from looptree.core.phase import Phase, as_phases
from looptree.core.plan import CallbackPlan, CallPlan, EventPlan, HookPlan, LoopPlan, PhasePlan, Step

_BASE_FIELDS = frozenset({"name", "parent", "inner_loops", "cbs", "persist_cbs", "call_on", "times", "produces"})


@dataclass
class Binding:
    """What binding a tree gives: its findings, and its plan where no finding is an error."""

    findings: list[Finding]
    plan: LoopPlan | None
    plans: dict[int, LoopPlan] = field(default_factory=dict)  # by the id of the loop
    bound_loops: Mapping[int, list[Any]] = field(default_factory=dict)  # by the id of the callback


@dataclass
class _Placed:
    """A hook of a loop or callback at the loop where it runs."""

    hook: Hook
    owner: Node
    replaces: _Placed | None = None
    replacers: list[_Placed] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{type(self.owner).__name__}.{self.hook.name}"

    @property
    def place(self) -> str:
        return code_place(self.hook.code)

    @property
    def rank(self) -> tuple[int, int]:
        """Lower first: `_order`, then the loop's own, then callbacks as they were added."""
        own = self.replaces or self
        return own.hook.order, getattr(own.owner, "_added", 0)


class _Site:
    """One loop while it is bound: its events, the hooks that stand on them, the inner loops called there."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.phases = as_phases(loop.phases)
        own = [Hook(function) for function in class_hooks(type(loop))]
        self.own = [_Placed(hook, loop) for hook in own]
        self.events = list(dict.fromkeys(str(hook.event) for hook in own if hook.event not in RESERVED_EVENTS))
        self.hooks: list[_Placed] = list(self.own)
        self.calls: list[tuple[str, Any]] = []  # name of the hook stood on, the inner loop

    def own_hook(self, name: str) -> _Placed | None:
        return next((placed for placed in self.own if placed.hook.name == name), None)

    def at(self, moment: str, event: str) -> list[_Placed]:
        found = [placed for placed in self.hooks if (placed.hook.moment, placed.hook.event) == (moment, event)]
        return sorted(found, key=lambda placed: placed.rank)

    def inherited_phases(self) -> tuple[str, ...]:
        """The phases in which this loop may be called: those of the nearest loop above that has some."""
        for ancestor in list(ancestry(self.loop))[1:]:
            phases = as_phases(ancestor.phases)  # type: ignore[attr-defined]
            if phases:
                return tuple(phase.name for phase in phases)
        return ()

    def phases_at(self, event: str | None) -> tuple[str, ...]:
        """The phases that a filter on one of this loop's events may name."""
        own = tuple(phase.name for phase in self.phases)
        return own if own and event not in ("run", "pass") else self.inherited_phases()


def bind(root: Any) -> Binding:
    """Check a tree from its root and plan it."""
    return _Binder(root).bind()


class _Binder:
    """One binding of one tree."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.findings: list[Finding] = []
        self.sites: dict[int, _Site] = {}
        self.bound_loops: dict[int, list[Any]] = {}

    def bind(self) -> Binding:
        self._walk(self.root)
        if not self.findings:
            self._check_signatures()
        if not self.findings:
            for site in self.sites.values():
                self._place_inner_loops(site)
                for callback in site.loop.cbs:
                    self._place_callback(site, callback)
            self._check_replacers()
            self._check_filters()
        if self.findings:
            return Binding(self.findings, None)
        planner = _Planner(self)
        plan = planner.loop_plan(self.root)
        return Binding(planner.findings, plan, planner.plans, self.bound_loops)

    def find(self, kind: str, place: str, given: str, fits: str, write: str) -> None:
        self.findings.append(Finding(kind, place, given, fits, write))

    # the tree's shape

    def _walk(self, loop: Any, above: tuple[int, ...] = ()) -> None:
        if id(loop) in above:
            self.find(
                "cycle",
                class_place(type(loop)),
                f"{type(loop).__name__} {loop.name!r} is an inner loop of itself, further down.",
                "A tree has no cycles.",
                f"{loop.parent.name}.remove_loop({loop.name})",
            )
            return
        if id(loop) in self.sites:
            self._find_two_places(loop)
            return
        site = self.sites[id(loop)] = _Site(loop)
        for callback in site.loop.cbs:
            if callback.parent is not loop or loop.cbs.count(callback) > 1:
                self._find_two_places(callback)
        for inner in loop.inner_loops:
            if inner.parent is not loop and id(inner) not in above:
                self._find_two_places(inner)
            else:
                self._walk(inner, (*above, id(loop)))

    def _find_two_places(self, node: Node) -> None:
        cls = type(node).__name__
        self.find(
            "two places",
            class_place(type(node)),
            f"The same {cls} {node.name!r} stands in two places of the tree.",
            "Each place needs an object of its own; one loop may be called on several hooks of one parent instead.",
            f"copy.deepcopy({node.name})" if isinstance(node, Callback) else f"{cls}(call_on=['on_a', 'on_b'])",
        )

    # signatures

    def _check_signatures(self) -> None:
        classes = {type(site.loop): site.own for site in self.sites.values()}
        for site in self.sites.values():
            for callback in site.loop.cbs:
                hooks = [Hook(function) for function in class_hooks(type(callback))]
                classes.setdefault(type(callback), [_Placed(hook, callback) for hook in hooks])
        for placed_hooks in classes.values():
            for placed in placed_hooks:
                self._check_signature(placed)

    def _check_signature(self, placed: _Placed) -> None:
        hook = placed.hook
        names = list(inspect.signature(hook.function).parameters)
        wrong = [name for name in names[1:] if name not in PARAMETERS]
        if not names or names[0].startswith("_") or wrong or isinstance(hook.function, staticmethod):
            given = f"{placed.label} takes ({', '.join(names)})."
            close = nearest(wrong[0], PARAMETERS) if wrong else None
            fits = f"A hook takes self and nothing else but {', '.join(PARAMETERS)}, each with a default."
            if close:
                fits += f" Nearest to {wrong[0]!r} is {close!r}."
            kept = ["self", *(f"{name}=..." for name in names[1:] if name in PARAMETERS)]
            self.find("signature", placed.place, given, fits, f"def {hook.name}({', '.join(kept)}):")
            return
        self._check_settings(placed)
        if hook.moment == "on" and hook.event in RESERVED_EVENTS:
            self.find(
                "reserved event",
                placed.place,
                f"{placed.label} stands on what {hook.event!r} frames.",
                f"{hook.event!r} has before_, after_, failed_ and finally_ hooks only.",
                f"def before_{hook.event}(self):",
            )

    def _check_settings(self, placed: _Placed) -> None:
        hook, label = placed.hook, placed.label
        if not _is_number(hook.order):
            self._find_setting(placed, "_order", f"{label} has _order={_shown(hook.order)}.", "a number", "_order=-1")
        if not _is_number(hook.every) or hook.every != int(hook.every) or hook.every < 1:
            self._find_setting(placed, "_every", f"{label} has _every={_shown(hook.every)}.", "1, 2, 3...", "_every=1")
        elif hook.every > 1 and hook.event == "run":
            self._find_setting(
                placed,
                "_every",
                f"{label} has _every={hook.every}, which counts passes.",
                "none: run is no part of a pass",
                "",
            )
        if hook.replace and not isinstance(placed.owner, Callback):
            self._find_setting(
                placed,
                "_replace",
                f"{label} is a loop's own hook with _replace.",
                "a callback's hook",
                "_replace=False",
            )

    def _find_setting(self, placed: _Placed, name: str, given: str, fits: str, write: str) -> None:
        arguments = f"self, {write}" if write else "self"
        self.find(
            "signature",
            placed.place,
            given,
            f"What fits {name} is {fits}.",
            f"def {placed.hook.name}({arguments}):",
        )

    # where inner loops stand

    def _place_inner_loops(self, site: _Site) -> None:
        for inner in site.loop.inner_loops:
            names = list(inner.call_names())
            if not names:
                example = f"on_{site.events[0]}" if site.events else "on_pass"
                self.find(
                    "placed nowhere",
                    class_place(type(inner)),
                    f"{type(inner).__name__} {inner.name!r} has no call_on in {type(site.loop).__name__}.",
                    f"{_events_of(site)}",
                    f"{type(inner).__name__}(call_on={example!r})",
                )
            for name in names:
                self._place_inner_loop(site, inner, name)

    def _place_inner_loop(self, site: _Site, inner: Any, name: str) -> None:
        events = [*site.events, "run", "pass", *(["phase"] if site.phases else [])]
        if Hook.ishook(name) and name.partition("_")[2] in events:
            site.calls.append((name, inner))
            return
        possible = [f"{moment}_{event}" for event in events for moment in ("before", "on", "after")]
        close = nearest(name, possible) or possible[0]
        cls = type(site.loop).__name__
        self.find(
            "unknown call_on",
            class_place(type(inner)),
            f"{type(inner).__name__} {inner.name!r} is called on {name!r}, which {cls} does not have.",
            f"{_events_of(site)} Nearest is {close!r}.",
            f"{type(inner).__name__}(call_on={close!r})",
        )

    # where callbacks' hooks stand

    def _place_callback(self, site: _Site, callback: Any) -> None:
        subtree = [self.sites[id(loop)] for loop in _loops_from(site.loop)]
        bound = self.bound_loops.setdefault(id(callback), [])
        for hook in (Hook(function) for function in class_hooks(type(callback))):
            reserved = hook.event in RESERVED_EVENTS
            if reserved:
                targets = [site] if hook.event != "phase" or site.phases else []
            else:
                targets = [each for each in subtree if hook.event in each.events]
            if hook.replace:
                self._place_replacer(targets, subtree, hook, callback)
            elif not targets and not reserved:
                self._find_unknown_event(site, subtree, _Placed(hook, callback))
            else:
                for target in targets:
                    target.hooks.append(_Placed(hook, callback))
            bound.extend(target.loop for target in targets if target.loop not in bound)

    def _place_replacer(self, targets: list[_Site], subtree: list[_Site], hook: Hook, callback: Node) -> None:
        standing = [(target, own) for target in targets if (own := target.own_hook(hook.name)) is not None]
        for target, own in standing:
            filters = {
                "phase": hook.phase or own.hook.phase,
                "every": hook.every if hook.every > 1 else own.hook.every,
            }
            placed = _Placed(hook.copy(**filters), callback, replaces=own)
            own.replacers.append(placed)
            target.hooks.append(placed)
        if not standing:
            placed = _Placed(hook, callback)
            names = [own.hook.name for each in subtree for own in each.own]
            close = nearest(hook.name, names)
            self.find(
                "unknown event",
                placed.place,
                f"{placed.label} would replace a hook {hook.name!r}, which no loop here has.",
                f"Nearest is {close!r}." if close else f"The hooks here are {listed(dict.fromkeys(names))}.",
                f"def {close or names[0] if names else hook.name}(self, _replace=True):",
            )

    def _find_unknown_event(self, site: _Site, subtree: list[_Site], placed: _Placed) -> None:
        events = dict.fromkeys(event for each in subtree for event in (*each.events, *RESERVED_EVENTS))
        possible = [f"{placed.hook.moment}_{event}" for event in events]
        close = nearest(placed.hook.name, possible) or possible[0]
        self.find(
            "unknown event",
            placed.place,
            f"{placed.label} is plugged into {type(site.loop).__name__}, where no loop has that event.",
            f"Nearest is {close!r}.",
            f"def {close}(self):",
        )

    # replacers and phase filters

    def _check_replacers(self) -> None:
        for site in self.sites.values():
            for own in site.own:
                for number, first in enumerate(own.replacers):
                    for second in own.replacers[number + 1 :]:
                        if _overlap(first.hook, second.hook):
                            self._find_two_replacers(own, first, second)

    def _find_two_replacers(self, own: _Placed, first: _Placed, second: _Placed) -> None:
        self.find(
            "two replacers",
            second.place,
            f"{first.label} ({first.place}) and {second.label} both replace {own.label}.",
            "One hook can be replaced once.",
            f"{second.owner.parent.name}.remove_cb({second.owner.name})",
        )

    def _check_filters(self) -> None:
        wrong: dict[tuple[int, str], tuple[_Placed, list[str]]] = {}
        right: set[tuple[int, str]] = set()
        for site in self.sites.values():
            for placed in site.hooks:
                if placed.hook.phase is None:
                    continue
                key = (id(placed.owner), placed.hook.name)
                there = site.phases_at(placed.hook.event)
                if any(phase_fits(placed.hook.phase, phase) for phase in there):
                    right.add(key)
                else:
                    wrong.setdefault(key, (placed, []))[1].extend(there)
        for key, (placed, names) in wrong.items():
            if key not in right:
                self._find_phase(placed, list(dict.fromkeys(names)))

    def _find_phase(self, placed: _Placed, there: list[str]) -> None:
        given = f"{placed.label} runs in phase {_shown(placed.hook.phase)}, which does not exist there."
        names = placed.hook.phase if isinstance(placed.hook.phase, tuple) else (str(placed.hook.phase),)
        if there:
            close = nearest(names[0], there) or there[0]
            fits = f"The phases there are {listed(there)}. Nearest is {close!r}."
            write = f"def {placed.hook.name}(self, _phase={close!r}):"
        else:
            fits = "Neither that loop nor one above it has phases."
            if placed.hook.event == "pass":
                fits = "A pass frames all its phases, and no loop above has phases."
            write = f"{type(self.root).__name__}(phases={names!r})"
            if placed.hook.event == "pass":
                write = f"def {placed.hook.moment}_phase(self, _phase={placed.hook.phase!r}):"
        self.find("unknown phase", placed.place, given, fits, write)


class _Planner:
    """Writes the plan of a tree whose binding had no errors, and checks the fields on the way."""

    def __init__(self, binder: _Binder) -> None:
        self.sites = binder.sites
        self.root = binder.root
        nodes = [node for site in self.sites.values() for node in (site.loop, *site.loop.cbs)]
        self.scope = Scope(nodes, binder.bound_loops)
        self.findings: list[Finding] = []
        self.plans: dict[int, LoopPlan] = {}
        self._accesses: dict[tuple[int, str], list[Access]] = {}
        self._paths = {id(node): node.path for node in nodes}

    def loop_plan(self, loop: Any) -> LoopPlan:
        site = self.sites[id(loop)]
        path = self._paths[id(loop)]
        phases = [phase for phase in site.phases if loop._only is None or phase.name in loop._only]
        plan = LoopPlan(
            key=path,
            name=loop.name,
            path=path,
            label=type(loop).__name__,
            source=class_place(type(loop)),
            times=loop.times,
            own_items=loop._goes_over_own_items(),
            produces=loop.produces,
            parent=loop.parent.name if loop.parent is not None else None,
            call_on=loop.call_names(),
            run=self._event(site, "run", None),
            pass_=self._event(site, "pass", None),
            phases=tuple(self._phase(site, phase) for phase in phases) or (self._phase(site, None),),
            callbacks=tuple(CallbackPlan(cb.name, type(cb).__name__, class_place(type(cb)), cb) for cb in loop.cbs),
            inner_loops=tuple(self.loop_plan(inner) for inner in loop.inner_loops),
            target=loop,
        )
        self.plans[id(loop)] = plan
        return plan

    def _phase(self, site: _Site, phase: Phase | None) -> PhasePlan:
        name = phase.name if phase else None
        events = [self._event(site, event, name) for event in site.events]
        every = phase.every if phase and site.loop._only is None else 1
        switch = self._switch(site, name) if name is not None else None
        frame = self._event(site, "phase", name)
        switches = switch is not None and site.loop._switches_phases_itself()
        return PhasePlan(name, every, switch, switches, frame, tuple(event for event in events if event.steps))

    def _switch(self, site: _Site, phase: str) -> HookPlan:
        placed = _Placed(Hook(type(site.loop).switch_phase, phase=phase), site.loop)
        return self._hook(site, placed, phase)

    def _event(self, site: _Site, event: str, phase: str | None) -> EventPlan:
        steps: dict[str, tuple[Step, ...]] = {}
        for moment in ("before", "on", "after", "failed", "finally"):
            hooks = [self._hook(site, placed, phase) for placed in self._running(site, moment, event, phase)]
            calls = [
                self._call(site, inner, moment, event, phase)
                for name, inner in site.calls
                if name == f"{moment}_{event}"
            ]
            steps[moment] = (*hooks, *(call for call in calls if _here(call.phase, phase)))
        return EventPlan(event, steps["before"], steps["on"], steps["after"], steps["failed"], steps["finally"])

    def _running(self, site: _Site, moment: str, event: str, phase: str | None) -> Iterator[_Placed]:
        """The hooks of a moment that run in a phase; a replaced hook stands behind its replacer."""
        for placed in site.at(moment, event):
            if not _here(placed.hook.phase, phase):
                continue
            if any(_here(replacer.hook.phase, phase) for replacer in placed.replacers):
                continue
            yield placed

    def _hook(self, site: _Site, placed: _Placed, phase: str | None) -> HookPlan:
        hook, owner = placed.hook, self._paths[id(placed.owner)]
        moment, event = (hook.moment, hook.event) if hook.moment else ("before", "phase")
        accesses = self._fields(placed)
        replaced = placed.replaces
        return HookPlan(
            key="/".join((self._paths[id(site.loop)], phase or "", str(event), str(moment), f"{owner}.{hook.name}")),
            label=placed.label,
            name=hook.name,
            moment=str(moment),
            event=str(event),
            owner=owner,
            source=placed.place,
            order=hook.order,
            phase=hook.phase,
            every=hook.every,
            replaces=self._hook(site, replaced, phase) if replaced is not None else None,
            reads=_field_names(accesses, "read"),
            writes=_field_names(accesses, "write"),
            travels=len(self.scope.bound_loops.get(id(placed.owner), ())) > 1,
            target=placed.owner,
        )

    def _call(self, site: _Site, inner: Any, moment: str, event: str, phase: str | None) -> CallPlan:
        own = site.own_hook(f"{moment}_{event}")
        path = self._paths[id(inner)]
        return CallPlan(
            key="/".join((self._paths[id(site.loop)], phase or "", event, moment, path)),
            name=inner.name,
            loop=path,
            moment=moment,
            event=event,
            phase=own.hook.phase if own else None,
            every=own.hook.every if own else 1,
            target=inner,
        )

    # fields

    def _fields(self, placed: _Placed) -> list[Access]:
        key = (id(placed.owner), placed.hook.name)
        if key not in self._accesses:
            found = function_accesses(self.scope, placed.owner, placed.hook.name, placed.hook.function)
            self._accesses[key] = [access for access in found if access.name not in _BASE_FIELDS]
            for access in self._accesses[key]:
                self._check_field(placed, access)
        return self._accesses[key]

    def _check_field(self, placed: _Placed, access: Access) -> None:
        if access.kind == "write":
            self._check_shadow(placed, access)
        elif access.owner is None and access.name not in self.scope.mentioned | set(dir(type(access.base))):
            self._find_unread(placed, access)

    def _check_shadow(self, placed: _Placed, access: Access) -> None:
        if access.base is not placed.owner or access.name in declared_names(type(placed.owner)):
            return
        for ancestor in list(ancestry(placed.owner))[1:]:
            cls = declared_names(type(ancestor)).get(access.name)
            if cls is not None:
                self.findings.append(
                    Finding(
                        "shadowed field",
                        access.place,
                        f"{placed.label} sets {access.name!r} on {placed.owner.name}, but {cls.__name__} declares it"
                        f" ({class_place(cls)}), and would not see it.",
                        f"Name the loop that the field belongs to, or declare {access.name!r} on"
                        f" {type(placed.owner).__name__} too.",
                        f"self.{ancestor.name}.{access.name} = ...",
                        "warning",
                    )
                )
                return

    def _find_unread(self, placed: _Placed, access: Access) -> None:
        above = list(ancestry(access.base))
        known = {name for node in above for name in known_names(node)}
        close = nearest(access.name, known)
        self.findings.append(
            Finding(
                "unknown field",
                access.place,
                f"{placed.label} reads {access.name!r}, which nobody writes or declares on"
                f" {' or '.join(node.name for node in above)}.",
                f"Nearest is {close!r}."
                if close
                else "A field is set by a hook, in __init__, or declared on the class.",
                f"self.{close}" if close else f"{access.name}: float  # in class {type(access.base).__name__}",
                "warning",
            )
        )


def _loops_from(loop: Any) -> Iterator[Any]:
    yield loop
    for inner in loop.inner_loops:
        yield from _loops_from(inner)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _here(phase_filter: Any, phase: str | None) -> bool:
    """Whether a filter lets a hook into a phase; without phases of the loop's own it is asked at run time."""
    return phase is None or phase_fits(phase_filter, phase)


def _overlap(first: Hook, second: Hook) -> bool:
    if first.phase is None or second.phase is None:
        return True
    names = [{hook.phase} if isinstance(hook.phase, str) else set(hook.phase or ()) for hook in (first, second)]
    return bool(names[0] & names[1])


def _events_of(site: _Site) -> str:
    cls = type(site.loop).__name__
    if not site.events:
        return f"{cls} has no events of its own; every loop has 'before_pass', 'on_pass' and 'after_pass'."
    return f"The events of {cls} are {listed(site.events)}."


def _field_names(accesses: Iterable[Access], kind: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(access) for access in accesses if access.kind == kind))


def _shown(value: Any) -> str:
    return (
        "no default"
        if value is inspect.Parameter.empty
        else repr(as_filter(value) if isinstance(value, tuple) else value)
    )
