"""planner batching."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.capacity.heading import print_notes
from planner.cli.capacity.options import Gpus, HitRatio, Kv, KvTokens, Model, Node, Settings, Target, Weights, study_of
from planner.cli.options import Json
from planner.cli.output import percent, print_json, print_line, print_table
from planner.cli.ranges import within
from planner.errors import UsageError

if TYPE_CHECKING:
    from planner.studies.capacity.batching import (
        BatchingDocument,
        DepthRuleRow,
        OneUser,
        OneUserMemory,
        PipelineBubble,
        PromptCollection,
    )

_MOST_ROWS = 12
_LONGEST_MS = 1e6
"""Longest window or tick. Assumed: no server waits a quarter of an hour for a batch."""
_TICK = within("give a finite number of at least 0 ms", 0, _LONGEST_MS)
_ARRIVALS = within("give arrivals above 0", 1e-6, 1e9)


def batching(
    node: Node = "h800",
    model: Model = "deepseek-r1",
    weights: Weights = None,
    kv: Kv = None,
    gpus: Gpus = None,
    target: Target = None,
    kv_tokens: KvTokens = None,
    hit: HitRatio = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", callback=_ARRIVALS, help="Requests/s of one GPU's prefill [default: half its capacity]."
        ),
    ] = None,
    windows: Annotated[
        str | None, typer.Option("--windows-ms", metavar="A,B,C", help="Collection windows to compare.")
    ] = None,
    tick: Annotated[
        float, typer.Option("--tick-ms", callback=_TICK, help="How often the server checks its queue; 0: at once.")
    ] = 0.0,
    most: Annotated[int, typer.Option("--most", help="Largest batch of prompts.")] = 8,
    rules: Annotated[
        str, typer.Option("--what-ifs", metavar="FILE", help="Queue rules, pipelines, single user: a TOML file.")
    ] = "deepseek-r1",
    sets: Settings = None,
    as_json: Json = False,
) -> None:
    """Show what batching costs and gains.

    Covers latency against throughput and cost from batch 1 to the memory limit, collection windows, batches by queue
    depth, pipeline bubbles, and one user on one node compared with the fleet.
    """
    from planner.studies.capacity.batching import WINDOWS_MS, study_batching

    study = study_of(
        node, model, weights=weights, kv=kv, gpus=gpus, target=target, kv_tokens=kv_tokens, hit=hit, sets=sets
    )
    compared = WINDOWS_MS if windows is None else _windows(windows)
    document = study_batching(study, arrivals_per_s=rate, windows_ms=compared, tick_ms=tick, most=most, file=rules)
    if as_json:
        print_json(document)
    else:
        _print(document)


def _windows(text: str) -> tuple[float, ...]:
    try:
        windows = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f'--windows-ms "{text}" is not a list of numbers; write, for example, 5,10,20') from error
    if not all(0 <= window <= _LONGEST_MS for window in windows):
        raise UsageError(f'--windows-ms "{text}": give finite numbers of at least 0 ms: 0 to {_LONGEST_MS:g}')
    return windows


def _print(document: "BatchingDocument") -> None:
    print_line(f"{document.model} on {document.node}: decode by batch")
    _print_curve(document)
    if document.ridge_tokens:
        print_line(f"from {document.ridge_tokens:,.0f} tokens over all GPUs an expert is compute-bound")
    _print_collection(document.collection)
    _print_rules(document.queue_depth_rules)
    _print_pipelines(document.pipeline_bubbles)
    _print_user(document.one_user)
    print_notes(document.notes)


def _print_curve(document: "BatchingDocument") -> None:
    rows = document.curve
    step = max(1, len(rows) // _MOST_ROWS)
    table = []
    for row in (*rows[:-1:step], rows[-1]):
        cells = [
            f"{row.streams:g}",
            f"{row.tpot_ms:,.1f}",
            f"{row.tokens_per_s_per_stream:,.1f}",
            f"{row.tokens_per_s_per_node:,.0f}",
            f"${row.usd_per_million_tokens:,.3f}",
        ]
        if row.tokens_per_expert is not None:
            cells += [f"{row.tokens_per_expert:,.1f}", percent(row.idle_expert_probability)]
        table.append(cells)
    heads = ["streams per GPU", "ms per token", "tok/s per stream", "tok/s per node", "$/M tokens"]
    of_experts = ["tokens per expert", "expert idle"] if rows[0].tokens_per_expert is not None else []
    print_table([*heads, *of_experts], table)


def _print_collection(collection: "PromptCollection") -> None:
    print_line(
        f"prompts collected for one GPU's prefill: {collection.arrivals_per_s:,.2f} requests/s of "
        f"{collection.prompt_ms:,.0f} ms each, at most {collection.largest_batch} together"
    )
    rows = [
        (f"{row.window_ms:g}", f"{row.batch:,.2f}", f"{row.mean_wait_s * 1e3:,.1f}", percent(row.duty))
        for row in collection.rows
    ]
    print_table(("window ms", "batch", "mean wait ms", "busy"), rows)


def _print_rules(rules: "Sequence[DepthRuleRow]") -> None:
    rows = [
        (
            row.from_depth,
            f"{row.streams:g}",
            "yes" if row.overlap else "no",
            f"{row.tpot_ms:,.1f}",
            f"{row.tokens_per_s_per_node:,.0f}",
            f"${row.usd_per_million_tokens:,.2f}",
        )
        for row in rules
    ]
    print_line("decode batch by queue depth")
    heads = ("from requests waiting", "streams per GPU", "<overlap", "ms per token", "tok/s per node", "$/M tokens")
    print_table(heads, rows)


def _print_pipelines(bubbles: "Sequence[PipelineBubble]") -> None:
    for each in bubbles:
        print_line(
            f"a pipeline of {each.stages} stages with {each.micro_batches} micro-batches would idle "
            f"{percent(each.bubble)} of the time"
        )


def _print_user(user: "OneUser | OneUserMemory") -> None:
    from planner.studies.capacity.batching import OneUser

    print_line(f"one user on one node, weights {user.weights}: {user.memory}")
    if not isinstance(user, OneUser):
        return
    speeds, costs, times = user.tokens_per_s, user.usd_per_million_tokens, user.times_the_fleet
    rows = [
        (name, f"{speed:,.1f}", f"${cost:,.2f}", f"{ratio:,.0f}")
        for name, speed, cost, ratio in (
            ("roofline", speeds.roofline, costs.roofline, times.roofline),
            ("modelled", speeds.modelled, costs.modelled, times.modelled),
            ("reported", speeds.reported, costs.reported, times.reported),
        )
    ]
    print_table(("<speed", "tokens/s", "$/M tokens", "times the fleet's cost"), rows)
    print_line(f"  {user.why}")
