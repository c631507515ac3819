"""planner replay."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import Db, Json, Sets, TraceName, WhatIf, moment, now, scenario_of, store_at, with_trace
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd
from planner.core.fleet.units import AGGREGATED
from planner.runs.bands import BASIS, by_figure, ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.capacity.bands import TimeBand
    from planner.runs.outcome import FigureBand
    from planner.studies.replay.document import (
        LatencySummary,
        LoadImbalance,
        ReplayClass,
        ReplayDocument,
        ReplayHour,
        Shifts,
    )

_HITS = {"trace": "as in the trace", "routed": "found by routing"}


_Bands = Annotated[
    bool,
    typer.Option(
        "--bands",
        help="Replay units as fast, and as slow, as the 90 % bands of their times, too: three times as long.",
    ),
]


def replay(
    scenario: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|SCENARIO]",
            help="A stored run, or a built-in name or a TOML file [default: deepseek-2025-02-27].",
        ),
    ] = None,
    trace: TraceName = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Count requests from this time on [default: busiest hour]."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Count requests up to this time.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Count the whole plan.")] = False,
    keep: Annotated[bool, typer.Option("--keep-requests", help="Store the outcome of every counted request.")] = False,
    bands: _Bands = False,
    what_if: WhatIf = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Replay every request through the planned fleet.

    Simulates prefill queues, lock-step decode, KV memory, and units that start, drain and leave; prints latencies and
    their percentiles. By default it replays the plan's busiest hour, at full scale, with half an hour simulated before
    and after it. A stored run is replayed as it was planned; --set may then change replay.* and failures.* only.
    """
    from planner.errors import LimitMissed, UsageError
    from planner.studies.replay.run import is_run, planned_scenario
    from planner.studies.replay.run import replay as run_replay
    from planner.studies.replay.store import store_replay

    if whole and (start or end):
        raise UsageError("--all counts the whole plan; leave out --from and --to")
    store, planned = store_at(db), None
    if scenario is not None and is_run(scenario):
        _check_stored(scenario, what_if, trace)
        loaded, planned = planned_scenario(store, scenario, sets or [])
    else:
        loaded = scenario_of(scenario, with_trace(sets, trace), what_if).scenario
    with progress_bar("replaying") as progress:
        done = run_replay(
            store,
            loaded,
            start=moment(start, loaded.zone),
            end=moment(end, loaded.zone),
            whole=whole,
            now=now(),
            clock=time.perf_counter,
            keep=keep,
            bands=bands,
            progress=progress,
            planned=planned,
        )
    _, document = store_replay(store, done, now=now())
    if as_json:
        print_json(document)
    else:
        _print(document)
    if document.missed_limits:
        raise LimitMissed("; ".join(document.missed_limits) + "; change the plan, or the limit")


def _check_stored(run: str, what_if: str | None, trace: list[str] | None) -> None:
    """Raises UsageError for options that would change a stored run."""
    from planner.errors import UsageError

    if what_if is not None:
        raise UsageError(f"{run} is replayed as it was planned; leave out --what-if, or replay its scenario")
    if trace:
        raise UsageError(f"{run} is replayed with its own trace; leave out --trace, or replay its scenario")


def _print(document: "ReplayDocument") -> None:
    print_line(f"{document.run_id}: {document.scenario}, {document.policy}, trace {document.trace}")
    print_line()
    lines = (*_request_lines(document), *_service_lines(document), *_unit_lines(document))
    for label, text in lines:
        print_line(f"  {label:<22}{text}")
    for note in document.notes:
        print_line(f"  note: {note}")
    _print_hours(document.hours)
    if len(document.classes) > 1:
        _print_classes(document.classes)


def _request_lines(document: "ReplayDocument") -> list[tuple[str, str]]:
    """What was counted, who chose units, what failed."""
    from planner.runs.waking import wait_lines
    from planner.studies.replay.document import MANY_IN_FLIGHT
    from planner.units import counted

    lines = [
        ("counted", f"{document.window_start.isoformat()} to {document.window_end.isoformat()}"),
        (
            "requests",
            f"{document.requests:,}: {document.completed:,} completed, {document.in_flight:,} in flight, "
            f"{document.rejected:,} rejected ({_reasons(document.rejects)}{document.retried:,} retries)",
        ),
        (
            "balancers",
            f"{_balancers(document)}; hits {_HITS[document.hits]}",
        ),
    ]
    lines += wait_lines(document.waited_for_start, document.waited_for_repair)
    for name, failed in vars(document.failures).items():
        role = "" if name == AGGREGATED else f"{name} "
        if failed.units:
            text = f"{failed.units:,}, with {counted(failed.requests, 'request')} that had to be restarted"
            lines.append((f"failed {role}units", text))
    if document.shifts is not None:
        lines.append(("sessions", _sessions(document.shifts)))
    if document.in_flight_ratio >= MANY_IN_FLIGHT:
        lines.append(
            (
                "caution",
                f"{percent(document.in_flight_ratio)} had not finished when the simulation ended, so latencies are "
                "those of the faster requests; end the window earlier, or raise replay.cool_down_s",
            )
        )
    return lines


def _service_lines(document: "ReplayDocument") -> list[tuple[str, str]]:
    """Service quality, and what it cost."""
    slo, band = document.slo, by_figure(document.bands)
    ttft, tpot, both = (ends(band.get(f"slo.{name}_attainment"), percent) for name in ("ttft", "tpot", "both"))
    return [
        ("TTFT", _latency(document.ttft_ms, "ttft_ms", band)),
        ("TPOT", _latency(document.tpot_ms, "tpot_ms", band)),
        ("E2E", _latency(document.e2e_ms, "e2e_ms", band)),
        (
            "within target",
            f"TTFT {percent(slo.ttft_attainment)}{ttft} within {document.ttft_target_ms:,.0f} ms, "
            f"TPOT {percent(slo.tpot_attainment)}{tpot} within {document.tpot_target_ms:g} ms"
            f"{_median(document.tpot_ms.p50)}, "
            f"both {percent(slo.both_attainment)}{both}; {document.goodput_requests_per_s:,.1f} requests/s within both",
        ),
        ("90 % bands", _band_words(document)),
        (
            "decode",
            f"{_figure(document.tokens_per_s_per_stream, 1)} tok/s per stream, {_figure(document.streams_per_gpu, 1)} "
            f"streams per GPU, {_figure(document.tokens_per_s_per_decode_node)} tok/s per node, "
            f"in steps {percent(document.decode_busy)} of the time; capacities of the plan are {document.capacity}",
        ),
        (
            "cost",
            f"{usd(document.cost_usd)}, {usd(document.cost_usd_per_million_output_tokens)} per million output tokens",
        ),
    ]


def _unit_lines(document: "ReplayDocument") -> list[tuple[str, str]]:
    """What units did, and how even their loads were."""
    from planner.units import counted

    return [
        *_prompt_lines(document),
        ("drained", _drained(document)),
        ("prefix cache", f"{percent(document.hit_ratio)} of input tokens found"),
        ("peak KV", percent(document.kv_peak_ratio)),
        ("load imbalance", _uneven(document)),
        ("speed", f"{counted(document.simulated_requests, 'request')} in {document.wall_s:.1f} s"),
    ]


def _sessions(shifts: "Shifts") -> str:
    """What a closed loop changed."""
    if shifts.mean_s is None:
        return f"closed: {shifts.turns:,} later turns, none of which came"
    return (
        f"closed: {shifts.turns:,} later turns, {shifts.mean_s:+,.2f} s against the trace in the mean, p50 "
        f"{shifts.p50_s:+,.2f} s, p99 {shifts.p99_s:+,.2f} s; {shifts.absent:,} did not come before the end"
    )


def _prompt_lines(document: "ReplayDocument") -> list[tuple[str, str]]:
    """How prompts were read, and what waited."""
    rate, waiting = _figure(document.missed_tokens_per_s_per_prefill_node), document.prefill_queue_requests
    if document.serving == AGGREGATED:
        return [
            ("prompts", f"{rate} missed tok/s per node, {percent(document.prefill_utilisation)} of the time of units"),
            ("waiting", f"{_figure(waiting, 1)} requests on average; {document.preempted:,} preempted by full memory"),
        ]
    return [
        (
            "prefill",
            f"{rate} missed tok/s per node; in passes "
            f"{percent(document.prefill_busy)} of the time, {percent(document.prefill_utilisation)} of GPU time used",
        ),
        (
            "waiting",
            f"{_figure(waiting, 1)} requests for prefill and "
            f"{_figure(document.decode_queue_requests, 1)} for decode on average",
        ),
    ]


def _balancers(document: "ReplayDocument") -> str:
    if document.serving == AGGREGATED:
        return document.balancers.prefill
    balancers = document.balancers
    return f"prefill {balancers.prefill}, decode {balancers.decode}; queues {document.queue_mode}"


def _print_hours(hours: "Sequence[ReplayHour]") -> None:
    rows = [
        (
            f"{hour.start:%Y-%m-%d %H:%M}",
            hour.requests,
            _figure(hour.ttft_ms.p50),
            _figure(hour.ttft_ms.p99),
            _figure(hour.tpot_ms.p50, 1),
            _figure(hour.tpot_ms.p99, 1),
            _figure(hour.streams_per_gpu, 1),
            _figure(hour.tokens_per_s_per_stream, 1),
            percent(hour.kv_occupancy),
            percent(hour.both_attainment),
            usd(hour.cost_usd),
            _figure(hour.missed_tokens_per_s_per_prefill_node),
        )
        for hour in hours
    ]
    heads = (
        "<hour",
        "requests",
        "TTFT p50 ms",
        "p99",
        "TPOT p50 ms",
        "p99",
        "streams/GPU",
        "tok/s per stream",
        "KV used",
        "within SLO",
        "cost",
        "missed tok/s per prefill node",
    )
    print_table(heads, rows)


def _print_classes(classes: "Sequence[ReplayClass]") -> None:
    rows = [
        (
            each.name,
            each.requests,
            _figure(each.ttft_ms.p99),
            _figure(each.tpot_ms.p99, 1),
            percent(each.slo.ttft_attainment),
            percent(each.slo.tpot_attainment),
            percent(each.slo.both_attainment),
        )
        for each in classes
    ]
    print_line()
    print_table(("<class", "requests", "TTFT p99 ms", "TPOT p99 ms", "TTFT in time", "TPOT in time", "both"), rows)


def _drained(document: "ReplayDocument") -> str:
    """How long departing units took to drain, and what became of their streams."""
    from planner.units import counted

    decode = "" if document.serving == AGGREGATED else "decode "
    drains = [
        f"{counted(len(drain_s), f'{role}unit')}, empty after {max(drain_s):,.1f} s at most"
        for role, drain_s in (("prefill ", document.prefill_drain_s), (decode, document.drain_s))
        if drain_s
    ]
    return "; ".join([*drains, f"{counted(document.moved, 'stream')} moved to other units"]) if drains else "no units"


def _uneven(document: "ReplayDocument") -> str:
    uneven = document.imbalance
    kv, streams = _figure(uneven.kv_imbalance_mean, 3), _figure(uneven.stream_imbalance_mean, 3)
    tokens = _figure(uneven.prefill_token_imbalance_mean, 3)
    if document.serving == AGGREGATED:
        return f"largest over mean: KV {kv}, streams {streams}, prompt tokens {tokens}"
    return (
        f"largest over mean: decode KV {kv}, streams {streams}, prefill tokens {tokens}; "
        f"ranks {document.ranks}: {_ranks(uneven)}"
    )


def _ranks(uneven: "LoadImbalance") -> str:
    """How uneven the KV of the GPUs inside units is, as replayed and as measured for the balancer."""
    table = f"KV {_figure(uneven.rank_kv_imbalance_table, 3)} in the balancer's table"
    if uneven.rank_kv_imbalance_mean is None:
        return table
    return f"KV {_figure(uneven.rank_kv_imbalance_mean, 3)} as replayed, {table}"


def _latency(summary: "LatencySummary", metric: str, band: "Mapping[str, FigureBand]") -> str:
    if summary.mean is None:
        return "-"
    return ", ".join(
        f"{name} {_figure(ms, 1)} ms{ends(band.get(f'{metric}.{name}'), '{:,.1f}'.format)}"
        for name, ms in vars(summary).items()
    )


def _band_words(document: "ReplayDocument") -> str:
    """How far the times of units may be off, what that rests on, and what was replayed of it."""
    steps, prompts = document.time_factors.decode_steps, document.time_factors.prompts
    if steps.measured == prompts.measured:
        words = f"decode steps {_factors(steps)} and prompts {_factors(prompts)} times as long, {BASIS[steps.measured]}"
    else:
        each = (("decode steps", steps), ("prompts", prompts))
        words = ", and ".join(
            f"{name} {_factors(times)} times as long, {BASIS[times.measured]}" for name, times in each
        )
    return f"{words}; {'in parentheses, what this fleet does then' if document.bands else '--bands replays both ends'}"


def _factors(times: "TimeBand") -> str:
    return f"{times.low:.2f} to {times.high:.2f}"


def _reasons(rejects: "Mapping[str, int]") -> str:
    return "".join(f"{count:,} {reason}, " for reason, count in rejects.items())


def _median(p50_ms: float | None) -> str:
    return "" if p50_ms is None else f" (median {p50_ms:,.1f} ms)"


def _figure(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
