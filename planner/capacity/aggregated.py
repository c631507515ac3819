"""Units that read prompts and decode in the same steps, from the hardware up: tables for replays, and what they carry.

Of the factors fitted to an engine's prompts, two are what a replay does by itself and are left out: `queue`, the
prompts waited for in front, and the one of `step` that is the running step. `interleave` says how evenly prompts come
among steps of streams, at most once each: what is fitted above 1 is that prompts take longer beside streams, and stays.
Prompts in steps of their own take what they take before a first token: `alone`, and what launching their kernels takes.
`full_load` holds what steps never quite full of prompts cost: what a replay does too.
"""

from dataclasses import dataclass, replace

import numpy as np

from planner.capacity.engines import Workload
from planner.capacity.longest import kv_room_per_gpu, longest_request
from planner.capacity.units import step_tables
from planner.core.fleet.engine import Engine, on_same_kernels
from planner.core.fleet.operating import ImbalanceAt, balanced
from planner.core.fleet.region import CapacityRegion
from planner.core.fleet.step import Batch, launching_us, step_time
from planner.core.replay.iterations.model import PromptTable, Replica
from planner.core.replay.iterations.saturation import Asked, most_sequences, region_of, steady
from planner.core.replay.requests.model import StepTables
from planner.errors import CannotServe, UsageError
from planner.units import Floats

KNOTS = 128
"""Numbers of prompt tokens at which a table of prompts is worked out, and of rows: between them times are lines."""


@dataclass(frozen=True, kw_only=True)
class StepLimits:
    """What a unit takes at a time: tokens of a step, requests begun, and whether prompts go before streams."""

    max_batched_tokens: int
    max_sequences: int
    prefill_first: bool


@dataclass(frozen=True)
class AggregatedUnit:
    """A modelled unit. region: what it carries; sequences: requests that it has begun at a time at the own mix.

    replica: for replays, with its limits as asked; tpot_ms: at the own mix.
    """

    region: CapacityRegion
    replica: Replica
    sequences: int
    tpot_ms: float


def step_limits(
    engine: Engine,
    gpus: int,
    *,
    max_batched_tokens: int | None = None,
    max_sequences: int | None = None,
    prefill_first: bool | None = None,
) -> StepLimits:
    """Limits of a unit from those of each group of GPUs that share attention; as the engine has them unless told.

    A unit of several groups is taken for one, with the limits of all of them.
    """
    limits, groups = engine.profile.limits, _groups(engine, gpus)
    valid = int(engine.validity.most_streams * gpus)
    sequences = groups * (limits.max_sequences if max_sequences is None else max_sequences)
    if max_sequences is not None and sequences > valid:
        raise UsageError(
            f"replay.max_sequences is {max_sequences}, and steps are known for up to {valid // groups} streams of a "
            "group of GPUs that share attention; lower it"
        )
    return StepLimits(
        max_batched_tokens=groups * (max_batched_tokens or limits.max_batched_tokens),
        max_sequences=min(sequences, valid),
        prefill_first=engine.profile.prompts.place == "between" if prefill_first is None else prefill_first,
    )


def modelled_unit(
    engine: Engine,
    gpus: int,
    workload: Workload,
    tpot_ms: float,
    limits: StepLimits,
    imbalance_at: ImbalanceAt = balanced,
) -> AggregatedUnit:
    """A unit within a time per output token. Raises CannotServe where it misses it with a single request."""
    replica, asked = replica_of(engine, gpus, workload, limits, imbalance_at), asked_of(workload)
    target_us = tpot_ms * 1e3
    region = region_of(replica, asked, target_us)
    if region is None:
        raise _misses(engine, replica, asked, tpot_ms)
    sequences = most_sequences(replica, asked, target_us)
    late = first_us(engine, replica, min(sequences, replica.max_sequences), workload.kv_tokens)
    return AggregatedUnit(
        region=region,
        replica=replace(replica, first_us=late),
        sequences=sequences,
        tpot_ms=steady(replica, asked, sequences).tpot_us / 1e3,
    )


def asked_of(workload: Workload) -> Asked:
    """What a mean request asks of a unit. Where a cache holds all input, a token of each prompt is computed."""
    return Asked(
        prompt_tokens=workload.input_tokens * (1 - workload.hit_ratio),
        context=workload.missed_context_tokens,
        hit_ratio=workload.hit_ratio,
        output_tokens=workload.output_tokens,
        kv_tokens=workload.kv_tokens,
    )


def replica_of(
    engine: Engine, gpus: int, workload: Workload, limits: StepLimits, imbalance_at: ImbalanceAt = balanced
) -> Replica:
    """The tables of a unit for replays, and their limits. A first token comes late by what it does beside one stream.

    Raises UsageError outside the engine's validity, CannotServe where the model does not fit.
    """
    room, block = kv_room_per_gpu(engine, workload.kv_tokens), engine.block_tokens
    replica = Replica(
        steps=_steps(engine, gpus, workload.kv_tokens, limits.max_sequences, imbalance_at),
        prompts=_prompts(engine, gpus, workload, limits),
        context_us=_context_us(engine, gpus, workload, limits),
        max_batched_tokens=limits.max_batched_tokens,
        max_sequences=limits.max_sequences,
        prefill_first=limits.prefill_first,
        kv_blocks=int(room.tokens * gpus / block),
        block_tokens=block,
        stream_blocks=int(np.ceil(room.stream_tokens / block)),
        first_us_per_token=engine.profile.prompts.token_us,
        longest_tokens=longest_request(engine).tokens,
    )
    return replace(replica, first_us=first_us(engine, replica, 1, workload.kv_tokens))


def first_us(engine: Engine, replica: Replica, rows: int, kv_tokens: float) -> float:
    """How late a first token comes beside what steps take, where so many rows decode.

    The least time of the engine, and the steps that first tokens were measured to come late by, less the one that runs
    when a request arrives, for which a replay waits by itself.
    """
    prompts = engine.profile.prompts
    return prompts.first_token_us + max(prompts.step - 1, 0.0) * replica.steps.at(rows, rows * kv_tokens)


def _groups(engine: Engine, gpus: int) -> int:
    return gpus // _group_gpus(engine)


def _group_gpus(engine: Engine) -> int:
    return engine.tensor_parallel * engine.pipeline_parallel


def _steps(engine: Engine, gpus: int, kv_tokens: float, most: int, imbalance_at: ImbalanceAt) -> StepTables:
    """Time of a step without prompts for each token that a stream gains in it."""
    # with fewer streams than groups a busy group has one
    least = max(engine.validity.least_streams, 1 / _group_gpus(engine))
    streams = np.maximum(np.arange(1, most + 1) / gpus, least)
    return step_tables(engine, imbalance_at(streams), streams, gpus, kv_tokens).slower(1 / engine.accepted)


def _prompts(engine: Engine, gpus: int, workload: Workload, limits: StepLimits) -> PromptTable:
    """What prompts without context add to steps, at some rows and on lines between."""
    width = -(-limits.max_batched_tokens // KNOTS)
    tokens = np.arange(-(-limits.max_batched_tokens // width) + 1, dtype=np.float64) * width
    rows = np.unique(np.rint(np.geomspace(1, limits.max_sequences, KNOTS)))
    streams = np.maximum(rows / gpus, 1 / _group_gpus(engine))[:, None]
    chunk = _busiest(engine, gpus, workload, tokens)[None, :]
    length, prompts = max(workload.input_tokens, 1.0), engine.profile.prompts
    whole = step_time(
        engine, Batch(streams=streams, kv_tokens=workload.kv_tokens, prompt_tokens=chunk, length=length)
    ).us
    streams_alone = step_time(engine, Batch(streams=streams, kv_tokens=workload.kv_tokens)).us
    on_top = engine.profile.overheads.prompt_us * engine.scale.overheads
    beside = (whole - streams_alone + on_top) * _beside(engine) * engine.scale.prompts
    by_itself = step_time(_alone(engine), Batch(prompt_tokens=chunk, length=length)).us
    alone = by_itself * prompts.alone * engine.scale.prompts + launching_us(engine)
    every = np.arange(1, limits.max_sequences + 1)
    lines = [np.interp(every, rows, column) for column in beside.T]
    return PromptTable(width, np.concatenate([alone, np.stack(lines, axis=1)]))


def _context_us(engine: Engine, gpus: int, workload: Workload, limits: StepLimits) -> float:
    """What a prompt token takes for each token that it attends to."""
    context, length = max(workload.missed_context_tokens, 1.0), max(workload.input_tokens, 1.0)
    tokens = np.array([limits.max_batched_tokens], np.float64)
    chunk = _busiest(engine, gpus, workload, tokens)
    none, mean = (
        float(step_time(_alone(engine), Batch(prompt_tokens=chunk, context=each, length=length)).us[0])
        for each in (0.0, context)
    )
    factor = engine.profile.prompts.alone if limits.prefill_first else _beside(engine)
    return (mean - none) / (limits.max_batched_tokens * context) * factor * engine.scale.prompts


def _busiest(engine: Engine, gpus: int, workload: Workload, tokens: Floats) -> Floats:
    """Prompt tokens of each GPU of the busiest group: an even share, but no less than a whole prompt or one token."""
    prompt = max(asked_of(workload).prompt_tokens, 1.0)
    group = np.maximum(tokens / _groups(engine, gpus), np.clip(tokens, 1.0, prompt))
    return group / _group_gpus(engine)


def _beside(engine: Engine) -> float:
    """Time of prompts beside streams over that of their kernels and overheads."""
    prompts = engine.profile.prompts
    # an engine that was measured with prompts in steps of their own tells nothing else
    return max(prompts.interleave, 1.0) if prompts.place == "mixed" else prompts.alone


def _alone(engine: Engine) -> Engine:
    return on_same_kernels(engine, overlap="off")


def _misses(engine: Engine, replica: Replica, asked: Asked, tpot_ms: float) -> CannotServe:
    if most_sequences(replica, asked, np.inf) == 0:
        return CannotServe(
            f"one request of {asked.kv_tokens:,.0f} tokens does not fit the KV memory of a unit of "
            f"{engine.hardware.name}; shorten the context, or use a larger unit or an fp8 KV cache",
            "memory",
        )
    best = steady(replica, asked, 1).tpot_us / 1e3
    return CannotServe(
        f"no batch of {engine.model.name} on {engine.hardware.name} meets {tpot_ms:g} ms per output token: one request "
        f"alone takes {best:.1f} ms; raise the target, or use faster nodes",
        "target",
    )
