"""Measured and simulated numbers that the capacity model is checked against, or uses."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from planner.settings.closed import CacheDtype, Closed, Count, PositiveCount, PositiveFloat, Seed, WeightDtype
from planner.settings.profile import Lognormal


class DecodePoint(Closed):
    """A published decode step."""

    name: str
    """What was measured, in a few words."""
    source: str
    """Who published it."""
    hardware: str
    """Kind of node: a built-in name."""
    model: str
    """Model: a built-in name."""
    streams: PositiveFloat
    """Streams per GPU."""
    kv_tokens: PositiveFloat
    """Mean KV length of a stream, tokens."""
    expert_parallel: PositiveCount
    """GPUs that share the experts: one unit."""
    redundant_experts: Count
    """Redundant copies of routed experts in the unit."""
    rows_per_stream: PositiveFloat
    """Tokens computed per stream and step."""
    overlap: bool
    """Whether two micro-batches overlapped computing and exchange."""
    step_ms: PositiveFloat
    """Time of the step, ms."""


class DecodePoints(Closed):
    """Published decode steps in a file."""

    point: tuple[DecodePoint, ...]
    """The steps."""


class PrefillPoint(Closed):
    """A published prefill rate of prompts without cache hits."""

    name: str
    """What was measured, in a few words."""
    source: str
    """Who published it."""
    hardware: str
    """Kind of node: a built-in name."""
    model: str
    """Model: a built-in name."""
    prompt_tokens: PositiveCount
    """Length of every prompt, tokens."""
    expert_parallel: PositiveCount
    """GPUs that share the experts: one unit."""
    redundant_experts: Count
    """Redundant copies of routed experts in the unit."""
    tokens_per_s_per_node: PositiveFloat
    """Input tokens per second and node."""


class PrefillPoints(Closed):
    """Published prefill rates in a file."""

    point: tuple[PrefillPoint, ...]
    """The rates."""


class BalancerRow(Closed):
    """Simulated imbalance of a request balancer over the GPUs of a decode unit, largest over mean."""

    balancer: str
    """The balancer."""
    ranks: PositiveCount
    """GPUs of the unit that hold KV of their own."""
    streams: PositiveFloat
    """Mean streams per GPU."""
    kv: PositiveFloat
    """Imbalance of KV tokens, mean over time."""
    count: PositiveFloat
    """Imbalance of streams, mean over time."""
    kv_p99: PositiveFloat
    """Imbalance of KV tokens, 99th percentile over time."""
    count_p99: PositiveFloat
    """Imbalance of streams, 99th percentile over time."""


class DrawnPopulation(Closed):
    """Lengths of requests, drawn once for all rows."""

    requests: PositiveCount
    """Requests drawn."""
    seed: Seed
    """Seed of the draw."""
    input: Lognormal
    """Input tokens of a request."""
    output: Lognormal
    """Output tokens of a request."""


class BalancerRows(Closed):
    """Simulated imbalances in a file, and how they were simulated."""

    steps: PositiveCount
    """Decode steps simulated for each row, after the warm-up."""
    seeds: PositiveCount
    """Seeds that each row is the mean of."""
    population: DrawnPopulation
    """Lengths of the requests that were drawn."""
    standard_error: dict[str, dict[str, Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]]]
    """By balancer and column: the largest standard error of its means over the seeds."""
    rows: tuple[BalancerRow, ...]
    """The imbalances."""


_Factor = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
_Time = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class CalibrationFile(Closed):
    """What `planner capacity fit` writes: factors on an engine's times, and how well they fit the points.

    Files of before 2027 have four overheads and a range of streams and contexts in their place; they are read too.
    """

    model: str
    """Model that was measured."""
    hardware: str
    """Kind of node that was measured."""
    engine: str = "deepseek-ep"
    """Serving engine that was measured, by its name in the catalogue."""
    weights: WeightDtype
    """Number format of the weights."""
    kv: CacheDtype
    """Number format of the KV cache."""
    gpus: PositiveCount
    """GPUs of the measured unit."""
    tensor_parallel: PositiveCount
    """GPUs that shared attention and dense layers."""
    pipeline_parallel: PositiveCount = 1
    """Groups of GPUs that held layers one after the other."""
    redundant_experts: Count
    """Redundant copies of routed experts in the unit."""
    points: PositiveCount
    """Measurements that were fitted."""
    conditions: Count | None = None
    """Different conditions with a time per output token among them; left out: all."""
    source: str
    """Where they come from, "kind: source"."""
    rms: float = Field(ge=0, le=1e12, allow_inf_nan=False)
    """Root mean square of the relative errors of the fit, a ratio."""
    left_out_rms: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None = None
    """The same where each point is predicted from a fit to the others, a ratio; left out: there is one point."""
    kernels: _Factor = 1.0
    """Fitted factor on what kernels take, a ratio."""
    prompts: _Factor = 1.0
    """Fitted factor on what prompts take, on top of that of kernels, a ratio."""
    overheads: _Factor = 1.0
    """Fitted factor on what no kernel accounts for, a ratio."""
    kernel_factor: _Time | None = None
    """In older files: fitted time of kernels over that from the catalogue's speeds, a ratio."""
    layer_us: _Time | None = None
    """In older files: fitted overhead per layer and micro-batch, microseconds."""
    row_us: _Time | None = None
    """In older files: fitted overhead per layer and row, microseconds."""
    host_us: _Time | None = None
    """In older files: overhead per step of sampling and scheduling, microseconds; assumed."""
    least_streams: PositiveFloat | None = None
    """In older files: fewest streams per GPU that were measured."""
    most_streams: PositiveFloat | None = None
    """In older files: most streams per GPU that were measured."""
    least_kv_tokens: PositiveFloat | None = None
    """In older files: shortest mean KV length that was measured, tokens."""
    most_kv_tokens: PositiveFloat | None = None
    """In older files: longest mean KV length that was measured, tokens."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        older = ("kernel_factor", "layer_us", "row_us", "host_us")
        ends = ("least_streams", "most_streams", "least_kv_tokens", "most_kv_tokens")
        given = [name for name in (*older, *ends) if getattr(self, name) is not None]
        if given and len(given) < len(older) + len(ends):
            missing = [name for name in (*older, *ends) if name not in given]
            raise ValueError(f"has {given[0]} but no {', '.join(missing)}; fit it again")
        return self
