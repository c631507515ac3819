"""Engines from settings and catalogue, and the capacities of units modelled with them."""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from planner.capacity.number_formats import check_weights, format_notes
from planner.catalogue.read import balancer_rows, calibration, engine_node, engine_profile, hardware, model, workload
from planner.core.fleet.balancing import BalancerTable, MeasuredImbalance
from planner.core.fleet.engine import Engine, Scale, Validity
from planner.core.fleet.operating import ImbalanceAt, OperatingPoint, constant, operating_point
from planner.core.fleet.prefill import input_tokens_per_s_per_node, missed_tokens_per_s_per_node
from planner.core.fleet.step import Imbalance
from planner.documents import Document
from planner.errors import CannotServe, UsageError
from planner.settings.closed import CacheDtype, WeightDtype
from planner.settings.engines import EngineOverheads, EngineProfile
from planner.settings.fleet import EngineSettings, FleetSettings
from planner.settings.hardware import Hardware
from planner.settings.measurements import CalibrationFile
from planner.settings.models import Model
from planner.settings.scenario import Scenario
from planner.units import Floats

FITTED_ON = (("deepseek-r1", "H800"), ("deepseek-r1", "H100"))
"""Model and node of the published steps that overheads were fitted to."""


OTHERWISE: dict[str, object] = {
    "name": "vllm",
    "expert_imbalance": 1.0,
    "dispatch_imbalance": 1.0,
    "prefill_balance": 1.0,
    "prefill_utilisation": 1.0,
    "reserve_gb": 2.0,
}
"""Settings of an engine for other models: an engine that most fleets have, whose fitted times hold what imbalance there
was."""


@dataclass(frozen=True, kw_only=True)
class WorkloadRow:
    """The columns of the query trace_workload, as those of Workload; None if a trace has no tokens."""

    kv_tokens: float | None
    hit_ratio: float | None
    missed_context_tokens: float | None
    input_tokens: float | None
    output_tokens: float | None


@dataclass(frozen=True, kw_only=True)
class Workload(Document):
    """What requests ask of a fleet per token."""

    kv_tokens: float
    """Mean KV length of an output token."""
    hit_ratio: float
    """Share of input found in the cache."""
    missed_context_tokens: float
    """Mean attention context of missed tokens."""
    input_tokens: float
    """Mean per request."""
    output_tokens: float
    """Mean per request."""

    @classmethod
    def of_row(cls, row: WorkloadRow, trace: str) -> "Workload":
        """From the query trace_workload_within. Raises UsageError if a trace has no request that can be served.

        What a trace does not ask for limits nothing: without output, streams are as long as prompts; without input,
        prompts have no context. Where a cache holds all input, a token of each prompt is computed, as engines do.
        """
        if row.input_tokens is None or row.output_tokens is None:
            raise UsageError(f"trace {trace} has no request that a unit can serve; check its lengths and fleet.engine")
        context = row.input_tokens if row.missed_context_tokens is None else row.missed_context_tokens
        hits = row.hit_ratio or 0.0
        if row.missed_context_tokens is None:
            hits = min(hits, 1 - 1 / row.input_tokens if row.input_tokens > 1 else 0.0)
        return cls(
            kv_tokens=max(row.input_tokens, 1.0) if row.kv_tokens is None else row.kv_tokens,
            hit_ratio=hits,
            missed_context_tokens=context,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
        )

    @classmethod
    def named(cls, name: str) -> "Workload":
        """From the catalogue, or a TOML file. Raises UsageError."""
        file = workload(name)
        return cls(**{item.name: getattr(file, item.name) for item in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class FittedEngine(Document):
    """What a calibration is valid for: fields of a calibration file."""

    model: str
    hardware: str
    engine: str
    """Serving engine, by its name in the catalogue."""
    weights: WeightDtype
    """Number format of the weights."""
    kv: CacheDtype
    """Number format of the KV cache."""
    gpus: int
    """Of the decode unit."""
    tensor_parallel: int
    """GPUs that share attention and dense layers."""
    pipeline_parallel: int
    """Groups of GPUs that hold layers one after the other."""
    redundant_experts: int
    """Further copies of routed experts in the unit."""


@dataclass(frozen=True)
class Modelled:
    """Capacities of a node of each role, tokens/s: input with hits, output. decode: its operating point."""

    workload: Workload
    prefill_tokens_per_s: float
    decode: OperatingPoint

    @property
    def decode_tokens_per_s(self) -> float:
        return self.decode.tokens_per_s_per_node


def usual_settings(base: EngineSettings, model_name: str, node_name: str) -> EngineSettings:
    """The settings for a model on a kind of node, spread as the catalogue says. Raises UsageError."""
    served = model(model_name)
    # DeepSeek's own engine is how its model is served at this size, on whatever nodes
    own = {} if served.name == FITTED_ON[0][0] else OTHERWISE
    return base.model_copy(
        update={
            **own,
            "model": model_name,
            "hardware": node_name,
            "weights": served.weight_dtype,
            "redundant_experts": served.serving.redundant_experts,
            "tensor_parallel": served.serving.tensor_parallel,
        }
    )


def usual_decode_gpus(served: Model, node: Hardware) -> int:
    """GPUs of a decode unit: as is usual for the model, but inside one rack where links join more than a node."""
    usual = served.serving.decode_gpus
    return min(usual, node.nvlink_gpus) if node.nvlink_gpus > node.gpus_per_node else usual


def ranks_of(engine: Engine) -> int:
    """Groups of GPUs that synchronise in a step: those that exchange tokens with each other's experts."""
    return max(1, engine.expert_parallel // engine.tensor_parallel)


def prefill_engine(settings: EngineSettings, gpus: int) -> Engine:
    """The engine of a prefill unit of `gpus` GPUs. Raises UsageError, also if the model does not fit.

    Where kernels have one share of each peak, the level of prefill is fitted by itself: a calibration leaves it alone.
    """
    engine = _fitting(_engine(settings, gpus), "prefill")
    if settings.calibration is None or engine.profile.kernels == "shares":
        return engine
    return _with_calibration(engine, settings, gpus)


def decode_engine(settings: EngineSettings, gpus: int) -> Engine:
    """The engine of a decode unit of `gpus` GPUs. Raises UsageError, also if the model does not fit."""
    engine = _fitting(_engine(settings, gpus), "decode")
    return engine if settings.calibration is None else _with_calibration(engine, settings, gpus)


def aggregated_settings(fleet: FleetSettings) -> EngineSettings:
    """The engine's settings on units that do both: all GPUs of one that is given in GPUs share attention."""
    gpus, stages = fleet.aggregated.gpus, fleet.engine.pipeline_parallel
    if gpus is None:
        return fleet.engine
    if gpus % stages:
        raise UsageError(
            f"fleet.unit.gpus is {gpus}, which is not a whole number of {stages} stages "
            "(fleet.engine.pipeline_parallel); use a multiple of it"
        )
    return fleet.engine.model_copy(update={"tensor_parallel": gpus // stages})


def aggregated_of(fleet: FleetSettings) -> tuple[Engine, ImbalanceAt]:
    """The engine of a fleet's unit that does both, and how far out of balance its ranks are. Raises UsageError."""
    settings, gpus = aggregated_settings(fleet), fleet.unit_gpus
    engine = _fitting(_engine(settings, gpus), "aggregated")
    if settings.calibration is not None:
        engine = _with_calibration(engine, settings, gpus)
    return balanced_engine(settings, engine)


def prefill_of(fleet: FleetSettings) -> Engine:
    """The engine of the unit of a fleet that reads prompts. Raises UsageError."""
    if fleet.serving == "aggregated":
        return aggregated_of(fleet)[0]
    return prefill_engine(fleet.engine, fleet.prefill.nodes * fleet.gpus_per_node)


def decode_of(fleet: FleetSettings) -> tuple[Engine, ImbalanceAt]:
    """The engine of the unit of a fleet that decodes, and how far out of balance its ranks are. Raises UsageError."""
    if fleet.serving == "aggregated":
        return aggregated_of(fleet)
    return balanced_engine(fleet.engine, decode_engine(fleet.engine, fleet.decode.nodes * fleet.gpus_per_node))


def missed_rate(settings: EngineSettings, engine: Engine, context: float) -> float:
    """Input tokens without cache hits that a prefill node computes per second, at a mean context. Raises UsageError."""
    rate = missed_tokens_per_s_per_node(
        engine, context, balance=settings.prefill_balance, utilisation=settings.prefill_utilisation
    )
    return float(rate)


def notes(settings: EngineSettings, *, apart: bool = True) -> list[str]:
    """Assumptions behind the modelled figures. apart: whether prompts are read on units of their own."""
    profile = engine_profile(settings.name)
    formats = format_notes(hardware(settings.hardware), settings.weights, settings.kv)
    if profile.kernels == "curves":
        return [*formats, *_curve_notes(settings, profile)]
    return [*formats, *_share_notes(settings, apart=apart)]


def _share_notes(settings: EngineSettings, *, apart: bool) -> list[str]:
    """What times by one share of each peak rest on. apart: whether prompts are read on units of their own."""
    share = f"prefill: {settings.prefill_balance * settings.prefill_utilisation:.3f} of the balanced rate"
    served = model(settings.model).name, hardware(settings.hardware).name
    level = "; its level is reproduced, not predicted" if served == FITTED_ON[0] else ", and assumed to hold here too"
    # of another model it says nothing that its reader could check here
    fitted = served[0] if served[0] == FITTED_ON[0][0] else "another model"
    of_prefill = [f"{share}, fitted to observations of {fitted} on H800{level}"] if apart else []
    if settings.calibration is not None:
        return [*of_prefill, f"decode: calibrated by {settings.calibration}"]
    if served in FITTED_ON:
        return of_prefill
    return [
        *of_prefill,
        f"decode: overheads were fitted to {fitted} on H800 and H100, and are assumed to hold for other models and "
        "nodes, with kernels at the same share of the peaks; calibrate with `planner capacity fit`",
    ]


def _curve_notes(settings: EngineSettings, profile: EngineProfile) -> list[str]:
    """What times of measured kernels and a fitted engine rest on."""
    node = hardware(settings.hardware)
    kernels = (
        f"kernels were measured on {node.name}"
        if node.curves_like is None
        else f"kernels were not measured on {node.name}: shares of the peaks are assumed to be those of "
        f"{hardware(node.curves_like).name}"
    )
    if settings.calibration is not None:
        return [f"times: {kernels}; calibrated by {settings.calibration}"]
    return [
        f"times: {kernels}; what {profile.title} adds was fitted to servings of other models and nodes, and those that "
        "were left out of the fit were off by 12 % in the median and 34 % at p90 per output token: "
        "`planner capacity fit` brings that to half from a single measurement of your own",
    ]


def _fitting(engine: Engine, role: str) -> Engine:
    try:
        _ = engine.kv_gb
    except CannotServe as error:
        raise CannotServe(f"{role} unit: {error}", error.reason) from error
    return engine


def _engine(settings: EngineSettings, gpus: int) -> Engine:
    served, node, profile = model(settings.model), engine_node(settings.hardware), engine_profile(settings.name)
    check_weights(served, node, settings.weights)
    tp, stages = settings.tensor_parallel, settings.pipeline_parallel
    if gpus < 1 or gpus % (tp * stages):
        of = f"{tp} (tensor_parallel)" if stages == 1 else f"{tp} x {stages} (tensor_parallel, pipeline_parallel)"
        raise UsageError(f"a unit of {gpus} GPUs is not a whole number of groups of {of}; use a multiple of it")
    sharing = _expert_tensor(settings, profile, served, gpus // stages)
    return Engine(
        model=served,
        hardware=node,
        weights=settings.weights,
        profile=profile,
        kv=settings.kv,
        expert_parallel=gpus // stages // sharing if served.experts else 1,
        expert_tensor=sharing,
        redundant_experts=settings.redundant_experts if served.experts else 0,
        tensor_parallel=tp,
        pipeline_parallel=stages,
        rows_per_stream=settings.rows_per_stream,
        accepted=settings.accepted,
        overlap=settings.overlap,
        reserve_gb=_reserve_gb(settings, profile, node),
        block_tokens=settings.block_tokens,
    )


def _expert_tensor(settings: EngineSettings, profile: EngineProfile, served: Model, gpus: int) -> int:
    """GPUs that share every expert of a unit, whose layers are on so many GPUs."""
    if served.experts is None:
        return 1
    if settings.expert_tensor is None:
        return settings.tensor_parallel if profile.limits.expert_split == "tensor" else 1
    if gpus % settings.expert_tensor:
        raise UsageError(
            f"fleet.engine.expert_tensor is {settings.expert_tensor}, which does not divide the {gpus} GPUs that hold "
            "a layer; use a divisor"
        )
    return settings.expert_tensor


def _reserve_gb(settings: EngineSettings, profile: EngineProfile, node: Hardware) -> float:
    """Memory of a GPU that holds neither weights nor KV: what is set, and what the engine does not take."""
    return settings.reserve_gb + profile.limits.left_gb(node.memory_gb)


def balanced_engine(settings: EngineSettings, engine: Engine) -> tuple[Engine, ImbalanceAt]:
    """A decode engine and its imbalance, valid only where that was measured. Raises UsageError."""
    imbalance_at, measured = imbalance_of(settings, ranks_of(engine))
    return replace(engine, validity=_overlap(engine.validity, measured)), imbalance_at


def imbalance_of(settings: EngineSettings, ranks: int) -> tuple[ImbalanceAt, Validity]:
    """Imbalance by streams per GPU, and the streams for which it was measured. Raises UsageError."""
    if ranks == 1:
        return constant(Imbalance()), Validity()
    experts, dispatch = settings.expert_imbalance, settings.dispatch_imbalance
    if settings.kv_imbalance is not None:
        return constant(Imbalance(settings.kv_imbalance, experts, dispatch)), Validity()
    streams, kv, count = measured_imbalance(settings.balancer, ranks)

    def at(asked: Floats) -> Imbalance:
        # a GPU with more streams than others sends as many more tokens
        sent = dispatch * np.interp(asked, streams, count)
        return Imbalance(np.interp(asked, streams, kv), experts, sent)

    return at, Validity(least_streams=float(streams[0]), most_streams=float(streams[-1]))


@lru_cache(maxsize=64)
def measured_imbalance(balancer: str, ranks: int) -> tuple[Floats, Floats, Floats]:
    """Imbalance of a balancer's KV and streams over whole streams per GPU, as far as measured. Raises UsageError.

    Kept, and so read-only: half a second of interpolation that every modelled plan and every replay asks for.
    """
    table = balancer_table()
    measured = [row.streams for row in table.rows]
    streams = np.arange(min(measured), max(measured) + 1, dtype=np.float64)
    rows = [table.at(balancer, ranks, float(count)) for count in streams]
    columns = streams, np.array([row.kv for row in rows]), np.array([row.count for row in rows])
    for column in columns:
        column.setflags(write=False)
    return columns


def balancer_table() -> BalancerTable:
    """The simulated imbalances of the catalogue."""
    return BalancerTable(tuple(MeasuredImbalance(**row.model_dump()) for row in balancer_rows()))


def model_capacity(fleet: FleetSettings, tpot_ms: float, workload: Workload) -> Modelled:
    """What a node of each role does with a workload, from the hardware up. Raises UsageError."""
    settings = fleet.engine
    gpus = hardware(settings.hardware).gpus_per_node
    if gpus != fleet.gpus_per_node:
        raise UsageError(
            f"fleet.gpus_per_node is {fleet.gpus_per_node}, but {settings.hardware} has {gpus}; set both to the same"
        )
    prefill = prefill_of(fleet)
    decode, imbalance_at = decode_of(fleet)
    missed = missed_rate(settings, prefill, workload.missed_context_tokens)
    return Modelled(
        workload=workload,
        prefill_tokens_per_s=float(input_tokens_per_s_per_node(missed, workload.hit_ratio)),
        decode=operating_point(decode, workload.kv_tokens, tpot_ms, imbalance_at),
    )


def with_capacity(scenario: Scenario, modelled: Modelled) -> Scenario:
    """The scenario with modelled capacities in place of the observed ones, and their provenance."""
    fleet = scenario.fleet
    point = modelled.decode
    computed = {
        "fleet.prefill.tokens_per_s_per_node": (
            f"computed: modelled {fleet.engine.model} on {fleet.engine.hardware}, "
            f"{modelled.workload.missed_context_tokens:,.0f} tokens of context, {modelled.workload.hit_ratio:.2%} hits"
        ),
        "fleet.decode.tokens_per_s_per_node": (
            f"computed: modelled {fleet.engine.model} on {fleet.engine.hardware}, {point.streams:g} streams per GPU of "
            f"{modelled.workload.kv_tokens:,.0f} tokens, {point.tpot_ms:.1f} ms per token, limited by {point.limit}"
        ),
    }
    roles = {
        "prefill": fleet.prefill.model_copy(update={"tokens_per_s_per_node": modelled.prefill_tokens_per_s}),
        "decode": fleet.decode.model_copy(update={"tokens_per_s_per_node": modelled.decode_tokens_per_s}),
    }
    return scenario.model_copy(
        update={"fleet": fleet.model_copy(update=roles), "provenance": {**scenario.provenance, **computed}}
    )


def fitted_to(engine: Engine, gpus: int) -> FittedEngine:
    """What a calibration of an engine on `gpus` GPUs is valid for."""
    return FittedEngine(
        model=engine.model.name,
        hardware=engine.hardware.name,
        engine=engine.profile.name,
        weights=engine.weights,
        kv=engine.kv,
        gpus=gpus,
        tensor_parallel=engine.tensor_parallel,
        pipeline_parallel=engine.pipeline_parallel,
        redundant_experts=engine.redundant_experts,
    )


CARRIED = ("kv", "gpus", "tensor_parallel", "pipeline_parallel", "redundant_experts")
"""What may differ from what was measured: factors of times carry over, and a note says so."""


def carried_over(settings: EngineSettings, engine: Engine, gpus: int) -> list[str]:
    """What of an engine differs from what its calibration was measured on, in words. Raises UsageError."""
    file, asked = calibration(Path(str(settings.calibration))), fitted_to(engine, gpus)
    return [
        f"{name} {getattr(asked, name)} ({getattr(file, name)} measured)"
        for name in CARRIED
        if getattr(file, name) != getattr(asked, name)
    ]


def _with_calibration(engine: Engine, settings: EngineSettings, gpus: int) -> Engine:
    file, asked = calibration(Path(str(settings.calibration))), fitted_to(engine, gpus)
    older = file.layer_us is not None
    for each in fields(asked):
        fitted, used = getattr(file, each.name), getattr(asked, each.name)
        if fitted != used and (older or each.name not in CARRIED):
            raise UsageError(
                f"{settings.calibration} was fitted to {each.name} {fitted}, but the engine has {used}; fit it again, "
                "or set the engine as it was measured"
            )
    if older:
        return _with_older(engine, file)
    return replace(engine, scale=Scale(kernels=file.kernels, prompts=file.prompts, overheads=file.overheads))


def _with_older(engine: Engine, file: CalibrationFile) -> Engine:
    """An engine with the overheads of a file of before 2027, valid where its points were measured."""
    overheads = EngineOverheads(layer_us=file.layer_us or 0, row_us=file.row_us or 0, step_us=file.host_us or 0)
    return replace(
        engine,
        profile=engine.profile.model_copy(update={"overheads": overheads}),
        scale=Scale(kernels=file.kernel_factor or 1.0),
        validity=Validity(
            most_streams=file.most_streams or 0,
            most_kv_tokens=file.most_kv_tokens or 0,
            least_streams=file.least_streams or 0,
            least_kv_tokens=file.least_kv_tokens or 0,
        ),
    )


def _overlap(one: Validity, other: Validity) -> Validity:
    """The range in which both are valid."""
    return Validity(
        most_streams=min(one.most_streams, other.most_streams),
        most_kv_tokens=min(one.most_kv_tokens, other.most_kv_tokens),
        least_streams=max(one.least_streams, other.least_streams),
        least_kv_tokens=max(one.least_kv_tokens, other.least_kv_tokens),
    )
