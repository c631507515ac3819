"""KV cache on disk: the share of a trace's input that it hits by its size, what that saves, which disks it needs."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from planner.capacity.engines import missed_rate, notes
from planner.catalogue.read import model
from planner.core.fleet.kv_cache import Disk, DiskCache, HitCurve, disks, hit_curve, stored_tb
from planner.core.fleet.operating import usd_per_million_tokens
from planner.core.fleet.prefill import input_tokens_per_s_per_node
from planner.core.fleet.shapes import kv_bytes_per_token
from planner.documents import Document
from planner.errors import UsageError
from planner.store import Store
from planner.studies.capacity.study import EngineStudy
from planner.trace.stored import TraceInfo, by_name
from planner.units import US_PER_S, Ints

_ROWS = 12


@dataclass(frozen=True, kw_only=True)
class DiskCacheRow(Document):
    """A KV cache of one capacity."""

    capacity_tb: float
    hit_ratio: float
    """Share of the input tokens that hit the cache."""
    read_gb_s: float
    written_gb_s: float
    disks: int
    binds: Literal["bandwidth", "capacity"]
    """Whether bandwidth or capacity needs more disks."""
    prefill_tokens_per_s_per_node: float
    """Input tokens, cache hits included."""
    prefill_nodes: float
    prefill_nodes_saved: float
    """Compared with no cache."""
    missed_context_tokens: float
    """Mean attention context of missed tokens."""
    usd_per_million_input_tokens: float
    """Prefill alone; the disks' price is left out."""


@dataclass(frozen=True, kw_only=True)
class DiskCacheSizes(Document):
    """The hits, savings and disks of a KV cache on disk, by its capacity."""

    trace: str
    model: str
    kv_bytes_per_token: int
    block_tokens: int
    input_tokens_per_s: float
    """Of the fleet that shares the cache."""
    times_the_trace: float
    """That rate over the trace's own mean."""
    largest_hit_ratio: float
    """With room for every block."""
    disk: Disk
    notes: tuple[str, ...]
    rows: tuple[DiskCacheRow, ...]


@dataclass(frozen=True)
class CachedTrace:
    """A stored trace's hit curve, and its mean input tokens per second."""

    trace: TraceInfo
    curve: HitCurve
    input_tokens_per_s: float


@dataclass(frozen=True, kw_only=True)
class _Traffic:
    """The traffic on a cache: input tokens per second, how many times the trace's, and KV bytes of a token."""

    input_tokens_per_s: float
    times_the_trace: float
    kv_bytes_per_token: int


def read_cached_trace(store: Store, name: str) -> CachedTrace:
    """Read a trace's prefix blocks. Raises TraceError, and UsageError where it has none or is a sample."""
    with store.read() as session:
        trace = by_name(session, name)
        if trace.block_tokens is None:
            raise UsageError(f"trace {name} has no prefix blocks; import one with them, for example --format mooncake")
        if trace.sample_weight > 1:
            raise UsageError(f"trace {name} is a sample, whose blocks say little about a cache; import it whole")
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


def size_disk_cache(
    cached: CachedTrace, study: EngineStudy, disk: Disk, input_tokens_per_s: float | None
) -> DiskCacheSizes:
    """Hit ratio, bytes, disks, prefill rate and price by capacity.

    input_tokens_per_s: of the fleet that shares the cache; left out, the trace's own. With more traffic than the
    trace's, a cache needs as many times the capacity for the same share. Raises UsageError.
    """
    if input_tokens_per_s is not None and not 0 < input_tokens_per_s < math.inf:
        raise UsageError(f"input tokens per second are {input_tokens_per_s:g}; give a finite number above 0")
    rate = input_tokens_per_s or cached.input_tokens_per_s
    traffic = _Traffic(
        input_tokens_per_s=rate,
        times_the_trace=rate / cached.input_tokens_per_s,
        kv_bytes_per_token=kv_bytes_per_token(model(study.settings.model), study.settings.kv),
    )
    return DiskCacheSizes(
        trace=cached.trace.name,
        model=study.settings.model,
        kv_bytes_per_token=traffic.kv_bytes_per_token,
        block_tokens=cached.curve.block_tokens,
        input_tokens_per_s=rate,
        times_the_trace=traffic.times_the_trace,
        largest_hit_ratio=cached.curve.largest,
        disk=disk,
        notes=(
            *notes(study.settings),
            "disks: sized for the mean rate; a peak needs more bandwidth in proportion to its traffic",
        ),
        rows=tuple(_row(cached.curve, blocks, traffic, disk, study) for blocks in _capacities(cached).tolist()),
    )


def _capacities(cached: CachedTrace) -> Ints:
    most = int(cached.curve.capacities[-1])
    if most == 0:
        raise UsageError(f"trace {cached.trace.name} repeats no block, so a cache has no hits; use another trace")
    return np.unique(np.geomspace(max(1, most / 1000), most, _ROWS).round().astype(np.int64))


def _row(curve: HitCurve, blocks: int, traffic: _Traffic, disk: Disk, study: EngineStudy) -> DiskCacheRow:
    ratio = curve.ratio_at(blocks)
    rate, held = traffic.input_tokens_per_s, round(blocks * traffic.times_the_trace)
    cache = DiskCache(
        input_tokens_per_s=rate,
        hit_ratio=ratio,
        kv_bytes_per_token=traffic.kv_bytes_per_token,
        capacity_blocks=held,
        block_tokens=curve.block_tokens,
    )
    plan = disks(cache, disk)
    # the context of missed tokens shifts with the hits
    engine = study.prefill
    missed, without = (missed_rate(study.settings, engine, curve.missed_context_at(room)) for room in (blocks, 0))
    with_hits = float(input_tokens_per_s_per_node(missed, ratio))
    return DiskCacheRow(
        capacity_tb=stored_tb(held, curve.block_tokens, traffic.kv_bytes_per_token),
        hit_ratio=ratio,
        read_gb_s=plan.bytes_read_per_s / 1e9,
        written_gb_s=plan.bytes_written_per_s / 1e9,
        disks=plan.disks,
        binds=plan.binds,
        prefill_tokens_per_s_per_node=with_hits,
        prefill_nodes=rate / with_hits,
        prefill_nodes_saved=rate / without - rate / with_hits,
        missed_context_tokens=curve.missed_context_at(blocks),
        usd_per_million_input_tokens=usd_per_million_tokens(engine, with_hits),
    )
