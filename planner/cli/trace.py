"""planner trace generate|import|list|show|export|delete."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.options import Db, Json, now, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.trace.imports.job import ImportOptions, ImportOutcome
    from planner.trace.imports.prometheus import Range
    from planner.trace.stored import TraceInfo

app = typer.Typer(help="Stored request traces.", rich_markup_mode=None)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A stored trace.")]


@app.command("generate")
def generate(
    profile: Annotated[
        str, typer.Argument(metavar="PROFILE", help="A built-in load profile or a TOML file.")
    ] = "deepseek-2025-02-27",
    name: Annotated[str | None, typer.Option("--name", help="Name to store it under.")] = None,
    scale: Annotated[float, typer.Option("--scale", help="Share of the requests: 1 over a whole number.")] = 0.001,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random draw.")] = 1,
    days: Annotated[int, typer.Option("--days", help="Days to draw.")] = 1,
    demand_factor: Annotated[float, typer.Option("--demand-factor", help="Multiplies the totals.")] = 1.0,
    growth: Annotated[float, typer.Option("--growth", help="Growth per day; 0.01 is one per cent.")] = 0.0,
    weekdays: Annotated[
        str, typer.Option("--weekdays", metavar="F,F,F,F,F,F,F", help="Load factors, Monday first.")
    ] = "1,1,1,1,1,1,1",
    noise: Annotated[float, typer.Option("--noise", help="Day-to-day variation; 0.1 is about ten per cent.")] = 0.0,
    start: Annotated[str | None, typer.Option("--from", help="Draw from here, ISO-8601.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Draw up to here, ISO-8601.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Draw a synthetic trace from a load profile. The same arguments give the same requests."""
    from pydantic import ValidationError

    from planner.catalogue.read import describe
    from planner.errors import UsageError
    from planner.files import version
    from planner.settings.scenario import TraceSettings
    from planner.trace.synthetic import build
    from planner.trace.synthetic.profile import load_profile

    loaded = load_profile(profile)
    arguments: dict[str, Any] = {
        "scale": scale,
        "seed": seed,
        "days": days,
        "demand_factor": demand_factor,
        "growth_per_day": growth,
        "weekday_factors": weekdays,
        "noise": noise,
        "start_at": _moment(start, loaded.settings.timezone, "--from"),
        "end_at": _moment(end, loaded.settings.timezone, "--to"),
    }
    try:
        settings = TraceSettings(profile=profile, **arguments)
    except ValidationError as error:
        raise UsageError("; ".join(describe(error))) from error
    store = store_at(db)
    there = build.find(store, loaded, settings)
    if there and (name is None or there.name == name):
        warn(f"the same trace is stored already, as {there.name}")
        info = there
    else:
        with progress_bar("drawing requests") as progress:
            info = build.generate(store, loaded, settings, name=name, now=now(), version=version(), progress=progress)
    _print_summary(info, as_json)


@app.command("import")
def import_(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Log files, folders, patterns, gzip and zstd too; or a Prometheus server."),
    ],
    name: Annotated[str, typer.Option("--name", metavar="N", help="Name to store it under.")],
    format_name: Annotated[
        str, typer.Option("--format", metavar="F", help="A format of the README's table, or auto.")
    ] = "auto",
    timezone: Annotated[str, typer.Option("--timezone", help="IANA zone of times without an offset.")] = "UTC",
    start: Annotated[
        str, typer.Option("--start", help="Moment of time 0, for logs with relative times.")
    ] = "1970-01-01T00:00:00+00:00",
    time_unit: Annotated[str, typer.Option("--time-unit", help="Unit of numeric arrivals: s, ms or us.")] = "s",
    cache: Annotated[
        str, typer.Option("--cache", help="Room of the prefix cache in blocks, or infinite.")
    ] = "infinite",
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="FIELD=NAME", help="Column of a field, for csv and parquet."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse everything if one row is refused.")] = False,
    draw: Annotated[
        int | None, typer.Option("--draw", metavar="W", min=1, help="Demand per window: draw one request for every W.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of what --draw draws.")] = 1,
    begin: Annotated[str | None, typer.Option("--from", help="Server: count from here, ISO-8601.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Server: count up to here, ISO-8601.")] = None,
    step: Annotated[int, typer.Option("--step", min=1, metavar="S", help="Server: seconds of a window.")] = 60,
    selector: Annotated[
        str, typer.Option("--selector", help="Server: label matchers, for example 'job=\"vllm\"'.")
    ] = "",
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Import request logs. Rows that cannot be read are counted and kept with the reason."""
    from dataclasses import replace

    from planner.files import version
    from planner.trace.imports.importer import import_trace

    read = _import_options(timezone, start, time_unit, cache, columns or [], strict)
    options = replace(read, draw=draw, seed=seed, span=_span(begin, end, timezone, step, selector))
    outcome = import_trace(
        store_at(db), paths, format_name=format_name, name=name, options=options, now=now(), version=version()
    )
    _print_import(outcome, name, as_json)


def _span(begin: str | None, end: str | None, timezone: str, step_s: int, selector: str) -> "Range | None":
    """What to ask a server for; None where nothing is said. Raises UsageError."""
    from planner.errors import UsageError
    from planner.trace.imports.prometheus import MOST_WINDOWS, Range

    if begin is None and end is None:
        return None
    if begin is None or end is None:
        raise UsageError("--from and --to: give both")
    first, last = (_moment(text, timezone, option) for text, option in ((begin, "--from"), (end, "--to")))
    assert first is not None
    assert last is not None
    span = Range(int(first.timestamp()), int(last.timestamp()), step_s, selector)
    windows = (span.end_s - span.start_s) // step_s
    if windows < 1:
        raise UsageError(f"--to {end}: is less than a window of {step_s} s after --from {begin}")
    if windows > MOST_WINDOWS:
        raise UsageError(
            f"--step {step_s}: makes {windows:,} windows and {MOST_WINDOWS:,} are the most; make it longer"
        )
    return span


def _print_import(outcome: "ImportOutcome", name: str, as_json: bool) -> None:
    """What an import made."""
    from planner.trace.describe import summary

    trace = outcome.trace
    if outcome.known_as:
        again = "nothing was read again" if outcome.known_as == name else "this is it once more"
        warn(f"the same log is stored already, as {outcome.known_as}; {again}")
    if outcome.skipped:
        warn(f"{len(outcome.skipped)} files are no logs by their names and were left out: {', '.join(outcome.skipped)}")
    if as_json:
        print_json(
            {
                **summary(trace),
                "rows_read": trace.rows_read,
                "rows_imported": trace.rows_read - trace.rows_rejected,
                "rows_rejected": trace.rows_rejected,
                "rejects": dict(outcome.rejects),
                "coverage": outcome.coverage,
                "known_as": outcome.known_as,
                "skipped": list(outcome.skipped),
            }
        )
        return
    done = trace.rows_read - trace.rows_rejected
    print_line(f"{trace.name}: {done:,} of {trace.rows_read:,} rows imported as {trace.format}")
    if outcome.coverage:
        _print_coverage(trace, outcome.coverage)
    for reason, count in outcome.rejects.items():
        print_line(f"  refused {count:,}: {reason}")
    _print_summary(trace, as_json=False)


def _print_coverage(trace: "TraceInfo", coverage: "Mapping[str, Any]") -> None:
    """What is known of demand per window, and what was made of it."""
    known, every = coverage["requests_with_lengths"], coverage["requests"]
    if known < every:
        print_line(f"  {known:,} of {every:,} requests have lengths; the tokens of the others are not counted")
    if trace.windowed:
        print_line("  kept as demand per window, to plan with; --draw draws requests, to replay")
    else:
        print_line(f"  {trace.row_count:,} requests with lengths drawn, each for {trace.sample_weight:,}")


def _import_options(
    timezone: str, start: str, time_unit: str, cache: str, columns: list[str], strict: bool
) -> "ImportOptions":
    """The options of an import from what was typed. Raises UsageError."""
    from planner.errors import UsageError
    from planner.trace.imports.job import UNITS_US, ImportOptions

    if time_unit not in UNITS_US:
        raise UsageError(f'--time-unit "{time_unit}": use one of {", ".join(UNITS_US)}')
    if cache != "infinite" and not (cache.isdigit() and int(cache) > 0):
        raise UsageError(f'--cache "{cache}": give a number of blocks from 1, or infinite')
    pairs = [column.partition("=") for column in columns]
    if any(not (equals and column) for _, equals, column in pairs):
        raise UsageError("--column: write FIELD=NAME, for example --column input_tokens=ContextTokens")
    _zone(timezone)
    moment = _moment(start, timezone, "--start")
    assert moment is not None
    return ImportOptions(
        timezone=timezone,
        start=moment,
        time_unit=time_unit,
        cache_blocks=None if cache == "infinite" else int(cache),
        columns={field: column for field, _, column in pairs},
        strict=strict,
    )


@app.command("list")
def list_(db: Db = None, as_json: Json = False) -> None:
    """Every stored trace."""
    from planner.trace import stored as catalogue
    from planner.trace.describe import summary

    with store_at(db).read() as session:
        traces = catalogue.listed(session)
    if as_json:
        print_json([summary(info) for info in traces])
        return
    rows = [
        (
            t.name,
            t.format or t.profile,
            t.row_count,
            t.sample_weight,
            t.requests,
            summary(t)["first_arrival"][:16],
        )
        for t in traces
    ]
    print_table(("<trace", "<from", "rows", "weight", "requests", "<first arrival"), rows)


@app.command("show")
def show(name: _Name, db: Db = None, as_json: Json = False) -> None:
    """Totals, hit share, KV length, percentiles and the hourly profile of a trace."""
    from planner.trace import stored as catalogue
    from planner.trace.describe import describe

    with store_at(db).read() as session:
        document = describe(session, catalogue.by_name(session, name))
    if as_json:
        print_json(document)
        return
    _print_document(document)


@app.command("export")
def export(
    name: _Name,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")],
    format_name: Annotated[
        str | None,
        typer.Option("--format", metavar="F", help="csv, parquet, mooncake or azure [default: by the suffix]."),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write a trace to a file; importing it under another name gives the same trace.

    mooncake and azure cannot carry all that a trace may have, and say what they leave out.
    """
    import shlex

    from planner.trace import stored as catalogue
    from planner.trace import writers

    with store_at(db).read() as session:
        info = catalogue.by_name(session, name)
        written = writers.export(session, info, out, format_name)
    again = f"planner trace import {shlex.join([str(out), *written.options])} --name ..."
    if as_json:
        found = {"trace": name, "out": str(out), "rows": info.row_count, "format": written.format}
        print_json({**found, "import": again, "left_out": written.left_out})
        return
    for what in written.left_out:
        warn(f"{written.format} does not carry {what}")
    print_line(f"{out}: {info.row_count:,} rows; {again}")


@app.command("delete")
def delete(name: _Name, db: Db = None, as_json: Json = False) -> None:
    """Delete a trace with its requests. Runs made from it stay."""
    from planner.trace import stored as catalogue

    runs = catalogue.delete(store_at(db), name)
    if as_json:
        print_json({"trace": name, "deleted": True, "runs_kept": runs})
        return
    kept = f"; {len(runs)} runs made from it stay" if runs else ""
    print_line(f"{name}: deleted{kept}")


def _print_summary(info: "TraceInfo", as_json: bool) -> None:
    from planner.trace.describe import summary

    document = summary(info)
    if as_json:
        print_json(document)
        return
    for key, value in document.items():
        if value is not None:
            print_line(f"  {key:<20}{value:,}" if isinstance(value, int) else f"  {key:<20}{value}")


def _print_document(d: dict[str, Any]) -> None:
    print_line(f"{d['trace']}: {d['rows']:,} rows, each for {d['sample_weight']:,} requests")
    print_line(f"  {d['first_arrival']} to {d['last_arrival']}")
    print_line(
        f"  {d['requests']:,} requests, {d['input_tokens']:,} input tokens "
        f"({percent(d['cache_hit_ratio'], 2)} cached), {d['output_tokens']:,} output tokens"
    )
    if d["kv_tokens_per_output_token"] is not None:
        error = d["kv_standard_error"]
        sampled = f" ± {error:,.0f} (standard error of the sample)" if error and d["sample_weight"] > 1 else ""
        print_line(f"  mean KV length per output token {d['kv_tokens_per_output_token']:,.0f}{sampled}")
    for reject in d["rejects"]:
        print_line(f"  refused {reject['rejected']:,}: {reject['reason']} (first at line {reject['first_line']})")
    print_table(
        ("<tokens per request", "mean", "p50", "p90", "p95", "p99", "max"),
        [(r["field"], float(r["mean"]), r["p50"], r["p90"], r["p95"], r["p99"], r["max"]) for r in d["lengths"]],
    )
    if d["hours_left_out"]:
        print_line(f"  {d['hours_left_out']:,} hours are too many to print; look for stray dates")
        return
    print_table(
        ("<hour", "requests", "input tokens", "cached", "output tokens"),
        [
            (h["start"], h["requests"], h["input_tokens"], h["cached_input_tokens"], h["output_tokens"])
            for h in d["hours"]
        ],
    )


def _zone(name: str) -> None:
    from planner.errors import UsageError
    from planner.settings.scenario import known_zone

    try:
        known_zone(name)
    except ValueError as error:
        raise UsageError(f"--timezone {error}") from error


def _moment(text: str | None, timezone: str, option: str) -> datetime | None:
    """A time given on the command line; without an offset it is in the zone."""
    from zoneinfo import ZoneInfo

    from planner.errors import UsageError

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f'{option} "{text}": is not a time; write 2025-02-27T20:00 or with an offset') from error
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone))
