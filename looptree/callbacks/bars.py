"""Bars: how progress is drawn: a live bar in a terminal, one in a notebook, plain lines elsewhere.

Each has `open`, `show` and `close`, and says with `wait_s` in how many seconds it is to be shown again.
"""

from __future__ import annotations

import builtins
import datetime
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from looptree.core.markup import element

_REFRESH_S = 0.1
_FIRST_LINE_S = 2.0
_LINE_S = 10.0


@dataclass(frozen=True)
class Stand:
    """How far a loop is, `done` of `total` since its run began `passed_s` ago, and how that is put into words."""

    name: str
    done: float
    total: float | None
    passed_s: float
    far: str
    rate: str
    fields: str

    @property
    def left_s(self) -> float | None:
        """How long the rest takes at the same rate; None where that is not known."""
        if self.total is None or self.done <= 0:
            return None
        return self.passed_s * max(self.total - self.done, 0) / self.done

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(filter(None, (self.far, self.rate, self.fields)))}"


class Bar(Protocol):
    """What progress is drawn on, for one run of a loop."""

    wait_s: float

    def open(self, stand: Stand) -> None:
        """The run begins."""

    def show(self, stand: Stand) -> None:
        """The run goes on."""

    def close(self, stand: Stand) -> None:
        """The run has ended."""


def bar_on(file: TextIO | None, stays: bool) -> Bar:
    """The bar that suits a file, or standard error; one that does not stay disappears when its run ends."""
    console = Console(file=file or sys.stderr)
    if console.is_jupyter and file is None:
        return NotebookBar(stays)
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalBar(console, stays)
    return Lines(console.file)


class Lines:
    """A line now and then, and one at the end."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.wait_s = _FIRST_LINE_S

    def open(self, stand: Stand) -> None:
        """Nothing yet: most runs are short."""

    def show(self, stand: Stand) -> None:
        """Write a line."""
        print(stand, file=self.file, flush=True)
        self.wait_s = _LINE_S

    def close(self, stand: Stand) -> None:
        """Write the last line."""
        self.show(stand)


class TerminalBar:
    """A bar that is drawn over itself."""

    def __init__(self, console: Console, stays: bool) -> None:
        self.wait_s = _REFRESH_S
        self.bar = _TwoLines(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[far]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=not stays,
            auto_refresh=False,
        )
        self.task = TaskID(0)

    def open(self, stand: Stand) -> None:
        """Draw it for the first time."""
        self.task = self.bar.add_task(stand.name, total=stand.total, **_texts(stand))
        self.bar.start()

    def show(self, stand: Stand) -> None:
        """Draw it anew."""
        self.bar.update(self.task, completed=stand.done, **_texts(stand))
        self.bar.refresh()

    def close(self, stand: Stand) -> None:
        """Draw the end, and give the terminal back."""
        self.show(stand)
        self.bar.stop()


class _TwoLines(RichProgress):
    """A bar with the fields on a line of their own, so that both fit a narrow terminal."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["fields"]:
                yield Text(task.fields["fields"], no_wrap=True, overflow="ellipsis")


def _texts(stand: Stand) -> dict[str, Any]:
    return {"far": stand.far, "rate": stand.rate, "fields": stand.fields}


class NotebookBar:
    """A line in a display that is updated, with a bar while the run goes on.

    Bars of loops inside each other share a display. One that does not stay is drawn when it is shown, not when it is
    opened, lest thousands of short runs send thousands of updates.
    """

    def __init__(self, stays: bool) -> None:
        self.wait_s = _REFRESH_S
        self.stays = stays
        self.display = _Display.of_cell()

    def open(self, stand: Stand) -> None:
        """Draw the outermost."""
        if self.stays:
            self.show(stand)

    def show(self, stand: Stand) -> None:
        """Draw it anew."""
        self.display.lines[self] = (str(stand), _html(stand))
        self.display.update()

    def close(self, stand: Stand) -> None:
        """Leave one line, or none."""
        if self.stays:
            self.display.lines[self] = (str(stand), f"<p>{escape(str(stand))}</p>")
            self.display.update()
            self.display.is_full = True
        elif self.display.lines.pop(self, None):
            self.display.update()


class _Display:
    """A place in the output of a cell, where any number of bars have a line."""

    latest: _Display | None = None

    def __init__(self, cell: int) -> None:
        self.cell = cell
        self.lines: dict[NotebookBar, tuple[str, str]] = {}  # as text and as HTML
        self.is_full = False  # the next bar has to take another one
        self.handle: Any = None

    @classmethod
    def of_cell(cls) -> _Display:
        """That of the cell which is running."""
        cell = getattr(builtins, "get_ipython")().execution_count
        if cls.latest is None or cls.latest.is_full or cls.latest.cell != cell:
            cls.latest = cls(cell)
        return cls.latest

    def update(self) -> None:
        """Show the lines as they are."""
        text = "\n".join(text for text, _ in self.lines.values())
        html = element("progress", "".join(html for _, html in self.lines.values()))
        bundle = {"text/plain": text, "text/html": html}
        if self.handle is None:
            display = importlib.import_module("IPython.display").display
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)


def _html(stand: Stand) -> str:
    known = f' value="{min(stand.done, stand.total):g}" max="{stand.total:g}"' if stand.total else ""
    left = f", {_duration(stand.left_s)} left" if stand.left_s is not None else ""
    return f'<p><progress aria-label="{escape(stand.name)}"{known}></progress> {escape(str(stand))}{left}</p>'


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
