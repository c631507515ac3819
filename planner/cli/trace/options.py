"""Options of trace commands: times in a zone, and the time span to query a server for."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from planner.store.staging import Lies
    from planner.trace.imports.prometheus import CounterSpan

TraceName = Annotated[str, typer.Argument(metavar="NAME", help="A stored trace.")]


def moment_in(text: str, timezone: str, option: str) -> datetime:
    """A time given on the command line; without an offset it is in the zone. Raises UsageError."""
    from zoneinfo import ZoneInfo

    from planner.errors import UsageError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f'{option} "{text}" is not a time; write it as 2025-02-27T20:00, or with an offset') from error
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone))


def check_zone(name: str) -> None:
    """Raises UsageError where a name is not an IANA time zone."""
    from planner.errors import UsageError
    from planner.settings.closed import valid_zone

    try:
        valid_zone(name)
    except ValueError as error:
        raise UsageError(f"--timezone {error}") from error


def checked_cached(cached: str | None) -> "Lies | None":
    """Where cached tokens lie, as of --cached. Raises UsageError."""
    from planner.errors import UsageError

    if cached == "inside":
        return "inside"
    if cached == "outside":
        return "outside"
    if cached is None:
        return None
    raise UsageError(
        f'--cached "{cached}": use inside where input tokens hold the cached ones, or outside where they leave them out'
    )


def check_time_format(time_format: str | None) -> None:
    """Raises UsageError where a text is not a format of times that reads back what it writes."""
    from planner.errors import UsageError

    if time_format is None:
        return
    at = datetime(2025, 12, 31, 23, 58, 59)
    try:
        again = datetime.strptime(at.strftime(time_format), time_format)
        is_complete = (again.year, again.month, again.day, again.hour) == (at.year, at.month, at.day, at.hour)
    except ValueError:
        is_complete = False
    if not is_complete:
        raise UsageError(
            f'--time-format "{time_format}" does not tell year, month, day and hour; '
            'write one such as "%d.%m.%Y %H:%M:%S"'
        )


def counter_span(begin: str | None, end: str | None, timezone: str, step_s: int, selector: str) -> "CounterSpan | None":
    """What to query a server for; None where no option asks for it. Raises UsageError."""
    from planner.errors import UsageError
    from planner.trace.imports.prometheus import MOST_WINDOWS, CounterSpan

    if begin is None and end is None:
        return None
    if begin is None or end is None:
        raise UsageError("--from and --to go together; give both")
    first, last = moment_in(begin, timezone, "--from"), moment_in(end, timezone, "--to")
    span = CounterSpan(start_s=int(first.timestamp()), end_s=int(last.timestamp()), step_s=step_s, selector=selector)
    if span.windows < 1:
        raise UsageError(
            f"--to {end} is less than one window of {step_s} s after --from {begin}; move it, or shorten --step"
        )
    if span.windows > MOST_WINDOWS:
        raise UsageError(
            f"--step {step_s} makes {span.windows:,} windows, and {MOST_WINDOWS:,} is the limit; use a longer step"
        )
    return span
