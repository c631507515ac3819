"""How fast a node prefills prompts: a step of prompts and no streams. Pure.

A missed token passes every weight that is active for it and attends to its context. The mean context of missed
tokens, weighted by tokens, is sum(m * (h + m/2)) / sum(m) with m missed and h hit tokens of each request; a mean
prompt length in its place is wrong, since attention grows with the square of a prompt. Two micro-batches hide the
exchange between GPUs. The level is not predicted: a fitted imbalance over the fleet and a utilisation bring it to
what was measured; how the rate falls with the context is the model's own.
"""

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.engine import Engine, on_same_kernels
from planner.core.fleet.step import Batch, launching_us, step_time
from planner.errors import UsageError
from planner.units import Floats

MOST_CONTEXT = 131_072
"""Validity: tokens; some times the published prompts, beyond which it would extrapolate."""


def us_per_missed_token(engine: Engine, context: ArrayLike) -> Floats:
    """Time of a tensor-parallel group (one GPU where there is none) for one missed token, microseconds.

    context: mean attention context of missed tokens. It is what one more token takes in a pass that is full of prompts,
    at half and at all of the tokens that the engine takes at a time. Raises UsageError outside the validity range.
    """
    attended = np.asarray(context, np.float64)
    if not ((attended >= 0).all() and (attended <= MOST_CONTEXT).all()):
        raise UsageError(f"prefill: context must be from 0 to {MOST_CONTEXT:,} tokens")
    half, full = _passes(engine, attended)
    taken: Floats = (full - half) / (0.5 * _pass_tokens(engine)) * engine.scale.prompts * engine.profile.prompts.alone
    return taken


def _passes(engine: Engine, attended: Floats) -> tuple[Floats, Floats]:
    """Times of a pass of half the tokens that the engine takes at a time, and of all."""
    pass_tokens = _pass_tokens(engine)
    # without cache hits a prompt is twice as long as the mean context of its tokens
    half, full = (
        step_time(
            on_same_kernels(engine, overlap="off"),
            Batch(prompt_tokens=share * pass_tokens / engine.tensor_parallel, context=attended, length=2 * attended),
        ).us
        for share in (0.5, 1.0)
    )
    return half, full


def _pass_tokens(engine: Engine) -> int:
    """Tokens of a group's full pass."""
    # what was published is of each GPU; a group of several would not fill its experts with it
    gpus = engine.tensor_parallel if engine.profile.kernels == "shares" else 1
    return engine.profile.limits.max_batched_tokens * gpus


def missed_tokens_per_s_per_node(
    engine: Engine, context: ArrayLike, *, balance: float, utilisation: float = 1.0
) -> Floats:
    """Input tokens without cache hits that a node computes per second.

    balance: share of the balanced rate that the fleet reaches. utilisation: a free factor, reported as such.
    """
    if not (0 < balance <= 1 and 0 < utilisation <= 1):
        raise UsageError("prefill: balance and utilisation must be above 0 and at most 1")
    groups = engine.hardware.gpus_per_node / (engine.tensor_parallel * engine.pipeline_parallel)
    taken = us_per_missed_token(engine, context) + fixed_us_per_token(engine, context)
    # a pipeline works on as many passes at a time as it has stages
    rate: Floats = groups * engine.pipeline_parallel * 1e6 / taken * balance * utilisation
    return rate


def fixed_us_per_token(engine: Engine, context: ArrayLike) -> Floats:
    """What a full pass of prompts takes beside its tokens, for each of them, microseconds.

    0 where kernels have one share of each peak: the level of such rates is fitted, with that in it.
    """
    attended = np.asarray(context, np.float64)
    if engine.profile.kernels == "shares":
        return np.zeros_like(attended)
    half, full = _passes(engine, attended)
    own = np.maximum(2 * half - full, 0.0) * engine.scale.prompts * engine.profile.prompts.alone
    fixed: Floats = (own + launching_us(engine)) / _pass_tokens(engine)
    return fixed


def input_tokens_per_s_per_node(missed_tokens_per_s: ArrayLike, hit_ratio: ArrayLike) -> Floats:
    """Input tokens per second, cache hits included. Raises UsageError where the hit ratio is not from 0 to below 1."""
    ratio = np.asarray(hit_ratio, np.float64)
    if not ((ratio >= 0).all() and (ratio < 1).all()):
        raise UsageError("prefill: a cache hit ratio must be at least 0 and below 1")
    rate: Floats = np.asarray(missed_tokens_per_s, np.float64) / (1 - ratio)
    return rate
