"""The command why: who made a field of a run what it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from looptree.cli.options import RunFolder, parsed
from looptree.cli.plain import plain
from looptree.cli.usage import UsageError
from looptree.core.errors import NoSuchField
from looptree.observe.runs import NotARun, Run
from looptree.observe.runs.run import NoSuchStep


@dataclass(frozen=True)
class WhyOptions:
    """The options of why."""

    folder: RunFolder = None
    field: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="FIELD", help_behavior_hint="")] = None
    """The name of a field, or the end of its path."""
    step: Annotated[float | None, tyro.conf.arg(metavar="STEP")] = None
    """How far the run was, in the unit in which it counts its steps; by default, at its end."""


def why(words: list[str]) -> int:
    """Print the hook that wrote a traced field of a run, what it wrote over, and what it reads.

    Raises:
        UsageError: the words do not fit, or the run does not know.
    """
    options = parsed("why", WhyOptions, words)
    folder, step = options.folder, options.step
    if folder is None or options.field is None:
        raise UsageError("why is followed by the folder of a run and a field: looptree why RUN epsilon --step 12000")
    try:
        run = Run(folder)
        field = run.field(options.field)
        cause = run.why(field, step)
    except (NotARun, NoSuchField, NoSuchStep) as error:
        raise UsageError(str(error)) from error
    change = cause.change
    asked = "in the end" if step is None else f"at {run.over} {step:,.10g}"
    where = f" ({cause.source})" if cause.source else ""
    lines = (
        f"{field} was {change.new} {asked}",
        f"written by   {change.hook}{where}",
        f"in           {change.at}" + (f", which came to {run.over} {change.step:,.10g}" if change.step else ""),
        f"before that  {change.old}",
        f"it reads     {', '.join(cause.reads) or 'nothing that is known'}",
    )
    print("\n".join(map(plain, lines)))
    return 0
