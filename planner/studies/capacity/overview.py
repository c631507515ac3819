"""What a node can do and why: memory, decode, prefill and the cost of requests at the operating point."""

import numpy as np

from planner.capacity.bands import Estimate, served_at
from planner.capacity.documents import CapacityOverview, DecodeCapacity, MemoryUse, PrefillCapacity
from planner.capacity.engines import ranks_of
from planner.core.fleet.balancing import expert_sampling
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import (
    ImbalanceAt,
    OperatingPoint,
    nodes_per_qps,
    operating_point,
    request_cost,
    usd_per_million_tokens,
    usd_per_node_hour,
)
from planner.core.fleet.serving import Load, serve
from planner.core.fleet.shapes import active_parameters, kv_bytes_per_token, total_parameters
from planner.studies.capacity.study import EngineStudy


def describe_capacity(study: EngineStudy) -> CapacityOverview:
    """Memory, decode, prefill and cost of requests at the operating point. Raises UsageError."""
    engine, imbalance_at = study.decode()
    point = operating_point(engine, study.workload.kv_tokens, study.target_ms, imbalance_at)
    missed, with_hits = study.prefill_rates()
    load = study.workload
    nodes = nodes_per_qps(load.input_tokens, load.output_tokens, with_hits, point.tokens_per_s_per_node)
    times = study.decode_band()
    slow, fast = (
        served_at(engine, load.kv_tokens, study.target_ms, imbalance_at, factor) for factor in (times.high, times.low)
    )
    return CapacityOverview(
        **vars(study.head()),
        serving="disaggregated",
        tpot_ms=times.of_time(point.tpot_ms),
        ttft_ms=study.prefill_band("ttft").of_time(_ttft_ms(study)),
        streams=Estimate(value=point.streams, low=slow[0], high=fast[0], measured=times.measured),
        tokens_per_s_per_node=Estimate(
            value=point.tokens_per_s_per_node, low=slow[1], high=fast[1], measured=times.measured
        ),
        input_tokens_per_s_per_node=study.prefill_band("prefill").of_rate(with_hits),
        parameters=total_parameters(engine.model),
        active_parameters=active_parameters(engine.model),
        memory=_memory(engine, load.kv_tokens),
        decode=_decode(study, engine, point, imbalance_at),
        prefill=PrefillCapacity(
            gpus=study.prefill_gpus,
            missed_tokens_per_s_per_node=missed,
            tokens_per_s_per_node=with_hits,
            usd_per_million_tokens=usd_per_million_tokens(engine, with_hits),
        ),
        request=request_cost(nodes, engine.hardware.node_kw, usd_per_node_hour(engine)),
        workload=load,
    )


def _ttft_ms(study: EngineStudy) -> float:
    """Time to the first token of one prompt on an idle prefill unit."""
    load = study.workload
    alone = Load(
        concurrency=1.0,
        input_tokens=load.input_tokens,
        output_tokens=load.output_tokens,
        cached_tokens=load.hit_ratio * load.input_tokens,
        prompts_apart=True,
    )
    return float(serve(study.prefill, study.prefill_gpus, alone).ttft_us) / 1e3


def _memory(engine: Engine, kv_tokens: float) -> MemoryUse:
    return MemoryUse(
        memory_gb=engine.hardware.memory_gb,
        weights_gb=engine.weights_gb,
        reserve_gb=engine.reserve_gb,
        kv_gb=engine.kv_gb,
        kv_bytes_per_token=kv_bytes_per_token(engine.model, engine.kv),
        block_tokens=engine.block_tokens,
        batch_cap=float(engine.batch_cap(kv_tokens)),
    )


def _decode(study: EngineStudy, engine: Engine, point: OperatingPoint, imbalance_at: ImbalanceAt) -> DecodeCapacity:
    return DecodeCapacity(
        gpus=study.decode_gpus,
        ranks=ranks_of(engine),
        kv_imbalance=float(np.max(imbalance_at(np.asarray(point.streams)).kv)),
        expert_sampling=_expert_noise(engine, point.streams),
        **vars(point),
    )


def _expert_noise(engine: Engine, streams: float) -> float | None:
    """Approximate imbalance of the experts by chance alone at a batch; None for a dense model."""
    if engine.model.experts is None:
        return None
    return float(expert_sampling(engine.expert_parallel, streams, active=engine.model.experts.active))
