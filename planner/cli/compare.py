"""planner compare."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, TraceName, now, scenario_of, store_at, with_trace
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd
from planner.cli.ranges import MOST_WAIT_S, within
from planner.runs.bands import basis, by_figure, ends, whole

if TYPE_CHECKING:
    from planner.settings.scenario import Scenario
    from planner.studies.compare.candidates import Comparison
    from planner.studies.compare.document import ComparedPolicy, ComparisonBound, ComparisonDocument, EqualShortfall
    from planner.studies.compare.losses import PolicyLosses


_TIME_LIMIT = within("give a number of seconds", 0, MOST_WAIT_S)
_TimeLimit = Annotated[
    float,
    typer.Option(
        "--time-limit", metavar="S", callback=_TIME_LIMIT, help="Time limit of the search for the bound, seconds."
    ),
]
_Policies = Annotated[
    str | None,
    typer.Option(
        "--policies",
        metavar="A,B,C",
        help="Policies, each as NAME or NAME@DEMAND-SOURCE, for example reactive,predictive@forecast.",
    ),
]
_Level = Annotated[bool, typer.Option("--level/--no-level", help="Tune each policy to the allowed shortfall as well.")]
_Replay = Annotated[bool, typer.Option("--replay", help="Replay every request of each policy's busiest hour.")]
_Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write a page with charts and tables into this folder.")
]


def compare(
    scenario: ScenarioName = None,
    policies: _Policies = None,
    trace: TraceName = None,
    level: _Level = True,
    time_limit: _TimeLimit = 10.0,
    with_replay: _Replay = False,
    out: _Out = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Compare policies on the same demand, with the bound that none can beat.

    Shows every policy's nodes, cost, shortfall and scale actions as configured, and its node-hours once it is tuned to
    the shortfall that slo.max_shortfall_ratio allows, by which policies are ranked. All runs are stored.
    """
    from planner.planning.allowance import check_own_hits
    from planner.studies.compare.candidates import compare as run_compare
    from planner.studies.compare.store import measure_attainment, store_comparison
    from planner.studies.replay.rules import OF_REQUESTS

    loaded = scenario_of(scenario, with_trace(sets, trace)).scenario
    if with_replay:
        check_own_hits(loaded, OF_REQUESTS)
    names = [name.strip() for name in policies.split(",") if name.strip()] if policies is not None else []
    store = store_at(db)
    with progress_bar("drawing requests") as drawing, progress_bar("comparing policies") as progress:
        comparison = run_compare(
            store,
            loaded,
            names,
            level=level,
            time_limit_s=time_limit,
            now=now(),
            clock=time.perf_counter,
            progress=progress,
            drawing=drawing,
        )
    attainment = None
    if with_replay:
        with progress_bar("replaying") as progress:
            attainment = measure_attainment(store, comparison, now=now(), clock=time.perf_counter, progress=progress)
    document = store_comparison(store, comparison, now=now(), attainment=attainment)
    if out is not None:
        document = _with_page(document, comparison, loaded, out)
    if as_json:
        print_json(document)
    else:
        _print(document)


def _with_page(
    document: "ComparisonDocument", comparison: "Comparison", scenario: "Scenario", out: Path
) -> "ComparisonDocument":
    """Write the page into a folder; the document that names its files."""
    from planner.report.compare_page import write_compare_page

    files = write_compare_page(document, comparison.plans, comparison.demand.grid, scenario.zone, out)
    return replace(document, page=str(out / "index.html"), files=tuple(map(str, files)))


def _print(document: "ComparisonDocument") -> None:
    print_line(
        f"{document.comparison_id}: {document.scenario}, trace {document.trace}, {document.intervals:,} intervals of "
        f"{document.interval_s // 60} min; ranked by node-hours at {document.max_shortfall_ratio:.2%} shortfall"
    )
    replayed = document.policies[0].slo is not None
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
        *(["TTFT in time"] if replayed else []),
    )
    print_table(heads, [_row(policy) for policy in document.policies])
    bands = [band for policy in document.policies for band in policy.bands]
    if bands:
        print_line(f"  90 % bands in parentheses, {basis(bands)}")
    _print_bound(document.bound)
    for policy in document.policies:
        print_line(f"  {policy.policy}: {_losses(policy.loses)}")
    for note in document.notes:
        print_line(f"  {note}")
    if document.page is not None and document.files is not None:
        print_line(f"{document.page}: {len(document.files)} files")


def _row(policy: "ComparedPolicy") -> tuple[str | int, ...]:
    band = by_figure(policy.bands)
    return (
        policy.policy,
        f"{policy.mean_nodes:,.1f}{ends(band.get('mean_nodes'), '{:,.1f}'.format)}",
        f"{policy.peak_nodes}{ends(band.get('peak_nodes'), whole)}",
        usd(policy.cost_usd),
        percent(policy.shortfall_ratio, 3),
        policy.scale_actions,
        f"{policy.wasted_node_hours:,.0f}",
        f"{policy.training_node_hours:,.0f}",
        _gap(policy.gap_to_bound),
        *_tuned(policy.at_equal_shortfall),
        *([] if policy.slo is None else [percent(policy.slo.ttft_attainment)]),
    )


def _print_bound(bound: "ComparisonBound") -> None:
    if bound.node_hours is None:
        print_line(f"no bound: {bound.status}; {bound.cure}")
    else:
        print_line(
            f"no policy within the allowance takes fewer than {bound.node_hours:,.1f} node-hours "
            f"({usd(bound.cost_usd)}): {bound.status}, gap {percent(bound.gap, 2)}, {bound.seconds:.1f} s"
        )


def _gap(gap: float | None) -> str:
    return "-" if gap is None else f"{gap:+.1%}"


def _tuned(tuned: "EqualShortfall | None") -> tuple[str, str, str]:
    if tuned is None:
        return "none", "-", "-"
    share = tuned.target_utilisation
    return "-" if share is None else f"{share:.1%}", f"{tuned.node_hours:,.1f}", _gap(tuned.gap_to_bound)


def _losses(losses: "PolicyLosses") -> str:
    parts = []
    if losses.dearest_hour is not None:
        parts.append(f"{losses.dearest_nodes:,.1f} nodes above the best schedule at {losses.dearest_hour}")
    if losses.shortest_hour is not None:
        parts.append(f"{losses.shortest_hour_tokens:,} tokens short at {losses.shortest_hour}")
    return "; ".join(parts) or "nowhere worse than the best schedule"
