"""Timings: what the meters of a Profile say of each line of the tree.

A loop's own time is what the hooks and inner loops called by it leave of its runs: `items()` and the engine. So the
own times of all lines add up to the total.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from looptree.core.plan import CallPlan, HookPlan, LoopPlan, PhasePlan, Step
from looptree.core.tree import Branch, branches
from looptree.observe.meter import Meter


@dataclass(frozen=True)
class Timing:
    """Calls and times of one line of the tree.

    Attributes:
        path: what to ask the Profile for: `learner.update.on_loss`, `learner.train.clip.before_step`.
        kind: "loop", "phase", "hook", or "call": a place of an inner loop other than the first, where all its runs
            are counted.
        calls: how often it was called; of a loop, its runs; 0 for a phase.
        total_s: seconds in it, with all that it calls.
        own_s: seconds in it alone. 0 for a phase and a call, whose lines only group what other lines say.
        all_s: the seconds of the whole Profile.
        place: `file:line`.
        name: what the line is called in the tree: `before_step`, `phase train`.
        note: what the tree says beside that: a callback, an inner loop, when it runs.
        depth: how many lines stand above it, up to that of the loop that was watched.
        key: of the hook or inner loop in the plan and in the code; none for a phase.
    """

    path: str
    kind: str
    calls: int
    total_s: float
    own_s: float
    all_s: float
    place: str = ""
    name: str = ""
    note: str = ""
    depth: int = 0
    key: str = ""

    @property
    def mean_s(self) -> float:
        """Seconds a call; 0 without a call."""
        return self.total_s / self.calls if self.calls else 0.0

    @property
    def share(self) -> float:
        """The part of the whole Profile, from 0 to 1."""
        return self.total_s / self.all_s if self.all_s else 0.0


class Timings:
    """The times of a whole tree at one moment, line by line."""

    def __init__(self, plan: LoopPlan, meters: Mapping[str, Meter], now_s: float) -> None:
        self.plan = plan
        self.root = branches(plan)
        self._meters = meters
        self._now_s = now_s
        self._above = {inner.path: loop.path for loop in plan.walk() for inner in loop.inner_loops}
        self._calls: dict[str, list[Meter]] = {loop.key: [] for loop in plan.walk()}  # of each loop, place by place
        for step in (step for loop in plan.walk() for step in all_steps(loop) if isinstance(step, CallPlan)):
            self._calls[step.loop].append(self._meter(step.key))
        self.total_s = sum(self._alone_s(loop) for loop in plan.walk())
        self.by_line: dict[int, Timing] = {}  # by the id of the branch
        self._aliases: dict[str, list[Timing]] = {}
        self._read(self.root, None, 0, set())

    def __iter__(self) -> Iterator[Timing]:
        return iter(self.by_line.values())

    def asked(self, path: str) -> Timing | None:
        """The times of a loop, a phase, a hook or a callback by its path; None where there is no such."""
        for full_path in (path, f"{self.plan.path}.{path}"):
            found = [timing for timing in self if timing.path == full_path] or self._aliases.get(full_path, [])
            if len(found) > 1:
                calls = sum(timing.calls for timing in found)
                total_s, own_s = sum(timing.total_s for timing in found), sum(timing.own_s for timing in found)
                return dataclasses.replace(found[0], path=full_path, calls=calls, total_s=total_s, own_s=own_s)
            if found:
                return found[0]
        return None

    def paths(self) -> list[str]:
        """Every path that can be asked for."""
        return [*(timing.path for timing in self), *self._aliases]

    # reading the meters

    def _meter(self, key: str) -> Meter:
        return self._meters.get(key) or Meter(-1)

    def _loop_s(self, loop: LoopPlan) -> float:
        meter = self._meter(loop.key)
        return meter.total_s + sum(call.total_s for call in self._calls[loop.key]) + meter.running_s(self._now_s)

    def _alone_s(self, loop: LoopPlan) -> float:
        """Seconds of the runs of a loop that no loop of this tree called."""
        meter = self._meter(loop.key)
        above = self._above.get(loop.path)
        called = above is not None and self._meter(above).since_s is not None
        return meter.total_s + (0.0 if called else meter.running_s(self._now_s))

    def _own_s(self, loop: LoopPlan) -> float:
        hooks = {step.key for step in all_steps(loop) if isinstance(step, HookPlan)}
        called = sum(self._loop_s(inner) - self._alone_s(inner) for inner in loop.inner_loops)
        return self._loop_s(loop) - sum(self._meter(key).total_s for key in hooks) - called

    def _read(self, branch: Branch, phase: str | None, depth: int, seen: set[str]) -> None:
        part, inner = branch.part, branch.inner
        if isinstance(part, str):
            return
        where = branch.loop.path if phase is None else f"{branch.loop.path}.{phase}"
        if isinstance(part, PhasePlan):
            phase = part.name
            total_s = sum(self._meter(step.key).total_s for step in _phase_steps(part))
            timing = self._timing(branch, depth, f"{branch.loop.path}.{phase}", "phase", 0, total_s, 0.0)
        elif isinstance(part, HookPlan):
            if part.key in seen:
                return  # it was replaced on the way, and has its line
            seen.add(part.key)
            timing = self._hook(part, branch, depth, where)
        elif branch.again:
            assert inner is not None
            meter = self._meter(part.key)
            path = f"{where}.{branch.name}.{inner.name}"
            timing = self._timing(branch, depth, path, "call", meter.calls, meter.total_s, 0.0)
        else:
            assert inner is not None
            phase = None
            calls = sum(meter.calls for meter in (self._meter(inner.key), *self._calls[inner.key]))
            timing = self._timing(branch, depth, inner.path, "loop", calls, self._loop_s(inner), self._own_s(inner))
        self.by_line[id(branch)] = timing
        for child in branch.children:
            self._read(child, phase, depth + 1, seen)

    def _hook(self, hook: HookPlan, branch: Branch, depth: int, where: str) -> Timing:
        meter = self._meter(hook.key)
        name = hook.name
        callback = hook.owner.rpartition(".")[2] if hook.owner != branch.loop.path else ""
        path = f"{where}.{callback}.{name}" if callback else f"{where}.{name}"
        timing = self._timing(branch, depth, path, "hook", meter.calls, meter.total_s, meter.total_s)
        others = {f"{where}.{name}", f"{branch.loop.path}.{name}", f"{hook.owner}.{name}"}
        if callback:
            others |= {hook.owner, f"{branch.loop.path}.{callback}.{name}"}
        for other in others - {path}:
            self._aliases.setdefault(other, []).append(timing)
        return timing

    def _timing(
        self, branch: Branch, depth: int, path: str, kind: str, calls: int, total_s: float, own_s: float
    ) -> Timing:
        key = branch.part.key if isinstance(branch.part, LoopPlan | HookPlan | CallPlan) else ""
        shown = (branch.place, branch.name, branch.note, depth, key)
        return Timing(path, kind, calls, total_s, own_s, self.total_s, *shown)


def _phase_steps(phase: PhasePlan) -> Iterator[Step]:
    """The steps of a phase, and the hooks that run where their replacers' filters say no."""
    switch = (phase.switch,) if phase.switch is not None else ()
    steps = {step.key: step for step in (*switch, *phase.frame.steps, *(s for e in phase.events for s in e.steps))}
    for step in list(steps.values()):
        if isinstance(step, HookPlan) and step.replaces is not None:
            steps.setdefault(step.replaces.key, step.replaces)
    yield from steps.values()


def all_steps(loop: LoopPlan) -> Iterator[Step]:
    """The steps of a loop, and the hooks that run where their replacers' filters say no."""
    for step in loop.steps():
        yield step
        if isinstance(step, HookPlan) and step.replaces is not None:
            yield step.replaces
