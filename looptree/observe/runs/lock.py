"""Lock: whoever records a run holds it, for as long as the process lives; whatever becomes of that, the system lets go.

It is SQLite's lock of an empty database, which is the same on every system, and no child of a process has it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_PATIENCE_S = 1.0  # for those who only look whether it is held


class IsHeld(Exception):
    """Somebody else holds a lock."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock, whose file is made where there is none.

    Raises:
        IsHeld: somebody else does.
        sqlite3.Error: the file cannot be made.
    """
    with closing(sqlite3.connect(path, timeout=_PATIENCE_S, check_same_thread=False, isolation_level=None)) as lock:
        try:
            lock.execute("PRAGMA journal_mode = OFF")  # nothing is ever written
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise IsHeld(str(path)) from error
        yield


def is_held(path: Path) -> bool:
    """Whether somebody holds a lock."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as lock:
            lock.execute("SELECT * FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        return error.sqlite_errorcode == sqlite3.SQLITE_BUSY
    return False
