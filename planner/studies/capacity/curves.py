"""Curves of an engine over batch, KV length, hit ratio or EP size, with all else fixed."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from planner.capacity.documents import (
    BatchRow,
    CapacityCurve,
    CurveRow,
    EpRow,
    EpSize,
    HitRow,
    KvRow,
    LargestBatch,
    Sweep,
)
from planner.catalogue.read import hardware, model
from planner.core.fleet.decode import step_us, tokens_per_s_per_node
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import (
    ImbalanceAt,
    largest_batch,
    operating_point,
    tpot_ms,
    usd_per_million_tokens,
)
from planner.core.fleet.prefill import input_tokens_per_s_per_node
from planner.errors import CannotServe, UsageError
from planner.studies.capacity.study import EngineStudy

_BATCH_POINTS, _CURVE_POINTS = 64, 25
_KV_TOKENS = np.geomspace(256, 131_072, _CURVE_POINTS).round()
_HIT_RATIOS = np.linspace(0, 0.96, _CURVE_POINTS)
_EP_NODES = (1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 32, 36, 40)

_NONE = LargestBatch(streams=0.0, tpot_ms=None, tokens_per_s_per_node=0.0, usd_per_million_tokens=None)


def sweep(study: EngineStudy, what: Sweep) -> CapacityCurve:
    """A curve over batch, KV length, hit ratio or EP size. Raises UsageError."""
    return CapacityCurve(
        **vars(study.head()),
        sweep=what,
        times=study.prefill_band("prefill") if what == "hit" else study.decode_band(),
        workload=study.workload,
        rows=tuple(SWEEPS[what](study)),
    )


def sweep_batch(study: EngineStudy) -> list[BatchRow]:
    """Latency, throughput and cost from the smallest valid batch to the memory's cap."""
    engine, imbalance_at = study.decode()
    kv = study.workload.kv_tokens
    most = min(float(engine.batch_cap(kv)), engine.validity.most_streams)
    least = max(1.0, np.ceil(engine.validity.least_streams))
    if most < least:
        raise UsageError(
            f"batches were measured from {least:g} streams per GPU on, but only {most:g} fit the memory; "
            "shorten the context, or set kv_imbalance"
        )
    streams = np.unique(np.linspace(least, most, _BATCH_POINTS).round())
    step = step_us(engine, streams, kv, imbalance=imbalance_at(streams))
    rate = tokens_per_s_per_node(engine, streams, step)
    return [
        BatchRow(
            streams=float(count),
            step_ms=float(time) / 1e3,
            tpot_ms=float(time) / 1e3 / engine.accepted,
            tokens_per_s_per_stream=1e6 * engine.accepted / float(time),
            tokens_per_s_per_node=float(tokens),
            usd_per_million_tokens=usd_per_million_tokens(engine, float(tokens)),
        )
        for count, time, tokens in zip(streams, step, rate, strict=True)
    ]


def sweep_kv(study: EngineStudy) -> list[KvRow]:
    """The operating point by mean KV length; lengths at which nothing fits or meets the target have batch 0."""
    engine, imbalance_at = study.decode()
    valid = engine.validity
    kv = np.clip(_KV_TOKENS, max(valid.least_kv_tokens, 1), valid.most_kv_tokens)
    kv = np.unique(kv)
    streams = largest_batch(engine, kv, study.target_ms, imbalance_at)
    return [
        KvRow(kv_tokens=float(length), **vars(_at(engine, imbalance_at, float(count), float(length))))
        for length, count in zip(kv, streams, strict=True)
    ]


def sweep_hit(study: EngineStudy) -> list[HitRow]:
    """Prefill rate and cost by the share of input that hits the cache, with the context of missed tokens fixed."""
    engine = study.prefill
    missed, _ = study.prefill_rates()
    rates = input_tokens_per_s_per_node(missed, _HIT_RATIOS)
    return [
        HitRow(
            hit_ratio=float(ratio),
            missed_tokens_per_s_per_node=missed,
            tokens_per_s_per_node=float(rate),
            usd_per_million_tokens=usd_per_million_tokens(engine, float(rate)),
        )
        for ratio, rate in zip(_HIT_RATIOS, rates, strict=True)
    ]


def sweep_ep(study: EngineStudy) -> list[EpRow]:
    """The operating point by EP size in whole nodes, with the fewest redundant experts that divide; 0 where none."""
    served = model(study.settings.model)
    if served.experts is None:
        raise UsageError(f"{served.name} is dense: there is no EP size to sweep; use --sweep batch, kv or hit")
    per_node, routed = hardware(study.settings.hardware).gpus_per_node, served.experts.routed
    sizes = (
        EpSize(ep=nodes * per_node, nodes=nodes, redundant_experts=-routed % (nodes * per_node)) for nodes in _EP_NODES
    )
    return [_at_ep_size(study, size) for size in sizes if size.redundant_experts <= routed]


SWEEPS: dict[Sweep, Callable[[EngineStudy], Sequence[CurveRow]]] = {
    "batch": sweep_batch,
    "kv": sweep_kv,
    "hit": sweep_hit,
    "ep": sweep_ep,
}
"""What computes each curve."""


def _at_ep_size(study: EngineStudy, size: EpSize) -> EpRow:
    """The operating point at an EP size, or why there is none."""
    settings = study.settings.model_copy(update={"redundant_experts": size.redundant_experts})
    kv_tokens = study.workload.kv_tokens
    try:
        engine, imbalance_at = replace(study, settings=settings).decode(size.ep)
        point = operating_point(engine, kv_tokens, study.target_ms, imbalance_at)
    except UsageError as error:
        reason = error.reason if isinstance(error, CannotServe) else None
        return EpRow(**vars(size), **vars(_NONE), why=str(error), reason=reason)
    batch = _at(engine, imbalance_at, point.streams, kv_tokens)
    return EpRow(**vars(size), **vars(batch), why=f"limited by {point.limit}")


def _at(engine: Engine, imbalance_at: ImbalanceAt, streams: float, kv_tokens: float) -> LargestBatch:
    if streams < 1:
        return _NONE
    time = float(tpot_ms(engine, streams, kv_tokens, imbalance_at))
    rate = float(tokens_per_s_per_node(engine, streams, time * engine.accepted * 1e3))
    return LargestBatch(
        streams=streams,
        tpot_ms=time,
        tokens_per_s_per_node=rate,
        usd_per_million_tokens=usd_per_million_tokens(engine, rate),
    )
