"""Where the numbers of a plan come from."""

from dataclasses import dataclass

from planner.catalogue.fields import field_paths, has_meaning, value_at
from planner.catalogue.toml import shown
from planner.documents import Document
from planner.planning.idle import is_set, unused
from planner.runs.read import RunView
from planner.settings.economics import EconomicsSettings


@dataclass(frozen=True, kw_only=True)
class PlanNumber(Document):
    """A number that a plan rests on."""

    field: str
    """The setting, or the rate, price or profile figure."""
    value: str
    """As TOML writes it."""
    kind: str
    """published, computed, fitted, inferred, assumed, or set by the user."""
    source: str
    meaning: str
    """Empty for what is no setting."""


def numbers_of(run: RunView) -> tuple[PlanNumber, ...]:
    """Every setting that the plan depends on or that was set, every rate, price and profile figure, with its source."""
    scenario = run.scenario
    numbers, without_effect = [], unused(scenario)
    for path, meaning in field_paths().items():
        if not has_meaning(scenario, path) or (path in without_effect and not is_set(scenario, path)):
            continue
        kind, _, source = scenario.provenance.get(path, "assumed: not stated").partition(": ")
        value = shown(value_at(scenario, path))
        numbers.append(PlanNumber(field=path, value=value, kind=kind, source=source, meaning=meaning))
    other = _unused_prices(scenario.economics)
    inputs = [item for item in run.inputs if other is None or not item.name.startswith(f"prices/{other}.")]
    return (
        *numbers,
        *(
            PlanNumber(field=item.name, value=item.value, kind=item.kind, source=item.source, meaning="")
            for item in inputs
        ),
    )


def _unused_prices(economics: EconomicsSettings) -> str | None:
    """The other price sheet where no traffic is billed by it."""
    other = economics.other_price_sheet
    name = other if other is None or isinstance(other, str) else other.name
    own = economics.price_sheet
    is_own = name == (own if isinstance(own, str) else own.name)
    return None if economics.other_share or is_own else name
