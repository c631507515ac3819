"""The requests of a window come in order of arrival, however they are stored."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa
import pytest

from planner.core.replay.requests.window import ReplayWindow
from planner.store import Store
from planner.store.traces import REQUEST_SCHEMA, add_requests
from planner.studies.replay.requests import requests_of
from planner.trace.stored import TraceInfo

ROWS = 250_000
"""More than are read at once, twice."""
EVERY_US = 3
"""Many requests arrive in the same microsecond as others: these come as they are stored."""


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    found = {name: rng.integers(0, 100, ROWS) for name in REQUEST_SCHEMA.names}
    found["arrival_us"] = np.sort(rng.integers(0, ROWS * EVERY_US, ROWS))
    return found


def swapped(first: int, second: int) -> np.ndarray:
    order = np.arange(ROWS)
    order[[first, second]] = order[[second, first]]
    return order


ORDERS = {
    "as they arrive": np.arange(ROWS),
    "backwards": np.arange(ROWS)[::-1],
    "the last two swapped": swapped(ROWS - 2, ROWS - 1),
    "two of different chunks swapped": swapped(99_990, 100_010),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_requests_come_in_order_of_arrival_however_they_lie(
    tmp_path: Path, columns: dict[str, np.ndarray], order: np.ndarray
) -> None:
    table = pa.table({name: columns[name][order] for name in REQUEST_SCHEMA.names}).cast(REQUEST_SCHEMA)
    store, end_us = Store(tmp_path / "planner.duckdb"), ROWS * EVERY_US
    with store.write() as session:
        add_requests(session, 1, pa.RecordBatchReader.from_batches(REQUEST_SCHEMA, table.to_batches()))
    window = ReplayWindow(from_us=1000, to_us=end_us, origin_us=1000, end_us=end_us)
    with store.read() as session:
        chunks = list(requests_of(session, cast(TraceInfo, SimpleNamespace(trace_id=1)), window))
    come = order[np.argsort(columns["arrival_us"][order], kind="stable")]
    come = come[columns["arrival_us"][come] >= 1000]
    for name in ("input_tokens", "cached_input_tokens", "output_tokens", "class_id", "session_id"):
        assert (np.concatenate([getattr(chunk, name) for chunk in chunks]) == columns[name][come]).all()
    assert (np.concatenate([chunk.arrival_us for chunk in chunks]) == columns["arrival_us"][come] - 1000).all()


def test_a_window_may_be_empty(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    store = Store(tmp_path / "planner.duckdb")
    table = pa.table(columns).select(REQUEST_SCHEMA.names).cast(REQUEST_SCHEMA)
    with store.write() as session:
        add_requests(session, 1, pa.RecordBatchReader.from_batches(REQUEST_SCHEMA, table.to_batches()))
    window = ReplayWindow(from_us=-2000, to_us=-1000, origin_us=-2000, end_us=-1000)
    with store.read() as session:
        assert not list(requests_of(session, cast(TraceInfo, SimpleNamespace(trace_id=1)), window))
