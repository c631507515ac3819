"""KV cache on disk: the share of a trace's input that a cache finds by its size, what that saves, what it takes."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from planner.capacity.engines import missed_rate, notes
from planner.catalogue.read import model
from planner.core.fleet.kv_cache import Disk, DiskCache, HitCurve, disks, hit_curve, stored_tb
from planner.core.fleet.operating import usd_per_million_tokens
from planner.core.fleet.prefill import input_tokens_per_s_per_node
from planner.core.fleet.shapes import kv_bytes_per_token
from planner.errors import UsageError
from planner.store import Store
from planner.studies.capacity.overview import Study
from planner.trace.stored import TraceInfo, by_name
from planner.units import US_PER_S

_ROWS = 12


@dataclass(frozen=True)
class CachedTrace:
    """A stored trace's hit curve, and its input tokens per second in the mean."""

    trace: TraceInfo
    curve: HitCurve
    input_tokens_per_s: float


def cached_trace(store: Store, name: str) -> CachedTrace:
    """Read a trace's prefix blocks. Raises TraceError, and UsageError where it has none or is a sample."""
    with store.read() as session:
        trace = by_name(session, name)
        if trace.block_tokens is None:
            raise UsageError(f"trace {name} has no prefix blocks; import one with them, for example --format mooncake")
        if trace.sample_weight > 1:
            raise UsageError(f"trace {name} is a sample: its blocks say little about a cache; import it whole")
        blocks = session.frame("trace_blocks", trace_id=trace.trace_id)
        tokens = session.frame("trace_input_tokens", trace_id=trace.trace_id)
    curve = hit_curve(
        blocks["request_seq"].to_numpy(),
        blocks["block_id"].to_numpy(),
        tokens["input_tokens"].cast(int).to_numpy(),
        trace.block_tokens,
    )
    seconds = max(trace.window_end_us - trace.window_start_us, 1) / US_PER_S
    return CachedTrace(trace, curve, trace.input_tokens / seconds)


def disk_study(cached: CachedTrace, study: Study, disk: Disk, input_tokens_per_s: float | None) -> dict[str, Any]:
    """Hit ratio, bytes, disks, prefill rate and price by capacity, JSON-ready.

    input_tokens_per_s: of the fleet that shares the cache; left out, the trace's own. With more traffic than the
    trace's, a cache needs as many times the capacity for the same share. Raises UsageError.
    """
    if input_tokens_per_s is not None and not 0 < input_tokens_per_s < math.inf:
        raise UsageError("input tokens per second are a finite number above 0")
    rate = input_tokens_per_s or cached.input_tokens_per_s
    times = rate / cached.input_tokens_per_s
    bytes_each = kv_bytes_per_token(model(study.settings.model), study.settings.kv)
    rows = [_row(cached.curve, int(blocks), rate, times, bytes_each, disk, study) for blocks in _capacities(cached)]
    return {
        "trace": cached.trace.name,
        "model": study.settings.model,
        "kv_bytes_per_token": bytes_each,
        "block_tokens": cached.curve.block_tokens,
        "input_tokens_per_s": rate,
        "times_the_trace": times,
        "largest_hit_ratio": cached.curve.largest,
        "disk": asdict(disk),
        "notes": [
            *notes(study.settings),
            "disks: for the mean rate; a peak needs as much more bandwidth as it has traffic",
        ],
        "rows": rows,
    }


def _capacities(cached: CachedTrace) -> np.ndarray[Any, np.dtype[np.int64]]:
    most = int(cached.curve.capacities[-1])
    if most == 0:
        raise UsageError(f"trace {cached.trace.name} repeats no block: no cache finds anything")
    return np.unique(np.geomspace(max(1, most / 1000), most, _ROWS).round().astype(np.int64))


def _row(
    curve: HitCurve, blocks: int, rate: float, times: float, bytes_each: int, disk: Disk, study: Study
) -> dict[str, Any]:
    ratio = curve.ratio_at(blocks)
    held = round(blocks * times)
    cache = DiskCache(
        input_tokens_per_s=rate,
        hit_ratio=ratio,
        kv_bytes_per_token=bytes_each,
        capacity_blocks=held,
        block_tokens=curve.block_tokens,
    )
    plan = disks(cache, disk)
    # the context of missed tokens shifts with what the cache finds
    engine = study.prefill
    missed, without = (missed_rate(study.settings, engine, curve.missed_context_at(room)) for room in (blocks, 0))
    with_hits = float(input_tokens_per_s_per_node(missed, ratio))
    return {
        "capacity_tb": stored_tb(held, curve.block_tokens, bytes_each),
        "hit_ratio": ratio,
        "read_gb_s": plan.bytes_read_per_s / 1e9,
        "written_gb_s": plan.bytes_written_per_s / 1e9,
        "disks": plan.disks,
        "binds": plan.binds,
        "prefill_tokens_per_s_per_node": with_hits,
        "prefill_nodes": rate / with_hits,
        "prefill_nodes_saved": rate / without - rate / with_hits,
        "missed_context_tokens": curve.missed_context_at(blocks),
        "usd_per_million_input_tokens": usd_per_million_tokens(engine, with_hits),
    }
