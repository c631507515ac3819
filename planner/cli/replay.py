"""planner replay."""

import time
from typing import Annotated, Any

import typer

from planner.cli.options import Db, Json, Sets, WhatIf, moment, now, scenario_of, store_at
from planner.cli.output import percent, print_json, print_line, print_table, progress_bar, usd

_HITS = {"trace": "as in the trace", "routed": "found by routing"}

_MANY_IN_FLIGHT = 0.01
"""Share of requests that had not ended from which on it is told; assumed: it begins to move the 99th percentile."""


def replay(
    scenario: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|SCENARIO]",
            help="A stored run, or a built-in name or a TOML file [default: deepseek-2025-02-27].",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Count requests from then on [default: busiest hour].")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Count requests up to then.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Count the whole plan.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep-requests", help="Store what became of every request that counts.")
    ] = False,
    what_if: WhatIf = None,
    sets: Sets = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Replay every request through the planned fleet.

    Prefill queues, lock-step decode, KV memory, units that start, drain and leave; latencies and their percentiles. By
    default the plan's busiest hour, at full scale, with half an hour simulated before and after it. A stored run is
    replayed as it was planned; --set may then change replay.* and failures.* only.
    """
    from planner.errors import LimitMissed, UsageError
    from planner.studies.replay.run import is_run, planned_scenario, store_replay
    from planner.studies.replay.run import replay as run_replay

    if whole and (start or end):
        raise UsageError("--all counts the whole plan; leave out --from and --to")
    store, planned = store_at(db), None
    if scenario is not None and is_run(scenario):
        if what_if is not None:
            raise UsageError(f"{scenario} is replayed as it was planned; leave out --what-if, or name its scenario")
        loaded, planned = planned_scenario(store, scenario, sets or [])
    else:
        loaded = scenario_of(scenario, sets, what_if).scenario
    with progress_bar("replaying") as progress:
        done = run_replay(
            store,
            loaded,
            start=moment(start),
            end=moment(end),
            whole=whole,
            now=now(),
            clock=time.perf_counter,
            keep=keep,
            progress=progress,
            planned=planned,
        )
    _, found = store_replay(store, done, now=now())
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found["missed_limits"]:
        raise LimitMissed("; ".join(found["missed_limits"]) + "; change the plan, or the limit")


def _print(found: dict[str, Any]) -> None:
    print_line(f"{found['run_id']}: {found['scenario']}, {found['policy']}, trace {found['trace']}")
    print_line()
    rejected, slo, uneven, failed = found["rejected"], found["slo"], found["imbalance"], found["failures"]
    lines = (
        ("counted", f"{found['window_start']} to {found['window_end']}"),
        (
            "requests",
            f"{found['requests']:,}: {found['completed']:,} completed, {found['in_flight']:,} in flight, "
            f"{rejected:,} rejected ({found['retried']:,} further tries)",
        ),
        ("balancers", _rules(found)),
        *(
            (f"failed {role} units", f"{each['units']:,}, with {each['requests']:,} requests, which were begun again")
            for role, each in failed.items()
            if each["units"]
        ),
        *_in_flight(found),
        *((name.upper(), _latency(found[f"{name}_ms"])) for name in ("ttft", "tpot", "e2e")),
        (
            "within target",
            f"TTFT {percent(slo['ttft_attainment'])}, TPOT {percent(slo['tpot_attainment'])}, "
            f"both {percent(slo['both_attainment'])}; {found['goodput_requests_per_s']:,.1f} requests/s within both",
        ),
        (
            "decode",
            f"{_ratio(found['tokens_per_s_per_stream'], 1)} tok/s per stream, {_ratio(found['streams_per_gpu'], 1)} "
            f"streams per GPU, {_ms(found['tokens_per_s_per_decode_node'])} tok/s per node, "
            f"in steps {percent(found['decode_busy'])} of the time; capacities of the plan are {found['capacity']}",
        ),
        (
            "cost",
            f"{usd(found['cost_usd'])}, {usd(found['cost_usd_per_million_output_tokens'])} per million output tokens",
        ),
        (
            "prefill",
            f"{_ms(found['missed_tokens_per_s_per_prefill_node'])} missed tok/s per node; in passes "
            f"{percent(found['prefill_busy'])} of the time, work for {percent(found['prefill_utilisation'])} of it",
        ),
        (
            "waiting",
            f"{_ratio(found['prefill_queue_requests'], 1)} requests for prefill and "
            f"{_ratio(found['decode_queue_requests'], 1)} for decode in the mean",
        ),
        ("drained", _drained(found)),
        ("prefix cache", f"{percent(found['hit_ratio'])} of input tokens found"),
        ("KV at most", percent(found["kv_peak_ratio"])),
        (
            "units out of balance",
            f"largest over mean: decode KV {_ratio(uneven['kv_imbalance_mean'])}, streams "
            f"{_ratio(uneven['stream_imbalance_mean'])}, "
            f"prefill tokens {_ratio(uneven['prefill_token_imbalance_mean'])}; "
            f"ranks {found['ranks']}{_ranks(uneven)}",
        ),
        ("speed", f"{found['simulated_requests']:,} requests in {found['wall_s']:.1f} s"),
    )
    for label, text in lines:
        print_line(f"  {label:<22}{text}")
    _print_hours(found["hours"])
    if len(found["classes"]) > 1:
        _print_classes(found["classes"])


def _print_hours(hours: list[dict[str, Any]]) -> None:
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
            percent(hour["both_attainment"]),
            usd(hour["cost_usd"]),
            _ms(hour["missed_tokens_per_s_per_prefill_node"]),
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


def _print_classes(classes: list[dict[str, Any]]) -> None:
    rows = [
        (
            own["class"],
            own["requests"],
            _ms(own["ttft_ms"]["p99"]),
            _ms(own["tpot_ms"]["p99"], 1),
            percent(own["slo"]["ttft_attainment"]),
            percent(own["slo"]["tpot_attainment"]),
            percent(own["slo"]["both_attainment"]),
        )
        for own in classes
    ]
    print_line()
    print_table(("<class", "requests", "TTFT p99 ms", "TPOT p99 ms", "TTFT in time", "TPOT in time", "both"), rows)


def _in_flight(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What to be told where so many had not ended that figures would flatter."""
    share = found["in_flight"] / found["requests"] if found["requests"] else 0.0
    if share < _MANY_IN_FLIGHT:
        return []
    return [
        (
            "take care",
            f"{percent(share)} had not ended when the simulation did, so latencies are those of the quicker ones; "
            "count up to an earlier time, or lengthen replay.cool_down_s",
        )
    ]


def _rules(found: dict[str, Any]) -> str:
    """Who chose units, and how queues were served."""
    who = found["balancers"]
    return (
        f"prefill {who['prefill']}, decode {who['decode']}; queues {found['queue_mode']}; hits {_HITS[found['hits']]}"
    )


def _drained(found: dict[str, Any]) -> str:
    """How long units took that left, and what became of their streams."""
    told = [
        f"{len(took)} {role} units, empty after {max(took):,.1f} s at most"
        for role, took in (("prefill", found["prefill_drain_s"]), ("decode", found["drain_s"]))
        if took
    ]
    return "; ".join([*told, f"{found['moved']:,} streams moved to other units"]) if told else "no units"


def _ranks(uneven: dict[str, float | None]) -> str:
    """How uneven the KV of the GPUs inside units is, as replayed and as measured for the balancer."""
    table = f"KV {_ratio(uneven['rank_kv_imbalance_table'])} in the balancer's table"
    if uneven["rank_kv_imbalance_mean"] is None:
        return f": {table}"
    return f": KV {_ratio(uneven['rank_kv_imbalance_mean'])} as replayed, {table}"


def _latency(ms: dict[str, float | None]) -> str:
    if ms["mean"] is None:
        return "-"
    return ", ".join(f"{name} {_ms(value, 1)} ms" for name, value in ms.items())


def _ms(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _ratio(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
