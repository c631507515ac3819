"""Times in which no unit of some role takes work, so that requests that come wait for one to start. Pure."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from planner.core.replay.requests.model import Lives, Requests, Span
from planner.units import Bools, Floats


class SleepCount:
    """Counts requests that come while a role has no unit that takes work.

    planned: the units of each role if none failed. for_start: those of the counted window so far that came while a role
    had none of these. for_repair: the others, which came while all that a role had were down.
    """

    def __init__(self, lives: Mapping[str, Lives], planned: Mapping[str, Lives], span: Span) -> None:
        self._without, self._asleep = _Gaps(lives, span.end_us), _Gaps(planned, span.end_us)
        self._span = span
        self.for_start = self.for_repair = 0

    def passing(self, batches: Iterable[Requests]) -> Iterator[Requests]:
        """The same batches, counted as they pass."""
        for requests in batches:
            if self._without.any:
                self.count(requests.arrival_us.astype(np.float64))
            yield requests

    def count(self, arrival_us: Floats) -> None:
        """Requests that come at these times."""
        counts = self._span.counts(arrival_us)
        for_start = self._asleep.hold(arrival_us) & counts
        self.for_start += int(np.count_nonzero(for_start))
        self.for_repair += int(np.count_nonzero(self._without.hold(arrival_us) & counts & ~for_start))


class _Gaps:
    """Times in which some role has no unit that takes work."""

    def __init__(self, lives: Mapping[str, Lives], end_us: float) -> None:
        without = np.concatenate([times_without(each, end_us) for each in lives.values()])
        self._begin_us, self._end_us = np.sort(without[:, 0]), np.sort(without[:, 1])

    @property
    def any(self) -> bool:
        return len(self._begin_us) > 0

    def hold(self, at_us: Floats) -> Bools:
        """Whether each moment is in one of them."""
        begun, ended = (np.searchsorted(edges, at_us, "right") for edges in (self._begin_us, self._end_us))
        inside: Bools = begun > ended
        return inside


def times_without(lives: Lives, end_us: float) -> Floats:
    """When no unit of a role takes work up to an end: (times, 2), from and to."""
    takes = lives.serve_us < lives.stop_us
    order = np.argsort(lives.serve_us[takes], kind="stable")
    begin_us = np.append(lives.serve_us[takes][order], end_us)
    until_us = np.maximum.accumulate(np.insert(lives.stop_us[takes][order], 0, 0.0))
    times = np.column_stack([until_us, np.minimum(begin_us, end_us)])
    without: Floats = times[times[:, 1] > times[:, 0]]
    return without
