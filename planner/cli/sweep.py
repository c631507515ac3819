"""planner sweep."""

from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, now, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd

_SHOWN = ("cost_usd", "shortfall_ratio")
"""Metrics whose tornado is printed; --json and the page have all."""


def sweep(
    scenario: ScenarioName = None,
    cases: Annotated[int, typer.Option("--cases", metavar="N", help="Samples for each policy.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Seed of the samples.")] = 1,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="PATH=LOW:HIGH",
            help="Another range of an uncertain value, or a further one; PATH=base keeps it. May be repeated.",
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
    """Say how sure a plan's figures are, and what they hang on.

    Plans the scenario at sampled values of everything in sweep.vary: demand, noise, cache hits, start-up, GPU price,
    nodes down; then with one value at a time at the ends of its range. Prints quantiles, the share of cases that hold
    slo.max_shortfall_ratio, and what matters most for cost and shortfall. Stores every case (table sweep_case).
    """
    from planner.files import version
    from planner.studies.sweep.run import case_frame, save
    from planner.studies.sweep.run import sweep as run_sweep
    from planner.studies.sweep.summary import document

    loaded = scenario_of(scenario, sets).scenario
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
    found = document(done, save(store, done, now=now(), version=version()))
    if out is not None:
        from planner.report.sweep_page import write_sweep_page

        files = write_sweep_page(found, case_frame(done), out)
        found |= {"page": str(out / "index.html"), "files": [str(file) for file in files]}
    if as_json:
        print_json(found)
    else:
        _print(found)


def _names(policies: str | None) -> list[str]:
    from planner.errors import UsageError

    names = [] if policies is None else [name.strip() for name in policies.split(",")]
    if not all(names):
        raise UsageError(f'--policies "{policies}": write names with a comma between, for example night-training,slo')
    return names


def _print(found: dict[str, Any]) -> None:
    print_line(
        f"{found['sweep_id']}: {found['scenario']} on trace {found['trace']}, "
        f"{found['cases']:,} cases for each policy, seed {found['seed']}"
    )
    print_line()
    _print_parameters(found["parameters"])
    for each in found["policies"]:
        print_line(each["policy"])
        _print_quantiles(each)
        for name, held in each["attainment"].items():
            print_line(
                f"  {held['cases_met']:,} of {held['cases']:,} cases ({percent(held['ratio'])}, "
                f"standard error {percent(held['standard_error'])}) hold {name} {held['limit']:g}"
            )
        print_line()
        for metric in _SHOWN:
            _print_tornado(each, metric)
    for note in found["notes"]:
        print_line(f"  note: {note}")
    if "page" in found:
        print_line(f"{found['page']}: {len(found['files'])} files")


def _print_parameters(parameters: list[dict[str, Any]]) -> None:
    rows = [
        (each["parameter"], _short(each["base"]), _short(each["low"]), _short(each["high"]), each["law"], each["kind"])
        for each in parameters
    ]
    print_table(("<uncertain", "scenario", "low", "high", "<law", "<kind"), rows)


def _print_quantiles(policy: dict[str, Any]) -> None:
    rows = [
        (metric.replace("_", " "), *(_shown(metric, value) for value in (policy["base"][metric], *quantiles.values())))
        for metric, quantiles in policy["quantiles"].items()
        # the ratio says the same in fewer digits
        if metric != "shortfall_tokens"
    ]
    names = list(next(iter(policy["quantiles"].values())))
    print_table(("<", "scenario", *names), rows)


def _print_tornado(policy: dict[str, Any], metric: str) -> None:
    rows = [
        (
            bar["parameter"],
            "chance" if bar["method"] == "seeds" else f"{_short(bar['from'])} to {_short(bar['to'])}",
            _shown(metric, bar["low"]),
            _shown(metric, bar["high"]),
            _shown(metric, bar["swing"]),
            # adding zero turns a minus zero, which rounding leaves, into plain zero
            "-" if bar["rank_correlation"] is None else f"{round(bar['rank_correlation'], 2) + 0.0:+.2f}",
        )
        for bar in policy["tornado"]
        if bar["metric"] == metric
    ]
    heads = (f"<{metric.replace('_', ' ')}: one at a time", "<from, to", "low end", "high end", "swing", "rank corr.")
    print_table(heads, rows)


def _shown(metric: str, value: float | None) -> str:
    """A figure for people."""
    if value is None:
        return "-"
    if metric.endswith("_usd"):
        return usd(value)
    if metric.endswith("_ratio"):
        return percent(value, 1 if metric == "margin_ratio" else 2)
    return f"{value:,.1f}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:,.5g}"
