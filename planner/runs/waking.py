"""When the service of a stored plan slept and woke, how its units started, and how many requests waited for one."""

from dataclasses import dataclass

from planner.documents import Document
from planner.runs.read import RunView
from planner.settings.fleet import FleetSettings
from planner.units import counted


@dataclass(frozen=True, kw_only=True)
class Waking(Document):
    """Intervals in which a service that may sleep did, and starts of units after the plan's beginning."""

    asleep_intervals: int
    """In which inference holds no unit."""
    woken_intervals: int
    """Raised to a scaling step, as requests came for a role of which the policy held no unit."""
    kept_awake_intervals: int
    """Raised without demand, so that what came before is served."""
    warm_started_units: int
    """Units that came back to weights that they had kept (fleet.keeps)."""
    cold_started_units: int
    """The others, which took fleet.start_up_s."""


@dataclass(frozen=True, kw_only=True)
class Waits(Document):
    """Requests of a replay's window that came while no unit of a role served."""

    waited_for_start: int
    """As the service slept or woke: they waited for a start."""
    waited_for_repair: int
    """The others: all units that a role held had failed."""


def waking_of(run: RunView) -> Waking | None:
    """None where a plan always holds units and these keep nothing, and where an older version stored it."""
    rows, fleet = run.intervals, run.scenario.fleet
    states, starts = rows["sleep_state"], [rows[f"{kind}_started_units"].sum() for kind in ("warm", "cold")]
    never_stored = bool(rows["cold_started_units"].is_null().all())
    if never_stored or (fleet.keeps == "nothing" and bool(states.is_null().all())):
        return None
    return Waking(
        asleep_intervals=int((states == "asleep").sum()),
        woken_intervals=int((states == "woken").sum()),
        kept_awake_intervals=int((states == "kept awake").sum()),
        warm_started_units=int(starts[0]),
        cold_started_units=int(starts[1]),
    )


def waits_of(run: RunView) -> Waits | None:
    """None of a plan that was not replayed, and where an older version stored the replay."""
    counts = None if run.replay is None else run.replay.summary
    if counts is None or counts.waited_for_start is None or counts.waited_for_repair is None:
        return None
    return Waits(waited_for_start=counts.waited_for_start, waited_for_repair=counts.waited_for_repair)


def waking_lines(run: RunView) -> list[tuple[str, str]]:
    """What a reader is told of it, by labels; nothing where there is nothing to tell."""
    waking, waits = waking_of(run), waits_of(run)
    lines = [] if waking is None else _lines(waking, run.scenario.fleet)
    return lines if waits is None else [*lines, *wait_lines(waits.waited_for_start, waits.waited_for_repair)]


def wait_lines(for_start: int, for_repair: int) -> list[tuple[str, str]]:
    """Requests that waited for units, by labels."""
    lines = []
    if for_start:
        lines.append(("waited for a start", f"{counted(for_start, 'request')} came while no unit was held that served"))
    if for_repair:
        lines.append(
            ("waited for a repair", f"{counted(for_repair, 'request')} came while all units of a role had failed")
        )
    return lines


def _lines(waking: Waking, fleet: FleetSettings) -> list[tuple[str, str]]:
    states = (
        ("asleep in", waking.asleep_intervals, ""),
        ("woken in", waking.woken_intervals, ", as requests came while the policy held no unit for them"),
        ("kept awake in", waking.kept_awake_intervals, " without demand, until what came before was served"),
    )
    told = [f"{what} {counted(count, 'interval')}{why}" for what, count, why in states if count]
    lines = [("the service was", "; ".join(told))] if told else []
    cold = f"{waking.cold_started_units:,} cold, in {fleet.start_up_s:,} s"
    if fleet.keeps == "nothing":
        return [*lines, ("starts of units", cold)]
    warm = f"{waking.warm_started_units:,} warm, in {fleet.warm_start_up_s:,} s (fleet.keeps={fleet.keeps})"
    return [*lines, ("starts of units", f"{warm}, and {cold}")]
