"""Simulating the requests of a window through units, once or several times."""

from collections.abc import Mapping
from dataclasses import dataclass

from planner.core.replay.requests.asleep import SleepCount
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Service, Span
from planner.core.replay.requests.resample import MinuteTargets, resample
from planner.core.replay.requests.stages import DecodeStage, PrefillStage
from planner.core.replay.requests.window import ReplayWindow
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.studies.replay.account import StageResults
from planner.studies.replay.requests import keep_chunks, needs_blocks, requests_of
from planner.studies.replay.stages import run_stages
from planner.trace.stored import TraceInfo
from planner.units import Progress


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What replays of one window have in common, whatever their units do. total: requests that are simulated.

    changed: how many requests every minute is to have, where the scenario changes the demand.
    """

    session: Session
    scenario: Scenario
    trace: TraceInfo
    window: ReplayWindow
    rules: QueueRules
    span: Span
    lives: Mapping[str, Lives]
    changed: MinuteTargets | None
    total: int

    def run(self, service: Service, progress: Progress | None, kept: list[Requests] | None = None) -> StageResults:
        """Every request through units that serve so. kept: takes the requests, and each one's outcome is kept."""
        fleet, settings = self.scenario.fleet, self.scenario.replay
        rows = 0 if kept is None else self.total
        ranks = fleet.decode.nodes * fleet.gpus_per_node if settings.ranks == "exact" else 1
        prefill = PrefillStage(service, self.lives["prefill"], self.rules, self.span, keep=rows)
        decode = DecodeStage(service, self.lives["decode"], self.rules, self.span, keep=rows, ranks=ranks)
        batches = requests_of(self.session, self.trace, self.window, blocks=needs_blocks(self.rules, self.trace))
        if self.changed is not None:
            batches = resample(batches, self.changed, self.window.origin_us, self.scenario.trace.seed)
        if kept is not None:
            batches = keep_chunks(batches, kept)
        sleep = SleepCount(self.lives, self.span)
        run_stages(sleep.passing(batches), prefill, decode, self.total, progress)
        return StageResults(
            prefill=prefill,
            decode=decode,
            span=self.span,
            window=self.window,
            lives=self.lives,
            service=service,
            fleet=fleet,
            zone=self.scenario.zone,
            waited_for_start=sleep.requests,
        )
