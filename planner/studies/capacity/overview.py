"""What a node can do and why: overview and curves of an engine over batch, KV length, hit ratio and EP size."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from planner.capacity.engines import (
    Workload,
    balanced_engine,
    decode_engine,
    missed_rate,
    notes,
    prefill_engine,
    ranks_of,
    usual_decode_gpus,
    usual_settings,
)
from planner.catalogue.read import DEFAULT_SCENARIO, hardware, model
from planner.catalogue.scenarios import load_scenario
from planner.catalogue.toml import toml_value
from planner.core.fleet.balancing import expert_sampling
from planner.core.fleet.decode import step_us, tokens_per_s_per_node
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import (
    ImbalanceAt,
    largest_batch,
    nodes_per_qps,
    operating_point,
    request_cost,
    tpot_ms,
    usd_per_million_tokens,
    usd_per_node_hour,
)
from planner.core.fleet.prefill import input_tokens_per_s_per_node
from planner.core.fleet.shapes import active_parameters, kv_bytes_per_token, total_parameters
from planner.errors import UsageError
from planner.settings.scenario import EngineSettings

Sweep = Literal["batch", "kv", "hit", "ep"]
SWEEPS: tuple[Sweep, ...] = ("batch", "kv", "hit", "ep")

_BATCH_POINTS, _CURVE_POINTS = 64, 25
_KV_TOKENS = np.geomspace(256, 131_072, _CURVE_POINTS).round()
_HIT_RATIOS = np.linspace(0, 0.96, _CURVE_POINTS)
_EP_NODES = (1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 32, 36, 40)

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Study:
    """An engine's settings, the GPUs of its units, what is asked of it and how fast it has to answer."""

    settings: EngineSettings
    prefill_gpus: int
    decode_gpus: int
    workload: Workload
    target_ms: float

    @property
    def prefill(self) -> Engine:
        return prefill_engine(self.settings, self.prefill_gpus)

    def decode(self, gpus: int | None = None) -> tuple[Engine, ImbalanceAt]:
        """The decode engine on so many GPUs, and how far out of balance its ranks are."""
        return balanced_engine(self.settings, decode_engine(self.settings, self.decode_gpus if gpus is None else gpus))


def engine_settings(overrides: Sequence[str]) -> EngineSettings:
    """The default scenario's engine with "field=value" overridden. Raises ScenarioError."""
    return load_scenario(None, [f"fleet.engine.{item}" for item in overrides]).scenario.fleet.engine


def study_of_names(
    node: str,
    model_name: str,
    overrides: Sequence[str],
    *,
    workload: Workload | None,
    kv_tokens: float | None,
    hit_ratio: float | None,
    target_ms: float | None,
    decode_gpus: int | None,
) -> Study:
    """A study of catalogue names, on the default scenario's engine, workload and target where nothing is given.

    overrides: "field=value" of fleet.engine. Raises UsageError, ScenarioError.
    """
    base = load_scenario().scenario
    usual = usual_settings(base.fleet.engine, model_name, node)
    spread = {name: getattr(usual, name) for name in usual.model_fields_set}
    sets = [f"{name}={toml_value(value)}" for name, value in spread.items() if value is not None]
    settings = engine_settings([*sets, *overrides])
    load = workload or Workload.named(DEFAULT_SCENARIO)
    load = replace(
        load,
        kv_tokens=load.kv_tokens if kv_tokens is None else kv_tokens,
        hit_ratio=load.hit_ratio if hit_ratio is None else hit_ratio,
    )
    served = model(settings.model)
    return Study(
        settings,
        served.serving.prefill_gpus,
        usual_decode_gpus(served, hardware(settings.hardware)) if decode_gpus is None else decode_gpus,
        load,
        base.slo.tpot_ms if target_ms is None else target_ms,
    )


def overview(study: Study) -> dict[str, Any]:
    """Memory, decode, prefill and cost of requests at the operating point. Raises UsageError."""
    engine, imbalance_at = study.decode()
    point = operating_point(engine, study.workload.kv_tokens, study.target_ms, imbalance_at)
    missed, with_hits = _prefill_rates(study)
    load, node = study.workload, engine.hardware
    nodes = nodes_per_qps(load.input_tokens, load.output_tokens, with_hits, point.tokens_per_s_per_node)
    return {
        **_head(study),
        "parameters": total_parameters(engine.model),
        "active_parameters": active_parameters(engine.model),
        "memory": {
            "memory_gb": node.memory_gb,
            "weights_gb": engine.weights_gb,
            "reserve_gb": engine.reserve_gb,
            "kv_gb": engine.kv_gb,
            "kv_bytes_per_token": kv_bytes_per_token(engine.model, engine.kv),
            "block_tokens": engine.block_tokens,
            "batch_cap": float(engine.batch_cap(load.kv_tokens)),
        },
        "decode": {
            "gpus": study.decode_gpus,
            "ranks": ranks_of(engine),
            "kv_imbalance": float(np.max(imbalance_at(np.asarray(point.streams)).kv)),
            "expert_sampling": _expert_noise(engine, point.streams),
            **asdict(point),
        },
        "prefill": {
            "gpus": study.prefill_gpus,
            "missed_tokens_per_s_per_node": missed,
            "tokens_per_s_per_node": with_hits,
            "usd_per_million_tokens": usd_per_million_tokens(engine, with_hits),
        },
        "request": asdict(request_cost(nodes, node.node_kw, usd_per_node_hour(engine))),
        "workload": asdict(load),
    }


def sweep(study: Study, what: Sweep) -> dict[str, Any]:
    """A curve over batch, KV length, hit ratio or EP size. Raises UsageError."""
    curves: dict[Sweep, Callable[[Study], Rows]] = {
        "batch": over_batch,
        "kv": over_kv,
        "hit": over_hit,
        "ep": over_ep,
    }
    return {**_head(study), "sweep": what, "workload": asdict(study.workload), "rows": curves[what](study)}


def over_batch(study: Study) -> Rows:
    """Latency, throughput and cost from the smallest valid batch to the memory's cap."""
    engine, imbalance_at = study.decode()
    kv = study.workload.kv_tokens
    most = min(float(engine.batch_cap(kv)), engine.validity.most_streams)
    least = max(1.0, np.ceil(engine.validity.least_streams))
    if most < least:
        raise UsageError(
            f"batches from {least:g} streams per GPU are known and the memory holds {most:g}; "
            "shorten the context, or give the KV imbalance"
        )
    streams = np.unique(np.linspace(least, most, _BATCH_POINTS).round())
    step = step_us(engine, streams, kv, imbalance=imbalance_at(streams))
    rate = tokens_per_s_per_node(engine, streams, step)
    return [
        {
            "streams": float(count),
            "step_ms": float(time) / 1e3,
            "tpot_ms": float(time) / 1e3 / engine.accepted,
            "tokens_per_s_per_stream": 1e6 * engine.accepted / float(time),
            "tokens_per_s_per_node": float(tokens),
            "usd_per_million_tokens": usd_per_million_tokens(engine, float(tokens)),
        }
        for count, time, tokens in zip(streams, step, rate, strict=True)
    ]


def over_kv(study: Study) -> Rows:
    """The operating point by mean KV length; lengths at which nothing fits or meets the target have batch 0."""
    engine, imbalance_at = study.decode()
    valid = engine.validity
    kv = np.clip(_KV_TOKENS, max(valid.least_kv_tokens, 1), valid.most_kv_tokens)
    kv = np.unique(kv)
    streams = largest_batch(engine, kv, study.target_ms, imbalance_at)
    return [
        _operating_row(engine, imbalance_at, {"kv_tokens": float(length)}, float(count), float(length))
        for length, count in zip(kv, streams, strict=True)
    ]


def over_hit(study: Study) -> Rows:
    """Prefill rate and cost by the share of input that is found in the cache, the context of missed tokens fixed."""
    engine = study.prefill
    missed, _ = _prefill_rates(study)
    rates = input_tokens_per_s_per_node(missed, _HIT_RATIOS)
    return [
        {
            "hit_ratio": float(ratio),
            "missed_tokens_per_s_per_node": missed,
            "tokens_per_s_per_node": float(rate),
            "usd_per_million_tokens": usd_per_million_tokens(engine, float(rate)),
        }
        for ratio, rate in zip(_HIT_RATIOS, rates, strict=True)
    ]


def over_ep(study: Study) -> Rows:
    """The operating point by EP size in whole nodes, with the fewest redundant experts that divide; 0 where none."""
    served = model(study.settings.model)
    if served.experts is None:
        raise UsageError(f"{served.name} is dense: there is no EP size to sweep; use --sweep batch, kv or hit")
    per_node = hardware(study.settings.hardware).gpus_per_node
    rows = []
    for gpus in (nodes * per_node for nodes in _EP_NODES):
        redundant = -served.experts.routed % gpus
        if redundant > served.experts.routed:
            continue
        spread = replace(study, settings=study.settings.model_copy(update={"redundant_experts": redundant}))
        found: dict[str, Any] = {"ep": gpus, "nodes": gpus // per_node, "redundant_experts": redundant}
        try:
            engine, imbalance_at = spread.decode(gpus)
            point = operating_point(engine, study.workload.kv_tokens, study.target_ms, imbalance_at)
        except UsageError as error:
            rows.append({**found, **_NOTHING, "why": str(error)})
            continue
        row = _operating_row(engine, imbalance_at, found, point.streams, study.workload.kv_tokens)
        rows.append({**row, "why": f"limited by {point.limit}"})
    return rows


_NOTHING = {"streams": 0.0, "tpot_ms": None, "tokens_per_s_per_node": 0.0, "usd_per_million_tokens": None}


def _operating_row(
    engine: Engine, imbalance_at: ImbalanceAt, found: dict[str, Any], streams: float, kv_tokens: float
) -> dict[str, Any]:
    if streams < 1:
        return {**found, **_NOTHING}
    time = float(tpot_ms(engine, streams, kv_tokens, imbalance_at))
    rate = float(tokens_per_s_per_node(engine, streams, time * engine.accepted * 1e3))
    return {
        **found,
        "streams": streams,
        "tpot_ms": time,
        "tokens_per_s_per_node": rate,
        "usd_per_million_tokens": usd_per_million_tokens(engine, rate),
    }


def _prefill_rates(study: Study) -> tuple[float, float]:
    """Missed and all input tokens/s of a prefill node."""
    missed = missed_rate(study.settings, study.prefill, study.workload.missed_context_tokens)
    return missed, float(input_tokens_per_s_per_node(missed, study.workload.hit_ratio))


def _expert_noise(engine: Engine, streams: float) -> float | None:
    """About what chance alone adds to the experts' imbalance at a batch; None for a dense model."""
    if engine.model.experts is None:
        return None
    return float(expert_sampling(engine.expert_parallel, streams, active=engine.model.experts.active))


def _head(study: Study) -> dict[str, Any]:
    s = study.settings
    return {
        "notes": notes(s),
        "node": hardware(s.hardware).name,
        "model": model(s.model).name,
        "weights": s.weights,
        "kv": s.kv,
        "tensor_parallel": s.tensor_parallel,
        "target_tpot_ms": study.target_ms,
        "usd_per_gpu_hour": hardware(s.hardware).usd_per_gpu_hour,
    }
