"""Sweeps in tests: bases, single cases, and the plans that they are held against."""

from pathlib import Path
from typing import Any

from planner.catalogue.scenarios import load_scenario
from planner.planning.plan import plan_and_store
from planner.planning.prepare import ensure_trace
from planner.runs.read import read_run
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.studies.sweep.base import OWN, SweepBase
from planner.studies.sweep.case import CaseOutcome, SweepCase, run_case
from planner.studies.sweep.run import base_of
from tests.conftest import NOW, Cli, minute_log, small_scenario

FIGURES = (
    "cost_usd", "peak_nodes", "mean_nodes", "training_node_hours", "useful_training_node_hours", "revenue_usd",
    "margin_ratio", "shortfall_tokens", "shortfall_ratio",
)  # fmt: skip
"""Figures of a case that a plan's summary has too."""
KEPT = tuple(f"{path}=base" for path in OWN)
"""Flags that keep what is no field of a scenario."""
FOUR = [(600, 100), (700, 1250), (100, 100), (2000, 0)]


def base_on(store: Store, *sets: str) -> SweepBase:
    """The base of a sweep over a scenario."""
    scenario = load_scenario(None, sets).scenario
    trace = ensure_trace(store, scenario, now=NOW)
    return base_of(store, scenario, trace, (scenario.policy.name,))[0]


def four_minutes(cli: Cli, *sets: str) -> Scenario:
    """Four minutes of an imported log on the small fleet; input 600, 700, 100, 2000, output 100, 1250, 100, 0."""
    log = minute_log(Path("log.csv"), FOUR)
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "four").code == 0
    return small_scenario("trace.name=four", *sets)


def plan_figures(store: Store, *sets: str) -> dict[str, Any]:
    """The figures of `planner plan`, which draws its trace and counts its rows."""
    run_id = plan_and_store(store, load_scenario(None, sets).scenario, now=NOW)
    with store.read() as session:
        summary = read_run(session, run_id).summary
    return {name: getattr(summary, name) for name in FIGURES}


def figures_of(outcome: CaseOutcome) -> dict[str, Any]:
    """The same of a case."""
    return {name: getattr(outcome.figures, name) for name in FIGURES}


def at(base: SweepBase, **values: float) -> CaseOutcome:
    """A case at some values; names as in paths, with "__" for "."."""
    plain = {name.replace("__", "."): value for name, value in values.items()}
    policy, seed = base.scenario.policy.name, base.settings.seed
    return run_case(base, SweepCase(index=0, role="sample", varied=None, policy=policy, values=plain, seed=seed))
