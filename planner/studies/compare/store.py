"""Storing a comparison with the runs of its policies, and the replays of their busiest hours."""

from collections.abc import Mapping
from datetime import datetime

from planner.core.replay.requests.window import window_of
from planner.files import version
from planner.runs.write import ComparisonRow, save_comparison
from planner.store import Store
from planner.studies.compare.candidates import Candidate, Comparison
from planner.studies.compare.document import ComparisonDocument, PolicyAttainment, describe_comparison
from planner.studies.replay.run import replay_planned
from planner.studies.replay.store import store_replay
from planner.units import Clock, Progress


def store_comparison(
    store: Store,
    comparison: Comparison,
    *,
    now: datetime,
    attainment: Mapping[str, PolicyAttainment] | None = None,
) -> ComparisonDocument:
    """Store every policy's run and the comparison in one transaction; the document with their ids.

    attainment: what replays of the policies measured, by name.
    """
    measured = attainment or {}
    outcomes = {candidate.name: candidate.outcome for candidate in comparison.candidates}
    rows = [_row(comparison, candidate, measured.get(candidate.name)) for candidate in comparison.ranked]
    comparison_id, run_ids = save_comparison(store, outcomes, rows, now=now, version=version())
    return describe_comparison(comparison, comparison_id, run_ids, measured)


def _row(comparison: Comparison, candidate: Candidate, attainment: PolicyAttainment | None) -> ComparisonRow:
    figures, tuned = candidate.figures, candidate.tuned
    return ComparisonRow(
        policy=candidate.name,
        node_hours=figures.node_hours,
        cost_usd=figures.cost_usd,
        shortfall_ratio=figures.shortfall_ratio,
        scale_actions=figures.scale_actions,
        wasted_node_hours=figures.wasted_node_hours,
        gap_to_bound=comparison.gap_to_bound(figures),
        level_utilisation=tuned.target_utilisation if tuned else None,
        level_node_hours=tuned.figures.node_hours if tuned else None,
        level_gap_to_bound=comparison.gap_to_bound(tuned.figures) if tuned else None,
        ttft_attainment=attainment.ttft_attainment if attainment else None,
        tpot_attainment=attainment.tpot_attainment if attainment else None,
        bound_node_hours=comparison.bound.bound,
        bound_status=comparison.bound.status,
    )


def measure_attainment(
    store: Store, comparison: Comparison, *, now: datetime, clock: Clock, progress: Progress | None = None
) -> dict[str, PolicyAttainment]:
    """What a replay of the busiest hour measures of every policy's targets, by name; replays are stored."""
    measured = {}
    for candidate in comparison.candidates:
        outcome = candidate.outcome
        window = window_of(outcome.demand, outcome.scenario.replay, None, None, False, outcome.scenario.zone)
        done = replay_planned(store, outcome, window, now=now, clock=clock, progress=progress)
        run_id, account = store_replay(store, done, now=now)
        measured[candidate.name] = PolicyAttainment(
            **vars(account.slo),
            run_id=run_id,
            window_start=account.window_start,
            window_end=account.window_end,
        )
    return measured
