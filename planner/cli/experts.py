"""planner experts."""

import time
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Json
from planner.cli.output import print_json, print_line, print_table
from planner.cli.ranges import MOST_SEED, within

if TYPE_CHECKING:
    from planner.studies.capacity.experts import ExpertPlacement

_MOST_LAYERS = 12
_SECONDS = within("give a number of seconds, inf for no limit", 0, inf)


def experts(
    load: Annotated[
        Path | None, typer.Option("--load", metavar="FILE", help="Loads: CSV, Parquet or NPY, a row per layer.")
    ] = None,
    replicas: Annotated[int, typer.Option("--replicas", metavar="R", help="Physical slots over all GPUs.")] = 288,
    groups: Annotated[int, typer.Option("--groups", metavar="G", help="Expert groups of the model.")] = 8,
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", help="Nodes to place on.")] = 18,
    gpus: Annotated[int, typer.Option("--gpus", metavar="P", help="GPUs over all nodes.")] = 144,
    search_s: Annotated[
        float, typer.Option("--search-s", callback=_SECONDS, help="Time limit of the local search, seconds.")
    ] = 1.0,
    previous: Annotated[
        Path | None, typer.Option("--previous", metavar="FILE", help="Earlier --json output; counts moves from it.")
    ] = None,
    layers: Annotated[int, typer.Option("--layers", help="Layers to draw without --load.")] = 58,
    drawn_experts: Annotated[int, typer.Option("--experts", help="Experts to draw without --load.")] = 256,
    sigma: Annotated[float, typer.Option("--sigma", help="Spread of drawn loads: sigma of their logarithm.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", max=MOST_SEED, help="Seed of drawn loads.")] = 1,
    as_json: Json = False,
) -> None:
    """Replicate experts and place them on GPUs.

    Hierarchical where the nodes divide the expert groups, so that a group's experts stay on one node; global
    otherwise. Without --load, lognormal loads are drawn.
    """
    from planner.core.fleet.experts import Layout
    from planner.studies.capacity.expert_loads import draw_loads, read_loads
    from planner.studies.capacity.experts import place_experts

    placement = place_experts(
        draw_loads(layers, drawn_experts, sigma, seed) if load is None else read_loads(load),
        Layout(replicas=replicas, groups=groups, nodes=nodes, gpus=gpus),
        source="drawn" if load is None else str(load),
        search_s=search_s,
        previous=previous,
        clock=time.perf_counter,
    )
    if as_json:
        print_json(placement)
    else:
        _print(placement)


def _print(placement: "ExpertPlacement") -> None:
    layers = placement.layers
    print_line(
        f"{len(layers)} layers of {len(layers[0].replicas)} experts, {placement.policy}, loads {placement.loads}"
    )
    print_line(
        f"  heaviest GPU over the mean: {placement.balance_mean:.4f} on average, {placement.balance_worst:.4f} at "
        f"worst; no placement is better than {placement.bound_mean:.4f}; {placement.seconds:.3f} s"
    )
    if placement.moves is not None:
        print_line(f"  {placement.moves:,} copies have to be loaded onto GPUs that did not hold them before")
    rows = [(number, f"{layer.balance:.4f}", f"{layer.bound:.4f}") for number, layer in enumerate(layers)]
    print_table(("layer", "balance", "bound"), rows[:_MOST_LAYERS])
    if len(rows) > _MOST_LAYERS:
        print_line(f"{len(rows) - _MOST_LAYERS} further layers: --json prints them all, with every slot")
