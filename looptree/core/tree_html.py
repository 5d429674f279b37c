"""A plan as HTML: a tree that folds, for notebooks."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from looptree.core.markup import element
from looptree.core.plan import HookPlan, LoopPlan, PhasePlan
from looptree.core.tree import Branch, branches

TREE_STYLE = """
.looptree.tree details > div {margin-left: .45em; padding-left: 1.1em; border-left: 1px solid rgba(127, 127, 127, .35)}
.looptree.tree summary, .looptree.tree p {display: flex; align-items: baseline; gap: 1.2em}
.looptree.tree summary::before, .looptree.tree p::before {width: .8em; margin-right: -.8em; flex: none}
.looptree.tree p::before {content: ""}
.looptree.tree .loop {color: color-mix(in srgb, #1a8fc4 65%, currentColor); font-weight: 600}
.looptree.tree .phase {color: color-mix(in srgb, #b5721b 65%, currentColor); font-weight: 600}
.looptree.tree .place {margin-left: auto; opacity: .6}
.looptree.tree .verb {opacity: .6; min-width: 4em}
.looptree.tree summary:hover, .looptree.tree p:hover {background: rgba(127, 127, 127, .12)}
""".strip()


def tree_html(plan: LoopPlan) -> str:
    """The tree as one element with its style, for a page of any colours; hooks unfold to what they read and write."""
    return element("tree", folding(branches(plan), _place), TREE_STYLE)


def folding(branch: Branch, at_the_end: Callable[[Branch], str | None]) -> str:
    """A branch and all that hangs from it, each line with the HTML that is to stand at its end; where that is None, the
    line is left out."""
    end = at_the_end(branch)
    if end is None:
        return ""
    inside = "".join(folding(child, at_the_end) for child in branch.children) + _fields(branch)
    line = _words(branch) + end
    if not inside:
        return f"<p>{line}</p>\n"
    is_open = " open" if branch.children else ""
    return f"<details{is_open}><summary>{line}</summary>\n<div>\n{inside}</div></details>\n"


def _place(branch: Branch) -> str:
    return f' <span class="place">{escape(branch.place)}</span>' if branch.place else ""


def _words(branch: Branch) -> str:
    name = f'<span class="{_kind(branch)}">{escape(branch.name)}</span>'
    if not branch.note:
        return name
    return f'{name} <span class="{"loop" if branch.inner is not None else "note"}">{escape(branch.note)}</span>'


def _kind(branch: Branch) -> str:
    if isinstance(branch.part, PhasePlan):
        return "phase"
    return "loop" if isinstance(branch.part, LoopPlan) else "note" if isinstance(branch.part, str) else "hook"


def _fields(branch: Branch) -> str:
    if not isinstance(branch.part, HookPlan):
        return ""
    found = (("reads", branch.part.reads), ("writes", branch.part.writes))
    return "".join(
        f'<p><span class="verb">{verb}</span> <span>{escape(", ".join(names))}</span></p>\n'
        for verb, names in found
        if names
    )
