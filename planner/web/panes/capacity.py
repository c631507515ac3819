"""What a unit of the scenario's fleet can do with the trace's requests, as modelled, and what that rests on."""

from dataclasses import dataclass
from pathlib import Path

from planner.capacity.bands import Estimate
from planner.capacity.documents import CapacityOverview
from planner.capacity.engines import Workload, model_capacity
from planner.catalogue.read import calibration
from planner.core.fleet.region import CapacityRegion
from planner.documents import Document
from planner.errors import PlannerError
from planner.planning.aggregated import unit_ends, unit_of
from planner.planning.capacity import planned_workload
from planner.planning.selection import reading
from planner.report.capacity_charts import batch_chart, region_chart
from planner.report.drawing import Chart
from planner.runs.bands import BASIS
from planner.settings.scenario import Scenario
from planner.studies.capacity.curves import sweep
from planner.studies.capacity.overview import describe_capacity
from planner.studies.capacity.study import EngineStudy
from planner.web.panes.base import Pane, PaneView
from planner.web.state import State
from planner.web.workbench import Workbench, planned_key


@dataclass(frozen=True, kw_only=True)
class NodeRate(Document):
    """What the plan counts on for a role."""

    role: str
    """prefill, decode, or aggregated for units that do both."""
    input_tokens_per_s: float | None
    """Of a node, or of a unit that does both with no output beside; null where the role has none."""
    output_tokens_per_s: float | None
    """The same of output."""


@dataclass(frozen=True, kw_only=True)
class UnitOverview(Document):
    """A unit that reads prompts and decodes, as modelled, within the target per token."""

    gpus: int
    streams: Estimate
    """Requests that it has begun at a time, at the trace's mix."""
    tpot_ms: Estimate
    """Time per output token at that batch."""
    input_tokens_per_s: Estimate
    """Without output beside, cache hits included."""
    output_tokens_per_s: Estimate
    """Without input beside."""
    workload: Workload


@dataclass(frozen=True, kw_only=True)
class CalibratedBy(Document):
    """Measurements of one's own that the model was fitted to: what its calibration file says."""

    conditions: int
    """Different conditions with a time per output token."""
    points: int
    source: str
    rms: float
    """Root mean square of the relative errors of the fit, a ratio."""
    left_out_rms: float | None
    """The same where each point is predicted from a fit to the others; null where there is one point."""


@dataclass(frozen=True, kw_only=True)
class FleetCapacityDocument(Document):
    """What units of a fleet can do."""

    capacity: str
    """What the plan counts on: observed capacities, or modelled ones."""
    plan: tuple[NodeRate, ...]
    """These, as the plan has them."""
    overview: CapacityOverview | None
    """What is modelled of units of two roles; null for a fleet whose units do both, or where it cannot be modelled."""
    unit: UnitOverview | None
    """What is modelled of a unit that does both; null for other fleets."""
    own_points: CalibratedBy | None
    """Null where fleet.engine names no calibration."""
    problem: str | None
    """Why nothing can be modelled, and the cure."""


def show(bench: Workbench, state: State) -> PaneView:
    """Modelled figures with their bands, beside what the plan counts on."""
    key = ("capacity", *planned_key(state, state.side))
    return bench.of_panes.get(key, lambda: _shown(bench, state))


def _shown(bench: Workbench, state: State) -> PaneView:
    planned = bench.planned(state, state.side)
    scenario, trace = planned.outcome.scenario, planned.prepared.trace
    overview, unit, charts, problem = None, None, tuple[Chart, ...](), None
    try:
        with reading(bench.store, scenario, trace) as session:
            workload = planned_workload(session, scenario, trace)
        if scenario.fleet.serving == "aggregated":
            unit, chart = _aggregated(scenario, workload)
        else:
            overview, chart = _apart(scenario, workload)
        charts = (chart,)
    except PlannerError as error:
        problem = str(error)
    return PaneView(
        document=FleetCapacityDocument(
            capacity=scenario.fleet.capacity,
            plan=_counted_on(scenario),
            overview=overview,
            unit=unit,
            own_points=_own_points(scenario),
            problem=problem,
        ),
        charts=charts,
        context={
            "basis": _basis(overview, unit),
            "engine": scenario.fleet.engine,
            "target_ms": scenario.slo.tpot_ms,
        },
    )


def _counted_on(scenario: Scenario) -> tuple[NodeRate, ...]:
    fleet = scenario.fleet
    if fleet.serving == "aggregated":
        assert fleet.aggregated.tokens_per_s is not None, "a plan has capacities"
        inputs, outputs = CapacityRegion(fleet.aggregated.tokens_per_s).most
        return (NodeRate(role="aggregated", input_tokens_per_s=inputs, output_tokens_per_s=outputs),)
    return (
        NodeRate(role="prefill", input_tokens_per_s=fleet.prefill.node_tokens_per_s, output_tokens_per_s=None),
        NodeRate(role="decode", input_tokens_per_s=None, output_tokens_per_s=fleet.decode.node_tokens_per_s),
    )


def _apart(scenario: Scenario, workload: Workload) -> tuple[CapacityOverview, Chart]:
    """Units of two roles. Raises PlannerError."""
    fleet = scenario.fleet
    # what does not fit the fleet's nodes is refused with the names of its settings
    model_capacity(fleet, scenario.slo.tpot_ms, workload)
    study = EngineStudy(
        settings=fleet.engine,
        prefill_gpus=fleet.gpus_of("prefill"),
        decode_gpus=fleet.gpus_of("decode"),
        workload=workload,
        target_ms=scenario.slo.tpot_ms,
    )
    overview = describe_capacity(study)
    return overview, batch_chart(sweep(study, "batch"), overview.decode.streams)


def _aggregated(scenario: Scenario, workload: Workload) -> tuple[UnitOverview, Chart]:
    """A unit that does both. Raises PlannerError."""
    fleet, replay, target_ms = scenario.fleet, scenario.replay, scenario.slo.tpot_ms
    unit = unit_of(fleet, replay, target_ms, workload)
    fast, slow, measured = unit_ends(fleet, replay, target_ms, workload)

    def between(value: float, low: float, high: float | None) -> Estimate:
        return Estimate(value=value, low=low, high=high, measured=measured)

    inputs, outputs = (
        between(unit.region.most[kind], 0.0 if slow is None else slow.region.most[kind], fast.region.most[kind])
        for kind in (0, 1)
    )
    regions = {"modelled": unit.region, "as fast as the band allows": fast.region}
    if slow is not None:
        regions["as slow as the band allows"] = slow.region
    overview = UnitOverview(
        gpus=fleet.unit_gpus,
        streams=between(unit.sequences, 0 if slow is None else slow.sequences, fast.sequences),
        tpot_ms=between(unit.tpot_ms, fast.tpot_ms, None if slow is None else slow.tpot_ms),
        input_tokens_per_s=inputs,
        output_tokens_per_s=outputs,
        workload=workload,
    )
    return overview, region_chart(regions)


def _basis(overview: CapacityOverview | None, unit: UnitOverview | None) -> str:
    """What the bands rest on, in words."""
    if overview is None:
        return "" if unit is None else BASIS[unit.tpot_ms.measured]
    bases = {"decode": overview.tpot_ms.measured, "prefill": overview.input_tokens_per_s_per_node.measured}
    if len(set(bases.values())) == 1:
        return BASIS[bases["decode"]]
    return "; ".join(f"{role} {BASIS[measured]}" for role, measured in bases.items())


def _own_points(scenario: Scenario) -> CalibratedBy | None:
    settings = scenario.fleet.engine
    if settings.calibration is None:
        return None
    file = calibration(Path(str(settings.calibration)))
    return CalibratedBy(
        conditions=file.points if file.conditions is None else file.conditions,
        points=file.points,
        source=file.source,
        rms=file.rms,
        left_out_rms=file.left_out_rms,
    )


PANE = Pane(name="capacity", title="Capacity", show=show, template="capacity.html.j2", document=FleetCapacityDocument)
