"""Routing request classes over a mixed fleet: by cost within SLO and memory, beside in proportion to capacity."""

from dataclasses import dataclass
from typing import Any

import numpy as np

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
from planner.core.fleet.routing import NodePool, RequestClass, proportional, route
from planner.errors import UsageError
from planner.settings.scenario import EngineSettings
from planner.settings.workloads import Mix, MixClass, MixPool


@dataclass(frozen=True)
class Fit:
    """How a node type serves a class: nodes per request/s, or why it cannot."""

    nodes_per_request_s: float | None
    why: str


def route_mix(name: str, base: EngineSettings) -> dict[str, Any]:
    """The cheapest and the proportional routing of a mix, JSON-ready. Raises UsageError.

    base: engine settings that hold for every pool: cache format, imbalances, reserve.
    """
    found = mix(name)
    fits = [[fit_of(found.model, entry, pool, base) for pool in found.pool] for entry in found.request_class]
    need = np.array([[fit.nodes_per_request_s or np.nan for fit in row] for row in fits])
    feasible = np.isfinite(need)
    _check_servable(found, fits)
    classes = [RequestClass(entry.name, entry.requests_per_s) for entry in found.request_class]
    pools = [NodePool(pool.hardware, pool.nodes, _usd_per_node_hour(pool)) for pool in found.pool]
    filled = np.where(feasible, need, 1.0)
    cheapest, even = (method(classes, pools, filled, feasible) for method in (route, proportional))
    return {
        "notes": [note for pool in found.pool for note in notes(usual_settings(base, found.model, pool.hardware))][-1:],
        "mix": found.name,
        "model": found.model,
        "cheapest": cheapest.document(),
        "proportional": even.document(),
        "saved_usd_per_hour": even.usd_per_hour - cheapest.usd_per_hour,
        "proportional_fits": bool((even.over_nodes == 0).all()),
        "fits": [
            {
                "class": entry.name,
                "node": pool.hardware,
                "nodes_per_request_s": fit.nodes_per_request_s,
                "usd_per_thousand_requests": _usd_per_thousand(fit, pool),
                "why": fit.why,
            }
            for entry, row in zip(found.request_class, fits, strict=True)
            for pool, fit in zip(found.pool, row, strict=True)
        ],
    }


def fit_of(model_name: str, entry: MixClass, pool: MixPool, base: EngineSettings) -> Fit:
    """Nodes of a pool's kind that one request per second of a class occupies, prefill and decode together.

    None where no batch meets the class's time per token or fits the memory, or where the prompt alone takes longer
    than the time to the first token.
    """
    settings, usual, node = (
        usual_settings(base, model_name, pool.hardware),
        model(model_name).serving,
        hardware(pool.hardware),
    )
    decode_gpus = usual_decode_gpus(model(model_name), node)
    least = -(-usual.prefill_gpus // node.gpus_per_node) - (-decode_gpus // node.gpus_per_node)
    if pool.nodes < least:
        return Fit(None, f"a prefill and a decode unit take {least} nodes, and there are {pool.nodes}")
    missed = entry.input_tokens - entry.cached_input_tokens
    context = entry.cached_input_tokens + missed / 2
    try:
        prefill = prefill_engine(settings, usual.prefill_gpus)
        decode, imbalance_at = balanced_engine(settings, decode_engine(settings, decode_gpus))
        kv_tokens = entry.input_tokens + entry.output_tokens / 2
        point = operating_point(decode, kv_tokens, entry.tpot_ms, imbalance_at)
    except UsageError as error:
        return Fit(None, str(error))
    first_ms = float(us_per_missed_token(prefill, context)) * missed / 1e3
    if first_ms > entry.ttft_ms:
        return Fit(None, f"the prompt alone takes {first_ms:,.0f} ms, and {entry.ttft_ms:,.0f} ms are promised")
    rate = missed_rate(settings, prefill, context)
    nodes = nodes_per_qps(missed, entry.output_tokens, rate, point.tokens_per_s_per_node)
    return Fit(nodes, f"{point.streams:g} streams per GPU, limited by {point.limit}")


def _check_servable(found: Mix, fits: list[list[Fit]]) -> None:
    for entry, row in zip(found.request_class, fits, strict=True):
        if entry.requests_per_s and all(fit.nodes_per_request_s is None for fit in row):
            reasons = "; ".join(f"{pool.hardware}: {fit.why}" for pool, fit in zip(found.pool, row, strict=True))
            raise UsageError(f'no node type can serve class "{entry.name}" ({reasons}); relax its limits, or add nodes')


def _usd_per_node_hour(pool: MixPool) -> float:
    node = hardware(pool.hardware)
    return (pool.usd_per_gpu_hour or node.usd_per_gpu_hour) * node.gpus_per_node


def _usd_per_thousand(fit: Fit, pool: MixPool) -> float | None:
    if fit.nodes_per_request_s is None:
        return None
    return fit.nodes_per_request_s * _usd_per_node_hour(pool) / 3600 * 1000
