"""Timings as HTML: the tree that folds, with the times at the end of its lines, and bars."""

from __future__ import annotations

from html import escape

from looptree.core.markup import element
from looptree.core.tree import Branch
from looptree.core.tree_html import TREE_STYLE, folding
from looptree.observe.timing_formats import HEADS, cells_of
from looptree.observe.timings import Timing, Timings

_STYLE = """
.looptree.tree .times {display: flex; gap: 1.2em; margin-left: auto; font-variant-numeric: tabular-nums}
.looptree.tree .times > * {width: 5.5em; text-align: right; white-space: pre}
.looptree.tree .times > .bar {width: 9em; display: flex; align-self: center; height: .7em}
.looptree.tree .bar {background: rgba(127, 127, 127, .15)}
.looptree.tree .note .bar {visibility: hidden}
.looptree.tree .bar > i {background: #1a8fc4}
.looptree.tree .bar > i + i {opacity: .35}
""".strip()


def timings_html(timings: Timings) -> str:
    """The tree as one element with its style. A bar is as long as the share of the whole that a line took; dark is what
    it took itself, faint what was called by it."""
    heads = " ".join(f"<span>{head}</span>" for head in HEADS)
    head = f'<p class="note"><span class="times">{heads} <span class="bar"></span></span></p>'

    def times(branch: Branch) -> str | None:
        timing = timings.by_line.get(id(branch))
        return None if timing is None else f" {_times(timing)}"

    return element("tree", f"{head}\n{folding(timings.root, times)}", f"{TREE_STYLE}\n{_STYLE}")


def _times(timing: Timing) -> str:
    cells = " ".join(f"<span>{escape(cell) or '&nbsp;'}</span>" for cell in cells_of(timing))
    return f'<span class="times" title="{escape(timing.place)}">{cells} {_bar(timing)}</span>'


def _bar(timing: Timing) -> str:
    own = timing.own_s / timing.all_s if timing.all_s else 0.0
    parts = (own, timing.share - own)
    drawn = "".join(f'<i style="width: {100 * max(part, 0.0):.2f}%"></i>' for part in parts)
    return f'<span class="bar" aria-hidden="true">{drawn}</span>'
