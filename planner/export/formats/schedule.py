"""The input of every writer: a plan's units over time, and their names in the cluster. Pure."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from planner.core.demand import Grid
from planner.settings.export import ExportSettings
from planner.units import Ints


@dataclass(frozen=True)
class RoleUnits:
    """Units of one role. units: per interval; a unit is one replica of the workload and occupies nodes_per_unit."""

    name: str
    workload: str
    nodes_per_unit: int
    units: Ints


@dataclass(frozen=True)
class TrainingWindow:
    """Nodes lent to training together in [start_us, end_us), UTC epoch microseconds."""

    start_us: int
    end_us: int
    nodes: int


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What nodes of one use cost in an interval. use: inference, training or idle."""

    start_us: int
    end_us: int
    use: str
    node_s: int
    cost_usd_micros: int


@dataclass(frozen=True, kw_only=True)
class ExportSchedule:
    """A plan, or a part of it. training_nodes: per interval, lent throughout it. zone: of local times."""

    run_id: str
    scenario: str
    policy: str
    zone: ZoneInfo
    grid: Grid
    prefill: RoleUnits
    decode: RoleUnits
    training_nodes: Ints
    lent: tuple[TrainingWindow, ...]
    charges: tuple[Charge, ...]
    node_type: str
    gpus_per_node: int
    drain_deadline_s: int
    settings: ExportSettings

    @property
    def roles(self) -> tuple[RoleUnits, RoleUnits]:
        return self.prefill, self.decode

    @property
    def title(self) -> str:
        """One line on where the schedule comes from."""
        return " ".join(f"{self.run_id} of planner: scenario {self.scenario}, policy {self.policy}".split())


@dataclass(frozen=True)
class Export:
    """A rendered export. summary: what it contains; notes: what the reader should know; one line each."""

    text: str
    summary: str
    notes: tuple[str, ...] = ()
