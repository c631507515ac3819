"""planner pricing."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, TraceName, now, scenario_of, store_at, with_trace
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd

if TYPE_CHECKING:
    from planner.studies.pricing.bases import Basis
    from planner.studies.pricing.document import LevelDocument, PricingDocument

_MOST_HOURS = 48


def pricing(
    scenario: ScenarioName = None,
    trace: TraceName = None,
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
        float, typer.Option("--sensitivity", metavar="G", help="Demand moves to where price ** -G is high. Assumed.")
    ] = 1.0,
    utilisation: Annotated[
        str | None,
        typer.Option(
            "--utilisation",
            metavar="U",
            help="What the rule means by utilisation: load-over-peak, nodes-over-fleet or load-per-node.",
        ),
    ] = None,
    ramp: Annotated[
        float | None,
        typer.Option(
            "--ramp", metavar="W", help="Range of utilisation over which a step's price ramps instead of jumping."
        ),
    ] = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Compare dynamic prices, by the clock or by utilisation, with list prices.

    Shows what a rule earns at the same volume, how customers respond, and the plan for that: nodes, cost, training,
    shortfall. Where prices follow utilisation and demand responds, both are iterated until they agree, and a note says
    if they do not. Nothing is stored. Exit code 3: the plan under the rule misses a limit that the scenario states.
    """
    from planner.core.economics.dynamic_pricing import Response
    from planner.errors import LimitMissed
    from planner.studies.pricing.document import describe_pricing
    from planner.studies.pricing.market import price
    from planner.studies.pricing.rules import choose_rule

    response = Response(elasticity, shift, sensitivity)
    chosen = choose_rule(rule, utilisation, ramp)
    loaded = scenario_of(scenario, with_trace(sets, trace))
    with progress_bar("drawing requests, settling prices") as progress:
        priced = price(store_at(db), loaded.scenario, chosen, response, now=now(), progress=progress)
    document = describe_pricing(priced)
    if as_json:
        print_json(document)
    else:
        _print(document)
    if document.missed_limits:
        raise LimitMissed("; ".join(document.missed_limits) + "; change the rule, the plan, or the limit")


def _print(document: "PricingDocument") -> None:
    rule, meaning = document.rule, document.utilisation
    print_line(f"{rule.name} on {document.scenario}, {document.policy}: {rule.description}")
    print_line(f"  {rule.provenance}: {rule.source}")
    for line in document.prices:
        print_line(f"  {line}")
    print_line(f"  utilisation is {meaning.definition}: {meaning.meaning}; load is what tokens earn at list price")
    print_line()
    _print_levels(document.levels)
    _print_bases(document.bases)
    _print_hours(document)
    for note in document.notes:
        print_line(f"  note: {note}")


def _print_levels(levels: "Sequence[LevelDocument]") -> None:
    """The totals, a column per price level."""
    from planner.studies.pricing.levels import TITLES

    figures: tuple[tuple[str, Callable[[LevelDocument], str]], ...] = (
        ("revenue", lambda level: usd(level.revenue_usd)),
        ("  over list prices", lambda level: percent_change(level.revenue_change_ratio)),
        ("cost of inference", lambda level: usd(level.cost_usd)),
        ("  over list prices", lambda level: percent_change(level.cost_change_ratio)),
        ("margin", lambda level: percent(level.margin_ratio)),
        ("nodes, mean", lambda level: f"{level.mean_nodes:,.2f}"),
        ("nodes, peak", lambda level: f"{level.peak_nodes:,}"),
        ("node-hours", lambda level: f"{level.node_hours:,.1f}"),
        ("training node-hours", lambda level: f"{level.training_node_hours:,.1f}"),
        ("input tokens, B", lambda level: billions(level.input_tokens)),
        ("output tokens, B", lambda level: billions(level.output_tokens)),
        ("shortfall tokens", lambda level: f"{level.shortfall_tokens:,}"),
    )
    rows = [(label, *map(figure, levels)) for label, figure in figures]
    print_table(("<", *(TITLES[level.level] for level in levels)), rows)


def _print_bases(bases: "Sequence[Basis]") -> None:
    """The rule on published hours and on the plan's own; prices are set once and nothing is planned again."""
    rows = [
        (
            basis.on,
            basis.utilisation or "-",
            *(percent_change(change.revenue_change_ratio) for change in basis.revenue_changes),
            percent_change(basis.filled_revenue_change_ratio),
            percent_change(basis.filled_nodes_change_ratio),
        )
        for basis in bases
    ]
    elasticities = [change.elasticity for change in bases[0].revenue_changes]
    heads = ["same volume" if not each else f"elasticity {each:g}" for each in elasticities]
    columns = ("<revenue over list prices, on", "<utilisation", *heads, "cheap hours filled", "node-hours for it")
    print_table(columns, rows)


def _print_hours(document: "PricingDocument") -> None:
    from planner.studies.pricing.levels import TITLES

    hours = document.hours
    rows = [
        (
            hour.start.isoformat(" ", "minutes"),
            f"{hour.price_ratio:.3f}",
            percent(hour.utilisation_before),
            percent(hour.utilisation),
            percent_change(hour.load_change_ratio),
            hour.mean_nodes_before,
            hour.mean_nodes,
            usd(hour.revenue_usd_before),
            usd(hour.revenue_usd),
        )
        for hour in hours[:_MOST_HOURS]
    ]
    heads = ("utilisation", "with rule", "load", "nodes", "with rule", "revenue", "with rule")
    print_line(f"by the hour, at list prices and with {TITLES[document.hours_of]}")
    print_table(("<hour", "price", *heads), rows)
    if len(hours) > _MOST_HOURS:
        print_line(f"{len(hours) - _MOST_HOURS} further hours: --json prints them all")


def billions(tokens: int) -> str:
    """A number of tokens in billions, as printed."""
    return f"{tokens / 1e9:,.2f}"


def percent_change(ratio: float | None) -> str:
    """A change in per cent, as printed."""
    # adding zero turns a minus zero, which rounding leaves, into plain zero
    return "-" if ratio is None else f"{round(ratio, 3) + 0.0:+.1%}"
