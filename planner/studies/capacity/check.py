"""The capacity model compared with published figures."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from planner.catalogue.read import decode_points, engine_profile, hardware, model, prefill_points
from planner.core.fleet.decode import Imbalance, step_us
from planner.core.fleet.engine import Engine
from planner.core.fleet.prefill import missed_tokens_per_s_per_node
from planner.documents import Document
from planner.settings.measurements import PrefillPoint
from planner.units import US_PER_S

NOTES = (
    "fitted: two overheads per layer were chosen to reproduce the five published steps",
    "test: not used for a fit; production is the step of 14.8 k output tokens/s per node at 88.2 streams per GPU, and "
    "the prefill rates test how the rate falls with the prompt's length, not its level",
    "free factor: one factor on all prefill rates matches their level; the level is reproduced, not predicted; "
    "0.846 of it is SGLang's rate over that with perfectly balanced experts",
    "the three prefill rates are not linear in the context: each is matched within 1 %, the slope of a line through "
    "them less well",
)

PROFILE = "deepseek-ep"
"""The engine that the published figures are of."""
PRODUCTION_STREAMS, PRODUCTION_KV_TOKENS, PRODUCTION_TOKENS_PER_S = 88.2, 4989.0, 14_800.0
"""Streams per GPU computed by Little's law (168e9 tokens a day at 21 tokens/s on 1,050 GPUs); KV length and rate
published in the V3/R1 Inference System Overview."""
PRODUCTION_IMBALANCE = Imbalance(kv=1.087, experts=1.15, dispatch=1.15)
"""KV simulated for two-key balancing; experts and dispatch assumed."""


Kind = Literal["fitted", "test"]


@dataclass(frozen=True, kw_only=True)
class CheckRow(Document):
    """One published point and the model's: a decode step, or a node's prefill of a thousand tokens."""

    point: str
    target_ms: float
    """As published."""
    model_ms: float
    relative_error: float
    """Relative error of the model: model_ms over target_ms, less 1."""
    kind: Kind
    """Whether the model was fitted to the point."""


@dataclass(frozen=True, kw_only=True)
class CapacityCheck(Document):
    """The capacity model compared with published figures."""

    rows: tuple[CheckRow, ...]
    notes: tuple[str, ...]
    """What the kinds of rows mean."""


def check_model() -> CapacityCheck:
    """Every published decode point, production with the imbalance that its balancer leaves, and prefill rates."""
    return CapacityCheck(rows=(*_decode_rows(), _production_row(), *_prefill_rows()), notes=NOTES)


def prefill_factor() -> float:
    """The free factor that scales the model's prefill rates to the published ones: their geometric mean ratio."""
    ratios = [point.tokens_per_s_per_node / _balanced_prefill(point) for point in prefill_points()]
    return float(np.exp(np.mean(np.log(ratios))))


def _row(point: str, target_ms: float, model_ms: float, kind: Kind) -> CheckRow:
    error = model_ms / target_ms - 1
    return CheckRow(point=point, target_ms=target_ms, model_ms=model_ms, relative_error=error, kind=kind)


def _decode_rows() -> list[CheckRow]:
    rows = []
    for point in decode_points():
        served = model(point.model)
        engine = Engine(
            model=served,
            hardware=hardware(point.hardware),
            weights=served.weight_dtype,
            profile=engine_profile(PROFILE),
            expert_parallel=point.expert_parallel,
            redundant_experts=point.redundant_experts,
            rows_per_stream=point.rows_per_stream,
            overlap="on" if point.overlap else "off",
        )
        step = step_us(engine, point.streams, point.kv_tokens)
        rows.append(_row(point.name, point.step_ms, float(step) / 1e3, "fitted"))
    return rows


def _production_row() -> CheckRow:
    served, node = model("deepseek-r1"), hardware("h800")
    engine = Engine(
        model=served,
        hardware=node,
        weights=served.weight_dtype,
        profile=engine_profile(PROFILE),
        expert_parallel=144,
        redundant_experts=32,
        overlap="on",
    )
    target_ms = node.gpus_per_node * PRODUCTION_STREAMS / PRODUCTION_TOKENS_PER_S * 1e3
    step = step_us(engine, PRODUCTION_STREAMS, PRODUCTION_KV_TOKENS, imbalance=PRODUCTION_IMBALANCE)
    return _row("DeepSeek production EP144, B 88.2, L 4989, imbalanced", target_ms, float(step) / 1e3, "test")


def _prefill_rows() -> list[CheckRow]:
    factor = prefill_factor()
    return [
        _row(
            f"{point.name}, a thousand tokens, free factor {factor:.3f}",
            US_PER_S / point.tokens_per_s_per_node,
            US_PER_S / (_balanced_prefill(point) * factor),
            "test",
        )
        for point in prefill_points()
    ]


def _balanced_prefill(point: PrefillPoint) -> float:
    served = model(point.model)
    engine = Engine(
        model=served,
        hardware=hardware(point.hardware),
        weights=served.weight_dtype,
        profile=engine_profile(PROFILE),
        expert_parallel=point.expert_parallel,
        redundant_experts=point.redundant_experts,
    )
    # without cache hits the mean context of a prompt's tokens is half the prompt
    return float(missed_tokens_per_s_per_node(engine, point.prompt_tokens / 2, balance=1.0))
