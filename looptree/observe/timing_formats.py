"""Timings as a table for people, as CSV, and as JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from looptree.core.tree import Branch, outline
from looptree.observe.timings import Timing, Timings

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
HEADS = ("calls", "total", "own", "mean", "share")


def table(timings: Timings) -> str:
    """The tree with calls, total, own time, mean time of a call and share of the whole on the right."""
    rows: list[tuple[str, tuple[str, ...]]] = [("", HEADS)]
    for line in outline(timings.root):
        timing = timings.by_line.get(id(line.branch))
        if timing is not None:
            rows.append((line.text, cells_of(timing)))
    left = max(len(text) for text, _ in rows)
    widths = [max(len(cells[column]) for _, cells in rows) for column in range(len(HEADS))]
    return "\n".join(
        f"{text:<{left}}  {'  '.join(f'{cell:>{width}}' for cell, width in zip(cells, widths, strict=True))}".rstrip()
        for text, cells in rows
    )


def csv_text(timings: Timings) -> str:
    """A row for each line of the tree, seconds and shares (0 to 1) in full precision."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(("path", "kind", "calls", "total_s", "own_s", "mean_s", "share", "place"))
    for timing in timings:
        numbers = (timing.calls, timing.total_s, timing.own_s, timing.mean_s, timing.share)
        writer.writerow((timing.path, timing.kind, *numbers, timing.place))
    return written.getvalue()


def json_text(timings: Timings) -> str:
    """The tree as nested objects, each with its `path`, `kind`, `name`, `note`, `place`, times, and `children`."""

    def data(branch: Branch) -> dict[str, Any]:
        timing = timings.by_line[id(branch)]
        return {
            "path": timing.path,
            "kind": timing.kind,
            "name": branch.name,
            "note": branch.note,
            "place": branch.place,
            "calls": timing.calls,
            "total_s": timing.total_s,
            "own_s": timing.own_s,
            "mean_s": timing.mean_s,
            "share": timing.share,
            "children": [data(child) for child in branch.children if id(child) in timings.by_line],
        }

    return json.dumps({"total_s": timings.total_s, "tree": data(timings.root)}, indent=2, ensure_ascii=False) + "\n"


def duration(seconds: float) -> str:
    """A time in the unit that suits it, to three digits: `41.2 s `, `830 ns`."""
    size = abs(seconds)
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if size >= 0.9995 * scale), _UNITS[-1])
    number = seconds / scale
    digits = 0 if unit == "ns" or abs(number) >= 99.95 else 1 if abs(number) >= 9.995 else 2
    return f"{number:,.{digits}f} {unit:<2}"


def cells_of(timing: Timing) -> tuple[str, ...]:
    """The figures of a line, under `HEADS`; one that says nothing is empty."""
    share = f"{100 * timing.share:.1f} %"
    if timing.kind == "phase":
        return ("", duration(timing.total_s), "", "", share)
    if not timing.calls and not timing.total_s:
        return ("0", "", "", "", "")
    own = "" if timing.kind == "call" else duration(timing.own_s)
    mean = duration(timing.mean_s) if timing.calls else ""
    return (f"{timing.calls:,}", duration(timing.total_s), own, mean, share)
