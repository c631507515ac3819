"""planner compare."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, now, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd


def compare(
    scenario: ScenarioName = None,
    policies: Annotated[
        str | None,
        typer.Option(
            "--policies",
            metavar="A,B,C",
            help="Policies, each as NAME or NAME@DEMAND-SOURCE, for example reactive,predictive@forecast.",
        ),
    ] = None,
    trace: Annotated[str | None, typer.Option("--trace", metavar="T", help="A stored trace.")] = None,
    level: Annotated[
        bool, typer.Option("--level/--no-level", help="Tune each policy to the allowed shortfall as well.")
    ] = True,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="S", min=0, help="Seconds of search for the bound.")
    ] = 10.0,
    with_replay: Annotated[
        bool, typer.Option("--replay", help="Replay every request of each policy's busiest hour.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write a page with charts and tables into this folder.")
    ] = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Policies side by side on one demand, with the bound that none can beat.

    Every policy's nodes, cost, shortfall and scale actions as it is set, and its node-hours once it is tuned to the
    shortfall that slo.max_shortfall_ratio allows; that is what ranks them. All runs are stored.
    """
    from planner.studies.compare import attainments, store_comparison
    from planner.studies.compare import compare as run_compare

    flags = [] if trace is None else [f"trace.name={trace}"]
    loaded = scenario_of(scenario, [*(sets or []), *flags]).scenario
    names = [name.strip() for name in policies.split(",") if name.strip()] if policies is not None else []
    store = store_at(db)
    with progress_bar("drawing requests") as progress:
        found = run_compare(
            store,
            loaded,
            names,
            level=level,
            time_limit_s=time_limit,
            now=now(),
            clock=time.perf_counter,
            progress=progress,
        )
    felt = None
    if with_replay:
        with progress_bar("replaying") as progress:
            felt = attainments(store, found, now=now(), clock=time.perf_counter, progress=progress)
    told = store_comparison(store, found, now=now(), attainment=felt)
    if out is not None:
        from planner.report.compare_page import write_compare_page

        files = write_compare_page(told, found.plans, found.demand.grid, loaded.zone, out)
        told |= {"page": str(out / "index.html"), "files": [str(file) for file in files]}
    if as_json:
        print_json(told)
    else:
        _print(told)


def _print(told: dict[str, Any]) -> None:
    bound, allowed = told["bound"], told["max_shortfall_ratio"]
    print_line(
        f"{told['comparison_id']}: {told['scenario']}, trace {told['trace']}, {told['intervals']:,} intervals of "
        f"{told['interval_s'] // 60} min; ranked by node-hours at {allowed:.2%} shortfall"
    )
    rows = [
        (
            row["policy"],
            f"{row['mean_nodes']:,.1f}",
            row["peak_nodes"],
            usd(row["cost_usd"]),
            percent(row["shortfall_ratio"], 3),
            row["scale_actions"],
            f"{row['wasted_node_hours']:,.0f}",
            f"{row['training_node_hours']:,.0f}",
            _gap(row["gap_to_bound"]),
            *_level(row["at_equal_shortfall"]),
            *([] if row["slo"] is None else [percent(row["slo"]["ttft_attainment"])]),
        )
        for row in told["policies"]
    ]
    heads = (
        "<policy",
        "mean nodes",
        "peak",
        "cost",
        "shortfall",
        "actions",
        "wasted h",
        "training h",
        "over bound",
        "at utilisation",
        "node-hours",
        "over bound",
        *([] if told["policies"][0]["slo"] is None else ["TTFT in time"]),
    )
    print_table(heads, rows)
    if bound["node_hours"] is None:
        print_line(f"no bound: {bound['status']}; {bound['cure']}")
    else:
        print_line(
            f"no policy within the allowance takes under {bound['node_hours']:,.1f} node-hours "
            f"({usd(bound['cost_usd'])}): {bound['status']}, gap {percent(bound['gap'], 2)}, {bound['seconds']:.1f} s"
        )
    for row in told["policies"]:
        print_line(f"  {row['policy']}: {_loses(row['loses'])}")
    for note in told["notes"]:
        print_line(f"  {note}")
    if "page" in told:
        print_line(f"{told['page']}: {len(told['files'])} files")


def _gap(gap: float | None) -> str:
    return "-" if gap is None else f"{gap:+.1%}"


def _level(level: dict[str, Any] | None) -> tuple[str, str, str]:
    if level is None:
        return "none", "-", "-"
    share = level["target_utilisation"]
    return "-" if share is None else f"{share:.1%}", f"{level['node_hours']:,.1f}", _gap(level["gap_to_bound"])


def _loses(loses: dict[str, Any]) -> str:
    parts = []
    if loses["dearest_hour"] is not None:
        parts.append(f"{loses['dearest_nodes']:,.1f} nodes above the best schedule at {loses['dearest_hour']}")
    if loses["shortest_hour"] is not None:
        parts.append(f"{loses['shortest_hour_tokens']:,} tokens short at {loses['shortest_hour']}")
    return "; ".join(parts) or "loses nowhere to the best schedule"
