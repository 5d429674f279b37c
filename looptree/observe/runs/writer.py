"""Writer: rows go into a database from a thread of its own, several times a second."""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from looptree.observe.runs.database import open_to_write
from looptree.observe.save import CannotSave

Row = tuple[str, tuple[Any, ...]]
"""A statement with its values."""

_EVERY_S = 0.25

_statement_of = operator.itemgetter(0)

_ON_DISK = ""  # in place of a statement: a row that waits for what came before it to be on the disk


class Writer:
    """Takes rows at any time, and writes what has come in since, all of it or nothing of it.

        writer.add(("INSERT INTO passes VALUES (?, ?, ?)", (3, 768.0, 1.25)))

    `add` never waits. Where the disk is full or gone, `problem` says so; rows are kept, and written when that is over.
    It begins to write when it is opened.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        self._path = path
        self._rows: deque[Row] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=f"writer of {path}", daemon=True)

    def open(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, *rows: Row) -> None:
        """Have statements carried out after those that came before, and all of these at once."""
        self._rows.extend(rows)

    def on_disk(self) -> Callable[[], None]:
        """What waits, in whatever thread it is called, until all that has been added by now is on the disk.

        It raises `CannotSave` where the disk does not take it.
        """
        arrived = threading.Event()
        self._rows.append((_ON_DISK, (arrived,)))
        return functools.partial(self._wait_for, arrived)

    def close(self) -> None:
        """Write what is left, and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _wait_for(self, arrived: threading.Event) -> None:
        self._wake.set()
        while not arrived.wait(_EVERY_S):
            if self.problem:
                raise CannotSave(f"{self._path} cannot be written: {self.problem}.")

    def _work(self) -> None:
        connection = open_to_write(self._path)
        try:
            closing = False
            while not closing:
                self._wake.wait(_EVERY_S)
                self._wake.clear()
                closing = self._closing
                self._write(connection)
            with contextlib.suppress(sqlite3.Error):  # while somebody reads it, it stays as it is
                connection.execute("PRAGMA journal_mode = DELETE")  # one file, also for who may only read the folder
        finally:
            connection.close()

    def _write(self, connection: sqlite3.Connection) -> None:
        """Everything that is there, in one transaction."""
        number = len(self._rows)
        waiting = list(itertools.islice(self._rows, number)) if number else []
        arrived = [row[0] for statement, row in waiting if statement == _ON_DISK]
        try:
            # Only where somebody waits for it does the disk have to have it, should the whole machine stop.
            connection.execute(f"PRAGMA synchronous = {'FULL' if arrived else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            for statement, rows in itertools.groupby(waiting, _statement_of):
                if statement != _ON_DISK:
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
            for each in arrived:
                each.set()
