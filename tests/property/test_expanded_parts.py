"""Whatever a sample is like: its parts, expanded one by one, are the whole expanded at once."""

import json
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.store import Store
from planner.store.traces import REQUEST_SCHEMA
from planner.trace import stored
from planner.trace.expand import expand
from planner.trace.parts import CELL_US
from planner.trace.spool import Spool
from planner.units import from_us
from tests.conftest import NOW

START_US = 1_740_787_200_000_000
CELLS = 6


@st.composite
def samples(draw: st.DrawFn) -> tuple[pa.RecordBatch, int]:
    """Rows of a sample, some cells with none, and requests that each stands for."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    counts = draw(st.lists(st.sampled_from([0, 1, 5, 60]), min_size=CELLS, max_size=CELLS).filter(any))
    bursty = draw(st.booleans())
    at_us = [np.sort(random.beta(0.3, 0.3, count) if bursty else random.random(count)) for count in counts]
    arrival_us = np.concatenate([START_US + (cell + at).astype(float) * CELL_US for cell, at in enumerate(at_us)])
    rows = len(arrival_us)
    sessions = random.integers(0, max(rows // 2, 1), rows)
    columns = {
        "arrival_us": np.minimum(arrival_us.astype(np.int64), START_US + CELLS * CELL_US - 1),
        "input_tokens": random.integers(1, 5_000, rows),
        "cached_input_tokens": random.integers(0, 1, rows),
        "output_tokens": random.integers(1, 900, rows),
        "class_id": random.integers(0, 2, rows),
        "session_id": sessions,
    }
    told = random.random(rows) < draw(st.sampled_from([0.0, 0.5]))
    arrays = [
        pa.array(columns[field.name], field.type, mask=told if field.name == "session_id" else None)
        for field in REQUEST_SCHEMA
    ]
    return pa.record_batch(arrays, schema=REQUEST_SCHEMA), draw(st.sampled_from([2, 3, 50]))


def add_sample(store: Store, rows: pa.RecordBatch, weight: int, *, named: bool) -> None:
    """Store the sample as s. named: whether the time that it covers is that of its cells, or that of its rows."""
    arrivals = rows.column("arrival_us")
    span = {"start_s": START_US // 10**6, "end_s": (START_US + CELLS * CELL_US) // 10**6}
    whole = (START_US, START_US + CELLS * CELL_US)
    draft = stored.Draft(
        name="s",
        origin="import",
        settings=json.dumps({"span": span} if named else {}),
        settings_digest="s",
        timezone="UTC",
        sample_weight=weight,
        window_us=whole if named else (arrivals[0].as_py(), arrivals[-1].as_py() + 1),
        created_at=NOW,
        planner_version="0",
        classes=("chat", "batch"),
    )
    with Spool(REQUEST_SCHEMA, store.path.parent) as spool:
        spool.write(rows)
        stored.add(store, draft, spool)


def rows_of(store: Store, name: str) -> list[tuple[object, ...]]:
    with store.read() as session:
        return session.frame("trace_rows", trace_id=stored.by_name(session, name).trace_id).rows()


@settings(max_examples=15)
@given(sample=samples(), named=st.booleans(), cuts=st.sets(st.integers(1, CELLS - 1)), seed=st.integers(0, 99))
def test_parts_are_the_whole(sample: tuple[pa.RecordBatch, int], named: bool, cuts: set[int], seed: int) -> None:
    rows, weight = sample
    first, last = (int(rows.column("arrival_us")[at].as_py() - START_US) // CELL_US for at in (0, -1))
    edges = (
        [0, *sorted(cuts), CELLS] if named else [first, *sorted(cut for cut in cuts if first < cut <= last), last + 1]
    )
    asked = {"seed": seed, "now": NOW, "version": "0"}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "planner.duckdb", wait_s=10)
        add_sample(store, rows, weight, named=named)
        expand(store, "s", "full", **asked)
        found = []
        for number, (begin, end) in enumerate(pairwise(edges)):
            times = [from_us(START_US + edge * CELL_US) for edge in (begin, end)]
            inside = (rows.column("arrival_us").to_numpy() - START_US) // CELL_US
            if not ((begin <= inside) & (inside < end)).any():
                continue
            expand(store, "s", f"part-{number}", start=times[0], end=times[1], **asked)
            found += rows_of(store, f"part-{number}")
        assert found == rows_of(store, "full")
        assert len(found) == weight * rows.num_rows
