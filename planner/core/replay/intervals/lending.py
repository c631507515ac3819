"""Lending: which nodes inference leaves to training, and for how long. Pure.

Nodes are lent in the order in which they come free and called back newest first, so that long windows stay long.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from planner.settings.training import TrainingSettings


@dataclass(frozen=True)
class LentWindow:
    """Nodes lent together in [start_s, end_s); until useful_s their training job loads."""

    start_s: int
    useful_s: int
    end_s: int
    nodes: int

    @property
    def restoring_node_s(self) -> int:
        return (self.useful_s - self.start_s) * self.nodes

    @property
    def training_node_s(self) -> int:
        return (self.end_s - self.useful_s) * self.nodes


def steps_of(changes: Iterable[tuple[int, int]], first: int, end_s: int) -> list[tuple[int, int, int]]:
    """A step function as (from_s, to_s, level), from its changes (at_s, difference).

    Changes at or before 0 count as there from the start.
    """
    totals: dict[int, int] = {}
    for at_s, difference in changes:
        totals[max(at_s, 0)] = totals.get(max(at_s, 0), 0) + difference
    level = first + totals.pop(0, 0)
    steps, since = [], 0
    for at_s in sorted(totals):
        if at_s >= end_s:
            break
        if totals[at_s]:
            steps.append((since, at_s, level))
            since, level = at_s, level + totals[at_s]
    return [*steps, (since, end_s, level)]


def lend(free: Sequence[tuple[int, int, int]], settings: TrainingSettings) -> list[LentWindow]:
    """Windows of lent nodes. free: nodes that inference does not hold, as (from_s, to_s, nodes) without gaps.

    Nodes that are free from the beginning are taken to train already. Windows under min_window_s are left idle,
    unless the plan's start or end cuts them.
    """
    if not settings.lend:
        return []
    end_s = free[-1][1]
    stack: list[tuple[int, int]] = []
    windows: list[LentWindow] = []
    lent = 0

    def close(at_s: int, count: int) -> None:
        while count:
            since, nodes = stack.pop()
            taken = min(nodes, count)
            if taken < nodes:
                stack.append((since, nodes - taken))
            count -= taken
            start_s = max(since, 0)
            # a window that the plan's start or end cuts may be longer than it looks
            cut = since <= 0 or at_s == end_s
            if at_s > start_s and (cut or at_s - start_s >= settings.min_window_s):
                windows.append(LentWindow(start_s, min(max(since + settings.restore_s, 0), at_s), at_s, taken))

    for from_s, _, nodes in free:
        wanted = nodes if settings.max_nodes is None else min(nodes, settings.max_nodes)
        if wanted > lent:
            stack.append((from_s if from_s > 0 else -settings.restore_s, wanted - lent))
        else:
            close(from_s, lent - wanted)
        lent = wanted
    close(end_s, lent)
    return sorted(windows, key=lambda window: (window.start_s, window.end_s))
