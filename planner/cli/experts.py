"""planner experts."""

import time
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli.capacity import within
from planner.cli.options import Json
from planner.cli.output import print_json, print_line, print_table

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
        float, typer.Option("--search-s", callback=_SECONDS, help="Seconds of local search at most.")
    ] = 1.0,
    previous: Annotated[
        Path | None, typer.Option("--previous", metavar="FILE", help="An earlier --json; counts the moves from it.")
    ] = None,
    layers: Annotated[int, typer.Option("--layers", help="Layers to draw without --load.")] = 58,
    drawn_experts: Annotated[int, typer.Option("--experts", help="Experts to draw without --load.")] = 256,
    sigma: Annotated[float, typer.Option("--sigma", help="Spread of drawn loads: sigma of their logarithm.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of drawn loads.")] = 1,
    as_json: Json = False,
) -> None:
    """Replicate experts and place them on GPUs.

    Hierarchical where the nodes divide the expert groups, so that a group's experts stay on one node; global
    otherwise. Without --load, lognormal loads are drawn.
    """
    from planner.core.fleet.experts import Layout, document, moves, place, warm_up
    from planner.studies.capacity.expert_loads import check_size, draw_loads, read_loads, read_slots

    loads = draw_loads(layers, drawn_experts, sigma, seed) if load is None else read_loads(load)
    check_size(len(loads), "layers", replicas, "--replicas")
    layout = Layout(replicas, groups, nodes, gpus)
    before = read_slots(previous, len(loads), replicas) if previous else None
    warm_up()
    begin = time.perf_counter()
    placement = place(loads, layout, lambda: time.perf_counter() - begin < search_s)
    seconds = time.perf_counter() - begin
    found = {
        **document(placement, loads.shape[1]),
        "loads": "drawn" if load is None else str(load),
        "seconds": seconds,
        "moves": None if before is None else moves(before, placement.slots, gpus),
    }
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    layers = found["layers"]
    print_line(
        f"{len(layers)} layers of {len(layers[0]['replicas'])} experts, {found['policy']}, loads {found['loads']}"
    )
    print_line(
        f"  heaviest GPU over the mean: {found['balance_mean']:.4f} on average, {found['balance_worst']:.4f} at worst; "
        f"no placement is better than {found['bound_mean']:.4f}; {found['seconds']:.3f} s"
    )
    if found["moves"] is not None:
        print_line(f"  {found['moves']:,} copies have to be loaded that were not on their GPU before")
    rows = [(number, f"{layer['balance']:.4f}", f"{layer['bound']:.4f}") for number, layer in enumerate(layers)]
    print_table(("layer", "balance", "bound"), rows[:_MOST_LAYERS])
    if len(rows) > _MOST_LAYERS:
        print_line(f"{len(rows) - _MOST_LAYERS} further layers: --json prints them all, with every slot")
