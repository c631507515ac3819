"""Spare units checked by replays: the window without failures, with them, and with the spare units too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean

from planner.core.fleet.units import EVERY_ROLE, Units
from planner.core.replay.requests.failures import RoleAvailability, UnitFailures, covered
from planner.core.replay.requests.window import ReplayWindow, window_of
from planner.runs.outcome import PlanOutcome
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.studies.replay.account import count_arrivals, count_failures, measure_attainment
from planner.studies.replay.document import Arrivals, FailureCounts, FailuresByRole, SloAttainment
from planner.studies.replay.rules import NO_SPARES, failing_lives, planned_lives
from planner.studies.replay.run import Replayed, replay_planned
from planner.studies.resilience.document import DrawReplay, ReplayCheck, ReplayChecks, SpareUnitCounts
from planner.units import Clock, Progress


@dataclass(frozen=True, kw_only=True)
class UnitNeed:
    """A plan in a window, and the failures of its units. from_us, to_us: UTC epoch microseconds.

    roles: in the interval with the fewest units beyond those that it needs. needs: units needed, from when on.
    """

    outcome: PlanOutcome
    from_us: int
    to_us: int
    roles: dict[str, RoleAvailability]
    needs: dict[str, tuple[tuple[int, int], ...]]
    failures: dict[str, UnitFailures]
    peak_nodes: int


@dataclass(frozen=True)
class _Outcome:
    """What became of the requests of a replay."""

    failures: FailuresByRole
    arrivals: Arrivals
    slo: SloAttainment


class _Replays:
    """Replays of a window with draws of failures; draws with the same failures are replayed once.

    Most draws contain no failure at all.
    """

    def __init__(
        self,
        store: Store,
        need: UnitNeed,
        *,
        start: datetime | None,
        end: datetime | None,
        now: datetime,
        clock: Clock,
        progress: Progress | None,
    ) -> None:
        self._store, self._need = store, need
        self._now, self._clock, self._progress = now, clock, progress
        scenario = need.outcome.scenario
        self._window: ReplayWindow = window_of(need.outcome.demand, scenario.replay, start, end, whole=False)
        self._outcomes: dict[bytes, _Outcome] = {}

    def draw(self, per_node_per_day: float, spares: Units, seed: int) -> DrawReplay:
        """The window with a draw of failures at some rate, and with some units beyond the plan's."""
        need, window = self._need, self._window
        failing = with_failures_of(need.outcome.scenario, per_node_per_day, seed)
        outcome = replace(need.outcome, scenario=failing)
        planned = {role: planned_lives(outcome, role, window, spares) for role in need.roles}
        lives = {role: failing_lives(outcome, role, window, own) for role, own in planned.items()}
        key = b"".join(column.tobytes() for each in lives.values() for column in (each.serve_us, each.fail_us))
        if key not in self._outcomes:
            done = replay_planned(
                self._store, outcome, window, now=self._now, clock=self._clock, spares=spares, progress=self._progress
            )
            self._outcomes[key] = _outcome(done)
        drawn = self._outcomes[key]
        return DrawReplay(
            seed=seed,
            covered=covered([(lives[name], self._needs(name)) for name in need.roles], *window.span_us[:2]),
            failures=drawn.failures,
            **vars(drawn.arrivals),
            **vars(drawn.slo),
        )

    def _needs(self, role: str) -> list[tuple[float, int]]:
        """Units of a role that are needed, from moments on that count from the window's origin."""
        return [(float(at_us - self._window.origin_us), units) for at_us, units in self._need.needs[role]]


def check_by_replays(
    store: Store,
    need: UnitNeed,
    spares: Units,
    seeds: int,
    *,
    start: datetime | None,
    end: datetime | None,
    now: datetime,
    clock: Clock,
    progress: Progress | None,
) -> ReplayChecks:
    """The window replayed without failures, with `seeds` draws of them, and with the spare units too."""
    rate, first = need.outcome.scenario.failures.per_node_per_day or 0.0, need.outcome.scenario.failures.seed
    replays = _Replays(store, need, start=start, end=end, now=now, clock=clock, progress=progress)

    def check(per_day: float, more: Units, count: int) -> ReplayCheck:
        return _check(more, [replays.draw(per_day, more, seed) for seed in range(first, first + count)])

    return ReplayChecks(
        without_failures=check(0.0, NO_SPARES, 1),
        with_failures=check(rate, NO_SPARES, seeds),
        with_failures_and_spares=check(rate, spares, seeds) if spares != NO_SPARES else None,
    )


def with_failures_of(scenario: Scenario, per_node_per_day: float, seed: int) -> Scenario:
    """The scenario with nodes that fail at a rate, drawn by a seed."""
    failures = scenario.failures.model_copy(update={"per_node_per_day": per_node_per_day, "seed": seed})
    return scenario.model_copy(update={"failures": failures})


def _outcome(done: Replayed) -> _Outcome:
    results = done.results
    return _Outcome(count_failures(results), count_arrivals(results), measure_attainment(results, None))


def _check(spares: Units, draws: Sequence[DrawReplay]) -> ReplayCheck:
    """Means over draws, the least of both targets, and all failures."""
    both = [draw.both_attainment for draw in draws if draw.both_attainment is not None]
    return ReplayCheck(
        spare_units=SpareUnitCounts(**vars(spares)),
        covered=fmean(draw.covered for draw in draws),
        ttft_attainment=_mean([draw.ttft_attainment for draw in draws]),
        tpot_attainment=_mean([draw.tpot_attainment for draw in draws]),
        both_attainment=_mean(both),
        worst_both_attainment=min(both, default=None),
        failures=FailuresByRole(
            **{role: _sum([getattr(draw.failures, role) for draw in draws]) for role in EVERY_ROLE}
        ),
        seeds=tuple(draws),
    )


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return fmean(known) if known else None


def _sum(failures: Sequence[FailureCounts]) -> FailureCounts:
    return FailureCounts(units=sum(each.units for each in failures), requests=sum(each.requests for each in failures))
