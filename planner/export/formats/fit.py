"""Makes a pattern fit a target that takes only so many entries: levels are raised, never lowered. Pure.

Days are sorted into groups that share one schedule, and each group gets steps that hold until the next. Of all such
schedules within the limit, the one that raises levels least is found by dynamic programming: over the steps of a group,
then over the groups of a week. How many entries a target needs for it is known only then, and may be fewer than it
takes, so levels are lowered again where that costs no entry too many.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from planner.export.formats.recurrence import MINUTES_PER_DAY, Pattern
from planner.units import Ints

_SLOT = 15
"""Minutes: levels of a pattern that does not fit change at multiples of these only."""
_MORE = 10
"""Steps tried beyond those that the halving of their range has found."""
_FAR = np.iinfo(np.int64).max // 4
"""More than any schedule costs."""


@dataclass(frozen=True)
class _Steps:
    """The best schedules of a group of days. cost: unit-slots by number of steps; cuts: where the last step begins."""

    days: tuple[int, ...]
    envelope: Ints
    cost: Ints
    cuts: Ints

    def levels(self, steps: int) -> Ints:
        """The units of every slot of a day, in that many steps."""
        found, end = self.envelope.copy(), len(self.envelope)
        for number in range(steps, 0, -1):
            start = int(self.cuts[number, end])
            found[start:end] = self.envelope[start:end].max()
            end = start
        return found


def fit(pattern: Pattern, most: int, count: Callable[[Pattern], int]) -> Pattern:
    """The pattern, or if it makes more entries than `most`, one that does not, with levels raised as little as found.

    count: how many entries the target needs for a pattern; one for a pattern that never changes.
    """
    if count(pattern) <= most:
        return pattern
    best = Pattern(np.full(len(pattern.levels), pattern.levels.max()))
    schedules = _Schedules(_by_slot(pattern), most)
    # more steps than the limit may make no more entries, because those of several days are one for the target
    low, high = 0, schedules.steps
    while low < high:
        budget = (low + high + 1) // 2
        raised = schedules.pattern(budget)
        if raised is None or count(raised) > most:
            high = budget - 1
        else:
            low, best = budget, raised
    # entries do not grow with every step: a few more steps may fit as well
    for budget in range(low + 1, min(low + _MORE, schedules.steps) + 1):
        raised = schedules.pattern(budget)
        if raised is not None and count(raised) <= most:
            best = raised
    return _lowered(best, schedules.days, most, count)


def coarsen(pattern: Pattern, least: int) -> Pattern:
    """The pattern if its units hold for at least so many minutes; else one of whole slots, raised where they differ."""
    # the minutes of all days together: entries of different days may become one
    changes = np.unique(np.array(pattern.changes, np.int64) % MINUTES_PER_DAY)
    gaps = np.diff(np.append(changes, changes[:1] + MINUTES_PER_DAY))
    if len(changes) < 2 or gaps.min() >= least:
        return pattern
    return Pattern(np.repeat(_by_slot(pattern).reshape(-1), _SLOT))


def _by_slot(pattern: Pattern) -> Ints:
    """The largest units of each slot of each day."""
    most: Ints = pattern.levels.reshape(-1, MINUTES_PER_DAY // _SLOT, _SLOT).max(axis=2)
    return most


@dataclass(frozen=True)
class _Notch:
    """Slots of days, from first up to last, in which a schedule can have fewer units."""

    days: tuple[int, ...]
    first: int
    last: int
    units: int


def _lowered(raised: Pattern, days: Ints, most: int, count: Callable[[Pattern], int]) -> Pattern:
    """A pattern with levels lowered as long as it makes at most so many entries: first where that saves most.

    days: the units of every slot, which no level falls below.
    """
    found = np.broadcast_to(_by_slot(raised), days.shape).copy()
    # what was an entry too many is not tried again, because other levels are only lowered where that takes entries
    refused: set[_Notch] = set()
    while True:
        for _, notch in sorted(_notches(found, days), key=lambda each: (-each[0], each[1].days, each[1].first)):
            if notch in refused:
                continue
            lower = found.copy()
            lower[list(notch.days), notch.first : notch.last] = notch.units
            if count(_whole(lower)) <= most:
                found = lower
                break
            refused.add(notch)
        else:
            return _whole(found)


def _whole(slots: Ints) -> Pattern:
    """The pattern of the units of each slot of each day."""
    return Pattern(np.repeat(slots.reshape(-1), _SLOT))


def _notches(found: Ints, days: Ints) -> Iterator[tuple[int, _Notch]]:
    """Of every step, what saves most: on all days that share a schedule, and on each alone. With unit-slots saved."""
    groups: dict[bytes, list[int]] = {}
    for day, levels in enumerate(found):
        groups.setdefault(levels.tobytes(), []).append(day)
    for group in groups.values():
        steps = found[group[0]]
        edges = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
        for shared in {tuple(group), *((day,) for day in group)}:
            envelope = days[list(shared)].max(axis=0)
            for start, end in pairwise(edges):
                saved, first, last = _best_slots(tuple(envelope[start:end].tolist()), int(steps[start]))
                if saved:
                    units = int(envelope[start + first : start + last].max())
                    yield saved * len(shared), _Notch(shared, start + first, start + last, units)


@lru_cache(maxsize=4096)
def _best_slots(envelope: tuple[int, ...], level: int) -> tuple[int, int, int]:
    """Of a step, unit-slots saved, and the first slot and the one after the last of what saves most if lowered."""
    best, units = (0, 0, 0), np.array(envelope)
    for first in range(len(units)):
        lowered = np.maximum.accumulate(units[first:])
        saved = (level - lowered) * np.arange(1, len(lowered) + 1)
        length = int(saved.argmax())
        if saved[length] > best[0]:
            best = int(saved[length]), first, first + length + 1
    return best


class _Schedules:
    """The best schedules of days, by the steps of all their groups."""

    def __init__(self, days: Ints, most: int) -> None:
        self.days = days
        self.steps = 2 * most
        self._groups = {mask: _steps_of(days, mask, most) for mask in range(1, 1 << len(days))}
        # of the days of a mask, by steps: the least cost, and the group of the first day with its steps
        self._costs = {0: np.zeros(self.steps + 1, np.int64)}
        self._first: dict[int, tuple[Ints, Ints]] = {}
        for mask in self._groups:
            self._costs[mask], self._first[mask] = self._best(mask)

    def pattern(self, steps: int) -> Pattern | None:
        """The best schedule of all days in that many steps; None if there is none."""
        mask = (1 << len(self.days)) - 1
        if self._costs[mask][steps] >= _FAR:
            return None
        found = np.empty_like(self.days)
        while mask:
            group, number = (int(kept[steps]) for kept in self._first[mask])
            found[list(self._groups[group].days)] = self._groups[group].levels(number)
            mask, steps = mask & ~group, steps - number
        return _whole(found)

    def _best(self, mask: int) -> tuple[Ints, tuple[Ints, Ints]]:
        best, group_of, number_of = (np.full(self.steps + 1, value, np.int64) for value in (_FAR, 0, 0))
        group = mask
        while group:
            if group & mask & -mask:
                # by all steps and those of the group: what the other days cost in the rest of them, and the group
                cost = self._groups[group].cost
                left = np.arange(self.steps + 1)[:, None] - np.arange(len(cost))
                tried = np.where(left >= 0, self._costs[mask & ~group][left], _FAR) + cost
                number = tried.argmin(axis=1)
                least = tried[np.arange(self.steps + 1), number]
                better = least < best
                best[better], group_of[better], number_of[better] = least[better], group, number[better]
            group = (group - 1) & mask
        return best, (group_of, number_of)


def _steps_of(days: Ints, mask: int, most: int) -> _Steps:
    """The schedules of a group of days, whose units are the largest of theirs, in 1 to `most` steps."""
    chosen = tuple(day for day in range(len(days)) if mask >> day & 1)
    envelope: Ints = days[list(chosen)].max(axis=0)
    size = len(envelope)
    # unit-slots of a step from a slot up to another
    step = np.full((size, size + 1), _FAR, np.int64)
    for start in range(size):
        step[start, start + 1 :] = np.maximum.accumulate(envelope[start:]) * np.arange(1, size - start + 1)
    # steps beyond the changes of the envelope would change nothing
    needed = min(int((np.diff(envelope) != 0).sum()) + 1, most)
    cost, cuts = np.full(needed + 1, _FAR, np.int64), np.zeros((needed + 1, size + 1), np.int64)
    reached = np.full(size + 1, _FAR, np.int64)
    reached[0] = 0
    for number in range(1, needed + 1):
        tried = reached[:size, None] + step
        cuts[number] = tried.argmin(axis=0)
        reached = np.minimum(tried.min(axis=0), _FAR)
        cost[number] = min(int(reached[size]) * len(chosen), _FAR)
    return _Steps(chosen, envelope, cost, cuts)
