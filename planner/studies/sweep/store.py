"""Storing a sweep: a row of the table sweep_case for every case."""

import json
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from planner.store import Store
from planner.store.rows import frame_of
from planner.studies.sweep.case import CaseOutcome
from planner.studies.sweep.run import Sweep


@dataclass(frozen=True, kw_only=True)
class SweepCaseRow:
    """A row of the table sweep_case, without what all rows of a sweep share."""

    policy: str
    case_index: int
    role: str
    varied: str | None
    parameters: str
    noise_seed: int
    plan_s: int
    peak_nodes: int
    inference_node_s: int
    training_node_s: int
    useful_training_node_s: int
    cost_usd_micros: int
    revenue_usd_micros: int
    demanded_tokens: int
    shortfall_tokens: int
    requests: int
    latency_met_requests: int | None
    slo_met: bool

    @classmethod
    def of(cls, outcome: CaseOutcome) -> "SweepCaseRow":
        case = outcome.case
        return cls(
            policy=case.policy,
            case_index=case.index,
            role=case.role,
            varied=case.varied,
            parameters=json.dumps(dict(case.values)),
            noise_seed=case.seed,
            plan_s=outcome.plan_s,
            peak_nodes=outcome.peak_nodes,
            inference_node_s=outcome.inference_node_s,
            training_node_s=outcome.training_node_s,
            useful_training_node_s=outcome.useful_training_node_s,
            cost_usd_micros=outcome.cost_usd_micros,
            revenue_usd_micros=outcome.revenue_usd_micros,
            demanded_tokens=outcome.demanded_tokens,
            shortfall_tokens=outcome.shortfall_tokens,
            requests=outcome.requests,
            latency_met_requests=outcome.latency_met_requests,
            slo_met=outcome.slo_met,
        )


def save_sweep(store: Store, sweep: Sweep, *, now: datetime, version: str) -> str:
    """Store all cases of a sweep in one transaction; returns the sweep_id."""
    frame = case_frame(sweep).with_columns(
        created_at=pl.lit(now),
        scenario=pl.lit(sweep.scenario.name),
        trace=pl.lit(sweep.trace.name),
        settings=pl.when(pl.col("role") == "base").then(pl.lit(sweep.scenario.model_dump_json())),
        planner_version=pl.lit(version),
    )
    with store.write() as session:
        sweep_id = f"sweep-{session.next_number('sweep_sequence'):05d}"
        session.append("sweep_case", frame.with_columns(sweep_id=pl.lit(sweep_id)))
    return sweep_id


def case_frame(sweep: Sweep) -> pl.DataFrame:
    """A row per case, as in the table sweep_case, without what all rows of the sweep share."""
    return frame_of(SweepCaseRow, [SweepCaseRow.of(outcome) for outcome in sweep.outcomes])
