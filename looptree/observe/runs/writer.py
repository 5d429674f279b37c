"""Writer: rows go into a database from a thread of its own, several times a second."""

from __future__ import annotations

import contextlib
import itertools
import operator
import sqlite3
import threading
from collections import deque
from pathlib import Path
from typing import Any

from looptree.observe.runs.database import create, open_to_write

_EVERY_S = 0.25

_statement_of = operator.itemgetter(0)


class Writer:
    """Takes rows at any time, and writes what has come in since, all of it or nothing of it.

        writer.add("INSERT INTO passes VALUES (?, ?, ?)", (3, 768.0, 1.25))

    `add` never waits. Where the disk is full or gone, `problem` says so; rows are kept, and written when that is over.

    Raises:
        sqlite3.Error: the database cannot be made.
    """

    def __init__(self, path: Path) -> None:
        create(path)
        self.problem = ""
        self._path = path
        self._rows: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"writer of {path}", daemon=True)
        self._thread.start()

    def add(self, statement: str, *rows: tuple[Any, ...]) -> None:
        """Have a statement carried out with the values of each row, after those that came before."""
        self._rows.extend((statement, row) for row in rows)

    def close(self) -> None:
        """Write what is left, and end the thread."""
        self._closing.set()
        self._thread.join()

    def _work(self) -> None:
        connection = open_to_write(self._path)
        try:
            while not self._closing.wait(_EVERY_S):
                self._write(connection)
            self._write(connection)
            with contextlib.suppress(sqlite3.Error):  # while somebody reads it, it stays as it is
                connection.execute("PRAGMA journal_mode = DELETE")  # one file, also for who may only read the folder
        finally:
            connection.close()

    def _write(self, connection: sqlite3.Connection) -> None:
        """Everything that is there, in one transaction."""
        number = len(self._rows)
        waiting = list(itertools.islice(self._rows, number)) if number else []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for statement, rows in itertools.groupby(waiting, _statement_of):
                connection.executemany(statement, (row for _, row in rows))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self.problem = str(error)
        else:
            self.problem = ""
            for _ in waiting:
                self._rows.popleft()
