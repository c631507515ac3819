"""Units of each role for a replay: speeds from the engine, tabulated by streams; lifetimes from a plan."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.capacity.engines import decode_of, prefill_of
from planner.capacity.longest import kv_room_per_gpu, longest_request
from planner.core.fleet.decode import Imbalance, step_lines
from planner.core.fleet.engine import GB, Engine
from planner.core.fleet.operating import ImbalanceAt
from planner.core.fleet.prefill import MOST_CONTEXT, us_per_missed_token
from planner.core.fleet.shapes import kv_bytes_per_token
from planner.core.fleet.step import launching_us, pass_overheads_us
from planner.core.replay.intervals.lifetimes import Life
from planner.core.replay.requests.model import Lives, Service, StepTables
from planner.settings.fleet import FleetSettings
from planner.settings.replay import ReplaySettings
from planner.units import US_PER_S, Floats, Ints


def service_of(fleet: FleetSettings, replay: ReplaySettings, kv_tokens: float) -> Service:
    """A prefill and a decode unit of a fleet. kv_tokens: mean KV length, at which batches overlap or not as is faster.

    Raises UsageError if the engine's parts do not go together, or the model does not fit.
    """
    prefill, (decode, imbalance_at) = prefill_of(fleet), decode_of(fleet)
    prefill_gpus, decode_gpus = (unit.nodes * fleet.gpus_per_node for unit in (fleet.prefill, fleet.decode))
    # with measured kernels the first tokens of context cost far more than further ones: the line is through the mean
    context = min(kv_tokens, float(MOST_CONTEXT)) if prefill.profile.kernels == "curves" else 1.0
    none, some = (float(us_per_missed_token(prefill, each)) for each in (0.0, context))
    bytes_each = kv_bytes_per_token(decode.model, decode.kv)
    room = kv_room_per_gpu(decode, kv_tokens)
    steps = _decode_steps(decode, imbalance_at, decode_gpus, kv_tokens, even_kv=replay.ranks == "exact")
    return Service(
        # a rank of the replay is what one prompt runs on: a GPU, or a group that shares it
        prefill_ranks=prefill_gpus // prefill.tensor_parallel,
        # utilisation is a result of the replay; the plan's factor stands for it and is not a loss of speed
        prefill_share=fleet.engine.prefill_balance,
        missed_us=none,
        context_us=(some - none) / context,
        pass_us=pass_overheads_us(prefill) * prefill.profile.prompts.alone + launching_us(prefill),
        pass_tokens=replay.pass_tokens_per_gpu * prefill_gpus,
        chunk_tokens=replay.chunk_tokens,
        kv_us_per_token=bytes_each / (decode.hardware.nic_gb_s * GB) * US_PER_S / decode.tensor_parallel,
        kv_capacity_tokens=room.tokens * decode_gpus,
        kv_stream_tokens=room.stream_tokens,
        most_streams=len(steps.low_us) - 1,
        steps=steps,
        longest_tokens=longest_request(decode).tokens,
    )


def _decode_steps(
    engine: Engine, imbalance_at: ImbalanceAt, gpus: int, kv_tokens: float, *, even_kv: bool
) -> StepTables:
    """Time of a decode step by the streams of a unit of `gpus` GPUs, up to the most for which the model is valid.

    even_kv: leave out the imbalance of KV, as where the replay finds it itself, rank by rank.
    """
    most = int(engine.validity.most_streams * gpus)
    # below the fewest streams for which the model is valid, a step is taken to last as long as with these, which is
    # never less than it would
    streams = np.maximum(np.arange(1, most + 1) / gpus, max(engine.validity.least_streams, 1 / gpus))
    imbalance = imbalance_at(streams)
    if even_kv:
        imbalance = replace(imbalance, kv=1.0)
    return step_tables(engine, imbalance, streams, gpus, kv_tokens)


def step_tables(engine: Engine, imbalance: Imbalance, streams: Floats, gpus: int, kv_tokens: float) -> StepTables:
    """Time of a step of 1, 2, ... streams of a unit. streams: of the busiest of its GPUs, for each of these numbers."""
    # Of all that a step does, the attention core alone grows with the KV tokens K of a GPU, in proportion to them. In a
    # layer with experts it stands in a max() with the combine: while the combine takes longer, only the dense layers
    # grow with K (the low line, the flatter one), and where the core takes longer, all do (the high line). So a step
    # with n streams is exactly the larger of two lines in K, and four numbers for each n stand for the whole model in
    # the kernels.
    lines = step_lines(engine, streams, kv_tokens, imbalance)
    # lines are in the KV tokens of a GPU, tables in those of the unit; no step has 0 streams: that row repeats the next
    return StepTables(
        low_us=_from_zero(lines.low_us),
        low_us_per_token=_from_zero(lines.low_us_per_token / gpus),
        high_us=_from_zero(lines.high_us),
        high_us_per_token=_from_zero(lines.high_us_per_token / gpus),
    )


def _from_zero(column: Floats) -> Floats:
    return np.concatenate([column[:1], column])


def table_imbalance(fleet: FleetSettings, streams_per_gpu: float | None) -> float | None:
    """Largest over mean KV of a decode unit's GPUs, as measured for the fleet's balancer; None if it was not."""
    _, imbalance_at = decode_of(fleet)
    return None if streams_per_gpu is None else float(np.asarray(imbalance_at(np.array([streams_per_gpu])).kv).item())


def lives_of(lives: Sequence[Life], role: str, origin_s: float, drain_deadline_s: float, end_s: int) -> Lives:
    """The lifetimes of a role's units, microseconds from an origin in seconds from the start of the plan.

    end_s: the end of the plan; units that stay until then never drain.
    """
    rows = [
        (life.ready_s, np.inf, np.inf)
        if life.drain_s >= end_s
        else (life.ready_s, life.drain_s, life.drain_s + drain_deadline_s)
        for life in lives
        if life.role == role and serves(life)
        for _ in range(life.units)
    ]
    serve, drain, gone = np.array(rows, np.float64).reshape(-1, 3).T
    serve = np.where(serve <= 0, -np.inf, serve)
    times = [(column - origin_s) * US_PER_S for column in (serve, drain, gone)]
    return Lives(np.maximum(times[0], 0.0), np.maximum(times[1], 0.0), np.maximum(times[2], 0.0))


def places_of(lives: Sequence[Life]) -> Ints:
    """The places of the units that `lives_of` has, in its order, of units that do both."""
    return np.array([life.place + unit for life in lives if serves(life) for unit in range(life.units)], np.int64)


def serves(life: Life) -> bool:
    """Whether units ever serve: those that are to leave while they start do not."""
    return life.drain_s > life.ready_s
