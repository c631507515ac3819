"""planner pricing."""

from typing import Annotated, Any

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, now, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd

_MOST_HOURS = 48


def pricing(
    scenario: ScenarioName = None,
    rule: Annotated[
        str, typer.Option("--rule", metavar="RULE", help="off-peak, utilisation-blog, or the path of a TOML file.")
    ] = "off-peak",
    elasticity: Annotated[
        float,
        typer.Option("--elasticity", metavar="E", help="Volume is multiplied by price ** E; 0 or below. Assumed."),
    ] = 0.0,
    shift: Annotated[
        float, typer.Option("--shift", metavar="S", help="Share of demand that may move within 24 h. Assumed.")
    ] = 0.0,
    sensitivity: Annotated[
        float, typer.Option("--sensitivity", metavar="G", help="It goes where price ** -G is high. Assumed.")
    ] = 1.0,
    utilisation: Annotated[
        str | None,
        typer.Option(
            "--utilisation",
            metavar="U",
            help="What a rule means by it: load-over-peak, nodes-over-fleet or load-per-node.",
        ),
    ] = None,
    ramp: Annotated[
        float | None,
        typer.Option("--ramp", metavar="W", help="Width of utilisation over which a step's price moves, not jumps."),
    ] = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Dynamic prices: by the clock or by utilisation, against list prices.

    What a rule earns at the same volume, what customers do about it, and the plan for that: nodes, cost, training,
    shortfall. Where prices follow utilisation and demand answers, both are iterated until they agree, or it is said
    that they do not. Nothing is stored. Exit code 3: the plan under the rule misses a limit that the scenario states.
    """
    from planner.core.economics.dynamic_pricing import Response
    from planner.errors import LimitMissed
    from planner.studies.pricing.market import price, rule_of
    from planner.studies.pricing.summary import document, missed

    response = Response(elasticity, shift, sensitivity)
    chosen = rule_of(rule, utilisation, ramp)
    loaded = scenario_of(scenario, sets)
    with progress_bar("drawing requests, settling prices") as progress:
        priced = price(store_at(db), loaded.scenario, chosen, response, now=now(), progress=progress)
    found = document(priced)
    if as_json:
        print_json(found)
    else:
        _print(found)
    limits = missed(priced)
    if limits:
        raise LimitMissed("; ".join(limits) + "; change the rule, the plan, or the limit")


def _print(found: dict[str, Any]) -> None:
    rule = found["rule"]
    print_line(f"{rule['name']} on {found['scenario']}, {found['policy']}: {rule['description']}")
    print_line(f"  {rule['provenance']}: {rule['source']}")
    for line in found["prices"]:
        print_line(f"  {line}")
    meaning = found["utilisation"]
    print_line(
        f"  utilisation is {meaning['definition']}: {meaning['meaning']}; load is what tokens earn at list price"
    )
    print_line()
    _print_levels(found["levels"])
    _print_bases(found)
    _print_hours(found)
    for note in found["notes"]:
        print_line(f"  note: {note}")


def _print_levels(levels: list[dict[str, Any]]) -> None:
    """The totals, a column per way to price."""
    from planner.studies.pricing.summary import TITLES

    rows = [
        ("revenue", [usd(each["revenue_usd"]) for each in levels]),
        ("  over list prices", [percent_change(each["revenue_change_ratio"]) for each in levels]),
        ("cost of inference", [usd(each["cost_usd"]) for each in levels]),
        ("  over list prices", [percent_change(each["cost_change_ratio"]) for each in levels]),
        ("margin", [percent(each["margin_ratio"]) for each in levels]),
        ("nodes, mean", [f"{each['mean_nodes']:,.2f}" for each in levels]),
        ("nodes, peak", [f"{each['peak_nodes']:,}" for each in levels]),
        ("node-hours", [f"{each['node_hours']:,.1f}" for each in levels]),
        ("training node-hours", [f"{each['training_node_hours']:,.1f}" for each in levels]),
        ("input tokens, B", [f"{each['input_tokens'] / 1e9:,.2f}" for each in levels]),
        ("output tokens, B", [f"{each['output_tokens'] / 1e9:,.2f}" for each in levels]),
        ("shortfall tokens", [f"{each['shortfall_tokens']:,}" for each in levels]),
    ]
    print_table(("<", *(TITLES[each["level"]] for each in levels)), [(label, *cells) for label, cells in rows])


def _print_bases(found: dict[str, Any]) -> None:
    """The rule on published hours and on the plan's own, prices set once, nothing planned anew."""
    rows = [
        (
            basis["on"],
            basis["utilisation"] or "-",
            *(percent_change(change["revenue_change_ratio"]) for change in basis["revenue_changes"]),
            percent_change(basis["filled_revenue_change_ratio"]),
            percent_change(basis["filled_nodes_change_ratio"]),
        )
        for basis in found["bases"]
    ]
    elasticities = [change["elasticity"] for change in found["bases"][0]["revenue_changes"]]
    heads = ["same volume" if not each else f"elasticity {each:g}" for each in elasticities]
    columns = ("<revenue over list prices, on", "<utilisation", *heads, "cheap hours filled", "node-hours for it")
    print_table(columns, rows)


def _print_hours(found: dict[str, Any]) -> None:
    from planner.studies.pricing.summary import TITLES

    hours = found["hours"]
    rows = [
        (
            f"{hour['start'][:10]} {hour['start'][11:16]}{hour['start'][19:]}",
            f"{hour['price_ratio']:.3f}",
            percent(hour["utilisation_before"]),
            percent(hour["utilisation"]),
            percent_change(hour["load_change_ratio"]),
            hour["mean_nodes_before"],
            hour["mean_nodes"],
            usd(hour["revenue_usd_before"]),
            usd(hour["revenue_usd"]),
        )
        for hour in hours[:_MOST_HOURS]
    ]
    heads = ("utilisation", "with rule", "load", "nodes", "with rule", "revenue", "with rule")
    print_line(f"by the hour, at list prices and with {TITLES[found['hours_of']]}")
    print_table(("<hour", "price", *heads), rows)
    if len(hours) > _MOST_HOURS:
        print_line(f"{len(hours) - _MOST_HOURS} further hours: --json has them")


def percent_change(ratio: float | None) -> str:
    """A change in per cent for people."""
    # adding zero turns a minus zero, which rounding leaves, into plain zero
    return "-" if ratio is None else f"{round(ratio, 3) + 0.0:+.1%}"
