"""The plan of a past day against its actual demand: nodes needed in hindsight, forecast errors, what they cost."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from planner.core.demand import Demand
from planner.core.economics.ledger import costs, list_revenue
from planner.core.economics.prices import TokenRates, node_hour_micros
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import EVERY_ROLE, Units
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.planning.decide import decide
from planner.planning.prepare import Prices, resolve
from planner.runs.read import RunView
from planner.settings.scenario import Scenario
from planner.trace.stored import TraceInfo
from planner.units import TOKENS_PER_PRICE, Ints, round_half_up


@dataclass(frozen=True, kw_only=True)
class ActualFigures:
    """The figures of a planned day, given its actual demand: columns of the table plan_actual, units in their names."""

    run_id: str
    intervals: int
    planned_node_s: int
    needed_node_s: int
    planned_peak_nodes: int
    needed_peak_nodes: int
    requests: int
    input_tokens: int
    output_tokens: int
    forecast_input_tokens: int
    forecast_output_tokens: int
    input_error_tokens: int
    output_error_tokens: int
    intervals_within_quantile: int
    shortfall_tokens: int
    needed_shortfall_tokens: int
    excess_cost_usd_micros: int
    shortfall_revenue_usd_micros: int

    def misses_band(self, band: float) -> bool:
        """Whether the forecast error, as a share of actual tokens, is beyond the band for input or output tokens."""
        return (
            self.input_error_tokens > band * self.input_tokens or self.output_error_tokens > band * self.output_tokens
        )


def compare_with_actual(run: RunView, forecast: pl.DataFrame, actual: Demand, trace: TraceInfo) -> ActualFigures:
    """The figures of a planned day, given its actual demand. Raises RunError.

    run: the day's nightly plan. forecast: rows of the query run_forecast. actual: on the grid of the plan.
    trace: of the day's log.
    """
    scenario = run.scenario
    planned = _replay_actual(run, actual, scenario)
    prepared = resolve(_with_oracle(scenario), trace, actual)
    needed = decide(prepared).plan
    within = (actual.input_tokens <= forecast["planned_input_tokens"].to_numpy()) & (
        actual.output_tokens <= forecast["planned_output_tokens"].to_numpy()
    )
    return ActualFigures(
        run_id=run.record.run_id,
        intervals=actual.grid.count,
        planned_node_s=int(planned.inference_node_s.sum()),
        needed_node_s=int(needed.inference_node_s.sum()),
        planned_peak_nodes=int(planned.inference_nodes.max()),
        needed_peak_nodes=int(needed.inference_nodes.max()),
        requests=int(actual.requests.sum()),
        input_tokens=int(actual.input_tokens.sum()),
        output_tokens=int(actual.output_tokens.sum()),
        forecast_input_tokens=int(forecast["input_tokens"].sum()),
        forecast_output_tokens=int(forecast["output_tokens"].sum()),
        input_error_tokens=_error_tokens(forecast["input_tokens"], actual.input_tokens),
        output_error_tokens=_error_tokens(forecast["output_tokens"], actual.output_tokens),
        intervals_within_quantile=int(within.sum()),
        shortfall_tokens=int(planned.shortfall_tokens.sum()),
        needed_shortfall_tokens=int(needed.shortfall_tokens.sum()),
        excess_cost_usd_micros=_excess_cost(planned, needed, prepared.prices, scenario.fleet.gpus_per_node),
        shortfall_revenue_usd_micros=_lost_revenue(
            actual,
            np.maximum(planned.shortfall_input_tokens - needed.shortfall_input_tokens, 0),
            np.maximum(planned.shortfall_output_tokens - needed.shortfall_output_tokens, 0),
            prepared.prices,
        ),
    )


def _error_tokens(forecast: pl.Series, actual: Ints) -> int:
    """Sum over intervals of the absolute forecast error."""
    return int(np.abs(forecast.to_numpy() - actual).sum())


def _replay_actual(run: RunView, actual: Demand, scenario: Scenario) -> IntervalPlan:
    """The plan's units under the actual load."""
    targets = [Units.of_columns(row) for row in run.intervals.to_dicts()]
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


def _with_oracle(scenario: Scenario) -> Scenario:
    """The scenario with the fewest units that carry a known load; its training jobs are not placed again."""
    plain = {"name": "oracle", "floor_nodes": 0, "min_up_s": 0, "min_down_s": 0, "ramp_nodes": None}
    spare = {f"spare_{role}_units": 0 for role in EVERY_ROLE}
    policy = scenario.policy.model_copy(update={**plain, **spare, "survivor_utilisation": None})
    training = scenario.training.model_copy(update={"jobs": None})
    return scenario.model_copy(update={"policy": policy, "training": training})


def _excess_cost(planned: IntervalPlan, needed: IntervalPlan, prices: Prices, gpus_per_node: int) -> int:
    """Micro-dollars of node-time held beyond what was needed; intervals that held too little do not offset it."""
    more = np.maximum(planned.inference_node_s - needed.inference_node_s, 0)
    hourly = node_hour_micros(prices.gpu.usd_per_gpu_hour, gpus_per_node)
    return sum(costs(more, np.zeros_like(more), 0, hourly, 0.0).inference)


def _lost_revenue(actual: Demand, missed_input: Ints, missed_output: Ints, prices: Prices) -> int:
    """Micro-dollars at list price of tokens that were not served, hits among them as in all input."""
    hits = actual.cached_input_tokens.sum() / max(actual.input_tokens.sum(), 1)
    short = replace(
        actual,
        input_tokens=missed_input,
        cached_input_tokens=np.floor(missed_input * hits).astype(np.int64),
        output_tokens=missed_output,
    )
    rates = TokenRates.of(prices.tokens)
    return round_half_up(sum(list_revenue(short, rates)), TOKENS_PER_PRICE)
