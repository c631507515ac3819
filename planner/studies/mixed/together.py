"""Replays of the pools of a mixed fleet, counted as one."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.core.replay.requests.kernels.layout import Records
from planner.core.replay.requests.missed import Missed
from planner.core.replay.requests.model import Span
from planner.studies.replay.account import StageResults


@dataclass(frozen=True)
class Together:
    """At least one replay of a window, each with its part of the requests: counts and histograms add up."""

    pools: tuple[StageResults, ...]

    @property
    def span(self) -> Span:
        """Of the window, which is the same for all; targets are each pool's own."""
        return self.pools[0].span

    @cached_property
    def histograms(self) -> dict[str, NDArray[np.int32]]:
        """By metric: (hours, classes, buckets)."""
        return {
            name: np.sum([pool.histograms[name] for pool in self.pools], axis=0, dtype=np.int32)
            for name in self.pools[0].histograms
        }

    @cached_property
    def missed(self) -> Missed:
        """Requests that were not done at the end and are outside a target."""
        return Missed(
            **{
                field.name: np.sum([getattr(pool.missed, field.name) for pool in self.pools], axis=0)
                for field in fields(Missed)
            }
        )

    def seconds(self, hour: int | None) -> float:
        """How long an hour of the window, or the whole window, is."""
        return self.pools[0].seconds(hour)

    def tallies(self, hour: int | None, classes: slice) -> tuple[Records, Records]:
        """Tallies of prefill and decode of an hour or of the whole window, and of some classes."""
        prefill, decode = zip(*(pool.tallies(hour, classes) for pool in self.pools), strict=True)
        return _added(prefill), _added(decode)


def _added(tallies: tuple[Records, ...]) -> Records:
    """The sum of records, number by number."""
    whole = np.zeros_like(tallies[0])
    for name in whole.dtype.names or ():
        whole[name] = sum(each[name] for each in tallies)
    return whole
