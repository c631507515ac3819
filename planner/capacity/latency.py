"""The highest throughput of a unit of each role within the latency targets, as modelled without a replay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.capacity.engines import decode_of
from planner.capacity.units import service_of
from planner.core.fleet.operating import operating_point
from planner.core.fleet.units import Units
from planner.core.fleet.waiting import PrefillUnit, Prompts, largest_rate, ttft
from planner.core.policy import Seen
from planner.core.replay.requests.model import Service
from planner.errors import CannotServe
from planner.settings.scenario import Scenario

TTFT_SHARE = 0.99
"""Share of requests whose first token has to come in time for the policy slo; assumed: the 99th percentile."""

UNAWARE = ("random", "round-robin")
"""Balancers that do not look at queues."""


@dataclass(frozen=True)
class LatencyLimits:
    """Most tokens per second of a unit of each role at which the latency targets are met, as modelled."""

    input_tokens_per_s: float
    output_tokens_per_s: float

    def meets(self, units: Units, seen: Seen, seconds: int) -> bool:
        """Whether units meet the targets for a number of tokens in a time: each gets an even share."""
        return (
            seen.input_tokens <= units.prefill * self.input_tokens_per_s * seconds
            and seen.output_tokens <= units.decode * self.output_tokens_per_s * seconds
        )


@dataclass(frozen=True)
class PromptClass:
    """Prompts of about one length: the columns of the query trace_prompts. Tokens are of all requests together."""

    length_class: int
    requests: int
    missed_tokens: float
    hit_tokens: float


def prompts_of(classes: Sequence[PromptClass]) -> Prompts:
    """Kinds of prompts from the query trace_prompts."""
    counts = np.array([each.requests for each in classes], np.float64)
    missed = np.array([each.missed_tokens for each in classes], np.float64)
    hit = np.array([each.hit_tokens for each in classes], np.float64)
    if not missed.any():
        # a token of each prompt is computed where a cache holds all of it, as in Workload.of_row
        missed = counts
    return Prompts(share=counts / counts.sum(), missed=missed / counts, hit=hit / counts)


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
    token. Raises CannotServe if not even an idle unit meets a target.
    """
    fleet, slo = scenario.fleet, scenario.slo
    # a fleet never serves with fewer than its base units, or a step where it has none
    pooled = 1 if scenario.replay.prefill_balancer in UNAWARE else fleet.base.prefill or fleet.step.prefill
    unit = prefill_unit(service_of(fleet, scenario.replay, kv_tokens), pooled)
    target_us = slo.ttft_ms * 1e3
    prompts_per_s = largest_rate(unit, prompts, target_us, TTFT_SHARE)
    if not prompts_per_s:
        alone = ttft(unit, prompts, 1e-3 / unit.load(prompts, 1.0), 20 * target_us).quantile_us(TTFT_SHARE)
        raise CannotServe(
            f"slo.ttft_ms is {slo.ttft_ms:g}, but an idle prefill unit is modelled to take "
            f"{'far longer' if alone == np.inf else f'{alone / 1e3:,.0f} ms'} for one prompt in a hundred; "
            "raise it, or choose a policy other than slo",
            "target",
        )
    decode, imbalance_at = decode_of(fleet)
    point = operating_point(decode, kv_tokens, slo.tpot_ms, imbalance_at)
    return LatencyLimits(prompts_per_s * prompts.input_tokens, point.tokens_per_s_per_node * fleet.decode.nodes)


def limits_on_slower_clock(
    scenario: Scenario, kv_tokens: float, prompts: Prompts, prefill: float, decode: float
) -> LatencyLimits:
    """The limits where all times of prefill and of decode units are longer by factors: a slower clock, no more.

    Raises CannotServe as latency_limits does.
    """
    slo = scenario.slo.model_copy(
        update={"ttft_ms": scenario.slo.ttft_ms / prefill, "tpot_ms": scenario.slo.tpot_ms / decode}
    )
    found = latency_limits(scenario.model_copy(update={"slo": slo}), kv_tokens, prompts)
    return LatencyLimits(found.input_tokens_per_s / prefill, found.output_tokens_per_s / decode)


def latency_notes(scenario: Scenario, limits: LatencyLimits) -> list[str]:
    """Assumptions behind the policy slo."""
    fleet, slo, replay = scenario.fleet, scenario.slo, scenario.replay
    nodes = (
        f"prefill up to {limits.input_tokens_per_s / fleet.prefill.nodes:,.0f} input tokens/s per node",
        f"decode up to {limits.output_tokens_per_s / fleet.decode.nodes:,.0f} output tokens/s per node",
    )
    notes = [
        f"slo: 99 % of first tokens within {slo.ttft_ms:g} ms, {nodes[0]}; {slo.tpot_ms:g} ms per token on average, "
        f"{nodes[1]}: modelled from fleet.engine and the trace's prompts; replay the plan to check",
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
