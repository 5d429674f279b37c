"""Remains: all that a run leaves behind in its folder but times, to be compared with what another one leaves."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

# Everything that stands in a run's database but how long it took; what a change was of and who made it as texts, for
# their numbers depend on who came first.
_ROWS = {
    "passes": "SELECT number, step FROM passes ORDER BY number",
    "metrics": "SELECT name, pass, value FROM metrics ORDER BY name, pass",
    "changes": """SELECT number, pass, at, fields.name, hooks.name, old, new, value FROM changes
        JOIN names AS fields ON fields.id = field JOIN names AS hooks ON hooks.id = hook ORDER BY number""",
}


def differences(run: Path, other: Path) -> list[str]:
    """What two runs do not have in common, in words."""
    return list(_differences(run, other))


def _differences(run: Path, other: Path) -> Iterator[str]:
    if _parameters(run) != _parameters(other):
        yield "parameters of the agent that is kept"
    if _results(run) != _results(other):
        yield "results"
    if _state(run) != _state(other):
        yield "the whole state at the end"
    for table in _ROWS:
        if _rows(run, table) != _rows(other, table):
            yield f"rows of {table}"
    numbers = [number for number, _ in _rows(run, "passes")]
    if numbers != list(range(len(numbers))):
        yield "passes without a gap"


def _parameters(run: Path) -> dict[str, tuple[str, bytes]]:
    with np.load(run / "agent.npz", allow_pickle=False) as arrays:
        return {name: (str(arrays[name].dtype), arrays[name].tobytes()) for name in arrays.files}


def _results(run: Path) -> dict[str, object]:
    results = json.loads((run / "results.json").read_text())
    return {name: value for name, value in results.items() if name not in ("train_s", "ended")}


def _state(run: Path) -> object:
    """The passes done at the last checkpoint, and the checksums of its files: of networks, optimizer, memory, random
    generators, environments and all counters."""
    newest = max(path for path in (run / "checkpoints").iterdir() if path.name.isdigit())
    return newest.name, json.loads((newest / "manifest.json").read_text())["files"]


def _rows(run: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(run / "run.db")) as connection:
        return connection.execute(_ROWS[table]).fetchall()
