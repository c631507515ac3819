"""The one interface of every policy: a tick in, target units out. Pure.

A tick says what the policy may see of one interval, and nothing else: no policy can look ahead of what its
demand source allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from planner.fleet.deployment import Units


@dataclass(frozen=True)
class Seen:
    """Demand that a policy may see, in tokens per interval."""

    input_tokens: float
    output_tokens: float


@dataclass(frozen=True)
class Tick:
    """One decision. start: local time of the interval. seen: None where nothing can be seen yet."""

    start: datetime
    interval_s: int
    seen: Seen | None


class Policy(Protocol):
    """Decides the units that inference holds in each interval (occupancy).

    name: as in scenarios. ahead: whether targets are known before their interval begins, so that leaving units
    can drain before the boundary. uses_demand: whether `seen` is looked at. notes: what the reader should know.
    """

    @property
    def name(self) -> str: ...

    @property
    def ahead(self) -> bool: ...

    @property
    def uses_demand(self) -> bool: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def decide(self, tick: Tick) -> Units:
        """The target for the tick's interval."""
        ...


def decide_all(policy: Policy, starts: Sequence[datetime], interval_s: int, seen: Sequence[Seen | None]) -> list[Units]:
    """The policy's target for every interval. starts and seen: one per interval."""
    return [policy.decide(Tick(start, interval_s, visible)) for start, visible in zip(starts, seen, strict=True)]
