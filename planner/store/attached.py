"""Database files attached to one DuckDB instance of this process, or opened by one that is locked down.

Measured: an instance takes 27 to 34 ms to make, attaching a file to one that is there and detaching it 7 ms, and a
night opens the store 27 times.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Lock

import duckdb

from planner.store.spill import Spill

CONFIG: Mapping[str, str] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": "1500MB",  # a full-scale trace is streamed; the rest of the promised 3 GB is for Python
}
SESSION = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"
"""Settings of every connection. DuckDB's own progress bar would end up in documents on stdout, as in notebooks."""


@dataclass
class _File:
    """An attached file: its name in the instance, how it was opened, by how many."""

    alias: str
    read_only: bool
    users: int = 0


@dataclass
class _Instance:
    """An instance, and the files attached to it by real path."""

    connection: duckdb.DuckDBPyConnection
    files: dict[str, _File] = field(default_factory=dict)
    spill: Spill | None = None

    def enter(self, path: str, read_only: bool) -> duckdb.DuckDBPyConnection:
        """A connection to a file, which is attached where it is not yet."""
        file = self.files.get(path) or self._attach(path, read_only)
        if file.read_only != read_only:
            raise duckdb.ConnectionException(_ELSEWHERE)
        file.users += 1
        connection = self.connection.cursor()
        try:
            connection.execute(f"USE {file.alias}; {SESSION}")
        except BaseException:
            connection.close()
            self.leave(path)
            raise
        return connection

    def leave(self, path: str) -> None:
        """Detach a file that nobody else uses, which writes what is in its log."""
        file = self.files[path]
        file.users -= 1
        if file.users:
            return
        del self.files[path]
        is_kept = True
        try:
            self.connection.execute(f"DETACH {file.alias}")
        except duckdb.Error:
            # it cannot be detached, as where the disk is full; an instance that ends lets go of everything
            is_kept = False
        if not self.files:
            is_kept &= self._empty()
        if not is_kept and _instances.get(os.getpid()) is self:
            _renewed()

    def _attach(self, path: str, read_only: bool) -> _File:
        name = path.replace("'", "''")
        file = _File(f"store_{next(_numbers)}", read_only)
        try:
            if not self.files:
                # what does not fit into memory goes beside the store, not into the working directory
                self.spill = Spill(Path(path))
                folder = str(self.spill.path).replace("'", "''")
                self.connection.execute(f"SET temp_directory = '{folder}'")
            self.connection.execute(f"ATTACH '{name}' AS {file.alias}{' (READ_ONLY)' if read_only else ''}")
        except BaseException:
            if not self.files:
                self._empty()
            raise
        self.files[path] = file
        return file

    def _empty(self) -> bool:
        """Remove what was spilled, once no file is attached; returns whether the instance can still be used."""
        if self.spill is None:
            return True
        is_usable = not self.spill.is_used
        if not is_usable:
            self.connection.close()
        self.spill.close()
        self.spill = None
        return is_usable


_KEYS = {"run": "run_id", "trace": "trace_id"}
_ELSEWHERE = "this process has it open in another way"
_instances: dict[int, _Instance] = {}
"""By process: after a fork the threads of the parent's instance are not there."""
_locked_down: Counter[str] = Counter()
"""How many connections of their own have a file open, by real path."""
_numbers = count()
_lock = Lock()


class Attachment:
    """A connection whose database is an attached file, until it is closed."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Attach a file, or share it with who has attached it in the same way.

        Raises:
            duckdb.Error: the file cannot be opened, or this process has it open in another way.
        """
        self._path = os.path.realpath(path)
        with _lock:
            if _locked_down[self._path]:
                raise duckdb.ConnectionException(_ELSEWHERE)
            self._instance = _instance()
            try:
                self.connection = self._instance.enter(self._path, read_only)
            except (duckdb.FatalException, duckdb.NotImplementedException):
                # a damaged file makes the whole instance useless, for whatever is opened next too; and an instance
                # that has written to its temporary folder keeps to it
                self._instance = _renewed()
                self.connection = self._instance.enter(self._path, read_only)

    def close(self) -> None:
        """Close the connection; the last one of a file detaches it."""
        self.connection.close()
        with _lock:
            self._instance.leave(self._path)


class LockedDown:
    """A read-only connection that reaches nothing but its file, until it is closed.

    No other files, network, extensions, settings or spill; all this is set for a whole instance, so it has its own.
    """

    def __init__(self, path: Path, memory_mib: int | None = None) -> None:
        """Open a file that is not attached. memory_mib: what its queries may take, if it is not the usual.

        Whichever of two instances closes a file first drops this process's lock on it, and another process could write
        under the reader: so a file is attached or locked down, never both.

        Raises:
            duckdb.Error: the file cannot be opened, or it is attached.
        """
        self._path = os.path.realpath(path)
        with _lock:
            if self._path in _instance().files:
                raise duckdb.ConnectionException(_ELSEWHERE)
            config: dict[str, str | bool | int | float | list[str]] = {**CONFIG}
            config |= {"enable_external_access": "false", "temp_directory": ""}
            if memory_mib is not None:
                config["memory_limit"] = f"{memory_mib}MiB"
            self.connection = duckdb.connect(
                self._path,
                read_only=True,
                config=config,
            )
            _locked_down[self._path] += 1
        try:
            self.connection.execute(f"{SESSION}; SET lock_configuration = true")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
        with _lock:
            _locked_down[self._path] -= 1


def read_all(path: Path) -> None:
    """Read every row of a file that is attached, or closed. Raises duckdb.Error."""
    with _lock:
        name = os.path.realpath(path)
        if file := _instance().files.get(name):
            alias, connection = file.alias, _instance().connection.cursor()
        else:
            alias, connection = "checked", duckdb.connect(":memory:", config=dict(CONFIG))
            quoted = name.replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS checked (READ_ONLY)")
    try:
        tables = connection.execute(
            f"SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = '{alias}'"
        ).fetchall()
        for schema, table in tables:
            connection.execute(f'SELECT count(COLUMNS(*)::VARCHAR) FROM {alias}."{schema}"."{table}"').fetchall()
        # blocks that have changed places are sound one by one
        for table, key in _KEYS.items() & {(name, _KEYS.get(name)) for _, name in tables}:
            rows = f"FROM {alias}.main.{table}"
            for row in connection.execute(f"SELECT {key} {rows}").fetchall():
                if connection.execute(f"SELECT count(*) {rows} WHERE {key} = $1", row).fetchall() != [(1,)]:
                    raise duckdb.SerializationException(f"a {table} is not found by its {key}")
    finally:
        connection.close()


def _instance() -> _Instance:
    return _instances.get(os.getpid()) or _renewed()


def _renewed() -> _Instance:
    instance = _instances[os.getpid()] = _Instance(duckdb.connect(":memory:", config=dict(CONFIG)))
    return instance
