"""planner optimize."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, TraceName, WhatIf, now, scenario_of, store_at, with_trace
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd
from planner.cli.ranges import MOST_WAIT_S, within

if TYPE_CHECKING:
    from planner.studies.bound.document import BestSchedule, BoundDocument, CostBound, NodeHoursBound, ReplayedFigures


_START_COST = within("give a number of dollars", 0, 1e9)
_TIME_LIMIT = within("give a number of seconds", 0, MOST_WAIT_S)
_TimeLimit = Annotated[
    float,
    typer.Option(
        "--time-limit", metavar="S", callback=_TIME_LIMIT, help="Time limit of the search per objective, seconds."
    ),
]
_StartCost = Annotated[
    float,
    typer.Option("--start-cost", metavar="USD", callback=_START_COST, help="Cost of starting a unit, dollars."),
]
_MinUp = Annotated[
    int,
    typer.Option(
        "--min-up",
        metavar="S",
        min=0,
        max=MOST_WAIT_S,
        help="Schedules keep a started unit for at least this long.",
    ),
]
_MinDown = Annotated[
    int,
    typer.Option(
        "--min-down",
        metavar="S",
        min=0,
        max=MOST_WAIT_S,
        help="Schedules keep a stopped unit off for at least this long.",
    ),
]


def optimize(
    scenario: ScenarioName = None,
    trace: TraceName = None,
    objective: Annotated[str, typer.Option("--objective", metavar="WHAT", help="node-hours, cost or both.")] = "both",
    time_limit: _TimeLimit = 20.0,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Write the first objective's schedule as CSV.")
    ] = None,
    min_up: _MinUp = 0,
    min_down: _MinDown = 0,
    start_cost: _StartCost = 0.0,
    what_if: WhatIf = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Prove a bound on what any policy can reach, and find a schedule close to it.

    The least node-hours, and the least cost after the value of training, that any policy can have under the same
    capacities, units, floor and shortfall allowance; proven, with the gap to a schedule that the replay has run.
    Exit code 3: no schedule is within slo.max_shortfall_ratio.
    """
    from planner.errors import LimitMissed, UsageError
    from planner.studies.bound.document import describe_bound
    from planner.studies.bound.run import OBJECTIVES, ScheduleLimits, bounds
    from planner.studies.bound.timetable import save_timetable

    wanted = OBJECTIVES if objective == "both" else tuple(each for each in OBJECTIVES if each == objective)
    if not wanted:
        raise UsageError(f'--objective: no objective "{objective}"; use {", ".join(OBJECTIVES)} or both')
    loaded = scenario_of(scenario, with_trace(sets, trace), what_if).scenario
    with progress_bar("drawing requests") as progress:
        bound = bounds(
            store_at(db),
            loaded,
            wanted,
            limits=ScheduleLimits(min_up_s=min_up, min_down_s=min_down, start_usd=start_cost),
            time_limit_s=time_limit,
            now=now(),
            clock=time.perf_counter,
            progress=progress,
        )
    if save and bound.first.cure is None:
        save_timetable(bound, save)
    document = describe_bound(bound)
    if as_json:
        print_json(document)
    else:
        _print(document)
        if save:
            _print_timetable(document, save)
    if bound.first.cure is not None:
        raise LimitMissed(bound.first.cure)


def _print(document: "BoundDocument") -> None:
    policy = document.policy
    print_line(
        f"{document.scenario}, trace {document.trace}: {document.intervals} intervals, "
        f"at most {percent(document.max_shortfall_ratio, 3)} of tokens short"
    )
    rows = [_row(objective, policy, policy.gaps_to_bound[objective.objective]) for objective in document.objectives]
    heads = ("<least", "relaxed", "bound", "schedule", "gap", "<status", policy.policy, "above bound")
    print_table(heads, rows)
    for objective in document.objectives:
        if objective.schedule:
            print_line(f"  least {objective.objective}: {_account(objective.schedule)}")
    if document.schedule:
        print_line(f"  {_units(document.schedule)}")
    beyond = "" if policy.within_allowance else ", over the allowance: the bound does not apply to it"
    print_line(f"  {policy.policy}: {_account(policy)}{beyond}")
    for note in document.notes:
        print_line(f"  note: {note}")
    times = ", ".join(f"{each.seconds:.2f} s, relaxed {each.lp_seconds:.2f} s" for each in document.objectives)
    print_line(f"  time: {times}")


def _row(
    objective: "NodeHoursBound | CostBound", policy: "ReplayedFigures", above: float | None
) -> tuple[str | float | None, ...]:
    """The bound and the schedule of an objective, and how far above the policy is, in hours or dollars."""
    by_hours, schedule = objective.objective == "node-hours", objective.schedule

    def amount(value: float | None) -> str:
        return "-" if value is None else f"{value:,.2f}" if by_hours else usd(value)

    def value(figures: "ReplayedFigures") -> float:
        return figures.node_hours if by_hours else figures.cost_usd

    return (
        "node-hours of inference" if by_hours else "cost less value of training",
        amount(objective.lp_bound),
        amount(objective.bound),
        amount(value(schedule) if schedule else None),
        percent(objective.gap, 3),
        objective.status,
        amount(value(policy)),
        percent(above),
    )


def _print_timetable(document: "BoundDocument", save: Path) -> None:
    """What was saved, and how to plan with it."""
    schedule, timetable = document.schedule, document.timetable
    if schedule is None or timetable is None:
        return
    if schedule.drain != timetable.drain:
        print_line(f"  {save}: the best schedule that drains before boundaries: {_account(timetable)}")
    print_line(f"  {save}: planner plan --set policy.name=timetable --set policy.timetable={save}")


def _units(schedule: "BestSchedule") -> str:
    """The units of each role that the demand takes, and their ratio where there are two."""
    prefill, decode, both = schedule.prefill_units, schedule.decode_units, schedule.aggregated_units
    if schedule.decode_per_prefill is None:
        return f"units: {both.least} to {both.most}, mean {both.mean:,.2f}"
    return (
        f"ratio: {schedule.decode_per_prefill:.2f} decode units for each prefill unit; prefill {prefill.least} to "
        f"{prefill.most}, mean {prefill.mean:,.2f}, decode {decode.least} to {decode.most}, mean {decode.mean:,.2f}"
    )


def _account(figures: "ReplayedFigures") -> str:
    from planner.units import counted

    return (
        f"{figures.node_hours:,.2f} node-hours, {usd(figures.cost_usd)} net, "
        f"{figures.useful_training_node_hours:,.2f} useful training node-hours, peak "
        f"{counted(figures.peak_nodes, 'node')}, {percent(figures.shortfall_ratio, 3)} short"
    )
