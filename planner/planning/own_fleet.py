"""A scenario of one's own from what its owner knows: model, nodes, clock, prices. What is not known is said."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from planner.capacity.engines import (
    Modelled,
    decode_of,
    model_capacity,
    prefill_of,
    usual_decode_gpus,
)
from planner.catalogue.read import describe, hardware, model
from planner.catalogue.scenarios import from_template, override_values
from planner.errors import PlannerError, UsageError
from planner.planning.capacity import modelled_workload
from planner.settings.fleet import FleetSettings
from planner.settings.hardware import Hardware
from planner.settings.models import Model
from planner.settings.scenario import Scenario
from planner.settings.sheets import GpuRate, GpuRates, PriceSheet, TokenPrices
from planner.store import Session
from planner.trace import stored
from planner.trace.stored import TraceInfo

Values = dict[str, object]
"""Values of fields by their dotted paths."""

_MOST_UNITS_PER_STEP = 8
"""Units of one role that a scaling step has at most, so that a step stays a small part of a fleet. Assumed."""


@dataclass(frozen=True, kw_only=True)
class OwnFleet:
    """What the owner of a fleet knows.

    model, node: built-in names or paths. trace: a stored one; None for none yet. sets: further fields, "path=value".
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
    units = _units_that_fit(given, {**values, **own})
    sources |= {**dict.fromkeys(units.values(), units.source), **dict.fromkeys(own, "set: --set")}
    values |= {**units.values(), **own}
    scenario = from_template(values, sources)
    choices = [
        f"prefill and decode units of {units.prefill} and {units.decode} nodes, as the model fits them: "
        f"{_memory(scenario.fleet)} ({units.source})",
    ]
    if "fleet.engine.weights" not in own:
        choices.append(
            f"weights in {served.weight_dtype}, as the model is published; if you serve it in another format, change "
            "fleet.engine.weights"
        )
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
    if given.trace is None:
        choices.append("no trace is named: give --trace NAME to plan one")
    choices.append(f"capacities are modelled for {served.name} on {node.name}: nothing was observed")
    return Written(scenario=scenario, paths=tuple(values), choices=tuple(choices))


def _known(given: OwnFleet) -> tuple[Values, dict[str, str]]:
    """What is given, and what the catalogue has of it, by path; and the source of each. Raises UsageError."""
    served, node = model(given.model), hardware(given.node)
    one = "assumed: the least that serves"
    skew = (
        "assumed: none beyond what servings had that the engine's times were fitted to"
        if served.experts
        else "computed: no experts"
    )
    rows: list[tuple[str, object, str]] = [
        ("name", given.name, "set: the name of the file"),
        (
            "description",
            f"{served.name} on {given.nodes} nodes of {node.gpus_per_node} {node.name}",
            "set: by its parts",
        ),
        ("timezone", given.timezone, "set: --timezone"),
        ("trace.name", given.trace, "assumed: none yet, --trace names one" if given.trace is None else "set: --trace"),
        ("fleet.nodes", given.nodes, "set: --nodes"),
        ("fleet.node_type", node.name, "set: --node"),
        ("fleet.gpus_per_node", node.gpus_per_node, node.provenance.get("gpus_per_node", f"set: {given.node}")),
        ("fleet.base.prefill", 1, one),
        ("fleet.base.decode", 1, one),
        ("fleet.step.prefill", 1, "assumed: a unit of each role; with --trace it is computed"),
        ("fleet.step.decode", 1, "assumed: a unit of each role; with --trace it is computed"),
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
        f"{given.nodes} nodes of {node.name} do not hold a prefill and a decode unit of {served.name}: "
        f"{why or 'a unit of each role needs a node of its own'}; raise --nodes, or give another --node"
    )


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
    engine, _ = decode_of(fleet)
    return f"{engine.weights_gb:.0f} GB of weights on a GPU of {engine.hardware.memory_gb:g} GB"


def _step(session: Session, scenario: Scenario, trace: TraceInfo) -> tuple[Values, str]:
    """Units that scale together, in the proportion in which a trace needs them; and where that comes from."""
    if not trace.input_tokens or not trace.output_tokens:
        return {}, f"assumed: a unit of each role, because trace {trace.name} lacks input or output"
    try:
        workload = modelled_workload(session, trace, scenario.fleet)
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
