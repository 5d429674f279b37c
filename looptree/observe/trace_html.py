"""A trace as HTML: its fields, with marks where they changed in the colour of the hook that did it, and the changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from looptree.core.markup import element, table
from looptree.observe.changes import CHANGE_HEADS, Change, change_row, chosen
from looptree.observe.records import FIELD_HEADS, Record

_COLOURS = ("#1a8fc4", "#c9641b", "#3d9a50", "#c0508f", "#8a6fd1", "#a08a1f")  # middle tones, for light and for dark
_WIDTH = 240  # of the line with a field's marks, in pixels
_MARK = 2.0

_STYLE = """
.looptree.trace svg {background: rgba(127, 127, 127, .15); vertical-align: middle}
.looptree.trace .hook::before {content: "■ "; color: var(--by)}
.looptree.trace details {margin-top: .5em}
""".strip()


def trace_html(title: str, records: Sequence[Record], changes: Sequence[Change], hit: Change | None) -> str:
    """The trace as one element with its style; `changes` are those kept of all records, in the order in which they
    happened."""
    hooks = dict.fromkeys(hook for record in records for hook in record.writers)
    colours = {hook: _COLOURS[number % len(_COLOURS)] for number, hook in enumerate(hooks)}
    fields = ([*_field(record, colours), _marks(record.full_name, changes, colours)] for record in records)
    content = f"<p>{escape(title)}</p>\n{table((*FIELD_HEADS, 'when'), fields)}"
    if changes:
        content += f"<details><summary>the changes</summary>\n{table(CHANGE_HEADS, _timeline(changes))}</details>\n"
    if hit is not None:
        content += f"<p>stopped: {escape(str(hit))}</p>\n"
    return element("trace", content, _STYLE)


def _field(record: Record, colours: Mapping[str, str]) -> list[str]:
    name, count, nobody, now = map(escape, record.row())
    hooks = ", ".join(
        f'<span class="hook" style="--by: {colours[hook]}">{escape(hook)} ({times:,})</span>'
        for hook, times in record.writers.most_common()
    )
    return [name, count, hooks or nobody, now]


def _marks(field: str, changes: Sequence[Change], colours: Mapping[str, str]) -> str:
    """A line with a mark for each change of a field; of those that fall on one place, one of each hook."""
    marks = dict.fromkeys(
        (int(number / len(changes) * _WIDTH / _MARK), change.hook)
        for number, change in enumerate(changes)
        if change.field == field
    )
    drawn = "".join(
        f'<rect x="{place * _MARK:g}" width="{_MARK:g}" height="12" fill="{colours[hook]}">'
        f"<title>{escape(hook)}</title></rect>"
        for place, hook in marks
    )
    return f'<svg width="{_WIDTH}" height="12" aria-hidden="true">{drawn}</svg>'


def _timeline(changes: Sequence[Change]) -> Iterator[list[str]]:
    """The rows of the changes, with a row that says how many are left out where some are."""
    before = -1
    for number in chosen(changes):
        if number > before + 1:
            yield [f"... {number - before - 1:,} more ..."]
        yield list(map(escape, change_row(changes[number])))
        before = number
