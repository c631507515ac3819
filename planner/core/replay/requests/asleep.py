"""Times in which no unit of some role takes work, so that requests that come wait for one to start. Pure."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from planner.core.replay.requests.model import Lives, Requests, Span
from planner.units import Floats


class SleepCount:
    """Counts requests that come while a role has no unit that takes work.

    requests: those of the counted window so far.
    """

    def __init__(self, lives: Mapping[str, Lives], span: Span) -> None:
        without = np.concatenate([times_without(each, span.end_us) for each in lives.values()])
        self._begin_us, self._end_us = np.sort(without[:, 0]), np.sort(without[:, 1])
        self._span = span
        self.requests = 0

    def passing(self, batches: Iterable[Requests]) -> Iterator[Requests]:
        """The same batches, counted as they pass."""
        for requests in batches:
            self.count(requests.arrival_us.astype(np.float64))
            yield requests

    def count(self, arrival_us: Floats) -> None:
        """Count requests that come at these times."""
        if not len(self._begin_us):
            return
        begun, ended = (np.searchsorted(edges, arrival_us, "right") for edges in (self._begin_us, self._end_us))
        self.requests += int(np.count_nonzero((begun > ended) & self._span.counts(arrival_us)))


def times_without(lives: Lives, end_us: float) -> Floats:
    """When no unit of a role takes work up to an end: (times, 2), from and to."""
    takes = lives.serve_us < lives.stop_us
    order = np.argsort(lives.serve_us[takes], kind="stable")
    begin_us = np.append(lives.serve_us[takes][order], end_us)
    until_us = np.maximum.accumulate(np.insert(lives.stop_us[takes][order], 0, 0.0))
    times = np.column_stack([until_us, np.minimum(begin_us, end_us)])
    without: Floats = times[times[:, 1] > times[:, 0]]
    return without
