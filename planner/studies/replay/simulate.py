"""Simulating the requests of a window through units, once or several times."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from planner.core.fleet.units import AGGREGATED
from planner.core.replay.iterations.alone import answered_alone_us
from planner.core.replay.iterations.model import Replica
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.asleep import SleepCount
from planner.core.replay.requests.followers import follow
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, Span
from planner.core.replay.requests.resample import MinuteTargets, resample
from planner.core.replay.requests.sessions import answered_apart_us, shifts_of, thinking_us, turns_before
from planner.core.replay.requests.split import PoolPart
from planner.core.replay.requests.stages import DecodeStage, PrefillStage
from planner.core.replay.requests.window import ReplayWindow
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.studies.replay.account import StageResults
from planner.studies.replay.requests import (
    keep_chunks,
    needs_blocks,
    requests_of,
    requests_of_pool,
    with_blocks,
)
from planner.studies.replay.stages import run_iterations, run_stages
from planner.trace.stored import TraceInfo
from planner.units import Floats, Ints, Progress

Stages: TypeAlias = IterationStage | tuple[PrefillStage, DecodeStage]
"""Units that do both, or those of two roles."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What replays of one window have in common, whatever their units do. total: requests that are simulated.

    planned: what lives would be if no unit failed. changed: how many requests every minute is to have, where the
    scenario changes the demand. part: those that are simulated, where the units are a pool of a mixed fleet.
    """

    session: Session
    scenario: Scenario
    trace: TraceInfo
    window: ReplayWindow
    rules: QueueRules
    span: Span
    lives: Mapping[str, Lives]
    planned: Mapping[str, Lives]
    changed: MinuteTargets | None
    total: int
    part: PoolPart | None = None

    def requests(self) -> Iterator[Requests]:
        """The requests, in order of arrival, chunk by chunk."""
        batches = requests_of(self.session, self.trace, self.window, blocks=needs_blocks(self.rules, self.trace))
        if self.changed is not None:
            batches = resample(batches, self.changed, self.window.origin_us, self.scenario.trace.seed)
        return batches if self.part is None else requests_of_pool(batches, self.part, self.window.origin_us)

    def run(
        self, service: Service | Replica, progress: Progress | None, kept: list[Requests] | None = None
    ) -> StageResults:
        """Every request through units that serve so. kept: takes the requests, and each one's outcome is kept."""
        stages = self._stages(service, 0 if kept is None else self.total)
        sleep = SleepCount(self.lives, self.planned, self.span)
        shifts = None
        if self.scenario.replay.sessions == "closed":
            requests = with_blocks(list(self.requests()))
            before = turns_before(requests.session_id)
            thinks_us = thinking_us(requests, before, self._answered_us(service, requests))
            came_us = self._follow(stages, requests, before, thinks_us, progress)
            shifts = shifts_of(requests, before, thinks_us, came_us)
            sleep.count(came_us[np.isfinite(came_us)])
            if kept is not None:
                kept.append(self._as_they_came(requests, came_us))
        else:
            batches = self.requests() if kept is None else keep_chunks(self.requests(), kept)
            self._feed(stages, sleep.passing(batches), progress)
        return replace(self._results(service, stages, sleep), shifts=shifts)

    def _stages(self, service: Service | Replica, rows: int) -> Stages:
        """Units before the first request. rows: requests whose outcome is kept."""
        if isinstance(service, Replica):
            return IterationStage(service, self.lives[AGGREGATED], self.rules, self.span, keep=rows)
        return (
            PrefillStage(service, self.lives["prefill"], self.rules, self.span, keep=rows),
            DecodeStage(
                service,
                self.lives["decode"],
                self.rules,
                self.span,
                keep=rows,
                ranks=self._ranks,
                closed=self.scenario.replay.sessions == "closed",
            ),
        )

    @property
    def _ranks(self) -> int:
        """Ranks of a decode unit that are simulated one by one."""
        fleet = self.scenario.fleet
        return fleet.decode.nodes * fleet.gpus_per_node if self.scenario.replay.ranks == "exact" else 1

    def _feed(self, stages: Stages, batches: Iterator[Requests], progress: Progress | None) -> None:
        """Requests that come by themselves, to the end."""
        if isinstance(stages, IterationStage):
            run_iterations(batches, stages, self.total, progress)
        else:
            run_stages(batches, *stages, self.total, progress)

    def _follow(
        self, stages: Stages, requests: Requests, before: Ints, thinks_us: Floats, progress: Progress | None
    ) -> Floats:
        """All requests of a window, in memory, the later turns of sessions after the answers to those before."""
        if isinstance(stages, IterationStage):
            came_us = stages.follow(requests, before, thinks_us)
            stages.finish()
            return came_us

        def came(count: int) -> None:
            if progress is not None:
                progress(min(count, self.total), self.total)

        return follow(*stages, requests, follows=before, think_us=thinks_us, progress=came)

    def _answered_us(self, service: Service | Replica, requests: Requests) -> Floats:
        """What requests take on idle units."""
        if isinstance(service, Replica):
            return answered_alone_us(service, requests)
        return answered_apart_us(service, self.rules, self._ranks, requests)

    def _as_they_came(self, requests: Requests, came_us: Floats) -> Requests:
        """Requests at the times at which they came; those that did not count no more."""
        # whole microseconds, such that each counts as it was counted
        at = np.floor(np.where(np.isnan(came_us), self.span.end_us, came_us)).astype(np.int64)
        return replace(requests, arrival_us=at, block_from=None, block_ids=None)

    def _results(self, service: Service | Replica, stages: Stages, sleep: SleepCount) -> StageResults:
        prompts, streams = (stages.prompts, stages.streams) if isinstance(stages, IterationStage) else stages
        return StageResults(
            prefill=prompts,
            decode=streams,
            span=self.span,
            window=self.window,
            lives=self.lives,
            service=service,
            fleet=self.scenario.fleet,
            zone=self.scenario.zone,
            preempted=stages.preempted if isinstance(stages, IterationStage) else 0,
            waited_for_start=sleep.for_start,
            waited_for_repair=sleep.for_repair,
        )
