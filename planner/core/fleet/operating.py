"""The operating point: the largest batch that meets a time per output token and fits the memory, and its cost. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.decode import Imbalance, step_us, tokens_per_s_per_node
from planner.core.fleet.engine import Engine
from planner.documents import Document
from planner.errors import CannotServe, UsageError
from planner.units import S_PER_DAY, S_PER_HOUR, Floats

ImbalanceAt = Callable[[Floats], Imbalance]
"""Imbalance as a function of streams per GPU."""


def constant(imbalance: Imbalance) -> ImbalanceAt:
    """The same imbalance at any batch."""
    return lambda _: imbalance


balanced = constant(Imbalance())

Limit = Literal["tpot", "memory", "validity", "given"]
"""What keeps a batch from growing: the time per output token, the memory, the measured range; or it was given."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint(Document):
    """What a GPU or node does at one batch."""

    streams: float
    """Per GPU."""
    limit: Limit
    """What keeps the batch from growing."""
    step_ms: float
    tpot_ms: float
    """Time per output token: a step, divided by the tokens that a stream gains in it."""
    tokens_per_s_per_node: float
    """Output tokens."""
    kv_gb: float
    """KV cache of a GPU's streams."""
    usd_per_million_tokens: float


def tpot_ms(engine: Engine, streams: ArrayLike, kv_tokens: ArrayLike, imbalance_at: ImbalanceAt = balanced) -> Floats:
    """Time per output token, ms; arguments broadcast."""
    batch = np.asarray(streams, np.float64)
    time: Floats = step_us(engine, batch, kv_tokens, imbalance=imbalance_at(batch)) / engine.accepted / 1e3
    return time


def largest_batch(
    engine: Engine, kv_tokens: ArrayLike, target_ms: ArrayLike, imbalance_at: ImbalanceAt = balanced
) -> Floats:
    """Most whole streams per GPU that meet the target and fit the memory; 0 where one stream misses it.

    kv_tokens and target_ms broadcast. Bisection over all points at once: a step never gets shorter with more streams.
    """
    context, target = np.broadcast_arrays(np.asarray(kv_tokens, np.float64), np.asarray(target_ms, np.float64))
    if not ((target > 0).all() and np.isfinite(target).all()):
        raise UsageError("the time per output token must be a finite number above 0 ms")
    high = np.minimum(engine.batch_cap(context), np.floor(engine.validity.most_streams))
    low = np.zeros_like(high)
    least = max(engine.validity.least_streams, 1.0)
    while (low < high).any():
        middle = np.ceil((low + high) / 2)
        asked = np.clip(middle, least, engine.validity.most_streams)
        met = (tpot_ms(engine, asked, context, imbalance_at) <= target) & (middle >= least)
        low, high = np.where(met, middle, low), np.where(met, high, np.maximum(middle - 1, low))
    return low


def operating_point(
    engine: Engine, kv_tokens: float, target_ms: float, imbalance_at: ImbalanceAt = balanced
) -> OperatingPoint:
    """The largest batch that meets the target and fits. Raises CannotServe where not even one stream does."""
    streams = float(largest_batch(engine, kv_tokens, target_ms, imbalance_at))
    if streams < 1:
        raise _no_batch(engine, kv_tokens, target_ms, imbalance_at)
    if streams >= engine.batch_cap(kv_tokens):
        return point_at(engine, streams, kv_tokens, imbalance_at, "memory")
    at_edge = streams >= np.floor(engine.validity.most_streams)
    return point_at(engine, streams, kv_tokens, imbalance_at, "validity" if at_edge else "tpot")


def point_at(
    engine: Engine,
    streams: float,
    kv_tokens: float,
    imbalance_at: ImbalanceAt = balanced,
    limit: Limit = "given",
) -> OperatingPoint:
    """What a node does with a given batch. Raises UsageError where it does not fit the memory."""
    cap = float(engine.batch_cap(kv_tokens))
    if streams > cap:
        raise UsageError(
            f"{streams:g} streams per GPU of {kv_tokens:,.0f} tokens do not fit {engine.hardware.name}: "
            f"the memory holds {cap:g}; lower the batch or shorten the context"
        )
    step = step_us(engine, streams, kv_tokens, imbalance=imbalance_at(np.asarray(streams, np.float64)))
    rate = float(tokens_per_s_per_node(engine, streams, step))
    return OperatingPoint(
        streams=streams,
        limit=limit,
        step_ms=float(step) / 1e3,
        tpot_ms=float(step) / 1e3 / engine.accepted,
        tokens_per_s_per_node=rate,
        kv_gb=streams * float(engine.kv_bytes_per_stream(kv_tokens)) / 1e9,
        usd_per_million_tokens=usd_per_million_tokens(engine, rate),
    )


def usd_per_node_hour(engine: Engine) -> float:
    """Price of a node-hour, USD."""
    return engine.hardware.usd_per_gpu_hour * engine.hardware.gpus_per_node


def usd_per_million_tokens(engine: Engine, rate: float) -> float:
    """Cost of a million tokens on dedicated nodes. rate: tokens/s per node."""
    return usd_per_node_hour(engine) / (rate * S_PER_HOUR) * 1e6


@dataclass(frozen=True)
class RequestCost(Document):
    """The resources that one request per second occupies: nodes, power, and dollars per day."""

    nodes_per_qps: float
    """Nodes of both roles that one request per second occupies."""
    w_per_qps: float
    """Power of these nodes under load, W."""
    usd_per_qps_day: float
    """Cost of these nodes per day, USD."""
    usd_per_request: float


def request_cost(nodes_per_qps: float, node_kw: float, node_usd_per_hour: float) -> RequestCost:
    """Power and cost of one request per second from the nodes that it occupies."""
    a_day = nodes_per_qps * node_usd_per_hour * 24
    return RequestCost(nodes_per_qps, nodes_per_qps * node_kw * 1e3, a_day, a_day / S_PER_DAY)


def nodes_per_qps(input_tokens: float, output_tokens: float, prefill_rate: float, decode_rate: float) -> float:
    """Nodes that one request per second occupies. Tokens: per request; rates: tokens/s per node of each role."""
    if min(input_tokens, output_tokens) < 0 or min(prefill_rate, decode_rate) <= 0:
        raise UsageError("tokens per request must be at least 0, and rates above 0")
    return input_tokens / prefill_rate + output_tokens / decode_rate


def _no_batch(engine: Engine, kv_tokens: float, target_ms: float, imbalance_at: ImbalanceAt) -> CannotServe:
    if float(engine.batch_cap(kv_tokens)) < 1:
        gigabytes = float(engine.kv_bytes_per_stream(kv_tokens)) / 1e9
        return CannotServe(
            f"one stream of {kv_tokens:,.0f} tokens needs {gigabytes:.2f} GB of KV cache and {engine.hardware.name} "
            f"has {engine.kv_gb:.2f} GB left; shorten the context, or use an fp8 KV cache",
            "memory",
        )
    least = max(engine.validity.least_streams, 1.0)
    best = float(tpot_ms(engine, least, kv_tokens, imbalance_at))
    return CannotServe(
        f"no batch of {engine.model.name} on {engine.hardware.name} meets {target_ms:g} ms per output token: "
        f"at {least:g} streams per GPU a token takes {best:.1f} ms; raise the target, or use faster nodes",
        "target",
    )
