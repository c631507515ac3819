"""How many spare units a fleet needs, as JSON documents."""

from dataclasses import dataclass

from planner.documents import Document, Maybe, Time
from planner.studies.replay.document import Arrivals, FailuresByRole, SloAttainment


@dataclass(frozen=True, kw_only=True)
class SpareUnitCounts(Document):
    """Spare units of each role."""

    prefill: int
    decode: int
    aggregated: int


@dataclass(frozen=True, kw_only=True)
class SpareAttainment(Document):
    """How often a role has enough units with a number of spares."""

    spare_units: int
    attainment: float
    """Share of the time in which at least the needed units serve."""


@dataclass(frozen=True, kw_only=True)
class RoleResilience(Document):
    """Units of one role: how many are needed, how often they fail, how many spare ones are recommended."""

    unit_nodes: int
    """Nodes of a unit; 1 where several share one."""
    needed_units: int
    """Units that are needed in the interval of the window whose plan has the least to spare."""
    planned_units: int
    """Units that the plan holds in that interval."""
    mtbf_h: float | None
    """Hours of service between failures of a unit; null if none fails."""
    availability: float
    """Share of the time that a unit serves."""
    expected_units_down: float
    """Planned units that are down, mean over time."""
    spare_units: int
    """Recommended spare units."""
    spare_nodes: int
    """Their nodes; of units that share nodes, those beyond the nodes of the planned units."""
    attainment_by_spares: tuple[SpareAttainment, ...]


@dataclass(frozen=True, kw_only=True)
class ResilienceByRole(Document):
    """Units of each role that the fleet has."""

    prefill: Maybe[RoleResilience] = None
    """Left out where units do both."""
    decode: Maybe[RoleResilience] = None
    """Left out where units do both."""
    aggregated: Maybe[RoleResilience] = None
    """Units that do both; left out where serving is disaggregated."""

    @property
    def named(self) -> tuple[tuple[str, RoleResilience], ...]:
        """The roles that there are with their names, prefill first."""
        every = (("prefill", self.prefill), ("decode", self.decode), ("aggregated", self.aggregated))
        return tuple((name, role) for name, role in every if role is not None)


@dataclass(frozen=True, kw_only=True)
class FailureDraw(Document):
    """Which draw of failures was replayed, and how long it left enough units."""

    seed: int
    """Seed of the failures."""
    covered: float
    """Share of the window in which as many units of every role served as each interval needs."""
    failures: FailuresByRole


@dataclass(frozen=True, kw_only=True)
class DrawReplay(SloAttainment, Arrivals, FailureDraw):
    """A replay of the window with one draw of failures."""


@dataclass(frozen=True, kw_only=True)
class ReplayCheck(Document):
    """Replays of the window with some draws of failures: shares are means over the draws."""

    spare_units: SpareUnitCounts
    """Units beyond the plan's."""
    covered: float
    """Share of the window in which as many units of every role served as each interval needs."""
    ttft_attainment: float | None
    """Share of requests with a first token within slo.ttft_ms."""
    tpot_attainment: float | None
    """Share of requests with at most slo.tpot_ms per further token."""
    both_attainment: float | None
    """Share of requests within both targets."""
    worst_both_attainment: float | None
    """The lowest both_attainment among the draws."""
    failures: FailuresByRole
    """Failures of all draws."""
    seeds: tuple[DrawReplay, ...]


@dataclass(frozen=True, kw_only=True)
class ReplayChecks(Document):
    """What replays of the window say of the recommendation."""

    without_failures: ReplayCheck
    with_failures: ReplayCheck
    with_failures_and_spares: Maybe[ReplayCheck] = None
    """With the spare units too; left out if none is recommended."""

    @property
    def named(self) -> tuple[tuple[str, ReplayCheck], ...]:
        """The checks that were made, with their names."""
        checks = (
            ("without failures", self.without_failures),
            ("with failures", self.with_failures),
            ("with failures and spares", self.with_failures_and_spares),
        )
        return tuple((name, check) for name, check in checks if check is not None)


@dataclass(frozen=True, kw_only=True)
class ResilienceDocument(Document):
    """The spare units that a window of a plan needs to absorb node failures, and their cost."""

    scenario: str
    trace: str
    policy: str
    window_start: Time
    """The demand from this time on is covered."""
    window_end: Time
    target: float
    """Target share of the time in which enough units of every role serve."""
    per_node_per_day: float
    """Failures of a serving node a day."""
    rate_source: str
    """Where the rate of failures comes from."""
    repair_s: int
    """Seconds from a failure until the nodes of the unit are repaired or replaced."""
    start_up_s: int
    """Seconds that the unit takes to start after that."""
    roles: ResilienceByRole
    attainment_without_spares: float
    """Share of the time in which enough units of every role serve, without the spare ones."""
    attainment: float
    """The same with the spare units."""
    spare_nodes: int
    """Nodes of the spare units of all roles."""
    spare_cost_usd_per_day: float
    """Cost of the spare nodes for a whole day."""
    planned_peak_nodes: int
    """Most nodes that the plan holds in the window."""
    fleet_nodes: int
    """Nodes of the fleet."""
    nodes_beyond_fleet: int
    """Nodes beyond the fleet that the peak and the spare units need."""
    replays: ReplayChecks | None
    """Null where no replay was asked for."""
    notes: tuple[str, ...] = ()
    """What is taken of a stored trace, and how its demand is changed."""
