"""The capacity model held against what was published."""

from dataclasses import dataclass
from typing import Any, Literal

from planner.fleet.decode import Imbalance, step_us
from planner.scenario.catalogue import decode_points, hardware, model

NOTES = (
    "fitted: two overheads per layer were chosen so that these five points come out",
    "test: not used for the fit; production is the step of 14.8 k output tokens/s per node at 88.2 streams per GPU",
)

PRODUCTION_STREAMS, PRODUCTION_KV_TOKENS, PRODUCTION_TOKENS_PER_S = 88.2, 4989.0, 14_800.0
"""Streams per GPU computed by Little's law (168e9 tokens a day at 21 tokens/s on 1,050 GPUs); KV length and rate
published in the V3/R1 Inference System Overview."""
PRODUCTION_IMBALANCE = Imbalance(kv=1.087, experts=1.15, dispatch=1.15)
"""KV simulated for two-key balancing; experts and dispatch assumed."""


@dataclass(frozen=True)
class Row:
    """One published step beside the model's, milliseconds."""

    point: str
    target_ms: float
    model_ms: float
    kind: Literal["fitted", "test"]

    @property
    def relative_error(self) -> float:
        return self.model_ms / self.target_ms - 1

    def document(self) -> dict[str, Any]:
        return {
            "point": self.point,
            "target_ms": self.target_ms,
            "model_ms": self.model_ms,
            "relative_error": self.relative_error,
            "kind": self.kind,
        }


def check_rows() -> list[Row]:
    """Every published decode point, and the production step with the imbalances that its balancing leaves."""
    r1 = model("deepseek-r1")
    rows = []
    for point in decode_points():
        step = step_us(
            r1,
            hardware(point.hardware),
            point.streams,
            point.kv_tokens,
            experts_per_gpu=point.experts_per_gpu,
            rows_per_stream=point.rows_per_stream,
            overlap=point.overlap,
        )
        rows.append(Row(point.name, point.step_ms, float(step) / 1e3, "fitted"))
    h800 = hardware("h800")
    target_ms = h800.gpus_per_node * PRODUCTION_STREAMS / PRODUCTION_TOKENS_PER_S * 1e3
    step = step_us(
        r1, h800, PRODUCTION_STREAMS, PRODUCTION_KV_TOKENS, experts_per_gpu=2.0, imbalance=PRODUCTION_IMBALANCE
    )
    return [*rows, Row("DeepSeek production EP144, B 88.2, L 4989, imbalanced", target_ms, float(step) / 1e3, "test")]
