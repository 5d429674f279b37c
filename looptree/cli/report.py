"""The command report: a page about a run, or about several beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from looptree.cli.options import parsed
from looptree.cli.usage import UsageError
from looptree.observe.report import CannotReport, report
from looptree.observe.runs import NotARun, Run
from looptree.observe.save import CannotSave

PAGE = "report.html"


@dataclass(frozen=True)
class ReportOptions:
    """The options of report."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for the page. Without: report.html in the folder of the run; here, where there are several."""


def show_report(words: list[str]) -> int:
    """Write the page about runs, and print where it is.

    Raises:
        UsageError: the words do not fit, there is no such run, or the page cannot be written.
    """
    number = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    folders = [Path(word) for word in words[:number]]
    options = parsed("looptree report RUN [RUN ...]", ReportOptions, words[number:])
    if not folders:
        raise UsageError("report is followed by the folder of a run, or by several: looptree report runs/first")
    print(f"report: {save_report(folders, options.out)}")
    return 0


def save_report(folders: list[Path], file: Path | None = None) -> Path:
    """Write the page about the runs in some folders.

    Raises:
        UsageError: there is no such run, a package is missing, or the page cannot be written.
    """
    file = file or (folders[0] / PAGE if len(folders) == 1 else Path(PAGE))
    try:
        return report(*map(Run, folders)).save(file)
    except (NotARun, CannotReport, CannotSave) as error:
        raise UsageError(str(error)) from error
