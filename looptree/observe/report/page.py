"""Report: what a Recorder wrote down, as one page of HTML.

report(Run("runs/first")).save("report.html")
report(Run("runs/first"), Run("runs/second"))     # beside each other; in a notebook it shows itself
"""

from __future__ import annotations

import importlib
import os
from html import escape
from pathlib import Path

from looptree.core.errors import LooptreeError
from looptree.observe.runs import Run
from looptree.observe.save import save_whole


class CannotReport(LooptreeError):
    """There can be no page: no run was given, or a package that makes pages is missing."""


class Page:
    """A page about runs, as they were when it was made: one file that needs no other, and no network.

    Attributes:
        html: the page.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file. Raises CannotSave, and leaves nothing half-written, where that cannot be."""
        return save_whole(self.html, path)

    def _repr_html_(self) -> str:
        style = "width: 100%; height: 85vh; min-height: 30em; border: 1px solid gray; border-radius: 8px"
        return f'<iframe title="Report" sandbox="allow-scripts" style="{style}" srcdoc="{escape(self.html)}"></iframe>'


def report(*runs: Run) -> Page:
    """A page about a run, or one that compares several: curves over each other, times side by side, settings that
    differ. Runs whose settings differ in nothing but the seed are shown as one, by their mean and spread.

    Raises:
        CannotReport: no run was given, or a package is missing.
        NotARun: what is in the folder of a run cannot be read.
    """
    if not runs:
        raise CannotReport('A report needs a run at least, as report(Run("runs/first")).')
    try:
        # What draws the page needs packages that nothing else does, so it loads on first use.
        drawn = importlib.import_module("looptree.observe.report.drawn")
    except ModuleNotFoundError as error:
        raise CannotReport(f"A report needs the package {error.name!r}: pip install 'looptree[report]'") from error
    drawing = drawn.one_run(runs[0]) if len(runs) == 1 else drawn.comparison(runs)
    return Page(drawing.page)
