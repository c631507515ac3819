"""A file of measured points of many serving systems, as a table: columns, their types, and what may stand in them."""

from dataclasses import dataclass

import polars as pl

TEXTS = ("id", "model", "gpu", "weights", "kv", "backend", "backend_version", "serving", "metric")
COUNTS = ("n_gpus", "tp", "dp", "ep", "moe_tp", "moe_ep")
NUMBERS = ("isl", "osl", "concurrency", "streams_per_gpu", "kv_tokens", "value")
FLAG = "suspect"
COLUMNS = (
    "id", "model", "gpu", "n_gpus", "tp", "dp", "ep", "moe_tp", "moe_ep", "weights", "kv", "backend", "backend_version",
    "serving", "isl", "osl", "concurrency", "streams_per_gpu", "kv_tokens", "metric", "value", "suspect",
)  # fmt: skip
"""Every file of points has these; further ones are carried along as text."""
METRICS = ("tpot_ms", "ttft_ms", "tokens_per_s", "prefill_ms", "e2e_ms")


@dataclass(frozen=True, kw_only=True)
class PointsTable:
    """Checked points.

    frame: a row per point in the file's order; texts as String, counts as Int64, numbers as Float64, suspect as
    Boolean (an empty one is False); elsewhere an empty cell is null: unknown, not zero. Further columns are String.
    notes: what was odd and is no error, a sentence each.
    """

    frame: pl.DataFrame
    source: str
    """The file."""
    notes: tuple[str, ...] = ()
