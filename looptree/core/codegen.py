"""Code generation: a plan is written out as the nested `for` and `try` that a careful person would have typed.

`write(plan)` is a pure function from a plan to lines; nothing is run or compiled here. Every level (run, pass, phase,
event) is one `try`; a level that nobody hooks and that frames a single other one shares its `try`.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from looptree.core.names import free_name
from looptree.core.plan import CallPlan, EventPlan, HookPlan, LoopPlan, PhasePlan, Step
from looptree.core.watch import Watcher

HELPERS = ("enter", "items", "clear", "leaves", "finish", "changed", "resume", "repull", "Cancel")
_LOCALS = ("passes", "error", "cancel", "problem", "failed", "hooks")
_TAKEN = frozenset({*HELPERS, *keyword.kwlist, "BaseException", *_LOCALS})
_COMMENT_COLUMN = 60


class Line(str):
    """A line of generated code, the step that stands on it, and the event that it is about."""

    step: Step | None = None
    event: str | None = None
    comment: str = ""


def line(text: str, step: Step | None = None, event: str | None = None, comment: str = "") -> Line:
    """A line with what is known of it."""
    made = Line(text)
    made.step, made.event, made.comment = step, event, comment
    return made


def indented(lines: Iterable[str], by: int = 1) -> list[str]:
    """Lines further in, each still knowing its step."""
    moved: list[str] = []
    for each in lines:
        text = "    " * by + each
        moved.append(line(text, each.step, each.event, each.comment) if isinstance(each, Line) else text)
    return moved


@dataclass(frozen=True)
class Function:
    """The generated function of one loop: its lines, and the objects that its parameters stand for."""

    name: str
    lines: list[Line]
    arguments: tuple[Any, ...]


def write(plan: LoopPlan, names: dict[int, str], watchers: Sequence[Watcher], pulled: bool = False) -> Function:
    """The function of one loop. `names` has a name for each loop's function by the id of the loop, `watchers` those
    that watch this loop, the outermost first; `pulled` writes the generator that `for x in loop` goes over."""
    return Writer(plan, names, watchers, pulled).function()


def function_names(plan: LoopPlan) -> dict[int, str]:
    """A name for the function of every loop of a tree: the loop's own, told apart by its parent's where two agree."""
    names: dict[int, str] = {}
    for each in plan.walk():
        used = {*names.values(), *_TAKEN}
        *above, name = each.path.split(".")
        while name in used and above:
            name = f"{above.pop()}_{name}"
        names[id(each.target)] = free_name(name, used)
    return names


class Writer:
    """Writes one function."""

    def __init__(self, plan: LoopPlan, names: dict[int, str], watchers: Sequence[Watcher], pulled: bool) -> None:
        self.plan = plan
        self.watchers = watchers
        self.pulled = pulled
        self.function_name = names[id(plan.target)]
        self.variables: dict[int, str] = {}
        self.objects: list[Any] = []
        self.loop = self.variable(plan.target)

    def variable(self, target: Any) -> str:
        """The name of a loop or callback in this function, which becomes one of its parameters."""
        if id(target) not in self.variables:
            self.variables[id(target)] = free_name(target.name, {*self.variables.values(), *_TAKEN})
            self.objects.append(target)
        return self.variables[id(target)]

    def function(self) -> Function:
        body = self.run()
        for watcher in reversed(self.watchers):
            body = watcher.around_run(self.plan, body)
        parameters = ", ".join([*self.variables.values(), "passes=None"])
        lines = [
            f"def {self.function_name}({parameters}):",
            *indented([f'"""{_summary(self.plan)}"""', *body]),
        ]
        return Function(self.function_name, _finished(lines), tuple(self.objects))

    # levels, from the outside in

    def run(self) -> list[str]:
        """All passes of one run."""
        frame = self.plan.run
        body = [
            *(self.only_pass() if self.is_single() else self.passes()),
            f"{self.loop}.count = {self.loop}._first + {self.loop}.index + 1",
            *self.steps(frame.on),
            *self.steps(frame.after),
        ]
        return self.level(("run",), body, frame)

    def is_single(self) -> bool:
        """Whether a run is one pass for its parent, as those of loops are that serve each pass of another."""
        plan = self.plan
        return plan.parent is not None and plan.makes_one_pass and not plan.run.before and not self.pulled

    def only_pass(self) -> list[str]:
        """The pass of a run of one, which begins at once: nothing comes before it, and nothing decides about it."""
        return [
            "if passes is None:",
            f"    if {self.loop}._marked:",
            f"        clear({self.loop})",
            f"    {self.loop}.phase, {self.loop}._first = {self.loop}.parent.phase, {self.loop}.count",
            f"    {self.loop}.index = {self.loop}.item = 0",
            *indented(self.one_pass()),
            f"    if {self.loop}._pending:",
            f"        if changed({self.loop}):",
            f"            return resume({self.loop}, ())",
        ]

    def passes(self) -> list[str]:
        """Pass after pass, from the first of a run, or from where code that was left behind has come to."""
        frame = self.plan.run
        yielded = [f"{self.loop}.count += 1", f"yield {self.loop}.{self.plan.produces}"]
        go_on = ["yield from repull", "return"] if self.pulled else ["return resume"]
        resumed = [f"if changed({self.loop}):", f"    {go_on[0]}({self.loop}, passes)", *indented(go_on[1:])]
        asked = [f"if {self.loop}._pending:", *indented(resumed)]  # by before_run or items()
        return [
            "if passes is None:",
            *indented([f"enter({self.loop})", *self.steps(frame.before), f"passes = items({self.loop})"]),
            *(indented(asked) if frame.before or self.plan.own_items else []),
            f"for {self.loop}.index, {self.loop}.count, {self.loop}.item in passes:",
            *indented(self.one_pass()),
            *indented(yielded if self.pulled else []),
            *indented([f"if {self.loop}._pending:", *indented(resumed), "    break"]),
        ]

    def one_pass(self) -> list[str]:
        """One pass: its phases, within the hooks on `pass`."""
        frame = self.plan.pass_
        phases = self.plan.phases
        with_phases = phases[0].name is not None
        shares = not frame.steps and len(phases) == 1
        if shares:
            body = self.phase(phases[0], ("pass",))
            lines = [*body, *self.out_of_phases(with_phases)]
        else:
            body = [
                *self.steps(frame.before),
                *(each for phase in phases for each in self.phase(phase, ())),
                *self.out_of_phases(with_phases),
                *self.steps(frame.on),
                *self.steps(frame.after),
            ]
            lines = self.level(("pass",), body, frame)
        for watcher in reversed(self.watchers):
            lines = watcher.around_pass(self.plan, lines)
        return lines

    def out_of_phases(self, with_phases: bool) -> list[str]:
        """What a loop with phases of its own does when they are over: it is in the phase in which it was called."""
        if not with_phases:
            return []
        outside = "None" if self.plan.parent is None else f"{self.loop}.parent.phase"
        return [f"{self.loop}.phase = {outside}"]

    def phase(self, phase: PhasePlan, shared: tuple[str, ...]) -> list[str]:
        """One phase with its events; `shared` are the levels outside that leave their `try` to it."""
        if phase.name is None:
            return self.events(phase, shared)
        opened = [f"{self.loop}.phase = {_quoted(phase.name)}"]
        if phase.switches or phase.frame.steps:
            switch = self.step(phase.switch, _quoted(phase.name)) if phase.switches and phase.switch else []
            body = [
                *switch,
                *self.steps(phase.frame.before),
                *self.events(phase, ()),
                *self.steps(phase.frame.on),
                *self.steps(phase.frame.after),
            ]
            lines = [*opened, *self.level(("phase", *shared), body, phase.frame)]
        else:
            lines = [*opened, *self.events(phase, ("phase", *shared))]
        if phase.every > 1:
            return [f"if {self.nth(phase.every)}:", *indented(lines)]
        return lines

    def events(self, phase: PhasePlan, shared: tuple[str, ...]) -> list[str]:
        """The events of a phase, within the `try` of the levels that share one."""
        if len(phase.events) == 1 or not shared:
            return [each for event in phase.events for each in self.event(event, shared)] or ["pass"]
        body = [each for event in phase.events for each in self.event(event, ())]
        return self.level(shared, body or ["pass"], EventPlan("none"))

    def event(self, event: EventPlan, shared: tuple[str, ...]) -> list[str]:
        """One event: before, on, after, each with the inner loops that are called there."""
        body = [*self.steps(event.before), *self.steps(event.on), *self.steps(event.after)]
        return self.level((event.name, *shared), body or ["pass"], event)

    def level(self, names: tuple[str, ...], body: list[str], frame: EventPlan) -> list[str]:
        """The one `try` of a level: what it does, then how an exception leaves it, then what is always done."""
        named = ", ".join(f'"{name}"' for name in names)
        hooked = frame.failed or frame.finally_ or "run" in names or ("pass" in names and self.plan.may_recover_below)
        caught, error = ("BaseException", "error") if hooked else ("Cancel", "cancel")
        failed = ", failed=failed" if frame.failed else ""
        lines = [
            "try:",
            *indented(body),
            f"except {caught} as {error}:",
            *indented(self.handed("failed", frame.failed)),
            f"    if not leaves({self.loop}, {error}, {named}{failed}):",
            "        raise",
        ]
        if frame.finally_:
            hooks = ", ".join(self.expression(step) for step in frame.finally_)
            lines += [
                "finally:",
                *indented(self.handed("hooks", frame.finally_)),
                f"    if problem := finish({self.loop}, {named}, hooks=hooks):",
                line("        raise problem", comment=f"by {hooks}"),
            ]
        return [each if getattr(each, "event", None) else _about(each, names[0]) for each in lines]

    def handed(self, name: str, steps: Sequence[Step]) -> list[str]:
        """The list of the steps that a helper is to call."""
        members = [(self.callable(step), _comment(step)) for step in steps]
        if len(members) == 1:
            (member, comment) = members[0]
            return [line(f"{name} = [{member}]", comment=comment)]
        listed = [line(f"    {member},", comment=comment) for member, comment in members]
        return [f"{name} = [", *listed, "]"] if listed else []

    # steps

    def steps(self, steps: Iterable[Step]) -> list[str]:
        """Steps one after the other; neighbours under the same condition share one `if`."""
        lines: list[str] = []
        open_condition = ""
        for step in steps:
            condition = self.condition(step)
            if condition and condition != open_condition:
                lines.append(f"if {condition}:")
            lines += indented(self.step(step)) if condition else self.step(step)
            open_condition = condition
            if self.fallback(step):
                lines += self.otherwise(step)
                open_condition = ""
        return lines

    def step(self, step: Step, argument: str = "") -> list[str]:
        """The lines of one step, with what its watchers put around them, and its source as a comment."""
        call = f"{self.expression(step)}({argument})"
        follow = isinstance(step, HookPlan) and step.travels
        lines = [*([f"{self.variable(step.target)}.loop = {self.loop}"] if follow else []), call]
        for watcher in reversed(self.watchers):
            lines = watcher.around_step(step, lines)
        return [line(each, step, step.event, _comment(step) if call in each else "") for each in lines]

    def expression(self, step: Step) -> str:
        name = step.name if isinstance(step, HookPlan) else "_go"
        return f"{self.variable(step.target)}.{name}"

    def callable(self, step: Step) -> str:
        """A step as it is handed over to a helper, behind its condition."""
        expression = self.watched(step)
        condition = self.condition(step)
        if not condition:
            return expression
        if self.fallback(step):
            assert isinstance(step, HookPlan) and step.replaces is not None
            return f"{expression} if {condition} else {self.callable(step.replaces)}"
        return f"{condition} and {expression}"

    def watched(self, step: Step) -> str:
        """The function of a step, as its watchers wrap it."""
        expression = self.expression(step)
        for watcher in reversed(self.watchers):
            expression = watcher.around_callable(step, expression)
        return expression

    def fallback(self, step: Step) -> bool:
        """Whether the hook that a step replaces still runs where the step's own filters say no."""
        if not isinstance(step, HookPlan) or step.replaces is None:
            return False
        return self.condition(step) not in ("", self.condition(step.replaces))

    def otherwise(self, step: Step) -> list[str]:
        replaced = step.replaces if isinstance(step, HookPlan) else None
        assert replaced is not None
        condition = self.condition(replaced)
        return [f"elif {condition}:" if condition else "else:", *indented(self.step(replaced))]

    def condition(self, step: Step) -> str:
        """The test that stands before a step at run time; what its phase alone decides is decided already."""
        tests = []
        if step.phase is not None and self.asks_phase(step):
            names = (step.phase,) if isinstance(step.phase, str) else step.phase
            shown = f"== {_quoted(names[0])}" if len(names) == 1 else f"in {_tuple(names)}"
            tests.append(f"{self.loop}.phase {shown}")
        if step.every > 1:
            tests.append(self.nth(step.every))
        return " and ".join(tests)

    def asks_phase(self, step: Step) -> bool:
        return self.plan.phases[0].name is None or step.event in ("run", "pass")

    def nth(self, every: int) -> str:
        return f"({self.loop}.count + 1) % {every} == 0"


def _about(text: str, event: str) -> Line:
    """A line that ends a level."""
    return line(text, None, event, text.comment if isinstance(text, Line) else "")


def _comment(step: Step) -> str:
    if isinstance(step, CallPlan):
        return f"{step.loop}, below"
    return step.source + (f", instead of {step.replaces.label}" if step.replaces is not None else "")


def _quoted(name: str) -> str:
    """A string as Python code, in double quotes unless it has some."""
    return repr(name) if '"' in name else f'"{repr(name)[1:-1]}"'


def _tuple(names: tuple[str, ...]) -> str:
    return "(" + ", ".join(map(_quoted, names)) + ")"


def _summary(plan: LoopPlan) -> str:
    """The docstring of a loop's function."""
    words = [f"{plan.label}: {_passes(plan)}"]
    if plan.parent is not None:
        words.append(f"each time {plan.parent} calls it on {' and '.join(plan.call_on)}")
    text = ", ".join(words)
    if plan.phases[0].name is not None:
        phases = (
            f"{phase.name} (every {phase.every} passes)" if phase.every > 1 else str(phase.name)
            for phase in plan.phases
        )
        text += f"; phases {', '.join(phases)}"
    return repr(text.replace('"', "'"))[1:-1] + "."


def _passes(plan: LoopPlan) -> str:
    own_items = plan.own_items
    if plan.times is None:
        return "a pass for each of its items()" if own_items else "one pass"
    if plan.times == math.inf:
        return "a pass for each of its items()" if own_items else "passes without end"
    number = "1 pass" if plan.times == 1 else f"{plan.times} passes"
    return f"at most {number}, for its items()" if own_items else number


def _finished(lines: Iterable[str]) -> list[Line]:
    """Lines with their comments written behind them, in one column where they leave room."""
    done = []
    for each in lines:
        made = each if isinstance(each, Line) else line(each)
        text = f"{made:<{_COMMENT_COLUMN - 2}}  # {made.comment}" if made.comment else str(made)
        done.append(line(text, made.step, made.event))
    return done
