"""Placing experts on GPUs, and counting the moves from an earlier placement."""

from dataclasses import dataclass
from pathlib import Path

from planner.core.fleet.experts import Layout, PlacementDocument, describe, moves, place, warm_up
from planner.studies.capacity.expert_loads import check_size, read_slots
from planner.units import Clock, Floats


@dataclass(frozen=True, kw_only=True)
class ExpertPlacement(PlacementDocument):
    """Experts of every layer on GPUs, and how they were placed there."""

    loads: str
    """The file of loads, or "drawn"."""
    seconds: float
    """Time that placing took."""
    moves: int | None
    """Copies to load onto GPUs that did not hold them in the earlier placement; null if none was given."""


def place_experts(
    loads: Floats, layout: Layout, *, source: str, search_s: float, previous: Path | None, clock: Clock
) -> ExpertPlacement:
    """Replicate the experts of every layer and place them.

    loads: (layers, experts). source: of the loads. search_s: seconds of local search at most. previous: what
    `planner experts --json` printed earlier. Raises PlannerError, UsageError.
    """
    check_size(len(loads), "layers", layout.replicas, "--replicas")
    before = None if previous is None else read_slots(previous, len(loads), layout.replicas)
    warm_up()
    begin = clock()
    placement = place(loads, layout, lambda: clock() - begin < search_s)
    seconds = clock() - begin
    return ExpertPlacement(
        **vars(describe(placement, loads.shape[1])),
        loads=source,
        seconds=seconds,
        moves=None if before is None else moves(before, placement.slots, layout.gpus),
    )
