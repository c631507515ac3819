"""planner replay."""

import time
from typing import Annotated, Any

import typer

from planner.cli.options import Db, Json, ScenarioName, Sets, WhatIf, moment, now, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar


def replay(
    scenario: ScenarioName = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Count requests from then on [default: busiest hour].")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Count requests up to then.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Count the whole plan.")] = False,
    what_if: WhatIf = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Replay every request through the planned fleet.

    Prefill queues, lock-step decode, KV memory, units that start, drain and leave; latencies and their percentiles. By
    default the plan's busiest hour, at full scale, with half an hour simulated before and after it.
    """
    from planner.errors import UsageError
    from planner.replaying import replay as run_replay
    from planner.replaying import store_replay

    loaded = scenario_of(scenario, sets, what_if).scenario
    if whole and (start or end):
        raise UsageError("--all counts the whole plan; leave out --from and --to")
    store = store_at(db)
    with progress_bar("replaying") as progress:
        done = run_replay(
            store,
            loaded,
            start=moment(start),
            end=moment(end),
            whole=whole,
            now=now(),
            clock=time.perf_counter,
            progress=progress,
        )
    _, found = store_replay(store, done, now=now())
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    print_line(f"{found['run_id']}: {found['scenario']}, {found['policy']}, trace {found['trace']}")
    print_line()
    rejected, slo, uneven, failed = found["rejected"], found["slo"], found["imbalance"], found["failures"]
    lines = (
        ("counted", f"{found['window_start']} to {found['window_end']}"),
        (
            "requests",
            f"{found['requests']:,}: {found['completed']:,} completed, {found['in_flight']:,} in flight, "
            f"{rejected:,} rejected; {found['moved']:,} streams moved between units",
        ),
        *(
            (f"failed {role} units", f"{each['units']:,}, with {each['requests']:,} requests, which were begun again")
            for role, each in failed.items()
            if each["units"]
        ),
        *((name.upper(), _latency(found[f"{name}_ms"])) for name in ("ttft", "tpot", "e2e")),
        (
            "within target",
            f"TTFT {percent(slo['ttft_attainment'])}, TPOT {percent(slo['tpot_attainment'])}, "
            f"both {percent(slo['both_attainment'])}",
        ),
        ("KV at most", percent(found["kv_peak_ratio"])),
        (
            "units out of balance",
            f"KV {_ratio(uneven['kv_imbalance_mean'])}, streams {_ratio(uneven['stream_imbalance_mean'])} in the mean; "
            f"ranks {found['ranks']}",
        ),
        ("speed", f"{found['simulated_requests']:,} requests in {found['wall_s']:.1f} s"),
    )
    for label, text in lines:
        print_line(f"  {label:<22}{text}")
    rows = [
        (
            hour["start"][:16].replace("T", " "),
            hour["requests"],
            _ms(hour["ttft_ms"]["p50"]),
            _ms(hour["ttft_ms"]["p99"]),
            _ms(hour["tpot_ms"]["p50"], 1),
            _ms(hour["tpot_ms"]["p99"], 1),
            _ratio(hour["streams_per_gpu"], 1),
            _ratio(hour["tokens_per_s_per_stream"], 1),
            percent(hour["kv_occupancy"]),
            _ms(hour["missed_tokens_per_s_per_prefill_node"]),
        )
        for hour in found["hours"]
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
        "missed tok/s per prefill node",
    )
    print_table(heads, rows)


def _latency(ms: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {_ms(value, 1)} ms" for name, value in ms.items())


def _ms(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _ratio(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
