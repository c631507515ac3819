"""planner resilience."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, TraceName, moment, now, scenario_of, store_at, with_trace
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd
from planner.core.fleet.units import AGGREGATED

if TYPE_CHECKING:
    from planner.studies.replay.document import FailureCounts
    from planner.studies.resilience.document import ReplayCheck, ReplayChecks, ResilienceByRole, ResilienceDocument


def resilience(
    scenario: ScenarioName = None,
    trace: TraceName = None,
    target: Annotated[
        float, typer.Option("--target", metavar="SHARE", help="Share of the time with enough units of every role.")
    ] = 0.999,
    replays: Annotated[bool, typer.Option("--replay", help="Replay the window with and without failures.")] = False,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=1000, help="Draws of failures to replay [default: 10].")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Cover the demand from this time on [default: busiest hour]."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Cover the demand up to this time.")] = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Size the spare units (N+k) that absorb node failures, and their cost.

    Nodes fail at failures.per_node_per_day, or at a published rate, and take their unit down until it is repaired and
    started. Computed from probabilities; --replay runs every request of the window through fleets whose units fail.
    """
    from planner.errors import UsageError
    from planner.studies.resilience.run import SEEDS
    from planner.studies.resilience.run import resilience as run_resilience

    if seeds is not None and not replays:
        raise UsageError("--seeds is the number of draws of failures to replay; add --replay")
    loaded = scenario_of(scenario, with_trace(sets, trace)).scenario
    with progress_bar("replaying" if replays else "drawing") as progress:
        document = run_resilience(
            store_at(db),
            loaded,
            target=target,
            start=moment(start, loaded.zone),
            end=moment(end, loaded.zone),
            seeds=(seeds or SEEDS) if replays else 0,
            now=now(),
            clock=time.perf_counter,
            progress=progress,
        )
    if as_json:
        print_json(document)
    else:
        _print(document)


def _print(document: "ResilienceDocument") -> None:
    from planner.units import counted

    window = f"{document.window_start.isoformat()} to {document.window_end.isoformat()}"
    print_line(f"{document.scenario}, {document.policy}, {window}")
    spares = " and ".join(
        counted(role.spare_units, "unit" if name == AGGREGATED else f"{name} unit")
        for name, role in document.roles.named
    )
    of_both = " of both roles" if len(document.roles.named) > 1 else ""
    lines = (
        ("a node fails", f"{document.per_node_per_day:.3g} times a day ({document.rate_source})"),
        ("and is down for", f"{document.repair_s:,} s of repair, {document.start_up_s:,} s of start-up"),
        ("target", f"enough units{of_both} in {percent(document.target, 3)} of the time"),
        ("without spares", percent(document.attainment_without_spares, 3)),
        (
            "with spares",
            f"{percent(document.attainment, 3)}: {spares}, {counted(document.spare_nodes, 'node')}, "
            f"{usd(document.spare_cost_usd_per_day)} a day",
        ),
    )
    print_line()
    for label, text in lines:
        print_line(f"  {label:<22}{text}")
    if document.nodes_beyond_fleet:
        print_line(
            f"  note: the fleet of {counted(document.fleet_nodes, 'node')} is {document.nodes_beyond_fleet:,} short of "
            "that"
        )
    for note in document.notes:
        print_line(f"  note: {note}")
    _print_roles(document.roles)
    if document.replays is not None:
        _print_replays(document.replays, [name for name, _ in document.roles.named])


def _print_roles(roles: "ResilienceByRole") -> None:
    heads = ("<role", "nodes each", "needed", "planned", "MTBF h", "up", "down, mean", "spare", "enough of the time")
    rows = [
        (
            name,
            role.unit_nodes,
            role.needed_units,
            role.planned_units,
            "-" if role.mtbf_h is None else f"{role.mtbf_h:,.1f}",
            percent(role.availability, 3),
            f"{role.expected_units_down:.3f}",
            each.spare_units,
            percent(each.attainment, 4),
        )
        for name, role in roles.named
        for each in role.attainment_by_spares
    ]
    print_table(heads, rows)


def _failed(check: "ReplayCheck", roles: list[str]) -> "list[FailureCounts]":
    """Failures by role."""
    return [getattr(check.failures, role) for role in roles]


def _print_replays(replays: "ReplayChecks", roles: list[str]) -> None:
    heads = (
        "<replays",
        "seeds",
        "units failed",
        "restarted",
        "enough",
        "TTFT met",
        "TPOT met",
        "both met",
        "worst seed",
    )
    rows = [
        (
            name,
            len(check.seeds),
            " + ".join(f"{failed.units:,}" for failed in _failed(check, roles)),
            " + ".join(f"{failed.requests:,}" for failed in _failed(check, roles)),
            percent(check.covered, 2),
            percent(check.ttft_attainment, 2),
            percent(check.tpot_attainment, 2),
            percent(check.both_attainment, 2),
            percent(check.worst_both_attainment, 2),
        )
        for name, check in replays.named
    ]
    of_both = " + ".join(roles)
    print_table(
        heads, rows, f"means over seeds; units and requests: {f'{of_both}, ' if len(roles) > 1 else ''}of all seeds"
    )
    if not any(failed.units for failed in _failed(replays.with_failures, roles)):
        print_line(
            "note: no unit failed in any of these draws, because the window is short; raise --seeds or "
            "failures.per_node_per_day to see what a failure does"
        )
