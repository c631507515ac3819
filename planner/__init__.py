"""Capacity planning for LLM inference fleets that serve by day and train by night.

What the command line does, in five lines of a notebook:

    from datetime import UTC, datetime
    import planner
    store = planner.Store("planner.duckdb")
    scenario = planner.load_scenario("deepseek-2025-02-27", ["fleet.nodes=300"]).scenario
    run = planner.load_run(store, planner.plan(store, scenario, now=datetime.now(UTC)))

Names are imported when they are first used, so that the command line starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.catalogue.scenarios import load_scenario
    from planner.errors import PlannerError
    from planner.planning.pipeline import check, load_run, plan, version
    from planner.report.write import write_report
    from planner.runs.results import RunView, plan_document
    from planner.settings.scenario import Scenario
    from planner.store import Store
    from planner.studies.replay.run import replay
    from planner.studies.replay.store import store_replay

_HOMES = {
    "PlannerError": "planner.errors",
    "RunView": "planner.runs.results",
    "Scenario": "planner.settings.scenario",
    "Store": "planner.store",
    "check": "planner.planning.pipeline",
    "load_run": "planner.planning.pipeline",
    "load_scenario": "planner.catalogue.scenarios",
    "plan": "planner.planning.pipeline",
    "plan_document": "planner.runs.results",
    "replay": "planner.studies.replay.run",
    "store_replay": "planner.studies.replay.store",
    "version": "planner.planning.pipeline",
    "write_report": "planner.report.write",
}

__all__ = [
    "PlannerError",
    "RunView",
    "Scenario",
    "Store",
    "check",
    "load_run",
    "load_scenario",
    "plan",
    "plan_document",
    "replay",
    "store_replay",
    "version",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'planner' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
