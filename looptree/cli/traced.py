"""The command trace: which hook changed which field, in a run to be made or in one that was recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from looptree.callbacks.fields import find_owner
from looptree.cli.options import Options, RunFolder, field_names, given_run, parsed, read_options
from looptree.cli.plain import plain
from looptree.cli.train import built, ending, trained
from looptree.cli.usage import UsageError, what_fits
from looptree.core.errors import BadSetting, LooptreeError, NoSuchField
from looptree.observe.changes import table
from looptree.observe.condition import Condition
from looptree.observe.runs import NotARun, Run
from looptree.observe.runs.run import FieldChange
from looptree.observe.trace import Trace
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.learner import Learner

_SHOWN_CHANGES = 40


@dataclass(frozen=True)
class RunOptions:
    """The options of trace for a run that was recorded."""

    folder: RunFolder = None
    fields: str = ""
    """Fields to show, with commas between. Without: all that were traced."""
    stop_if: str = ""
    """Show the first change after which this holds: 'epsilon < 0.5'."""


def trace(words: list[str]) -> int:
    """Print who changed which field.

    Raises:
        UsageError: the words do not fit, a field was not traced, or the condition is none.
    """
    name = next(iter(words), "-")
    if name in ALGORITHMS or not any(map(os.path.isdir, words)):
        if name not in ALGORITHMS and not name.startswith("-"):
            hint = what_fits(name, ALGORITHMS)
            raise UsageError(f"there is neither an algorithm nor the folder of a run {name!r}; {hint}")
        return _made(read_options("trace", words))
    options = parsed("trace", RunOptions, words)
    return _recorded(given_run("trace", options.folder), options)


def _made(options: Options) -> int:
    """Trace a run that is made for it."""
    learner = built(options)
    stop_if = _stop_if(options.stop_if, learner)
    try:
        tracing = Trace(learner, *options.fields, stop_if=stop_if)
    except LooptreeError as error:
        raise UsageError(f"--fields: {error}") from error
    with tracing:
        status = trained(learner)
    print(tracing)
    print(ending(learner))
    return status


def _stop_if(text: str, learner: Learner) -> Mapping[str, Callable[[Any], bool]] | None:
    """The data breakpoints that a condition asks for, which begins with the fields as they are."""
    if not text:
        return None
    condition = _condition(text)
    values = {}
    for field in condition.fields:
        try:
            owner = find_owner(learner, field)
        except LooptreeError as error:
            raise UsageError(f"--stop-if: {error}") from error
        values[field] = getattr(owner, field.rpartition(".")[2], None)
    return condition.by_field({field: value for field, value in values.items() if value is not None})


def _condition(text: str) -> Condition:
    try:
        return Condition(text)
    except BadSetting as error:
        raise UsageError(f"--stop-if: {error}") from error


def _recorded(folder: Path, options: RunOptions) -> int:
    """Show what was traced when a run was made."""
    try:
        run = Run(folder)
        if options.stop_if:
            return _first(run, _condition(options.stop_if))
        fields = [run.field(name) for name in field_names(options.fields)] or run.fields
        changes = {field: run.changes(field) for field in fields}
        writers = {field: run.writers(field) for field in fields}
    except (NotARun, NoSuchField) as error:
        raise UsageError(str(error)) from error
    rows = [
        (field, f"{len(changes[field]):,}", ", ".join(f"{hook} ({count:,})" for hook, count in writers[field].items()))
        for field in fields
    ]
    print("\n".join(table([("field", "changes", "changed by"), *(map(plain, row) for row in rows)])))
    in_order = sorted((change for each in changes.values() for change in each), key=lambda change: change.number)
    if len(in_order) > _SHOWN_CHANGES:
        print(f"\nthe last {_SHOWN_CHANGES} of {len(in_order):,} changes")
    print("\n" + "\n".join(_timeline(in_order[-_SHOWN_CHANGES:])))
    return 0


def _first(run: Run, condition: Condition) -> int:
    """Print the first change after which a condition holds."""
    fields = {run.field(name): name for name in condition.fields}
    changes = [change for field in fields for change in run.changes(field)]
    values: dict[str, Any] = {}
    for change in sorted(changes, key=lambda change: change.number):
        values[fields[change.field]] = change.value if change.value is not None else change.new
        if values.keys() == set(condition.fields) and condition(values):
            print("\n".join(_timeline([change])))
            return 0
    print(f"{condition.text} held after no change that {run.folder} has")
    return 0


def _timeline(changes: list[FieldChange]) -> list[str]:
    rows = [(each.at, each.hook, each.field, each.old, each.new) for each in changes]
    return table([("at", "hook", "field", "old", "new"), *(map(plain, row) for row in rows)])
