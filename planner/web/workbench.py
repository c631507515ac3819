"""What a worker knows: inputs of plans prepared once, and plans made of them in memory. Nothing is stored.

A plan takes some milliseconds; what comes before it, reading the trace and modelling units, takes up to seconds, and
depends on few of the settings that a slider moves. So prepared inputs are kept, by all that they depend on.
"""

import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import polars as pl

from planner.catalogue.scenarios import load_scenario
from planner.core.demand import Demand
from planner.core.load import scaled
from planner.core.policy import policies_in
from planner.errors import PlannerError, UsageError
from planner.files import version
from planner.planning.capacity import Limits
from planner.planning.check import require
from planner.planning.idle import idle_notes
from planner.planning.plan import plan
from planner.planning.prepare import Prepared, ensure_trace, prepare_on, resolve
from planner.planning.selection import reading, selection_of
from planner.planning.targets import target_limits
from planner.runs.draft import DraftRuns
from planner.runs.outcome import PlanOutcome
from planner.runs.read import RunView
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.studies.outlook import Outlook, outlook
from planner.studies.sweep.base import SweepBase
from planner.studies.sweep.case import demand_at
from planner.studies.sweep.run import base_of
from planner.trace.stored import TraceInfo
from planner.units import Progress
from planner.web.state import State

T = TypeVar("T")

_MOST_KEPT = 24
"""Prepared inputs, plans and the like that are kept of each kind. Assumed: a demand of a fortnight is 50 kB."""
_MOST_PREPARED = 64
"""The same of prepared inputs: all sliders at both their ends, and a few plans."""
_NOT_OF_INPUTS = {"name", "description", "policy", "economics", "training", "export", "sweep", "provenance", "what_if"}
"""Tables of a scenario that its prepared inputs do not depend on."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What a server is started with.

    Attributes:
        db: The store.
        sources: Names of scenarios as addresses have them, and what each is: a built-in name, or the path of a file.
        environment: Variables that set fields of scenarios.
        wait_s: How long to wait for the store while another process writes it.
    """

    db: Path
    sources: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 20.0

    def log(self, text: str) -> None:
        """Tell of a defect, on stderr."""
        print(text, file=sys.stderr, flush=True)


class Kept:
    """Results by key, of which the ones that were not asked for longest go first."""

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._most = most
        self._results: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result of a key, made where it is not known."""
        if key not in self._results:
            self._results[key] = make()
            while len(self._results) > self._most:
                self._results.popitem(last=False)
        self._results.move_to_end(key)
        result: T = self._results[key]
        return result

    def has(self, key: Hashable) -> bool:
        return key in self._results


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan of one side, as a stored run would be read, and what it was made of."""

    prepared: Prepared
    outcome: PlanOutcome
    run: RunView


class Workbench:
    """The state of a worker. progress: told how much of a task is done. of_panes: what panes keep of their own."""

    def __init__(self, settings: ServerSettings, progress: Progress | None = None) -> None:
        self.settings = settings
        self.progress = progress
        self.store = Store(settings.db, wait_s=settings.wait_s)
        self._drafts = DraftRuns()
        self._bases, self._prepared, self._planned = Kept(), Kept(_MOST_PREPARED), Kept()
        self._outlooks, self._limited = Kept(), Kept()
        self.of_panes = Kept()

    def scenario(self, state: State, side: str) -> Scenario:
        """The scenario of one side. Raises UsageError, ScenarioError."""
        overrides = state.overrides(side)
        if state.trace is not None:
            overrides.append(f"trace.name={json.dumps(state.trace)}")
        return load_scenario(self.settings.sources[state.scenario], overrides, self.settings.environment).scenario

    def base(self, state: State) -> tuple[SweepBase, TraceInfo]:
        """The scenario without changes, with its trace, drawn and stored where it is not yet. Raises PlannerError."""

        def make() -> tuple[SweepBase, TraceInfo]:
            scenario = self.scenario(replace(state, a={}, b=None), "a")
            require(scenario)
            trace = ensure_trace(self.store, scenario, now=now(), progress=self.progress)
            return base_of(self.store, scenario, trace, (scenario.policy.name,))[0], trace

        return self._bases.get((state.scenario, state.trace), make)

    def prepared(self, state: State, side: str) -> Prepared:
        """The inputs of a plan, as `prepare` makes them but for a trace that is drawn. Raises PlannerError.

        The demand of a trace that is drawn for the scenario is counted from its profile's cells, as a trace that is
        drawn with the changes has it: nothing is drawn for a slider. A trace with a name keeps its rows.
        """
        scenario = self.scenario(state, side)
        require(scenario)
        base, trace = self.base(state)

        def make() -> Prepared:
            with reading(self.store, scenario, trace) as session:
                return prepare_on(session, scenario, trace, _demand(base, scenario))

        known = self._prepared.get((state.trace, *inputs_key(scenario)), make)
        return known if known.scenario == scenario else _for_scenario(known, scenario)

    def planned(self, state: State, side: str) -> Planned:
        """The plan of one side. Raises PlannerError."""

        def make() -> Planned:
            prepared = self.prepared(state, side)
            outcome = plan(prepared)
            # settings that do nothing are told, as of stored runs
            outcome = replace(outcome, notes=(*outcome.notes, *idle_notes(self.scenario(state, side))))
            run = self._drafts.view(outcome, now=now(), version=version())
            return Planned(prepared=prepared, outcome=outcome, run=run)

        return self._planned.get(planned_key(state, side), make)

    def drafted(self, outcome: PlanOutcome, replay: Mapping[str, pl.DataFrame]) -> RunView:
        """A plan and what a replay of it measured, as a stored run would be read. replay: rows by table."""
        return self._drafts.view(outcome, now=now(), version=version(), replay=replay)

    def outlook(self, state: State, side: str, *, only_known: bool) -> Outlook | None:
        """How far a plan is from the proven bound, and whether it keeps the targets as modelled.

        only_known: whether to give None where that would have to be worked out. Raises PlannerError.
        """
        key = planned_key(state, side)
        if only_known and not self._outlooks.has(key):
            return None

        def make() -> Outlook:
            planned = self.planned(state, side)
            return outlook(planned.run, self._limits(planned), clock=perf_counter)

        return self._outlooks.get(key, make)

    def _limits(self, planned: Planned) -> Limits | str:
        """What units do within the latency targets, or why that is not known."""
        scenario, trace = planned.outcome.scenario, planned.prepared.trace

        def make() -> Limits | str:
            try:
                with reading(self.store, scenario, trace) as session:
                    return target_limits(session, scenario, trace)
            except PlannerError as error:
                return str(error)

        return self._limited.get((trace.name, *inputs_key(scenario)), make)


def _demand(base: SweepBase, scenario: Scenario) -> Demand:
    """The demand that a plan of this scenario is made for. Raises UsageError."""
    if scenario.trace.name is not None:
        change = selection_of(scenario).change
        return scaled(base.stored, change.factors(base.stored.grid, base.anchor_us, scenario.zone))
    if not base.by_cells and base.profile is not None and scenario.trace != base.settings:
        raise UsageError("a drawn trace can be changed here with intervals of whole cells only; set interval_s=900")
    return demand_at(base, scenario.trace)


def planned_key(state: State, side: str) -> tuple[Hashable, ...]:
    """All that the plan of one side depends on."""
    return (state.scenario, state.trace, *sorted(state.changes(side).items()))


def replay_key(state: State, side: str) -> tuple[Hashable, ...]:
    """All that a replay of the plan of one side depends on."""
    return (state.start, state.end, *planned_key(state, side))


def inputs_key(scenario: Scenario) -> tuple[Hashable, ...]:
    """All that the prepared inputs of a scenario depend on."""
    return (scenario.model_dump_json(exclude=_NOT_OF_INPUTS), "slo" in policies_in(scenario.policy))


def _for_scenario(known: Prepared, scenario: Scenario) -> Prepared:
    """Prepared inputs for a scenario that differs from theirs in what they do not depend on."""
    own = scenario.model_copy(update={"fleet": known.scenario.fleet})
    ends = known.ends
    if ends is not None:
        fast, slow = (
            None if end is None else replace(end, scenario=own.model_copy(update={"fleet": end.scenario.fleet}))
            for end in (ends.fast, ends.slow)
        )
        assert fast is not None
        ends = replace(ends, fast=fast, slow=slow)
    return replace(
        resolve(own, known.trace, known.demand),
        limits=known.limits,
        caution=known.caution,
        notes=known.notes,
        ends=ends,
    )


def now() -> datetime:
    """The wall clock: of traces that are drawn, and of plans that are looked at."""
    return datetime.now(UTC)
