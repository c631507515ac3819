"""Engines from settings and catalogue, and the capacities of units modelled with them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from planner.errors import UsageError
from planner.fleet.balancing import BalancerTable, MeasuredImbalance
from planner.fleet.decode import Floats, Imbalance
from planner.fleet.engine import Engine, Overheads, Validity
from planner.fleet.operating import ImbalanceAt, OperatingPoint, constant, operating_point
from planner.fleet.prefill import input_tokens_per_s_per_node, missed_tokens_per_s_per_node
from planner.scenario.catalogue import balancer_rows, calibration, hardware, model, workload
from planner.scenario.models import EngineSettings, FleetSettings, Scenario


@dataclass(frozen=True)
class Workload:
    """What requests ask of a fleet per token; tokens unless said otherwise.

    kv_tokens: mean KV length of an output token. hit_ratio: share of input found in the cache. missed_context_tokens:
    mean attention context of missed tokens. input_tokens, output_tokens: mean per request.
    """

    kv_tokens: float
    hit_ratio: float
    missed_context_tokens: float
    input_tokens: float
    output_tokens: float

    @classmethod
    def of_row(cls, row: Mapping[str, Any], trace: str) -> "Workload":
        """From the query trace_workload. Raises UsageError where a trace asks for nothing to model."""
        if any(value is None for value in row.values()):
            raise UsageError(
                f"trace {trace} has no output or no missed input tokens; fleet.capacity has to be observed"
            )
        return cls(**{name: float(value) for name, value in row.items()})

    @classmethod
    def named(cls, name: str) -> "Workload":
        """From the catalogue, or a TOML file. Raises UsageError."""
        found = workload(name)
        return cls(**{item.name: getattr(found, item.name) for item in fields(cls)})


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
    return base.model_copy(
        update={
            "model": model_name,
            "hardware": node_name,
            "weights": served.weight_dtype,
            "redundant_experts": served.serving.redundant_experts,
            "tensor_parallel": served.serving.tensor_parallel,
        }
    )


def ranks_of(engine: Engine) -> int:
    """Groups of GPUs that wait for each other in a step: those that exchange tokens with each other's experts."""
    return max(1, engine.expert_parallel // engine.tensor_parallel)


def engine_of(settings: EngineSettings, gpus: int) -> Engine:
    """The engine of a unit of so many GPUs, over which the experts are spread. Raises UsageError."""
    served, node = model(settings.model), hardware(settings.hardware)
    engine = Engine(
        model=served,
        hardware=node,
        weights=settings.weights,
        kv=settings.kv,
        expert_parallel=gpus if served.experts else 1,
        redundant_experts=settings.redundant_experts if served.experts else 0,
        tensor_parallel=settings.tensor_parallel,
        rows_per_stream=settings.rows_per_stream,
        accepted=settings.accepted,
        reserve_gb=settings.reserve_gb,
        block_tokens=settings.block_tokens,
    )
    return engine if settings.calibration is None else _with_calibration(engine, settings)


def balanced_engine(settings: EngineSettings, engine: Engine) -> tuple[Engine, ImbalanceAt]:
    """A decode engine and its imbalance, valid only where that was measured. Raises UsageError."""
    imbalance_at, measured = imbalance_of(settings, ranks_of(engine))
    return replace(engine, validity=_both(engine.validity, measured)), imbalance_at


def imbalance_of(settings: EngineSettings, ranks: int) -> tuple[ImbalanceAt, Validity]:
    """Imbalance by streams per GPU, and the streams for which it was measured. Raises UsageError."""
    if ranks == 1:
        return constant(Imbalance()), Validity()
    experts, dispatch = settings.expert_imbalance, settings.dispatch_imbalance
    if settings.kv_imbalance is not None:
        return constant(Imbalance(settings.kv_imbalance, experts, dispatch)), Validity()
    streams, kv = measured_kv_imbalance(settings.balancer, ranks)

    def at(asked: Floats) -> Imbalance:
        return Imbalance(np.interp(asked, streams, kv), experts, dispatch)

    return at, Validity(least_streams=float(streams[0]), most_streams=float(streams[-1]))


def measured_kv_imbalance(balancer: str, ranks: int) -> tuple[Floats, Floats]:
    """KV imbalance of a balancer over whole streams per GPU, as far as it was measured. Raises UsageError."""
    table = balancer_table()
    measured = [row.streams for row in table.rows]
    streams = np.arange(min(measured), max(measured) + 1, dtype=np.float64)
    return streams, np.array([table.at(balancer, ranks, float(count)).kv for count in streams])


def balancer_table() -> BalancerTable:
    """The simulated imbalances of the catalogue."""
    return BalancerTable(tuple(MeasuredImbalance(**row.model_dump()) for row in balancer_rows()))


def model_capacity(fleet: FleetSettings, tpot_ms: float, workload: Workload) -> Modelled:
    """What a node of each role does with a workload, from the hardware up. Raises UsageError."""
    settings = fleet.engine
    gpus = hardware(settings.hardware).gpus_per_node
    if gpus != fleet.gpus_per_node:
        raise UsageError(
            f"fleet.gpus_per_node is {fleet.gpus_per_node} and {settings.hardware} has {gpus}; set them to the same"
        )
    prefill, decode = (engine_of(settings, unit.nodes * gpus) for unit in (fleet.prefill, fleet.decode))
    decode, imbalance_at = balanced_engine(settings, decode)
    missed = missed_tokens_per_s_per_node(
        prefill,
        workload.missed_context_tokens,
        balance=settings.prefill_balance,
        utilisation=settings.prefill_utilisation,
    )
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


def _with_calibration(engine: Engine, settings: EngineSettings) -> Engine:
    found = calibration(Path(str(settings.calibration)))
    for what, fitted, used in (
        ("model", found.model, engine.model.name),
        ("node", found.hardware, engine.hardware.name),
        ("weights", found.weights, engine.weights),
    ):
        if fitted != used:
            raise UsageError(
                f"{settings.calibration}: was fitted to {what} {fitted} and {used} is asked for; fit it anew"
            )
    return replace(
        engine,
        overheads=Overheads(found.layer_us, found.row_us, found.host_us, found.kernel_factor),
        validity=Validity(found.most_streams, found.most_kv_tokens, found.least_streams, found.least_kv_tokens),
    )


def _both(one: Validity, other: Validity) -> Validity:
    return Validity(
        min(one.most_streams, other.most_streams),
        min(one.most_kv_tokens, other.most_kv_tokens),
        max(one.least_streams, other.least_streams),
        max(one.least_kv_tokens, other.least_kv_tokens),
    )
