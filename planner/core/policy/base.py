"""The interface of all policies: a tick in, target units out. Pure.

A tick says what the policy may see at one interval, and nothing else: no policy can look ahead of what its
demand source allows. Only the targets so far are remembered; cooldowns are read from them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol, overload

from planner.core.fleet.units import Units


@dataclass(frozen=True)
class Seen:
    """Demand that a policy may see, in tokens per interval."""

    input_tokens: float
    output_tokens: float

    def only(self, role: str) -> "Seen":
        """The demand of one role, and none of the other."""
        return Seen(self.input_tokens, 0.0) if role == "prefill" else Seen(0.0, self.output_tokens)


class Sight(IntEnum):
    """What a policy looks at, from nothing to everything."""

    NOTHING = 0
    OBSERVED = 1
    """The demand of the interval before."""
    SOURCE = 2
    """What the scenario's demand source says about coming demand."""
    TRACE = 3
    """The trace's own demand, whatever the demand source."""


NONE = Units()


class PastTargets(Sequence[Units]):
    """The first targets of a growing list, less some units of each role, or those of one role; a view, not a copy."""

    def __init__(self, targets: Sequence[Units], length: int, less: Units = NONE, role: str | None = None) -> None:
        self._targets, self._length, self._less, self._role = targets, length, less, role

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Units: ...
    @overload
    def __getitem__(self, index: slice) -> list[Units]: ...

    def __getitem__(self, index: int | slice) -> Units | list[Units]:
        if isinstance(index, slice):
            return [self[place] for place in range(self._length)[index]]
        own = self._targets[range(self._length)[index]] - self._less
        return own.only(self._role) if self._role else own


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One decision.

    start: local time of the interval. observed: actual demand of the interval before; None where nothing was. coming:
    what the demand source says about this interval and those after it, as many as the policy asks for and the plan has;
    empty where nothing can be seen. past: the targets so far, oldest first.
    """

    start: datetime
    interval_s: int
    observed: Seen | None
    coming: tuple[Seen, ...]
    past: Sequence[Units]


class Policy(Protocol):
    """Decides the units that inference holds in each interval (occupancy): a pure function of the tick.

    name: as in scenarios. ahead: whether targets are known before their interval begins, so that leaving units can
    drain before the boundary. sight: what it looks at. lead_s: how far beyond the interval's start it looks
    ahead. notes: remarks for the reader.
    """

    @property
    def name(self) -> str: ...

    @property
    def ahead(self) -> bool: ...

    @property
    def sight(self) -> Sight: ...

    @property
    def lead_s(self) -> int: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def decide(self, tick: Tick) -> Units:
        """The target for the tick's interval."""
        ...


def lead_intervals(policy: Policy, interval_s: int) -> int:
    """Intervals that a policy asks to see: the one that it decides, and those that its lead reaches into."""
    return 1 + -(-policy.lead_s // interval_s)


def decide_all(
    policy: Policy,
    starts: Sequence[datetime],
    interval_s: int,
    observed: Sequence[Seen | None],
    coming: Sequence[tuple[Seen, ...]],
) -> list[Units]:
    """The policy's target for every interval. starts, observed and coming: one per interval, as in a tick."""
    targets: list[Units] = []
    for index, (start, before, ahead) in enumerate(zip(starts, observed, coming, strict=True)):
        targets.append(
            policy.decide(
                Tick(
                    start=start, interval_s=interval_s, observed=before, coming=ahead, past=PastTargets(targets, index)
                )
            )
        )
    return targets


def changes_within(tick: Tick, seconds: int) -> Iterator[tuple[Units, Units]]:
    """Targets before and after each boundary that lies less than so many seconds before the tick, newest first."""
    past = tick.past
    for ago in range(1, min(-(-seconds // tick.interval_s), len(past))):
        yield past[-ago - 1], past[-ago]


def largest(demands: Sequence[Seen]) -> Seen:
    """The largest demand of each kind of token; at least one demand."""
    return Seen(max(seen.input_tokens for seen in demands), max(seen.output_tokens for seen in demands))
