"""Demand per window, where a log has no individual requests: what providers, counters and shared traces publish.

A window of n requests and their tokens is spread evenly over its time. Requests can be drawn from it: arrivals at
random, tokens shared out evenly, totals kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from planner.core.demand import Demand, Grid
from planner.errors import TraceError
from planner.store.traces import REQUEST_SCHEMA
from planner.units import Bools, Floats, Ints, iso

MOST_ROWS = 200_000_000
"""Most requests that are drawn: two days as busy as the published one, 5 GB."""
EVEN_SCHEMA = pa.schema([field for field in REQUEST_SCHEMA if field.name not in ("class_id", "session_id")])
_COUNTS = (
    "requests",
    "requests_with_lengths",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "cached_unknown",
)


@dataclass(frozen=True, kw_only=True)
class DemandWindows:
    """Windows in time order without overlap; gaps stand for no demand. Times in UTC epoch microseconds; (count,).

    knows_cached: whether cached tokens are known of any part of the window; they are 0 where they are not.
    cached_unknown: requests whose cached tokens are not known; cached_input_tokens are those of the others.
    """

    start_us: Ints
    end_us: Ints
    requests: Ints
    requests_with_lengths: Ints
    input_tokens: Ints
    cached_input_tokens: Ints
    output_tokens: Ints
    cached_unknown: Ints
    knows_cached: Bools

    def frame(self, trace_id: int) -> pl.DataFrame:
        """The rows of the table demand_window."""
        head = {"trace_id": pl.repeat(trace_id, len(self.start_us), dtype=pl.Int32, eager=True)}
        times = {"window_start_us": self.start_us, "window_end_us": self.end_us}
        counts = {name: getattr(self, name) for name in _COUNTS}
        counts["cached_input_tokens"] = pl.Series(self.cached_input_tokens).set(pl.Series(~self.knows_cached), None)
        return pl.DataFrame({**head, **times, **counts})


def windows_of(rows: pl.DataFrame, source: str | Path) -> DemandWindows:
    """Windows from imported rows, those of equal times added up. Expected tokens are rounded so that sums stay.

    rows: start_us, end_us and the counts. Raises TraceError where windows overlap without being the same.
    """
    spans = np.stack([rows["start_us"].to_numpy(), rows["end_us"].to_numpy()], axis=1)
    unique, inverse = np.unique(spans, axis=0, return_inverse=True)
    start, end = unique[:, 0], unique[:, 1]
    late = np.flatnonzero(start[1:] < end[:-1])
    if len(late):
        first = int(late[0])
        raise TraceError(
            f"{source}: the windows from {iso(int(start[first]))} and {iso(int(start[first + 1]))} overlap; "
            "give windows of one length, each time once per group"
        )
    is_told = pl.col("cached_input_tokens").is_not_null()
    knows = np.zeros(len(unique), bool)
    knows[inverse.ravel()[rows.select(is_told).to_series().to_numpy()]] = True
    rows = rows.with_columns(
        pl.col("cached_input_tokens").fill_null(0),
        cached_unknown=pl.when(is_told).then(0).otherwise(pl.col("requests")),
    )
    sums = {name: _summed(rows[name].to_numpy(), inverse.ravel(), len(unique)) for name in _COUNTS}
    sums["cached_input_tokens"] = np.minimum(sums["cached_input_tokens"], sums["input_tokens"])
    return DemandWindows(start_us=start, end_us=end, knows_cached=knows, **sums)


def _summed(values: Floats | Ints, index: Ints, count: int) -> Ints:
    sums = np.zeros(count, values.dtype)
    np.add.at(sums, index, values)  # summed in order: the same rows give the same bits
    return _steps(np.rint(np.cumsum(sums)))


def _steps(running: Floats | Ints) -> Ints:
    """The steps of a running sum of whole numbers, from 0."""
    whole: Ints = running.astype(np.int64)
    whole[1:] -= whole[:-1].copy()
    return whole


def demand_of(windows: pl.DataFrame, grid: Grid) -> Demand:
    """The demand per interval of stored windows: evenly spread over each, sums kept. windows: rows of demand_window."""
    start, end = windows["window_start_us"].to_numpy(), windows["window_end_us"].to_numpy()
    knots = np.stack([start, end], axis=1).ravel()
    edges = np.append(grid.starts_us, grid.end_us)

    def spread(name: str) -> Ints:
        total = np.cumsum(windows[name].to_numpy())
        levels = np.stack([np.concatenate([[0], total[:-1]]), total], axis=1).ravel()
        return _steps(np.rint(np.interp(edges, knots, levels)))[1:]

    return Demand(
        grid=grid,
        requests=spread("requests"),
        input_tokens=spread("input_tokens"),
        cached_input_tokens=np.minimum(spread("cached_input_tokens"), spread("input_tokens")),
        output_tokens=spread("output_tokens"),
    )


def check_rows(requests: int, weight: int, source: str | Path, cure: str | None = None) -> None:
    """Raises TraceError where so many requests are too many to draw at this weight. cure: None for a larger weight."""
    rows = requests // weight
    if rows > MOST_ROWS:
        least = -(-requests // MOST_ROWS)
        raise TraceError(
            f"{source}: {rows:,} requests would be drawn, and {MOST_ROWS:,} is the limit; "
            f"{cure or f'draw one in {least:,} or more'}"
        )


def draw_evenly(
    windows: DemandWindows, weight: int, seed: int, part_us: tuple[int, int] | None = None
) -> Iterator[pa.RecordBatch]:
    """One request for every `weight` of them as batches of EVEN_SCHEMA, in arrival order.

    part_us: start and end of the windows whose requests are wanted, which are the same as of all; None for all.

    Arrivals are uniform inside the window. Every request gets the same share of its window's tokens, to within one;
    what a window without a request asks for goes to the next that has one. Where the cached tokens of some requests are
    unknown, those of the others are theirs alone, with the input that holds them. Raises TraceError where a share is
    too long for a request.
    """
    rows = shares(windows.requests, weight)
    totals = [_carried(tokens, rows, weight) for tokens in (windows.input_tokens, windows.output_tokens)]
    known = rows - _unknown(windows, rows)
    cached = np.minimum(_carried(windows.cached_input_tokens, known, weight), totals[0])
    begin_us, until_us = part_us or (windows.start_us[0], windows.end_us[-1])
    wanted = (rows > 0) & (windows.start_us >= begin_us) & (windows.end_us <= until_us)
    for number in np.flatnonzero(wanted):
        count, start, end = int(rows[number]), int(windows.start_us[number]), int(windows.end_us[number])
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(number),)))
        arrival_us = np.sort(random.integers(start, end, count))
        ends = np.arange(count + 1)
        outputs = np.diff(ends * int(totals[1][number]) // count)
        knows = np.diff(ends * int(known[number]) // count) == 1
        inputs, hits = _inputs(int(totals[0][number]), int(cached[number]), knows)
        columns = [arrival_us, inputs, hits, outputs]
        if max(int(column.max()) for column in columns[1:]) > np.iinfo(np.int32).max:
            raise TraceError(
                f"the window from {iso(start)} has more tokens than {count:,} requests can hold; correct it"
            )
        arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, EVEN_SCHEMA, strict=True)]
        if not knows.all():
            arrays[2] = pa.array(hits, arrays[2].type, mask=~knows)
        yield pa.record_batch(arrays, schema=EVEN_SCHEMA)


def _unknown(windows: DemandWindows, rows: Ints) -> Ints:
    """How many of the drawn requests have unknown cached tokens: the same share as of the window's."""
    share = windows.cached_unknown / np.maximum(windows.requests, 1)
    some = _steps(np.floor(np.cumsum(rows * share) + 0.5))
    # whole windows are exact, whatever is rounded in the sum of the others
    return np.where(windows.cached_unknown == 0, 0, np.where(share >= 1, rows, np.minimum(some, rows)))


def _inputs(total: int, cached: int, knows: Bools) -> tuple[Ints, Ints]:
    """Input and cached tokens of requests, of which some know theirs: even shares, where these hold what is cached."""
    ends, of_known = np.arange(len(knows) + 1), np.append(0, np.cumsum(knows))
    inputs = np.diff(ends * total // len(knows))
    if int(inputs[knows].sum()) < cached:
        known, others = of_known * cached // of_known[-1], (ends - of_known) * (total - cached)
        inputs = np.diff(known + others // max(int((~knows).sum()), 1))
    running = np.append(0, np.cumsum(np.where(knows, inputs, 0)))
    return inputs, np.diff(running * cached // max(int(running[-1]), 1))


def shares(counts: Ints, weight: int, offset: float = 0.5) -> Ints:
    """One in `weight` of the counts, per entry: every running sum is right to within one."""
    return _steps(np.floor(np.cumsum(np.append(0, counts)) / weight + offset))[1:]


def _carried(tokens: Ints, rows: Ints, weight: int) -> Ints:
    """Tokens per window for the drawn rows: one in `weight`, and what earlier windows without rows left over."""
    due = np.rint(np.cumsum(tokens) / weight).astype(np.int64)
    return _steps(np.maximum.accumulate(np.where(rows > 0, due, 0)))
