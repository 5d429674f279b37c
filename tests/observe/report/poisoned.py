"""Runs in which every text is an attack on whoever looks at them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from looptree.observe.runs import Run
from tests.observe.recorded import interrupted

EVIL = (
    """</title></style></script></textarea><script>alert("script")</script><img src=x onerror=alert("img")>"""
    """<svg onload=alert("svg")>" onmouseover="alert('attribute')" x='<a href="javascript:alert(1)">{{ 7 * 7 }}"""
)

_TEXTS = {  # of the database; what programs go by stays as it is
    "sessions": ("began_at", "ended"),
    "metrics": ("name",),
    "timings": ("path", "kind", "place", "name", "note"),
    "names": ("name",),
    "changes": ("at", "old", "new"),
}


def poisoned(folder: Path) -> Run:
    """A run that was interrupted, in a folder of an evil name, with evil behind every text of it."""
    run = interrupted(folder / "<img src=x onerror=alert(0)>", inexact=(EVIL,))
    for name in ("settings.json", "versions.json", "description.json", "code.json"):
        file = run.folder / name
        file.write_text(json.dumps(_poisoned(json.loads(file.read_text()), name in ("settings.json", "versions.json"))))
    with closing(sqlite3.connect(run.folder / "run.db")) as connection, connection:
        for table, columns in _TEXTS.items():
            for column in columns:
                connection.execute(f"UPDATE {table} SET {column} = {column} || ?", (EVIL,))
        connection.execute("UPDATE about SET value = value || ? WHERE name IN ('loop', 'over')", (EVIL,))
    return run


def _poisoned(value: Any, names_too: bool) -> Any:
    if isinstance(value, dict):
        inside = {(name + EVIL if names_too else name): _poisoned(each, names_too) for name, each in value.items()}
        return inside | {"env_id": EVIL, "seed": EVIL, EVIL: EVIL} if names_too else inside
    if isinstance(value, list):
        return [_poisoned(each, names_too) for each in value]
    return value + EVIL if isinstance(value, str) else value
