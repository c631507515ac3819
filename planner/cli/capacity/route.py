"""planner capacity route."""

from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.capacity.heading import print_notes
from planner.cli.capacity.options import Settings, naming_fields_alone
from planner.cli.options import Json
from planner.cli.output import print_json, print_line, print_table, usd
from planner.errors import UsageError

if TYPE_CHECKING:
    from planner.studies.capacity.mixed_fleet import MixRouting

_OF_A_MIX = ("hardware", "model", "weights", "redundant_experts", "tensor_parallel")
"""Fields of fleet.engine that each pool of a mix sets for itself."""


def route(
    mix: Annotated[str, typer.Argument(metavar="MIX", help="A built-in mix or a TOML file.")] = "h800-a100-h20",
    sets: Settings = None,
    as_json: Json = False,
) -> None:
    """Route request classes over a mixed fleet at the lowest cost.

    Every class goes where its time per token, its time to the first token and the memory allow it. For comparison,
    the routing in proportion to capacity is shown too.
    """
    from planner.studies.capacity.mixed_fleet import route_mix
    from planner.studies.capacity.study import engine_settings

    overwritten = [name for name in (item.partition("=")[0].strip() for item in sets or []) if name in _OF_A_MIX]
    if overwritten:
        raise UsageError(
            f"--set {', '.join(overwritten)}: is set by the mix and the catalogue for each pool; leave it out"
        )
    with naming_fields_alone():
        settings = engine_settings(sets or [])
    routing = route_mix(mix, settings)
    if as_json:
        print_json(routing)
    else:
        _print(routing)


def _print(routing: "MixRouting") -> None:
    cheapest, even = routing.cheapest, routing.proportional
    print_line(
        f"{routing.mix}, {routing.model}: {usd(cheapest.usd_per_hour)} an hour by the cheapest routing, "
        f"{usd(even.usd_per_hour)} in proportion to capacity"
        + ("" if routing.proportional_fits else ", which needs more nodes than the fleet has")
    )
    _print_classes(routing)
    pools = [
        (
            pool.name,
            pool.nodes,
            f"{pool.nodes_used:,.1f}",
            f"{other.nodes_used:,.1f}",
            f"${pool.shadow_price_usd_per_node_hour:,.2f}",
        )
        for pool, other in zip(cheapest.pools, even.pools, strict=True)
    ]
    print_table(("<node", "nodes", "cheapest uses", "proportional uses", "one more saves/h"), pools)
    print_notes(routing.notes)


def _print_classes(routing: "MixRouting") -> None:
    fits = {(fit.name, fit.node): fit for fit in routing.fits}
    rows = []
    for mine, other in zip(routing.cheapest.classes, routing.proportional.classes, strict=True):
        for node, rate in mine.requests_per_s_by_pool.items():
            fit = fits[mine.name, node]
            cost = fit.usd_per_thousand_requests
            rows.append(
                (
                    mine.name,
                    node,
                    None if cost is None else f"${cost:,.3f}",
                    f"{rate:,.1f}",
                    f"{other.requests_per_s_by_pool[node]:,.1f}",
                    fit.why,
                )
            )
    print_table(("<class", "<node", "$/1000 requests", "cheapest req/s", "proportional req/s", "<why"), rows)
