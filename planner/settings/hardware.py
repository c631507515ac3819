"""Nodes as data: what their GPUs, memory and links can do, and what kernels were measured to reach on them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.settings.closed import Closed, GpusPerNode, PositiveFloat
from planner.settings.curves import Curves


class Kernels(Closed):
    """What kernels reach on a GPU. Decimal units: 1 TB is 1e12 bytes."""

    dtype: Literal["bf16", "fp8"]
    """Number format of the two matrix-product rates; other formats scale with the dense peak."""
    gemm_tb_s: PositiveFloat
    """Weights read by matrix products of few rows, TB/s."""
    gemm_tflops: PositiveFloat
    """Matrix products of many rows, TFLOP/s."""
    grouped_gemm_tflops: PositiveFloat
    """Grouped products of the routed experts, TFLOP/s."""
    attention_tb_s: PositiveFloat
    """KV read by the attention core, TB/s."""
    attention_tflops: PositiveFloat
    """Attention core of decode where it is bound by arithmetic, TFLOP/s."""
    prefill_attention_tflops: PositiveFloat
    """Attention core of prefill, TFLOP/s."""
    dispatch_gb_s: PositiveFloat
    """All-to-all between nodes that brings tokens to experts, GB/s per GPU."""
    combine_gb_s: PositiveFloat
    """All-to-all between nodes that brings results back, GB/s per GPU."""


class Hardware(Closed):
    """One kind of node. Decimal units: 1 GB is 1e9 bytes."""

    name: str
    """Name of the GPU or node, as it is shown."""
    description: str
    """One line on what it is."""
    memory_gb: PositiveFloat
    """Memory of one GPU, GB."""
    hbm_tb_s: PositiveFloat
    """Bandwidth of that memory, TB/s."""
    nvlink_gb_s: PositiveFloat
    """Link between nearby GPUs, both directions together, GB/s per GPU."""
    nvlink_gpus: Annotated[int, Field(ge=1, le=100_000)]
    """GPUs that such links join: a node's, or a whole rack's."""
    nic_gb_s: PositiveFloat
    """Network per GPU, one direction, GB/s."""
    gpus_per_node: GpusPerNode
    """GPUs of one node."""
    node_kw: PositiveFloat
    """Power of the whole node under load, kW."""
    usd_per_gpu_hour: PositiveFloat
    """Price of one GPU for an hour, USD."""
    dense_tflops: dict[str, PositiveFloat]
    """Peak without sparsity by number format, TFLOP/s; bf16 is required."""
    kernels: Kernels
    """What kernels reach on one GPU, at one share of each peak."""
    curves: Curves | None = None
    """What kernels were measured to reach by size; left out: not measured."""
    curves_like: str | None = None
    """Another kind of node whose shares are assumed for this one, where its kernels were not measured."""
    provenance: dict[str, str]
    """Where each value comes from, by field: "kind: source"."""

    @model_validator(mode="after")
    def _known_formats(self) -> Self:
        missing = {"bf16", self.kernels.dtype} - set(self.dense_tflops)
        if missing:
            raise ValueError(f"dense_tflops has no {' and no '.join(sorted(missing))}; add the peak")
        return self

    @model_validator(mode="after")
    def _measured_or_assumed(self) -> Self:
        if self.curves is not None and self.curves_like is not None:
            raise ValueError("curves and curves_like exclude each other; remove one")
        return self
