"""What all HTML that is shown in a notebook has in common: one element with its style, and tables."""

from __future__ import annotations

from collections.abc import Iterable

# The page's own colour of text reads on light and on dark: fainter where something is said in passing, mixed with a
# colour where something stands out. What is wider than the page scrolls by itself.
_STYLE = """
.looptree {font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: inherit; overflow-x: auto}
.looptree > div {width: max-content; min-width: min(100%, 64em)}
.looptree p, .looptree table {margin: 0; white-space: nowrap}
.looptree summary {cursor: pointer; list-style: none; white-space: nowrap}
.looptree summary::-webkit-details-marker {display: none}
.looptree summary::before {content: "▸ "; opacity: .6}
.looptree details[open] > summary::before {content: "▾ "}
.looptree table {border-collapse: collapse; font: inherit}
.looptree th, .looptree td {padding: 0 1.6em 0 0; text-align: left; background: none; font-weight: normal}
.looptree thead th {opacity: .75; border-bottom: 1px solid rgba(127, 127, 127, .35)}
.looptree .note {opacity: .75}
""".strip()


def element(kind: str, content: str, style: str = "") -> str:
    """HTML as one element with the style that it needs, for a page of any colours.

    The rules of a style begin with `.looptree.` and the kind, for a page has all styles that were shown on it.
    """
    return f'<div class="looptree {kind}"><style>\n{_STYLE}\n{style}</style>\n<div>\n{content}</div></div>'


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose cells are HTML; the first of each row says what the row is about."""
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = "".join(_row(*cells) for cells in rows)
    return f"<table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}</tbody></table>\n"


def _row(first: str, *others: str) -> str:
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>\n'
