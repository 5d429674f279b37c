"""The database of a run, `run.db`: what stands in its tables, and how it is made and opened.

It is SQLite with a write-ahead log, which any number of programs may read while the run goes on, and which is whole
whenever the process that writes it is killed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

FORMAT = 2
"""Of the tables below; a program that does not know it leaves the database alone."""

_APPLICATION = 0x6C6F6F70  # "loop": marks the database as one of ours

_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;

-- A row for each time that the run was begun or gone on with: the pass from which (`count` of the loop), when, how it
-- ended, how many passes of the sessions before were taken out for it to make them again, and as a list in JSON what
-- of the state that it went on from is not what it was. A session that was killed has no end.
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY, from_pass INTEGER NOT NULL, began_at TEXT NOT NULL, ended_at TEXT, ended TEXT,
    passes_again INTEGER NOT NULL, inexact TEXT NOT NULL
);

-- A row for each pass of the loop: its number (`count` when it began), how far the run was at its end, in the unit that
-- `about` names as `over`, and the seconds since the run began, without those between two sessions.
CREATE TABLE passes (number INTEGER PRIMARY KEY, step REAL NOT NULL, at_s REAL NOT NULL);

-- A metric has this value from this pass on, until its next row. NULL is NaN.
CREATE TABLE metrics (name TEXT, pass INTEGER, value REAL, PRIMARY KEY (name, pass)) WITHOUT ROWID;

-- A row for each line of the tree, in its order, with the times of all sessions so far.
CREATE TABLE timings (
    line INTEGER PRIMARY KEY, path TEXT, kind TEXT, calls INTEGER, total_s REAL, own_s REAL, all_s REAL, place TEXT,
    name TEXT, note TEXT, depth INTEGER, key TEXT
);

-- Texts that stand in many changes.
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);

-- A traced field was another value after a hook than before: `pass` is that of the loop recorded, `at` the passes of
-- all loops around the hook. Values are as a trace shows them, numbers in `value` besides.
CREATE TABLE changes (
    number INTEGER PRIMARY KEY, pass INTEGER, at TEXT, field INTEGER REFERENCES names, hook INTEGER REFERENCES names,
    old TEXT, new TEXT, value REAL
);
CREATE INDEX changes_by_field ON changes (field, number);
"""


@contextlib.contextmanager
def creating(path: Path) -> Iterator[sqlite3.Connection]:
    """A new database, to be filled: it is in its place when this `with` has ended well, and not before.

    Raises:
        sqlite3.Error, OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(beside)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.executescript(_TABLES)
            with connection:
                yield connection
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def open_to_write(path: Path) -> sqlite3.Connection:
    """For the one thread that writes.

    Raises:
        sqlite3.Error: it is no database, or cannot be written.
        WrongFormat: it is another program's, or of another version of looptree.
    """
    connection = _opened(path, "rw")
    with contextlib.suppress(sqlite3.OperationalError):  # while somebody reads it, it stays as it is
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")  # safe when the process dies, and never waits for the disk
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """For a program that changes nothing.

    Raises:
        sqlite3.Error: it is no database, or cannot be read.
        WrongFormat: it is another program's, or of another version of looptree.
    """
    try:
        return _opened(path, "ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        return _opened(path, "rw")  # what a process that was killed has changed by half is undone by who may


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, check_same_thread=False, isolation_level=None
    )
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            raise WrongFormat("it is not a database that looptree wrote")
        if version != FORMAT:
            raise WrongFormat(
                f"it is of format {version}, and this looptree reads format {FORMAT}; the looptree that the run's"
                f" versions.json names reads it"
            )
        # Views and triggers would be carried out by whoever reads and writes.
        if _schema(connection) != _own_schema():
            raise WrongFormat("its tables are not those that a Recorder makes")
    except BaseException:
        connection.close()
        raise
    return connection


def _schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """What a database consists of, each part with the statement that made it."""
    return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()


@functools.cache
def _own_schema() -> list[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_TABLES)
        return _schema(connection)


class WrongFormat(Exception):
    """A database is not one of a run, or not of this version; says what it is."""
