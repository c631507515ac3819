"""scheduled-bounds: floors and ceilings by weekday and time of day, with any policy inside. Pure."""

from dataclasses import dataclass
from datetime import date, timedelta

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy.base import Policy, Sight, Tick
from planner.errors import UsageError
from planner.settings.closed import DayWindow, parse_day_window
from planner.settings.policy import WEEKDAYS, NodeBounds, PolicySettings, parse_days
from planner.units import counted


@dataclass(frozen=True)
class Rule:
    """A bound: at least the floor in every interval that the window touches, at most the ceiling in those that lie
    inside it. ceiling: in whole scaling steps; where each role scales apart, its nodes hold both."""

    weekdays: frozenset[int]
    window: DayWindow
    floor: Units
    ceiling: Units | int | None


@dataclass(frozen=True, kw_only=True)
class ScheduledBounds:
    """Keeps what the inner policy wants between the bounds of the time; a floor takes precedence over a ceiling.

    Where several bounds apply, the highest floor and the lowest ceiling count. Roles that scale apart share the nodes
    of the ceiling, and those of the fleet beside the floor, by what they want. holidays: weekday by date.
    """

    inner: Policy
    deployment: Deployment
    rules: tuple[Rule, ...]
    holidays: tuple[tuple[date, int], ...]
    notes: tuple[str, ...]
    name: str = "scheduled-bounds"

    @classmethod
    def of(cls, settings: PolicySettings, deployment: Deployment, inner: Policy) -> "ScheduledBounds":
        """Raises UsageError where there are no bounds."""
        if not settings.bounds:
            floor = deployment.nodes(deployment.floor(deployment.settings.nodes // 2))
            raise UsageError(
                "policy.bounds is empty; set for example "
                f'--set \'policy.bounds=[{{days="mon-fri", window="08:30-24:00", floor_nodes={floor}}}]\''
            )
        notes = list(inner.notes)
        notes.insert(0, f"the policy {inner.name} decides inside the bounds")
        rules = []
        for bound in settings.bounds:
            rule = _rule(bound, deployment)
            rules.append(rule)
            for what, asked, units in (
                ("floor", bound.floor_nodes, rule.floor),
                ("ceiling", bound.ceiling_nodes, rule.ceiling),
            ):
                if asked and isinstance(units, Units) and (nodes := deployment.nodes(units)) != asked:
                    notes.append(
                        f"{what} of {counted(asked, 'node')}, {bound.days} {bound.window}, is {nodes} in whole scaling "
                        "steps"
                    )
        return cls(
            inner=inner,
            deployment=deployment,
            rules=tuple(rules),
            holidays=tuple((holiday.day, WEEKDAYS.index(holiday.follows)) for holiday in settings.holidays),
            notes=tuple(notes),
        )

    @property
    def ahead(self) -> bool:
        return self.inner.ahead

    @property
    def sight(self) -> Sight:
        return self.inner.sight

    @property
    def lead_s(self) -> int:
        return self.inner.lead_s

    def decide(self, tick: Tick) -> Units:
        wanted, least = self.inner.decide(tick), self.deployment.ladder[0]
        fleet = self.deployment.settings.nodes
        # what no fleet of this size has is not cut in silence: the replay says so
        sharing = self.deployment.apart and self.deployment.nodes(wanted) <= fleet
        held = [self._minutes_in(rule, tick) for rule in self.rules]
        minutes = tick.interval_s // 60
        for rule, inside in zip(self.rules, held, strict=True):
            if inside == minutes and rule.ceiling is not None:
                wanted = self._under(wanted, rule.ceiling)
        for rule, inside in zip(self.rules, held, strict=True):
            if inside:
                wanted, least = wanted.at_least(rule.floor), least.at_least(rule.floor)
        return self.deployment.shared(wanted, least, fleet) if sharing else wanted

    def _under(self, wanted: Units, ceiling: Units | int) -> Units:
        if isinstance(ceiling, int):
            return self.deployment.shared(wanted, self.deployment.ladder[0], ceiling)
        return wanted.at_most(ceiling)

    def _minutes_in(self, rule: Rule, tick: Tick) -> int:
        """Minutes of the interval in which a rule applies."""
        count = 0
        for minute in range(tick.interval_s // 60):
            moment = tick.start + timedelta(minutes=minute)
            if not rule.window.holds(moment.time()):
                continue
            over_midnight = rule.window.start_minute > rule.window.end_minute
            begun_before = over_midnight and moment.hour * 60 + moment.minute < rule.window.end_minute
            count += self._weekday(moment.date() - timedelta(days=begun_before)) in rule.weekdays
        return count

    def _weekday(self, day: date) -> int:
        return dict(self.holidays).get(day, day.weekday())


def _rule(bound: NodeBounds, deployment: Deployment) -> Rule:
    """Floors rounded up, ceilings down, both to whole steps between the base and the full fleet."""
    ceiling: Units | int | None = bound.ceiling_nodes if deployment.apart else None
    if bound.ceiling_nodes is not None and not deployment.apart:
        within = [units for units in deployment.ladder if deployment.nodes(units) <= bound.ceiling_nodes]
        ceiling = within[-1] if within else deployment.ladder[0]
    return Rule(parse_days(bound.days), parse_day_window(bound.window), deployment.floor(bound.floor_nodes), ceiling)
