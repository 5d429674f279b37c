"""The command report: a page about a run, or about several beside each other, or one that follows a run."""

from __future__ import annotations

import contextlib
import importlib
import os
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

    folders: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")] = ()
    """Folders of runs."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for the page. Without: report.html in the folder of the run; here, where there are several."""
    live: tyro.conf.FlagCreatePairsOff[bool] = False
    """Follow a run that goes on: serve its page to browsers on this machine, until Ctrl-C."""
    port: int = 0
    """Where to serve it. Without: at a port that is free."""


def show_report(words: list[str]) -> int:
    """Write the page about runs, and print where it is; or serve the page about one, and print its address.

    Raises:
        UsageError: the words do not fit, there is no such run, or the page cannot be written or served.
    """
    options = parsed("report", ReportOptions, words)
    if not options.folders:
        raise UsageError("report is followed by the folder of a run, or by several: looptree report runs/first")
    if options.live:
        _follow(options)
    elif options.port:
        raise UsageError(f"--port {options.port} goes with --live: looptree report --live RUN --port {options.port}")
    else:
        # A link that the user names is followed, unlike one in the folder of a run, which may have come from anywhere.
        file = Path(os.path.realpath(options.out)) if options.out is not None else None
        written = save_report(list(options.folders), file)
        print(f"report: {options.out or written}")
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


def _follow(options: ReportOptions) -> None:
    if options.out is not None:
        raise UsageError(f"--live, --out {options.out}: these contradict each other; a page is served, or written.")
    if len(options.folders) > 1:
        raise UsageError("--live follows one run: looptree report --live runs/first")
    try:
        # What serves the page needs packages that nothing else does, so it loads on first use.
        live = importlib.import_module("looptree.observe.report.live")
    except ModuleNotFoundError as error:
        raise UsageError(f"--live needs the package {error.name!r}: pip install 'looptree[live]'") from error
    try:
        served = live.LiveReport(Run(options.folders[0]), options.port)
    except (NotARun, live.CannotListen) as error:
        raise UsageError(str(error)) from error
    if hasattr(os, "nice"):
        os.nice(19)  # the training that is looked at comes first
    with contextlib.suppress(KeyboardInterrupt):
        print(f"report: {served.address} (Ctrl-C ends it)", flush=True)
        served.serve()
