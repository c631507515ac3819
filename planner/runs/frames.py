"""The rows of a plan in the tables of a run."""

import polars as pl

from planner.core.demand import Grid, local_hour_us
from planner.core.replay.intervals.plan import IntervalPlan
from planner.runs.jobs import job_frames
from planner.runs.outcome import PlanOutcome
from planner.units import US_PER_S, Ints

_PLAN_COLUMNS = (
    "prefill_units",
    "decode_units",
    "aggregated_units",
    "inference_nodes",
    "training_nodes",
    "serving_node_s",
    "starting_node_s",
    "draining_node_s",
    "training_node_s",
    "restoring_node_s",
    "idle_node_s",
    "prefill_capacity_tokens",
    "decode_capacity_tokens",
    "prefill_serving_tokens",
    "decode_serving_tokens",
    "steady_shortfall_input_tokens",
    "steady_shortfall_output_tokens",
    "start_up_shortfall_input_tokens",
    "start_up_shortfall_output_tokens",
)


UNDIGESTED = ("sleep_state", "warm_started_units", "cold_started_units")
"""Columns that follow from others, and that plans of older versions do not have: digests are without them."""


def plan_frames(outcome: PlanOutcome) -> dict[str, pl.DataFrame]:
    """The rows of every run table but `run`, without run_id."""
    grid, demand, plan = outcome.demand.grid, outcome.demand, outcome.plan
    starts = _times(grid.starts_us)
    zone = outcome.scenario.zone
    hours = _times([local_hour_us(int(start), zone) for start in grid.starts_us])
    costs, earned = outcome.costs, outcome.revenue
    return {
        "demand_interval": pl.DataFrame(
            {
                "interval_start": starts,
                "requests": demand.requests,
                "input_tokens": demand.input_tokens,
                "cached_input_tokens": demand.cached_input_tokens,
                "output_tokens": demand.output_tokens,
            }
        ),
        "plan_interval": pl.DataFrame(
            {
                "interval_start": starts,
                "hour_start": hours,
                **{name: getattr(plan, name) for name in _PLAN_COLUMNS},
                "sleep_state": pl.Series(plan.sleep_states or [None] * grid.count, dtype=pl.String),
                "warm_started_units": plan.started_units(warm=True),
                "cold_started_units": plan.started_units(warm=False),
            }
        ),
        "ledger_interval": pl.DataFrame(
            {
                "interval_start": starts,
                "cost_usd_micros": costs.inference,
                "training_cost_usd_micros": costs.training,
                "idle_cost_usd_micros": costs.idle,
                "fleet_cost_usd_micros": costs.fleet,
                "training_charge_usd_micros": costs.training_charge,
                "revenue_usd_micros": earned.theoretical,
                "expected_revenue_usd_micros": earned.expected,
            }
        ),
        "revenue_step": pl.DataFrame(
            {
                "step_index": range(len(earned.steps)),
                "step": [step for step, _ in earned.steps],
                "amount_usd_micros": [amount for _, amount in earned.steps],
            }
        ),
        "training_window": _windows(grid, plan),
        **(job_frames(outcome.jobs, grid, outcome.scenario.fleet.gpus_per_node) if outcome.jobs else {}),
    }


def _windows(grid: Grid, plan: IntervalPlan) -> pl.DataFrame:
    windows = plan.windows
    return pl.DataFrame(
        {
            "window_start": _times([grid.start_us + window.start_s * US_PER_S for window in windows]),
            "window_end": _times([grid.start_us + window.end_s * US_PER_S for window in windows]),
            "nodes": pl.Series([window.nodes for window in windows], dtype=pl.Int64),
            "restoring_node_s": pl.Series([window.restoring_node_s for window in windows], dtype=pl.Int64),
            "training_node_s": pl.Series([window.training_node_s for window in windows], dtype=pl.Int64),
        }
    )


def _times(at_us: Ints | list[int]) -> pl.Series:
    return pl.Series(at_us, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
