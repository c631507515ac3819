"""planner capacity cache."""

from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.capacity.heading import print_notes
from planner.cli.capacity.options import Kv, Model, Node, Settings, study_of
from planner.cli.options import Db, Json, store_at
from planner.cli.output import percent, print_json, print_line, print_table
from planner.cli.ranges import within

if TYPE_CHECKING:
    from planner.studies.capacity.disk_cache import DiskCacheSizes

_RATE = within("give a finite number above 0", 1e-3, 1e12)
_DISK = within("give a finite number above 0", 1e-3, 1e6)


def cache(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A stored trace with prefix blocks.")],
    node: Node = "h800",
    model: Model = "deepseek-r1",
    kv: Kv = None,
    rate: Annotated[
        float | None,
        typer.Option("--input-tokens-per-s", callback=_RATE, help="Rate of the fleet [default: the trace's mean]."),
    ] = None,
    disk_gb_s: Annotated[float, typer.Option("--disk-gb-s", callback=_DISK, help="Bandwidth of one disk, GB/s.")] = 7.0,
    disk_tb: Annotated[float, typer.Option("--disk-tb", callback=_DISK, help="Capacity of one disk, TB.")] = 7.68,
    sets: Settings = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Show the hits, savings and disks of a KV cache on disk, by its capacity.

    The cache evicts the least recently used blocks; one pass over the trace's blocks covers all capacities. The disk's
    figures are assumptions: those of a typical NVMe drive.
    """
    from planner.core.fleet.kv_cache import Disk
    from planner.studies.capacity.disk_cache import read_cached_trace, size_disk_cache

    cached = read_cached_trace(store_at(db), trace)
    study = study_of(node, model, kv=kv, trace=trace, sets=sets, db=db)
    sizes = size_disk_cache(cached, study, Disk(bandwidth_gb_per_s=disk_gb_s, capacity_tb=disk_tb), rate)
    if as_json:
        print_json(sizes)
    else:
        _print(sizes)


def _print(sizes: "DiskCacheSizes") -> None:
    print_line(
        f"{sizes.trace}: {sizes.input_tokens_per_s:,.0f} input tokens/s ({sizes.times_the_trace:,.3g} times "
        f"the trace), "
        f"{sizes.kv_bytes_per_token:,} B of KV per token, at most {percent(sizes.largest_hit_ratio)} hits"
    )
    rows = [
        (
            f"{row.capacity_tb:,.3f}",
            percent(row.hit_ratio),
            f"{row.read_gb_s:,.2f}",
            f"{row.written_gb_s:,.2f}",
            row.disks,
            row.binds,
            f"{row.prefill_tokens_per_s_per_node:,.0f}",
            f"{row.prefill_nodes_saved:,.2f}",
            f"${row.usd_per_million_input_tokens:,.4f}",
        )
        for row in sizes.rows
    ]
    heads = ("TB", "hits", "read GB/s", "write GB/s", "disks", "<for", "prefill tok/s/node", "nodes saved", "$/M input")
    print_table(heads, rows)
    print_notes(sizes.notes)
