"""What users of a server get that computes prompts and streams on the same GPUs: times and throughput. Pure.

Requests come in a closed loop: each of `concurrency` users asks again when answered. A step of n streams takes T. While
a stream decodes, prompts of the others are computed too, each of which takes W of the engine's time; of this work per
token, (n - 1) W / output tokens, a stream waits for a share (`interleave`). A first token comes after the engine's own
least time, the steps of its prompt, a share of the prompts in front and the step that runs.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.engine import Engine, on_same_kernels
from planner.core.fleet.step import Batch, launching_us, step_time
from planner.errors import UsageError
from planner.units import Floats


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests of a server, arrays that broadcast; tokens are per request.

    concurrency: users in a closed loop. cached_tokens: of the input, found in a cache. prompts_apart: none of them
    share the server's steps, as in a batch that is prefilled once, or where prefill has units of its own.
    """

    concurrency: ArrayLike
    input_tokens: ArrayLike
    output_tokens: ArrayLike
    cached_tokens: ArrayLike = 0.0
    prompts_apart: bool = False


@dataclass(frozen=True, kw_only=True)
class Served:
    """What users get, arrays of one shape.

    streams: that decode at once on the whole server, at most those whose KV fits and that the engine takes. tpot_us:
    time per output token; ttft_us: time to the first token; prompt_us: of the engine's time for one prompt, alone;
    tokens_per_s: output tokens of the server while users wait for a place, as at full load; prompt_share: of the time
    per output token, what prompts of others take.
    """

    streams: Floats
    tpot_us: Floats
    ttft_us: Floats
    prompt_us: Floats
    tokens_per_s: Floats
    prompt_share: Floats


@dataclass(frozen=True)
class _Prompts:
    """Tokens of a request to compute, how many in one step, and their mean context; arrays of one shape."""

    missed: Floats
    chunk: Floats
    context: Floats
    length: Floats


def serve(engine: Engine, gpus: int, load: Load) -> Served:
    """What a server of so many GPUs gives. Raises UsageError for impossible loads, CannotServe where nothing fits."""
    users, inputs, outputs, cached = _arrays(load)
    groups = gpus / (engine.tensor_parallel * engine.pipeline_parallel)
    streams = held_streams(engine, gpus, users, inputs + outputs)
    # with fewer users than groups a busy group has one
    group = np.maximum(streams / groups, 1.0)
    kv_tokens = inputs + outputs / 2
    step = _step(engine, group, kv_tokens) / engine.accepted
    prompts = _prompts(engine, group, outputs, inputs, cached)
    work = _prompt_work(engine, group, kv_tokens, prompts)
    alone = _alone(engine, prompts)
    p = engine.profile.prompts
    shared = np.zeros_like(work) if load.prompts_apart else (group - 1) * work / outputs
    tpot = step + p.interleave * shared
    others = np.maximum(group - 1, 0.0)
    # of the time until a user asks again, the share in which prompts of others are computed
    own = _before_first_token(engine, prompts, alone)
    computing = others * own
    busy = np.divide(computing, computing + outputs * step, out=np.zeros_like(own), where=computing > 0)
    waited = p.queue * others * busy * own
    ttft = p.first_token_us + p.token_us * inputs + own + waited + p.step * step * (others > 0)
    in_slots = np.zeros_like(work) if load.prompts_apart else p.full_load * group * work
    rate = streams * outputs / (outputs * step + in_slots) * 1e6
    return Served(
        streams=streams,
        tpot_us=tpot,
        ttft_us=ttft,
        prompt_us=alone,
        tokens_per_s=rate,
        prompt_share=np.divide(tpot - step, tpot, out=np.zeros_like(tpot), where=tpot > 0),
    )


def prefill_us(engine: Engine, gpus: int, load: Load) -> Floats:
    """Steps that compute the prompts of as many users at once and nothing else, as full as the engine takes them."""
    users, inputs, _, cached = _arrays(load)
    groups = gpus / (engine.tensor_parallel * engine.pipeline_parallel)
    prompts = _prompts(engine, np.ones_like(users), np.ones_like(users), inputs, cached)
    batch = replace(prompts, missed=prompts.missed * np.maximum(users / groups, 1.0))
    return _before_first_token(engine, batch, _alone(engine, batch))


def _before_first_token(engine: Engine, prompts: _Prompts, alone: Floats) -> Floats:
    """What the own steps of prompts take until their first token, by what they take of kernels and overheads."""
    taken: Floats = engine.profile.prompts.alone * alone + _launching(engine, prompts)
    return taken


def _launching(engine: Engine, prompts: _Prompts) -> Floats:
    """What a prompt's own steps take on top before its first token: kernels launched one by one."""
    passes: Floats = np.ceil(prompts.missed / engine.profile.limits.max_batched_tokens)
    return passes * launching_us(engine)


def held_streams(engine: Engine, gpus: int, users: ArrayLike, kv_tokens: ArrayLike) -> Floats:
    """Streams that decode at once: users, but no more than fit and than the engine takes.

    Raises CannotServe where the model does not fit.
    """
    groups = gpus / (engine.tensor_parallel * engine.pipeline_parallel)
    fitting = np.maximum(engine.batch_cap(kv_tokens) * gpus, 1.0)
    most: Floats = np.minimum(fitting, engine.profile.limits.max_sequences * groups)
    held: Floats = np.minimum(np.asarray(users, np.float64), most)
    return held


def _arrays(load: Load) -> tuple[Floats, Floats, Floats, Floats]:
    users, inputs, outputs, cached = np.broadcast_arrays(
        *(
            np.asarray(each, np.float64)
            for each in (load.concurrency, load.input_tokens, load.output_tokens, load.cached_tokens)
        )
    )
    for name, values in (("concurrency", users), ("input tokens", inputs), ("output tokens", outputs)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise UsageError(f"serving: {name} must be numbers above 0")
    if not ((cached >= 0).all() and (cached <= inputs).all()):
        raise UsageError("serving: cached tokens must be at least 0 and at most the input tokens")
    return users, inputs, outputs, cached


def _per_gpu(engine: Engine, group: Floats) -> Floats:
    """Streams or tokens of a group as those of each of its GPUs."""
    share: Floats = group / (engine.tensor_parallel * engine.pipeline_parallel)
    return share


def _step(engine: Engine, group: Floats, kv_tokens: Floats) -> Floats:
    return step_time(engine, Batch(streams=_per_gpu(engine, group), kv_tokens=kv_tokens)).us


def _prompts(engine: Engine, group: Floats, outputs: Floats, inputs: Floats, cached: Floats) -> _Prompts:
    """How prompts are cut: as many as come in a step are computed together, as far as the engine takes their tokens."""
    most = float(engine.profile.limits.max_batched_tokens)
    # a cache that holds all of a prompt leaves one token to compute
    missed = np.maximum(inputs - cached, 1.0)
    together = np.clip((group - 1) / outputs, 1.0, np.maximum(most / missed, 1.0))
    return _Prompts(missed, np.minimum(missed * together, most), cached + missed / 2, inputs)


def _prompt_work(engine: Engine, group: Floats, kv_tokens: Floats, prompts: _Prompts) -> Floats:
    """What one more prompt takes of the engine's time beside streams."""
    beside = group if engine.profile.prompts.place == "mixed" else np.zeros_like(group)
    alone = step_time(engine, Batch(streams=_per_gpu(engine, beside), kv_tokens=kv_tokens)).us
    if engine.profile.prompts.place == "between":
        alone = np.zeros_like(alone)
    full = step_time(
        engine,
        Batch(
            streams=_per_gpu(engine, beside),
            kv_tokens=kv_tokens,
            prompt_tokens=_per_gpu(engine, prompts.chunk),
            context=prompts.context,
            length=prompts.length,
        ),
    ).us
    on_top = engine.profile.overheads.prompt_us * engine.scale.overheads
    taken: Floats = (full - alone + on_top) * prompts.missed / prompts.chunk * engine.scale.prompts
    return taken


def _alone(engine: Engine, prompts: _Prompts) -> Floats:
    """The steps of one prompt and nothing else."""
    most = float(engine.profile.limits.max_batched_tokens)
    full = np.floor(prompts.missed / most)
    rest = prompts.missed - full * most

    def step(tokens: Floats | float) -> Floats:
        asked = Batch(
            prompt_tokens=_per_gpu(engine, np.broadcast_to(np.asarray(tokens, np.float64), rest.shape)),
            context=prompts.context,
            length=prompts.length,
        )
        return step_time(on_same_kernels(engine, overlap="off"), asked).us

    whole = full * step(most) + np.where(rest > 0, step(np.maximum(rest, 1.0)), 0.0)
    taken: Floats = whole * engine.scale.prompts
    return taken
