"""Opening, waiting for, creating and migrating the store; sessions that run named queries."""

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import polars as pl
import pyarrow as pa

from planner.drafts import draft_folder, flush
from planner.errors import StoreError, StoreLocked, StoreMissing, StoreUnreadable
from planner.store import migrate
from planner.store.attached import Attachment, LockedDown
from planner.store.damage import damaged, is_damage, told_of_damage
from planner.store.interrupts import interruptible
from planner.store.queries import named_query
from planner.store.turns import waiting_to_write

T = TypeVar("T")

DEFAULT_FILE = "planner.duckdb"
WAIT_S = 60.0
_UNWRITTEN = re.compile(r"Could not write (?:all of )?(?:to )?file [^:]*: (.+)")
"""How DuckDB reports a full disk: as an I/O error, or as a transaction that cannot be committed."""


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the store is when no --db is given: PLANNER_DB, or planner.duckdb in the working directory."""
    return Path(environment.get("PLANNER_DB") or DEFAULT_FILE)


class Session:
    """An open store for the time of one read or one transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def frame(self, query: str, **params: object) -> pl.DataFrame:
        """The rows of a named query as a polars frame."""
        frame: pl.DataFrame = self.connection.sql(named_query(query).sql, params=params).pl()
        return frame

    def rows(self, query: str, **params: object) -> list[dict[str, Any]]:
        """The rows of a named query as dicts."""
        return self.frame(query, **params).to_dicts()

    def records(self, query: str, kind: type[T], **params: object) -> list[T]:
        """The rows of a named query as objects of a dataclass with a field for every column."""
        return [kind(**row) for row in self.rows(query, **params)]

    def stream(self, query: str, batch_rows: int, **params: object) -> pa.RecordBatchReader:
        """The rows of a named query as Arrow batches; read it all before the next query."""
        return self.connection.sql(named_query(query).sql, params=params).to_arrow_reader(batch_rows)

    def execute(self, query: str, **params: object) -> None:
        """Run a named statement."""
        self.connection.execute(named_query(query).sql, params)

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Append a frame to a table, by column name."""
        self.append_arrow(table, frame.to_arrow())

    def append_arrow(self, table: str, rows: pa.Table) -> None:
        """Append an Arrow table to a table, by column name."""
        self._with_view(rows, f"INSERT INTO {table} BY NAME SELECT * FROM appended_rows")

    def append_from(self, table: str, batches: pa.RecordBatchReader, **values: int) -> None:
        """Append Arrow batches to a table, by column name; values are the same in every row."""
        more = "".join(f", {int(value)} AS {name}" for name, value in values.items())
        self._with_view(batches, f"INSERT INTO {table} BY NAME SELECT *{more} FROM appended_rows")

    def create_from(self, table: str, batches: pa.RecordBatchReader) -> None:
        """Create a table from Arrow batches, in their order."""
        self._with_view(batches, f"CREATE TABLE {table} AS SELECT * FROM appended_rows")

    def next_number(self, sequence: str) -> int:
        """The next value of a sequence."""
        return int(self.connection.execute(f"SELECT nextval('{sequence}')").fetchall()[0][0])

    def _with_view(self, data: object, statement: str) -> None:
        # after a failure the transaction is over and the connection is closed, so the view is gone already
        self.connection.register("appended_rows", data)
        self.connection.execute(statement)
        self.connection.unregister("appended_rows")


class Store:
    """The store: a DuckDB file with traces, runs and the results of nightly jobs.

    It is opened by `read` and `write` only, for the time of one read or one transaction, and waited for while another
    process has it.

    Attributes:
        path: the file. It need not exist: the first write creates it.
        wait_s: seconds to wait for another process that holds the file.
    """

    def __init__(self, path: Path | str | None = None, *, wait_s: float = WAIT_S) -> None:
        """Name a store; nothing is opened or created yet.

        Args:
            path: the file; None for the environment's PLANNER_DB, or else ./planner.duckdb.
            wait_s: seconds to wait for another process that holds the file, 0 for not at all.
        """
        self.path = Path(path) if path is not None else default_path()
        self.wait_s = wait_s

    def require(self) -> None:
        """Check that the store exists.

        Raises:
            StoreMissing: there is no file yet.
        """
        if not self.path.exists():
            raise StoreMissing(
                f"no store at {self.path}; create one with `planner trace import`, from a log, or with `planner plan` "
                "of the built-in scenario, or name another with --db"
            )

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open the store to read, as many processes may at the same time.

        A store of an earlier version is brought to this one first.

        Yields:
            A read-only session, closed at the end.

        Raises:
            StoreMissing: there is no file yet.
            StoreLocked: another process wrote for longer than wait_s.
            StoreTooNew: a newer planner wrote it.
            StoreUnreadable: the file is not a DuckDB database, or not one of planner's.
            StoreError: the file cannot be opened for another reason.
        """
        self.require()
        with told_of_damage(self.path), self._open(read_only=True) as connection:
            behind = migrate.is_behind(connection, self.path)
            if not behind:
                with interruptible(connection):
                    yield Session(connection)
        if behind:
            with self.write():
                pass
            with (
                told_of_damage(self.path),
                self._open(read_only=True) as connection,
                interruptible(connection),
            ):
                yield Session(connection)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open the store to write, as one process may at a time. The file is created where it is missing.

        Yields:
            A session in one transaction, committed at the end; an exception leaves the store as it was.

        Raises:
            StoreLocked: another process held the file for longer than wait_s.
            StoreTooNew: a newer planner wrote it.
            StoreUnreadable: the file is not a DuckDB database, or not one of planner's.
            StoreError: the file cannot be created or opened, or there is no space left to write.
        """
        if not self.path.exists():
            self._create()
        with told_of_damage(self.path), self._open(read_only=False) as connection:
            try:
                migrate.upgrade(connection, self.path)
                with interruptible(connection):
                    connection.execute("BEGIN")
                    yield Session(connection)
                    connection.execute("COMMIT")
            except BaseException as error:
                with suppress(duckdb.Error):
                    connection.execute("ROLLBACK")
                if isinstance(error, duckdb.Error) and _UNWRITTEN.search(str(error)):
                    raise _refused(self.path, error) from error
                raise

    def _create(self) -> None:
        """Create a new store beside its path and link it in, so that no incomplete file ever has its name."""
        folder = self.path.parent
        if not folder.is_dir():
            raise StoreError(f"{self.path}: there is no folder {folder}; create it, or name another file with --db")
        try:
            with draft_folder(self.path) as made:
                draft = made / self.path.name
                write_empty(draft, self.path)
                require_complete(draft, self.path)
                with suppress(FileExistsError):
                    os.link(draft, self.path)
                flush(folder)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be created: {error.strerror}; name another file with --db"
            ) from error

    @contextmanager
    def _open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        def attach() -> Attachment:
            return Attachment(self.path, read_only=read_only)

        with closing(_waiting(attach, self.path, self.wait_s, is_writer=not read_only)) as opened:
            yield opened.connection


def write_empty(draft: Path, path: Path) -> None:
    """Write a store without a trace or a run. path: what it will be called. Raises StoreError."""
    with closing(_waiting(lambda: Attachment(draft, read_only=False), path, WAIT_S)) as opened:
        migrate.upgrade(opened.connection, draft)


def require_complete(draft: Path, path: Path) -> None:
    """Check that a closed draft of a store lies in one file. Raises StoreError, as where the disk is full."""
    if Path(f"{draft}.wal").exists():
        raise StoreError(f"{path}: cannot be written; free some space, or name another file with --db")


@contextmanager
def locked_down(
    path: Path, wait_s: float = WAIT_S, *, memory_mib: int | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection that reaches nothing but the store. Raises StoreLocked, StoreUnreadable, StoreError."""
    with closing(_waiting(lambda: LockedDown(path, memory_mib), path, wait_s)) as opened:
        yield opened.connection


def _waiting(connect: Callable[[], T], path: Path, wait_s: float, *, is_writer: bool = False) -> T:
    """Connect, backing off while another process holds the file; a writer says that it waits.

    Raises StoreLocked, StoreUnreadable, StoreError.
    """
    deadline = time.monotonic() + wait_s
    pause_s = 0.01
    with ExitStack() as waiting:
        while True:
            try:
                return connect()
            except duckdb.IOException as error:
                text = str(error)
                if "lock on file" not in text:
                    raise _refused(path, error) from error
                if time.monotonic() >= deadline:
                    holder = text.partition("(")[2].partition(")")[0]
                    who = f" ({holder})" if holder else ""
                    raise StoreLocked(
                        f"{path}: another process{who} has held it for {wait_s:g} s; wait for it, or use another --db"
                    ) from error
            except duckdb.ConnectionException as error:
                raise StoreError(f"{path}: this process has it open in another way; close that first") from error
            except duckdb.Error as error:
                raise _refused(path, error) from error
            if is_writer:
                waiting.enter_context(waiting_to_write(path))
                is_writer = False
            time.sleep(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(pause_s * 1.5, 0.5)


def _refused(path: Path, error: duckdb.Error) -> StoreError:
    text = str(error)
    if failed := _UNWRITTEN.search(text):
        return StoreError(f"{path}: cannot be written: {failed[1]}; free some space, or name another file with --db")
    if _is_no_database(path) or "not a valid DuckDB" in text:
        return StoreUnreadable(f"{path}: is not a DuckDB database; name another file with --db")
    if is_damage(error):
        return damaged(path, error)
    reason = text.splitlines()[0].partition(": ")[2] or text
    return StoreError(f"{path}: cannot be opened: {reason}; check the path and its permissions, or use another --db")


def _is_no_database(path: Path) -> bool:
    """Whether a file does not begin as one of DuckDB's: a checksum of 8 bytes, and then this word."""
    try:
        with path.open("rb") as file:
            return file.read(12)[8:] != b"DUCK"
    except OSError:
        return False
