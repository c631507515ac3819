"""planner trace import."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, now, scenario_of, store_at
from planner.cli.output import print_json, print_line, warn
from planner.cli.ranges import MOST_SEED
from planner.cli.trace.options import (
    check_sources,
    check_time_format,
    check_zone,
    checked_cached,
    checked_name,
    columns_of,
    conditions_of,
    constants_of,
    counter_span,
    moment_in,
)
from planner.cli.trace.summary import print_summary

if TYPE_CHECKING:
    from planner.settings.scenario import Scenario
    from planner.trace.documents import Coverage, ImportAccount
    from planner.trace.imports.job import ImportOptions
    from planner.trace.imports.mapping import LogMapping


_EPOCH = "1970-01-01T00:00:00+00:00"


_Paths = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="Log files, folders or patterns, gzip or zstd too; or a Prometheus URL."),
]
_Name = Annotated[
    str | None,
    typer.Option("--name", metavar="N", callback=checked_name, help="Name to store it under; not for --dry-run."),
]
_FormatName = Annotated[
    str, typer.Option("--format", metavar="F", help="Log format, or auto to detect it from the files.")
]
_Timezone = Annotated[
    str | None, typer.Option("--timezone", help="IANA zone of times without an offset; UTC if left out.")
]
_Start = Annotated[
    str | None, typer.Option("--start", help="Moment of time 0, for logs with relative times; 1970 if left out.")
]
_TimeUnit = Annotated[
    str | None,
    typer.Option(
        "--time-unit", help="Unit of times that are numbers: s, ms, us or ns; if left out, s or what the format says."
    ),
]
_TimeFormat = Annotated[
    str | None, typer.Option("--time-format", metavar="F", help="How times are written, as '%d.%m.%Y %H:%M:%S'.")
]
_Cache = Annotated[str, typer.Option("--cache", help="Size of the prefix cache in blocks, or infinite.")]
_BlockTokens = Annotated[
    int | None,
    typer.Option(
        "--block-tokens",
        metavar="N",
        min=1,
        max=1_000_000_000,
        help="Tokens of a prefix block; if left out, the rows tell.",
    ),
]
_Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=NAME", help="Column of a field, or path to it as usage.prompt_tokens."),
]
_Constants = Annotated[
    list[str] | None,
    typer.Option("--constant", metavar="FIELD=VALUE", help="Value of a field in every row, as sample_weight=20."),
]
_Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COLUMN=VALUE", help="Read only rows with this value; given again, any of them."),
]
_Records = Annotated[
    list[str] | None,
    typer.Option(
        "--records", metavar="PATH", help="JSON: where a list of records is, as data.items; given again, all."
    ),
]
_MappingFile = Annotated[
    Path | None, typer.Option("--mapping", metavar="FILE", help="TOML file with format, columns, constants and so on.")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be stored and refused; store nothing.")]
_Cached = Annotated[
    str | None,
    typer.Option(
        "--cached", metavar="WHERE", help="Input tokens that a log tells hold the cached: inside, or outside."
    ),
]
_Strict = Annotated[bool, typer.Option("--strict", help="Refuse the whole import if one row is refused.")]
_Draw = Annotated[
    int | None,
    typer.Option("--draw", metavar="W", min=1, max=1_000_000, help="Demand per window: draw one request for every W."),
]
_Seed = Annotated[int, typer.Option("--seed", min=0, max=MOST_SEED, help="Seed for --draw.")]
_Begin = Annotated[
    str | None,
    typer.Option("--from", help="Start of the time that the logs cover, or of that to count on a server, ISO-8601."),
]
_End = Annotated[str | None, typer.Option("--to", help="End of that time; where logs are silent, nothing came.")]
_Step = Annotated[int, typer.Option("--step", min=1, max=86_400, metavar="S", help="Server: seconds of a window.")]
_Selector = Annotated[str, typer.Option("--selector", help="Server: label matchers, for example 'job=\"vllm\"'.")]
_Scenario = Annotated[
    str | None,
    typer.Option("--scenario", metavar="S", help="Count the requests that are too long for its model and units."),
]
_Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="FIELD=NAME", help="Server: counter of a field; several of one are added up."),
]
_Headers = Annotated[
    list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="Server: a header to send with queries.")
]
_TokenFile = Annotated[
    Path | None, typer.Option("--bearer-token-file", metavar="FILE", help="Server: a file with a bearer token alone.")
]


def import_logs(
    paths: _Paths,
    name: _Name = None,
    format_name: _FormatName = "auto",
    timezone: _Timezone = None,
    start: _Start = None,
    time_unit: _TimeUnit = None,
    time_format: _TimeFormat = None,
    cache: _Cache = "infinite",
    block_tokens: _BlockTokens = None,
    columns: _Columns = None,
    constants: _Constants = None,
    where: _Where = None,
    records: _Records = None,
    mapping_file: _MappingFile = None,
    dry_run: _DryRun = False,
    cached: _Cached = None,
    strict: _Strict = False,
    draw: _Draw = None,
    seed: _Seed = 1,
    begin: _Begin = None,
    end: _End = None,
    step: _Step = 60,
    selector: _Selector = "",
    metrics: _Metrics = None,
    headers: _Headers = None,
    bearer_token_file: _TokenFile = None,
    scenario: _Scenario = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Import request logs. Rows that cannot be read are counted and kept with the reason."""
    from dataclasses import replace

    mapping = _mapping(mapping_file, format_name)
    zone = timezone or (mapping.timezone if mapping else None) or "UTC"
    check_time_format(time_format)
    options = replace(
        _options(zone, start, time_unit, cache, columns or []),
        constants=constants_of(constants or []),
        where=conditions_of(where or []),
        records=tuple(records or ()),
        cached=checked_cached(cached),
        time_format=time_format,
        block_tokens=block_tokens,
        strict=strict,
        draw=draw,
        seed=seed,
        span=counter_span(begin, end, zone, step, selector),
        metrics=_metrics(metrics or []),
        headers=tuple(headers or ()),
        bearer_token_file=bearer_token_file,
    )
    check_sources(options)
    if dry_run:
        if scenario is not None:
            raise typer.BadParameter("counts requests that are stored; leave --dry-run out", param_hint="--scenario")
        _preview(paths, format_name, options, mapping, as_json=as_json)
        return
    _import(paths, format_name, options, mapping, name=name, scenario=scenario, db=db, as_json=as_json)


def _mapping(file: Path | None, format_name: str) -> "LogMapping | None":
    """The mapping of a file, if one is given. Raises UsageError."""
    from planner.errors import UsageError
    from planner.trace.imports.mapping import load_mapping

    if file is None:
        return None
    mapping = load_mapping(file)
    if format_name not in ("auto", *mapping.formats):
        raise UsageError(
            f"--format {format_name}: the mapping {file} is for {' or '.join(mapping.formats)}; leave it out"
        )
    return mapping


def _preview(
    paths: list[str], format_name: str, options: "ImportOptions", mapping: "LogMapping | None", *, as_json: bool
) -> None:
    """Show what an import would do."""
    from planner.cli.trace.preview import print_preview
    from planner.errors import TraceError
    from planner.trace.imports.preview import preview

    found = preview(paths, format_name=format_name, options=options, mapping=mapping)
    _warn_of_files(found.skipped, found.empty)
    if as_json:
        print_json(found)
    else:
        print_preview(found)
    if found.problem:
        raise TraceError(f"the import would be refused: {found.problem}")


def _import(
    paths: list[str],
    format_name: str,
    options: "ImportOptions",
    mapping: "LogMapping | None",
    *,
    name: str | None,
    scenario: str | None,
    db: Path | None,
    as_json: bool,
) -> None:
    """Import logs and print the outcome. Raises UsageError without a name."""
    from dataclasses import replace

    from planner.errors import UsageError
    from planner.files import version
    from planner.trace.imports.importer import import_trace

    served = None if scenario is None else scenario_of(scenario, None).scenario
    if name is None:
        raise UsageError("Missing option '--name'; give the trace a name, or add --dry-run to store nothing")
    account = import_trace(
        store_at(db),
        paths,
        format_name=format_name,
        name=name,
        options=options,
        now=now(),
        version=version(),
        mapping=mapping,
    )
    if account.known_as:
        again = "it was not read again" if account.known_as == name else f"it is now stored as {name} too"
        warn(f"the same log is already stored as {account.known_as}; {again}")
    _warn_of_files(account.skipped, account.empty)
    if served is not None:
        account = replace(account, notes=(*account.notes, *_length_notes(db, account.trace, served)))
    if as_json:
        print_json(account)
    else:
        _print_account(account)


def _length_notes(db: Path | None, name: str, scenario: "Scenario") -> tuple[str, ...]:
    """How many requests of a trace are too long for a scenario."""
    from planner.planning.capacity import length_notes, unserved
    from planner.trace import stored

    with store_at(db).read() as session:
        trace = stored.by_name(session, name)
        if unserved(session, scenario, trace) is None:
            return (f"it is not known which requests are too long for {scenario.name}",)
        return length_notes(session, scenario, trace) or (f"no request is too long for {scenario.name}",)


def _warn_of_files(skipped: tuple[str, ...], empty: tuple[str, ...]) -> None:
    if skipped:
        have = "file does not have the name of a log and was" if len(skipped) == 1 else None
        have = have or "files do not have the name of a log and were"
        warn(f"{len(skipped)} {have} skipped: {', '.join(skipped)}")
    if empty:
        warn(f"{len(empty)} {'log has' if len(empty) == 1 else 'logs have'} no row: {', '.join(empty)}")


def _options(
    timezone: str, start: str | None, time_unit: str | None, cache: str, columns: list[str]
) -> "ImportOptions":
    """How to read logs, from the command line. Raises UsageError."""
    from planner.errors import UsageError
    from planner.trace.imports.job import UNITS_NS, ImportOptions

    if time_unit is not None and time_unit not in UNITS_NS:
        raise UsageError(f'--time-unit "{time_unit}": use one of {", ".join(UNITS_NS)}')
    if cache != "infinite" and not re.fullmatch(r"0*[1-9][0-9]{0,8}", cache):
        raise UsageError(f'--cache "{cache[:80]}": give a number of blocks, 1 or more and below a billion, or infinite')
    check_zone(timezone)
    return ImportOptions(
        timezone=timezone,
        start=moment_in(start or _EPOCH, timezone, "--start"),
        is_started=start is not None,
        time_unit=time_unit,
        cache_blocks=None if cache == "infinite" else int(cache),
        columns=columns_of(columns),
    )


def _metrics(pairs: list[str]) -> dict[str, tuple[str, ...]]:
    """Field -> counters, in the order given. Raises UsageError."""
    from planner.errors import UsageError

    named: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        field, equals, metric = (part.strip() for part in pair.partition("="))
        if not (equals and metric):
            raise UsageError("--metric: write FIELD=NAME, for example --metric requests=gateway_requests_total")
        named[field] = (*named.get(field, ()), metric)
    return named


def _print_account(account: "ImportAccount") -> None:
    """Print the outcome of an import."""
    from planner.units import counted

    read = counted(account.rows_read, "row")
    print_line(f"{account.trace}: {account.rows_imported:,} of {read} imported as {account.format}")
    if account.coverage:
        _print_coverage(account, account.coverage)
    for reason, count in account.rejects.items():
        print_line(f"  refused {count:,}: {reason}")
    for note in account.notes:
        print_line(f"  note: {note}")
    print_summary(account)


def _print_coverage(account: "ImportAccount", coverage: "Coverage") -> None:
    """Print how much of a demand per window has lengths, and how it was stored."""
    with_lengths, requests = coverage.requests_with_lengths, coverage.requests
    if with_lengths < requests:
        print_line(
            f"  {with_lengths:,} of {requests:,} requests have lengths; the tokens of the others are not counted"
        )
    if account.origin == "windows":
        print_line("  kept as demand per window, for plans; `planner trace expand` draws requests for replays")
    else:
        print_line(f"  {account.rows:,} requests with lengths drawn, each for {account.sample_weight:,}")
