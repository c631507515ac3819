"""Plans of past days against what came: needed in hindsight, forecast errors, what they cost, drift."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from planner.catalogue.read import gpu_rate, gpu_rates, price_sheet
from planner.core.demand import Demand
from planner.core.economics.ledger import costs, list_revenue
from planner.core.economics.prices import TokenRates, node_hour_micros
from planner.core.fleet.deployment import Deployment, Units
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.planning.decide import decide
from planner.planning.prepare import resolve
from planner.runs.read import RunView
from planner.settings.scenario import Scenario
from planner.trace.stored import TraceInfo
from planner.units import TOKENS_PER_PRICE, Ints, round_half_up

DAYS = "plan_actual"
"""The table that the rows go to."""


def against_actual(run: RunView, forecast: pl.DataFrame, actual: Demand, trace: TraceInfo) -> dict[str, Any]:
    """The figures of a planned day, given what came; the columns of plan_actual but job, day, band_missed and drift.

    run: the day's nightly plan. forecast: rows of the query run_forecast. actual: on the grid of the plan.
    trace: of the day's log. Raises RunError.
    """
    scenario = run.scenario
    planned = _met(run, actual, scenario)
    needed = decide(resolve(_oracle(scenario), trace, actual)).plan
    missed_input, missed_output = _shortfall(planned)
    needed_input, needed_output = _shortfall(needed)
    within = (actual.input_tokens <= forecast["planned_input_tokens"].to_numpy()) & (
        actual.output_tokens <= forecast["planned_output_tokens"].to_numpy()
    )
    off = {
        name: np.abs(forecast[name].to_numpy() - getattr(actual, name)).sum()
        for name in ("input_tokens", "output_tokens")
    }
    return {
        "run_id": str(run.record.run_id),
        "intervals": actual.grid.count,
        "planned_node_s": int(planned.inference_node_s.sum()),
        "needed_node_s": int(needed.inference_node_s.sum()),
        "planned_peak_nodes": int(planned.inference_nodes.max()),
        "needed_peak_nodes": int(needed.inference_nodes.max()),
        "requests": int(actual.requests.sum()),
        "input_tokens": int(actual.input_tokens.sum()),
        "output_tokens": int(actual.output_tokens.sum()),
        "forecast_input_tokens": int(forecast["input_tokens"].sum()),
        "forecast_output_tokens": int(forecast["output_tokens"].sum()),
        "input_error_tokens": int(off["input_tokens"]),
        "output_error_tokens": int(off["output_tokens"]),
        "intervals_within_quantile": int(within.sum()),
        "shortfall_tokens": int(missed_input.sum() + missed_output.sum()),
        "needed_shortfall_tokens": int(needed_input.sum() + needed_output.sum()),
        "excess_cost_usd_micros": _excess(planned, needed, scenario),
        "shortfall_revenue_usd_micros": _lost(
            actual, np.maximum(missed_input - needed_input, 0), np.maximum(missed_output - needed_output, 0), scenario
        ),
    }


def beyond_band(figures: dict[str, Any], band: float) -> bool:
    """Whether the day's forecast error, as a share of what came, is beyond the band for input or output tokens."""
    return any(figures[f"{name}_error_tokens"] > band * figures[f"{name}_tokens"] for name in ("input", "output"))


def drifted(missed: bool, day: date, earlier: Sequence[dict[str, Any]], days: int) -> bool:
    """Whether the band was missed on `days` days running. earlier: rows of plan_vs_actual, newest first."""
    before = [row for row in earlier if row["day"] < day][: days - 1]
    follow = all((day - row["day"]).days == place for place, row in enumerate(before, 1))
    return missed and len(before) == days - 1 and follow and all(row["band_missed"] for row in before)


def _met(run: RunView, actual: Demand, scenario: Scenario) -> IntervalPlan:
    """The plan's units under the load that came."""
    rows = run.intervals.select("prefill_units", "decode_units").rows()
    targets = [Units(int(prefill), int(decode)) for prefill, decode in rows]
    deployment = Deployment(scenario.fleet)
    # what was planned was known the night before: units drain ahead of their boundary
    return replay_intervals(
        targets,
        actual,
        deployment,
        scenario.training,
        ahead=True,
        floor=deployment.floor(scenario.policy.floor_nodes),
    )


def _oracle(scenario: Scenario) -> Scenario:
    """The scenario with the fewest units that carry a known load; its training jobs are not placed again."""
    plain = {"name": "oracle", "floor_nodes": 0, "min_up_s": 0, "min_down_s": 0, "ramp_nodes": None}
    spare = {"spare_prefill_units": 0, "spare_decode_units": 0, "survivor_utilisation": None}
    policy = scenario.policy.model_copy(update={**plain, **spare})
    training = scenario.training.model_copy(update={"jobs": None})
    return scenario.model_copy(update={"policy": policy, "training": training})


def _shortfall(plan: IntervalPlan) -> tuple[Ints, Ints]:
    """Input and output tokens beyond the capacity, per interval."""
    return (
        plan.steady_shortfall_input_tokens + plan.start_up_shortfall_input_tokens,
        plan.steady_shortfall_output_tokens + plan.start_up_shortfall_output_tokens,
    )


def _excess(planned: IntervalPlan, needed: IntervalPlan, scenario: Scenario) -> int:
    """Micro-dollars of the node-time held beyond what was needed; intervals that held too little do not make up for
    it."""
    economics = scenario.economics
    rate = gpu_rate(gpu_rates(economics.gpu_rates), economics.gpu_rate)
    more = np.maximum(planned.inference_node_s - needed.inference_node_s, 0)
    hourly = node_hour_micros(rate.usd_per_gpu_hour, scenario.fleet.gpus_per_node)
    return sum(costs(more, np.zeros_like(more), 0, hourly, 0.0).inference)


def _lost(actual: Demand, missed_input: Ints, missed_output: Ints, scenario: Scenario) -> int:
    """Micro-dollars at list price of tokens that were not served, hits among them as in all input."""
    hits = actual.cached_input_tokens.sum() / max(actual.input_tokens.sum(), 1)
    short = replace(
        actual,
        input_tokens=missed_input,
        cached_input_tokens=np.floor(missed_input * hits).astype(np.int64),
        output_tokens=missed_output,
    )
    rates = TokenRates.of(price_sheet(scenario.economics.price_sheet))
    return round_half_up(sum(list_revenue(short, rates)), TOKENS_PER_PRICE)
