"""Findings, and the case that each judges: a preset, and the scenario with and without it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from planner.capacity.engines import decode_engine as decode_engine_of
from planner.capacity.engines import prefill_of
from planner.catalogue.claims import Overlay
from planner.catalogue.read import scenario_gpu_rate
from planner.claims.day import Day, published_day
from planner.core.fleet.engine import Engine
from planner.documents import Document
from planner.errors import UsageError
from planner.settings.scenario import Scenario

Verdict = Literal["holds", "holds in part", "cannot hold", "cannot be told"]


@dataclass(frozen=True)
class Figure(Document):
    """One number of a finding."""

    name: str
    value: float
    unit: str
    meaning: str
    """What the number is of, or computed from."""


@dataclass(frozen=True)
class Finding:
    """Whether a claim can hold, in one sentence, and the numbers behind it."""

    verdict: Verdict
    summary: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class ClaimCase:
    """A preset, the default scenario, and that scenario with what the preset sets."""

    preset: Overlay
    default: Scenario
    scenario: Scenario

    def number(self, name: str) -> float:
        """A figure of the preset. Raises UsageError if it has none of that name."""
        if name not in self.preset.figures:
            raise UsageError(f"what-if {self.preset.name} has no figure {name}; add it to [figures]")
        return self.preset.figures[name]

    @cached_property
    def day(self) -> Day:
        """The published day of the default scenario's profile."""
        profile = self.default.trace.profile
        assert profile is not None, "the default scenario draws its trace from a profile"
        return published_day(profile)

    @property
    def usd_per_gpu_hour(self) -> float:
        """The GPU rate that the default scenario plans with."""
        return scenario_gpu_rate(self.default.economics).usd_per_gpu_hour

    @property
    def usd_per_node_hour(self) -> float:
        """That rate times the GPUs of a node."""
        return self.usd_per_gpu_hour * self.default.fleet.gpus_per_node


Judge = Callable[[ClaimCase], Finding]


def judge(*, whole: bool, some: bool) -> Verdict:
    """The verdict, by whether the arithmetic bears out the whole claim, some of it, or nothing."""
    if whole:
        return "holds"
    return "holds in part" if some else "cannot hold"


def decode_engine(scenario: Scenario) -> Engine:
    """The engine of a scenario's decode unit."""
    fleet = scenario.fleet
    return decode_engine_of(fleet.engine, fleet.decode.nodes * fleet.gpus_per_node)


def prefill_engine(scenario: Scenario) -> Engine:
    """The engine of a scenario's prefill unit."""
    return prefill_of(scenario.fleet)
