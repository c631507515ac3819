"""The settings of a plan: frozen, closed models, one per stage. A misspelt field fails instead of being ignored.

The numbers of the built-in scenarios are in `planner/catalogue/data/scenarios/*.toml`, each with its provenance;
the models have types, limits and meanings only. The model of a section is in the module of its name.
"""

from datetime import datetime
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from planner.settings.closed import Closed, valid_zone
from planner.settings.economics import EconomicsSettings, SloSettings
from planner.settings.export import ExportSettings
from planner.settings.fleet import FleetSettings
from planner.settings.forecast import EventSettings, ForecastSettings, IncidentSettings
from planner.settings.policy import PolicySettings
from planner.settings.replay import FailureSettings, ReplaySettings
from planner.settings.sweep import SweepSettings
from planner.settings.trace import TraceSettings
from planner.settings.training import TrainingSettings


class Scenario(Closed):
    """Everything a plan depends on besides the stored trace.

    A frozen pydantic model; `planner.load_scenario` makes one from a built-in name or a TOML file. Each field has its
    unit and meaning below it, and its source in `provenance`.

    Raises:
        pydantic.ValidationError: a field is unknown, has a value out of range, or contradicts another; it lists
            all such problems.
    """

    name: str
    """Short name of the scenario."""
    description: str
    """One line on what it describes."""
    timezone: str
    """IANA zone of local times: the day window, timetables, hourly tables."""
    what_if: str | None = None
    """Claim whose settings are part of the scenario: the name of a what-if preset, or the path of one."""
    interval_s: Annotated[int, Field(ge=60, le=3600, multiple_of=60)]
    """Length of a planning interval in seconds: whole minutes, 60 to 3600."""
    trace: TraceSettings
    """Which requests to plan for."""
    policy: PolicySettings
    """How units are decided."""
    fleet: FleetSettings
    """The nodes, the units they form, and the engine that serves."""
    forecast: ForecastSettings
    """How demand is forecast."""
    replay: ReplaySettings
    """How every request is replayed."""
    failures: FailureSettings
    """How often nodes fail in a replay."""
    training: TrainingSettings
    """What happens to nodes that inference does not hold."""
    economics: EconomicsSettings
    """What a GPU costs and what tokens earn."""
    slo: SloSettings
    """Limits that a plan has to meet."""
    export: ExportSettings
    """How a schedule reaches the cluster."""
    incident: tuple[IncidentSettings, ...] = ()
    """Time whose demand forecasts leave out: a table [[incident]] each."""
    event: tuple[EventSettings, ...] = ()
    """Time that forecasts know to differ: a table [[event]] each."""
    sweep: SweepSettings
    """What `planner sweep` varies."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """Where each value comes from, "kind: source"; kinds are published, computed, fitted, inferred, assumed, set."""

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return valid_zone(name)

    @model_validator(mode="after")
    def _floor_fits(self) -> Self:
        if self.policy.floor_nodes > self.fleet.nodes:
            raise ValueError(
                f"policy.floor_nodes is {self.policy.floor_nodes} and fleet.nodes {self.fleet.nodes}; "
                "lower the floor or raise the fleet"
            )
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of local times."""
        return ZoneInfo(self.timezone)

    def local(self, moment: datetime) -> datetime:
        """A moment in the scenario's zone.

        Args:
            moment: with an offset.
        """
        return moment.astimezone(self.zone)
