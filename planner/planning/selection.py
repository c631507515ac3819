"""What a scenario takes of a stored trace: which time, which classes, how much more or less of it.

A trace that is drawn for a scenario follows its settings already. A stored one keeps its rows: the settings are applied
to what is read of it, here and nowhere else, so that every command reads the same demand.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from planner.catalogue.scenarios import is_built_in, set_by
from planner.core.demand import Demand, Grid, grid_over
from planner.core.load import LoadChange, part_of, scaled, window_on
from planner.errors import TraceError, UsageError
from planner.settings.scenario import Scenario
from planner.settings.trace import TraceSettings
from planner.store import Session, Store
from planner.store.traces import narrow_requests
from planner.trace.demand import binned
from planner.trace.stored import TraceInfo
from planner.units import US_PER_HOUR, iso, to_us

_CHANGES = ("demand_factor", "growth_per_day", "weekday_factors", "noise")
_PARTS = ("days", "start_at", "end_at", "classes")
_HITS = "cache_hit_ratio"
_TYPED = ("set: flag", "set: environment", "set: what-if")
"""How the provenance of a value begins that was set beside the scenario file."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a scenario takes of its trace.

    Attributes:
        settings: The scenario's, those left out that do not concern the trace.
        days: Days to take; None for all.
        change: How the demand differs from the stored one.
        unused: Settings that describe how the scenario's profile is drawn, which a stored trace is not.
    """

    settings: TraceSettings
    days: int | None = None
    change: LoadChange = field(default_factory=LoadChange)
    unused: tuple[str, ...] = ()

    @property
    def windowed(self) -> bool:
        """Whether a part of the trace's time is named."""
        return self.days is not None or self.settings.start_at is not None or self.settings.end_at is not None

    @property
    def takes_part(self) -> bool:
        """Whether a part of the trace's time or classes is named."""
        return self.windowed or self.settings.classes is not None

    def window_on(self, grid: Grid, scenario: Scenario, name: str) -> tuple[int, int]:
        """Start and end of what is taken of a trace on a grid, UTC epoch microseconds. Raises UsageError."""
        start, end = (at if at is None else to_us(at) for at in (self.settings.start_at, self.settings.end_at))
        return window_on(grid, start, end, self.days, scenario.zone, name)


def change_of(settings: TraceSettings) -> LoadChange:
    """The change that trace settings make of a stored load."""
    return LoadChange(**{name: getattr(settings, name) for name in (*_CHANGES, "seed")})


def selection_of(scenario: Scenario, *, stored: bool = False) -> Selection:
    """What a scenario takes of its trace; everything where the trace is drawn for it.

    stored: whether the trace is stored though the scenario names none. `check_selection` says what it cannot follow.
    """
    settings = scenario.trace
    if settings.name is None and not stored:
        return Selection(settings=settings)
    names = (*_CHANGES, *_PARTS, _HITS)
    given = {name for name in names if set_by(scenario, f"trace.{name}")}
    drawing = {name for name in given if _draws_profile(scenario, name)}
    left_out = {name: TraceSettings.model_fields[name].default for name in names if name in drawing}
    own = settings.model_copy(update=left_out)
    unused = sorted(name for name in drawing - {"days"} if getattr(settings, name) != getattr(own, name))
    return Selection(
        settings=own,
        days=own.days if "days" in given - drawing else None,
        change=change_of(own),
        unused=tuple(f"trace.{name}" for name in unused),
    )


def _draws_profile(scenario: Scenario, name: str) -> bool:
    """Whether a setting was made for the profile that a scenario file names, before a stored trace took its place."""
    profile, trace = set_by(scenario, "trace.profile"), set_by(scenario, "trace.name") or _TYPED[0]
    origin = set_by(scenario, f"trace.{name}") or ""
    if profile is None or origin.startswith(_TYPED):
        return False
    if trace.startswith(_TYPED):
        return True
    # a file that lists every field, and names both, has the built-in values of those that were not thought of
    return origin == profile and (origin != trace or is_built_in(scenario, f"trace.{name}"))


def set_hit_ratio(scenario: Scenario) -> float | None:
    """The share of input found in a cache that a scenario sets in place of its trace's own; None where it sets none."""
    return selection_of(scenario).settings.cache_hit_ratio


def check_selection(scenario: Scenario, *, stored: bool = False) -> None:
    """Raises UsageError for settings that the trace of a scenario cannot follow. stored: as for `selection_of`."""
    settings = scenario.trace
    if settings.name is None and not stored:
        if settings.classes is not None:
            raise UsageError(
                "trace.classes selects classes of a stored trace, and one drawn from a profile has none; "
                "name a trace with --trace, or leave it out"
            )
        return
    if (set_by(scenario, "trace.profile") or "").startswith(_TYPED[0]):
        raise UsageError("trace.profile is what a trace is drawn from, and a stored one is read; leave one of them out")
    own = {
        name for name in ("scale", "seed") if set_by(scenario, f"trace.{name}") and not _draws_profile(scenario, name)
    }
    if "scale" in own and settings.scale != 1:
        raise UsageError(
            "trace.scale is the share of a profile's requests that is drawn, and a stored trace is taken as it is; "
            "leave it out, or set trace.scale=1"
        )
    if "seed" in own and settings.seed != 1 and not selection_of(scenario, stored=stored).change.active:
        raise UsageError(
            "trace.seed has no effect on a stored trace that nothing is drawn for; leave it out, or set trace.noise or "
            "trace.demand_factor"
        )


@contextmanager
def reading(store: Store, scenario: Scenario, trace: TraceInfo) -> Iterator[Session]:
    """Open the store to read what a scenario takes of a trace. Raises UsageError, TraceError."""
    with store.read() as session:
        narrow(session, scenario, trace)
        yield session


def narrow(session: Session, scenario: Scenario, trace: TraceInfo) -> None:
    """Let a session see no other requests of a trace than the scenario takes. Raises UsageError, TraceError."""
    selection = selection_of(scenario)
    if not selection.takes_part:
        return
    classes = selection.settings.classes
    start_us, end_us = selection.window_on(_whole(scenario, trace), scenario, f"trace {trace.name}")
    narrow_requests(
        session, trace.trace_id, start_us, end_us, None if classes is None else class_ids(session, trace, classes)
    )


def narrow_classes(session: Session, trace: TraceInfo, classes: tuple[str, ...]) -> None:
    """Let a session see only some classes of a trace. Raises TraceError."""
    ends = trace.first_arrival_us, trace.last_arrival_us + 1
    narrow_requests(session, trace.trace_id, *ends, class_ids(session, trace, classes))


def class_ids(session: Session, trace: TraceInfo, classes: tuple[str, ...]) -> list[int]:
    """Numbers of a trace's classes by name. Raises TraceError that lists the classes for one that it does not have."""
    known = {row["class"]: row["class_id"] for row in session.rows("trace_class_names", trace_id=trace.trace_id)}
    unknown = [name for name in classes if name not in known]
    if unknown and not known:
        raise TraceError(
            f"trace.classes is {', '.join(classes)}, but trace {trace.name} has no classes; leave it out, or import "
            "the log with its column of classes"
        )
    if unknown:
        raise TraceError(
            f"trace {trace.name} has no class {', '.join(unknown)}; trace.classes takes some of {', '.join(known)}"
        )
    return [known[name] for name in classes]


def selected_demand(session: Session, scenario: Scenario, trace: TraceInfo) -> Demand:
    """The demand that a scenario takes of a trace, in a session that sees no more of it.

    Raises UsageError, TraceError.
    """
    change = selection_of(scenario).change
    demand = stored_demand(session, scenario, trace)
    return scaled(demand, change.factors(demand.grid, anchor_us(scenario, trace), scenario.zone))


def stored_demand(session: Session, scenario: Scenario, trace: TraceInfo) -> Demand:
    """The same as it is stored, before it is changed. Raises UsageError, TraceError."""
    selection = selection_of(scenario)
    if not selection.windowed:
        return binned(session, trace, scenario.interval_s, scenario.zone)
    window = selection.window_on(_whole(scenario, trace), scenario, f"trace {trace.name}")
    return binned(session, trace, scenario.interval_s, scenario.zone, window)


def anchor_us(scenario: Scenario, trace: TraceInfo) -> int:
    """The moment from which a trace's days are counted: the start of its first interval, UTC epoch microseconds."""
    return _whole(scenario, trace).start_us


def _whole(scenario: Scenario, trace: TraceInfo) -> Grid:
    return grid_over(trace.window_start_us, trace.window_end_us, scenario.interval_s, scenario.zone)


def selected_history(demand: Demand, scenario: Scenario, name: str) -> Demand:
    """What a scenario takes of the demand of stored traces that follow each other. Raises UsageError."""
    selection = selection_of(scenario, stored=True)
    anchor, grid = demand.grid.start_us, demand.grid
    if selection.windowed:
        demand = part_of(demand, *selection.window_on(grid, scenario, name))
    return scaled(demand, selection.change.factors(demand.grid, anchor, scenario.zone))


def clock_notes(scenario: Scenario, traces: Sequence[TraceInfo]) -> list[str]:
    """Whose clock local times follow, where nobody chose it and a trace was imported by another."""
    imported = [trace for trace in traces if trace.profile is None and trace.timezone != scenario.timezone]
    if not imported or set_by(scenario, "timezone") is not None:
        return []
    zone = imported[0].timezone
    return [
        f"local times are those of {scenario.timezone}, as in the built-in scenario, and trace {imported[0].name} was "
        f"imported in {zone}: set timezone={zone} for its clock"
    ]


def selection_notes(scenario: Scenario, trace: TraceInfo) -> tuple[str, ...]:
    """What is taken of a stored trace, and how its demand is changed, one line each; none where nothing is."""
    selection = selection_of(scenario)
    notes = [*clock_notes(scenario, [trace]), *describe_selection(selection, f"trace {trace.name}")]
    if selection.windowed:
        grid = _whole(scenario, trace)
        window = selection.window_on(grid, scenario, f"trace {trace.name}")
        notes += window_notes(grid, window, scenario, f"trace {trace.name}")
    return tuple(notes)


def window_notes(grid: Grid, window: tuple[int, int], scenario: Scenario, name: str) -> list[str]:
    """Which part of a trace is taken, and how much of it lies outside the trace."""
    start_us, end_us = window
    notes = [f"{name} is taken from {iso(start_us, scenario.zone)} to {iso(end_us, scenario.zone)} only"]
    beyond = max(grid.start_us - start_us, 0) + max(end_us - grid.end_us, 0)
    if beyond:
        covered = f"{iso(grid.start_us, scenario.zone)} to {iso(grid.end_us, scenario.zone)}"
        notes = [
            f"{name} is taken from {iso(start_us, scenario.zone)} to {iso(end_us, scenario.zone)}; it covers "
            f"{covered}, and the other {beyond / US_PER_HOUR:,.2f} h are without demand"
        ]
    return notes


def describe_selection(selection: Selection, name: str) -> list[str]:
    """The classes that are taken, and how the demand of a trace, or of what `name` says, is changed."""
    change, notes = selection.change, []
    if selection.settings.classes is not None:
        notes.append(f"{name}: only requests of {', '.join(selection.settings.classes)} are taken (trace.classes)")
    hits = selection.settings.cache_hit_ratio
    if hits is not None:
        notes.append(f"{name}: {hits:.2%} of input is taken to be found in a cache (trace.cache_hit_ratio)")
    parts = []
    if change.demand_factor != 1:
        parts.append(f"multiplied by {change.demand_factor:g} (trace.demand_factor)")
    if change.growth_per_day:
        parts.append(
            f"growing by {100 * change.growth_per_day:.4g} % a day from its first day on (trace.growth_per_day)"
        )
    if set(change.weekday_factors) != {1.0}:
        factors = ", ".join(f"{factor:g}" for factor in change.weekday_factors)
        parts.append(f"multiplied by {factors} from Monday to Sunday (trace.weekday_factors)")
    if change.noise:
        parts.append(f"with noise of {change.noise:g} by seed {change.seed} (trace.noise, trace.seed)")
    if parts:
        notes.append(f"{name}: demand {', '.join(parts)}")
    if selection.unused:
        notes.append(
            f"{name}: what the scenario file sets for its profile is not applied to a stored trace "
            f"({', '.join(selection.unused)}); give it with --set to apply it"
        )
    return notes
