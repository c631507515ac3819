"""What batching costs and gains: collection windows, queue-depth rules, idle experts, pipelines. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.engine import Engine
from planner.core.fleet.shapes import HEAD_BYTES, WEIGHT_BYTES, active_parameters
from planner.documents import Document
from planner.errors import UsageError
from planner.settings.models import Model
from planner.units import Floats

_STEPS = 200
"""Steps towards the batch that fills during its own service; each closes the gap by the share of the server in use."""


@dataclass(frozen=True)
class CollectedBatch(Document):
    """What a collection window does to requests at one arrival rate."""

    batch: float
    """Requests served together."""
    mean_wait_s: float
    """Of a request until its batch starts."""
    duty: float
    """Share of the time that the server works."""


def collect(
    window_s: float, arrivals_per_s: float, most: int, service_s: Callable[[float], float], tick_s: float = 0.0
) -> CollectedBatch:
    """Requests collected for a window W, at most so many; the server looks at its queue at every tick.

    With T the service of a batch and P = max(W, T) in whole ticks: batch = min(most, rate * P), mean wait = P/2,
    duty = T/P. Where fewer than one request arrives in P none are collected: each waits W/2 and, as in an
    M/D/1 queue, for the one before. Raises UsageError where more arrive than full batches serve: the queue would grow
    without end.
    """
    if min(window_s, tick_s) < 0 or not 0 < arrivals_per_s < np.inf or most < 1:
        raise UsageError(
            "batching: window and tick must be at least 0, arrivals above 0, and the largest batch at least 1"
        )
    limit = most / _cycle(window_s, service_s(most), tick_s)
    if arrivals_per_s > limit:
        raise UsageError(
            f"batching: {arrivals_per_s:.4g} requests/s arrive and batches of {most} serve {limit:.4g}; "
            "raise the largest batch, shorten the window, or add nodes"
        )
    alone = service_s(1)
    if arrivals_per_s * _cycle(window_s, alone, tick_s) < 1:
        used = arrivals_per_s * alone
        queued = used * alone / (2 * (1 - used))
        return CollectedBatch(1.0, _cycle(window_s, 0.0, tick_s) / 2 + queued, used)
    # the batch that fills while a batch of its own size is served: stepped up to from below
    batch = 1.0
    for _ in range(_STEPS):
        batch = min(float(most), arrivals_per_s * _cycle(window_s, service_s(batch), tick_s))
    cycle = _cycle(window_s, service_s(batch), tick_s)
    return CollectedBatch(batch, cycle / 2, service_s(batch) / cycle)


def _cycle(window_s: float, service_s: float, tick_s: float) -> float:
    """The window or the service, whichever is longer, in whole ticks."""
    cycle = max(window_s, service_s)
    return float(np.ceil(cycle / tick_s - 1e-9) * tick_s) if tick_s else cycle


@dataclass(frozen=True)
class DepthRule:
    """A batch size for queues of at least some length."""

    from_depth: int
    batch: int


def batch_at(rules: Sequence[DepthRule], depth: int) -> int:
    """The batch that rules by queue depth choose. Rules ascend in depth and begin at 0. Raises UsageError."""
    depths = [rule.from_depth for rule in rules]
    if not rules or depths[0] != 0 or depths != sorted(set(depths)) or min(rule.batch for rule in rules) < 1:
        raise UsageError("batching: rules must ascend in depth from 0, with batches of at least 1; correct them")
    if depth < 0:
        raise UsageError(f"batching: the queue depth is {depth}; give 0 or more")
    return [rule.batch for rule in rules if rule.from_depth <= depth][-1]


def tokens_per_expert(model: Model, tokens: ArrayLike) -> Floats:
    """Mean tokens that one routed expert gets from a batch of so many over all its GPUs."""
    routed, active = _experts(model)
    spread: Floats = np.asarray(tokens, np.float64) * active / routed
    return spread


def idle_expert_probability(model: Model, tokens: ArrayLike) -> Floats:
    """Probability that an expert gets no token of a batch, tokens choosing independently and evenly: (1 - k/E)^n."""
    routed, active = _experts(model)
    idle: Floats = (1 - active / routed) ** np.asarray(tokens, np.float64)
    return idle


def ridge_tokens(engine: Engine) -> float:
    """Tokens of a batch from which an expert's product is bound by arithmetic, not by reading its weights.

    Rows at which 2 * rows / TFLOP/s equals bytes / bandwidth, times experts over active ones.
    """
    routed, active = _experts(engine.model)
    kernels = engine.hardware.kernels
    tflops = kernels.grouped_gemm_tflops * engine.peak_of_kernel_dtype
    rows = WEIGHT_BYTES[engine.weights] * tflops / (2 * kernels.gemm_tb_s)
    return rows * routed / active


def pipeline_bubble(stages: int, micro_batches: int) -> float:
    """Share of the time that a pipeline's stages idle while it fills and drains: (p - 1) / (m + p - 1).

    A what-if: systems of expert and data parallelism have no pipeline.
    """
    if stages < 1 or micro_batches < 1:
        raise UsageError("batching: a pipeline needs at least one stage and one micro-batch")
    return (stages - 1) / (micro_batches + stages - 1)


def single_stream_roofline(engine: Engine, gpus: int) -> float:
    """Most tokens/s that one stream can get from so many GPUs: their memory reads the active weights once per token.

    No software reaches it: latency of kernels, exchange and host come on top.
    """
    if gpus < 1:
        raise UsageError("batching: the number of GPUs must be at least 1")
    head = engine.model.vocabulary * engine.model.hidden
    read = (active_parameters(engine.model) - head) * WEIGHT_BYTES[engine.weights] + head * HEAD_BYTES
    return gpus * engine.hardware.hbm_tb_s * 1e12 / read


def _experts(model: Model) -> tuple[int, int]:
    if model.experts is None:
        raise UsageError(f"{model.name} is dense and has no experts; use a model with experts")
    return model.experts.routed, model.experts.active
