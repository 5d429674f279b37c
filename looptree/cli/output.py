"""Output: standard output, whose own failures are told from all others."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class OutputFailed(Exception):
    """Standard output takes no more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror}.")
        self.error = error


@contextlib.contextmanager
def told_apart() -> Iterator[None]:
    """For as long as this `with` lasts, standard output raises `OutputFailed` where it cannot be written, and that is
    known when the `with` ends. A process that has none writes to nothing."""
    if sys.stdout is None:
        yield
        return
    output: Any = _Output(sys.stdout)
    with contextlib.redirect_stdout(output):
        yield
        output.flush()


def give_up() -> None:
    """Let what has not been written go nowhere, so that Python does not try again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Output:
    """A stream of text in all but its errors."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> Any:
        with _failing():
            return self._stream.write(text)

    def flush(self) -> None:
        with _failing():
            self._stream.flush()


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputFailed(error) from error
