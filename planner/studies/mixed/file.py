"""The file of a mixed fleet, and the scenarios of its pools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.catalogue.read import read_settings
from planner.catalogue.scenarios import beside, load_scenario
from planner.errors import UsageError
from planner.settings.mixed import FleetPool, MixedFleet
from planner.settings.scenario import Scenario


@dataclass(frozen=True)
class LoadedMix:
    """A mixed fleet. scenarios: of its pools, named after them, all with one trace. notes: what of them is not used."""

    fleet: MixedFleet
    scenarios: tuple[Scenario, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pools."""
        return tuple(pool.name for pool in self.fleet.pool)


def load_mix(path: Path, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> LoadedMix:
    """Read a mixed fleet and the scenarios of its pools.

    overrides, environment: as of `load_scenario`, of every pool. Raises UsageError, ScenarioError.
    """
    fleet = read_settings(path, MixedFleet)
    own = [_scenario_of(path, pool, overrides, environment) for pool in fleet.pool]
    first, names = own[0], [pool.name for pool in fleet.pool]
    for name, scenario in zip(names[1:], own[1:], strict=True):
        _check_alike(names[0], first, name, scenario)
    notes = [
        f"pool {name}: the requests are those of pool {names[0]}, and not those that its scenario names"
        for name, scenario in zip(names, own, strict=True)
        if scenario.trace != first.trace
    ]
    scenarios = (_of_pool(f"{fleet.name} {name}", scenario, first) for name, scenario in zip(names, own, strict=True))
    return LoadedMix(fleet, tuple(scenarios), tuple(notes))


def _scenario_of(
    path: Path, pool: FleetPool, overrides: Sequence[str], environment: Mapping[str, str] | None
) -> Scenario:
    nodes = [] if pool.nodes is None else [f"fleet.nodes={pool.nodes}"]
    loaded = load_scenario(beside(path, "scenarios", pool.scenario), [*nodes, *overrides], environment).scenario
    if loaded.fleet.nodes != pool.nodes:
        return loaded
    told = {"fleet.nodes": f"set: {path.name}"}
    return loaded.model_copy(update={"provenance": {**loaded.provenance, **told}})


def _check_alike(first: str, its: Scenario, name: str, scenario: Scenario) -> None:
    """Raises UsageError where two pools cannot be planned interval by interval together."""
    for field in ("interval_s", "timezone"):
        ours, theirs = getattr(its, field), getattr(scenario, field)
        if ours != theirs:
            raise UsageError(
                f"{field} is {ours} in the scenario of pool {first} and {theirs} in that of pool {name}; set both to "
                f"the same, for example with --set {field}={ours}"
            )


def _of_pool(name: str, scenario: Scenario, first: Scenario) -> Scenario:
    """The scenario of a pool under its name, with the first one's trace and what set that."""
    kept = {path: told for path, told in scenario.provenance.items() if not path.startswith("trace.")}
    of_trace = {path: told for path, told in first.provenance.items() if path.startswith("trace.")}
    return scenario.model_copy(update={"name": name, "trace": first.trace, "provenance": {**kept, **of_trace}})
