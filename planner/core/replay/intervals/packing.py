"""Units that do both on their nodes: which place each has, and what a node does of which they have parts. Pure.

Places are numbered from 0, so many to a node. Units that join take the lowest places that are free, and those in the
highest places leave first, so that nodes fill up and come free one after the other. A node is held, and paid, as long
as any unit holds a part of it. Times are whole seconds from the start of the plan.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from planner.core.fleet.units import AGGREGATED
from planner.core.replay.intervals.lifetimes import Life, Timing, leaving, staying

NODE_STATES = ("starting", "serving", "draining")
"""Of nodes that inference holds."""


@dataclass(frozen=True)
class NodeSpan:
    """Nodes that do one thing from one time to another. state: one of NODE_STATES."""

    state: str
    start_s: int
    end_s: int
    nodes: int


@dataclass
class _Run:
    """Units side by side that joined together and have not been told to leave. joined_s: before 0 for the first."""

    place: int
    units: int
    joined_s: int

    @property
    def end(self) -> int:
        return self.place + self.units


def packed_lives(counts: Sequence[int], timing: Timing, places: int) -> list[Life]:
    """The lives of units on their places, by the units of every interval, at most as many as there are places.

    The first interval's units serve from the beginning. Units that join while leaving ones still hold all other places
    wait for these.
    """
    end_s = len(counts) * timing.interval_s
    runs = [_Run(0, counts[0], -timing.start_up_s)] if counts[0] else []
    lives: list[Life] = []
    for index in range(1, len(counts)):
        at_s, change = index * timing.interval_s, counts[index] - counts[index - 1]
        if change < 0:
            lives += _leave(runs, -change, at_s, timing)
        elif change > 0:
            runs += _join(runs, lives, change, at_s, places)
            runs.sort(key=lambda run: run.place)
    lives += [staying(_life(run), run.joined_s, timing, end_s) for run in runs if run.joined_s < end_s]
    return [life.until(end_s) for life in lives]


def _life(run: _Run) -> Life:
    return Life(role=AGGREGATED, units=run.units, place=run.place, joined_s=0, ready_s=0, drain_s=0, left_s=0)


def _leave(runs: list[_Run], count: int, at_s: int, timing: Timing) -> list[Life]:
    """End the lives of the units in the highest places at a boundary, or from it on."""
    lives = []
    while count:
        last = runs[-1]
        units = min(count, last.units)
        last.units -= units
        count -= units
        ended = leaving(_life(_Run(last.end, units, last.joined_s)), last.joined_s, at_s, timing)
        if ended is not None:
            lives.append(ended)
        if not last.units:
            runs.pop()
    return lives


def _join(runs: Sequence[_Run], lives: Sequence[Life], count: int, at_s: int, places: int) -> list[_Run]:
    """Units that join from a boundary on, each as soon as there is a place for it, the lowest first."""
    joined: list[_Run] = []
    drained = [life for life in lives if life.left_s > at_s]
    for moment in sorted({at_s, *(life.left_s for life in drained)}):
        taken = [(run.place, run.end) for run in (*runs, *joined)]
        taken += [(life.place, life.place + life.units) for life in drained if life.left_s > moment]
        for place, room in _free(sorted(taken), places):
            units = min(room, count)
            joined.append(_Run(place, units, moment))
            count -= units
            if not count:
                return joined
    raise AssertionError("targets fit the fleet, so all units find a place once the others have left")


def _free(taken: Sequence[tuple[int, int]], places: int) -> Iterator[tuple[int, int]]:
    """Places that are free, as (first, number), by those that are taken, in order."""
    place = 0
    for start, end in taken:
        if start > place:
            yield place, start - place
        place = max(place, end)
    if place < places:
        yield place, places - place


def node_spans(lives: Sequence[Life], units_per_node: int, unit_nodes: int) -> list[NodeSpan]:
    """What nodes do, by the lives of units on them. unit_nodes: of a unit that has whole ones."""
    spans: list[NodeSpan] = []
    shared: dict[int, list[Life]] = {}
    for life in lives:
        begin, end = -(-life.place // units_per_node), (life.place + life.units) // units_per_node
        if end > begin:
            spans += own_nodes(life, (end - begin) * unit_nodes)
        edges = {place // units_per_node for place in (life.place, life.place + life.units) if place % units_per_node}
        for node in edges:
            shared.setdefault(node, []).append(life)
    for group in shared.values():
        spans += _together(group, unit_nodes)
    return spans


def own_nodes(life: Life, nodes: int) -> Iterator[NodeSpan]:
    """What nodes do that one life has whole."""
    marks = (("starting", life.joined_s, life.ready_s), ("serving", life.ready_s, life.drain_s))
    for state, start_s, end_s in (*marks, ("draining", life.drain_s, life.left_s)):
        if end_s > start_s:
            yield NodeSpan(state, start_s, end_s, nodes)


def _together(group: Sequence[Life], nodes: int) -> Iterator[NodeSpan]:
    """What a node does of which several lives have parts: it serves while any does, else starts while any does."""
    spans = [span for life in group for span in own_nodes(life, nodes)]
    marks = sorted({at for span in spans for at in (span.start_s, span.end_s)})
    order = ("serving", "starting", "draining")  # what a node does, if its units do several things
    for start_s, end_s in pairwise(marks):
        doing = {span.state for span in spans if span.start_s <= start_s and span.end_s >= end_s}
        if doing:
            yield NodeSpan(min(doing, key=order.index), start_s, end_s, nodes)
