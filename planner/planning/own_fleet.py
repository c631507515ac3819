"""A scenario of one's own from what its owner knows: model, nodes, clock, prices. What is not known is said."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from planner.capacity.engines import (
    Modelled,
    decode_engine,
    decode_of,
    model_capacity,
    prefill_of,
    usual_decode_gpus,
)
from planner.catalogue.read import describe, hardware, model
from planner.catalogue.scenarios import from_template, override_values
from planner.core.fleet.engine import Engine
from planner.errors import PlannerError, UsageError
from planner.planning.capacity import planned_workload
from planner.settings.fleet import FleetSettings
from planner.settings.hardware import Hardware
from planner.settings.models import Model
from planner.settings.scenario import Scenario
from planner.settings.sheets import GpuRate, GpuRates, PriceSheet, TokenPrices
from planner.store import Session
from planner.trace import stored
from planner.trace.stored import TraceInfo
from planner.units import counted

Values = dict[str, object]
"""Values of fields by their dotted paths."""

_MOST_UNITS_PER_STEP = 8
"""Units of one role that a scaling step has at most, so that a step stays a small part of a fleet. Assumed."""


@dataclass(frozen=True, kw_only=True)
class OwnFleet:
    """What the owner of a fleet knows.

    model, node: built-in names or paths. trace: a stored one; None for none yet. sets: further fields, "path=value".
    aggregated: whether units read prompts and decode. unit_gpus: of such a unit; None for as the model is usually
    served.
    """

    name: str
    model: str
    node: str
    nodes: int
    timezone: str
    usd_per_gpu_hour: float
    prices: TokenPrices
    trace: str | None = None
    sets: tuple[str, ...] = ()
    aggregated: bool = False
    unit_gpus: int | None = None


@dataclass(frozen=True, kw_only=True)
class Written:
    """A scenario of one's own, the fields that its file has to say, and what was chosen for its owner, in words."""

    scenario: Scenario
    paths: tuple[str, ...]
    choices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Units:
    """Nodes of the units of each role, and where that comes from."""

    prefill: int
    decode: int
    redundant_experts: int
    source: str
    split: Values = field(default_factory=dict)
    """How they share the model out, where not as usual."""

    def values(self) -> Values:
        return {
            "fleet.prefill.nodes": self.prefill,
            "fleet.decode.nodes": self.decode,
            "fleet.engine.redundant_experts": self.redundant_experts,
            **self.split,
        }


@dataclass(frozen=True, kw_only=True)
class _UnitOfBoth:
    """GPUs of a unit that does both, which share the model out between them, or its nodes; and where that comes from.

    split: how the GPUs of whole nodes share the model out.
    """

    gpus: int | None = None
    nodes: int | None = None
    redundant_experts: int
    source: str
    split: Values = field(default_factory=dict)

    def values(self) -> Values:
        size: Values = (
            {"fleet.unit.nodes": self.nodes}
            if self.gpus is None
            else {"fleet.unit.gpus": self.gpus, "fleet.engine.tensor_parallel": self.gpus}
        )
        return {**size, "fleet.engine.redundant_experts": self.redundant_experts, **self.split}

    def sources(self) -> dict[str, str]:
        """Where each of the values comes from."""
        shared = {} if self.gpus is None else {"fleet.engine.tensor_parallel": "computed: fleet.unit.gpus"}
        return {**dict.fromkeys(self.values(), self.source), **shared}


def describe_own_fleet(given: OwnFleet, session: Session | None) -> Written:
    """The scenario of a fleet of one's own; every value says where it comes from.

    Args:
        given: What the owner knows.
        session: Of the store with the trace; None where none is named.

    Raises:
        UsageError: A name is not known, or the model does not fit the nodes.
        ScenarioError: A value is out of range; it lists all of them.
        TraceError: The trace is not stored.
    """
    served, node = model(given.model), hardware(given.node)
    values, sources = _known(given)
    own = override_values(given.sets)
    if given.aggregated:
        if given.trace is not None and session is not None:
            stored.by_name(session, given.trace)
        return _described_aggregated(given, values, sources, own)
    units = _units_that_fit(given, {**values, **own})
    sources |= {**dict.fromkeys(units.values(), units.source), **dict.fromkeys(own, "set: --set")}
    values |= {**units.values(), **own}
    scenario = from_template(values, sources)
    choices = [
        f"prefill and decode units of {units.prefill} and {units.decode} nodes, as the model fits them: "
        f"{_memory(scenario.fleet)} ({units.source})",
    ]
    choices += _weights_choice(served, own)
    if scenario.fleet.scaling == "independent":
        steps = [path for path in ("fleet.step.prefill", "fleet.step.decode") if path not in own]
        scenario = from_template(
            values, sources | dict.fromkeys(steps, "assumed: the smallest step that a role can take")
        )
        each = scenario.fleet.step
        choices.append(f"prefill and decode scale apart, {each.prefill} and {each.decode} units at a time")
    elif given.trace is not None and session is not None:
        trace = stored.by_name(session, given.trace)
        step, source = _step(session, scenario, trace)
        values |= {path: count for path, count in step.items() if path not in own}
        sources |= {path: source for path in step if path not in own}
        scenario = from_template(values, sources)
        choices.append(
            f"scaling steps of {scenario.fleet.step.prefill} prefill and {scenario.fleet.step.decode} decode units "
            f"({source})"
        )
    choices += _last_choices(given, served, node)
    return Written(scenario=scenario, paths=tuple(values), choices=tuple(choices))


def _described_aggregated(given: OwnFleet, values: Values, sources: dict[str, str], own: Values) -> Written:
    """The scenario of a fleet whose units do both. Raises UsageError."""
    served, node = model(given.model), hardware(given.node)
    unit = _unit_of_both_that_fits(given, {**values, **own})
    chosen = unit.values()
    if unit.nodes in (None, 1) and (unit.gpus or 0) <= node.gpus_per_node:
        chosen["export.workload_kind"] = "Deployment"
        sources["export.workload_kind"] = "assumed: a unit is within a node, so that a pod holds it"
    scenario = from_template(
        {**values, **chosen, **own},
        {**sources, **unit.sources(), **dict.fromkeys(own, "set: --set")},
    )
    fleet = scenario.fleet
    shared = f", {fleet.units_per_node} to a node" if fleet.units_per_node > 1 else ""
    choices = (
        f"units of {fleet.unit_gpus} {'GPU' if fleet.unit_gpus == 1 else 'GPUs'} that read prompts and decode{shared}: "
        f"{_memory_of(decode_engine(fleet.engine, fleet.unit_gpus))} ({unit.source})",
        *_weights_choice(served, own),
        *_last_choices(given, served, node),
    )
    return Written(scenario=scenario, paths=tuple({**values, **chosen, **own}), choices=choices)


def _weights_choice(served: Model, own: Values) -> list[str]:
    if "fleet.engine.weights" in own:
        return []
    return [
        f"weights in {served.weight_dtype}, as the model is published; if you serve it in another format, change "
        "fleet.engine.weights"
    ]


def _last_choices(given: OwnFleet, served: Model, node: Hardware) -> list[str]:
    none_named = [] if given.trace else ["no trace is named: give --trace NAME to plan one"]
    return [*none_named, f"capacities are modelled for {served.name} on {node.name}: nothing was observed"]


def _known(given: OwnFleet) -> tuple[Values, dict[str, str]]:
    """What is given, and what the catalogue has of it, by path; and the source of each. Raises UsageError."""
    served, node = model(given.model), hardware(given.node)
    skew = (
        "assumed: none beyond what servings had that the engine's times were fitted to"
        if served.experts
        else "computed: no experts"
    )
    rows: list[tuple[str, object, str]] = [
        ("name", given.name, "set: the name of the file"),
        (
            "description",
            f"{served.name} on {counted(given.nodes, 'node')} of {node.gpus_per_node} {node.name}",
            "set: by its parts",
        ),
        ("timezone", given.timezone, "set: --timezone"),
        ("trace.name", given.trace, "assumed: none yet, --trace names one" if given.trace is None else "set: --trace"),
        ("fleet.nodes", given.nodes, "set: --nodes"),
        ("fleet.node_type", node.name, "set: --node"),
        ("fleet.gpus_per_node", node.gpus_per_node, node.provenance.get("gpus_per_node", f"set: {given.node}")),
        *_known_counts(given),
        ("fleet.engine.hardware", given.node, "set: --node"),
        ("fleet.engine.model", given.model, "set: --model"),
        ("fleet.engine.weights", served.weight_dtype, f"published: {served.source}"),
        ("fleet.engine.tensor_parallel", served.serving.tensor_parallel, served.serving.source),
        ("fleet.engine.expert_imbalance", 1.0, skew),
        ("fleet.engine.dispatch_imbalance", 1.0, skew),
        ("economics.gpu_rates", _rates(given), "set: --gpu-usd-per-hour"),
        ("economics.gpu_rate", "own", "set: --gpu-usd-per-hour"),
        ("economics.price_sheet", _prices(given), "set: --usd-per-million"),
    ]
    return {path: value for path, value, _ in rows}, {path: source for path, _, source in rows}


def _known_counts(given: OwnFleet) -> list[tuple[str, object, str]]:
    """How many units there are at least, and how many come together."""
    if given.aggregated:
        return [("fleet.serving", "aggregated", "set: --serving")]
    one, each = "assumed: the least that serves", "assumed: a unit of each role; with --trace it is computed"
    return [
        ("fleet.base.prefill", 1, one),
        ("fleet.base.decode", 1, one),
        ("fleet.step.prefill", 1, each),
        ("fleet.step.decode", 1, each),
    ]


def read_prices(text: str) -> TokenPrices:
    """Prices of tokens from "IN,CACHED,OUT", USD per million. Raises UsageError."""
    cure = "write three prices in USD, of input, cached input and output, for example --usd-per-million 0.40,0.10,1.60"
    try:
        uncached, cached, output = (float(part) for part in text.split(","))
        prices = TokenPrices(uncached_input=uncached, cached_input=cached, output=output)
    except ValidationError as error:
        raise UsageError(f"--usd-per-million {text}: {'; '.join(describe(error))}; {cure}") from error
    except ValueError as error:
        raise UsageError(f"--usd-per-million {text}: is not three numbers; {cure}") from error
    return prices


def _rates(given: OwnFleet) -> GpuRates:
    try:
        rate = GpuRate(usd_per_gpu_hour=given.usd_per_gpu_hour, kind="set", source="--gpu-usd-per-hour")
    except ValidationError as error:
        raise UsageError(f"--gpu-usd-per-hour: {'; '.join(describe(error))}; write what a GPU costs an hour") from error
    return GpuRates(name="own rates", description="What a GPU costs here", rates={"own": rate})


def _prices(given: OwnFleet) -> PriceSheet:
    return PriceSheet(
        name="own",
        description="What tokens earn here",
        source="--usd-per-million",
        kind="set",
        usd_per_million_tokens=given.prices,
    )


def _units_that_fit(given: OwnFleet, values: Values) -> _Units:
    """The usual units of the model where the fleet has room for one of each role, or the smallest that hold it.

    Raises UsageError.
    """
    served, node = model(given.model), hardware(given.node)
    usual_gpus = served.serving.prefill_gpus, usual_decode_gpus(served, node)
    prefill, decode = (-(-gpus // node.gpus_per_node) for gpus in usual_gpus)
    usual = _Units(
        prefill=prefill,
        decode=decode,
        redundant_experts=served.serving.redundant_experts,
        source=served.serving.source,
    )
    why = _misfit(usual, values)
    if prefill + decode <= given.nodes and why is None:
        return usual
    own = override_values(given.sets)
    for units in _smaller(served, node, given.nodes // 2):
        if own.keys() & units.split.keys():
            continue
        misfit = _misfit(units, values)
        if misfit is None:
            return units
        why = misfit
    raise UsageError(
        f"{counted(given.nodes, 'node')} of {node.name} {_do(given.nodes)} not hold a prefill and a decode unit of "
        f"{served.name}: {why or 'a unit of each role needs a node of its own'}; raise --nodes, or give another --node"
    )


def _unit_of_both_that_fits(given: OwnFleet, values: Values) -> _UnitOfBoth:
    """The unit that was asked for, or the usual one of the model, or the smallest that holds it. Raises UsageError."""
    served, node = model(given.model), hardware(given.node)
    why = None
    for unit in _units_of_both(given, served, node):
        scenario = from_template({**values, **unit.values()}, {})
        try:
            decode_engine(scenario.fleet.engine, scenario.fleet.unit_gpus)
        except PlannerError as error:
            why = str(error).removeprefix("decode unit: ")
        else:
            return unit
    if given.unit_gpus is not None:
        raise UsageError(
            f"--unit-gpus {given.unit_gpus}: such a unit on {node.name} does not serve {served.name}: {why}; give "
            "another number of GPUs, or another --node"
        )
    raise UsageError(
        f"{counted(given.nodes, 'node')} of {node.name} {_do(given.nodes)} not hold a unit of {served.name}: "
        f"{why or 'there is none'}; raise --nodes, or give another --node"
    )


def _units_of_both(given: OwnFleet, served: Model, node: Hardware) -> Iterator[_UnitOfBoth]:
    """Units that do both, the first to try first, with as many redundant experts as usual or none.

    The GPUs of a part of a node share attention, and so do the usual ones of whole nodes, or all of each where layers
    of a dense model are on one node after the other.
    """
    usual = served.serving.tensor_parallel
    fewest = f"computed: the fewest GPUs whose memory holds {served.name}"
    for redundant in dict.fromkeys((served.serving.redundant_experts, 0)):
        if given.unit_gpus is not None:
            yield _UnitOfBoth(gpus=given.unit_gpus, redundant_experts=redundant, source="set: --unit-gpus")
            continue
        gpus = usual
        while gpus <= node.gpus_per_node and given.nodes:
            source = served.serving.source if gpus == usual else fewest
            yield _UnitOfBoth(gpus=gpus, redundant_experts=redundant, source=source)
            gpus *= 2
        for nodes in range(2, given.nodes + 1):
            split: Values = {"fleet.engine.tensor_parallel": usual}
            if served.experts is None:
                split = {"fleet.engine.tensor_parallel": gpus // 2, "fleet.engine.pipeline_parallel": nodes}
            yield _UnitOfBoth(nodes=nodes, redundant_experts=redundant, source=fewest, split=split)


def _smaller(served: Model, node: Hardware, most_nodes: int) -> Iterator[_Units]:
    """Units of the same nodes in both roles, the smallest first, with as many redundant experts as usual or none.

    Each shares the model out as usual, or else over all GPUs: attention over those of a node, and the layers of a dense
    model over nodes.
    """
    tensor = served.serving.tensor_parallel
    while 2 * tensor <= node.gpus_per_node:
        tensor *= 2
    for nodes in range(1, most_nodes + 1):
        whole: Values = {"fleet.engine.tensor_parallel": tensor}
        if served.experts is None and nodes > 1:
            whole["fleet.engine.pipeline_parallel"] = nodes
        for split in ({}, whole):
            for redundant in dict.fromkeys((served.serving.redundant_experts, 0)):
                yield _Units(
                    prefill=nodes,
                    decode=nodes,
                    redundant_experts=redundant,
                    source=f"computed: the fewest nodes whose memory holds {served.name}",
                    split=split,
                )


def _misfit(units: _Units, values: Values) -> str | None:
    """Why an engine cannot run on units; None where it can."""
    scenario = from_template({**values, **units.values(), "fleet.nodes": units.prefill + units.decode}, {})
    try:
        prefill_of(scenario.fleet), decode_of(scenario.fleet)
    except PlannerError as error:
        return str(error)
    return None


def _memory(fleet: FleetSettings) -> str:
    return _memory_of(decode_of(fleet)[0])


def _memory_of(engine: Engine) -> str:
    return f"{engine.weights_gb:.0f} GB of weights on a GPU of {engine.hardware.memory_gb:g} GB"


def _step(session: Session, scenario: Scenario, trace: TraceInfo) -> tuple[Values, str]:
    """Units that scale together, in the proportion in which a trace needs them; and where that comes from."""
    if not trace.input_tokens or not trace.output_tokens:
        return {}, f"assumed: a unit of each role, because trace {trace.name} lacks input or output"
    try:
        workload = planned_workload(session, scenario, trace)
        capacity = model_capacity(scenario.fleet, scenario.slo.tpot_ms, workload)
    except PlannerError as error:
        return {}, f"assumed: a unit of each role, because nothing can be modelled: {error}"
    prefill, decode = _proportion(scenario.fleet, capacity)
    source = (
        f"computed: trace {trace.name} needs {_needed(scenario.fleet, capacity):.2f} decode units for each prefill "
        "unit, as modelled"
    )
    return {"fleet.step.prefill": prefill, "fleet.step.decode": decode}, source


def _needed(fleet: FleetSettings, capacity: Modelled) -> float:
    """Decode units that a trace needs for each prefill unit."""
    asked = capacity.workload
    prefill = asked.input_tokens / (capacity.prefill_tokens_per_s * fleet.prefill.nodes)
    return asked.output_tokens / (capacity.decode_tokens_per_s * fleet.decode.nodes) / prefill


def _proportion(fleet: FleetSettings, capacity: Modelled) -> tuple[int, int]:
    """The same in whole units, one of the role that needs fewer."""
    needed = _needed(fleet, capacity)
    more = min(max(round(max(needed, 1 / needed)), 1), _MOST_UNITS_PER_STEP)
    step = (1, more) if needed >= 1 else (more, 1)
    fits = fleet.nodes - fleet.prefill.nodes - fleet.decode.nodes
    nodes = step[0] * fleet.prefill.nodes + step[1] * fleet.decode.nodes
    return step if nodes <= fits else (1, 1)


def _do(count: int) -> str:
    return "does" if count == 1 else "do"
