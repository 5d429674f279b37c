"""The command runs: what was trained, how far it came, and how it ended."""

from __future__ import annotations

import os
from pathlib import Path

from looptree.cli.plain import plain
from looptree.cli.results import results_of
from looptree.cli.train import RUNS
from looptree.cli.usage import UsageError, readable
from looptree.observe.runs import NotARun, Run
from looptree.observe.runs.folder import DATABASE

_HEAD = ("run", "algorithm", "environment", "seed", "steps", "return", "ended")
_NUMBERS = ("seed", "steps", "return")


def show_runs(words: list[str]) -> int:
    """List the runs in a folder, by default `runs`, those that began last at the end; or one run, by its own folder.

    Raises:
        UsageError: there is no such folder.
    """
    if words in (["-h"], ["--help"]):
        print(f"usage: looptree runs [FOLDER or RUN], by default {RUNS}")
        return 0
    if len(words) > 1 or any(word.startswith("-") for word in words):
        raise UsageError("runs is followed by one folder at most: looptree runs runs")
    folder = Path(words[0]) if words else RUNS
    with readable(folder):
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}; looptree train makes one, and writes its runs there.")
        folders = [folder] if (folder / DATABASE).exists() else [each for each in folder.iterdir() if each.is_dir()]
    rows = sorted(map(_row, folders), key=lambda row: row[0])
    if not rows:
        print(f"no runs in {folder} yet")
        return 0
    print("\n".join(_table([_HEAD, *(cells for _, cells in rows)])))
    return 0


def _row(folder: Path) -> tuple[str, tuple[str, ...]]:
    """When a run began, and its cells."""
    name = Path(os.path.abspath(folder)).name
    try:
        run = Run(folder)
        settings = run.settings
        made_with = tuple(str(settings.get(name, "-")) for name in ("algorithm", "env_id", "seed"))
        came_to = (f"{run.steps:,.10g}", _return(run), f"{run.outcome}{_restarts(run)}")
        return run.began_at, tuple(map(plain, (name, *made_with, *came_to)))
    except NotARun as error:
        return "", (plain(name), *["-"] * 5, plain(str(error)))


def _restarts(run: Run) -> str:
    """How many episodes ended nowhere, since their environment broke and was begun anew."""
    count = run.metric("restarts").values[-1] if "restarts" in run.metrics else 0
    return f"; {count:,.0f} episodes broke off with their environment" if count else ""


def _return(run: Run) -> str:
    """The mean return of the agent that the run kept in fresh episodes; where it has not ended, or has gone on since,
    of the latest evaluation."""
    results = results_of(run.folder)
    mean_return = results.get("evaluation_mean_return")
    if isinstance(mean_return, float) and results.get("env_steps") == run.steps:
        return f"{mean_return:.6g}"
    found = [name for name in ("valid_return", "episode_return") if name in run.metrics]
    return f"{run.metric(found[0]).values[-1]:.6g}" if found else "-"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows in columns, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(_HEAD, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
