"""Stopwatch: the lines that a Profile puts into the generated code, and the meters that they count up.

Around a hook they are

    then = clock()
    try:
        clip.before_step()
    finally:
        now = clock()
        before_step.total_s += now - then
        before_step.calls += 1

and hooks that follow each other share a reading: the second one has `then = now` instead. An inner loop is timed where
it is called, which its own lines are told by `since_s`; they time a run that nobody called. The names begin with that
of the stopwatch, and are local variables, which are the cheapest.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from looptree.core.codegen import indented
from looptree.core.names import free_name
from looptree.core.node import ancestry
from looptree.core.plan import CallPlan, HookPlan, LoopPlan, Step
from looptree.core.watch import Watcher
from looptree.observe.merged import merged
from looptree.observe.meter import Clock, Keep, Meter, Timed
from looptree.observe.timings import all_steps

_WORDS = ("clock", "timed", "keep", "then", "now", "begins", "began")


class Stopwatch:
    """Core's Watcher for a Profile.

    Attributes:
        name: what the names in its lines begin with; another one for each that watches the same loop.
        plan: all that was bound so far; None before the first time.
        meters: a meter for each loop and step of the plan, by key.
        counted: the loops and hooks themselves, by their meters' numbers.
    """

    def __init__(self, clock: Clock, keep: Keep | None) -> None:
        self.name = "profile"
        self.plan: LoopPlan | None = None
        self.meters: dict[str, Meter] = {}
        self.counted: list[LoopPlan | HookPlan] = []
        self._clock = clock
        self._keep = keep
        self._variables: dict[str, str] = {}  # of the meters, by key
        self._openings: dict[str, list[str]] = {}  # of the loops' functions, by key
        self._following: frozenset[str] = frozenset()

    def bound(self, plan: LoopPlan) -> dict[str, object]:
        """Make a meter for whatever has none, and for each function a tuple of those that it needs."""
        self.plan = plan if self.plan is None else merged(self.plan, plan)
        self._following = following(plan, self._further_out(plan))
        self._name_all(plan)
        names: dict[str, object] = {f"{self._me}_timed": self._timed, f"{self._me}_keep": self._keep}
        for number, loop in enumerate(plan.walk(), 1):
            keys = dict.fromkeys(each.key for each in (loop, *loop.inner_loops, *all_steps(loop)))
            variables = ", ".join([f"{self._me}_clock", *(self._variables[key] for key in keys)])
            lines = indented(textwrap.wrap(variables, 80))
            self._openings[loop.key] = ["(", *lines, f") = {self._me}_{number}"]
            names[f"{self._me}_{number}"] = (self._clock, *(self.meters[key] for key in keys))
        return names

    def around_step(self, step: Step, lines: list[str]) -> list[str]:
        """Read the clock before and after, or only after where a step before has just read it."""
        me, meter = self._me, self._variables[step.key]
        begun, ended = [], []
        if isinstance(step, CallPlan):
            begun = [f"{self._variables[step.loop]}.since_s = {me}_then"]
            ended = [f"{self._variables[step.loop]}.since_s = None"]
        if self._keep is not None:
            ended.append(f"{me}_keep(({self.meters[step.key].number}, {me}_then, {me}_now))")
        return [
            f"{me}_then = {me}_now" if step.key in self._following else f"{me}_then = {me}_clock()",
            *begun,
            "try:",
            *indented(lines),
            "finally:",
            f"    {me}_now = {me}_clock()",
            f"    {meter}.total_s += {me}_now - {me}_then",
            f"    {meter}.calls += 1",
            *indented(ended),
        ]

    def around_callable(self, step: Step, expression: str) -> str:
        """Let the engine's helper call the hook by way of its meter."""
        return f"{self._me}_timed({expression}, {self._variables[step.key]})"

    def around_pass(self, loop: LoopPlan, lines: list[str]) -> list[str]:
        """A pass as such has no meter."""
        return lines

    def around_run(self, loop: LoopPlan, lines: list[str]) -> list[str]:
        """Time a run that no loop watched here has called; code that goes on with one after a change finds it under
        way, too."""
        me, meter = self._me, self._variables[loop.key]
        return [
            *self._openings[loop.key],
            f"{me}_begins = {meter}.since_s is None",
            f"if {me}_begins:",
            f"    {meter}.since_s = {me}_began = {me}_clock()",
            "try:",
            *indented(line for each in lines for line in self._around_yield(each, meter)),
            "finally:",
            f"    if {me}_begins:",
            *indented(self._end_of_run(loop, meter), 2),
        ]

    def _end_of_run(self, loop: LoopPlan, meter: str) -> list[str]:
        me = self._me
        return [
            f"{me}_now = {me}_clock()",
            f"{meter}.total_s += {me}_now - {meter}.since_s",
            f"{meter}.calls += 1",
            f"{meter}.since_s = None",
            *([f"{me}_keep(({self.meters[loop.key].number}, {me}_began, {me}_now))"] if self._keep else []),
        ]

    def _around_yield(self, line: str, meter: str) -> list[str]:
        """A line of a run; the time between handing an item to a consumer and being asked for more does not count."""
        code = line.lstrip()
        if not code.startswith("yield ") or code.startswith("yield from "):
            return [line]
        lines = [
            f"{meter}.away_s = {self._me}_clock()",
            "try:",
            f"    {code}",
            "finally:",
            f"    {meter}.since_s += {self._me}_clock() - {meter}.away_s",
            f"    {meter}.away_s = None",
        ]
        return indented(lines, (len(line) - len(code)) // 4)

    @property
    def _me(self) -> str:
        return f"_{self.name}"  # no loop or callback has a name that begins with an underscore

    def _name_all(self, plan: LoopPlan) -> None:
        """A meter and a name for everything; that of a call counts with the number of the loop called."""
        taken = {f"{self._me}_{word}" for word in _WORDS}
        self._variables = {}
        loops = list(plan.walk())
        for part in (*loops, *(step for loop in loops for step in all_steps(loop))):
            if part.key not in self.meters:
                run = self.meters[part.loop] if isinstance(part, CallPlan) else None
                self.meters[part.key] = Meter(len(self.counted) if run is None else run.number, run)
                if not isinstance(part, CallPlan):
                    self.counted.append(part)
            if part.key not in self._variables:
                self._variables[part.key] = free_name(f"{self._me}_{part.name}", taken)
                taken.add(self._variables[part.key])

    def _timed(self, hook: Callable[[], object], meter: Meter) -> Timed:
        return Timed(hook, meter, self._clock, self._keep)

    def _further_out(self, plan: LoopPlan) -> list[Watcher]:
        """Who puts lines around those of this stopwatch."""
        above = [watcher for node in reversed(list(ancestry(plan.target))) for watcher in node.watchers]
        return above[: above.index(self)]


def watchers(loop: Any) -> Iterator[Watcher]:
    """Whoever watches a loop, one above it, or one below it."""
    below = [loop]
    for each in below:
        below.extend(each.inner_loops)
    for node in {id(node): node for node in (*ancestry(loop), *below)}.values():
        yield from node.watchers


def following(plan: LoopPlan, further_out: Sequence[Watcher]) -> frozenset[str]:
    """The keys of the steps that follow another one directly, of which the first is never filtered out.

    A step around which a watcher further out does something follows none, nor does one follow it: the time that this
    takes is of neither.
    """
    found: set[str] = set()
    for loop in plan.walk():
        for stretch, in_phase in _stretches(loop):
            read = False
            for step in stretch:
                if any(watcher.around_step(step, ["pass"]) != ["pass"] for watcher in further_out):
                    read = False
                    continue
                if read:
                    found.add(step.key)
                read = read or (step.every == 1 and (in_phase or step.phase is None))
    return frozenset(found)


def _stretches(loop: LoopPlan) -> Iterator[tuple[Sequence[Step], bool]]:
    """Steps between which nothing else runs, and whether their phase is settled."""
    for frame in (loop.run, loop.pass_):
        yield frame.before, False
        yield frame.on + frame.after, False
    for phase in loop.phases:
        named = phase.name is not None
        yield phase.frame.before, named
        yield phase.frame.on + phase.frame.after, named
        for event in phase.events:
            yield event.before + event.on + event.after, named
