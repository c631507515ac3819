"""Capacity planning for LLM inference fleets that serve by day and train by night.

What the command line does, in five lines of a notebook:

    from datetime import UTC, datetime
    import planner
    store = planner.Store("planner.duckdb")
    scenario = planner.load_scenario("deepseek-2025-02-27", ["fleet.nodes=300"]).scenario
    run = planner.load_run(store, planner.plan(store, scenario, now=datetime.now(UTC)))

Names are imported when they are first used, so that the command line starts fast. Nothing at all is imported here:
until `planner.__main__` has set how Ctrl-C ends the process, that gives a traceback.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from planner.catalogue.scenarios import load_scenario
    from planner.documents import to_json
    from planner.errors import PlannerError
    from planner.files import version
    from planner.planning.check import check
    from planner.planning.plan import plan_and_store as plan
    from planner.report.write import write_report
    from planner.runs.documents import plan_document
    from planner.runs.read import RunView, load_run
    from planner.settings.scenario import Scenario
    from planner.store import Store
    from planner.studies.outlook import outlook_of
    from planner.studies.replay.run import replay
    from planner.studies.replay.store import store_replay

_HOMES = {
    "PlannerError": "planner.errors:PlannerError",
    "RunView": "planner.runs.read:RunView",
    "Scenario": "planner.settings.scenario:Scenario",
    "Store": "planner.store:Store",
    "check": "planner.planning.check:check",
    "load_run": "planner.runs.read:load_run",
    "load_scenario": "planner.catalogue.scenarios:load_scenario",
    "outlook_of": "planner.studies.outlook:outlook_of",
    "plan": "planner.planning.plan:plan_and_store",
    "plan_document": "planner.runs.documents:plan_document",
    "replay": "planner.studies.replay.run:replay",
    "store_replay": "planner.studies.replay.store:store_replay",
    "to_json": "planner.documents:to_json",
    "version": "planner.files:version",
    "write_report": "planner.report.write:write_report",
}

__all__ = [
    "PlannerError",
    "RunView",
    "Scenario",
    "Store",
    "check",
    "load_run",
    "load_scenario",
    "outlook_of",
    "plan",
    "plan_document",
    "replay",
    "store_replay",
    "to_json",
    "version",
    "write_report",
]


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'planner' has no attribute '{name}'")
    module, _, leaf = _HOMES[name].partition(":")
    return getattr(import_module(module), leaf)
