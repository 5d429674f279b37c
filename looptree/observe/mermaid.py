"""A plan as a Mermaid flowchart."""

from __future__ import annotations

from looptree.core.plan import LoopPlan, PhasePlan
from looptree.core.tree import Branch, branches


def flowchart(plan: LoopPlan) -> str:
    """Loops with round ends, phases with pointed ones, hooks in boxes, remarks on flags; a dotted arrow leads to an
    inner loop that is called at one more place."""
    lines = ["flowchart LR"]
    loops: dict[str, str] = {}  # the node of each loop, by its path
    count = 0

    def draw(branch: Branch, above: str | None) -> None:
        nonlocal count
        if branch.again and branch.inner is not None:
            lines.append(f'    {above} -. "{_escaped(branch.name)}" .-> {loops[branch.inner.path]}')
            return
        node = f"n{count}"
        count += 1
        if branch.inner is not None:
            loops[branch.inner.path] = node
        lines.append(f"    {node}{_box(branch)}")
        if above is not None:
            lines.append(f"    {above} --> {node}")
        for child in branch.children:
            draw(child, node)

    draw(branches(plan), None)
    return "\n".join(lines) + "\n"


def _box(branch: Branch) -> str:
    words = [branch.name, branch.note, branch.place]
    text = "<br>".join(_escaped(word) for word in words if word)
    if branch.inner is not None:
        return f'(["{text}"])'
    if isinstance(branch.part, PhasePlan):
        return f'{{{{"{text}"}}}}'
    if isinstance(branch.part, str):
        return f'>"{text}"]'
    return f'["{text}"]'


def _escaped(text: str) -> str:
    for character, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(character, code)
    return text
