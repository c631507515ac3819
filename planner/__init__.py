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
    from planner.errors import PlannerError
    from planner.pipeline import check, load_run, plan, version
    from planner.replaying import replay, store_replay
    from planner.report.write import write_report
    from planner.results import RunView, plan_document
    from planner.scenario.load import load_scenario
    from planner.scenario.models import Scenario
    from planner.store import Store

_HOMES = {
    "PlannerError": "planner.errors",
    "RunView": "planner.results",
    "Scenario": "planner.scenario.models",
    "Store": "planner.store",
    "check": "planner.pipeline",
    "load_run": "planner.pipeline",
    "load_scenario": "planner.scenario.load",
    "plan": "planner.pipeline",
    "plan_document": "planner.results",
    "replay": "planner.replaying",
    "store_replay": "planner.replaying",
    "version": "planner.pipeline",
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
