"""What one unit of each role does in a replay: speeds from the engine, tabulated by streams; lives from a plan."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.fleet.decode import step_lines
from planner.fleet.engine import GB
from planner.fleet.prefill import us_per_missed_token
from planner.fleet.shapes import kv_bytes_per_token
from planner.replay.lifetimes import Life
from planner.replay.model import Lives, Service, StepTables
from planner.scenario.models import FleetSettings, ReplaySettings
from planner.sizing import balanced_engine, decode_engine, prefill_engine
from planner.units import US_PER_S


def service_of(fleet: FleetSettings, replay: ReplaySettings, kv_tokens: float) -> Service:
    """A prefill and a decode unit of a fleet. kv_tokens: mean KV length, at which batches overlap or not as is faster.

    Raises UsageError where the engine cannot be.
    """
    settings = fleet.engine
    gpus = fleet.gpus_per_node
    prefill = prefill_engine(settings, fleet.prefill.nodes * gpus)
    decode, imbalance_at = balanced_engine(settings, decode_engine(settings, fleet.decode.nodes * gpus))
    decode_gpus = fleet.decode.nodes * gpus
    # a rank of the replay is what one prompt runs on: a GPU, or a group that shares it
    ranks = fleet.prefill.nodes * gpus // prefill.tensor_parallel
    none, one = (float(us_per_missed_token(prefill, context)) for context in (0.0, 1.0))
    bytes_each = kv_bytes_per_token(decode.model, decode.kv)
    room = decode.kv_gb * GB / (float(decode.kv_bytes_per_stream(1e6)) / 1e6) * decode_gpus
    most = int(decode.validity.most_streams * decode_gpus)
    # below the fewest streams that are known a step takes as long as with these: never less than it would
    per_gpu = np.maximum(np.arange(1, most + 1) / decode_gpus, max(decode.validity.least_streams, 1 / decode_gpus))
    imbalance = imbalance_at(per_gpu)
    if replay.ranks == "exact":
        imbalance = replace(imbalance, kv=1.0)
    lines = step_lines(decode, per_gpu, kv_tokens, imbalance)
    return Service(
        prefill_ranks=ranks,
        # how far units are used comes out of the replay; the factor on plans is that use, not a loss
        prefill_share=settings.prefill_balance,
        missed_us=none,
        context_us=one - none,
        pass_us=prefill.model.layers * prefill.overheads.layer_us,
        pass_tokens=replay.pass_tokens_per_gpu * fleet.prefill.nodes * gpus,
        chunk_tokens=replay.chunk_tokens,
        kv_us_per_token=bytes_each / (decode.hardware.nic_gb_s * GB) * US_PER_S / decode.tensor_parallel,
        kv_capacity_tokens=room,
        most_streams=most,
        steps=StepTables(
            *(
                np.concatenate([column[:1], column])
                for column in (
                    lines.low_us,
                    lines.low_us_per_token / decode_gpus,
                    lines.high_us,
                    lines.high_us_per_token / decode_gpus,
                )
            )
        ),
    )


def table_imbalance(fleet: FleetSettings, streams_per_gpu: float | None) -> float | None:
    """Largest over mean KV of a decode unit's GPUs, as measured for the fleet's balancer; None where it was not."""
    _, imbalance_at = balanced_engine(
        fleet.engine, decode_engine(fleet.engine, fleet.decode.nodes * fleet.gpus_per_node)
    )
    return None if streams_per_gpu is None else float(np.asarray(imbalance_at(np.array([streams_per_gpu])).kv).item())


def lives_of(lives: Sequence[Life], role: str, origin_s: float, drain_deadline_s: float) -> Lives:
    """The units of a role one by one, microseconds from an origin in seconds from the start of the plan.

    Units that stay to the end of the plan never drain.
    """
    end_s = max(life.left_s for life in lives)
    rows = [
        (life.ready_s, np.inf, np.inf)
        if life.drain_s >= end_s
        else (life.ready_s, life.drain_s, life.drain_s + drain_deadline_s)
        for life in lives
        if life.role == role and life.drain_s > life.ready_s
        for _ in range(life.units)
    ]
    serve, drain, gone = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    serve = np.where(serve <= 0, -np.inf, serve)
    times = [(column - origin_s) * US_PER_S for column in (serve, drain, gone)]
    return Lives(np.maximum(times[0], 0.0), np.maximum(times[1], 0.0), np.maximum(times[2], 0.0))
