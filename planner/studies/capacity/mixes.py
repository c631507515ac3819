"""Steps of a server that reads prompts in them, where a file tells contexts and no lengths: what part of a context is
prompt, by how steps grow with streams.

More streams of one context bring more prompts into a step than their own rows explain. The share of the prompt in a
context is looked for on a grid, for each context that was measured with several batches, in turn with the factors of
the engine; the factor of prompts stays out of it, as both would explain the same.
"""

from dataclasses import replace

import numpy as np

from planner.core.fleet.calibration import calibrated, fit
from planner.core.fleet.decode import step_us
from planner.core.fleet.engine import Engine, on_same_kernels
from planner.core.fleet.operating import ImbalanceAt
from planner.core.fleet.serving import Load, serve
from planner.units import Floats

SHARES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.67, 0.8, 0.9, 0.94, 0.97, 0.985)
"""Of the prompt in a context, finer where it leaves few output tokens; the last leaves one in 34 of a request."""
LEAST_BATCHES = 3
"""Of a context. Assumed: with fewer, a share would explain whatever was measured."""
_ROUNDS = 6


def mixed_step_ms(
    engine: Engine, gpus: int, imbalance_at: ImbalanceAt, streams: Floats, kv_tokens: Floats, shares: Floats
) -> Floats:
    """Steps of streams per GPU at a mean context, of which a share is prompt that is read in the steps, ms."""
    taken: Floats = step_us(engine, streams, kv_tokens, imbalance=imbalance_at(streams)) / 1e3
    mixed = shares > 0
    if mixed.any():
        load = Load(
            concurrency=streams[mixed] * gpus,
            input_tokens=np.maximum(shares[mixed] * kv_tokens[mixed], 1.0),
            # a context is all of the prompt and half of the output
            output_tokens=np.maximum(2 * (1 - shares[mixed]) * kv_tokens[mixed], 1.0),
        )
        own = on_same_kernels(engine, scale=replace(engine.scale, prompts=1.0))
        taken[mixed] = serve(own, gpus, load).tpot_us * engine.accepted / 1e3
    return taken


def prompt_shares(
    engine: Engine, gpus: int, imbalance_at: ImbalanceAt, streams: Floats, kv_tokens: Floats, measured_ms: Floats
) -> Floats:
    """The share of the prompt in the context of each measured step; 0 where steps tell of none. Raises UsageError."""
    shares: Floats = np.zeros_like(kv_tokens)
    contexts = [each for each in np.unique(kv_tokens) if len(set(streams[kv_tokens == each])) >= LEAST_BATCHES]
    for _ in range(_ROUNDS):

        def predict(own: Engine, shares: Floats = shares) -> Floats:
            return mixed_step_ms(own, gpus, imbalance_at, streams, kv_tokens, shares)

        own = calibrated(engine, fit(engine, predict, measured_ms, leave_out=False))
        found = shares.copy()
        tried = np.array([predict(own, np.full_like(shares, share)) for share in SHARES])
        errors = np.square(np.log(tried / measured_ms))
        for each in contexts:
            mine = kv_tokens == each
            found[mine] = SHARES[int(np.argmin(errors[:, mine].sum(axis=1)))]
        if (found == shares).all():
            break
        shares = found
    return shares
