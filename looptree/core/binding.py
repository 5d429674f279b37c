"""Binding: the hooks of a tree are collected, its inner loops placed, and everything is checked before the first step.

The checks come in the order in which they need each other: the tree's shape, the signatures of hooks, where inner
loops and callbacks stand, replacers and phases. The fields come last, while the plan is made (`planner.py`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from looptree.core import findings
from looptree.core.arguments import checked_name, checked_times
from looptree.core.callback import Callback
from looptree.core.errors import BadSetting
from looptree.core.findings import Finding
from looptree.core.hook import PARAMETERS, RESERVED_EVENTS, Hook, is_function, misspelt, phase_fits
from looptree.core.node import accessed_names, kept_names, own_classes
from looptree.core.plan import LoopPlan
from looptree.core.planner import Planner
from looptree.core.sites import Placed, Site, loops_from, placed_hooks


@dataclass
class Binding:
    """What binding a tree gives: its findings, and its plan where no finding is an error."""

    findings: list[Finding]
    plan: LoopPlan | None = None
    plans: Mapping[int, LoopPlan] = field(default_factory=dict)  # by the id of the loop
    bound_loops: Mapping[int, list[Any]] = field(default_factory=dict)  # by the id of the callback


def bind(root: Any) -> Binding:
    """Check a tree from its root, and plan it."""
    return _Binder(root).bind()


class _Binder:
    """One binding of one tree."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.findings: list[Finding] = []
        self.warnings: list[Finding] = []
        self.sites: dict[int, Site] = {}
        self.bound_loops: dict[int, list[Any]] = {}

    def bind(self) -> Binding:
        self.walk(self.root)
        if not self.findings:
            self.check_signatures()
        if not self.findings:
            for site in self.sites.values():
                self.place_inner_loops(site)
                self.check_spelling(site.loop, [site])
                for callback in site.loop.cbs:
                    self.place_callback(site, callback)
            self.check_replacers()
            self.check_phases()
        if self.findings:
            return Binding(self.findings)
        planner = Planner(self.sites, self.bound_loops)
        plan = planner.loop_plan(self.root)
        return Binding([*self.warnings, *planner.findings], plan, planner.plans, self.bound_loops)

    def walk(self, loop: Any, above: tuple[int, ...] = ()) -> None:
        """Give every loop a site; find cycles, and loops and callbacks in two places."""
        if id(loop) in above:
            self.findings.append(findings.cycle(loop))
            return
        if id(loop) in self.sites:
            self.findings.append(findings.two_places(loop))
            return
        self.sites[id(loop)] = Site(loop)
        self.check_values(loop)
        for callback in loop.cbs:
            if callback.parent is None:
                self.findings.append(findings.not_added(callback, loop, "add_cb"))
            elif callback.parent is not loop or sum(callback is each for each in loop.cbs) > 1:
                self.findings.append(findings.two_places(callback))
        for inner in loop.inner_loops:
            if inner.parent is None and id(inner) not in (*above, id(loop)):
                self.findings.append(findings.not_added(inner, loop, "add_loop"))
            elif inner.parent is not loop and id(inner) not in above:
                self.findings.append(findings.two_places(inner))
            else:
                self.walk(inner, (*above, id(loop)))

    def check_values(self, loop: Any) -> None:
        """What no constructor has seen: names that a class or hook gave, and `times` that a class has."""
        for node in (loop, *loop.cbs):
            try:
                checked_name(node.name)
            except BadSetting as error:
                self.findings.append(findings.unfit_name(node, error))
        try:
            checked_times(1 if loop.times is None else loop.times)
        except BadSetting as error:
            self.findings.append(findings.unfit_times(loop, error))

    # signatures

    def check_signatures(self) -> None:
        """Check the names and the hooks of every class once."""
        classes = {type(site.loop): site.own for site in reversed(self.sites.values())}
        callbacks = [callback for site in self.sites.values() for callback in site.loop.cbs]
        classes |= {type(callback): placed_hooks(callback) for callback in reversed(callbacks)}
        for cls, hooks in classes.items():
            self.check_names(cls)
            for placed in hooks:
                self.check_signature(placed)

    def check_names(self, cls: type) -> None:
        """Nothing that a class defines, or that its methods set, hides what looptree keeps under that name."""
        kept = kept_names(cls)
        taken = dict.fromkeys((name for name in kept & accessed_names(cls)[1] if name.startswith("_")), cls)
        for base in own_classes(cls):
            defined = vars(base).keys() - vars(base).get("__dataclass_fields__", {}).keys()  # which __init__ sets
            taken |= dict.fromkeys(kept & defined, base)
        self.findings += [findings.reserved_name(taken[name], name) for name in sorted(taken)]

    def check_signature(self, placed: Placed) -> None:
        """A hook takes self and the special parameters, whose defaults fit."""
        if not is_function(placed.hook.function):
            self.findings.append(findings.no_function(placed))
            return
        names = placed.hook.parameters
        wrong = [name for name in names[1:] if name not in PARAMETERS]
        if not names or names[0] in PARAMETERS or wrong or isinstance(placed.hook.function, staticmethod):
            self.findings.append(findings.takes_more(placed, names, wrong))
            return
        function = inspect.unwrap(placed.hook.function)
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            self.findings.append(findings.would_not_run(placed))
            return
        self.check_settings(placed)
        if placed.hook.moment == "on" and placed.hook.event in RESERVED_EVENTS:
            self.findings.append(findings.on_reserved(placed))

    def check_settings(self, placed: Placed) -> None:
        """The defaults of the special parameters."""
        hook = placed.hook
        wrong: list[tuple[str, str, str, str]] = []
        names = hook.phase if isinstance(hook.phase, tuple) else (hook.phase,)
        if hook.phase is not None and not (names and all(isinstance(name, str) and name for name in names)):
            wrong.append(("_phase", _shown(hook.phase), "a phase's name, or a tuple of names", "_phase='train'"))
        if not _is_number(hook.order):
            wrong.append(("_order", _shown(hook.order), "a number", "_order=-1"))
        if not isinstance(hook.every, int) or isinstance(hook.every, bool) or hook.every < 1:
            wrong.append(("_every", _shown(hook.every), "1, 2, 3...", "_every=1"))
        elif hook.every > 1 and hook.event == "run":
            wrong.append(("_every", str(hook.every), "nothing here: it counts passes, and run is outside of them", ""))
        if hook.replace and not isinstance(placed.owner, Callback):
            wrong.append(("_replace", "True", "only a callback's hook; a loop's own is overridden in a subclass", ""))
        self.findings += [findings.bad_setting(placed, *each) for each in wrong]

    # where inner loops and callbacks stand

    def place_inner_loops(self, site: Site) -> None:
        """Let every inner loop of a site be called where its `call_on` says."""
        for inner in site.loop.inner_loops:
            names = inner.call_names()
            if not names:
                self.findings.append(findings.placed_nowhere(inner, site))
            for name in names:
                if Hook.ishook(name) and name.partition("_")[2] in site.all_events:
                    site.calls.append((name, inner))
                else:
                    self.findings.append(findings.unknown_call_on(inner, site, name))

    def place_callback(self, site: Site, callback: Any) -> None:
        """Let a callback's hooks stand at every loop from its own one down that has the event; those on reserved
        events at its own one only."""
        subtree = [self.sites[id(loop)] for loop in loops_from(site.loop)]
        bound = self.bound_loops.setdefault(id(callback), [])
        self.check_spelling(callback, subtree)
        for placed in placed_hooks(callback):
            event = str(placed.hook.event)
            reserved = event in RESERVED_EVENTS
            targets = [each for each in ([site] if reserved else subtree) if event in each.all_events]
            if placed.hook.replace:
                self.place_replacer(placed, site, targets, subtree)
            elif targets or reserved:
                for target in targets:
                    target.place(placed)
            else:
                self.findings.append(findings.unknown_event(placed, site, subtree))
            if reserved and not targets and placed.hook.phase is not None:
                self.findings.append(findings.unknown_phase(placed, self.root, []))
            bound.extend(each.loop for each in targets if not any(each.loop is loop for loop in bound))

    def check_spelling(self, owner: Any, sites: list[Site]) -> None:
        """A method whose name misses that of a hook there by a letter, and which nothing in its class calls."""
        events = {event for site in sites for event in site.all_events}
        for base in own_classes(type(owner)):
            for name, value in vars(base).items():
                meant = misspelt(name, events)
                if meant and callable(value) and is_function(value) and name not in accessed_names(type(owner))[0]:
                    self.warnings.append(findings.unknown_moment(Placed(Hook(value), owner), meant))

    def place_replacer(self, placed: Placed, site: Site, targets: list[Site], subtree: list[Site]) -> None:
        """Let a hook stand for the loop's own of its name, whose phase and every it keeps unless it says others."""
        standing = [(target, own) for target in targets if (own := target.own_hook(placed.hook.name)) is not None]
        for target, own in standing:
            hook = placed.hook.copy(
                phase=placed.hook.phase or own.hook.phase,
                every=placed.hook.every if placed.hook.every > 1 else own.hook.every,
            )
            replacer = Placed(hook, placed.owner, replaces=own)
            own.replacers.append(replacer)
            target.place(replacer)
        if not standing:
            self.findings.append(findings.replaces_nothing(placed, site, subtree))

    # replacers and phases

    def check_replacers(self) -> None:
        """One hook is replaced once in a phase."""
        for own in (own for site in self.sites.values() for own in site.own):
            for number, first in enumerate(own.replacers):
                for second in own.replacers[number + 1 :]:
                    if _overlap(first.hook, second.hook):
                        self.findings.append(findings.two_replacers(own, first, second))

    def check_phases(self) -> None:
        """Every `_phase` exists at one at least of the places where its hook stands."""
        wrong: dict[tuple[int, str], tuple[Placed, list[str]]] = {}
        right: set[tuple[int, str]] = set()
        for site in self.sites.values():
            for placed in (each for each in site.hooks if each.hook.phase is not None):
                key = (id(placed.owner), placed.hook.name)
                there = site.phases_at(placed.hook.event)
                if any(phase_fits(placed.hook.phase, phase) for phase in there):
                    right.add(key)
                else:
                    wrong.setdefault(key, (placed, []))[1].extend(there)
        for key, (placed, names) in wrong.items():
            if key not in right:
                self.findings.append(findings.unknown_phase(placed, self.root, list(dict.fromkeys(names))))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _overlap(first: Hook, second: Hook) -> bool:
    if first.phase is None or second.phase is None:
        return True
    names = [{hook.phase} if isinstance(hook.phase, str) else set(hook.phase or ()) for hook in (first, second)]
    return bool(names[0] & names[1])


def _shown(value: object) -> str:
    return "(no default)" if value is inspect.Parameter.empty else repr(value)
