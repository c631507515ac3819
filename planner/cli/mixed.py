"""planner mixed plan|replay."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, Sets, moment, now, store_at, with_trace
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.studies.mixed.document import MixedPlanDocument, MixedReplayDocument, MixService, SplitFigures
    from planner.studies.mixed.file import LoadedMix
    from planner.studies.replay.document import LatencySummary

app = typer.Typer(help="Fleets of several kinds of units for one service.", rich_markup_mode=None)

MixPath = Annotated[Path, typer.Argument(metavar="FILE", help="The TOML file of a mixed fleet.")]
MixTrace = Annotated[
    list[str] | None,
    typer.Option("--trace", metavar="T", help="A stored trace, instead of the first pool's; at most once."),
]


@app.command("plan")
def plan(file: MixPath, trace: MixTrace = None, sets: Sets = None, db: Db = None, as_json: Json = False) -> None:
    """Route the requests of every interval over the pools, and plan each pool with its part.

    Compares routing at the least cost with routing in proportion to capacity, and with each pool alone. The plan of
    every pool is stored as a run; --set overrides a field in the scenarios of all pools. Exit code 3: the plan is
    stored, but misses a limit that a scenario states.
    """
    from planner.studies.mixed.figures import plan_mix

    mix = _mix_of(file, with_trace(sets, trace))
    with progress_bar("drawing requests") as progress:
        document = plan_mix(store_at(db), mix, now=now(), progress=progress)
    if as_json:
        print_json(document)
    else:
        _print_plan(document)
    _check(document.missed_limits)


@app.command("replay")
def replay(
    file: MixPath,
    trace: MixTrace = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Count requests from this time on [default: busiest hour]."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Count requests up to this time.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Count the whole plan.")] = False,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Replay every request through the pool that it is routed to.

    Each request goes to one pool, drawn by the weights of its interval and class. Prints latencies of all requests
    together and of every pool, whose replay is stored as a run. Exit code 3: a limit that a scenario states is missed.
    """
    from planner.errors import UsageError
    from planner.studies.mixed.replay import replay_mix

    if whole and (start or end):
        raise UsageError("--all counts the whole plan; leave out --from and --to")
    mix = _mix_of(file, with_trace(sets, trace))
    zone = mix.scenarios[0].zone
    with progress_bar("replaying") as progress:
        document = replay_mix(
            store_at(db),
            mix,
            start=moment(start, zone),
            end=moment(end, zone),
            whole=whole,
            now=now(),
            clock=time.perf_counter,
            progress=progress,
        )
    if as_json:
        print_json(document)
    else:
        _print_replay(document)
    _check(document.missed_limits)


def _mix_of(file: Path, sets: list[str]) -> "LoadedMix":
    from planner.studies.mixed.file import load_mix

    return load_mix(file, sets, os.environ)


def _check(missed: "Sequence[str]") -> None:
    """Raises LimitMissed where a limit is missed."""
    from planner.errors import LimitMissed

    if missed:
        raise LimitMissed("; ".join(missed) + "; change the pools, or the limit")


def _print_plan(document: "MixedPlanDocument") -> None:
    print_line(f"{document.name}, {document.split} on trace {document.trace}")
    print_line()
    lines = (
        (
            "inference nodes",
            f"peak {document.peak_nodes}, mean {document.mean_nodes:,.2f}, {document.node_hours:,.1f} node-hours",
        ),
        ("cost of inference", f"{usd(document.cost_usd)}{_saved(document)}"),
        ("shortfall", f"{document.shortfall_tokens:,} tokens ({percent(document.shortfall_ratio, 3)})"),
    )
    for label, text in lines:
        print_line(f"  {label:<22}{text}")
    _print_notes(document.notes, [(pool.name, pool.notes) for pool in document.pools])
    print_table(
        ("<pool", "<run", "<serving", "<nodes of", "nodes", "peak", "mean", "node-h", "cost", "shortfall", "requests"),
        [
            (
                pool.name,
                pool.run_id,
                pool.serving,
                pool.node_type,
                pool.nodes,
                pool.peak_nodes,
                pool.mean_nodes,
                f"{pool.node_hours:,.1f}",
                usd(pool.cost_usd),
                percent(pool.shortfall_ratio, 3),
                percent(pool.request_share),
            )
            for pool in document.pools
        ],
    )
    _print_splits(document.splits)
    print_line("what a router is told in every interval: --json, intervals[].routes")


def _saved(document: "MixedPlanDocument") -> str:
    if document.saved_usd is None:
        return "; no pool carries everything alone"
    more = "less" if document.saved_usd >= 0 else "more"
    return f", {usd(abs(document.saved_usd))} {more} than the cheapest pool that carries everything alone"


def _print_splits(splits: "Sequence[SplitFigures]") -> None:
    rows = [
        (
            each.split if each.pool is None else f"{each.pool} alone",
            "yes" if each.fits else "no",
            each.peak_nodes,
            each.mean_nodes,
            f"{each.node_hours:,.1f}",
            usd(each.cost_usd),
            usd(each.routed_cost_usd),
            percent(each.shortfall_ratio, 3),
        )
        for each in splits
    ]
    print_table(("<routed", "<fits", "peak", "mean", "node-h", "cost", "without whole units", "shortfall"), rows)


def _print_notes(notes: "Sequence[str]", pools: "Sequence[tuple[str, Sequence[str]]]") -> None:
    """Notes of all together, then those of pools; one that every pool has is said once."""
    common = [note for note in pools[0][1] if all(note in others for _, others in pools)]
    for note in dict.fromkeys((*notes, *common)):
        print_line(f"  note: {note}")
    for name, own in pools:
        for note in own:
            if note not in common and note not in notes:
                print_line(f"  note: pool {name}: {note}")


def _print_replay(document: "MixedReplayDocument") -> None:
    print_line(f"{document.name}, {document.split}, trace {document.trace}")
    print_line()
    slo = document.slo
    lines = (
        ("counted", f"{document.window_start.isoformat()} to {document.window_end.isoformat()}"),
        (
            "requests",
            f"{document.requests:,}: {document.completed:,} completed, {document.in_flight:,} in flight, "
            f"{document.rejected:,} rejected",
        ),
        ("TTFT", _latency(document.ttft_ms)),
        ("TPOT", _latency(document.tpot_ms)),
        ("E2E", _latency(document.e2e_ms)),
        (
            "within target",
            f"TTFT {percent(slo.ttft_attainment)}, TPOT {percent(slo.tpot_attainment)}, both "
            f"{percent(slo.both_attainment)}, by the targets of each pool; "
            f"{document.goodput_requests_per_s:,.1f} requests/s within both",
        ),
        (
            "cost",
            f"{usd(document.cost_usd)}, {usd(document.cost_usd_per_million_output_tokens)} per million output tokens",
        ),
    )
    for label, text in lines:
        print_line(f"  {label:<22}{text}")
    _print_notes(document.notes, [(pool.name, pool.notes) for pool in document.pools])
    rows = [(pool.name, pool.run_id, percent(pool.request_share), *_service(pool)) for pool in document.pools]
    heads = ("requests", "TTFT p50 ms", "p99", "TPOT p50 ms", "p99", "within SLO", "cost", "$/M output")
    print_table(("<pool", "<run", "share", *heads), [*rows, ("together", "", percent(1.0), *_service(document))])


def _service(service: "MixService") -> tuple[object, ...]:
    return (
        service.requests,
        _ms(service.ttft_ms.p50, 0),
        _ms(service.ttft_ms.p99, 0),
        _ms(service.tpot_ms.p50, 1),
        _ms(service.tpot_ms.p99, 1),
        percent(service.slo.both_attainment),
        usd(service.cost_usd),
        usd(service.cost_usd_per_million_output_tokens),
    )


def _latency(summary: "LatencySummary") -> str:
    if summary.mean is None:
        return "-"
    return ", ".join(f"{name} {_ms(value, 1)} ms" for name, value in vars(summary).items())


def _ms(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
