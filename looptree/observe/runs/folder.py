"""The folder of a run: which files are in it, and what stands in those that are written when it begins.

settings.json       what the run was made with, by whom asked: algorithm, environment, seed
versions.json       of Python, of this machine's system, and of the packages that were loaded
description.json    the tree, for programs; description.html the same to look at
code.json           the generated code line by line, each with the step that stands on it
run.db              metrics, times, changes of fields, and when the run was begun and gone on with
run.lock            held by the process that records
"""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from looptree.core.loop import Loop
from looptree.observe.versions import versions

SETTINGS = "settings.json"
VERSIONS = "versions.json"
DESCRIPTION = "description.json"
DESCRIPTION_PAGE = "description.html"
CODE = "code.json"
DATABASE = "run.db"
LOCK = "run.lock"

_JOURNAL_OF_SEVERAL = bytes.fromhex("d9d505f920a163d7")  # the end of a journal of several databases
DEEPEST = 200
"""How deep what is read of a run may be nested, for Python goes no deeper than some hundred; 50 loops inside each other
take half of it."""

_MOST_BYTES = 1 << 26  # of a file of JSON, which has a line for each hook


class NotReadable(Exception):
    """A file in the folder of a run is not what is written there; says what it is."""


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotReadable(str(error.strerror)) from error


def file_in(folder: Path, name: str) -> Path:
    """The path of a file of a run, whose folder may have come from anywhere.

    Raises:
        NotReadable: what is there leads out of the folder, or is no file.
    """
    file = folder / name
    with _readable():
        if file.is_symlink():
            raise NotReadable("it is a link, which nothing that looptree writes is")
        if file.exists() and not file.is_file():
            raise NotReadable("it is not a file")
    return file


def database_in(folder: Path, name: str) -> Path:
    """The path of a database of a run, beside which there is nothing that SQLite would follow out of the folder.

    Raises:
        NotReadable: there is.
    """
    for beside in ("-wal", "-shm"):
        file_in(folder, name + beside)
    journal = file_in(folder, f"{name}-journal")
    with _readable(), contextlib.suppress(FileNotFoundError), journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - len(_JOURNAL_OF_SEVERAL)))
        # SQLite would take the name before this for that of a file to be deleted when the journal is done with.
        if file.read() == _JOURNAL_OF_SEVERAL:
            raise NotReadable("its journal names another file, which nothing that looptree writes does")
    return file_in(folder, name)


def json_in(folder: Path, name: str) -> Any:
    """What a file of a run holds as JSON.

    Raises:
        NotReadable: there is no such file, or it cannot be read.
    """
    file = file_in(folder, name)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise NotReadable(f"it is larger than {_MOST_BYTES >> 20} MiB")
        found = json.loads(file.read_text(encoding="utf-8"))
        if _is_deep(found):
            raise NotReadable(f"it is nested more than {DEEPEST} deep")
        return found
    except (OSError, ValueError, RecursionError) as error:
        raise NotReadable(str(error)) from error


def _is_deep(found: Any) -> bool:
    layers, layer = 0, [found]
    while layer and layers <= DEEPEST:
        layers += 1
        inside = (each.values() if isinstance(each, dict) else each for each in layer if isinstance(each, dict | list))
        layer = [member for members in inside for member in members]
    return bool(layer)


def versions_json() -> str:
    """The versions of what runs, and of this machine's system, as JSON."""
    return json.dumps(versions() | {"system": platform.platform()}, indent=2) + "\n"


def code_json(loop: Loop) -> str:
    """The generated code of a loop and of those below as JSON: a pair for each line, of its text and the key of the
    hook or inner loop on it, or null."""
    lines = [[str(line), line.step.key if line.step is not None else None] for line in loop.code_lines]
    return json.dumps(lines, ensure_ascii=False) + "\n"
