"""The account of a sweep: quantiles, what matters most, how many cases hold the limits."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from planner.core.sensitivity import quantiles as quantiles_of
from planner.core.sensitivity import rank_correlation, tornado
from planner.studies.sweep.case import CACHE_HIT, GROWTH, LEVEL, NODES_DOWN, NOISE, Outcome
from planner.studies.sweep.run import NOISE_SEEDS, Parameter, Sweep

_TAIL = 0.05
"""The spread of draws of the noise is told without one in twenty at either end."""

_MEANINGS = {
    NODES_DOWN: "nodes down: a unit serves while all of its nodes are up; they fail independently and none is "
    "replaced, so that is (1 - share) ** nodes of the time; training node-hours are those lent, up or not",
    CACHE_HIT: "cache hits: only missed tokens take prefill's time, at a constant rate of missed tokens; hits "
    "and misses have their prices",
}

Outcomes = Mapping[str, float | None]


def document(found: Sweep, sweep_id: str) -> dict[str, Any]:
    """A sweep as one JSON document; quantiles, tornado and attainment at its top are those of the first policy."""
    policies = [_policy(found, name) for name in found.policies]
    first = {key: policies[0][key] for key in ("base", "quantiles", "attainment", "tornado")}
    return {
        "sweep_id": sweep_id,
        "scenario": found.scenario.name,
        "trace": found.trace.name,
        "policy": found.policies[0],
        "cases": found.cases,
        "plans": len(found.outcomes),
        "seed": found.seed,
        "parameters": [_parameter(each) for each in found.parameters],
        **first,
        "policies": policies,
        "notes": notes(found),
    }


def notes(found: Sweep) -> list[str]:
    """What the figures rest on."""
    paths = [each.path for each in found.parameters]
    lines = [
        "a case is a plan of its own: its policy sees the case's demand as policy.demand_source tells it, and the "
        "case's capacities",
        *(meaning for path, meaning in _MEANINGS.items() if path in paths),
    ]
    if GROWTH in paths and found.scenario.trace.days == 1:
        lines.append(f"{GROWTH} changes nothing in one day; vary {LEVEL}, or draw more days")
    noise = max((each.case.values[NOISE] or 0.0 for each in found.of(found.policies[0], "seed")), default=None)
    if noise is not None:
        lines.append(
            f"{NOISE}, one at a time: {NOISE_SEEDS} draws at {noise:g}, from their {_TAIL:.0%} "
            f"to their {1 - _TAIL:.0%} quantile"
        )
    lines.append("revenue and margin count all demanded tokens, also those beyond the capacity")
    if found.scenario.training.jobs is not None:
        lines.append("training jobs are not placed; training node-hours are those lent")
    return [*lines, *found.notes]


def _parameter(each: Parameter) -> dict[str, Any]:
    kind, _, source = each.provenance.partition(": ")
    return {
        "parameter": each.path,
        "law": each.law.kind,
        "low": each.value(each.law.low),
        "high": each.value(each.law.high),
        "base": each.base,
        "kind": kind,
        "source": source,
    }


def _policy(found: Sweep, name: str) -> dict[str, Any]:
    (base,) = found.of(name, "base")
    samples = found.of(name, "sample")
    metrics = [each.metrics() for each in samples]
    return {
        "policy": name,
        "base": {**base.metrics(), "slo_met": base.slo_met},
        "quantiles": {metric: quantiles_of(_known(metrics, metric)) for metric in metrics[0]},
        "attainment": _attainment(found, samples),
        "tornado": _tornado(found, name),
    }


def _known(metrics: Sequence[Outcomes], metric: str) -> list[float]:
    return [value for each in metrics if (value := each[metric]) is not None]


def _attainment(found: Sweep, samples: Sequence[Outcome]) -> dict[str, Any]:
    """Cases that hold the limits of the scenario; a budget only where there is one."""
    held = {"max_shortfall_ratio": [each.slo_met for each in samples]}
    limits: dict[str, float] = {"max_shortfall_ratio": found.scenario.slo.max_shortfall_ratio}
    budget = found.scenario.economics.budget_usd
    if budget is not None:
        limits["budget_usd"] = budget
        held["budget_usd"] = [(each.metrics()["cost_usd"] or 0.0) <= budget for each in samples]
    return {
        name: {
            "limit": limits[name],
            "cases_met": sum(met),
            "cases": len(met),
            "ratio": (share := sum(met) / len(met)),
            "standard_error": math.sqrt(share * (1 - share) / len(met)),
        }
        for name, met in held.items()
    }


def _tornado(found: Sweep, name: str) -> list[dict[str, Any]]:
    """For every metric, the parameters by what they do to it from one end of their range to the other."""
    (base,) = (each.metrics() for each in found.of(name, "base"))
    ends = _ends(found, name)
    samples = found.of(name, "sample")
    metrics = [each.metrics() for each in samples]
    laws = {each.path: each for each in found.parameters}
    rows = []
    for metric in base:
        bars = tornado(base[metric], {path: (low[metric], high[metric]) for path, (low, high) in ends.items()})
        for bar in bars:
            known = laws.get(bar.parameter)
            rows.append(
                {
                    "metric": metric,
                    "parameter": bar.parameter,
                    "method": "seeds" if bar.parameter == NOISE else "ends",
                    "from": None if known is None else known.value(known.law.low),
                    "to": found.scenario.trace.noise if known is None else known.value(known.law.high),
                    "base": bar.base,
                    "low": bar.low,
                    "high": bar.high,
                    "swing": bar.swing,
                    "rank_correlation": _correlation(samples, metrics, bar.parameter, metric),
                }
            )
    return rows


def _ends(found: Sweep, name: str) -> dict[str, tuple[Outcomes, Outcomes]]:
    """Outcomes at both ends of each range; of the noise, the spread among its draws."""
    ends: dict[str, tuple[Outcomes, Outcomes]] = {
        str(low.case.varied): (low.metrics(), high.metrics())
        for low, high in zip(found.of(name, "low"), found.of(name, "high"), strict=True)
    }
    drawn = [each.metrics() for each in found.of(name, "seed")]
    if drawn:
        assert len(drawn) == NOISE_SEEDS
        ends[NOISE] = (_spread(drawn, _TAIL), _spread(drawn, 1 - _TAIL))
    return ends


def _spread(drawn: Sequence[Outcomes], share: float) -> dict[str, float | None]:
    values = {metric: _known(drawn, metric) for metric in drawn[0]}
    return {metric: float(np.quantile(known, share)) if known else None for metric, known in values.items()}


def _correlation(samples: Sequence[Outcome], metrics: Sequence[Outcomes], parameter: str, metric: str) -> float | None:
    pairs = [
        (value, outcome)
        for each, figures in zip(samples, metrics, strict=True)
        if (value := each.case.values.get(parameter)) is not None and (outcome := figures[metric]) is not None
    ]
    return rank_correlation(*zip(*pairs, strict=True)) if pairs else None
