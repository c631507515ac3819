"""The sliders of the page: each is a setting of the scenario, with the values that it may be moved to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planner.catalogue.fields import field_paths, number_kind, value_at
from planner.catalogue.read import scenario_gpu_rate
from planner.core.policy import POLICIES
from planner.documents import Document, Maybe
from planner.errors import UsageError
from planner.settings.scenario import Scenario
from planner.text import quoted

_LONGEST = 40
"""Characters of a value. Numbers and names of policies have fewer."""


@dataclass(frozen=True, kw_only=True)
class Control(Document):
    """One slider or list."""

    path: str
    """The setting, as `--set` takes it."""
    label: str
    unit: str
    meaning: str
    """What the setting is, in a sentence."""
    value: int | float | str | None
    """As the plan has it; null where the setting is left out."""
    own: int | float | str | None
    """As the scenario has it."""
    low: Maybe[float] = None
    """The slider's ends; the setting itself may allow more."""
    high: Maybe[float] = None
    step: Maybe[float] = None
    choices: Maybe[tuple[str, ...]] = None
    provenance: str
    """Where the value comes from."""


@dataclass(frozen=True, kw_only=True)
class _Slider:
    """Ends and step of a slider. relative: whether they are multiples of the scenario's own value."""

    label: str
    unit: str
    low: float
    high: float
    step: float
    relative: bool = False


SLIDERS: Mapping[str, _Slider] = {
    "trace.demand_factor": _Slider(label="Demand", unit="×", low=0.25, high=4.0, step=0.05, relative=True),
    "fleet.nodes": _Slider(label="Fleet", unit="nodes", low=0.25, high=2.0, step=1, relative=True),
    "policy.floor_nodes": _Slider(label="Floor", unit="nodes", low=0, high=1.0, step=1),
    "policy.target_utilisation": _Slider(label="Target use", unit="of capacity", low=0.3, high=1.0, step=0.01),
    "fleet.start_up_s": _Slider(label="Start-up", unit="s", low=0, high=3600, step=30),
    "trace.cache_hit_ratio": _Slider(label="Cache hits", unit="of input", low=0.0, high=0.95, step=0.01),
    "slo.ttft_ms": _Slider(label="TTFT target", unit="ms", low=0.2, high=4.0, step=10, relative=True),
    "slo.tpot_ms": _Slider(label="TPOT target", unit="ms", low=0.2, high=4.0, step=1, relative=True),
    "failures.nodes_down_ratio": _Slider(label="Nodes down", unit="of nodes", low=0.0, high=0.2, step=0.005),
    "economics.gpu_usd_per_hour": _Slider(
        label="GPU price", unit="$ per GPU-hour", low=0.25, high=4.0, step=0.01, relative=True
    ),
}
"""Ends are assumed: what people ask about, and further than most of it."""
POLICY = "policy.name"
PATHS = (POLICY, *SLIDERS)
"""Settings that an address may hold. No other can be set from a page: some of them name files of this machine."""


def override(path: str, text: str) -> str:
    """A value of an address as `--set` takes it. Raises UsageError for what is not such a value."""
    if path == POLICY:
        if text not in POLICIES:
            raise UsageError(f"{path}: there is no policy {quoted(text, _LONGEST)}; use one of {', '.join(POLICIES)}")
        return f'{path}="{text}"'
    try:
        number = float(text) if len(text) <= _LONGEST else None
    except ValueError:
        number = None
    if number is None or not abs(number) < 1e15:
        raise UsageError(f"{path}: {quoted(text, _LONGEST)} is not a number; move the slider, or correct the address")
    return f"{path}={shown(path, number)}"


def shown(path: str, number: float) -> str:
    """A number as addresses and commands have it: whole where the setting is."""
    return f"{round(number)}" if number_kind(path) is int else f"{number:.12g}"


def controls_of(base: Scenario, plan: Scenario, hit_ratio: float | None) -> tuple[Control, ...]:
    """The sliders of a plan.

    base: the scenario without changes. hit_ratio: share of the trace's input found in the cache, None if not known.
    """
    own = {path: _own(base, path, hit_ratio) for path in PATHS}
    now = {path: _own(plan, path, hit_ratio) for path in PATHS}
    policy = Control(
        path=POLICY,
        label="Policy",
        unit="",
        meaning=field_paths()[POLICY],
        value=now[POLICY],
        own=own[POLICY],
        choices=_choices(base),
        provenance=_provenance(plan, POLICY),
    )
    return (policy, *(_control(path, plan, own[path], now[path]) for path in SLIDERS))


def _control(path: str, plan: Scenario, own: Any, now: Any) -> Control:
    slider = SLIDERS[path]
    factor = float(own) if slider.relative and own else 1.0
    low, high = slider.low * factor, slider.high * factor
    if path == "policy.floor_nodes":
        high = float(plan.fleet.nodes)
    # on steps, so that round values are reached
    low, high = (round(round(end / slider.step) * slider.step, 9) for end in (low, high))
    held = float(now) if now is not None else low
    return Control(
        path=path,
        label=slider.label,
        unit=slider.unit,
        meaning=field_paths()[path],
        value=now,
        own=own,
        low=min(low, held),
        high=max(high, held),
        step=slider.step,
        provenance=_provenance(plan, path),
    )


def _own(scenario: Scenario, path: str, hit_ratio: float | None) -> Any:
    """A setting's value, or what holds where it is left out."""
    value = value_at(scenario, path)
    if value is not None:
        return value
    if path == "economics.gpu_usd_per_hour":
        return scenario_gpu_rate(scenario.economics).usd_per_gpu_hour
    return hit_ratio if path == "trace.cache_hit_ratio" else None


def _provenance(scenario: Scenario, path: str) -> str:
    if value_at(scenario, path) is None:
        source = {"economics.gpu_usd_per_hour": "economics.gpu_rate", "trace.cache_hit_ratio": ""}.get(path, path)
        return scenario.provenance.get(source, "computed: from the trace")
    return scenario.provenance.get(path, "assumed: not stated")


def _choices(scenario: Scenario) -> tuple[str, ...]:
    """Policies that the scenario has what they need for."""
    needs = {"timetable": scenario.policy.timetable is not None, "scheduled-bounds": bool(scenario.policy.bounds)}
    return tuple(name for name in POLICIES if needs.get(name, True))


def command_words(scenario: str, changes: Mapping[str, str], trace: str | None) -> Sequence[str]:
    """The command that plans what is seen, word by word."""
    words = ["planner", "plan", scenario]
    if trace is not None:
        words += ["--trace", trace]
    for path, text in changes.items():
        words += ["--set", override(path, text)]
    return words
