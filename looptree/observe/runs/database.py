"""The database of a run, `run.db`: what stands in its tables, and how it is opened.

It is SQLite with a write-ahead log, which any number of programs may read while the run goes on, and which is whole
whenever the process that writes it is killed.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

FORMAT = 1
"""Of the tables below; a program that does not know it leaves the database alone."""

_APPLICATION = 0x6C6F6F70  # "loop": marks the database as one of ours

_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;

-- A row for each pass of the loop: its number (`count` when it began), how far the run was at its end, in the unit that
-- `about` names as `over`, and the seconds since the run began.
CREATE TABLE passes (number INTEGER PRIMARY KEY, step REAL NOT NULL, at_s REAL NOT NULL);

-- A metric has this value from this pass on, until its next row. NULL is NaN.
CREATE TABLE metrics (name TEXT, pass INTEGER, value REAL, PRIMARY KEY (name, pass)) WITHOUT ROWID;

-- A row for each line of the tree, in its order, with the times of the whole run so far.
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


def create(path: Path) -> None:
    """Make an empty database where there is none.

    Raises:
        sqlite3.Error: there is one, or it cannot be written.
    """
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.executescript(_TABLES)
    finally:
        connection.close()


def open_to_write(path: Path) -> sqlite3.Connection:
    """For the one thread that writes."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")  # safe when the process dies, and never waits for the disk
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """For a program that changes nothing.

    Raises:
        sqlite3.Error: it is no database, or cannot be read.
        WrongFormat: it is another program's, or of another version of looptree.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            raise WrongFormat("it is not a database that looptree wrote")
        if version != FORMAT:
            raise WrongFormat(f"it is of format {version}, and this looptree reads format {FORMAT}")
    except BaseException:
        connection.close()
        raise
    return connection


class WrongFormat(Exception):
    """A database is not one of a run, or not of this version; says what it is."""
