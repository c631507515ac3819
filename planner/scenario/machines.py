"""Hardware and models as data: what a node can do, what a model is made of, what was measured of both."""

from pydantic import Field

from planner.scenario.models import Closed, PositiveCount, PositiveFloat


class Kernels(Closed):
    """What kernels reach on a GPU."""

    gemm_tb_s: PositiveFloat
    """Weights read by matrix products of few rows, TB/s."""
    grouped_gemm_tflops: PositiveFloat
    """Grouped products of the routed experts, TFLOP/s."""
    attention_tb_s: PositiveFloat
    """KV read by the attention core, TB/s."""
    attention_tflops: PositiveFloat
    """Attention core where it is bound by arithmetic, TFLOP/s."""
    dispatch_gb_s: PositiveFloat
    """All-to-all that brings tokens to experts, GB/s per GPU."""
    combine_gb_s: PositiveFloat
    """All-to-all that brings results back, GB/s per GPU."""


class Hardware(Closed):
    """One kind of node. Decimal units: 1 GB is 1e9 bytes."""

    name: str
    description: str
    memory_gb: PositiveFloat
    hbm_tb_s: PositiveFloat
    nvlink_gb_s: PositiveFloat
    nic_gb_s: PositiveFloat
    gpus_per_node: PositiveCount
    dense_tflops: dict[str, PositiveFloat]
    kernels: Kernels
    provenance: dict[str, str]


class LatentAttention(Closed):
    """Multi-head latent attention."""

    heads: PositiveCount
    query_rank: PositiveCount
    kv_rank: PositiveCount
    rope_head: PositiveCount
    nope_head: PositiveCount
    value_head: PositiveCount


class Experts(Closed):
    """A mixture of experts, and the dense layers before it."""

    routed: PositiveCount
    active: PositiveCount
    shared: PositiveCount
    width: PositiveCount
    dense_width: PositiveCount


class Dispatch(Closed):
    """Bytes of one token on its way to one expert and back."""

    dispatch_bytes: PositiveCount
    combine_bytes: PositiveCount


class Model(Closed):
    """A model's dimensions."""

    name: str
    description: str
    source: str
    hidden: PositiveCount
    layers: PositiveCount
    dense_layers: int = Field(ge=0)
    vocabulary: PositiveCount
    attention: LatentAttention
    experts: Experts
    dispatch: Dispatch


class DecodePoint(Closed):
    """A published decode step."""

    name: str
    source: str
    hardware: str
    streams: PositiveFloat
    kv_tokens: PositiveFloat
    experts_per_gpu: PositiveFloat
    rows_per_stream: PositiveFloat
    overlap: bool
    step_ms: PositiveFloat


class DecodePoints(Closed):
    """Published decode steps in a file."""

    point: tuple[DecodePoint, ...]
