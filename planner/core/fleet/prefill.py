"""How fast a node prefills prompts: matrix products, attention over the context, overhead per row. Pure.

A missed token passes every weight that is active for it and attends to its context. The mean context of missed
tokens, weighted by tokens, is sum(m * (h + m/2)) / sum(m) with m missed and h hit tokens of each request; a mean
prompt length in its place is wrong, since attention grows with the square of a prompt. Two micro-batches hide the
exchange between GPUs. The level is not predicted: a fitted imbalance over the fleet and a utilisation bring it to
what was measured; how the rate falls with the context is the model's own.
"""

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.decode import all_reduce_us
from planner.core.fleet.engine import Engine
from planner.core.fleet.shapes import attention_shape, dense_weights, expert_weights
from planner.errors import UsageError
from planner.units import Floats

MOST_CONTEXT = 131_072
"""Validity: tokens; some times the published prompts, beyond which it would extrapolate."""


def us_per_missed_token(engine: Engine, context: ArrayLike) -> Floats:
    """Time of a tensor-parallel group (one GPU where there is none) for one missed token, microseconds.

    context: mean attention context of missed tokens. Raises UsageError outside the validity range.
    """
    attended = np.asarray(context, np.float64)
    if not ((attended >= 0).all() and (attended <= MOST_CONTEXT).all()):
        raise UsageError(f"prefill: context must be from 0 to {MOST_CONTEXT:,} tokens")
    model, kernels, shape = engine.model, engine.hardware.kernels, attention_shape(engine.model)
    tp, peak = engine.tensor_parallel, engine.peak_of_kernel_dtype
    sparse_layers = model.layers - model.dense_layers
    active, shared = (model.experts.active, model.experts.shared) if model.experts else (0, 0)
    plain = model.layers * (shape.before + shape.after) + model.dense_layers * dense_weights(model)
    plain_us = 2 * plain / tp / (kernels.gemm_tflops * peak * 1e6)
    # experts are spread over the group's GPUs, each token going to its own few
    shared_us = 2 * sparse_layers * shared * expert_weights(model) / tp / (kernels.gemm_tflops * peak * 1e6)
    routed_us = 2 * sparse_layers * active * expert_weights(model) / tp / (kernels.grouped_gemm_tflops * peak * 1e6)
    core_us = model.layers * shape.prefill_flops * attended / tp / (kernels.prefill_attention_tflops * 1e6)
    reduced_us = (model.layers + model.dense_layers) * all_reduce_us(engine, 1.0)
    kernels_us = plain_us + shared_us + routed_us + core_us + reduced_us
    taken: Floats = kernels_us * engine.overheads.kernel_factor + model.layers * engine.overheads.row_us
    return taken


def missed_tokens_per_s_per_node(
    engine: Engine, context: ArrayLike, *, balance: float, utilisation: float = 1.0
) -> Floats:
    """Input tokens without cache hits that a node computes per second.

    balance: share of the balanced rate that the fleet reaches. utilisation: a free factor, reported as such.
    """
    if not (0 < balance <= 1 and 0 < utilisation <= 1):
        raise UsageError("prefill: balance and utilisation must be above 0 and at most 1")
    groups = engine.hardware.gpus_per_node / engine.tensor_parallel
    rate: Floats = groups * 1e6 / us_per_missed_token(engine, context) * balance * utilisation
    return rate


def input_tokens_per_s_per_node(missed_tokens_per_s: ArrayLike, hit_ratio: ArrayLike) -> Floats:
    """Input tokens per second, cache hits included. Raises UsageError where the hit ratio is not from 0 to below 1."""
    ratio = np.asarray(hit_ratio, np.float64)
    if not ((ratio >= 0).all() and (ratio < 1).all()):
        raise UsageError("prefill: a cache hit ratio must be at least 0 and below 1")
    rate: Floats = np.asarray(missed_tokens_per_s, np.float64) / (1 - ratio)
    return rate
