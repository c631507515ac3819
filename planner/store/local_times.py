"""Times of a local clock in DuckDB: macros that make moments of what it shows, and a function that reads any text.

DuckDB's own conversion knows neither times that a clock never shows nor those that it shows twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import FunctionNullHandling, PythonUDFType

from planner.units import US_PER_S

_FIRST_YEAR, _LAST_YEAR = 1970, 2100
"""Changes of a clock are looked for in these years; before and after, its first and last offset are taken."""
_STEP = timedelta(days=2)
"""Assumed: no clock is changed twice within two days."""


@dataclass(frozen=True)
class LocalClock:
    """How logs tell time.

    timezone: IANA zone of times without an offset. read_time: a text as an ISO time, None where it is not one.
    reads_iso: whether ISO times are among what it reads, so that it need not be called for them.
    """

    timezone: str
    read_time: Callable[[str], str | None]
    reads_iso: bool = True


ISO_UTC = LocalClock("UTC", lambda _text: None)
"""Times in UTC, written as ISO-8601 and in no other way."""


class Change(NamedTuple):
    """A change of a clock: the moment in seconds since the epoch, and offsets from UTC before and after, seconds."""

    at_s: int
    before_s: int
    after_s: int


@cache
def changes(timezone: str) -> tuple[Change, ...]:
    """The changes of a zone's clock, in order."""
    zone = ZoneInfo(timezone)

    def offset_s(at_s: int) -> int:
        offset = datetime.fromtimestamp(at_s, UTC).astimezone(zone).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())

    found = []
    step = int(_STEP.total_seconds())
    begin, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (_FIRST_YEAR, _LAST_YEAR))
    before = offset_s(begin)
    for at in range(begin + step, end, step):
        if (after := offset_s(at)) != before:
            low, high = at - step, at
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if offset_s(middle) != before else (middle, high)
            found.append(Change(high, before, after))
            before = after
    return tuple(found)


def install(connection: duckdb.DuckDBPyConnection, clock: LocalClock) -> None:
    """Create what the macros of readers use: read_time, reads_iso, local_to_utc, local_to_second and shows_twice."""

    def read_times(texts: pa.Array) -> pa.Array:
        return pa.array([None if text is None else clock.read_time(text) for text in texts.to_pylist()], pa.string())

    connection.create_function(
        "read_time",
        read_times,
        ["varchar"],
        "varchar",
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )
    connection.execute(f"CREATE MACRO reads_iso() AS {str(clock.reads_iso).lower()}")
    first, second = _pieces(clock.timezone)
    for name, pieces in (("local_to_utc", first), ("local_to_second", second)):
        if len(pieces) > 1:
            connection.create_function(
                name,
                _lookup(pieces),
                ["bigint"],
                "bigint",
                type=PythonUDFType.ARROW,
                null_handling=FunctionNullHandling.SPECIAL,
            )
        else:
            # a clock that is never changed needs no function, which is called by one thread at a time
            ((_, offset_s),) = pieces
            moment = "NULL::BIGINT" if offset_s is None else f"(shown_us - {offset_s * US_PER_S})"
            connection.execute(f"CREATE MACRO {name}(shown_us) AS {moment}")
    connection.execute(f"CREATE MACRO shows_twice() AS {str(len(second) > 1).lower()}")


Piece = tuple[int | None, int | None]
"""Seconds that a clock shows, from which on an offset holds (None: ever), and the offset (None: there is none)."""


def _pieces(timezone: str) -> tuple[list[Piece], list[Piece]]:
    """Offsets of what a clock shows, in order: those of the first, and those of the second moment at which it does."""
    known = changes(timezone)
    offset = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC).astimezone(ZoneInfo(timezone)).utcoffset()
    assert offset is not None
    first: list[Piece] = [(None, int(offset.total_seconds()))]
    second: list[Piece] = [(None, None)]
    for change in known:
        left, entered = change.at_s + change.before_s, change.at_s + change.after_s
        if entered > left:
            first += [(left, None), (entered, change.after_s)]
        else:
            first.append((left, change.after_s))
            second += [(entered, change.after_s), (left, None)]
    return first, second


def _lookup(pieces: Sequence[Piece]) -> Callable[[pa.Array], pa.Array]:
    """Times less the offset of the piece that holds them, in microseconds; NULL where it has none."""
    bounds_us = np.array([bound for bound, _ in pieces if bound is not None], np.int64) * US_PER_S
    offsets_us = np.array([offset or 0 for _, offset in pieces], np.int64) * US_PER_S
    has_offset = np.array([offset is not None for _, offset in pieces])

    def look_up(shown: pa.Array) -> pa.Array:
        if isinstance(shown, pa.ChunkedArray):
            shown = shown.combine_chunks()
        shown_us = pc.fill_null(shown, 0).to_numpy(zero_copy_only=False)
        piece = np.searchsorted(bounds_us, shown_us, side="right")
        absent = ~has_offset[piece] | shown.is_null().to_numpy(zero_copy_only=False)
        return pa.array(shown_us - offsets_us[piece], mask=absent)

    return look_up
