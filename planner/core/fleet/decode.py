"""Steps of a decode unit: rows of streams and no prompts; as times, as lines for a replay, and as throughput. Pure."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.engine import Engine
from planner.core.fleet.step import OVERLAPS, Batch, Imbalance, Stages, overheads_us, stages, step_time, together
from planner.errors import UsageError
from planner.units import Floats

EVEN = Imbalance()
"""No GPU has more to do than others."""


def step_us(engine: Engine, streams: ArrayLike, kv_tokens: ArrayLike, *, imbalance: Imbalance = EVEN) -> Floats:
    """Time of one decode step in microseconds; arguments broadcast.

    streams: per GPU. kv_tokens: mean context per stream. Raises UsageError outside the validity range.
    """
    batch, context = np.broadcast_arrays(np.asarray(streams, np.float64), np.asarray(kv_tokens, np.float64))
    _check(engine, batch, context, imbalance)
    return step_time(engine, Batch(streams=batch, kv_tokens=context, imbalance=imbalance)).us


@dataclass(frozen=True)
class StepLines:
    """A step as the longer of two lines in the KV tokens of a GPU: us at none, and us per token, by streams."""

    low_us: Floats
    low_us_per_token: Floats
    high_us: Floats
    high_us_per_token: Floats


def step_lines(engine: Engine, streams: Floats, kv_tokens: float, imbalance: Imbalance) -> StepLines:
    """The step of so many streams per GPU, (n,) above 0, as max(low + low' K, high + high' K).

    K: KV tokens of a GPU. The low line is that of a layer in which the combine takes longer than the attention core,
    or in which attention takes its least time. Exact where kernels have one share of each peak; with measured curves
    the high line touches the step at the mean context kv_tokens, and lies on it as far as attention grows in proportion
    there. Where overlap is auto, each batch is overlapped or not, whichever is faster at that context.
    Raises UsageError outside the validity range.
    """
    if engine.overlap == "auto" and engine.profile.dispatch:
        on, off = (replace(engine, overlap=choice) for choice in OVERLAPS)
        faster = step_us(on, streams, kv_tokens, imbalance=imbalance) <= step_us(
            off, streams, kv_tokens, imbalance=imbalance
        )
        modes = [step_lines(each, streams, kv_tokens, imbalance) for each in (on, off)]
        return StepLines(*(np.where(faster, *(getattr(lines, f.name) for lines in modes)) for f in fields(StepLines)))
    _check(engine, streams, np.full_like(streams, max(engine.validity.least_kv_tokens, 1.0)), imbalance)
    if engine.profile.kernels == "curves":
        return _tangents(engine, streams, kv_tokens, imbalance)
    # stages at two context lengths give the lines, as the core is proportional to the context
    (low_1, high_1), (low_2, high_2) = (_ends(engine, streams, length, imbalance) for length in (1.0, 2.0))
    return StepLines(2 * low_1 - low_2, (low_2 - low_1) / streams, 2 * high_1 - high_2, (high_2 - high_1) / streams)


def _ends(engine: Engine, streams: Floats, context: float, imbalance: Imbalance) -> tuple[Floats, Floats]:
    """A step whose layers with experts end by the combine, and by the attention core."""
    batch = Batch(streams=streams, kv_tokens=np.full_like(streams, context), imbalance=imbalance)
    s, on_top = stages(engine, batch), overheads_us(engine, batch)
    by_core = s.core + s.prompts + s.after
    lasts = (s.combine, by_core) if engine.splits_batches else (by_core + s.combine,) * 2
    low, high = (together(engine, s, last=last) + on_top for last in lasts)
    return low, high


def _tangents(engine: Engine, streams: Floats, kv_tokens: float, imbalance: Imbalance) -> StepLines:
    """The step without context, and the line through it at the mean context and a little above."""
    least, mean, above = (
        step_time(engine, Batch(streams=streams, kv_tokens=context, imbalance=imbalance)).us
        for context in (0.0, kv_tokens, kv_tokens * 1.01)
    )
    per_token = (above - mean) / (0.01 * kv_tokens * streams)
    high = mean - per_token * kv_tokens * streams
    return StepLines(least, np.zeros_like(least), high, per_token)


def tokens_per_s_per_node(engine: Engine, streams: ArrayLike, step: ArrayLike) -> Floats:
    """Output tokens per second of a node. streams: per GPU; step: microseconds."""
    tokens = engine.hardware.gpus_per_node * np.asarray(streams, np.float64) * engine.accepted
    rate: Floats = tokens / np.asarray(step, np.float64) * 1e6
    return rate


def _check(engine: Engine, streams: Floats, kv_tokens: Floats, imbalance: Imbalance) -> None:
    valid = engine.validity
    ranges = (
        ("streams", streams, valid.least_streams, valid.most_streams),
        ("kv_tokens", kv_tokens, valid.least_kv_tokens, valid.most_kv_tokens),
    )
    problems = [
        f"{name} must be {f'at least {least:,.4g}' if least else 'above 0'} and at most {most:,.0f}"
        for name, values, least, most in ranges
        if not (np.isfinite(values).all() and (values > 0).all() and (values >= least).all() and (values <= most).all())
    ]
    if min(np.min(imbalance.kv), np.min(imbalance.experts), np.min(imbalance.dispatch)) < 1:
        problems.append("an imbalance must be at least 1")
    if problems:
        raise UsageError(f"decode step: {'; '.join(problems)}")


__all__ = ["EVEN", "Imbalance", "Stages", "StepLines", "step_lines", "step_us", "tokens_per_s_per_node"]
