"""Requests of a load that is changed: repeated or left out at random by a seed, minute by minute. Pure.

A factor above 1 repeats requests, the copies arriving at any moment of the same minute; below 1 it leaves some out.
Which ones depends on the seed and the minute alone, so that a window is the same part of the whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from planner.core.replay.requests.model import Requests
from planner.units import US_PER_MINUTE, Ints

_STREAM = 2
_LEAST_ROWS = 500_000
"""Requests of a chunk that is passed on: many minutes at once, where they are quiet."""
_COLUMNS = Requests.COLUMNS


@dataclass(frozen=True, kw_only=True)
class MinuteTargets:
    """How many requests each minute of a window has, and how many it is to have. Arrays (minutes,).

    start_us: of the first minute, UTC epoch microseconds.
    """

    start_us: int
    rows: Ints
    targets: Ints

    def between(self, start_us: int, end_us: int) -> "MinuteTargets":
        """The minutes from one moment to another, both on whole minutes from the start."""
        part = slice((start_us - self.start_us) // US_PER_MINUTE, (end_us - self.start_us) // US_PER_MINUTE)
        return MinuteTargets(start_us=start_us, rows=self.rows[part], targets=self.targets[part])


def minute_targets(start_us: int, rows: Ints, wanted: Ints) -> MinuteTargets:
    """The requests of every minute where an interval is to have some: shared out as its own are.

    start_us: of the first interval. rows: of every minute, (intervals * minutes,). wanted: of every interval,
    (intervals,); none where it has none.
    """
    per_interval = rows.reshape(len(wanted), -1)
    running = np.cumsum(per_interval, axis=1)
    share = wanted[:, np.newaxis] / np.maximum(running[:, -1:], 1)
    running = np.rint(running * share).astype(np.int64)
    return MinuteTargets(start_us=start_us, rows=rows, targets=np.diff(running, axis=1, prepend=0).ravel())


def resample(batches: Iterator[Requests], minutes: MinuteTargets, origin_us: int, seed: int) -> Iterator[Requests]:
    """The requests of a window, repeated and left out so that every minute has its target.

    batches: in order of arrival, times from the origin, without blocks; as many in each minute as `minutes` says.
    origin_us: UTC epoch microseconds, where the minutes begin. Copies belong to no session.
    """
    ends = np.cumsum(minutes.rows)
    held: Sequence[Ints] = [np.zeros(0, np.int64)] * len(_COLUMNS)
    passed = first = 0
    made: list[Sequence[Ints]] = []
    for batch in batches:
        held = [np.concatenate([before, getattr(batch, name)]) for before, name in zip(held, _COLUMNS, strict=True)]
        # the last minute of a chunk may go on in the next
        complete = int(np.searchsorted(ends, passed + len(held[0]), side="right"))
        for minute in range(first, complete):
            count = int(minutes.rows[minute])
            if count:
                rows = [column[:count] for column in held]
                made.append(_minute(rows, minutes, minute, origin_us, seed))
                held = [column[count:] for column in held]
                passed += count
        first = complete
        if sum(len(columns[0]) for columns in made) >= _LEAST_ROWS:
            yield _chunk(made)
            made = []
    if made:
        yield _chunk(made)


def _minute(rows: Sequence[Ints], minutes: MinuteTargets, minute: int, origin_us: int, seed: int) -> Sequence[Ints]:
    """The columns of a minute's requests, repeated and left out at random, in order of arrival."""
    count, target = len(rows[0]), int(minutes.targets[minute])
    begin_us = minutes.start_us + minute * US_PER_MINUTE
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM, begin_us // US_PER_MINUTE)))
    each, more = divmod(target, count)
    copies = np.full(count, each, np.int64)
    copies[random.permutation(count)[:more]] += 1
    kept = np.flatnonzero(copies)
    if target == len(kept):
        return [column[kept] for column in rows]
    again = np.repeat(np.arange(count), np.maximum(copies - 1, 0))
    columns = {name: np.concatenate([column[kept], column[again]]) for name, column in zip(_COLUMNS, rows, strict=True)}
    drawn = np.sort(random.integers(0, US_PER_MINUTE, len(again)))
    columns["arrival_us"][len(kept) :] = begin_us - origin_us + drawn
    columns["session_id"][len(kept) :] = -1
    # two runs in order, which a stable sort merges
    order = np.argsort(columns["arrival_us"], kind="stable")
    return [columns[name][order] for name in _COLUMNS]


def _chunk(made: Sequence[Sequence[Ints]]) -> Requests:
    columns = (np.concatenate(parts) for parts in zip(*made, strict=True))
    return Requests(**dict(zip(_COLUMNS, columns, strict=True)))
