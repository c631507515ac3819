"""Options of trace commands: times in a zone, and the time span to query a server for."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import in_era

if TYPE_CHECKING:
    from planner.store.staging import Lies
    from planner.trace.imports.job import ImportOptions
    from planner.trace.imports.prometheus import CounterSpan

TraceName = Annotated[str, typer.Argument(metavar="NAME", help="A stored trace.")]


def checked_name(option: typer.CallbackParam, name: str | None) -> str | None:
    """A new name of a trace as it is, checked before any work. Raises UsageError."""
    from planner.errors import UsageError
    from planner.settings.plain import check_name

    if name is None:
        return None
    try:
        return check_name(name)
    except ValueError as error:
        raise UsageError(f"{option.opts[0]} {error}") from error


def moment_in(text: str, timezone: str, option: str) -> datetime:
    """A time given on the command line; without an offset it is in the zone. Raises UsageError."""
    from zoneinfo import ZoneInfo

    from planner.errors import UsageError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f'{option} "{text}" is not a time; write it as 2025-02-27T20:00, or with an offset') from error
    return in_era(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone)), text)


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
    from planner.trace.imports.times import check_time_format as whole_times

    if time_format is None:
        return
    try:
        whole_times(time_format)
    except ValueError as error:
        raise UsageError(f"--time-format {error}") from error


def columns_of(words: list[str]) -> dict[str, str]:
    """Field -> column or path, from FIELD=NAME. Raises UsageError."""
    from planner.errors import UsageError
    from planner.trace.imports.mapping import check_path

    pairs = _pairs(words, "--column", "FIELD=NAME, for example --column input_tokens=ContextTokens")
    for field, path in pairs:
        try:
            check_path(path, f"--column {field}")
        except ValueError as error:
            raise UsageError(str(error)) from error
    return _distinct(pairs, "--column")


def constants_of(words: list[str]) -> dict[str, str]:
    """Field -> value in every row, from FIELD=VALUE. Raises UsageError."""
    from planner.errors import UsageError
    from planner.trace.imports.mapping import check_constant

    pairs = _pairs(words, "--constant", "FIELD=VALUE, for example --constant sample_weight=20")
    for field, value in pairs:
        try:
            check_constant(field, value, f"--constant {field}")
        except ValueError as error:
            raise UsageError(str(error)) from error
    return _distinct(pairs, "--constant")


def conditions_of(words: list[str]) -> dict[str, tuple[str, ...]]:
    """Column or path -> values of the rows that are read, from COLUMN=VALUE. Raises UsageError."""
    conditions: dict[str, tuple[str, ...]] = {}
    example = "COLUMN=VALUE, for example --where model=llama-70b"
    for path, value in _pairs(words, "--where", example, may_be_empty=True):
        conditions[path] = (*conditions.get(path, ()), value)
    return conditions


def check_sources(options: "ImportOptions") -> None:
    """Raises UsageError where a field has a column and a constant."""
    from planner.errors import UsageError

    if twice := sorted(set(options.columns) & set(options.constants)):
        raise UsageError(f"{', '.join(twice)} is given by --column and by --constant; leave one out")


def _pairs(words: list[str], option: str, example: str, *, may_be_empty: bool = False) -> list[tuple[str, str]]:
    from planner.errors import UsageError

    parted = [word.partition("=") for word in words]
    if any(not (name and equals and (value or may_be_empty)) for name, equals, value in parted):
        raise UsageError(f"{option}: write {example}")
    return [(name, value) for name, _, value in parted]


def _distinct(pairs: list[tuple[str, str]], option: str) -> dict[str, str]:
    from planner.errors import UsageError

    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{option} {', '.join(twice)} is given more than once; give each field one")
    return dict(pairs)


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
