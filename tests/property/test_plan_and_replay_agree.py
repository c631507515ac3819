"""What a plan says that units carry, and what a replay of every request lets them do: three mixes, both orders.

Llama 3.1 70B on pairs of H100. Lengths are log-normal, arrivals at random.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from planner.capacity.aggregated import AggregatedUnit
from planner.capacity.engines import Workload
from planner.catalogue.scenarios import load_scenario
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Span
from planner.planning.aggregated import unit_of
from planner.units import Ints

UNITS, SECONDS, SETTLED_S, DRAWN = 4, 3600.0, 1200.0, 40_000
TPOT_MS, TTFT_MS = 50.0, 5000.0
FLEET = (
    "timezone=UTC",
    "policy.floor_nodes=0",
    "fleet.serving=aggregated",
    "fleet.nodes=28",
    "fleet.gpus_per_node=8",
    "fleet.capacity=modelled",
    "fleet.unit.gpus=2",
    "fleet.engine.hardware=h100",
    "fleet.engine.model=llama-3.1-70b",
    "fleet.engine.weights=fp8",
    "fleet.engine.kv=fp8",
    "fleet.engine.redundant_experts=0",
    "fleet.engine.expert_imbalance=1.0",
    "fleet.engine.dispatch_imbalance=1.0",
)
MIXES = [(1500, 300), (3600, 1000), (400, 800)]
ENGINES = ["vllm", "sglang"]
"""Decode first, and prompts first."""


@dataclass(frozen=True)
class Drawn:
    """Requests to draw from: input tokens, a quarter of them cached, and output tokens."""

    inputs: Ints
    cached: Ints
    outputs: Ints

    @property
    def workload(self) -> Workload:
        missed = self.inputs - self.cached
        return Workload(
            kv_tokens=float((self.outputs * (self.inputs + self.outputs / 2)).sum() / self.outputs.sum()),
            hit_ratio=float(self.cached.sum() / self.inputs.sum()),
            missed_context_tokens=float((missed * (self.cached + missed / 2)).sum() / missed.sum()),
            input_tokens=float(self.inputs.mean()),
            output_tokens=float(self.outputs.mean()),
        )


def draw(mix: tuple[int, int]) -> Drawn:
    rng = np.random.default_rng(mix)

    def lengths(mean: int) -> Ints:
        return np.clip(np.rint(mean * rng.lognormal(-0.32, 0.8, DRAWN)), 1, 8_000).astype(np.int64)

    inputs = lengths(mix[0])
    return Drawn(inputs, inputs // 4, lengths(mix[1]))


@cache
def modelled(engine: str, mix: tuple[int, int]) -> AggregatedUnit:
    scenario = load_scenario(None, [*FLEET, f"fleet.engine.name={engine}"]).scenario
    return unit_of(scenario.fleet, scenario.replay, TPOT_MS, draw(mix).workload)


def replayed(engine: str, mix: tuple[int, int], load: float) -> tuple[IterationStage, Requests, float]:
    """Requests at a part of what the plan says that the units carry; with the requests a second that this is."""
    unit, drawn, rng = modelled(engine, mix), draw(mix), np.random.default_rng(7)
    carried = UNITS / float(unit.region.units(drawn.workload.input_tokens, drawn.workload.output_tokens))
    count = rng.poisson(load * carried * SECONDS)
    rows = rng.integers(0, DRAWN, count)
    requests = Requests(
        arrival_us=np.sort(rng.uniform(0, SECONDS * 1e6, count)).astype(np.int64),
        input_tokens=drawn.inputs[rows],
        cached_input_tokens=drawn.cached[rows],
        output_tokens=drawn.outputs[rows],
        class_id=np.zeros(count, np.int64),
        session_id=np.full(count, -1),
    )
    span = Span(
        from_us=SETTLED_S * 1e6, to_us=SECONDS * 1e6, end_us=SECONDS * 1e6, ttft_us=TTFT_MS * 1e3, tpot_us=TPOT_MS * 1e3
    )
    always = Lives(np.zeros(UNITS), np.full(UNITS, np.inf), np.full(UNITS, np.inf))
    stage = IterationStage(unit.replica.limited_to(unit.sequences), always, QueueRules(), span, keep=count)
    stage.feed(requests)
    stage.finish()
    return stage, requests, carried


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mix", MIXES)
def test_at_80_per_cent_of_planned_capacity_99_of_100_requests_are_in_time(engine: str, mix: tuple[int, int]) -> None:
    stage, _, _ = replayed(engine, mix, 0.8)
    hours = stage.streams.hours
    assert hours["good"].sum() / hours["completed"].sum() >= 0.99


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mix", MIXES)
def test_at_110_per_cent_the_queue_grows_by_what_is_too_much(engine: str, mix: tuple[int, int]) -> None:
    stage, requests, carried = replayed(engine, mix, 1.1)
    finish_us, arrival_us = stage.streams.kept["finish_us"], requests.arrival_us
    settled_us = SETTLED_S * 1e6
    came, ended = (arrival_us >= settled_us).sum(), (finish_us >= settled_us).sum()
    waits_us = stage.prompts.queue_us / 60e6
    first, last = int(SETTLED_S / 60), int(SECONDS / 60) - 1
    # between the middles of two minutes: arrivals less completions, but for those being served
    grown = (waits_us[last] - waits_us[first]) / ((last - first) * 60)
    assert grown == pytest.approx((came - ended) / (SECONDS - SETTLED_S), rel=0.15)
    # where the memory binds, requests that outgrow it are read again, and take time from others
    assert ended / (SECONDS - SETTLED_S) == pytest.approx(carried, rel=0.06)
