"""What one unit of each role does in a replay: speeds from the engine, tabulated by streams; lives from a plan.

And the most that a unit does within the latency targets, as modelled without replaying.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.capacity.engines import balanced_engine, decode_engine, prefill_engine
from planner.core.fleet.decode import step_lines
from planner.core.fleet.deployment import Units
from planner.core.fleet.engine import GB
from planner.core.fleet.operating import operating_point
from planner.core.fleet.prefill import us_per_missed_token
from planner.core.fleet.shapes import kv_bytes_per_token
from planner.core.fleet.waiting import PrefillUnit, Prompts, largest_rate, ttft
from planner.core.policy import Seen
from planner.core.replay.intervals.lifetimes import Life
from planner.core.replay.requests.model import Lives, Service, StepTables
from planner.errors import UsageError
from planner.settings.scenario import FleetSettings, ReplaySettings, Scenario
from planner.units import US_PER_S

TTFT_SHARE = 0.99
"""Share of requests whose first token has to come in time for the policy slo; assumed: the 99th percentile."""


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


UNAWARE = ("random", "round-robin")
"""Balancers that do not look at queues."""


@dataclass(frozen=True)
class LatencyLimits:
    """Most tokens per second of a unit of each role at which the latency targets are met, as modelled."""

    input_tokens_per_s: float
    output_tokens_per_s: float

    def meets(self, units: Units, seen: Seen, seconds: int) -> bool:
        """Whether units with so many tokens in a time meet the targets: each gets an even share."""
        return (
            seen.input_tokens <= units.prefill * self.input_tokens_per_s * seconds
            and seen.output_tokens <= units.decode * self.output_tokens_per_s * seconds
        )


def prompts_of(rows: Sequence[Mapping[str, Any]]) -> Prompts:
    """Kinds of prompts from the query trace_prompts."""
    counts, missed, hit = (
        np.array([row[name] for row in rows], np.float64) for name in ("requests", "missed_tokens", "hit_tokens")
    )
    return Prompts(counts / counts.sum(), missed / counts, hit / counts)


def prefill_unit(service: Service, pooled: int) -> PrefillUnit:
    """A prefill unit for the model of waiting. pooled: units among which a balancer evens queues."""
    return PrefillUnit(
        parallel=service.prefill_ranks * service.prefill_share,
        missed_us=service.missed_us,
        context_us=service.context_us,
        pass_us=service.pass_us,
        pass_tokens=service.pass_tokens,
        chunk_tokens=service.chunk_tokens,
        pooled=pooled,
    )


def latency_limits(scenario: Scenario, kv_tokens: float, prompts: Prompts) -> LatencyLimits:
    """What units do within slo.ttft_ms for 99 of 100 requests, and within slo.tpot_ms per token on average.

    The time per token is that of a step with the streams that Little's law gives for the rate, and their KV, which
    has to fit; it grows with the rate, so the most is the operating point. kv_tokens: mean KV length of an output
    token. Raises UsageError where not even an idle unit meets a target.
    """
    fleet, slo = scenario.fleet, scenario.slo
    # a fleet never has fewer than its base units
    pooled = 1 if scenario.replay.prefill_balancer in UNAWARE else fleet.base.prefill
    unit = prefill_unit(service_of(fleet, scenario.replay, kv_tokens), pooled)
    target_us = slo.ttft_ms * 1e3
    prompts_per_s = largest_rate(unit, prompts, target_us, TTFT_SHARE)
    if not prompts_per_s:
        alone = ttft(unit, prompts, 1e-3 / unit.load(prompts, 1.0), 20 * target_us).quantile_us(TTFT_SHARE)
        raise UsageError(
            f"slo.ttft_ms is {slo.ttft_ms:g} and an idle prefill unit is modelled to take "
            f"{'far longer' if alone == np.inf else f'{alone / 1e3:,.0f} ms'} for one prompt in a hundred; "
            "allow more, or take another policy than slo"
        )
    decode, imbalance_at = balanced_engine(
        fleet.engine, decode_engine(fleet.engine, fleet.decode.nodes * fleet.gpus_per_node)
    )
    point = operating_point(decode, kv_tokens, slo.tpot_ms, imbalance_at)
    return LatencyLimits(prompts_per_s * prompts.input_tokens, point.tokens_per_s_per_node * fleet.decode.nodes)


def latency_notes(scenario: Scenario, limits: LatencyLimits) -> list[str]:
    """What the policy slo rests on."""
    fleet, slo, replay = scenario.fleet, scenario.slo, scenario.replay
    nodes = (
        f"prefill up to {limits.input_tokens_per_s / fleet.prefill.nodes:,.0f} input tokens/s per node",
        f"decode up to {limits.output_tokens_per_s / fleet.decode.nodes:,.0f} output tokens/s per node",
    )
    notes = [
        f"slo: 99 % of first tokens within {slo.ttft_ms:g} ms, {nodes[0]}; {slo.tpot_ms:g} ms per token on average, "
        f"{nodes[1]}: modelled from fleet.engine and the trace's prompts; replay the plan to see",
    ]
    if fleet.capacity == "observed":
        notes.append(
            "slo: units also carry the demand at the capacities of the scenario, which are observed and not modelled"
        )
    if replay.queue_mode != "at-once":
        notes.append(
            f"slo: waiting is modelled for the queue mode at-once; with {replay.queue_mode} requests wait longer"
        )
    return notes
