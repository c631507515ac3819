"""Units that do both on their nodes: which place each has, and what a node does of which they have parts. Pure.

Places are numbered from 0, so many to a node. Units that join take the lowest places that are free, and those in the
highest places leave first, so that nodes fill up and come free one after the other. A node is held, and paid, as long
as any unit holds a part of it. Times are whole seconds from the start of the plan.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from planner.core.fleet.units import AGGREGATED
from planner.core.replay.intervals.lifetimes import Keeps, Life, Timing, leaving, staying

NODE_STATES = ("starting", "serving", "draining")
"""Of nodes that inference holds."""
KEPT = "kept"
"""Of nodes that inference does not hold, but whose GPUs have weights in memory for when units come back."""


@dataclass(frozen=True)
class NodeSpan:
    """Nodes that do one thing from one time to another. state: one of NODE_STATES, or KEPT."""

    state: str
    start_s: int
    end_s: int
    nodes: int


@dataclass(kw_only=True)
class _Run:
    """Units side by side that joined together and have not been told to leave. joined_s: before 0 for the first.

    timing: their own. warm: whether they came back to weights that were kept in their places.
    """

    place: int
    units: int
    joined_s: int
    timing: Timing
    warm: bool = False

    @property
    def end(self) -> int:
        return self.place + self.units


def packed_lives(counts: Sequence[int], timing: Timing, places: int, keeps: Keeps | None = None) -> list[Life]:
    """The lives of units on their places, by the units of every interval, at most as many as there are places.

    The first interval's units serve from the beginning. Units that join while leaving ones still hold all other places
    wait for these. keeps: what units leave in their places; None for nothing.
    """
    end_s = len(counts) * timing.interval_s
    runs = [_Run(place=0, units=counts[0], joined_s=-timing.start_up_s, timing=timing)] if counts[0] else []
    lives: list[Life] = []
    for index in range(1, len(counts)):
        at_s, change = index * timing.interval_s, counts[index] - counts[index - 1]
        if change < 0:
            lives += _leave(runs, -change, at_s)
        elif change > 0:
            joined = _join(runs, lives, change, at_s, places, timing)
            runs += [run for cold in joined for run in _called_back(cold, lives, keeps)]
            runs.sort(key=lambda run: run.place)
    lives += [staying(_life(run), run.joined_s, run.timing, end_s) for run in runs if run.joined_s < end_s]
    return [life.until(end_s) for life in lives]


def _life(run: _Run) -> Life:
    return Life(
        role=AGGREGATED, units=run.units, place=run.place, warm=run.warm, joined_s=0, ready_s=0, drain_s=0, left_s=0
    )


def _leave(runs: list[_Run], count: int, at_s: int) -> list[Life]:
    """End the lives of the units in the highest places at a boundary, or from it on."""
    lives = []
    while count:
        last = runs[-1]
        units = min(count, last.units)
        last.units -= units
        count -= units
        ended = leaving(_life(replace(last, place=last.end, units=units)), last.joined_s, at_s, last.timing)
        if ended is not None:
            lives.append(ended)
        if not last.units:
            runs.pop()
    return lives


def _join(
    runs: Sequence[_Run], lives: Sequence[Life], count: int, at_s: int, places: int, timing: Timing
) -> list[_Run]:
    """Units that join from a boundary on, each as soon as there is a place for it, the lowest first."""
    joined: list[_Run] = []
    drained = [life for life in lives if life.left_s > at_s]
    for moment in sorted({at_s, *(life.left_s for life in drained)}):
        taken = [(run.place, run.end) for run in (*runs, *joined)]
        taken += [(life.place, life.place + life.units) for life in drained if life.left_s > moment]
        for place, room in _free(sorted(taken), places):
            units = min(room, count)
            joined.append(_Run(place=place, units=units, joined_s=moment, timing=timing))
            count -= units
            if not count:
                return joined
    raise AssertionError("targets fit the fleet, so all units find a place once the others have left")


def _called_back(cold: _Run, lives: Sequence[Life], keeps: Keeps | None) -> list[_Run]:
    """A run that joins, of which those start warm in whose places there were units before.

    These are all places below some: a unit that joins in a place leaves before those in lower ones.
    """
    if keeps is None:
        return [cold]
    end = max((life.place + life.units for life in lives if life.loaded), default=0)
    back = min(max(end - cold.place, 0), cold.units)
    warm = replace(cold, units=back, timing=replace(cold.timing, start_up_s=keeps.start_up_s), warm=True)
    return [run for run in (warm, replace(cold, place=cold.place + back, units=cold.units - back)) if run.units]


def resting(lives: Sequence[Life], end_s: int) -> list[Life]:
    """What places keep after units have left, until others are there, as lives in which nothing else is done."""
    edges = sorted({place for life in lives for place in (life.place, life.place + life.units)})
    by_place: dict[int, list[Life]] = {}
    for life in sorted(lives, key=lambda life: life.joined_s):
        first, last = bisect_left(edges, life.place), bisect_left(edges, life.place + life.units)
        for place, after in pairwise(edges[first : last + 1]):
            by_place.setdefault(place, []).append(replace(life, place=place, units=after - place))
    rests = []
    for group in by_place.values():
        until = [life.joined_s for life in group[1:]] + [end_s]
        for life, until_s in zip(group, until, strict=True):
            if life.loaded and until_s > life.left_s:
                rests.append(life.resting(life.left_s, until_s))
    return rests


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
    for state, start_s, end_s in (*marks, ("draining", life.drain_s, life.left_s), (KEPT, life.left_s, life.kept_s)):
        if end_s > start_s:
            yield NodeSpan(state, start_s, end_s, nodes)


def _together(group: Sequence[Life], nodes: int) -> Iterator[NodeSpan]:
    """What a node does of which several lives have parts: it serves while any does, else starts while any does."""
    spans = [span for life in group for span in own_nodes(life, nodes)]
    marks = sorted({at for span in spans for at in (span.start_s, span.end_s)})
    order = ("serving", "starting", "draining", KEPT)  # what a node does, if its units do several things
    for start_s, end_s in pairwise(marks):
        doing = {span.state for span in spans if span.start_s <= start_s and span.end_s >= end_s}
        if doing:
            yield NodeSpan(min(doing, key=order.index), start_s, end_s, nodes)
