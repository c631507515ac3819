"""planner sweep."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, TraceName, now, scenario_of, store_at, with_trace
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd
from planner.cli.ranges import MOST_SEED

if TYPE_CHECKING:
    from planner.studies.sweep.case import Metric
    from planner.studies.sweep.document import SweepDocument, SweepParameter, SweptPolicy

_SHOWN: "tuple[Metric, ...]" = ("cost_usd", "shortfall_ratio")
"""Metrics whose tornado is printed; --json and the page show every metric."""


def sweep(
    scenario: ScenarioName = None,
    trace: TraceName = None,
    cases: Annotated[int, typer.Option("--cases", metavar="N", help="Samples for each policy.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="S", max=MOST_SEED, help="Seed of the samples.")] = 1,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="PATH=LOW:HIGH",
            help="Range of an uncertain value, new or replacing the scenario's; PATH=base fixes it. May be repeated.",
        ),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option("--policies", metavar="A,B", help="Policies to plan every case with [default: the scenario's]."),
    ] = None,
    sets: Sets = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write a page with charts and tables into this folder.")
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Show how certain a plan's figures are, and what they depend on.

    Plans the scenario at sampled values of everything in sweep.vary: demand, noise, cache hits, start-up, GPU price,
    nodes down; then with one value at a time at the ends of its range. Prints quantiles, the share of cases that meet
    slo.max_shortfall_ratio, and what matters most for cost and shortfall. Stores every case (table sweep_case).
    """
    from planner.files import version
    from planner.studies.sweep.document import describe_sweep
    from planner.studies.sweep.run import sweep as run_sweep
    from planner.studies.sweep.store import case_frame, save_sweep

    loaded = scenario_of(scenario, with_trace(sets, trace)).scenario
    store = store_at(db)
    with progress_bar("drawing requests") as drawing, progress_bar("planning cases") as progress:
        done = run_sweep(
            store,
            loaded,
            policies=_names(policies),
            cases=cases,
            seed=seed,
            vary=vary or (),
            now=now(),
            progress=progress,
            drawing=drawing,
        )
    document = describe_sweep(done, save_sweep(store, done, now=now(), version=version()))
    if out is not None:
        from planner.report.sweep_page import write_sweep_page

        files = write_sweep_page(document, case_frame(done), out)
        document = replace(document, page=str(out / "index.html"), files=tuple(map(str, files)))
    if as_json:
        print_json(document)
    else:
        _print(document)


def _names(policies: str | None) -> list[str]:
    from planner.errors import UsageError

    names = [] if policies is None else [name.strip() for name in policies.split(",")]
    if not all(names):
        raise UsageError(f'--policies "{policies}": separate names with commas, for example night-training,slo')
    return names


def _print(document: "SweepDocument") -> None:
    print_line(
        f"{document.sweep_id}: {document.scenario} on trace {document.trace}, "
        f"{document.cases:,} cases for each policy, seed {document.seed}"
    )
    print_line()
    _print_parameters(document.parameters)
    for policy in document.policies:
        print_line(policy.policy)
        _print_quantiles(policy)
        for name, met in policy.attainment.limits:
            print_line(
                f"  {met.cases_met:,} of {met.cases:,} cases ({percent(met.ratio)}, "
                f"standard error {percent(met.standard_error)}) meet {name} {met.limit:g}"
            )
        print_line()
        for metric in _SHOWN:
            _print_tornado(policy, metric)
    for note in document.notes:
        print_line(f"  note: {note}")
    if document.page is not None and document.files is not None:
        print_line(f"{document.page}: {len(document.files)} files")


def _print_parameters(parameters: "Sequence[SweepParameter]") -> None:
    rows = [
        (each.parameter, _short(each.base), _short(each.low), _short(each.high), each.law, each.kind)
        for each in parameters
    ]
    print_table(("<uncertain", "scenario", "low", "high", "<law", "<kind"), rows)


def _print_quantiles(policy: "SweptPolicy") -> None:
    heads = ("p5", "p25", "p50", "p75", "p95", "mean")
    rows = [
        (
            metric.replace("_", " "),
            *(_shown(metric, value) for value in (policy.base.value(metric), each.p5, each.p25, each.p50)),
            *(_shown(metric, value) for value in (each.p75, each.p95, each.mean)),
        )
        for metric, each in policy.quantiles.items()
        # the ratio says the same in fewer digits
        if metric != "shortfall_tokens"
    ]
    print_table(("<", "scenario", *heads), rows)


def _print_tornado(policy: "SweptPolicy", metric: "Metric") -> None:
    rows = [
        (
            bar.parameter,
            "chance" if bar.method == "seeds" else f"{_short(bar.from_)} to {_short(bar.to)}",
            _shown(metric, bar.low),
            _shown(metric, bar.high),
            _shown(metric, bar.swing),
            # adding zero turns a minus zero, which rounding leaves, into plain zero
            "-" if bar.rank_correlation is None else f"{round(bar.rank_correlation, 2) + 0.0:+.2f}",
        )
        for bar in policy.tornado
        if bar.metric == metric
    ]
    heads = (f"<{metric.replace('_', ' ')}: one at a time", "<from, to", "low end", "high end", "swing", "rank corr.")
    print_table(heads, rows)


def _shown(metric: str, value: float | None) -> str:
    """A figure as printed."""
    if value is None:
        return "-"
    if metric.endswith("_usd"):
        return usd(value)
    if metric.endswith("_ratio"):
        return percent(value, 1 if metric == "margin_ratio" else 2)
    return f"{value:,.1f}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:,.5g}"
