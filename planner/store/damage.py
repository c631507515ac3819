"""Errors that a damaged file causes, while it is opened or long after, as one line with a cure."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from planner.errors import PlannerError, StoreDamaged
from planner.store.attached import read_all

_SIGNS = re.compile(
    "corrupt|checksum|deserializ|not a valid duckdb|read enough bytes|has been invalidated|block id|metadata",
    re.IGNORECASE,
)
"""What DuckDB says of a file that is not as it was written."""
_LONGEST = 120


def is_damage(error: BaseException) -> bool:
    """Whether an error of DuckDB says by itself that the file is damaged."""
    sure = isinstance(error, duckdb.SerializationException) or _SIGNS.search(str(error))
    return _is_of_duckdb(error) and bool(sure)


def _is_of_duckdb(error: BaseException) -> bool:
    """Whether an error is DuckDB's; Arrow passes on what comes up in a stream as an error of its own."""
    passed_on = isinstance(error, OSError) and error.errno is None
    return passed_on or isinstance(error, duckdb.Error | pa.ArrowException)


def damaged(path: Path, error: BaseException) -> StoreDamaged:
    """The error of a damaged store."""
    text = " ".join(str(error).splitlines()[0].split()) if str(error) else type(error).__name__
    reason = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    copy = path.with_name(f"{path.stem}.published{path.suffix}")
    rest = f"; {copy} has the results of the last night" if copy.exists() else ""
    return StoreDamaged(
        f"{path}: is damaged and cannot be read ({reason}); restore it from a backup, or name another file with "
        f"--db{rest}"
    )


@contextmanager
def told_of_damage(path: Path, *, of_user: bool = False) -> Iterator[None]:
    """Raises StoreDamaged for what a damaged store makes fail: an error of DuckDB, or of whoever reads odd values.

    Where the error does not tell, the whole store is read: if it can be, the fault is ours, and keeps its traceback.
    of_user: whether the queries are a user's, which fail for reasons of their own.
    """
    try:
        yield
    except PlannerError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not _is_of_duckdb(error):
            raise
        # what DuckDB itself takes for impossible
        is_odd = isinstance(error, duckdb.InternalException | duckdb.FatalException)
        if not of_user and (is_odd or is_damage(error)):
            raise damaged(path, error) from error
        # a user's query may say anything, and DuckDB may fail at it: the store itself tells
        may_be_damage = not of_user or is_odd or isinstance(error, duckdb.IOException | duckdb.SerializationException)
        if (may_be_damage or not isinstance(error, duckdb.Error)) and (fault := _fault_of(path)):
            raise damaged(path, fault) from error
        raise


def _fault_of(path: Path) -> Exception | None:
    """What goes wrong when every row of a store is read; None for nothing, or where it cannot be told.

    Another process may have it, or the memory that is left is too little for it.
    """
    try:
        read_all(path)
    except duckdb.IOException as error:
        return None if "lock on file" in str(error) else error
    except (duckdb.OutOfMemoryException, MemoryError):
        return None
    except (duckdb.Error, UnicodeDecodeError) as error:
        return error
    return None
