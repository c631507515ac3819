"""Simulating the requests of a window through units, once or several times."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from planner.core.fleet.units import AGGREGATED
from planner.core.replay.iterations.model import Replica
from planner.core.replay.iterations.sessions import (
    NO_SHIFTS,
    ArrivalShifts,
    answered_alone_us,
    shifts_of,
    thinking_us,
    turns_before,
)
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.asleep import SleepCount
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, Span
from planner.core.replay.requests.resample import MinuteTargets, resample
from planner.core.replay.requests.split import PoolPart
from planner.core.replay.requests.stages import DecodeStage, PrefillStage
from planner.core.replay.requests.tallies import PromptStage, StreamStage
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
from planner.units import Progress


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
        batches = self.requests()
        if kept is not None:
            batches = keep_chunks(batches, kept)
        sleep = SleepCount(self.lives, self.planned, self.span)
        batches = sleep.passing(batches)
        rows = 0 if kept is None else self.total
        if not isinstance(service, Replica):
            prefill, decode = self._through_stages(service, batches, rows, progress)
            return self._results(service, prefill, decode, sleep)
        stage = IterationStage(service, self.lives[AGGREGATED], self.rules, self.span, keep=rows)
        shifts = None
        if self.scenario.replay.sessions == "closed":
            shifts = _follow(stage, service, list(batches), kept)
        else:
            run_iterations(batches, stage, self.total, progress)
        found = self._results(service, stage.prompts, stage.streams, sleep)
        return replace(found, preempted=stage.preempted, shifts=shifts)

    def _results(
        self, service: Service | Replica, prompts: PromptStage, streams: StreamStage, sleep: SleepCount
    ) -> StageResults:
        return StageResults(
            prefill=prompts,
            decode=streams,
            span=self.span,
            window=self.window,
            lives=self.lives,
            service=service,
            fleet=self.scenario.fleet,
            zone=self.scenario.zone,
            waited_for_start=sleep.for_start,
            waited_for_repair=sleep.for_repair,
        )

    def _through_stages(
        self, service: Service, batches: Iterator[Requests], rows: int, progress: Progress | None
    ) -> tuple[PrefillStage, DecodeStage]:
        """Simulate units of two roles to the end. rows: requests whose outcome is kept."""
        fleet, settings = self.scenario.fleet, self.scenario.replay
        ranks = fleet.decode.nodes * fleet.gpus_per_node if settings.ranks == "exact" else 1
        prefill = PrefillStage(service, self.lives["prefill"], self.rules, self.span, keep=rows)
        decode = DecodeStage(service, self.lives["decode"], self.rules, self.span, keep=rows, ranks=ranks)
        run_stages(batches, prefill, decode, self.total, progress)
        return prefill, decode


def _follow(
    stage: IterationStage, replica: Replica, chunks: list[Requests], kept: list[Requests] | None
) -> ArrivalShifts:
    """All requests of a window, in memory, the later turns of sessions after the answers to those before.

    kept: is to have them as they came.
    """
    if not chunks:
        stage.finish()
        return NO_SHIFTS
    requests = with_blocks(chunks)
    before = turns_before(requests.session_id)
    thinks_us = thinking_us(requests, before, answered_alone_us(replica, requests))
    came_us = stage.follow(requests, before, thinks_us)
    stage.finish()
    if kept is not None:
        # one that never came has no time of its own
        at = np.where(np.isnan(came_us), requests.arrival_us, np.rint(came_us)).astype(np.int64)
        kept[:] = [replace(requests, arrival_us=at, block_from=None, block_ids=None)]
    return shifts_of(requests, before, thinks_us, came_us)
