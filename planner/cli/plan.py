"""planner plan, planner reference."""

from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.jobs import print_jobs
from planner.cli.options import (
    Db,
    Json,
    ScenarioName,
    Sets,
    TraceName,
    WhatIf,
    now,
    scenario_of,
    store_at,
    with_policy,
    with_trace,
)
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd, warn
from planner.cli.week import print_week
from planner.runs.bands import basis, by_figure, ends, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.runs.figures import RunSummary
    from planner.runs.outcome import FigureBand
    from planner.runs.read import RunView


def plan(
    scenario: ScenarioName = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="P",
            help="night-training, fixed, timetable, reactive, predictive, scheduled-bounds, slo or oracle.",
        ),
    ] = None,
    trace: TraceName = None,
    what_if: WhatIf = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Plan nodes, training, cost and revenue.

    Reports how many nodes inference needs and when, what training gets, and what it costs and earns. Draws the
    scenario's trace if it is not stored yet, plans, stores the run and prints it.
    Exit code 3: the plan is stored, but misses a limit that the scenario states.
    """
    from planner.planning.plan import plan_and_store
    from planner.runs.documents import plan_document
    from planner.runs.limits import check_limits
    from planner.runs.read import load_run

    loaded = scenario_of(scenario, with_policy(with_trace(sets, trace), policy), what_if)
    store = store_at(db)
    with progress_bar("drawing requests") as progress:
        run_id = plan_and_store(store, loaded.scenario, now=now(), progress=progress)
    run = load_run(store, run_id)
    if as_json:
        print_json(plan_document(run))
    else:
        print_plan(run)
    check_limits(run)


def print_plan(run: "RunView") -> None:
    """Print a plan: its figures, its notes, and a row per hour, or a week of hours where there are many."""
    from planner.core.week import LEAST_HOURS
    from planner.runs.packing import held_units
    from planner.runs.waking import waking_lines

    s = run.summary
    zone = run.scenario.zone
    print_line(f"{s.run_id}: {s.scenario}, {s.policy} on trace {s.trace}")
    print_line()
    units = held_units(run)
    held = [("units", units.text)] if units else []
    for label, text in (*held, *_figures(s, run.bands), *waking_lines(run)):
        print_line(f"  {label:<22}{text}")
    for note in run.record.notes:
        print_line(f"  note: {note}")
    print_line()
    if run.hours.height > LEAST_HOURS:
        _print_week(run)
    else:
        _print_hours(run)
    if run.jobs:
        print_jobs(run.jobs, zone, s.run_id)


def _print_week(run: "RunView") -> None:
    """Print the nodes by weekday and hour, and where each hour is."""
    from planner.runs.documents import plan_week

    cells = {(each.weekday, each.hour): float(each.peak_nodes) for each in plan_week(run)}
    print_week(f"most inference nodes by weekday and hour, local clock of {run.record.timezone}", cells)
    print_line(
        f"{run.hours.height:,} hours one by one: planner sql --name run_hours --param run_id={run.summary.run_id}"
    )


def _print_hours(run: "RunView") -> None:
    """Print a row per hour."""
    zone = run.scenario.zone
    hours = run.hours.to_dicts()
    rows = [
        (
            row["hour_start"].astimezone(zone).strftime("%Y-%m-%d %H:%M%z"),
            row["mean_nodes"],
            row["peak_nodes"],
            row["training_node_hours"],
            usd(row["cost_usd"]),
            usd(row["revenue_usd"]),
            f"{row['input_tokens'] / 1e9:,.2f}",
            f"{row['output_tokens'] / 1e9:,.2f}",
            row["shortfall_tokens"],
        )
        for row in hours
    ]
    print_table(
        (
            "<hour",
            "mean nodes",
            "peak",
            "training node-h",
            "cost",
            "revenue",
            "input B",
            "output B",
            "shortfall",
        ),
        rows,
    )


def _figures(s: "RunSummary", bands: "Sequence[FigureBand]") -> list[tuple[str, str]]:
    """The figures by their labels, with their bands where capacities are modelled."""
    from planner.units import counted

    band = by_figure(bands)
    need, lent = band.get("need_nodes"), band.get("training_node_hours")
    needed = "" if need is None else f"; needed at the busiest {whole(need.value)}{ends(need, whole)}"
    shortfall = ends(band.get("shortfall_ratio"), lambda value: percent(value, 3))
    served = []
    if s.shortfall_tokens:
        text = f"{usd(s.revenue_served_usd)} theoretical (margin {percent(s.margin_served_ratio)}), "
        served = [("of it served", f"{text}{usd(s.expected_revenue_served_usd)} expected")]
    return [
        (
            "inference nodes",
            f"peak {s.peak_nodes}{ends(band.get('peak_nodes'), whole)}, mean {s.mean_nodes:,.2f}"
            f"{ends(band.get('mean_nodes'), '{:,.2f}'.format)}, {s.node_hours:,.1f} node-hours{needed}",
        ),
        (
            "lent to training",
            f"{s.training_node_hours:,.1f} node-hours{ends(lent, '{:,.1f}'.format)}, "
            f"{s.useful_training_node_hours:,.1f} of them useful; idle {s.idle_node_hours:,.1f}",
        ),
        (
            "cost of inference",
            f"{usd(s.cost_usd)}{ends(band.get('cost_usd'), usd)} of {usd(s.fleet_cost_usd)} for the whole fleet; "
            f"training {usd(s.training_cost_usd)}, idle {usd(s.idle_cost_usd)}",
        ),
        (
            "revenue",
            f"{usd(s.revenue_usd)} theoretical (margin {percent(s.margin_ratio)}), "
            f"{usd(s.expected_revenue_usd)} expected",
        ),
        *served,
        (
            "demand",
            f"{counted(s.requests, 'request')}, {s.input_tokens:,} input tokens "
            f"({percent(s.cache_hit_ratio, 2)} cached), "
            f"{s.output_tokens:,} output tokens",
        ),
        (
            "shortfall",
            f"steady {s.steady_shortfall_tokens:,}, start-up {s.start_up_shortfall_tokens:,} tokens "
            f"({percent(s.shortfall_ratio, 3)}{shortfall})",
        ),
        *([("90 % bands", f"in parentheses, {basis(bands)}")] if bands else []),
    ]


def reference(scenario: ScenarioName = None, sets: Sets = None, db: Db = None, as_json: Json = False) -> None:
    """Compare the plan of the built-in day with what was published.

    Quantity by quantity, with the kind of each: input, inferred, fitted or emergent.
    """
    from planner.studies.reference import compare_with_published

    loaded = scenario_of(scenario, sets)
    with progress_bar("drawing requests") as progress:
        document = compare_with_published(store_at(db), loaded.scenario, now=now(), progress=progress)
    if as_json:
        print_json(document)
        return
    table = [
        (
            row.quantity,
            f"{row.computed:,.7g}",
            f"{row.published:,.7g}",
            f"{row.relative_error:+.3%}",
            row.kind,
        )
        for row in document.rows
    ]
    print_table(("<quantity", "computed", "published", "difference", "<kind"), table)
    for note in document.notes:
        print_line(f"  {note}")
    if loaded.origins:
        warn(f"overridden: {', '.join(sorted(loaded.origins))}")
