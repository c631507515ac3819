"""planner optimize."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, WhatIf, now, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd


def optimize(
    scenario: ScenarioName = None,
    objective: Annotated[str, typer.Option("--objective", metavar="WHAT", help="node-hours, cost or both.")] = "both",
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="S", min=0, help="Seconds of search per objective.")
    ] = 20.0,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Write the first objective's schedule as CSV.")
    ] = None,
    min_up: Annotated[
        int, typer.Option("--min-up", metavar="S", min=0, help="Schedules keep a started unit so long.")
    ] = 0,
    min_down: Annotated[
        int, typer.Option("--min-down", metavar="S", min=0, help="Schedules keep a stopped unit away so long.")
    ] = 0,
    start_cost: Annotated[
        float, typer.Option("--start-cost", metavar="USD", min=0, max=1e9, help="Dollars per unit that starts.")
    ] = 0.0,
    what_if: WhatIf = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Bound what any policy can reach, and find a schedule that comes near.

    The least node-hours, and the least cost after the value of training, that any policy can have under the same
    capacities, units, floor and shortfall allowance; proven, with the gap to a schedule that the replay has run.
    Exit code 3: no schedule is within slo.max_shortfall_ratio.
    """
    from planner.errors import LimitMissed, UsageError
    from planner.studies.bound import OBJECTIVES, Further, bounds, save_timetable

    wanted = OBJECTIVES if objective == "both" else tuple(one for one in OBJECTIVES if one == objective)
    if not wanted:
        raise UsageError(f'--objective: no objective "{objective}"; use {", ".join(OBJECTIVES)} or both')
    loaded = scenario_of(scenario, sets, what_if).scenario
    with progress_bar("drawing requests") as progress:
        found = bounds(
            store_at(db),
            loaded,
            wanted,
            further=Further(min_up, min_down, start_cost),
            time_limit_s=time_limit,
            now=now(),
            clock=time.perf_counter,
            progress=progress,
        )
    if save and found.first.cure is None:
        save_timetable(found, save)
    document = found.document()
    if as_json:
        print_json(document)
    else:
        _print(document)
        if save and document["timetable"]:
            if document["schedule"]["drain"] != document["timetable"]["drain"]:
                print_line(f"  {save}: the best that drains before boundaries: {_account(document['timetable'])}")
            print_line(f"  {save}: planner plan --set policy.name=timetable --set policy.timetable={save}")
    if found.first.cure is not None:
        raise LimitMissed(found.first.cure)


def _print(found: dict[str, Any]) -> None:
    policy = found["policy"]
    print_line(
        f"{found['scenario']}, trace {found['trace']}: {found['intervals']} intervals, "
        f"at most {percent(found['max_shortfall_ratio'], 3)} of tokens short"
    )
    rows = []
    for one in found["objectives"]:
        key, schedule = (
            ("node_hours", one["schedule"]) if one["objective"] == "node-hours" else ("cost_usd", one["schedule"])
        )
        rows.append(
            (
                "node-hours of inference" if key == "node_hours" else "cost less value of training",
                _amount(key, one["lp_bound"]),
                _amount(key, one["bound"]),
                _amount(key, schedule[key] if schedule else None),
                percent(one["gap"], 3),
                one["status"],
                _amount(key, policy[key]),
                percent(policy["gaps_to_bound"][one["objective"]]),
            )
        )
    heads = ("<least", "relaxed", "bound", "schedule", "gap", "<status", policy["policy"], "above bound")
    print_table(heads, rows)
    for one in found["objectives"]:
        if one["schedule"]:
            print_line(f"  least {one['objective']}: {_account(one['schedule'])}")
    beyond = "" if policy["within_allowance"] else ", over the allowance: the bound is not for it"
    print_line(f"  {policy['policy']}: {_account(policy)}{beyond}")
    for note in found["notes"]:
        print_line(f"  note: {note}")
    spent = ", ".join(f"{one['seconds']:.2f} s, relaxed {one['lp_seconds']:.2f} s" for one in found["objectives"])
    print_line(f"  time: {spent}")


def _account(figures: dict[str, Any]) -> str:
    return (
        f"{figures['node_hours']:,.2f} node-hours, {usd(figures['cost_usd'])} net, "
        f"{figures['useful_training_node_hours']:,.2f} useful training node-hours, peak {figures['peak_nodes']} nodes, "
        f"{percent(figures['shortfall_ratio'], 3)} short"
    )


def _amount(key: str, value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}" if key == "node_hours" else usd(value)
