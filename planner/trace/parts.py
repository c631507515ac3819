"""A part of a stored trace that is expanded by itself."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from planner.errors import UsageError
from planner.store import Session
from planner.trace.stored import TraceInfo
from planner.trace.windows import DemandWindows
from planner.units import US_PER_MINUTE, iso, to_us

CELL_US = 15 * US_PER_MINUTE
"""Time in which totals stay those of the sample: quarters of an hour, as the intervals of plans are by default."""


@dataclass(frozen=True)
class Part:
    """A time of a trace, UTC epoch microseconds. start_us: a mark of its cells, or the start of one of its windows."""

    start_us: int
    end_us: int

    def of(self, windows: DemandWindows) -> DemandWindows:
        """The windows that lie in it."""
        inside = (windows.start_us >= self.start_us) & (windows.end_us <= self.end_us)
        return DemandWindows(**{name: values[inside] for name, values in vars(windows).items()})


def part_of(session: Session, source: TraceInfo, start: datetime | None, end: datetime | None) -> Part | None:
    """The part of a trace between two moments; None without any. A moment that is None is where the trace ends there.

    Raises UsageError for moments outside of the trace, in the wrong order, or within a cell or a window.
    """
    if start is None and end is None:
        return None
    whole = _whole(source)
    part = Part(whole.start_us if start is None else to_us(start), whole.end_us if end is None else to_us(end))
    zone = ZoneInfo(source.timezone)
    if part.start_us >= part.end_us:
        raise UsageError(
            f"--from {iso(part.start_us, zone)} is not before --until {iso(part.end_us, zone)}; swap or correct them"
        )
    for option, at_us in (("--from", part.start_us), ("--until", part.end_us)):
        if not whole.start_us <= at_us <= whole.end_us:
            raise UsageError(
                f"{option} {iso(at_us, zone)} is outside of trace {source.name}, which covers "
                f"{iso(whole.start_us, zone)} to {iso(whole.end_us, zone)}"
            )
        _check_mark(session, source, option, at_us)
    return part


def _whole(source: TraceInfo) -> Part:
    """The time that a trace covers, in whole cells where it is a sample."""
    if source.windowed:
        return Part(source.window_start_us, source.window_end_us)
    return Part(source.window_start_us // CELL_US * CELL_US, -(-source.window_end_us // CELL_US) * CELL_US)


def _check_mark(session: Session, source: TraceInfo, option: str, at_us: int) -> None:
    """Raises UsageError where a moment is within a window, or a cell of a sample."""
    zone = ZoneInfo(source.timezone)
    before_us = at_us // CELL_US * CELL_US
    after_us, of = before_us + CELL_US, f"a quarter of an hour, in which the totals of trace {source.name} are kept"
    if source.windowed:
        windows = session.frame("trace_windows", trace_id=source.trace_id)
        starts, ends = windows["window_start_us"], windows["window_end_us"]
        around = windows.filter((starts < at_us) & (ends > at_us))
        if not around.height:
            return
        before_us, after_us = around["window_start_us"][0], around["window_end_us"][0]
        of = f"a window of trace {source.name}, whose requests are not known one by one"
    elif at_us == before_us:
        return
    raise UsageError(
        f"{option} {iso(at_us, zone)} is within {of}; write {iso(before_us, zone)} or {iso(after_us, zone)}"
    )
