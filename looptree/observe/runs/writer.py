"""Writer: rows go into a database from a thread of its own, several times a second."""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
import sqlite3
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from looptree.observe.runs.database import open_to_write
from looptree.observe.save import CannotSave

Row = tuple[str, tuple[Any, ...]]
"""A statement with its values."""

_EVERY_S = 0.25
_RETRY_S = 1.0  # after the disk has not taken something
_PATIENCE_S = 10.0  # with a disk that takes nothing, when it is the last time to write
_MOST_AT_ONCE = 5_000  # additions in a transaction, so that one that fails has not taken long
_MOST_WAITING = 300_000  # additions, which take some 300 MB

_statement_of = operator.itemgetter(0)

_ON_DISK = ""  # in place of a statement: a row that waits for what came before it to be on the disk

# What is wrong with a row itself, and will be again however often it is tried: all else is a matter of the disk.
_UNFIT = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    ValueError,
)


class Writer:
    """Takes rows at any time, and writes what has come in since; rows that are added at once are written at once.

        writer.add(("INSERT INTO passes VALUES (?, ?, ?)", (3, 768.0, 1.25)))

    `add` never waits. Where the disk is full or gone, `problem` says so; rows are kept, and written when that is over.
    Where very many wait, it is `full`: whoever adds should `catch_up`, or leave out what can be left out. A row that
    does not fit into the database is left out, and `unfit` says why the first of them was.

    It begins to write when it is opened. Where the disk takes nothing for ten more seconds when it is closed, a copy of
    the database with all rows in it is written where temporary files go; `rescued` is the folder.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        self.unfit = ""
        self.rescued: Path | None = None
        self._path = path
        self._added: deque[tuple[Row, ...]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=f"writer of {path}", daemon=True)

    @property
    def waiting(self) -> int:
        """The rows that are not written yet."""
        return sum(map(len, list(self._added)))

    @property
    def full(self) -> bool:
        """Whether so much waits that there should not be much more."""
        return len(self._added) >= _MOST_WAITING

    def open(self) -> None:
        """Begin to write.

        Raises:
            sqlite3.Error, WrongFormat: the database cannot be opened.
        """
        self._connection = open_to_write(self._path)
        self._thread.start()

    def add(self, *rows: Row) -> None:
        """Have statements carried out after those that came before, and all of these at once."""
        self._added.append(rows)

    def catch_up(self) -> None:
        """Wait as long as it is full, which it is of rows that come in quicker than a disk in order takes them; not for
        a disk that takes none."""
        while self.full and not self.problem and self._thread.is_alive():
            self._wake.set()
            time.sleep(_EVERY_S / 10)

    def on_disk(self) -> Callable[[], None]:
        """What waits, in whatever thread it is called, until all that has been added by now is on the disk.

        It raises `CannotSave` where the disk does not take it.
        """
        arrived = threading.Event()
        self._added.append(((_ON_DISK, (arrived,)),))
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
        with contextlib.closing(self._connection) as connection:
            closing = False
            while not closing:
                self._wake.wait(_RETRY_S if self.problem else _EVERY_S)
                self._wake.clear()
                closing = self._closing
                self._write(connection)
            self._insist(connection)
            with contextlib.suppress(sqlite3.Error):  # while somebody reads it, it stays as it is
                connection.execute("PRAGMA journal_mode = DELETE")  # one file, also for who may only read the folder

    def _insist(self, connection: sqlite3.Connection) -> None:
        """Try again what was not written, and write it elsewhere where that is in vain."""
        until_s = time.monotonic() + _PATIENCE_S
        while self._added and time.monotonic() < until_s:
            time.sleep(_RETRY_S)
            self._write(connection)
        if self._added:
            problem = self.problem
            self._rescue(connection)
            self.problem = problem

    def _rescue(self, connection: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.Error, OSError):  # then there is no place at all
            folder = Path(tempfile.mkdtemp(prefix="looptree-"))
            with contextlib.closing(sqlite3.connect(folder / self._path.name, isolation_level=None)) as copy:
                connection.backup(copy)
                self._write(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
            if not self._added:
                self.rescued = folder

    def _write(self, connection: sqlite3.Connection) -> None:
        """Everything that is there, as far as the disk takes it."""
        while self._added:
            additions = list(itertools.islice(self._added, _MOST_AT_ONCE))
            rows = list(itertools.chain.from_iterable(additions))
            try:
                try:
                    self._carry_out(connection, rows, _all_at_once)
                except _UNFIT:
                    self._carry_out(connection, rows, self._one_by_one)
            except Exception as error:  # memory may be short, too
                self.problem = str(error) or type(error).__name__
                return
            self.problem = ""
            for _ in additions:
                self._added.popleft()
            for statement, values in rows:
                if statement == _ON_DISK:
                    values[0].set()

    def _carry_out(
        self,
        connection: sqlite3.Connection,
        rows: list[Row],
        carry_out: Callable[[sqlite3.Connection, Iterable[Row]], None],
    ) -> None:
        """All of these rows, or none of them."""
        statements = [row for row in rows if row[0] != _ON_DISK]
        # Only where somebody waits for it does the disk have to have it, should the whole machine stop.
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if len(statements) == len(rows) else 'FULL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            carry_out(connection, statements)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _one_by_one(self, connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
        for statement, values in rows:
            try:
                connection.execute(statement, values)
            except _UNFIT as error:
                self.unfit = self.unfit or f"{values!r}: {error}"


def _all_at_once(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    for statement, group in itertools.groupby(rows, _statement_of):
        connection.executemany(statement, (values for _, values in group))
