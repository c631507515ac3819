"""What a demand tells day by day: its profile, its level, and incidents, which are part of neither. Pure.

Every day is read with what was known before it, so that forecasts from any day use nothing that came later. All series
share the incidents and the times at which levels change, or their ratios would drift; each has a profile and a level of
its own. Sizes are logarithms of demand over profile and level. Limits were fitted to drawn days (noise 0.05 and 0.1),
two production fortnights and taxi rides in New York: few and round.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from planner.core.forecast.base import DAYS_PER_WEEK
from planner.core.forecast.past import Mask, Past, runs, widened
from planner.core.forecast.slot_profile import PAD, mostly_known, week_profile, weighted_median
from planner.units import Floats, Ints

Signs = NDArray[np.int8]

MEMORY_DAYS, _NOISE_DAYS = 28, 14
PLACES = {"requests": 1, "input_tokens": 2, "output_tokens": 3}
_TOTAL = 0
"""The series that incidents and changes are read from: input and output tokens together, or else requests."""
_LEAST_RATIO = 1e-4
_DOWN, _UP = log(1 / 0.7), log(1.5)
"""Least sizes of incidents, with four times the noise of slots."""
_OUTAGE, _FOURFOLD = log(5), log(4)
"""A single slot, and slots of a weekday that was not seen before, are incidents under a fifth or over four times."""
_NOISES, _EDGE_NOISES = 4, 2
_LEAST_NOISE = 0.03
_SLOT_PRIORS, _DAY_PRIORS = (0.1,) * 2, (0.08,) * 5
_DAY_SHARE = 0.7
"""Least noise of days, as a share of that of slots: a few quiet days of a demand that jumps are chance. Assumed."""
_LARGEST_OFFSET = 0.2
_MOST_FLAGGED = 0.25
_RISE_PART, _RISE_SHARE, _RISE = 4, 0.8, log(1.35)
"""The last quarter of a day tells a rise of the level: four fifths of its slots."""
_RISE_NOISES = 5
_FALL_NOISES = 4
_UNSEEN_WEEKDAY = log(1.7)
_BACK_DAYS = 4
_QUIET, _QUIET_SHARE = log(1 / 12), 0.9
"""A weekday that was not seen before and is under a fifth, though not under so much, in most of its slots is a quiet
one and no outage. Assumed."""
_TELLING = 2
"""A slot tells of the level where the usual demand is this many pads, a tenth of the mean, or more. Assumed."""
_FOLLOWED_DAYS = 7
_USUAL_DAYS = 3
_CUSUM_SLACK, _CUSUM_UP, _CUSUM_DOWN, _CUSUM_CLIP = 0.5, 4.0, 5.0, 3.0


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Slots [first, end) that are left out; ratio: what came, over what was expected."""

    first: int
    end: int
    ratio: float


@dataclass(frozen=True, kw_only=True)
class LevelChange:
    """A level that holds from the slot `first` on and is known from the slot `known` on; ratio: to the one before."""

    first: int
    known: int
    ratio: float


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known at the start of a day; by series where there is a first axis.

    profiles: (series, 7, slots). pads: added before logarithms are taken. levels: logarithms. seen: days of each
    weekday. slot_noise, day_noise: of logarithms. flagged: (slots so far,) left out of profiles and levels.
    """

    profiles: Floats
    pads: Floats
    levels: Floats
    seen: Ints
    slot_noise: float
    day_noise: float
    flagged: Mask


@dataclass(kw_only=True)
class Tracker:
    """Reads a past day by day; `known[day]` is what was known at the start of it, the last one after the last day."""

    past: Past
    known: list[Known] = field(default_factory=list)
    changes: list[LevelChange] = field(default_factory=list)
    rises: list[dict[int, Floats]] = field(default_factory=list)
    """By day: slots of it before which the level had risen already, and the size of the rise by series."""
    bursts: list[tuple[int, Ints]] = field(default_factory=list)
    """Slots that were found to be part of a burst, each once, and the slot before which they were found."""

    def __post_init__(self) -> None:
        past, slots = self.past, self.past.slots
        # what a factor of 0 hides is not learned from in any case
        factors = past.factors[: past.days * slots].reshape(-1, slots)
        factors = np.where(factors > 0, factors, 1.0)
        series = [past.columns[name].reshape(-1, slots) / factors for name in PLACES]
        total = series[1] + series[2]
        self._demand = np.stack([total if np.nansum(total) else series[0], *series])
        self._weekdays = (past.weekday + np.arange(past.days)) % DAYS_PER_WEEK
        self._unknown = past.unlearned.reshape(-1, slots) | np.isnan(total)
        self._real = past.accepted.reshape(-1, slots)
        self._demand[:, self._unknown] = np.nan
        self._signs = np.zeros((past.days, slots), np.int8)
        self._held = np.zeros(past.days, np.bool_)  # low days that may be a fall of the level
        self._nearly_none = np.zeros(past.days, np.bool_)  # those under a fifth of the usual, which are none
        self._log_levels = np.zeros(self._demand.shape)
        self._tells = np.zeros((past.days, slots), np.bool_)  # slots that tell of the level
        self._sizes = np.full((past.days, slots), np.nan)  # of the total, against the profile and level of its day
        self._day_sizes = np.full((len(self._demand), past.days), np.nan)  # against the profile alone
        self._moves = np.full(past.days, np.nan)  # of the level, in the total
        self._noises = np.full(past.days, np.nan)
        self._levels = np.zeros(len(self._demand))
        self._followed: list[Floats] | None = None
        self._before_rise: tuple[int, Floats] | None = None
        self._sums = {+1: 0.0, -1: 0.0}
        self._sums_from = {+1: 0, -1: 0}
        for day in range(past.days + 1):
            self.known.append(self._know(day))
            self.rises.append({})
            if day < past.days and self.known[day].pads[_TOTAL] > 0:
                self._read(day)

    def _know(self, day: int) -> Known:
        window = slice(max(0, day - MEMORY_DAYS), day)
        levels = self._log_levels[:, window]
        # of a level at which there is hardly any demand nothing can be told
        counts = (self._signs[window] == 0) & (levels[_TOTAL] > -_OUTAGE)
        learned = np.where(counts, self._demand[:, window] / np.exp(levels), np.nan)
        profiles = np.array([week_profile(days, self._weekdays[window]) for days in learned])
        recent = slice(max(0, day - _NOISE_DAYS), day)
        moves, noises = (values[recent][~np.isnan(values[recent])] for values in (self._moves, self._noises))
        spread = 1.48 * np.abs(moves - np.median(moves)) if len(moves) else moves
        seen = self._weekdays[window][mostly_known(learned[_TOTAL])]
        slot_noise = max(_LEAST_NOISE, float(np.median([*noises, *_SLOT_PRIORS])))
        return Known(
            profiles=profiles,
            pads=PAD * profiles.mean(axis=(1, 2)),
            levels=self._levels.copy(),
            seen=np.bincount(seen, minlength=DAYS_PER_WEEK),
            slot_noise=slot_noise,
            day_noise=max(slot_noise * _DAY_SHARE, float(np.median([*spread, *_DAY_PRIORS]))),
            flagged=(self._signs[:day] != 0).ravel(),
        )

    def plain(self, column: str) -> Floats:
        """As in PastDemand: without what looks like part of an incident the moment it comes, or is declared one."""
        values = np.where(self.past.unlearned | (self._suspects != 0), np.nan, self.past.columns[column])
        return values[: self.past.count]

    @cached_property
    def incidents(self) -> tuple[Incident, ...]:
        """What is left out of profiles and levels, as it is known at the end."""
        signs, found = np.where(self._real, 0, self._signs).ravel(), []
        total = self._demand[_TOTAL].ravel()
        for sign in (-1, +1):
            for first, end in runs(signs == sign):
                usual, came = self._usual(first, end)[_TOTAL], total[first:end]
                known = ~np.isnan(came) & (usual > 0)
                if known.any():
                    found.append(Incident(first=first, end=end, ratio=float(came[known].sum() / usual[known].sum())))
        return tuple(sorted(found, key=lambda one: one.first))

    @cached_property
    def outages(self) -> Mask:
        """Slots that looked like part of an outage the moment they came; (days * slots,)."""
        return self._suspects < 0

    @cached_property
    def _suspects(self) -> Signs:
        days = [
            self.suspects(day) if self.known[day].pads[_TOTAL] > 0 else np.zeros(self.past.slots, np.int8)
            for day in range(self.past.days)
        ]
        return np.concatenate(days)

    def planned(self, forecasts: Floats) -> Floats:
        """As in PastDemand."""
        rows, horizon = forecasts.shape
        if (self.past.factors == 1).all():
            return forecasts
        factors = np.concatenate([self.past.factors, np.ones(rows + horizon)])
        planned: Floats = forecasts * np.lib.stride_tricks.sliding_window_view(factors, horizon)[:rows]
        return planned

    def sizes_of(self, day: int, levels: Floats) -> Floats:
        """Logarithms of a day's demand over its profile at levels (series,) or (series, slots); (series, slots)."""
        known, weekday = self.known[day], self._weekdays[day]
        usual = known.profiles[:, weekday] * np.exp(levels.reshape(len(levels), -1)) + known.pads[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes: Floats = np.log((self._demand[:, day] + known.pads[:, None]) / usual)
        return sizes

    def _read(self, day: int) -> None:
        """Take in a day that is over."""
        start, end = day * self.past.slots, (day + 1) * self.past.slots
        self._set_levels(start)
        self._sizes[day] = self.sizes_of(day, self._levels)[_TOTAL]
        usual, pad = self.known[day].profiles[_TOTAL, self._weekdays[day]], self.known[day].pads[_TOTAL]
        self._tells[day] = (usual >= _TELLING * pad) & (self._sizes[day] >= -_OUTAGE)
        for slot in self._high_slots(day):
            if (risen := self._rise(day, slot)) is not None:
                self.rises[day][slot] = risen[1]
        rise = self._rise(day, self.past.slots)
        if rise is not None:
            first, sizes = rise
            self._before_rise = day, self._levels
            self._change(first, end, self._levels + sizes, [self._levels + sizes])
            self._signs.ravel()[first:start] = 0
            self._sizes[day] = self.sizes_of(day, self._log_levels[:, day])[_TOTAL]
        self._flag(day)
        before = np.arange(start, end) < rise[0] if rise else None
        self._measure(day, before)
        if rise is None and not np.isnan(self._day_sizes[_TOTAL, day]):
            self._follow(day)
        self._pardon(day)
        high = np.flatnonzero(self._signs.ravel()[:end] > 0)
        if len(found := np.setdiff1d(high, np.concatenate([[], *(slots for _, slots in self.bursts)]))):
            self.bursts.append((end, found))

    def suspects(self, day: int) -> Signs:
        """Which slots of a day look like part of an incident when they have just come: -1, 1, or 0; (slots,)."""
        sizes = self.sizes_of(day, self.known[day].levels)[_TOTAL]
        low, high = self._limits(day)
        signs: Signs = np.where(self._real[day], 0, np.int8(sizes > high) - np.int8(sizes < -low)).astype(np.int8)
        return signs

    def _limits(self, day: int) -> tuple[float, float]:
        """Sizes beyond which slots of a day are part of an incident, downwards and upwards."""
        known = self.known[day]
        if not known.seen[self._weekdays[day]]:
            return _OUTAGE, _FOURFOLD
        noise = _NOISES * known.slot_noise
        return max(noise, _DOWN), max(noise, _UP)

    def _least_rise(self, day: int) -> float:
        seen = self.known[day].seen[self._weekdays[day]]
        least = max(_RISE_NOISES * self.known[day].day_noise, _RISE if seen else _UNSEEN_WEEKDAY)
        return least + self._doubt(day, +1)

    def _doubt(self, day: int, sign: int) -> float:
        """By how much a weekday that was seen once lies to the other side of all days: that may have been chance."""
        known, weekday = self.known[day], self._weekdays[day]
        if known.seen[weekday] != 1:
            return 0.0
        all_days = np.median(known.profiles[_TOTAL][known.seen > 0], axis=0)
        return max(0.0, -sign * _log_ratio(known.profiles[_TOTAL, weekday], all_days))

    def _high_slots(self, day: int) -> Sequence[int]:
        """Slots of a day before which enough of the last quarter of a day is high for a rise."""
        part, end = max(1, self.past.slots // _RISE_PART), (day + 1) * self.past.slots
        telling = np.flatnonzero(self._tells.ravel()[:end])
        high = self._sizes.ravel()[telling] > self._least_rise(day) / 2
        running = np.concatenate([[0], np.cumsum(high)])
        ends = np.arange(end - self.past.slots, end)
        before = np.searchsorted(telling, ends)
        ends, before = ends[before >= part], before[before >= part]
        enough = running[before] - running[before - part] >= _RISE_SHARE * part
        return [int(slot) for slot in ends[enough] - day * self.past.slots]

    def _rise(self, day: int, slot: int) -> tuple[int, Floats] | None:
        """The level that the last quarter of a day before a slot of a day has risen to, if it has.

        Returns the first slot of the rise, counted from the first day's, and its size (series,) over the level.
        """
        end, part = day * self.past.slots + slot, max(1, self.past.slots // _RISE_PART)
        telling = np.flatnonzero(self._tells.ravel()[:end])
        # a service that is closed for most of a day has no quarter of a day within one
        if len(telling) < part or telling[-part] < end - self.past.slots:
            return None
        least, sizes = self._least_rise(day), self._sizes.ravel()[telling]
        high = sizes > least / 2
        if np.mean(high[-part:]) < _RISE_SHARE or np.median(sizes[-part:]) <= least:
            return None
        low = np.flatnonzero(~high[:-part])
        first = low[-1] + 1 if len(low) else 0
        first += int(np.argmax(high[first:]))
        return int(telling[first]), self._size_of(int(telling[first]), end)

    def _size_of(self, first: int, end: int) -> Floats:
        """Size of slots [first, end) that tell of it over the profiles and levels of their days; (series,)."""
        came = self._demand.reshape(len(self._demand), -1)[:, first:end]
        came = np.where(self._tells.ravel()[first:end], came, np.nan)
        return np.array([_log_ratio(*pair) for pair in zip(came, self._usual(first, end), strict=True)])

    def _usual(self, first: int, end: int) -> Floats:
        """What was expected of slots [first, end) by the profiles and levels of their days; (series, end - first)."""
        days = range(first // self.past.slots, -(-end // self.past.slots))
        usual: Floats = np.concatenate(
            [self.known[day].profiles[:, self._weekdays[day]] * np.exp(self._log_levels[:, day]) for day in days],
            axis=1,
        )
        return usual[:, first - days.start * self.past.slots :][:, : end - first]

    def _flag(self, day: int) -> None:
        """Mark the incidents of a day."""
        self._signs[day] = np.where(self._real[day], 0, self._signs_of(day))
        if day:
            self._flag_over_midnight(day)

    def _signs_of(self, day: int) -> Signs:
        sizes, beyond = self._sizes[day], self._beyond(day)
        signs: Signs = np.zeros(len(sizes), np.int8)
        if self._is_quiet(day):
            return signs
        for sign, least in zip((-1, +1), self._limits(day), strict=True):
            far = beyond * sign
            for first, end in runs(far > least):
                if end - first >= 2 or (sign < 0 and sizes[first] < -_OUTAGE):
                    beside = (far > _EDGE_NOISES * self.known[day].slot_noise) & (signs == 0)
                    signs[slice(*widened(first, end, beside))] = sign
        return signs

    def _is_quiet(self, day: int) -> bool:
        """Whether a day is the first of its weekday, and low from begin to end, but not without demand."""
        sizes, known = self._sizes[day], self.known[day]
        if known.seen[self._weekdays[day]] or np.isnan(sizes).any():
            return False
        middle = weighted_median(sizes, known.profiles[_TOTAL, self._weekdays[day]])
        return bool(middle > _QUIET and np.mean(sizes < -_OUTAGE / 2) >= _QUIET_SHARE)

    def _beyond(self, day: int) -> Floats:
        """Sizes of a day's slots over that of the day, as far as a day is taken to be high or low as a whole."""
        known, sizes, weekday = self.known[day], self._sizes[day], self._weekdays[day]
        middle = weighted_median(sizes, known.profiles[_TOTAL, weekday]) if known.seen[weekday] else 0.0
        beyond: Floats = sizes - float(np.clip(np.nan_to_num(middle), -_LARGEST_OFFSET, _LARGEST_OFFSET))
        return beyond

    def _flag_over_midnight(self, day: int) -> None:
        """Mark incidents that run on from the day before: a slot on each side is an incident of two."""
        both, edge = (day - 1, day), self.past.slots
        signs, real = self._signs[day - 1 : day + 1].ravel(), self._real[day - 1 : day + 1].ravel()
        noise = np.repeat([self.known[one].slot_noise for one in both], edge)
        for place, sign in enumerate((-1, +1)):
            far = np.where(real, 0, sign * np.concatenate([self._beyond(one) for one in both]))
            least = np.repeat([self._limits(one)[place] for one in both], edge)
            marked = signs == sign
            marked[edge - 1 : edge + 1] |= (far > least)[edge - 1 : edge + 1].all()
            beside = (far > _EDGE_NOISES * noise) & (signs == 0)
            for first, end in runs(marked):
                if first <= edge <= end:
                    signs[slice(*widened(first, end, beside))] = sign
        self._signs[day - 1 : day + 1] = signs.reshape(2, -1)

    def _measure(self, day: int, part: Mask | None) -> None:
        """The size of a day over its profile, without incidents unless they are most of it. part: slots to measure."""
        usual = self.known[day].profiles[:, self._weekdays[day]]
        known = ~self._unknown[day] if part is None else ~self._unknown[day] & part
        # a day that is usually closed tells nothing of the level
        if known.sum() * 2 < len(known) or usual[_TOTAL].mean() < _TELLING * self.known[day].pads[_TOTAL]:
            return
        plain = known & (self._signs[day] == 0)
        weight = usual[_TOTAL]
        counted = plain if weight[plain].sum() * 2 >= weight[known].sum() else known
        came = np.where(counted, self._demand[:, day], np.nan)
        self._day_sizes[:, day] = [_log_ratio(*pair) for pair in zip(came, usual, strict=True)]
        sizes = self._sizes[day]
        self._noises[day] = 1.48 * weighted_median(np.abs(sizes - weighted_median(sizes, weight)), np.ones(len(sizes)))

    def _follow(self, day: int) -> None:
        """Move the level where whole days give evidence."""
        known, slots = self.known[day], self.past.slots
        size = self._day_sizes[:, day]
        move = float(size[_TOTAL] - self._levels[_TOTAL])
        unseen = not known.seen[self._weekdays[day]]
        least = _UNSEEN_WEEKDAY if unseen else max(_FALL_NOISES * known.day_noise, _RISE) + self._doubt(day, -1)
        if self._returns(day, move):
            assert self._before_rise is not None
            former = self._before_rise[1]
            self._change(day * slots, (day + 1) * slots, former, None)
            self._reread(day)
            self._moves[day] = size[_TOTAL] - former[_TOTAL]
        elif move < -_OUTAGE and not self._is_quiet(day):
            self._outage(day)
        elif move < -least and self._real[day].all():
            self._change(day * slots, (day + 1) * slots, size, [size])
            self._reread(day)
        elif unseen:
            return  # a low one may be the size of that weekday
        elif move < -least:
            self._fall(day)
        else:
            self._moves[day] = move
            # the profile of a weekday that was seen once has as much noise as the day itself
            days = known.seen[self._weekdays[day]]
            self._drift(day, move / known.day_noise / sqrt((1 + 1 / days) / (1 + 1 / _USUAL_DAYS)))

    def _returns(self, day: int, move: float) -> bool:
        """Whether a day is back at the level before a rise of the last days."""
        if self._before_rise is None or day - self._before_rise[0] > _BACK_DAYS:
            return False
        noise, former = self.known[day].day_noise, self._before_rise[1][_TOTAL]
        fits = abs(self._day_sizes[_TOTAL, day] - former) < max(_FALL_NOISES * noise, 0.2)
        return bool(fits and move < -max(2 * noise, 0.15))

    def _fall(self, day: int) -> None:
        """A low day is held back; the second one in a row, of days that tell something, is a fall of the level."""
        slots, known = self.past.slots, ~np.isnan(self._day_sizes[_TOTAL, :day])
        before = int(np.flatnonzero(known)[-1]) if known[-_BACK_DAYS:].any() else day
        if not self._held[before] or self._nearly_none[before]:
            self._hold(day)
            return
        both = [self._day_sizes[:, before], self._day_sizes[:, day]]
        self._change(before * slots, (day + 1) * slots, np.mean(both, axis=0), both)
        for low in (before, day):
            self._held[low] = False
            self._reread(low)

    def _outage(self, day: int) -> None:
        """A day with hardly any demand is no level, accepted or not, unless a week of them tells that it has gone.

        It is part of profiles only where the same weekday a week before was another, as where a service is closed then.
        """
        self._nearly_none[day] = True
        if day >= DAYS_PER_WEEK and self._nearly_none[day - DAYS_PER_WEEK]:
            for one in (day, day - DAYS_PER_WEEK):
                self._held[one] = False
                self._signs[one] = 0
            return
        self._hold(day)
        week = slice(day + 1 - DAYS_PER_WEEK, day + 1)
        if week.start >= 0 and self._nearly_none[week].all():
            self._change(week.start * self.past.slots, week.stop * self.past.slots, self._day_sizes[:, day], None)

    def _hold(self, day: int) -> None:
        self._held[day] = True
        self._signs[day][~self._unknown[day]] = -1

    def _drift(self, day: int, move: float) -> None:
        """Follow a level that has just changed, and sum up small moves to one side (CUSUM). move: in noises."""
        slots = self.past.slots
        if self._followed is not None:
            self._followed.append(self._day_sizes[:, day])
            self._levels = np.mean(self._followed, axis=0)
            self._set_levels((day + 1) * slots)
            if len(self._followed) >= _FOLLOWED_DAYS:
                self._followed = None
        clipped = float(np.clip(move, -_CUSUM_CLIP, _CUSUM_CLIP))
        for sign, limit in ((+1, _CUSUM_UP), (-1, _CUSUM_DOWN)):
            self._sums[sign] = max(0.0, self._sums[sign] + sign * clipped - _CUSUM_SLACK)
            if self._sums[sign] == 0:
                self._sums_from[sign] = day + 1
            if self._sums[sign] > limit:
                since = range(max(self._sums_from[sign], day - 2), day + 1)
                days = [one for one in since if not (np.isnan(self._moves[one]) or self._held[one])]
                # the first days of the sum may be from before the change
                while len(days) > 1 and sign * self._moves[days[0]] < sign * np.mean(self._moves[days[1:]]) / 2:
                    days = days[1:]
                sizes = [self._day_sizes[:, one] for one in days]
                self._change(days[0] * slots, (day + 1) * slots, np.mean(sizes, axis=0), sizes)
                return

    def _pardon(self, day: int) -> None:
        """What repeats at its time is no incident, and no week is one."""
        for before in ((1, 2), (DAYS_PER_WEEK,)):
            if day < before[-1] or self._held[[day, *(day - one for one in before)]].any():
                continue
            rows = [day, *(day - one for one in before)]
            same = (self._signs[rows] == self._signs[day]).all(axis=0)
            for row in rows:
                self._signs[row][same] = 0
        week = slice(max(0, day + 1 - DAYS_PER_WEEK), day + 1)
        if day >= 2 and not self._held[week].any() and np.mean(self._signs[week] != 0) > _MOST_FLAGGED:
            self._signs[week] = 0

    def _reread(self, day: int) -> None:
        """Mark the incidents of a day anew, against a level that was found since."""
        self._sizes[day] = self.sizes_of(day, self._log_levels[:, day])[_TOTAL]
        self._flag(day)

    def _change(self, first: int, known: int, levels: Floats, followed: list[Floats] | None) -> None:
        ratio = float(np.exp(levels[_TOTAL] - self._levels[_TOTAL]))
        self.changes.append(LevelChange(first=first, known=known, ratio=ratio))
        if self._before_rise is not None and self._before_rise[0] != known // self.past.slots - 1:
            self._before_rise = None
        self._levels, self._followed = levels, followed
        self._sums, day = {+1: 0.0, -1: 0.0}, known // self.past.slots
        self._sums_from = {+1: day, -1: day}
        self._set_levels(first)

    def _set_levels(self, first: int) -> None:
        self._log_levels.reshape(len(self._levels), -1)[:, first:] = self._levels[:, None]


def _log_ratio(came: Floats, usual: Floats) -> float:
    """The logarithm of the ratio of demand to the usual one, its median by the usual one; 0 where nothing is usual."""
    ratio = np.divide(came, usual, out=np.full(len(came), np.nan), where=usual > 0)
    return float(np.nan_to_num(np.log(max(weighted_median(ratio, usual), _LEAST_RATIO))))
