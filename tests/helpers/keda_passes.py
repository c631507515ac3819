"""How an HPA reads the triggers of a ScaledObject: one after another, pass after pass, and what it makes of them."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.helpers.export_rules import ZoneClock

LOOP_S = 15
"""Seconds between two passes."""


@dataclass(frozen=True)
class Reader:
    """The triggers of a ScaledObject over a time. Moments are seconds since the start of the clock."""

    triggers: tuple[tuple[list[int], list[int], int], ...]
    least: int
    stabilization_s: int

    def open(self, at_s: float) -> int:
        """Replicas if all triggers are read at one moment."""
        return max([self.least, *(self._value(number, at_s) for number in range(len(self.triggers)))])

    def pass_from(self, at_s: float, gap_s: float) -> int:
        """Replicas as a pass reads them, with so long between two triggers."""
        return max([self.least, *(self._value(number, at_s + number * gap_s) for number in range(len(self.triggers)))])

    def edges_s(self) -> list[int]:
        """Moments at which a trigger opens or closes."""
        return sorted({at * 60 for starts, ends, _ in self.triggers for at in (*starts, *ends)})

    def passes_around(self, edge_s: int, phase_s: float, gap_s: float) -> Iterator[tuple[int, int]]:
        """What passes around an edge read, and the replicas that the HPA keeps; the first are read well before it."""
        read: list[tuple[float, int]] = []
        at_s = edge_s - 6 * LOOP_S + phase_s
        while at_s < edge_s + 6 * LOOP_S:
            read.append((at_s, self.pass_from(at_s, gap_s)))
            # the most that was asked for within the window, this pass included
            held = max(asked for then, asked in read if at_s - then <= self.stabilization_s)
            yield read[-1][1], held
            at_s += LOOP_S

    def _value(self, number: int, at_s: float) -> int:
        starts, ends, replicas = self.triggers[number]
        start, end = (_next(times, at_s) for times in (starts, ends))
        return replicas if end < start else 0


def _next(minutes: list[int], at_s: float) -> float:
    place = bisect_right(minutes, at_s / 60)
    return minutes[place] if place < len(minutes) else float("inf")


def reader(scaled_object: dict[str, Any], clock: ZoneClock) -> Reader:
    """A reader of a ScaledObject; the times around the clock's count as well."""
    spec = scaled_object["spec"]
    first = clock.inside.start
    triggers = tuple(
        (
            *((np.flatnonzero(clock.fires(trigger["metadata"][key])) - first).tolist() for key in ("start", "end")),
            int(trigger["metadata"]["desiredReplicas"]),
        )
        for trigger in spec["triggers"]
    )
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return Reader(triggers, spec["minReplicaCount"], behavior["scaleDown"]["stabilizationWindowSeconds"])
