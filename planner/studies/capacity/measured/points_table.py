"""A file of measured points of many serving systems, as a table: columns, their types, and what may stand in them."""

from dataclasses import dataclass
from typing import get_args

import polars as pl

from planner.settings.closed import CacheDtype, WeightDtype

COLUMNS = (
    *("id", "model", "gpu", "n_gpus", "tp", "dp", "ep", "moe_tp", "moe_ep", "weights", "kv"),
    *("backend", "backend_version", "serving", "isl", "osl", "concurrency", "streams_per_gpu", "kv_tokens"),
    *("metric", "value", "suspect"),
)
"""Every file of points has these; further ones are carried along as text."""
FILLED = ("id", "model", "gpu", "metric", "value")
"""Columns whose cells are never empty."""
COUNTS = ("n_gpus", "tp", "dp", "ep", "moe_tp", "moe_ep")
NUMBERS = ("isl", "osl", "concurrency", "streams_per_gpu", "kv_tokens", "value")
FLAG = "suspect"
UNITS: dict[str, tuple[float, float]] = {
    "tpot_ms": (0.5, 5_000.0),
    "ttft_ms": (1.0, 60_000.0),
    "prefill_ms": (1.0, 60_000.0),
    "e2e_ms": (5.0, 600_000.0),
    "tokens_per_s": (10.0, 1e7),
}
"""By metric: between which the median of a file lies. Outside, the figures are in another unit: seconds or microseconds
for milliseconds, tokens per millisecond for tokens per second."""
POSSIBLE_MS: dict[str, tuple[float, float]] = {
    "tpot_ms": (0.1, 60_000.0),
    "ttft_ms": (0.5, 3_600_000.0),
    "prefill_ms": (0.5, 3_600_000.0),
    "e2e_ms": (0.5, 86_400_000.0),
}
"""By metric: between which every figure lies. Outside, one is in another unit though the others are not: no GPU reads
its memory in 0.1 ms, and nobody waits an hour for a token."""
METRICS = tuple(UNITS)
WORDS: dict[str, tuple[str, ...]] = {
    "metric": METRICS,
    "weights": get_args(WeightDtype),
    "kv": get_args(CacheDtype),
}
"""By column: the words that may stand in it."""


@dataclass(frozen=True, kw_only=True)
class PointsTable:
    """Checked points.

    frame: a row per point in the file's order; texts as String, counts as Int64, numbers as Float64, suspect as
    Boolean (an empty one is False); elsewhere an empty cell is null: unknown, not zero. Further columns are String.
    source: the file. notes: what was odd and is no error, a sentence each.
    """

    frame: pl.DataFrame
    source: str
    notes: tuple[str, ...] = ()
