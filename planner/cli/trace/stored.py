"""planner trace list|show|delete."""

from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table
from planner.cli.trace.options import TraceName
from planner.cli.week import print_week

if TYPE_CHECKING:
    from planner.trace.documents import TraceDescription


def list_(db: Db = None, as_json: Json = False) -> None:
    """Every stored trace."""
    from planner.trace import stored
    from planner.trace.describe import summarize

    with store_at(db).read() as session:
        traces = [summarize(info) for info in stored.listed(session)]
    if as_json:
        print_json(traces)
        return
    rows = [
        (t.trace, t.format or t.profile, t.rows, t.sample_weight, t.requests, t.first_arrival.isoformat()[:16])
        for t in traces
    ]
    print_table(("<trace", "<from", "rows", "weight", "requests", "<first arrival"), rows)


def show(
    name: TraceName,
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", metavar="S", help="Count the requests that are too long for its model and units."),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Totals, the busiest hour, classes, lengths, and the hours of a trace or its week."""
    from dataclasses import replace

    from planner.planning.capacity import unserved
    from planner.trace import stored
    from planner.trace.describe import describe

    loaded = None if scenario is None else scenario_of(scenario, None).scenario
    with store_at(db).read() as session:
        info = stored.by_name(session, name)
        description = describe(session, info)
        if loaded is not None:
            description = replace(description, unserved=unserved(session, loaded, info))
    if as_json:
        print_json(description)
    else:
        _print_description(description)


def delete(name: TraceName, db: Db = None, as_json: Json = False) -> None:
    """Delete a trace with its requests. Runs made from it are kept."""
    from planner.trace import stored

    deletion = stored.delete(store_at(db), name)
    if as_json:
        print_json(deletion)
        return
    kept = f"; {len(deletion.runs_kept)} runs made from it are kept" if deletion.runs_kept else ""
    print_line(f"{deletion.trace}: deleted{kept}")


def _print_description(d: "TraceDescription") -> None:
    from planner.units import counted

    weight = f", each for {d.sample_weight:,} requests" if d.sample_weight > 1 else ""
    print_line(f"{d.trace}: {counted(d.rows, 'row')}{weight}")
    print_line(f"  {d.first_arrival.isoformat()} to {d.last_arrival.isoformat()}")
    cached = f"{percent(d.cache_hit_ratio, 2)} cached"
    if d.cached_unknown:
        cached = (
            f"{cached}, unknown for {counted(d.cached_unknown, 'request')}"
            if d.cache_hit_ratio is not None
            else "cached unknown"
        )
    print_line(
        f"  {counted(d.requests, 'request')}, {d.input_tokens:,} input tokens ({cached}), "
        f"{d.output_tokens:,} output tokens"
    )
    if d.kv_tokens_per_output_token is not None:
        error = d.kv_standard_error
        sampled = f" ± {error:,.0f} (standard error of the sample)" if error and d.sample_weight > 1 else ""
        print_line(f"  mean KV length per output token {d.kv_tokens_per_output_token:,.0f}{sampled}")
    if (peak := d.peak_hour) is not None:
        ratio = (
            "" if d.peak_to_mean_hour is None else f"; output tokens peak at {d.peak_to_mean_hour:.2f} times the mean"
        )
        print_line(
            f"  busiest hour {peak.start:%a} {peak.start.isoformat(timespec='minutes')}: "
            f"{counted(peak.requests, 'request')}, {peak.input_tokens:,} input and {peak.output_tokens:,} output "
            f"tokens{ratio}"
        )
    if d.longest_request_tokens is not None:
        too_long = ""
        if (over := d.unserved) is not None and over.requests:
            are, them = ("is", "it") if over.requests == 1 else ("are", "them")
            too_long = (
                f"; {counted(over.requests, 'request')} {are} longer than the {over.limit_tokens:,} tokens of "
                f"{over.limit}, and no unit of {over.scenario} can serve {them}"
            )
        print_line(f"  longest request {d.longest_request_tokens:,} tokens, input and output{too_long}")
    for reject in d.rejects:
        print_line(f"  refused {reject.rejected:,}: {reject.reason} (first at line {reject.first_line})")
    print_table(
        ("<tokens per request", "mean", "p50", "p90", "p95", "p99", "max"),
        [(r.field, r.mean, r.p50, r.p90, r.p95, r.p99, r.max) for r in d.lengths],
    )
    _print_classes_and_hours(d)


def _print_classes_and_hours(d: "TraceDescription") -> None:
    """Print the classes, and the hours one by one or as a week."""
    from planner.core.week import LEAST_HOURS

    if d.classes:
        rows = [(c.name, c.requests, c.input_tokens, c.cached_input_tokens, c.output_tokens) for c in d.classes]
        print_table(("<class", "requests", "input tokens", "cached", "output tokens"), rows)
    if d.hours_left_out:
        print_line(f"  {d.hours_left_out:,} hours are too many to print; check the log for stray dates")
        return
    if len(d.hours) > LEAST_HOURS:
        cells = {(each.weekday, each.hour): each.mean_requests for each in d.week}
        print_week(f"mean requests an hour, local clock of {d.timezone}", cells)
        print_line(f"{len(d.hours):,} hours one by one, with tokens: planner trace show {d.trace} --json")
        return
    print_table(
        ("<hour", "requests", "input tokens", "cached", "output tokens"),
        [(h.start.isoformat(), h.requests, h.input_tokens, h.cached_input_tokens, h.output_tokens) for h in d.hours],
    )
