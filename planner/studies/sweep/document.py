"""The document of a sweep: quantiles, what matters most, how many cases meet the limits."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from planner.core.sensitivity import quantiles as quantiles_of
from planner.core.sensitivity import rank_correlation, tornado
from planner.documents import Document, Maybe
from planner.settings.sweep import Law
from planner.studies.sweep.base import CACHE_HIT, GROWTH, LEVEL, NODES_DOWN, NOISE, UNIT_CAPACITY, Value
from planner.studies.sweep.case import METRICS, CaseFigures, CaseOutcome, Metric
from planner.studies.sweep.design import NOISE_SEEDS
from planner.studies.sweep.ranges import Parameter
from planner.studies.sweep.run import Sweep
from planner.units import S_PER_DAY

_TAIL = 0.05
"""The spread of draws of the noise leaves out one in twenty at either end."""

_MEANINGS = {
    NODES_DOWN: "nodes down: a unit serves while all of its nodes are up; they fail independently and none is "
    "replaced, so that is (1 - share) ** nodes of the time; training node-hours are those lent, up or not",
    CACHE_HIT: "cache hits: only missed tokens take prefill's time, at a constant rate of missed tokens; hits "
    "and misses are priced separately",
    UNIT_CAPACITY: "unit capacity: what a unit carries at once of input and of output, both times the same factor",
}

Figures = Mapping[Metric, float | None]


@dataclass(frozen=True, kw_only=True)
class SweepParameter(Document):
    """One uncertain value."""

    parameter: str
    """A field of the scenario, or cache_hit_ratio, gpu_usd_per_hour, nodes_down_ratio or unit_capacity_factor."""
    law: Law
    """Its probability distribution."""
    low: Value
    high: Value
    base: Value
    """The scenario's own value; null for a field that it leaves out."""
    kind: str
    """Whether the range is published, computed, fitted, inferred, assumed or set by a flag."""
    source: str
    """Where the range comes from."""


@dataclass(frozen=True, kw_only=True)
class BaseFigures(CaseFigures):
    """The scenario as it is."""

    slo_met: bool
    """Whether the shortfall is within slo.max_shortfall_ratio."""


@dataclass(frozen=True, kw_only=True)
class Quantiles(Document):
    """A figure over the samples; null if no case has it."""

    p5: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p95: float | None
    mean: float | None


@dataclass(frozen=True, kw_only=True)
class LimitMet(Document):
    """How many samples meet a limit."""

    limit: float
    cases_met: int
    cases: int
    ratio: float
    """Cases that meet it over all cases."""
    standard_error: float
    """Of the ratio, for independent samples."""


@dataclass(frozen=True, kw_only=True)
class SweepAttainment(Document):
    """How many samples meet the limits of the scenario."""

    max_shortfall_ratio: LimitMet
    """slo.max_shortfall_ratio, of tokens."""
    budget_usd: Maybe[LimitMet] = None
    """economics.budget_usd, where the scenario has one."""

    @property
    def limits(self) -> Iterator[tuple[str, LimitMet]]:
        """Every limit, with its name."""
        yield "max_shortfall_ratio", self.max_shortfall_ratio
        if self.budget_usd is not None:
            yield "budget_usd", self.budget_usd


@dataclass(frozen=True, kw_only=True)
class TornadoBar(Document):
    """What one uncertain value by itself does to one figure, all others as in the scenario."""

    metric: Metric
    parameter: str
    method: Literal["seeds", "ends"]
    """ends: at both ends of its range. seeds: the spread over draws of the noise."""
    from_: Annotated[Value, Field(serialization_alias="from")]
    """Value at the low end; null for noise that is not varied."""
    to: Value
    """Value at the high end."""
    base: Value
    """The figure of the scenario."""
    low: Value
    """The figure at the low end."""
    high: Value
    """The figure at the high end."""
    swing: int | float
    """From the least to the largest of the three."""
    rank_correlation: float | None
    """Spearman's, of value and figure over the samples; null if either is constant."""


@dataclass(frozen=True, kw_only=True)
class SweptPolicy(Document):
    """What the samples say of one policy."""

    policy: str
    base: BaseFigures
    quantiles: dict[Metric, Quantiles]
    attainment: SweepAttainment
    tornado: tuple[TornadoBar, ...]
    """For every figure, the widest bar first."""


@dataclass(frozen=True, kw_only=True)
class SweepHead(Document):
    """What was swept."""

    sweep_id: str
    scenario: str
    trace: str
    cases: int
    """Samples for each policy."""
    plans: int
    """Plans made in all: samples, ends of ranges, draws of the noise and the scenario, for every policy."""
    seed: int
    """Seed of the samples."""
    parameters: tuple[SweepParameter, ...]


@dataclass(frozen=True, kw_only=True)
class SweepDocument(SweptPolicy, SweepHead):
    """A sweep; policy, base, quantiles, attainment and tornado are those of the first policy."""

    policies: tuple[SweptPolicy, ...]
    notes: tuple[str, ...]
    page: Maybe[str] = None
    """The page that was written."""
    files: Maybe[tuple[str, ...]] = None
    """All files of the page."""


def describe_sweep(sweep: Sweep, sweep_id: str) -> SweepDocument:
    """The document of a stored sweep."""
    policies = tuple(_describe_policy(sweep, name) for name in sweep.policies)
    return SweepDocument(
        **vars(policies[0]),
        sweep_id=sweep_id,
        scenario=sweep.scenario.name,
        trace=sweep.trace.name,
        cases=sweep.cases,
        plans=len(sweep.outcomes),
        seed=sweep.seed,
        parameters=tuple(_describe_parameter(each) for each in sweep.parameters),
        policies=policies,
        notes=tuple(note_sweep(sweep)),
    )


def note_sweep(sweep: Sweep) -> list[str]:
    """What the figures rest on."""
    paths = [each.path for each in sweep.parameters]
    lines = [
        "each case is a plan of its own: its policy sees the case's demand as policy.demand_source provides it, and "
        "the case's capacities",
        *(meaning for path, meaning in _MEANINGS.items() if path in paths),
    ]
    if GROWTH in paths and sweep.plan_s <= S_PER_DAY:
        lines.append(f"{GROWTH} has no effect within one day; vary {LEVEL}, or plan more days")
    noise = max((each.case.values[NOISE] or 0.0 for each in sweep.of(sweep.policies[0], "seed")), default=None)
    if noise is not None:
        lines.append(
            f"{NOISE}, one at a time: {NOISE_SEEDS} draws at {noise:g}, from their {_TAIL:.0%} "
            f"to their {1 - _TAIL:.0%} quantile"
        )
    lines.append("revenue and margin count all demanded tokens, including those beyond the capacity")
    if sweep.scenario.training.jobs is not None:
        lines.append("training jobs are not placed; training node-hours are those lent")
    return [*lines, *sweep.notes]


def _describe_parameter(parameter: Parameter) -> SweepParameter:
    kind, _, source = parameter.provenance.partition(": ")
    return SweepParameter(
        parameter=parameter.path,
        law=parameter.law.kind,
        low=parameter.value(parameter.law.low),
        high=parameter.value(parameter.law.high),
        base=parameter.base,
        kind=kind,
        source=source,
    )


def _describe_policy(sweep: Sweep, name: str) -> SweptPolicy:
    (base,) = sweep.of(name, "base")
    samples = sweep.of(name, "sample")
    figures = [each.figures for each in samples]
    return SweptPolicy(
        policy=name,
        base=BaseFigures(**vars(base.figures), slo_met=base.slo_met),
        quantiles={metric: Quantiles(**quantiles_of(_known(figures, metric))) for metric in METRICS},
        attainment=_attainment(sweep, samples),
        tornado=tuple(_tornado(sweep, name)),
    )


def _known(figures: Sequence[CaseFigures], metric: Metric) -> list[float]:
    return [value for each in figures if (value := each.value(metric)) is not None]


def _attainment(sweep: Sweep, samples: Sequence[CaseOutcome]) -> SweepAttainment:
    """Samples that meet the limits of the scenario; a budget only if there is one."""
    budget = sweep.scenario.economics.budget_usd
    return SweepAttainment(
        max_shortfall_ratio=_limit_met(sweep.scenario.slo.max_shortfall_ratio, [each.slo_met for each in samples]),
        budget_usd=None
        if budget is None
        else _limit_met(budget, [each.figures.cost_usd <= budget for each in samples]),
    )


def _limit_met(limit: float, met: Sequence[bool]) -> LimitMet:
    share = sum(met) / len(met)
    return LimitMet(
        limit=limit,
        cases_met=sum(met),
        cases=len(met),
        ratio=share,
        standard_error=math.sqrt(share * (1 - share) / len(met)),
    )


def _tornado(sweep: Sweep, name: str) -> Iterator[TornadoBar]:
    """For every figure, the parameters by what they do to it from one end of their range to the other."""
    (base,) = (each.figures for each in sweep.of(name, "base"))
    ends = _ends(sweep, name)
    samples = sweep.of(name, "sample")
    parameters = {each.path: each for each in sweep.parameters}
    for metric in METRICS:
        bars = tornado(base.value(metric), {path: (low[metric], high[metric]) for path, (low, high) in ends.items()})
        for bar in bars:
            varied = parameters.get(bar.parameter)
            yield TornadoBar(
                metric=metric,
                parameter=bar.parameter,
                method="seeds" if bar.parameter == NOISE else "ends",
                from_=None if varied is None else varied.value(varied.law.low),
                to=sweep.scenario.trace.noise if varied is None else varied.value(varied.law.high),
                base=bar.base,
                low=bar.low,
                high=bar.high,
                swing=bar.swing,
                rank_correlation=_correlation(samples, bar.parameter, metric),
            )


def _ends(sweep: Sweep, name: str) -> dict[str, tuple[Figures, Figures]]:
    """Figures at both ends of each range; of the noise, the spread over its draws."""
    ends = {
        str(low.case.varied): (_by_metric(low.figures), _by_metric(high.figures))
        for low, high in zip(sweep.of(name, "low"), sweep.of(name, "high"), strict=True)
    }
    drawn = [each.figures for each in sweep.of(name, "seed")]
    if drawn:
        assert len(drawn) == NOISE_SEEDS
        ends[NOISE] = (_spread(drawn, _TAIL), _spread(drawn, 1 - _TAIL))
    return ends


def _by_metric(figures: CaseFigures) -> Figures:
    return {metric: figures.value(metric) for metric in METRICS}


def _spread(drawn: Sequence[CaseFigures], share: float) -> Figures:
    values = {metric: _known(drawn, metric) for metric in METRICS}
    return {metric: float(np.quantile(known, share)) if known else None for metric, known in values.items()}


def _correlation(samples: Sequence[CaseOutcome], parameter: str, metric: Metric) -> float | None:
    pairs = [
        (value, figure)
        for each in samples
        if (value := each.case.values.get(parameter)) is not None and (figure := each.figures.value(metric)) is not None
    ]
    return rank_correlation(*zip(*pairs, strict=True)) if pairs else None
