"""The manifest of a checkpoint: how it is to be read, and what is in it.

In every format there are `format` and `versions` in it, and a checksum of itself.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from looptree.callbacks.checkpoints.errors import WrongCheckpointFormat
from looptree.callbacks.checkpoints.files import damage, opened, summed_up
from looptree.callbacks.checkpoints.layout import ARRAYS, LARGEST_TEXT, MANIFEST, STATE
from looptree.callbacks.checkpoints.tree import Parts
from looptree.observe.versions import versions

FORMAT = 1

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,60}")


def write_manifest(folder: Path, count: int, parts: Parts) -> dict[str, Any]:
    """Write, to the disk, the manifest of a checkpoint whose other files are written; and give it."""
    manifest = {
        "format": FORMAT,
        "count": count,
        "written_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "files": {name: summed_up(folder / name) for name in (STATE, ARRAYS)},
        "saved": parts.saved,
        "not_saved": parts.not_saved,
    }
    sealed = manifest | {"sha256": _checksum(manifest)}
    (folder / MANIFEST).write_text(json.dumps(sealed, indent=2) + "\n")
    summed_up(folder / MANIFEST)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, if it is one that can be read here.

    Raises `DamagedCheckpoint` or `WrongCheckpointFormat`.
    """
    with opened(folder / MANIFEST) as file:
        text = file.read(LARGEST_TEXT)
    with damage(folder, f"{MANIFEST} is not what was written"):
        manifest: dict[str, Any] = json.loads(text)
        if manifest.pop("sha256") != _checksum(manifest):
            raise ValueError("its checksum is another")
        _check_versions(manifest["versions"])
        if manifest["format"] != FORMAT:
            raise WrongCheckpointFormat(_what_reads(folder, manifest["format"], manifest["versions"]["looptree"]))
        _check_contents(manifest)
    return manifest


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _check_versions(named: dict[str, str]) -> None:
    """Versions are shown to people, and in a command."""
    for text in (*named, *named.values()):
        if not _VERSION.fullmatch(text):
            raise ValueError(f"{text[:50]!r} is no version")


def _check_contents(manifest: dict[str, Any]) -> None:
    texts = [*manifest["saved"], *manifest["not_saved"], *manifest["not_saved"].values()]
    if type(manifest["count"]) is not int or not all(type(text) is str for text in texts):
        raise ValueError("it says what none says")
    if set(manifest["files"]) != {STATE, ARRAYS}:
        raise ValueError("it is of other files")


def _what_reads(folder: Path, number: Any, version: str) -> str:
    """What to do with a checkpoint of another format, which a version of looptree wrote."""
    now = versions()["looptree"]
    if type(number) is not int:
        raise ValueError(f"{number!r} is no format")
    if number > FORMAT:
        return (
            f"{folder} was written by looptree {version} in format {number}; this is looptree {now}, which reads "
            f"formats up to {FORMAT}. Go on with that version or a newer one: pip install 'looptree>={version}'."
        )
    return (
        f"{folder} was written by looptree {version} in format {number}, which looptree {now} does not read any more. "
        f"Go on with the version that wrote it: pip install 'looptree=={version}'."
    )
