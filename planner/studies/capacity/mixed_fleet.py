"""Routing request classes over a mixed fleet: by cost within SLO and memory, and in proportion to capacity."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from planner.capacity.engines import (
    balanced_engine,
    decode_engine,
    missed_rate,
    notes,
    prefill_engine,
    usual_decode_gpus,
    usual_settings,
)
from planner.catalogue.read import hardware, mix, model
from planner.core.fleet.operating import nodes_per_qps, operating_point
from planner.core.fleet.prefill import us_per_missed_token
from planner.core.fleet.routing import NodePool, RequestClass, RoutingDocument, proportional, route
from planner.documents import Document
from planner.errors import UsageError
from planner.settings.fleet import EngineSettings
from planner.settings.workloads import Mix, MixClass, MixPool
from planner.units import S_PER_HOUR


@dataclass(frozen=True, kw_only=True)
class ClassFit(Document):
    """How a node type serves a class, or why it cannot."""

    name: Annotated[str, Field(serialization_alias="class")]
    """Of the class."""
    node: str
    nodes_per_request_s: float | None
    """Nodes that one request per second occupies, prefill and decode together; null if it cannot be served."""
    usd_per_thousand_requests: float | None
    why: str
    """What limits the batch, or what keeps the node type from serving."""


@dataclass(frozen=True, kw_only=True)
class MixRouting(Document):
    """The cheapest routing of a mix of requests over a mixed fleet, and that in proportion to capacity."""

    notes: tuple[str, ...]
    mix: str
    model: str
    cheapest: RoutingDocument
    proportional: RoutingDocument
    saved_usd_per_hour: float
    """By the cheapest routing compared with the proportional one."""
    proportional_fits: bool
    """Whether the fleet has the nodes that the proportional routing needs."""
    fits: tuple[ClassFit, ...]
    """Every class on every node type."""


@dataclass(frozen=True)
class _Fit:
    """Nodes per request/s, or None if a node type cannot serve; and why."""

    nodes_per_request_s: float | None
    why: str


def route_mix(name: str, base: EngineSettings) -> MixRouting:
    """The cheapest and the proportional routing of a mix. Raises UsageError.

    base: engine settings that hold for every pool: cache format, imbalances, reserve.
    """
    fleet = mix(name)
    fits = [[_fit(fleet.model, entry, pool, base) for pool in fleet.pool] for entry in fleet.request_class]
    need = np.array([[fit.nodes_per_request_s or np.nan for fit in row] for row in fits])
    feasible = np.isfinite(need)
    _check_servable(fleet, fits)
    classes = [RequestClass(entry.name, entry.requests_per_s) for entry in fleet.request_class]
    pools = [NodePool(pool.hardware, pool.nodes, _usd_per_node_hour(pool)) for pool in fleet.pool]
    filled = np.where(feasible, need, 1.0)
    cheapest, even = (method(classes, pools, filled, feasible) for method in (route, proportional))
    pool_notes = [note for pool in fleet.pool for note in notes(usual_settings(base, fleet.model, pool.hardware))]
    return MixRouting(
        notes=tuple(pool_notes[-1:]),
        mix=fleet.name,
        model=fleet.model,
        cheapest=cheapest.to_document(),
        proportional=even.to_document(),
        saved_usd_per_hour=even.usd_per_hour - cheapest.usd_per_hour,
        proportional_fits=bool((even.over_nodes == 0).all()),
        fits=tuple(
            ClassFit(
                name=entry.name,
                node=pool.hardware,
                nodes_per_request_s=fit.nodes_per_request_s,
                usd_per_thousand_requests=_usd_per_thousand(fit, pool),
                why=fit.why,
            )
            for entry, row in zip(fleet.request_class, fits, strict=True)
            for pool, fit in zip(fleet.pool, row, strict=True)
        ),
    )


def _fit(model_name: str, entry: MixClass, pool: MixPool, base: EngineSettings) -> _Fit:
    """Nodes of a pool's kind that one request per second of a class occupies, prefill and decode together.

    None if no batch meets the class's time per token or fits the memory, or where the prompt alone takes longer
    than the time to the first token.
    """
    settings, served = usual_settings(base, model_name, pool.hardware), model(model_name)
    node, prefill_gpus = hardware(pool.hardware), served.serving.prefill_gpus
    decode_gpus = usual_decode_gpus(served, node)
    least = -(-prefill_gpus // node.gpus_per_node) - (-decode_gpus // node.gpus_per_node)
    if pool.nodes < least:
        return _Fit(None, f"a prefill and a decode unit need {least} nodes, and the pool has {pool.nodes}")
    missed = entry.input_tokens - entry.cached_input_tokens
    context = entry.cached_input_tokens + missed / 2
    try:
        prefill = prefill_engine(settings, prefill_gpus)
        decode, imbalance_at = balanced_engine(settings, decode_engine(settings, decode_gpus))
        kv_tokens = entry.input_tokens + entry.output_tokens / 2
        point = operating_point(decode, kv_tokens, entry.tpot_ms, imbalance_at)
    except UsageError as error:
        return _Fit(None, str(error))
    first_ms = float(us_per_missed_token(prefill, context)) * missed / 1e3
    if first_ms > entry.ttft_ms:
        return _Fit(None, f"the prompt alone takes {first_ms:,.0f} ms, and the TTFT target is {entry.ttft_ms:,.0f} ms")
    rate = missed_rate(settings, prefill, context)
    nodes = nodes_per_qps(missed, entry.output_tokens, rate, point.tokens_per_s_per_node)
    return _Fit(nodes, f"{point.streams:g} streams per GPU, limited by {point.limit}")


def _check_servable(fleet: Mix, fits: list[list[_Fit]]) -> None:
    for entry, row in zip(fleet.request_class, fits, strict=True):
        if entry.requests_per_s and all(fit.nodes_per_request_s is None for fit in row):
            reasons = "; ".join(f"{pool.hardware}: {fit.why}" for pool, fit in zip(fleet.pool, row, strict=True))
            raise UsageError(f'no node type can serve class "{entry.name}" ({reasons}); relax its limits, or add nodes')


def _usd_per_node_hour(pool: MixPool) -> float:
    node = hardware(pool.hardware)
    return (pool.usd_per_gpu_hour or node.usd_per_gpu_hour) * node.gpus_per_node


def _usd_per_thousand(fit: _Fit, pool: MixPool) -> float | None:
    if fit.nodes_per_request_s is None:
        return None
    return fit.nodes_per_request_s * _usd_per_node_hour(pool) / S_PER_HOUR * 1000
