"""The timetable that a scenario's policy follows, if it follows one."""

from planner.core.fleet.deployment import Deployment
from planner.core.policy import Entry, policies_in
from planner.settings.scenario import Scenario
from planner.trace.timetables import load_timetable


def read_timetable(scenario: Scenario) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """A timetable's entries, and notes on those inside an interval; none for other policies. Raises UsageError."""
    if "timetable" not in policies_in(scenario.policy):
        return (), ()
    roles = Deployment(scenario.fleet).role_names
    entries: list[Entry] = list(load_timetable(scenario.policy.timetable, scenario.zone, roles))
    late = [at for at, _ in entries if (at.hour * 3600 + at.minute * 60 + at.second) % scenario.interval_s]
    notes = [
        f"{len(late)} timetable rows, the first at {at:%H:%M}, fall inside an interval: they take effect from the next"
        for at in late[:1]
    ]
    return tuple(entries), tuple(notes)
