"""Every figure that is known of the shared traces, from their import: counts exactly, expected values to 12 digits."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from planner.store.staging import ReaderParams, staging
from planner.trace.imports import servegen
from tests.conftest import Cli

NO_FIGURES = {"licence", "note", "bytes", "files", "block_tokens"}
FIELDS = {"in": "input_tokens", "out": "output_tokens"}


def reference(shared_traces: Path, entry: str) -> dict[str, Any]:
    known: dict[str, Any] = json.loads((shared_traces / "reference.json").read_text())[entry]
    return {name: value for name, value in known.items() if name not in NO_FIGURES}


def same(found: Any, known: Any, where: str = "") -> None:
    """Whole numbers and words are equal, others to twelve digits; nothing is left out."""
    if isinstance(known, Mapping) and "rows" in known and "columns" in known:
        same(found, known["rows"], where)
    elif isinstance(known, Mapping):
        assert set(found) == set(known), where
        for name, value in known.items():
            same(found[name], value, f"{where}/{name}")
    elif isinstance(known, list):
        assert len(found) == len(known), where
        for place, (one, other) in enumerate(zip(found, known, strict=True)):
            same(one, other, f"{where}[{place}]")
    elif isinstance(known, float):
        assert found == pytest.approx(known, rel=1e-12), where
    else:
        assert found == known, where


def rows_of(cli: Cli, query: str) -> list[list[Any]]:
    return [list(row.values()) for row in cli("sql", query, "--format", "json").json]


def bins(cli: Cli, seconds: int, *columns: str, start_us: str = "(SELECT min(arrival_us) FROM request)") -> list[Any]:
    place = f"(arrival_us - {start_us}) // {seconds * 1_000_000}"
    return rows_of(cli, f"SELECT {place} AS place, {', '.join(columns)} FROM request GROUP BY place ORDER BY place")


COUNT, INPUT, OUTPUT = "count(*) AS n", "sum(input_tokens)::BIGINT AS i", "sum(output_tokens)::BIGINT AS o"


def lengths(cli: Cli) -> dict[str, Any]:
    """Mean and percentiles of input and output, as the traces' documentation names them."""
    shown = {row["field"]: row for row in cli("trace", "show", "t", "--json").json["lengths"]}
    figures = ("mean", "p50", "p95", "p99", "max")
    return {f"{short}_{figure}": shown[field][figure] for short, field in FIELDS.items() for figure in figures}


def test_azure(cli: Cli, shared_traces: Path) -> None:
    log = shared_traces / "azure_llm_2023" / "AzureLLMInferenceTrace_code.csv"
    assert cli("trace", "import", str(log), "--name", "t").code == 0
    ((first, last, span, zero),) = rows_of(
        cli,
        "SELECT strftime(min(make_timestamp(arrival_us)), '%Y-%m-%d %H:%M:%S.%f') AS a, "
        "strftime(max(make_timestamp(arrival_us)), '%Y-%m-%d %H:%M:%S.%f') AS b, "
        "max(arrival_us) - min(arrival_us) AS c, "
        "count(*) FILTER (WHERE input_tokens = 0 OR output_tokens = 0) AS d FROM request",
    )
    from_start = bins(cli, 3600, COUNT, INPUT, OUTPUT)
    (totals,) = rows_of(cli, f"SELECT {COUNT}, {INPUT}, {OUTPUT} FROM request")
    found = {
        "totals": {
            **dict(zip(("n", "input_tokens", "output_tokens"), totals, strict=True)),
            "first_ts": first,
            "last_ts": last,
            "span_us": span,
            "zero_rows": zero,
            **lengths(cli),
        },
        "hourly_clock": rows_of(
            cli,
            "SELECT strftime(date_trunc('hour', make_timestamp(arrival_us)), '%Y-%m-%d %H:%M:%S') AS h, "
            f"{COUNT}, {INPUT}, {OUTPUT} FROM request GROUP BY h ORDER BY h",
        ),
        "hourly_from_start": from_start,
    }
    same(found, reference(shared_traces, "azure_llm_2023_code"))


def test_mooncake(cli: Cli, shared_traces: Path) -> None:
    log = shared_traces / "mooncake_fast25" / "synthetic_trace.jsonl"
    assert cli("trace", "import", str(log), "--name", "t").code == 0
    (totals,) = rows_of(
        cli,
        f"SELECT {COUNT}, {INPUT}, {OUTPUT}, min(arrival_us) // 1000 AS a, max(arrival_us) // 1000 AS b, "
        "count(DISTINCT arrival_us) AS c FROM request",
    )
    names = ("n", "input_tokens", "output_tokens", "first_ms", "last_ms", "distinct_ts")
    ((blocks, unique, other),) = rows_of(
        cli,
        "SELECT sum(held)::BIGINT AS a, (SELECT count(DISTINCT block_id) FROM request_block) AS b, "
        "count(*) FILTER (WHERE held <> (input_tokens + 511) // 512) AS c FROM (SELECT request_seq, any_value("
        "request.input_tokens) AS input_tokens, count(block_id) AS held FROM request LEFT JOIN request_block "
        "USING (trace_id, request_seq) GROUP BY request_seq)",
    )
    ((hits, hit_blocks, full, cold),) = rows_of(
        cli,
        "SELECT sum(cached_input_tokens)::BIGINT AS a, sum((cached_input_tokens + 511) // 512)::BIGINT AS b, "
        "count(*) FILTER (WHERE cached_input_tokens = input_tokens) AS c, "
        "count(*) FILTER (WHERE cached_input_tokens = 0) AS d FROM request",
    )
    inputs = totals[1]
    # no two rows of one time share a block that none had before, so both ways of counting agree
    earlier = {
        "hit_blocks": hit_blocks,
        "block_hit_ratio": hit_blocks / blocks,
        "hit_tokens": hits,
        "token_hit_ratio": hits / inputs,
    }
    found = {
        "totals": {
            **dict(zip(names, totals, strict=True)),
            "blocks": blocks,
            "rows_where_blocks_ne_ceil": other,
            **lengths(cli),
        },
        "prefix_cache_infinite_row_order": {
            **earlier,
            "blocks": blocks,
            "unique_blocks": unique,
            "input_tokens": inputs,
            "uncached_input_tokens": inputs - hits,
            "fully_cached_rows": full,
            "cold_rows": cold,
        },
        "prefix_cache_infinite_strictly_earlier_timestamp": earlier,
        "hourly_from_start": bins(cli, 3600, COUNT, INPUT, OUTPUT),
        "per_10min_from_start": bins(cli, 600, COUNT, INPUT, "sum(cached_input_tokens)::BIGINT AS hits"),
        "per_minute_from_start": bins(cli, 60, COUNT, INPUT, OUTPUT),
    }
    same(found, reference(shared_traces, "mooncake_fast25_synthetic"))


def mixture(rows: pl.DataFrame, clients: list[servegen.Client], place: int) -> tuple[float, list[int]]:
    """Standard deviation of the total and percentiles of single lengths. place: 0 for input, 1 for output."""
    weights: dict[int, float] = {}
    variance = 0.0
    for client, start_us, count in rows.select("file_index", "start_us", "requests").iter_rows():
        pair = clients[client].lengths_at(start_us // 1_000_000)
        assert pair is not None
        of = pair[place]
        variance += count * (math.fsum(of.shares * of.values.astype(float) ** 2) - of.mean**2)
        for value, share in zip(of.values.tolist(), of.shares.tolist(), strict=True):
            weights[value] = weights.get(value, 0.0) + count * share
    values = sorted(weights)
    running = np.cumsum([weights[value] for value in values])
    return math.sqrt(variance), [values[int(np.searchsorted(running, q * running[-1]))] for q in (0.5, 0.95, 0.99, 1)]


def per(rows: pl.DataFrame, seconds: int, *sums: pl.Expr) -> list[list[Any]]:
    place = (pl.col("start_us") // 1_000_000 // seconds).alias("place")
    return [list(row) for row in rows.group_by(place).agg(*sums).sort("place").iter_rows()]


@pytest.mark.parametrize(
    ("where", "entry", "field"),
    [
        ("language/m-small-cut", "servegen_m_small_cut_14d", "input_tokens"),
        ("multimodal/mm-image", "servegen_mm_image_24h", "text_tokens"),
    ],
)
def test_servegen(shared_traces: Path, where: str, entry: str, field: str) -> None:
    clients = servegen.clients_of(shared_traces / "servegen" / "data" / where)
    rates = []
    with staging("window") as stage:
        for index, client in enumerate(clients):
            batches = list(servegen.batches(client))
            rates += [float(text) * 600 for batch in batches for text in batch.column("rate").to_pylist()]
            stage.parse("servegen", index, batches, ReaderParams(start_us=0, is_started=False, unit_ns=1000))
        rows = stage.windows()
    count = pl.col("requests").sum()
    hourly = per(rows, 3600, count)
    days = int(rows["end_us"].max()) // 86_400_000_000  # type: ignore[arg-type]
    known = rows.filter(pl.col("requests_with_lengths") > 0)
    tokens = [pl.col(name).sum() for name in ("input_tokens", "output_tokens")]
    requests, inputs, outputs = (known[name].sum() for name in ("requests", "input_tokens", "output_tokens"))
    spread = [mixture(known, clients, place) for place in (0, 1)]
    found = {
        "totals": {
            "rows": rows.height,
            "clients": len(clients),
            "windows": rows["start_us"].n_unique(),
            "first_t": int(rows["start_us"].min()) // 1_000_000,  # type: ignore[arg-type]
            "end_t": int(rows["end_us"].max()) // 1_000_000,  # type: ignore[arg-type]
            "requests": rows["requests"].sum(),
            "max_non_integer": max(abs(rate - round(rate)) for rate in rates),
            "active_windows": rows.filter(pl.col("requests") > 0).height,
        },
        "hourly": hourly,
        "daily": per(rows, 86_400, count),
        "hour_of_day_mean": [
            [hour, sum(found for place, found in hourly if place % 24 == hour) / days] for hour in range(24)
        ],
        "zero_windows": sum(found == 0 for _, found in per(rows, 600, count)),
        "expected_tokens": {
            "requests": rows["requests"].sum(),
            "requests_with_length_data": requests,
            f"expected_{field}": inputs,
            "expected_output_tokens": outputs,
            f"sd_{field}": spread[0][0],
            "sd_output_tokens": spread[1][0],
            "in_mean": inputs / requests,
            "out_mean": outputs / requests,
        },
        "expected_tokens_per_6h": [
            [place * 21_600, *rest]
            for place, *rest in per(rows, 21_600, count, pl.sum("requests_with_lengths"), *tokens)
        ],
        "expected_tokens_hourly": per(known, 3600, count, *tokens),
        "length_quantiles": sorted([[field, *spread[0][1]], ["output_tokens", *spread[1][1]]]),
    }
    wanted = reference(shared_traces, entry)
    if "expected_image_tokens" in wanted:
        coverage = servegen.coverage(rows, clients, 0)
        found["expected_image_tokens"] = {name: getattr(coverage, name) for name in wanted["expected_image_tokens"]}
    same(found, wanted)
