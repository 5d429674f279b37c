"""A plan as HTML: a tree that folds, for notebooks."""

from __future__ import annotations

from html import escape

from looptree.core.plan import HookPlan, LoopPlan, PhasePlan
from looptree.core.tree import Branch, branches

# The page's own colour of text, fainter where something is said in passing, reads on light and on dark; so do the
# middle tones of the marks.
_STYLE = """
.looptree {font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: inherit; max-width: 64em}
.looptree details > div {margin-left: .45em; padding-left: 1.1em; border-left: 1px solid rgba(127, 127, 127, .35)}
.looptree summary, .looptree p {display: flex; align-items: baseline; gap: 1.2em; margin: 0}
.looptree summary {cursor: pointer; list-style: none}
.looptree summary::-webkit-details-marker {display: none}
.looptree summary::before, .looptree p::before {width: .8em; margin-right: -.8em; flex: none; content: ""}
.looptree summary::before {content: "▸"; opacity: .6}
.looptree details[open] > summary::before {content: "▾"}
.looptree .note {opacity: .75}
.looptree .place {margin-left: auto; opacity: .6}
.looptree .loop {color: #1a8fc4; font-weight: 600}
.looptree .phase {color: #b5721b; font-weight: 600}
.looptree .verb {opacity: .6; min-width: 4em}
.looptree summary:hover, .looptree p:hover {background: rgba(127, 127, 127, .12)}
""".strip()


def html(plan: LoopPlan) -> str:
    """The tree as one element with its style, for a page of any colours; hooks unfold to what they read and write."""
    return f'<div class="looptree"><style>\n{_STYLE}\n</style>\n{_branch(branches(plan))}</div>'


def _branch(branch: Branch) -> str:
    inside = "".join(_branch(child) for child in branch.children) + _fields(branch)
    if not inside:
        return f"<p>{_line(branch)}</p>\n"
    is_open = " open" if branch.children else ""
    return f"<details{is_open}><summary>{_line(branch)}</summary>\n<div>\n{inside}</div></details>\n"


def _line(branch: Branch) -> str:
    words = [f'<span class="{_kind(branch)}">{escape(branch.name)}</span>']
    if branch.note:
        words.append(f'<span class="{"loop" if branch.inner is not None else "note"}">{escape(branch.note)}</span>')
    if branch.place:
        words.append(f'<span class="place">{escape(branch.place)}</span>')
    return "".join(words)


def _kind(branch: Branch) -> str:
    if isinstance(branch.part, PhasePlan):
        return "phase"
    return "loop" if isinstance(branch.part, LoopPlan) else "note" if isinstance(branch.part, str) else "hook"


def _fields(branch: Branch) -> str:
    if not isinstance(branch.part, HookPlan):
        return ""
    found = (("reads", branch.part.reads), ("writes", branch.part.writes))
    return "".join(
        f'<p><span class="verb">{verb}</span><span>{escape(", ".join(names))}</span></p>\n'
        for verb, names in found
        if names
    )
