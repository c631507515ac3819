"""Uncertain values: which a sweep varies, between which values, and where the scenario itself lies."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from planner.catalogue.fields import field_paths, number_kind, value_at
from planner.catalogue.read import describe
from planner.core.sensitivity import Law
from planner.errors import ScenarioError, UsageError
from planner.settings.scenario import Scenario
from planner.settings.sweep import SweepRange
from planner.studies.sweep.base import (
    CACHE_HIT,
    FIELDS,
    GPU_PRICE,
    GROWTH,
    LEVEL,
    NODES_DOWN,
    NOISE,
    OWN,
    UNIT_CAPACITY,
    SweepBase,
    Value,
)

_TABLES = ("policy", "training", "economics")
_FIELDS = (
    LEVEL,
    GROWTH,
    NOISE,
    "fleet.nodes",
    "fleet.prefill.tokens_per_s_per_node",
    "fleet.decode.tokens_per_s_per_node",
    "fleet.start_up_s",
    "fleet.drain_deadline_s",
    "slo.max_shortfall_ratio",
)
"""Fields that a plan depends on, besides all numbers of _TABLES. Others describe replays, the trace that is drawn, or
modelled capacities, which a sweep leaves as computed for the scenario."""

_OF_SERVING = {
    UNIT_CAPACITY: "aggregated",
    "fleet.prefill.tokens_per_s_per_node": "disaggregated",
    "fleet.decode.tokens_per_s_per_node": "disaggregated",
}
"""Parameters that only one kind of serving has."""

_LIMITS = {CACHE_HIT: (0.0, 0.99), GPU_PRICE: (0.0, 1e6), NODES_DOWN: (0.0, 0.5), UNIT_CAPACITY: (0.01, 100.0)}
"""Valid ranges of the parameters that are not fields; the upper ends are assumed."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One uncertain value: its law, what it is in the scenario (None for a field left out), whether it is whole."""

    path: str
    law: Law
    base: Value
    whole: bool
    provenance: str

    def value(self, number: float) -> Value:
        """A drawn number as the parameter takes it: prices are whole micro-dollars."""
        if self.whole:
            return round(number)
        return round(number, 6) if self.path == GPU_PRICE else number


def read_ranges(scenario: Scenario, vary: Sequence[str]) -> list[SweepRange]:
    """The scenario's ranges, changed by "PATH=LOW:HIGH" and taken out by "PATH=base". Raises UsageError."""
    ranges = {each.path: each for each in scenario.sweep.vary}
    for text in vary:
        path, _, values = (part.strip() for part in text.partition("="))
        _check_path(path, f"--vary {path}")
        if values == "base":
            ranges.pop(path, None)
            continue
        try:
            low, high = map(float, values.split(":"))
        except ValueError as error:
            raise UsageError(
                f"--vary {text}: write PATH=LOW:HIGH, for example fleet.start_up_s=30:600, or PATH=base"
            ) from error
        law = ranges[path].law if path in ranges else "uniform"
        given = {"path": path, "law": law, "low": low, "high": high, "provenance": "set: flag --vary"}
        try:
            ranges[path] = SweepRange.model_validate(given)
        except ValidationError as error:
            raise UsageError(f"--vary {text}: {'; '.join(describe(error))}") from error
    for path in ranges:
        _check_path(path, f"sweep.vary: {path}")
    return list(ranges.values())


def _check_path(path: str, head: str) -> None:
    known = field_paths()
    if path in FIELDS:
        raise UsageError(f"{head} is varied under the name {FIELDS[path]}; give that")
    if path in OWN or path in _FIELDS or (path in known and path.split(".")[0] in _TABLES and number_kind(path)):
        return
    if path in known:
        raise UsageError(
            f"{head} is not a number that a sweep can vary; give {', '.join((*OWN, *_FIELDS))}, or a number in "
            f"{', '.join(_TABLES)}"
        )
    raise UsageError(f"{head} is neither a known field nor one of {', '.join(OWN)}; correct its name")


def place_ranges(base: SweepBase, ranges: Sequence[SweepRange]) -> tuple[list[Parameter], list[str]]:
    """The parameters of ranges around a base, and notes on what is left out. Raises UsageError."""
    parameters, notes = [], []
    for each in ranges:
        if each.path == GROWTH and base.drawn and not base.by_cells:
            raise UsageError(
                f"{GROWTH} of a trace drawn from a profile can only be varied with intervals of whole cells; "
                "leave it out, or set interval_s=900"
            )
        serving, has = base.scenario.fleet.serving, _OF_SERVING.get(each.path)
        if has not in (None, serving):
            notes.append(f"{each.path} is left out: serving is {serving}, and only {has} units have it")
            continue
        own = _own_value(base, each.path)
        if each.relative and not own:
            notes.append(f"{each.path} is {own} in the scenario: its range is relative to that, so it is left out")
            continue
        low, high = _ends(each, own)
        parameters.append(
            Parameter(
                path=each.path,
                law=Law(each.law, low, high, low if own is None else min(max(float(own), low), high)),
                base=own,
                whole=each.path not in OWN and number_kind(each.path) is int,
                provenance=each.provenance,
            )
        )
    return parameters, notes


def _ends(given: SweepRange, own: Value) -> tuple[float, float]:
    """Least and largest value of a range; a relative one is times the scenario's own value. Raises UsageError."""
    low, high = given.low, given.high
    if given.relative and own is not None:
        low, high = low * own, high * own
    least, most = _LIMITS.get(given.path, (low, high))
    if given.relative:
        low, high = max(low, least), min(high, most)
    if low < least or high > most:
        raise UsageError(f"{given.path} from {low:g} to {high:g}: give values from {least:g} to {most:g}")
    return low, high


def _own_value(base: SweepBase, path: str) -> Value:
    """The scenario's own value of a parameter."""
    own = {
        CACHE_HIT: base.hit_ratio,
        GPU_PRICE: base.gpu_usd_per_hour,
        NODES_DOWN: base.nodes_down_ratio,
        UNIT_CAPACITY: 1.0,
    }
    if path in own:
        return own[path]
    value: Value = value_at(base.scenario.model_copy(update={"trace": base.settings}), path)
    return value


def check_ends(base: SweepBase, parameter: Parameter) -> None:
    """Raises UsageError if a scenario cannot have the values at the ends of a range."""
    for end in (parameter.law.low, parameter.law.high):
        try:
            base.scenario_at(base.scenario.policy.name, {parameter.path: parameter.value(end)}, base.settings.seed)
        except ScenarioError as error:
            raise UsageError(
                f"{parameter.path} from {parameter.law.low:g} to {parameter.law.high:g}: {error}"
            ) from error
