"""Database files attached to one DuckDB instance of this process.

An instance takes 30 ms to make, and attaching a file to one that is there 5 ms; a night opens the store some 27 times.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import duckdb

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


_instances: dict[int, _Instance] = {}
"""By process: after a fork the threads of the parent's instance are not there."""
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
            self._instance = _instance()
            try:
                self.connection = self._enter(read_only)
            except duckdb.FatalException:
                # a damaged file makes the whole instance useless, for whatever is opened next too
                self._instance = _renewed()
                self.connection = self._enter(read_only)

    def _enter(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        instance = self._instance
        file = instance.files.get(self._path)
        if file is None:
            file = _File(f"store_{len(instance.files)}_{id(self)}", read_only)
            name, mode = self._path.replace("'", "''"), " (READ_ONLY)" if read_only else ""
            instance.connection.execute(f"ATTACH '{name}' AS {file.alias}{mode}")
            instance.files[self._path] = file
        elif file.read_only != read_only:
            raise duckdb.ConnectionException("Connection Error: this process has it open in another way")
        file.users += 1
        connection = instance.connection.cursor()
        connection.execute(f"USE {file.alias}; {SESSION}")
        return connection

    def close(self) -> None:
        """Close the connection; the last one of a file detaches it, which writes what is in its log."""
        self.connection.close()
        with _lock:
            file = self._instance.files[self._path]
            file.users -= 1
            if file.users:
                return
            del self._instance.files[self._path]
            try:
                self._instance.connection.execute(f"DETACH {file.alias}")
            except duckdb.Error:
                # it cannot be detached, as where the disk is full; an instance that ends lets go of everything
                if _instances.get(os.getpid()) is self._instance:
                    _renewed()


def _instance() -> _Instance:
    return _instances.get(os.getpid()) or _renewed()


def _renewed() -> _Instance:
    instance = _instances[os.getpid()] = _Instance(duckdb.connect(":memory:", config=dict(CONFIG)))
    return instance
