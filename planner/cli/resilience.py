"""planner resilience."""

import time
from typing import Annotated, Any

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, moment, now, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd


def resilience(
    scenario: ScenarioName = None,
    target: Annotated[
        float, typer.Option("--target", metavar="SHARE", help="Share of the time with enough units of both roles.")
    ] = 0.999,
    replays: Annotated[bool, typer.Option("--replay", help="Replay the window with and without failures.")] = False,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=1000, help="Draws of failures to replay [default: 10].")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Cover the demand from then on [default: busiest hour]."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Cover the demand up to then.")] = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Spare units so that failures of nodes do not show (N+k), and their cost.

    Nodes fail at failures.per_node_per_day, or at a published rate, and take their unit down until it is repaired and
    started. From probabilities; --replay runs every request of the window through fleets whose units fail.
    """
    from planner.errors import UsageError
    from planner.studies.resilience import SEEDS
    from planner.studies.resilience import resilience as resilience_of

    if seeds is not None and not replays:
        raise UsageError("--seeds are draws of failures to replay; add --replay")
    loaded = scenario_of(scenario, sets).scenario
    with progress_bar("replaying" if replays else "drawing") as progress:
        found = resilience_of(
            store_at(db),
            loaded,
            target=target,
            start=moment(start),
            end=moment(end),
            seeds=(seeds or SEEDS) if replays else 0,
            now=now(),
            clock=time.perf_counter,
            progress=progress,
        )
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    print_line(f"{found['scenario']}, {found['policy']}, {found['window_start']} to {found['window_end']}")
    lines = (
        ("a node fails", f"{found['per_node_per_day']:.3g} times a day ({found['rate_source']})"),
        ("and is gone for", f"{found['repair_s']:,} s of repair, {found['start_up_s']:,} s of start-up"),
        ("target", f"enough units of both roles in {percent(found['target'], 3)} of the time"),
        ("without spares", percent(found["attainment_without_spares"], 3)),
        (
            "with spares",
            f"{percent(found['attainment'], 3)}: "
            + " and ".join(f"{role['spare_units']} {name} units" for name, role in found["roles"].items())
            + f", {found['spare_nodes']:,} nodes, {usd(found['spare_cost_usd_per_day'])} a day",
        ),
    )
    print_line()
    for label, text in lines:
        print_line(f"  {label:<22}{text}")
    if found["nodes_beyond_fleet"]:
        print_line(
            f"  note: the fleet of {found['fleet_nodes']:,} lacks {found['nodes_beyond_fleet']:,} nodes for them"
        )
    heads = ("<role", "nodes each", "needed", "planned", "MTBF h", "up", "down, mean", "spare", "enough of the time")
    rows = [
        (
            name,
            role["unit_nodes"],
            role["needed_units"],
            role["planned_units"],
            "-" if role["mtbf_h"] is None else f"{role['mtbf_h']:,.1f}",
            percent(role["availability"], 3),
            f"{role['expected_units_down']:.3f}",
            each["spare_units"],
            percent(each["attainment"], 4),
        )
        for name, role in found["roles"].items()
        for each in role["attainment_by_spares"]
    ]
    print_table(heads, rows)
    if found["replays"]:
        _print_replays(found["replays"])


def _print_replays(kinds: dict[str, Any]) -> None:
    heads = (
        "<replays",
        "seeds",
        "units failed",
        "begun again",
        "enough",
        "TTFT met",
        "TPOT met",
        "both met",
        "worst seed",
    )
    rows = [
        (
            kind.replace("_", " "),
            len(found["seeds"]),
            " + ".join(f"{each['units']:,}" for each in found["failures"].values()),
            " + ".join(f"{each['requests']:,}" for each in found["failures"].values()),
            percent(found["covered"], 2),
            percent(found["ttft_attainment"], 2),
            percent(found["tpot_attainment"], 2),
            percent(found["both_attainment"], 2),
            percent(found["worst_both_attainment"], 2),
        )
        for kind, found in kinds.items()
    ]
    print_table(heads, rows, "means over seeds; units and requests: prefill + decode, of all seeds")
    if not any(each["units"] for each in kinds["with_failures"]["failures"].values()):
        print_line(
            "note: no unit failed in any of these draws, the window is short; give more --seeds, "
            "or a higher failures.per_node_per_day to see what a failure does"
        )
