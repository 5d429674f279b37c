"""The tree of a plan: one line for each loop, phase, hook and inner loop, in the order in which they run.

What a loop remarks of itself stands first below its line. The frames `run`, `pass` and `phase` have no lines of their
own: their hooks stand where they run, before and after what they frame. An inner loop is shown whole where it is called
first, and as one line "(above)" where it is called again.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from looptree.core.names import snake_case
from looptree.core.plan import CallPlan, EventPlan, HookPlan, LoopPlan, PhasePlan, Step

_COLUMNS = 100


@dataclass(frozen=True)
class Branch:
    """One line of the tree, with the lines that hang from it.

    `loop` is the loop in which it stands and `part` the piece of the plan that it shows, a string where that is a
    remark; `name` is what it is called there (`before_step`, `phase train`), `note` whatever else there is to say, and
    `place` its `file:line`. Where an inner loop is called, `inner` is that loop, and `again` says that it was shown
    further up.
    """

    loop: LoopPlan
    part: LoopPlan | PhasePlan | Step | str
    name: str
    note: str = ""
    place: str = ""
    children: tuple[Branch, ...] = ()
    inner: LoopPlan | None = None
    again: bool = False

    def walk(self) -> Iterator[Branch]:
        """This line and all that hang from it, from top to bottom."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Line:
    """A line of the tree as text: what stands on the left, and the guides for any more text below it."""

    text: str
    below: str
    branch: Branch


def tree(plan: LoopPlan, fields: bool = False) -> str:
    """The tree as text, `file:line` on the right; with `fields`, what each hook reads and writes below its line."""
    lines = list(outline(branches(plan)))
    longest = max(len(line.text) for line in lines)
    column = min(longest, _COLUMNS - 2 - max(len(line.branch.place) for line in lines))
    shown: list[str] = []
    for line in lines:
        shown.append(f"{line.text:<{max(column, 0)}}  {line.branch.place}".rstrip())
        if fields and isinstance(line.branch.part, HookPlan):
            shown += _field_lines(line.branch.part, line.below)
    return "\n".join(shown)


def outline(root: Branch) -> Iterator[Line]:
    """The lines from a branch down, with their guides drawn and the notes of neighbours aligned."""
    yield Line(_text(root, 0), _hanging(root), root)
    yield from _outline_below(root, "")


def branches(plan: LoopPlan) -> Branch:
    """The tree below a loop as data."""
    return Branch(plan, plan, _title(plan), _passes(plan), plan.source, _children(plan, set()), plan)


def _outline_below(branch: Branch, guide: str) -> Iterator[Line]:
    steps = [child for child in branch.children if not isinstance(child.part, PhasePlan)]
    width = max((len(step.name) for step in steps if step.note), default=0)
    for child in branch.children:
        tee, bar = ("└─ ", "   ") if child is branch.children[-1] else ("├─ ", "│  ")
        yield Line(guide + tee + _text(child, width), guide + bar + _hanging(child), child)
        yield from _outline_below(child, guide + bar)


def _text(branch: Branch, width: int) -> str:
    if not branch.note:
        return branch.name
    if isinstance(branch.part, HookPlan | CallPlan):
        return f"{branch.name:<{width}}  {branch.note}"
    return f"{branch.name} · {branch.note}"


def _hanging(branch: Branch) -> str:
    return "│  " if branch.children else "   "


def _children(loop: LoopPlan, shown: set[str]) -> tuple[Branch, ...]:
    """What hangs from a loop; `shown` has the paths of the inner loops that are in the tree by now."""
    inner_loops = {inner.path: inner for inner in loop.inner_loops}

    def steps(members: Iterable[Step], in_phase: bool = False) -> Iterator[Branch]:
        for member in members:
            if isinstance(member, CallPlan):
                yield call(member, inner_loops[member.loop], _filters(member, in_phase))
                continue
            yield hook(member, _callback(member, loop), _filters(member, in_phase))
            replaced = member.replaces
            if replaced is not None and _filters(replaced, in_phase) != _filters(member, in_phase):
                yield hook(replaced, "otherwise", _filters(replaced, in_phase))

    def hook(member: HookPlan, who: str, filters: str) -> Branch:
        instead = f"instead of {member.replaces.label}" if member.replaces is not None else ""
        return Branch(loop, member, member.name, _joined(who, instead, filters), member.source)

    def call(member: CallPlan, inner: LoopPlan, filters: str) -> Branch:
        stands_on = f"{member.moment}_{member.event}"
        if inner.path in shown:
            note = _joined(f"{_title(inner)} (above)", filters)
            return Branch(loop, member, stands_on, note, inner.source, (), inner, again=True)
        shown.add(inner.path)
        note = _joined(_title(inner), _passes(inner), filters)
        return Branch(loop, member, stands_on, note, inner.source, _children(inner, shown), inner)

    def phase(member: PhasePlan) -> Iterator[Branch]:
        named = member.name is not None
        switch = (member.switch,) if member.switch is not None and member.switches else ()
        inside = (
            *steps((*switch, *member.frame.before), named),
            *(line for event in member.events for line in steps(event.steps, named)),
            *steps(_closing(member.frame), named),
        )
        if named:
            yield Branch(loop, member, f"phase {member.name}", _every(member.every), "", inside)
        else:
            yield from inside

    return (
        *(Branch(loop, remark, remark) for remark in loop.remarks),
        *steps((*loop.run.before, *loop.pass_.before)),
        *(line for member in loop.phases for line in phase(member)),
        *steps((*_closing(loop.pass_), *_closing(loop.run))),
    )


def _closing(frame: EventPlan) -> tuple[Step, ...]:
    """The steps of a frame that come after what it frames."""
    return frame.on + frame.after + frame.failed + frame.finally_


def _title(loop: LoopPlan) -> str:
    return f"{loop.name}: {loop.label}"


def _passes(loop: LoopPlan) -> str:
    """How many passes a run makes."""
    if loop.times is None or loop.times == math.inf:
        return "its items()" if loop.own_items else "1 pass" if loop.times is None else "endless"
    number = f"{loop.times:,} {'pass' if loop.times == 1 else 'passes'}"
    return f"its items(), at most {number}" if loop.own_items else number


def _callback(hook: HookPlan, loop: LoopPlan) -> str:
    """The callback a hook belongs to, with its class where the name does not tell it; nothing for the loop's own."""
    if hook.owner == loop.path:
        return ""
    name, cls = hook.owner.rpartition(".")[2], hook.label.rpartition(".")[0]
    return name if re.sub(r"_\d+$", "", name) == snake_case(cls) else f"{name}: {cls}"


def _filters(step: Step, in_phase: bool) -> str:
    """When a step runs; in a phase of the loop's own, that is said by the phase's line."""
    phase = () if in_phase or step.phase is None else (step.phase,) if isinstance(step.phase, str) else step.phase
    return _joined(f"in {', '.join(phase)}" if phase else "", _every(step.every))


def _every(every: int) -> str:
    return f"every {every}" if every > 1 else ""


def _joined(*notes: str) -> str:
    return " · ".join(note for note in notes if note)


def _field_lines(hook: HookPlan, guide: str) -> list[str]:
    lines: list[str] = []
    for verb, names in (("reads", hook.reads), ("writes", hook.writes)):
        room = max(_COLUMNS - len(guide) - len("writes "), 20)
        for number, text in enumerate(textwrap.wrap(", ".join(names), room, break_long_words=False)):
            lines.append(f"{guide}{verb if number == 0 else '':<6} {text}")
    return lines
