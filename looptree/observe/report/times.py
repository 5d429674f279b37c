"""Times: the tree with what each line took, its slowest lines, and the generated code with the times of its lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from looptree.observe.runs import Run
from looptree.observe.timings import Timing

_COMMENT = "  # "


@dataclass
class Line:
    """A line of the tree: its times, what its hook reads and writes, and the lines that hang from it."""

    timing: Timing
    reads: list[str]
    writes: list[str]
    remarks: list[str]
    children: list[Line] = field(default_factory=list)

    @property
    def own_share(self) -> float:
        """The part of the whole run that it took itself, from 0 to 1."""
        return self.timing.own_s / self.timing.all_s if self.timing.all_s else 0.0

    def walk(self) -> Iterator[Line]:
        """This line and all that hang from it, from top to bottom."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class CodeLine:
    """A line of the generated code with the times of the hook or inner loop that stands on it, where one does."""

    number: int
    text: str
    comment: str
    timing: Timing | None


def tree(run: Run) -> Line | None:
    """The tree of a run with its times; None where there is none."""
    hooks = {str(hook.get("key")): hook for hook in run.hooks}
    remarks = _remarks(run.description)
    above: list[Line] = []
    for timing in run.timings:
        hook = hooks.get(timing.key, {})
        said = remarks.get(timing.path, []) if timing.kind == "loop" else []
        line = Line(timing, _texts(hook.get("reads")), _texts(hook.get("writes")), _texts(said))
        del above[timing.depth :]
        if above:
            above[-1].children.append(line)
        above.append(line)
    return above[0] if above else None


def slowest(root: Line) -> list[Line]:
    """The lines that took time themselves, the longest first."""
    ran = [line for line in root.walk() if line.timing.own_s > 0]
    return sorted(ran, key=lambda line: -line.timing.own_s)


def code(run: Run) -> list[CodeLine]:
    """The generated code as it is when nobody looks, with the times of what its lines call."""
    by_key = {timing.key: timing for timing in run.timings if timing.key}
    lines = []
    for number, (text, key) in enumerate(run.code, start=1):
        before, mark, comment = text.partition(_COMMENT)
        timing = by_key.get(key) if key is not None else None
        lines.append(CodeLine(number, before, mark + comment, timing if timing is not None and timing.calls else None))
    return lines


def _remarks(loop: Any) -> dict[str, Any]:
    """What a loop in a description and those below it remark of themselves, by their paths."""
    if not isinstance(loop, dict):
        return {}
    inner_loops = loop.get("inner_loops")
    said = [_remarks(inner) for inner in (inner_loops if isinstance(inner_loops, list) else ())]
    return {str(loop.get("path")): loop.get("remarks")} | {path: texts for each in said for path, texts in each.items()}


def _texts(found: Any) -> list[str]:
    return [str(each) for each in found] if isinstance(found, list) else []
