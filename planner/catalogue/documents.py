"""The documents of scenarios: the built-in ones, the problems and the origins of one, and the configuration."""

from dataclasses import dataclass

from pydantic import JsonValue

from planner.documents import Document
from planner.settings.scenario import Scenario


@dataclass(frozen=True, kw_only=True)
class ScenarioEntry(Document):
    """A built-in scenario."""

    name: str
    description: str


@dataclass(frozen=True, kw_only=True)
class ScenarioVerdict(Document):
    """Whether a scenario can be planned."""

    scenario: str
    """Its name, or where it was read from if it cannot be read."""
    valid: bool
    problems: tuple[str, ...]
    """A line for each problem: the field, what is wrong, and the cure."""


class ScenarioWithOrigins(Scenario):
    """A scenario with the origin of every value that is not the base's."""

    origins: dict[str, str]
    """By the dotted path of a field: "flag --set ...", "environment PLANNER__...", "what-if ..." or the file."""


@dataclass(frozen=True, kw_only=True)
class StorePlace(Document):
    """Where the store is."""

    value: str
    """Absolute path."""
    origin: str
    """What names it: flag --db, environment PLANNER_DB, or default."""
    exists: bool


@dataclass(frozen=True, kw_only=True)
class SetField(Document):
    """A scenario field that is set to something other than the base's value."""

    path: str
    """Dotted path."""
    value: JsonValue
    origin: str


@dataclass(frozen=True, kw_only=True)
class EffectiveConfig(Document):
    """The effective configuration."""

    db: StorePlace
    scenario: str
    """Name of the default scenario."""
    overridden: tuple[SetField, ...]
    """Fields that a flag or the environment sets, by path."""
