"""What one measurement says: a serving system under a load, or one decode step. Pure."""

from dataclasses import dataclass
from typing import Literal

from planner.documents import Document

Serving = Literal["aggregated", "disaggregated"]


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint(Document):
    """One measured decode step, without prefill in it."""

    streams: float
    """Concurrent streams per GPU."""
    kv_tokens: float
    """Mean context of a stream while it decodes."""
    step_ms: float
    """Time of one decode step."""
    source: str
    """File and entry."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know, such as that a figure is a median."""


@dataclass(frozen=True, kw_only=True)
class MeasuredServing(Document):
    """A serving system measured under one load: means over a run, of the whole endpoint.

    What the file does not tell is None: unknown, not zero. At least one of ttft_ms, tpot_ms, e2e_ms and
    output_tokens_per_s is there.
    """

    source: str
    """File and entry."""
    input_tokens: float
    """Mean input tokens of a request, cached ones included."""
    output_tokens: float
    """Mean output tokens of a request."""
    concurrency: float | None = None
    """Mean requests in flight at the endpoint."""
    request_rate: float | None = None
    """Requests per second that were completed."""
    ttft_ms: float | None = None
    """Mean time to the first token."""
    tpot_ms: float | None = None
    """Mean time per output token after the first."""
    e2e_ms: float | None = None
    """Mean time of a whole request."""
    output_tokens_per_s: float | None = None
    """Output tokens per second of the endpoint."""
    cached_input_tokens: float | None = None
    """Mean input tokens of a request that were found in a cache."""
    speculates: bool = False
    """Whether speculative decoding is shown."""
    accepted: float | None = None
    """Tokens that a decode step yields per stream with speculative decoding; None where that is not told."""
    static_batch: bool = False
    """Whether all requests start together, so that no prefill shares a step with decode."""
    model: str | None = None
    """Model, as the file names it."""
    gpu: str | None = None
    """Kind of GPU, as the file names it."""
    gpus: int | None = None
    """GPUs behind the endpoint."""
    decode_gpus: int | None = None
    """Those of them that decode, where others prefill."""
    tensor_parallel: int | None = None
    """GPUs that share attention and dense layers; of decode, where prefill is apart."""
    data_parallel: int | None = None
    """Groups of GPUs that attend to requests of their own."""
    expert_parallel: int | None = None
    """GPUs that routed experts are spread over."""
    weights: str | None = None
    """Number format of the weights, as the file names it."""
    kv: str | None = None
    """Number format of the KV cache, as the file names it."""
    engine: str | None = None
    """What served, as the file names it."""
    engine_version: str | None = None
    """Its version."""
    serving: Serving | None = None
    """Whether the same GPUs prefill and decode."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know, such as that a figure is a median."""

    @property
    def kv_tokens(self) -> float:
        """Mean context of a stream while it decodes: the input and half the output."""
        return self.input_tokens + self.output_tokens / 2

    @property
    def decode_streams(self) -> float | None:
        """Mean streams of the endpoint that decode, by Little's law: tokens per second × seconds per token.

        The first token of an answer comes from prefill and is left out. None without rate or time per token.
        """
        if self.output_tokens_per_s is None or self.tpot_ms is None:
            return None
        return self.output_tokens_per_s * (1 - 1 / self.output_tokens) * self.tpot_ms / 1e3

    @property
    def step_ms(self) -> float | None:
        """Mean time of a decode step: the time of all tokens that it yields to a stream. None where that is unknown."""
        if self.tpot_ms is None or (self.speculates and self.accepted is None):
            return None
        return self.tpot_ms * (self.accepted or 1.0)
