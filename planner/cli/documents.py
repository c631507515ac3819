"""Which document each command prints with --json: its JSON Schema is generated from it, and tests hold output to it."""

from functools import reduce
from importlib import import_module
from operator import or_
from types import GenericAlias
from typing import Any

DOCUMENTS: dict[str, tuple[str, ...]] = {
    "batching": ("planner.studies.capacity.batching:BatchingDocument",),
    "capacity": (
        "planner.capacity.documents:CapacityOverview",
        "planner.capacity.documents:CapacityCurve",
        "planner.studies.capacity.check:CapacityCheck",
        "planner.studies.capacity.scorecard.score:Scorecard",
    ),
    "capacity cache": ("planner.studies.capacity.disk_cache:DiskCacheSizes",),
    "capacity fit": ("planner.studies.capacity.fit:EngineFit",),
    "capacity route": ("planner.studies.capacity.mixed_fleet:MixRouting",),
    "catalogue": ("planner.catalogue.entries:CatalogueEntry[]",),
    "compare": ("planner.studies.compare.document:ComparisonDocument",),
    "config show": ("planner.catalogue.documents:EffectiveConfig",),
    "doctor": ("planner.cli.doctor_checks:DoctorReport",),
    "experts": ("planner.studies.capacity.experts:ExpertPlacement",),
    "export": ("planner.export.documents:ExportDocument",),
    "forecast": ("planner.studies.forecast.document:ForecastDocument",),
    "mixed plan": ("planner.studies.mixed.document:MixedPlanDocument",),
    "mixed replay": ("planner.studies.mixed.document:MixedReplayDocument",),
    "model add": ("planner.catalogue.model_documents:AddedModel",),
    "model list": ("planner.catalogue.model_documents:ModelEntry[]",),
    "model show": ("planner.catalogue.model_documents:ModelDescription",),
    "optimize": ("planner.studies.bound.document:BoundDocument",),
    "plan": ("planner.runs.documents:PlanDocument",),
    "pricing": ("planner.studies.pricing.document:PricingDocument",),
    "reference": ("planner.studies.reference:ReferenceDocument",),
    "replay": ("planner.studies.replay.document:ReplayDocument",),
    "report": ("planner.report.write:ReportFiles",),
    "resilience": ("planner.studies.resilience.document:ResilienceDocument",),
    "run delete": ("planner.runs.documents:RunDeleted",),
    "run diff": ("planner.runs.diff:RunDifference",),
    "run list": ("planner.runs.figures:RunFigures[]",),
    "run show": ("planner.runs.documents:PlanDocument",),
    "scenario list": ("planner.catalogue.documents:ScenarioEntry[]",),
    "scenario show": ("planner.catalogue.documents:ScenarioWithOrigins",),
    "scenario validate": ("planner.catalogue.documents:ScenarioVerdict",),
    "schedule history": ("planner.nightly.documents:LedgerRow[]",),
    "schedule list": ("planner.nightly.documents:ListedJob[]",),
    "sql": ("planner.store.queries:QueryEntry[]", "planner.store.register:Table[]", "builtins:dict[]"),
    "sweep": ("planner.studies.sweep.document:SweepDocument",),
    "trace delete": ("planner.trace.documents:TraceDeletion",),
    "trace expand": ("planner.trace.documents:ExpandedTrace",),
    "trace export": ("planner.trace.documents:TraceExport",),
    "trace generate": ("planner.trace.documents:TraceSummary",),
    "trace import": ("planner.trace.documents:ImportAccount", "planner.trace.documents:ImportPreview"),
    "trace list": ("planner.trace.documents:TraceSummary[]",),
    "trace show": ("planner.trace.documents:TraceDescription",),
    "what-if": ("planner.claims:JudgedClaim", "planner.claims:JudgedClaim[]"),
}
"""By command: "module:Class" for each kind of document that it may print, followed by [] for a list of them."""


def document_type(command: str) -> Any:
    """The type of what a command prints with --json: a document, a list of one, or a union of several."""
    return reduce(or_, map(_resolved, DOCUMENTS[command]))


def _resolved(name: str) -> Any:
    module, _, leaf = name.removesuffix("[]").partition(":")
    kind: Any = getattr(import_module(module), leaf)
    return GenericAlias(list, (kind,)) if name.endswith("[]") else kind
