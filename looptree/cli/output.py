"""Output: the folder in which a training run leaves its settings, its results and its agent."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from looptree.cli.usage import UsageError


class Output:
    """A folder that is made, and written to, only when everything is there.

    `settings.json` and `results.json` are for people and programs; `agent.npz` has the agent's parameters by name, for
    `numpy.load`. Each file is written beside its place first and then renamed, so none is ever there in part; files of
    an earlier run are replaced.

    Raises:
        UsageError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            what = "is a file" if existing.is_file() else f"cannot be written ({error.strerror})"
            raise UsageError(
                f"--out {folder}: {existing} {what}; a folder that may be written to, or made, would fit."
            ) from error

    def save(self, settings: dict[str, Any], results: dict[str, Any], agent: dict[str, Any]) -> None:
        """Write all three files, the results last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        weights = io.BytesIO()
        np.savez(weights, allow_pickle=False, **agent)
        self._write("settings.json", _json(_with_words(settings)))
        self._write("agent.npz", weights.getvalue())
        self._write("results.json", _json(results))

    def _write(self, name: str, contents: bytes) -> None:
        beside = self.folder / f".{name}.{os.getpid()}.part"
        try:
            beside.write_bytes(contents)
            beside.replace(self.folder / name)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise


def _with_words(values: Any) -> Any:
    """Nested dicts in which infinite numbers, which JSON has no way to write, are the words "inf" and "-inf"."""
    if isinstance(values, dict):
        return {name: _with_words(value) for name, value in values.items()}
    return str(values) if isinstance(values, float) and math.isinf(values) else values


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, allow_nan=False) + "\n").encode()
