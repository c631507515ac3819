"""Requests drawn from a ServeGen folder: arrivals by each window's law, lengths from the histograms that apply."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from planner.store.traces import REQUEST_SCHEMA
from planner.trace.imports.servegen import Client, Lengths
from planner.trace.windows import shares
from planner.units import US_PER_S, Ints

SCHEMA = pa.schema([field for field in REQUEST_SCHEMA if field.name != "session_id"])

_Laws = Mapping[int, tuple[str, float]]
"""Start of a window in seconds -> its pattern of arrivals and the shape of its gaps."""


class _ClientWindow(NamedTuple):
    """A window of one client, and how many requests are drawn in it."""

    file_index: int
    start_us: int
    end_us: int
    drawn: int


def draw(
    rows: pl.DataFrame, clients: Sequence[Client], start_us: int, weight: int, seed: int
) -> Iterator[pa.RecordBatch]:
    """Requests of the windows that have lengths as batches of SCHEMA, a window of all clients each, in arrival order.

    rows: imported windows; their file_index is the place of the client, and the class_id of its requests. start_us:
    moment of time 0. Drawn whole (weight 1), arrivals have the gaps of the window's own law, scaled to the window;
    thinned to one in `weight`, they are uniform, to which thinning amounts. The same arguments give the same bytes.
    """
    drawable = rows.filter(pl.col("requests_with_lengths") > 0).sort("file_index", "start_us")
    places, counts = drawable["file_index"].to_numpy(), drawable["requests_with_lengths"].to_numpy()
    drawn = np.zeros(len(counts), np.int64)
    laws: dict[int, _Laws] = {}
    for place in map(int, np.unique(places)):
        own = places == place
        # each client's rounding has its own offset, so that many small clients keep their sum
        offset = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(place,))).random() if weight > 1 else 0
        drawn[own] = shares(counts[own], weight, offset)
        laws[place] = _laws(clients[place]) if weight == 1 else {}
    plan = drawable.with_columns(drawn=pl.Series(drawn)).filter(pl.col("drawn") > 0).sort("start_us", "file_index")
    for window in plan.partition_by("start_us", maintain_order=True):
        rows_of_clients = (_ClientWindow(*row) for row in window.select(_ClientWindow._fields).iter_rows())
        parts = [_part(row, clients[row.file_index], laws[row.file_index], start_us, seed) for row in rows_of_clients]
        arrival_us, inputs, outputs, classes = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(arrival_us, kind="stable")
        unknown = pa.nulls(len(order))
        columns = (arrival_us[order], inputs[order], unknown, outputs[order], classes[order])
        arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        yield pa.record_batch(arrays, schema=SCHEMA)


def _part(row: _ClientWindow, client: Client, laws: _Laws, start_us: int, seed: int) -> tuple[Ints, ...]:
    """Arrivals, input and output tokens, class: the drawn requests of one client in one window."""
    at_s = (row.start_us - start_us) // US_PER_S
    lengths = client.lengths_at(at_s)
    assert lengths is not None, "only windows with lengths are drawn"
    place, count, length_us = row.file_index, row.drawn, row.end_us - row.start_us
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(place, at_s)))
    pattern, shape = laws.get(at_s, ("", 0.0))
    if pattern:
        gaps = random.gamma(shape, size=count + 1) if pattern == "Gamma" else random.weibull(shape, count + 1)
        running = np.cumsum(gaps)
        offsets = np.floor(running[:-1] / running[-1] * (length_us - 1)) if running[-1] > 0 else np.zeros(count)
    else:
        offsets = random.integers(0, length_us, count)
    inputs, outputs = (_drawn(of, random, count) for of in lengths)
    return row.start_us + offsets.astype(np.int64), inputs, outputs, np.full(count, place)


def _drawn(lengths: Lengths, random: np.random.Generator, count: int) -> Ints:
    at = np.searchsorted(np.cumsum(lengths.shares), random.random(count), side="right")
    return lengths.values[np.minimum(at, len(lengths.values) - 1)]


def _laws(client: Client) -> _Laws:
    """The laws of a client's gaps. Published: parameter_1 is the shape; for Gamma it is 1 over the squared cv."""
    laws = {}
    with client.rates.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.reader(file):
            with suppress(ValueError, IndexError, OverflowError):
                shape = float(row[4])
                if row[3] in ("Gamma", "Weibull") and 0 < shape < np.inf:
                    laws[int(float(row[0]))] = (row[3], shape)
    return laws
