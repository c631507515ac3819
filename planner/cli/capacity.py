"""planner capacity: what a node can do and why; fitting it to measurements; caches on disk; mixed fleets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.options import Db, Json, store_at
from planner.cli.output import number, percent, print_json, print_line, print_table, usd
from planner.errors import ScenarioError, UsageError

if TYPE_CHECKING:
    from planner.studies.capacity.overview import Study

app = typer.Typer(help="What a node can do with a model, and why.", invoke_without_command=True, rich_markup_mode=None)


def within(cure: str, least: float, most: float) -> Callable[[typer.CallbackParam, float | None], float | None]:
    """A check of an option that takes a number; NaN is none. Raises UsageError with the cure."""

    def check(option: typer.CallbackParam, value: float | None) -> float | None:
        if value is not None and not least <= value <= most:
            raise UsageError(f"{option.opts[0]} is {value:g}; {cure}: {least:g} to {most:g}")
        return value

    return check


# the ends of the ranges are assumed: orders of magnitude beyond what can be meant, and short enough to print
_TARGET = within("give a finite number above 0 ms", 1e-6, 1e6)
_KV_TOKENS = within("kv_tokens must be above 0", 1, 1e8)
_HIT = within("a hit ratio is at least 0 and below 1", 0, 0.9999)
_RATE = within("give a finite number above 0", 1e-3, 1e12)
_DISK = within("give a finite number above 0", 1e-3, 1e6)

Node = Annotated[str, typer.Option("--node", metavar="NODE", help="Kind of node: a built-in name or a TOML file.")]
Model = Annotated[str, typer.Option("--model", metavar="MODEL", help="Model: a built-in name or a TOML file.")]
Weights = Annotated[str | None, typer.Option("--weights", help="Number format of weights [default: as published].")]
Kv = Annotated[str | None, typer.Option("--kv", help="Number format of the KV cache: bf16 or fp8.")]
Gpus = Annotated[int | None, typer.Option("--gpus", metavar="N", help="GPUs of a decode unit [default: as usual].")]
Target = Annotated[
    float | None,
    typer.Option("--tpot-ms", callback=_TARGET, help="Target time per output token [default: 50 ms]."),
]
KvTokens = Annotated[
    float | None,
    typer.Option("--kv-tokens", callback=_KV_TOKENS, help="Mean KV length [default: the published day's]."),
]
HitRatio = Annotated[
    float | None, typer.Option("--hit", callback=_HIT, help="Cache hit ratio [default: the published day's].")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of fleet.engine; may be repeated."),
]

_OF_A_MIX = ("hardware", "model", "weights", "redundant_experts", "tensor_parallel")
"""Fields of fleet.engine that every pool of a mix has its own of."""

_REASONS = {
    "does not fit": "does not fit",
    "of KV cache and": "does not fit",
    "no batch of": "misses target",
    "are measured for": "balance not measured",
}
"""What a message has in it that says why a unit cannot serve -> the same in a table."""


@app.callback()
def capacity(
    context: typer.Context,
    node: Node = "h800",
    model: Model = "deepseek-r1",
    sweep: Annotated[
        str | None, typer.Option("--sweep", metavar="WHAT", help="A curve over batch, kv, hit or ep.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Hold the model against what was published.")] = False,
    weights: Weights = None,
    kv: Kv = None,
    gpus: Gpus = None,
    target: Target = None,
    kv_tokens: KvTokens = None,
    hit: HitRatio = None,
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="NAME", help="Take lengths and hits from a stored trace.")
    ] = None,
    sets: Settings = None,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE", help="Draw the curve: .svg, .png or .html.")
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """What a node can do with a model: memory, decode, prefill, cost; curves; the check against published points."""
    written = _written(context)
    if context.invoked_subcommand is not None:
        if written:
            raise UsageError(f"{', '.join(written)}: write it after {context.invoked_subcommand}")
        return
    if check:
        _check(written, as_json)
        return
    from planner.studies.capacity.overview import overview

    study = study_of(
        node,
        model,
        weights=weights,
        kv=kv,
        gpus=gpus,
        target=target,
        kv_tokens=kv_tokens,
        hit=hit,
        trace=trace,
        sets=sets,
        db=db,
    )
    if sweep is not None:
        _sweep(study, sweep, chart, as_json)
        return
    if chart is not None:
        raise UsageError("--chart draws a curve; give --sweep batch, kv, hit or ep too")
    found = overview(study)
    if as_json:
        print_json(found)
    else:
        _print_overview(found)


@app.command("fit")
def fit(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Measured steps, or what a benchmark tool wrote.")
    ],
    node: Node = "h800",
    model: Model = "deepseek-r1",
    weights: Weights = None,
    kv: Kv = None,
    gpus: Gpus = None,
    server_gpus: Annotated[int, typer.Option("--server-gpus", help="GPUs behind the measured endpoint.")] = 1,
    sets: Settings = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Keep the fit as TOML.")] = None,
    as_json: Json = False,
) -> None:
    """Fit the decode model to measured steps.

    FILE: CSV or JSON with streams (per GPU), kv_tokens and step_ms; or the JSON of vLLM's bench serve, GuideLLM,
    AIPerf or GenAI-Perf. The points of several files are put together. The fit holds only between the measured points.
    """
    from planner.studies.capacity.calibrate import fit_files, write_calibration

    study = study_of(node, model, weights=weights, kv=kv, gpus=gpus, sets=sets)
    _, account = fit_files(study, files, server_gpus)
    if out is not None:
        write_calibration(account, out)
    if as_json:
        print_json(account)
        return
    valid = account["validity"]
    print_line(
        f"{account['model']} on {account['node']}, {len(account['points'])} points: kernels take "
        f"{account['kernel_factor']:.3f} times what the catalogue gives, {account['layer_us']:.1f} us per layer and "
        f"{account['row_us']:.3f} us per layer and row on top (fitted)"
    )
    print_line(
        f"  rms {account['rms']:.1%}; of points left out of the fit {account['left_out_rms']:.1%}; holds from "
        f"{valid['least_streams']:g} to {valid['most_streams']:g} streams per GPU and "
        f"{valid['least_kv_tokens']:,.0f} to {valid['most_kv_tokens']:,.0f} tokens of KV"
    )
    rows = [
        (
            point["source"],
            f"{point['streams']:,.1f}",
            f"{point['kv_tokens']:,.0f}",
            f"{point['step_ms']:,.2f}",
            f"{point['model_ms']:,.2f}",
            f"{point['relative_error']:+.1%}",
            f"{point['left_out_error']:+.1%}",
        )
        for point in account["points"]
    ]
    print_table(("<point", "streams", "kv tokens", "measured ms", "fitted ms", "error", "if left out"), rows)
    if out is not None:
        print_line(f"{out}: use it with --set calibration={out}, or in a scenario as fleet.engine.calibration")


@app.command("cache")
def cache(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A stored trace with prefix blocks.")],
    node: Node = "h800",
    model: Model = "deepseek-r1",
    kv: Kv = None,
    rate: Annotated[
        float | None,
        typer.Option("--input-tokens-per-s", callback=_RATE, help="Of the fleet [default: the trace's own mean]."),
    ] = None,
    disk_gb_s: Annotated[float, typer.Option("--disk-gb-s", callback=_DISK, help="Bandwidth of one disk, GB/s.")] = 7.0,
    disk_tb: Annotated[float, typer.Option("--disk-tb", callback=_DISK, help="Capacity of one disk, TB.")] = 7.68,
    sets: Settings = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """What a KV cache on disk finds, saves and needs, by its capacity.

    The cache drops what was used longest ago; all capacities come from one pass over the trace's blocks. The disk's
    figures are assumptions: those of a usual NVMe drive.
    """
    from planner.core.fleet.kv_cache import Disk
    from planner.studies.capacity.disk_cache import cached_trace, disk_study

    store = store_at(db)
    cached = cached_trace(store, trace)
    study = study_of(node, model, kv=kv, trace=trace, sets=sets, db=db)
    found = disk_study(cached, study, Disk(disk_gb_s, disk_tb), rate)
    if as_json:
        print_json(found)
        return
    print_line(
        f"{found['trace']}: {found['input_tokens_per_s']:,.0f} input tokens/s ({found['times_the_trace']:,.3g} times "
        f"the trace), "
        f"{found['kv_bytes_per_token']:,} B of KV per token, at most {percent(found['largest_hit_ratio'])} hits"
    )
    rows = [
        (
            f"{row['capacity_tb']:,.3f}",
            percent(row["hit_ratio"]),
            f"{row['read_gb_s']:,.2f}",
            f"{row['written_gb_s']:,.2f}",
            row["disks"],
            row["binds"],
            f"{row['prefill_tokens_per_s_per_node']:,.0f}",
            f"{row['prefill_nodes_saved']:,.2f}",
            f"${row['usd_per_million_input_tokens']:,.4f}",
        )
        for row in found["rows"]
    ]
    heads = ("TB", "hits", "read GB/s", "write GB/s", "disks", "<for", "prefill tok/s/node", "nodes saved", "$/M input")
    print_table(heads, rows)
    _print_notes(found)


@app.command("route")
def route(
    mix: Annotated[str, typer.Argument(metavar="MIX", help="A built-in mix or a TOML file.")] = "h800-a100-h20",
    sets: Settings = None,
    as_json: Json = False,
) -> None:
    """Route request classes over a mixed fleet at the lowest cost.

    Every class goes where its time per token, its time to the first token and the memory allow it; beside it the
    routing in proportion to capacity.
    """
    from planner.studies.capacity.mixed_fleet import route_mix
    from planner.studies.capacity.overview import engine_settings

    overwritten = [name for name in (item.partition("=")[0].strip() for item in sets or []) if name in _OF_A_MIX]
    if overwritten:
        raise UsageError(
            f"--set {', '.join(overwritten)}: comes from the mix and the catalogue, pool by pool; leave it out"
        )
    with _blaming_no_file():
        settings = engine_settings(sets or [])
    found = route_mix(mix, settings)
    if as_json:
        print_json(found)
        return
    cheapest, even = found["cheapest"], found["proportional"]
    print_line(
        f"{found['mix']}, {found['model']}: {usd(cheapest['usd_per_hour'])} an hour at the least, "
        f"{usd(even['usd_per_hour'])} in proportion to capacity"
        + ("" if found["proportional_fits"] else ", which needs more nodes than there are")
    )
    names = [pool["name"] for pool in cheapest["pools"]]
    fits = {(fit["class"], fit["node"]): fit for fit in found["fits"]}
    rows = []
    for mine, other in zip(cheapest["classes"], even["classes"], strict=True):
        for name in names:
            fit_ = fits[mine["name"], name]
            cost = fit_["usd_per_thousand_requests"]
            rows.append(
                (
                    mine["name"],
                    name,
                    None if cost is None else f"${cost:,.3f}",
                    f"{mine['requests_per_s_by_pool'][name]:,.1f}",
                    f"{other['requests_per_s_by_pool'][name]:,.1f}",
                    fit_["why"],
                )
            )
    print_table(("<class", "<node", "$/1000 requests", "cheapest req/s", "proportional req/s", "<why"), rows)
    pools = [
        (
            pool["name"],
            pool["nodes"],
            f"{pool['nodes_used']:,.1f}",
            f"{other['nodes_used']:,.1f}",
            f"${pool['shadow_price_usd_per_node_hour']:,.2f}",
        )
        for pool, other in zip(cheapest["pools"], even["pools"], strict=True)
    ]
    print_table(("<node", "nodes", "cheapest uses", "proportional uses", "one more saves/h"), pools)
    _print_notes(found)


def study_of(
    node: str,
    model: str,
    *,
    weights: str | None = None,
    kv: str | None = None,
    gpus: int | None = None,
    target: float | None = None,
    kv_tokens: float | None = None,
    hit: float | None = None,
    trace: str | None = None,
    sets: list[str] | None = None,
    db: Path | None = None,
) -> "Study":
    """The study that the options ask for. Raises UsageError."""
    from planner.planning.capacity import trace_workload
    from planner.studies.capacity.overview import study_of_names

    given = {"weights": weights, "kv": kv}
    engine = [*(sets or []), *(f"{name}={value}" for name, value in given.items() if value is not None)]
    workload = None if trace is None else trace_workload(store_at(db), trace)
    with _blaming_no_file():
        return study_of_names(
            node,
            model,
            engine,
            workload=workload,
            kv_tokens=kv_tokens,
            hit_ratio=hit,
            target_ms=target,
            decode_gpus=gpus,
        )


@contextmanager
def _blaming_no_file() -> Iterator[None]:
    """Problems of options name the field alone, and not the default scenario, which the user did not write."""
    try:
        yield
    except ScenarioError as error:
        raise UsageError("; ".join(error.problems)) from error


def _written(context: typer.Context) -> list[str]:
    """The options of this command that stand on the command line."""
    sources = {option.opts[0]: context.get_parameter_source(str(option.name)) for option in context.command.params}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def _check(written: list[str], as_json: bool) -> None:
    from planner.studies.capacity.check import NOTES, check_rows

    others = [name for name in written if name not in ("--check", "--json")]
    if others:
        raise UsageError(f"--check takes no other option but --json; leave out {', '.join(others)}")
    rows = check_rows()
    if as_json:
        print_json({"rows": [row.document() for row in rows], "notes": NOTES})
        return
    table = [(r.point, f"{r.target_ms:,.1f}", f"{r.model_ms:,.1f}", f"{r.relative_error:+.1%}", r.kind) for r in rows]
    print_table(("<point", "published ms", "model ms", "difference", "<kind"), table)
    for note in NOTES:
        print_line(f"  {note}")


def _sweep(study: "Study", what: str, chart: Path | None, as_json: bool) -> None:
    from planner.studies.capacity.overview import SWEEPS, sweep

    known = next((name for name in SWEEPS if name == what), None)
    if known is None:
        raise UsageError(f'no curve over "{what}"; use --sweep {", ".join(SWEEPS)}')
    found = sweep(study, known)
    gpus = study.prefill_gpus if known == "hit" else study.decode_gpus
    if chart is not None:
        from planner.report.curves import write_curve

        write_curve(found, chart, _fixed(found, gpus))
    if as_json:
        print_json(found)
        return
    print_line(f"{_head(found)}, {_fixed(found, gpus)}")
    rows = [{**row, "why": _reason(row["why"])} if "why" in row else row for row in found["rows"]]
    print_table(
        [f"<{name}" if name == "why" else name.replace("_", " ") for name in rows[0]], [_cells(r) for r in rows]
    )
    _print_notes(found)
    if chart is not None:
        print_line(f"{chart}")


def _reason(why: str) -> str:
    """Why a unit serves no more, or not at all, in a few words; --json has all of them."""
    if why.startswith("limited by"):
        return why
    return next((short for part, short in _REASONS.items() if part in why), "cannot serve")


def _cells(row: dict[str, Any]) -> list[object]:
    return [_figure(name, value) for name, value in row.items()]


def _figure(name: str, value: object) -> object:
    if name.startswith("usd") and isinstance(value, float):
        return f"${value:,.4f}"
    if isinstance(value, float):
        return number(value) if value == int(value) or abs(value) >= 1000 else number(value, 2)
    return value


def _head(found: dict[str, Any]) -> str:
    return f"{found['model']} on {found['node']}: weights {found['weights']}, KV {found['kv']}"


def _fixed(found: dict[str, Any], gpus: int | None = None) -> str:
    """What the figures hold for, without what is swept. gpus: of a unit."""
    load = found["workload"]
    stated = {
        "ep": None if gpus is None else f"units of {gpus} GPUs",
        "kv": f"{load['kv_tokens']:,.0f} tokens of KV",
        "hit": f"{percent(load['hit_ratio'], 2)} cache hits",
        "target": f"target {found['target_tpot_ms']:g} ms per output token",
        "rate": f"{usd(found['usd_per_gpu_hour'])} per GPU-hour",
    }
    return ", ".join(text for what, text in stated.items() if text and what != found.get("sweep"))


def _print_notes(found: dict[str, Any]) -> None:
    for note in found["notes"]:
        print_line(f"  {note}")


def _print_overview(found: dict[str, Any]) -> None:
    memory, decode, prefill, request, load = (
        found[key] for key in ("memory", "decode", "prefill", "request", "workload")
    )
    print_line(f"{_head(found)}, {_fixed(found)}")
    print_line(
        f"  model    {found['parameters'] / 1e9:,.1f} B weights, {found['active_parameters'] / 1e9:,.1f} B per token"
    )
    print_line(
        f"  memory   {memory['memory_gb']:g} GB per GPU: {memory['weights_gb']:.1f} weights, {memory['reserve_gb']:g} "
        f"reserve, {memory['kv_gb']:.1f} for KV of {memory['kv_bytes_per_token']:,} B per token: at most "
        f"{memory['batch_cap']:,.0f} streams"
    )
    print_line(
        f"  decode   {decode['streams']:g} streams on each of {decode['gpus']} GPUs, limited by {decode['limit']}: "
        f"{decode['tpot_ms']:.1f} ms per token, {decode['tokens_per_s_per_node']:,.0f} tokens/s per node, "
        f"{usd(decode['usd_per_million_tokens'])} per million"
    )
    print_line(
        f"  prefill  {prefill['missed_tokens_per_s_per_node']:,.0f} tokens/s per node without hits, "
        f"{prefill['tokens_per_s_per_node']:,.0f} with, {usd(prefill['usd_per_million_tokens'])} per million"
    )
    print_line(
        f"  request  {load['input_tokens']:,.0f} tokens in, {load['output_tokens']:,.0f} out: "
        f"{request['nodes_per_qps']:.3f} nodes, {request['w_per_qps']:,.0f} W and {usd(request['usd_per_qps_day'])} a "
        f"day per request/s; {request['usd_per_request'] * 1000:.4f} USD per thousand"
    )
    _print_notes(found)
