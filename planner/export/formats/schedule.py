"""The input of every writer: a plan's units over time, and their names in the cluster. Pure."""

from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from planner.core.demand import Grid
from planner.documents import Document
from planner.settings.export import ExportSettings
from planner.units import Ints

Role = Literal["prefill", "decode", "aggregated"]
"""What units do: one of both, or both."""


@dataclass(frozen=True, kw_only=True)
class RoleUnits:
    """Units of one role. units: per interval; a unit is one replica of the workload.

    nodes_per_unit: whole nodes that it occupies, or of which units_per_node have parts.
    """

    name: Role
    workload: str
    nodes_per_unit: int
    units: Ints
    units_per_node: int = 1

    @property
    def noun(self) -> str:
        """What the units are called."""
        return "units" if self.name == "aggregated" else f"{self.name} units"

    def nodes(self, units: Ints) -> Ints:
        """The whole nodes that so many units occupy."""
        held: Ints = -(-units // self.units_per_node) * self.nodes_per_unit
        return held


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
    """A plan, or a part of it. training_nodes: per interval, lent throughout it. zone: of local times.

    roles: prefill and decode, or the one of units that do both.

    typical_week: the quantile of the plan's weeks, 1 for the largest, that makes the week that recurs; None if the plan
    itself recurs.
    """

    run_id: str
    scenario: str
    policy: str
    zone: ZoneInfo
    grid: Grid
    roles: tuple[RoleUnits, ...]
    training_nodes: Ints
    lent: tuple[TrainingWindow, ...]
    charges: tuple[Charge, ...]
    node_type: str
    gpus_per_node: int
    drain_deadline_s: int
    settings: ExportSettings
    typical_week: float | None = None

    @property
    def instance(self) -> str:
        """What distinguishes the schedule from others in a namespace: the workload of its first role."""
        return self.roles[0].workload

    def role(self, name: Role) -> RoleUnits | None:
        """The units of a role; None where the fleet has none."""
        return next((role for role in self.roles if role.name == name), None)

    @property
    def title(self) -> str:
        """One line on where the schedule comes from."""
        return " ".join(f"{self.run_id} of planner: scenario {self.scenario}, policy {self.policy}".split())


@dataclass(frozen=True, kw_only=True)
class AgainstPlan(Document):
    """How a recurring schedule differs from the plan that it was made of, over the time of the plan."""

    of: Literal["prefill", "decode", "aggregated", "training"]
    """The role whose units recur, or training for the nodes that are lent to it."""
    minutes: int
    """Minutes of the plan."""
    minutes_that_differ: int
    """Minutes at which the schedule has other units, or lent nodes, than the plan."""
    plan_node_hours: float
    """Node-hours of the plan."""
    node_hours_more: float
    """Node-hours of the schedule beyond the plan's, where it has more nodes."""
    node_hours_fewer: float
    """Node-hours that the schedule lacks, where it has fewer nodes than the plan."""
    intervals: int
    """Intervals of the plan."""
    intervals_more: int
    """Intervals in which the schedule has more units, or lent nodes, than the plan."""
    intervals_fewer: int
    """Intervals in which the schedule has fewer units, or lent nodes, than the plan."""
    entries: int
    """Entries of the schedule: windows, jobs or actions."""
    entries_needed: int
    """Entries that would give what recurs exactly; more than `entries` if the target does not take as many."""


@dataclass(frozen=True)
class Export:
    """A rendered export. summary: what it contains; notes: what the reader should know; one line each.

    against_plan: what recurs beside the plan, for formats that recur.
    """

    text: str
    summary: str
    notes: tuple[str, ...] = ()
    against_plan: tuple[AgainstPlan, ...] = ()
