"""Which document each command prints with --json: its JSON Schema is generated from it, and tests hold output to it."""

from functools import reduce
from importlib import import_module
from operator import or_
from types import GenericAlias
from typing import Any

DOCUMENTS: dict[str, tuple[str, ...]] = {
    "batching": (),
    "capacity": (),
    "capacity cache": (),
    "capacity fit": (),
    "capacity route": (),
    "compare": (),
    "config show": (),
    "doctor": (),
    "experts": (),
    "export": (),
    "forecast": ("planner.studies.forecast.document:ForecastDocument",),
    "optimize": (),
    "plan": ("planner.runs.documents:PlanDocument",),
    "pricing": (),
    "reference": (),
    "replay": ("planner.studies.replay.document:ReplayDocument",),
    "report": ("planner.report.write:ReportFiles",),
    "resilience": ("planner.studies.resilience.document:ResilienceDocument",),
    "run delete": ("planner.runs.documents:RunDeleted",),
    "run diff": ("planner.runs.diff:RunDifference",),
    "run list": ("planner.runs.figures:RunFigures[]",),
    "run show": ("planner.runs.documents:PlanDocument",),
    "scenario list": (),
    "scenario show": (),
    "scenario validate": (),
    "schedule history": (),
    "schedule list": (),
    "schedule run-due": (),
    "sql": (),
    "sweep": (),
    "trace delete": (),
    "trace export": (),
    "trace generate": (),
    "trace import": (),
    "trace list": (),
    "trace show": (),
    "what-if": (),
}
"""By command: "module:Class" for each kind of document that it may print, with [] behind it for a list of them."""


def document_type(command: str) -> Any:
    """The type of what a command prints with --json: a document, a list of one, or a union of several."""
    return reduce(or_, map(_resolved, DOCUMENTS[command]))


def _resolved(name: str) -> Any:
    module, _, leaf = name.removesuffix("[]").partition(":")
    kind: Any = getattr(import_module(module), leaf)
    return GenericAlias(list, (kind,)) if name.endswith("[]") else kind
